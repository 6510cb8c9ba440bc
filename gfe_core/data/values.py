"""From arrays and labels as people keep them to rows of float32 and classes: nothing is guessed.

What `DataSet.of` and the readers of files have in common. They say where the values come from; the
sentences about what does not fit are here.

Shapes: `n` samples; `features` numbers each; `channels` 1 for grey or 3 for red, green and blue;
    `height` and `width` of images.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

CHANNELS = ("first", "last")
"""Where the channels of an array of images may be: (n, channels, height, width), or at its end."""

_WHITE = {"u1": 255.0, "u2": 65535.0}
"""Whole numbers that are shares of white, by their type; the second in images alone."""
_COLOURS = (1, 3)


class UnfitError(ValueError):
    """Values that cannot be used; the text is the reason and the remedy, without their place."""


def require(fits: bool, reason: str) -> None:
    """Raise `UnfitError` with this reason unless the values fit."""
    if not fits:
        raise UnfitError(reason)


def image_shape_of(shape: Sequence[int], channels: str | None = None) -> tuple[int, ...] | None:
    """Return the shape of one image of an array: (height, width), (3, height, width), or None.

    Args:
        shape: (n, features), (n, height, width) or, in four axes, with channels of 1 or 3.
        channels: "first" or "last" where four axes can be read both ways.

    Raises:
        UnfitError: there are other axes, no samples, or channels that could be either.
    """
    at: tuple[int, ...] = (*shape,)
    has = f"its shape is {at}"
    wanted = (
        "Reshape it to (n, features), to (n, height, width) for grey images, or to "
        "(n, 3, height, width) for colour"
    )
    require(2 <= len(at) <= 4 and 0 not in at, f"{has}. {wanted}")
    require(
        channels is None or len(at) == 4,
        f"{has}, which has no axis of channels. Leave `channels` out",
    )
    if len(at) < 4:
        return at[1:] if len(at) == 3 else None
    if channels is None:
        channels = _place_of_channels(at, f"{has}. {wanted}")
    n_channels, height, width = at[1:] if channels == "first" else (at[3], at[1], at[2])
    require(
        n_channels in _COLOURS,
        f"{has}, with {n_channels} channels {channels}: 1 is grey and 3 are red, green and blue. "
        f"{wanted}",
    )
    return (height, width) if n_channels == 1 else (3, height, width)


def _place_of_channels(shape: tuple[int, ...], otherwise: str) -> str:
    """Where the channels of (n, a, b, c) are, if only one of a and c can count them."""
    fits = [place for place, axis in (("first", 1), ("last", 3)) if shape[axis] in _COLOURS]
    alpha = " (leave out transparency: `values[..., :3]`)" if shape[3] in (2, 4) else ""
    require(len(fits) > 0, f"{otherwise}{alpha}")
    require(
        len(fits) == 1,
        f"its shape is {shape}, whose channels may be first or last. Pass `channels='first'` for "
        "(n, channels, height, width), or `channels='last'`",
    )
    return fits[0]


def numbers(kind: np.dtype) -> None:
    """Refuse an array of anything but real numbers.

    Raises:
        UnfitError: it holds texts, objects, complex numbers or records.
    """
    remedy = "Convert it: `values.astype('float32')`"
    if kind.names is not None:
        stack = "numpy.lib.recfunctions.structured_to_unstructured(values)"
        remedy = f"Put its fields side by side: `{stack}`"
    require(kind.kind in "biuf", f"its type is {kind}. {remedy}")


def rows_of_array(
    values: np.ndarray, channels: str | None = None
) -> tuple[Float[Tensor, "n features"], tuple[int, ...] | None]:
    """Return samples as rows of float32, and the shape of an image.

    uint8 is divided by 255, and so is uint16 by 65,535 in images; every other number is taken as it
    is. Rows are flattened in the order (channel, height, width).

    Raises:
        UnfitError: these are no numbers, no samples, or numbers that float32 cannot hold.
    """
    numbers(values.dtype)
    shape = image_shape_of(values.shape, channels)
    if values.ndim == 4 and (channels == "last" or values.shape[1:] != _first(shape)):
        values = np.moveaxis(values, 3, 1)
    white = _WHITE.get(values.dtype.str[1:], 1.0)
    if shape is None and values.dtype.itemsize == 2:
        white = 1.0
    with np.errstate(over="ignore"):  # becomes infinite and is refused here
        flat = np.ascontiguousarray(values.reshape(len(values), -1)).astype(np.float32)
    if white != 1.0:
        flat /= np.float32(white)
    return finite(torch.from_numpy(flat)), shape


def _first(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The axes after the first of images whose channels are first."""
    return (1, *shape) if shape is not None and len(shape) == 2 else shape or ()


def finite(x: Tensor) -> Tensor:
    """Refuse what is infinite in float32; NaN stays, as a missing number.

    Raises:
        UnfitError: some value is infinite.
    """
    require(
        not bool(x.isinf().any()),
        "it holds values that are infinite in float32. Rescale them, or write nan",
    )
    return x


def classes_of(
    labels: Any,
) -> tuple[Int[Tensor, "n"] | Float[Tensor, "n"] | Float[Tensor, "n parameters"], tuple[str, ...]]:
    """Return what labels say, and the names of classes if they are words.

    Whole numbers are classes as they are, other numbers parameters; words are classes in sorted
    order. Texts that are numbers all of them count as numbers.

    Args:
        labels: an array, (n,) or (n, 1), or (n, parameters) for numbers.

    Raises:
        UnfitError: a label is missing, or they are neither numbers nor words.
    """
    found = np.asarray(labels)
    if found.ndim == 2 and 1 in found.shape:
        found = found.reshape(-1)
    objects = found.flat if found.dtype.kind == "O" else ()
    lost = [one is None or (isinstance(one, float) and math.isnan(one)) for one in objects]
    require(not any(lost), "a label is missing. Fill it in, or remove its sample")
    require(found.dtype.kind not in "Mmc", f"labels are of type {found.dtype}. Convert them")
    values = _as_numbers(found)
    lost = values is not None and values.ndim == 1 and bool(np.isnan(values).any())
    require(not lost, "a label is missing (nan). Fill it in, or remove its sample")
    if values is None:
        require(found.ndim == 1, f"labels in words have shape {found.shape}, not one a sample")
        names, y = np.unique(found.astype(str), return_inverse=True)
        return torch.from_numpy(y.astype(np.int64)), tuple(map(str, names))
    require(values.ndim in (1, 2), f"labels have shape {values.shape}, not one a sample")
    whole = values.ndim == 1 and bool((values == np.floor(values)).all())
    whole = whole and bool(np.isfinite(values).all())
    y = values.astype(np.int64 if whole else np.float32)
    return torch.from_numpy(y), ()


def _as_numbers(labels: np.ndarray) -> np.ndarray | None:
    """Labels as float64; None if some are words."""
    if labels.dtype.kind in "biuf":
        return labels.astype(np.float64)
    try:
        return labels.astype(np.float64)
    except (TypeError, ValueError):
        return None
