"""Momentum: the semi-implicit step of the second-order flow, and accelerated AMD."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.energy import Energy
from gfe_core.flows import States
from gfe_core.solvers.runge_kutta import FixedGrid, gradient_of, taken
from gfe_core.solvers.step import Gradient, Node, State, Step
from gfe_core.types import Accelerated, Codes, Flow, PerSample


@dataclass(frozen=True, kw_only=True)
class SemiImplicit(FixedGrid):
    """A semi-implicit step for `NesterovFlow`.

    The velocity is updated first, with the friction at the end of the step, then the code with the
    new velocity:

        v <- (v - dt alpha grad) / (1 + dt damping / (t + dt)),    z <- z + dt v

    It takes one gradient per step. It is stable while dt sqrt(alpha lambda_max) < 2, at any t, as
    friction only helps. The first step from rest is v = -dt alpha grad / (1 + damping), the start
    of the exact solution.

    Source: Shi et al. 2019 (arXiv 1902.03694): symplectic integration preserves acceleration, and
        explicit Euler does not.
    """

    def begin(self, energy: Energy, flow: Flow, state: State) -> None:
        """Refuse a flow without velocity."""
        checks.accelerated("SemiImplicit", flow)

    def step(self, energy: Energy, flow: Accelerated, state: State, *, t1: float) -> Step:
        """Take one step of the grid; its only gradient is the one at the new point."""
        return taken(state, self.moved(gradient_of(energy), flow, state))

    def moved(self, gradient: Gradient, flow: Accelerated, at: Node) -> States:
        """Return the state after a step."""
        dt, (z, v) = at.dt, at.y.tensor_split(2, 1)
        pushed = v + dt[:, None] * flow.force(at.t, at.grad)
        v = pushed / (1 + dt * flow.friction(at.t + dt))[:, None]
        return torch.cat([z + dt[:, None] * v, v], 1)


def momentum_at_rest(state: State) -> dict[str, Tensor]:
    """Return the memory of the accelerated method.

    It holds the last point of descent and the number of steps since the last restart.
    """
    return {
        "x": state.z,
        "x_new": state.z,
        "age": torch.zeros_like(state.t),
        "age_new": torch.zeros_like(state.t),
    }


def look_ahead(flow: Accelerated, state: State, x_new: Codes, dt: PerSample) -> States:
    """Return the state ahead of a descent point.

    The code is x_new + age / (age + damping) (x_new - x), with the velocity there. If the last move
    had a component uphill, the sample restarts from x_new without momentum.
    """
    own = state.own
    own["x"] = torch.where(state.fresh[:, None], own["x_new"], own["x"])
    own["age"] = torch.where(state.fresh, own["age_new"], own["age"])
    move = x_new - own["x"]
    uphill = (state.grad * move).sum(1) > 0
    age = torch.where(uphill, 0.0, own["age"] + 1)
    own["x_new"] = x_new
    own["age_new"] = age
    ahead = flow.momentum(age)[:, None] * move
    return torch.cat([x_new + ahead, ahead / dt.sqrt()[:, None]], 1)
