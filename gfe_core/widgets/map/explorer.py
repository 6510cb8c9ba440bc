"""A map of images by their codes, beside the map that the same method makes of random points.

`PointMap` sends every layout to the browser at once. The browser moves from one layout to the next
without the kernel.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets as t
from torch import Tensor

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.encoding import encode, reconstruct
from gfe_core.energy import Bernoulli, WholeLoss
from gfe_core.training.parts import callable_encoder, encoding_of
from gfe_core.types import Decoder, Encoder, Loss
from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import at_least, rows_named, shown_samples
from gfe_core.widgets.map.layouts import Layouts, fitting, layouts_of, nearest
from gfe_core.widgets.map.marks import marks_of
from gfe_core.widgets.map.profiles import profiles

_PERPLEXITIES = (2, 5, 15, 30, 100)
_FIRST = 30
_LEAST = 3
"""Number of samples in the smallest map."""
_MOST = 10_000
"""Number of samples in the largest map, for which t-SNE takes minutes."""

NOTES = {
    "codes": (
        "Where the codes lie, found without any label. Distances between groups mean "
        "nothing in t-SNE."
    ),
    "pixels": (
        "The images themselves, without any code: the control that shows how much the codes add."
    ),
    "numbers": (
        "The samples themselves, without any code: the control that shows how much the codes add."
    ),
    "noise": (
        "Random points with as many dimensions as the codes, one for each image, so classes are "
        "mixed at random. Any groups you see here were made by the map."
    ),
}


class PointMap(anywidget.AnyWidget):
    """Maps of n images.

    The reader chooses the map, the perplexity, a point, a pair A, B, and a position t between them.

    Set `on_pair` to a function of two rows that answers with `show_between`. `choice` and `frame`
    hold the map and the perplexity that are shown: first the initial ones, then those that the
    reader chooses. `first` holds the state that Reset restores: map, frame, point, pair, step.
    Images are uint8, other arrays float32.
    """

    _esm = script("map")
    _css = style("map")
    on_pair: Callable[[int, int], None] | None = None

    names = t.List(t.Unicode()).tag(sync=True)
    notes = t.List(t.Unicode()).tag(sync=True)
    perplexities = t.List(t.Float()).tag(sync=True)
    seed = t.Int(0).tag(sync=True)
    layouts = t.Bytes().tag(sync=True)  # (maps, perplexities, n, 2)
    flat = t.Bytes().tag(sync=True)  # (maps, n, 2), by PCA
    nearest = t.Bytes().tag(
        sync=True
    )  # uint16 (maps, n, 5), rows of the nearest points in all dimensions
    labels = t.List(t.Int()).tag(sync=True)
    class_names = t.List(t.Unicode()).tag(sync=True)
    excess = t.Bytes().tag(sync=True)
    image_shape = t.List(t.Int()).tag(sync=True)
    images = t.Bytes().tag(sync=True)
    drawn = t.Bytes().tag(sync=True)
    choice = t.Int(0).tag(sync=True)
    frame = t.Int(0).tag(sync=True)
    rows = t.List(t.Int()).tag(sync=True)  # row number by which each point is named
    noun = t.Unicode("image").tag(sync=True)  # word for a point
    first = t.Dict().tag(sync=True)
    pair = t.List(t.Int(), default_value=[0, 1]).tag(sync=True)
    n_mix = t.Int(0).tag(sync=True)
    mixed = t.List(t.Int()).tag(sync=True)  # pair to which mixes and curves belong
    mixes = t.Bytes().tag(sync=True)  # (codes and pixels, n_mix, *image_shape)
    curves = t.Bytes().tag(sync=True)  # (3, n_mix)
    way = t.Bytes().tag(
        sync=True
    )  # float32 (n_mix, 2), positions of the mixed codes on the map; empty if on a straight line
    unit = t.Unicode("nats per pixel").tag(sync=True)  # unit of the energies
    title = t.Unicode().tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._lock = threading.RLock()  # callbacks may run on another thread while a cell runs
        super().__init__(**traits)
        self.observe(self._answer, names="pair")

    def show_between(
        self,
        pair: Sequence[int],
        pictures: np.ndarray,
        curves: np.ndarray,
        way: np.ndarray | None = None,
    ) -> None:
        """Send the pictures and energies between a pair, in one message.

        Args:
            pair: rows of A and B.
            pictures: pictures of mixed codes and of mixed pixels, uint8 (2, n_mix, *image_shape).
            curves: energies between A and B, float32 (3, n_mix).
            way: positions of the mixed codes on the map, float32 (n_mix, 2); a straight line by
                default.
        """
        with self._lock, self.hold_sync():
            self.way = b"" if way is None else way.tobytes()
            self.mixes = pictures.tobytes()
            self.curves = curves.tobytes()
            self.mixed = list(pair)

    def _answer(self, change: dict[str, Any]) -> None:
        with self._lock:
            if self.on_pair is not None:
                self.on_pair(*change["new"])


class Mapped:
    """Samples with their codes, ready for a `PointMap`; samples without a code are left out.

    Args:
        decoder: trained decoder.
        samples: samples to map. Samples without an image shape are drawn as curves. If y holds no
            classes, points are marked by the tenth to which its first number belongs.
        loss: loss of the energies, `Bernoulli()` by default.
        encoder: encoder of the samples, `encode` with this loss by default.
        n_least: smallest number of samples with a code.

    Attributes:
        samples: samples with a code.
        codes: codes of these samples.
        rows: row numbers of these samples among those that were given.
        lost: row numbers of the samples that are left out.
    """

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        loss: Loss | None,
        encoder: Encoder | None = None,
        *,
        n_least: int = 2,
    ) -> None:
        given = shown_samples(decoder, samples, loss=loss, images=False, gaps=True)
        few = len(given) <= _MOST
        wanted = f"`samples` must be at most {_MOST:,} for a map, got {len(given):,}"
        checks.require(few, f"{wanted}. Show fewer: `samples.take(500)`.")
        decoder = self.decoder = own_copy(decoder)
        self.loss = loss or Bernoulli()
        callable_encoder(encoder)
        self.encoder = encoder or partial(encode, loss=self.loss)
        with torch.no_grad():
            encoding = encoding_of(self.encoder(decoder, given.x), given.x)
        excess = encoding.energy - WholeLoss(self.loss).floor(given.x)
        whole = given.x.isfinite().all(1) & encoding.z.isfinite().all(1) & excess.isfinite()
        self.rows = torch.where(whole)[0].tolist()
        self.lost = torch.where(~whole)[0].tolist()
        n = len(self.rows)
        which = f"{rows_named(self.lost)} {'has' if len(self.lost) == 1 else 'have'}"
        why = f"; {which} missing features or no code" if self.lost else ""
        at_least(n_least, n, "samples", of=" with a code for a map", why=why)
        self.samples = given[whole]
        self.codes = encoding.z[whole].detach()
        self.excess = _float32(excess[whole])
        self.labels, self._class_names = marks_of(self.samples.y, self.samples.classes)
        self._limits = (self.samples.x.min().item(), self.samples.x.max().item())

    def place(self, row: int, name: str = "sample") -> int:
        """Return the position of a row among the samples that are shown."""
        whole = checks.whole(name, row)
        fits = whole in self.rows
        why = "has missing features or no code" if whole in self.lost else "is not one of them"
        listed = f"{self.rows[0]} to {self.rows[-1]}"
        checks.require(
            fits, f"`{name}` must be the row of a sample that is shown, {listed}; {row} {why}."
        )
        return self.rows.index(whole)

    def titled(self, title: str) -> str:
        """Add to a title which samples are not shown."""
        return f"{title} (without {rows_named(self.lost)}: missing values)" if self.lost else title

    def pictures(self, x: Tensor) -> np.ndarray:
        """Return samples as uint8 pictures: as images, or as curves if they have no image shape."""
        shape = self.samples.image_shape
        return profiles(x, self._limits) if shape is None else pictures_of(x, shape)

    def traits(self) -> dict[str, Any]:
        """Return the traits that describe the points of every map."""
        images = self.pictures(self.samples.x)
        drawn = self.pictures(reconstruct(self.decoder, self.codes, self.loss))
        return {
            "labels": self.labels,
            "class_names": self._class_names,
            "rows": self.rows,
            "noun": "sample" if self.samples.image_shape is None else "image",
            "excess": self.excess.tobytes(),
            "image_shape": list(images.shape[1:]),
            "images": images.tobytes(),
            "drawn": drawn.tobytes(),
        }


class MapExplorer(Explorer):
    """Show images on a map of their codes.

    The reader chooses the perplexity of t-SNE; PCA is shown beside it, and noise is a control.

    Args:
        decoder: trained decoder.
        samples: samples to map, from three to 10,000; for a few hundred, t-SNE takes about half a
            second for each map and perplexity. Samples with missing features are left out, and the
            title names them.
        name: name of the explorer.
        perplexities: perplexities of the maps, increasing, at least one, each less than the number
            of samples; by default those of 2, 5, 15, 30 and 100 that are.
        perplexity: perplexity shown first, one of them; 30 by default, or the largest if 30 is not
            among them.
        sample: row whose picture is shown first; the first with a code by default.
        seed: seed of t-SNE and of the noise.
        loss: loss of the energies, `Bernoulli()` by default.
        title: title above the maps.

    Attributes:
        codes: codes of the samples that are shown.
        layouts: maps of "codes", "pixels" (or "numbers") and "noise", by name.
    """

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str = "map",
        perplexities: Sequence[float] | None = None,
        perplexity: float | None = None,
        sample: int | None = None,
        seed: int = 0,
        loss: Loss | None = None,
        title: str = "What lies near what",
    ) -> None:
        checks.require(seed >= 0, f"`seed` must be at least 0, got {seed}.")
        mapped = Mapped(decoder, samples, loss, n_least=_LEAST)
        if perplexities is None:
            perplexities = fitting(_PERPLEXITIES, len(mapped.rows))
        checks.require(len(perplexities) > 0, "`perplexities` must hold at least one, got none.")
        for one in perplexities:
            checks.number("perplexities", one)
        if perplexity is None:
            perplexity = _FIRST if _FIRST in perplexities else perplexities[-1]
        checks.require(
            perplexity in perplexities,
            f"`perplexity` must be one of {list(perplexities)}, got {perplexity}.",
        )
        point = 0 if sample is None else mapped.place(sample)
        self.codes = mapped.codes
        noise = np.random.default_rng(seed).normal(size=self.codes.shape)
        points = {
            "codes": self.codes.numpy(),
            (
                "numbers" if mapped.samples.image_shape is None else "pixels"
            ): mapped.samples.x.numpy(),
            "noise": noise,
        }
        self.layouts = {
            label: layouts_of(these, perplexities, seed=seed) for label, these in points.items()
        }
        frame = list(perplexities).index(perplexity)
        alt = "Samples as points on a map, one mark for each, and the same points by PCA."
        widget = PointMap(
            **mapped.traits(),
            **_packed(self.layouts),
            nearest=np.stack([nearest(these, 5) for these in points.values()])
            .astype(np.uint16)
            .tobytes(),
            perplexities=[float(one) for one in perplexities],
            seed=seed,
            frame=frame,
            first={"map": 0, "frame": frame, "point": point, "pair": [0, 1], "step": 0},
            title=mapped.titled(title),
            alt_text=alt,
        )
        self.map = widget
        super().__init__(name, widget, alt)


def _packed(layouts: dict[str, Layouts]) -> dict[str, Any]:
    """Return the maps as traits: their names, their notes and all their positions."""
    return {
        "names": list(layouts),
        "notes": [NOTES[name] for name in layouts],
        "layouts": np.stack([one.tsne for one in layouts.values()]).tobytes(),
        "flat": np.stack([one.pca for one in layouts.values()]).tobytes(),
    }


def _float32(values: Tensor) -> np.ndarray:
    return values.numpy().astype(np.float32)
