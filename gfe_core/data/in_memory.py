"""Data in memory, in the containers of other libraries: tensors, arrays, frames, torch's data sets.

`DataSet.of` calls this module. Every container becomes `Parts`; anything else is refused by name.

Shapes: `n` samples; `features` numbers in each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from gfe_core import checks
from gfe_core.data.frames import columns_of, is_frame
from gfe_core.data.pixels import Picture, has_colour, has_white, read_pixels
from gfe_core.data.values import UnfitError, classes_of, require, rows_of_array


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The fields of a `DataSet` of the same names, before it is made."""

    x: Float[Tensor, "n features"]
    y: Tensor | None = None
    image_shape: tuple[int, ...] | None = None
    rows: Int[Tensor, "n"] | None = None
    names: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None


def parts_of(
    x: Any,
    y: Any = None,
    channels: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> Parts:
    """Return samples and labels in memory as parts of a data set.

    Args:
        x: a tensor, an array, a frame, a list of pictures or a data set of torch.
        y: labels, one for each sample, or the name of a column of a frame.
        channels: position of the channels, "first" or "last", if the shape of an array is
            ambiguous.
        classes: names of the classes, in which labels in words are looked up.

    Raises:
        TypeError: x holds no samples.
        ValueError: the samples cannot be used, or the labels do not belong to them.
    """
    _is_data(x)
    if isinstance(y, str) and not is_frame(x):
        raise TypeError(
            f"`y` must be labels, one a sample, got {y!r}; it may name a column only if `x` is a "
            "frame."
        )
    try:
        parts = _parts(x, y if isinstance(y, str) else None, channels, classes)
    except UnfitError as error:
        raise ValueError(f"`x` cannot be used: {error}.") from error
    return parts if y is None or isinstance(y, str) else _labelled(parts, x, y, classes)


def _is_data(x: Any) -> None:
    """Refuse objects that hold no samples: names, loaders, streams, numbers."""
    remedy = "Pass rows of numbers: a tensor, an array, a frame."
    if isinstance(x, (str, Path)):
        remedy = f"Load it: `gfe.data.load({str(x)!r})`."
    if isinstance(x, DataLoader):
        remedy = "Pass what it loads from: `loader.dataset`."
    if isinstance(x, IterableDataset):
        remedy = "A stream has no fixed rows; pass `list(data)`."
    if hasattr(x, "image_shape") and hasattr(x, "take"):
        remedy = (
            "That is a data set already: `data[rows]` selects, `dataclasses.replace` changes it."
        )
    several = hasattr(x, "__len__") or hasattr(x, "__array__")
    fits = several and not isinstance(x, (str, Path, DataLoader, IterableDataset, dict, type))
    fits = fits and not hasattr(x, "image_shape")
    checks.require(fits, f"`x` must hold samples, got {checks.described(x)}. {remedy}", TypeError)


def _parts(x: Any, label: str | None, channels: str | None, known: tuple[str, ...] | None) -> Parts:
    if is_frame(x):
        require(len(x) > 0, "it holds 0 samples. Give at least 1")
        columns = columns_of(x, label, known=known)
        return Parts(
            x=columns.x,
            y=columns.y,
            features=columns.features,
            classes=columns.classes,
            names=columns.names,
        )
    if isinstance(x, TensorDataset):
        samples, *labels = x.tensors
        y = classes_of(as_array(labels[0]), known)[0] if labels else None
        return replace(_of_array(samples, channels), y=y)
    if isinstance(x, Dataset) or _is_list_of_items(x):
        return _of_items(x, channels, known)
    return _of_array(x, channels)


def _is_list_of_items(x: Any) -> bool:
    """Whether this is a list of samples, each an object of its own, rather than numbers."""
    first = next(iter(x), None) if isinstance(x, (list, tuple)) else None
    return isinstance(first, (Image.Image, Tensor, np.ndarray, tuple))


def _of_array(x: Any, channels: str | None) -> Parts:
    rows, image_shape = rows_of_array(as_array(x), channels)
    return Parts(x=rows, image_shape=image_shape)


def as_array(x: Any) -> np.ndarray:
    """Return numbers as an array, a masked one if some are masked."""
    if isinstance(x, Tensor):
        return _of_tensor(x.detach().cpu())
    if hasattr(x, "toarray"):  # sparse matrices of scipy
        return np.asarray(x.toarray())
    if isinstance(x, np.ma.MaskedArray):
        return x if np.ma.is_masked(x) else x.data
    try:
        return np.asarray(x)
    except ValueError as error:
        raise UnfitError("its samples differ in shape. Bring all to one shape") from error


def _of_tensor(x: Tensor) -> np.ndarray:
    """Return a tensor as an array; float types that numpy does not have become float32."""
    known = (torch.float16, torch.float32, torch.float64)
    try:
        return (x.float() if x.is_floating_point() and x.dtype not in known else x).numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        kind = f"{x.dtype}, {str(x.layout).removeprefix('torch.')}"
        remedy = "Convert it: `x.float()`, or `x.to_dense()` if it is sparse"
        raise UnfitError(f"its type is {kind}. {remedy}") from error


def _of_items(items: Any, channels: str | None, known: tuple[str, ...] | None) -> Parts:
    """Return parts from single items, whose first part is the sample and second the label."""
    chosen, whole = _chosen(items)
    require(len(items) > 0, "it holds 0 samples. Give at least 1")
    pairs = [items[i] for i in range(len(items))]
    paired = isinstance(pairs[0], (tuple, list))
    held = [pair[0] for pair in pairs] if paired else pairs
    labels = [pair[1] for pair in pairs] if paired and len(pairs[0]) > 1 else None
    named = tuple(map(str, getattr(whole, "classes", None) or ())) or None
    y, classes = (None, None) if labels is None else _counted(labels, named, known)
    pictures = isinstance(held[0], Image.Image)
    rows, image_shape = rows_of_array(_stacked(held), "first" if pictures else channels)
    return Parts(
        x=rows,
        y=y,
        image_shape=image_shape,
        rows=chosen,
        names=_file_names(whole, chosen),
        classes=classes or None,
    )


def _counted(
    labels: Sequence[Any], named: tuple[str, ...] | None, known: tuple[str, ...] | None
) -> tuple[Tensor, tuple[str, ...] | None]:
    """Return labels of a data set of torch and the names of classes, in the order of known ones."""
    y, classes = classes_of([_plain(one) for one in labels], named if known is None else known)
    if classes or named is None:
        return y, classes
    if known is None or not {*named} <= {*known} or y.is_floating_point():
        return y, named
    return torch.tensor([known.index(name) for name in named])[y], known


def _chosen(items: Any) -> tuple[Tensor | None, Any]:
    """Return the rows that a subset has of its whole data set, or None, and the whole data set."""
    if not isinstance(items, Subset):
        return None, items
    inner, whole = _chosen(items.dataset)
    rows = torch.as_tensor(items.indices, dtype=torch.long)
    return (rows if inner is None else inner[rows]), whole


def _file_names(whole: Any, rows: Tensor | None) -> tuple[str, ...] | None:
    """Return the names of the files of a folder that torchvision reads, relative to the folder."""
    samples, root = getattr(whole, "samples", None), getattr(whole, "root", None)
    if not isinstance(samples, list) or not isinstance(root, (str, Path)):
        return None
    try:
        files = [Path(file).relative_to(root).as_posix() for file, *_ in samples]
    except (TypeError, ValueError):  # samples of another kind, or files outside the folder
        return None
    return tuple(files if rows is None else [files[row] for row in rows.tolist()])


def _plain(label: Any) -> Any:
    return label.tolist() if isinstance(label, (Tensor, np.ndarray)) else label


def _stacked(held: Sequence[Any]) -> np.ndarray:
    """Return samples as one array; pictures are in colour if one of them has colours."""
    if isinstance(held[0], Image.Image):
        white = [has_white(image) for image in held]
        other = next((i for i, one in enumerate(white) if one != white[0]), None)
        require(
            other is None,
            f"sample {other} and sample 0 are pictures of two scales: shares "
            "of white, and numbers of 32 bits that are taken as they are. Bring all to one mode",
        )
        form = Picture(colour=any(map(has_colour, held)))
        held = [read_pixels(image, form) for image in held]
    arrays = [as_array(one) for one in held]
    for i, array in enumerate(arrays):
        require(
            array.shape == arrays[0].shape,
            f"its samples differ: sample {i} has shape {array.shape}, sample 0 "
            f"{arrays[0].shape}. Bring all to one shape",
        )
    masked = any(map(np.ma.is_masked, arrays))
    return np.ma.stack(arrays) if masked else np.stack(arrays)


def _labelled(parts: Parts, x: Any, y: Any, known: tuple[str, ...] | None) -> Parts:
    """Add labels that were passed separately from the samples."""
    other: Any = getattr(y, "index", None)
    if is_frame(x) and hasattr(other, "equals"):
        checks.require(
            other.equals(x.index),
            "`y` must have the index of `x`, got another: labels would go to other samples. Pass "
            "`y.loc[x.index]`, or `y.to_numpy()` if they are in the same order.",
        )
    try:
        labels, classes = classes_of(as_array(y), known)
    except UnfitError as error:
        raise ValueError(f"`y` cannot be used: {error}.") from error
    return replace(parts, y=labels, classes=classes or None)


def as_names(name: str, value: Iterable[Any] | None) -> tuple[str, ...] | None:
    """Return names as strings; None stays None, and one string is refused."""
    if value is None:
        return None
    checks.sequence(name, value)
    return tuple(map(str, value))
