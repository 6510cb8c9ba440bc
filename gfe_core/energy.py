"""The energy of a code: how badly the decoder explains a sample from it, and how that changes with the code.

`Energy` is written once: its value, its gradient and its curvature are derivatives of one expression, so a line
search and the flow it guards can never use two losses. It sees a batch, but no sample sees another.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core.dense import Dense
from gfe_core.types import Codes, Data, Decoder, Loss, Mask, Penalty, PerSample

_ROWS = 16
"""Decoder calls are padded to a multiple of this: matrix kernels for small batches round differently, so that without
padding a code would depend on how many other samples are still flowing. Exact where latent and layer widths are 2 or
multiples of 4; rows of other widths start at unaligned addresses, and their codes move by rounding."""

_CHUNK = 512
"""Rows that go through a stack of linear layers together: what they need fits a processor's cache."""

_TANGENT_ROWS = 128
"""Rows whose Jacobians are held at once."""

Matrices = Float[Tensor, "batch latent latent"]


class Point:
    """A code that was decoded: its energy is known, its gradient can be had without decoding again.

    Args:
        value: energy, (batch,).
        pull: the samples asked for (a mask, or None for all) -> gradient (batch, latent), whose other rows mean
            nothing. It is called once.
    """

    def __init__(self, value: PerSample, pull: Callable[[Tensor | None], Tensor]) -> None:
        self.value, self._pull = value, pull
        self._grad: Tensor | None = None

    def grad(self, where: Tensor | None = None) -> Codes:
        """Gradient of E in z, of all samples or at least of those where `where` is True."""
        if self._grad is None:
            self._grad = self._pull(where)
        return self._grad


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
        self._dense = Dense.of(decoder)
        self._x = _padded(x if mask is None else torch.where(mask, x, 0.0))
        self._mask = None if mask is None else _padded(mask)

    def at(self, z: Codes) -> Point:
        """Decode codes once; value and gradient share the work."""
        if self._dense is None:
            return self._graph_point(z)
        return self._dense_point(self._dense, z)

    def value(self, z: Codes) -> PerSample:
        """Energy of each code."""
        return self.at(z).value

    def value_and_grad(self, z: Codes) -> tuple[Tensor, Tensor]:
        """Energy (batch,) and its gradient in z (batch, latent); no gradient reaches the decoder's weights."""
        point = self.at(z)
        return point.value, point.grad()

    def hessian_product(self, z: Codes, v: Codes) -> Codes:
        """Product H v of each sample's latent Hessian H = d2E/dz2 with its own vector."""
        with torch.enable_grad():
            z, grad = self._differentiable_grad(z)
            (product,) = torch.autograd.grad((grad * _padded(v)).sum(), z)
        return product[: self.n]

    def hessian(self, z: Codes) -> Matrices:
        """Latent Hessian of each sample, exact and symmetric up to rounding."""
        with torch.enable_grad():
            z, grad = self._differentiable_grad(z)
            rows = [torch.autograd.grad(column.sum(), z, retain_graph=True)[0] for column in grad.unbind(1)]
        return torch.stack(rows, 1)[: self.n]

    def gauss_newton(self, z: Codes) -> Matrices:
        """Gauss-Newton Hessian J' W J of each sample, with J = dy/dz and W the loss's curvature in the output y.

        It leaves out the curvature of the decoder, so it is never indefinite; a penalty adds its own Hessian.
        """
        with torch.no_grad():
            padded, masks = _padded(z), self._split(self._mask, _TANGENT_ROWS)
            rows = zip(padded.split(_TANGENT_ROWS), masks, strict=False)
            matrices = torch.cat([self._gauss_newton(some, mask) for some, mask in rows])
        if self.penalty is not None:
            matrices = matrices + _penalty_hessian(self.penalty, padded)
        return matrices[: self.n]

    def gauss_newton_product(self, z: Codes, v: Codes) -> Codes:
        """Product of each sample's Gauss-Newton Hessian with its own vector."""
        return (self.gauss_newton(z) @ v[:, :, None])[:, :, 0]

    def rows(self, keep: Tensor) -> "Energy":
        """The same energy for a selection of samples (a mask or row numbers)."""
        some = copy(self)
        some._x = _padded(self._x[: self.n][keep])
        some._mask = None if self._mask is None else _padded(self._mask[: self.n][keep])
        some.n = int(keep.sum()) if keep.dtype == torch.bool else len(keep)
        return some

    def _per_sample(self, z: Tensor) -> Tensor:
        """Return the one expression that everything else differentiates."""
        energy = self.loss.per_sample(self.decoder(z), self._x, self._mask)
        return energy if self.penalty is None else energy + self.penalty(z)

    def _graph_point(self, z: Tensor) -> Point:
        """Let autograd differentiate a decoder of any kind; samples not asked for ride along with weight zero."""
        with torch.enable_grad():
            leaf = _padded(z.detach()).requires_grad_()
            energy = self._per_sample(leaf)

        def pull(where: Tensor | None) -> Tensor:
            weight = torch.ones_like(energy) if where is None else _padded(where).to(energy.dtype)
            return torch.autograd.grad(energy, leaf, weight)[0][: self.n]

        return Point(energy.detach()[: self.n], pull)

    def _dense_point(self, dense: Dense, z: Tensor) -> Point:
        """Differentiate a stack of linear layers by hand, a chunk of rows at a time."""
        with torch.no_grad():
            z = _padded(z)
            outputs = map(dense.forward, z.split(_CHUNK))
            data, masks = self._x.split(_CHUNK), self._split(self._mask, _CHUNK)
            chunks = [_Chunk(h, x, mask) for h, x, mask in zip(outputs, data, masks, strict=False)]
            value = torch.cat([self.loss.per_sample(c.outputs[-1], c.x, c.mask) for c in chunks])
            if self.penalty is not None:
                value = value + self.penalty(z)

        def pull(where: Tensor | None) -> Tensor:
            with torch.no_grad():
                wanted = self._split(None if where is None else _padded(where), _CHUNK)
                grads = [c.gradient(dense, self.loss, rows) for c, rows in zip(chunks, wanted, strict=False)]
            grad = torch.cat(grads)
            return (grad if self.penalty is None else grad + _penalty_grad(self.penalty, z))[: self.n]

        return Point(value[: self.n], pull)

    def _gauss_newton(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """J' W J for a few rows."""
        if self._dense is not None:
            outputs = self._dense.forward(z)
            output, tangents = outputs[-1], self._dense.jacobian(outputs)
        else:
            output, tangents = self._tangents(z)
        curvature = self.loss.curvature(output, mask).flatten(1)
        return (tangents * curvature[:, None]) @ tangents.transpose(1, 2)

    def _tangents(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Output and its derivative along every latent axis, for a decoder of any kind.

        The Jacobian-vector product is the derivative of the vector-Jacobian product u' J in u: twice backwards, because
        torch's forward mode announces its future on stderr when it is first used.
        """
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            output = self.decoder(z)
            u = torch.zeros_like(output).requires_grad_()
            (pulled,) = torch.autograd.grad(output, z, u, create_graph=True)
            axes = torch.eye(z.shape[1]).to(z)
            pushed = [torch.autograd.grad(pulled, u, axis.expand_as(z), retain_graph=True)[0] for axis in axes]
        return output.detach(), torch.stack([tangent.flatten(1) for tangent in pushed], 1)

    def _differentiable_grad(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = _padded(z.detach()).requires_grad_()
        (grad,) = torch.autograd.grad(self._per_sample(z).sum(), z, create_graph=True)
        return z, grad

    def _split(self, rows: Tensor | None, size: int) -> list[Tensor | None]:
        """Rows in chunks; a None for every chunk where there are no rows."""
        return [None] * (len(self._x) // size + 1) if rows is None else list(rows.split(size))


@dataclass(frozen=True)
class _Chunk:
    """Some rows of a batch with what every layer made of them."""

    outputs: list[Tensor]
    x: Tensor
    mask: Tensor | None

    def gradient(self, dense: Dense, loss: Loss, where: Tensor | None) -> Tensor:
        """Gradient of the loss in z. Rows not wanted cost nothing, except where asking which would wait for a GPU."""
        if where is None or where.is_cuda or where.all():
            return dense.pullback(self.outputs, loss.gradient(self.outputs[-1], self.x, self.mask))
        rows = where.nonzero()[:, 0]
        some = _Chunk(
            [_padded(h[rows]) for h in self.outputs],
            _padded(self.x[rows]),
            None if self.mask is None else _padded(self.mask[rows]),
        )
        grad = self.outputs[0].new_zeros(len(where), dense.weights[0].shape[1])
        return grad.index_copy(0, rows, some.gradient(dense, loss, None)[: len(rows)])


def _penalty_grad(penalty: Penalty, z: Tensor) -> Tensor:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        return torch.autograd.grad(penalty(z).sum(), z)[0]


def _penalty_hessian(penalty: Penalty, z: Tensor) -> Tensor:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        (grad,) = torch.autograd.grad(penalty(z).sum(), z, create_graph=True)
        columns = grad.unbind(1) if grad.requires_grad else ()  # a linear penalty has no curvature
        rows = [torch.autograd.grad(column.sum(), z, retain_graph=True)[0] for column in columns]
    return torch.stack(rows, 1) if rows else z.new_zeros(*z.shape, z.shape[1])


def _padded(rows: Tensor) -> Tensor:
    """Append zero rows up to the next multiple of `_ROWS`."""
    missing = -len(rows) % _ROWS
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows
