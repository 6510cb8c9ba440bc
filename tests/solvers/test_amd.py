import math
from typing import Any

import pytest
import torch
from problems import EPS, Counting, digits, energy_and_gradient, fresh, quadratic, statuses, trained
from torch import nn

import gfe_core as gfe
from gfe_core.types import Encoding, Status, Trajectory

MONOTONE = {
    "carry": gfe.AMD(trial="carry"),
    "barzilai_borwein": gfe.AMD(),
    "demanding": gfe.AMD(trial="carry", armijo_slope=0.4, decrease_factor=0.7, increase_factor=3.0),
    "bold start": gfe.AMD(dt_init=1e5),
}


def followed(kind: str, solver: gfe.AMD, n: int = 24, **arguments) -> tuple[Encoding, Trajectory]:
    encoding = gfe.encode(
        trained(kind), digits(n), solver=solver, save_at=gfe.SaveAt.steps(), **arguments
    )
    assert encoding.trajectory is not None
    return encoding, encoding.trajectory


def recomputed(kind: str, path: Trajectory) -> tuple[torch.Tensor, torch.Tensor]:
    """Return energy and gradient of every saved state, by torch's own functions."""
    x = digits(path.z.shape[1])
    values, gradients = zip(
        *(energy_and_gradient(trained(kind), x, z) for z in path.z), strict=True
    )
    return torch.stack(values), torch.stack(gradients)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "conv", "linear"])
