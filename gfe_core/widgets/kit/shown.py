"""What a view is given: samples that its decoder can encode, or one sentence that says why not.

A view answers in the kernel while its reader turns a control, where an error has no place. So all
that could go wrong is looked at once, when the view is made.
"""

from typing import Any

import torch
from torch import Tensor

from gfe_core import arguments, checks
from gfe_core.data import DataSet
from gfe_core.data.samples import rows_of, samples_for, weight_of
from gfe_core.energy import WholeLoss
from gfe_core.types import Loss

_ANY = object()
_LISTED = 5
"""Rows that a sentence names."""


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
        decoder: that encodes them.
        samples: a `DataSet`; or a tensor, array or frame, shown as the decoder shows its own
            outputs.
        name: of the argument.
        loss: of their energies, `Bernoulli()` by default.
        images: whether the view draws them as images.
        gaps: whether the view knows what to do with NaN.
        row: the sample shown first.

    Raises:
        TypeError, ValueError: decoder and samples do not fit each other or the view.
    """
    checks.decoder_ready(decoder)
    arguments.loss_or_none(loss)
    data = as_data_set(decoder, samples, name)
    checks.require(
        not images or data.image_shape is not None,
        f"`{name}` must be images; {data.name!r} has no image shape. Use load('digits').",
    )
    x = samples_for(decoder, data.x, f"{name}.x")
    checks.require(len(x) > 0, f"`{name}` must hold at least one sample, got none.")
    WholeLoss(loss).check_data(x)
    lost = torch.where(~x.flatten(1).isfinite().all(1))[0].tolist()
    if lost and not gaps:
        keep = f"keep = {name}.x.isfinite().all(1)"
        line = f"dataclasses.replace({name}, x={name}.x[keep], y={name}.y[keep])"
        raise ValueError(
            f"`{name}` must be complete, but {rows_named(lost)} of {len(x)} have missing or "
            f"infinite features. Leave them out: `{keep}`, `{line}`."
        )
    if row is not _ANY:
        row_of(data, row)
    return data


def as_data_set(decoder: Any, samples: Any, name: str = "samples") -> DataSet:
    """Return a data set; bare samples become one without classes."""
    if isinstance(samples, DataSet):
        return samples
    x = rows_of(samples, name, like=weight_of(decoder))
    checks.require(
        isinstance(x, Tensor),
        f"`{name}` must be a DataSet, such as `gfe.data.load('digits', split='test')`, or samples "
        f"of floats, got {checks.described(samples)}.",
        TypeError,
    )
    checks.data_for(decoder, x, name)
    shape = getattr(decoder, "image_shape", None)
    if shape is None and len(decoder.data_shape) > 1:
        shape = tuple(decoder.data_shape)
    return DataSet(x.flatten(1), torch.zeros(len(x), dtype=torch.long), shape, name, "yours")


def row_of(samples: DataSet, row: Any, name: str = "sample") -> int:
    """Return the number of a sample, after checking that there is such a one."""
    last = len(samples) - 1
    place = checks.whole(name, row)
    checks.require(0 <= place <= last, f"`{name}` must lie between 0 and {last}, got {row}.")
    return place


def rows_named(rows: list[int]) -> str:
    """Name some rows: "row 3" or "rows 3, 5, 8"."""
    some = ", ".join(map(str, rows[:_LISTED])) + (", ..." if len(rows) > _LISTED else "")
    return f"row{'s' * (len(rows) > 1)} {some}"
