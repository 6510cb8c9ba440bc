"""Samples without an image shape, drawn as small curves over their features, white on black."""

import numpy as np
import torch
from torch import Tensor

SHAPE = (48, 64)
"""Height and width of a picture."""


def profiles(x: Tensor, limits: tuple[float, float]) -> np.ndarray:
    """Draw rows of numbers as curves.

    Args:
        x: rows of numbers (..., features).
        limits: values at the lower and the upper edge; values beyond them are drawn at the edge.

    Returns:
        uint8 (..., height, width).

    Example:
        >>> picture = profiles(torch.tensor([0.0, 1.0]), (0.0, 1.0))
        >>> picture.shape, picture[-1, 0], picture[0, -1], picture[0, 0]
        ((48, 64), np.uint8(255), np.uint8(255), np.uint8(0))
    """
    height, width = SHAPE
    flat = torch.nan_to_num(x).reshape(-1, x.shape[-1]).double().numpy()
    places = np.linspace(0, x.shape[-1] - 1, width)
    values = np.stack([np.interp(places, np.arange(x.shape[-1]), row) for row in flat])
    low, high = limits
    level = (height - 1) * (1 - (values - low) / max(high - low, 1e-12)).clip(0, 1)
    before = np.concatenate([level[:, :1], level[:, :-1]], 1)
    top = np.minimum(level, before).round()[:, None]
    bottom = np.maximum(level, before).round()[:, None]
    rows = np.arange(height)[:, None]
    drawn = (top <= rows) & (rows <= bottom)
    return (255 * drawn).astype(np.uint8).reshape(*x.shape[:-1], height, width)
