"""Convolutional decoders."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.decoders.mlp import FlatDecoder, Sizes, Source, initialise
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.types import Codes

_FIRST = 4
"""Height and width of the picture into which the first layer turns a code."""


def margins(image_shape: Sequence[int], channels: Sequence[int]) -> tuple[int, int, int, int]:
    """Count the pixels left, right, above and below an image in the last picture of the layers."""
    side = _FIRST * 2 ** len(channels)
    wanted = (
        f"`image_shape` must be at most {side}x{side} for {len(channels)} channels, got "
        f"{tuple(image_shape)}."
    )
    checks.require(
        max(image_shape[-2:]) <= side, f"{wanted} Name more `channels`: each doubles the size."
    )
    (above, below), (left, right) = (
        ((side - n) // 2, (side - n + 1) // 2) for n in image_shape[-2:]
    )
    return left, right, above, below


def colours(image_shape: Sequence[int]) -> int:
    """Count the values of each pixel of an image: 1 in grey, 3 in colour."""
    return image_shape[0] if len(image_shape) == 3 else 1


@keeps_rows_apart
class ConvDecoder(FlatDecoder):
    """A convolutional decoder: a linear map to a small picture, then stages that double its size.

    Each stage doubles height and width (nearest neighbour), convolves 3x3 and applies ELU; a last
    convolution gives the logits. Sizes that are not multiples of 2 ** stages are cropped. There is
    no normalisation: samples do not affect each other.

    Args:
        latent_dim: size of a code.
        image_shape: (height, width) of a sample, or (3, height, width) in colour.
        channels: number of channels before each doubling, from the latent side on.
        generator: source of the initial weights; the global generator by default.
    """

    @in_own_words
    def __init__(
        self,
        *,
        latent_dim: int,
        image_shape: tuple[int, ...],
        channels: Sizes = (32, 16),
        generator: Source = None,
    ) -> None:
        image_shape = checks.image_shape(image_shape)
        channels = checks.sizes("channels", channels)
        super().__init__(latent_dim, math.prod(image_shape), image_shape)
        latent_dim = self.latent_dim
        self.arguments = {
            "latent_dim": latent_dim,
            "image_shape": image_shape,
            "channels": channels,
        }
        checks.require(len(channels) > 0, "`channels` must name at least one, got ().")
        height, width = (math.ceil(side / 2 ** len(channels)) for side in image_shape[-2:])
        layers: list[nn.Module] = [nn.Linear(latent_dim, channels[0] * height * width), nn.ELU()]
        layers += [nn.Unflatten(1, (channels[0], height, width))]
        for n_in, n_out in pairwise((*channels, channels[-1])):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(n_in, n_out, 3, padding=1), nn.ELU()]
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(channels[-1], colours(image_shape), 3, padding=1)
        )
        initialise(self, generator)

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Return the raw outputs of codes."""
        assert self.image_shape is not None
        height, width = self.image_shape[-2:]
        return self.layers(z)[..., :height, :width].flatten(1)


@keeps_rows_apart
class TransposedConvDecoder(FlatDecoder):
    """A decoder of transposed convolutions of width 4.

    A code becomes a 4x4 picture, and each further layer doubles its size.

    ELU follows every layer but the last. The sample is the central part of the last picture. No
    layer normalises over a batch: samples do not affect each other.

    Args:
        latent_dim: size of a code.
        image_shape: (height, width) of a sample, at most 4 * 2 ** len(channels) each; or
            (3, height, width) in colour.
        channels: number of channels of the pictures before each doubling, from the latent side on.
        generator: source of the initial weights; the global generator by default.

    Raises:
        ValueError: the image is larger than the last picture.

    Example:
        >>> decoder = TransposedConvDecoder(latent_dim=32, image_shape=(28, 28))
        >>> sum(p.numel() for p in decoder.parameters())
        74097

    Source: with the widths of the example, the network of Bond-Taylor and Willcocks 2021 (arXiv
        2007.02798) without its normalisations.
    """

    @in_own_words
    def __init__(
        self,
        *,
        latent_dim: int,
        image_shape: tuple[int, ...],
        channels: Sequence[int] = (64, 32, 16),
        generator: Source = None,
    ) -> None:
        image_shape = checks.image_shape(image_shape)
        channels = checks.sizes("channels", channels)
        super().__init__(latent_dim, math.prod(image_shape), image_shape)
        latent_dim = self.latent_dim
        self.arguments = {
            "latent_dim": latent_dim,
            "image_shape": image_shape,
            "channels": channels,
        }
        self.channels = channels
        crop = [-n for n in margins(image_shape, channels)]
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, channels[0], 4),
        ]
        for n_in, n_out in pairwise((*channels, colours(image_shape))):
            layers += [nn.ELU(), nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.ZeroPad2d(cast(Any, tuple(crop))), nn.Flatten())
        initialise(self, generator)

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Return the raw outputs of codes."""
        return self.layers(z)
