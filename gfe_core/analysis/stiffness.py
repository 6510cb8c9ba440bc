"""Stiffness: how curved an energy is, and how long a step of an explicit solver may be.

    decoder, z, x  ->  spectrum of the latent Hessian  ->  stability_limit of a solver  ->
    check_grid of its steps

The largest curvature limits a step; it changes with the length of codes. The condition number is
roughly the number of such steps that the flattest direction needs; it does not depend on the length
of codes.

Shapes: `batch` samples; `latent` the size of a code; `time` steps of a grid.
"""

import math
import warnings
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gfe_core import arguments, checks, threads
from gfe_core.data.samples import (
    Samples,
    context_for,
    in_same_order,
    mask_for,
    samples_for,
    start_like,
)
from gfe_core.energy import Energy
from gfe_core.flows import GradientFlow
from gfe_core.solvers import AMD, BFGS, LBFGS, RK4, Dopri5, Euler, GaussNewton, SemiImplicit, Solver
from gfe_core.solvers.runge_kutta import FixedGrid
from gfe_core.types import (
    AnyLoss,
    Codes,
    Context,
    Decoder,
    Descent,
    Mask,
    Penalty,
    PerSample,
)

_CHUNK = 128
"""Number of rows whose graph of second derivatives is held at once.

A multiple of the number of rows that `Energy` pads to.
"""

_SHRINKS = 60
"""Number of trial distances, each 0.8 of the previous one: down to a millionth of the first."""

_REAL_AXIS: dict[type, float] = {Euler: 2.0, RK4: 2.7852935634, Dopri5: 3.3065678926}
_REAL_AXIS |= dict.fromkeys(
    (AMD, BFGS, LBFGS, GaussNewton), math.inf
)  # these refuse steps that do not lower the energy
"""Largest h with |R(-h)| <= 1, where a step of dt multiplies a mode exp(mu t) by R(dt mu).

Here mu = -alpha lambda.
"""

