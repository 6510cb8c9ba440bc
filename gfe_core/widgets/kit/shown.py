"""Check the samples of a view: its decoder can encode them, or one sentence says why not.

A view answers in the kernel while its reader moves a control, and an error has no place there. A
callback of a training run is called late. Therefore everything that could go wrong is checked once,
when the view is made.
"""

from typing import Any

import torch
from torch import Tensor

from gfe_core import arguments, checks
from gfe_core.data import DataSet
from gfe_core.data.samples import images_for, rows_of, samples_for, weight_of
from gfe_core.decoders.wrapped import Flattened, flattened
from gfe_core.energy import WholeLoss
from gfe_core.types import Loss

_ANY = object()
_LISTED = 5
"""Largest number of rows that a sentence names."""


def shown_samples(
    decoder: Any,
    samples: Any,
    *,
    name: str = "samples",
    loss: Loss | None = None,
    images: bool = True,
    gaps: bool = False,
    row: Any = _ANY,
) -> DataSet:
    """Return samples that a view of this decoder can show.

    Args:
        decoder: decoder of the view.
        samples: a `DataSet`; or a tensor, array or frame, which is shown in the image shape of the
            decoder, if it has one.
        name: name of the argument that holds the samples.
        loss: loss of the energies, `Bernoulli()` by default.
        images: whether the view draws the samples as images.
        gaps: whether the view can show NaN.
        row: row of the sample shown first; not checked if left out.

    Raises:
        TypeError, ValueError: decoder and samples do not match each other or the view.
    """
    checks.decoder_ready(decoder)
    checks.draws_nothing(decoder)
    arguments.loss_or_none(loss)
    rows = flattened(decoder)
    data = as_data_set(rows, samples, name)
    checks.require(
        not images or data.image_shape is not None,
        f"`{name}` must be images; {data.name!r} has no image shape. Use load('digits').",
    )
    images_for(decoder, data.image_shape, name)
    x = samples_for(rows, data.x, f"{name}.x")
    at_least(1, len(x), name)
    WholeLoss(loss).check_data(x)
    if not gaps:
        complete(x, samples, name)
    if row is not _ANY:
        row_of(data, row)
    return data


def shown_rows(x: Any, name: str = "x", *, gaps: bool = False) -> Tensor:
    """Return samples for a view of a training run, which gets the decoder only when it is called.

    Args:
        x: samples: a `DataSet`, tensor, array or frame.
        name: name of the argument that holds the samples.
        gaps: whether the view can show NaN.

    Raises:
        TypeError, ValueError: the samples are not rows of floats, or they hold nothing to show.
    """
    rows = rows_of(x, name)
    floats = isinstance(rows, Tensor) and rows.is_floating_point()
    wanted = f"`{name}` must be samples of floats, such as `gfe.data.load('digits').x`"
    checks.require(floats, f"{wanted}, got {checks.described(x)}.", TypeError)
    several = rows.dim() > 1
    remedy = f"Add a batch axis: `{name}[None]`."
    checks.require(several, f"{wanted}, got one of shape {tuple(rows.shape)}. {remedy}")
    at_least(1, len(rows), name)
    if gaps:
        observed = bool(rows.isfinite().any())
        wanted = f"`{name}` must hold an observed feature, got {len(rows)} samples of NaN"
        checks.require(observed, f"{wanted}. Check the code that made them.")
    else:
        complete(rows, x, name)
    return rows


def at_least(n_wanted: int, n: int, name: str, *, of: str = "", why: str = "") -> None:
    """Refuse too few samples.

    Args:
        n_wanted: smallest number of samples.
        n: number of samples given.
        name: name of the argument that holds the samples.
        of: words that say which samples count, such as " with a code".
        why: words that say why other samples do not count.
    """
    count = "one sample" if n_wanted == 1 else f"{n_wanted} samples"
    wanted = f"`{name}` must hold at least {count}{of}, got {n or 'none'}{why}"
    line = "gfe.data.load('digits', split='test')"
    checks.require(n >= n_wanted, f"{wanted}. Pass more, such as `{line}`.")


def complete(x: Tensor, given: Any, name: str) -> None:
    """Refuse samples with missing features, with the line that leaves them out.

    Args:
        x: samples as a tensor.
        given: samples as the caller passed them; the line is written for their type.
        name: name of the argument that holds the samples.
    """
    lost = torch.where(~x.flatten(1).isfinite().all(1))[0].tolist()
    if not lost:
        return
    which = f"{rows_named(lost)} of {len(x)} {'has' if len(lost) == 1 else 'have'}"
    wanted = f"`{name}` must be complete, but {which} missing or infinite features."
    if len(lost) == len(x):
        raise ValueError(
            f"{wanted} No sample is complete: pass others, or show the gaps with "
            "`SpectrumExplorer`, which encodes observed features alone."
        )
    raise ValueError(f"{wanted} Leave them out: {_without(given, name)}.")


def _without(given: Any, name: str) -> str:
    """Return code that keeps the complete samples of what was passed."""
    if isinstance(given, DataSet):
        return f"`{name} = {name}[{name}.x.isfinite().all(1)]`"
    if isinstance(given, Tensor):
        flat = "" if given.dim() == 2 else ".flatten(1)"
        return f"`{name} = {name}[{name}{flat}.isfinite().all(1)]`"
    if hasattr(given, "dropna"):
        return f"`{name} = {name}.replace([np.inf, -np.inf], np.nan).dropna()`"
    flat = "" if getattr(given, "ndim", 2) == 2 else f".reshape(len({name}), -1)"
    return f"`{name} = {name}[np.isfinite({name}){flat}.all(1)]`"


def two_latents(decoder: Any, needed: str) -> None:
    """Refuse a decoder with fewer than two latents.

    Args:
        decoder: decoder of the view.
        needed: role of the latents in the view, such as "the directions of a landscape".
    """
    n = decoder.latent_dim
    remedy = "Train one with `latent_dim=2` or more."
    wanted = f"`decoder` must have at least two latents, {needed}"
    checks.require(n >= 2, f"{wanted}, got {n}. {remedy}")


def as_data_set(decoder: Any, samples: Any, name: str = "samples") -> DataSet:
    """Return samples as a `DataSet`; a tensor, array or frame becomes one without classes."""
    if isinstance(samples, DataSet):
        return samples
    x = rows_of(samples, name, like=weight_of(decoder))
    checks.require(
        isinstance(x, Tensor),
        f"`{name}` must be a DataSet, such as `gfe.data.load('digits', split='test')`, or samples "
        f"of floats, got {checks.described(samples)}.",
        TypeError,
    )
    if isinstance(decoder, Flattened) and x.shape[1:] == decoder.decoder.data_shape:
        x = x.flatten(1)
    checks.data_for(decoder, x, name)
    shape = getattr(decoder, "image_shape", None)
    return DataSet(x, torch.zeros(len(x), dtype=torch.long), shape, name, "yours")


def row_of(samples: DataSet, row: Any, name: str = "sample") -> int:
    """Return the row of a sample, after checking that it exists."""
    last = len(samples) - 1
    place = checks.whole(name, row)
    checks.require(0 <= place <= last, f"`{name}` must lie between 0 and {last}, got {row}.")
    return place


def rows_named(rows: list[int]) -> str:
    """Name rows: "row 3" or "rows 3, 5, 8", with an ellipsis after the fifth."""
    listed = ", ".join(map(str, rows[:_LISTED])) + (", ..." if len(rows) > _LISTED else "")
    return f"row{'s' * (len(rows) > 1)} {listed}"
