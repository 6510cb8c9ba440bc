import pytest
import torch
from problems import (
    EPS,
    Counting,
    Quadratic,
    digits,
    energy_and_gradient,
    generator,
    log_slope,
    quadratic,
    statuses,
    trained,
)
from scipy.special import j1
from torch import Tensor

import gfe_core as gfe
from gfe_core.types import Encoding, Status, Trajectory

FLOW = gfe.NesterovFlow(eps=0.0)
ENDLESS = gfe.Stop(grad_norm=0.0, energy_slope=0.0)


def exact(problem: Quadratic, t: float) -> Tensor:
    """Return z(t) of the flow with damping 3 from the origin.

    Each mode is 2 J1(s) / s with s = sqrt(lambda) t.
    """
    s = problem.curvature.sqrt() * t
    decay = torch.from_numpy(2 * j1(s.numpy()) / s.numpy())
    return problem.minimum - (problem.minimum @ problem.axes * decay) @ problem.axes.T


def flowing(
    problem: Quadratic, solver, t1: float, flow: gfe.GradientFlow = FLOW, **arguments
) -> Encoding:
    return gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, flow=flow, solver=solver, t1=t1, **arguments
    )


def distance(problem: Quadratic, solver, t1: float) -> float:
    """Return how far from the minimum the flow is at t1, relative to its start."""
    return (
        (flowing(problem, solver, t1).z - problem.minimum).norm() / problem.minimum.norm()
    ).item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n_steps", "order"),
    [(gfe.SemiImplicit, (50, 100, 200, 400), 1), (gfe.RK4, (30, 60, 120), 4)],
)
def test_error_against_the_bessel_function_falls_with_the_order(kind, n_steps, order):
    problem = quadratic()
    t1 = 5.0
    errors = [
        (flowing(problem, kind(n_steps=n), t1).z - exact(problem, t1)).norm().item()
        for n in n_steps
    ]
    slope = log_slope([t1 / n for n in n_steps], errors)
    print(f"{kind.__name__}: slope {slope:.3f}, errors {errors[0]:.1e} to {errors[-1]:.1e}")
    assert abs(slope - order) < 0.2  # the next power of dt is still felt at the coarse end
    assert errors[-1] < 0.1


def test_small_eps_leaves_the_solution_where_it_is():
    problem = quadratic()
    found = flowing(problem, gfe.RK4(n_steps=100), 5.0, flow=gfe.NesterovFlow()).z
    # eps = 1e-5 moves the friction in time by 1e-5; codes move with a velocity of order one
    assert 1e-9 < (found - exact(problem, 5.0)).abs().max() < 1e-4


def test_rate_of_a_momentum_flow_rescales_time_by_its_square_root():
    problem = quadratic()
    fast = flowing(problem, gfe.RK4(n_steps=50), 1.0, flow=gfe.NesterovFlow(eps=0.0, rate=4.0))
    slow = flowing(problem, gfe.RK4(n_steps=50), 2.0)
    torch.testing.assert_close(
        fast.z, slow.z, rtol=0, atol=1e-14
    )  # the same numbers but for powers of two and 0.02


def test_first_step_from_rest_has_the_velocity_of_the_exact_solution():
    problem = quadratic()
    dt = 0.25
    gradient = (
        -2
        * (problem.x - problem.decoder.linear.bias.detach())
        @ problem.decoder.linear.weight.detach()
    )
    found = flowing(problem, gfe.SemiImplicit(dt=dt), dt)
    velocity = -dt / 4 * gradient  # v = -t grad / 4
    torch.testing.assert_close(found.z, dt * velocity, rtol=0, atol=64 * EPS)
    # Euler stands still for one step and has the same velocity after it
    two = flowing(problem, gfe.Euler(dt=dt), 2 * dt, save_at=gfe.SaveAt.steps()).trajectory
    assert two is not None and (two.z[1] == 0).all()
    torch.testing.assert_close(two.z[2], dt * velocity, rtol=0, atol=64 * EPS)


@pytest.mark.parametrize(
    ("kind", "decays", "grows"),
    [(gfe.SemiImplicit, 1.99, 2.05), (gfe.RK4, 2.8, 2.95)],
    ids=["SemiImplicit", "RK4"],
)
def test_stability_limit_when_friction_has_gone(kind, decays, grows):
    problem = quadratic(curvature=(1.0, 1.0, 1.0, 1.0))
    # friction takes the amplitude down as t^-1.5; beyond the limit every step multiplies it by 1.3
    # or more
    assert distance(problem, kind(dt=decays), 120 * decays) < 0.02
    assert distance(problem, kind(dt=grows), 120 * grows) > 10


def test_semi_implicit_step_is_stable_at_once_and_not_only_late():
    problem = quadratic(curvature=(1.0, 0.1, 0.01, 0.001))
    path = flowing(problem, gfe.SemiImplicit(dt=1.9), 190.0, save_at=gfe.SaveAt.steps()).trajectory
    assert path is not None
    assert (path.energy <= path.energy[0]).all()


