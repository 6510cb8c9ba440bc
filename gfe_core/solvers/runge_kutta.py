"""Fixed grids: Euler and the classical fourth-order Runge-Kutta rule.

A grid is planned before the flow starts (`schedule`): every sample takes the same steps and nothing is ever rejected.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.flows import Energy
from gfe_core.solvers.step import State, Step
from gfe_core.types import Codes, Flow, Status, Stop


@dataclass(frozen=True, kw_only=True)
class _FixedGrid:
    """A grid of times, given in exactly one of three ways.

    Args:
        dt: equal steps in flow units, > 0; the last one is cut so that the flow ends at t1.
        n_steps: number of steps from 0 to t1.
        grid: with n_steps, "linear" (equal steps) or "log" (growing geometrically from the start).
        log_base: with grid="log", the ratio of the last step to the first, > 1.
        steps: recorded steps (time, batch) or (time,), replayed without a t1; a sample ends at its first zero.

    Raises:
        ValueError: none or several of dt, n_steps and steps are given, or one is out of range.
    """

    dt: float | None = None
    n_steps: int | None = None
    grid: Literal["linear", "log"] = "linear"
    log_base: float = 10.0
    steps: Tensor | None = None

    default_stop: ClassVar[Stop | None] = None
    default_max_steps: ClassVar[int] = 1_000_000
    has_time = True
    """A grid lives in time."""
    memory = 1
    """No energy is looked back on."""

    def __post_init__(self) -> None:
        given = [name for name in ("dt", "n_steps", "steps") if getattr(self, name) is not None]
        wanted = f"Give exactly one of `dt`, `n_steps` and `steps` to {type(self).__name__}"
        checks.require(len(given) == 1, f"{wanted}, got {given or 'none'}.")
        if self.dt is not None:
            checks.finite_positive("dt", self.dt)
        if self.n_steps is not None:
            checks.at_least_one("n_steps", self.n_steps)
        checks.one_of("grid", self.grid, ("linear", "log"))
        remedy = "`grid='log'` needs `n_steps`, the number of steps from 0 to t1: `n_steps=20, grid='log'`."
        checks.require(self.grid == "linear" or self.n_steps is not None, remedy)
        checks.above_one("log_base", self.log_base)

    def schedule(self, z0: Codes, t1: float) -> Float[Tensor, "time batch"]:
        """Steps of every sample; a zero ends a sample."""
        if self.steps is not None:
            remedy = "but recorded `steps` end the flow themselves. Leave `t1` out."
            checks.require(not math.isfinite(t1), f"`t1` is {t1}, {remedy}")
            return self._recorded(z0)
        wanted = f"`t1` must be finite for {type(self).__name__}: a fixed grid ends at t1."
        checks.require(math.isfinite(t1), f"{wanted} Pass `t1=...`, or use `AMD()`, which needs none.")
        return self._planned(t1).to(z0)[:, None].expand(-1, len(z0))

    def first_step(self, energy: Energy, flow: Flow, state: State) -> tuple[Tensor, int]:
        """Nothing to estimate: the grid is known."""
        return state.dt, 0

    def _planned(self, t1: float) -> Tensor:
        if self.dt is not None:
            n = max(1, math.ceil(t1 / self.dt * (1 - 1e-12)))
            return torch.tensor([self.dt] * (n - 1) + [t1 - self.dt * (n - 1)], dtype=torch.float64)
        n = self.n_steps or 1
        growth = self.log_base ** (1 / (n - 1)) if self.grid == "log" and n > 1 else 1.0
        steps = growth ** torch.arange(n, dtype=torch.float64)
        return steps * (t1 / steps.sum())

    def _recorded(self, z0: Tensor) -> Tensor:
        steps = torch.as_tensor(self.steps, dtype=z0.dtype, device=z0.device)
        steps = steps[:, None].expand(-1, len(z0)) if steps.dim() == 1 else steps
        fits = steps.dim() == 2 and steps.shape[1] == len(z0) and len(steps) > 0
        fits = fits and bool(((steps >= 0) & torch.isfinite(steps)).all())
        wanted = f"`steps` must hold one or more finite non-negative steps of shape (time,) or (time, {len(z0)})"
        remedy = "Pass `trajectory.dt` of the same batch."
        checks.require(fits, f"{wanted}, got shape {tuple(steps.shape)}. {remedy}")
        return steps


def _taken(state: State, z: Tensor, n_grad: int) -> Step:
    """Return a step that is always accepted."""
    accepted = torch.ones_like(state.fresh)
    return Step(z, state.dt, state.dt, accepted, torch.full_like(state.status, Status.RUNNING), n_grad=n_grad)


@dataclass(frozen=True, kw_only=True)
class Euler(_FixedGrid):
    """z <- z + dt v(t, z): with the gradient flow, exactly gradient descent with learning rate alpha dt.

    Stable near a minimum while alpha dt lambda_max < 2, where lambda_max is the largest curvature of E.
    `Euler(steps=trajectory.dt)` replays the steps that another solver chose.
    """

    def step(self, energy: Energy, flow: Flow, state: State, *, t1: float) -> Step:
        """One step of the grid; its only gradient is the one at the new point."""
        return _taken(state, state.z + state.dt[:, None] * flow.velocity(state.t, state.grad), n_grad=0)


@dataclass(frozen=True, kw_only=True)
class RK4(_FixedGrid):
    """The classical Runge-Kutta rule of order four, four gradients a step.

    Stable near a minimum while alpha dt lambda_max < 2.785.
    """

    def step(self, energy: Energy, flow: Flow, state: State, *, t1: float) -> Step:
        """One step of the grid; its first stage is the gradient already known."""
        dt, half = state.dt[:, None], state.dt / 2
        k1 = flow.velocity(state.t, state.grad)
        k2 = flow.velocity(state.t + half, energy.value_and_grad(state.z + half[:, None] * k1)[1])
        k3 = flow.velocity(state.t + half, energy.value_and_grad(state.z + half[:, None] * k2)[1])
        k4 = flow.velocity(state.t + state.dt, energy.value_and_grad(state.z + dt * k3)[1])
        return _taken(state, state.z + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), n_grad=3)
