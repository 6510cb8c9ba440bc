"""The solver for stiff energies.

Its step is an implicit step of the flow, a damped Gauss-Newton (Levenberg-Marquardt) step.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.energy import Energy
from gfe_core.solvers.line_search import falls_enough, given_up, newton_step, slope_along
from gfe_core.solvers.step import State, Step
from gfe_core.types import Descent, Stop


@dataclass(frozen=True, kw_only=True)
class GaussNewton:
    """z <- z - (G + d m I)^-1 grad: G = J' W J, m its mean absolute diagonal, d the damping.

    A linearly implicit Euler step of the flow with the Gauss-Newton Hessian is the same step, with
    d m = 1 / (alpha dt): strong damping gives a short step downhill, no damping gives Newton's
    step. If a step does not lower the energy, it is rejected and its damping is raised. The same
    happens if G with its damping is not positive definite (a penalty may cause this). There is no
    flow time: t is NaN, and `dt` in a trajectory is the implicit step 1 / (alpha d m).

    Args:
        damping_init: d of the first step, > 0.
        decrease_factor: factor of d after an accepted step, in (0, 1).
        increase_factor: factor of d after a rejected step, > 1.
        damping_min, damping_max: range of d; a sample that needs more stops with STEP_TOO_SMALL.
        armijo_slope: required fraction of the predicted decrease, in (0, 1).

    Raises:
        ValueError: a field is out of range.

    Source: Levenberg 1944; Marquardt 1963; for the Gauss-Newton matrix of losses other than
        squares, Schraudolph 2002.
    """

    damping_init: float = 1e-1
    decrease_factor: float = 0.3
    increase_factor: float = 4.0
    damping_min: float = 1e-6
    damping_max: float = 1e8
    armijo_slope: float = 1e-4

    default_stop: ClassVar[Stop | None] = Stop()
    default_max_steps: ClassVar[int] = 100
    has_time = False
    """Its steps are not times of the exact flow."""
    memory = 1
    """Monotone."""

    def __post_init__(self) -> None:
        checks.as_python(self, checks.fraction, "decrease_factor", "armijo_slope")
        checks.as_python(self, checks.above_one, "increase_factor")
        checks.as_python(self, checks.number, "damping_min", "damping_init", "damping_max")
        low = self.damping_min
        first = self.damping_init
        high = self.damping_max
        wanted = "`damping_init` must lie between `damping_min` and `damping_max`, all positive"
        checks.require(0 < low <= first <= high, f"{wanted}, got {first}, {low} and {high}.")

    def schedule(self, z0: Tensor, t1: float) -> None:
        """Return None: there is no grid, because steps are chosen during the search."""

    def begin(self, energy: Energy, flow: Descent, state: State) -> None:
        """Set the first damping; the curvature is not yet known."""
        checks.first_order("GaussNewton", flow)
        latent = state.grad.shape[1]
        state.own = {
            "damping": torch.full_like(state.t, self.damping_init),
            "curvature": state.grad.new_zeros(len(state.t), latent, latent),
        }

    def step(self, energy: Energy, flow: Descent, state: State, *, t1: float) -> Step:
        """Propose one trial for every sample; the matrix is recomputed for samples that moved."""
        new = state.fresh | (state.n_accepted + state.n_rejected == 0)
        _refresh(energy, state, new)
        matrix = state.own["curvature"]
        damping = state.own["damping"]
        ridge = damping * matrix.diagonal(dim1=1, dim2=2).abs().mean(1).clamp(
            min=torch.finfo(damping.dtype).tiny
        )
        newton, definite = newton_step(matrix, ridge, state.grad)
        dz = torch.where(definite[:, None], newton, 0.0)
        slope = -slope_along(dz, state.grad)
        point = energy.at(state.z + dz)
        accepted = falls_enough(state, point.value, self.armijo_slope * slope, 1) & (slope > 0)
        damping = torch.where(
            accepted, damping * self.decrease_factor, damping * self.increase_factor
        )
        state.own["damping"] = damping.clamp(min=self.damping_min)
        status = given_up(
            state, accepted, torch.where(slope > 0, slope, 1.0), damping > self.damping_max
        )
        dt = 1 / (ridge * flow.alpha(state.t))
        counts = {"n_loss": new.long() + ~accepted, "n_hess": new * matrix.shape[1]}
        # Without a positive definite matrix, no model predicts a decrease.
        promise = torch.where(slope > 0, slope, torch.inf)
        return Step(state.z + dz, dt, dt, accepted, status, point, promise, **counts)


def _refresh(energy: Energy, state: State, new: Tensor) -> None:
    """Compute the matrix of the samples that moved.

    On a GPU it is computed for all samples, because counting those that moved would make the host
    wait.
    """
    if new.is_cuda or new.all():
        matrix = energy.gauss_newton(state.z)
        state.own["curvature"] = torch.where(new[:, None, None], matrix, state.own["curvature"])
    elif new.any():
        matrix = energy.rows(new).gauss_newton(state.z[new])
        state.own["curvature"] = state.own["curvature"].index_put((new,), matrix)
