import math

import pytest
import torch
from problems import EPS, digits, log_slope, quadratic, statuses, trained

import gfe_core as gfe
from gfe_core.types import Status

T1 = 1.0


def error_at_t1(solver, problem, **arguments) -> float:
    encoding = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=solver, t1=T1, **arguments
    )
    assert statuses(encoding) == [Status.REACHED_T] * len(problem.x)
    return (encoding.z - problem.flow(T1)).norm().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n_steps", "order"),
    [(gfe.Euler, (128, 256, 512), 1), (gfe.RK4, (32, 64, 128), 4)],
)
def test_error_against_the_closed_form_falls_with_the_order(kind, n_steps, order):
    problem = quadratic()
    errors = [error_at_t1(kind(n_steps=n), problem) for n in n_steps]
    slope = log_slope([T1 / n for n in n_steps], errors)
    print(f"{kind.__name__}: slope {slope:.3f}, errors {errors[0]:.1e} to {errors[-1]:.1e}")
    assert abs(slope - order) < 0.1  # the next power of dt is still felt at the coarse end


@pytest.mark.slow
def test_error_falls_with_the_order_when_the_rate_decays():
    problem = quadratic()
    tau = 1.5
    flow = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=tau))
    clock = (
        tau / 2 * (1 - math.exp(-2 * T1 / tau))
    )  # the integral of the rate: how far the undecayed flow has come
    for kind, n_steps, order in (
        (gfe.Euler, (128, 256, 512), 1),
        (gfe.RK4, (32, 64, 128), 4),
    ):
        errors = []
        for n in n_steps:
            encoding = gfe.encode(
                problem.decoder,
                problem.x,
                loss=problem.loss,
                flow=flow,
                solver=kind(n_steps=n),
                t1=T1,
            )
            errors.append((encoding.z - problem.flow(clock)).norm().item())
        assert abs(log_slope([T1 / n for n in n_steps], errors) - order) < 0.1


def test_constant_rate_only_rescales_time():
    problem = quadratic()
    fast = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        flow=gfe.GradientFlow(rate=4.0),
        solver=gfe.RK4(n_steps=50),
        t1=0.25,
    )
    slow = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=gfe.RK4(n_steps=50), t1=1.0
    )
    torch.testing.assert_close(
        fast.z, slow.z, rtol=0, atol=1e-14
    )  # 4 dt g and dt (4 g) round alike up to an ulp


@pytest.mark.slow
@pytest.mark.parametrize("kind", [gfe.Euler, gfe.RK4])
def test_flow_ends_at_the_pseudo_inverse_solution(kind):
    problem = quadratic()
    encoding = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=kind(dt=0.25), t1=100.0
    )
    # the slowest mode, curvature 0.5, has decayed by exp(-50) = 2e-22: only rounding is left
    torch.testing.assert_close(encoding.z, problem.minimum, rtol=0, atol=1e-13)
    torch.testing.assert_close(encoding.energy, problem.energy(problem.minimum), rtol=1e-13, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "decays", "grows"),
    [(gfe.Euler, 1.99, 2.01), (gfe.RK4, 2.78, 2.79)],
    ids=["Euler", "RK4"],
)
def test_stability_limit(kind, decays, grows):
    problem = quadratic(curvature=(1.0, 1.0, 1.0, 1.0))

    def distance(dt):
        encoding = gfe.encode(
            problem.decoder, problem.x, loss=problem.loss, solver=kind(dt=dt), t1=400 * dt
        )
        return ((encoding.z - problem.minimum).norm() / problem.minimum.norm()).item()

    # 400 steps multiply the distance by |R|^400: 0.02 and 50 for Euler, 0.04 and 9 for RK4
    assert distance(decays) < 0.2
    assert distance(grows) > 5


