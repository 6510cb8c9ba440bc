"""Codes that describe a normal distribution are judged by a true bound of the evidence."""

import math

import pytest
import torch
from problems import digits, generator
from torch import Tensor, distributions, nn

import gfe_core as gfe
from gfe_core.encoders.autoencoder import Autoencoder
from gfe_core.encoders.convolutional import ConvAutoencoder
from gfe_core.methods.gon import Origin
from gfe_core.methods.variational import Evidence, VariationalDecoder, vae

NOISE = 0.3


def mlp(latent_dim: int = 3, seed: int = 0) -> gfe.MLPDecoder:
    return gfe.MLPDecoder(
        latent_dim=latent_dim, hidden=(16,), data_dim=64, generator=generator(seed)
    ).double()


def variational_of(latent_dim: int | None = 5, seed: int = 0) -> VariationalDecoder:
    return VariationalDecoder(mlp(), latent_dim=latent_dim, generator=generator(seed)).double()


def codes(n: int, latent_dim: int, seed: int = 1) -> Tensor:
    return torch.randn(n, latent_dim, dtype=torch.float64, generator=generator(seed))


def restarted(variational: VariationalDecoder, z: Tensor, seed: int = 7) -> Tensor:
    assert variational.generator is not None
    variational.generator.manual_seed(seed)
    return variational(z)


@pytest.mark.parametrize("latent_dim", [5, None], ids=["heads", "no heads"])
def test_last_output_is_the_divergence_from_a_standard_normal(latent_dim):
    variational = variational_of(latent_dim)
    z = codes(6, variational.latent_dim)
    mean, log_variance = variational.moments(z)
    ours = distributions.Normal(mean, (0.5 * log_variance).exp())
    theirs = distributions.kl_divergence(ours, distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(
        variational(z)[:, -1], theirs, rtol=1e-12
    )  # a few roundings of numbers of order 10
    assert torch.equal(variational(z)[:, -1], variational.at_mean()(z)[:, -1])


def test_code_without_heads_is_mean_then_log_variance():
    variational = variational_of(None)
    z = codes(2, 6)
    mean, log_variance = variational.moments(z)
    assert variational.latent_dim == 6 and torch.equal(torch.cat([mean, log_variance], 1), z)


def test_at_mean_decodes_the_mean_with_the_same_weights_and_without_chance():
    variational = variational_of()
    z = codes(4, 5)
    still = variational.at_mean()
    assert torch.equal(still(z), still(z))
    assert torch.equal(still(z)[:, :-1], variational.decoder(variational.moments(z)[0]))
    assert [a is b for a, b in zip(still.parameters(), variational.parameters(), strict=True)] == [
        True
    ] * 6
    assert variational.draws and not torch.equal(variational(z), variational(z))


def test_draws_have_the_moments_told_and_come_from_the_generator_alone():
    variational = VariationalDecoder(nn_identity(2), generator=generator())
    z = torch.tensor([[1.0, -2.0, math.log(4.0), math.log(0.25)]], dtype=torch.float64)
    drawn = restarted(variational, z.expand(20_000, 4))[:, :2]
    torch.manual_seed(123)
    assert torch.equal(drawn, restarted(variational, z.expand(20_000, 4))[:, :2])
    # four standard errors: sd / sqrt(n) of the mean, sd / sqrt(2 n) of the standard deviation
    for i, (mean, sd) in enumerate([(1.0, 2.0), (-2.0, 0.5)]):
        assert abs(drawn[:, i].mean().item() - mean) < 4 * sd / math.sqrt(20_000)
        assert abs(drawn[:, i].std().item() - sd) < 4 * sd / math.sqrt(40_000)


def nn_identity(n: int) -> gfe.LinearDecoder:
    decoder = gfe.LinearDecoder(latent_dim=n, data_dim=n, bias=False).double()
    with torch.no_grad():
        decoder.linear.weight.copy_(torch.eye(n))
    return decoder


@pytest.mark.parametrize(
    "likelihood", [gfe.Bernoulli(reduction="sum"), gfe.Gaussian(variance=NOISE, reduction="sum")]
)
@pytest.mark.parametrize("masked", [False, True])
def test_bound_is_the_likelihood_and_the_weighted_divergence(likelihood, masked):
    loss = Evidence(likelihood=likelihood, weight=0.7)
    x = digits(3)
    mask = torch.rand(x.shape, generator=generator(2)) > 0.4 if masked else None
    output = torch.randn(3, 65, dtype=torch.float64, generator=generator(1))
    energy = loss.per_sample(output, x, mask)
    assert torch.equal(energy, likelihood.per_sample(output[:, :-1], x, mask) + 0.7 * output[:, -1])
    assert torch.equal(loss.mean(output), likelihood.mean(output[:, :-1]))
    assert torch.equal(loss.floor(x, mask), likelihood.floor(x, mask))


def linear_gaussian() -> tuple[gfe.LinearDecoder, Tensor, Tensor, Tensor]:
    """A decoder x = W z + b + noise, data, and its true posterior, which is diagonal."""
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=6, generator=generator()).double()
    frame = torch.linalg.qr(codes(6, 2))[0] * torch.tensor([1.5, 0.5])
    with torch.no_grad():
        decoder.linear.weight.copy_(frame)
    x = codes(3, 6, seed=2)
    variance = 1 / (1 + frame.square().sum(0) / NOISE)
    mean = (x - decoder.linear.bias.detach()) @ frame / NOISE * variance
    return decoder, x, mean, variance


