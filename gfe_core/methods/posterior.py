"""Posteriors: codes that explain a sample nearly as well as the best, by Laplace's approximation.

    p(z | x) = exp(-E(z)) p(z) / evidence,    E = the summed loss of observed features,    p(z) =
    N(m, P^-1)

`laplace` follows the flow down E - log p to modes and puts a Gaussian of precision J' W J + P at
each. The result is not the whole posterior. It covers only modes that its starts lead to, and each
only by its curvature. Gauss-Newton omits the decoder's own curvature, with which the matrix could
be indefinite and would not define a Gaussian. Grey values under `Bernoulli` are not coin tosses:
exp(-E) is then not a likelihood of the data, and the posterior is a generalised one whose width is
a convention.

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
from gfe_core.data.contexts import changed
from gfe_core.data.contexts import rows_of as context_rows
from gfe_core.data.samples import (
    Samples,
    context_for,
    mask_for,
    own_floats,
    samples_for,
    table_of_codes,
)
from gfe_core.encoding import encode, reconstruct
from gfe_core.energy import Bernoulli, Energy, context_taken
from gfe_core.methods.doubling import averages
from gfe_core.solvers import GaussNewton, Solver
from gfe_core.solvers.chunks import not_reached
from gfe_core.types import AnyLoss, Codes, Context, Data, Decoder, Mask, PerSample, Status

_SAME_MODE = 0.5
"""Distance in standard deviations below which two modes count as one.

