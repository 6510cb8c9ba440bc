"""Decoders that are stacks of linear layers: codes (batch, latent) to (batch, features).

All of them return one flat row for each sample, so that any decoder suits any data set of its size;
`image_shape` gives the shape in which a row is shown. Most activations are smooth, because several
solvers use the curvature in the latent space.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.types import Codes

Sizes = Sequence[int]
Shape = Sizes | None
"""(height, width) or (3, height, width) of a sample; None if it is not given."""
Source = torch.Generator | None
"""Generator of the initial weights; None is torch's global generator."""

_AT_A_TIME = 4
"""Numbers of a row that matrix kernels take at a time, at least."""
_IN_VECTORS = 32
"""Numbers that elementwise functions take at a time, at most."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}


@keeps_rows_apart
class Steady(nn.Linear):
    """A linear layer that rounds a row alike wherever it stands in a batch.

    Matrix kernels take numbers four at a time. Where rows are no multiple of that, some kernels
    compute the last rows of a batch, or those at unaligned addresses, in another order. Zeros
    behind the inputs and the weights change no product.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs (batch, out) of inputs (batch, in)."""
        n = -self.in_features % _AT_A_TIME
        return F.linear(F.pad(input, (0, n)), F.pad(self.weight, (0, n)), self.bias)


def linear(n_in: int, n_out: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer whose output of a row does not depend on the row's place in a batch."""
    unaligned = n_in > _AT_A_TIME and n_in % _AT_A_TIME
    kind = Steady if unaligned and (n_in < 12 or n_out <= 10) else nn.Linear
    return kind(n_in, n_out, bias=bias)


class FlatDecoder(nn.Module):
    """The base class of decoders with latent_dim, data_shape and image_shape.

    `arguments` holds the arguments of the constructor, except for the generator: a file stores them
    together with the weights.
    """

    arguments: dict[str, Any]

    row_multiple: int = 16
    """`encode` passes a multiple of this number of rows, so that codes do not depend on the batch.

    With one thread this holds to the bit for `MLPDecoder` and `LinearDecoder`: their layers are
    `Steady` where matrix products would otherwise round a row by its place in the batch, and the
    multiple is 32 where a layer has an odd width. (Several threads share long rows of numbers at
    places that depend on the batch, and may round the last bit of a few.)
    """

    def __init__(self, latent_dim: int, data_dim: int, image_shape: Shape) -> None:
        super().__init__()
        checks.at_least_one("latent_dim", latent_dim)
        checks.at_least_one("data_dim", data_dim)
        wanted = f"`latent_dim` must not exceed `data_dim` {data_dim}, got {latent_dim}."
        checks.require(
            latent_dim <= data_dim,
            f"{wanted} A code may be as large as a sample, not larger: lower `latent_dim`.",
        )
        side = math.isqrt(data_dim)
        square = (side, side) if side > 1 and side * side == data_dim else None
        shape = square if image_shape is None else checks.image_shape(image_shape)
        n = data_dim if shape is None else math.prod(shape)
        checks.require(
            n == data_dim, f"`image_shape` {shape} has {n} pixels, but `data_dim` is {data_dim}."
        )
        self.latent_dim = int(latent_dim)
        self.data_shape: tuple[int, ...] = (int(data_dim),)
        self.image_shape: tuple[int, ...] | None = shape
        self._given_shape = None if image_shape is None else shape
        self._fill_vectors(int(data_dim))

    def _fill_vectors(self, *widths: int) -> None:
        """Let `widths` times the rows of a call be whole vectors.

        Activations and losses take up to 32 numbers at a time and those that are left one by one,
        which rounds otherwise.
        """
        if any(width % 2 for width in widths):
            self.row_multiple = _IN_VECTORS


@keeps_rows_apart
class MLPDecoder(FlatDecoder):
    """A multilayer perceptron latent -> hidden ... -> features.

    Args:
        latent_dim: size of a code.
        hidden: widths of the hidden layers, from the latent side on.
        data_dim: number of features of a sample.
        activation: function between the layers: "elu", "tanh", "relu" or "silu".
        image_shape: shape in which a sample is shown, (height, width) or (3, height, width); by
            default a square if data_dim is a square number.
        generator: source of the initial weights; the global generator by default.

    Example:
        >>> MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784).image_shape
        (28, 28)

    Source: with the widths of the example, the MNIST decoder of Flouris et al. 2024 (arXiv
        2412.00864).
    """

    @in_own_words
    def __init__(
        self,
        *,
        latent_dim: int,
        hidden: Sizes,
        data_dim: int,
        activation: str = "elu",
        image_shape: Shape = None,
        generator: Source = None,
    ) -> None:
        super().__init__(latent_dim, data_dim, image_shape)
        widths = checks.sizes("hidden", hidden)
        checks.one_of("activation", activation, tuple(_ACTIVATIONS))
        self.arguments = {
            "latent_dim": latent_dim,
            "hidden": widths,
            "data_dim": data_dim,
            "activation": activation,
            "image_shape": self._given_shape,
        }
        self._fill_vectors(*widths)
        self.layers = perceptron((self.latent_dim, *widths, int(data_dim)), activation)
        initialise(self, generator)

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Return the raw outputs of codes."""
        return self.layers(z)


@keeps_rows_apart
class LinearDecoder(FlatDecoder):
    """An affine map y = W z + b.

    This is logistic PCA with the Bernoulli loss, and PCA with the Gaussian loss.

    Args:
        latent_dim: size of a code.
        data_dim: number of features of a sample.
        bias: whether to add b.
        image_shape: shape in which a sample is shown.
        generator: source of the initial weights; the global generator by default.
    """

    @in_own_words
    def __init__(
        self,
        *,
        latent_dim: int,
        data_dim: int,
        bias: bool = True,
        image_shape: Shape = None,
        generator: Source = None,
    ) -> None:
        super().__init__(latent_dim, data_dim, image_shape)
        self.arguments = {
            "latent_dim": latent_dim,
            "data_dim": data_dim,
            "bias": bias,
            "image_shape": self._given_shape,
        }
        checks.flag("bias", bias)
        self.linear = linear(self.latent_dim, int(data_dim), bias=bool(bias))
        initialise(self, generator)

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Return the raw outputs of codes."""
        return self.linear(z)


def perceptron(widths: Sizes, activation: str = "elu") -> nn.Sequential:
    """Build linear layers from each width to the next, with an activation between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [linear(n_in, n_out), _ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def initialise(decoder: nn.Module, generator: Source) -> None:
    """Draw every weight from U(-1/sqrt(n_in), 1/sqrt(n_in)), torch's default, with a generator."""
    checks.generator("generator", generator)
    with torch.no_grad():
        for module in decoder.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                bound = 1 / math.sqrt(module.weight[0].numel())
                for parameter in module.parameters():
                    parameter.uniform_(-bound, bound, generator=generator)
