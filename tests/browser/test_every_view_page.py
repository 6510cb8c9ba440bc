"""Every view: no barrier, no motion unless asked for, no number beside settings of another."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect
from view_page import OpenView, barriers, pages_of

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.data import shapes
from gfe_core.widgets.kit.page import page as html_of
from gfe_core.widgets.staircase.explorer import StaircaseView

pytestmark = pytest.mark.browser
DIGITS = gfe.data.load("digits", split="test").take(30)
NAMES = (
    *("player", "race", "spectrum", "siren", "mask", "map", "between", "staircase", "traversal"),
)


def staircase() -> StaircaseView:
    """A run that has closed a gate every twenty updates."""
    updates = np.arange(1, 81, dtype=np.float32)
    n_open = 4 - updates // 21
    threshold = np.full_like(updates, 2)
    lines = np.stack([updates, n_open, 8 / updates, threshold, 1 + 0.01 * updates])
    gates = np.where(np.arange(4)[:, None] < n_open, 240, 12).astype(np.uint8)
    return StaircaseView(
        lines=lines.tobytes(),
        gates=gates.tobytes(),
        n_gates=4,
        limits=[0.4, 10.0],
        unit="squared error",
        title="Gates close",
        alt_text="The number of open gates falls in steps.",
        values={"threshold": 2.0, "running": False, "start": 0, "fresh": False},
    )


@pytest.fixture(scope="module")
def views() -> dict[str, Any]:
    chance = torch.Generator().manual_seed(0)
    decoder = gfe.MLPDecoder(latent_dim=3, hidden=(16,), data_dim=64, generator=chance)
    gfe.fit(decoder, gfe.data.Batches(DIGITS.x, size=10), epochs=3)
    siren = gfe.SirenDecoder(latent_dim=3, hidden=(8,), image_shape=(8, 8), generator=chance)
    factors = shapes.make(30, side=8)
    codes = torch.randn(30, 3, generator=chance)
    models = {"first": (decoder, codes), "second": (decoder, codes)}
    return {
        "player": widgets.FlowExplorer(decoder, DIGITS, playing=True).player,
        "race": widgets.RaceExplorer(decoder, DIGITS).player,
        "spectrum": widgets.SpectrumExplorer(decoder, DIGITS, loss=gfe.Bernoulli()).view,
        "siren": widgets.SirenExplorer({"a": siren, "b": siren}, DIGITS).view,
        "mask": widgets.MaskExplorer(decoder, DIGITS, DIGITS, n_starts=1, n_draws=8).view,
        "map": widgets.MapExplorer(decoder, DIGITS, perplexities=(5,)).map,
        "between": widgets.BetweenExplorer(decoder, DIGITS, pair=(3, 4)).map,
        "staircase": staircase(),
        "traversal": widgets.TraversalExplorer(models, factors, shapes.PARAMETERS).view,
    }


@pytest.fixture
def open_view(chromium: Browser, views: dict[str, Any], tmp_path: Path) -> Iterator[OpenView]:
    """Open a view by name; at the end it must have reported no problem."""
    with pages_of(chromium, tmp_path) as opened:
        yield lambda name, **context: opened(views[name], **context)


SLOW = """[...document.querySelectorAll(".gfe-view *")].flatMap((one) =>
  ["", "::before", "::after"].map((part) => getComputedStyle(one, part).transitionDuration))
  .filter((seconds) => seconds !== "0s")"""
"""Transitions of elements and of their ::before and ::after."""


PIXELS = "canvases => canvases.map((canvas) => canvas.toDataURL())"


def state(page: Page) -> str:
    return page.locator(".values").inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_no_barrier(open_view: OpenView, name: str, theme: str):
    page = open_view(name, color_scheme=theme)
    assert barriers(page) == []
    narrow = open_view(name, color_scheme=theme, width=500)
    assert barriers(narrow) == []


def test_axe_finds_no_barrier_in_a_saved_figure(chromium: Browser, tmp_path: Path):
    run = {"updates": [10, 20, 40], "excess": [0.3, 0.2, 0.1]}
    axes = widgets.AxesExplorer({"a": run}, ("updates",), "excess", name="axes", alt_text="Falls.")
    path = tmp_path / "figure.html"
    path.write_text(html_of(axes.view, "axes"), encoding="utf-8")
    sheet = chromium.new_page()
    sheet.goto(path.as_uri())
    sheet.wait_for_selector(".main-svg")
    assert barriers(sheet, "html") == []
    expect(sheet.get_by_role("figure", name="Falls.")).to_be_visible()
    sheet.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_moves_by_itself_where_a_reader_wants_no_motion(
    open_view: OpenView, views: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
):
    if views[name].has_trait("playing"):
        monkeypatch.setattr(views[name], "playing", True)
    page = open_view(name, reduced_motion="reduce")
    page.evaluate("model.set('playing', true)")
    view = page.locator(".gfe-view")
    page.wait_for_timeout(300)
    first = view.screenshot()
    drawn = view.get_attribute("data-drawn")
    page.wait_for_timeout(600)
    assert view.get_attribute("data-drawn") == drawn
    assert view.screenshot() == first
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate(SLOW) == []


@pytest.mark.parametrize("name", ["player", "race", "spectrum"])
def test_films_play_by_themselves_for_everybody_else(
    open_view: OpenView, views: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(views[name], "playing", True)
    page = open_view(name)
    page.wait_for_function("document.querySelector('.gfe-view').dataset.drawn > 2")


def test_a_map_does_not_glide_where_a_reader_wants_no_motion(open_view: OpenView):
    page = open_view("map", reduced_motion="reduce")
    page.get_by_role("button", name="noise").click()
    assert page.locator(".gfe-map").get_attribute("data-settled") == "true"


def answer(page: Page, **traits: Any) -> None:
    """Answer the page's request as the kernel of the view would, with these traits."""
    page.evaluate(
        """traits => {
            const { values, id } = model.get("request");
            model.set("values", { ...model.get("values"), ...values });
            for (const [name, value] of Object.entries(traits)) model.set(name, value);
            model.set("reply", id);
        }""",
        traits,
    )