_IMAGINARY_AXIS: dict[type, float] = {
    RK4: 2 * math.sqrt(2),
    Dopri5: 0.9971,
    SemiImplicit: 2.0,
    AMD: math.inf,
}
"""Largest h with |R(ih)| <= 1.

A mode of a flow without friction oscillates, with mu = i sqrt(alpha lambda).
"""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Curvatures at a code, in ascending order, in energy per squared latent unit.

    They are NaN if the Hessian is not finite.
    """

    eigenvalues: Float[Tensor, "batch latent"]

    @property
    def largest(self) -> PerSample:
        """lambda_max, the curvature that limits explicit steps."""
        return self.eigenvalues[:, -1]

    @property
    def smallest(self) -> PerSample:
        """lambda_min, negative if the code is not a minimum."""
        return self.eigenvalues[:, 0]

    @property
    def n_negative(self) -> Int[Tensor, "batch"]:
        """Number of directions of negative curvature, along which a flow moves away.

        Values within rounding of 0 are not counted.
        """
        return (self.eigenvalues < -self._rounding[:, None]).sum(1)

    @property
    def condition_number(self) -> PerSample:
        """lambda_max / lambda_min, at least 1.

        This is the ratio of the slowest to the fastest time of decay.

        It is infinite if a direction is flat to within rounding, and NaN if `n_negative` > 0, as
        not every direction decays there.
        """
        ratio = torch.where(self.smallest > self._rounding, self.largest / self.smallest, math.inf)
        return torch.where((self.n_negative > 0) | self.largest.isnan(), math.nan, ratio)

    @property
    def _rounding(self) -> PerSample:
        """Bound on the rounding error of an eigenvalue of 0."""
        size = self.eigenvalues.abs().amax(1)
        return self.eigenvalues.shape[1] * torch.finfo(size.dtype).eps * size


@arguments.in_own_words
def spectrum(
    decoder: Decoder,
    z: Codes,
    x: Samples,
    *,
    loss: AnyLoss | None = None,
    mask: Mask | None = None,
    penalty: Penalty | None = None,
    context: Context | None = None,
) -> Spectrum:
    """Compute the eigenvalues of the exact Hessian H = d2E/dz2 for each sample at its code.

    Args:
        decoder: decoder that maps codes (batch, latent) to data (batch, *data).
        z: codes, not necessarily minima.
        x: data.
        loss: loss of the energy; `Bernoulli()` by default.
        mask: True where x is observed; everywhere by default.
        penalty: function z -> (batch,), added to the energy.
        context: context of each sample, as for `encode`.
    """
    checks.decoder_ready(decoder)
    checks.draws_nothing(decoder)
    given, x = x, samples_for(decoder, x)
    mask = mask_for(given, x, mask)
    checks.observed(x, mask)
    arguments.loss_or_none(loss)
    arguments.penalty_function(penalty)
    in_same_order("z", z, "x", given)
    z = checks.start_for(decoder, x, start_like(decoder, z, x, "z"), name="z")
    context = context_for(context, x, given)
    energy = Energy(decoder, x, loss, mask=mask, penalty=penalty, context=context)
    energy.loss.check_data(x, mask)
    rows = torch.arange(len(x), device=x.device).split(_CHUNK)
    with threads.suited(decoder):
        return Spectrum(
            torch.cat([_eigenvalues(energy.rows(part).hessian(z[part])) for part in rows])
        )


def _eigenvalues(hessian: Tensor) -> Tensor:
    """Return ascending eigenvalues; NaN for a matrix that is not finite, which LAPACK refuses."""
    finite = hessian.isfinite().all(2).all(1)[:, None]
    symmetric = torch.where(finite[:, :, None], (hessian + hessian.mT) / 2, 0.0)
    eigenvalues = torch.linalg.eigvalsh(threads.wide(symmetric)).to(hessian.dtype)
    return torch.where(finite, eigenvalues, math.nan)


@dataclass(frozen=True, eq=False)
class Displacement:
    """Codes that were moved along the steepest direction, in latent units.

    Args:
        start: z + a v, the codes after the move.
        direction: v, the unit eigenvector of the largest eigenvalue.
        distance: a, positive.
        largest: lambda_max at z.
    """

    start: Codes
    direction: Codes
    distance: PerSample
    largest: PerSample


@arguments.in_own_words
def displaced(
    decoder: Decoder,
    z: Codes,
    x: Samples,
    *,
    loss: AnyLoss | None = None,
    within: float = 0.05,
) -> Displacement:
    """Move codes at minima along their steepest direction, as far as the energy is a parabola.

        start = z + a v,   H(z) v = lambda_max v,   |v| = 1

    a is the largest of the sizes s, 0.8 s, 0.8^2 s, ... for which E(z + k a v) - E(z) differs from
    lambda_max (k a)^2 / 2 by at most the fraction `within` of it, for k = +-1, +-2 and +-4. From
    this start, Euler steps show the limit dt lambda_max = 2 before the valley bends.

    Args:
        decoder: decoder that maps codes (batch, latent) to data (batch, *data).
        z: codes at minima, to high precision: best in float64, found with a small `grad_norm`.
        x: data.
        loss: loss of the energy; `Bernoulli()` by default.
        within: largest relative difference, between 0 and 1.

    Example:
        >>> import torch
        >>> import gfe_core as gfe
        >>> decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
        >>> x = torch.zeros(1, 3)
        >>> moved = displaced(decoder, torch.zeros(1, 2), x, loss=gfe.Gaussian())
        >>> torch.allclose((moved.start @ moved.direction.T)[:, 0], moved.distance)
        True
    """
    within = checks.fraction("within", within)
    checks.decoder_ready(decoder)
    checks.draws_nothing(decoder)
    x = samples_for(decoder, x)
    z = checks.start_for(decoder, x, z, name="z")
    energy = Energy(decoder, x, loss)
    with threads.suited(decoder):
        hessian = energy.hessian(z)
        curvatures, directions = (
            part.to(z.dtype) for part in torch.linalg.eigh(threads.wide((hessian + hessian.mT) / 2))
        )
        largest = curvatures[:, -1].clamp_min(torch.finfo(z.dtype).tiny)
        direction = directions[:, :, -1]
        distance = _parabola(energy, z, direction, largest, within)
    return Displacement(z + distance[:, None] * direction, direction, distance, largest)


def _parabola(
    energy: Energy, z: Codes, direction: Codes, largest: PerSample, within: float
) -> PerSample:
    """Shrink a distance until the energy is a parabola up to four times that distance."""
    lowest = energy.value(z)
    distance = (2 * lowest.abs().clamp_min(torch.finfo(z.dtype).tiny) / largest).sqrt()
    for _ in range(_SHRINKS):
        bent = torch.zeros_like(largest, dtype=torch.bool)
        for k in (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0):
            step = k * distance
            rise = energy.value(z + step[:, None] * direction) - lowest
            bent |= ~((rise / (largest * step.square() / 2) - 1).abs() <= within)
        if not bent.any():
            break
        distance = torch.where(bent, 0.8 * distance, distance)
    return distance


def stability_limit(
    solver: Solver, largest: PerSample, flow: Descent | None = None, t: float | Tensor = 0.0
) -> PerSample:
    """Compute the largest step with which a solver remains stable near a minimum.

        gradient flow    dt <= h / (alpha(t) lambda_max)       h = 2 Euler, 2.785 RK4, 3.307 Dopri5
        Nesterov flow    dt <= h / sqrt(alpha(t) lambda_max)   h = 2 SemiImplicit, 2.828 RK4,
                                                               0.997 Dopri5
                         dt <= damping / (t alpha(t) lambda_max)   Euler

    Euler's limit on the Nesterov flow shrinks with t, so that every fixed step exceeds it at last.
    The other Nesterov limits neglect friction, which decays like 1 / t. Friction dominates the
    first steps, where it does no harm.

    Args:
        solver: explicit solver, or one that refuses bad steps (AMD, BFGS, LBFGS, GaussNewton),
            which has no limit.
        largest: lambda_max of each sample, as `Spectrum.largest`.
        flow: flow of the codes; `GradientFlow()` by default.
        t: flow time at which the step starts, for decaying rates and for friction; a number or one
            for each sample.

    Returns:
        dt in flow units; infinite where there is no limit or no positive curvature.

    Raises:
        TypeError: the limit of this solver on this flow is unknown.

    Example:
        >>> import torch
        >>> import gfe_core as gfe
        >>> gfe.stiffness.stability_limit(gfe.Euler(dt=1.0), torch.tensor([1.0, 4.0]))
        tensor([2.0000, 0.5000])

    Source: Hairer & Wanner 1996, Solving Ordinary Differential Equations II, section IV.2.
    """
    flow = flow or GradientFlow()
    checks.descent("stability_limit", flow)
    t = torch.as_tensor(t).to(largest).expand_as(largest)
    curvature = flow.alpha(t) * largest
    second = flow.order > 1
    if second and isinstance(solver, Euler):
        limit = 1 / (_friction(flow, t).reciprocal() * curvature)
    elif second:
        limit = _reach(_IMAGINARY_AXIS, solver, flow) / curvature.sqrt()
    else:
        limit = _reach(_REAL_AXIS, solver, flow) / curvature
    return torch.where(curvature <= 0, math.inf, limit)


def _friction(flow: Any, t: PerSample) -> PerSample:
    """Return the friction of a flow of second order."""
    checks.accelerated("stability_limit", flow)
    return flow.friction(t)


def _reach(table: dict[type, float], solver: Solver, flow: Descent) -> float:
    """Return the entry of a solver, or of its parent class, in a table."""
    reaches = [reach for kind, reach in table.items() if isinstance(solver, kind)]
    wanted = (
        f"`solver` must be one of {', '.join(kind.__name__ for kind in table)} on "
        f"{type(flow).__name__}"
    )
    checks.require(
        len(reaches) > 0, f"{wanted}, got {solver}. Use one of these, or another `flow`.", TypeError
    )
    return reaches[0]


@dataclass(frozen=True, eq=False)
class GridCheck:
    """Steps and their stability limits in flow units; a step is 0 after a sample's last."""

    dt: Float[Tensor, "time batch"]
    limit: Float[Tensor, "time batch"]

    @property
    def ratio(self) -> Float[Tensor, "time batch"]:
        """Each step divided by its limit.

        A step with a ratio above 1 leads away from the minimum along the steepest direction.
        """
        return self.dt / self.limit

    @property
    def worst(self) -> PerSample:
        """Largest ratio of a step to its limit; NaN if a limit is NaN."""
        return self.ratio.amax(0)

    @property
    def first_step(self) -> Int[Tensor, "batch"]:
        """Index from 0 of the first step beyond its limit (or whose limit is NaN).

        The index is -1 if there is no such step.
        """
        beyond = ~(self.ratio <= 1 + 1e-6)  # rounding alone does not make a step too long
        return torch.where(beyond.any(0), beyond.int().argmax(0), -1)

    @property
    def breaks(self) -> Bool[Tensor, "batch"]:
        """Whether any step is beyond its limit."""
        return self.first_step >= 0


