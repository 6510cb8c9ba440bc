"""The slide from one step to the flow, and the histogram, in JupyterLab.

Every control answers, and soon.
"""

from collections.abc import Callable

import nbformat
import pytest
from jupyter_lab import LabServer, NotebookPage
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Locator, expect
from published import METADATA
from quiet_times import LOOK, ROUND_TRIP, QuietTimes

pytestmark = pytest.mark.browser

SET_UP = """
import torch
import gfe_core as gfe
from gfe_core import gon, widgets
torch.set_num_threads(1)
train, test = gfe.data.load("digits"), gfe.data.load("digits", split="test")
def learn(n):
    decoder = gfe.MLPDecoder(latent_dim=8, hidden=(64, 128), data_dim=64)
    batches, how = gfe.data.Batches(train.x, size=64), gon.Origin(n_steps=n)
    gfe.fit(decoder, batches, encoder=how, loss=gon.SQUARES, callbacks=[histogram])
    return decoder
histogram = widgets.GradientHistogram(test.x)
of = {str(n): learn(n) for n in (1, 2, 4)}
"""
EXPLORER = 'widgets.OriginExplorer({"unrolled": of, "detached": of}, test)'
HISTOGRAM = 'histogram.explorer("looks", "A histogram.")'
ARC = (
    'widgets.BetweenExplorer(of["1"], test.take(100), loss=gon.SQUARES, '
    "encoder=gon.Origin(), walk=gon.slerp)"
)


@pytest.fixture
def page(lab: LabServer, open_notebook: Callable[[str], NotebookPage]) -> NotebookPage:
    cells = [
        new_markdown_cell("# Scratch"),
        *map(new_code_cell, (SET_UP, EXPLORER, HISTOGRAM, ARC)),
    ]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), lab.root / "origin.ipynb")
    opened = open_notebook("origin.ipynb")
    opened.run_all()
    opened.page.locator(".gfe-player[data-drawn]").first.wait_for()
    return opened


def reply(player: Locator) -> float:
    return float(player.get_attribute("data-reply") or "nan")


def steps_of(player: Locator, control: str) -> str:
    return player.locator(f"label:has(input[name={control}]) output").inner_text()


@pytest.mark.timed
def test_every_control_answers_soon(page: NotebookPage):
    player = page.page.locator(".gfe-player:has(input[name=trained])")
    moves = [
        *(lambda: player.locator("input[name=trained]").press("ArrowRight") for _ in range(2)),
        lambda: player.locator("select[name=adjoint]").select_option(index=1),
        *(lambda: player.locator("input[name=steps]").press("ArrowRight") for _ in range(5)),
        *(lambda: player.locator("input[name=dt]").press("ArrowLeft") for _ in range(3)),
        *(lambda: player.locator("input[name=sample]").press("ArrowUp") for _ in range(4)),
        lambda: (player.locator(".more").click(), player.locator(".reset").click()),
    ]
    times = QuietTimes()
    for number, move in enumerate(moves):
        before = reply(player)
        strip = page.page.locator(".gfe-strip").inner_html()
        times.start()
        move()
        page.page.wait_for_function(
            f"Number(document.querySelector('.gfe-player').dataset.reply) > {before}",
            polling=LOOK,
        )
        times.add(float(player.get_attribute("data-roundtrip") or "nan"))
        if number == 4:
            assert steps_of(player, "steps") == "4"
            assert "step 4" in page.page.locator(".gfe-strip").inner_text() and strip
    times.hold(ROUND_TRIP, "from release to new picture")
    assert steps_of(player, "trained") == "1"
    assert page.troubles() == []


def test_histogram_is_scrubbed_and_an_arc_is_drawn(page: NotebookPage):
    histogram = page.page.locator(".gfe-figure[data-drawn]").first
    slider = histogram.get_by_role("slider")
    told = histogram.locator(".words")
    before = told.inner_text()
    for _ in range(10):
        slider.press("ArrowLeft")
    expect(told).not_to_have_text(before)
    histogram.locator("button.reset").click()
    expect(told).to_have_text(before)
    arc = page.page.locator(".gfe-map[data-drawn]")
    drawn = float(arc.get_attribute("data-drawn") or "nan")
    arc.locator("input.mix").press("ArrowRight")
    page.page.wait_for_function(
        f"Number(document.querySelector('.gfe-map').dataset.drawn) > {drawn}"
    )
    assert page.troubles() == []