def test_a_spectrum_shows_no_energy_of_another_sample_or_solver(open_view: OpenView):
    page = open_view("spectrum")
    words = page.locator(".words")
    before = words.inner_text()
    assert "energy 0." in before
    page.get_by_label("solver").select_option("AMD")
    assert "solver AMD" in state(page) and "step" not in state(page)
    assert words.inner_text() == "energy …"
    page.get_by_label("step", exact=True).press("ArrowLeft")
    assert words.inner_text() == "energy …", "scrubbing shows the steps of the earlier solver"
    answer(page)
    expect(words).to_have_text(before)
    assert "step" in state(page)


def test_a_siren_shows_no_energy_of_another_code_but_keeps_it_for_another_window(
    open_view: OpenView,
):
    page = open_view("siren")
    assert "energy 0." in state(page)
    page.get_by_label("window", exact=True).select_option("0.5")
    assert "rows −0.5 to 0.5" in state(page) and "energy 0." in state(page)
    answer(page)
    page.get_by_label("pixels seen").select_option("0.25")
    assert "25 %" in state(page) and state(page).endswith("energy …")
    answer(page, facts="energy 0.5 per pixel")
    assert state(page).endswith("energy 0.5 per pixel")


def test_a_mask_shows_no_energy_of_another_mask(open_view: OpenView):
    page = open_view("mask")
    facts = "energy per hidden pixel"
    assert facts in state(page)
    page.get_by_role("button", name="random 75 %").click()
    assert "observed 16 of 64" in state(page) and state(page).endswith("energy …")
    page.get_by_label("prior").uncheck()
    answer(page)
    assert state(page).endswith("energy …"), "the newest request has no answer yet"
    answer(page)
    assert facts in state(page)


@pytest.mark.parametrize("name", ["player", "siren", "mask", "traversal"])
def test_a_sample_is_chosen_from_its_picture_by_hand_and_by_key(open_view: OpenView, name: str):
    page = open_view(name, reduced_motion="reduce")
    options = page.locator("[role=option]")
    chosen = page.locator("[role=option][aria-selected=true]")
    assert options.count() == (4 if name == "traversal" else len(DIGITS))
    assert len(set(options.locator("canvas").evaluate_all(PIXELS))) == options.count()
    options.nth(2).click()
    assert (chosen.get_attribute("title") or "").startswith("sample 2, ")
    page.get_by_role("listbox").press("ArrowRight")
    assert (chosen.get_attribute("title") or "").startswith("sample 3, ")
    field = page.locator("input[name=sample]")
    assert [one.input_value() for one in field.all()] == ([] if name == "traversal" else ["3"])
    if name != "player":  # which shows energies of the sample in a table
        assert "sample 3" in state(page)


