"""Density: how probable a sample is among those that a decoder draws, if its codes have a prior.

    log p(x) = log p(z) - log det(J'J) / 2,    x = D(z) in data space,    J = dx/dz

Codes fill the latent space as thickly as the prior says; the decoder lays them out on a sheet in
data space, a curve for one latent, and where it stretches, they lie thinner. So p is a density per
unit of length, area or volume *within* the sheet, in units of the data, and integrates to 1 over
it. It is no density of the space around: samples off the sheet have none.

Shapes: `batch` samples; `latent` the size of a code; `features` the numbers of a sample.
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
"""Roundings of unit tangents below which the width of a sheet is none: layers add up to about 9."""


@arguments.in_own_words
def log_density(
    decoder: Decoder,
    z: Codes | np.ndarray | Encoding,
    loss: AnyLoss | None = None,
    *,
    prior: GaussianPrior | None = None,
    context: Context | None = None,
) -> PerSample:
    """Log density of the samples that codes draw, with respect to length, area or volume.

    log p(x) = log p(z) - log det(J'J) / 2, x = mean(D(z)) and J = dx/dz. For an encoding it is the
    density of each sample's projection on the sheet of what can be drawn.

    It means nothing

    - where x is not on the sheet: the residual, x - reconstruct(decoder, enc), says how far it is;
    - where codes do not follow the prior. Nothing in the training of most decoders knows one, and
      codes may have any scale: compare their spread, `enc.z.std(0)`, with it, or fit one to the
      codes of training data, `prior=gfe.posterior.GaussianPrior.fit(enc.z)`;
    - where the sheet folds or crosses itself: other codes that draw the same sample add their own
      density, and are not looked for;
    - where J'J is singular, see the returned values.

    Args:
        decoder: maps codes to raw outputs; it needs second derivatives, as `GaussNewton` does.
        z: an encoding, which knows its loss, or bare codes (batch, latent), which need one.
        loss: by its mean it says which data an output stands for, in whose units the density is:
            of grey values for `Bernoulli()` and not of logits. By default that of the encoding.
        prior: of codes; the standard normal by default. Of another one: its log density minus
            `log_volume(decoder, z)`.
        context: of each sample, if the decoder takes one: the density is conditional on it.

    Returns:
        Nats, without a graph. +inf where J'J is singular to rounding, since a whole stretch of
        codes draws one sample; NaN where J is not finite, and where the flow of an encoding failed.
        Within rounding of a standstill, as where a decoder of one latent saturates, it is large and
        not to be trusted.

    Raises:
        ValueError: a sample has fewer features than a code; nothing says what the loss is.
        TypeError, ValueError: an argument does not fit; the message says what to write.

    Example:
        >>> import gfe_core as gfe
        >>> circle = gfe.pretrained("circle")
        >>> x = gfe.data.load("circle", "test").x[:5]
        >>> enc = gfe.encode(circle.decoder, x, loss=circle.loss)
        >>> log_density(circle.decoder, enc).shape
        torch.Size([5])

    Source: Ben-Israel 1999, SIAM J. Matrix Anal. Appl. 21 (1), the change of variables with J'J;
        Gemici, Rezende and Mohamed 2016 (arXiv 1611.02304).
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
    """Log of the volume that the decoder makes of a unit of volume of codes, log det(J'J) / 2.

    In data space, J = d mean(D(z)) / dz: of one latent it is the log of the speed with which a
    sample moves along its curve. For an `InvertibleDecoder` and `Gaussian()` it is `log_det(z)`.

    Args:
        decoder: as for `log_density`.
        z: as for `log_density`.
        loss: as for `log_density`.
        context: as for `log_density`.

    Returns:
        A log, in units of (data units / latent unit)^latent. -inf where J'J is singular to
        rounding: judged on tangents of unit length, so that the units of each latent do not matter.
        NaN where J is not finite.

    Raises:
        TypeError, ValueError: as `log_density` does.

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
    """A decoder whose outputs end with one more: minus the log density of what they draw.

    With N(0, I) as the prior of codes. So a loss can read the density, and `fit` and `encode`
    follow it (`Likelihood`).

    Args:
        decoder: with a method `log_det(z)` that can be differentiated: an `InvertibleDecoder`.

    Example:
        >>> import gfe_core as gfe
        >>> decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2)
        >>> WithDensity(decoder)(torch.zeros(5, 1)).shape
        torch.Size([5, 3])
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        checks.is_decoder(decoder)
        knows = callable(getattr(decoder, "log_det", None))
        remedy = "Pass a `gfe.InvertibleDecoder`; of others, `log_density` says it after training."
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
        """Log density of what codes draw, in nats."""
        volume = self.decoder.log_det(z)  # refuses what are no codes
        return _log_normal(z) - volume

    def forward(self, z: Codes) -> Float[Tensor, "batch outputs"]:
        """Outputs, then minus the log density in nats."""
        return torch.cat([self.decoder(z).flatten(1), -self.log_prob(z)[:, None]], 1)


