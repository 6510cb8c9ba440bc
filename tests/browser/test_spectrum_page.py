"""A spectrum under the flow in Chromium, under mouse and keyboard, without a kernel."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page
from quiet_times import DRAWING, QuietTimes
from view_page import OpenView, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.data import emission_lines
from gfe_core.widgets.emission_lines.explorer import SpectrumView

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def view() -> SpectrumView:
    samples = emission_lines.make(20, seed=1)
    loss = gfe.Gaussian(variance=0.02**2)
    decoder = gfe.MLPDecoder(
        latent_dim=3, hidden=(16,), data_dim=128, generator=torch.Generator().manual_seed(0)
    )
    gfe.fit(
        decoder,
        gfe.data.Batches(samples.x, size=10),
        encoder=partial(gfe.encode_observed, loss=loss),
        loss=loss,
    )
    return widgets.SpectrumExplorer(
        decoder,
        samples,
        loss=loss,
        at=emission_lines.wavelengths(),
        truth=emission_lines.clean(samples.y),
        level=0.5,
        probe=lambda z: z.repeat(1, 2)[:, :5],
        parameters=emission_lines.PARAMETERS,
        x_title="wavelength in Å",
        y_title="flux",
    ).view


@pytest.fixture
def open_view(chromium: Browser, view: SpectrumView, tmp_path: Path) -> Iterator[OpenView]:
    """Open the view in a page of its own, where a script stands for the kernel.

    The page must report no problem.
    """
    with pages_of(chromium, tmp_path) as opened:
        yield partial(opened, view)


def data(page: Page, name: str) -> str:
    return page.locator(".gfe-spectrum").get_attribute(f"data-{name}") or ""


def last(view: SpectrumView) -> int:
    return len(view.energies) // 4 - 1


@pytest.mark.timed
def test_scrubbing_draws_at_once(open_view: OpenView, view: SpectrumView):
    page = open_view()
    times = QuietTimes()
    assert data(page, "frame") == str(last(view))
    slider = page.locator(".frame")
    for _ in range(min(20, last(view))):
        times.start()
        slider.press("ArrowLeft")
        times.add(float(data(page, "latency")))
    assert data(page, "frame") == str(last(view) - len(times))
    times.hold(DRAWING, "from a move to the drawing")


def test_the_keyboard_steps_and_plays_to_the_end(open_view: OpenView, view: SpectrumView):
    page = open_view()
    root = page.locator(".gfe-spectrum")
    for key, frame in (
        ("Home", 0),
        ("ArrowRight", 1),
        ("End", last(view)),
        ("ArrowLeft", last(view) - 1),
    ):
        root.press(key)
        assert data(page, "frame") == str(frame)
    root.press("Home")
    root.press(" ")
    assert page.locator(".play").get_attribute("aria-label") == "pause"
    page.wait_for_selector(
        f".gfe-spectrum[data-frame='{last(view)}']:not(.playing)", timeout=30_000
    )


def test_the_truth_is_shown_on_request_and_said_in_the_state(open_view: OpenView):
    page = open_view()
    assert "truth hidden" in page.locator(".values").inner_text()
    before = page.locator(".plot canvas").nth(1).screenshot()
    page.locator(".truth input").check()
    assert "truth shown" in page.locator(".values").inner_text()
    assert "off the truth by" in page.locator(".words").inner_text()
    assert page.locator(".plot canvas").nth(1).screenshot() != before


def test_of_many_requests_one_is_under_way_and_the_newest_waits(open_view: OpenView):
    page = open_view()
    page.locator(".sample").press("ArrowRight")
    page.locator(".sample").press("ArrowRight")
    page.locator(".solver").select_option("AMD")
    assert page.evaluate("model.get('request')") == {
        "id": 1,
        "values": {"sample": 1, "solver": "LBFGS"},
    }
    page.evaluate("model.set('reply', 1)")
    page.wait_for_function("model.get('request').id === 2")
    assert page.evaluate("model.get('request').values") == {"sample": 2, "solver": "AMD"}
    page.evaluate("model.set('reply', 2)")
    page.locator(".reset").click()
    assert page.evaluate("model.get('request').values") == {"sample": 0, "solver": "LBFGS"}


def test_narrow_and_dark_pages_fit_and_a_page_without_a_kernel_says_so(open_view: OpenView):
    for width, scheme in ((420, "light"), (1000, "dark")):
        page = open_view(width=width, live=False, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".sample").is_disabled()
        page.locator("summary").click()
        page.wait_for_selector(
            ".numbers tr:nth-child(3)"
        )  # the event of opening comes a little later