@pytest.mark.parametrize("name", ["player", "siren", "mask", "traversal"])
def test_a_saved_view_offers_the_samples_that_it_holds(open_view: OpenView, name: str):
    page = open_view(name, live=False, reduced_motion="reduce")
    page.locator("[role=option]").nth(2).click(force=True)
    chosen = page.locator("[role=option][aria-selected=true]")
    row = 2 if name == "traversal" else 0
    assert (chosen.get_attribute("title") or "").startswith(f"sample {row}, ")


def test_a_saved_mask_says_that_energies_need_a_kernel(open_view: OpenView):
    page = open_view("mask", live=False)
    before = state(page)
    page.get_by_role("button", name="clear").click()
    assert state(page).endswith("energy: needs a running notebook")
    page.get_by_role("button", name="Reset").click()
    assert state(page) == before, "these energies were saved"


NEED = "needs a running notebook"
NOTE = """getComputedStyle(document.querySelector(".gfe-view"), "::after").content"""
UNTOLD = f"""[...document.querySelectorAll(".gfe-view :disabled")]
  .filter((one) => one.checkVisibility() && !one.closest("[title='{NEED}']"))
  .map((one) => one.outerHTML)"""


@pytest.mark.parametrize("name", ["player", "race", "spectrum", "siren", "mask", "staircase"])
def test_a_saved_view_says_which_controls_need_a_kernel(open_view: OpenView, name: str):
    page = open_view(name, live=False, reduced_motion="reduce")
    assert page.locator(f"[title='{NEED}']").count() > 0
    assert page.evaluate(UNTOLD) == []
    assert "in grey need a running notebook" in page.evaluate(NOTE)
    live = open_view(name, reduced_motion="reduce")
    assert live.locator(f"[title='{NEED}']").count() == 0
    assert live.evaluate(NOTE) == "none"


def test_a_saved_view_without_requests_asks_for_no_kernel(open_view: OpenView):
    page = open_view("traversal", live=False)
    assert page.locator(":disabled").count() == 0
    assert page.evaluate(NOTE) == "none"


@pytest.mark.parametrize(("live", "words"), [(True, "energies …"), (False, "energies: needs a")])
def test_energies_between_a_pair_are_not_shown_as_those_of_another(
    open_view: OpenView, live: bool, words: str
):
    page = open_view("between", live=live)
    unit = page.locator(".unit")
    assert unit.inner_text().endswith("between A 3 and B 4")
    assert "energies" not in state(page)
    page.locator(".stage.main").press("ArrowRight")
    page.locator(".stage.main").press("b")
    assert "B 4" not in state(page) and words in state(page)
    assert unit.inner_text().endswith("between A 3 and B 4"), "those drawn"
    page.evaluate("model.set('mixed', model.get('pair'))")
    if live:
        assert "energies" not in state(page)
        assert not unit.inner_text().endswith("B 4")


def test_a_staircase_shows_no_error_of_an_earlier_run(open_view: OpenView):
    page = open_view("staircase")
    assert "gates open" in state(page) and "error" in state(page)
    page.get_by_role("button", name="Start again").click()
    assert state(page).startswith("threshold 2") and state(page).endswith("another run …")
    answer(page)
    assert "gates open" in state(page)


def test_a_player_shows_no_energy_of_another_sample_or_solver(open_view: OpenView):
    page = open_view("player", reduced_motion="reduce")
    energies = page.locator(".readout td:nth-child(2)")
    notes = page.locator(".readout td:last-child")
    before = energies.all_inner_texts(), notes.all_inner_texts()
    assert "forward-equivalents" in before[1][0]
    page.get_by_label("solver").select_option("AMD and RK4")
    assert energies.all_inner_texts() == ["energy …"] * 2
    assert notes.all_inner_texts() == ["", ""]
    answer(page)
    assert (energies.all_inner_texts(), notes.all_inner_texts()) == before
    page.locator("[role=option]").nth(5).click()
    assert energies.all_inner_texts() == ["energy …"] * 2


def test_a_race_shows_no_energy_of_another_start(open_view: OpenView):
    page = open_view("race", reduced_motion="reduce")
    energies = page.locator(".readout td:nth-child(2)")
    assert "energy …" not in energies.all_inner_texts()
    page.locator(".start").press("ArrowRight")
    assert energies.all_inner_texts() == ["energy …"] * 4


