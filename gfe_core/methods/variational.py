"""Codes that describe a normal distribution, and the evidence bound that trains them.

The divergence from the prior is one more output of the decoder, so that the bound is a loss like
any other: a flow can follow it, `fit` minimises it and `evaluate` reports it.
"""

import math
from copy import copy
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.decoders import TransposedConvDecoder, initialise
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.encoders import Autoencoder, ConvAutoencoder
from gfe_core.energy import Bernoulli, WholeLoss
from gfe_core.energy.padding import row_multiple
from gfe_core.types import AnyLoss, Codes, Data, Decoder, Mask, PerSample

Outputs = Float[Tensor, "batch outputs"]
"""Raw outputs for the features, then the divergence: one more than the number of features."""


def divergence(mean: Codes, log_variance: Codes) -> Codes:
    """Return KL(N(mean, variance) | N(0, 1)) of each latent, in nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


@keeps_rows_apart
class VariationalDecoder(nn.Module):
    """A decoder whose code describes N(mean, diag(variance)).

    Its last output is KL(N(mean, variance) | N(0, I)).

    Each call draws one latent for each code and decodes it. `at_mean` decodes the mean instead: a
    deterministic decoder for a flow to follow. A flow on draws would follow other noise at each
    step, and codes would depend on their batch.

    Args:
        decoder: decoder of the latents, whose samples are rows of features.
        latent_dim: size of a code, from which two linear maps compute mean and log variance. By
            default a code holds mean and log variance itself, twice as many numbers as the latents,
            like the output of a VAE's encoder.
        generator: source of the weights of these maps and of the draws; the global generator by
            default.

    Source: Kingma and Welling 2014 (arXiv 1312.6114); for the linear maps, Bond-Taylor and
        Willcocks 2021 (arXiv 2007.02798).
    """

    @arguments.in_own_words
    def __init__(
        self,
        decoder: Decoder,
        *,
        latent_dim: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        checks.returns_rows(decoder)
        checks.generator("generator", generator)
        n = decoder.latent_dim
        if latent_dim is not None:
            latent_dim = checks.at_least_one("latent_dim", latent_dim)
        self.decoder = decoder
        self.row_multiple = row_multiple(decoder)
        self.generator = generator
        self.draws = True
        self.latent_dim = latent_dim or 2 * n
        self.data_shape = tuple(decoder.data_shape)
        self.raw_shape = (math.prod(self.data_shape) + 1,)
        self.image_shape = getattr(decoder, "image_shape", None)
        self.heads = nn.Linear(latent_dim, 2 * n) if latent_dim else nn.Identity()
        initialise(self.heads, generator)

    def at_mean(self) -> "VariationalDecoder":
        """Return a decoder with the same weights that decodes the mean, without a draw."""
        still = copy(self)
        still.draws = False
        return still

    def moments(self, z: Codes) -> tuple[Tensor, Tensor]:
        """Return the mean and log variance that codes describe."""
        mean, log_variance = self.heads(z).chunk(2, 1)
        return mean, log_variance

    def forward(self, z: Codes) -> Outputs:
        """Return raw outputs, then the divergence in nats."""
        mean, log_variance = self.moments(z)
        latent = mean + (0.5 * log_variance).exp() * self._noise(mean) if self.draws else mean
        return torch.cat(
            [self.decoder(latent), divergence(mean, log_variance).sum(1, keepdim=True)], 1
        )

    def _noise(self, like: Tensor) -> Tensor:
        device = self.generator.device if self.generator else like.device
        return torch.randn(
            like.shape, dtype=like.dtype, device=device, generator=self.generator
        ).to(like.device)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Minus a lower bound of log p(x), in nats per sample.

    E = -log p(x | latent) + weight * KL, for a VariationalDecoder.

    It is a bound in its mean over draws, if the likelihood is summed over features and contains all
    constants (`Gaussian` omits log(2 pi variance) / 2 for each feature; with grey values
    `Bernoulli` is a cross-entropy). A flow on `at_mean` reports E at the mean, not the bound. For
    the bound, use `Evidence().per_sample(variational(z), x)`, with one draw.

    Args:
        likelihood: loss with reduction="sum"; `Bernoulli(reduction="sum")` by default. A ValueError
            is raised for a mean, beside which the divergence would count too much.
        weight: weight of the divergence, >= 0; 1 for the bound. A tensor may change in place, as
            that of a `Constraint` does.
    """

    likelihood: AnyLoss = field(default_factory=lambda: Bernoulli(reduction="sum"))
    weight: float | Float[Tensor, ""] = 1.0

    def __post_init__(self) -> None:
        given = self.likelihood is not None
        remedy = "Leave it out for the default, or pass a loss with `reduction='sum'`."
        checks.require(given, f"`likelihood` must be a loss, got None. {remedy}", TypeError)
        arguments.made("likelihood", self.likelihood)
        checks.summed("likelihood", self.likelihood, "to be a log-likelihood")
        checks.number("weight", self.weight)
        checks.require(bool(self.weight >= 0), f"`weight` must be at least 0, got {self.weight}.")

    def per_sample(self, output: Outputs, x: Data, mask: Mask | None = None) -> PerSample:
        """Return minus the bound, for the one draw that was decoded."""
        misfit = WholeLoss(self.likelihood).per_sample(output[:, :-1], x, mask)
        return misfit + self.weight * output[:, -1]

    def mean(self, output: Outputs) -> Tensor:
        """Return the mean in data space."""
        return WholeLoss(self.likelihood).mean(output[:, :-1])

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the lower bound of the likelihood's energy; the divergence is at least 0."""
        return WholeLoss(self.likelihood).floor(x, mask)

    def check_data(self, x: Tensor) -> None:
        """Refuse data that the likelihood refuses."""
        WholeLoss(self.likelihood).check_data(x)


@arguments.in_own_words
def vae(
    decoder: Decoder,
    *,
    loss: Evidence | None = None,
    generator: torch.Generator | None = None,
) -> tuple[VariationalDecoder, Autoencoder]:
    """Make a variational autoencoder.

    It consists of this decoder behind a draw, and the mirrored encoder, which returns mean and log
    variance.

    Train both with `fit(variational, batches, encoder=encoder, optimizer=...)`.

    Args:
        decoder: an `MLPDecoder` or a `TransposedConvDecoder`.
        loss: bound that the encoder reports and `fit` learns by, `Evidence()` by default.
        generator: source of the encoder's weights and of the draws.

    Source: Kingma and Welling 2014 (arXiv 1312.6114).
    """
    variational = VariationalDecoder(decoder, generator=generator)
    kind = ConvAutoencoder if isinstance(decoder, TransposedConvDecoder) else Autoencoder
    return variational, kind.mirror(
        decoder, latent_dim=variational.latent_dim, loss=loss or Evidence(), generator=generator
    )
