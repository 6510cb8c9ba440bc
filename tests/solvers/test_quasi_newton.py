"""What BFGS and LBFGS have in common."""

import math

import pytest
import torch
from problems import EPS, digits, energy_and_gradient, quadratic, statuses, trained

import gfe_core as gfe
from gfe_core.types import Encoding, Status, Trajectory

STUBBORN = gfe.Stop(grad_norm=0.0, energy_slope=0.0)
pytestmark = pytest.mark.parametrize("kind_of_solver", [gfe.BFGS, gfe.LBFGS])
QuasiNewton = type[gfe.BFGS] | type[gfe.LBFGS]


def followed(
    decoder: str, solver: gfe.BFGS | gfe.LBFGS, n: int = 12, **arguments
) -> tuple[Encoding, Trajectory]:
    encoding = gfe.encode(
        trained(decoder), digits(n), solver=solver, save_at=gfe.SaveAt.steps(), **arguments
    )
    assert encoding.trajectory is not None
    return encoding, encoding.trajectory


@pytest.mark.parametrize("decoder", ["mlp", "conv", "linear"])
def test_every_accepted_step_satisfies_the_armijo_test_and_energy_never_rises(
    decoder: str, kind_of_solver: QuasiNewton
):
    solver = kind_of_solver(armijo_slope=0.1)
    encoding, path = followed(decoder, solver, max_steps=60, stop=STUBBORN)
    x = digits(12)
    accepted = path.accepted[:-1]
    values, gradients = zip(
        *(energy_and_gradient(trained(decoder), x, z) for z in path.z), strict=True
    )
    energy = torch.stack(values)
    gradient = torch.stack(gradients)
    promised = -0.1 * (gradient[:-1] * path.z.diff(dim=0)).sum(2)
    # two energies near 0.5, each a mean of 64 terms summed in another order than ours, and the
    # solver's own 2 EPS |E|
    assert (energy[:-1] - energy[1:] - promised)[accepted].min() >= -16 * EPS
    assert (path.energy.diff(dim=0) <= 0).all() and torch.equal(encoding.energy, path.energy[-1])
    assert accepted.sum() > 12 * 5


def test_memory_may_rise_but_never_above_the_last_energies(kind_of_solver: QuasiNewton):
    _, path = followed("mlp", kind_of_solver(memory=8), max_steps=60, n=24)
    worst = path.energy.unfold(0, 8, 1).amax(2)
    assert (path.energy[8:] <= worst[:-1]).all()


def test_refused_step_is_shortened_by_interpolation_between_a_tenth_and_a_half(
    kind_of_solver: QuasiNewton,
):
    problem = quadratic()
    path = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=kind_of_solver(dt_init=1.5),
        max_steps=2,
        save_at=gfe.SaveAt.steps(),
    ).trajectory
    assert path is not None and (path.mask[-1]).all() and len(path.t) == 2
    # the energy along a line is a parabola: its interpolation is the inverse curvature along the
    # gradient
    gradient = problem.minimum @ (problem.axes * problem.curvature @ problem.axes.T)
    along = ((gradient @ (problem.axes * problem.curvature @ problem.axes.T)) * gradient).sum(1)
    expected = gradient.square().sum(1) / along / 1.5
    torch.testing.assert_close(path.dt[0], expected.clamp(0.1, 0.5), rtol=1e-10, atol=0)


def test_codes_are_about_as_good_as_those_of_descent(kind_of_solver: QuasiNewton):
    quasi = gfe.encode(trained("mlp"), digits(24), solver=kind_of_solver())
    plain = gfe.encode(trained("mlp"), digits(24), solver=gfe.AMD())
    # other basins are possible for single samples; on average both explain the pictures alike
    assert quasi.energy.mean() < plain.energy.mean() + 2e-3
    assert set(statuses(quasi)) == {Status.CONVERGED}


def test_start_of_zero_energy_does_not_hold_the_codes(kind_of_solver: QuasiNewton):
    problem = quadratic()
    x = problem.decoder.linear.bias.detach().expand(5, -1).clone()
    found = gfe.encode(
        problem.decoder,
        x,
        loss=problem.loss,
        solver=kind_of_solver(),
        penalty=lambda z: z.sum(1),
        stop=gfe.Stop(gain_rtol=1e-10),
    )
    assert statuses(found) == [Status.CONVERGED] * 5
    expected = (
        -0.25 * (1 / problem.curvature * (problem.axes.sum(0) ** 2)).sum()
    )  # of z'Az / 2 + <1, z>, doubled
    torch.testing.assert_close(found.energy, (2 * expected).expand(5), rtol=1e-9, atol=0)


def test_flow_with_momentum_is_refused(kind_of_solver: QuasiNewton):
    name = kind_of_solver.__name__
    message = rf"`{name}` has no momentum, but `flow` is NesterovFlow.*Use `GradientFlow\(\)`"
    with pytest.raises(ValueError, match=message):
        gfe.encode(trained("mlp"), digits(2), solver=kind_of_solver(), flow=gfe.NesterovFlow())


def test_end_time_is_refused_as_there_is_no_time(kind_of_solver: QuasiNewton):
    message = f"`t1` is 5.0, but {kind_of_solver.__name__}.*has no flow time"
    with pytest.raises(ValueError, match=message):
        gfe.encode(trained("mlp"), digits(2), solver=kind_of_solver(), t1=5.0)
    found = gfe.encode(trained("mlp"), digits(2), solver=kind_of_solver(), max_steps=2)
    assert found.t.isnan().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"armijo_slope": 0.0}, "`armijo_slope` must lie strictly between 0 and 1"),
        ({"memory": 0}, "`memory` must be at least 1"),
        ({"dt_min": 0.0}, "`dt_min` must lie strictly between 0 and 1"),
        ({"dt_init": math.inf}, "`dt_init` must be a positive finite number"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(
    arguments: dict[str, float], message: str, kind_of_solver: QuasiNewton
):
    with pytest.raises(ValueError, match=message):
        kind_of_solver(**arguments)  # pyright: ignore[reportArgumentType]