def test_a_saved_player_keeps_its_sample_when_it_is_reset(
    open_view: OpenView, views: dict[str, Any]
):
    player = views["player"]
    defaults = player.defaults
    player.defaults = defaults | {"sample": 7}
    page = open_view("player", live=False, reduced_motion="reduce")
    player.defaults = defaults
    page.get_by_role("button", name="more").click()
    page.get_by_role("menuitem", name="Reset").click()
    assert page.locator("[aria-selected=true]").count() == 1
    assert page.locator("input[name=sample]").input_value() == "0"


CLIPPED = """() => [...document.querySelectorAll(".tile p")]
  .filter((words) => words.scrollWidth > words.clientWidth).map((words) => words.textContent)"""
TOPS = """() => [...document.querySelectorAll(".tile canvas")].map(
  (canvas) => Math.round(canvas.getBoundingClientRect().top))"""


@pytest.mark.parametrize("pair", ["momentum and gradient flow", "semi-implicit and explicit Euler"])
@pytest.mark.parametrize("width", [900, 1100])
def test_names_above_four_pictures_in_a_row_are_read_in_full(
    chromium: Browser, tmp_path: Path, pair: str, width: int
):
    decoder = gfe.MLPDecoder(latent_dim=3, hidden=(8,), data_dim=64)
    player = widgets.MomentumExplorer(decoder, DIGITS, pair=pair).player
    with pages_of(chromium, tmp_path) as opened:
        page = opened(player, width=width, reduced_motion="reduce")
        assert page.locator(".tile p:first-child").count() == 4
        assert page.evaluate(CLIPPED) == []
        assert len(set(page.evaluate(TOPS))) == 1, "the pictures stand in one row"


def test_names_of_other_reconstructions_are_read_in_full(chromium: Browser, tmp_path: Path):
    decoder = gfe.MLPDecoder(latent_dim=3, hidden=(8,), data_dim=64)
    others = {"autoencoder, gaps filled with zeros": (decoder, gfe.encode)}
    shown = widgets.MaskExplorer(decoder, DIGITS, DIGITS, others=others, n_starts=1, n_draws=8)
    with pages_of(chromium, tmp_path) as opened:
        page = opened(shown.view, width=900)
        assert page.evaluate(CLIPPED) == []
        assert len(set(page.evaluate(TOPS))) == 1, "the pictures stand in one row"


def test_names_above_mixed_pictures_are_read_in_full_on_a_telephone(open_view: OpenView):
    page = open_view("between", width=320)
    assert page.evaluate(CLIPPED) == []
    tops = page.locator(".between .tile canvas").evaluate_all(
        "all => all.map((one) => Math.round(one.getBoundingClientRect().top))"
    )
    assert len(set(tops)) == 1, "the pictures stand in one row"


@pytest.mark.parametrize("width", [320, 768, 1000])
def test_names_of_factors_do_not_overlap(open_view: OpenView, width: int):
    page = open_view("traversal", width=width)
    names = page.locator("thead th")
    assert names.count() == 2 + len(shapes.PARAMETERS)
    wide = (
        "all => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)"
    )
    assert names.evaluate_all(wide) == []
    box = page.locator(".along").first.bounding_box()
    assert box is not None and box["width"] >= 200


NOTE_FEET = """() => {
  const { prototype } = CanvasRenderingContext2D;
  const fill = prototype.fillText;
  prototype.fillText = function (text, x, y) {
    const { canvas, textAlign } = this;
    const wide = this.measureText(text).width;
    const left = x - { left: 0, center: wide / 2, right: wide }[textAlign];
    if (/ 0$/.test(text)) canvas.foot = [];
    if (y === canvas.parentElement.clientHeight) canvas.foot.push([left, left + wide]);
    fill.call(this, text, x, y);
  };
}"""
"""Note the left and right ends of the texts at the foot of a chart, whose first is "step 0"."""
FEET = """() => [...document.querySelectorAll(".charts canvas")].map((one) => one.foot)
  .filter(Boolean)"""


@pytest.mark.parametrize("name", ["player", "race"])
def test_numbers_of_frames_do_not_overlap_on_a_telephone(open_view: OpenView, name: str):
    page = open_view(name, width=320, reduced_motion="reduce")
    page.evaluate(NOTE_FEET)
    for width in range(330, 700, 20):
        page.evaluate("document.querySelectorAll('canvas').forEach((one) => delete one.foot)")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"({FEET})().length === 2")
        for foot in page.evaluate(FEET):
            assert all(one[1] + 3 < other[0] for one, other in pairwise(foot)), width
