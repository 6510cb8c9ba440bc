"""Conversion of a caller's data to a tensor of samples; no other module converts data.

Every verb that takes data passes them through `samples_for`, or through `rows_of` if no decoder
determines their dtype and device.
"""

import datetime
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, TensorDataset

from gfe_core import checks
from gfe_core.data.contexts import check_context
from gfe_core.data.dataset import DataSet
from gfe_core.data.values import loses_digits, spread_rows, warn_of_lost_digits
from gfe_core.types import Codes, Data

_INNER = ("module", "decoder")
"""Attributes by which a decoder holds the one that it wraps."""

_DATES = (datetime.date, np.datetime64)
_DURATIONS = (datetime.timedelta, np.timedelta64)
_COMPLEX = (complex, np.complexfloating)
"""Types of values that numpy or pandas would convert to floats, in units of their own or in part.

A missing date of pandas is of type `datetime.date`, too.
"""


@runtime_checkable
class Framed(Protocol):
    """A frame of pandas, or of another library with `to_numpy`."""

    def to_numpy(self) -> Any:
        """Return the numbers as an array."""
        ...


Samples = Data | DataSet | np.ndarray | Framed | DataLoader[Any] | TensorDataset
"""Data that a verb takes: a tensor, or anything that `rows_of` converts to one."""


def samples_for(decoder: Any, x: Any, name: str = "x") -> Data:
    """Return data as a tensor that this decoder's output can be compared with.

    Args:
        decoder: decoder whose weights determine the dtype and device that arrays are converted to.
        x: tensor of exactly that dtype, device and shape, or anything else that `rows_of` takes.
            The rows of a `DataSet` get the shape of the decoder's samples.
        name: name of the argument, for errors.

    Raises:
        TypeError, ValueError: the data do not fit the decoder; the message says what to do.
    """
    checks.is_decoder(decoder)
    checks.same_names(name, features_of(x), known_features(decoder))
    rows = rows_of(x, name, like=weight_of(decoder))
    images_for(decoder, known_image_shape(x), name)
    if isinstance(x, DataSet):
        rows = in_shape_of(decoder, rows)
    checks.data_for(decoder, rows, name)
    return rows


def in_shape_of(decoder: Any, rows: Tensor) -> Tensor:
    """Return rows in the shape of the decoder's samples, if the numbers of features are equal."""
    shape = tuple(decoder.data_shape)
    return rows.unflatten(1, shape) if rows.shape[1] == math.prod(shape) else rows


def images_for(decoder: Any, image_shape: tuple[int, ...] | None, name: str = "x") -> None:
    """Refuse images of another shape than the decoder draws, even if they have as many pixels.

    Args:
        decoder: decoder whose samples have several axes, or which was given an `image_shape`.
            Nothing is checked for any other decoder.
        image_shape: shape of the images; None if the data are not images, or if it is unknown.
        name: name of the argument, for errors.
    """
    several = len(decoder.data_shape) > 1
    drawn = decoder.data_shape if several else getattr(decoder, "arguments", {}).get("image_shape")
    if image_shape is None or drawn is None:
        return
    checks.require(
        tuple(drawn) in (tuple(image_shape), (1, *image_shape)),
        f"`{name}` holds images of shape {tuple(image_shape)}, but the decoder draws "
        f"{tuple(drawn)}. Pass an array with axes in the decoder's order, or build a decoder for "
        "these images.",
    )


