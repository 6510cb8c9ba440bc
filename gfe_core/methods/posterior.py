"""Doubt: which codes explain a sample nearly as well as the best, by Laplace's approximation.

    p(z | x) = exp(-E(z)) p(z) / evidence,    E = the summed loss of observed features,    p(z) =
    N(m, P^-1)

`laplace` follows the flow down E - log p to modes and puts a Gaussian of precision J' W J + P at
each. What it is not: the whole posterior. It knows the modes that its starts lead to, and each only
by its curvature; Gauss-Newton leaves out the decoder's own, with which the matrix may be indefinite
and no Gaussian's. Grey values under `Bernoulli` are no coin tosses: there exp(-E) is no likelihood
of the data, and the posterior a generalised one, of a width set by convention.

Shapes: `basin` starts, the heaviest mode first; `batch` samples; `latent` the size of a code;
    `draw` random codes.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gfe_core import arguments, checks, threads
from gfe_core.data.contexts import rows_of as context_rows
from gfe_core.data.samples import Samples, mask_for, rows_of, samples_for
from gfe_core.encoding import encode, reconstruct
from gfe_core.energy import Bernoulli, Energy
from gfe_core.methods.doubling import averages
from gfe_core.solvers import GaussNewton, Solver
from gfe_core.types import AnyLoss, Codes, Context, Data, Decoder, Mask, PerSample, Status

_SAME_MODE = 0.5
"""Distance in standard deviations below which two modes count as one.

