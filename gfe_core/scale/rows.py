"""All rows of a data set in their order, read a few at a time: .npy files stay on disk.

Shapes: `n` samples; `features` numbers in each.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data import DataError, load
from gfe_core.data.samples import Samples, features_of, known_image_shape, own_floats
from gfe_core.data.sources import unfit
from gfe_core.data.values import UnfitError, finite, image_shape_of, rows_of_array

_AT_ONCE = 2**24
"""Number of bytes read at once when a whole file is read."""
_WHOLE = "Write it again with `numpy.save`, or restore a copy."


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples that are read when they are needed; `len(rows)` counts them.

    An .npy file is opened again for each reading, so that memory holds only the requested rows. Its
    values are converted as in `gfe.data.load`, which documents images; tables of float64 stay
    float64, in memory too.

    Args:
        source: path of an .npy file, or samples in memory.
        name: name of the rows.
        image_shape: shape (height, width) or (3, height, width), if the rows are images.
        features: names of the features, if they are the columns of a table.

    Example:
        >>> import numpy, tempfile
        >>> path = Path(tempfile.mkdtemp(), "x.npy")
        >>> numpy.save(path, numpy.arange(6, dtype="uint8").reshape(3, 2) * 51)
        >>> rows = Rows.of(path)
        >>> len(rows), rows.read(slice(1, 3))
        (3, tensor([[0.4000, 0.6000],
                [0.8000, 1.0000]]))
    """

    source: Path | Tensor
    name: str
    _shape: tuple[int, ...] = field(default=(), repr=False)
    image_shape: tuple[int, ...] | None = None
    features: tuple[str, ...] | None = None

    @classmethod
    def of(cls, data: str | Path | Samples, *, split: str = "all") -> "Rows":
        """Return the rows of a file, a named set or samples in memory.

        Args:
            data: path of an .npy file, of which all rows are taken, in their order; another name or
                path that `gfe.data.load` takes; or samples.
            split: part of a loaded name or path: "train", "test" or "all". For a named set, "all"
                is the training samples followed by the test samples. An .npy file takes "all" only.

        Raises:
            ValueError: the name is unknown.
            DataError: a file is damaged, unusable or missing.
        """
        if isinstance(data, (str, Path)) and Path(data).suffix.lower() == ".npy":
            remedy = "Load the split in Python: `Rows.of(gfe.data.load(path, split))`."
            wanted = "`split` of an .npy file, of which all rows are taken, must be 'all'"
            checks.require(split == "all", f"{wanted}, got {split!r}. {remedy}")
            path = Path(data).expanduser().resolve()
            values = _opened(path)
            return cls(path, str(data), values.shape, _image_shape(path, values))
        if isinstance(data, (str, Path)):
            loaded = load(data, split=split)
            return cls(
                loaded.x, str(data), tuple(loaded.x.shape), loaded.image_shape, loaded.features
            )
        rows = own_floats(data)
        checks.require(
            isinstance(rows, Tensor),
            f"`data` must be a path, a name or samples, got {checks.described(data)}.",
            TypeError,
        )
        shape = tuple(rows.shape)
        return cls(rows, "samples", shape, known_image_shape(data), features_of(data))

    def __len__(self) -> int:
        return self._shape[0]

    @property
    def n_features(self) -> int:
        """Number of features of a sample."""
        return int(np.prod(self._shape[1:]))

    def read(self, rows: slice) -> Tensor:
        """Return a slice of rows as floats, shape (n, features); the tensor is always a copy."""
        if isinstance(self.source, Tensor):
            return self.source[rows].flatten(1).clone()
        values = np.array(_opened(self.source)[rows])
        try:
            if values.ndim == 2 and values.dtype in (np.float32, np.float64):
                return finite(torch.from_numpy(values))
            return rows_of_array(values)[0]
        except UnfitError as error:
            raise unfit(self.source, error) from error

    def fingerprint(self) -> str:
        """Return the SHA-256 of dtype, shape and all values.

        It is equal for equal files in any folder. All data are read once.
        """
        digest = hashlib.sha256()
        if isinstance(self.source, Tensor):
            values = self.source.detach().cpu().contiguous()
            digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.view(torch.uint8).numpy().data)
            return digest.hexdigest()
        values = _opened(self.source)
        digest.update(f"{values.dtype.str} {values.shape} {values.flags.c_contiguous}".encode())
        with self.source.open("rb") as file:  # not through the map, whose pages would stay
            file.seek(values.offset)
            while block := file.read(_AT_ONCE):
                digest.update(block)
        return digest.hexdigest()

    def has_gaps(self) -> bool:
        """Whether any value is NaN; all data are read once, unless they are a file of integers."""
        if isinstance(self.source, Path) and _opened(self.source).dtype.kind != "f":
            return False
        return any(bool(self.read(rows).isnan().any()) for rows in self.chunks(self._n_at_once()))

    @in_own_words
    def chunks(self, size: int) -> list[slice]:
        """Return slices of this size that cover all rows; the last may be shorter."""
        return [slice(start, start + size) for start in range(0, len(self), size)]

    def _n_at_once(self) -> int:
        return max(1, _AT_ONCE // (4 * max(1, self.n_features)))


def _opened(path: Path) -> Any:
    """Map an array of numbers; nothing in the file is executed."""
    if not path.is_file():
        raise DataError(f"{path} cannot be used: it is not a file. Correct the path.")
    try:
        values = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path} cannot be used: it is not a complete array of numbers ({error}). {_WHOLE}"
        ) from error
    fits = values.dtype.kind in "biuf" and values.ndim >= 2 and len(values) > 0
    if not fits:
        raise DataError(
            f"{path} cannot be used: it must hold numbers of shape (n, ...), one sample in each "
            f"row, got {values.dtype} of shape {values.shape}. Pass another file."
        )
    return values


def _image_shape(path: Path, values: Any) -> tuple[int, ...] | None:
    try:
        return image_shape_of(values.shape)
    except UnfitError as error:
        raise unfit(path, error) from error
