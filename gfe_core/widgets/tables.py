"""Tables of numbers, also of results in a file, as HTML in the reader's theme."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets

from gfe_core.data import results
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.kit.numbers import NUMBERS

_CELL = (
    "padding: 3px 18px 3px 0; text-align: {}; border-bottom: 1px solid "
    "var(--jp-border-color2, #bbbbbb)"
)


Cell = float | tuple[float, float | None] | None
"""A number, a mean with its standard deviation, or nothing."""


def spread(summary: Any) -> Cell:
    """Return the mean of a summary with its standard deviation; a bare number stands alone."""
    return (summary["mean"], summary["sd"]) if isinstance(summary, Mapping) else summary


@dataclass(frozen=True)
class Table:
    """Rows of numbers with the lowest of each row marked, or of each column.

    Args:
        columns: names of the columns; the first is that of the rows' labels.
        rows: rows by label, each with a number for every further column; None is an empty cell, and
            (mean, standard deviation) is shown as "0.1703 ± 0.0032".
        caption: sentence above the table.
        compared: names of the columns among which the lowest is marked; all by default.
        digits: number of digits after the decimal point; whole numbers have none.
        down: whether to mark the lowest number of each of these columns instead.
    """

    columns: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]
    caption: str = ""
    compared: Sequence[str] | None = None
    digits: int = 4
    down: bool = False

    def __post_init__(self) -> None:
        n = len(self.columns) - 1
        for label, row in self.rows.items():
            if len(row) != n:
                raise ValueError(
                    f"`rows` must have {n} numbers each, as `columns` has, got {len(row)} in "
                    f"{label!r}."
                )

    def cells(self) -> list[list[tuple[str, bool]]]:
        """Return each row as a list of (text, whether it is marked), labels included."""
        names = self.columns[1:]
        table = [[_number(cell) for cell in row] for row in self.rows.values()]
        counts = [self.compared is None or name in self.compared for name in names]
        columns = [_lowest([row[i] for row in table]) for i in range(len(names))]
        marked_rows = []
        for (label, cells), row in zip(self.rows.items(), table, strict=True):
            of_row = _lowest([v for v, counted in zip(row, counts, strict=True) if counted])
            lowest = columns if self.down else [of_row] * len(names)
            marked = [
                c and v is not None and v == low
                for v, low, c in zip(row, lowest, counts, strict=True)
            ]
            texts = [self._text(cell) for cell in cells]
            marked_rows.append([(str(label), False), *zip(texts, marked, strict=True)])
        return marked_rows

    def _text(self, value: Cell) -> str:
        if isinstance(value, tuple):
            mean, spread = value
            return self._text(mean) + ("" if spread is None else f" ± {self._text(spread)}")
        if value is None:
            return "–"
        return f"{value:,}" if isinstance(value, int) else f"{value:.{self.digits}f}"

    def html(self) -> str:
        """Return the table as HTML in the reader's theme."""
        heads = "".join(_html_cell(name, "th", i) for i, name in enumerate(self.columns))
        lines = []
        for row in self.cells():
            lines.append(
                "".join(_html_cell(text, "td", i, lowest) for i, (text, lowest) in enumerate(row))
            )
        body = "".join(f"<tr>{line}</tr>" for line in (heads, *lines)) if lines else ""
        content = f"{escape(self.caption)}<table>{body}</table>"
        return f'<div class="gfe-table" style="{NUMBERS}; overflow-x: auto">{content}</div>'


def _number(cell: Cell) -> float | None:
    """Return the number by which a cell is compared, the mean of a mean with its deviation."""
    return cell[0] if isinstance(cell, tuple) else cell


def _lowest(values: Sequence[float | None]) -> float | None:
    """Return the lowest of two or more numbers, and None for fewer."""
    known = [v for v in values if v is not None]
    return min(known) if len(known) > 1 else None


def show_table(table: Table, name: str, alt_text: str) -> Document:
    """Return an explorer around a table, to be the last line of a cell.

    Args:
        table: table to show.
        name: name of the explorer; a table of the same name replaces the earlier one.
        alt_text: one sentence that says what to see, without numbers from training or timing.
    """
    html = table.html()
    return Document(name, {"text/html": html}, alt_text, lambda: ipywidgets.HTML(html))


def show_result(
    experiment: str, show: Callable[..., Explorer], name: str, alt_text: str
) -> Explorer:
    """Show what `python -m gfe_core reproduce EXPERIMENT` wrote, or name that command.

    Args:
        experiment: name of the experiment, as in the command.
        show: function of the content of the file and the keywords `name` and `alt_text`, for
            example one that returns a `show_table`.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    if results.path(experiment).exists():
        return show(results.load(experiment), name=name, alt_text=alt_text)
    command = f"python -m gfe_core reproduce {experiment}"
    remedy = f"`{command}` makes data/results/{results.path(experiment).name}."
    return show_table(Table(("",), {}, f"Not computed here yet: {remedy}"), name, alt_text)


def _html_cell(text: str, tag: str, column: int, lowest: bool = False) -> str:
    """Return one cell as HTML; the lowest number is bold and underlined."""
    style = _CELL.format("right" if column else "left")
    words = f"<strong><u>{escape(text)}</u></strong>" if lowest else escape(text)
    return f'<{tag} style="{style}">{words}</{tag}>'
