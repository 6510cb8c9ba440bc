"""Outputs of a notebook that ran in a browser against the saved ones, by the rules of nbval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams, get_sanitize_patterns
from nbval_timeouts import without_plotly

SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")


def differences(
    session: pytest.Session, path: Path, outputs: Sequence[Sequence[dict[str, Any]]]
) -> list[str]:
    """Compare text, HTML and streams of every cell, not its pictures and references to widgets.

    Cells tagged `nbval-ignore-output` are left out.

    Args:
        session: session of pytest, whose options nbval reads.
        path: path of the saved notebook.
        outputs: outputs of each cell; cells of text have an empty list.

    Returns:
        For each cell that differs, its number among the code cells and what is different.
    """
    saved = without_plotly(IPyNbFile.from_parent(session, path=path))
    saved.sanitize_patterns.update(get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")))
    cells: list[IPyNbCell] = list(saved.collect())
    kinds = [cell.cell_type for cell in saved.nb.cells]
    made = [shown for kind, shown in zip(kinds, outputs, strict=True) if kind == "code"]
    return [
        "\n".join([cell.name, *cell.comparison_traceback])
        for cell, shown in zip(cells, made, strict=True)
        if cell.options["check"]
        and not cell.compare_outputs(
            coalesce_streams([nbformat.from_dict(output) for output in shown]),
            coalesce_streams(cell.cell.outputs),
        )
    ]
