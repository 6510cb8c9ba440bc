"""The energy of a code and the flow that carries it downhill.

`Energy` is written once: its value, its gradient and its curvature are derivatives of one expression, so a line
search and the flow it guards can never use two losses. It sees a batch, but no sample sees another.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.types import Codes, Data, Decoder, Loss, Mask, Penalty, PerSample

_ROWS = 16
"""Decoder calls are padded to a multiple of this: matrix kernels for small batches round differently, so that without
padding a code would depend on how many other samples are still flowing. Exact where latent and layer widths are 2 or
multiples of 4; rows of other widths start at unaligned addresses, and their codes move by rounding."""


class Energy:
    """E(z) = loss(decoder(z), x) + penalty(z), one number for each sample.

    Args:
        decoder: maps (batch, latent) to (batch, *data).
        x: data, NaN allowed only where `mask` is False.
        loss: `Bernoulli()` or `Gaussian()`.
        mask: True where x is observed; None means everywhere.
        penalty: z -> (batch,), minus the log of a prior on codes; None means none.
    """

    def __init__(
        self, decoder: Decoder, x: Data, loss: Loss, *, mask: Mask | None = None, penalty: Penalty | None = None
    ) -> None:
        self.decoder, self.loss, self.penalty = decoder, loss, penalty
        self.n = len(x)
        self._x = _padded(x if mask is None else torch.where(mask, x, 0.0))
        self._mask = None if mask is None else _padded(mask)

    def value(self, z: Codes) -> PerSample:
        """Energy of each code; builds no graph."""
        with torch.no_grad():
            return self._per_sample(_padded(z))[: self.n]

    def value_and_grad(self, z: Codes) -> tuple[Tensor, Tensor]:
        """Energy (batch,) and its gradient in z (batch, latent); no gradient reaches the decoder's weights."""
        with torch.enable_grad():
            z = _padded(z.detach()).requires_grad_()
            energy = self._per_sample(z)
            (grad,) = torch.autograd.grad(energy.sum(), z)
        return energy.detach()[: self.n], grad[: self.n]

    def hessian_product(self, z: Codes, v: Codes) -> Codes:
        """Product H v of each sample's latent Hessian H = d2E/dz2 with its own vector."""
        with torch.enable_grad():
            z, grad = self._differentiable_grad(z)
            (product,) = torch.autograd.grad((grad * _padded(v)).sum(), z)
        return product[: self.n]

    def hessian(self, z: Codes) -> Float[Tensor, "batch latent latent"]:
        """Latent Hessian of each sample, exact and symmetric up to rounding."""
        with torch.enable_grad():
            z, grad = self._differentiable_grad(z)
            rows = [torch.autograd.grad(column.sum(), z, retain_graph=True)[0] for column in grad.unbind(1)]
        return torch.stack(rows, 1)[: self.n]

    def rows(self, keep: Tensor) -> "Energy":
        """The same energy for a selection of samples (a mask or row numbers)."""
        mask = None if self._mask is None else self._mask[: self.n][keep]
        return Energy(self.decoder, self._x[: self.n][keep], self.loss, mask=mask, penalty=self.penalty)

    def _per_sample(self, z: Tensor) -> Tensor:
        """Return the one expression that everything else differentiates."""
        energy = self.loss.per_sample(self.decoder(z), self._x, self._mask)
        return energy if self.penalty is None else energy + self.penalty(z)

    def _differentiable_grad(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = _padded(z.detach()).requires_grad_()
        (grad,) = torch.autograd.grad(self._per_sample(z).sum(), z, create_graph=True)
        return z, grad


def _padded(rows: Tensor) -> Tensor:
    """Append zero rows up to the next multiple of `_ROWS`."""
    missing = -len(rows) % _ROWS
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


@dataclass(frozen=True, kw_only=True)
class ExponentialDecay:
    """A rate alpha(t) = exp(-2 t / tau) that falls while the flow goes on.

    Args:
        tau: in flow units, > 0; the rate falls by a factor of e^2 over it.

    Source: the scaling used with log-spaced Runge-Kutta grids, Flouris et al. 2024 (arXiv 2412.00864).
    """

    tau: float

    def __post_init__(self) -> None:
        checks.finite_positive("tau", self.tau)

    def __call__(self, t: PerSample) -> PerSample:
        """Rate at flow time t."""
        return torch.exp(-2 * t / self.tau)


@dataclass(frozen=True, kw_only=True)
class GradientFlow:
    """Steepest descent in continuous time: dz/dt = -alpha(t) grad_z E(z).

    Args:
        rate: alpha, a positive number or a function of t such as `ExponentialDecay(tau=...)`.

    Source: Flouris et al. 2024 (arXiv 2412.00864), equation 1.
    """

    rate: float | ExponentialDecay = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.rate, ExponentialDecay):
            checks.finite_positive("rate", self.rate)

    def velocity(self, t: PerSample, grad: Codes) -> Codes:
        """dz/dt at time t, given the gradient there."""
        return -(self.rate(t)[:, None] if isinstance(self.rate, ExponentialDecay) else self.rate) * grad
