"""A race at equal work: what a frame means, and what the controls change."""

import numpy as np
import pytest
from explorers import DIGITS, ask, shared_decoder

import gfe_core as gfe
from gfe_core import widgets

FIELDS = [
    "AMD, L-BFGS, Gauss-Newton, Euler",
    "users of curvature",
    "followers of the flow",
    "kinds of AMD",
]


@pytest.fixture
def decoder() -> gfe.MLPDecoder:
    return shared_decoder()


def shown(explorer: widgets.RaceExplorer, what: str) -> np.ndarray:
    return np.frombuffer(getattr(explorer.player, what), np.float32).reshape(explorer.player.shape)


def test_every_solver_is_shown_where_the_same_work_has_brought_it(decoder: gfe.MLPDecoder):
    explorer = widgets.RaceExplorer(decoder, DIGITS)
    energies = shown(explorer, "energies")
    budgets = np.linspace(0, 240, explorer.player.shape[1])
    tracks = explorer.tracks({"sample": 0, "field": FIELDS[0], "budget": 240}, None)
    for row, encoding in zip(energies, tracks.values(), strict=True):
        path = encoding.trajectory
        assert path is not None
        for energy, budget in zip(row[1:], budgets[1:], strict=True):
            affordable = (path.work[:, 0] <= budget + 1e-6).sum().item()
            assert energy == pytest.approx(
                path.energy[max(int(affordable), 1) - 1, 0].item(), abs=1e-6
            )


@pytest.mark.parametrize("field", FIELDS)
def test_all_tracks_start_together_and_none_ends_below_the_lowest(
    decoder: gfe.MLPDecoder, field: str
):
    explorer = widgets.RaceExplorer(decoder, DIGITS, field=field)
    energies = shown(explorer, "energies")
    above = shown(explorer, "steps")
    assert np.allclose(energies[:, 0], energies[0, 0]) and (above >= 0).all()
    assert energies[:, -1].max() < energies[0, 0] and len(explorer.player.names) == 4


def test_a_larger_budget_makes_a_frame_dearer_and_says_so(decoder: gfe.MLPDecoder):
    explorer = widgets.RaceExplorer(decoder, DIGITS)
    before = shown(explorer, "energies")
    ask(explorer, 1, budget=480)
    after = shown(explorer, "energies")
    assert explorer.player.reply == 1 and after.shape == before.shape
    assert np.allclose(
        after[:, 10], before[:, 20], atol=1e-3
    )  # grids of Euler have other ends, not other steps
    assert "a frame is 8 forward-equivalents" in explorer.player.caption


def test_euler_runs_on_until_the_largest_budget_is_spent(decoder: gfe.MLPDecoder):
    explorer = widgets.RaceExplorer(decoder, DIGITS)
    values = {"sample": 0, "field": FIELDS[0], "budget": 480}
    euler = explorer.tracks(values, None)["Euler"]
    assert euler.statistics.n_steps.item() == 240
    assert euler.status.item() == gfe.Status.REACHED_T


def test_dragging_the_start_keeps_the_landscape_and_moves_all_solvers(decoder: gfe.MLPDecoder):
    explorer = widgets.RaceExplorer(decoder, DIGITS)
    ground = explorer.player.landscape
    ask(explorer, 1, start=[0.4, -0.2])
    paths = np.frombuffer(explorer.player.trajectory, np.float32).reshape(*explorer.player.shape, 2)
    assert explorer.player.landscape == ground
    assert np.allclose(paths[:, 0], [0.4, -0.2], atol=1e-5)  # float32


def test_wrong_fields_are_refused(decoder: gfe.MLPDecoder):
    with pytest.raises(ValueError, match="followers of the flow"):
        widgets.RaceExplorer(decoder, DIGITS, field="horses")