def check_grid(
    solver: Euler | RK4 | SemiImplicit,
    t1: float,
    largest: PerSample,
    flow: Descent | None = None,
) -> GridCheck:
    """Compare each step of a fixed grid with its stability limit; warn if one is too long.

    The criterion is alpha(t_k) dt_k lambda_max. With a constant rate, a log-spaced grid first
    becomes unstable at its last steps; with a decaying rate, possibly elsewhere. The check is valid
    for the decoder with which lambda_max was measured.

    Args:
        solver: solver with a fixed grid: Euler, RK4 or SemiImplicit.
        t1: end time in flow units; `math.inf` for recorded `steps`.
        largest: lambda_max of each sample.
        flow: flow of the codes; `GradientFlow()` by default.

    Raises:
        TypeError, ValueError: the solver has no grid, or no known limit on this flow, or t1 is
            invalid.
    """
    wanted = (
        f"`solver` must have a fixed grid, got {solver}. Check its steps: "
        "`Euler(steps=trajectory.dt)`."
    )
    checks.require(isinstance(solver, FixedGrid), wanted, TypeError)
    dt = solver.schedule(largest[:, None], t1)
    limits = [stability_limit(solver, largest, flow, t) for t in dt.cumsum(0) - dt]
    grid = GridCheck(dt, torch.stack(limits))
    if grid.breaks.any():
        warnings.warn(_complaint(solver, grid), stacklevel=2)
    return grid


