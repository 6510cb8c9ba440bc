"""The slide from one step to the whole flow: what a request of the browser changes."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from explorers import DIGITS, ask

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.methods import gon
from gfe_core.widgets.player.origin_explorer import STEPS, strip_html, tiles_of

COUNTS = ("1", "4", "flow")


@pytest.fixture(scope="module")
def decoders() -> dict[str, dict[str, gfe.MLPDecoder]]:
    def one(seed: int) -> gfe.MLPDecoder:
        generator = torch.Generator().manual_seed(seed)
        decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=64, generator=generator)
        gfe.fit(
            decoder,
            gfe.data.Batches(DIGITS.x, size=20),
            encoder=gon.Origin(),
            loss=gon.SQUARES,
            epochs=3,
        )
        return decoder

    return {
        how: {n: one(3 * i + k) for k, n in enumerate(COUNTS)}
        for i, how in enumerate(("unrolled", "detached"))
    }


def energies(explorer: widgets.OriginExplorer) -> np.ndarray:
    return np.frombuffer(explorer.player.energies, np.float32).reshape(explorer.player.shape)


def test_steps_are_those_of_origin_and_the_flow_is_followed_beside(
    decoders: dict[str, dict[str, gfe.MLPDecoder]],
):
    explorer = widgets.OriginExplorer(decoders, DIGITS)
    x = DIGITS.x[:1]
    ask(explorer, 1, steps="4", dt=0.5)
    few = gon.Origin(n_steps=4, dt=0.5)(decoders["unrolled"]["1"], x).energy.item()
    flow = gfe.encode(decoders["unrolled"]["1"], x, loss=gon.SQUARES).energy.item()
    assert explorer.player.reply == 1 and explorer.player.names == ["4 steps", "the flow"]
    assert energies(explorer)[:, -1].tolist() == pytest.approx([few, flow], rel=1e-5)  # float32
    assert (
        explorer.player.n_frames[0] == 5 and explorer.player.frame == explorer.player.shape[1] - 1
    )


def test_a_start_under_the_hand_moves_both_tracks(decoders: dict[str, dict[str, gfe.MLPDecoder]]):
    explorer = widgets.OriginExplorer(decoders, DIGITS)
    before = energies(explorer)
    ask(explorer, 1, start=[0.0, 0.0])
    assert np.array_equal(energies(explorer), before)
    ask(explorer, 2, start=[0.4, -0.3])
    assert (energies(explorer)[:, 0] != before[:, 0]).all()
    z0 = explorer.plane.codes(torch.tensor([[0.4, -0.3]]))
    found = gfe.encode(decoders["unrolled"]["1"], DIGITS.x[:1], loss=gon.SQUARES, z0=z0)
    assert energies(explorer)[1, -1] == pytest.approx(found.energy.item(), rel=1e-5)  # float32


def test_training_sliders_change_the_decoder_and_its_landscape(
    decoders: dict[str, dict[str, gfe.MLPDecoder]],
):
    explorer = widgets.OriginExplorer(decoders, DIGITS)
    before = explorer.player.landscape
    ask(explorer, 1, steps="16", dt=0.3)
    assert explorer.player.landscape == before, "the ground stays while the steps change"
    for number, (trained, adjoint) in enumerate(
        [("4", "unrolled"), ("4", "detached"), ("flow", "detached")], 2
    ):
        ask(explorer, number, trained=trained, adjoint=adjoint)
        assert explorer.shown_decoder is explorer.decoders[adjoint][trained]
        assert explorer.player.landscape != before
        before = explorer.player.landscape


@pytest.mark.parametrize("steps", STEPS)
def test_strip_shows_every_step_and_the_end_of_the_flow(
    decoders: dict[str, dict[str, gfe.MLPDecoder]], steps: str
):
    explorer = widgets.OriginExplorer(decoders, DIGITS)
    ask(explorer, 1, steps=steps, dt=0.3)
    tiles = tiles_of(explorer.shown)
    assert [tiles[0][0], tiles[1][0]] == ["image", "origin"] and len(tiles) <= 20
    if steps != "flow":
        assert [told for told, _, _ in tiles[2:-1]] == [f"step {k + 1}" for k in range(int(steps))]
        assert tiles[-1][0] == "flow" and np.array_equal(tiles[-1][2], explorer.shown.images[1, -1])
    assert explorer.strip.value == strip_html(tiles) and explorer.strip.value.count("<img") == len(
        tiles
    )
    assert len(explorer.strip.value) < 20_000


def test_state_is_one_line_with_seed_and_energies_and_reset_is_the_first_screen(
    decoders: dict[str, dict[str, gfe.MLPDecoder]],
):
    explorer = widgets.OriginExplorer(decoders, DIGITS, sample=3, seed=7)
    first = explorer.strip.value
    assert explorer.player.defaults == {
        "sample": 3,
        "trained": "1",
        "adjoint": "unrolled",
        "steps": "1",
        "dt": 1.0,
    }
    ask(explorer, 1, sample=5, trained="flow", steps="8")
    told = explorer.player.caption
    assert (
        "sample 5" in told
        and "trained with the flow, seed 7" in told
        and "energy after 8 steps" in told
    )
    assert "\n" not in told and explorer.strip.value != first
    ask(explorer, 2, **explorer.player.defaults)
    assert explorer.strip.value == first


def test_steps_that_run_away_are_shown_and_not_raised(
    decoders: dict[str, dict[str, gfe.MLPDecoder]],
):
    steep = deepcopy(decoders["unrolled"]["1"])
    with torch.no_grad():
        for weights in steep.parameters():
            weights.mul_(10)
    explorer = widgets.OriginExplorer({"unrolled": {"1": steep}}, DIGITS)
    ask(explorer, 1, sample=1, steps="16", dt=2.0)
    assert explorer.player.reply == 1 and "did not work" not in explorer.player.caption
    assert np.isfinite(energies(explorer)).all()


def test_bad_arguments_are_named(decoders: dict[str, dict[str, gfe.MLPDecoder]]):
    with pytest.raises(ValueError, match="`decoders` must have the same steps"):
        widgets.OriginExplorer(
            {"unrolled": decoders["unrolled"], "detached": {"1": decoders["detached"]["1"]}}, DIGITS
        )
    with pytest.raises(ValueError, match="`steps`"):
        widgets.OriginExplorer(decoders, DIGITS, steps="3")
    with pytest.raises(ValueError, match="`trained`"):
        widgets.OriginExplorer(decoders, DIGITS, trained="2")


def test_text_is_constant_and_closing_closes_player_and_strip(
    decoders: dict[str, dict[str, gfe.MLPDecoder]],
):
    explorer = widgets.OriginExplorer(decoders, DIGITS)
    assert repr(explorer) == f"Explorer('origin'): {explorer.alt_text}"
    explorer.close()
    assert explorer.player.comm is None and explorer.strip.comm is None
