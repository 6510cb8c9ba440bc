"""Adaptive minimise distance: gradient descent with a test of every step.

Each step is a trial. It is accepted if the energy falls by at least a fraction of the decrease that
the slope predicts (Armijo). A rejected trial costs one loss and no gradient. Each sample has its
own step.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.energy import Energy
from gfe_core.flows import States
from gfe_core.solvers.line_search import (
    falls_enough,
    first_trial,
    given_up,
    short_inverse_curvature,
    slope_along,
)
from gfe_core.solvers.nesterov import look_ahead, momentum_at_rest
from gfe_core.solvers.step import Gradient, Node, State, Step
from gfe_core.types import Accelerated, Descent, Stop


@dataclass(frozen=True, kw_only=True)
class AMD:
    """z <- z + dt v with the Armijo test E(z) - E(z + dt v) >= armijo_slope dt <grad, -v>.

    For the gradient flow, v = -alpha grad; with alpha = 1 the test is
    E(z) - E(z - dt grad) >= sigma dt |grad|^2. AMD is gradient descent with backtracking: its t is
    a sum of steps, not the time of the exact flow. With memory > 1 the decrease is measured from
    the largest of the last energies: this is faster on badly scaled problems, but not monotone and
    no longer AMD.

    On a `NesterovFlow` it is the accelerated method. The same test is made at the point ahead to
    which momentum leads. A sample whose last move went uphill drops its momentum. t is the sum of
    sqrt(dt), the time of that flow. At least half of the predicted decrease is required there: near
    dt = 2 / lambda_max, where descent still lowers the energy, momentum diverges.

    Args:
        armijo_slope: sigma, in (0, 1): required fraction of the predicted decrease.
        decrease_factor: beta, in (0, 1): factor of a step after a rejection.
        increase_factor: factor > 1; with trial="carry" the next trial is the last accepted step
            times this factor.
        dt_init: first trial in flow units; None estimates it from the curvature along the first
            gradient.
        dt_min, dt_max: bounds of a step in flow units. A sample that needs less than dt_min stops
            with STEP_TOO_SMALL; no trial exceeds dt_max. With dt_min = 0 a search ends when
            rounding hides the decrease (STALLED).
        trial: choice of a new trial: "carry", or "barzilai_borwein": <dz, dgrad> / |dgrad|^2, the
            inverse curvature along the last step (the shorter of the two Barzilai-Borwein steps, as
            it is rejected less often). With the latter, t has no meaning and is NaN.
        memory: number of energies that the test uses, >= 1; with 1 the method is monotone.
        trial_min: smallest first trial after an accepted step, in flow units.
        shared_step: whether the whole batch has one step, accepted only if every sample accepts it
            (as in the public code).
        slope_at: point of the gradient in the test: the "current" point (Armijo's rule) or the
            "trial" point (public code).

    Raises:
        ValueError: a factor or a bound is out of range.

    Source: Flouris et al. 2024 (arXiv 2412.00864), equations 6 and 7; Armijo 1966; Barzilai and
    Borwein 1988; the non-monotone test, Grippo, Lampariello & Lucidi 1986; the restart, O'Donoghue
    & Candes 2015; the half with momentum, Beck & Teboulle 2009, whose backtracking requires it.
    """

    armijo_slope: float = 1e-4
    decrease_factor: float = 0.5
    increase_factor: float = 2.0
    dt_init: float | None = None
    dt_min: float = 0.0
    dt_max: float = math.inf
    trial: Literal["carry", "barzilai_borwein"] = "barzilai_borwein"
    memory: int = 1
    trial_min: float = 0.0
    shared_step: bool = False
    slope_at: Literal["current", "trial"] = "current"

    keeps_bounds: ClassVar[bool] = True
    """Trials are moved into the box of `Energy.bounds` (projected gradient descent)."""
    default_stop: ClassVar[Stop | None] = Stop()
    default_max_steps: ClassVar[int] = 500

    def __post_init__(self) -> None:
        checks.as_python(self, checks.fraction, "armijo_slope", "decrease_factor")
        checks.as_python(self, checks.above_one, "increase_factor")
        checks.as_python(self, checks.finite_positive, "dt_init", or_none=True)
        checks.as_python(self, checks.number, "dt_min", "trial_min", "dt_max")
        low = self.dt_min
        first = self.trial_min
        high = self.dt_max
        checks.require(
            0 <= low < high,
            f"`dt_min` must be at least 0 and below `dt_max`, got {low} and {high}.",
        )
        checks.require(
            0 <= first <= high,
            f"`trial_min` must lie between 0 and `dt_max`, got {first} and {high}.",
        )
        checks.one_of("trial", self.trial, ("carry", "barzilai_borwein"))
        checks.one_of("slope_at", self.slope_at, ("current", "trial"))
        checks.as_python(self, checks.at_least_one, "memory")
        checks.as_python(self, checks.flag, "shared_step")

    @classmethod
    def published(cls) -> "AMD":
        """Return the rule of the authors' public code, for comparison.

        The paper's text gives only the decrease factor 0.75. These settings come from the code
        alone: the start of every search between 1 and 10, growth 1.1, one step for the whole batch,
        the gradient of the trial point in the test, and its slope 1e-5 times the largest step 10.
        The settings shipped with the code use the decrease factor 0.5. The code gives up a search
        after 20 rejections and moves on unchecked; here such samples stop with STEP_TOO_SMALL.
        """
        return cls(
            armijo_slope=1e-4,
            decrease_factor=0.75,
            increase_factor=1.1,
            dt_init=1.0,
            dt_min=0.75**20,
            dt_max=10.0,
            trial="carry",
            trial_min=1.0,
            shared_step=True,
            slope_at="trial",
        )

    @property
    def has_time(self) -> bool:
        """Whether the sum of steps is reported as t."""
        return self.trial == "carry"

    def schedule(self, z0: Tensor, t1: float) -> None:
        """Return None: there is no grid, because steps are chosen during the flow."""

    def begin(self, energy: Energy, flow: Descent, state: State) -> None:
        """Set the first trial: dt_init, or the inverse curvature along the gradient."""
        checks.descent("AMD", flow)
        if self.dt_init is not None:
            state.dt = torch.full_like(state.t, self.dt_init)
        else:
            state.dt = first_trial(energy, state) / flow.alpha(state.t)
        if flow.order > 1:
            checks.accelerated("AMD on a flow of second order", flow)
            state.own = momentum_at_rest(state)

    def step(self, energy: Energy, flow: Descent, state: State, *, t1: float) -> Step:
        """Propose one trial for every sample."""
        v = flow.force(state.t, state.grad)
        dt = torch.where(state.fresh, self._new_trial(flow, state), state.dt).clamp(
            self.dt_min, self.dt_max
        )
        if self.has_time:
            dt = dt.minimum((t1 - state.t) ** flow.order)
        if self.shared_step:
            dt = torch.where(state.running, dt, math.inf).amin().expand_as(dt)
        z = energy.inside(state.z + dt[:, None] * v)
        move = dt[:, None] * v if energy.bounds is None else z - state.z
        point = energy.at(z)
        decrease = -slope_along(move, state.grad)
        promised = decrease
        if self.slope_at == "trial":
            there = point.grad()
            promised = -slope_along(dt[:, None] * flow.force(state.t, there), there)
        fraction = self.armijo_slope if flow.order == 1 else max(self.armijo_slope, 0.5)
        accepted = falls_enough(state, point.value, fraction * promised, self.memory)
        if self.shared_step:
            accepted = (accepted | ~state.running).all().expand_as(accepted)
        dt_next = torch.where(accepted, dt, dt * self.decrease_factor)
        next_decrease = torch.where(accepted, decrease, decrease * self.decrease_factor)
        status = given_up(state, accepted, next_decrease, dt_next < self.dt_min)
        if flow.order > 1:
            ahead = look_ahead(cast(Accelerated, flow), state, z, dt)
            return Step(ahead, dt.sqrt(), dt_next, accepted, status, promise=decrease, n_loss=1)
        rejected = {"n_grad" if self.slope_at == "trial" else "n_loss": (~accepted).long()}
        return Step(z, dt, dt_next, accepted, status, point, decrease, **rejected)

    def moved(self, gradient: Gradient, flow: Descent, at: Node) -> States:
        """Return the state after an accepted step on the gradient flow, an Euler step."""
        return at.y + at.dt[:, None] * flow.velocity(at.t, at.y, at.grad)

    def _new_trial(self, flow: Descent, state: State) -> Tensor:
        """Return the first trial after an accepted step."""
        carried = state.dt * self.increase_factor
        if self.trial == "barzilai_borwein":
            dz = state.z - state.z_previous
            dgrad = state.grad - state.grad_previous
            alpha = flow.alpha(state.t)
            return short_inverse_curvature(dz, dgrad, carried * alpha) / alpha
        return carried.clamp(min=self.trial_min)
