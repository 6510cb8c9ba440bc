"""plotly figures from results: they compute nothing and know no decoder.

One template, one palette (Okabe-Ito, safe for colour-blind readers), dashes and marker shapes
beside colour.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.training import History

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "triangle-up", "diamond")

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
        series: name -> (x, y), one-dimensional.
        x_title: with units.
        y_title: with units.
        title: one message.
        log: whether both axes are logarithmic; then every point is marked.
        level: (name, height) of a horizontal reference line, such as the floor of the energy.
    """
    figure = go.Figure(layout=_layout(title, x_title, y_title, "log" if log else "linear"))
    mode = "lines+markers" if log else "lines"
    for i, (name, (x, y)) in enumerate(series.items()):
        style = {
            "color": PALETTE[i % len(PALETTE)],
            "dash": _DASHES[i % len(_DASHES)],
            "width": 2.5,
        }
        marker = {
            "symbol": _SYMBOLS[i % len(_SYMBOLS)],
            "size": 8,
            "color": PALETTE[i % len(PALETTE)],
        }
        figure.add_trace(
            go.Scatter(x=_line(x), y=_line(y), name=name, mode=mode, line=style, marker=marker)
        )
    if level is not None:
        pair = isinstance(level, (tuple, list)) and len(level) == 2
        wanted = "`level` must be (name, height)"
        checks.require(pair, f"{wanted}, got {checks.described(level)}.", TypeError)
        ends = np.concatenate([_line(x) for x, _ in series.values()])
        x = np.array([ends.min(), ends.max()], dtype=np.float32)
        line = {"color": "#777777", "dash": "dot", "width": 1.5}
        figure.add_trace(
            go.Scatter(
                x=x, y=np.full(2, level[1], np.float32), name=level[0], mode="lines", line=line
            )
        )
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
    """Draw estimates over exact values, with bars of two standard errors and the diagonal.

    Args:
        exact: values.
        series: name -> (estimates, their standard errors), one for each exact value.
        x_title: with units.
        y_title: with units.
        title: one message.
    """
    figure = go.Figure(layout=_layout(title, x_title, y_title, "linear"))
    x = _line(exact)
    ends = np.array([x.min(), x.max()])
    line = {"color": "#777777", "dash": "dot", "width": 1.5}
    figure.add_trace(go.Scatter(x=ends, y=ends, name="equal", mode="lines", line=line))
    for i, (name, (means, errors)) in enumerate(series.items()):
        colour = PALETTE[i % len(PALETTE)]
        y = _line(means)
        bars = 2 * _line(errors)
        gaps = np.full_like(x, np.nan)
        up = np.stack([y - bars, y + bars, gaps], 1)
        across = np.stack([x, x, gaps], 1)
        line = {"color": colour, "width": 2}
        figure.add_trace(
            go.Scatter(x=across.ravel(), y=up.ravel(), mode="lines", line=line, showlegend=False)
        )
        marker = {"symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 8, "color": colour}
        figure.add_trace(go.Scatter(x=x, y=y, name=name, mode="markers", marker=marker))
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


def _line(values: Tensor | np.ndarray | Sequence[float]) -> np.ndarray:
    """One-dimensional float32: the form that travels to the browser as bytes."""
    return np.asarray(values, dtype=np.float32).ravel()


def _layout(title: str, x_title: str, y_title: str, kind: Literal["linear", "log"]) -> go.Layout:
    axis = {
        "showline": True,
        "linecolor": "#888888",
        "gridcolor": "rgba(128,128,128,0.2)",
        "zeroline": False,
    }
    axis |= {"type": kind, "ticks": "outside", "tickcolor": "#888888"}
    if kind == "log":
        axis |= {"dtick": 1, "exponentformat": "power"}
    return go.Layout(
        template="none",
        title={"text": title, "font": {"size": 16}, "x": 0, "xref": "paper"},
        font={"size": 13, "color": "#777777", "family": "system-ui, sans-serif"},
        height=360,
        margin={"l": 72, "r": 16, "t": 48 if title else 32, "b": 52},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        xaxis=axis | {"title": {"text": x_title, "font": {"size": 13}}},
        yaxis=axis | {"title": {"text": y_title, "font": {"size": 13}}},
    )
