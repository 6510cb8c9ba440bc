"""Figures draw on a slow machine, inside answers, and from a saved file without a kernel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_lab import NotebookPage
from nbval_timeouts import PLOTLY

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SLOWER = 6


def figures(notebook: NotebookPage) -> dict[int, int]:
    """Number of a cell -> traces of the figure that it holds as plotly's JSON."""
    found: dict[int, int] = {}
    for number, outputs in enumerate(notebook.outputs()):
        for output in outputs:
            figure: Any = output.get("data", {}).get(PLOTLY)
            if figure is not None:
                found[number] = len(figure["data"])
    return found


def wait_for_traces(notebook: NotebookPage, number: int, n: int) -> None:
    """Until a cell shows one figure with so many traces."""
    for _ in range(600):
        if notebook.traces(number) == [n]:
            return
        notebook.page.wait_for_timeout(100)
    raise AssertionError(f"cell {number}: {notebook.traces(number)} traces instead of [{n}]")


def test_every_figure_draws_on_a_slow_machine(open_notebook: Callable[[str], NotebookPage]):
    notebook = open_notebook("04_adaptive_minimise_distance.ipynb")
    notebook.slow_down(SLOWER)
    notebook.run_all()
    known = figures(notebook)
    assert known
    for number, n in known.items():
        wait_for_traces(notebook, number, n)
    assert notebook.troubles() == []
    notebook.screenshots("light")
