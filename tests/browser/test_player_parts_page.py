"""The parts of a player in a page: colours, sizes, the strip of samples and the menu."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS, briefly_trained
from PIL import Image
from playwright.sync_api import Browser, Page
from view_page import OpenView, barriers, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.kit.identity import looks

pytestmark = pytest.mark.browser

INKS = """() => Object.fromEntries([...document.querySelectorAll(".readout tr")].map((row) => [
  row.cells[0].textContent.trim(), row.querySelector("path").getAttribute("stroke")]))"""
CUT = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"
CHARTS = """() => [...document.querySelectorAll(".layers canvas + canvas")].flatMap((canvas) => [
  ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""


@pytest.fixture
def open_view(chromium: Browser, tmp_path: Path) -> Iterator[OpenView]:
    with pages_of(chromium, tmp_path) as opened:
        yield opened


def race(**more: Any) -> widgets.RaceExplorer:
    decoder = briefly_trained(torch.Generator().manual_seed(0))
    return widgets.RaceExplorer(decoder, DIGITS, sample=1, **more)


def n_of(page: Page, colour: str) -> int:
    """Count the pixels of the charts that have a colour."""
    pixels = np.array(page.evaluate(CHARTS), np.uint8).reshape(-1, 4)
    rgb = np.array([*bytes.fromhex(colour[1:])], np.uint8)
    return int((pixels[:, :3] == rgb).all(1).sum())


@pytest.mark.parametrize("field", ["AMD, L-BFGS, Gauss-Newton, Euler", "kinds of AMD"])
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
    "early stopping": lambda decoder: widgets.noisy_film(
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
    assert page.locator(".tile p, .over, .axis, .count").evaluate_all(CUT) == []


@pytest.mark.parametrize("width", [850, 1000, 1300])
@pytest.mark.parametrize(
    "choices",
    [
        {"field": "AMD, L-BFGS, Gauss-Newton, Euler"},
        {"field": "kinds of AMD"},
        {"pair": "restart and no restart"},
    ],
)
def test_no_name_is_cut_beside_its_picture(
    open_view: OpenView, decoder: gfe.MLPDecoder, choices: dict[str, str], width: int
):
    kind: Any = widgets.MomentumExplorer if "pair" in choices else widgets.RaceExplorer
    player = kind(decoder, DIGITS, **choices).player
    player.playing = False
    page = open_view(player, width=width)
    assert page.locator(".tile").count() > 4
    assert page.locator(".tile p").evaluate_all(CUT) == []
    pictures = "all => all.map(one => Math.round(one.getBoundingClientRect().width))"
    assert len(set(page.locator(".tile canvas").evaluate_all(pictures))) == 1


@pytest.mark.parametrize(("name", "resets"), [("flow", True), ("early stopping", False)])
def test_a_film_without_choices_offers_no_reset(
    open_view: OpenView, decoder: gfe.MLPDecoder, name: str, resets: bool
):
    player = EXPLORERS[name](decoder).player
    player.playing = False
    page = open_view(player)
    page.get_by_role("button", name="more").click()
    assert page.get_by_role("menuitem", name="Present").is_visible()
    assert page.get_by_role("menuitem", name="Reset").is_visible() == resets


def test_the_menu_is_worked_by_keys(open_view: OpenView, decoder: gfe.MLPDecoder):
    page = open_view(widgets.FlowExplorer(decoder, DIGITS).player)
    page.evaluate("model.on('change:request', () => { window.asked = model.get('request'); })")
    more = page.get_by_role("button", name="more")
    menu = page.get_by_role("menu", name="more")
    assert more.get_attribute("aria-haspopup") == "menu"
    focused = "document.activeElement.textContent"
    for opens in ("Enter", " "):
        more.press(opens)
        assert more.get_attribute("aria-expanded") == "true" and menu.is_visible()
        assert page.evaluate(focused) == "Copy as code"
        page.keyboard.press("ArrowUp")
        assert page.evaluate(focused) == "Reset"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        assert page.evaluate(focused) == "Save picture (PNG)"
        page.keyboard.press("Escape")
        assert more.get_attribute("aria-expanded") == "false" and menu.is_hidden()
        assert more.evaluate("button => button === document.activeElement")
    assert page.locator(".gfe-player").get_attribute("data-frame") == "0"  # no key moved the film
    more.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_function("window.asked?.changed === 'reset'")


def choose(page: Page, item: str) -> None:
    page.get_by_role("button", name="more").click()
    page.get_by_role("menuitem", name=item).click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_saved_picture_shows_what_is_seen(
    open_view: OpenView, decoder: gfe.MLPDecoder, scheme: str
):
    page = open_view(widgets.FlowExplorer(decoder, DIGITS).player, color_scheme=scheme)
    page.locator(".gfe-player").press("End")
    with page.expect_download() as saved:
        choose(page, "Save picture")
    assert saved.value.suggested_filename == "an-image-finds-its-own-code.png"
    page.locator("body").click(position={"x": 1, "y": 1})
    seen = Image.open(io.BytesIO(page.locator(".gfe-player").screenshot())).convert("RGB")
    drawn = Image.open(saved.value.path()).convert("RGB").resize(seen.size)
    apart = np.abs(np.asarray(seen, int) - np.asarray(drawn, int)).max(2)
    # a smoothed line or letter may differ; a canvas, an input or a ground that is not there would
    # be more than a twentieth of the picture
    assert (apart > 60).mean() < 0.05


def test_python_writes_the_page_that_is_saved(open_view: OpenView, decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS)
    answers = []
    explorer.player.send = lambda content, buffers=None: answers.append(content)
    explorer.player._hear(None, {"ask": "page"}, [])
    page = open_view(explorer.player)
    page.evaluate("html => { window.html = html; }", answers[0]["page"])
    page.evaluate(
        """() => {
        const told = [];
        const on = model.on;
        model.on = (event, call) => event === "msg:custom" ? told.push(call) : on(event, call);
        model.send = ({ ask }) => told.forEach((call) => call({ [ask]: html }));
        model.set("caption", "with a kernel"); }"""
    )
    page.wait_for_function("document.querySelector('.caption').textContent === 'with a kernel'")
    with page.expect_download() as saved:
        choose(page, "Save page")
    text = Path(saved.value.path()).read_text(encoding="utf-8")
    assert saved.value.suggested_filename.endswith(".html") and text == answers[0]["page"]


def test_copied_code_makes_the_present_view(open_view: OpenView, decoder: gfe.MLPDecoder):
    explorer = widgets.StiffnessExplorer(decoder, DIGITS)
    page = open_view(explorer.player, permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("model.set('start', [0.25, -0.5])")
    page.locator("select[name=solver]").select_option("RK4")
    page.locator("input[name=dt]").fill("0.6")
    choose(page, "Copy as code")
    page.wait_for_function("document.querySelector('.said').textContent === 'copied'")
    code = page.evaluate("navigator.clipboard.readText()")
    found: dict[str, Any] = {"gfe": gfe, "decoder": decoder, "samples": DIGITS}
    exec(code, found)
    player = found["explorer"].player
    assert player.values == explorer.player.values | {"solver": "RK4", "dt": 0.6}
    assert player.start == [0.25, -0.5] and player.names == ["RK4"]


def test_a_presentation_is_larger_and_escape_leaves_it(
    open_view: OpenView, decoder: gfe.MLPDecoder
):
    page = open_view(widgets.FlowExplorer(decoder, DIGITS).player, width=1600)
    title = page.locator(".title")
    before = title.bounding_box()
    choose(page, "Present")
    page.wait_for_selector(".presenting")
    page.wait_for_function("document.querySelector('.gfe-player').style.zoom > 1.2")
    after = title.bounding_box()
    assert before and after and after["height"] > 1.2 * before["height"]
    box = page.locator(".gfe-player").bounding_box()
    assert box and box["width"] == pytest.approx(1600, abs=2)
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('.presenting')")
    assert title.bounding_box() == before


def test_arrow_keys_and_hands_choose_a_sample_from_the_strip(
    open_view: OpenView, decoder: gfe.MLPDecoder
):
    page = open_view(widgets.FlowExplorer(decoder, DIGITS, sample=3).player)
    strip = page.get_by_role("listbox")
    chosen = page.locator("[role=option][aria-selected=true]")
    assert page.locator(".strip [role=option]").count() == len(DIGITS) == 40
    label = f"label {int(DIGITS.y[3])}"
    assert chosen.get_attribute("aria-label") == f"sample 3, {label}"
    assert page.locator(".strip output").inner_text() == label
    strip.press("ArrowRight")
    assert page.evaluate("model.get('request').values.sample") == 4
    assert chosen.get_attribute("aria-label") == f"sample 4, label {int(DIGITS.y[4])}"
    page.evaluate("model.set('reply', model.get('request').id)")
    page.locator(".strip [role=option]").nth(7).click()
    page.wait_for_function("model.get('request').values.sample === 7")
    assert page.locator(".gfe-player").get_attribute("data-frame") == "0"  # no key moved the film
    levels = """one => [...one.getContext("2d").getImageData(0, 0, 8, 8).data]
      .filter((_, j) => j % 4 === 0)"""
    pixels = page.locator(".strip canvas").nth(7).evaluate(levels)
    assert pixels == (DIGITS.x[7] * 255).round().int().tolist()


def test_the_strip_of_a_saved_page_chooses_nothing(open_view: OpenView, decoder: gfe.MLPDecoder):
    page = open_view(widgets.FlowExplorer(decoder, DIGITS, sample=3).player, live=False)
    page.get_by_role("listbox").press("ArrowRight")
    page.locator(".strip [role=option]").nth(7).click(force=True)
    chosen = page.locator("[role=option][aria-selected=true]").get_attribute("aria-label") or ""
    assert chosen.startswith("sample 3,")
    assert page.get_by_role("menuitem", name="Save page", include_hidden=True).is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out_of_a_player_and_its_menu(
    open_view: OpenView, decoder: gfe.MLPDecoder, scheme: str
):
    page = open_view(widgets.FlowExplorer(decoder, DIGITS).player, color_scheme=scheme)
    page.get_by_role("button", name="more").click()
    assert barriers(page) == []
    page.locator(".more").evaluate("more => more.removeAttribute('aria-label')")
    page.locator(".more").evaluate("more => { more.title = ''; more.textContent = ''; }")
    assert "button-name" in barriers(page)[0]  # a fault is found
