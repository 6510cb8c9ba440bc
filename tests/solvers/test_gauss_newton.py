import copy
import math

import pytest
import torch
from problems import EPS, Counting, digits, fresh, generator, quadratic, statuses, trained
from torch import Tensor

import gfe_core as gfe
from gfe_core.types import Decoder, Encoding, Status, Trajectory

STUBBORN = gfe.Stop(grad_norm=0.0, energy_slope=0.0)


def followed(
    kind: str, solver: gfe.GaussNewton, n: int = 12, **arguments
) -> tuple[Encoding, Trajectory]:
    encoding = gfe.encode(
        trained(kind), digits(n), solver=solver, save_at=gfe.SaveAt.steps(), **arguments
    )
    assert encoding.trajectory is not None
    return encoding, encoding.trajectory


def implicit_euler(decoder: Decoder, x: Tensor, z: Tensor, dt: Tensor, rate: float) -> Tensor:
    """Return z + dz of one sample with (I + alpha dt G) dz = -alpha dt grad, all by plain torch."""
    logits = decoder(z[None])[0].detach()
    jacobian = torch.autograd.functional.jacobian(lambda code: decoder(code[None])[0], z)
    assert isinstance(jacobian, Tensor)
    p = torch.sigmoid(logits)
    grad = jacobian.T @ (p - x) / 64
    matrix = jacobian.T @ ((p * (1 - p))[:, None] * jacobian) / 64
    return z - torch.linalg.solve(torch.eye(8) + rate * dt * matrix, rate * dt * grad)


@pytest.mark.parametrize("rate", [1.0, 2.5])
@pytest.mark.parametrize("kind", ["mlp", "conv", "linear"])
def test_every_accepted_step_is_a_linearly_implicit_euler_step_of_the_flow(kind, rate):
    _, path = followed(kind, gfe.GaussNewton(), n=4, max_steps=8, flow=gfe.GradientFlow(rate=rate))
    compared = 0
    for row, i in path.accepted[:-1].nonzero().tolist():
        expected = implicit_euler(
            trained(kind), digits(4)[i], path.z[row, i], path.dt[row, i], rate
        )
        # codes below 30; the system is solved in another order and scale, its condition at most
        # about 1e4
        torch.testing.assert_close(path.z[row + 1, i], expected, rtol=0, atol=1e-10)
        compared += 1
    assert compared > 12


def test_first_implicit_step_is_one_over_the_damping_of_the_mean_curvature():
    problem = quadratic()
    rate = 2.0
    for damping in (1e-3, 1e-1, 10.0):
        path = gfe.encode(
            problem.decoder,
            problem.x,
            loss=problem.loss,
            solver=gfe.GaussNewton(damping_init=damping),
            flow=gfe.GradientFlow(rate=rate),
            max_steps=1,
            save_at=gfe.SaveAt.steps(),
        ).trajectory
        assert path is not None
        expected = 1 / (
            rate * damping * problem.curvature.mean()
        )  # the mean of the diagonal is that of the spectrum
        torch.testing.assert_close(path.dt[0], expected.expand(5), rtol=64 * EPS, atol=0)


