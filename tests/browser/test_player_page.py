from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from quiet_times import DRAWING, QuietTimes
from view_page import OpenView, pages_of

from gfe_core.widgets.player.player import Film, FlowPlayer, Landscape

pytestmark = pytest.mark.browser

FRAMES = 61


def _film(tracks: int, frames: int = FRAMES) -> Film:
    k = np.arange(frames, dtype=np.float32)
    rates = np.linspace(0.12, 0.05, tracks, dtype=np.float32)[:, None]
    radius = 2.0 * np.exp(-rates * k)
    angle = 0.2 * k[None] + 0.4 * np.arange(tracks)[:, None]
    target = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    return Film(
        names=("AMD", "Euler", "RK4", "Dopri5")[:tracks],
        notes=("41 steps, 125 forward-equivalents, converged",) * tracks,
        path=np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).astype(np.float32),
        off_plane=(0.3 * np.exp(-rates * k)).astype(np.float32),
        energy=(0.2 + 0.1 * radius**2).astype(np.float32),
        step=np.full((tracks, frames), 3.0, np.float32),
        n_frames=(frames,) * tracks,
        images=(128 + (1.0 - np.exp(-rates * k))[..., None, None] * (target - 128.0)).astype(
            np.uint8
        ),
        target=target,
        step_limit=5.0,
        step_limit_label="Euler's limit",
    )


def _player(tracks: int = 2, **traits: Any) -> FlowPlayer:
    x, y = np.meshgrid(np.linspace(-4, 4, 96), np.linspace(2.5, -2.5, 60))
    player = FlowPlayer(
        title="A digit finds its code",
        controls=[
            {
                "name": "dt",
                "label": "dt × λmax",
                "kind": "range",
                "min": 0.1,
                "max": 3.0,
                "step": 0.1,
                "format": 1,
            },
            {"name": "sample", "label": "sample", "kind": "choice", "options": [3, 7]},
        ],
        values={"dt": 1.0, "sample": 3},
        defaults={"dt": 1.0, "sample": 3, "start": [0.0, 0.0]},
        **traits,
    )
    energy = (0.2 + 0.1 * (x**2 + y**2)).astype(np.float32)[None]
    player.show(_film(tracks), Landscape(energy=energy, extent=(-4.0, 4.0, -2.5, 2.5)))
    return player


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path) -> Iterator[OpenView]:
    """Open a player in a page of its own.

    At the end the page must have reported no problem.
    """
    with pages_of(chromium, tmp_path) as opened:
        yield lambda player=None, *, live=False, width=1100, **context: opened(
            player or _player(), live=live, width=width, **context
        )


def data(page: Page, name: str) -> str:
    return page.locator(".gfe-player").get_attribute(f"data-{name}") or ""


def test_play_runs_to_the_last_frame_and_stops(open_page: OpenView) -> None:
    page = open_page(_player(speed=4.0))
    assert data(page, "drawn") == "0"
    page.get_by_role("button", name="play").click()
    page.wait_for_selector(f'.gfe-player[data-drawn="{FRAMES - 1}"]', timeout=10_000)
    page.get_by_role("button", name="play", exact=True).wait_for()
    draws = data(page, "draw-count")
    page.wait_for_timeout(200)
    assert data(page, "draw-count") == draws


def test_the_playing_trait_starts_the_film_once(open_page: OpenView) -> None:
    page = open_page(_player(playing=True))
    page.wait_for_function("document.querySelector('.gfe-player').dataset.drawn > 2")


def test_keys_play_and_step(open_page: OpenView) -> None:
    page = open_page()
    root = page.locator(".gfe-player")
    root.press("ArrowRight")
    root.press("ArrowRight")
    root.press("ArrowLeft")
    assert data(page, "drawn") == "1"
    root.press("End")
    assert data(page, "drawn") == str(FRAMES - 1)
    root.press("Home")
    root.press(" ")
    page.wait_for_function("document.querySelector('.gfe-player').dataset.drawn > 1")
    root.press(" ")
    page.get_by_role("button", name="play", exact=True).wait_for()