def codes_for(decoder: Any, z: Any) -> Codes:
    """Return codes as a tensor that this decoder can draw."""
    held = isinstance(getattr(z, "z", None), Tensor)
    remedy = "Pass its codes, such as `enc.z`, and the loss that they were found with."
    wanted = f"`z` must be codes of shape (batch, {decoder.latent_dim})"
    checks.require(not held, f"{wanted}, got {type(z).__name__}. {remedy}", TypeError)
    checks.code_order("z", features_of(z), decoder.latent_dim)
    weight = weight_of(decoder)
    codes = rows_of(z, "z", like=weight)
    if not (isinstance(codes, Tensor) and codes.is_floating_point()):
        remedy = checks.into_samples(z, "z")
        raise TypeError(f"{wanted} and a float dtype, got {checks.described(z)}. {remedy}")
    shape = tuple(codes.shape)
    remedy = (
        "Add a batch axis: `z[None]`." if len(shape) == 1 else "Flatten it: `z.flatten(0, -2)`."
    )
    other = "Pass codes of this decoder."
    fits = len(shape) == 2 and shape[1] == decoder.latent_dim
    ends = shape[-1:] == (decoder.latent_dim,)
    checks.require(fits, f"{wanted}, got {shape}. {remedy if ends else other}")
    like = codes if weight is None else weight
    same = (codes.dtype, codes.device) == (like.dtype, like.device)
    kinds = f"{codes.dtype} on {codes.device}", f"{like.dtype} on {like.device}"
    remedy = f"Convert it: `z.to('{like.device}', {like.dtype})`."
    checks.require(same, f"`z` is {kinds[0]} but the decoder is {kinds[1]}. {remedy}", TypeError)
    return codes


def weight_of(decoder: Any) -> Tensor | None:
    """Return one weight, which shows a decoder's dtype and device; None if it has no weights."""
    return next(decoder.parameters(), None) if isinstance(decoder, nn.Module) else None


def rows_of(x: Any, name: str = "x", *, like: Tensor | None = None) -> Any:
    """Convert data to a tensor of samples; return anything else unchanged, to be refused later.

    Args:
        x: a tensor, which is returned unchanged; an object that holds one as `x` (a `DataSet`,
            `Batches`); an array or frame of floats, whose masked or missing numbers become NaN; a
            `DataLoader` in a fixed order, from which the first part of each batch is taken.
        name: name of the argument, for errors.
        like: tensor whose dtype and device arrays are converted to; float32 by default. A
            UserWarning names the columns for which float32 has too few digits.

    Raises:
        TypeError: an array holds something else than floats; a loader shuffles, selects, repeats or
            drops samples, or its stream changes its order between passes; `Batches` have a context,
            which a tensor of samples does not hold.

    Example:
        >>> rows_of(np.array([[0.5, 1.0]]))
        tensor([[0.5000, 1.0000]])
    """
    if isinstance(x, (Tensor, TensorDataset)):
        return x if isinstance(x, Tensor) else x.tensors[0]
    held = _held(x)
    if held is not None:
        checks.require(
            getattr(x, "context", None) is None,
            f"`{name}` must be samples alone, got {type(x).__name__} with a context, which would "
            f"be left out. Pass both: `{name}.x, context={name}.context`.",
            TypeError,
        )
        return held
    if isinstance(x, DataLoader):
        return _of_loader(x, name, like)
    if isinstance(x, type) or not (hasattr(x, "to_numpy") or hasattr(x, "__array__")):
        return x
    array = _array(x, name)
    if array.dtype == bool:
        # a copy, because the array may be read-only or reversed; as data, bools are refused later
        return torch.from_numpy(array.copy())
    _floats(array, name, x)
    device, dtype = (None, torch.float32) if like is None else (like.device, like.dtype)
    if array.ndim > 0 and array.dtype.itemsize > 4 and dtype != torch.float64:
        _warn_of_lost_digits(x, array)
    # a copy, because arrays may be read-only, reversed, or of another machine's byte order
    return torch.from_numpy(array.astype(np.float64)).to(device, dtype)


def _warn_of_lost_digits(x: Any, array: np.ndarray) -> None:
    """Warn the caller of a verb, of columns of an array or frame; a single sample shows none."""
    if len(array) < 2:
        return
    probe = array[spread_rows(len(array))]
    probe = probe.reshape(len(probe), -1)
    lost = np.flatnonzero(loses_digits(probe, ~np.isnan(probe)))
    names = features_of(x)
    warn_of_lost_digits([str(i) if names is None else names[i] for i in lost], stacklevel=7)


def features_of(x: Any) -> tuple[str, ...] | None:
    """Return the names of the features of a table in memory; None if it has none.

    `Batches` of a table have those of the table.
    """
    names = getattr(x, "columns" if _held(x) is None else "features", None)
    return None if names is None else tuple(map(str, names))


