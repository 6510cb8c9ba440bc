"""Fixed grids: Euler and the classical fourth-order Runge-Kutta rule.

A grid is planned before the flow starts (`schedule`): every sample takes the same steps, and no
step is rejected.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.energy import Energy
from gfe_core.flows import States
from gfe_core.solvers.step import Gradient, Node, State, Step
from gfe_core.types import Codes, Flow, PerSample, Status, Stop


@dataclass(frozen=True, kw_only=True)
class FixedGrid:
    """A grid of times, given by exactly one of `dt`, `n_steps` and `steps`.

    Args:
        dt: equal steps in flow units, > 0; the last one is cut so that the flow ends at t1.
        n_steps: number of steps from 0 to t1, >= 1.
        grid: spacing with n_steps: "linear" (equal steps) or "log" (growing geometrically from the
            start).
        log_base: ratio of the last step to the first with grid="log", > 1.
        steps: recorded steps (time, batch), one column for each sample, or (time,) for all samples.
            They are replayed without a t1; a sample ends at its first zero.

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
    """The steps of a grid are flow times."""
    memory = 1
    """The solver uses no earlier energies."""

    def __post_init__(self) -> None:
        given = [name for name in ("dt", "n_steps", "steps") if getattr(self, name) is not None]
        wanted = f"Give exactly one of `dt`, `n_steps` and `steps` to {type(self).__name__}"
        checks.require(len(given) == 1, f"{wanted}, got {given or 'none'}.")
        checks.as_python(self, checks.finite_positive, "dt", or_none=True)
        checks.as_python(self, checks.at_least_one, "n_steps", or_none=True)
        if self.steps is not None:
            self._check_steps(self.steps)
            checks.as_python(self, checks.own, "steps")
        checks.one_of("grid", self.grid, ("linear", "log"))
        remedy = (
            "`grid='log'` needs `n_steps`, the number of steps from 0 to t1: `n_steps=20, "
            "grid='log'`."
        )
        checks.require(self.grid == "linear" or self.n_steps is not None, remedy)
        checks.as_python(self, checks.above_one, "log_base")

    def _check_steps(self, steps: Any) -> None:
        """Refuse anything but recorded steps."""
        wanted = (
            "`steps` must hold one or more finite non-negative steps of shape (time,) or (time, "
            "batch)"
        )
        remedy = "Pass `trajectory.dt` of an encoding with `save_at=gfe.SaveAt.steps()`."
        try:
            given = torch.as_tensor(steps, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{wanted}, got {checks.described(steps)}. {remedy}") from error
        fits = given.dim() in (1, 2) and len(given) > 0
        fits = fits and bool(((given >= 0) & given.isfinite()).all())
        checks.require(fits, f"{wanted}, got shape {tuple(given.shape)}. {remedy}")

    def of_rows(self, rows: slice, n: int) -> "FixedGrid":
        """Return the grid of a part of n samples: recorded steps stay with their sample."""
        if self.steps is None or torch.as_tensor(self.steps).dim() == 1:
            return self
        return replace(self, steps=self._recorded_for(n)[:, rows])

    def schedule(self, z0: Codes, t1: float) -> Float[Tensor, "time batch"]:
        """Return the steps of every sample; a zero ends a sample."""
        if self.steps is not None:
            remedy = "but recorded `steps` end the flow themselves. Leave `t1` out."
            checks.require(not math.isfinite(t1), f"`t1` is {t1}, {remedy}")
            return self._recorded_for(len(z0)).to(z0)
        wanted = f"`t1` must be finite for {type(self).__name__}: a fixed grid ends at t1."
        checks.require(
            math.isfinite(t1), f"{wanted} Pass `t1=...`, or use `AMD()`, which needs none."
        )
        return self._planned(t1).to(z0)[:, None].expand(-1, len(z0))

    def begin(self, energy: Energy, flow: Flow, state: State) -> None:
        """Do nothing: the grid is known."""

    def _planned(self, t1: float) -> Tensor:
        if self.dt is not None:
            n = max(1, math.ceil(t1 / self.dt * (1 - 1e-12)))
            return torch.tensor([self.dt] * (n - 1) + [t1 - self.dt * (n - 1)], dtype=torch.float64)
        n = self.n_steps or 1
        growth = self.log_base ** (1 / (n - 1)) if self.grid == "log" and n > 1 else 1.0
        steps = growth ** torch.arange(n, dtype=torch.float64)
        return steps * (t1 / steps.sum())

    def _recorded_for(self, n: int) -> Tensor:
        """Return the recorded steps after a check that they are those of n samples."""
        steps = torch.as_tensor(self.steps)
        if steps.dim() == 1:
            return steps[:, None].expand(-1, n)
        wanted = f"`steps` must hold one column for each sample, steps of shape (time, {n})"
        remedy = "Pass `trajectory.dt` of the same samples, or one column for all, `steps[:, 0]`."
        checks.require(steps.shape[1] == n, f"{wanted}, got {tuple(steps.shape)}. {remedy}")
        return steps


def taken(state: State, y: States, n_grad: int = 0) -> Step:
    """Return a step that is always accepted."""
    accepted = torch.ones_like(state.fresh)
    return Step(
        y,
        state.dt,
        state.dt,
        accepted,
        torch.full_like(state.status, Status.RUNNING),
        n_grad=n_grad,
    )


def slope(gradient: Gradient, flow: Flow, t: PerSample, y: States, latent: int) -> States:
    """Return dy/dt at a state whose first `latent` columns are the code; takes one gradient."""
    return flow.velocity(t, y, gradient(y[:, :latent]))


def gradient_of(energy: Energy) -> Gradient:
    """Return the gradient of an energy as a function of the code."""
    return lambda z: energy.at(z).grad()


@dataclass(frozen=True, kw_only=True)
class Euler(FixedGrid):
    """y <- y + dt dy/dt.

    With the gradient flow, this is exactly gradient descent with learning rate alpha dt.

    It is stable near a minimum while alpha dt lambda_max < 2, where lambda_max is the largest
    curvature of E; on a `NesterovFlow` only while dt alpha lambda_max < damping / t, so never for
    long. `Euler(steps=trajectory.dt)` replays the steps of another solver.
    """

    def step(self, energy: Energy, flow: Flow, state: State, *, t1: float) -> Step:
        """Take one step of the grid; its only gradient is the one at the new point."""
        return taken(state, self.moved(gradient_of(energy), flow, state))

    def moved(self, gradient: Gradient, flow: Flow, at: Node) -> States:
        """Return the state after a step."""
        return at.y + at.dt[:, None] * flow.velocity(at.t, at.y, at.grad)


@dataclass(frozen=True, kw_only=True)
class RK4(FixedGrid):
    """The classical Runge-Kutta rule of order four, with four gradients per step.

    It is stable near a minimum while alpha dt lambda_max < 2.785 on the gradient flow, and while
    dt sqrt(alpha lambda_max) < 2.83 on a `NesterovFlow` whose friction has decayed.
    """

    def step(self, energy: Energy, flow: Flow, state: State, *, t1: float) -> Step:
        """Take one step of the grid; its first stage is the gradient that is already known."""
        return taken(state, self.moved(gradient_of(energy), flow, state), n_grad=3)

    def moved(self, gradient: Gradient, flow: Flow, at: Node) -> States:
        """Return the state after a step."""
        t = at.t
        y = at.y
        dt = at.dt[:, None]
        half = at.dt / 2
        at_state = partial(slope, gradient, flow, latent=at.grad.shape[1])
        k1 = flow.velocity(t, y, at.grad)
        k2 = at_state(t + half, y + half[:, None] * k1)
        k3 = at_state(t + half, y + half[:, None] * k2)
        k4 = at_state(t + at.dt, y + dt * k3)
        return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
