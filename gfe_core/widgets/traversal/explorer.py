"""Each surviving latent moved on its own, and the factor of the data that it follows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import traitlets as t

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.data.samples import codes_for
from gfe_core.decoders.wrapped import flattened
from gfe_core.methods.gon import SQUARES
from gfe_core.types import Codes, Loss
from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.shown import at_least, row_of, shown_samples
from gfe_core.widgets.kit.thumbnails import WithThumbnails, thumbnails_of
from gfe_core.widgets.traversal.traversal import Traversal, traverse

_BASES = 4
"""Samples to start from, where none are named."""


class TraversalView(WithThumbnails):
    """A picture that follows one latent, and rows of pictures along all.

    Made by `TraversalExplorer`.
    """

    _esm = script("traversal")
    _css = style("traversal")

    images = t.Bytes().tag(
        sync=True
    )  # uint8: of each model (bases, latents, frames, height, width)
    numbers = t.List().tag(
        sync=True
    )  # of each model: values (latents, frames), own (bases, latents), shares
    models = t.List(t.Unicode()).tag(sync=True)
    latents = t.List().tag(sync=True)  # of each model: the names of its latents
    factors = t.List(t.Unicode()).tag(sync=True)
    image_shape = t.List(t.Int(), default_value=[1, 1]).tag(sync=True)
    n_frames = t.Int(1).tag(sync=True)
    defaults = t.Dict().tag(sync=True)
    values = t.Dict().tag(sync=True)
    note = t.Unicode().tag(sync=True)
    title = t.Unicode().tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)


class TraversalExplorer(Explorer):
    """Move one latent of an image's code and see what changes; all pictures are made in advance.

    Beside each row of pictures stands which share of the latent's variance each factor explains
    alone.

    Args:
        models: name -> (decoder of the latents, codes of the samples), for example
            `Gated.narrowed()` and the open columns of the codes.
        samples: images, with the factors that made them as y (n, factors).
        factors: their names; a unit in brackets is left out.
        latents: name of a model -> names of its latents; their numbers by default.
        bases: samples that can be chosen as the start; the first four by default.
        name: of the explorer.
        n_frames: pictures along a latent, >= 2.
        loss: says how outputs become grey values, squared errors by default.
        seed: of the training; it is only said.
        title: above it all.

    Raises:
        ValueError: no model; samples without an image shape; factors that are not those of y.
    """

    def __init__(
        self,
        models: Mapping[str, tuple[Any, Codes]],
        samples: DataSet,
        factors: Sequence[str],
        *,
        latents: Mapping[str, Sequence[str]] | None = None,
        bases: Sequence[int] | None = None,
        name: str = "traversal",
        n_frames: int = 25,
        loss: Loss | None = None,
        seed: int = 0,
        title: str = "What each latent does",
    ) -> None:
        checks.require(
            bool(models), "`models` must hold at least one decoder with its codes, got none."
        )
        checks.require(
            isinstance(samples, DataSet),
            f"`samples` must be a DataSet, whose y holds factors, got {checks.described(samples)}. "
            "Make one: `gfe.data.DataSet(x, factors, image_shape, 'mine', 'test')`.",
            TypeError,
        )
        at_least(1, len(samples), "samples")
        if bases is None:
            bases = range(min(_BASES, len(samples)))
        for model in models.values():
            pair = isinstance(model, (tuple, list)) and len(model) == 2
            wanted = "`models` must be names with (decoder, codes)"
            checks.require(pair, f"{wanted}, got {checks.described(model)}.", TypeError)
            z = codes_for(*model)
            n = len(samples)
            checks.require(
                len(z) == n, f"`models` must hold codes of the {n} samples, got {len(z)}."
            )
            finite = bool(z.isfinite().all())
            checks.require(finite, "`models` must hold finite codes, got NaN or infinity.")
            shown_samples(model[0], samples, loss=loss or SQUARES, gaps=True)
        for base in bases:
            row_of(samples, base, "bases")
        shape = samples.image_shape or ()
        wanted = f"`samples` must be images with factors y (n, {len(factors)})"
        fits = (
            bool(shape)
            and samples.y is not None
            and tuple(samples.y.shape) == (len(samples), len(factors))
        )
        checks.require(fits, f"{wanted}, got {samples!r}.")
        known = bool(torch.isfinite(samples.y).all())
        remedy = "Leave these rows out of the samples and of their codes."
        checks.require(
            known, f"`samples` must have finite factors y, got NaN or infinity. {remedy}"
        )
        checks.require(n_frames >= 2, f"`n_frames` must be at least 2, got {n_frames}.")
        how = {"bases": bases, "image_shape": shape, "n_frames": n_frames, "loss": loss or SQUARES}
        self.traversals: dict[str, Traversal] = {
            told: traverse(flattened(decoder), z, samples.y, **how)
            for told, (decoder, z) in models.items()
        }
        named = latents or {}
        numbered = {told: [str(j) for j in range(z.shape[1])] for told, (_, z) in models.items()}
        first = {"model": 0, "base": 0, "latent": 0, "frame": n_frames // 2}
        alt = (
            "Rows of pictures along each latent, and a table of the factors that each latent "
            "follows."
        )
        made = self.traversals.values()
        self.view = TraversalView(
            images=b"".join(one.images.tobytes() for one in made),
            numbers=[_numbers(one) for one in made],
            models=list(models),
            latents=[list(named.get(told, numbered[told])) for told in models],
            factors=[told.split(" (")[0] for told in factors],
            image_shape=list(next(iter(made)).images.shape[3:]),
            **thumbnails_of(samples, bases),
            n_frames=n_frames,
            defaults=first,
            values=first,
            title=title,
            alt_text=alt,
            note=f"seed {seed}",
        )
        super().__init__(name, self.view, alt)


def _numbers(one: Traversal) -> dict[str, Any]:
    """As lists of few digits."""
    arrays = {"values": one.values, "own": one.own, "shares": one.shares}
    return {name: np.round(array.double().numpy(), 4).tolist() for name, array in arrays.items()}