def test_explicit_euler_loses_a_momentum_flow_when_friction_falls_below_its_growth():
    problem = quadratic(curvature=(1.0, 1.0, 1.0, 1.0))
    dt = 0.3
    until, after = (distance(problem, gfe.Euler(dt=dt), t) for t in (3 / dt, 7 * 3 / dt))
    print(until, after)
    assert until < 0.2 and after > 50 * until
    assert distance(problem, gfe.SemiImplicit(dt=dt), 7 * 3 / dt) < 0.02


def test_semi_implicit_needs_a_flow_with_velocity():
    problem = quadratic()
    with pytest.raises(
        ValueError, match=r"`SemiImplicit` needs a `flow` with `friction`.*`flow=NesterovFlow\(\)`"
    ):
        flowing(problem, gfe.SemiImplicit(dt=0.1), 1.0, flow=gfe.GradientFlow())


def test_semi_implicit_costs_one_gradient_a_step():
    counts = flowing(quadratic(), gfe.SemiImplicit(n_steps=6), 1.0).statistics
    assert counts.n_grad.tolist() == [7] * 5 and counts.n_loss.tolist() == [0] * 5


@pytest.mark.slow
def test_momentum_flow_keeps_its_bound_and_the_gradient_flow_its_own():
    problem = quadratic(curvature=torch.logspace(0, -5, 12, dtype=torch.float64).tolist(), batch=1)
    z0 = problem.minimum + problem.axes.sum(1)  # every mode starts with amplitude one
    arguments = {"z0": z0, "save_at": gfe.SaveAt.steps()}
    fast = flowing(problem, gfe.RK4(dt=2.0), 400.0, **arguments).trajectory
    slow = flowing(problem, gfe.RK4(dt=2.0), 400.0, flow=gfe.GradientFlow(), **arguments).trajectory
    assert fast is not None and slow is not None
    t = fast.t[1:, 0]
    far = (z0 - problem.minimum).square().sum()
    lowest = problem.energy(problem.minimum)
    excess = fast.energy[1:, 0] - lowest
    slow_excess = slow.energy[1:, 0] - lowest
    assert (excess <= 2 * far / t**2).all()
    assert (slow_excess <= far / (2 * t)).all()
    assert (slow_excess > 2 * far / t**2)[
        t > 300
    ].all()  # otherwise the first claim would be no acceleration
    # spread modes never come nearer to the bounds than this: both have the right power of t
    assert (excess * t**2)[t > 10].min() > 0.02 * far and (slow_excess * t)[
        t > 10
    ].min() > 0.01 * far


def descended(kind: str, solver: gfe.AMD, n: int = 12, **arguments) -> tuple[Encoding, Trajectory]:
    encoding = gfe.encode(
        trained(kind), digits(n), flow=FLOW, solver=solver, save_at=gfe.SaveAt.steps(), **arguments
    )
    assert encoding.trajectory is not None
    return encoding, encoding.trajectory


TRIALS = {
    "carry": gfe.AMD(trial="carry"),
    "barzilai_borwein": gfe.AMD(),
    "bold": gfe.AMD(trial="carry", dt_init=1e5),
}


@pytest.mark.parametrize("kind", ["mlp", "conv", "linear"])
@pytest.mark.parametrize("name", TRIALS)
def test_point_below_the_look_ahead_satisfies_the_armijo_test(kind, name):
    _, path = descended(kind, TRIALS[name], max_steps=60)
    decoder = trained(kind)
    x = digits(12)
    slack = []
    for row in range(len(path.t) - 1):
        # the flow's step is sqrt(dt)
        dt = path.dt[row] ** 2
        moves = path.accepted[row]
        energy, gradient = energy_and_gradient(decoder, x, path.z[row])
        below, _ = energy_and_gradient(decoder, x, path.z[row] - dt[:, None] * gradient)
        slack.append((energy - below - 0.5 * dt * gradient.square().sum(1))[moves])
    # two energies near 0.5, each a mean of 64 terms summed in another order than ours, and the
    # solver's own 2 EPS |E|
    assert torch.cat(slack).min() >= -16 * EPS
    assert len(torch.cat(slack)) > 12 * 3


@pytest.mark.parametrize("name", TRIALS)
def test_path_is_that_of_the_accelerated_method_with_restarts_of_each_sample(name):
    _, path = descended("mlp", TRIALS[name], max_steps=80, stop=ENDLESS)
    restarts = torch.zeros(12, dtype=torch.long)
    for i in range(12):
        x = path.z[0, i]
        y = path.z[0, i]
        age = 0
        for row in range(int(path.accepted[:, i].sum())):
            _, gradient = energy_and_gradient(trained("mlp"), digits(1, i), y[None])
            new = y - path.dt[row, i] ** 2 * gradient[0]
            uphill = bool(gradient[0] @ (new - x) > 0)
            age = 0 if uphill else age + 1
            restarts[i] += uphill
            x, y = new, new + age / (age + 3) * (new - x)
            # codes of order one; steps here are long, so that a rounding of the gradient counts a
            # hundredfold
            torch.testing.assert_close(path.z[row + 1, i], y, rtol=0, atol=1e-12)
            y = path.z[row + 1, i]
    assert restarts.sum() > 6 and len(restarts.unique()) > 1  # each its own


