import math
from itertools import pairwise
from unittest.mock import Mock

import pytest
import torch
from problems import Counting, digits, fresh, quadratic, statuses, trained
from torch import Tensor

import gfe_core as gfe
from gfe_core.solvers import State, Step, bfgs
from gfe_core.types import Descent, Status

STUBBORN = gfe.Stop(grad_norm=0.0, energy_slope=0.0)


class Watched(gfe.BFGS):
    """Keeps the matrices of the samples that are still flowing, one list entry for each attempt."""

    def step(self, energy: gfe.Energy, flow: Descent, state: State, *, t1: float) -> Step:
        step = super().step(energy, flow, state, t1=t1)
        # what multiplies gradients in units of the first one
        inverse = state.own["inverse"] / state.own["unit"][:, None, None]
        SEEN.append((inverse, state.own["updates"].clone(), state.index.clone()))
        return step


SEEN: list[tuple[Tensor, Tensor, Tensor]] = []


def seen(**arguments) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return what a watched encode kept."""
    SEEN.clear()
    gfe.encode(solver=Watched(matrix_at=None), **arguments)
    return list(SEEN)


@pytest.mark.parametrize("condition", [10.0, 1e3])
def test_quadratic_of_few_latents_is_solved_in_a_few_steps_more(condition):
    problem = quadratic(torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64).tolist())
    stop = gfe.Stop(grad_norm=1e-8, energy_slope=0.0)
    found = gfe.encode(problem.decoder, problem.x, loss=problem.loss, solver=gfe.BFGS(), stop=stop)
    assert statuses(found) == [Status.CONVERGED] * 5
    assert (
        found.statistics.n_steps.max() <= 6 * 5
    )  # full steps are no line minima: a few times the six of theory
    torch.testing.assert_close(found.z, problem.minimum, rtol=0, atol=2e-8 * condition)


def test_inverse_becomes_that_of_the_hessian():
    problem = quadratic()
    kept = seen(
        decoder=problem.decoder,
        x=problem.x,
        loss=problem.loss,
        stop=gfe.Stop(grad_norm=1e-9, energy_slope=0),
    )
    expected = problem.axes / problem.curvature @ problem.axes.T
    errors = [
        (inverse - expected).norm(dim=(1, 2)).max().item()
        for inverse, _, index in kept
        if len(index) == 5
    ]
    assert errors[-1] < 0.1 * errors[0]


def test_inverse_stays_symmetric_and_positive_definite():
    kept = seen(decoder=trained("mlp"), x=digits(12), stop=STUBBORN, max_steps=60)
    n_updates = 0
    for inverse, updates, _ in kept:
        largest = inverse.abs().amax((1, 2))
        asymmetry = (inverse - inverse.transpose(1, 2)).abs().amax((1, 2))
        assert (
            asymmetry <= 1e-10 * largest
        ).all()  # entries of both triangles are summed in the same order
        assert (torch.linalg.eigvalsh(inverse)[:, 0] > 0).all()
        n_updates = max(n_updates, int(updates.max()))
    assert n_updates > 20


def test_curvature_that_rounding_made_is_not_learnt_from(generator):
    dz = torch.randn(200, 6, generator=generator)
    across = torch.randn(200, 6, generator=generator)
    across = across - (across * dz).sum(1, keepdim=True) / dz.square().sum(1, keepdim=True) * dz
    dg = across + 1e-6 * dz  # in float32 its angle to dz has no correct digit
    own = {
        "inverse": torch.eye(6).expand(200, 6, 6).clone(),
        "unit": torch.ones(200),
        "updates": torch.ones(200, dtype=torch.long),
    }
    zero = torch.zeros_like(dz)
    moved = torch.ones(200, dtype=torch.bool)
    state = Mock(
        spec=State, z=dz, z_previous=zero, grad=dg, grad_previous=zero, fresh=moved, own=own
    )
    bfgs._update(state)
    eigenvalues = torch.linalg.eigvalsh(own["inverse"].double())
    assert eigenvalues.min() > 0 and eigenvalues.max() <= 2


def test_update_maps_the_change_of_the_gradient_to_the_step():
    problem = quadratic()
    path = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=gfe.BFGS(),
        max_steps=4,
        save_at=gfe.SaveAt.steps(),
    ).trajectory
    kept = seen(decoder=problem.decoder, x=problem.x, loss=problem.loss, max_steps=4)
    assert path is not None and path.mask.all() and len(kept) == 4
    hessian = problem.axes * problem.curvature @ problem.axes.T
    for row in range(3):
        dz = path.z[row + 1] - path.z[row]
        found = torch.einsum("bij,bj->bi", kept[row + 1][0], dz @ hessian)
        torch.testing.assert_close(
            found, dz, rtol=0, atol=1e-12
        )  # the secant equation, on steps of order one


def test_matrix_is_taken_once_and_gives_the_damped_newton_step():
    problem = quadratic()
    arguments = {"loss": problem.loss, "max_steps": 4, "save_at": gfe.SaveAt.steps()}
    found = gfe.encode(problem.decoder, problem.x, solver=gfe.BFGS(matrix_at=2), **arguments)
    path = found.trajectory
    assert path is not None and path.mask[:4].all()
    hessian = problem.axes * problem.curvature @ problem.axes.T
    damped = hessian + 0.1 * problem.curvature.mean() * torch.eye(4, dtype=torch.float64)
    gradient = (path.z[2] - problem.minimum) @ hessian
    expected = path.z[2] - torch.linalg.solve(damped, gradient, left=False)
    torch.testing.assert_close(path.z[3], expected, rtol=0, atol=1e-13)  # codes of order one
    assert (
        found.statistics.n_hess.tolist() == [4] * 5 and found.statistics.n_loss.tolist() == [1] * 5
    )
    never = gfe.encode(
        problem.decoder, problem.x, solver=gfe.BFGS(matrix_at=None), **arguments
    ).statistics
    assert never.n_hess.tolist() == never.n_loss.tolist() == [0] * 5


@pytest.mark.parametrize("weight", [0.5, 10.0])  # a tenth of the mean diagonal does not fix these
def test_matrix_that_is_not_positive_definite_is_left_alone(weight):
    problem = quadratic()
    arguments = {
        "loss": problem.loss,
        "penalty": lambda z: -weight * z.square().sum(1),
        "max_steps": 6,
    }
    with_matrix = gfe.encode(problem.decoder, problem.x, solver=gfe.BFGS(matrix_at=2), **arguments)
    without = gfe.encode(problem.decoder, problem.x, solver=gfe.BFGS(matrix_at=None), **arguments)
    assert torch.equal(with_matrix.z, without.z) and with_matrix.z.isfinite().all()


def test_step_that_finds_no_positive_curvature_makes_the_next_one_bolder():
    problem = quadratic()
    kept = seen(
        decoder=problem.decoder,
        x=problem.x,
        loss=problem.loss,
        max_steps=4,
        penalty=lambda z: -10 * z.square().sum(1),
    )
    for before, after in pairwise(kept):
        assert torch.equal(after[0], 2 * before[0]) and (after[1] == 0).all()


def test_counts_equal_those_of_a_counting_decoder():
    rejected = 0
    for x in digits(6).split(1):
        decoder = Counting(fresh("mlp"))
        counts = gfe.encode(decoder, x, solver=gfe.BFGS(dt_init=1e4), max_steps=60).statistics
        assert counts.n_grad.item() == 1 + counts.n_accepted.item()
        # the matrix decodes once and goes back once; its products are derivatives of that way back
        assert decoder.calls["forward"] == counts.n_loss.item() + counts.n_grad.item()
        assert decoder.calls["backward"] == counts.n_grad.item() + 1
        assert (
            counts.n_loss.item() == counts.n_rejected.item() + 1 and counts.n_hess.item() == 8
        )  # one matrix
        rejected += counts.n_rejected.item()
    assert rejected > 0
    first = gfe.encode(
        trained("mlp"), digits(1), solver=gfe.BFGS(), stop=gfe.Stop(grad_norm=1e9)
    ).statistics
    assert first.n_grad.item() == 2  # the estimate of the first matrix takes one


def test_matrix_before_the_first_attempt_is_refused():
    with pytest.raises(ValueError, match="`matrix_at` must be at least 1"):
        gfe.BFGS(matrix_at=0)


def test_repr_can_be_pasted_back():
    assert eval(repr(gfe.BFGS(memory=3)), {"BFGS": gfe.BFGS}) == gfe.BFGS(memory=3)
