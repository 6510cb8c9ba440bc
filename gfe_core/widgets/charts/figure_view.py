"""A plotly figure as JSON, and a view for a figure with states or inside another widget.

A figure on its own needs no widget: JupyterLab's plotly draws its mime type, even without a kernel.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import anywidget
import numpy as np
import plotly.graph_objects as go
import traitlets as t

from gfe_core.widgets.kit.bundles import script, style

CONFIG = {
    "displayModeBar": "hover",
    "displaylogo": False,
    "showSendToCloud": False,  # nothing of a reader's leaves the machine
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
}
"""Options of plotly for every figure; tools that would select points have no effect here."""


def json_of(figure: go.Figure) -> dict[str, Any]:
    """Return the data and the layout of a figure as JSON that plotly reads."""
    every: Any = figure.data
    layout: Any = figure.layout
    return plain(
        {"data": [one.to_plotly_json() for one in every], "layout": layout.to_plotly_json()}
    )


def plain(part: Any) -> Any:
    """Return a part of a figure as JSON: lists, and floats of six digits, None if not finite."""
    if isinstance(part, Mapping):
        return {key: plain(value) for key, value in part.items()}
    if isinstance(part, np.ndarray) and part.dtype.kind == "f":
        return [plain(row) for row in part] if part.ndim > 1 else [_short(x) for x in part.tolist()]
    if isinstance(part, np.ndarray):
        return part.tolist()
    if isinstance(part, (list, tuple)):
        return [plain(value) for value in part]
    return _short(part) if isinstance(part, float) else part


def _short(number: float) -> float | None:
    return float(f"{number:.6g}") if np.isfinite(number) else None


class FigureView(anywidget.AnyWidget):
    """A figure with several states, all of which are in the browser.

    Args:
        figure: figure to which the change that is shown is applied.
        controls: controls for the reader, each {"label", "kind": "slider" | "buttons", "options":
            words}.
        changes: changes of the figure, one for each combination of options, the last control
            varying fastest; each {"data": one dictionary for each trace, "layout", "words": HTML}.
        shown: index of the change shown first.
        alt_text: one sentence that says what to see.
    """

    _esm = script("charts")
    _css = style("charts")
    figure = t.Dict().tag(sync=True)
    config = t.Dict(CONFIG).tag(sync=True)
    controls = t.List(t.Dict()).tag(sync=True)
    changes = t.List(t.Dict()).tag(sync=True)
    shown = t.Int(0).tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)

    def __init__(
        self,
        figure: go.Figure,
        *,
        controls: Sequence[Mapping[str, Any]] = (),
        changes: Sequence[Mapping[str, Any]] = (),
        shown: int = 0,
        alt_text: str = "",
    ) -> None:
        super().__init__(
            figure=json_of(figure),
            controls=[dict(control) for control in controls],
            changes=[plain(change) for change in changes],
            shown=shown,
            alt_text=alt_text,
        )

    def own_page(self, title: str) -> str:
        """Return an HTML page with the figure in the state shown and with plotly (5 MB)."""
        plot = self.drawn().to_html(full_html=False, include_plotlyjs=True, config=CONFIG)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{escape(title)}</title></head><body><main>"
            f'<figure aria-label="{escape(self.alt_text)}">{plot}</figure></main></body></html>\n'
        )

    def drawn(self) -> go.Figure:
        """Return the figure in the state shown, as the browser draws it."""
        change = self.changes[min(self.shown, len(self.changes) - 1)] if self.changes else {}
        traces = self.figure["data"]
        changes = [*change.get("data", ()), *[{}] * len(traces)]
        return go.Figure(
            [_merged(trace, changes[k]) for k, trace in enumerate(traces)],
            _merged(self.figure["layout"], change.get("layout", {})),
        )


def _merged(part: Any, change: Any) -> Any:
    """Return a part whose entries are replaced by those of the same name in the change."""
    if not (isinstance(part, dict) and isinstance(change, dict)):
        return change
    return part | {key: _merged(part.get(key), value) for key, value in change.items()}
