"""The MNIST sample: 6,000 real digits, 28x28, in one file that comes with the package.

`sets.load("mnist-sample")` reads it; `python -m gfe_core bundled sample` makes it from the full
set.

The images are a part of MNIST (Y. LeCun and C. Cortes, from data of NIST), which is licensed under
CC BY-SA 3.0; so is this file. mnist-sample.txt beside it has the licence and the attribution.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gfe_core.data.dataset import DataError
from gfe_core.data.files import replacing

FILE = Path(__file__).with_name("mnist-sample.npz")
N_OF_EACH_DIGIT: dict[str, int] = {"train": 500, "test": 100}
"""Number of images of each of the ten digits, for each split."""


class Images(NamedTuple):
    """Grey values 0 to 255, uint8, shape (n, 28, 28), and the digit of each image, int64."""

    images: Tensor
    digits: Tensor


def read(split: str, path: Path = FILE) -> Images:
    """Read one split of the sample, "train" or "test".

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, digits = arrays[f"{split}_images"], arrays[f"{split}_digits"]
    except Exception as error:  # damaged bytes fail in too many ways to list
        raise DataError(
            f"{path}, which comes with gfe_core, is missing or damaged ({type(error).__name__}). "
            "Install gfe_core again."
        ) from error
    return Images(torch.from_numpy(images), torch.from_numpy(digits).long())


def write(train: Images, test: Images, path: Path = FILE) -> Path:
    """Write the sample: the same number of images of each digit, drawn with seed 0.

    The images of a split keep their order; the same images make the same bytes.

    Args:
        train: all training images of MNIST.
        test: all test images of MNIST.
        path: path of the file.
    """
    source = torch.Generator().manual_seed(0)
    arrays = {}
    for split, full in (("train", train), ("test", test)):
        rows = _rows(full.digits, N_OF_EACH_DIGIT[split], source)
        arrays[f"{split}_images"] = full.images[rows].numpy().astype(np.uint8)
        arrays[f"{split}_digits"] = full.digits[rows].numpy().astype(np.uint8)
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def _rows(digits: Tensor, n: int, source: torch.Generator) -> Tensor:
    """Draw n rows of each digit, in rising order."""
    drawn = []
    for digit in range(10):
        rows = (digits == digit).nonzero()[:, 0]
        drawn.append(rows[torch.randperm(len(rows), generator=source)[:n]])
    return torch.cat(drawn).sort().values
