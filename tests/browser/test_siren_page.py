"""The explorer of implicit decoders in Chromium, under mouse and keyboard, without a kernel."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page
from quiet_times import DRAWING, QuietTimes
from view_page import OpenView, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.methods import gon
from gfe_core.widgets.siren.explorer import SirenView

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def view() -> SirenView:
    digits = gfe.data.load("digits").take(64)
    siren = gfe.SirenDecoder(
        latent_dim=4,
        hidden=(16, 16),
        image_shape=(8, 8),
        w0=6,
        generator=torch.Generator().manual_seed(0),
    )
    adam = torch.optim.Adam(siren.parameters(), 3e-3)
    batches = gfe.data.Batches(digits.x, size=32)
    gfe.fit(siren, batches, encoder=gon.Origin(), loss=gon.SQUARES, optimizer=adam, epochs=20)
    return widgets.SirenExplorer({"first": siren, "second": siren}, digits, resolution=64).view


@pytest.fixture
def open_view(chromium: Browser, view: SirenView, tmp_path: Path) -> Iterator[OpenView]:
    """Open the view in a page of its own, where a script stands for the kernel.

    The page must report no problem.
    """
    with pages_of(chromium, tmp_path) as opened:
        yield partial(opened, view)


def data(page: Page, name: str) -> str:
    return page.locator(".gfe-siren").get_attribute(f"data-{name}") or ""


def asked(page: Page) -> Any:
    """What the page asked for last."""
    return page.evaluate("model.get('request').values")


def answer(page: Page) -> None:
    """Answer the request under way, with the values that it asked for."""
    page.evaluate(
        "model.set('values', model.get('request').values); model.set('reply', "
        "model.get('request').id)"
    )
    page.evaluate("new Promise((done) => setTimeout(done))")


def test_every_control_asks_and_reset_asks_for_the_first_state(
    open_view: OpenView, view: SirenView
):
    page = open_view()
    choices = {"decoder": "second", "resolution": 128, "half": 0.25, "by": "flow", "share": 0.5}
    for name, value in choices.items():
        page.locator(f"select.{name}").select_option(str(value))
        assert asked(page)[name] == value
        answer(page)
    page.get_by_role("listbox").press("ArrowRight")
    assert asked(page)["sample"] == 1
    answer(page)
    page.locator(".other").click()
    assert asked(page)["seed"] == 1
    answer(page)
    page.locator(".reset").click()
    assert asked(page) == view.defaults
    assert page.locator(".other").is_disabled()  # with all pixels seen there are no others


@pytest.mark.timed
def test_a_window_follows_the_hand_and_stays_in_the_image(open_view: OpenView):
    page = open_view()
    times = QuietTimes()
    page.locator("select.half").select_option("0.25")
    box = page.locator(".paper").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    for k in range(1, 21):
        times.start()
        page.mouse.move(middle[0] + 6 * k, middle[1] - 12 * k)
        times.add(float(data(page, "latency")))
    page.mouse.up()
    times.hold(DRAWING, "from a move to the drawing")
    assert (
        "rows −1 to −0.5" in page.locator(".values").inner_text()
    )  # the edge, though the hand went on
    answer(page)
    assert asked(page)["down"] == -0.75 and 0 < asked(page)["across"] <= 0.75


def test_the_keyboard_moves_the_window(open_view: OpenView):
    page = open_view()
    page.locator("select.half").select_option("0.5")
    answer(page)
    page.locator(".paper").press("ArrowLeft")
    answer(page)
    page.locator(".paper").press("ArrowDown")
    assert (asked(page)["across"], asked(page)["down"]) == (-0.125, 0.125)


def test_of_many_requests_one_is_under_way_and_the_newest_waits(open_view: OpenView):
    page = open_view()
    for _ in range(3):
        page.get_by_role("listbox").press("ArrowRight")
    assert page.evaluate("model.get('request').id") == 1 and asked(page)["sample"] == 1
    answer(page)
    assert page.evaluate("model.get('request').id") == 2 and asked(page)["sample"] == 3


def test_narrow_and_dark_pages_fit_and_a_page_without_a_kernel_says_so(open_view: OpenView):
    for width, scheme in ((420, "light"), (1000, "dark")):
        page = open_view(width=width, live=False, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert (
            page.locator("input[name=sample]").is_disabled()
            and page.locator("select.by").is_disabled()
        )
