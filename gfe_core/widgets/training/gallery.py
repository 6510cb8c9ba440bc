"""Small pictures of many samples, laid out as one."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import Samples, rows_of
from gfe_core.decoders.wrapped import flattened
from gfe_core.encoding import encode, reconstruct
from gfe_core.training import Report
from gfe_core.types import Loss
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import at_least, shown_rows


@in_own_words
def gallery(
    rows: list[Float[Tensor, "n features"]], image_shape: tuple[int, ...], *, gap: int = 1
) -> np.ndarray:
    """Lay out samples as one picture: each tensor is a row, each of its samples a column.

    Args:
        rows: values in [0, 1], all of the same shape.
        image_shape: (height, width) of a sample, or (3, height, width) in colour.
        gap: white pixels between pictures.

    Returns:
        uint8 (height, width), or (height, width, 3).
    """
    image_shape = checks.image_shape(image_shape)
    n_features = math.prod(image_shape)
    checks.require(
        gap >= 0 and len(rows) > 0,
        f"`rows` must hold at least one row and `gap` be at least 0, got {len(rows)} and {gap}.",
    )
    tensors = [_flat(rows_of(row, "rows")) for row in rows]
    shape = tuple(getattr(tensors[0], "shape", ()))
    wanted = f"`rows` must be tensors of one shape (n, {n_features}), values in [0, 1]"
    remedy = "Write one tensor as `gallery([x], image_shape)`."
    for row in tensors:
        fits = isinstance(row, Tensor) and row.dim() == 2 and row.shape[1] == n_features
        fits = fits and tuple(row.shape) == shape
        checks.require(fits, f"{wanted}, got {checks.described(row)}. {remedy}")
    at_least(1, len(tensors[0]), "rows")
    pictures = np.stack([pictures_of(row.detach().nan_to_num(), image_shape) for row in tensors])
    margins = [(0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)][: pictures.ndim]
    padded = np.pad(pictures, margins, constant_values=255)
    n_rows, n_columns, height, width, *colours = padded.shape
    return padded.swapaxes(1, 2).reshape(n_rows * height, n_columns * width, *colours)


def _flat(row: Any) -> Any:
    """Samples as rows of features; what holds none is returned as it is, to be refused."""
    return row.flatten(1) if isinstance(row, Tensor) and row.dim() > 2 else row


@in_own_words
def preview_of(
    x: Samples, image_shape: tuple[int, ...], *, loss: Loss | None = None
) -> Callable[[Report], np.ndarray]:
    """Return a preview for `Progress`.

    The images above, below them what the decoder makes of their codes right now.

    Args:
        x: some images, as rows.
        image_shape: (height, width), or (3, height, width) in colour.
        loss: of the training, `Bernoulli()` by default.
    """
    rows = shown_rows(x)
    image_shape = checks.image_shape(image_shape)
    wanted = f"`x` must be images of shape {tuple(image_shape)}"
    fits = tuple(rows.shape[1:]) == (math.prod(image_shape),)
    checks.require(
        fits, f"{wanted}, flat, got {checks.described(x)}. Flatten them: `x.flatten(1)`."
    )

    def preview(report: Report) -> np.ndarray:
        with torch.no_grad():
            decoder = flattened(report.decoder)
            found = encode(decoder, rows, loss=loss, max_steps=30)
            return gallery([rows, reconstruct(decoder, found)], image_shape)

    return preview
