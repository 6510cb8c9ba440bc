"""The data set: samples as rows of a matrix, and what is known of each.

Every reader and maker of data answers with a `DataSet`; its `x` goes to `encode` and, through
`Batches`, to `fit`.

Shapes: `n` samples; `features` numbers each; `parameters` known numbers behind each sample.
"""

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
    image_shape: tuple[int, int] | None
    name: str
    split: str

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
        checks.require(
            n >= 0, f"`n` must be at least 0, got {n}. The last samples are `data.x[{n}:]`."
        )
        return replace(self, x=self.x[:n], y=self.y[:n])
