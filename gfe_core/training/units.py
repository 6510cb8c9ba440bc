"""A warning if the scale of the data is far from the one that training assumes."""

import math
import warnings

import torch
from torch import Tensor

from gfe_core.energy import Gaussian
from gfe_core.types import AnyLoss

FAR = 100.0
"""Largest ratio of the spread of the data to the noise, or the inverse, without a warning."""


def warn_of_units(x: Tensor | None, loss: AnyLoss | None) -> None:
    """Warn if data are far from the scale that the loss and initial weights assume.

    Codes do not depend on the unit of the data. Training does: weights begin near 1, and an
    optimizer moves them by about its rate in each step, whatever the unit is.

    Args:
        x: training data, NaN where unobserved, or None if they are not known yet; the first
            thousand samples are checked.
        loss: loss of the training; only `Gaussian` has a scale that data can be compared with.
    """
    if x is None or not isinstance(loss, Gaussian):
        return
    first = x[:1000]
    known = first[torch.isfinite(first)].double()
    if len(known) < 2:
        return
    spread = known.std(correction=0).item()
    noise = math.sqrt(torch.as_tensor(loss.variance, dtype=torch.float64).mean().item())
    if spread > 0 and not 1 / FAR <= spread / noise <= FAR:
        warnings.warn(
            f"The data vary by {spread:.3g} about their mean, and the loss expects noise of "
            f"{noise:.3g}: far from each other, so that weights learn slowly or not at all. "
            "Bring the data to unit scale, `(x - x.mean()) / x.std()`, or say how large the noise "
            f"is in their unit: `gfe.Gaussian(variance={(0.1 * spread) ** 2:.1g})`.",
            UserWarning,
            stacklevel=4,
        )
