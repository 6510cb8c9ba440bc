import io
import json
import os
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gfe_core.widgets.player.film import energy_range, grey_sprite
from gfe_core.widgets.player.player import Film, FlowPlayer, Landscape


def film(tracks: int = 2, frames: int = 61, side: int = 8) -> Film:
    """Spirals into the minimum of a bowl, one slower than the other."""
    k = np.arange(frames, dtype=np.float32)
    rates = np.linspace(0.12, 0.05, tracks, dtype=np.float32)[:, None]
    radius = 2.0 * np.exp(-rates * k)
    angle = 0.25 * k[None] + np.arange(tracks)[:, None]
    path = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).astype(np.float32)
    target = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    share = (1.0 - np.exp(-rates * k))[..., None, None]
    return Film(
        names=("AMD", "Euler", "RK4", "Dopri5")[:tracks],
        notes=("41 steps, 125 forward-equivalents, converged",) * tracks,
        path=path,
        off_plane=(0.3 * np.exp(-rates * k)).astype(np.float32),
        energy=(0.2 + 0.1 * radius**2).astype(np.float32),
        step=np.where(k < frames - 1, 3.0, 0.0).astype(np.float32)
        * np.ones((tracks, 1), np.float32),
        n_frames=(frames,) * tracks,
        images=(128 + share * (target - 128.0)).astype(np.uint8),
        target=target,
        step_limit=5.0,
        step_limit_label="Euler's limit",
    )


def bowl(maps: int = 1) -> Landscape:
    x, y = np.meshgrid(np.linspace(-4, 4, 96), np.linspace(2.5, -2.5, 60))
    energy = np.stack([0.2 + 0.1 * ((x - 0.02 * m) ** 2 + y**2) for m in range(maps)])
    return Landscape(energy=energy.astype(np.float32), extent=(-4.0, 4.0, -2.5, 2.5))


class Wire:
    """Stands in for the comm: keeps what was sent."""

    comm_id = "wire"

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, Any], int]] = []

    def send(self, data: dict[str, Any], buffers: list[Any] | None = None, **_: Any) -> None:
        size = len(json.dumps(data)) + sum(memoryview(b).nbytes for b in buffers or [])
        self.sent.append((data, size))

    def on_msg(self, _: Any) -> None: ...

    def close(self, **_: Any) -> None: ...


def wired(**traits: Any) -> tuple[FlowPlayer, Wire]:
    player = FlowPlayer(**traits)
    wire = Wire()
    player.comm = wire  # pyright: ignore[reportAttributeAccessIssue]
    return player, wire


def arrive(player: FlowPlayer, **state: Any) -> None:
    """Let a state message arrive from the browser."""
    player.set_state(state)


def updates(wire: Wire) -> list[dict[str, Any]]:
    return [data["state"] for data, _ in wire.sent if data.get("method") == "update"]


def test_one_show_is_one_message_of_less_than_200_kilobytes() -> None:
    player, wire = wired()
    player.show(film(), bowl())
    assert len(wire.sent) == 1
    assert wire.sent[0][1] < 200_000


def test_a_film_over_the_same_ground_does_not_send_the_landscape_again() -> None:
    player, wire = wired()
    player.show(film(), bowl())
    player.show(film(frames=41))
    assert len(wire.sent) == 2
    assert "landscape" not in updates(wire)[1]
    # 2 tracks x 41 frames x (64 pixels + 5 floats) and the words around them
    assert wire.sent[1][1] < 10_000


def test_sixty_maps_stay_under_300_kilobytes() -> None:
    maps = bowl(maps=60)
    assert len(grey_sprite(maps, energy_range(film(), maps))) < 300_000


def test_the_grey_levels_span_the_energy_range() -> None:
    sprite = Image.open(io.BytesIO(grey_sprite(bowl(), (0.2, 0.6))))
    assert sprite.mode == "L"
    assert sprite.getextrema() == (0, 255)


def test_a_diverging_track_does_not_flatten_the_colours() -> None:
    wild = film()
    energy = wild.energy.copy()
    energy[1, 30:] = np.inf
    energy[0, 50] = 1e9
    low, high = energy_range(replace(wild, energy=energy), bowl())
    assert low == pytest.approx(0.2, abs=0.01)
    assert high < 2.5


