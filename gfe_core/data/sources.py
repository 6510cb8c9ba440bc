"""The source of samples at a path: their number, their own splits, and a function to read some.

A path is opened once, and only the samples of the wanted split are read.

Shapes: `n` samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gfe_core.data.dataset import DataError
from gfe_core.data.in_memory import Parts


@dataclass(frozen=True, kw_only=True)
class Source:
    """Samples that can be read.

    Args:
        n: number of samples.
        read: function that returns the parts of the samples in the given rows, in that order.
        splits: rows of each split, for data with splits of their own.
    """

    n: int
    read: Callable[[Sequence[int]], Parts]
    splits: Mapping[str, Sequence[int]] = field(default_factory=dict)


def unfit(path: Path, reason: Any) -> DataError:
    """Return the error for data that cannot be used: their path, the reason and a remedy."""
    return DataError(f"{path} cannot be used: {reason}.")


def require(fits: bool, path: Path, reason: str) -> None:
    """Raise a `DataError` unless the data at this path fit."""
    if not fits:
        raise unfit(path, reason)


def some_rows(parts: Parts, rows: Sequence[int]) -> Parts:
    """Return the given rows of parts that were read as a whole."""
    keep = list(rows)
    return Parts(
        x=parts.x[keep],
        y=None if parts.y is None else parts.y[keep],
        image_shape=parts.image_shape,
        names=None if parts.names is None else tuple(parts.names[row] for row in keep),
        classes=parts.classes,
        features=parts.features,
    )


def whole_source(parts: Parts) -> Source:
    """Return the source of samples that had to be read as a whole."""
    return Source(n=len(parts.x), read=lambda rows: some_rows(parts, rows))


def missing_library(path: Path, package: str, otherwise: str, extra: bool = False) -> DataError:
    """Return the error for a file whose reader is not installed.

    Args:
        path: path of the file.
        package: package that reads it.
        otherwise: remedy that does without the package.
        extra: whether the extra `data` installs the package.
    """
    what = '"gfe_core[data]"' if extra else package
    return unfit(
        path, f"reading it needs {package}. Install it, `pip install {what}`, or {otherwise}"
    )
