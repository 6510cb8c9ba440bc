"""A decoder of transposed convolutions, and the encoder of an autoencoder that mirrors it."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.baselines import Autoencoder
from gfe_core.decoders import FlatDecoder, Source, initialise
from gfe_core.losses import Bernoulli
from gfe_core.types import Codes, Loss

_FIRST = 4
"""Height and width of the picture that the first layer makes of a code."""


def _around(image_shape: Sequence[int], channels: Sequence[int]) -> tuple[int, int, int, int]:
    """Pixels left, right, above and below an image in the middle of the largest picture of these layers."""
    side = _FIRST * 2 ** len(channels)
    wanted = f"`image_shape` must be at most {side}x{side} for {len(channels)} channels, got {tuple(image_shape)}."
    checks.require(max(image_shape) <= side, f"{wanted} Name more `channels`: each doubles the size.")
    (above, below), (left, right) = (((side - n) // 2, (side - n + 1) // 2) for n in image_shape)
    return left, right, above, below


class TransposedConvDecoder(FlatDecoder):
    """Transposed convolutions of width 4: a code becomes a 4x4 picture, whose size each further layer doubles.

    ELU follows every layer but the last. The middle of the last picture is the sample. No layer normalises over a
    batch: samples never see each other.

    Args:
        latent_dim: size of a code.
        image_shape: (height, width) of a sample, at most 4 * 2 ** len(channels) each.
        channels: of the pictures before each doubling, from the latent side on.
        generator: source of the initial weights; the global one by default.

    Raises:
        ValueError: the image is larger than so many doublings make it.

    Example:
        >>> decoder = TransposedConvDecoder(latent_dim=32, image_shape=(28, 28))
        >>> sum(p.numel() for p in decoder.parameters())
        74097

    Source: with the widths of the example, the network of Bond-Taylor and Willcocks 2021 (arXiv 2007.02798) without its
    normalisations.
    """

    def __init__(
        self, *, latent_dim: int, image_shape: tuple[int, int], channels: Sequence[int] = (64, 32, 16),
        generator: Source = None,
    ) -> None:  # fmt: skip
        super().__init__(latent_dim, math.prod(image_shape), image_shape)
        self.channels, crop = tuple(channels), [-n for n in _around(image_shape, channels)]
        layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1)), nn.ConvTranspose2d(latent_dim, channels[0], 4)]
        for n_in, n_out in pairwise((*channels, 1)):
            layers += [nn.ELU(), nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.ZeroPad2d(cast(Any, tuple(crop))), nn.Flatten())
        initialise(self, generator)

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Raw outputs of codes."""
        return self.layers(z)


class ConvAutoencoder(Autoencoder):
    """The encoder whose layers are those of a `TransposedConvDecoder`, backwards; used as `Autoencoder` is.

    Args:
        image_shape: (height, width) of a sample.
        channels: of its pictures, from the data side on.
        latent_dim: size of a code.
        loss: of the energies it reports, `Bernoulli()` by default.
        generator: source of the initial weights; the global one by default.

    Raises:
        ValueError: the image is larger than the decoder could make it.
    """

    def __init__(
        self, *, image_shape: tuple[int, int], channels: Sequence[int], latent_dim: int, loss: Loss | None = None,
        generator: Source = None,
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        padding = _around(image_shape, channels)
        layers: list[nn.Module] = [nn.Unflatten(1, (1, *image_shape)), nn.ZeroPad2d(padding)]
        for n_in, n_out in pairwise((1, *channels)):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.ELU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], latent_dim, 4), nn.Flatten())
        self.loss = loss or Bernoulli()
        initialise(self, generator)

    @classmethod
    def mirror(cls, decoder: Any, **arguments: Any) -> "ConvAutoencoder":
        """Build the encoder of this `TransposedConvDecoder`; `latent_dim` may be another than the decoder's."""
        own = {"image_shape": decoder.image_shape, "channels": decoder.channels[::-1], "latent_dim": decoder.latent_dim}
        return cls(**own | arguments)
