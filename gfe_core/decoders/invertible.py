"""A decoder that can be inverted and whose change of volume is known.

Each of its layers rotates, stretches, shifts and bends, and each of these maps has an inverse and a
derivative in closed form. The code of an output therefore needs no search, and the volume that a
code covers needs no automatic differentiation.

Shapes: `batch` samples; `latent` the size of a code; `features` the size of a sample; `layer` one
    of the layers.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import checks, threads
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import Samples, codes_for, samples_for
from gfe_core.decoders.mlp import FlatDecoder, Shape, Source
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.types import Codes, PerSample

Rows = Float[Tensor, "batch features"]

_FIRST = 0.2
"""Bound on the initial weights, times the root of the number of features.

It is small, so that the layers begin near the identity.
"""


class Curve(NamedTuple):
    """An increasing function of one number.

    Args:
        bend: function u -> v.
        undo: inverse function v -> u.
        log_slope: function (u, v) -> log dv/du.
    """

    bend: Callable[[Tensor], Tensor]
    undo: Callable[[Tensor], Tensor]
    log_slope: Callable[[Tensor, Tensor], Tensor]


def _log_hypot(v: Tensor) -> Tensor:
    """Return log sqrt(1 + v^2) = log cosh(arcsinh(v)), without the overflow of a square."""
    return torch.hypot(v, torch.ones_like(v)).log()


# named functions: a decoder holds its curves and must be picklable, which lambdas are not
def _log_slope_of_arcsinh(u: Tensor, v: Tensor) -> Tensor:
    return -_log_hypot(u)


def _log_slope_of_sinh(u: Tensor, v: Tensor) -> Tensor:
    return _log_hypot(v)


def _log_slope_of_a_line(u: Tensor, v: Tensor) -> Tensor:
    return torch.zeros_like(u)


def _unbent(u: Tensor) -> Tensor:
    return u


ARCSINH = Curve(torch.asinh, torch.sinh, _log_slope_of_arcsinh)
SINH = Curve(torch.sinh, torch.asinh, _log_slope_of_sinh)
STRAIGHT = Curve(_unbent, _unbent, _log_slope_of_a_line)


@keeps_rows_apart
class InvertibleDecoder(FlatDecoder):
    """A decoder of invertible layers: different codes have different outputs.

    h_0 = (z, 0) is a code padded with zeros to the width of a sample. For each layer k

        h_k = g_k(S_k Q_k h_(k-1) + b_k),    Q = exp(A - A'),    S = exp(A + A')

    with exp the matrix exponential: Q is a rotation, S a symmetric stretch of determinant
    exp(2 tr A), and their products are all matrices of positive determinant. g alternates between
    arcsinh and sinh, applied to each number, and is the identity in the last layer. The initial
    layers are near the identity, so that training begins with a nearly flat sheet on which a unit
    of the code is a unit of the data.

    It suits data with few features: every call computes exponentials of features x features
    matrices.

    Args:
        latent_dim: size of a code; it may be as large as data_dim.
        data_dim: number of features of a sample.
        n_layers: number of layers that bend, >= 0; preferably even, as sinh undoes the compression
            of arcsinh.
        image_shape: shape in which a sample is shown.
        generator: source of the initial weights; the global generator by default.

    Example:
        >>> decoder = InvertibleDecoder(latent_dim=1, data_dim=2, n_layers=4)
        >>> z = torch.tensor([[-1.0], [0.5]])
        >>> torch.allclose(decoder.inverse(decoder(z)), z, atol=1e-5)
        True

    Source: for the change of variables with such layers, the public code of Flouris et al. 2024
        (arXiv 2412.00864); for sinh and arcsinh as a pair that shapes a distribution, Jones and
        Pewsey 2009, Biometrika 96.
    """

    @in_own_words
    def __init__(
        self,
        *,
        latent_dim: int,
        data_dim: int,
        n_layers: int = 6,
        image_shape: Shape = None,
        generator: Source = None,
    ) -> None:
        super().__init__(latent_dim, data_dim, image_shape)
        n_layers = checks.whole("n_layers", n_layers)
        checks.require(n_layers >= 0, f"`n_layers` must be at least 0, got {n_layers}.")
        checks.generator("generator", generator)
        self.arguments = {
            "latent_dim": latent_dim,
            "data_dim": data_dim,
            "n_layers": n_layers,
            "image_shape": self._given_shape,
        }
        n = int(data_dim)
        self._curves = [(ARCSINH, SINH)[k % 2] for k in range(n_layers)] + [STRAIGHT]
        bound = _FIRST / math.sqrt(n)
        A = torch.empty(n_layers + 1, n, n).uniform_(-bound, bound, generator=generator)
        b = torch.empty(n_layers + 1, n).uniform_(-bound, bound, generator=generator)
        self.A = nn.Parameter(A)
        self.b = nn.Parameter(b)

    def forward(self, z: Codes) -> Rows:
        """Return the outputs of codes."""
        h = self._widened(z)
        for M, b, curve in self._layers():
            h = curve.bend(h @ M.mT + b)
        return h

    def log_det(self, z: Codes) -> PerSample:
        """Return the log of the volume factor of the decoder: log det(J'J) / 2, J = dD/dz.

        With one latent it is the log of the speed with which D(z) moves along its curve. The value
        is exact, and differentiable in z and in the weights. If a code is as large as a sample, it
        is log |det J|, a sum over layers: 2 tr A for the stretch, and a log slope for each number.
        Otherwise the tangents J are carried through the layers.

        Raises:
            TypeError, ValueError: z does not hold codes of this decoder.
        """
        z = codes_for(self, z)
        h = self._widened(z)
        square = self.latent_dim == h.shape[1]
        tangents = torch.eye(h.shape[1], self.latent_dim).to(z)
        total = z.new_zeros(len(z))
        for M, b, curve in self._layers():
            u = h @ M.mT + b
            h = curve.bend(u)
            log_slopes = curve.log_slope(u, h)
            total = total + log_slopes.sum(1)
            if not square:
                tangents = log_slopes.exp()[:, :, None] * (M @ tangents)
        if square:
            return total + 2 * self.A.diagonal(dim1=1, dim2=2).sum()
        # R of J = QR, with columns of length 1: J'J would square the condition of J
        lengths = torch.linalg.vector_norm(tangents, dim=1)
        scale = lengths.clamp(min=torch.finfo(z.dtype).tiny)[:, None]
        triangle = torch.linalg.qr(threads.wide(tangents / scale)).R
        volume = triangle.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        return lengths.log().sum(1) + volume.to(z.dtype)

    def inverse(self, x: Samples) -> Codes:
        """Return the codes of outputs of the decoder, up to rounding.

        A sample off the sheet is first moved onto it along a path that the layers define. Its code
        belongs to a nearby point of the sheet, but not to the nearest one. `encode` searches for
        the nearest point.

        Raises:
            TypeError, ValueError: x does not hold data of this decoder.
        """
        h = x = samples_for(self, x)
        for M, b, curve in reversed(self._layers()):
            straight = threads.wide(curve.undo(h) - b)
            h = torch.linalg.solve(threads.wide(M), straight.mT).mT.to(x.dtype)
        return h[:, : self.latent_dim]

    def _widened(self, z: Tensor) -> Tensor:
        """Pad codes with zeros: a linear map with orthonormal columns."""
        if z.shape[-1:] != (self.latent_dim,):
            wanted = f"`z` must be codes of shape (batch, {self.latent_dim})"
            raise ValueError(f"{wanted}, got {tuple(z.shape)}. Pass codes of this decoder.")
        return F.pad(z, (0, self.data_shape[0] - self.latent_dim))

    def _layers(self) -> list[tuple[Tensor, Tensor, Curve]]:
        """Return S Q, b and g of each layer; all exponentials are computed in one call."""
        exponents = torch.stack([self.A - self.A.mT, self.A + self.A.mT])
        turn, stretch = torch.linalg.matrix_exp(threads.wide(exponents)).to(self.A.dtype)
        return [*zip((stretch @ turn).unbind(), self.b.unbind(), self._curves, strict=True)]
