"""Conversion of arrays and labels to rows of float32 and classes; nothing is guessed.

`DataSet.of` and the readers of files share this module. It writes the reasons why values do not
fit; its callers add where the values come from.

Shapes: `n` samples; `features` numbers each; `channels` 1 for grey or 3 for red, green and blue;
    `height` and `width` of images.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

RESOLVED = 1e-3
"""Largest rounding error of a mean, relative to the spread beside it, that is accepted."""

CHANNELS = ("first", "last")
"""Positions of the channels in an array of images: (n, channels, height, width), or last."""

_WHITE = {"u1": 255.0, "u2": 65535.0}
"""Value of white for dtypes that hold shares of white; uint16 does so in images only."""
_COLOURS = (1, 3)


class UnfitError(ValueError):
    """Values that cannot be used; the message is the reason and the remedy, without their place."""


def require(fits: bool, reason: str) -> None:
    """Raise `UnfitError` with this reason unless the values fit."""
    if not fits:
        raise UnfitError(reason)


def image_shape_of(shape: Sequence[int], channels: str | None = None) -> tuple[int, ...] | None:
    """Return the shape of one image of an array: (height, width), (3, height, width), or None.

    Args:
        shape: shape of the array: (n, features), (n, height, width), or four axes with 1 or 3
            channels.
        channels: position of the channels, "first" or "last", if four axes are ambiguous.

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
    """Return the position of the channels in (n, a, b, c), if only one of a and c is 1 or 3."""
    fits = [place for place, axis in (("first", 1), ("last", 3)) if shape[axis] in _COLOURS]
    colours = {2: 1, 4: 3}.get(shape[3])
    alpha = f" (leave out transparency: `values[..., :{colours}]`)" if colours else ""
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
        UnfitError: it holds strings, objects, complex numbers or records.
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
    is. Masked ones are NaN. Rows are flattened in the order (channel, height, width). A UserWarning
    names the features for which float32 has too few digits.

    Raises:
        UnfitError: the values are not numbers, or float32 cannot hold them, or there are no
            samples.
    """
    numbers(values.dtype)
    shape = image_shape_of(values.shape, channels)
    last = values.ndim == 4 and (channels == "last" or values.shape[1:] != _first(shape))
    white = _WHITE.get(values.dtype.str[1:], 1.0)
    if shape is None and values.dtype.itemsize == 2:
        white = 1.0
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is refused below
        flat = _flat(np.ma.getdata(values), last).astype(np.float32)
    if white != 1.0:
        flat /= np.float32(white)
    if np.ma.is_masked(values):
        flat[_flat(np.ma.getmaskarray(values), last)] = np.nan
    if values.dtype.itemsize >= 4:
        rows = spread_rows(len(values))
        lost = loses_digits(_flat(np.ma.getdata(values[rows]), last), ~np.isnan(flat[rows]))
        warn_of_lost_digits([*map(str, np.flatnonzero(lost))])
    return finite(torch.from_numpy(flat)), shape


def _flat(values: np.ndarray, last: bool) -> np.ndarray:
    """Return one sample in each row, with channels moved to the front if they are last."""
    values = np.moveaxis(values, 3, 1) if last else values
    return np.ascontiguousarray(values.reshape(len(values), -1))


def _first(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the axes after the first of an array whose channels are first."""
    return (1, *shape) if shape is not None and len(shape) == 2 else shape or ()


def finite(x: Tensor) -> Tensor:
    """Refuse values that are infinite in float32; NaN stays, as a missing number.

    Raises:
        UnfitError: some value is infinite.
    """
    require(
        not bool(x.isinf().any()),
        "it holds values that are infinite in float32. Rescale them, or write nan",
    )
    return x


