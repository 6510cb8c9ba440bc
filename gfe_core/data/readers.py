"""Your own data: a table, an array or a folder of pictures, read into a `DataSet`.

`data.load` comes here when it is given a path. Nothing is guessed: what does not fit is refused
with its place, and what could be read in two ways is asked about. No file is ever written.

Shapes: `n` samples.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from gfe_core import checks
from gfe_core.data import arrays, images, tables
from gfe_core.data.dataset import DataSet
from gfe_core.data.sources import Source, require


class _Reader(NamedTuple):
    """What opens files of a kind, and the options that it takes."""

    open: Callable[[Path, str | None, Mapping[str, Any]], Source]
    takes: tuple[str, ...]


_FOLDER = "a folder of images"
_READERS: dict[str, _Reader] = {
    **dict.fromkeys(tables.TEXT, _Reader(tables.open_text, tables.TEXT_TAKES)),
    **dict.fromkeys((".xlsx",), _Reader(tables.open_excel, tables.EXCEL_TAKES)),
    **dict.fromkeys((".parquet", ".pq"), _Reader(tables.open_parquet, tables.PARQUET_TAKES)),
    ".npy": _Reader(arrays.open_npy, arrays.ONE_TAKES),
    ".npz": _Reader(arrays.open_npz, arrays.SEVERAL_TAKES),
    **dict.fromkeys((".h5", ".hdf5"), _Reader(arrays.open_hdf5, arrays.SEVERAL_TAKES)),
    ".mat": _Reader(arrays.open_mat, arrays.SEVERAL_TAKES),
    _FOLDER: _Reader(images.open_folder, images.TAKES),
}
_SPLITS = ("train", "test", "all", "val")


def read(path: Path, split: str = "train", *, label: str | None = None, **options: Any) -> DataSet:
    r"""Read your own data; values that are NaN are missing.

    - A table in text (.csv, .tsv, .txt; .gz may follow), one sample a line: commas, semicolons,
      tabs or blanks between numbers, which are taken as they are. An empty field is missing. Words
      in line 1 name the columns; a first field left empty means that column 1 names the samples. A
      line 1 of numbers that look like names is asked about: pass `header=0` or `header=None`.
      Takes what pandas' `read_csv` takes: sep, decimal, encoding, na_values, index_col and others.
    - A table in Parquet or Excel, with `columns=` or `sheet_name=`.
    - An .npy array of shape (n, features), (n, height, width), (n, height, width, 1 or 3) or
      (n, 1 or 3, height, width); where channels could be either, pass `channels="first"` or
      "last". uint8 is divided by 255, and uint16 by 65,535 in images; every other number is taken
      as it is.
    - An .npz, HDF5 or .mat file of such an array; where it holds several, `key=` names that of the
      samples and `label=` that of their classes. Arrays "x" and "y" need no naming.
    - A folder of pictures of one size, in order of their names: shares of white, or the values
      themselves where they are floats or whole numbers of 32 bits. Grey ones become (height,
      width); if any has colours, all become (3, height, width). Sub-folders are classes, or splits
      if they are called train, val and test, with classes in them or not. `size=(height, width)`
      brings pictures to one size while they are read, `colour=` asks for True or False,
      `background="white"` is what shows through transparent ones.

    Where data have no splits of their own, a fifth of the samples is "test", the rest "train", in
    the order of one fixed permutation of their number.

    Args:
        path: of the file or folder; ~ is your home.
        split: "train" or "test"; "all" for both, in the order of the source, or of train, val and
            test where those are folders; "val" where there is such a folder.
        label: the column of a table, or the array of a file of arrays, that is y and not x. Whole
            numbers are classes as they are, other numbers a parameter; words are classes in sorted
            order.
        options: as above.

    Returns:
        The samples of this split; y is the class, 0 throughout where none is known. `rows` counts
        the samples of the source from 0, whatever the split: lines of a table that hold none, such
        as its header, empty ones and remarks, do not count.

    Raises:
        TypeError: this kind of file takes no such option.
        ValueError: path is of no such kind, or an argument does not fit what it holds.
        DataError: the data are missing, damaged, constant, infinite (in float32 too), too few
            (below 2) or unfit.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "stones.csv")
        >>> _ = file.write_text("kind,mass,length\ngranite,1.5,2\nbasalt,,3\n")
        >>> stones = read(file, "test", label="kind")
        >>> stones.x, stones.y, stones.classes
        (tensor([[1.5000, 2.0000]]), tensor([1]), ('basalt', 'granite'))
        >>> stones.features, stones.rows
        (('mass', 'length'), tensor([0]))
    """
    checks.one_of("split", split, _SPLITS)
    path = path.expanduser()
    require(
        path.exists(),
        path,
        f"it does not exist (the current folder is {Path.cwd()}). Correct the path",
    )
    kind = _kind(path)
    reader = _READERS[kind]
    _known(kind, reader.takes, options)
    source = reader.open(path, label, options)
    rows = _rows(path, source, split)
    return _data_set(path, split, source, rows)


def _kind(path: Path) -> str:
    """The suffix that says how to read a file, or that it is a folder."""
    if path.is_dir():
        return _FOLDER
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = len(suffixes) > 1 and suffixes[-1] in tables.PACKED and suffixes[-2] in tables.TEXT
    kind = suffixes[-2] if packed else "".join(suffixes[-1:])
    known = ", ".join(_READERS)
    wanted = f"`name` must be a file of one of the kinds {known}"
    picture = kind in images.SUFFIXES
    remedy = " One picture is no set: pass its folder." if picture else _nearest(kind)
    checks.require(kind in _READERS, f"{wanted}, got {path}.{remedy}")
    return kind


def _nearest(kind: str) -> str:
    near = difflib.get_close_matches(kind, _READERS, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def _known(kind: str, takes: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Refuse options that this kind of file does not have."""
    every = ("split", "label", *takes)
    for name in options:
        near = difflib.get_close_matches(name, every, n=1, cutoff=0.6)
        line = f" Did you mean `{near[0]}`?" if near else ""
        what = kind if kind == _FOLDER else f"a {kind} file"
        checks.require(
            name in takes,
            f"`load` takes no `{name}` for {what}.{line} It takes {', '.join(every)}.",
            TypeError,
        )


