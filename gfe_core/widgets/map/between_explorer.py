"""What lies between two codes: a line or an arc in latent space, beside the mixing of pixels."""

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
"""(A, B, t) -> what lies between them, A at t = 0."""


class BetweenExplorer(Explorer):
    """Drag from one code to another and slide between them.

    The map is PCA, on which a straight line stays straight.

    Args:
        decoder: trained.
        samples: what can be chosen, a few hundred; those with missing features are left out, and
            the title names them.
        name: of the explorer.
        pair: rows of A and B shown first; the first two with codes by default.
        n_mix: positions of the slider, an odd number.
        loss: `Bernoulli()` by default.
        encoder: finds the codes, `encode` with this loss by default.
        walk: (A, B, t) -> codes between them, such as `gon.slerp`; a straight line by default.
        unit: of the energies.
        title: above the map.

    Attributes:
        codes: of the samples that are shown.
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
        """Show what lies between two rows."""
        rows = [a, b]
        mapped = self._mapped
        way = walked(self.walk, self.codes[rows], self.n_mix)
        images, curves = between(mapped, mapped.samples.x[rows], way)
        spots = None if self.walk is torch.lerp else self._spots(way)
        self.map.show_between(
            (a, b), mapped.pictures(images), curves.numpy().astype(np.float32), spots
        )

    def _spots(self, way: Codes) -> np.ndarray:
        """Where codes lie on the map, which is an affine image of latent space."""
        known, asked = (np.hstack([z.numpy(), np.ones((len(z), 1))]) for z in (self.codes, way))
        return (asked @ np.linalg.lstsq(known, self._flat, rcond=None)[0]).astype(np.float32)


def walked(
    walk: Walk, ends: Float[Tensor, "2 latent"], n_mix: int
) -> Float[Tensor, "n_mix latent"]:
    """Codes at even t from one end to the other, both included."""
    between = [walk(ends[:1], ends[1:], t) for t in torch.linspace(0, 1, n_mix).tolist()]
    for code in between:
        fits = isinstance(code, Tensor) and code.shape == ends[:1].shape
        wanted = f"`walk` must return a code of shape {tuple(ends[:1].shape)}"
        checks.require(fits, f"{wanted}, got {checks.described(code)}.")
    return torch.cat(between)


def between(
    mapped: Mapped, x: Float[Tensor, "2 features"], way: Float[Tensor, "n_mix latent"]
) -> tuple[Float[Tensor, "2 n_mix features"], Float[Tensor, "3 n_mix"]]:
    """Go from one sample to another by codes and by pixels: (1 - t) A + t B.

    Args:
        mapped: its decoder draws the mixed codes, its encoder finds codes of the mixed pixels.
        x: both samples.
        way: codes from that of A to that of B.

    Returns:
        Images by mixed codes and by mixed pixels; and energies above the floor: the mixed code for
        A, the mixed code for B, and the mixed pixels at the code that is found for them.
    """
    decoder = mapped.decoder
    loss = mapped.loss
    floor = WholeLoss(loss).floor
    n_mix = len(way)
    with threads.suited(decoder, mapped.encoder), torch.no_grad():
        pixels = torch.lerp(x[:1], x[1:], torch.linspace(0, 1, n_mix).to(x)[:, None])
        to_ends = [
            Energy(decoder, one.expand(n_mix, -1), loss).value(way) - floor(one[None])
            for one in x.unbind()
        ]
        own = mapped.encoder(decoder, pixels).energy - floor(pixels)
        return torch.stack([reconstruct(decoder, way, loss), pixels]), torch.stack([*to_ends, own])
