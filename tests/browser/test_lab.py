"""Every notebook, run in JupyterLab in Chromium, shows nothing broken and what was saved."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import LabServer, NotebookPage
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from published import (
    METADATA,
    difference,
    opened,
    pictures,
    sentence,
    unlike_from,
    wants_still,
)
from saved_outputs import differences

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# Run as on a small laptop: a notebook with a figure under a player.
SLOWED = ("04_adaptive_minimise_distance.ipynb",)
SLOWER = 6
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))

SLIDER = """
import ipywidgets
from gfe_core.widgets.kit.explorer import Explorer
slider = ipywidgets.IntSlider(description="frame")
Explorer("toy", slider, "A slider.")
"""


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_without_a_blemish_and_shows_what_is_saved(
    name: str, open_notebook: Callable[[str], NotebookPage], request: pytest.FixtureRequest
):
    notebook = open_notebook(name)
    notebook.set_theme("light")  # as stills have it; the server keeps what another test chose
    notebook.keep_still()
    notebook.slow_down(SLOWER if name in SLOWED else 1)
    notebook.run_all()
    for number, n_traces in notebook.figures().items():
        notebook.wait_for_traces(number, *n_traces)
    for number in notebook.guess_everything():
        notebook.wait_for_traces(number)
    notebook.slow_down(1)
    assert unlike(notebook, nbformat.read(NOTEBOOKS / name, as_version=4)) == []
    for theme in ("light", "dark"):
        notebook.set_theme(theme)
        notebook.scroll_through(theme)
    assert notebook.troubles() == []
    assert differences(request.session, NOTEBOOKS / name, notebook.outputs()) == []


def unlike(notebook: NotebookPage, saved: NotebookNode) -> list[str]:
    """The stills that do not show their view as it is drawn now."""
    found = []
    outputs = notebook.outputs()
    for number, k, output, png in pictures(saved):
        if not wants_still(outputs[number][k]):
            continue
        now = notebook.still(number, k)
        gap = difference(png, now)
        if gap > unlike_from(output):
            sizes = f"{opened(png).size}, {opened(now).size}"
            found.append(f"cell {number}, {sentence(output)}: {gap:.2f}, {sizes}")
    return found


def open_cells(
    lab: LabServer,
    open_notebook: Callable[[str], NotebookPage],
    *sources: str,
    name: str = "scratch.ipynb",
) -> NotebookPage:
    cells = [new_markdown_cell("# Scratch"), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), lab.root / name)
    return open_notebook(name)


def test_widget_answers_the_keyboard(lab: LabServer, open_notebook: Callable[[str], NotebookPage]):
    notebook = open_cells(lab, open_notebook, SLIDER)
    notebook.run_all()
    assert notebook.troubles() == []
    slider = notebook.page.locator(
        ".widget-slider [role=slider], .widget-slider .noUi-handle"
    ).first
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == "1.0"


def test_blemishes_are_noticed(lab: LabServer, open_notebook: Callable[[str], NotebookPage]):
    warn = "import sys; print('careful', file=sys.stderr)"
    script = "from IPython.display import Javascript; Javascript('console.error(\"oh\")')"
    notebook = open_cells(lab, open_notebook, warn, script, "1 / 0", "'never reached'")
    notebook.run_all()
    troubles = "\n".join(notebook.troubles())
    assert "wrote to stderr: careful" in troubles
    assert "failed: ZeroDivisionError" in troubles
    assert "console: oh" in troubles
