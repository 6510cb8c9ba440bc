"""Large image sets that torchvision reads: CIFAR-10, Omniglot and CelebA.

They lie in `data_folder()` in torchvision's layout, or are downloaded. Before torchvision opens a
file, it compares the checksum, if it knows one for that file.

Shapes: `n` images; `side` pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from gfe_core import checks
from gfe_core.data.dataset import DataError, DataSet
from gfe_core.data.downloads import data_folder, download, missing_torchvision


@dataclass(frozen=True)
class Kind:
    """A set of torchvision, and the conversion of its images.

    Args:
        parts: pattern of its files, below `data_folder()`.
        open: function from folder, split ("train" or "test") and whether to download to the torch
            data set.
        picture: function from an image and a side in pixels to a square image.
        side: default height and width in pixels.
    """

    parts: str
    open: Callable[[Path, str, bool], Any]
    picture: Callable[[Image.Image, int], Image.Image]
    side: int


def read(name: str, split: str, *, side: int | None = None, n: int | None = None) -> DataSet:
    """Read images from disk, after a download where there are none.

    Args:
        name: name of the set: "cifar10", "omniglot" or "celeba".
        split: name of the split: "train" or "test".
        side: height and width in pixels; 32, 28 and 64 by default.
        n: number of images, taken from the start of the split; all by default.

    Returns:
        A data set with x in [0, 1]: the colours one after the other or, for Omniglot, ink, with 1
        for strokes. y is the class or, for CelebA, the 40 attributes of each face, 0 or 1.

    Raises:
        DataError: files are damaged, or missing and not available for download.
    """
    kind = KINDS[name]
    side = kind.side if side is None else checks.at_least_one("side", side)
    if n is not None:
        n = checks.at_least_one("n", n)
    data = _opened(name, kind, split)
    images: list[np.ndarray] = []
    targets: list[Any] = []
    try:
        for image, target in islice(data, n):
            images.append(np.asarray(kind.picture(image, side)))
            targets.append(target)
    except Exception as error:  # each format of images fails in its own way
        raise _damaged(name, kind, error) from error
    pixels = torch.from_numpy(np.stack(images))
    colours = pixels.movedim(-1, 1) if pixels.dim() == 4 else pixels
    x = colours.flatten(1).to(torch.float32).div_(255)
    shape = tuple(colours.shape[1:])
    return DataSet(x, _known(targets), shape, name, split, classes=_classes(data))


def _opened(name: str, kind: Kind, split: str) -> Any:
    """Return the torch data set; download it if none of its files is on disk."""
    folder = data_folder()
    if not any(folder.glob(kind.parts)):
        download(name, kind.parts, lambda part: _both(kind, part))
    try:
        return kind.open(folder, split, False)
    except ModuleNotFoundError as error:
        raise missing_torchvision(name, error) from error
    except Exception as error:  # torchvision reports damage and missing files in many ways
        raise _damaged(name, kind, error) from error


def _damaged(name: str, kind: Kind, error: Exception) -> DataError:
    where = data_folder() / Path(kind.parts).parent
    return DataError(
        f"{name!r} in {where} is damaged or incomplete ({' '.join(str(error).split())}). Move that "
        "folder away and load again, which downloads it."
    )


def _both(kind: Kind, folder: Path) -> None:
    for split in ("train", "test"):
        kind.open(folder, split, True)


def _known(targets: list[Any]) -> torch.Tensor:
    """Return classes as whole numbers, or several attributes of each image as parameters."""
    y = torch.as_tensor(np.stack([np.asarray(target) for target in targets]))
    return y.long() if y.dim() == 1 else y.to(torch.float32)


def _classes(data: Any) -> tuple[str, ...] | None:
    names = getattr(data, "classes", getattr(data, "_characters", None))
    return None if names is None else tuple(map(str, names))


def _resized(image: Image.Image, side: int) -> Image.Image:
    same = image.size == (side, side)
    return image if same else image.resize((side, side), Image.Resampling.BOX)


def _ink(image: Image.Image, side: int) -> Image.Image:
    return _resized(ImageOps.invert(image.convert("L")), side)


def _middle(image: Image.Image, side: int) -> Image.Image:
    return ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BOX)


def _cifar10(folder: Path, split: str, fetch: bool) -> Any:
    from torchvision.datasets import CIFAR10  # here, because importing it takes half a second

    return CIFAR10(folder, train=split == "train", download=fetch)


def _omniglot(folder: Path, split: str, fetch: bool) -> Any:
    from torchvision.datasets import Omniglot

    return Omniglot(folder, background=split == "train", download=fetch)


def _celeba(folder: Path, split: str, fetch: bool) -> Any:
    from torchvision.datasets import CelebA

    return CelebA(folder, split=split, download=fetch)


KINDS: dict[str, Kind] = {
    "cifar10": Kind("cifar-10-batches-py/*", _cifar10, _resized, 32),
    "omniglot": Kind("omniglot-py/*", _omniglot, _ink, 28),
    "celeba": Kind("celeba/*", _celeba, _middle, 64),
}