def known_image_shape(x: Any) -> tuple[int, ...] | None:
    """Return the shape of the images that a `DataSet` or `Batches` hold; None where unknown."""
    # a frame may have a column of this name
    return None if _held(x) is None else getattr(x, "image_shape", None)


def _held(x: Any) -> Tensor | None:
    """Return the samples of an object that holds them as `x`, such as a `DataSet` or `Batches`."""
    held = None if isinstance(x, Tensor) else getattr(x, "x", None)
    return held if isinstance(held, Tensor) else None


def known_features(decoder: Any) -> tuple[str, ...] | None:
    """Return the names of the features that a decoder was trained on, as `gfe.load` stores them.

    The result is None unless `feature_names` has one name for each feature of a sample. A decoder
    that holds another one, such as `wrap` makes, has its names if their samples have one shape.
    """
    shape = tuple(decoder.data_shape)
    names = getattr(decoder, "feature_names", None)
    if isinstance(names, (list, tuple)) and len(names) == math.prod(shape):
        return tuple(map(str, names))
    held = (getattr(decoder, name, None) for name in _INNER)
    inner = next((one for one in held if hasattr(one, "data_shape")), None)
    same = inner is not None and tuple(inner.data_shape) == shape
    return known_features(inner) if same else None


def start_like(decoder: Any, z: Any, like: Tensor, name: str) -> Any:
    """Return codes in an array or a frame as a tensor of the kind of the data.

    Args:
        decoder: decoder of the codes.
        z: codes that go with the data, such as a start; tensors and None are returned unchanged.
        like: data, which give dtype and device.
        name: name of the codes, for errors.
    """
    checks.code_order(name, features_of(z), decoder.latent_dim)
    return z if z is None or isinstance(z, Tensor) else rows_of(z, name, like=like)


def table_of_codes(z: Any, name: str = "z") -> Tensor:
    """Return codes (n, latent) as a tensor; arrays and frames keep their digits (`own_floats`).

    Raises:
        TypeError, ValueError: z holds no table of floats, or columns that the kit names otherwise
            than as the latents of a code in their order.
    """
    checks.code_order(name, features_of(z))
    return checks.codes(own_floats(z, name), name)


def context_for(context: Any, x: Tensor, given: Any = None, name: str = "x") -> Any:
    """Return the context of samples as tensors, after a check of its rows.

    Floats in an array or a frame get the dtype and the device of the data. Whole numbers and truth
    values keep their kind.

    Args:
        context: tensor, array or frame with one row for each sample, a dict of these by name, or
            None.
        x: the data, or the codes, as a tensor.
        given: the data as they were given, with whose rows those of a frame are compared.
        name: name of the data, for errors.

    Raises:
        TypeError: the context holds anything but numbers.
        ValueError: the number or the order of the rows is not that of the data.
    """
    if isinstance(context, Mapping):
        tensors: Any = {
            key: _one_context(f"context[{key!r}]", part, x, given, name)
            for key, part in context.items()
        }
    else:
        tensors = _one_context("context", context, x, given, name)
    check_context(tensors, x)
    return tensors


def _one_context(called: str, context: Any, x: Tensor, given: Any, name: str) -> Any:
    """Return one array or frame of a context as a tensor; anything else unchanged."""
    arrays = hasattr(context, "to_numpy") or hasattr(context, "__array__")
    if isinstance(context, (Tensor, type)) or not arrays:
        return context
    in_same_order(called, context, name, given, axes=("rows",))
    array = _array(context, called)
    kinds = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}
    if array.dtype.kind not in kinds:
        remedy = _into_numbers(array, called, context)
        raise TypeError(f"`{called}` must hold numbers, got {_form_of(context, array)}. {remedy}")
    # a copy, because arrays may be read-only or reversed
    rows = torch.from_numpy(np.array(array, kinds[array.dtype.kind]))
    return rows.to(x.device, x.dtype if rows.is_floating_point() else rows.dtype)


