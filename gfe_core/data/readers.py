"""Your own data: a CSV file, an .npy array or a folder of images, read into a `DataSet`.

`data.load` comes here when it is given a path. Nothing is guessed: what does not fit is refused,
with its place.

Shapes: `n` samples, `features` numbers each; `height` and `width` of images.
"""

import csv
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gfe_core import checks
from gfe_core.data.dataset import DataError, DataSet

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_WHITE = {"1": 1.0, "L": 255.0, "I;16": 65535.0, "I;16B": 65535.0}
"""The grey modes of Pillow, each with its largest value."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan", re.IGNORECASE)


def read(path: Path, split: str = "train", *, label: str | None = None) -> DataSet:
    r"""Read your own data, in one of three forms; values that are NaN are missing.

    - A CSV file: one sample a line; commas, semicolons or tabs between numbers, which are taken as
      they are; an empty field is missing. The first line is a header if it holds `label` or no
      number; without one, columns are named "column 1", "column 2" and so on.
    - An .npy array of shape (n, features), (n, height, width) or (n, height, width, 1). uint8 is
      divided by 255; every other type of number is taken as it is.
    - A folder of grey images of one size, in order of their names, divided by white (255, or 65,535
      for 16 bits). If they lie in sub-folders, each sub-folder is a class.

    A fifth of the samples is "test", the rest "train", in the order of one fixed permutation of
    their number.

    Args:
        path: of the file (.csv or .npy) or folder; ~ is your home.
        split: "train" or "test".
        label: the column of a CSV file that is y and not x. Whole numbers are classes as they are,
            other numbers a parameter; words are classes in sorted order.

    Returns:
        The samples of this split; y is the class, 0 throughout where none is known.

    Raises:
        ValueError: path is of no such kind, or label is no column of it.
        DataError: the data are missing, damaged, constant, infinite (in float32 too), too few
            (below 2) or unfit.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "stones.csv")
        >>> _ = file.write_text("kind,mass,length\ngranite,1.5,2\nbasalt,,3\n")
        >>> stones = read(file, "test", label="kind")
        >>> stones.x, stones.y
        (tensor([[1.5000, 2.0000]]), tensor([1]))
    """
    path = path.expanduser()
    _require(
        path.exists(),
        path,
        f"it does not exist (the current folder is {Path.cwd()}). Correct the path",
    )
    kind = "folder" if path.is_dir() else path.suffix.lower()
    checks.require(
        kind in _READERS, f"`name` must be a .csv or .npy file or a folder of images, got {path}."
    )
    fits = label is None or kind == ".csv"
    checks.require(
        fits, f"`label` is the column of a CSV file, got {label!r} for {path}. Leave it out."
    )
    return _READERS[kind](path, split, label)


def _data_set(path: Path, split: str, values: np.ndarray, y: Tensor) -> DataSet:
    """Turn the values of one split into a data set: (n, features) or (n, height, width)."""
    with np.errstate(over="ignore"):  # becomes infinite and is refused here
        x = torch.from_numpy(values.astype(np.float32, copy=False)).flatten(1)
    _require(
        not x.isinf().any(),
        path,
        "it holds values that are infinite in float32. Rescale them, or write nan",
    )
    known = x[~x.isnan()]
    varies = split == "test" or (len(known) > 0 and bool(known.min() < known.max()))
    _require(varies, path, "its values are all the same, or all missing. Check how it was written")
    return DataSet(x, y, values.shape[1:] if values.ndim == 3 else None, str(path), split)


def _rows(path: Path, n: int, split: str) -> list[int]:
    """Row numbers of a split: a fixed permutation, its first fifth (at least one) for the test."""
    _require(n >= 2, path, f"it holds {n} samples. Give at least 2, of which one is for the test")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).tolist()
    n_test = max(1, n // 5)
    return order[:n_test] if split == "test" else order[n_test:]


def _table(path: Path, split: str, label: str | None) -> DataSet:
    names = _columns(path, label)
    column = None if label is None else names.index(label)
    features = [name for i, name in enumerate(names) if i != column]
    _require(
        len(features) > 0,
        path,
        "it has no column of numbers beside the label. Give one for each feature",
    )
    labels = []
    values = array("f")
    for number, line in _lines(path):
        if line == names:
            continue  # the header
        _require(
            len(line) == len(names),
            path,
            f"line {number} has {len(line)} fields, not {len(names)}. Mend it",
        )
        labels.append("0" if column is None else line.pop(column))
        _require(
            labels[-1] != "",
            path,
            f"line {number} has no {label!r}. Fill it in, or remove the line",
        )
        for name, field in zip(features, line, strict=True):
            try:
                values.append(float(field or "nan"))
            except ValueError:
                remedy = "Leave it empty if it is missing; a column of classes is named by `label=`"
                raise _unfit(
                    path, f"line {number}, {name!r}: {field!r} is no number. {remedy}"
                ) from None
    rows = _rows(path, len(labels), split)
    table = np.array(values, np.float32).reshape(-1, len(features))
    return _data_set(path, split, table[rows], _classes(labels)[rows])


def _columns(path: Path, label: str | None) -> list[str]:
    """Names of the columns: the first line if it is a header, else "column 1" and so on."""
    _, names = next(_lines(path), (0, []))
    if label not in names and any(map(_NUMBER.fullmatch, names)):
        names = [f"column {i + 1}" for i in range(len(names))]
    _require(
        len(names) > 0 and all(names),
        path,
        "its header must name every column, one at least. Mend line 1",
    )
    known = ", ".join(names[:12])
    checks.require(
        label in (None, *names),
        f"`label` must be a column of {path}, such as {known}; got {label!r}.",
    )
    return names


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Go through the lines that are not empty, each with its number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            lines = csv.reader(file, delimiter=delimiter)
            yield from (
                (lines.line_num, [field.strip() for field in line]) for line in lines if line
            )
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unfit(
            path, f"it is no table in UTF-8 text ({error}). Save it again as CSV (UTF-8)"
        ) from error


def _classes(labels: list[str]) -> Tensor:
    """Whole numbers as they are, other numbers as a parameter, words by their sorted place."""
    try:
        numbers = torch.tensor([float(label) for label in labels], dtype=torch.float64)
    except ValueError:
        return torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    return numbers.long() if (numbers % 1 == 0).all() else numbers.float()


def _array(path: Path, split: str, _: str | None) -> DataSet:
    try:
        values = np.lib.format.open_memmap(
            path, mode="r"
        )  # reads what is asked for; never runs a pickle
    except (ValueError, OSError) as error:
        raise _unfit(
            path, f"it is no whole array of numbers ({error}). Write it with `numpy.save`"
        ) from error
    _require(
        values.dtype.kind in "biuf",
        path,
        f"its type is {values.dtype}. Convert it: `values.astype('float32')`",
    )
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    wanted = "Reshape it to (n, features), or (n, height, width) for grey images"
    _require(
        values.ndim in (2, 3) and values.size > 0, path, f"its shape is {values.shape}. {wanted}"
    )
    rows = _rows(path, len(values), split)
    chosen = values[rows] / np.float32(255 if values.dtype == np.uint8 else 1)
    return _data_set(path, split, chosen, torch.zeros(len(rows), dtype=torch.long))


def _folder(path: Path, split: str, _: str | None) -> DataSet:
    found = [
        file
        for pattern in ("*", "*/*")
        for file in path.glob(pattern)
        if file.suffix.lower() in _IMAGES
    ]
    files = sorted(
        file for file in found if not any(part[0] == "." for part in file.relative_to(path).parts)
    )
    folders = sorted({file.parent for file in files})
    wanted = (
        f"it must hold images ({', '.join(_IMAGES)}), or sub-folders of images: not both, "
        "not neither"
    )
    _require(folders == [path] or (len(folders) > 0 and path not in folders), path, wanted)
    rows = _rows(path, len(files), split)
    shape = _grey(files[0]).shape
    values = np.empty((len(rows), *shape), np.float32)
    for i, file in enumerate(files[row] for row in rows):
        pixels = _grey(file)
        sizes = "{1} x {0} pixels, that of {2} {4} x {3}".format(
            *pixels.shape, files[0].name, *shape
        )
        _require(pixels.shape == shape, file, f"its size is {sizes}. Bring all to one size")
        values[i] = pixels
    return _data_set(
        path, split, values, torch.tensor([folders.index(files[row].parent) for row in rows])
    )


def _grey(file: Path) -> np.ndarray:
    """Read one grey image as fractions of white."""
    try:
        with Image.open(file) as image:
            mode = image.mode
            n_pages = getattr(image, "n_frames", 1)
            pixels = np.asarray(image)
    except Exception as error:  # each format fails in its own way
        raise _unfit(
            file, f"it is damaged or no image ({type(error).__name__}). Replace or remove it"
        ) from error
    remedy = 'Convert each image first: `Image.open(file).convert("L").save(file)`'
    _require(mode in _WHITE, file, f"it is not grey but of mode {mode!r}. {remedy}")
    _require(
        n_pages == 1,
        file,
        f"it holds {n_pages} pages. Save each as a file, or all as one .npy array",
    )
    return pixels / np.float32(_WHITE[mode])


_READERS: dict[str, Callable[[Path, str, str | None], DataSet]] = {
    ".csv": _table,
    ".npy": _array,
    "folder": _folder,
}


def _unfit(path: Path, reason: str) -> DataError:
    return DataError(f"{path} cannot be used: {reason}.")


def _require(fits: bool, path: Path, reason: str) -> None:
    if not fits:
        raise _unfit(path, reason)
