"""What a reader finds at a path: how many samples, their own splits, and how to read some.

A path is opened once; the samples of a split alone are read.

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
        read: returns the parts of the samples in some rows, in their order.
        splits: the rows of each split, where the data say so themselves.
    """

    n: int
    read: Callable[[Sequence[int]], Parts]
    splits: Mapping[str, Sequence[int]] = field(default_factory=dict)


def unfit(path: Path, reason: Any) -> DataError:
    """Return the error for what cannot be used: its place, the reason and a remedy."""
    return DataError(f"{path} cannot be used: {reason}.")


def require(fits: bool, path: Path, reason: str) -> None:
    """Raise a `DataError` unless what lies there fits."""
    if not fits:
        raise unfit(path, reason)


def some_rows(parts: Parts, rows: Sequence[int]) -> Parts:
    """Return some samples of parts that were read as a whole."""
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
        path: of the file.
        package: that reads it.
        otherwise: what else to do.
        extra: whether the extra `data` brings the package.
    """
    what = '"gfe_core[data]"' if extra else package
    return unfit(
        path, f"reading it needs {package}. Install it, `pip install {what}`, or {otherwise}"
    )