More than a stop rule leaves of the way.
"""
_N_LOOKED_AT = 16
"""Samples by which the loss of a stranger is judged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianPrior:
    """A normal distribution of codes; as a `penalty` it is (z - m)' P (z - m) / 2, in nats.

    Args:
        mean: m, in latent units.
        precision: P, the inverse of the covariance; a ValueError refuses what is not symmetric and
            positive definite.

    Example:
        >>> prior = GaussianPrior.standard(2)
        >>> prior(torch.tensor([[3.0, 4.0]]))
        tensor([12.5000])
    """

    mean: Float[Tensor, "latent"]
    precision: Float[Tensor, "latent latent"]

    def __post_init__(self) -> None:
        for name in ("mean", "precision"):
            value = getattr(self, name)
            floats = isinstance(value, Tensor) and value.is_floating_point()
            remedy = f"Convert it: `torch.as_tensor({name}, dtype=torch.float32)`."
            wanted = f"`{name}` must be a tensor of floats"
            got = checks.described(value)
            checks.require(floats, f"{wanted}, got {got}. {remedy}", TypeError)
        P = self.precision
        got = f"{tuple(self.mean.shape)} and {tuple(self.precision.shape)}"
        fits = P.shape == 2 * self.mean.shape and bool(
            self.mean.isfinite().all() & P.isfinite().all()
        )
        symmetric = fits and torch.allclose(P, P.T, atol=1e-4 * P.abs().max().item())
        sound = symmetric and not torch.linalg.cholesky_ex(P).info
        wanted = (
            "`mean` (latent,) must be finite, `precision` (latent, latent) symmetric and "
            "positive definite"
        )
        checks.require(
            sound, f"{wanted}, got shapes {got}. From a covariance: `torch.linalg.inv(covariance)`."
        )

    @classmethod
    def standard(cls, latent_dim: int, *, dtype: torch.dtype = torch.float32) -> "GaussianPrior":
        """Build N(0, I)."""
        checks.at_least_one("latent_dim", latent_dim)
        return cls(
            mean=torch.zeros(latent_dim, dtype=dtype), precision=torch.eye(latent_dim, dtype=dtype)
        )

    @classmethod
    def fit(cls, z: Float[Tensor, "n latent"], *, ridge: float = 0.0) -> "GaussianPrior":
        """Take mean and covariance from codes, with `ridge` >= 0 added to each variance.

        A ValueError refuses codes that are not finite, or vary too little in some direction for a
        covariance.
        """
        z = checks.codes(rows_of(z, "z"))
        checks.number("ridge", ridge)
        n, latent = z.shape
        checks.require(
            bool(z.isfinite().all()),
            "`z` has NaN or infinity. Leave out: `z[z.isfinite().all(1)]`.",
        )
        checks.require(
            0 <= ridge < torch.inf, f"`ridge` must be at least 0 and finite, got {ridge}."
        )
        least = 2 if ridge else latent + 1
        remedy = "Pass more codes, or a `ridge` above 0."
        checks.require(
            n >= least,
            f"`z` must hold at least {least} codes of {latent} latents, got {n}. {remedy}",
        )
        covariance = z.T.cov().reshape(latent, latent) + ridge * torch.eye(latent).to(z)
        low, high = torch.linalg.eigvalsh(covariance)[[0, -1]].tolist()
        spread_out = low > latent * torch.finfo(z.dtype).eps * high
        checks.require(
            spread_out,
            f"`z` varies by {high:.3g} in one direction, by {low:.3g} in another. {remedy}",
        )
        return cls(
            mean=z.mean(0), precision=torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        )

    def __call__(self, z: Codes) -> PerSample:
        """Minus the log density, without its constant."""
        away = z - self.mean
        return 0.5 * ((away @ self.precision) * away).sum(1)

    def log_prob(self, z: Codes) -> PerSample:
        """Log density with its constant, in nats."""
        n = len(self.mean)
        return 0.5 * (self.precision.logdet() - n * math.log(2 * math.pi)) - self(z)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "draw latent"]:
        """Draw n codes."""
        return self.mean + _deviations(self.precision, n, generator)


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """What `laplace` knows of each sample: a mixture of Gaussians, one for each basin.

    Args:
        z: modes, that of the heaviest basin first; NaN where the flow failed.
        precision: of the Gaussian at each mode.
        log_mass: log of the integral of exp(-E) p over each basin; -inf where the flow failed or
            met a heavier mode.
        status: `Status` codes; at MAX_STEPS a mode was not quite reached.
        loss: by which the modes were found: it says what the decoder's output means.
    """

    z: Float[Tensor, "basin batch latent"]
    precision: Float[Tensor, "basin batch latent latent"]
    log_mass: Float[Tensor, "basin batch"]
    status: Int[Tensor, "basin batch"]
    loss: AnyLoss | None = None

    @property
    def best(self) -> Codes:
        """Mode of the heaviest basin."""
        return self.z[0]

    @property
    def covariance(self) -> Float[Tensor, "basin batch latent latent"]:
        """Covariance within each basin."""
        return torch.cholesky_inverse(torch.linalg.cholesky(self.precision))

    @property
    def log_evidence(self) -> PerSample:
        """Log of the integral of exp(-E) p(z).

        Log p(x), up to the constant that `Gaussian` leaves out of E.
        """
        return self.log_mass.logsumexp(0)

    @property
    def log_weight(self) -> Float[Tensor, "basin batch"]:
        """Log of each basin's share; -inf for all where every flow failed."""
        return self.log_mass - self.log_evidence.nan_to_num(neginf=0.0)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "draw batch latent"]:
        """Draw n codes for each sample: a basin by its weight, then from its Gaussian.

        NaN where every flow failed.
        """
        shape = (n, *self.log_mass.shape)
        race = torch.empty(shape, device=generator.device, dtype=torch.float32).exponential_(
            generator=generator
        )
        basin = (self.log_weight - race.to(self.z).log()).argmax(
            1
        )  # the first of waiting times of rates by weight
        return (self.z + _deviations(self.precision, n, generator)).take_along_dim(
            basin[:, None, :, None], 1
        )[:, 0]

    def level(self, z: Codes) -> PerSample:
        """Probability content of the smallest ellipsoid around the main mode that holds z.

        P(latent / 2, d^2 / 2) with d the distance from the mode in standard deviations and P the
        regularised incomplete gamma function: where the posterior is one Gaussian, true codes have
        levels uniform in [0, 1].
        """
        away = z - self.best
        d2 = torch.einsum("ni,nij,nj->n", away, self.precision[0], away)
        return torch.special.gammainc(torch.full_like(d2, z.shape[1] / 2), d2 / 2)


