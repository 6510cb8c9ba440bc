"""Posteriors are calibrated.

True codes lie in a region of probability q for a share q of the samples.

Data come from a known decoder with codes drawn from the prior, so that the truth is known. Where
Laplace's approximation breaks is a claim too.
"""

import pytest
import torch
from problems import generator
from torch import Tensor

import gfe_core as gfe
from gfe_core.methods.posterior import GaussianPrior, laplace

N = 6000
"""Samples. The share of them in a region of 50 % has a standard error of 0.65 points.

Three points are four of them.
"""

LEVELS = torch.tensor([0.5, 0.8, 0.95], dtype=torch.float64)
PRIOR = GaussianPrior.standard(2, dtype=torch.float64)


def known_decoder(data_dim: int, *, stretch: float = 1.0, gain: float = 1.0) -> gfe.MLPDecoder:
    """A random decoder; `stretch` of the codes makes it more curved, `gain` its outputs larger."""
    decoder = gfe.MLPDecoder(
        latent_dim=2, hidden=(16, 32), data_dim=data_dim, generator=generator(0)
    ).double()
    weights = [weight for name, weight in decoder.named_parameters() if name.endswith("weight")]
    with torch.no_grad():
        weights[0].mul_(stretch)
        weights[-1].mul_(gain)
    return decoder


def coverage(
    decoder: gfe.MLPDecoder, noise: float | None, *, n: int = N, share_seen: float = 1.0
) -> Tensor:
    """Share of the samples whose true code lies in its region.

    Data are binary where there is no noise.
    """
    random = generator(1)
    z = PRIOR.sample(n, random)
    output = decoder(z).detach()
    if noise is None:
        x = torch.bernoulli(output.sigmoid(), generator=random)
        loss = gfe.Bernoulli(reduction="sum")
    else:
        x = output + noise * torch.randn(output.shape, dtype=output.dtype, generator=random)
        loss = gfe.Gaussian(variance=noise**2, reduction="sum")
    seen = torch.rand(x.shape, generator=random) < share_seen
    posterior = laplace(decoder, torch.where(seen, x, torch.nan), prior=PRIOR, loss=loss, mask=seen)
    return (posterior.level(z)[:, None] <= LEVELS).double().mean(0)


def error(found: Tensor) -> float:
    return (found - LEVELS).abs().max().item()


@pytest.mark.parametrize("share_seen", [1.0, 0.5], ids=["whole", "half observed"])
def test_regions_of_noisy_data_hold_their_share_of_the_true_codes(share_seen):
    assert error(coverage(known_decoder(64), 0.1, share_seen=share_seen)) < 0.03


@pytest.mark.parametrize("share_seen", [1.0, 0.5], ids=["whole", "half observed"])
def test_regions_of_binary_data_hold_their_share_of_the_true_codes(share_seen):
    assert error(coverage(known_decoder(64, gain=10), None, share_seen=share_seen)) < 0.03


def test_a_wrong_noise_would_be_noticed():
    decoder = known_decoder(64)
    z = PRIOR.sample(N, generator(1))
    x = decoder(z).detach() + 0.1 * torch.randn(N, 64, dtype=torch.float64, generator=generator(2))
    proud = laplace(decoder, x, prior=PRIOR, loss=gfe.Gaussian(variance=0.05**2, reduction="sum"))
    found = (proud.level(z)[:, None] <= LEVELS).double().mean(0)
    assert (
        found < LEVELS - 0.1
    ).all()  # regions half as wide hold 1 - (1 - q)^(1/4) in the plane: 16, 33 and 53 %


def test_few_features_of_a_curved_decoder_break_the_approximation():
    found = coverage(known_decoder(2, stretch=3, gain=3), 0.3, n=2000)
    assert (
        found[1:] < LEVELS[1:] - 0.1
    ).all()  # too sure of itself: the posterior is bent, and has other modes