def test_a_request_is_answered_and_acknowledged_in_one_message() -> None:
    player, wire = wired(values={"dt": 1.0, "seed": 3})
    seen: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> None:
        seen.append(request)
        player.show(film(frames=21))

    player.on_request = answer
    arrive(player, request={"id": 7, "start": [0.5, 0.25], "values": {"dt": 2.0}, "changed": "dt"})
    assert seen[0]["changed"] == "dt"
    assert player.reply == 7
    assert player.start == [0.5, 0.25]
    assert player.values == {"dt": 2.0, "seed": 3}
    answers = [state for state in updates(wire) if "reply" in state]
    assert len(answers) == 1
    assert {"shape", "reply"} <= answers[0].keys()


def test_an_exception_is_shown_and_acknowledged_and_forgotten_after_the_next_success() -> None:
    player, _ = wired(caption="as usual")

    def fail(request: dict[str, Any]) -> None:
        raise ValueError("`dt` must be positive")

    player.on_request = fail
    arrive(player, request={"id": 1, "start": None, "values": {}, "changed": "dt"})
    assert player.reply == 1
    assert "`dt` must be positive" in player.caption
    player.on_request = lambda request: None
    arrive(player, request={"id": 2, "start": None, "values": {}, "changed": "dt"})
    assert (player.reply, player.caption) == (2, "as usual")


def test_requests_from_two_threads_are_answered_one_after_the_other() -> None:
    player, _ = wired()
    inside = 0
    most = 0
    entered = threading.Event()
    leave = threading.Event()

    def answer(request: dict[str, Any]) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        entered.set()
        leave.wait(2)
        inside -= 1

    player.on_request = answer
    requests = [{"new": {"id": k, "start": None, "values": {}, "changed": "start"}} for k in (1, 2)]
    threads = [threading.Thread(target=player._answer, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    assert entered.wait(2)
    leave.set()
    for thread in threads:
        thread.join(5)
    assert most == 1


def test_a_saved_page_is_one_file_without_addresses(tmp_path: Path) -> None:
    player = FlowPlayer(title="A <digit>", caption="</script><script>alert(1)</script>")
    player.show(film(), bowl())
    page = player.save_html(tmp_path / "flow.html").read_text(encoding="utf-8")
    assert len(page) < 1_500_000
    assert not re.findall(r"https?://(?!www\.w3\.org)", page)
    assert "export default" not in page
    assert "<script>alert" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["flow.html"]


def test_an_interrupted_save_leaves_the_earlier_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = FlowPlayer()
    player.show(film(), bowl())
    path = player.save_html(tmp_path / "flow.html")
    before = path.read_bytes()

    def fail(source: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        player.save_html(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["flow.html"]


def test_a_film_without_frames_can_be_shown_drawn_and_saved(tmp_path: Path) -> None:
    empty = Film(
        names=(),
        notes=(),
        path=np.zeros((0, 0, 2), np.float32),
        off_plane=np.zeros((0, 0), np.float32),
        energy=np.zeros((0, 0), np.float32),
        step=np.zeros((0, 0), np.float32),
        n_frames=(),
        images=np.zeros((0, 0, 8, 8), np.uint8),
        target=np.zeros((8, 8), np.uint8),
    )
    player = FlowPlayer()
    player.show(empty, bowl())
    assert player.save_html(tmp_path / "empty.html").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": np.zeros((2, 61, 3), np.float32)}, "`path` must have shape"),
        ({"energy": np.zeros((2, 61), np.float64)}, r"float32.*astype"),
        ({"notes": ("one",)}, "`notes` must have one entry per track"),
        ({"n_frames": (61, 62)}, "`n_frames` must lie between"),
        ({"target": np.zeros(64, np.uint8)}, "`target` must be one image"),
    ],
)
def test_a_wrong_film_names_the_argument_and_the_remedy(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(film(), **change)


def test_a_wrong_landscape_names_the_argument_and_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"energy\[None\]"):
        Landscape(energy=np.zeros((4, 4), np.float32), extent=(0, 1, 0, 1))
    with pytest.raises(ValueError, match="rising order"):
        Landscape(energy=np.zeros((1, 4, 4), np.float32), extent=(1, 0, 0, 1))


def test_where_an_answer_fails_the_settings_are_those_of_the_film_that_stays():
    player = FlowPlayer(values={"dt": 1.0})

    def fail(request: Any) -> None:
        raise RuntimeError("no path")

    player.on_request = fail
    player.request = {"id": 1, "values": {"dt": 2.0}, "start": [0.5, 0.5]}
    assert player.caption == "This did not work (RuntimeError): no path"
    assert player.values == {"dt": 1.0} and player.start == [0.0, 0.0] and player.reply == 1
