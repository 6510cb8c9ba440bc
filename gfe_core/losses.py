"""Losses: how far the decoder's output is from a sample, one number for each sample.

A loss reads the decoder's raw output (logits for Bernoulli) and never averages over the batch.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from gfe_core import checks

Reduction = Literal["mean", "sum"]


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"`reduction` must be 'mean' (per feature) or 'sum' (per sample), got {reduction!r}.")


def _reduce(elements: Tensor, mask: Tensor | None, reduction: Reduction) -> Tensor:
    """Sum or average over everything but the batch, counting observed features only."""
    flat = elements.flatten(1)
    if mask is None:
        return flat.mean(1) if reduction == "mean" else flat.sum(1)
    seen = mask.flatten(1)
    total = torch.where(seen, flat, 0.0).sum(1)
    return total / seen.sum(1).clamp(min=1) if reduction == "mean" else total


def _weight(like: Tensor, mask: Tensor | None, reduction: Reduction) -> Tensor | float:
    """Weight of one feature in the reduced loss, for its derivatives."""
    if mask is None:
        return 1.0 / like[0].numel() if reduction == "mean" else 1.0
    seen = mask.to(like.dtype)
    if reduction == "sum":
        return seen
    return seen / seen.flatten(1).sum(1).clamp(min=1).view(-1, *[1] * (like.dim() - 1))


@dataclass(frozen=True, kw_only=True)
class Bernoulli:
    """Cross-entropy between grey values in [0, 1] and logits.

    E = mean over features of log(1 + exp(y)) - x y, in nats per feature ("mean") or nats per sample ("sum").
    Grey data have a positive floor, the entropy of x itself: judge quality by the excess over `floor(x)`.

    Args:
        reduction: "mean" over features, or "sum" (the negative log-likelihood, which a posterior needs).

    Example:
        >>> import torch
        >>> Bernoulli().per_sample(torch.zeros(1, 4), torch.full((1, 4), 0.5))
        tensor([0.6931])

    Source: Flouris et al. 2024 (arXiv 2412.00864) train and encode with the mean over pixels.
    """

    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self.reduction)

    def per_sample(
        self,
        output: Float[Tensor, "batch *data"],
        x: Float[Tensor, "batch *data"],
        mask: Bool[Tensor, "batch *data"] | None = None,
    ) -> Float[Tensor, "batch"]:
        """Energy of each sample; `mask` is True where x is observed."""
        return _reduce(F.softplus(output) - x * output, mask, self.reduction)

    def gradient(
        self,
        output: Float[Tensor, "batch *data"],
        x: Float[Tensor, "batch *data"],
        mask: Bool[Tensor, "batch *data"] | None = None,
    ) -> Float[Tensor, "batch *data"]:
        """Derivative dE/dy = (sigmoid(y) - x) times the weight of a feature."""
        return (torch.sigmoid(output) - x) * _weight(output, mask, self.reduction)

    def curvature(
        self, output: Float[Tensor, "batch *data"], mask: Bool[Tensor, "batch *data"] | None = None
    ) -> Float[Tensor, "batch *data"]:
        """Diagonal of the second derivative in y: p (1 - p) times the weight of a feature, p = sigmoid(y)."""
        p = torch.sigmoid(output)
        return p * (1 - p) * _weight(output, mask, self.reduction)

    def mean(self, output: Tensor) -> Tensor:
        """Mean in data space: sigmoid(y)."""
        return torch.sigmoid(output)

    def floor(
        self, x: Float[Tensor, "batch *data"], mask: Bool[Tensor, "batch *data"] | None = None
    ) -> Float[Tensor, "batch"]:
        """Lowest energy any decoder can reach: the entropy of the grey values."""
        return _reduce(-(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)), mask, self.reduction)

    def check_data(self, x: Tensor) -> None:
        """Refuse finite values outside [0, 1], for which the energy has no lower bound."""
        finite = x[torch.isfinite(x)]
        if finite.numel() and (finite.min() < 0 or finite.max() > 1):
            low, high = finite.min().item(), finite.max().item()
            raise ValueError(
                f"`x` must lie in [0, 1] for the Bernoulli loss, got values from {low:.4g} to {high:.4g}. "
                "Rescale it (pixels: x / 255), or use `loss=gfe.Gaussian()` for unbounded data."
            )


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Squared error as a negative log-likelihood: E = |x - y|^2 / (2 variance), without its constant.

    Plain squared error is `Gaussian(variance=0.5, reduction="sum")`.

    Args:
        variance: of the noise, in squared data units, > 0.
        reduction: "mean" over features or "sum".

    Example:
        >>> import torch
        >>> Gaussian(variance=0.5, reduction="sum").per_sample(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([25.])
    """

    variance: float = 1.0
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self.reduction)
        checks.finite_positive("variance", self.variance)

    def per_sample(
        self,
        output: Float[Tensor, "batch *data"],
        x: Float[Tensor, "batch *data"],
        mask: Bool[Tensor, "batch *data"] | None = None,
    ) -> Float[Tensor, "batch"]:
        """Energy of each sample; `mask` is True where x is observed."""
        return _reduce((x - output).square() / (2 * self.variance), mask, self.reduction)

    def gradient(
        self,
        output: Float[Tensor, "batch *data"],
        x: Float[Tensor, "batch *data"],
        mask: Bool[Tensor, "batch *data"] | None = None,
    ) -> Float[Tensor, "batch *data"]:
        """Derivative dE/dy = (y - x) / variance times the weight of a feature."""
        return (output - x) / self.variance * _weight(output, mask, self.reduction)

    def curvature(
        self, output: Float[Tensor, "batch *data"], mask: Bool[Tensor, "batch *data"] | None = None
    ) -> Float[Tensor, "batch *data"]:
        """Diagonal of the second derivative in y: 1 / variance times the weight of a feature."""
        return torch.ones_like(output) / self.variance * _weight(output, mask, self.reduction)

    def mean(self, output: Tensor) -> Tensor:
        """Mean in data space: the output itself."""
        return output

    def floor(
        self, x: Float[Tensor, "batch *data"], mask: Bool[Tensor, "batch *data"] | None = None
    ) -> Float[Tensor, "batch"]:
        """Lowest energy any decoder can reach: zero."""
        return x.new_zeros(len(x))

    def check_data(self, x: Tensor) -> None:
        """Every finite value is allowed."""
