"""The reconstruction of an image with missing parts, and its uncertainty.

The reader paints the mask.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import traitlets as t
from torch import Tensor

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.encoding import encode, reconstruct
from gfe_core.energy import Bernoulli
from gfe_core.methods.posterior import GaussianPrior, laplace
from gfe_core.solvers import GaussNewton
from gfe_core.training.parts import callable_encoder
from gfe_core.types import Decoder, Encoder
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import at_least, shown_samples, two_latents
from gfe_core.widgets.kit.thumbnails import rows_around, thumbnails_of
from gfe_core.widgets.mask.painter import MaskPainter
from gfe_core.widgets.player.slices import Plane

N_DRAWS = 8
"""Number of draws shown beside the image."""
_FLAT = 1e-3  # factor on the precision of the prior when it is off: about thirty times as wide
_GROUND = 600  # number of training codes that are drawn
_DARKEST = 1e-3  # darkest grey value in an energy, because 0 could cost infinitely many nats
_WIDEST = 0.5  # largest standard deviation of values in [0, 1]


class MaskView(MaskPainter):
    """A mask painter with panels beside it; made by `MaskExplorer`."""

    names = t.List(t.Unicode()).tag(sync=True)
    notes = t.List(t.Unicode()).tag(sync=True)
    palettes = t.List(t.Unicode()).tag(sync=True)
    tiles = t.Bytes().tag(sync=True)  # uint8 (names, *image_shape)
    draws = t.Bytes().tag(sync=True)  # uint8 (8, *image_shape)
    extent = t.List(t.Float(), default_value=[-1.0, 1.0, -1.0, 1.0]).tag(sync=True)
    ground = t.Bytes().tag(sync=True)  # float32 (codes, 2), as the next two
    cloud = t.Bytes().tag(sync=True)
    marks = t.Bytes().tag(sync=True)


class MaskExplorer(Explorer):
    """Let the reader paint the missing pixels of an image, and show what could be there.

    Codes are found from the visible pixels, and draws from their posterior fill the hidden ones.

    Beside the painter, the view shows the mean and the standard deviation of the draws for each
    pixel, the pictures of other methods, the true image (covered until the reader asks for it),
    eight draws, and the codes of all draws on the plane of the two widest directions of the
    training codes. Energies are those of the hidden pixels, which no method has seen.

    Args:
        decoder: trained decoder, for grey values in [0, 1].
        train: training images; their codes give the prior, and their mean is a baseline.
        samples: samples that the reader can choose; they need an image shape.
        name: name of the explorer.
        others: other methods, name -> (decoder, encoder); the encoder gets NaN where a pixel is
            hidden, as in `gfe.encoders.Filled(autoencoder)`.
        sample: row of `samples` shown first, its left half hidden.
        seed: seed of the starts, the draws and the random mask.
        n_starts: number of flows for each picture, the first from the origin.
        n_draws: number of draws from the posterior, at least eight.
        title: title above the view.

    Attributes:
        codes: codes of the training images.
        prior: normal distribution fitted to these codes.
    """

    def __init__(
        self,
        decoder: Decoder,
        train: DataSet,
        samples: DataSet,
        *,
        name: str = "missing",
        others: Mapping[str, tuple[Decoder, Encoder]] | None = None,
        sample: int = 0,
        seed: int = 0,
        n_starts: int = 4,
        n_draws: int = 200,
        title: str = "What may be there?",
    ) -> None:
        if getattr(samples, "image_shape", ()) is not None:
            _grey("samples", samples)
        samples = shown_samples(decoder, samples, row=sample)
        _grey("train", train)
        train = shown_samples(decoder, train, name="train", images=False)
        shape = samples.image_shape
        n_starts = checks.at_least_one("n_starts", n_starts)
        n_draws = checks.at_least_one("n_draws", n_draws)
        checks.require(n_draws >= N_DRAWS, f"`n_draws` must be at least {N_DRAWS}, got {n_draws}.")
        decoder = self.decoder = own_copy(decoder)
        self.samples = samples
        self.others = dict(others or {})
        self.n_starts = n_starts
        self.n_draws = n_draws
        two_latents(decoder, "the directions of the codes' plane")
        for other in (others or {}).values():
            pair = isinstance(other, (tuple, list)) and len(other) == 2
            wanted = "`others` must be names with (decoder, encoder)"
            checks.require(pair, f"{wanted}, got {checks.described(other)}.", TypeError)
            shown_samples(other[0], samples)
            callable_encoder(other[1])
        at_least(2, len(train), "train")
        self.codes = encode(decoder, train.x).z
        self.prior = GaussianPrior.fit(self.codes, ridge=1e-3)
        self._flat = GaussianPrior(mean=self.prior.mean, precision=_FLAT * self.prior.precision)
        self._mean_image = train.x.mean(0)
        self._plane = widest_plane(self.codes)
        self._whole: tuple[int, Tensor] | None = None
        alt = (
            "An image with hatched hidden pixels; beside it what the decoder draws there, and "
            "how sure it may be."
        )
        pixels = pictures_of(samples.x[sample], shape or (1, 1))
        self.view = MaskView(
            pixels,
            seen=_right_half(pixels.shape[:2]),
            title=title,
            alt_text=alt,
            n_samples=len(samples),
            **_without_labels(thumbnails_of(samples, rows_around(samples, sample))),
            brush=max(1, round(pixels.shape[0] / 6)),
            values={"seed": seed, "sample": sample, "prior": True},
            **self._traits(),
        )
        self.view.on_request = self._answer
        self._answer()
        super().__init__(name, self.view, alt)

    def _traits(self) -> dict[str, Any]:
        """Return the traits that never change: names, palettes, training codes on their plane."""
        spots = self._plane.coordinates(self.codes)
        low, high = torch.quantile(spots, torch.tensor([0.01, 0.99]).to(spots), dim=0)
        margin = 0.2 * (high - low)
        edges = torch.stack([low - margin, high + margin], 1).flatten().tolist()
        names = ["mean of draws", "their spread", *self.others, "truth"]
        palettes = ["cividis" if name == "their spread" else "" for name in names]
        return {
            "names": names,
            "palettes": palettes,
            "extent": edges,
            "ground": _packed(spots[:_GROUND]),
        }

    def _answer(self) -> None:
        """Find the posterior given the visible pixels, and show its draws."""
        values = self.view.values
        view = self.view
        k = int(values["sample"])
        generator = torch.Generator().manual_seed(int(values["seed"]))
        x = self.samples.x[k : k + 1]
        mask = self._of_features(torch.tensor(view.seen))
        prior = self.prior if values["prior"] else self._flat
        loss = Bernoulli(reduction="sum")
        posterior = laplace(
            self.decoder,
            x,
            prior=prior,
            loss=loss,
            mask=mask,
            n_starts=self.n_starts,
            generator=generator,
        )
        z = posterior.sample(self.n_draws, generator)[:, 0]
        drawn = reconstruct(self.decoder, z, loss).nan_to_num()
        tiles = [
            drawn.mean(0, keepdim=True),
            self._over_colours(drawn.std(0, keepdim=True)) / _WIDEST,
            *self._by_others(x, mask),
            x,
        ]
        energies = [_hidden_energy(tile, x, mask) for tile in (*tiles, self._mean_image[None])]
        notes = [f"{energy:.2f} nats" for energy in energies[:-1]]
        notes[1] = f"0 to {_WIDEST} (light)"
        notes[-1] = f"{_floor(x, mask):.2f}, the floor"
        with view.hold_sync():
            view.image = self._pictures(x).tobytes()
            view.tiles = self._pictures(torch.cat(tiles)).tobytes()
            view.draws = self._pictures(drawn[:N_DRAWS]).tobytes()
            view.cloud, view.marks = (
                _packed(self._plane.coordinates(codes)) for codes in (z, self._code_of(k))
            )
            facts = f"energy per hidden pixel {energies[0]:.3f}, mean image {energies[-1]:.3f} nats"
            view.notes, view.facts = (
                ([""] * len(notes), "nothing is hidden") if mask.all() else (notes, facts)
            )

    def _by_others(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        holed = torch.where(mask, x, torch.nan)
        with torch.no_grad():
            return [
                reconstruct(decoder, encoder(decoder, holed), Bernoulli())
                for decoder, encoder in self.others.values()
            ]

    def _code_of(self, k: int) -> Tensor:
        """Return the code of a complete sample; that of the last sample is kept."""
        if self._whole is None or self._whole[0] != k:
            loss = Bernoulli(reduction="sum")
            x = self.samples.x[k : k + 1]
            self._whole = (
                k,
                encode(self.decoder, x, loss=loss, penalty=self.prior, solver=GaussNewton()).z,
            )
        return self._whole[1]

    def _of_features(self, seen: Tensor) -> Tensor:
        """Turn a mask of pixels into one of features: a visible pixel is visible in all colours."""
        shape = self.samples.image_shape or (1, 1)
        return seen.expand(shape).reshape(1, -1)

    def _over_colours(self, spread: Tensor) -> Tensor:
        """Give each colour of a pixel the mean over colours, so that one palette can show it."""
        shape = self.samples.image_shape or (1, 1)
        of_pixels = spread.reshape(-1, *shape[-2:]).mean(0)
        return of_pixels.expand(shape).reshape(1, -1)

    def _pictures(self, x: Tensor) -> np.ndarray:
        return pictures_of(x, self.samples.image_shape or (1, 1))


def _grey(name: str, samples: Any) -> None:
    """Refuse values outside [0, 1], which have no cross-entropy; the rest is checked later."""
    held = getattr(samples, "x", samples)
    outside = isinstance(held, Tensor) and bool(((held < 0) | (held > 1)).any())
    wanted = f"`{name}` must lie in [0, 1], where hidden pixels are judged by their cross-entropy"
    remedy = "Rescale them, as in `(x - x.min()) / (x.max() - x.min())`."
    checks.require(not outside, f"{wanted}. {remedy}")


def widest_plane(codes: Tensor) -> Plane:
    """Return the plane through the mean of the codes along their two widest directions."""
    directions = torch.linalg.eigh(codes.T.cov()).eigenvectors.T.flip(0)
    return Plane(codes.mean(0), directions[:2])


def _without_labels(thumbnails: dict[str, Any]) -> dict[str, Any]:
    """The strip's traits with labels that do not give the truth away, as the view blurs images."""
    return thumbnails | {"thumbnail_labels": ["covered"] * len(thumbnails["thumbnail_rows"])}


def _right_half(shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.arange(shape[1]) >= shape[1] / 2, shape)


def _hidden_energy(picture: Tensor, x: Tensor, mask: Tensor) -> float:
    """Cross-entropy of a picture's grey values with the hidden pixels, nats per pixel."""
    output = picture.clamp(_DARKEST, 1 - _DARKEST).logit()
    return Bernoulli().per_sample(output, x, ~mask).item()


def _floor(x: Tensor, mask: Tensor) -> float:
    return Bernoulli().floor(x, ~mask).item()


def _packed(spots: Tensor) -> bytes:
    return np.nan_to_num(spots.numpy().astype(np.float32)).tobytes()
