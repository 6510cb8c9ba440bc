"""An embedded Runge-Kutta pair with error control, the usual first choice of a solver."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.energy import Energy
from gfe_core.flows import States
from gfe_core.solvers.line_search import first_trial
from gfe_core.solvers.runge_kutta import gradient_of, slope
from gfe_core.solvers.step import Gradient, Node, State, Step
from gfe_core.types import Descent, Flow, Status, Stop

_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_FIFTH = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


@dataclass(frozen=True, kw_only=True)
class Dopri5:
    """The Dormand-Prince pair of orders five and four, with a step size for each sample.

    A step is accepted if the root mean square of error / (atol + rtol |y|) is at most 1. On the
    gradient flow, stability soon limits the step to about 3.3 / (alpha lambda_max), whatever the
    tolerance: this limit is the sign of stiffness.

    Args:
        rtol: tolerated error of a step relative to the state, >= 0.
        atol: tolerated absolute error of a step, in latent units, > 0.
        dt_init: first step in flow units; None takes the inverse curvature along the first
            gradient.
        dt_min: smallest step as a fraction of the first step, in (0, 1); a sample that needs less
            stops with STEP_TOO_SMALL.

    Raises:
        ValueError: a tolerance or a step is out of range.

    Source: Dormand & Prince 1980.
    """

    rtol: float = 1e-3
    atol: float = 1e-4
    dt_init: float | None = None
    dt_min: float = 1e-9

    default_stop: ClassVar[Stop | None] = None
    default_max_steps: ClassVar[int] = 10_000
    has_time = True
    """It follows the flow in time."""
    memory = 1
    """The solver uses no earlier energies."""

    def __post_init__(self) -> None:
        checks.as_python(self, checks.number, "rtol")
        checks.require(
            0 <= self.rtol < math.inf, f"`rtol` must be at least 0 and finite, got {self.rtol}."
        )
        checks.as_python(self, checks.finite_positive, "atol")
        checks.as_python(self, checks.finite_positive, "dt_init", or_none=True)
        checks.as_python(self, checks.fraction, "dt_min")

    def schedule(self, z0: Tensor, t1: float) -> None:
        """Return None: there is no grid, because steps are chosen during the flow."""

    def begin(self, energy: Energy, flow: Descent, state: State) -> None:
        """Set the first step: dt_init, or the inverse curvature along the gradient in time."""
        if self.dt_init is not None:
            state.dt = torch.full_like(state.t, self.dt_init)
        else:
            checks.descent("Dopri5(dt_init=None)", flow)
            state.dt = (first_trial(energy, state) / flow.alpha(state.t)) ** (1 / flow.order)
        state.own = {"first": state.dt}

    def step(self, energy: Energy, flow: Flow, state: State, *, t1: float) -> Step:
        """Propose one trial for every sample: five gradients, and one at the new point."""
        dt = state.dt.minimum(t1 - state.t)
        column = dt[:, None]
        k = _slopes(gradient_of(energy), flow, replace(state, dt=dt))
        y = state.y + column * _combined(k, _FIFTH)
        point = energy.at(y[:, : state.grad.shape[1]])
        k.append(flow.velocity(state.t + dt, y, point.grad()))
        scale = self.atol + self.rtol * state.y.abs().maximum(y.abs())
        error = (
            (column * _combined(k, _ERROR) / scale).square().mean(1).sqrt().nan_to_num(nan=math.inf)
        )
        accepted = error <= 1
        # exp and log, because a power rounds differently by the position in the batch.
        factor = (0.9 * torch.exp(-torch.log(error) / 5)).clamp(0.2, 10)
        # A step that was cut at t1 does not change the step size.
        kept = torch.where(accepted & (dt < state.dt), state.dt, dt * factor)
        too_small = ~accepted & (kept < self.dt_min * state.own["first"])
        status = torch.where(too_small, int(Status.STEP_TOO_SMALL), torch.zeros_like(state.status))
        return Step(y, dt, kept, accepted, status, point, n_grad=5 + (~accepted).long())

    def moved(self, gradient: Gradient, flow: Flow, at: Node) -> States:
        """Return the state after a step."""
        return at.y + at.dt[:, None] * _combined(_slopes(gradient, flow, at), _FIFTH)


def _slopes(gradient: Gradient, flow: Flow, at: Node) -> list[Tensor]:
    """Return the slopes at the start and at the five nodes; takes five gradients."""
    k = [flow.velocity(at.t, at.y, at.grad)]
    latent = at.grad.shape[1]
    for node, weights in zip(_NODES, _STAGES, strict=True):
        y = at.y + at.dt[:, None] * _combined(k, weights)
        k.append(slope(gradient, flow, at.t + node * at.dt, y, latent))
    return k


def _combined(k: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    return sum(
        (w * slope for w, slope in zip(weights, k, strict=True) if w), torch.zeros_like(k[0])
    )
