import math

import pytest
import torch
from problems import EPS, Counting, Quadratic, digits, log_slope, quadratic, statuses, trained
from torch import Tensor

import gfe_core as gfe
from gfe_core.types import Encoding, Status

LOOSE = {"rtol": 1e6, "atol": 1e6}
"""Tolerances that accept any step."""


def flowing(problem: Quadratic, solver: gfe.Dopri5, t1: float, **arguments) -> Encoding:
    return gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=solver, t1=t1, **arguments
    )


def one_step(problem: Quadratic, z: Tensor, dt: float) -> Tensor:
    """Return the codes after one step of exactly dt."""
    found = flowing(problem, gfe.Dopri5(dt_init=dt, **LOOSE), dt, z0=z)
    assert found.statistics.n_steps.tolist() == [1] * len(z)
    return found.z


def test_error_of_equal_steps_falls_with_the_fifth_power():
    problem = quadratic(curvature=(0.5, 0.4, 0.2, 0.1))
    errors = []
    n_steps = (4, 8, 16)
    for n in n_steps:
        z = torch.zeros_like(problem.minimum)
        for _ in range(n):  # the flow does not depend on time: each step may start at 0
            z = one_step(problem, z, 1.0 / n)
        errors.append((z - problem.flow(1.0)).norm().item())
    slope = log_slope([1 / n for n in n_steps], errors)
    assert abs(slope - 5) < 0.2  # the sixth power is still felt at the coarse end


def test_one_step_multiplies_a_mode_by_the_stability_polynomial():
    problem = quadratic()
    for dt in (0.1, 0.5, 1.5):
        x = -problem.curvature * dt
        factor = 1 + x + x**2 / 2 + x**3 / 6 + x**4 / 24 + x**5 / 120 + x**6 / 600
        expected = problem.minimum - (problem.minimum @ problem.axes * factor) @ problem.axes.T
        found = one_step(problem, torch.zeros_like(expected), dt)
        # stages of a size up to 6^6 / 600 cancel
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_stability_limit_on_the_real_axis_is_three_point_three():
    problem = quadratic(curvature=(1.0, 1.0, 1.0, 1.0), batch=1)

    def distance(dt: float, n: int = 40) -> float:
        z = torch.zeros_like(problem.minimum)
        for _ in range(n):
            z = one_step(problem, z, dt)
        return ((z - problem.minimum).norm() / problem.minimum.norm()).item()

    # the limit is 3.3066; the polynomial is 0.90 at 3.25 and 1.09 at 3.35
    assert distance(3.25) < 0.3
    assert distance(3.35) > 3


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-5])
def test_stability_and_not_the_tolerance_holds_the_step_on_a_stiff_problem(rtol):
    problem = quadratic(curvature=(1.0, 0.1, 0.01, 0.001), batch=2)
    t1 = 165.0
    counts = flowing(problem, gfe.Dopri5(rtol=rtol, atol=1e-2 * rtol), t1).statistics
    mean_step = t1 / counts.n_accepted.double()
    assert ((mean_step > 2.3) & (mean_step < 3.6)).all()  # with the short steps of the start


def test_error_follows_the_tolerance():
    problem = quadratic()
    tolerances = (1e-3, 1e-5, 1e-7, 1e-9)
    errors = []
    for tolerance in tolerances:
        found = flowing(problem, gfe.Dopri5(rtol=tolerance, atol=tolerance), 3.0)
        errors.append((found.z - problem.flow(3.0)).abs().max().item())
        assert (
            errors[-1] < 5 * tolerance
        )  # a handful of steps, each of which may err by the tolerance
    assert 0.7 < log_slope(tolerances, errors) < 1.3


def test_error_follows_the_tolerance_where_the_rate_decays():
    problem = quadratic()
    tau = 1.5
    t1 = 3.0
    clock = tau / 2 * (1 - math.exp(-2 * t1 / tau))  # the integral of the rate
    for tolerance in (1e-4, 1e-8):
        found = flowing(
            problem,
            gfe.Dopri5(rtol=tolerance, atol=tolerance),
            t1,
            flow=gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=tau)),
        )
        assert (found.z - problem.flow(clock)).abs().max() < 5 * tolerance


@pytest.mark.parametrize("t1", [0.1, 1 / 3, 1.0, 7.7, 20.0])
def test_end_time_is_met(t1):
    found = flowing(quadratic(), gfe.Dopri5(), t1)
    assert statuses(found) == [Status.REACHED_T] * 5
    assert (found.t - t1).abs().max() <= 2 * EPS * t1  # t + (t1 - t) rounds twice


def test_states_at_chosen_times_are_those_of_the_flow():
    problem = quadratic()
    times = torch.tensor([0.0, 0.1, 0.7, 2.0, 3.0], dtype=torch.float64)
    tight = gfe.Dopri5(rtol=1e-9, atol=1e-9)
    path = flowing(problem, tight, 3.0, save_at=gfe.SaveAt.times(times)).trajectory
    assert path is not None and path.mask.all()
    assert torch.equal(path.t, times[:, None].expand(-1, 5))
    # cubic interpolation between steps of up to 0.2: 0.2^4 / 384 times the fourth derivative, of
    # order 4^4
    torch.testing.assert_close(path.z, problem.flow(times[:, None, None]), rtol=0, atol=2e-3)


