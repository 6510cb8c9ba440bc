"""The parts of a player in a page: colours, sizes, the strip of samples and the menu."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from explorers import DIGITS, briefly_trained
from playwright.sync_api import Browser, Page
from view_page import OpenView, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.kit.identity import looks

pytestmark = pytest.mark.browser

INKS = """() => Object.fromEntries([...document.querySelectorAll(".readout tr")].map((row) => [
  row.cells[0].textContent.trim(), row.querySelector("path").getAttribute("stroke")]))"""
CHARTS = """() => [...document.querySelectorAll(".layers canvas + canvas")].flatMap((canvas) => [
  ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""


@pytest.fixture
def open_view(chromium: Browser, tmp_path: Path) -> Iterator[OpenView]:
    with pages_of(chromium, tmp_path) as opened:
        yield opened


def race(**more: str) -> widgets.RaceExplorer:
    decoder = briefly_trained(torch.Generator().manual_seed(0))
    return widgets.RaceExplorer(decoder, DIGITS, sample=1, **more)


def n_of(page: Page, colour: str) -> int:
    """Count the pixels of the charts that have a colour."""
    pixels = np.array(page.evaluate(CHARTS), np.uint8).reshape(-1, 4)
    rgb = np.array([*bytes.fromhex(colour[1:])], np.uint8)
    return int((pixels[:, :3] == rgb).all(1).sum())


@pytest.mark.parametrize("field", ["AMD, Gauss-Newton, BFGS, Euler", "kinds of AMD"])
def test_a_solver_has_its_colour_in_a_race_wherever_it_stands(open_view: OpenView, field: str):
    player = race(field=field).player
    player.playing = False
    page = open_view(player)
    page.locator(".gfe-player").press("End")
    expected = {name: looks([name])[name].colour for name in player.names}
    assert page.evaluate(INKS) == expected
    assert all(n_of(page, colour) > 10 for colour in expected.values())


EXPLORERS = {
    "flow": lambda decoder: widgets.FlowExplorer(decoder, DIGITS),
    "stiffness": lambda decoder: widgets.StiffnessExplorer(decoder, DIGITS),
    "race": lambda decoder: widgets.RaceExplorer(decoder, DIGITS),
    "momentum": lambda decoder: widgets.MomentumExplorer(decoder, DIGITS),
    "armijo": lambda decoder: widgets.ArmijoExplorer(decoder, DIGITS),
    "origin": lambda decoder: widgets.OriginExplorer(
        {"unrolled": {"1": decoder, "8": decoder}, "detached": {"1": decoder, "8": decoder}},
        DIGITS,
        steps="8",
    ),
    "early stopping": lambda decoder: widgets.early_stopping(
        decoder, DIGITS.x[0], DIGITS.x[1], (8, 8), t1=100.0, n_steps=60, n_frames=20
    ),
}


@pytest.fixture(scope="module")
def decoder() -> gfe.MLPDecoder:
    return briefly_trained(torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_fits_a_laptop_and_shows_all_its_parts(
    open_view: OpenView, decoder: gfe.MLPDecoder, name: str
):
    player = EXPLORERS[name](decoder).player
    player.playing = False
    page = open_view(player, width=1000)
    box = page.locator(".gfe-player").bounding_box()
    assert box is not None and box["height"] <= 620
    parts = [".title", ".more", ".stage", ".tiles", ".transport", ".readout", ".charts"]
    boxes = {part: page.locator(part).bounding_box() for part in parts}
    assert all(one and one["width"] > 20 and one["height"] > 10 for one in boxes.values()), boxes
    assert page.locator(".stage").evaluate("stage => stage.offsetHeight") <= 360
    tops = page.locator(".controls label").evaluate_all("all => all.map(one => one.offsetTop)")
    assert max(tops, default=0) - min(tops, default=0) < 8  # one line
    cut = (
        "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"
    )
    assert page.locator(".tile p, .over, .axis, .count").evaluate_all(cut) == []