def mask_for(x: Any, like: Tensor, mask: Any, name: str = "x") -> Any:
    """Return the mask of the data as a tensor; a tensor is returned unchanged.

    Args:
        x: the data as they were given.
        like: the data as a tensor.
        mask: array or frame of truth values, True where x is observed, or None. The rows and
            columns of a frame must be in the order of x.
        name: name of the data, for errors.

    Raises:
        TypeError: an array holds anything but truth values.
        ValueError: some truth values are masked or missing, or the rows or columns of two frames
            have the same names in another order.
    """
    in_same_order("mask", mask, name, x)
    if isinstance(mask, Tensor) or not (hasattr(mask, "to_numpy") or hasattr(mask, "__array__")):
        return mask
    array = mask.to_numpy() if hasattr(mask, "to_numpy") else np.ma.asanyarray(mask)
    kinds = kinds_of(mask if hasattr(mask, "columns") else array)
    checks.require(
        kinds <= {"bool", "boolean"},
        f"`mask` must hold truth values, True where `{name}` is observed, got "
        f"{', '.join(sorted(kinds))}. Convert it: `mask.astype(bool)`.",
        TypeError,
    )
    unknown = mask.isna().to_numpy() if hasattr(mask, "isna") else np.ma.getmaskarray(array)
    n_unknown = int(unknown.sum())
    remedy = "fillna" if hasattr(mask, "isna") else "filled"
    checks.require(
        not n_unknown,
        f"`mask` must say of every value whether it is observed, but {n_unknown} of its entries "
        f"are themselves masked or missing. Fill them in: `mask.{remedy}(False)`.",
    )
    # a copy, because arrays may be read-only or reversed
    return torch.from_numpy(np.array(array, bool)).to(like.device)


def in_same_order(
    name: str,
    beside: Any,
    data_name: str,
    data: Any,
    axes: tuple[str, ...] = ("columns", "rows"),
) -> None:
    """Refuse a frame whose rows or columns have the names of the data in another order.

    A frame that has only some of these names, and others besides, is refused too. Names that the
    data do not have at all, such as the count of a frame without names, say nothing of the order.
    """
    for what in axes:
        names_of = {"columns": features_of, "rows": _labels}[what]
        ours, theirs = names_of(beside), names_of(data)
        if ours is None or theirs is None or ours == theirs or {*ours}.isdisjoint(theirs):
            continue
        if len(ours) != len(theirs):
            continue  # refused by its shape
        axis = "index" if what == "rows" else "columns"
        held = {"rows": "names", "columns": "features"}[what]
        there = f"{data_name}.{axis if _held(data) is None else held}"
        if {*ours} != {*theirs}:
            other = next(one for one in ours if one not in theirs)
            raise ValueError(
                f"`{name}` has other {what} than `{data_name}`, such as {other!r}. Give it those "
                f"of `{data_name}`; where they are the same {what} under other names, write "
                f"`{name}.set_axis({there}, axis={axis!r})`."
            )
        remedy = f"Give both one order: `{name}.loc[{there}]`."
        if what == "columns":
            remedy = f"Give both one order: `{name}[[*{there}]]`."
        raise ValueError(f"`{name}` has the {what} of `{data_name}` in another order. {remedy}")


def _labels(x: Any) -> tuple[str, ...] | None:
    """Return the names of the samples; None if they have none."""
    framed = x.index if hasattr(x, "iloc") else None
    names = x.names if isinstance(x, DataSet) else framed
    return None if names is None else tuple(map(str, names))


def own_floats(x: Any, name: str = "x") -> Any:
    """Return what `rows_of` does, but arrays and frames of more digits than float32 in float64."""
    wide = not kinds_of(x) <= {"float16", "float32", "none"}
    return rows_of(x, name, like=torch.empty(0, dtype=torch.float64) if wide else None)


def kinds_of(x: Any) -> set[str]:
    """Return the names of the types of an array or of the columns of a frame, such as "float64"."""
    kinds = getattr(x, "dtypes", ()) if hasattr(x, "columns") else [getattr(x, "dtype", None)]
    # torch's have no name
    return {str(getattr(kind, "name", kind)).lower().removeprefix("torch.") for kind in kinds}