@pytest.mark.timed
def test_the_slider_scrubs_by_key_within_the_event(open_page: OpenView) -> None:
    page = open_page()
    slider = page.get_by_label("frame", exact=True)
    times = QuietTimes()
    for move in range(50):
        times.start()
        slider.press("ArrowRight")
        times.add(float(data(page, "latency")))
        assert data(page, "drawn") == str(move + 1)
    times.hold(DRAWING, "from a key to the drawing")


@pytest.mark.timed
@pytest.mark.parametrize("chart", [0, 1])
def test_the_mouse_scrubs_in_the_charts(open_page: OpenView, chart: int) -> None:
    page = open_page(_player(tracks=4))
    box = page.locator(".gfe-player .layers").nth(chart).bounding_box()
    assert box is not None
    middle = box["y"] + 50
    page.mouse.move(box["x"] + 60, middle)
    page.mouse.down()
    times = QuietTimes()
    for move in range(50):
        times.start()
        page.mouse.move(box["x"] + 60 + (box["width"] - 80) * move / 49, middle)
        times.add(float(data(page, "latency")))
    page.mouse.up()
    assert int(data(page, "drawn")) > FRAMES - 4
    times.hold(DRAWING, "from a move of the mouse to the drawing, 4 tracks")


def test_reduced_motion_does_not_start_by_itself_but_plays_when_asked(open_page: OpenView) -> None:
    page = open_page(_player(playing=True), reduced_motion="reduce")
    page.wait_for_timeout(400)
    assert data(page, "drawn") == "0"
    page.get_by_role("button", name="play", exact=True).click()
    page.wait_for_function("document.querySelector('.gfe-player').dataset.drawn > 1")


@pytest.mark.parametrize("tracks", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [360, 600, 1100])
def test_nothing_sticks_out(open_page: OpenView, tracks: int, width: int) -> None:
    page = open_page(_player(tracks), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".tile").count() == tracks + 2
    stage = page.locator(".stage").bounding_box()
    tiles = page.locator(".tiles").bounding_box()
    assert stage is not None
    assert tiles is not None
    below = tiles["y"] >= stage["y"] + stage["height"]
    assert below == (width < 700)


def test_controls_of_a_saved_page_are_shown_disabled_and_say_why(open_page: OpenView) -> None:
    page = open_page()
    for label in ("dt × λmax", "sample"):
        control = page.get_by_label(label).first
        assert control.is_disabled()
        assert "notebook" in (control.get_attribute("title") or "")
    assert page.locator(".start").is_disabled()
    assert "1.0" in page.locator(".controls output").all_inner_texts()


def test_the_table_of_the_numbers_is_built_when_opened(open_page: OpenView) -> None:
    page = open_page()
    assert page.locator(".numbers tr").count() == 0
    page.locator("summary").click()
    page.wait_for_selector(".numbers tr")
    assert page.locator(".numbers tr").count() == FRAMES + 1


def test_the_theme_of_the_page_reaches_the_canvas(open_page: OpenView) -> None:
    page = open_page()
    ink = (
        "[...document.querySelector('.layers canvas').getContext('2d').getImageData(60, 0, "
        "1, 60).data].join()"
    )
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ink} !== {light!r}")


def test_an_empty_film_draws_without_complaint(open_page: OpenView) -> None:
    page = open_page(FlowPlayer(title="nothing yet"))
    page.locator(".gfe-player").press("ArrowRight")
    page.locator(".gfe-player").press(" ")
    page.locator("summary").click()
    assert data(page, "drawn") == "0"


def test_the_frame_of_the_model_moves_the_player_at_once(open_page: OpenView) -> None:
    page = open_page(live=True)
    assert (
        page.evaluate("model.set('frame', 17), document.querySelector('.gfe-player').dataset.drawn")
        == "17"
    )


