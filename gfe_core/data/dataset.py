"""The data set: samples as rows of a matrix, with what is known about each.

Every function that reads or makes data returns a `DataSet`; its `x` goes to `encode` and, through
`Batches`, to `fit`.

Shapes: `n` samples; `features` numbers in each; `parameters` known numbers behind each sample.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.in_memory import as_names, parts_of
from gfe_core.data.values import CHANNELS


class DataError(RuntimeError):
    """A data set is damaged, unusable, or neither on disk nor available for download.

    The message says what to do.
    """


@dataclass(frozen=True, eq=False)
class DataSet:
    """Samples with what is known about each; `len(data)` counts them, `data[rows]` selects some.

    Args:
        x: samples, one in each row: values in [0, 1] for images, any real numbers for other data,
            NaN where a number is missing. Images are flattened in the order (channel, height,
            width).
        y: class of each sample (long), or the parameters that made it (float): one number or one
            row for each sample.
        image_shape: shape of an image: (height, width) if grey, (3, height, width) if in colour;
            None for other data.
        name: name as given to `load`.
        split: name of the split: "train", "test", "val" or "all".
        rows: position of each sample in its source, from 0: its number among the samples of a table
            (header, empty lines, comments and skipped lines do not count), its index in an array,
            or the number of its file among those of the folder, sorted by name. After a selection
            `data.rows` still gives the positions in the source. By default the order of x.
        names: name of each sample: its file, relative to the folder, or the index of a table.
        classes: names of the classes; y holds indices into them, from 0.
        features: name of each number of a sample: the columns of a table.

    Raises:
        TypeError, ValueError: the arguments do not fit together.
    """

    x: Float[Tensor, "n features"]
    y: Int[Tensor, "n"] | Float[Tensor, "n"] | Float[Tensor, "n parameters"]
    image_shape: tuple[int, ...] | None
    name: str
    split: str
    rows: Int[Tensor, "n"] | None = None
    names: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            value = getattr(self, name)
            remedy = f"Convert it: `torch.as_tensor({name})`."
            if name == "x":
                remedy = (
                    "Convert it: `torch.as_tensor(x, dtype=torch.float32)`, or build the data set "
                    "with `DataSet.of(x)`, which takes arrays and frames."
                )
            checks.require(
                isinstance(value, Tensor),
                f"`{name}` must be a torch.Tensor, got {checks.described(value)}. {remedy}",
                TypeError,
            )
        x, y = tuple(self.x.shape), tuple(self.y.shape)
        flat = len(x) == 2 and self.x.is_floating_point()
        wanted = "`x` must be rows of floats, shape (n, features)"
        got = f"{x}, {self.x.dtype}"
        checks.require(flat, f"{wanted}, got {got}. Flatten samples: `x.flatten(1)`.")
        fits = y[:1] == x[:1] and len(y) in (1, 2)
        wanted = f"`y` must hold a class, or parameters, for each of the {x[0]} samples"
        checks.require(
            fits, f"{wanted}, got shape {y}. Where none is known: `torch.zeros({x[0]})`."
        )
        self._check_image_shape()
        self._check_names()
        if self.rows is None:
            object.__setattr__(self, "rows", torch.arange(x[0]))
        one_each = self.rows is not None and tuple(self.rows.shape) == x[:1]
        wanted = f"`rows` must hold the place of each of the {x[0]} samples"
        remedy = "Select samples together with their labels and names: `data[keep]`."
        checks.require(one_each, f"{wanted}. {remedy}")

    def _check_image_shape(self) -> None:
        if self.image_shape is None:
            return
        shape = checks.sizes("image_shape", self.image_shape)
        last = len(shape) == 3 and shape[2] == 3 and shape[0] != 3
        checks.require(
            not last,
            f"`image_shape` {shape} has its channels last. Build the data set with "
            "`DataSet.of(images, channels='last')`, which moves them to the front.",
        )
        checks.image_shape(shape)
        n = math.prod(shape)
        has = f"`image_shape` {shape} has {n} pixels"
        fits = n == self.x.shape[1]
        checks.require(fits, f"{has}, but samples have {self.x.shape[1]} features.")

    def _check_names(self) -> None:
        n, n_features = self.x.shape
        for name, wanted, per in (("names", n, "sample"), ("features", n_features, "feature")):
            value = getattr(self, name)
            fits = value is None or len(value) == wanted
            got = f"got {len(value)}" if value is not None else ""
            remedy = "Select samples together with their labels and names: `data[keep]`."
            checks.require(fits, f"`{name}` must be {wanted}, one a {per}, {got}. {remedy}")
        if self.classes is None or len(self.y) == 0:
            return
        counts = not self.y.is_floating_point() and self.y.dim() == 1
        fits = counts and int(self.y.min()) >= 0 and int(self.y.max()) < len(self.classes)
        wanted = f"`y` must be whole numbers from 0 to {len(self.classes) - 1}"
        got = f"{self.y.min().item()} to {self.y.max().item()}"
        checks.require(fits, f"{wanted}, the places of `classes`, got {got}.")

    @staticmethod
    @in_own_words
    def of(
        x: Any,
        y: Any = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        channels: str | None = None,
        name: str = "yours",
        split: str = "all",
    ) -> "DataSet":
        """Return a data set made from your own data in memory.

        uint8 values are divided by 255; uint16 values in images are divided by 65,535. All other
        numbers, and those of frames, are unchanged. Values become float32.

        Args:
            x: a tensor or array of shape (n, features), (n, height, width), (n, height, width, 1 or
                3) or (n, 1 or 3, height, width); a pandas frame, whose columns are features and
                whose index names the samples, unless it only counts them; a list of pictures; or a
                data set of torch, such as `TensorDataset` or torchvision's `ImageFolder`.
            y: labels, one for each sample, or the name of a frame's column. Whole numbers are
                classes as they are, other numbers parameters; words are classes in sorted order.
                0 by default.
            image_shape: shape of the images if samples are flat, in the order (channel, height,
                width).
            names: name of each sample.
            classes: names of the classes; y holds indices into them, or the names themselves.
            features: names of the columns.
            channels: position of the channels, "first" or "last", if the shape of x is ambiguous,
                such as (n, 3, 8, 3).
            name: name of the data set.
            split: name of the split: "train", "test" or "all".

        Raises:
            TypeError: x holds no samples.
            ValueError: values are infinite or not numbers, or shapes do not fit; the message says
                which.

        Example:
            >>> photos = DataSet.of(np.zeros((5, 4, 6, 3), np.uint8), ["cat", "dog", *3 * ["cat"]])
            >>> photos.image_shape, photos.classes, photos.y.tolist()
            ((3, 4, 6), ('cat', 'dog'), [0, 1, 0, 0, 0])
        """
        if channels is not None:
            checks.one_of("channels", channels, CHANNELS)
        given = as_names("classes", classes)
        checks.require(
            given is None or len(given) > 0,
            "`classes` must hold the name of each class, got none. Leave it out.",
        )
        parts = parts_of(x, y, channels, given)
        if image_shape is not None:
            image_shape = checks.sizes("image_shape", image_shape)
            own = parts.image_shape or image_shape
            checks.require(
                image_shape == tuple(own),
                f"`image_shape` {image_shape} is not that of the images in `x`, {tuple(own)}. "
                "Leave it out: it is for samples that come flat.",
            )
        n = len(parts.x)
        return DataSet(
            x=parts.x,
            y=torch.zeros(n, dtype=torch.long) if parts.y is None else parts.y,
            image_shape=parts.image_shape if image_shape is None else image_shape,
            name=name,
            split=split,
            rows=parts.rows,
            names=parts.names if names is None else as_names("names", names),
            classes=parts.classes if given is None else given,
            features=parts.features if features is None else as_names("features", features),
        )

    @property
    def title(self) -> str:
        """Title in a view: the name (of a path, its last part) and the split."""
        return f"{Path(self.name).name} ({self.split})"

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return (
            f"DataSet({self.name!r}, split={self.split!r}): {len(self)} samples of "
            f"{self.x.shape[1]} features"
        )

    def __getitem__(self, rows: Any) -> "DataSet":
        """Return the selected samples with all that is known about them.

        Args:
            rows: a slice, whole numbers, or one bool for each sample, in a list, an array or a
                tensor. A single number gives a data set with one sample.

        Raises:
            IndexError: there is no such sample.
            TypeError: rows is neither a slice, whole numbers nor bools.

        Example:
            >>> data = DataSet.of(np.eye(4), names=["a", "b", "c", "d"])
            >>> data[[3, 1]].names, data[data.x[:, 0] == 0].rows.tolist()
            (('d', 'b'), [1, 2, 3])
        """
        keep = self._places(rows)
        assert self.rows is not None
        names = self.names
        return replace(
            self,
            x=_kept(self.x, keep),
            y=_kept(self.y, keep),
            rows=_kept(self.rows, keep),
            names=None if names is None else tuple(names[i] for i in _numbers(keep, len(self))),
        )

    def _places(self, rows: Any, name: str = "rows") -> slice | Int[Tensor, "kept"]:
        """Check rows and return them as a slice, which copies nothing, or as places from 0."""
        n = len(self)
        if isinstance(rows, slice):
            backwards = rows.step is not None and rows.step < 0
            return torch.tensor(range(n)[rows], dtype=torch.long) if backwards else rows
        wanted = f"`{name}` must be a slice, whole numbers, or one bool a sample"
        held = rows if isinstance(rows, Tensor) else np.asarray(rows)
        numbers = isinstance(held, Tensor) or held.dtype.kind in "biuf"
        checks.require(numbers, f"{wanted}, got {checks.described(rows)}.", TypeError)
        keep = torch.as_tensor(held)
        if keep.dtype == torch.bool:
            fits = tuple(keep.shape) == (n,)
            checks.require(fits, f"{wanted}, got {checks.described(rows)}.", IndexError)
            return keep.nonzero()[:, 0]
        if keep.numel() == 0:
            return torch.zeros(0, dtype=torch.long)
        whole = not keep.is_floating_point() and not keep.is_complex() and keep.dim() <= 1
        checks.require(whole, f"{wanted}, got {checks.described(rows)}.", TypeError)
        keep = keep.reshape(-1).long()
        outside = keep[(keep < -n) | (keep >= n)]
        got = f"got {outside[0].item()}" if len(outside) else ""
        checks.require(
            len(outside) == 0, f"`{name}` must lie between 0 and {n - 1}, {got}.", IndexError
        )
        return keep % n

    def take(self, n: int) -> "DataSet":
        """Return the first n samples (n >= 0), or all if there are fewer.

        The tensors are views of those of this data set.
        """
        n = checks.whole("n", n)
        checks.require(
            n >= 0, f"`n` must be at least 0, got {n}. The last samples are `data[{n}:]`."
        )
        return self[:n]

    @in_own_words
    def train_test(
        self, share: float | None = None, *, seed: int = 0, test: Any = None
    ) -> tuple["DataSet", "DataSet"]:
        """Divide the samples into training samples and test samples.

        Args:
            share: share of the samples in the test set, in (0, 1). They are drawn at random, and
                each set gets at least one sample. 0.2 by default.
            seed: seed of the draw, in [0, 2^63); the same seed and number of samples give the same
                rows.
            test: rows of the test samples, as in `data[test]`, in place of a share.

        Returns:
            The training samples and the test samples, in the order of this data set.

        Raises:
            ValueError: both a share and rows are given, or one side would be empty.

        Example:
            >>> train, test = DataSet.of(np.eye(10)).train_test(0.3, seed=1)
            >>> len(train), len(test)
            (7, 3)
        """
        n = len(self)
        checks.require(
            share is None or test is None, "`share` and `test` say the same: pass one of them."
        )
        if test is None:
            share = 0.2 if share is None else share
            checks.fraction("share", share)
            seed = checks.whole("seed", seed)
            checks.require(
                0 <= seed < 2**63, f"`seed` must lie between 0 and 2^63 - 1, got {seed}."
            )
            source = torch.Generator().manual_seed(seed)
            test = torch.randperm(n, generator=source)[: min(n - 1, max(1, int(share * n + 1e-9)))]
        judged = torch.zeros(n, dtype=torch.bool)
        judged[self._places(test, "test")] = True
        checks.require(
            bool(judged.any()) and not bool(judged.all()),
            f"`test` must leave samples on both sides, got {int(judged.sum())} of {n}.",
        )
        return replace(self[~judged], split="train"), replace(self[judged], split="test")


def _kept(values: Tensor, keep: slice | Tensor) -> Tensor:
    return values[keep if isinstance(keep, slice) else keep.to(values.device)]


def _numbers(keep: slice | Tensor, n: int) -> list[int]:
    return list(range(n))[keep] if isinstance(keep, slice) else keep.tolist()
