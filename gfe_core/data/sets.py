"""Data sets by name or path.

`load` returns a `DataSet`; its `x` goes to `encode` and, through `Batches`, to `fit`.

Shapes: `n` samples; `features` numbers in each: the pixels of an image, row after row, or the two
    coordinates of a point.
"""

import difflib
import gzip
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data import emission_lines, mnist_sample, photographs, readers, shapes
from gfe_core.data.dataset import DataError, DataSet
from gfe_core.data.downloads import data_folder, download

_SPLITS = ("train", "test")
_EVERY = (*_SPLITS, "all")


@in_own_words
def load(
    name: str | Path, split: str = "train", *, label: str | None = None, **options: Any
) -> DataSet:
    """Load a data set by its name, or your own data from a table, an array or a folder of images.

    | name | samples, train + test | needs |
    |---|---|---|
    | "mnist-sample" | 5,000 + 1,000 digits of MNIST, 28x28 | nothing: they come with the package |
    | "digits" | 1,437 + 360 handwritten digits, 8x8 | nothing: they come with scikit-learn |
    | "circle", "sine", "line" | 100 + 100 points: (sin a, cos a), (a, sin 2a), (a, a/2) | nothing |
    | "spectra" | 5,000 + 1,000 noisy emission doublets with gaps, 128 wavelengths | nothing |
    | "shapes" | 5,000 + 1,000 squares, ellipses and hearts, five known factors, 32x32 | nothing |
    | "colour-shapes" | the same in seven factors, with hues on grey grounds | nothing |
    | "mnist" | 60,000 + 10,000 handwritten digits, 28x28 | files on disk or a network |
    | "fashion-mnist" | 60,000 + 10,000 pieces of clothing, 28x28 | files on disk or a network |
    | "seg-mnist" | 30,596 training digits 0-4 + 4,861 test digits 5-9 of MNIST | as MNIST |
    | "cifar10" | 50,000 + 10,000 photographs of ten kinds, 32x32, in colour | as MNIST |
    | "omniglot" | 19,280 + 13,180 characters of 50 alphabets, 28x28 | as MNIST |
    | "celeba" | 162,770 + 19,962 faces with 40 attributes, 64x64, in colour | as MNIST, and gdown |

    Curves have a ~ N(0, pi / 4), noise N(0, 0.05^2) on both coordinates, and a fixed seed for each
    split. The test digits of SegMNIST belong to classes that training never sees. Image files lie
    in `data_folder()` in torchvision's layout.

    Args:
        name: one of the names above, or a path: a string with a separator or a suffix, or a
            `pathlib.Path`. `readers.read` documents the layout of files, their splits and the
            options of each kind.
        split: "train", "test" or "all"; "all" is both, one after the other, and `rows` numbers them
            from 0.
        label: column of a table, or array of a file of arrays, that holds the classes.
        options: options of files, such as `decimal=","`, `key="images"` or `size=(32, 32)`. The
            last three sets take `side=32` for another number of pixels and `n=5000` for the first
            5,000 images only. All of CelebA takes 8 GB.

    Returns:
        The samples, always the same in the same order.

    Raises:
        TypeError: the data take no such option.
        ValueError: name or split is unknown, or label is given and the data have no such column.
        DataError: a file is damaged or unusable, or files are missing and cannot be downloaded.

    Example:
        >>> digits = load("digits", split="test")
        >>> digits
        DataSet('digits', split='test'): 360 samples of 64 features
        >>> digits.image_shape
        (8, 8)

    Source: digits: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI, by way
    of scikit-learn; MNIST: LeCun, Bottou, Bengio and Haffner 1998; Fashion-MNIST: Xiao, Rasul and
    Vollgraf 2017 (arXiv 1708.07747); shapes, in the manner of dSprites: Matthey, Higgins, Hassabis
    and Lerchner 2017; SegMNIST and the circle: Flouris et al. 2024 (arXiv 2412.00864) and its
    public code.
    """
    checks.require(
        isinstance(name, (str, Path)),
        f"`name` must be one of {', '.join(_SETS)}, or a path, got {checks.described(name)}. An "
        "array or frame in memory needs no loading: `encode` and `fit` take it as it is, and "
        "`DataSet.of` keeps its names and classes.",
    )
    if name not in tuple(_SETS):
        if _is_path(name):
            return readers.read(Path(name), split, label=label, **options)
        nearest = difflib.get_close_matches(str(name).lower(), _SETS, n=1, cutoff=0)[0]
        known = f"{', '.join(_SETS)}, or a path such as 'mine.csv'"
        raise ValueError(f"`name` must be one of {known}; got {name!r}. Did you mean {nearest!r}?")
    checks.one_of("split", split, _EVERY)
    checks.require(
        label is None,
        f"`label` is the column of a table or an array with a name, got {label!r} for {name!r}. "
        "Leave it out.",
    )
    takes = ("side", "n") if name in photographs.KINDS else ()
    unknown = ", ".join(f"`{option}`" for option in options if option not in takes)
    known = ", ".join(f"`{option}`" for option in ("name", "split", *takes))
    remedy = f"It takes {known}; other options belong to files of your own."
    checks.require(not unknown, f"`load` takes no {unknown} for {name!r}. {remedy}", TypeError)
    make = partial(_SETS[str(name)], str(name), **options)
    return _joined(make("train"), make("test")) if split == "all" else make(split)