def spread_rows(n: int) -> slice:
    """Return a hundred of n rows or a few more, spread over all, by which columns are judged."""
    return slice(None, None, max(1, n // 100))


def loses_digits(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether the values of each column lie so far from 0 that float32 rounds away how they differ.

    Args:
        values: numbers, before they become float32, one sample a row.
        known: True for those that count.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float64)
        known = known & np.isfinite(values)
        n = known.sum(0).clip(1)
        mean = np.where(known, values, 0.0).sum(0) / n
        spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(0) / n)
        rounding = np.finfo(np.float32).eps * abs(mean)
        varies = spread > 100 * np.finfo(np.float64).eps * abs(mean)  # not by rounding alone
        rounded = (known & (values.astype(np.float32) != values)).any(0)
        return rounded & varies & (rounding > RESOLVED * spread)


def warn_of_lost_digits(names: Sequence[str], stacklevel: int = 8) -> None:
    """Warn the caller, of `DataSet.of` by default, of features that float32 cannot resolve."""
    if not names:
        return
    listed = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    warnings.warn(
        f"Data become float32, whose 7 digits are too few for the features {listed}: they vary "
        "little beside their mean, so that different values become equal. Subtract an offset such "
        "as the mean from them, in float64 and before this call, or leave them out.",
        UserWarning,
        stacklevel=stacklevel,
    )


def classes_of(
    labels: Any, known: Sequence[str] | None = None
) -> tuple[Int[Tensor, "n"] | Float[Tensor, "n"] | Float[Tensor, "n parameters"], tuple[str, ...]]:
    """Return labels as classes or parameters, and the names of the classes if labels are words.

    Whole numbers are classes as they are, and other numbers are parameters. Words are classes in
    sorted order, or in the order of the known names. If all texts are numbers, they count as
    numbers, unless all of them are known names.

    Args:
        labels: array of shape (n,) or (n, 1), or (n, parameters) for numbers.
        known: names of the classes; other words are then refused.

    Raises:
        UnfitError: a label is missing, is too large for a class or is not known, or labels are
            neither numbers nor words.
    """
    lost = "a label is missing. Fill it in, or remove its sample"
    require(not np.ma.is_masked(labels), lost)
    each = np.asarray(labels)
    if each.ndim == 2 and 1 in each.shape:
        each = each.reshape(-1)
    objects = each.flat if each.dtype.kind == "O" else ()
    require(not any(map(_is_missing, objects)), lost)
    require(each.dtype.kind not in "Mmc", f"labels are of type {each.dtype}. Convert them")
    values = _as_numbers(each)
    if known is not None and (values is None or _are_known(each, known)):
        return _places(each, known), (*known,)
    if values is None:
        require(each.ndim == 1, f"labels in words have shape {each.shape}, not one a sample")
        names, y = np.unique(each.astype(str), return_inverse=True)
        return torch.from_numpy(y.astype(np.int64)), tuple(map(str, names))
    return _whole_or_not(values), ()


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN, or a missing value of pandas."""
    lost = label is None or type(label).__name__ in ("NAType", "NaTType")
    return lost or (isinstance(label, (float, np.floating)) and math.isnan(label))


def _are_known(labels: np.ndarray, known: Sequence[str]) -> bool:
    """Whether labels are texts, each the name of a class."""
    texts = labels.dtype.kind in "UT" or all(isinstance(one, str) for one in labels.flat)
    return texts and {*map(str, labels.flat)} <= {*known}


def _places(labels: np.ndarray, known: Sequence[str]) -> Int[Tensor, "n"]:
    """Return the index of each word among the known classes."""
    require(labels.ndim == 1, f"labels in words have shape {labels.shape}, not one a sample")
    words = [*map(str, labels)]
    others = sorted({*words} - {*known})
    shown = ", ".join(map(repr, known[:6])) + (", ..." if len(known) > 6 else "")
    got = repr(others[0]) if others else ""
    require(not others, f"the label {got} is none of the classes {shown}. Add it to `classes`")
    place = {name: i for i, name in enumerate(known)}
    return torch.tensor([place[word] for word in words], dtype=torch.long)


def _whole_or_not(values: np.ndarray) -> Tensor:
    """Return whole numbers as classes (int64), and other numbers as parameters (float32)."""
    require(values.ndim in (1, 2), f"labels have shape {values.shape}, not one a sample")
    fractions = values.dtype.kind == "f"
    lost = fractions and values.ndim == 1 and bool(np.isnan(values).any())
    require(not lost, "a label is missing (nan). Fill it in, or remove its sample")
    whole = not fractions or bool((np.isfinite(values) & (values == np.floor(values))).all())
    if values.ndim == 2 or not whole:
        return torch.from_numpy(values.astype(np.float32))
    # beyond 2^53, whole numbers share a float64; beyond 2^63 - 1, they exceed int64
    largest = 2.0**53 if fractions else 2**63 - 1
    beyond = values.size > 0 and bool((abs(values) if fractions else values).max() > largest)
    remedy = "Number the classes from 0: `numpy.unique(y, return_inverse=True)[1]`"
    require(not beyond, f"labels are whole numbers too large for classes. {remedy}")
    return torch.from_numpy(values.astype(np.int64))


def _as_numbers(labels: np.ndarray) -> np.ndarray | None:
    """Return labels as whole numbers or as float64; None if some are words."""
    if labels.dtype.kind in "biu":
        return labels
    kinds = (int, np.integer, str)
    exact = labels.dtype.kind in "UST" or all(isinstance(one, kinds) for one in labels.flat)
    for kind in (np.int64, np.float64) if exact else (np.float64,):
        try:
            return labels.astype(kind)
        except (TypeError, ValueError, OverflowError):
            continue
    return None