def bound(decoder: gfe.LinearDecoder, z: Tensor, x: Tensor, n: int = 4000) -> tuple[Tensor, Tensor]:
    """Mean of the evidence loss over draws, and its standard error."""
    variational = VariationalDecoder(decoder, generator=generator(5))
    loss = Evidence(likelihood=gfe.Gaussian(variance=NOISE, reduction="sum"))
    drawn = loss.per_sample(variational(z.repeat(n, 1)), x.repeat(n, 1)).reshape(n, len(x)).detach()
    return drawn.mean(0) + x.shape[1] / 2 * math.log(2 * math.pi * NOISE), drawn.std(0) / math.sqrt(
        n
    )


def test_bound_is_never_below_minus_the_log_evidence_and_tight_at_the_true_posterior():
    decoder, x, mean, variance = linear_gaussian()
    weight = decoder.linear.weight.detach()
    bias = decoder.linear.bias.detach()
    covariance = weight @ weight.T + NOISE * torch.eye(6, dtype=torch.float64)
    evidence = -distributions.MultivariateNormal(bias, covariance).log_prob(x)
    true = torch.cat([mean, variance.log().expand_as(mean)], 1)
    tight, error = bound(decoder, true, x)
    assert ((tight - evidence).abs() < 4 * error).all()
    for shift in (
        torch.tensor([0.7, 0, 0, 0]),
        torch.tensor([0, 0, 1.0, 0]),
        torch.tensor([0, -0.5, 0, -1.5]),
    ):
        loose, error = bound(decoder, true + shift, x)
        assert (loose - evidence > 4 * error).all()


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_variational_autoencoder_learns_digits(kind):
    conv = gfe.TransposedConvDecoder(
        latent_dim=3, image_shape=(8, 8), channels=(4,), generator=generator()
    )
    decoder, encoder = vae((mlp() if kind == "mlp" else conv.double()), generator=generator(3))
    encoder.double()
    assert type(encoder) is (Autoencoder if kind == "mlp" else ConvAutoencoder)
    assert encoder(decoder, digits(2)).z.shape == (2, 6)
    parameters = [*decoder.parameters(), *encoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    batches = gfe.data.Batches(digits(100), size=20)
    history = gfe.fit(
        decoder, batches, encoder=encoder, loss=Evidence(), optimizer=optimizer, epochs=4
    )
    # untrained, a pixel costs about log 2 nats: 64 of them 44
    assert history.energy[0] > 42 and sum(history.energy[-5:]) / 5 < 0.95 * history.energy[0]


@pytest.mark.slow
def test_variational_origin_network_learns_digits():
    variational = variational_of()
    origin = Origin(loss=Evidence(), by=VariationalDecoder.at_mean, dt=0.1)
    optimizer = torch.optim.Adam(variational.parameters(), lr=2e-2)
    batches = gfe.data.Batches(digits(200), size=40)
    gfe.fit(variational, batches, encoder=origin, loss=Evidence(), optimizer=optimizer, epochs=20)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in variational.parameters())
    x = digits(100, 300)
    mean_image = digits(200).mean(0).clamp(1e-3, 1 - 1e-3).logit()
    found = Evidence().per_sample(variational(origin(variational, x).z), x).mean()
    assert found < gfe.Bernoulli(reduction="sum").per_sample(mean_image.expand(100, 64), x).mean()