@pytest.mark.parametrize("name", MONOTONE)
def test_every_accepted_step_satisfies_the_armijo_test(kind, name):
    solver = MONOTONE[name]
    _, path = followed(kind, solver, max_steps=60)
    energy, gradient = recomputed(kind, path)
    accepted = path.accepted[:-1]
    fall = energy[:-1] - energy[1:]
    promised = solver.armijo_slope * path.dt[:-1] * gradient[:-1].square().sum(2)
    slack = (fall - promised)[accepted]
    # two energies near 0.5, each a mean of 64 terms summed in another order than ours, and the
    # solver's own 2 EPS |E|
    assert slack.min() >= -16 * EPS
    assert accepted.sum() > 24 * 3
    torch.testing.assert_close(energy, path.energy, rtol=0, atol=16 * EPS)
    print(f"{kind}, {name}: {int(accepted.sum())} steps, least slack {slack.min():.1e}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "conv", "linear"])
@pytest.mark.parametrize("name", MONOTONE)
def test_energy_never_rises(kind, name):
    stubborn = gfe.Stop(grad_norm=0.0, energy_slope=0.0)  # goes on until rounding decides
    encoding, path = followed(kind, MONOTONE[name], max_steps=150, stop=stubborn)
    assert (path.energy.diff(dim=0) <= 0).all()
    assert (encoding.energy == path.energy[-1]).all()


def test_memory_may_rise_but_never_above_the_last_energies():
    _, path = followed("mlp", gfe.AMD(memory=8), max_steps=120)
    worst = path.energy.unfold(0, 8, 1).amax(2)
    assert (path.energy[8:] <= worst[:-1]).all()
    assert (path.energy.diff(dim=0) > 0).any()  # otherwise this test says nothing


@pytest.mark.parametrize("name", ["carry", "demanding"])
def test_next_larger_step_was_rejected_or_the_trial_was_the_carried_one(name):
    solver = MONOTONE[name]
    encoding, path = followed("mlp", solver, max_steps=60)
    energy, gradient = recomputed("mlp", path)
    # an accepted step costs one gradient (2) and a loss for each trial that was rejected before
    rejections = (path.work.diff(dim=0) - 2).round().long()
    accepted = path.accepted[:-1]
    after_rejection = path.accepted[:-1] & (rejections > 0)
    assert after_rejection.sum() > 10
    larger = path.dt[:-1] / solver.decrease_factor
    for row, sample in after_rejection.nonzero().tolist():
        z = path.z[row, sample]
        g = gradient[row, sample]
        dt = larger[row, sample]
        value, _ = energy_and_gradient(trained("mlp"), digits(24)[sample, None], (z - dt * g)[None])
        assert (
            energy[row, sample] - value[0] < solver.armijo_slope * dt * g.square().sum() + 16 * EPS
        )
    expected = (
        path.dt[:-2] * solver.increase_factor * solver.decrease_factor ** rejections[1:].double()
    )
    carried = accepted[1:]
    torch.testing.assert_close(path.dt[1:-1][carried], expected[carried], rtol=20 * EPS, atol=0)
    finished = (
        encoding.status == Status.CONVERGED
    )  # elsewhere the last trials were rejected and no step followed
    total = torch.where(accepted, rejections, 0).sum(0)
    assert torch.equal(total[finished], encoding.statistics.n_rejected[finished])


def test_carried_trials_of_the_default_grid_are_powers_of_two():
    _, path = followed("mlp", gfe.AMD(trial="carry", dt_init=1.0), max_steps=60)
    exponent = path.dt[path.dt > 0].log2()
    assert torch.equal(exponent, exponent.round())


def test_barzilai_borwein_tries_the_short_inverse_curvature_of_the_last_step():
    _, path = followed("linear", gfe.AMD(), max_steps=60)
    _, gradient = recomputed("linear", path)
    rejections = (path.work.diff(dim=0) - 2).round().long()
    dz = path.z.diff(dim=0)
    dg = gradient.diff(dim=0)
    inverse = (dz * dg).sum(2) / dg.square().sum(2)
    expected = inverse[:-1] * 0.5 ** rejections[1:].double()
    rows = path.accepted[1:-1]
    # dg is a difference of near gradients: it keeps about ten digits at the end
    torch.testing.assert_close(path.dt[1:-1][rows], expected[rows], rtol=1e-6, atol=0)


def test_first_step_is_near_the_inverse_curvature_along_the_gradient():
    problem = quadratic()
    encoding = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        max_steps=1,
        save_at=gfe.SaveAt.steps(),
        stop=gfe.Stop(grad_norm=0),
    )
    assert encoding.trajectory is not None
    gradient = -problem.minimum @ (problem.axes * problem.curvature @ problem.axes.T)
    curvature = problem.axes * problem.curvature @ problem.axes.T
    expected = gradient.square().sum(1) / ((gradient @ curvature) * gradient).sum(1)
    torch.testing.assert_close(
        encoding.trajectory.dt[0], expected, rtol=1e-10, atol=0
    )  # exact on a quadratic


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    [
        gfe.AMD(),
        gfe.AMD(trial="carry"),
        gfe.AMD(memory=8),
        gfe.AMD(dt_init=1e5),
        gfe.AMD.published(),
    ],
    ids=["barzilai_borwein", "carry", "memory 8", "bold start", "published"],
)
def test_counts_equal_those_of_a_counting_decoder(solver):
    # steps between 1 and 10 are too long here
    rejected = 0
    steep = gfe.Bernoulli(reduction="sum")
    for x in digits(6).split(1):
        decoder = Counting(trained("mlp"))
        counts = gfe.encode(decoder, x, loss=steep, solver=solver, max_steps=60).statistics
        assert decoder.calls["forward"] == counts.n_loss.item() + counts.n_grad.item()
        assert decoder.calls["backward"] == counts.n_grad.item()
        assert counts.n_steps.item() == counts.n_accepted.item() + counts.n_rejected.item()
        rejected += counts.n_rejected.item()
    assert rejected > 0  # otherwise rejections were not counted at all


def test_estimating_the_first_step_is_counted():
    decoder = Counting(trained("mlp"))
    converged = gfe.Stop(grad_norm=1e9)
    counts = gfe.encode(decoder, digits(1), stop=converged).statistics
    assert counts.n_steps.item() == 0
    assert counts.n_grad.item() == decoder.calls["backward"] == 2
    counts = gfe.encode(decoder, digits(1), stop=converged, solver=gfe.AMD(dt_init=1.0)).statistics
    assert counts.n_grad.item() == 1


def test_rejected_trial_costs_one_loss_and_no_gradient():
    decoder = Counting(trained("mlp"))
    encoding = gfe.encode(decoder, digits(1), solver=gfe.AMD(dt_init=1e8), max_steps=7)
    counts = encoding.statistics
    assert (
        counts.n_rejected.item() == counts.n_loss.item() == 7
    )  # 1e8 needs more than seven halvings
    assert counts.n_grad.item() == decoder.calls["backward"] == 1
    assert decoder.calls["forward"] == 8  # the start and seven trials
    assert (encoding.z == 0).all()
    assert encoding.t.isnan().all()