def of_batch(batch: Any, name: str, like: Tensor | None) -> Any:
    """Return the samples in a loader's batch: the batch itself, or its first part beside labels.

    A TypeError refuses anything but a tensor.
    """
    x = batch[0] if isinstance(batch, (list, tuple)) and len(batch) else batch
    rows = rows_of(x, name, like=like)
    if not isinstance(rows, Tensor):
        keys = f" of {', '.join(map(repr, [*x][:5]))}" if isinstance(x, Mapping) else ""
        raise TypeError(
            f"`{name}` is a DataLoader, which must yield batches of tensors, alone or first "
            f"beside labels, got a {type(x).__name__}{keys}. Pick the samples in the `collate_fn` "
            "of the loader, or collect them in one tensor and pass that."
        )
    checks.require(
        rows.is_floating_point(),
        f"`{name}` is a DataLoader, which must yield samples of floats, got {rows.dtype}. Convert "
        f"its data set, such as `TensorDataset(x.float())` (grey values: `x / 255`).",
        TypeError,
    )
    return rows if like is None else rows.to(like.device, like.dtype)


def _of_loader(loader: DataLoader[Any], name: str, like: Tensor | None) -> Tensor:
    _rows_as_in_the_data_set(loader, name)
    tensors = [of_batch(batch, name, like) for batch in loader]
    wanted = f"`{name}` is a DataLoader, which must yield at least one batch, got none"
    checks.require(bool(tensors), f"{wanted}. Give it samples.", TypeError)
    if isinstance(loader.dataset, IterableDataset):
        again = next((of_batch(batch, name, like) for batch in loader), tensors[0])
        checks.require(
            torch.equal(tensors[0].nan_to_num(), again.nan_to_num()),
            f"`{name}` is a DataLoader of a stream that changes its order between passes: its "
            "samples have no fixed rows. Keep those of one pass, "
            f"`{name} = torch.cat(list(loader))`, and pass them.",
            TypeError,
        )
    return torch.cat(tensors)


def _rows_as_in_the_data_set(loader: DataLoader[Any], name: str) -> None:
    """Refuse a loader that does not yield all samples of its data set in their order.

    The indices themselves are compared: a sampler may be derived from an ordered one, and say
    nothing of its own order.
    """
    batches: Any = loader.batch_sampler
    streams = isinstance(loader.dataset, IterableDataset)  # a second pass checks their order
    n = 0 if streams else getattr(loader.dataset, "__len__", int)()
    order = [] if streams else [*islice(_indices(loader), n + 1)]  # a sampler may be endless
    drops = bool(getattr(batches, "drop_last", False))
    in_order = order == [*range(len(order))]
    own = batches if type(batches) not in (BatchSampler, type(None)) else loader.sampler
    checks.require(
        in_order and (len(order) == n or (drops and len(order) < n)),
        f"`{name}` is a DataLoader that shuffles, selects or repeats ({type(own).__name__}): its "
        "samples have no fixed rows. Build it with `shuffle=False` and without a sampler of your "
        "own, so that results can be matched with samples.",
        TypeError,
    )
    checks.require(
        not drops or (len(order) == n and not streams),
        f"`{name}` is a DataLoader that drops its last samples. Build it with `drop_last=False`, "
        "so that each sample has a result.",
        TypeError,
    )


