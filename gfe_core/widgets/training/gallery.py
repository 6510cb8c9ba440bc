"""Small pictures of many samples, as grey arrays."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core.encoding import encode, reconstruct
from gfe_core.training import Report
from gfe_core.widgets.player.slices import grey


def gallery(
    rows: list[Float[Tensor, "n features"]], image_shape: tuple[int, ...], *, gap: int = 1
) -> np.ndarray:
    """Lay out samples as one picture: each tensor is a row, each of its samples a column.

    Args:
        rows: grey values in [0, 1], all of the same shape.
        image_shape: (height, width) of a sample.
        gap: white pixels between pictures.

    Returns:
        uint8 (height, width).
    """
    pictures = np.stack([grey(row, image_shape) for row in rows])
    padded = np.pad(pictures, ((0, 0), (0, 0), (gap, gap), (gap, gap)), constant_values=255)
    return padded.transpose(0, 2, 1, 3).reshape(padded.shape[0] * padded.shape[2], -1)


def preview_of(
    x: Float[Tensor, "n features"], image_shape: tuple[int, ...]
) -> Callable[[Report], np.ndarray]:
    """Return a preview for `Progress`.

    The images above, below them what the decoder makes of their codes right now.
    """

    def preview(report: Report) -> np.ndarray:
        with torch.no_grad():
            found = encode(report.decoder, x, max_steps=30)  # pyright: ignore[reportArgumentType]
            return gallery([x, reconstruct(report.decoder, found)], image_shape)  # pyright: ignore[reportArgumentType]

    return preview