@dataclass(frozen=True, kw_only=True)
class Likelihood(Evidence):
    """Misfit minus log density of a `WithDensity` decoder, nats per sample.

    E = -log p(x | z) - weight * log p(D(z)): samples lie on the sheet, with the density that the
    decoder gives it, and noise is added. `encode` finds the most probable place on the sheet, and
    `fit` lays the sheet through the data so that their codes are normal.

    E has no lower bound: a density is infinite where the sheet stands still. Under noise nearly as
    wide as the data, training shrinks the sheet to a point. Take a variance well below that of the
    data, small updates, and look at `log_volume` afterwards.

    Args:
        likelihood: of the noise, a loss with reduction="sum"; `Gaussian(reduction="sum")`, of
            variance 1, by default. The smaller its variance, the nearer to the data.
        weight: of the density, >= 0.
    """

    likelihood: AnyLoss = field(default_factory=lambda: Gaussian(reduction="sum"))

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Zero: nothing is known, as a density has no upper bound."""
        return x.new_zeros(len(x))


def _volumes(
    verb: str, decoder: Decoder, z: Any, loss: AnyLoss | None, context: Context | None
) -> tuple[Codes, PerSample]:
    """Codes and log volumes, a few samples at a time."""
    codes, calls = decoding(f"density.{verb}", decoder, z, loss, context)
    n_latents, n_features = codes.shape[1], math.prod(decoder.data_shape)
    checks.require(
        n_latents <= n_features,
        f"`decoder` has {n_latents} latents and {n_features} features: many codes draw the same "
        f"sample, which has no density. Pass one with at most {n_features} latents.",
    )
    with threads.suited(decoder), torch.inference_mode(False), torch.no_grad():
        # copies: a decoder may write into what it is given, and autograd refuses inference tensors
        codes = codes.detach().clone()
        context = changed(context, torch.clone)
        calls.check_rows_alone(codes, context)
        parts = [
            _log_volume(decoder, calls, codes[rows], rows_of(context, rows))
            for rows in chunk_rows(len(codes), TANGENT_ROWS)
        ]
        return codes, torch.cat(parts)


def _log_volume(decoder: Decoder, calls: Calls, z: Codes, context: Context | None) -> PerSample:
    """Log volumes of a few codes, by the singular values of unit tangents."""
    n = len(z)
    z = padded(z, row_multiple(decoder))
    context = context if n == len(z) else lengthened(context, len(z))

    def drawn(z: Tensor) -> Tensor:
        output = calls.output(z, context)
        calls.check_output_depends(z, output)
        mean = calls.mean(output)
        calls.check_mean_depends(z, mean)
        return mean

    tangents = tangents_of(drawn, z)[1][:n].to(torch.promote_types(z.dtype, torch.float32))
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
    """Log density of N(0, I)."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
