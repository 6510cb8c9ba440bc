"""Images between two codes, on a line or an arc in latent space, beside mixtures of pixels."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import checks, threads
from gfe_core.arguments import takes
from gfe_core.data import DataSet
from gfe_core.encoding import reconstruct
from gfe_core.energy import Energy, WholeLoss
from gfe_core.types import Codes, Decoder, Encoder, Loss
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.map.explorer import Mapped, PointMap
from gfe_core.widgets.map.layouts import layouts_of

Walk = Callable[[Codes, Codes, float], Codes]
"""(A, B, t) -> code between A and B; A at t = 0 and B at t = 1."""


class BetweenExplorer(Explorer):
    """Let the reader drag a line from one code to another, and slide between them.

    The map is PCA, on which a straight line stays straight.

    Args:
        decoder: trained decoder.
        samples: samples that the reader can choose, a few hundred; those with missing features are
            left out, and the title names them.
        name: name of the explorer.
        pair: rows of A and B shown first; the first two with codes by default.
        n_mix: number of positions of the slider, odd and at least 3.
        loss: loss of the energies, `Bernoulli()` by default.
        encoder: encoder of samples and of mixed pixels, `encode` with this loss by default.
        walk: function (A, B, t) -> code between A and B, such as `gon.slerp`; a straight line by
            default.
        unit: unit of the energies.
        title: title above the map.

    Attributes:
        codes: codes of the samples that are shown.
    """

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str = "between",
        pair: tuple[int, int] | None = None,
        n_mix: int = 21,
        loss: Loss | None = None,
        encoder: Encoder | None = None,
        walk: Walk = torch.lerp,
        unit: str = "nats per pixel",
        title: str = "From one code to another",
    ) -> None:
        checks.require(
            n_mix >= 3 and n_mix % 2 == 1, f"`n_mix` must be odd and at least 3, got {n_mix}."
        )
        fits = takes(walk, "A", "B", "t") and not isinstance(walk, nn.Module)
        wanted = "`walk` must be a function (A, B, t) -> codes, such as `gon.slerp`"
        checks.require(fits, f"{wanted}, got {checks.described(walk)}.", TypeError)
        self._mapped = Mapped(decoder, samples, loss, encoder)
        pair = (self._mapped.rows[0], self._mapped.rows[1]) if pair is None else pair
        two = isinstance(pair, (tuple, list)) and len(pair) == 2
        got = checks.described(pair)
        checks.require(two, f"`pair` must be the rows of A and B, got {got}.", TypeError)
        ends = [self._mapped.place(row, "pair") for row in pair]
        self.codes = self._mapped.codes
        self.n_mix = n_mix
        self.walk = walk
        self._flat = layouts_of(self.codes.numpy(), []).pca
        alt = (
            "Codes on a map with a line from A to B, the images there, and what mixed codes "
            "and mixed pixels draw."
        )
        self.map = PointMap(
            **self._mapped.traits(),
            names=["codes"],
            notes=[""],
            flat=self._flat.tobytes(),
            unit=unit,
            n_mix=n_mix,
            pair=ends,
            first={"map": 0, "frame": 0, "point": ends[0], "pair": ends, "step": n_mix // 2},
            title=self._mapped.titled(title),
            alt_text=alt,
        )
        self.map.on_pair = self.mix
        self.mix(*ends)
        super().__init__(name, self.map, alt)

    def mix(self, a: int, b: int) -> None:
        """Show the images and energies between two rows of the samples that are shown."""
        rows = [a, b]
        mapped = self._mapped
        codes = walked(self.walk, self.codes[rows], self.n_mix)
        images, curves = between(mapped, mapped.samples.x[rows], codes)
        spots = None if self.walk is torch.lerp else self._spots(codes)
        self.map.show_between(
            (a, b), mapped.pictures(images), curves.numpy().astype(np.float32), spots
        )

    def _spots(self, codes: Codes) -> np.ndarray:
        """Return the positions of codes on the map, which is an affine image of latent space."""
        known, asked = (np.hstack([z.numpy(), np.ones((len(z), 1))]) for z in (self.codes, codes))
        return (asked @ np.linalg.lstsq(known, self._flat, rcond=None)[0]).astype(np.float32)


def walked(
    walk: Walk, ends: Float[Tensor, "2 latent"], n_mix: int
) -> Float[Tensor, "n_mix latent"]:
    """Return codes at evenly spaced t from one end to the other, both included."""
    between = [walk(ends[:1], ends[1:], t) for t in torch.linspace(0, 1, n_mix).tolist()]
    for code in between:
        fits = isinstance(code, Tensor) and code.shape == ends[:1].shape
        wanted = f"`walk` must return a code of shape {tuple(ends[:1].shape)}"
        checks.require(fits, f"{wanted}, got {checks.described(code)}.")
    return torch.cat(between)


def between(
    mapped: Mapped, x: Float[Tensor, "2 features"], mixes: Float[Tensor, "n_mix latent"]
) -> tuple[Float[Tensor, "2 n_mix features"], Float[Tensor, "3 n_mix"]]:
    """Go from sample A to sample B by codes, and by pixels as (1 - t) A + t B.

    Args:
        mapped: samples with their decoder, which draws the mixed codes, and their encoder, which
            encodes the mixed pixels.
        x: samples A and B.
        mixes: codes from that of A to that of B.

    Returns:
        The images drawn from mixed codes and those of mixed pixels; and energies above the floor:
        of A at the mixed codes, of B at the mixed codes, and of the mixed pixels at their own
        codes.
    """
    decoder = mapped.decoder
    loss = mapped.loss
    floor = WholeLoss(loss).floor
    n_mix = len(mixes)
    with threads.suited(decoder, mapped.encoder), torch.no_grad():
        pixels = torch.lerp(x[:1], x[1:], torch.linspace(0, 1, n_mix).to(x)[:, None])
        to_ends = [
            Energy(decoder, one.expand(n_mix, -1), loss).value(mixes) - floor(one[None])
            for one in x.unbind()
        ]
        own = mapped.encoder(decoder, pixels).energy - floor(pixels)
        images = torch.stack([reconstruct(decoder, mixes, loss), pixels])
        return images, torch.stack([*to_ends, own])
