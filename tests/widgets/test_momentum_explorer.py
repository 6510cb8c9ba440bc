import numpy as np
import pytest
from explorers import DIGITS, ask, shared_decoder

import gfe_core as gfe
from gfe_core import widgets

SEMI = "semi-implicit and explicit Euler"
RESTART = "restart and no restart"


@pytest.fixture
def decoder() -> gfe.MLPDecoder:
    return shared_decoder()


def energies(explorer: widgets.MomentumExplorer) -> np.ndarray:
    return np.frombuffer(explorer.player.energies, np.float32).reshape(explorer.player.shape)


@pytest.mark.slow
def test_momentum_and_gradient_flow_do_the_same_work_with_steps_dt_and_dt_squared(
    decoder: gfe.MLPDecoder,
):
    explorer = widgets.MomentumExplorer(decoder, DIGITS)
    ask(explorer, 1, dt=1.0)
    dt = explorer.lambda_max**-0.5
    x = DIGITS.x[:1]
    shown = explorer.player.shape
    momentum = gfe.encode(
        decoder, x, flow=gfe.NesterovFlow(), solver=gfe.SemiImplicit(n_steps=40), t1=40 * dt
    )
    descent = gfe.encode(decoder, x, solver=gfe.Euler(dt=dt**2), t1=40 * dt**2)
    last = [momentum.energy.item(), descent.energy.item()]
    assert explorer.player.names == ["momentum", "gradient flow"] and shown == [2, 41]
    assert energies(explorer)[:, -1].tolist() == pytest.approx(
        last, rel=1e-4
    )  # float32, steps summed in another order


def test_short_steps_reach_the_end_of_both_flows(decoder: gfe.MLPDecoder):
    explorer = widgets.MomentumExplorer(decoder, DIGITS)
    values = {"sample": 0, "pair": "momentum and gradient flow", "dt": 0.1, "damping": 3.0}
    for track in explorer.tracks(values, None).values():
        assert track.statistics.n_steps.item() == 300
        assert track.status.item() == gfe.Status.REACHED_T


def test_the_note_shows_dt_in_flow_units(decoder: gfe.MLPDecoder):
    explorer = widgets.MomentumExplorer(decoder, DIGITS)
    ask(explorer, 1, dt=2.0)
    note = next(control["note"] for control in explorer.player.controls if control["name"] == "dt")
    assert note == f"dt = {2 * explorer.lambda_max**-0.5:.3g}"


def test_explicit_euler_runs_away_where_the_semi_implicit_rule_stays(decoder: gfe.MLPDecoder):
    explorer = widgets.MomentumExplorer(decoder, DIGITS, pair=SEMI)
    ask(explorer, 1, dt=1.0)
    semi, explicit = energies(explorer)
    assert np.isfinite(explicit).all() and explorer.player.reply == 1
    assert explicit[-1] > explicit.min() + 1e-2 and semi[-1] < semi.min() + 1e-3


def test_a_restart_leaves_the_first_descent_as_it_is_and_stops_the_climb(decoder: gfe.MLPDecoder):
    explorer = widgets.MomentumExplorer(decoder, DIGITS, pair=RESTART)
    ask(explorer, 1, damping=1.0)  # little friction: it swings at once
    restart, without, _ = energies(explorer)
    n = len(without)
    turn = int(np.argmax(np.diff(without) > 0))
    assert 0 < turn < n - 1 and np.array_equal(restart[:turn], without[:turn])
    assert np.diff(restart).max() < np.diff(without).max() / 2


def test_the_right_chart_is_the_energy_above_the_lowest(decoder: gfe.MLPDecoder):
    explorer = widgets.MomentumExplorer(decoder, DIGITS, pair=RESTART)
    above = np.frombuffer(explorer.player.steps, np.float32).reshape(explorer.player.shape)
    lowest = min(energies(explorer).min(), explorer.reference.energy.item())
    assert (above >= 0).all() and np.allclose(
        above, energies(explorer) - lowest, atol=1e-6
    )  # float32


def test_a_pair_that_is_not_offered_is_refused(decoder: gfe.MLPDecoder):
    with pytest.raises(ValueError, match="momentum and gradient flow"):
        widgets.MomentumExplorer(decoder, DIGITS, pair="momentum")


@pytest.mark.slow
@pytest.mark.parametrize("sample", range(8))
def test_explicit_steps_never_settle_on_a_digit(sample: int):
    decoder = gfe.pretrained("mnist-sample").decoder
    digits = gfe.data.load("mnist-sample", "test")
    explorer = widgets.MomentumExplorer(decoder, digits, sample=sample)
    chosen = {"pair": SEMI, "dt": 0.5, "damping": 3.0}
    tracks = explorer.tracks({"sample": sample, **chosen}, None)
    last = {
        name: track.trajectory.energy[-20:, 0].min().item()  # the last quarter of the steps
        for name, track in tracks.items()
        if track.trajectory is not None
    }
    assert last["explicit Euler"] > last["semi-implicit"] + 0.005, last
