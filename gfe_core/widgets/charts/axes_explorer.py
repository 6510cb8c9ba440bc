"""The same training runs, drawn against a choice of axes.

Runs compared per image, per update and per second answer different questions.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gfe_core import checks
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figure_view import FigureView
from gfe_core.widgets.charts.figures import log_ticks
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.numbers import NUMBERS, tidy

_HEAD = "padding-right: 14px; text-align: left; white-space: nowrap"
_CELL = "padding: 1px 14px 1px 0; text-align: right; white-space: nowrap"


class AxesExplorer(Explorer):
    """Curves of the same runs, with a switch between horizontal axes.

    Args:
        runs: measures of each run, name -> {measure: one number for each point}; each run holds
            every axis and the measure `y`.
        axes: measures that the reader can choose as the horizontal axis; the first is shown first.
        y: measure on the vertical axis.
        y_title: title of the vertical axis, with units.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers from training or timing.
        title: title of the figure, stating one message.

    Example:
        >>> runs = {"a": {"images": [10, 20], "seconds": [0.1, 0.2], "excess": [0.3, 0.2]}}
        >>> axes = ("images", "seconds")
        >>> shown = AxesExplorer(runs, axes, "excess", name="toy", alt_text="One curve falls.")
        >>> shown.view.shown = 1
        >>> shown.view.drawn().layout.xaxis.title.text
        'seconds'
    """

    def __init__(
        self,
        runs: Mapping[str, Mapping[str, Sequence[float]]],
        axes: Sequence[str],
        y: str,
        *,
        name: str,
        alt_text: str,
        y_title: str = "excess, unseen (nats per pixel)",
        title: str = "",
    ) -> None:
        complete = bool(runs) and bool(axes)
        wanted = "`runs` and `axes` must each hold at least one"
        checks.require(complete, f"{wanted}, got {len(runs)} and {len(axes)}. Train one first.")
        for run, measures in runs.items():
            for measure in (*axes, y):
                checks.require(
                    measure in measures,
                    f"`runs[{run!r}]` must hold {measure!r}, got {sorted(measures)}.",
                )
            sizes = {measure: len(measures[measure]) for measure in (*axes, y)}
            even = min(sizes.values()) == max(sizes.values()) > 0
            wanted = "`runs` must hold as many numbers for each measure of a run, at least one"
            remedy = "Leave a run out while it has no point."
            checks.require(even, f"{wanted}; {run!r} has {sizes}. {remedy}")
        self.runs = runs
        self.y = y
        series: dict[str, plots.Series] = {run: (m[axes[0]], m[y]) for run, m in runs.items()}
        figure: Any = plots.curves(series, log=True, x_title=axes[0], y_title=y_title, title=title)
        figure.update_yaxes(type="linear", tickmode="auto", dtick=None, exponentformat="none")
        against = {"label": "against", "kind": "buttons", "options": [*axes]}
        self.view = FigureView(
            figure, controls=[against], changes=[*map(self._against, axes)], alt_text=alt_text
        )
        super().__init__(name, self.view, alt_text)

    def _against(self, axis: str) -> dict[str, Any]:
        """Return the change that moves every point along x and keeps its height."""
        values = [[float(x) for x in measures[axis]] for measures in self.runs.values()]
        ticks = log_ticks([x for of_run in values for x in of_run])
        return {
            "data": [{"x": x} for x in values],
            "layout": {"xaxis": {"title": {"text": axis}, **ticks}},
            "words": self._words(axis),
        }

    def _words(self, axis: str) -> str:
        """Return a line on what is shown, with a table of the numbers that the reader can open."""
        rows = []
        for run, measures in self.runs.items():
            numbers = zip(measures[axis], measures[self.y], strict=True)
            cells = "".join(f'<td style="{_CELL}">{tidy(x)}: {_four(v)}</td>' for x, v in numbers)
            rows.append(f'<tr><th style="{_HEAD}">{escape(run)}</th>{cells}</tr>')
        table = f'<div style="overflow-x: auto"><table>{"".join(rows)}</table></div>'
        numbers_of = (
            f"<details><summary>table of the numbers ({escape(axis)}: {escape(self.y)})</summary>"
        )
        return (
            f'<div style="{NUMBERS}">{escape(self.y)} against '
            f"{escape(axis)}{numbers_of}{table}</details></div>"
        )


def _four(value: float) -> str:
    """Write a number with four digits after the point, or in words where it is not finite."""
    return f"{value:.4f}" if math.isfinite(value) else tidy(value)