def test_euler_is_gradient_descent():
    decoder = trained("mlp")
    x = digits(5)
    dt = 3.0
    z = torch.zeros(5, 8, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.SGD([z], lr=dt)
    for _ in range(30):
        descent.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="none").mean(
            1
        ).sum().backward(inputs=[z])
        descent.step()
    encoding = gfe.encode(decoder, x, solver=gfe.Euler(dt=dt), t1=30 * dt)
    # 30 steps of rounding at codes of order one; nothing here is chaotic
    torch.testing.assert_close(encoding.z, z.detach(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", [gfe.Euler, gfe.RK4])
def test_log_grid_grows_geometrically_and_ends_exactly_at_t1(kind):
    problem = quadratic()
    n = 12
    base = 50.0
    solver = kind(n_steps=n, grid="log", log_base=base)
    encoding = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=solver,
        t1=0.7,
        save_at=gfe.SaveAt.steps(),
    )
    assert encoding.trajectory is not None
    dt = encoding.trajectory.dt[:-1, 0]
    assert len(dt) == n
    assert (dt[-1] / dt[0]).item() == pytest.approx(base, rel=1e-12)
    torch.testing.assert_close(
        dt[1:] / dt[:-1], torch.full_like(dt[1:], base ** (1 / (n - 1))), rtol=1e-12, atol=0
    )
    assert (encoding.t - 0.7).abs().max() <= n * EPS  # one rounding a sum


@pytest.mark.parametrize(
    ("dt", "n_expected"), [(0.3, 4), (0.25, 4), (0.1, 10), (2.0, 1), (1 / 3, 3)]
)
def test_last_step_is_cut_so_that_the_flow_ends_at_t1(dt, n_expected):
    problem = quadratic()
    encoding = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=gfe.Euler(dt=dt),
        t1=1.0,
        save_at=gfe.SaveAt.steps(),
    )
    assert encoding.trajectory is not None
    assert encoding.statistics.n_steps.tolist() == [n_expected] * 5
    assert (encoding.t - 1.0).abs().max() <= n_expected * EPS
    assert (encoding.trajectory.dt <= dt * (1 + 1e-9)).all()


def test_linear_grid_has_equal_steps():
    problem = quadratic()
    by_number = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=gfe.Euler(n_steps=8), t1=2.0
    )
    by_size = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=gfe.Euler(dt=0.25), t1=2.0
    )
    assert torch.equal(by_number.z, by_size.z)  # steps of 1/4 are exact


def test_recorded_steps_end_each_sample_at_its_own_first_zero():
    problem = quadratic(batch=3)
    steps = torch.tensor([[0.1, 0.2, 0.0], [0.1, 0.0, 0.5], [0.1, 0.3, 0.5]], dtype=torch.float64)
    encoding = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=gfe.Euler(steps=steps)
    )
    assert encoding.statistics.n_steps.tolist() == [3, 1, 0]
    assert torch.equal(encoding.t, torch.tensor([0.1 + 0.1 + 0.1, 0.2, 0.0], dtype=torch.float64))
    assert statuses(encoding) == [Status.REACHED_T] * 3
    assert (encoding.z[2] == 0).all()


@pytest.mark.parametrize("trial", ["carry", "barzilai_borwein"])
def test_euler_replays_the_steps_of_amd_exactly(trial):
    decoder = trained("mlp")
    x = digits(9)
    found = gfe.encode(
        decoder, x, solver=gfe.AMD(trial=trial), max_steps=40, save_at=gfe.SaveAt.steps()
    )
    assert found.trajectory is not None
    replayed = gfe.encode(
        decoder, x, solver=gfe.Euler(steps=found.trajectory.dt), save_at=gfe.SaveAt.steps()
    )
    assert replayed.trajectory is not None
    assert torch.equal(replayed.z, found.z)
    assert torch.equal(replayed.energy, found.energy)
    assert torch.equal(replayed.trajectory.z, found.trajectory.z)
    assert torch.equal(replayed.trajectory.mask, found.trajectory.mask)
    assert torch.equal(replayed.statistics.n_accepted, found.statistics.n_accepted)
    assert replayed.statistics.n_loss.sum() == 0
    assert statuses(replayed) == [Status.REACHED_T] * 9


def test_steps_given_once_serve_every_sample():
    problem = quadratic()
    steps = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    once = gfe.encode(problem.decoder, problem.x, loss=problem.loss, solver=gfe.Euler(steps=steps))
    each = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=gfe.Euler(steps=steps[:, None].repeat(1, 5)),
    )
    assert torch.equal(once.z, each.z)


@pytest.mark.parametrize(
    ("solver", "a_step"), [(gfe.Euler(n_steps=6), 1), (gfe.RK4(n_steps=6), 4)], ids=["Euler", "RK4"]
)
def test_fixed_grid_costs_its_gradients_and_no_loss(solver, a_step):
    problem = quadratic()
    counts = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=solver, t1=1.0
    ).statistics
    assert counts.n_grad.tolist() == [1 + 6 * a_step] * 5
    assert counts.n_loss.tolist() == counts.n_rejected.tolist() == [0] * 5
    assert torch.equal(counts.work, 2 * counts.n_grad)