def test_evaluations_are_counted_as_they_are_made():
    rejected = 0
    for x in digits(4).split(1):
        decoder = Counting(trained("mlp"))
        counts = gfe.encode(decoder, x, solver=gfe.Dopri5(dt_init=1e4), t1=300.0).statistics
        assert decoder.calls["forward"] == decoder.calls["backward"] == counts.n_grad.item()
        assert counts.n_grad.item() == 1 + 6 * counts.n_steps.item() and counts.n_loss.item() == 0
        rejected += counts.n_rejected.item()
    assert rejected > 0


def test_rejected_steps_leave_state_and_time_unchanged_and_shrink():
    problem = quadratic(batch=1)
    solver = gfe.Dopri5(rtol=1e-6, atol=1e-6, dt_init=1e3)
    found = flowing(problem, solver, 1e4, max_steps=3)
    assert found.statistics.n_rejected.tolist() == [3]
    assert (found.z == 0).all() and (found.t == 0).all() and statuses(found) == [Status.MAX_STEPS]
    path = flowing(problem, solver, 1e4, max_steps=9, save_at=gfe.SaveAt.steps()).trajectory
    assert path is not None
    first = path.dt[0, 0].item()
    refusals = round(math.log(first / 1e3) / math.log(0.2), 6)
    assert first < 1.0 and refusals > 3  # at most a fifth each time


def test_step_that_overflows_is_refused_and_shrunk():
    problem = quadratic(batch=2)
    found = flowing(problem, gfe.Dopri5(dt_init=1e60, dt_min=1e-80), 1e61, max_steps=100)
    assert statuses(found) == [Status.MAX_STEPS] * 2
    assert found.statistics.n_rejected.min() > 80 and found.statistics.n_accepted.min() > 0
    assert found.z.isfinite().all() and (found.t > 0).all()


def test_tolerance_below_rounding_ends_with_a_status():
    found = flowing(quadratic(), gfe.Dopri5(rtol=0.0, atol=1e-300), 1.0, max_steps=500)
    assert set(statuses(found)) <= {Status.STEP_TOO_SMALL, Status.MAX_STEPS}
    assert found.z.isfinite().all()
    held = flowing(quadratic(), gfe.Dopri5(rtol=0.0, atol=1e-14, dt_min=0.5), 1.0)
    assert statuses(held) == [Status.STEP_TOO_SMALL] * 5 and (held.z == 0).all()


def test_without_an_end_the_stop_rule_or_the_budget_ends_the_flow():
    problem = quadratic()
    found = flowing(problem, gfe.Dopri5(), math.inf, max_steps=20)
    assert statuses(found) == [Status.MAX_STEPS] * 5 and found.z.isfinite().all()
    solver = gfe.Dopri5(rtol=0.0, atol=1e-6)
    stop = gfe.Stop(grad_norm=1e-4, energy_slope=0.0)
    stopped = flowing(problem, solver, math.inf, stop=stop, max_steps=200)
    assert statuses(stopped) == [Status.CONVERGED] * 5
    torch.testing.assert_close(
        stopped.z, problem.minimum, rtol=0, atol=2e-4
    )  # |grad| <= 1e-4 over 0.5


def test_start_of_zero_energy_does_not_hold_the_step_at_zero():
    problem = quadratic()
    x = (
        problem.decoder.linear.bias.detach().expand(5, -1).clone()
    )  # decoded exactly from the origin
    still = gfe.encode(
        problem.decoder, x, loss=problem.loss, solver=gfe.Dopri5(), t1=2.0, max_steps=50
    )
    assert statuses(still) == [Status.REACHED_T] * 5 and (still.z == 0).all()
    pulled = gfe.encode(
        problem.decoder,
        x,
        loss=problem.loss,
        solver=gfe.Dopri5(),
        t1=2.0,
        max_steps=50,
        penalty=lambda z: z.sum(1),
    )
    assert statuses(pulled) == [Status.REACHED_T] * 5 and (pulled.energy < -1).all()


def test_constant_velocity_is_followed_in_one_step():
    problem = quadratic()
    with torch.no_grad():
        problem.decoder.linear.weight.zero_()
    found = flowing(problem, gfe.Dopri5(), 50.0, penalty=lambda z: z.sum(1))
    assert found.statistics.n_accepted.max() < 4
    torch.testing.assert_close(found.z, torch.full_like(found.z, -50.0), rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rtol": -1.0}, "`rtol` must be at least 0 and finite"),
        ({"rtol": math.nan}, "`rtol` must be at least 0 and finite"),
        ({"atol": 0.0}, "`atol` must be a positive finite number"),
        ({"dt_min": 0.0}, "`dt_min` must lie strictly between 0 and 1"),
        ({"dt_init": -1.0}, "`dt_init` must be a positive finite number"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gfe.Dopri5(**arguments)


def test_repr_can_be_pasted_back():
    assert eval(repr(gfe.Dopri5(rtol=1e-5)), {"Dopri5": gfe.Dopri5}) == gfe.Dopri5(rtol=1e-5)