def test_first_move_of_the_accelerated_method_is_that_of_the_flow_from_rest():
    _, path = descended("mlp", gfe.AMD(trial="carry", dt_init=0.25), max_steps=1)
    _, gradient = energy_and_gradient(trained("mlp"), digits(12), path.z[0])
    t = path.t[1]
    assert (t == 0.5).all()
    below = -(t**2)[:, None] * gradient
    velocity = -(t / 4)[:, None] * gradient
    torch.testing.assert_close(path.z[1], below + t[:, None] * velocity, rtol=0, atol=8 * EPS)


@pytest.mark.parametrize("name", TRIALS)
def test_energy_falls_linearly_on_an_ill_conditioned_problem_and_never_passes_its_start(name):
    problem = quadratic(torch.logspace(0, -2, 6, dtype=torch.float64).tolist(), batch=3)
    solver = TRIALS[name]
    steps = gfe.SaveAt.steps()
    found = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        flow=FLOW,
        solver=solver,
        stop=ENDLESS,
        save_at=steps,
    )
    path = found.trajectory
    assert path is not None and statuses(found) == [Status.STALLED] * 3
    assert (path.energy <= path.energy[0] * (1 + 4 * EPS)).all()
    lowest = problem.energy(problem.minimum)
    excess = (path.energy - lowest) / (path.energy[0] - lowest)
    best = excess.cummin(0).values.amax(1)  # of the slowest sample
    reached = torch.tensor([int((best <= 10.0**-k).int().argmax()) for k in (2, 4, 6, 8, 10)])
    gained = reached.diff()
    # linear: two digits take about as many steps late as early; 1 / t^2 would take ten times as
    # many for each two
    assert gained.min() > 0 and gained[-1] < 3 * gained[0]


@pytest.mark.slow
def test_descent_without_momentum_is_not_there_after_three_times_as_many_steps():
    problem = quadratic(torch.logspace(0, -2.5, 6, dtype=torch.float64).tolist(), batch=3)

    def encoded(flow: gfe.GradientFlow, max_steps: int) -> Encoding:
        stop = gfe.Stop(grad_norm=1e-4, energy_slope=0.0)
        carry = gfe.AMD(trial="carry")
        return gfe.encode(
            problem.decoder,
            problem.x,
            loss=problem.loss,
            flow=flow,
            solver=carry,
            stop=stop,
            max_steps=max_steps,
        )

    fast = encoded(FLOW, 500)
    assert statuses(fast) == [Status.CONVERGED] * 3
    slow = encoded(gfe.GradientFlow(), 3 * int(fast.statistics.n_steps.max()))
    assert Status.MAX_STEPS in statuses(slow)


@pytest.mark.parametrize("t1", [0.03, 0.3, 1.0, 7.0])
def test_accelerated_method_ends_exactly_at_its_time(t1):
    problem = quadratic()
    found = flowing(problem, gfe.AMD(trial="carry"), t1, stop=ENDLESS)
    assert statuses(found) == [Status.REACHED_T] * 5
    assert (found.t - t1).abs().max() <= 8 * EPS * t1


def test_accelerated_method_counts_its_looks_and_its_gradients():
    for name in ("carry", "barzilai_borwein"):
        decoder = Counting(trained("mlp"))
        counts = gfe.encode(
            decoder, digits(1), flow=FLOW, solver=TRIALS[name], max_steps=40
        ).statistics
        assert decoder.calls["forward"] == counts.n_loss.item() + counts.n_grad.item()
        assert decoder.calls["backward"] == counts.n_grad.item() == counts.n_accepted.item() + 2
        assert counts.n_loss.item() == counts.n_steps.item()


def test_accelerated_method_with_damping_other_than_three_also_arrives():
    problem = quadratic()
    flow = gfe.NesterovFlow(damping=6.0)
    found = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, flow=flow, stop=gfe.Stop(energy_slope=0.0)
    )
    torch.testing.assert_close(
        found.z, problem.minimum, rtol=0, atol=2e-6
    )  # |grad| <= 1e-6 over a curvature of 0.5


def test_rate_does_not_change_the_codes_of_the_accelerated_method():
    flow = gfe.NesterovFlow(rate=4.0)
    plain = gfe.encode(
        trained("mlp"), digits(5), flow=gfe.NesterovFlow(), solver=TRIALS["carry"], max_steps=30
    )
    scaled = gfe.encode(trained("mlp"), digits(5), flow=flow, solver=TRIALS["carry"], max_steps=30)
    assert torch.equal(plain.z, scaled.z)  # dt is a quarter, exactly
    assert torch.equal(plain.t, 2 * scaled.t)


def test_start_at_a_stationary_point_stays_there():
    problem = quadratic()
    z0 = problem.minimum + 1e-14 * torch.randn(5, 4, dtype=torch.float64, generator=generator(1))
    found = flowing(problem, gfe.SemiImplicit(n_steps=50), 20.0, z0=z0)
    torch.testing.assert_close(found.z, problem.minimum, rtol=0, atol=1e-13)
