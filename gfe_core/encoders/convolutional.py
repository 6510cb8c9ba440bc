"""The encoder of an autoencoder that mirrors a decoder of transposed convolutions."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from gfe_core import checks
from gfe_core.arguments import in_own_words, loss_or_none
from gfe_core.decoders import TransposedConvDecoder, initialise
from gfe_core.decoders.conv import colours, margins
from gfe_core.decoders.mlp import Source
from gfe_core.encoders.autoencoder import Autoencoder
from gfe_core.energy import Bernoulli
from gfe_core.types import AnyLoss


class ConvAutoencoder(Autoencoder):
    """The encoder whose layers are those of a `TransposedConvDecoder` in reverse order.

    It is used like `Autoencoder`.

    Args:
        image_shape: (height, width) of a sample, or (3, height, width) in colour.
        channels: number of channels of its pictures, from the data side on.
        latent_dim: size of a code.
        loss: loss of the reported energies; `Bernoulli()` by default.
        generator: source of the initial weights; the global generator by default.

    Raises:
        ValueError: the image is larger than the largest that the decoder could produce.
    """

    @in_own_words
    def __init__(
        self,
        *,
        image_shape: tuple[int, ...],
        channels: Sequence[int],
        latent_dim: int,
        loss: AnyLoss | None = None,
        generator: Source = None,
    ) -> None:
        nn.Module.__init__(self)
        image_shape = checks.image_shape(image_shape)
        channels = checks.sizes("channels", channels)
        latent_dim = checks.at_least_one("latent_dim", latent_dim)
        loss_or_none(loss)
        n_colours = colours(image_shape)
        padding = margins(image_shape, channels)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (n_colours, *image_shape[-2:])),
            nn.ZeroPad2d(padding),
        ]
        for n_in, n_out in pairwise((n_colours, *channels)):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.ELU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], latent_dim, 4), nn.Flatten())
        self.loss = loss or Bernoulli()
        initialise(self, generator)

    @classmethod
    def mirror(cls, decoder: Any, **options: Any) -> "ConvAutoencoder":
        """Build the encoder of this `TransposedConvDecoder`.

        `options` replace those of the constructor: `latent_dim` may differ from the decoder's.
        """
        wanted = "`decoder` must be a `TransposedConvDecoder`"
        fits = isinstance(decoder, TransposedConvDecoder)
        line = "ConvAutoencoder(image_shape=..., channels=(...,), latent_dim=...)"
        got = checks.described(decoder)
        checks.require(fits, f"{wanted}, got {got}. Write `{line}`.", TypeError)
        own = {
            "image_shape": decoder.image_shape,
            "channels": decoder.channels[::-1],
            "latent_dim": decoder.latent_dim,
        }
        return cls(**own | options)
