"""Density: how probable a sample is among the outputs of a decoder whose codes have a prior.

    log p(x) = log p(z) - log det(J'J) / 2,    x = D(z) in data space,    J = dx/dz

The prior gives the density of codes in the latent space. The decoder maps the codes to a sheet in
data space, which is a curve for one latent; where it stretches, the density is lower. So p is a
density per unit of length, area or volume *within* the sheet, in units of the data, and integrates
to 1 over it. It is not a density of the surrounding space: samples off the sheet have none.

Shapes: `batch` samples; `latent` the size of a code; `features` the values of a sample.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import arguments, checks, threads
from gfe_core.data.contexts import changed, lengthened, rows_of
from gfe_core.encoding import decoding
from gfe_core.energy import TANGENT_ROWS, Calls, Gaussian, tangents_of
from gfe_core.energy.padding import padded, row_multiple
from gfe_core.methods.posterior import GaussianPrior, check_prior
from gfe_core.methods.variational import Evidence
from gfe_core.solvers.chunks import chunk_rows
from gfe_core.types import AnyLoss, Codes, Context, Data, Decoder, Encoding, Mask, PerSample, Status

_ROUNDING = 32
"""Width of unit tangents, in units of rounding, up to which J'J counts as singular.

Layers add up to about 9 units.
"""


@arguments.in_own_words
def log_density(
    decoder: Decoder,
    z: Codes | np.ndarray | Encoding,
    loss: AnyLoss | None = None,
    *,
    prior: GaussianPrior | None = None,
    context: Context | None = None,
) -> PerSample:
    """Return the log density of decoded codes, with respect to length, area or volume.

    log p(x) = log p(z) - log det(J'J) / 2, x = mean(D(z)) and J = dx/dz. For an encoding it is the
    density of each sample's projection on the sheet of the decoder's outputs.

    The value is meaningless

    - if x is not on the sheet: the residual x - reconstruct(decoder, enc) measures its distance;
    - if codes do not follow the prior. Most decoders are trained without a prior, and codes may
      have any scale: compare their spread, `enc.z.std(0)`, with the prior, or fit a prior to the
      codes of training data, `prior=gfe.posterior.GaussianPrior.fit(enc.z)`;
    - if the sheet folds or crosses itself: other codes with the same output add their own density,
      and are not searched for;
    - if J'J is singular; see the returned values.

    Args:
        decoder: decoder that maps codes to raw outputs; it needs second derivatives, as for
            `GaussNewton`.
        z: an encoding, which holds its loss, or bare codes (batch, latent), which need `loss`.
        loss: loss whose mean maps outputs to data, in whose units the density is given: grey values
            for `Bernoulli()`, not logits. By default the loss of the encoding.
        prior: prior of codes; the standard normal by default. For a prior of another class, compute
            its log density minus `log_volume(decoder, z)`.
        context: context of each sample, if the decoder takes one: the density is conditional on it.
            By default that of the encoding.

    Returns:
        Nats, without a graph. +inf if J'J is singular up to rounding, since a whole interval of
        codes has the same output; NaN if J is not finite, and if the flow of an encoding failed.
        If J'J is nearly singular, as where a decoder of one latent saturates, the value is large
        and unreliable.

    Raises:
        ValueError: a sample has fewer features than a code, or no loss is given.
        TypeError, ValueError: an argument is invalid; the message says what to write.

    Example:
        >>> import gfe_core as gfe
        >>> circle = gfe.pretrained("circle")
        >>> x = gfe.data.load("circle", "test").x[:5]
        >>> enc = gfe.encode(circle.decoder, x, loss=circle.loss)
        >>> log_density(circle.decoder, enc).shape
        torch.Size([5])

    Source: Ben-Israel 1999, SIAM J. Matrix Anal. Appl. 21 (1), for the change of variables with
        J'J; Gemici, Rezende and Mohamed 2016 (arXiv 1611.02304).
    """
    codes, volume = _volumes("log_density", decoder, z, loss, context)
    if prior is not None:
        check_prior(prior, decoder.latent_dim, codes.dtype)
    with threads.suited(decoder), torch.no_grad():
        density = (_log_normal(codes) if prior is None else prior.log_prob(codes)) - volume
    if not isinstance(z, Encoding):
        return density
    failed = torch.stack([z.status == each for each in Status if each.failed]).any(0)
    return torch.where(failed, torch.nan, density)


@arguments.in_own_words
def log_volume(
    decoder: Decoder,
    z: Codes | np.ndarray | Encoding,
    loss: AnyLoss | None = None,
    *,
    context: Context | None = None,
) -> PerSample:
    """Return the log of the decoder's volume factor, log det(J'J) / 2.

    In data space J = d mean(D(z)) / dz. With one latent it is the log of the speed with which a
    sample moves along its curve. For an `InvertibleDecoder` and `Gaussian()` it is `log_det(z)`.

    Args:
        decoder: decoder, as for `log_density`.
        z: encoding or codes, as for `log_density`.
        loss: loss, as for `log_density`.
        context: context, as for `log_density`.

    Returns:
        A log, in units of (data units / latent unit)^latent. -inf if J'J is singular up to
        rounding. The test uses tangents of unit length, so that the units of each latent do not
        matter. NaN if J is not finite.

    Raises:
        TypeError, ValueError: as in `log_density`.

    Example:
        >>> import gfe_core as gfe
        >>> decoder = gfe.LinearDecoder(latent_dim=1, data_dim=2)
        >>> _ = decoder.linear.weight.data.copy_(torch.tensor([[3.0], [4.0]]))
        >>> speed = log_volume(decoder, torch.zeros(1, 1), gfe.Gaussian()).exp()
        >>> round(speed.item(), 4)
        5.0
    """
    return _volumes("log_volume", decoder, z, loss, context)[1]


class WithDensity(nn.Module):
    """A decoder with one more output: minus the log density of the sample.

    The prior of codes is N(0, I). A loss can thus read the density, and `fit` and `encode` follow
    its gradient (`Likelihood`).

    Args:
        decoder: decoder of rows with a differentiable method `log_det(z)`: an `InvertibleDecoder`.

    Example:
        >>> import gfe_core as gfe
        >>> decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2)
        >>> WithDensity(decoder)(torch.zeros(5, 1)).shape
        torch.Size([5, 3])
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        checks.returns_rows(decoder)
        knows = callable(getattr(decoder, "log_det", None))
        remedy = "Pass a `gfe.InvertibleDecoder`; for others, use `log_density` after training."
        checks.require(
            knows,
            f"`decoder` must have a method `log_det(z)`, got {type(decoder).__name__}. {remedy}",
            TypeError,
        )
        self.decoder = decoder
        self.row_multiple = row_multiple(decoder)
        self.latent_dim = decoder.latent_dim
        self.data_shape = tuple(decoder.data_shape)
        self.raw_shape = (math.prod(self.data_shape) + 1,)
        self.image_shape = getattr(decoder, "image_shape", None)

    def log_prob(self, z: Codes) -> PerSample:
        """Return the log density of decoded codes, in nats."""
        volume = self.decoder.log_det(z)  # refuses anything but codes
        return _log_normal(z) - volume

    def forward(self, z: Codes) -> Float[Tensor, "batch outputs"]:
        """Return the outputs, then minus the log density in nats."""
        return torch.cat([self.decoder(z), -self.log_prob(z)[:, None]], 1)