@arguments.in_own_words
def laplace(
    decoder: Decoder,
    x: Samples,
    *,
    prior: GaussianPrior,
    loss: AnyLoss | None = None,
    mask: Mask | None = None,
    solver: Solver | None = None,
    n_starts: int = 1,
    generator: torch.Generator | None = None,
    context: Context | None = None,
    **options: Any,
) -> Posterior:
    """Approximate the posterior of each code by Gaussians at the modes that the flow reaches.

    The integral of exp(-E) p over a basin is taken as exp(-E(z)) |P|^(1/2) exp(-(z - m)' P (z - m)
    / 2) |H|^(-1/2) at its mode z, with H = J' W J + P.

    Args:
        decoder: as for `encode`.
        x: as for `encode`.
        prior: of codes; the penalty of the flow.
        loss: with reduction="sum", `Bernoulli(reduction="sum")` by default.
        mask: True where x is observed; all of it by default.
        solver: `GaussNewton()` by default.
        n_starts: flows for each sample: the first from the origin, the others from draws of the
            prior.
        generator: source of these draws.
        context: of each sample, as for `encode`.
        options: of `encode`, all but `penalty` and `bounds`.

    Raises:
        TypeError, ValueError: as `encode` does; or a mean for a loss, a loss whose `curvature` is
            not that of its energy, a prior of other codes, no generator of starts.

    Example:
        >>> import gfe_core as gfe
        >>> decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64)
        >>> posterior = laplace(decoder, torch.rand(5, 64), prior=GaussianPrior.standard(2))
        >>> posterior.sample(100, torch.Generator().manual_seed(0)).shape
        torch.Size([100, 5, 2])

    Source: MacKay 1992, Neural Computation 4 (3); Bissiri, Holmes and Walker 2016 (arXiv
        1306.6430), for other losses.
    """
    arguments.loss_or_none(loss)
    if solver is not None:
        arguments.made("solver", solver)
    loss = loss or Bernoulli(reduction="sum")
    checks.require(
        "penalty" not in options,
        "`laplace` takes no `penalty`: the prior is the penalty of its flow. Pass `prior=`, or "
        "leave `penalty` out.",
        TypeError,
    )
    checks.require(
        options.get("bounds") is None,
        "`laplace` takes no `bounds`: a code at an edge of a box is no mode, and no Gaussian fits "
        "there. Leave `bounds` out, and keep codes near by `prior=`.",
        TypeError,
    )
    checks.decoder_ready(decoder)
    given, x = x, samples_for(decoder, x)
    mask = mask_for(given, x, mask)
    _fits(decoder, x, prior, loss)
    checks.at_least_one("n_starts", n_starts)
    checks.generator("generator", generator)
    lack = (
        f"`generator` must be given to draw {n_starts - 1} starts. Pass a seeded "
        "`torch.Generator()`."
    )
    checks.require(n_starts == 1 or generator is not None, lack)
    draws = [prior.sample(len(x), generator) for _ in range(n_starts - 1)] if generator else []
    find = partial(
        encode,
        decoder,
        x,
        mask=mask,
        solver=solver or GaussNewton(),
        penalty=prior,
        loss=loss,
        context=context,
        **options,
    )
    with threads.suited(decoder), torch.inference_mode(False), torch.no_grad():
        found = [find(), *(find(z0=z0) for z0 in draws)]
        z, energy, status = (
            torch.stack([getattr(each, name) for each in found])
            for name in ("z", "energy", "status")
        )
        misfit = Energy(decoder, x, loss, mask=mask, context=context)
        if not misfit.loss.is_kit and len(x):
            few = torch.arange(min(len(x), _N_LOOKED_AT), device=x.device)
            _sums(misfit.rows(few), z[0, few], context_rows(context, few))
            _bends_so(misfit.rows(few), z[0, few])
        precision = torch.stack([misfit.gauss_newton(each.z) for each in found]) + prior.precision
    failed = torch.stack([status == each for each in Status if each.failed]).any(0)
    good = ~failed & energy.isfinite() & precision.isfinite().flatten(2).all(2)
    precision = torch.where(good[..., None, None], precision, prior.precision)
    log_mass = torch.where(
        good, 0.5 * (prior.precision.logdet() - precision.logdet()) - energy, -torch.inf
    )
    modes = torch.where(good[..., None], z, torch.nan)
    return replace(_heaviest_first(modes, precision, log_mass, status), loss=loss)


@arguments.in_own_words
def spread(
    decoder: Decoder,
    posterior: Posterior,
    *,
    loss: AnyLoss | None = None,
    n: int = 100,
    generator: torch.Generator,
    context: Context | None = None,
) -> tuple[Data, Data]:
    """Mean and standard deviation, in data space, of n codes drawn from the posterior.

    The noise of data around a decoded code is no part of it. One draw of all samples is decoded at
    a time.

    Args:
        decoder: as for `laplace`.
        posterior: of the samples.
        loss: decides what an output means; by default that of the posterior.
        n: draws, >= 2 or a ValueError; the mean is uncertain by std / sqrt(n).
        generator: source of the draws.
        context: of each sample, if the decoder takes one.
    """
    held = isinstance(posterior, Posterior)
    got = checks.described(posterior)
    checks.require(held, f"`posterior` must be what `laplace` returned, got {got}.", TypeError)
    checks.generator("generator", generator, needed=True)
    checks.whole("n", n)
    checks.require(n >= 2, f"`n` must be at least 2 for a standard deviation, got {n}.")
    mean = squares = posterior.z.new_zeros(())
    for i, z in enumerate(posterior.sample(n, generator), start=1):
        drawn = reconstruct(decoder, z, posterior.loss if loss is None else loss, context=context)
        away = drawn - mean
        mean = mean + away / i
        squares = squares + away * (drawn - mean)  # Welford's sums: no difference of large numbers
    return mean, (squares / (n - 1)).sqrt()


