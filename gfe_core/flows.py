"""The differential equations that carry a code downhill.

A flow moves a state y: the code itself (first order), or the code and its velocity (second order).
It receives the gradient of the energy and returns dy/dt; it never receives the decoder.

Shapes: `state` is `latent` for first-order flows and 2 `latent` for second-order flows.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.types import Codes, PerSample

States = Float[Tensor, "batch state"]


@dataclass(frozen=True, kw_only=True)
class ExponentialDecay:
    """A rate alpha(t) = exp(-2 t / tau) that decays along the flow.

    Args:
        tau: decay time in flow units, > 0; over it the rate falls by a factor of e^2.

    Source: the scaling used with log-spaced Runge-Kutta grids, Flouris et al. 2024 (arXiv
        2412.00864).
    """

    tau: float

    def __post_init__(self) -> None:
        checks.as_python(self, checks.finite_positive, "tau")

    def __call__(self, t: PerSample) -> PerSample:
        """Return the rate at flow time t."""
        return torch.exp(-2 * t / self.tau)

    def integral(self, t: PerSample) -> PerSample:
        """Return the integral of the rate from 0 to t."""
        return self.tau / 2 * (1 - self(t))


@dataclass(frozen=True, kw_only=True)
class GradientFlow:
    """Steepest descent in continuous time: dz/dt = -alpha(t) grad_z E(z).

    Args:
        rate: alpha: a positive number, `ExponentialDecay(tau=...)` or an object of a class derived
            from it, with its own `__call__` and `integral`. Other functions are refused, because
            their integrals are unknown.

    Source: Flouris et al. 2024 (arXiv 2412.00864), equation 1.
    """

    rate: float | ExponentialDecay = 1.0

    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not isinstance(self.rate, ExponentialDecay):
            checks.require(
                not callable(self.rate),
                "`rate` must be a positive number or an `ExponentialDecay`, got "
                f"{checks.described(self.rate)}. Write `rate=gfe.ExponentialDecay(tau=...)`, or "
                "derive a class from it with your own `__call__(t)` and `integral(t)`.",
                TypeError,
            )
            checks.as_python(self, checks.finite_positive, "rate")

    def start(self, z0: Codes) -> States:
        """Return the state at time 0."""
        return z0

    def alpha(self, t: PerSample) -> PerSample:
        """Return the rate at time t."""
        return (
            self.rate(t)
            if isinstance(self.rate, ExponentialDecay)
            else torch.full_like(t, self.rate)
        )

    def travelled(self, t: PerSample) -> PerSample:
        """Return the integral of alpha from 0 to t: the time that a flow with rate 1 would take."""
        return self.rate.integral(t) if isinstance(self.rate, ExponentialDecay) else self.rate * t

    def force(self, t: PerSample, grad: Codes) -> Codes:
        """Return the downhill pull -alpha(t) grad_z E."""
        return (
            -(self.rate(t)[:, None] if isinstance(self.rate, ExponentialDecay) else self.rate)
            * grad
        )

    def velocity(self, t: PerSample, y: States, grad: Codes) -> States:
        """Return dy/dt at time t, given the gradient at the code of y."""
        return self.force(t, grad)


@dataclass(frozen=True, kw_only=True)
class NesterovFlow(GradientFlow):
    """Steepest descent with momentum, from rest.

        z'' + damping / (t + eps) z' + alpha(t) grad_z E(z) = 0

    As a first-order system, dz/dt = v and dv/dt = -damping / (t + eps) v - alpha(t) grad_z E(z). At
    t = 0, where v = 0, the formula gives the friction term damping / eps * 0 = 0. The code uses the
    limit of the acceleration instead, -alpha grad / (1 + damping), which belongs to the exact
    solution v = -t alpha grad / (1 + damping) + ... for eps -> 0. Without this limit, a first
    explicit step would be four times too long (for damping 3).

    Args:
        damping: coefficient of the friction, > 0; 3 for Nesterov's method. Values >= 3 keep its
            O(1/t^2) bound for convex energies.
        eps: offset in flow units, >= 0, that keeps the friction finite.
        rate: alpha, as for `GradientFlow`.

    Source: Su, Boyd & Candes 2016 (JMLR 17:153); Flouris et al. 2024 (arXiv 2412.00864), equations
        4 and 5.
    """

    damping: float = 3.0
    eps: float = 1e-5

    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.as_python(self, checks.finite_positive, "damping")
        checks.as_python(self, checks.number, "eps")
        checks.require(
            0 <= self.eps < float("inf"), f"`eps` must be at least 0 and finite, got {self.eps}."
        )

    def start(self, z0: Codes) -> States:
        """Return the state at time 0, at rest."""
        return torch.cat([z0, torch.zeros_like(z0)], 1)

    def friction(self, t: PerSample) -> PerSample:
        """Return the friction damping / (t + eps), for t > 0."""
        return self.damping / (t + self.eps)

    def momentum(self, age: PerSample) -> PerSample:
        """Return the fraction of the last move that the method keeps: age / (age + damping)."""
        return age / (age + self.damping)

    def velocity(self, t: PerSample, y: States, grad: Codes) -> States:
        """Return (v, dv/dt) at time t, given the gradient at the code of y."""
        v = y[:, grad.shape[1] :]
        force = self.force(t, grad)
        moving = (t > 0)[:, None]
        friction = self.friction(torch.where(t > 0, t, 1.0))[:, None]
        return torch.cat(
            [v, torch.where(moving, force - friction * v, force / (1 + self.damping))], 1
        )