def test_linear_least_squares_is_solved_in_a_few_steps_whatever_the_condition():
    for curvature in ((4.0, 2.0, 1.0, 0.5), (1e3, 1.0, 1e-1, 1e-2)):
        problem = quadratic(curvature)
        stop = gfe.Stop(grad_norm=1e-5, energy_slope=0.0)
        found = gfe.encode(
            problem.decoder, problem.x, loss=problem.loss, solver=gfe.GaussNewton(), stop=stop
        )
        assert statuses(found) == [Status.CONVERGED] * 5
        assert found.statistics.n_steps.max() <= 14  # the damping falls by 0.3 a step, down to 1e-6
        torch.testing.assert_close(found.z, problem.minimum, rtol=0, atol=1e-5 / min(curvature))
        lowest = problem.energy(problem.minimum)
        torch.testing.assert_close(
            found.energy, lowest, rtol=0, atol=1e-10 / min(curvature) + 64 * EPS
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_converged_means_little_is_left_along_an_axis_that_damped_steps_hardly_moved_along(dtype):
    """Axes whose effects span three decades, and data of equal size along all of them."""
    random = generator()
    for latent in (2, 4, 8):
        decoder = gfe.LinearDecoder(latent_dim=latent, data_dim=24, generator=random).to(dtype)
        left = torch.linalg.qr(torch.randn(24, latent, generator=random))[0]
        turn = torch.linalg.qr(torch.randn(latent, latent, generator=random))[0]
        with torch.no_grad():
            decoder.linear.weight.copy_(left * torch.logspace(0, -3, latent) @ turn)
            decoder.linear.bias.zero_()
        x = torch.randn(16, 24, generator=random).to(dtype)
        found = gfe.encode(decoder, x, loss=gfe.Gaussian(), solver=gfe.GaussNewton())
        exact = torch.linalg.lstsq(decoder.linear.weight.detach().double(), x.T.double()).solution.T
        energy = gfe.Energy(copy.deepcopy(decoder).double(), x.double(), gfe.Gaussian())
        start, here, least = (
            energy.value(z) for z in (torch.zeros_like(exact), found.z.double(), exact)
        )
        converged = found.status == Status.CONVERGED
        assert converged.sum() >= 12
        share = (here - least) / (start - here)
        assert share[converged].max() <= 1e-3, "up to 17 times the descent by the steps alone"


@pytest.mark.parametrize("kind", ["mlp", "conv", "linear"])
def test_energy_never_rises_and_falls_by_what_was_demanded(kind):
    solver = gfe.GaussNewton(armijo_slope=0.1)
    encoding, path = followed(kind, solver, stop=STUBBORN, max_steps=25)
    assert (path.energy.diff(dim=0) <= 0).all() and torch.equal(encoding.energy, path.energy[-1])
    energy = gfe.Energy(trained(kind), digits(12), gfe.Bernoulli())
    promised = [
        -(energy.value_and_grad(a)[1] * (b - a)).sum(1)
        for a, b in zip(path.z, path.z[1:], strict=False)
    ]
    slack = -path.energy.diff(dim=0) - 0.1 * torch.stack(promised)
    assert (
        slack[path.accepted[:-1]].min() >= -4 * EPS
    )  # the slack of the solver, on energies below one


def test_rejected_steps_reuse_the_matrix():
    solver = gfe.GaussNewton(damping_init=1e-6)  # so bold that the first steps are refused
    rejected = 0
    for x in digits(6).split(1):
        decoder = Counting(fresh("mlp"))
        counts = gfe.encode(decoder, x, solver=solver, max_steps=15).statistics
        matrices = counts.n_hess.item() // 8
        assert counts.n_hess.item() == 8 * matrices
        assert (
            counts.n_accepted.item() <= matrices <= counts.n_accepted.item() + 1
        )  # the last may be used no more
        assert counts.n_loss.item() == counts.n_rejected.item() + matrices
        assert counts.n_grad.item() == 1 + counts.n_accepted.item()
        # a matrix decodes once and goes back once; its products are derivatives of that way back
        assert decoder.calls["forward"] == counts.n_loss.item() + counts.n_grad.item()
        assert decoder.calls["backward"] == counts.n_grad.item() + matrices
        rejected += counts.n_rejected.item()
    assert rejected > 6


def test_damping_moves_by_its_factors_and_stays_above_its_least():
    problem = quadratic()
    solver = gfe.GaussNewton(damping_init=1.0, decrease_factor=0.1, damping_min=1e-3)
    arguments = {
        "loss": problem.loss,
        "stop": STUBBORN,
        "max_steps": 6,
        "save_at": gfe.SaveAt.steps(),
    }
    path = gfe.encode(problem.decoder, problem.x, solver=solver, **arguments).trajectory
    assert path is not None
    damping = 1 / (path.dt[:5] * problem.curvature.mean())
    expected = torch.tensor([1.0, 0.1, 0.01, 1e-3, 1e-3], dtype=torch.float64)[:, None].expand(
        -1, 5
    )
    torch.testing.assert_close(damping, expected, rtol=1e-12, atol=0)  # sums of four terms


def saddle(z: Tensor) -> Tensor:
    return -5 * z[:, 0].square() + z.pow(4).sum(1)


def hill(z: Tensor) -> Tensor:
    return -10 * z.square().sum(1)


def test_negative_curvature_of_a_penalty_is_met_by_damping():
    problem = quadratic()
    found = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=gfe.GaussNewton(),
        penalty=saddle,
        stop=gfe.Stop(gain_rtol=1e-7),
    )
    energy = gfe.Energy(problem.decoder, problem.x, problem.loss, penalty=saddle)
    at_start = torch.linalg.eigvalsh(energy.gauss_newton(torch.zeros(5, 4, dtype=torch.float64)))
    assert (at_start[:, 0] < -5).all() and found.statistics.n_rejected.min() > 0
    assert statuses(found) == [Status.CONVERGED] * 5
    assert torch.linalg.eigvalsh(energy.hessian(found.z)).min() > 0
    assert found.grad_norm.max() < 0.05