def _fits(decoder: Any, x: Any, prior: GaussianPrior, loss: Any) -> None:
    """Refuse what makes no posterior; the rest is refused by `encode`."""
    wanted = (
        f"`loss` must be a sum over features to be a log-likelihood, got {loss}. Use "
        "`reduction='sum'`."
    )
    checks.require(getattr(loss, "reduction", "sum") == "sum", wanted)
    check_prior(prior, decoder.latent_dim, x.dtype)


def check_prior(prior: Any, latent_dim: int, dtype: torch.dtype) -> None:
    """Refuse what is no prior of codes of this size and type."""
    checks.require(
        isinstance(prior, GaussianPrior),
        f"`prior` must be a `GaussianPrior`, got {checks.described(prior)}. Write "
        f"`prior=gfe.posterior.GaussianPrior.standard({latent_dim})`.",
        TypeError,
    )
    expected = ((latent_dim,), dtype)
    got = (tuple(prior.mean.shape), prior.mean.dtype)
    checks.require(
        got == expected, f"`prior` must be of codes of shape and type {expected}, got {got}."
    )


def _sums(misfit: Energy, z: Codes, context: Context | None) -> None:
    """Refuse a stranger's loss that averages over features: it is the same of each feature twice.

    One that knows no other shape than that of the data, or has no features to count, is believed.
    """
    loss = misfit.loss
    if misfit.data.dim() < 2:
        return
    checks.require(
        not averages(
            partial(loss.per_sample, context=context), misfit.output(z.nan_to_num()), misfit.data
        ),
        f"`loss` {arguments.called(loss.given)} averages over features, so that it is no "
        "log-likelihood: the doubt would be too wide by the root of their number. Sum them: "
        "`.flatten(1).sum(1)`.",
    )


def _bends_so(misfit: Energy, z: Codes) -> None:
    """Refuse a stranger's `curvature` that is not the second derivative of its energy."""
    said, true = misfit.curvatures(z.nan_to_num())
    apart = (said - true).abs().nan_to_num(0, 0, 0).max()
    size = true.abs().nan_to_num(0, 0, 0).max()
    # twice differentiated rounding, in units of the largest
    fits = bool(apart <= 10 * torch.finfo(true.dtype).eps ** 0.5 * size)
    checks.require(
        fits,
        f"`loss.curvature` of {arguments.called(misfit.loss.given)} is not the second derivative "
        "of its `per_sample`, from which the width of a posterior follows. Leave `curvature` "
        "out: it is then derived.",
    )


def _heaviest_first(z: Tensor, precision: Tensor, log_mass: Tensor, status: Tensor) -> Posterior:
    """Sort the basins of each sample.

    Of those with the same mode all but the heaviest lose their mass.
    """
    order = log_mass.argsort(0, descending=True)
    z = z.take_along_dim(order[..., None], 0)
    precision = precision.take_along_dim(order[..., None, None], 0)
    away = z - z[:, None]
    near = torch.einsum("abni,anij,abnj->nab", away, precision, away) < _SAME_MODE**2
    repeated = near.triu(1).any(1).T
    log_mass = torch.where(repeated, -torch.inf, log_mass.take_along_dim(order, 0))
    return Posterior(
        z=z, precision=precision, log_mass=log_mass, status=status.take_along_dim(order, 0)
    )


def _deviations(precision: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n vectors (first axis) from each normal distribution of mean 0 and this precision."""
    noise = torch.randn(
        *precision.shape[:-1],
        n,
        dtype=precision.dtype,
        device=generator.device,
        generator=generator,
    )
    root = torch.linalg.cholesky(precision).mT
    return torch.linalg.solve_triangular(root, noise.to(root.device), upper=True).movedim(-1, 0)
