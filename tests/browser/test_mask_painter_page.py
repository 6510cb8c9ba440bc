"""The mask painter in Chromium, under mouse, finger and keyboard, without a kernel."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page
from quiet_times import DRAWING, QuietTimes
from view_page import OpenView, pages_of

import gfe_core as gfe
from gfe_core.widgets.mask.explorer import MaskExplorer, MaskView

pytestmark = pytest.mark.browser
KERNEL = """() => {
  window.requests = [];
  const hidden = () => [...new Uint8Array(model.get("mask").buffer)].filter((seen) => !seen).length;
  model.save_changes = () =>
    requests.push({ at: performance.now(), hidden: hidden(), ...model.get("request") });
  window.answer = () => { if (requests.length) model.set("reply", requests.at(-1).id); };
}"""
"""Stands in for the kernel: keeps requests, answers when it is told to."""


@pytest.fixture(scope="module")
def view() -> MaskView:
    train, samples = (gfe.data.load("digits", split).take(60) for split in ("train", "test"))
    decoder = gfe.MLPDecoder(
        latent_dim=4, hidden=(16,), data_dim=64, generator=torch.Generator().manual_seed(0)
    )
    gfe.fit(decoder, gfe.data.Batches(train.x, size=20), epochs=3)
    return MaskExplorer(decoder, train, samples, n_starts=1).view


@pytest.fixture
def open_painter(chromium: Browser, view: MaskView, tmp_path: Path) -> Iterator[OpenView]:
    """Open the painter in a page of its own; at the end it must have reported no problem."""
    with pages_of(chromium, tmp_path) as opened:

        def with_kernel(**context: Any) -> Page:
            page = opened(view, **context)
            page.evaluate(KERNEL)
            return page

        yield with_kernel


def data(page: Page, name: str) -> str:
    return page.locator(".gfe-mask").get_attribute(f"data-{name}") or ""


def spot(page: Page, row: float, column: float) -> tuple[float, float]:
    """Where a pixel lies on the screen."""
    box = page.locator(".paper").bounding_box()
    assert box is not None
    return box["x"] + (column + 0.5) / 8 * box["width"], box["y"] + (row + 0.5) / 8 * box["height"]


@pytest.mark.timed
def test_a_stroke_is_drawn_within_the_event_and_told_ten_times_a_second_at_most(
    open_painter: OpenView,
):
    page = open_painter()
    times = QuietTimes()
    page.get_by_role("button", name="clear").click()
    page.evaluate("answer()")
    page.mouse.move(*spot(page, 0, 6))
    page.mouse.down()
    for step in range(1, 41):
        to = spot(page, 7 * step / 40, 6)
        times.start()
        page.mouse.move(*to)
        times.add(float(data(page, "latency")))
        page.evaluate("answer()")
    page.mouse.up()
    times.hold(DRAWING, "from a move to the drawing")
    assert data(page, "seen") == "56", "one column of eight"
    at = page.evaluate("requests.slice(1, -1).map(({ at }) => at)")
    assert all(late - early >= 99 for early, late in pairwise(at))
    page.evaluate("answer()")
    assert page.evaluate("requests.at(-1).hidden") == 8


def test_while_the_kernel_is_busy_one_request_is_under_way_and_the_newest_follows(
    open_painter: OpenView,
):
    page = open_painter()
    for name in ("clear", "random 75 %", "left half"):
        page.get_by_role("button", name=name).click()
    assert page.evaluate("requests.map(({ hidden }) => hidden)") == [0]
    page.evaluate("answer()")
    page.wait_for_function("requests.length > 1")
    page.evaluate("answer()")
    assert page.evaluate("requests.map(({ hidden }) => hidden)") == [0, 32]


def test_the_random_mask_follows_from_its_seed(open_painter: OpenView):
    masks = []
    for _ in range(2):
        page = open_painter()
        for _ in range(2):
            page.get_by_role("button", name="random 75 %").click()
            page.evaluate("answer()")
            assert data(page, "seen") == "16"
            masks.append(page.evaluate("[...new Uint8Array(model.get('mask').buffer)].join()"))
        assert "seed 1 " in page.locator(".values").inner_text()
    assert masks[:2] == masks[2:] and masks[0] != masks[1]


def test_keys_walk_paint_and_erase(open_painter: OpenView):
    page = open_painter()
    page.get_by_role("button", name="clear").click()
    paper = page.locator(".paper")
    for key in ("ArrowRight", "ArrowDown", " ", "Shift+ArrowRight", "ArrowRight"):
        paper.press("Space" if key == " " else key)
    assert data(page, "seen") == "62"
    assert page.locator(".where").inner_text() == "row 2, column 4: seen"
    page.get_by_role("button", name="eraser").click()
    for key in ("ArrowLeft", "Space"):
        paper.press(key)
    assert data(page, "seen") == "63"


def test_a_finger_paints_and_the_brush_has_a_size(open_painter: OpenView):
    page = open_painter(has_touch=True)
    page.get_by_role("button", name="clear").click()
    page.touchscreen.tap(*spot(page, 2, 2))
    assert data(page, "seen") == "63"
    page.get_by_label("brush size").press("End")
    page.touchscreen.tap(*spot(page, 5, 5))
    assert int(data(page, "seen")) < 55


def test_controls_ask_truth_is_covered_and_reset_returns(open_painter: OpenView):
    page = open_painter()
    first = page.locator(".values").inner_text()
    truth = page.locator(".tile").last
    assert "covered" in truth.inner_text()
    page.get_by_label("show the truth").check()
    assert (
        "floor" in truth.inner_text()
        and page.locator(".key").get_by_text("the whole image").is_visible()
    )
    page.get_by_label("prior").uncheck()
    page.evaluate("answer()")
    assert page.evaluate("requests.at(-1).values.prior") is False
    page.get_by_role("listbox", name="thumbnails").press("ArrowRight")
    page.evaluate("answer()")
    assert page.evaluate("requests.at(-1).values.sample") == 1
    page.get_by_role("button", name="clear").click()
    page.evaluate("answer()")
    page.get_by_role("button", name="Reset").click()
    page.evaluate("answer()")
    assert page.locator(".values").inner_text() == first
    assert "covered" in truth.inner_text()


@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_sticks_out(open_painter: OpenView, width: int):
    assert open_painter(width=width).evaluate("document.documentElement.scrollWidth") <= width
