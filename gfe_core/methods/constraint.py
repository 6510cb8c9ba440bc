"""A bound on the mean error, kept by a multiplier that adapts during training (GECO).

    min over theta, max over lambda of  cost(theta) + lambda (E[error] - threshold)

Training divides by lambda: it minimises error + weight * cost with weight = 1 / lambda, which has
the same minimum, and whose steps have the same size for any lambda.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gfe_core import checks
from gfe_core.arguments import in_own_words


@dataclass(frozen=True, kw_only=True)
class Multiplicative:
    """lambda <- lambda exp(rate * violation), changed by a factor of at most `most`.

    Args:
        rate: rate of change per batch, > 0.
        most: largest factor in one batch, > 1, because the first errors are many times the
            threshold.

    Source: Rezende and Viola 2018 (arXiv 1810.00597).
    """

    rate: float = 0.2
    most: float = 1.03

    def __post_init__(self) -> None:
        checks.as_python(self, checks.finite_positive, "rate")
        checks.as_python(self, checks.above_one, "most")

    def __call__(self, multiplier: float, violation: float) -> float:
        """Return the next multiplier."""
        limit = math.log(self.most)
        return multiplier * math.exp(min(limit, max(-limit, self.rate * violation)))


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Gradient ascent in r, lambda = softplus(r)^2: r <- r + rate * violation * d lambda / dr.

    Args:
        rate: step size per batch, > 0.

    Source: De Boom et al. 2020 (arXiv 2003.10901), who keep their multiplier positive in this way.
    """

    rate: float = 0.05

    def __post_init__(self) -> None:
        checks.as_python(self, checks.finite_positive, "rate")

    def __call__(self, multiplier: float, violation: float) -> float:
        """Return the next multiplier."""
        root = math.sqrt(multiplier)
        # 2 softplus(r) sigma(r), where sigma(r) = 1 - exp(-softplus(r)).
        slope = -2 * root * math.expm1(-root)
        r = root + math.log(-math.expm1(-root)) + self.rate * violation * slope
        root = max(r, 0.0) + math.log1p(math.exp(-abs(r)))
        return root * root  # may become infinite; a power would raise OverflowError


class Constraint:
    """Mean error <= threshold, kept by a multiplier that grows while it is violated.

    Args:
        threshold: bound on the error of a sample, > 0, in units of the error. It may be changed at
            any time, also by another thread.
        update: function (lambda, violation) -> lambda, `Multiplicative()` by default. The violation
            is (average - threshold) / threshold, a pure number, so that one rate suits data of any
            size.
        smoothing: weight of the past in the moving average of errors, in [0, 1): 0.99 averages over
            about a hundred batches.
        bounds: lower and upper bound of lambda; they must contain 1, its first value. Without an
            upper bound, the large errors of the first batches raise lambda so far that only the
            error counts for a long time.
        fall: largest factor by which lambda shrinks in one batch, > 1, whatever the update returns.
            Quantities that depend on lambda adapt slowly: gates take about a hundred batches to
            close. If lambda falls faster, it is far too small when the first gate has closed, and
            then all gates are closing. The error stays above the threshold, because closed gates
            hardly reopen.

    Attributes:
        multiplier: lambda.
        weight: 1 / lambda, a tensor that changes in place: `Evidence(weight=constraint.weight)`
            uses its current value.
        average: moving average of the error; NaN before the first batch.
        was_met: whether the average has ever been at most the threshold.

    Raises:
        ValueError: threshold, smoothing, bounds or fall are invalid.

    Example:
        >>> constraint = Constraint(10.0, smoothing=0.5)
        >>> for error in (14.0, 10.0, 6.0):
        ...     constraint.observe(error)
        >>> constraint.average, constraint.met
        (9.0, True)

    Source: Rezende and Viola 2018 (arXiv 1810.00597).
    """

    def __init__(
        self,
        threshold: float,
        *,
        update: Callable[[float, float], float] | None = None,
        smoothing: float = 0.99,
        bounds: tuple[float, float] = (1e-2, 1e2),
        fall: float = 1.005,
    ) -> None:
        smoothing = checks.number("smoothing", smoothing)
        checks.require(0 <= smoothing < 1, f"`smoothing` must lie in [0, 1), got {smoothing}.")
        wanted = "`bounds` must be two numbers"
        pair = isinstance(bounds, (tuple, list)) and len(bounds) == 2
        checks.require(pair, f"{wanted}, got {checks.described(bounds)}.", TypeError)
        low, high = (checks.number("bounds", bound) for bound in bounds)
        fits = update is None or (callable(update) and not isinstance(update, type))
        wanted = "`update` must be a function (multiplier, violation) -> multiplier"
        checks.require(fits, f"{wanted}, got {checks.described(update)}.", TypeError)
        around_one = 0 < low <= 1 <= high < math.inf
        checks.require(
            around_one, f"`bounds` must be positive and finite with 1 between them, got {bounds}."
        )
        self.threshold = checks.finite_positive("threshold", threshold)
        self.fall = checks.above_one("fall", fall)
        self.update = update or Multiplicative()
        self.smoothing = smoothing
        self.bounds = (low, high)
        self.multiplier = 1.0
        self.weight = torch.ones(())
        self.average = math.nan
        self.was_met = False

    @property
    def met(self) -> bool:
        """Whether the average is at most the threshold."""
        return self.average <= self.threshold

    @in_own_words
    def observe(self, error: float) -> None:
        """Add the mean error of a batch to the average, and update the multiplier.

        NaN and infinite errors are left out.
        """
        threshold = checks.finite_positive("threshold", self.threshold)  # it may have been changed
        if not math.isfinite(error):
            return
        before = error if math.isnan(self.average) else self.average
        self.average = self.smoothing * before + (1 - self.smoothing) * error
        self.was_met |= self.met
        proposed = self.update(self.multiplier, self.average / threshold - 1)
        proposed = max(proposed, self.multiplier / self.fall)
        self.multiplier = min(self.bounds[1], max(self.bounds[0], proposed))
        self.weight.fill_(1 / self.multiplier)