It is larger than the distance from the mode at which a stop rule ends.
"""
_N_LOOKED_AT = 16
"""Number of samples on which a user's loss is tested."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianPrior:
    """A normal distribution of codes; as a `penalty` it is (z - m)' P (z - m) / 2, in nats.

    Tensors are copied, but for those that require a gradient: a prior that learns follows them.

    Args:
        mean: m, in latent units; a tensor, an array or a series.
        precision: P, the inverse of the covariance, of the float type of m; a ValueError is raised
            if it is not symmetric and positive definite.

    Codes are of its size and float type; others are refused.

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
            checks.code_order(name, checks.labels_of(value))
            if hasattr(value, "__array__") or hasattr(value, "to_numpy"):
                value = own_floats(checks.unlabelled(name, value), name)
            object.__setattr__(self, name, checks.own(name, value))
            floats = isinstance(value, Tensor) and value.is_floating_point()
            remedy = f"Convert it: `torch.as_tensor({name}, dtype=torch.float32)`."
            wanted = f"`{name}` must be a tensor of floats"
            got = checks.described(value)
            checks.require(floats, f"{wanted}, got {got}. {remedy}", TypeError)
        P = self.precision
        checks.require(
            P.dtype == self.mean.dtype,
            f"`mean` and `precision` must have one float type, got {self.mean.dtype} and {P.dtype}."
            f" Convert one: `precision.to({self.mean.dtype})`.",
            TypeError,
        )
        got = f"{tuple(self.mean.shape)} and {tuple(self.precision.shape)}"
        shaped = self.mean.dim() == 1 and P.shape == 2 * self.mean.shape
        fits = shaped and bool(self.mean.isfinite().all() & P.isfinite().all())
        symmetric = fits and torch.allclose(P, P.T, atol=1e-4 * P.abs().max().item())
        sound = symmetric and not torch.linalg.cholesky_ex(threads.wide(P)).info
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
        latent_dim = checks.at_least_one("latent_dim", latent_dim)
        return cls(
            mean=torch.zeros(latent_dim, dtype=dtype), precision=torch.eye(latent_dim, dtype=dtype)
        )

    @classmethod
    def fit(cls, z: Float[Tensor, "n latent"], *, ridge: float = 0.0) -> "GaussianPrior":
        """Take mean and covariance from codes, with `ridge` >= 0 added to each variance.

        The prior has the float type of the codes, also of those in an array. A ValueError is
        raised for codes that are not finite, or vary too little in a direction for a covariance.
        """
        z = table_of_codes(z)
        ridge = checks.number("ridge", ridge)
        n, latent = z.shape
        checks.require(
            bool(z.isfinite().all()),
            "`z` has NaN or infinity. Leave them out: `z[z.isfinite().all(1)]`.",
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
        low, high = torch.linalg.eigvalsh(threads.wide(covariance))[[0, -1]].tolist()
        spread_out = low > latent * torch.finfo(z.dtype).eps * high
        checks.require(
            spread_out,
            f"`z` varies by {high:.3g} in one direction, by {low:.3g} in another. {remedy}",
        )
        return cls(mean=z.mean(0), precision=_inverse(covariance))

    def __call__(self, z: Codes) -> PerSample:
        """Return minus the log density, without its constant."""
        # Every step of a flow calls this: the message is built only where it is needed.
        fits = isinstance(z, Tensor) and z.dim() == 2
        if not (fits and z.shape[1] == len(self.mean) and z.dtype == self.mean.dtype):
            self._refuse(z)
        away = z - self.mean
        return 0.5 * ((away @ self.precision) * away).sum(1)

    def log_prob(self, z: Codes) -> PerSample:
        """Return the log density with its constant, in nats."""
        constant = 0.5 * (_logdet(self.precision) - len(self.mean) * math.log(2 * math.pi))
        return constant.to(self.mean) - self(z)

    def _refuse(self, z: Any) -> None:
        """Say why these are no codes of this prior."""
        codes = checks.codes(z)
        n, kind = len(self.mean), self.mean.dtype
        wanted = f"`z` must be codes of this prior, of shape (n, {n}) and {kind}"
        got = f"got {tuple(codes.shape)} and {codes.dtype}"
        standard = f"GaussianPrior.standard({codes.shape[1]}, dtype={codes.dtype})"
        raise ValueError(f"{wanted}, {got}. Build a prior of such codes: `{standard}`.")

    @arguments.in_own_words
    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "draw latent"]:
        """Draw n codes."""
        checks.at_least_zero("n", n)
        return self.mean + _deviations(self.precision, n, generator)


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """The result of `laplace` for each sample: a mixture of Gaussians, one for each basin.

    Args:
        z: modes, that of the heaviest basin first; NaN where the flow failed.
        precision: precision of the Gaussian at each mode.
        log_mass: log of the integral of exp(-E) p over each basin; -inf where the flow failed or
            reached the same mode as a heavier basin.
        status: `Status` codes; at MAX_STEPS a mode was not quite reached.
        loss: loss by which the modes were found; it defines the meaning of the decoder's output.
        context: context of each sample, with which the modes were found.
    """

    z: Float[Tensor, "basin batch latent"]
    precision: Float[Tensor, "basin batch latent latent"]
    log_mass: Float[Tensor, "basin batch"]
    status: Int[Tensor, "basin batch"]
    loss: AnyLoss | None = None
    context: Context | None = None

    @property
    def best(self) -> Codes:
        """Mode of the heaviest basin."""
        return self.z[0]

    @property
    def covariance(self) -> Float[Tensor, "basin batch latent latent"]:
        """Covariance within each basin."""
        return _inverse(self.precision)

    @property
    def log_evidence(self) -> PerSample:
        """Log of the integral of exp(-E) p(z).

        This is log p(x), up to the constant that `Gaussian` leaves out of E.
        """
        return self.log_mass.logsumexp(0)

    @property
    def log_weight(self) -> Float[Tensor, "basin batch"]:
        """Log of each basin's weight; -inf for all basins if every flow failed."""
        return self.log_mass - self.log_evidence.nan_to_num(neginf=0.0)

    @arguments.in_own_words
    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "draw batch latent"]:
        """Draw n codes for each sample: first a basin by its weight, then from its Gaussian.

        Codes are NaN if every flow failed.
        """
        checks.at_least_zero("n", n)
        shape = (n, *self.log_mass.shape)
        race = torch.empty(shape, device=generator.device, dtype=torch.float32).exponential_(
            generator=generator
        )
        # The shortest of exponential waiting times chooses a basin in proportion to its weight.
        basin = (self.log_weight - race.to(self.z).log()).argmax(1)
        return (self.z + _deviations(self.precision, n, generator)).take_along_dim(
            basin[:, None, :, None], 1
        )[:, 0]

    def level(self, z: Float[Tensor, "*draw batch latent"]) -> Float[Tensor, "*draw batch"]:
        """Return the probability content of the smallest ellipsoid around the main mode through z.

        z are codes of the samples, or draws of them such as `sample` returns.

        It is P(latent / 2, d^2 / 2) with d the distance from the mode in standard deviations and P
        the regularised incomplete gamma function. If the posterior is one Gaussian, true codes have
        levels that are uniform in [0, 1].
        """
        shape = tuple(self.best.shape)
        fits = isinstance(z, Tensor) and z.shape[-2:] == shape and z.dtype == self.best.dtype
        checks.require(
            fits,
            f"`z` must be codes of the samples, of shape {shape} and {self.best.dtype}, or draws "
            f"of them, got {checks.described(z)}.",
        )
        away = z - self.best
        d2 = torch.einsum("...ni,nij,...nj->...n", away, self.precision[0], away)
        return torch.special.gammainc(torch.full_like(d2, z.shape[-1] / 2), d2 / 2)


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
        decoder: decoder, as for `encode`.
        x: data, as for `encode`.
        prior: prior of codes; the penalty of the flow.
        loss: loss with reduction="sum", `Bernoulli(reduction="sum")` by default.
        mask: True where x is observed; everywhere by default.
        solver: solver of the flow; `GaussNewton()` by default.
        n_starts: number of flows for each sample: the first from the origin, the others from draws
            of the prior. An interrupt of a call with `size` ends them all: the status of flows that
            were not made is NOT_REACHED, and the others are kept.
        generator: source of these draws.
        context: context of each sample, as for `encode`.
        options: options of `encode`, all but `penalty` and `bounds`.

    Raises:
        TypeError, ValueError: as in `encode`; also if the loss is a mean, its `curvature` is not
            that of its energy, the prior is for other codes, or starts need a generator.

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
        "`laplace` takes no `bounds`: a code at the edge of a box is not a mode, and no Gaussian "
        "fits there. Leave `bounds` out, and limit codes by `prior=`.",
        TypeError,
    )
    checks.decoder_ready(decoder)
    given, x = x, samples_for(decoder, x)
    mask = mask_for(given, x, mask)
    context = context_for(context, x, given)
    _fits(decoder, x, prior, loss)
    checks.at_least_one("n_starts", n_starts)
    checks.generator("generator", generator)
    message = (
        f"`generator` must be given to draw {n_starts - 1} starts. Pass a seeded "
        "`torch.Generator()`."
    )
    checks.require(n_starts == 1 or generator is not None, message)
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
        runs = [find()]
        for z0 in draws:
            interrupted = bool((runs[-1].status == int(Status.NOT_REACHED)).any())
            runs.append(not_reached(z0, runs[-1]) if interrupted else find(z0=z0))
        z, energy, status = (
            torch.stack([getattr(each, name) for each in runs])
            for name in ("z", "energy", "status")
        )
        misfit = Energy(decoder, x, loss, mask=mask, context=context)
        if not misfit.loss.is_kit and len(x):
            tested = torch.arange(min(len(x), _N_LOOKED_AT), device=x.device)
            _sums(misfit.rows(tested), z[0, tested], context_rows(context, tested))
            _bends_so(misfit.rows(tested), z[0, tested])
        precision = torch.stack([misfit.gauss_newton(each.z) for each in runs]) + prior.precision
    failed = torch.stack([status == each for each in Status if each.failed]).any(0)
    good = ~failed & energy.isfinite() & precision.isfinite().flatten(2).all(2)
    precision = torch.where(good[..., None, None], precision, prior.precision)
    log_mass = torch.where(
        good, 0.5 * _logdet_ratio(prior.precision, precision) - energy, -torch.inf
    )
    modes = torch.where(good[..., None], z, torch.nan)
    context = changed(context, partial(checks.own, "context"))
    return replace(_heaviest_first(modes, precision, log_mass, status), loss=loss, context=context)


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
    """Return mean and standard deviation, in data space, of n codes drawn from the posterior.

    The noise of data around a decoded code is not included. One draw of all samples is decoded at a
    time.

    Args:
        decoder: decoder, as for `laplace`.
        posterior: posterior of the samples.
        loss: loss that defines the meaning of an output; by default the loss of the posterior.
        n: number of draws, >= 2 or a ValueError; the standard error of the mean is std / sqrt(n).
        generator: source of the draws.
        context: context of each sample, if the decoder takes one; by default that of the posterior.
    """
    held = isinstance(posterior, Posterior)
    got = checks.described(posterior)
    checks.require(held, f"`posterior` must be the result of `laplace`, got {got}.", TypeError)
    checks.generator("generator", generator, needed=True)
    checks.whole("n", n)
    checks.require(n >= 2, f"`n` must be at least 2 for a standard deviation, got {n}.")
    loss = posterior.loss if loss is None else loss
    if context is None:
        context = context_taken(decoder, loss, posterior.context)
    mean = squares = posterior.z.new_zeros(())
    for i, z in enumerate(posterior.sample(n, generator), start=1):
        drawn = reconstruct(decoder, z, loss, context=context)
        away = drawn - mean
        mean = mean + away / i
        # Welford's sums avoid differences of large numbers.
        squares = squares + away * (drawn - mean)
    return mean, (squares / (n - 1)).sqrt()