def test_rejected_trials_leave_state_and_time_unchanged():
    x = digits(3)
    encoding = gfe.encode(
        trained("mlp"), x, solver=gfe.AMD(trial="carry", dt_init=1e8), max_steps=7
    )
    value, gradient = energy_and_gradient(trained("mlp"), x, torch.zeros(3, 8, dtype=torch.float64))
    assert (encoding.z == 0).all() and (encoding.t == 0).all()
    torch.testing.assert_close(encoding.energy, value, rtol=16 * EPS, atol=0)
    torch.testing.assert_close(encoding.grad_norm, gradient.norm(dim=1), rtol=64 * EPS, atol=0)
    assert statuses(encoding) == [Status.MAX_STEPS] * 3


@pytest.mark.slow
def test_amd_finds_the_pseudo_inverse_solution():
    problem = quadratic()
    tight = gfe.Stop(grad_norm=1e-10, energy_slope=0.0)
    for solver in MONOTONE.values():
        # 1000 steps: a carried trial may stay at the first power of two below 2 / lambda_max, where
        # the fastest mode changes sign at every step and shrinks by only 1.96 - 1
        encoding = gfe.encode(
            problem.decoder, problem.x, loss=problem.loss, solver=solver, stop=tight, max_steps=1000
        )
        # the energy, of order ten, is flat to rounding within sqrt(EPS) of the minimum: a line
        # search sees no further
        torch.testing.assert_close(encoding.z, problem.minimum, rtol=0, atol=1e-7)


def test_carried_steps_end_exactly_at_t1():
    x = digits(10)
    encoding = gfe.encode(
        trained("mlp"),
        x,
        solver=gfe.AMD(trial="carry"),
        t1=30.0,
        stop=gfe.Stop(grad_norm=0, energy_slope=0),
    )
    assert statuses(encoding) == [Status.REACHED_T] * 10
    torch.testing.assert_close(encoding.t, torch.full_like(encoding.t, 30.0), rtol=1e-6, atol=0)


def test_steps_stay_within_their_bounds():
    solver = gfe.AMD(trial="carry", dt_min=0.5, dt_max=2.0)
    encoding, path = followed("mlp", solver, max_steps=40)
    taken = path.dt[path.dt > 0]
    assert taken.min() >= 0.5 and taken.max() == 2.0
    assert encoding.statistics.n_accepted.sum() > 0


def test_amd_serves_a_decaying_rate():
    flow = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=100.0))
    encoding, path = followed("mlp", gfe.AMD(trial="carry"), max_steps=60, flow=flow)
    energy, gradient = recomputed("mlp", path)
    accepted = path.accepted[:-1]
    rate = torch.exp(-2 * path.t[:-1] / 100)
    promised = 1e-4 * path.dt[:-1] * rate * gradient[:-1].square().sum(2)
    assert ((energy[:-1] - energy[1:] - promised)[accepted] >= -16 * EPS).all()
    assert not encoding.z.isnan().any()


def test_published_rule_takes_one_step_for_the_whole_batch():
    _, path = followed(
        "mlp", gfe.AMD.published(), n=6, max_steps=30, stop=gfe.Stop(grad_norm=0, energy_slope=0)
    )
    dt = path.dt[:-1][path.accepted[:-1].all(1)]
    assert len(dt) > 10
    assert (dt == dt[:, :1]).all()
    assert dt.max() <= 10.0


def test_published_rule_tests_against_the_gradient_of_the_trial_point():
    _, path = followed("mlp", gfe.AMD.published(), n=6, max_steps=30)
    energy, gradient = recomputed("mlp", path)
    accepted = path.accepted[:-1]
    promised = 1e-4 * path.dt[:-1] * gradient[1:].square().sum(2)
    assert ((energy[:-1] - energy[1:] - promised)[accepted] >= -16 * EPS).all()


def test_sample_that_needs_a_smaller_step_than_allowed_stops():
    encoding = gfe.encode(trained("mlp"), digits(4), solver=gfe.AMD(dt_min=1e6))
    assert statuses(encoding) == [Status.STEP_TOO_SMALL] * 4
    assert (encoding.z == 0).all() and encoding.energy.isfinite().all()


def test_sample_at_the_rounding_of_its_energy_is_stalled():
    encoding = gfe.encode(
        fresh("linear"), digits(4), stop=gfe.Stop(grad_norm=0.0, energy_slope=0.0), max_steps=2000
    )
    assert statuses(encoding) == [Status.STALLED] * 4
    # a decrease below EPS |E| is a gradient of about sqrt(EPS lambda |E|)
    assert encoding.grad_norm.max() < 1e-7


