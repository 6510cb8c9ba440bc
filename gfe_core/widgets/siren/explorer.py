"""An image as a function of position.

One code is drawn at any resolution and in any window; it is found from a few pixels or from all.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets as t
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.adjoints import Detached
from gfe_core.data import DataSet
from gfe_core.decoders import Coordinates, SirenDecoder
from gfe_core.encoding import encode, reconstruct
from gfe_core.energy import Gaussian
from gfe_core.methods.gon import SQUARES, Origin
from gfe_core.solvers import LBFGS
from gfe_core.types import Codes
from gfe_core.widgets.kit.answering import Answering
from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import as_data_set, shown_samples
from gfe_core.widgets.kit.thumbnails import WithThumbnails, rows_around, thumbnails_of

FOUND_BY = ("one step", "flow")
RESOLUTIONS = (8, 16, 28, 64, 128)
SHARES = (1.0, 0.5, 0.25, 0.1)
WINDOWS = {
    "whole image": 1.0,
    "half": 0.5,
    "a quarter": 0.25,
    "an eighth": 0.125,
    "beyond the frame": 1.5,
}
_CUT = 161  # number of places along the cut
_MOST_STEPS = 60


class SirenView(Answering, WithThumbnails):
    """An image with a window on it, and that window drawn from a code and from the pixels.

    Made by `SirenExplorer`.
    """

    _esm = script("siren")
    _css = style("siren")

    image = t.Bytes().tag(sync=True)  # uint8 (height, width)
    image_shape = t.List(t.Int(), default_value=[1, 1]).tag(sync=True)
    # uint8 (height, width), 1 at pixels from which the code was found
    seen = t.Bytes().tag(sync=True)
    tiles = t.Bytes().tag(sync=True)  # uint8 (3, n, n): the code, bilinear, nearest
    curves = t.Bytes().tag(sync=True)  # float32 (2, places): the code and bilinear along the cut
    row = t.Int(0).tag(sync=True)  # row of pixels along which the cut goes
    n_samples = t.Int(1).tag(sync=True)
    options = t.Dict().tag(sync=True)
    defaults = t.Dict().tag(sync=True)
    facts = t.Unicode().tag(sync=True)
    title = t.Unicode().tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)


class SirenExplorer(Explorer):
    """Draw one code at any resolution beside enlargements of the pixels.

    The code is found by one step from the origin or by the flow, from all pixels or from a random
    share of them. A cut along one row of pixels shows the code's drawing and the interpolated
    pixels as curves.

    Args:
        sirens: trained decoder, or several by name, such as one for each w0.
        samples: samples that the reader can choose, images of the decoders' shape.
        name: name of the explorer.
        origin: the one step with which the decoders were trained, `Origin()` by default.
        decoder: name of the decoder shown first; the first one by default.
        by: method of the code shown first, "one step" or "flow".
        sample: row of the sample shown first.
        resolution: resolution of the drawing shown first, one of `RESOLUTIONS`.
        seed: seed of the random places from which a code is found.
        title: title above the view.

    Raises:
        TypeError: a decoder is no `SirenDecoder`, or `origin` is no `Origin`.
        ValueError: the samples are not images of the decoders' shape, or a choice is unknown.
    """

    def __init__(
        self,
        sirens: SirenDecoder | Mapping[str, SirenDecoder],
        samples: DataSet,
        *,
        name: str = "siren",
        origin: Origin | None = None,
        decoder: str | None = None,
        by: str = FOUND_BY[0],
        sample: int = 0,
        resolution: int = 64,
        seed: int = 0,
        title: str = "One code, any resolution",
    ) -> None:
        named = {"SIREN": sirens} if isinstance(sirens, SirenDecoder) else sirens
        fits = isinstance(named, Mapping) and all(
            isinstance(s, SirenDecoder) for s in named.values()
        )
        wanted = "`sirens` must be a `SirenDecoder`, or several with names"
        checks.require(
            fits and bool(named), f"{wanted}, got {checks.described(sirens)}.", TypeError
        )
        step = origin is None or isinstance(origin, Origin)
        wanted = "`origin` must be an `Origin`"
        checks.require(step, f"{wanted}, got {checks.described(origin)}.", TypeError)
        self.sirens = {label: own_copy(siren) for label, siren in named.items()}
        decoder = decoder or next(iter(self.sirens))
        checks.one_of("decoder", decoder, tuple(self.sirens))
        checks.one_of("by", by, FOUND_BY)
        checks.require(
            resolution in RESOLUTIONS,
            f"`resolution` must be one of {RESOLUTIONS}, got {resolution}.",
        )
        given = samples
        samples = as_data_set(self.sirens[decoder], given)
        shapes = {samples.image_shape, *(siren.image_shape for siren in self.sirens.values())}
        wanted = (
            f"`samples` must be images of the decoders' shape, got {samples!r} for "
            f"{list(self.sirens.values())}."
        )
        checks.require(
            samples.image_shape is not None and len(shapes) == 1,
            f"{wanted} `siren.at(coordinates)` draws a decoder at other places.",
        )
        for siren in self.sirens.values():
            samples = shown_samples(siren, given, loss=SQUARES, row=sample)
        self.samples = samples
        self.shape = samples.image_shape or (1, 1)
        self.origin = replace(origin or Origin(), adjoint=Detached())
        self._known: dict[tuple[Any, ...], tuple[Codes, Tensor]] = {}
        first = {
            "decoder": decoder,
            "sample": sample,
            "by": by,
            "share": 1.0,
            "seed": seed,
            "resolution": resolution,
            "half": 1.0,
            "down": 0.0,
            "across": 0.0,
        }
        options = {
            "decoder": list(self.sirens),
            "by": FOUND_BY,
            "share": SHARES,
            "resolution": RESOLUTIONS,
        }
        alt = (
            "An image in coarse pixels; beside it what its code draws, finer than any pixel, "
            "and plain enlargements."
        )
        self.view = SirenView(
            image_shape=list(self.shape),
            n_samples=len(samples),
            **thumbnails_of(samples, rows_around(samples, sample)),
            defaults=first,
            title=title,
            alt_text=alt,
            options={**options, "half": list(WINDOWS.items())},
        )
        self.show(first)
        self.view.on_request = self.show
        super().__init__(name, self.view, alt)

    def show(self, values: dict[str, Any]) -> None:
        """Find the code of a sample and draw it in a window.

        Args:
            values: choices of the reader: "decoder", "sample", "by", "share", "seed", "resolution",
                and the window: "half", its half width, "down" and "across", its middle, in
                coordinates.
        """
        siren = self.sirens[values["decoder"]]
        n = int(values["resolution"])
        x = self.samples.x[int(values["sample"])][None]
        z, places = self._code_of(values)
        here = _window(values, n, n)
        row = round((min(max(values["down"], -1.0), 1.0) + 1) / 2 * (self.shape[0] - 1))
        cut = _window(
            values | {"half": 0.0, "down": 2 * row / max(self.shape[0] - 1, 1) - 1}, 1, _CUT
        )
        cut[:, 1] = values["across"] + values["half"] * torch.linspace(-1, 1, _CUT)
        tiles = [
            _drawn(siren, z, here),
            self.enlarged(x, here, "bilinear"),
            self.enlarged(x, here, "nearest"),
        ]
        curves = [_drawn(siren, z, cut), self.enlarged(x, cut, "bilinear")]
        seen = torch.zeros(len(siren.coordinates), dtype=torch.uint8)
        seen[places] = 1
        with self.view.hold_sync():
            self.view.image = pictures_of(x[0], self.shape).tobytes()
            self.view.seen = seen.numpy().tobytes()
            self.view.tiles = pictures_of(torch.stack(tiles), (n, n)).tobytes()
            self.view.curves = torch.stack(curves).numpy().astype(np.float32).tobytes()
            self.view.row = row
            self.view.facts = self._facts(siren, z, x, places)
            self.view.values = dict(values)

    def enlarged(
        self, x: Float[Tensor, "1 pixels"], places: Coordinates, mode: str
    ) -> Float[Tensor, "features"]:
        """Enlarge an image by interpolation; beyond its frame the nearest pixel is repeated."""
        at = places.flip(1)[None, None]  # grid_sample expects (horizontal, vertical)
        image = x.reshape(1, 1, *self.shape)
        return F.grid_sample(
            image, at, mode=mode, padding_mode="border", align_corners=True
        ).flatten()

    def _code_of(self, values: dict[str, Any]) -> tuple[Codes, Tensor]:
        """Return the code and the places from which it was found.

        Both are kept, so that a moving window does not wait for a flow.
        """
        key = tuple(values[name] for name in ("decoder", "sample", "by", "share", "seed"))
        if key not in self._known:
            siren = self.sirens[values["decoder"]]
            x = self.samples.x[int(values["sample"])][None]
            n = len(siren.coordinates)
            random = torch.Generator().manual_seed(int(values["seed"]))
            n_places = max(round(values["share"] * n), 1)
            places = torch.randperm(n, generator=random)[:n_places].sort().values
            there = siren.at(siren.coordinates[places])
            self._known = {key: (self._find(there, x[:, places], n, values["by"]), places)}
        return self._known[key]

    def _find(self, there: SirenDecoder, x: Tensor, n_places: int, by: str) -> Codes:
        """Find a code by one step or the flow, with errors weighted as if all places were given."""
        checks.one_of("by", by, FOUND_BY)
        loss = Gaussian(variance=0.5 * x.shape[1] / n_places, reduction="sum")
        if by == "flow":
            return encode(there, x, loss=loss, solver=LBFGS(), max_steps=_MOST_STEPS).z
        return replace(self.origin, loss=loss)(there, x).z

    def _facts(self, siren: SirenDecoder, z: Codes, x: Tensor, places: Tensor) -> str:
        """Describe the energies in words."""
        squares = (reconstruct(siren, z, SQUARES) - x)[0] ** 2
        energy = f"energy {squares.mean():.4f} per pixel"
        if len(places) == len(squares):
            return energy
        hidden = torch.ones(len(squares), dtype=torch.bool)
        hidden[places] = False
        return (
            f"{energy}, {squares[places].mean():.4f} of the {len(places)} seen, "
            f"{squares[hidden].mean():.4f} of the others"
        )


def _window(values: Mapping[str, Any], height: int, width: int) -> Coordinates:
    """Return the places of a grid over the window."""
    rows = values["down"] + values["half"] * torch.linspace(-1, 1, height)
    columns = values["across"] + values["half"] * torch.linspace(-1, 1, width)
    return torch.cartesian_prod(rows, columns)


def _drawn(siren: SirenDecoder, z: Codes, places: Coordinates) -> Float[Tensor, "features"]:
    return reconstruct(siren.at(places.to(siren.coordinates)), z, SQUARES)[0]
