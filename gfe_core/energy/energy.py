"""The energy of a code.

How badly the decoder explains a sample from it, and how that changes with the code.

`Energy` is written once: its value, its gradient and its curvature are derivatives of one
expression, so a line search and the flow it guards can never use two losses. It sees a batch, but
no sample sees another.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from gfe_core.energy.curvature import Curvature, penalty_grad, pieces
from gfe_core.energy.dense import Dense, padded
from gfe_core.types import Codes, Data, Decoder, Loss, Mask, Penalty, PerSample

_CHUNK = 512
"""Rows that go through a stack of linear layers together.

What they need fits a processor's cache.
"""


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
        self._dense = Dense.of(decoder)
        self._x = padded(x if mask is None else torch.where(mask, x, 0.0))
        self._mask = None if mask is None else padded(mask)

    def at(self, z: Codes) -> Point:
        """Decode codes once; value and gradient share the work."""
        if self._dense is None:
            return self._graph_point(z)
        return self._dense_point(self._dense, z)

    def value(self, z: Codes) -> PerSample:
        """Energy of each code."""
        return self.at(z).value

    def value_and_grad(self, z: Codes) -> tuple[Tensor, Tensor]:
        """Energy (batch,) and its gradient in z (batch, latent).

        No gradient reaches the decoder's weights.
        """
        point = self.at(z)
        return point.value, point.grad()

    def rows(self, keep: Tensor) -> "Energy":
        """The same energy for a selection of samples (a mask or row numbers)."""
        some = copy(self)
        some._x = padded(self._x[: self.n][keep])
        some._mask = None if self._mask is None else padded(self._mask[: self.n][keep])
        some.n = int(keep.sum()) if keep.dtype == torch.bool else len(keep)
        return some

    def _per_sample(self, z: Tensor) -> Tensor:
        """Return the one expression that everything else differentiates."""
        energy = self.loss.per_sample(self.decoder(z), self._x, self._mask)
        return energy if self.penalty is None else energy + self.penalty(z)

    def _graph_point(self, z: Tensor) -> Point:
        """Let autograd differentiate a decoder of any kind.

        Samples not asked for ride along with weight zero.
        """
        with torch.enable_grad():
            leaf = padded(z.detach()).requires_grad_()
            energy = self._per_sample(leaf)

        def pull(where: Tensor | None) -> Tensor:
            weight = torch.ones_like(energy) if where is None else padded(where).to(energy.dtype)
            return torch.autograd.grad(energy, leaf, weight)[0][: self.n]

        return Point(energy.detach()[: self.n], pull)

    def _dense_point(self, dense: Dense, z: Tensor) -> Point:
        """Differentiate a stack of linear layers by hand, a chunk of rows at a time."""
        with torch.no_grad():
            z = padded(z)
            outputs = map(dense.forward, z.split(_CHUNK))
            data = self._x.split(_CHUNK)
            masks = pieces(self._mask, len(z), _CHUNK)
            chunks = [_Chunk(h, x, mask) for h, x, mask in zip(outputs, data, masks, strict=False)]
            value = torch.cat([self.loss.per_sample(c.outputs[-1], c.x, c.mask) for c in chunks])
            if self.penalty is not None:
                value = value + self.penalty(z)

        def pull(where: Tensor | None) -> Tensor:
            with torch.no_grad():
                wanted = pieces(None if where is None else padded(where), len(z), _CHUNK)
                grads = [
                    c.gradient(dense, self.loss, rows)
                    for c, rows in zip(chunks, wanted, strict=False)
                ]
            grad = torch.cat(grads)
            return (grad if self.penalty is None else grad + penalty_grad(self.penalty, z))[
                : self.n
            ]

        return Point(value[: self.n], pull)


@dataclass(frozen=True)
class _Chunk:
    """Some rows of a batch with what every layer made of them."""

    outputs: list[Tensor]
    x: Tensor
    mask: Tensor | None

    def gradient(self, dense: Dense, loss: Loss, where: Tensor | None) -> Tensor:
        """Gradient of the loss in z.

        Rows not wanted cost nothing, except where asking which would wait for a GPU.
        """
        if where is None or where.is_cuda or where.all():
            return dense.pullback(self.outputs, loss.gradient(self.outputs[-1], self.x, self.mask))
        rows = where.nonzero()[:, 0]
        some = _Chunk(
            [padded(h[rows]) for h in self.outputs],
            padded(self.x[rows]),
            None if self.mask is None else padded(self.mask[rows]),
        )
        grad = self.outputs[0].new_zeros(len(where), dense.weights[0].shape[1])
        return grad.index_copy(0, rows, some.gradient(dense, loss, None)[: len(rows)])