def test_the_newest_waiting_request_replaces_the_older_one(open_page: OpenView) -> None:
    page = open_page(live=True)
    page.evaluate(
        "window.asked = []; model.on('change:request', () => "
        "asked.push(structuredClone(model.get('request'))))"
    )
    slider = page.get_by_label("dt × λmax").first
    for _ in range(3):
        slider.press("ArrowRight")
    assert page.evaluate("asked.map((r) => [r.id, r.changed, r.values.dt])") == [[1, "dt", 1.1]]
    page.wait_for_selector(".busy.on")
    page.evaluate("model.set('reply', 1)")
    page.wait_for_function("asked.length === 2")
    assert page.evaluate("[asked[1].id, asked[1].values.dt]") == [2, 1.3]
    page.evaluate("model.set('reply', 2)")
    page.wait_for_selector('.gfe-player[data-reply="2"]')
    assert page.locator(".busy.on").count() == 0
    assert float(data(page, "roundtrip")) > 0


def test_the_start_can_be_dragged_by_mouse_and_by_key(open_page: OpenView) -> None:
    page = open_page(live=True)
    page.evaluate(
        "window.asked = []; model.on('change:request', () => "
        "asked.push(structuredClone(model.get('request'))))"
    )
    handle = page.locator(".start")
    stage = page.locator(".stage").bounding_box()
    assert stage is not None
    x = stage["x"] + stage["width"] / 2
    y = stage["y"] + stage["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + stage["width"] / 8, y - stage["height"] / 5, steps=5)
    assert page.evaluate("asked.length") == 0
    page.mouse.up()
    start = page.evaluate("asked[0].start")
    assert start == pytest.approx([1.0, 1.0], abs=0.03)  # a pixel is 0.0125 of the plane
    page.evaluate("model.set('start', model.get('request').start), model.set('reply', 1)")
    page.wait_for_selector('.gfe-player[data-reply="1"]')
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "Enter"):
        handle.press(key)
    assert page.evaluate("asked[1].changed") == "start"
    assert page.evaluate("asked[1].start") == pytest.approx(
        [start[0] - 0.32, start[1] - 0.1], abs=1e-6
    )
    page.evaluate("model.set('reply', 2)")
    page.get_by_role("button", name="more").click()
    page.get_by_role("menuitem", name="Reset").click()
    page.wait_for_function("asked.length === 3")
    assert page.evaluate("[asked[2].changed, ...asked[2].start]") == ["reset", 0, 0]


def test_a_film_that_answers_is_drawn_and_leaves_nothing_behind_when_closed(
    open_page: OpenView,
) -> None:
    page = open_page(live=True)
    page.get_by_label("sample").select_option("1")
    shorter = "model.set('n_frames', [31, 31]), model.set('reply', model.get('request').id)"
    page.evaluate(shorter)
    page.wait_for_selector(".gfe-player[data-roundtrip]")
    assert page.evaluate("model.get('request').values.sample") == 7
    assert data(page, "drawn") == str(FRAMES - 1)


CLOSED = """async (off) => {
  const heard = [];
  const host = { get: (key) => model.get(key), set() {}, on: (...one) => heard.push(one) };
  let ended = 0;
  if (off) host.off = () => { ended += 1; };
  const el = document.body.appendChild(document.createElement("div"));
  const close = gfeView.render({ model: host, el });
  const root = el.firstElementChild;
  while (!root.dataset.drawCount) await new Promise(requestAnimationFrame);
  close();
  const { drawCount } = root.dataset;
  model.set("frame", 9);
  for (const [, call] of heard) call();
  root.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
  el.style.width = "300px";
  await new Promise((done) => setTimeout(done, 100));
  return { ended, heard: heard.length, draws: root.dataset.drawCount - drawCount };
}"""


def test_a_closed_view_hears_nothing_with_or_without_a_host_that_lets_go(open_page: OpenView):
    page = open_page()
    result = page.evaluate(CLOSED, True)
    assert result["ended"] == result["heard"] > 0 and result["draws"] == 0
    assert page.evaluate(CLOSED, False)["draws"] == 0
