"""Arrays in files: numpy's .npy and .npz, HDF5, and MATLAB's .mat.

No code in a file is executed: pickled objects are refused.

Shapes: `n` samples along the first axis.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gfe_core import checks
from gfe_core.data.in_memory import Parts, as_array
from gfe_core.data.sources import Source, missing_library, require, unfit
from gfe_core.data.values import (
    CHANNELS,
    UnfitError,
    classes_of,
    image_shape_of,
    numbers,
    rows_of_array,
)

T = TypeVar("T")

ONE_TAKES = ("channels",)
"""Options that `load` takes for a file of one array."""
SEVERAL_TAKES = ("key", "channels")
"""Options that `load` takes for a file of named arrays."""


def open_npy(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the samples of an .npy file; only those asked for are read.

    Raises:
        DataError: the file is not a complete array of numbers.
        ValueError: label is given, or channels are neither first nor last.
    """
    checks.require(
        label is None,
        f"`label` is the column of a table or an array with a name, got {label!r} for {path}. "
        "Leave it out.",
    )
    try:
        values = np.lib.format.open_memmap(path, mode="r")  # never runs a pickle
    except Exception as error:  # damaged heads fail in too many ways to list
        raise unfit(
            path, f"it is not a complete array of numbers ({error}). Write it with `numpy.save`"
        ) from error
    return _source(path, values, None, _channels(options))