@dataclass(frozen=True, kw_only=True)
class Likelihood(Evidence):
    """Misfit minus log density of a `WithDensity` decoder, in nats per sample.

    E = -log p(x | z) - weight * log p(D(z)): samples lie on the sheet with the density that the
    decoder gives it, plus noise. `encode` finds the most probable point of the sheet, and `fit`
    moves the sheet through the data so that their codes are normal.

    E has no lower bound: a density is infinite where D has derivative 0. If the noise is nearly as
    wide as the data, training shrinks the sheet to a point. Use a variance well below that of the
    data and small updates, and check `log_volume` afterwards.

    Args:
        likelihood: loss for the noise, with reduction="sum"; `Gaussian(reduction="sum")`, with
            variance 1, by default. The smaller the variance, the nearer the sheet is to the data.
        weight: weight of the log density, >= 0.
    """

    likelihood: AnyLoss = field(default_factory=lambda: Gaussian(reduction="sum"))

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Return zero: no lower bound is known, because a density has no upper bound."""
        return x.new_zeros(len(x))


def _volumes(
    verb: str, decoder: Decoder, z: Any, loss: AnyLoss | None, context: Context | None
) -> tuple[Codes, PerSample]:
    """Return codes and log volumes, computed for a few samples at a time."""
    codes, context, calls = decoding(f"density.{verb}", decoder, z, loss, context)
    n_latents, n_features = codes.shape[1], math.prod(decoder.data_shape)
    checks.require(
        n_latents <= n_features,
        f"`decoder` has {n_latents} latents and {n_features} features: many codes have the same "
        f"output, which has no density. Pass one with at most {n_features} latents.",
    )
    with threads.suited(decoder), torch.inference_mode(False), torch.no_grad():
        # Copied: a decoder may write into its argument, and autograd refuses inference tensors.
        codes = codes.detach().clone()
        context = changed(context, torch.clone)
        calls.check_rows_alone(codes, context)
        parts = [
            _log_volume(decoder, calls, codes[rows], rows_of(context, rows))
            for rows in chunk_rows(len(codes), TANGENT_ROWS)
        ]
        return codes, torch.cat(parts)


def _log_volume(decoder: Decoder, calls: Calls, z: Codes, context: Context | None) -> PerSample:
    """Return the log volumes of a few codes, from the singular values of unit tangents."""
    n = len(z)
    z = padded(z, row_multiple(decoder))
    context = context if n == len(z) else lengthened(context, len(z))

    def drawn(z: Tensor) -> Tensor:
        output = calls.output(z, context)
        calls.check_output_depends(z, output)
        mean = calls.mean(output)
        calls.check_mean_depends(z, mean)
        return mean

    tangents = threads.wide(tangents_of(drawn, z)[1][:n])
    finite = tangents.isfinite().flatten(1).all(1)
    tangents = torch.where(finite[:, None, None], tangents, 0.0)
    lengths = torch.linalg.vector_norm(tangents, dim=2)
    units = tangents / torch.where(lengths > 0, lengths, 1.0)[:, :, None]
    widths = torch.linalg.svdvals(units)
    singular = widths[:, -1] <= _ROUNDING * torch.finfo(z.dtype).eps
    volume = (lengths.log() + widths.log()).sum(1)
    volume = torch.where(singular, -torch.inf, volume)
    return torch.where(finite, volume, torch.nan).to(z.dtype)


def _log_normal(z: Codes) -> PerSample:
    """Return the log density of N(0, I)."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
