"""The differential equations that carry a code downhill.

A flow moves a state y: the code itself (first order), or the code beside its velocity (second
order). It is told the gradient of the energy and answers with dy/dt; it never sees a decoder.

Shapes: `state` is `latent` for first-order flows and 2 `latent` for second-order ones.
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
    """A rate alpha(t) = exp(-2 t / tau) that falls while the flow goes on.

    Args:
        tau: in flow units, > 0; the rate falls by a factor of e^2 over it.

    Source: the scaling used with log-spaced Runge-Kutta grids, Flouris et al. 2024 (arXiv
        2412.00864).
    """

    tau: float

    def __post_init__(self) -> None:
        checks.finite_positive("tau", self.tau)

    def __call__(self, t: PerSample) -> PerSample:
        """Rate at flow time t."""
        return torch.exp(-2 * t / self.tau)

    def integral(self, t: PerSample) -> PerSample:
        """Integral of the rate from 0 to t."""
        return self.tau / 2 * (1 - self(t))


@dataclass(frozen=True, kw_only=True)
class GradientFlow:
    """Steepest descent in continuous time: dz/dt = -alpha(t) grad_z E(z).

    Args:
        rate: alpha, a positive number, `ExponentialDecay(tau=...)` or an object of a class derived
            from it, with its own `__call__` and `integral`; no other function, as its integral is
            not known.

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
            checks.finite_positive("rate", self.rate)

    def start(self, z0: Codes) -> States:
        """State at time 0."""
        return z0

    def alpha(self, t: PerSample) -> PerSample:
        """Rate at time t."""
        return (
            self.rate(t)
            if isinstance(self.rate, ExponentialDecay)
            else torch.full_like(t, self.rate)
        )

    def travelled(self, t: PerSample) -> PerSample:
        """Integral of alpha from 0 to t: the time that a flow with rate 1 would have taken."""
        return self.rate.integral(t) if isinstance(self.rate, ExponentialDecay) else self.rate * t

    def force(self, t: PerSample, grad: Codes) -> Codes:
        """Downhill pull -alpha(t) grad_z E."""
        return (
            -(self.rate(t)[:, None] if isinstance(self.rate, ExponentialDecay) else self.rate)
            * grad
        )

    def velocity(self, t: PerSample, y: States, grad: Codes) -> States:
        """dy/dt at time t, given the gradient at the code of y."""
        return self.force(t, grad)


@dataclass(frozen=True, kw_only=True)
class NesterovFlow(GradientFlow):
    """Steepest descent with momentum.

    Z'' + damping / (t + eps) z' + alpha(t) grad_z E(z) = 0, from rest.

    As a first-order system, dz/dt = v and dv/dt = -damping / (t + eps) v - alpha(t) grad_z E(z). At
    t = 0 the friction is 0 / eps on paper; here the acceleration has its limit -alpha grad / (1 +
    damping), which the exact solution v = -t alpha grad / (1 + damping) + ... has for eps -> 0.
    Without it an explicit first step would be four times too long (for damping 3).

    Args:
        damping: 3 for Nesterov's method; >= 3 keeps its O(1/t^2) bound for convex energies.
        eps: keeps the friction finite, in flow units, >= 0.
        rate: alpha, as for `GradientFlow`.

    Source: Su, Boyd & Candes 2016 (JMLR 17:153); Flouris et al. 2024 (arXiv 2412.00864), equations
        4 and 5.
    """

    damping: float = 3.0
    eps: float = 1e-5

    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.finite_positive("damping", self.damping)
        checks.number("eps", self.eps)
        checks.require(
            0 <= self.eps < float("inf"), f"`eps` must be at least 0 and finite, got {self.eps}."
        )

    def start(self, z0: Codes) -> States:
        """State at time 0: at rest."""
        return torch.cat([z0, torch.zeros_like(z0)], 1)

    def friction(self, t: PerSample) -> PerSample:
        """Friction damping / (t + eps), for t > 0."""
        return self.damping / (t + self.eps)

    def momentum(self, age: PerSample) -> PerSample:
        """Fraction of its last move that the accelerated method keeps: age / (age + damping)."""
        return age / (age + self.damping)

    def velocity(self, t: PerSample, y: States, grad: Codes) -> States:
        """(v, dv/dt) at time t, given the gradient at the code of y."""
        v = y[:, grad.shape[1] :]
        force = self.force(t, grad)
        moving = (t > 0)[:, None]
        friction = self.friction(torch.where(t > 0, t, 1.0))[:, None]
        return torch.cat(
            [v, torch.where(moving, force - friction * v, force / (1 + self.damping))], 1
        )
