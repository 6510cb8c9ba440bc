"""The energy of a code.

How badly the decoder explains a sample from it, and how that changes with the code.

`Energy` is written once: its value, its gradient and its curvature are derivatives of one
expression, so a line search and the flow it guards can never use two losses. It sees a batch, but
no sample sees another.
"""

from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor

from gfe_core.energy.curvature import Curvature
from gfe_core.energy.padding import padded, row_multiple
from gfe_core.types import Codes, Data, Decoder, Loss, Mask, Penalty, PerSample


class Point:
    """A code that was decoded: its energy is known, its gradient can be had without decoding again.

    Args:
        value: energy, (batch,).
        pull: the samples asked for (a mask, or None for all) -> gradient (batch, latent), whose
            other rows mean nothing. It is called once.
    """

    def __init__(self, value: PerSample, pull: Callable[[Tensor | None], Tensor]) -> None:
        self.value = value
        self._pull = pull
        self._grad: Tensor | None = None

    def grad(self, where: Tensor | None = None) -> Codes:
        """Gradient of E in z, of all samples or at least of those where `where` is True."""
        if self._grad is None:
            self._grad = self._pull(where)
        return self._grad


class Energy(Curvature):
    """E(z) = loss(decoder(z), x) + penalty(z), one number for each sample.

    Args:
        decoder: maps (batch, latent) to (batch, *data).
        x: data, NaN allowed only where `mask` is False.
        loss: `Bernoulli()` or `Gaussian()`.
        mask: True where x is observed; None means everywhere.
        penalty: z -> (batch,), minus the log of a prior on codes; None means none.
    """

    def __init__(
        self,
        decoder: Decoder,
        x: Data,
        loss: Loss,
        *,
        mask: Mask | None = None,
        penalty: Penalty | None = None,
    ) -> None:
        self.decoder = decoder
        self.loss = loss
        self.penalty = penalty
        self.n = len(x)
        self._multiple = row_multiple(decoder)
        self._x = self._padded(x if mask is None else torch.where(mask, x, 0.0))
        self._mask = None if mask is None else self._padded(mask)

    def at(self, z: Codes) -> Point:
        """Decode codes once; value and gradient share the work."""
        with torch.enable_grad():
            leaf = self._padded(z.detach()).requires_grad_()
            energy = self._per_sample(leaf)

        def pull(where: Tensor | None) -> Tensor:
            """Samples not asked for ride along with weight zero."""
            weight = None if where is None else self._padded(where).to(energy.dtype)
            weight = torch.ones_like(energy) if weight is None else weight
            return torch.autograd.grad(energy, leaf, weight)[0][: self.n]

        return Point(energy.detach()[: self.n], pull)

    def value(self, z: Codes) -> PerSample:
        """Energy of each code."""
        with torch.no_grad():
            return self._per_sample(self._padded(z))[: self.n]

    def value_and_grad(self, z: Codes) -> tuple[Tensor, Tensor]:
        """Energy (batch,) and its gradient in z (batch, latent).

        No gradient reaches the decoder's weights.
        """
        point = self.at(z)
        return point.value, point.grad()

    def with_data(self, x: Data) -> "Energy":
        """The same energy of other data."""
        other = copy(self)
        mask = self._mask
        other._x = self._padded(x if mask is None else torch.where(mask[: self.n], x, 0.0))
        return other

    def rows(self, keep: Tensor) -> "Energy":
        """The same energy for a selection of samples (a mask or row numbers)."""
        some = copy(self)
        some._x = self._padded(self._x[: self.n][keep])
        some._mask = None if self._mask is None else self._padded(self._mask[: self.n][keep])
        some.n = int(keep.sum()) if keep.dtype == torch.bool else len(keep)
        return some

    def _per_sample(self, z: Tensor) -> Tensor:
        """Return the one expression that everything else differentiates."""
        energy = self.loss.per_sample(self.decoder(z), self._x, self._mask)
        return energy if self.penalty is None else energy + self.penalty(z)

    def _padded(self, rows: Tensor) -> Tensor:
        return padded(rows, self._multiple)