@pytest.mark.parametrize("weight", [0.02, 0.3, 10.0])
def test_penalty_without_a_lower_bound_ends_with_a_status_and_finite_codes(weight):
    # with the least weight one latent direction goes downhill for ever, with the largest all do
    problem = quadratic(curvature=(4.0, 2.0, 1.0, 0.01))
    found = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=gfe.GaussNewton(),
        penalty=lambda z: weight * hill(z) / 10,
    )
    ends = {Status.STEP_TOO_SMALL, Status.MAX_STEPS, Status.STALLED}
    assert set(statuses(found)) <= ends
    assert (
        found.z.isfinite().all()
        and found.energy.isfinite().all()
        and found.grad_norm.isfinite().all()
    )
    assert (found.energy < -1e3).all()  # it went down and was not stuck at the start


def test_sample_that_needs_more_damping_than_allowed_stops_where_it_is():
    solver = gfe.GaussNewton(damping_init=1e-6, damping_max=1e-6)
    found = gfe.encode(fresh("mlp"), digits(12), solver=solver, max_steps=40)
    given_up = found.status == Status.STEP_TOO_SMALL
    assert given_up.any() and (found.statistics.n_rejected[given_up] == 1).all()
    assert found.z.isfinite().all()


def test_stiff_codes_take_fewer_steps_than_by_descent():
    tight = gfe.Stop(grad_norm=1e-5, energy_slope=0.0)
    implicit = gfe.encode(
        trained("mlp"), digits(12), solver=gfe.GaussNewton(), stop=tight, max_steps=40
    )
    assert (implicit.status == Status.CONVERGED).sum() >= 6
    explicit = gfe.encode(trained("mlp"), digits(12), solver=gfe.AMD(), stop=tight, max_steps=40)
    assert (explicit.status == Status.CONVERGED).sum() < (implicit.status == Status.CONVERGED).sum()


def test_flow_with_momentum_is_refused():
    with pytest.raises(
        ValueError,
        match=r"`GaussNewton` has no momentum, but `flow` is NesterovFlow.*`SemiImplicit`",
    ):
        gfe.encode(trained("mlp"), digits(2), solver=gfe.GaussNewton(), flow=gfe.NesterovFlow())


def test_end_time_is_refused_as_there_is_no_time():
    with pytest.raises(ValueError, match=r"`t1` is 5.0, but GaussNewton.*has no flow time"):
        gfe.encode(trained("mlp"), digits(2), solver=gfe.GaussNewton(), t1=5.0)
    assert (
        gfe.encode(trained("mlp"), digits(2), solver=gfe.GaussNewton(), max_steps=2).t.isnan().all()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decrease_factor": 1.0}, "`decrease_factor` must lie strictly between 0 and 1"),
        ({"armijo_slope": 0.0}, "`armijo_slope` must lie strictly between 0 and 1"),
        ({"increase_factor": 1.0}, "`increase_factor` must be above 1"),
        ({"damping_init": 0.0}, "`damping_init` must lie between `damping_min` and `damping_max`"),
        (
            {"damping_init": math.nan},
            "`damping_init` must lie between `damping_min` and `damping_max`",
        ),
        ({"damping_min": 1.0}, "`damping_init` must lie between `damping_min` and `damping_max`"),
        ({"damping_max": 1e-3}, "`damping_init` must lie between `damping_min` and `damping_max`"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gfe.GaussNewton(**arguments)


def test_repr_can_be_pasted_back():
    solver = gfe.GaussNewton(damping_init=0.5)
    assert eval(repr(solver), {"GaussNewton": gfe.GaussNewton}) == solver


@pytest.mark.parametrize("latent", [2, 20])
def test_codes_of_other_latent_sizes_do_not_depend_on_the_batch_either(latent):
    decoder = gfe.MLPDecoder(
        latent_dim=latent, hidden=(32,), data_dim=64, generator=generator()
    ).double()
    for solver in (gfe.GaussNewton(), gfe.BFGS(), gfe.LBFGS()):
        whole = gfe.encode(decoder, digits(19), solver=solver, max_steps=10).z
        parts = [
            gfe.encode(decoder, x, solver=solver, max_steps=10).z
            for x in digits(19).split([1, 5, 13])
        ]
        assert torch.equal(torch.cat(parts), whole)