def test_codes_of_a_variational_decoder_do_not_depend_on_their_neighbours():
    variational = variational_of()
    x = digits(7)
    origin = Origin(loss=Evidence(), by=VariationalDecoder.at_mean)
    apart = torch.cat([origin(variational, one).z for one in x.split(1)])
    assert torch.allclose(
        origin(variational, x).z, apart, rtol=0, atol=1e-13
    )  # roundings of numbers of order 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: variational_of(0), "`latent_dim` must be at least 1, got 0."),
        (lambda: Evidence(weight=-1.0), "`weight` must be at least 0, got -1.0."),
        (lambda: Evidence(weight=math.nan), "`weight` must be at least 0, got nan."),
        (
            lambda: Origin(loss=Evidence(), by=VariationalDecoder.at_mean)(
                variational_of(), 2 * digits(2)
            ),
            "`x` must lie in [0, 1]",
        ),
    ],
)
def test_bad_argument_is_named_with_what_was_got(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


VERBS = {
    "encode": lambda decoder, z, x: gfe.encode(decoder, x, loss=Evidence()),
    "evaluate": lambda decoder, z, x: gfe.evaluate(decoder, x, loss=Evidence()),
    "fit": lambda decoder, z, x: gfe.fit(decoder, x, loss=Evidence()),
    "laplace": lambda decoder, z, x: gfe.posterior.laplace(
        decoder, x, prior=gfe.posterior.GaussianPrior.standard(5, dtype=x.dtype), loss=Evidence()
    ),
    "spectrum": lambda decoder, z, x: gfe.stiffness.spectrum(decoder, z, x, loss=Evidence()),
    "reconstruct": lambda decoder, z, x: gfe.reconstruct(decoder, z, Evidence()),
    "log_density": lambda decoder, z, x: gfe.density.log_density(decoder, z, Evidence()),
    "log_volume": lambda decoder, z, x: gfe.density.log_volume(decoder, z, Evidence()),
}
"""Verbs whose result for a decoder that draws would be another one in each call."""


@pytest.mark.parametrize("verb", VERBS)
def test_decoder_that_draws_is_refused_and_its_mean_taken(verb):
    decoder, z, x = variational_of(), codes(4, 5), digits(4)
    with pytest.raises(ValueError, match=r"`decoder` draws .* Pass `decoder.at_mean\(\)`"):
        VERBS[verb](decoder, z, x)
    VERBS[verb](decoder.at_mean(), z, x)


def test_decoder_around_one_that_draws_is_refused_too():
    around = gfe.wrap(
        torch.nn.Sequential(variational_of(), torch.nn.Linear(65, 64).double()),
        latent_dim=5,
        data_shape=(64,),
    )
    with pytest.raises(ValueError, match=r"the decoder around `decoder.module.0.at_mean\(\)`"):
        gfe.encode(around, digits(4))


def test_encoder_at_the_mean_trains_a_decoder_that_draws():
    decoder = variational_of()
    history = gfe.fit(
        decoder,
        digits(8),
        encoder=lambda decoder, x: gfe.encode(decoder.at_mean(), x, loss=Evidence(), max_steps=2),
        loss=Evidence(),
    )
    assert decoder.draws and math.isfinite(history.energy[-1])


@pytest.mark.parametrize("loss", [Evidence, gfe.density.Likelihood], ids=lambda one: one.__name__)
def test_likelihood_that_is_no_sum_is_refused(loss, unchecked):
    with pytest.raises(ValueError, match="`likelihood` must be a sum over features to be a log-"):
        loss(likelihood=gfe.Gaussian())
    with pytest.raises(TypeError, match="`likelihood` must be a loss, got None. Leave it out"):
        loss(likelihood=None)
    assert loss().likelihood.reduction == "sum"


def test_moves_between_types_as_one_module():
    variational = variational_of().float()
    assert variational(codes(2, 5).float()).dtype == torch.float32
    assert isinstance(variational.heads, nn.Linear)


def test_an_autoencoder_reports_and_learns_by_the_bound_that_it_is_made_with():
    bound = Evidence(likelihood=gfe.Gaussian(variance=0.05, reduction="sum"))
    x = 3 * digits(32).float() - 1  # Bernoulli would refuse these
    both, encoder = vae(
        gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64), loss=bound, generator=generator(0)
    )
    adam = torch.optim.Adam([*both.parameters(), *encoder.parameters()], lr=1e-3)
    history = gfe.fit(both, x, encoder=encoder, optimizer=adam, epochs=20)
    assert encoder(both, x).loss == bound
    assert history.energy[-1] < history.energy[0]
