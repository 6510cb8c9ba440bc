"""Pictures along each open latent, and the factor of the data that the latent follows."""

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
"""Number of samples to start from, unless the samples are given."""


class TraversalView(WithThumbnails):
    """A picture that follows one latent, and rows of pictures along all.

    Made by `TraversalExplorer`.
    """

    _esm = script("traversal")
    _css = style("traversal")

    # for each model, uint8 (bases, latents, frames, height, width)
    images = t.Bytes().tag(sync=True)
    # for each model, values (latents, frames), own (bases, latents), shares (latents, factors)
    numbers = t.List().tag(sync=True)
    models = t.List(t.Unicode()).tag(sync=True)
    latents = t.List().tag(sync=True)  # for each model, the names of its latents
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

    Beside each row of pictures, a table lists the share of the latent's variance that each factor
    explains alone.

    Args:
        models: models by name, each (decoder of the latents, codes of the samples), for example
            `Gated.narrowed()` and the open columns of the codes.
        samples: images, with the factors that made them as y (n, factors).
        factors: names of the factors; a unit in brackets is not shown.
        latents: names of the latents of a model, by the name of the model; their indices by
            default.
        bases: rows of samples that the reader can choose as the start; the first four by default.
        name: name of the explorer.
        n_frames: number of pictures along a latent, >= 2.
        loss: loss that turns outputs into grey values, squared errors by default.
        seed: seed of the training, only reported in the view.
        title: title above the view.

    Raises:
        TypeError: the samples are no `DataSet`, or a model is not a pair.
        ValueError: there is no model, the samples have no image shape, the codes do not match the
            samples or are not finite, or the factors do not match y.
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
        options = {
            "bases": bases,
            "image_shape": shape,
            "n_frames": n_frames,
            "loss": loss or SQUARES,
        }
        self.traversals: dict[str, Traversal] = {
            label: traverse(flattened(decoder), z, samples.y, **options)
            for label, (decoder, z) in models.items()
        }
        named = latents or {}
        numbered = {label: [str(j) for j in range(z.shape[1])] for label, (_, z) in models.items()}
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
            latents=[list(named.get(label, numbered[label])) for label in models],
            factors=[label.split(" (")[0] for label in factors],
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
    """Return the numbers of a model as lists, rounded to four decimals."""
    arrays = {"values": one.values, "own": one.own, "shares": one.shares}
    return {name: np.round(array.double().numpy(), 4).tolist() for name, array in arrays.items()}
