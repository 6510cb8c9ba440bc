"""Figures draw on a slow machine, inside answers, and from a saved file without a kernel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_lab import NotebookPage
from nbval_timeouts import PLOTLY
from playwright.sync_api import expect

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


def draw_everything_slowly(open_notebook: Callable[[str], NotebookPage], name: str) -> NotebookPage:
    """Run a notebook on a slow machine and wait for every figure."""
    notebook = open_notebook(name)
    notebook.slow_down(SLOWER)
    notebook.run_all(timeout=400)
    known = figures(notebook)
    assert known
    for number, n in known.items():
        wait_for_traces(notebook, number, n)
    return notebook


def test_every_figure_draws_on_a_slow_machine(open_notebook: Callable[[str], NotebookPage]):
    notebook = draw_everything_slowly(open_notebook, "04_adaptive_minimise_distance.ipynb")
    armijo = notebook.page.locator(".gfe-figure")
    notebook.cell(3)
    armijo.locator(".js-plotly-plot").wait_for()
    title = armijo.locator(".gtitle")
    before = title.text_content()
    notebook.page.locator(".gfe-player .frame").focus()
    notebook.page.keyboard.press("Home")
    expect(title).not_to_have_text(before or "")
    assert (title.text_content() or "").startswith("step 0: ")
    assert notebook.troubles() == []


def test_a_figure_in_an_answer_draws_and_changes_under_the_hand(
    open_notebook: Callable[[str], NotebookPage],
):
    notebook = draw_everything_slowly(open_notebook, "12_gradient_origin_networks.ipynb")
    asked = notebook.cell(8)
    asked.locator(".gfe-predict input").first.click()
    asked.get_by_role("button", name="Commit my guess").click()
    wait_for_traces(notebook, 8, 4)
    expect(asked.locator(".xtitle")).to_have_text("decoder updates")
    asked.get_by_role("radio", name="seconds").press("Space")
    expect(asked.locator(".xtitle")).to_have_text("seconds")
    expect(asked.locator(".words")).to_contain_text("excess against seconds")
    assert notebook.troubles() == []


def test_a_saved_figure_shows_its_picture_and_draws_under_the_mouse_without_a_run(
    open_notebook: Callable[[str], NotebookPage],
):
    notebook = open_notebook("04_adaptive_minimise_distance.ipynb")
    known = figures(notebook)
    assert known
    for number, n in known.items():
        picture = notebook.cell(number).locator("img.plot-img")
        assert picture.evaluate("image => image.naturalWidth") > 300
        box = picture.bounding_box()
        assert box is not None
        # Not `hover`, which asks again after the figure has taken the picture's place.
        notebook.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        wait_for_traces(notebook, number, n)
    assert notebook.troubles() == []