def _complaint(solver: FixedGrid, grid: GridCheck) -> str:
    """Describe the worst step of the worst sample, its limit and the remedies."""
    sample = int(grid.worst.nan_to_num(nan=math.inf).argmax())
    step = int(grid.ratio[:, sample].argmax())
    dt = grid.dt[step, sample].item()
    limit = grid.limit[step, sample].item()
    smaller = "a smaller `log_base`, " if solver.grid == "log" else ""
    return (
        f"{type(solver).__name__} is unstable for {int(grid.breaks.sum())} of "
        f"{grid.dt.shape[1]} samples: step {step} "
        f"of {len(grid.dt)} (from 0) is dt = {dt:.4g}, the limit for sample {sample} is "
        f"{limit:.4g} flow units. Take "
        f"more steps, {smaller}or a solver without a limit, such as `AMD()` or, on the "
        "gradient flow, `GaussNewton()`."
    )


def rescaled(decoder: Decoder, c: float) -> Any:
    """Copy a decoder so that the copy maps c z to the output that the decoder has at z.

    The images stay the same, and codes are c times as long. The weights of the first linear layer
    are divided by c, so every curvature of the energy is divided by c^2.

    Args:
        decoder: decoder that begins with a linear layer, such as `MLPDecoder`, `LinearDecoder` or
            `ConvDecoder`; others are refused.
        c: factor of the length of codes, > 0.
    """
    checks.decoder_ready(decoder)
    c = checks.finite_positive("c", c)
    copy = deepcopy(decoder)
    modules = copy.modules() if isinstance(copy, nn.Module) else ()
    first = next((module for module in modules if isinstance(module, nn.Linear)), None)
    if first is None or first.in_features != decoder.latent_dim:
        raise TypeError(
            "`decoder` must begin with a linear layer of its codes. Wrap it in a module that "
            "decodes z / c."
        )
    first.weight.data.div_(c)
    return copy
