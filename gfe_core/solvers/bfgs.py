"""A quasi-Newton method that learns each sample's curvature from its past gradients."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gfe_core import checks, threads
from gfe_core.energy import Energy
from gfe_core.solvers.line_search import (
    falls_enough,
    first_trial,
    given_up,
    length_of,
    slope_along,
    unit_of,
)
from gfe_core.solvers.step import State, Step
from gfe_core.types import Descent, Stop


@dataclass(frozen=True, kw_only=True)
class BFGS:
    """z <- z - a B grad with the Armijo test; B is each sample's inverse curvature.

    After a step dz that changed the gradient by dg, with r = 1 / <dz, dg>:

        B <- (I - r dz dg') B (I - r dg dz') + r dz dz'

    The update is omitted if <dz, dg> is not positive, so B stays positive definite and every step
    points downhill. Once, at attempt `matrix_at`, B is replaced by the inverse of the Gauss-Newton
    matrix with a tenth of its mean diagonal added: the code is then far enough from the origin for
    the matrix to be informative, and enough steps remain to benefit from it. There is no flow time:
    t is NaN, and `dt` in a trajectory is the fraction a of the full step. The whole matrix is
    stored: for the few latents of a decoder it is smaller than the history of a limited-memory
    method.

    Args:
        armijo_slope: sigma, in (0, 1): required fraction of the predicted decrease.
        memory: number of energies that the test uses, >= 1; with 1 the method is monotone.
        dt_init: factor of the unit matrix that B is at the start, > 0; None takes the inverse
            curvature along the gradient.
        matrix_at: attempt, counted from 0, at which the Gauss-Newton matrix is computed. It costs a
            forward pass and one Jacobian-vector product for each latent. None never computes it.
        dt_min: smallest fraction a of a full step, in (0, 1); a sample that needs less stops with
            STEP_TOO_SMALL.

    Raises:
        ValueError: a field is out of range.

    Source: Nocedal & Wright 2006, algorithm 6.1 and equation 6.20 (first scaling), with
        backtracking by interpolation.
    """

    armijo_slope: float = 1e-4
    memory: int = 1
    dt_init: float | None = None
    matrix_at: int | None = 8
    dt_min: float = 1e-6

    default_stop: ClassVar[Stop | None] = Stop()
    default_max_steps: ClassVar[int] = 500
    has_time = False
    """Its path is not that of the flow."""

    def __post_init__(self) -> None:
        checks.as_python(self, checks.fraction, "armijo_slope", "dt_min")
        checks.as_python(self, checks.at_least_one, "memory")
        checks.as_python(self, checks.at_least_one, "matrix_at", or_none=True)
        checks.as_python(self, checks.finite_positive, "dt_init", or_none=True)

    def schedule(self, z0: Tensor, t1: float) -> None:
        """Return None: there is no grid, because steps are chosen during the search."""

    def begin(self, energy: Energy, flow: Descent, state: State) -> None:
        """Set the first matrix: a multiple of the unit matrix.

        It multiplies gradients in units of each sample's first gradient, whose squares do not
        underflow.
        """
        checks.first_order("BFGS", flow)
        estimate = (
            first_trial(energy, state)
            if self.dt_init is None
            else torch.full_like(state.t, self.dt_init)
        )
        unit = unit_of(state.grad)
        eye = torch.eye(state.grad.shape[1]).to(state.grad)
        state.own = {
            "inverse": (unit * estimate)[:, None, None] * eye,
            "unit": unit,
            "updates": torch.zeros_like(state.index),
        }

    def step(self, energy: Energy, flow: Descent, state: State, *, t1: float) -> Step:
        """Propose one trial for every sample.

        It is the full step after an update, and a shorter one after a rejection.
        """
        _update(state)
        restarts = state.attempt == self.matrix_at
        if restarts:
            _restart(state, energy.gauss_newton(state.z))
        direction = -_apply(state.own["inverse"], state.grad / state.own["unit"][:, None])
        slope = -slope_along(direction, state.grad)
        a = (
            torch.where(state.fresh, 1.0, state.dt)
            if state.attempt and not restarts
            else torch.ones_like(state.dt)
        )
        z = state.z + a[:, None] * direction
        point = energy.at(z)
        accepted = falls_enough(state, point.value, self.armijo_slope * a * slope, self.memory)
        rise = point.value - state.energy + a * slope
        # The minimum of the parabola through both energies with the slope at the start.
        lowest = (a * a * slope / (2 * rise)).nan_to_num(nan=0.0)
        a_next = torch.where(accepted, a, lowest.clamp(0.1 * a, 0.5 * a))
        status = given_up(state, accepted, a_next * slope, a_next < self.dt_min)
        counts = {"n_loss": (~accepted).long() + restarts, "n_hess": restarts * z.shape[1]}
        return Step(z, a, a_next, accepted, status, point, slope, **counts)


def _apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Return the product of matrix and vector for each sample.

    A batched matrix product would round a single sample differently.
    """
    return (matrices * vectors[:, None]).sum(2)


def _restart(state: State, matrix: Tensor) -> None:
    """Set B to the inverse of a Gauss-Newton matrix.

    If that matrix is not positive definite, keep B.
    """
    ridge = (
        0.1
        * matrix.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        * torch.eye(matrix.shape[1]).to(matrix)
    )
    factor, fault = torch.linalg.cholesky_ex(threads.wide(matrix + ridge))
    sound = (fault == 0)[:, None, None]
    inverse = torch.cholesky_inverse(
        torch.where(sound, factor, torch.eye(matrix.shape[1]).to(factor))
    )
    inverse = inverse.to(matrix.dtype) * state.own["unit"][:, None, None]
    state.own["inverse"] = torch.where(sound, inverse, state.own["inverse"])


def _update(state: State) -> None:
    """Update B by the last step of the samples that moved."""
    inverse = state.own["inverse"]
    n_updates = state.own["updates"]
    dz = state.z - state.z_previous
    dg = (state.grad - state.grad_previous) / state.own["unit"][:, None]
    curvature = (dz * dg).sum(1)
    # For a smaller cosine, rounding leaves no correct digit, and the matrix diverges.
    least = torch.finfo(dz.dtype).eps ** 0.5
    learns = state.fresh & (curvature > least * length_of(dz) * length_of(dg))
    r = 1 / torch.where(learns, curvature, 1.0)
    scale = torch.where(learns & (n_updates == 0), curvature / dg.square().sum(1), 0.0)[
        :, None, None
    ]
    inverse = torch.where(scale > 0, scale * torch.eye(dz.shape[1]).to(dz), inverse)
    moved = _apply(inverse, dg)
    cross = dz[:, :, None] * moved[:, None, :]
    along = (r * r * (dg * moved).sum(1) + r)[:, None, None] * (dz[:, :, None] * dz[:, None, :])
    updated = inverse - r[:, None, None] * (cross + cross.transpose(1, 2)) + along
    bolder = torch.where((state.fresh & ~learns)[:, None, None], 2 * inverse, inverse)
    state.own["inverse"] = torch.where(learns[:, None, None], updated, bolder)
    state.own["updates"] = n_updates + learns
