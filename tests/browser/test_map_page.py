"""The map of points in Chromium, under mouse and keyboard, without a kernel.

And once with one, in JupyterLab.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from jupyter_lab import LabServer, NotebookPage
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Browser, Locator, Page, expect
from published import METADATA
from quiet_times import DRAWING, QuietTimes
from view_page import OpenView, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.map.explorer import PointMap

pytestmark = pytest.mark.browser
N = 60


@pytest.fixture(scope="module")
def maps() -> dict[str, PointMap]:
    samples = gfe.data.load("digits", split="test").take(N)
    decoder = gfe.MLPDecoder(
        latent_dim=4, hidden=(16,), data_dim=64, generator=torch.Generator().manual_seed(0)
    )
    gfe.fit(decoder, gfe.data.Batches(samples.x, size=20), epochs=3)
    shown = widgets.MapExplorer(decoder, samples, perplexities=(2, 8, 15), perplexity=8)
    return {"map": shown.map, "between": widgets.BetweenExplorer(decoder, samples, pair=(3, 4)).map}


@pytest.fixture
def open_map(chromium: Browser, maps: dict[str, PointMap], tmp_path: Path) -> Iterator[OpenView]:
    """Open one of the maps in a page of its own.

    At the end the page must have reported no problem.
    """
    with pages_of(chromium, tmp_path) as opened:
        yield lambda name, **context: opened(maps[name], live=False, **context)


def data(page: Page, name: str) -> str:
    return page.locator(".gfe-map").get_attribute(f"data-{name}") or ""


def spot(page: Page, stage: Locator, layouts: str, row: int) -> tuple[float, float]:
    """Where a point lies on the screen."""
    box = stage.bounding_box()
    assert box is not None
    x, y = page.evaluate(
        f"[...new Float32Array(model.get('{layouts}').buffer).slice({2 * row}, {2 * row + 2})]"
    )
    inner = box["width"] - 2  # within the border
    return box["x"] + 1 + inner * (0.5 + 0.45 * x), box["y"] + 1 + inner * (0.5 - 0.45 * y)


@pytest.mark.timed
def test_the_mouse_finds_points_on_both_maps_at_once(open_map: OpenView):
    page = open_map("map")
    times = QuietTimes()
    for row in range(20):
        to = spot(page, page.locator(".side"), "flat", row)
        times.start()
        page.mouse.move(*to)
        times.add(float(data(page, "latency")))
        at = [*map(float, spot(page, page.locator(".side"), "flat", int(data(page, "point"))))]
        assert at == pytest.approx(to, abs=6)  # points may overlap
    times.hold(DRAWING, "from a move to the drawing")
    assert f"image {data(page, 'point')}, class" in page.locator(".words").inner_text()


def test_keys_walk_over_the_points(open_map: OpenView):
    page = open_map("map")
    seen = {data(page, "point")}
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp") * 3:
        page.locator(".main").press(key)
        seen.add(data(page, "point"))
    assert len(seen) > 3


def test_maps_glide_into_each_other_and_reset_goes_back(open_map: OpenView):
    page = open_map("map")
    page.get_by_label("perplexity").press("ArrowLeft")
    assert data(page, "settled") == "false"
    page.wait_for_selector(".gfe-map[data-settled=true]")
    assert "perplexity 2 " in page.locator(".values").inner_text()
    page.get_by_role("button", name="noise").click()
    page.wait_for_selector(".gfe-map[data-settled=true][data-map=noise]")
    assert page.get_by_role("button", name="noise").get_attribute("aria-pressed") == "true"
    assert page.evaluate("[model.get('choice'), model.get('frame')]") == [2, 0]
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector(".gfe-map[data-settled=true][data-map=codes]")
    assert "perplexity 8 " in page.locator(".values").inner_text()


def test_reduced_motion_jumps(open_map: OpenView):
    page = open_map("map", reduced_motion="reduce")
    page.get_by_label("perplexity").press("ArrowLeft")
    assert data(page, "settled") == "true"


@pytest.mark.timed
def test_the_slider_mixes_within_the_event(open_map: OpenView):
    page = open_map("between")
    picture = (
        "[...document.querySelectorAll('.between "
        "canvas')[1].getContext('2d').getImageData(0, 0, 8, 8).data].join()"
    )
    before = page.evaluate(picture)
    times = QuietTimes()
    for k in range(10):
        times.start()
        page.get_by_label("t, from A to B").press("ArrowRight")
        times.add(float(data(page, "latency")))
        assert data(page, "step") == str(11 + k)
    assert page.evaluate(picture) != before
    times.hold(DRAWING, "from a move to the drawing")
    assert "t = 1.00" in page.locator(".mixer").inner_text()


def test_a_pair_is_chosen_by_dragging_and_by_keys(open_map: OpenView):
    page = open_map("between")
    main = page.locator(".main")
    page.mouse.move(*spot(page, main, "flat", 10))
    page.mouse.down()
    page.mouse.move(*spot(page, main, "flat", 20), steps=5)
    assert page.evaluate("model.get('pair')") == [3, 4], "asked for before the release"
    page.mouse.up()
    a, b = page.evaluate("model.get('pair')")
    assert data(page, "pair") == f"{a},{b}" != "3,4"
    for key in ("ArrowUp", "a"):
        main.press(key)
    assert page.evaluate("model.get('pair')") == [int(data(page, "point")), b]


@pytest.mark.parametrize("width", [360, 1000])
@pytest.mark.parametrize("name", ["map", "between"])
def test_nothing_sticks_out(open_map: OpenView, name: str, width: int):
    page = open_map(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


LIVE = """
import gfe_core as gfe
from gfe_core import widgets
samples = gfe.data.load("digits", split="test").take(60)
decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=64)
widgets.BetweenExplorer(decoder, samples, pair=(3, 4))
"""


def test_a_new_pair_is_answered_by_the_kernel(
    lab: LabServer, open_notebook: Callable[[str], NotebookPage]
):
    cells = [new_markdown_cell("# Scratch"), new_code_cell(LIVE)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), lab.root / "map.ipynb")
    notebook = open_notebook("map.ipynb")
    notebook.run_all()
    shown = notebook.page.locator(".gfe-map[data-drawn]")
    assert shown.get_attribute("data-mixed") == "3,4"
    for key in ("ArrowRight", "ArrowRight", "a"):
        shown.locator(".main").press(key)
    expect(shown).not_to_have_attribute("data-pair", "3,4", timeout=20_000)
    pair = shown.get_attribute("data-pair")
    notebook.page.wait_for_selector(f'.gfe-map[data-mixed="{pair}"]')
    assert notebook.troubles() == []
