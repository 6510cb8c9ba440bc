"""The curve explorer in Chromium: the point and the start follow hand and keyboard."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from view_page import OpenView, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.curve.explorer import CurveExplorer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def explorer() -> CurveExplorer:
    model = gfe.pretrained("circle")
    return widgets.CurveExplorer(model.decoder, (-0.5, 0.3), loss=model.loss)


@pytest.fixture
def open_view(chromium: Browser, explorer: CurveExplorer, tmp_path: Path) -> Iterator[OpenView]:
    with pages_of(chromium, tmp_path) as opened:
        yield partial(opened, explorer.view, reduced_motion="reduce")


def code(page: Page) -> float:
    return float(page.locator(".gfe-curve").get_attribute("data-code") or "nan")


def test_the_browser_ends_where_the_kernel_ends(open_view: OpenView, explorer: CurveExplorer):
    assert code(open_view()) == pytest.approx(explorer.follow().z.item(), abs=1e-3)


def test_the_code_follows_the_point_under_the_hand(open_view: OpenView):
    page = open_view()
    box = page.locator(".plane canvas").bounding_box()
    assert box is not None
    before = code(page)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    up = code(page)
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.7 * box["height"])
    down = code(page)
    page.mouse.up()
    assert len({before, up, down}) == 3
    assert page.evaluate("model.get('point')")[0] < 0  # the kernel hears where it was left
    page.locator(".reset").click()
    assert code(page) == before


def test_the_start_moves_under_hand_and_keyboard(open_view: OpenView):
    page = open_view()
    chart = page.locator(".heights canvas")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    start = page.evaluate("model.get('start')")
    assert start > 1
    chart.press("ArrowLeft")
    assert page.evaluate("model.get('start')") < start


def test_steps_are_scrubbed(open_view: OpenView):
    page = open_view()
    page.locator(".buttons .first").click()
    assert code(page) == 0  # the start
    page.locator(".buttons .next").click()
    assert code(page) != 0


def test_a_narrow_page_fits(open_view: OpenView):
    page = open_view(width=420)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
