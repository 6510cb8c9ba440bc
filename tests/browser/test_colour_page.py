"""Images in colour keep their colours in every view that draws images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Locator
from view_page import OpenView, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.data import shapes

pytestmark = pytest.mark.browser
SIDE = 12
COLOURED = shapes.make(24, side=SIDE, colour=True)


@pytest.fixture(scope="module")
def views() -> dict[str, Any]:
    chance = torch.Generator().manual_seed(0)
    shape = (3, SIDE, SIDE)
    decoder = gfe.ConvDecoder(latent_dim=4, image_shape=shape, channels=(8, 8), generator=chance)
    plain = gfe.MLPDecoder(
        latent_dim=4, hidden=(16,), data_dim=3 * SIDE**2, image_shape=shape, generator=chance
    )
    gfe.fit(plain, gfe.data.Batches(COLOURED.x, size=8), epochs=20)
    models = {"first": (decoder, torch.randn(24, 4, generator=chance))}
    names = shapes.PARAMETERS + shapes.COLOURED
    return {
        "player": widgets.FlowExplorer(plain, COLOURED).player,
        "mask": widgets.MaskExplorer(plain, COLOURED, COLOURED, n_starts=1, n_draws=8).view,
        "map": widgets.MapExplorer(decoder, COLOURED, perplexities=(5,)).map,
        "between": widgets.BetweenExplorer(decoder, COLOURED, pair=(3, 4)).map,
        "traversal": widgets.TraversalExplorer(models, COLOURED, names).view,
    }


@pytest.fixture
def open_view(chromium: Browser, views: dict[str, Any], tmp_path: Path) -> Iterator[OpenView]:
    with pages_of(chromium, tmp_path) as opened:
        yield lambda name, **context: opened(views[name], **context)


def image(row: int) -> np.ndarray:
    """Return a sample as its own pixels: (height, width, 3)."""
    picture = COLOURED.x[row].reshape(3, SIDE, SIDE).movedim(0, 2)
    return (255 * picture).round().numpy().astype(np.uint8)


def drawn(canvas: Locator) -> np.ndarray:
    """Return the pixels of a canvas: (height, width, 3)."""
    held = canvas.evaluate(
        """canvas => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            return { width, height, data: [...data] };
        }"""
    )
    pixels = np.array(held["data"], np.uint8).reshape(held["height"], held["width"], 4)
    return pixels[:, :, :3]


@pytest.mark.parametrize(
    ("name", "canvas", "row"),
    [
        ("player", ".tile:first-child canvas", 0),
        ("player", "[role=option]:nth-child(6) canvas", 5),
        ("mask", ".tile:last-child canvas", 0),
        ("map", ".tiles canvas >> nth=0", 0),
        ("between", ".tiles canvas >> nth=0", 3),
    ],
)
def test_a_sample_is_drawn_in_its_colours(open_view: OpenView, name: str, canvas: str, row: int):
    page = open_view(name, reduced_motion="reduce")
    if name == "mask":
        page.get_by_label("show the truth").check()
    assert np.array_equal(drawn(page.locator(canvas).first), image(row))


def test_a_preview_under_the_hand_has_the_colours_of_the_kernel(open_view: OpenView):
    page = open_view("player", reduced_motion="reduce")
    page.locator(".frame").press("End")
    tile = page.locator(".tile:nth-child(2) canvas")
    before = drawn(tile).astype(int)
    start = page.locator(".start")
    start.press("ArrowRight")
    start.press("ArrowLeft")
    page.locator(".frame").press("End")
    assert np.abs(drawn(tile).astype(int) - before).max() <= 2
    assert np.ptp(before, axis=2).max() > 30, "there is colour to be seen"


def test_a_row_of_a_traversal_repeats_the_picture_at_its_end(open_view: OpenView):
    page = open_view("traversal")
    strip = drawn(page.locator(".along canvas").first)
    page.locator(".frame").press("Home")
    assert np.array_equal(strip[:, :SIDE], drawn(page.locator(".large canvas")))
