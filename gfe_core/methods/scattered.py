"""Training of an implicit decoder on a few places of each image instead of all."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data import Batches
from gfe_core.data.samples import Samples, samples_for
from gfe_core.decoders import SirenDecoder
from gfe_core.energy import Gaussian


class Scattered(Batches):
    """Batches of a few pixels, drawn again for each batch, with the decoder of these pixels.

        scattered = Scattered(x, siren, n_places=196, size=64)
        fit(scattered.decoder, scattered, encoder=gon.Origin(loss=scattered.loss),
        loss=scattered.loss)

    `loss` weights the squared errors of the selected places so that their sum estimates the sum
    over all places; steps then keep their length. `decoder` changes with each batch, so use one
    batch at a time.

    Args:
        x: images, one row of pixels for each.
        siren: decoder to train, which shares its weights with `decoder`.
        n_places: number of pixels in each batch, between the number of latents and all of them.
        options: options of `Batches`, all but `context`.

    Raises:
        ValueError: there are too few or too many places, or `x` does not have the pixels of
            `siren`.
    """

    @in_own_words
    def __init__(self, x: Samples, siren: SirenDecoder, *, n_places: int, **options: Any) -> None:
        fits = isinstance(siren, SirenDecoder)
        wanted = "`siren` must be a `SirenDecoder`"
        checks.require(fits, f"{wanted}, got {checks.described(siren)}.", TypeError)
        checks.require(
            options.get("context") is None,
            "`Scattered` takes no `context`: a `SirenDecoder` has none. Leave it out.",
            TypeError,
        )
        super().__init__(x, **options)
        n = len(siren.coordinates)
        n_places = checks.whole("n_places", n_places)
        samples_for(siren, x)
        wanted = (
            f"`n_places` must be between {siren.latent_dim}, the latents, and {n}, the "
            f"pixels, got {n_places}."
        )
        checks.require(siren.latent_dim <= n_places <= n, wanted)
        self.places = siren.coordinates
        self.loss = Gaussian(variance=0.5 * n_places / n, reduction="sum")
        self.decoder = siren.at(self.places[:n_places])

    def __iter__(self) -> Iterator[Tensor]:
        for x in super().__iter__():
            # The same position gives the same places again, also after a restart.
            chance = np.random.default_rng((self.seed, self.epoch, self.index))
            chosen = torch.from_numpy(
                chance.permutation(len(self.places))[: self.decoder.data_shape[0]]
            )
            self.decoder.coordinates = self.places[chosen.to(self.places.device)]
            yield x[:, chosen.to(x.device)]
