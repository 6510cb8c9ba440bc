"""Training an implicit decoder at some places of each image instead of all."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.data import Batches
from gfe_core.data.samples import samples_for
from gfe_core.decoders import SirenDecoder
from gfe_core.energy import Gaussian


class Scattered(Batches):
    """Batches that show some pixels, drawn again for each batch, with the decoder of these.

        scattered = Scattered(x, siren, n_places=196, size=64)
        fit(scattered.decoder, scattered, encoder=gon.Origin(loss=scattered.loss),
        loss=scattered.loss)

    `loss` weighs the squares of the places shown so that their sum estimates that of all: steps
    keep their length. `decoder` moves on with each batch, so take one batch at a time.

    Args:
        x: images, a row of pixels each.
        siren: trained, as its weights are those of `decoder`.
        n_places: pixels of each batch, between the latents and all of them.
        arguments: of `Batches`.

    Raises:
        ValueError: too few or too many places, or `x` is not of the pixels of `siren`.
    """

    def __init__(self, x: Tensor, siren: SirenDecoder, *, n_places: int, **arguments: Any) -> None:
        super().__init__(x, **arguments)
        n = len(siren.coordinates)
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
            chance = np.random.default_rng(
                (self.seed, self.epoch, self.index)
            )  # a saved position shows the same again
            some = torch.from_numpy(
                chance.permutation(len(self.places))[: self.decoder.data_shape[0]]
            )
            self.decoder.coordinates = self.places[some.to(self.places.device)]
            yield x[:, some.to(x.device)]