@pytest.mark.parametrize("trial", ["carry", "barzilai_borwein"])
def test_landscape_without_a_finite_minimum_gives_finite_codes(trial):
    # Black and white pixels and as many latents as pixels: the energy falls towards 0 as the code
    # goes to infinity.
    decoder = gfe.LinearDecoder(latent_dim=4, data_dim=4, bias=False).double()
    with torch.no_grad():
        decoder.linear.weight.copy_(torch.eye(4))
    x = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    encoding = gfe.encode(decoder, x, solver=gfe.AMD(trial=trial), max_steps=2000)
    assert encoding.z.isfinite().all() and encoding.energy.isfinite().all()
    assert statuses(encoding) == [Status.CONVERGED] * 2
    assert encoding.energy.max() < 1e-3 * math.log(2)  # of the descent from the code 0


@pytest.mark.parametrize("factor", [0.0, 1.0, -1.0, math.nan])
def test_factors_outside_their_interval_are_refused(factor):
    with pytest.raises(ValueError, match="`decrease_factor` must lie strictly between 0 and 1"):
        gfe.AMD(decrease_factor=factor)
    with pytest.raises(ValueError, match="`armijo_slope` must lie strictly between 0 and 1"):
        gfe.AMD(armijo_slope=factor)
    with pytest.raises(ValueError, match="`increase_factor` must be"):
        gfe.AMD(increase_factor=factor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dt_init": 0.0}, "`dt_init` must be a positive"),
        ({"dt_init": -1.0}, "`dt_init` must be a positive"),
        ({"dt_min": -1.0}, "`dt_min` must be at least 0 and below `dt_max`"),
        ({"dt_min": 2.0, "dt_max": 1.0}, "`dt_min` must be at least 0 and below `dt_max`"),
        ({"dt_max": math.nan}, "`dt_min` must be at least 0 and below `dt_max`"),
        ({"trial": "newton"}, "`trial` must be 'carry' or 'barzilai_borwein', got 'newton'"),
        ({"slope_at": "start"}, "`slope_at` must be 'current' or 'trial', got 'start'"),
        ({"memory": 0}, "`memory` must be at least 1"),
        ({"increase_factor": math.inf}, "`increase_factor` must be"),
        ({"trial_min": -1.0}, "`trial_min` must lie between 0 and `dt_max`"),
        ({"trial_min": math.nan}, "`trial_min` must lie between 0 and `dt_max`"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(arguments, message, unchecked):
    with pytest.raises(ValueError, match=message):
        gfe.AMD(**arguments)


def test_repr_can_be_pasted_back():
    names = {"AMD": gfe.AMD, "inf": math.inf}
    assert eval(repr(gfe.AMD()), names) == gfe.AMD()
    assert eval(repr(gfe.AMD.published()), names) == gfe.AMD.published()


def test_end_time_is_refused_where_steps_have_no_time():
    with pytest.raises(
        ValueError, match=r"`t1` is 5.0, but AMD.*Leave `t1` out, or use a solver with time"
    ):
        gfe.encode(trained("mlp"), digits(2), t1=5.0)


class Square(nn.Module):
    latent_dim = 1
    data_shape: tuple[int, ...] = (1,)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.square()


@pytest.mark.parametrize("slope_at", ["current", "trial"])
@pytest.mark.parametrize("rate", [1e-4, 0.01, 100.0])
def test_a_constant_rate_rescales_time_and_changes_no_code(rate: float, slope_at: Any):
    x = torch.linspace(0.5, 2, 6)[:, None]
    options: dict[str, Any] = {
        "z0": torch.full((6, 1), 0.01),
        "loss": gfe.Gaussian(variance=0.5, reduction="sum"),
        "solver": gfe.AMD(slope_at=slope_at, dt_min=0.0),
    }
    usual = gfe.encode(Square(), x, **options)
    scaled = gfe.encode(Square(), x, flow=gfe.GradientFlow(rate=rate), **options)
    torch.testing.assert_close(scaled.z, usual.z, rtol=1e-3, atol=0)
    torch.testing.assert_close(usual.z, x.sqrt(), rtol=1e-2, atol=0)