def _indices(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield the indices at which a loader reads its data set, without reading it."""
    batches = loader.batch_sampler
    for asked in loader.sampler if batches is None else batches:
        several = (
            batches is not None or isinstance(asked, (list, tuple)) or getattr(asked, "ndim", 0) > 0
        )
        yield from asked if several else [asked]


def _array(x: Any, name: str) -> np.ndarray:
    """Return the numbers of an array or frame; masked and missing ones are NaN.

    An array or a series may hold anything else, which the caller refuses by its dtype.
    """
    framed = hasattr(x, "to_numpy")
    array = x.to_numpy() if framed else np.ma.asanyarray(x)
    if hasattr(x, "columns"):
        _refuse_columns(x, array, name)
    objects = framed and array.dtype == object
    if objects and (hasattr(x, "columns") or all(map(_is_number, array.flat))):
        try:
            array = x.to_numpy(dtype=float, na_value=np.nan)  # pandas' own missing values
        except TypeError:  # frames of other libraries know no `na_value`
            array = array.astype(float)
    if isinstance(array, np.ma.MaskedArray) and array.dtype.kind == "f":
        return array.filled(np.nan)
    return np.asarray(array)


def _refuse_columns(frame: Any, array: np.ndarray, name: str) -> None:
    """Refuse a frame some of whose columns hold dates, durations, complex numbers or texts."""
    own = getattr(frame, "dtypes", [array.dtype] * len(frame.columns))
    kinds = [_kind_of(dtype, array.dtype.kind) for dtype in own]
    found = [
        str(column)
        for i, (column, kind) in enumerate(zip(frame.columns, kinds, strict=True))
        if not (kind in "biuf" or (kind == "O" and all(map(_is_number, array[:, i]))))
    ]
    # to pandas, these two are numbers
    others = ", exclude=['timedelta', 'complex']" if {*kinds} & {*"mc"} else ""
    checks.require(
        not found,
        f"`{name}` must hold floats in every column, but its columns {', '.join(found[:5])} are "
        f"not. Keep the columns of numbers: `{name}.select_dtypes('number'{others})`.",
        TypeError,
    )


def _kind_of(dtype: Any, other: str) -> str:
    """Return the kind of a column by its dtype; frames of other libraries know dates alone."""
    is_temporal = getattr(dtype, "is_temporal", bool)
    return "M" if callable(is_temporal) and is_temporal() else getattr(dtype, "kind", other)


def _is_number(value: Any) -> bool:
    """Whether a value in an array of objects is a number, a text of one, or missing."""
    if isinstance(value, (*_DATES, *_DURATIONS, *_COMPLEX)):
        return False
    if value is None or type(value).__name__ == "NAType":
        return True
    with suppress(TypeError, ValueError):
        float(value)
        return True
    return False


def _floats(array: np.ndarray, name: str, given: Any) -> None:
    """Refuse arrays of anything but floats, and give the remedy for their dtype."""
    if array.dtype.kind == "f":
        return
    scaled = f"`{name}.astype('float32') / 255` for grey values"
    cast = f"`{name}.astype('float32')`"
    remedies = {
        "u": f"Convert it: {scaled}, {cast} for others.",
        "i": f"Convert it: {cast} ({scaled}).",
    }
    remedy = remedies.get(array.dtype.kind) or _into_numbers(
        array, name, given, ".astype('float32')"
    )
    raise TypeError(f"`{name}` must have a float dtype, got {_form_of(given, array)}. {remedy}")


def _form_of(x: Any, array: np.ndarray) -> str:
    """Describe an array, a series or a frame by its dtype."""
    if not hasattr(x, "to_numpy"):
        return f"an array of {array.dtype}"
    series = not hasattr(x, "columns")
    return (
        f"a series of {getattr(x, 'dtype', array.dtype)}" if series else f"a frame of {array.dtype}"
    )


def _into_numbers(array: np.ndarray, name: str, given: Any, cast: str = "") -> str:
    """Say how the values of an array or a series become numbers.

    It reads every value, so it is called only for an array that is refused.

    Args:
        array: values, not floats.
        name: name of the argument.
        given: the array or series as it was passed.
        cast: line that turns whole numbers into the type that is needed.
    """
    kind = getattr(getattr(given, "dtype", array.dtype), "kind", "O")
    first = next((value for value in array.flat if value is not None), None)
    day = "numpy.timedelta64(1, 'D')"
    if kind == "m" or isinstance(first, _DURATIONS):
        times = name if kind == "m" else f"pandas.to_timedelta({name})"
        return f"Convert it to a number of days, or of other units: `{times} / {day}`."
    if kind == "M" or isinstance(first, _DATES):
        dates = f"Convert it first: `pandas.to_datetime({name})`. Then pass"
        start = "Pass" if kind == "M" else dates
        return f"{start} the time that has passed, such as days: `({name} - {name}.min()) / {day}`."
    if isinstance(first, _COMPLEX):
        return (
            f"Pass real numbers: `numpy.real({name})` and `numpy.imag({name})`, or `abs({name})`."
        )
    if all(map(_is_number, array.flat)):
        return f"Convert it: `{name}.astype('float32')`."
    if array.ndim != 1:
        return "Pass numbers."
    codes = f"numpy.unique({name}, return_inverse=True)[1]"
    if hasattr(given, "to_numpy"):
        codes = f"{name}.astype('category').cat.codes"
    return f"Labels become numbers by `{codes}{cast}`."
