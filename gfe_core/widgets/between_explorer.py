"""What lies between two codes: a straight line in latent space, beside the mixing of pixels."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core.data import DataSet
from gfe_core.encoding import encode, reconstruct
from gfe_core.energy import Energy
from gfe_core.types import Decoder, Loss
from gfe_core.widgets.explorer import Explorer
from gfe_core.widgets.layouts import layouts_of
from gfe_core.widgets.map_explorer import Mapped, PointMap
from gfe_core.widgets.map_picture import map_picture


class BetweenExplorer(Explorer):
    """Drag from one code to another and slide between them; the map is PCA, on which a straight line stays straight.

    Args:
        decoder: trained.
        samples: what can be chosen, a few hundred.
        name: of the explorer.
        pair: rows of A and B shown first.
        n_mix: positions of the slider, an odd number.
        loss: `Bernoulli()` by default.
        title: above the map.

    Attributes:
        codes: of the samples.
    """

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str = "between",
        pair: tuple[int, int] = (0, 1),
        n_mix: int = 21,
        loss: Loss | None = None,
        title: str = "From one code to another",
    ) -> None:
        self._mapped = Mapped(decoder, samples, loss)
        self.codes, self.n_mix = self._mapped.codes, n_mix
        alt = "Codes on a map with a line from A to B, the images there, and what mixed codes and mixed pixels draw."
        self.map = PointMap(
            **self._mapped.traits(),
            names=["codes"],
            notes=[""],
            flat=layouts_of(self.codes.numpy(), []).pca.tobytes(),
            n_mix=n_mix,
            pair=list(pair),
            first={"map": 0, "frame": 0, "point": pair[0], "pair": list(pair), "step": n_mix // 2},
            title=title,
            alt_text=alt,
        )
        self.map.on_pair = self.mix
        self.mix(*pair)
        super().__init__(name, self.map, lambda: map_picture(self.map), alt)

    def mix(self, a: int, b: int) -> None:
        """Show what lies between two rows."""
        rows, mapped = [a, b], self._mapped
        images, curves = between(mapped.decoder, mapped.samples.x[rows], self.codes[rows], mapped.loss, self.n_mix)
        self.map.show_between((a, b), mapped.pictures(images), curves.numpy().astype(np.float32))


def between(
    decoder: Decoder, x: Float[Tensor, "2 features"], z: Float[Tensor, "2 latent"], loss: Loss, n_mix: int
) -> tuple[Float[Tensor, "2 n_mix features"], Float[Tensor, "3 n_mix"]]:
    """Go from one sample to another by their codes and by their pixels, (1 - t) A + t B for t from 0 to 1.

    Args:
        decoder: draws the mixed codes and finds codes of the mixed pixels.
        x: both samples.
        z: their codes.
        loss: of the energy.
        n_mix: number of steps of t, both ends included.

    Returns:
        Images by mixed codes and by mixed pixels; and energies above the floor: the mixed code for A, the mixed code
        for B, and the mixed pixels at the code that the flow finds for them.
    """
    with torch.no_grad():
        t = torch.linspace(0, 1, n_mix).to(x)[:, None]
        codes, pixels = torch.lerp(z[:1], z[1:], t), torch.lerp(x[:1], x[1:], t)
        to_ends = [
            Energy(decoder, one.expand(n_mix, -1), loss).value(codes) - loss.floor(one[None]) for one in x.unbind()
        ]
        own = encode(decoder, pixels, loss=loss).energy - loss.floor(pixels)
        return torch.stack([reconstruct(decoder, codes, loss), pixels]), torch.stack([*to_ends, own])
