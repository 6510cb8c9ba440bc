"""Draw results as plotly figures; nothing is computed here, and no decoder is needed.

All figures share a template; each name has its own colour, dash and marker
(`gfe_core.widgets.kit.identity`).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.training import History
from gfe_core.widgets.kit.identity import NEUTRAL, Look, looks

# Style of a reference line, which helps to read the other lines.
REFERENCE = {"color": NEUTRAL.colour, "dash": NEUTRAL.dash, "width": 1.5}

Series = tuple[Tensor | np.ndarray | Sequence[float], Tensor | np.ndarray | Sequence[float]]


@in_own_words
def curves(
    series: Mapping[str, Series],
    *,
    x_title: str,
    y_title: str,
    title: str = "",
    log: bool = False,
    level: tuple[str, float] | None = None,
) -> go.Figure:
    """Draw named curves, each with its own colour, dash and marker.

    Args:
        series: curves, name -> (x, y), each one-dimensional.
        x_title: title of the horizontal axis, with units.
        y_title: title of the vertical axis, with units.
        title: title of the figure, stating one message.
        log: whether both axes are logarithmic; then every point is marked.
        level: (name, height) of a horizontal reference line, such as the floor of the energy.
    """
    figure = go.Figure(layout=_layout(title, x_title, y_title, "log" if log else "linear"))
    mode = "lines+markers" if log else "lines"
    styles = looks(series)
    for name, (x, y) in series.items():
        line = {"color": styles[name].colour, "dash": styles[name].dash, "width": 2.5}
        figure.add_trace(
            go.Scatter(
                x=_line(x), y=_line(y), name=name, mode=mode, line=line, marker=_mark(styles[name])
            )
        )
    if level is not None:
        pair = isinstance(level, (tuple, list)) and len(level) == 2
        wanted = "`level` must be (name, height)"
        checks.require(pair, f"{wanted}, got {checks.described(level)}.", TypeError)
        ends = np.concatenate([_line(x) for x, _ in series.values()])
        x = np.array([ends.min(), ends.max()], dtype=np.float32)
        y = np.full(2, level[1], np.float32)
        figure.add_trace(go.Scatter(x=x, y=y, name=level[0], mode="lines", line=REFERENCE))
    return figure


@in_own_words
def estimates(
    exact: Tensor | np.ndarray | Sequence[float],
    series: Mapping[str, Series],
    *,
    x_title: str,
    y_title: str,
    title: str = "",
) -> go.Figure:
    """Draw estimates against exact values, with bars of two standard errors and the diagonal.

    Args:
        exact: exact values, one-dimensional.
        series: estimates, name -> (estimates, their standard errors), one for each exact value.
        x_title: title of the horizontal axis, with units.
        y_title: title of the vertical axis, with units.
        title: title of the figure, stating one message.
    """
    figure = go.Figure(layout=_layout(title, x_title, y_title, "linear"))
    x = _line(exact)
    ends = np.array([x.min(), x.max()])
    figure.add_trace(go.Scatter(x=ends, y=ends, name="equal", mode="lines", line=REFERENCE))
    styles = looks(series)
    for name, (means, errors) in series.items():
        y = _line(means)
        bars = 2 * _line(errors)
        gaps = np.full_like(x, np.nan)
        up = np.stack([y - bars, y + bars, gaps], 1)
        across = np.stack([x, x, gaps], 1)
        line = {"color": styles[name].colour, "width": 2}
        figure.add_trace(
            go.Scatter(x=across.ravel(), y=up.ravel(), mode="lines", line=line, showlegend=False)
        )
        figure.add_trace(
            go.Scatter(x=x, y=y, name=name, mode="markers", marker=_mark(styles[name]))
        )
    return figure


@in_own_words
def learning_curves(
    histories: Mapping[str, History],
    *,
    against: Literal["images", "step", "seconds"] = "images",
    floor: float | None = None,
    title: str = "",
) -> go.Figure:
    """Draw the energy of training batches against images seen, decoder updates or seconds."""
    titles = {"images": "images encoded", "step": "decoder updates", "seconds": "seconds"}
    series: dict[str, Series] = {
        name: (getattr(one, against), one.energy) for name, one in histories.items()
    }
    level = None if floor is None else ("floor", floor)
    return curves(
        series, x_title=titles[against], y_title="energy (nats per pixel)", title=title, level=level
    )


def _mark(look: Look) -> dict[str, str | int]:
    return {"symbol": look.marker, "size": 8, "color": look.colour}


def _line(values: Tensor | np.ndarray | Sequence[float]) -> np.ndarray:
    """Return values as a one-dimensional float32 array."""
    return np.asarray(values, dtype=np.float32).ravel()


def _layout(title: str, x_title: str, y_title: str, kind: Literal["linear", "log"]) -> go.Layout:
    axis = {
        "type": kind,
        "showline": True,
        "linecolor": "#888888",
        "gridcolor": "rgba(128,128,128,0.2)",
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "#888888",
        "automargin": True,
    }
    if kind == "log":
        axis |= {"dtick": 1, "exponentformat": "power"}
    # The legend is under the plot, because the toolbar appears in the upper right corner.
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
    return go.Layout(
        template="none",
        title={"text": title, "font": {"size": 16}, "x": 0, "xref": "paper"},
        font={"size": 13, "color": "#7A7A7A", "family": "system-ui, sans-serif"},
        height=380,
        margin={"l": 60, "r": 16, "t": 52 if title else 32, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend=legend,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#888888", "activecolor": "#777777"},
        xaxis=axis | {"title": {"text": x_title, "font": {"size": 13}, "standoff": 8}},
        yaxis=axis | {"title": {"text": y_title, "font": {"size": 13}, "standoff": 8}},
    )
