"""Losses: the distance of the decoder's output from a sample, one number for each sample.

A loss reads the decoder's raw output (logits for Bernoulli) and never averages over the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gfe_core import checks
from gfe_core.types import Data, Mask, PerSample

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True, kw_only=True)
class _OverFeatures:
    """The base class of the losses: a sum or a mean over the observed features of a sample."""

    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        wanted = "`reduction` must be 'mean' (per feature) or 'sum' (per sample)"
        known = isinstance(self.reduction, str) and self.reduction in ("mean", "sum")
        checks.require(known, f"{wanted}, got {self.reduction!r}.")

    def _reduce(self, elements: Tensor, mask: Tensor | None) -> Tensor:
        """Sum or average over all axes but the batch, counting observed features only."""
        seen = (elements if mask is None else torch.where(mask, elements, 0.0)).flatten(1)
        if self.reduction == "sum":
            return seen.sum(1)
        return seen.mean(1) if mask is None else seen.sum(1) / mask.flatten(1).sum(1).clamp(min=1)

    def _weight(self, like: Tensor, mask: Tensor | None) -> Tensor | float:
        """Return the weight of one feature in the reduced loss, for its derivatives."""
        if mask is None:
            return 1.0 if self.reduction == "sum" else 1 / like.shape[1:].numel()
        seen = mask.to(like.dtype)
        n_seen = seen.flatten(1).sum(1).clamp(min=1).view(-1, *[1] * (like.dim() - 1))
        return seen if self.reduction == "sum" else seen / n_seen


@dataclass(frozen=True, kw_only=True)
class Bernoulli(_OverFeatures):
    """Cross-entropy between grey values in [0, 1] and logits.

    E = mean over features of log(1 + exp(y)) - x y, in nats per feature ("mean") or nats per sample
    ("sum"). Grey data have a positive floor, the entropy of x itself, so quality is measured by the
    excess over `floor(x)`.

    Args:
        reduction: "mean" over features, or "sum" (the negative log-likelihood, which a posterior
            needs).

    Example:
        >>> import torch
        >>> Bernoulli().per_sample(torch.zeros(1, 4), torch.full((1, 4), 0.5))
        tensor([0.6931])

    Source: Flouris et al. 2024 (arXiv 2412.00864), who train and encode with the mean over pixels.
    """

    def per_sample(self, output: Data, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the energy of each sample; `mask` is True where x is observed."""
        _compared(output, x)
        output = _where_seen(output, mask)
        return self._reduce(_softplus(output) - x * output, mask)

    def curvature(self, output: Data, mask: Mask | None = None) -> Data:
        """Return the diagonal of the second derivative in y.

        It is p (1 - p) times the weight of a feature, with p = sigmoid(y).
        """
        p = torch.sigmoid(_where_seen(output, mask))
        return p * (1 - p) * self._weight(output, mask)

    def mean(self, output: Tensor) -> Tensor:
        """Return the mean in data space: sigmoid(y)."""
        return torch.sigmoid(output)

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the lowest energy that any decoder can reach: the entropy of the grey values."""
        return self._reduce(-(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)), mask)

    def check_data(self, x: Tensor) -> None:
        """Refuse finite values outside [0, 1], for which the energy has no lower bound."""
        finite = x[torch.isfinite(x)]
        low, high = (finite.min().item(), finite.max().item()) if finite.numel() else (0.0, 1.0)
        wanted = (
            f"`x` must lie in [0, 1] for the Bernoulli loss, got values from {low:.4g} to "
            f"{high:.4g}."
        )
        beyond = max(-low, high - 1)
        remedy = "Rescale it (pixels: x / 255), or use `loss=gfe.Gaussian()` for unbounded data."
        if beyond < 1e-3:
            remedy = (
                f"It exceeds the range by {beyond:.1e}; if that is rounding, pass `x.clamp(0, 1)`."
            )
        checks.require(beyond <= 0, f"{wanted} {remedy}")


@dataclass(frozen=True, kw_only=True)
class Gaussian(_OverFeatures):
    """Squared error as a negative log-likelihood.

    E = mean over features of (x - y)^2 / (2 variance), or their sum with `reduction="sum"`, without
    the constant of the log-likelihood.

    The plain squared error is `Gaussian(variance=0.5, reduction="sum")`.

    Args:
        variance: variance of the noise, in squared data units, > 0: one number, or one for each
            feature, in the shape of a sample (a sequence, an array, a tensor or a series in the
            order of the features; kept as a tuple).
        reduction: "mean" over features or "sum".

    Example:
        >>> import torch
        >>> squares = Gaussian(variance=0.5, reduction="sum")
        >>> squares.per_sample(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([25.])
        >>> Gaussian(variance=torch.tensor([0.5, 8.0]))
        Gaussian(reduction='mean', variance=(0.5, 8.0))
    """

    variance: float | Sequence[Any] | np.ndarray | Tensor = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "variance", _numbers("variance", self.variance))

    def per_sample(self, output: Data, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the energy of each sample; `mask` is True where x is observed."""
        _compared(output, x)
        output = _where_seen(output, mask)
        return self._reduce((x - output).square() / (2 * self._variance(output)), mask)

    def curvature(self, output: Data, mask: Mask | None = None) -> Data:
        """Return the diagonal of the second derivative in y: weight of a feature / variance."""
        return torch.ones_like(output) / self._variance(output) * self._weight(output, mask)

    def mean(self, output: Tensor) -> Tensor:
        """Return the mean in data space: the output itself."""
        return output

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the lowest energy that any decoder can reach: zero."""
        return x.new_zeros(len(x))

    def check_data(self, x: Tensor) -> None:
        """Accept every finite value."""

    def _variance(self, like: Tensor) -> Any:
        """Return the variance: one number, or a tensor with one number for each feature."""
        if not isinstance(self.variance, tuple):
            return self.variance
        variance = _tensor(self.variance, like.dtype, like.device)
        expected = tuple(like.shape[1:])
        wanted = f"`variance` must be one number, or one for each feature in shape {expected}"
        checks.require(
            tuple(variance.shape) == expected, f"{wanted}, got shape {tuple(variance.shape)}."
        )
        return variance


@dataclass(frozen=True, kw_only=True)
class Poisson(_OverFeatures):
    """Negative log-likelihood of counts whose log-rate is the output.

    E = mean over features of exp(y) - x y + log x!, in nats per feature ("mean") or nats per sample
    ("sum"). Counts have a positive floor, so quality is measured by the excess over `floor(x)`.

    Args:
        reduction: "mean" over features, or "sum" (the negative log-likelihood).

    Example:
        >>> import torch
        >>> Poisson().per_sample(torch.zeros(1, 4), torch.ones(1, 4))
        tensor([1.])
    """

    def per_sample(self, output: Data, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the energy of each sample; `mask` is True where x is observed."""
        _compared(output, x)
        output = _where_seen(output, mask)
        return self._reduce(output.exp() - x * output + torch.lgamma(x + 1), mask)

    def curvature(self, output: Data, mask: Mask | None = None) -> Data:
        """Return the diagonal of the second derivative in y: weight of a feature * rate."""
        return _where_seen(output, mask).exp() * self._weight(output, mask)

    def mean(self, output: Tensor) -> Tensor:
        """Return the mean in data space, the rate exp(y)."""
        return output.exp()

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the lowest energy that any decoder can reach: the energy at the rate x."""
        return self._reduce(x - torch.xlogy(x, x) + torch.lgamma(x + 1), mask)

    def check_data(self, x: Tensor) -> None:
        """Refuse finite values below 0, which are not counts."""
        finite = x[torch.isfinite(x)]
        low = finite.min().item() if finite.numel() else 0.0
        remedy = "Pass counts, or use `loss=gfe.Gaussian()` for data of either sign."
        checks.require(
            low >= 0, f"`x` must be at least 0 for the Poisson loss, got {low:.4g}. {remedy}"
        )


def _compared(output: Tensor, x: Tensor) -> None:
    """Refuse an output that would be broadcast against the data."""
    checks.require(
        output.shape == x.shape,
        f"`output` must have the shape of `x`, {tuple(x.shape)}, got {tuple(output.shape)}. "
        "Reshape one: `output.reshape(x.shape)`.",
    )


def _where_seen(output: Tensor, mask: Tensor | None) -> Tensor:
    """Return the output, 0 where unobserved: an overflow there would make the gradient 0 inf."""
    return output if mask is None else torch.where(mask, output, 0.0)


def _numbers(name: str, value: Any) -> Any:
    """Return one positive number as a float, or a nested tuple of positive numbers."""
    if isinstance(value, (int, float)):
        checks.finite_positive(name, value)
        return value if type(value) in (int, float) else float(value)
    value = checks.unlabelled(name, value)
    try:
        tensor = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"`{name}` must be one number or one for each feature, got {value!r}."
        ) from error
    sound = bool((tensor.isfinite() & (tensor > 0)).all()) and tensor.numel() > 0
    checks.require(sound, f"`{name}` must be positive finite numbers, got {value!r}.")
    return _nested(tensor.tolist())


def _nested(values: Any) -> Any:
    return tuple(map(_nested, values)) if isinstance(values, list) else values


@lru_cache(maxsize=8)
def _tensor(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers as a cached tensor, made outside inference mode, as autograd may need it."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def _softplus(y: Tensor) -> Tensor:
    """Return log(1 + exp(y)).

    Above the threshold torch replaces it by y itself, which at 40 is exact in float64 too.
    """
    return F.softplus(y, threshold=40.0)