def _fits(decoder: Any, x: Any, prior: GaussianPrior, loss: Any) -> None:
    """Refuse arguments that define no posterior; `encode` refuses the rest."""
    checks.summed("loss", loss, "to be a log-likelihood")
    check_prior(prior, decoder.latent_dim, x.dtype)


def check_prior(prior: Any, latent_dim: int, dtype: torch.dtype) -> None:
    """Refuse anything but a prior of codes of this size and type."""
    line = f"`prior=gfe.posterior.GaussianPrior.standard({latent_dim}, dtype={dtype})`"
    checks.require(
        isinstance(prior, GaussianPrior),
        f"`prior` must be a `GaussianPrior`, got {checks.described(prior)}. Write {line}.",
        TypeError,
    )
    expected = ((latent_dim,), dtype)
    got = (tuple(prior.mean.shape), prior.mean.dtype)
    parts = f"mean=prior.mean.to({dtype}), precision=prior.precision.to({dtype})"
    own = f"gfe.posterior.GaussianPrior({parts})"
    remedy = f"Convert it: `{own}`." if got[0] == expected[0] else f"Write {line}."
    checks.require(
        got == expected,
        f"`prior` must be of codes of shape and type {expected}, got {got}. {remedy}",
    )


def _sums(misfit: Energy, z: Codes, context: Context | None) -> None:
    """Refuse a user's loss that averages over features, tested by doubling each feature.

    A loss that accepts only the shape of the data, or data without features, passes the test.
    """
    loss = misfit.loss
    if misfit.data.dim() < 2:
        return
    checks.require(
        not averages(
            partial(loss.per_sample, context=context), misfit.output(z.nan_to_num()), misfit.data
        ),
        f"`loss` {arguments.called(loss.given)} averages over features, so it is not a "
        "log-likelihood: the posterior would be too wide by the root of their number. Sum them: "
        "`.flatten(1).sum(1)`.",
    )


