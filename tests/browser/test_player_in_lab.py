"""The player in JupyterLab: how fast it answers a hand, with the kernel and without."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import LabServer, NotebookPage
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Locator
from published import METADATA
from quiet_times import DRAWING, LOOK, MARGIN, ROUND_TRIP, SLOWEST, QuietTimes

pytestmark = pytest.mark.browser

FIRST_PICTURE = 4.0  # s from running the first cell in a fresh kernel to the first drawn frame

SET_UP = """
import torch
import gfe_core as gfe
from gfe_core import widgets
torch.set_num_threads(1)
train, test = gfe.data.load("digits"), gfe.data.load("digits", split="test")
decoder = gfe.MLPDecoder(latent_dim=8, hidden=(64, 128), data_dim=64)
history = gfe.fit(decoder, gfe.data.Batches(train.x, size=64), epochs=2)
"""
PLAYER = 'explorer = widgets.FlowExplorer(decoder, test, n_steps=200, solver="Euler")\nexplorer'
LINKED = """
import ipywidgets
slider = ipywidgets.IntSlider(max=200, description="frame")
link = ipywidgets.jslink((slider, "value"), (explorer.player, "frame"))
slider
"""


def open_player(lab: LabServer, open_one: Callable[[str], NotebookPage], name: str) -> NotebookPage:
    """A notebook with a player of 200 steps and a linked slider, run."""
    cells = [new_markdown_cell("# Scratch"), *map(new_code_cell, (SET_UP, PLAYER, LINKED))]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), lab.root / name)
    page = open_one(name)
    page.run_all()
    page.page.locator(".gfe-player[data-drawn]").wait_for()
    return page


@pytest.fixture(scope="module")
def used_player(lab: LabServer, open_for_all: Callable[[str], NotebookPage]) -> NotebookPage:
    """A player that earlier tests may have left in any state."""
    return open_player(lab, open_for_all, "player.ipynb")


@pytest.fixture
def player_page(used_player: NotebookPage) -> NotebookPage:
    """A player on its first frame, with the settings that it opened with."""
    player = used_player.page.locator(".gfe-player")
    before = attribute(player, "reply")
    reset(player)
    wait_for_reply(used_player, before)
    player.press("Home")
    used_player.page.locator('.gfe-player[data-drawn="0"]').wait_for()
    return used_player


def reset(player: Locator) -> None:
    player.locator(".more").click()
    player.locator(".reset").click()


def attribute(player: Locator, name: str) -> float:
    return float(player.get_attribute(f"data-{name}") or "nan")


def wait_for_reply(page: NotebookPage, before: float) -> None:
    page.page.wait_for_function(
        f"Number(document.querySelector('.gfe-player').dataset.reply) > {before}",
        polling=LOOK,
    )


@pytest.mark.timed
def test_scrubbing_draws_within_a_frame_of_the_screen(player_page: NotebookPage):
    player = player_page.page.locator(".gfe-player")
    frame = player.locator("input[aria-label=frame]")
    times = QuietTimes()
    for _ in range(60):
        times.start()
        frame.press("ArrowRight")
        times.add(attribute(player, "latency"))
    assert attribute(player, "drawn") == 60
    assert player_page.troubles() == []
    times.hold(DRAWING, "from a move of the slider to the drawing")


@pytest.mark.timed
def test_a_new_start_or_step_is_back_on_screen_at_once(player_page: NotebookPage):
    page = player_page.page
    player = page.locator(".gfe-player")
    player.scroll_into_view_if_needed()
    times = QuietTimes()
    for k in range(60):
        before = attribute(player, "reply")
        if k % 2:
            times.start()
            player.locator("input[name=dt]").press("ArrowRight" if k % 4 == 1 else "ArrowLeft")
        else:
            player.locator(".start").hover()  # waits until the layout stands still, as a hand does
            handle = player.locator(".start").bounding_box()
            assert handle is not None
            x = handle["x"] + handle["width"] / 2
            y = handle["y"] + handle["height"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + (9 if k % 4 else -9), y + 5, steps=3)
            times.start()
            page.mouse.up()
        wait_for_reply(player_page, before)
        times.add(attribute(player, "roundtrip"))
    assert player_page.troubles() == []
    assert attribute(player, "previews") > 0  # the browser had followed the hand
    times.hold(ROUND_TRIP, "from release to new trajectory of 200 steps")


def test_every_control_answers(player_page: NotebookPage):
    player = player_page.page.locator(".gfe-player")
    moves = [
        lambda k=k: player.locator("select[name=solver]").select_option(index=k) for k in range(6)
    ]
    moves += [
        lambda: player.locator("input[name=sample]").press("ArrowUp"),
        lambda: reset(player),
    ]
    for move in moves:
        before = attribute(player, "reply")
        move()
        wait_for_reply(player_page, before)
    assert player_page.troubles() == []
    assert player.locator("input[name=sample]").input_value() == "0"


def test_linked_slider_moves_the_player_with_the_kernel_stopped(
    lab: LabServer, open_notebook: Callable[[str], NotebookPage]
):
    page = open_player(lab, open_notebook, "linked.ipynb").page
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.sessionContext.session")
    slider = page.locator(".widget-slider [role=slider], .widget-slider .noUi-handle").first
    for _ in range(7):
        slider.press("ArrowRight")
    page.locator('.gfe-player[data-drawn="7"]').wait_for(timeout=5000)


@pytest.mark.timed
def test_first_picture_of_the_first_notebook_comes_soon(
    open_notebook: Callable[[str], NotebookPage],
):
    notebook = open_notebook("00_start_here.ipynb")
    times = QuietTimes()
    for _ in range(6):
        notebook.restart()
        times.start()
        start = time.monotonic()
        notebook.run_cell(1)
        drawn = notebook.page.locator(".gfe-player[data-drawn]")
        drawn.wait_for(state="attached", timeout=1000 * SLOWEST * MARGIN * FIRST_PICTURE)
        times.add(1000 * (time.monotonic() - start))
    del times[0], times.by_the_clock[0], times.paces[0]  # a cold disk
    times.hold(1000 * FIRST_PICTURE, "from the first cell's run to its picture, fresh kernels")


def test_saved_notebook_shows_its_picture_without_a_kernel(
    open_notebook: Callable[[str], NotebookPage],
):
    notebook = open_notebook("00_start_here.ipynb")
    pictures = notebook.page.locator(".jp-OutputArea img[src^='data:image/png']")
    pictures.first.wait_for()
    assert pictures.first.evaluate("image => image.naturalWidth") > 600
    assert notebook.troubles() == []


def test_saved_player_is_one_file_that_plays_offline(player_page: NotebookPage, lab: LabServer):
    page = player_page.page
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({ code: 'explorer.player.save_html(\"flow.html\")' }).done"
    )
    saved = lab.root / "flow.html"
    assert not re.search(r"""(src|href)=["']?https?:""", saved.read_text())
    play_from_disk(page.context.browser, saved)


def play_from_disk(browser, saved: Path) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(saved.as_uri())
    page.locator("button.play").click()
    page.wait_for_function("Number(document.querySelector('.gfe-player').dataset.drawn) > 3")
    context.close()


def test_menu_saves_the_page_that_the_kernel_writes(player_page: NotebookPage):
    player = player_page.page.locator(".gfe-player")
    player.locator(".more").click()
    with player_page.page.expect_download() as saved:
        player.locator("[role=menuitem].page").click()
    text = Path(saved.value.path()).read_text(encoding="utf-8")
    assert saved.value.suggested_filename.endswith(".html")
    assert text.startswith("<!doctype html>") and "gfeView" in text
    assert player_page.troubles() == []