def open_npz(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the samples of one array of an .npz file.

    Raises:
        DataError: the file is not a complete archive of arrays of numbers.
        ValueError: several arrays could be meant.
    """
    remedy = "Write it with `numpy.savez`"
    names = _whole(path, remedy, lambda: _npz(path, None))
    chosen = _picked(path, list(names), label, options)
    return _several(path, _whole(path, remedy, lambda: _npz(path, chosen)), chosen, options)


def _npz(path: Path, chosen: tuple[str, str | None] | None) -> dict[str, Any]:
    """Return the arrays with the chosen names or, without a choice, all names with None."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        if chosen is None:
            return dict.fromkeys(arrays.files)
        return {name: arrays[name] for name in chosen if name is not None}


def open_hdf5(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the samples of one array of an HDF5 file.

    Raises:
        DataError: the file is damaged, or h5py is not installed.
        ValueError: several arrays could be meant.
    """
    return _hdf5(path, label, options, lambda values: values)


def open_mat(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the samples of one array of a .mat file, in MATLAB's order of axes.

    Raises:
        DataError: the file is damaged, or the package that reads it is not installed.
        ValueError: several arrays could be meant.
    """
    try:
        import scipy.io  # here, because only these files need it
    except ImportError as error:
        raise missing_library(path, "scipy", "save it as .npy") from error
    if _is_hdf5(path):  # version 7.3, whose axes are in reverse order
        return _hdf5(path, label, options, np.transpose)
    # MATLAB packs whole numbers into fewer bits, whatever their class; mat_dtype restores the class
    content = _whole(path, "Copy it again", lambda: scipy.io.loadmat(path, mat_dtype=True))
    arrays = {name: _unpadded(value) for name, value in content.items() if name[:2] != "__"}
    return _several(path, arrays, _picked(path, list(arrays), label, options), options)


def _unpadded(values: Any) -> Any:
    """Return strings without the blanks that MATLAB adds to make their lengths equal."""
    return (
        np.char.rstrip(values) if getattr(values, "dtype", np.dtype(bool)).kind == "U" else values
    )


def _is_hdf5(path: Path) -> bool:
    """Whether a .mat file is HDF5, at its start or after the 512 bytes that MATLAB puts first."""
    with path.open("rb") as file:
        start = file.read(520)
    return b"\x89HDF\r\n\x1a\n" in (start[:8], start[512:])


def _hdf5(
    path: Path,
    label: str | None,
    options: Mapping[str, Any],
    turned: Callable[[np.ndarray], np.ndarray],
) -> Source:
    try:
        import h5py  # here, because only these files need it
    except ImportError as error:
        raise missing_library(path, "h5py", "save it as .npy") from error
    names = _whole(path, "Copy it again", lambda: _hdf5_names(h5py, path))
    x, y = chosen = _picked(path, names, label, options)

    def read() -> dict[str, np.ndarray]:
        with h5py.File(path, "r") as file:
            return {name: turned(_read(h5py, file[name])) for name in (x, y) if name is not None}

    return _several(path, _whole(path, "Copy it again", read), chosen, options)


def _hdf5_names(h5py: Any, path: Path) -> list[str]:
    """Return the names of all arrays, including those in groups."""
    names: list[str] = []
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return names


def _read(h5py: Any, dataset: Any) -> np.ndarray:
    """Return an array of HDF5; encoded strings become strings."""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr()[()])
    if dataset.dtype.kind == "O":
        raise TypeError(f"{dataset.name} holds references")
    return _of_class(np.asarray(dataset[()]), dataset.attrs.get("MATLAB_class"))


def _of_class(values: np.ndarray, name: Any) -> np.ndarray:
    """Return an array in its MATLAB class, whatever its stored dtype; char codes become strings."""
    name = name.decode() if isinstance(name, bytes) else name
    if name == "char":  # each string is a column of codes
        return _unpadded(np.array(["".join(map(chr, one)) for one in np.atleast_2d(values.T)]))
    types = {"logical": np.bool_, "double": np.float64, "single": np.float32}
    return values.astype(types[name]) if name in types else values


def _whole(path: Path, remedy: str, read: Callable[[], T]) -> T:
    """Call a reader; if it fails, raise an error that names the file."""
    try:
        return read()
    except Exception as error:  # damaged bytes fail in too many ways to list
        text = " ".join(str(error).split())
        reason = f"it is not a complete file of arrays of numbers ({type(error).__name__}: {text})"
        raise unfit(path, f"{reason}. {remedy}") from error


def _channels(options: Mapping[str, Any]) -> str | None:
    channels = options.get("channels")
    if channels is not None:
        checks.one_of("channels", channels, CHANNELS)
    return channels


def _picked(
    path: Path, names: Sequence[str], label: str | None, options: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Return the names of x and y.

    x is the array named by `key`, the one named "x" or "X", or the only one besides y. y is the
    array named by `label`, or "y" or "Y" beside "x" or "X".
    """
    key = options.get("key")
    require(len(names) > 0, path, "it holds no array. Check how it was written")
    known = ", ".join(map(repr, names[:12]))
    for argument, value in (("key", key), ("label", label)):
        checks.require(
            value is None or value in names,
            f"`{argument}` must be an array of {path}, such as {known}; got {value!r}.",
        )
    others = [name for name in names if name != label]
    called_x = [name for name in others if name in ("x", "X")]
    if key is None and len(called_x) == 1:
        beside = [name for name in names if name in ("y", "Y")]
        return called_x[0], beside[0] if label is None and len(beside) == 1 else label
    if key is None and len(others) == 1:
        return others[0], label
    checks.require(
        key is not None,
        f"`key` must say which array of {path} holds the samples, and `label` which holds their "
        f"classes if one does: {known}.",
    )
    return str(key), label


def _several(
    path: Path,
    arrays: Mapping[str, Any],
    chosen: tuple[str, str | None],
    options: Mapping[str, Any],
) -> Source:
    """Return the source of an array and its labels, both of which are in memory."""
    x, y = chosen
    labels = None if y is None else (y, as_array(arrays[y]))
    return _source(path, as_array(arrays[x]), labels, _channels(options))


def _source(
    path: Path, values: np.ndarray, labels: tuple[str, np.ndarray] | None, channels: str | None
) -> Source:
    """Check the layout of an array, and return the source that reads its rows."""
    try:
        numbers(values.dtype)
        image_shape_of(values.shape, channels)
        y, classes = (None, ()) if labels is None else classes_of(_each(path, labels, values))
    except UnfitError as error:
        raise unfit(path, error) from error

    def read(rows: Sequence[int]) -> Parts:
        keep = list(rows)
        whole = keep == list(range(len(values)))
        try:
            x, image_shape = rows_of_array(np.asarray(values if whole else values[keep]), channels)
        except UnfitError as error:
            raise unfit(path, error) from error
        return Parts(
            x=x,
            y=None if y is None else y[keep],
            image_shape=image_shape,
            classes=classes or None,
        )

    return Source(n=len(values), read=read)


def _each(path: Path, labels: tuple[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return one label for each sample; MATLAB writes labels as a row or a column."""
    name, arrays = labels
    if arrays.dtype == object:  # MATLAB's cells, each an array of one text
        cells = [cell.item() if getattr(cell, "size", 0) == 1 else cell for cell in arrays.flat]
        arrays = np.array(cells, object)
    arrays = arrays.reshape(-1) if arrays.ndim == 2 and 1 in arrays.shape else arrays
    shape = arrays.shape
    require(
        shape[:1] == values.shape[:1],
        path,
        f"its array {name!r} has shape {shape}, not one label for each of the "
        f"{len(values)} samples. Pass another `label=`, or none",
    )
    return arrays
