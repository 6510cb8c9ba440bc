"""A bound on the mean error, kept by a multiplier that moves while training goes on (GECO).

    min over theta, max over lambda of  cost(theta) + lambda (E[error] - threshold)

Training divides by lambda: it minimises error + weight * cost with weight = 1 / lambda, which has
the same minimum and steps of one size for any lambda.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gfe_core import checks


@dataclass(frozen=True, kw_only=True)
class Multiplicative:
    """lambda <- lambda exp(rate * violation), changed by a factor of at most `most`.

    Args:
        rate: per batch, > 0.
        most: largest factor of one batch, > 1: the first errors are many times the threshold.

    Source: Rezende and Viola 2018 (arXiv 1810.00597).
    """

    rate: float = 0.2
    most: float = 1.03

    def __post_init__(self) -> None:
        checks.finite_positive("rate", self.rate)
        checks.above_one("most", self.most)

    def __call__(self, multiplier: float, violation: float) -> float:
        """The next multiplier."""
        limit = math.log(self.most)
        return multiplier * math.exp(min(limit, max(-limit, self.rate * violation)))


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Gradient ascent in r, lambda = softplus(r)^2: r <- r + rate * violation * d lambda / dr.

    Args:
        rate: per batch, > 0.

    Source: De Boom et al. 2020 (arXiv 2003.10901) keep their multiplier positive in this way.
    """

    rate: float = 0.05

    def __post_init__(self) -> None:
        checks.finite_positive("rate", self.rate)

    def __call__(self, multiplier: float, violation: float) -> float:
        """The next multiplier."""
        root = math.sqrt(multiplier)
        slope = (
            -2 * root * math.expm1(-root)
        )  # 2 softplus(r) sigma(r), and sigma(r) = 1 - exp(-softplus(r))
        r = root + math.log(-math.expm1(-root)) + self.rate * violation * slope
        root = max(r, 0.0) + math.log1p(math.exp(-abs(r)))
        return root * root  # infinite where it must be: a power would raise OverflowError


class Constraint:
    """Mean error <= threshold, kept by a multiplier that grows while it is violated.

    Args:
        threshold: of the error of a sample, > 0, in its own units. It may be set anew at any time,
            by another thread too.
        update: (lambda, violation) -> lambda, `Multiplicative()` by default. The violation is
            (average - threshold) / threshold, a pure number, so that one rate fits data of any
            size.
        smoothing: of the moving average of errors, in [0, 1): 0.99 remembers about a hundred
            batches.
        bounds: of lambda, around 1, its first value. Without an upper one the large errors of the
            beginning raise it so far that nothing but the error counts for a long time.
        fall: largest factor by which lambda shrinks in one batch, > 1, whatever the update wants.
            What follows lambda needs time: gates take about a hundred batches to close. A
            multiplier that falls faster is far too small when the first has closed, and by then
            all are closing; the error stays above the threshold, since what is shut hardly
            reopens.

    Attributes:
        multiplier: lambda.
        weight: 1 / lambda, a tensor that changes in place: `Evidence(weight=constraint.weight)`
            follows it.
        average: moving average of the error; NaN before the first.
        was_met: whether the average ever was at most the threshold.

    Raises:
        ValueError: threshold, smoothing, bounds or fall make no sense.

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
        checks.finite_positive("threshold", threshold)
        checks.number("smoothing", smoothing)
        checks.require(0 <= smoothing < 1, f"`smoothing` must lie in [0, 1), got {smoothing}.")
        wanted = "`bounds` must be two numbers"
        pair = isinstance(bounds, (tuple, list)) and len(bounds) == 2
        checks.require(pair, f"{wanted}, got {checks.described(bounds)}.", TypeError)
        for bound in bounds:
            checks.number("bounds", bound)
        fits = update is None or (callable(update) and not isinstance(update, type))
        wanted = "`update` must be a function (multiplier, violation) -> multiplier"
        checks.require(fits, f"{wanted}, got {checks.described(update)}.", TypeError)
        around_one = 0 < bounds[0] <= 1 <= bounds[1] < math.inf
        checks.require(
            around_one, f"`bounds` must be positive and finite with 1 between them, got {bounds}."
        )
        checks.above_one("fall", fall)
        self.threshold = threshold
        self.fall = fall
        self.update = update or Multiplicative()
        self.smoothing = smoothing
        self.bounds = bounds
        self.multiplier = 1.0
        self.weight = torch.ones(())
        self.average = math.nan
        self.was_met = False

    @property
    def met(self) -> bool:
        """Whether the average is at most the threshold."""
        return self.average <= self.threshold

    def observe(self, error: float) -> None:
        """Take the mean error of a batch into the average, and move the multiplier.

        NaN and infinity are left out.
        """
        checks.finite_positive("threshold", self.threshold)  # it may have been set since
        if not math.isfinite(error):
            return
        before = error if math.isnan(self.average) else self.average
        self.average = self.smoothing * before + (1 - self.smoothing) * error
        self.was_met |= self.met
        wanted = self.update(self.multiplier, self.average / self.threshold - 1)
        wanted = max(wanted, self.multiplier / self.fall)
        self.multiplier = min(self.bounds[1], max(self.bounds[0], wanted))
        self.weight.fill_(1 / self.multiplier)
