"""The data set: samples as rows of a matrix, and what is known of each.

Every reader and maker of data answers with a `DataSet`; its `x` goes to `encode` and, through
`Batches`, to `fit`.

Shapes: `n` samples; `features` numbers each; `parameters` known numbers behind each sample.
"""

import math
from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor

from gfe_core import checks


class DataError(RuntimeError):
    """A data set is damaged or unfit, or neither on disk nor to be had.

    The text says what to do.
    """


@dataclass(frozen=True, eq=False)
class DataSet:
    """Samples and what is known of each; `len(data)` counts them.

    Args:
        x: one sample a row; grey values in [0, 1] for images, any real numbers for other data, NaN
            where a number is missing.
        y: the class of each sample (long), or the parameters that made it (float): one each, or a
            row of them.
        image_shape: (height, width) of an image, None for other data.
        name: as given to `load`.
        split: "train" or "test".
    """

    x: Float[Tensor, "n features"]
    y: Int[Tensor, "n"] | Float[Tensor, "n"] | Float[Tensor, "n parameters"]
    image_shape: tuple[int, ...] | None
    name: str
    split: str

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            value = getattr(self, name)
            remedy = f"Convert it: `torch.as_tensor({name})`."
            if name == "x":
                remedy = "Convert it: `torch.as_tensor(x, dtype=torch.float32)`."
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
        if self.image_shape is not None:
            n = math.prod(checks.sizes("image_shape", self.image_shape))
            has = f"`image_shape` {tuple(self.image_shape)} has {n} pixels"
            checks.require(n == x[1], f"{has}, but samples have {x[1]} features.")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return (
            f"DataSet({self.name!r}, split={self.split!r}): {len(self)} samples of "
            f"{self.x.shape[1]} features"
        )

    def take(self, n: int) -> "DataSet":
        """Return the first n samples (n >= 0), or all where there are fewer.

        The tensors are views of this one's.
        """
        checks.whole("n", n)
        checks.require(
            n >= 0, f"`n` must be at least 0, got {n}. The last samples are `data.x[{n}:]`."
        )
        return replace(self, x=self.x[:n], y=self.y[:n])