def _joined(first: DataSet, second: DataSet) -> DataSet:
    """Return both splits, one after the other."""
    classes, of_second = first.classes, second.y
    if first.classes is not None and second.classes is not None and second.classes != classes:
        classes = first.classes + second.classes  # as in Omniglot, whose alphabets differ
        of_second = second.y + len(first.classes)
    x, y = torch.cat([first.x, second.x]), torch.cat([first.y, of_second])
    return DataSet(x, y, first.image_shape, first.name, "all", classes=classes)


def _is_path(name: str | Path) -> bool:
    if not isinstance(name, str):
        return isinstance(name, Path)
    return Path(name).suffix != "" or "/" in name or "\\" in name


def _digits(name: str, split: str) -> DataSet:
    from sklearn.datasets import load_digits  # here, because importing it takes a second

    images, labels = load_digits(return_X_y=True)
    # the last 360 digits are by other writers
    rows = slice(None, -360) if split == "train" else slice(-360, None)
    x = torch.tensor(images[rows] / 16, dtype=torch.float32)
    y = torch.tensor(labels[rows], dtype=torch.long)
    return DataSet(x, y, (8, 8), name, split)


def _curve(name: str, split: str) -> DataSet:
    generator = torch.Generator().manual_seed(_SPLITS.index(split))
    noise = 0.05 * torch.randn(100, 2, generator=generator, dtype=torch.float32)
    a = math.sqrt(math.pi) / 2 * torch.randn(100, generator=generator, dtype=torch.float32)
    points = {"circle": (a.sin(), a.cos()), "sine": (a, (2 * a).sin()), "line": (a, a / 2)}[name]
    return DataSet(torch.stack(points, dim=1) + noise, a, None, name, split)


def _made(name: str, split: str) -> DataSet:
    make = _MAKERS[name]
    return replace(
        make(5000 if split == "train" else 1000, seed=_SPLITS.index(split)), name=name, split=split
    )


def _sample(name: str, split: str) -> DataSet:
    images, digits = mnist_sample.read(split)
    return _as_data_set(images, digits, name, split)