def _rows(path: Path, source: Source, split: str) -> Sequence[int]:
    """Rows of a split: its own, or of a fixed permutation, whose first fifth is for the test."""
    n, own = source.n, source.splits
    if split == "all":
        require(n >= 1, path, "it holds 0 samples. Give at least 1")
        return [row for rows in own.values() for row in rows] if own else range(n)
    if own or split == "val":
        known = ", ".join(repr(name) for name in (*(own or ("train", "test")), "all"))
        checks.require(split in own, f"`split` must be one of {known} for {path}, got {split!r}.")
        return own[split]
    require(
        not (path.is_dir() and images.beside_splits(path)),
        path,
        f"it is itself a split of {path.resolve().parent.name!r}, and would be divided once more. "
        f"Pass `split='all'` for all of it, or the folder above with `split={split!r}`",
    )
    require(n >= 2, path, f"it holds {n} samples. Give at least 2, of which one is for the test")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).tolist()
    n_test = max(1, n // 5)
    return order[:n_test] if split == "test" else order[n_test:]


def _data_set(path: Path, split: str, source: Source, rows: Sequence[int]) -> DataSet:
    parts = source.read(rows)
    known = parts.x[~parts.x.isnan()]
    varies = split == "test" or (len(known) > 0 and bool(known.min() < known.max()))
    require(varies, path, "its values are all the same, or all missing. Check how it was written")
    n = len(rows)
    return DataSet(
        x=parts.x,
        y=torch.zeros(n, dtype=torch.long) if parts.y is None else parts.y,
        image_shape=parts.image_shape,
        name=str(path),
        split=split,
        rows=torch.tensor(list(rows)),
        names=parts.names,
        classes=parts.classes,
        features=parts.features,
    )
