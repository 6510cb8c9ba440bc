"""Second derivatives of the energy: in the code, and mixed ones in the code and the weights.

Following a flow needs none of them; implicit solvers, spectra and adjoints do.

Shapes: `batch` samples; `latent` the size of a code.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gfe_core import threads
from gfe_core.decoders.graph import graphs
from gfe_core.energy.calls import WholeLoss
from gfe_core.types import Codes, Decoder, Penalty

TANGENT_ROWS = 256
"""Number of rows whose Jacobians are held at once."""

Pull = Callable[[Tensor], list[Tensor]]
Matrices = Float[Tensor, "batch latent latent"]


class Curvature(ABC):
    """The second derivatives of `Energy`."""

    decoder: Decoder
    loss: WholeLoss
    penalty: Penalty | None
    n: int
    _mask: Tensor | None

    @abstractmethod
    def rows(self, keep: Tensor) -> "Curvature":
        """Return the same energy for a selection of samples."""

    @abstractmethod
    def _per_sample(self, z: Tensor) -> Tensor:
        """Return the energy of padded codes, with a graph."""

    @abstractmethod
    def _output(self, z: Tensor) -> Tensor:
        """Return the raw output of padded codes."""

    @abstractmethod
    def _misfit(self, output: Tensor) -> Tensor:
        """Return the loss of padded raw outputs."""

    @abstractmethod
    def _penalty(self, z: Tensor) -> Tensor:
        """Return the penalty of padded codes."""

    @abstractmethod
    def _padded(self, rows: Tensor) -> Tensor:
        """Pad rows to the number with which the decoder is called."""

    @abstractmethod
    def _padded_codes(self, z: Codes) -> Tensor:
        """Codes as the decoder is called with them; refused unless they are one a sample."""

    def hessian_product(self, z: Codes, v: Codes) -> Codes:
        """Return H v: each sample's latent Hessian H = d2E/dz2 times its own vector."""
        with (
            threads.suited(self.decoder),
            graphs(),
            _refused_where_compiled(),
        ):
            z, grad = self._differentiable_grad(z)
            along = (grad * self._padded(v)).sum()
            if not along.requires_grad:  # a linear function has no curvature
                return torch.zeros_like(v)
            (product,) = torch.autograd.grad(along, z, materialize_grads=True)
        return product[: self.n]

    def hessian(self, z: Codes) -> Matrices:
        """Return the latent Hessian of each sample, exact and symmetric up to rounding."""
        with graphs(), _refused_where_compiled():
            z, grad = self._differentiable_grad(z)
            return _jacobian(grad, z)[: self.n]

    def gauss_newton(self, z: Codes) -> Matrices:
        """Return the Gauss-Newton Hessian J' W J: J = dy/dz, W the loss's Hessian in the output y.

        The curvature of the decoder is omitted, so the matrix is never indefinite if the loss is
        convex; a penalty adds its own Hessian. W is exact for every loss; it is not diagonal if the
        loss mixes features.
        """
        with torch.no_grad():
            if self.n <= TANGENT_ROWS:
                return self._gauss_newton(self._padded_codes(z))[: self.n]
            parts = torch.arange(self.n, device=z.device).split(TANGENT_ROWS)
            return torch.cat([self.rows(part).gauss_newton(z[part]) for part in parts])

    def output(self, z: Codes) -> Tensor:
        """Return the raw output of codes."""
        with torch.no_grad():
            return self._output(self._padded_codes(z))[: self.n]

    def curvatures(self, z: Codes) -> tuple[Tensor, Tensor]:
        """Return W as the loss gives it and as autograd derives it, each times a vector of ones.

        Both are equal if the loss does not define its curvature.
        """
        with torch.no_grad():
            output = self._output(self._padded_codes(z))
        ones = torch.ones_like(output).flatten(1)[:, None]
        derived = self._bent_by_autograd(output.detach(), ones)[: self.n]
        diagonal = self.loss.curvature(output, self._mask)
        return (derived if diagonal is None else diagonal.flatten(1)[: self.n, None]), derived

    def gauss_newton_product(self, z: Codes, v: Codes) -> Codes:
        """Return each sample's Gauss-Newton Hessian times its own vector."""
        return (self.gauss_newton(z) @ v[:, :, None])[:, :, 0]

    def grad_with_graph(self, z: Codes) -> Codes:
        """Return the gradient in z, differentiable in z and in the decoder's weights."""
        with _ATTENTION:
            energy = self._per_sample(self._padded_codes(z)).sum()
        return torch.autograd.grad(energy, z, create_graph=True)[0]

    def linearised(self, z: Codes, weights: Sequence[Tensor]) -> tuple[Codes, Pull]:
        """Return the gradient g in z, and a function that pulls a vector v back through it.

        The function maps v to the derivatives of <v, g> in z and the weights.

        Args:
            z: codes.
            weights: tensors of this energy's decoder that require a gradient.
        """
        with graphs():
            leaf, grad = self._differentiable_grad(z)

        def pull(v: Tensor) -> list[Tensor]:
            of_z, *rest = torch.autograd.grad(
                grad, (leaf, *weights), self._padded(v), retain_graph=True, materialize_grads=True
            )
            return [of_z[: self.n], *rest]

        return grad.detach()[: self.n], pull

    def _gauss_newton(self, z: Tensor) -> Tensor:
        """Return J' W J for a few padded rows, plus the Hessian of the penalty."""
        output, tangents = self._tangents(z)
        matrices = self._bent(output, tangents) @ tangents.transpose(1, 2)
        return matrices if self.penalty is None else matrices + self._penalty_hessian(z)

    def _bent(self, output: Tensor, tangents: Tensor) -> Tensor:
        """Return W times every tangent, (batch, latent, outputs)."""
        diagonal = self.loss.curvature(output, self._mask)
        if diagonal is not None:
            return tangents * diagonal.flatten(1)[:, None]
        return self._bent_by_autograd(output, tangents)

    def _bent_by_autograd(self, output: Tensor, tangents: Tensor) -> Tensor:
        """Return W times every tangent by autograd, without the curvature that the loss defines."""
        with graphs(), _refused_where_compiled():
            y = output.requires_grad_()
            (slope,) = torch.autograd.grad(self._misfit(y).sum(), y, create_graph=True)
            if not slope.requires_grad:  # a linear loss has no curvature
                return torch.zeros_like(tangents)
            products = [
                torch.autograd.grad(
                    slope, y, along.view_as(y), retain_graph=True, materialize_grads=True
                )[0]
                for along in tangents.unbind(1)
            ]
        return torch.stack([product.flatten(1) for product in products], 1)

    def _tangents(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and its derivative along every latent axis."""
        return tangents_of(self._output, z)

    def _penalty_hessian(self, z: Tensor) -> Tensor:
        """Return the latent Hessian of the penalty."""
        with graphs():
            z = z.detach().requires_grad_()
            (grad,) = torch.autograd.grad(self._penalty(z).sum(), z, create_graph=True)
            return _jacobian(grad, z)

    def _differentiable_grad(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = self._padded_codes(z.detach()).requires_grad_()
        with _ATTENTION:
            energy = self._per_sample(z).sum()
        (grad,) = torch.autograd.grad(energy, z, create_graph=True)
        return z, grad


def tangents_of(function: Callable[[Tensor], Tensor], z: Codes) -> tuple[Tensor, Tensor]:
    """Return a function of codes, and its derivative along every latent axis, row by row.

    The Jacobian-vector product is the derivative in u of the vector-Jacobian product u' J. It takes
    two backward passes, because torch's forward mode prints a warning when it is first used.

    Args:
        function: function (batch, latent) -> (batch, *data), each row of its own code.
        z: codes.

    Returns:
        Values (batch, *data), and J' (batch, latent, features), both without a graph.
    """
    with graphs(), _refused_where_compiled():
        z = z.detach().requires_grad_()
        with _ATTENTION:
            output = function(z)
        u = torch.zeros_like(output).requires_grad_()
        (pulled,) = torch.autograd.grad(output, z, u, create_graph=True, materialize_grads=True)
        if not pulled.requires_grad:  # step functions, such as `round`, have no slope
            return output.detach(), output.detach().new_zeros(*z.shape, output.shape[1:].numel())
        axes = torch.eye(z.shape[1]).to(z)
        pushed = [
            torch.autograd.grad(
                pulled, u, axis.expand_as(z), retain_graph=True, materialize_grads=True
            )[0]
            for axis in axes
        ]
    return output.detach(), torch.stack([tangent.flatten(1) for tangent in pushed], 1)


def _jacobian(grad: Tensor, z: Tensor) -> Tensor:
    """Return the derivative of each row of a gradient in its own code, (batch, latent, latent)."""
    if not grad.requires_grad:  # a linear function has no curvature
        return z.detach().new_zeros(*z.shape, z.shape[1])
    rows = [
        torch.autograd.grad(column.sum(), z, retain_graph=True, materialize_grads=True)[0]
        for column in grad.unbind(1)
    ]
    return torch.stack(rows, 1)


class _TwiceDifferentiableAttention:
    """Compute torch's attention in the one way whose derivative has a derivative.

    The choice holds for all threads of the process, so that the last one to leave takes it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._choice = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._choice.enter_context(sdpa_kernel(SDPBackend.MATH))
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._choice.close()


_ATTENTION = _TwiceDifferentiableAttention()


@contextmanager
def _refused_where_compiled() -> Iterator[None]:
    """Explain the error of a decoder that can be differentiated only once."""
    try:
        yield
    except RuntimeError as error:
        if "double backward" in str(error) or "create_graph=False" in str(error):
            raise TypeError(no_second_derivative("This needs")) from error
        raise


def no_second_derivative(who: str) -> str:
    """Return a message that a compiled decoder can be differentiated only once, with remedies."""
    return (
        f"{who} second derivatives, which `torch.compile` leaves out (aot_autograd has no double "
        "backward). Pass the uncompiled module, `decoder._orig_mod`: it shares the weights. Or "
        "compile with `backend='eager'`."
    )
