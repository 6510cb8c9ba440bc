"""A decoder that is a function of coordinates.

One code can be decoded at any resolution, and a few places are enough to train on.
"""

import math
from collections.abc import Sequence
from copy import copy
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import rows_of
from gfe_core.decoders.mlp import FlatDecoder, Source
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.types import Codes

Coordinates = Float[Tensor, "features place"]


def grid(height: int, width: int) -> Coordinates:
    """Return coordinates of pixels, row by row: (vertical, horizontal), each from -1 to 1."""
    rows = torch.linspace(-1, 1, height)
    columns = torch.linspace(-1, 1, width)
    return torch.cartesian_prod(rows, columns)


@keeps_rows_apart
class SirenDecoder(FlatDecoder):
    """An image as a function y(c) of the coordinates c.

    The decoder is a multilayer perceptron with sines whose first layer also receives the code:

    h_1 = sin(w0 (W_c c + W_z z + b)), h_i = sin(w0 (W h + b)), y = W h + b, one output for each
    place. A large w0 makes energies steep in z: the larger it is, the shorter a step must be
    (`Origin(dt=)`).

    Args:
        latent_dim: size of a code.
        hidden: widths of the hidden layers.
        image_shape: (height, width) of the training images; the decoder is evaluated on their
            `grid`.
        w0: frequency of the sines, > 0.
        generator: source of the initial weights; the global generator by default.

    Example:
        >>> siren = SirenDecoder(latent_dim=32, hidden=(32,) * 4, image_shape=(28, 28))
        >>> sum(p.numel() for p in siren.parameters())
        4321
        >>> siren.at(grid(64, 64), image_shape=(64, 64))(torch.zeros(5, 32)).shape
        torch.Size([5, 4096])

    Source: Sitzmann et al. 2020 (arXiv 2006.09661); with a code, Bond-Taylor and Willcocks 2021
        (arXiv 2007.02798).
    """

    coordinates: Tensor

    @in_own_words
    def __init__(
        self,
        *,
        latent_dim: int,
        hidden: Sequence[int],
        image_shape: tuple[int, int],
        w0: float = 30.0,
        generator: Source = None,
    ) -> None:
        height, width = checks.sizes("image_shape", image_shape, n=2)
        image_shape = (height, width)
        hidden = checks.sizes("hidden", hidden)
        checks.require(len(hidden) > 0, "`hidden` must name at least one width, got ().")
        checks.generator("generator", generator)
        super().__init__(latent_dim, math.prod(image_shape), image_shape)
        latent_dim = self.latent_dim
        self.arguments = {
            "latent_dim": latent_dim,
            "hidden": hidden,
            "image_shape": image_shape,
            "w0": w0,
        }
        checks.finite_positive("w0", w0)
        self.w0 = w0
        self.register_buffer("coordinates", grid(*image_shape), persistent=False)
        self.layers = nn.ModuleList(
            nn.Linear(*sizes) for sizes in pairwise((2 + latent_dim, *hidden, 1))
        )
        self._initialise(generator)

    def _initialise(self, generator: Source) -> None:
        """Draw weights from U(+-1/n_in) in the first layer and U(+-sqrt(6/n_in)/w0) in the others.

        In the others w0 W h has unit variance, because sines have variance 1/2.

        Biases, from U(+-1/sqrt(n_in)), are phases of up to w0/sqrt(n_in), which do not change the
        variance of a sine.
        """
        with torch.no_grad():
            for i, layer in enumerate(self.layers):
                assert isinstance(layer, nn.Linear)
                n_in = layer.in_features
                bound = math.sqrt(6 / n_in) / self.w0 if i else 1 / n_in
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-1 / math.sqrt(n_in), 1 / math.sqrt(n_in), generator=generator)

    @in_own_words
    def at(
        self, coordinates: Coordinates, *, image_shape: tuple[int, int] | None = None
    ) -> "SirenDecoder":
        """Return a decoder that is evaluated at other places.

        It is an ordinary decoder that shares every weight with this one.

        Args:
            coordinates: places, one in each row, inside [-1, 1] as in training.
            image_shape: shape in which the outputs are shown, if they are an image.

        Raises:
            TypeError, ValueError: coordinates are no rows of two, or do not match `image_shape`.
        """
        coordinates = rows_of(coordinates, "coordinates", like=self.coordinates)
        fits = coordinates.dim() == 2 and coordinates.shape[1] == 2 and len(coordinates) > 0
        got = tuple(coordinates.shape)
        checks.require(
            fits, f"`coordinates` must have shape (features, 2), got {got}. Make them with `grid`."
        )
        if image_shape is not None:
            height, width = checks.sizes("image_shape", image_shape, n=2)
            image_shape = (height, width)
        n = len(coordinates)
        n_pixels = math.prod(image_shape or (len(coordinates),))
        wanted = f"`image_shape` {image_shape} has {n_pixels} pixels"
        checks.require(
            n == n_pixels, f"{wanted}, but `coordinates` has {n} places. Make them with `grid`."
        )
        other = copy(self)
        other._buffers = self._buffers | {"coordinates": coordinates.to(self.coordinates)}
        other.data_shape = (n,)
        other.image_shape = image_shape
        return other

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Return the outputs at every place for each code."""
        first, *others = self.layers
        assert isinstance(first, nn.Linear)
        of_place, of_code = first.weight.split([2, self.latent_dim], 1)
        h = (self.coordinates.to(z) @ of_place.T) + (z @ of_code.T + first.bias)[:, None]
        for layer in others:
            h = layer(torch.sin(self.w0 * h))
        return h[..., 0]