def _bends_so(misfit: Energy, z: Codes) -> None:
    """Refuse a user's `curvature` that is not the second derivative of its energy."""
    given, true = misfit.curvatures(z.nan_to_num())
    apart = (given - true).abs().nan_to_num(0, 0, 0).max()
    size = true.abs().nan_to_num(0, 0, 0).max()
    # The bound is the root of the rounding of second derivatives, relative to the largest.
    fits = bool(apart <= 10 * torch.finfo(true.dtype).eps ** 0.5 * size)
    checks.require(
        fits,
        f"`loss.curvature` of {arguments.called(misfit.loss.given)} is not the second derivative "
        "of its `per_sample`, from which the width of a posterior follows. Leave `curvature` "
        "out: it is then derived.",
    )


def _heaviest_first(z: Tensor, precision: Tensor, log_mass: Tensor, status: Tensor) -> Posterior:
    """Sort the basins of each sample.

    If several have the same mode, all but the heaviest lose their mass.
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
    root = torch.linalg.cholesky(threads.wide(precision)).mT
    drawn = torch.linalg.solve_triangular(root, noise.to(root), upper=True)
    return drawn.movedim(-1, 0).to(precision.dtype)


def _inverse(matrix: Tensor) -> Tensor:
    """Return the inverses of positive definite matrices."""
    factor = torch.linalg.cholesky(threads.wide(matrix))
    return torch.cholesky_inverse(factor).to(matrix.dtype)


def _logdet(matrix: Tensor) -> Tensor:
    """Return the logs of the determinants of positive definite matrices; not in half precision."""
    return threads.wide(matrix).logdet()


def _logdet_ratio(one: Tensor, other: Tensor) -> Tensor:
    """Return log det one - log det other, rounded after the difference."""
    return (_logdet(one) - _logdet(other)).to(other.dtype)
