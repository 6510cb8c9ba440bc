"""Losses: how far the decoder's output is from a sample, one number for each sample.

A loss reads the decoder's raw output (logits for Bernoulli) and never averages over the batch.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gfe_core import checks
from gfe_core.types import Data, Mask, PerSample

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True, kw_only=True)
class _OverFeatures:
    """What the losses share: a sum over the observed features of a sample, or their mean."""

    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        wanted = "`reduction` must be 'mean' (per feature) or 'sum' (per sample)"
        known = isinstance(self.reduction, str) and self.reduction in ("mean", "sum")
        checks.require(known, f"{wanted}, got {self.reduction!r}.")

    def _reduce(self, elements: Tensor, mask: Tensor | None) -> Tensor:
        """Sum or average over everything but the batch, counting observed features only."""
        seen = (elements if mask is None else torch.where(mask, elements, 0.0)).flatten(1)
        if self.reduction == "sum":
            return seen.sum(1)
        return seen.mean(1) if mask is None else seen.sum(1) / mask.flatten(1).sum(1).clamp(min=1)

    def _weight(self, like: Tensor, mask: Tensor | None) -> Tensor | float:
        """Weight of one feature in the reduced loss, for its derivatives."""
        if mask is None:
            return 1.0 if self.reduction == "sum" else 1 / like.shape[1:].numel()
        seen = mask.to(like.dtype)
        n_seen = seen.flatten(1).sum(1).clamp(min=1).view(-1, *[1] * (like.dim() - 1))
        return seen if self.reduction == "sum" else seen / n_seen


@dataclass(frozen=True, kw_only=True)
class Bernoulli(_OverFeatures):
    """Cross-entropy between grey values in [0, 1] and logits.

    E = mean over features of log(1 + exp(y)) - x y, in nats per feature ("mean") or nats per sample
    ("sum"). Grey data have a positive floor, the entropy of x itself: judge quality by the excess
    over `floor(x)`.

    Args:
        reduction: "mean" over features, or "sum" (the negative log-likelihood, which a posterior
            needs).

    Example:
        >>> import torch
        >>> Bernoulli().per_sample(torch.zeros(1, 4), torch.full((1, 4), 0.5))
        tensor([0.6931])

    Source: Flouris et al. 2024 (arXiv 2412.00864) train and encode with the mean over pixels.
    """

    def per_sample(self, output: Data, x: Data, mask: Mask | None = None) -> PerSample:
        """Energy of each sample; `mask` is True where x is observed."""
        return self._reduce(_softplus(output) - x * output, mask)

    def curvature(self, output: Data, mask: Mask | None = None) -> Data:
        """Diagonal of the second derivative in y.

        P (1 - p) times the weight of a feature, p = sigmoid(y).
        """
        p = torch.sigmoid(output)
        return p * (1 - p) * self._weight(output, mask)

    def mean(self, output: Tensor) -> Tensor:
        """Mean in data space: sigmoid(y)."""
        return torch.sigmoid(output)

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Lowest energy any decoder can reach: the entropy of the grey values."""
        return self._reduce(-(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)), mask)

    def check_data(self, x: Tensor) -> None:
        """Refuse finite values outside [0, 1], for which the energy has no lower bound."""
        finite = x[torch.isfinite(x)]
        low, high = (finite.min().item(), finite.max().item()) if finite.numel() else (0.0, 1.0)
        wanted = (
            f"`x` must lie in [0, 1] for the Bernoulli loss, got values from {low:.4g} to "
            f"{high:.4g}."
        )
        remedy = "Rescale it (pixels: x / 255), or use `loss=gfe.Gaussian()` for unbounded data."
        checks.require(low >= 0 and high <= 1, f"{wanted} {remedy}")


@dataclass(frozen=True, kw_only=True)
class Gaussian(_OverFeatures):
    """Squared error as a negative log-likelihood.

    E = |x - y|^2 / (2 variance), without its constant.

    Plain squared error is `Gaussian(variance=0.5, reduction="sum")`.

    Args:
        variance: of the noise, in squared data units, > 0.
        reduction: "mean" over features or "sum".

    Example:
        >>> import torch
        >>> squares = Gaussian(variance=0.5, reduction="sum")
        >>> squares.per_sample(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([25.])
    """

    variance: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.finite_positive("variance", self.variance)

    def per_sample(self, output: Data, x: Data, mask: Mask | None = None) -> PerSample:
        """Energy of each sample; `mask` is True where x is observed."""
        return self._reduce((x - output).square() / (2 * self.variance), mask)

    def curvature(self, output: Data, mask: Mask | None = None) -> Data:
        """Diagonal of the second derivative in y: 1 / variance times the weight of a feature."""
        return torch.ones_like(output) / self.variance * self._weight(output, mask)

    def mean(self, output: Tensor) -> Tensor:
        """Mean in data space: the output itself."""
        return output

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Lowest energy any decoder can reach: zero."""
        return x.new_zeros(len(x))

    def check_data(self, x: Tensor) -> None:
        """Every finite value is allowed."""


def _softplus(y: Tensor) -> Tensor:
    """log(1 + exp(y)).

    Torch takes it for y itself above the threshold: at 40 that is exact in float64 too.
    """
    return F.softplus(y, threshold=40.0)
