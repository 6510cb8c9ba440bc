"""Frames of pandas, in memory or from a file: columns of numbers, an index of names, a label.

Shapes: `n` rows of the frame are samples; its other columns are `features`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.data.values import (
    UnfitError,
    classes_of,
    finite,
    loses_digits,
    require,
    spread_rows,
    warn_of_lost_digits,
)


class Columns(NamedTuple):
    """The content of a frame: x and y with their names; no names if the index only counts."""

    x: Float[Tensor, "n features"]
    y: Tensor | None
    features: tuple[str, ...]
    classes: tuple[str, ...] | None
    names: tuple[str, ...] | None


def is_frame(x: Any) -> bool:
    """Whether this is a frame, with named columns and a `to_numpy` method."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def columns_of(
    frame: Any,
    label: Any = None,
    place: Callable[[int], str] | None = None,
    what: str = "`x`",
    plain: Callable[[str], str] = str.strip,
    known: Sequence[str] | None = None,
) -> Columns:
    """Return the columns of a frame as samples; missing values are NaN.

    A UserWarning names the columns for which float32 has too few digits.

    Args:
        frame: frame of pandas, or one that converts itself with `to_pandas`.
        label: name of the column that is y.
        place: function that names a row by its number, for errors; by default its index is named.
        what: name of the frame, for errors.
        plain: function that turns a number in the notation of the frame into one that Python reads.
        known: names of the classes, in which labels in words are looked up.

    Raises:
        ValueError: label is not a column, or several columns have that name.
        UnfitError: some value is not a number, or a label is missing.
    """
    frame = frame if hasattr(frame, "iloc") else frame.to_pandas()
    place = place or (lambda row: f"row {row} (index {frame.index[row]!r})")
    y, classes = None, None
    if label is not None:
        y, classes = _label(frame, label, place, what, known)
        frame = frame.drop(columns=[label])
    require(
        frame.shape[1] > 0,
        "it has no column besides the label. Give one for each feature",
    )
    index = frame.index
    counts = type(index).__name__ == "RangeIndex" and index.name is None
    counts = counts and index.equals(type(index)(len(index)))
    return Columns(
        x=_numbers(frame, place, plain),
        y=y,
        features=tuple(map(str, frame.columns)),
        classes=classes or None,
        names=None if counts else tuple(map(str, frame.index)),
    )


def _label(
    frame: Any,
    label: Any,
    place: Callable[[int], str],
    what: str,
    known: Sequence[str] | None,
) -> tuple[Tensor, tuple[str, ...]]:
    """Return classes or parameters from one column."""
    columns = ", ".join(map(str, frame.columns[:12]))
    n_named = int((frame.columns == label).sum())
    checks.require(
        n_named == 1,
        f"`label` must be a column of {what}, such as {columns}; got {label!r}"
        f"{f', the name of {n_named} columns' if n_named else ''}.",
    )
    column = frame[label]
    lost = column.isna().to_numpy()
    if lost.any():
        missing = f"{place(int(lost.argmax()))} has no {label!r}"
        raise UnfitError(f"{missing}. Fill it in, or remove the line")
    words = column.dtype.kind in "OUST"
    values = column.astype(str).str.strip().to_numpy(object) if words else column
    return classes_of(values, known)


def _numbers(
    frame: Any, place: Callable[[int], str], plain: Callable[[str], str]
) -> Float[Tensor, "n features"]:
    rows = spread_rows(len(frame))
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is refused below
        if all(isinstance(kind, np.dtype) and kind.kind in "biuf" for kind in frame.dtypes):
            x = frame.to_numpy(np.float32, copy=True)
            few = frame.iloc[rows].to_numpy(np.float64)
        else:
            x = np.empty(frame.shape, np.float32)
            few = np.empty(x[rows].shape)
            for i in range(frame.shape[1]):
                column = _column(frame.iloc[:, i], place, plain)
                x[:, i], few[:, i] = column, column[rows]
    lost = loses_digits(few, ~np.isnan(few))
    warn_of_lost_digits([str(name) for name in frame.columns[lost]])
    return finite(torch.from_numpy(x))


def _column(column: Any, place: Callable[[int], str], plain: Callable[[str], str]) -> np.ndarray:
    """Return one column as numbers; texts that are numbers are converted."""
    import pandas as pd  # here, because only frames need it

    named = str(column.name)
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    values = column.astype(object)
    given = column.notna().to_numpy()
    if column.dtype.kind in "Mmc":  # dates, durations and complex numbers
        numbers = np.full(len(column), np.nan)
    else:
        values = values.map(lambda one: plain(one) if isinstance(one, str) else one)
        converted: Any = pd.to_numeric(values, errors="coerce")
        numbers = converted.to_numpy(np.float64, na_value=np.nan)
        given = given & ~values.isin(["", "nan", "NaN"]).to_numpy()
    wrong = given & np.isnan(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        field = column.iloc[row]
        shown = str(field).strip()
        raise UnfitError(f"{place(row)}, {named!r}: {shown!r} is no number. {_remedy(shown)}")
    return numbers


def _remedy(field: str) -> str:
    """Return a remedy for a field that is not a number, by its notation."""
    digits = field.replace(",", "").replace(".", "").lstrip("+-")
    if "," in field and digits.isdigit():
        return (
            "Pass `decimal=','` for a comma before decimals, or `thousands=','` for one between "
            "thousands"
        )
    separator = next((char for char in ";\t|" if char in field), None)
    if separator is not None:
        return f"If {separator!r} separates columns, pass `sep={separator!r}`"
    return "Leave it empty if it is missing; a column of classes is named by `label=`"
