"""How the energy bends: second derivatives in the code, and mixed ones in the code and the weights.

Following a flow needs none of this. Implicit solvers, spectra and the adjoints do.

Shapes: `batch` samples; `latent` the size of a code.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import threads
from gfe_core.energy.dense import Dense, padded
from gfe_core.types import Codes, Decoder, Loss, Penalty

_TANGENT_ROWS = 128
"""Rows whose Jacobians are held at once."""

_SECOND_ROWS = 512
"""Rows that are differentiated twice together."""

Pull = Callable[[Tensor], list[Tensor]]
Matrices = Float[Tensor, "batch latent latent"]


class Curvature(ABC):
    """What `Energy` knows of its second derivatives."""

    decoder: Decoder
    loss: Loss
    penalty: Penalty | None
    n: int
    _dense: Dense | None
    _x: Tensor
    _mask: Tensor | None

    @abstractmethod
    def _per_sample(self, z: Tensor) -> Tensor:
        """Energy of padded codes, with a graph."""

    def hessian_product(self, z: Codes, v: Codes) -> Codes:
        """Product H v of each sample's latent Hessian H = d2E/dz2 with its own vector."""
        with torch.enable_grad():
            z, grad = self._differentiable_grad(z)
            (product,) = torch.autograd.grad((grad * padded(v)).sum(), z)
        return product[: self.n]

    def hessian(self, z: Codes) -> Matrices:
        """Latent Hessian of each sample, exact and symmetric up to rounding."""
        with threads.suited(self.decoder), torch.enable_grad():
            z, grad = self._differentiable_grad(z)
            rows = [
                torch.autograd.grad(column.sum(), z, retain_graph=True)[0]
                for column in grad.unbind(1)
            ]
        return torch.stack(rows, 1)[: self.n]

    def gauss_newton(self, z: Codes) -> Matrices:
        """Gauss-Newton Hessian J' W J: J = dy/dz, W the curvature of the loss in the output y.

        It leaves out the curvature of the decoder, so it is never indefinite; a penalty adds its
        own Hessian.
        """
        with torch.no_grad():
            z = padded(z)
            masks = pieces(self._mask, len(self._x), _TANGENT_ROWS)
            rows = zip(z.split(_TANGENT_ROWS), masks, strict=False)
            matrices = torch.cat([self._gauss_newton(some, mask) for some, mask in rows])
        if self.penalty is not None:
            matrices = matrices + _penalty_hessian(self.penalty, z)
        return matrices[: self.n]

    def gauss_newton_product(self, z: Codes, v: Codes) -> Codes:
        """Product of each sample's Gauss-Newton Hessian with its own vector."""
        return (self.gauss_newton(z) @ v[:, :, None])[:, :, 0]

    def grad_with_graph(self, z: Codes) -> Codes:
        """Gradient in z by autograd, itself differentiable in z and in the decoder's weights."""
        return torch.autograd.grad(self._per_sample(padded(z)).sum(), z, create_graph=True)[0]

    def linearised(self, z: Codes, weights: Sequence[Tensor]) -> tuple[Codes, Pull]:
        """Gradient g in z, and what pulls a vector v back through it.

        V -> derivatives of <v, g> in z and the weights.

        Args:
            z: codes.
            weights: tensors of this energy's decoder that require a gradient.
        """
        if self._dense is not None:
            return self._dense_linearised(self._dense, z, weights)
        with torch.enable_grad():
            leaf, grad = self._differentiable_grad(z)

        def pull(v: Tensor) -> list[Tensor]:
            of_z, *rest = torch.autograd.grad(
                grad, (leaf, *weights), padded(v), materialize_grads=True
            )
            return [of_z[: self.n], *rest]

        return grad.detach()[: self.n], pull

    def _dense_linearised(
        self, dense: Dense, z: Tensor, weights: Sequence[Tensor]
    ) -> tuple[Codes, Pull]:
        """The same by hand, some rows at a time."""
        z = padded(z)
        loss = self.loss
        parts = []
        masks = pieces(self._mask, len(z), _SECOND_ROWS)
        for some, x, mask in zip(
            z.split(_SECOND_ROWS), self._x.split(_SECOND_ROWS), masks, strict=False
        ):
            outputs = dense.forward(some)
            first = loss.gradient(outputs[-1], x, mask)
            second = loss.curvature(outputs[-1], mask)
            parts.append(dense.linearised(some, outputs, first, second))
        grad = torch.cat([part.grad for part in parts])

        def pull(v: Tensor) -> list[Tensor]:
            pulled = [
                part.pull(rows)
                for part, rows in zip(parts, padded(v).split(_SECOND_ROWS), strict=True)
            ]
            sums = [
                reduce(torch.add, tensors)
                for tensors in zip(*(found for _, found in pulled), strict=True)
            ]
            found = dict(zip(map(id, dense.parameters), sums, strict=True))
            of_z = torch.cat([rows for rows, _ in pulled])
            if self.penalty is not None:
                of_z = of_z + (_penalty_hessian(self.penalty, z) @ padded(v)[:, :, None])[:, :, 0]
            return [of_z[: self.n], *(found[id(weight)] for weight in weights)]

        return (grad if self.penalty is None else grad + penalty_grad(self.penalty, z))[
            : self.n
        ], pull

    def _gauss_newton(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """J' W J for a few rows."""
        if self._dense is not None:
            outputs = self._dense.forward(z)
            output = outputs[-1]
            tangents = self._dense.jacobian(outputs)
        else:
            output, tangents = self._tangents(z)
        curvature = self.loss.curvature(output, mask).flatten(1)
        return (tangents * curvature[:, None]) @ tangents.transpose(1, 2)

    def _tangents(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Output and its derivative along every latent axis, for a decoder of any kind.

        The Jacobian-vector product is the derivative of the vector-Jacobian product u' J in u:
        twice backwards, because torch's forward mode announces its future on stderr when it is
        first used.
        """
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            output = self.decoder(z)
            u = torch.zeros_like(output).requires_grad_()
            (pulled,) = torch.autograd.grad(output, z, u, create_graph=True)
            axes = torch.eye(z.shape[1]).to(z)
            pushed = [
                torch.autograd.grad(pulled, u, axis.expand_as(z), retain_graph=True)[0]
                for axis in axes
            ]
        return output.detach(), torch.stack([tangent.flatten(1) for tangent in pushed], 1)

    def _differentiable_grad(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = padded(z.detach()).requires_grad_()
        (grad,) = torch.autograd.grad(self._per_sample(z).sum(), z, create_graph=True)
        return z, grad


def pieces(rows: Tensor | None, n: int, size: int) -> list[Tensor | None]:
    """Some of n rows at a time; a None for every piece where there are no rows."""
    return [None] * (n // size + 1) if rows is None else list(rows.split(size))


def penalty_grad(penalty: Penalty, z: Tensor) -> Tensor:
    """Gradient of a penalty in z."""
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