def _images(name: str, split: str) -> DataSet:
    kind = "FashionMNIST" if name == "fashion-mnist" else "MNIST"
    prefix = "train" if split == "train" else "t10k"
    parts = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    files = _files_of_split(
        (kind, kind.lower(), "fashion-mnist" if kind != "MNIST" else "mnist"), parts
    )
    if files is None:
        download(name, f"{kind}/raw/*-ubyte", partial(_fetch, kind))
        files = [data_folder() / kind / "raw" / part for part in parts]
    images = _read_idx(files[0], 3)
    labels = _read_idx(files[1], 1).long()
    if len(images) != len(labels):
        raise _damaged(
            files[0], f"it holds {len(images)} images, {files[1].name} holds {len(labels)} labels"
        )
    if name == "seg-mnist":
        seen = labels < 5 if split == "train" else labels >= 5
        images = images[seen]
        labels = labels[seen]
    return _as_data_set(images, labels, name, split)


def _fetch(kind: str, folder: Path) -> None:
    from torchvision import datasets  # here, because importing it takes half a second

    getattr(datasets, kind)(folder, download=True)


def _files_of_split(kinds: Sequence[str], parts: Sequence[str]) -> list[Path] | None:
    """Return the files of a split in one folder, compressed or not; None if there are none.

    Mirrors and browsers name files differently (train-images.idx3-ubyte, .gz at the end), and a
    copy unpacked by hand may lie in the folder itself or one level too deep.
    """
    places = "raw", "", *(f"raw/{kind}/raw" for kind in kinds), "raw/raw", f"{kinds[0]}/raw"
    for folder in (data_folder() / kind / place for kind in kinds for place in places):
        files = [file for part in parts if (file := _file_of(folder, part)) is not None]
        if len(files) == len(parts):
            return files
    return None


def _file_of(folder: Path, part: str) -> Path | None:
    """Return a file under one of its names; an uncompressed one comes before a compressed one."""
    dotted = part.replace("-idx", ".idx")
    named = [folder / f"{name}{packed}" for packed in ("", ".gz") for name in (part, dotted)]
    return next((file for file in named if file.is_file()), None)


def _as_data_set(images: Tensor, labels: Tensor, name: str, split: str) -> DataSet:
    """Turn bytes into grey values in [0, 1], one image a row."""
    shape = (images.shape[1], images.shape[2])
    return DataSet(images.flatten(1).to(torch.float32).div_(255), labels, shape, name, split)


def _read_idx(file: Path, axes: int) -> Tensor:
    """Read an IDX file and check every part of it.

    The file has a magic number, one big-endian length for each axis, then one byte for each value.
    """
    content = bytearray(_bytes_of(file))
    start = 4 + 4 * axes
    if len(content) <= start or content[:4] != bytes((0, 0, 8, axes)):
        raise _damaged(file, f"its {len(content)} bytes do not begin as an IDX file of {axes} axes")
    shape = struct.unpack(f">{axes}I", content[4:start])
    if len(content) != start + math.prod(shape):
        raise _damaged(
            file, f"it should have {start + math.prod(shape)} bytes and has {len(content)}"
        )
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).reshape(shape)


def _bytes_of(file: Path) -> bytes:
    """Read a file, compressed or not."""
    if file.suffix != ".gz":
        return file.read_bytes()
    try:
        return gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(file, f"it does not unpack ({error})") from error


def _damaged(file: Path, reason: str) -> DataError:
    return DataError(
        f"{file} is damaged or was only half downloaded: {reason}. Move it away and load again."
    )


_MAKERS: dict[str, Callable[..., DataSet]] = {
    "spectra": emission_lines.make,
    "shapes": shapes.make,
    "colour-shapes": partial(shapes.make, colour=True),
}
_SETS: dict[str, Callable[..., DataSet]] = {
    "mnist-sample": _sample,
    "digits": _digits,
    **dict.fromkeys(("circle", "sine", "line"), _curve),
    **dict.fromkeys(_MAKERS, _made),
    **dict.fromkeys(("mnist", "fashion-mnist", "seg-mnist"), _images),
    **dict.fromkeys(photographs.KINDS, photographs.read),
}
