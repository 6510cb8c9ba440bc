"""Figures with states follow the hand, fit the page, and a saved figure needs no run."""

from collections.abc import Callable

import pytest
from jupyter_lab import VIEWPORT, LabServer, NotebookPage
from playwright.sync_api import expect
from test_lab import open_cells
from view_page import barriers

pytestmark = pytest.mark.browser
DECODER = """
import torch
import gfe_core as gfe
from gfe_core import widgets
test = gfe.data.load("digits", split="test").take(40)
chance = torch.Generator().manual_seed(0)
decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=64, generator=chance)
gfe.fit(decoder, gfe.data.Batches(test.x, size=20), epochs=3)
widgets.ArmijoExplorer(decoder, test)
"""
ANSWER = """
run = {"updates": [10, 20, 40], "seconds": [1, 2, 3], "excess": [0.3, 0.2, 0.1]}
runs = {"flow": run, "autoencoder": run | {"excess": [0.4, 0.3, 0.2]}}
axes = widgets.AxesExplorer(runs, ("updates", "seconds"), "excess", name="axes", alt_text="Falls.")
widgets.predict("Why?", ["so", "else"], answer="so", because="it is.", reveal=axes)
"""
PLAIN = """
from gfe_core import plots
line = plots.curves({"AMD": ([1, 2, 3], [3, 2, 1])}, x_title="step", y_title="energy")
widgets.show_figure(line, "line", "It falls.")
"""


@pytest.fixture(scope="module")
def notebook(lab: LabServer, open_for_all: Callable[[str], NotebookPage]) -> NotebookPage:
    """A notebook whose cells have run and whose question is answered."""
    notebook = open_cells(lab, open_for_all, DECODER, ANSWER, PLAIN, name="figures.ipynb")
    notebook.run_all()
    notebook.guess_everything()
    return notebook


def test_figure_below_a_player_follows_its_frame(notebook: NotebookPage):
    notebook.wait_for_traces(1)
    title = notebook.cell(1).locator(".gtitle")
    notebook.page.locator(".gfe-player .frame").focus()
    notebook.page.keyboard.press("Home")
    expect(title).to_contain_text("step 0: ")
    notebook.page.keyboard.press("ArrowRight")
    expect(title).to_contain_text("step 1: ")
    assert notebook.troubles() == []


def test_figure_in_an_answer_draws_and_its_axis_is_chosen_by_keyboard(notebook: NotebookPage):
    notebook.wait_for_traces(2, 2)
    asked = notebook.cell(2)
    expect(asked.locator(".xtitle")).to_have_text("updates")
    asked.get_by_role("radio", name="seconds").press("Space")
    expect(asked.locator(".xtitle")).to_have_text("seconds")
    expect(asked.locator(".words")).to_contain_text("excess against seconds")
    asked.get_by_role("button", name="Reset", exact=True).press("Enter")
    expect(asked.locator(".xtitle")).to_have_text("updates")
    assert notebook.troubles() == []


def test_words_of_a_figure_that_are_not_painted_are_noticed(notebook: NotebookPage):
    notebook.wait_for_traces(3, 1)
    assert notebook.texts_missing(3) == []
    title = notebook.cell(3).locator(".xtitle")
    title.evaluate("title => { title.style.opacity = 0; }")
    assert notebook.texts_missing(3) == ["no text 'step'"]
    title.evaluate("title => { title.style.opacity = 1; }")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_barrier_in_figures(notebook: NotebookPage, theme: str):
    notebook.set_theme(theme)
    for number, kind in ((1, "gfe-figure"), (2, "gfe-figure"), (3, "js-plotly-plot")):
        notebook.wait_for_traces(number)
        figure = f'.jp-Cell[data-windowed-list-index="{number}"] .{kind}'
        assert notebook.page.locator(figure).count() == 1
        assert barriers(notebook.page, figure) == []
    notebook.set_theme("light")


def test_figures_become_narrow_with_their_page(notebook: NotebookPage):
    for number, n in ((2, 2), (3, 1)):
        notebook.wait_for_traces(number, n)
    notebook.page.set_viewport_size({"width": 900, "height": 900})
    for number in (2, 3):
        plot = notebook.cell(number).locator(".main-svg").first
        inside = """plot => {
            const cell = plot.closest(".jp-OutputArea-output").getBoundingClientRect();
            return plot.getBoundingClientRect().right <= cell.right + 1 && cell.right <= 900;
        }"""
        notebook.page.wait_for_function(inside, arg=plot.element_handle())
    notebook.page.set_viewport_size(VIEWPORT)
    assert notebook.troubles() == []


def test_saved_figure_shows_its_picture_and_draws_under_the_mouse_without_a_run(
    open_notebook: Callable[[str], NotebookPage],
):
    notebook = open_notebook("04_adaptive_minimise_distance.ipynb")
    known = notebook.figures()
    assert known
    for number, n in known.items():
        picture = notebook.cell(number).locator("img.plot-img")
        assert picture.evaluate("image => image.naturalWidth") > 300
        box = picture.bounding_box()
        assert box is not None
        # Not `hover`, which asks again after the figure has taken the picture's place.
        notebook.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        notebook.wait_for_traces(number, *n)
    assert notebook.troubles() == []
