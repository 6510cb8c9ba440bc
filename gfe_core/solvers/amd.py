"""Adaptive minimise distance: gradient descent whose step must pay for itself.

A step is a trial; it is accepted if the energy falls by at least a fraction of what the slope promises (Armijo).
A rejected trial costs one loss and no gradient. Each sample has its own step.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.flows import Energy
from gfe_core.solvers.step import State, Step
from gfe_core.types import Flow, Status, Stop


@dataclass(frozen=True, kw_only=True)
class AMD:
    """z <- z + dt v with the Armijo test E(z) - E(z + dt v) >= armijo_slope dt <grad, -v>.

    For the gradient flow, v = -alpha grad, this is E(z) - E(z - dt grad) >= sigma dt |grad|^2. AMD is gradient descent
    with backtracking: its t is a sum of steps, not the time of the exact flow. With memory > 1 the fall is measured
    from the worst of the last energies: faster on badly scaled problems, but non-monotone, not AMD.

    Args:
        armijo_slope: sigma, in (0, 1): fraction of the promised decrease that is demanded.
        decrease_factor: beta, in (0, 1): a rejected step is multiplied by it.
        increase_factor: > 1: with trial="carry" the next trial is the last accepted step times this.
        dt_init: first trial in flow units; None estimates it from the curvature along the first gradient.
        dt_min, dt_max: a sample that needs less than dt_min stops with STEP_TOO_SMALL; no trial exceeds dt_max.
        trial: how a new trial is chosen: "carry", or "barzilai_borwein": |dz|^2 / <dz, dgrad>, the inverse curvature
            along the last step. With the latter, t has no meaning and is NaN.
        memory: energies that the test looks back on; 1 is monotone.
        trial_min: least first trial after an accepted step, in flow units.
        shared_step: one step for the whole batch, accepted only if every sample accepts (as the public code does).
        slope_at: gradient in the test, at the "current" point (Armijo's rule) or at the "trial" point (public code).

    Raises:
        ValueError: a factor or a bound is out of range.

    Source: Flouris et al. 2024 (arXiv 2412.00864), equations 6 and 7; Armijo 1966; Barzilai & Borwein 1988;
    the non-monotone test is that of Grippo, Lampariello & Lucidi 1986.
    """

    armijo_slope: float = 1e-4
    decrease_factor: float = 0.5
    increase_factor: float = 2.0
    dt_init: float | None = None
    dt_min: float = 1e-12
    dt_max: float = math.inf
    trial: Literal["carry", "barzilai_borwein"] = "barzilai_borwein"
    memory: int = 1
    trial_min: float = 0.0
    shared_step: bool = False
    slope_at: Literal["current", "trial"] = "current"

    default_stop: ClassVar[Stop | None] = Stop()
    default_max_steps: ClassVar[int] = 500

    def __post_init__(self) -> None:
        checks.fraction("armijo_slope", self.armijo_slope)
        checks.fraction("decrease_factor", self.decrease_factor)
        checks.above_one("increase_factor", self.increase_factor)
        if self.dt_init is not None:
            checks.finite_positive("dt_init", self.dt_init)
        low, first, high = self.dt_min, self.trial_min, self.dt_max
        checks.require(0 < low < high, f"`dt_min` must be positive and below `dt_max`, got {low} and {high}.")
        checks.require(0 <= first <= high, f"`trial_min` must lie between 0 and `dt_max`, got {first} and {high}.")
        checks.one_of("trial", self.trial, ("carry", "barzilai_borwein"))
        checks.one_of("slope_at", self.slope_at, ("current", "trial"))
        checks.at_least_one("memory", self.memory)

    @classmethod
    def published(cls) -> "AMD":
        """The rule of the authors' public code, for comparison.

        The paper's text gives only the decrease factor 0.75. From the code alone: the start of every search between 1
        and 10, growth 1.1, one step for the whole batch, the gradient of the trial point in the test, whose slope 1e-5
        is multiplied by the largest step 10; its shipped settings use the decrease factor 0.5. The code gives up a
        search after 20 rejections; here such samples stop with STEP_TOO_SMALL instead of moving on unchecked.
        """
        return cls(
            armijo_slope=1e-4, decrease_factor=0.75, increase_factor=1.1, dt_init=1.0, dt_min=0.75**20, dt_max=10.0,
            trial="carry", trial_min=1.0, shared_step=True, slope_at="trial",
        )  # fmt: skip

    @property
    def has_time(self) -> bool:
        """Whether the sum of steps is reported as t."""
        return self.trial == "carry"

    def schedule(self, z0: Tensor, t1: float) -> None:
        """No grid: steps are found as the flow goes on."""

    def first_step(self, energy: Energy, flow: Flow, state: State) -> tuple[Tensor, int]:
        """First trial (batch,) and the gradients it took: dt_init, or the inverse curvature along the velocity.

        The curvature is a secant over a tenth of the Polyak step E / |grad|^2, a length that scales with the latents;
        where it is not positive, ten Polyak steps are tried.
        """
        if self.dt_init is not None:
            return torch.full_like(state.t, self.dt_init), 0
        v = flow.velocity(state.t, state.grad)
        slope = -(v * state.grad).sum(1)
        polyak = state.energy.abs() / slope.clamp(min=torch.finfo(slope.dtype).tiny)
        probe = 0.1 * polyak[:, None] * v
        change = energy.value_and_grad(state.z + probe)[1] - state.grad
        return _inverse_curvature(probe, change, 10 * polyak) / _rate(v, state.grad), 1

    def step(self, energy: Energy, flow: Flow, state: State, *, t1: float) -> Step:
        """One trial for every sample."""
        v = flow.velocity(state.t, state.grad)
        dt = torch.where(state.fresh, self._new_trial(state, v), state.dt).clamp(self.dt_min, self.dt_max)
        if self.has_time:
            dt = dt.minimum(t1 - state.t)
        if self.shared_step:
            dt = dt.min().expand_as(dt)
        z = state.z + dt[:, None] * v
        if self.slope_at == "trial":
            value, grad = energy.value_and_grad(z)
            slope, cost = grad.square().sum(1), {"n_grad": 1}
        else:
            value, slope, cost = energy.value(z), -(v * state.grad).sum(1), {"n_loss": 1}
        accepted = self._armijo(state, value, dt * slope)
        dt_next = torch.where(accepted, dt, dt * self.decrease_factor)
        return Step(z, dt, dt_next, accepted, self._given_up(state, v, accepted, dt_next), **cost)

    def _new_trial(self, state: State, v: Tensor) -> Tensor:
        """Return the first trial after an accepted step."""
        carried = state.dt * self.increase_factor
        if self.trial == "barzilai_borwein":
            dz, dgrad = state.z - state.z_previous, state.grad - state.grad_previous
            return _inverse_curvature(dz, dgrad, carried) / _rate(v, state.grad)
        return carried.clamp(min=self.trial_min)

    def _armijo(self, state: State, value: Tensor, promised: Tensor) -> Tensor:
        """Accept where the energy falls enough, to within its rounding, and never rises above the reference."""
        reference = state.recent[:, -self.memory :].amax(1)
        rounding = 2 * torch.finfo(value.dtype).eps * reference.abs()
        accepted = (value <= reference) & (reference - value >= self.armijo_slope * promised - rounding)
        return accepted.all().expand_as(accepted) if self.shared_step else accepted

    def _given_up(self, state: State, v: Tensor, accepted: Tensor, dt_next: Tensor) -> Tensor:
        """Say which rejected samples have no step left to try."""
        decrease = dt_next * -(v * state.grad).sum(1)
        stalled = ~accepted & (decrease <= torch.finfo(decrease.dtype).eps * state.energy.abs())
        too_small = ~accepted & (dt_next < self.dt_min)
        status = torch.where(too_small, int(Status.STEP_TOO_SMALL), torch.zeros_like(state.status))
        return torch.where(stalled, int(Status.STALLED), status)


def _inverse_curvature(dz: Tensor, dgrad: Tensor, fallback: Tensor) -> Tensor:
    """Return |dz|^2 / <dz, dgrad>, or the fallback where the curvature along dz is not positive."""
    curvature = (dz * dgrad).sum(1)
    usable = curvature > 0
    return torch.where(usable, dz.square().sum(1) / torch.where(usable, curvature, 1.0), fallback)


def _rate(v: Tensor, grad: Tensor) -> Tensor:
    """Return alpha = |v| / |grad|, which turns an inverse curvature into a step in flow units."""
    tiny = torch.finfo(v.dtype).tiny
    return v.norm(dim=1).clamp(min=tiny) / grad.norm(dim=1).clamp(min=tiny)