@pytest.mark.parametrize("kind", [gfe.Euler, gfe.RK4])
def test_grids_that_make_no_sense_are_refused(kind, unchecked):
    for dt in (0.0, -0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="`dt` must be a positive finite number"):
            kind(dt=dt)
    with pytest.raises(ValueError, match="`n_steps` must be at least 1"):
        kind(n_steps=0)
    with pytest.raises(ValueError, match="`grid` must be 'linear' or 'log', got 'cubic'"):
        kind(n_steps=3, grid="cubic")
    for base in (1.0, 0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match="`log_base` must be"):
            kind(n_steps=3, grid="log", log_base=base)
    with pytest.raises(
        ValueError, match=f"exactly one of `dt`, `n_steps` and `steps` to {kind.__name__}, got none"
    ):
        kind()
    with pytest.raises(ValueError, match=r"exactly one of .* got .*dt.*n_steps"):
        kind(dt=0.1, n_steps=3)


def test_log_grid_needs_a_number_of_steps(unchecked):
    with pytest.raises(ValueError, match=r"`grid=.log.` needs `n_steps`"):
        gfe.Euler(dt=0.1, grid="log")


def test_fixed_grid_without_an_end_is_refused():
    problem = quadratic()
    with pytest.raises(ValueError, match=r"`t1` must be finite for Euler.*Pass `t1=...`"):
        gfe.encode(problem.decoder, problem.x, loss=problem.loss, solver=gfe.Euler(dt=0.1))


@pytest.mark.parametrize(
    "steps",
    [
        torch.ones(3, 4),
        torch.ones(3, 5, 1),
        -torch.ones(3),
        torch.tensor([0.1, math.nan]),
        torch.tensor([0.1, math.inf]),
        torch.zeros(0),
    ],
    ids=["another batch", "three axes", "negative", "nan", "inf", "no steps"],
)
def test_recorded_steps_that_do_not_fit_are_refused(steps):
    problem = quadratic()
    with pytest.raises(ValueError, match=r"`steps` must hold .*steps of shape"):
        gfe.encode(problem.decoder, problem.x, loss=problem.loss, solver=gfe.Euler(steps=steps))


@pytest.mark.parametrize("size", [2, 4])
def test_recorded_steps_stay_with_their_sample_in_chunks(size):
    decoder, x = trained("mlp"), digits(5)
    found = gfe.encode(decoder, x, max_steps=20, save_at=gfe.SaveAt.steps())
    assert found.trajectory is not None
    replayed = gfe.encode(decoder, x, solver=gfe.Euler(steps=found.trajectory.dt), size=size)
    whole = gfe.encode(decoder, x, solver=gfe.Euler(steps=found.trajectory.dt))
    assert torch.equal(replayed.z, whole.z)


def test_recorded_steps_of_a_chunk_are_not_those_of_all_samples():
    steps = torch.full((3, 2), 0.1, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"one column for each sample, steps of shape \(time, 4\)"):
        gfe.encode(trained("mlp"), digits(4), solver=gfe.Euler(steps=steps), size=2)


@pytest.mark.parametrize("steps", ["ab", {"dt": 0.1}, [[0.1], [0.1, 0.2]]], ids=str)
def test_grid_of_anything_but_steps_is_not_built(steps, unchecked):
    with pytest.raises(TypeError, match=r"`steps` must hold .* Pass `trajectory.dt`"):
        gfe.Euler(steps=steps)


def test_t1_that_contradicts_recorded_steps_is_refused():
    problem = quadratic()
    with pytest.raises(ValueError, match=r"`t1`.*`steps`"):
        gfe.encode(
            problem.decoder,
            problem.x,
            loss=problem.loss,
            solver=gfe.Euler(steps=torch.ones(3)),
            t1=10.0,
        )


def test_solvers_compare_and_print_with_recorded_steps():
    solver = gfe.Euler(steps=torch.ones(2))
    assert "steps=" in repr(solver)
    assert eval(repr(gfe.Euler(dt=0.25)), {"Euler": gfe.Euler}) == gfe.Euler(dt=0.25)


def test_recorded_steps_do_not_follow_the_tensor_of_the_caller():
    dt = torch.full((3,), 0.5)
    solver = gfe.Euler(steps=dt)
    dt.zero_()
    assert solver.steps is not None and (solver.steps == 0.5).all()
