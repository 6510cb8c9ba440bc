"""Your own data: a table, an array or a folder of pictures, read into a `DataSet`.

`data.load` calls `read` when it is given a path. Nothing is guessed: an error says where a value
does not fit, or asks which of two readings is meant. No file is ever written.

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
    """A function that opens files of a kind, and the options that it takes."""

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
    r"""Read your own data; NaN values are missing.

    - A table in text (.csv, .tsv, .txt; .gz may follow), one sample in each line. Commas,
      semicolons, tabs or blanks separate the numbers, whose values are unchanged. An empty field is
      missing. Words in line 1 name the columns; an empty first field means that column 1 names the
      samples. If the numbers in line 1 look like names, an error asks you to pass `header=0` or
      `header=None`. Options are those of pandas' `read_csv`: sep, decimal, encoding, na_values,
      index_col and others.
    - A table in Parquet or Excel, with `columns=` or `sheet_name=`.
    - An .npy array of shape (n, features), (n, height, width), (n, height, width, 1 or 3) or
      (n, 1 or 3, height, width); if the channels could be either, pass `channels="first"` or
      "last". uint8 values are divided by 255; uint16 values in images are divided by 65,535. All
      other numbers are unchanged.
    - An .npz, HDF5 or .mat file with such an array. If it holds several, `key=` names the array of
      samples and `label=` the array of classes. Arrays "x" and "y" need not be named.
    - A folder of pictures of one size, in order of their names. Values are shares of white, or the
      numbers themselves if those are floats or 32-bit integers. Grey pictures become (height,
      width); if any picture has colours, all become (3, height, width). Sub-folders are classes, or
      splits if they are called train, val and test; splits may contain classes.
      `size=(height, width)` resizes pictures while they are read, `colour=True` or `False` sets the
      number of channels, and `background="white"` is the colour behind transparent ones.

    If the data have no splits of their own, a fifth of the samples is "test" and the rest "train",
    in the order of one fixed permutation, which depends on the number of samples only.

    Args:
        path: path of the file or folder; ~ is your home.
        split: part of the data: "train", "test", "all", or "val" if there is such a folder. "all"
            has the order of the source, or of train, val and test if those are folders.
        label: column of a table, or array of a file of arrays, that is y and not x. Whole numbers
            are classes as they are, other numbers a parameter; words are classes in sorted order.
        options: options as above.

    Returns:
        The samples of this split; y is the class, 0 throughout if none is known. `rows` counts the
        samples of the source from 0, whatever the split; lines of a table without a sample, such as
        the header, empty lines and comments, do not count.

    Raises:
        TypeError: this kind of file takes no such option.
        ValueError: path is of another kind, or an argument does not fit its content.
        DataError: the data are missing, damaged, constant in training, infinite (also in float32),
            too few for a split (below 2) or unusable.

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
    """Return the suffix that determines the reader of a file, or the kind for folders."""
    if path.is_dir():
        return _FOLDER
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = len(suffixes) > 1 and suffixes[-1] in tables.PACKED and suffixes[-2] in tables.TEXT
    kind = suffixes[-2] if packed else "".join(suffixes[-1:])
    known = ", ".join(_READERS)
    wanted = f"`name` must be a file of one of the kinds {known}"
    picture = kind in images.SUFFIXES
    remedy = " One picture is not a data set: pass its folder." if picture else _nearest(kind)
    checks.require(kind in _READERS, f"{wanted}, got {path}.{remedy}")
    return kind


def _nearest(kind: str) -> str:
    near = difflib.get_close_matches(kind, _READERS, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def _known(kind: str, takes: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Refuse options that this kind of file does not take."""
    allowed = ("split", "label", *takes)
    for name in options:
        near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
        line = f" Did you mean `{near[0]}`?" if near else ""
        what = kind if kind == _FOLDER else f"a {kind} file"
        checks.require(
            name in takes,
            f"`load` takes no `{name}` for {what}.{line} It takes {', '.join(allowed)}.",
            TypeError,
        )


def _rows(path: Path, source: Source, split: str) -> Sequence[int]:
    """Return the rows of a split: the source's own, or a part of one fixed permutation.

    The first fifth of the permutation is "test".
    """
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
