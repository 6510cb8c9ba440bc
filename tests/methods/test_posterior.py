"""Laplace's approximation is exact for Gaussian posteriors, and counts basins for others."""

import math
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from problems import digits, generator, statuses, trained
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.methods.posterior import GaussianPrior, Posterior, check_prior, laplace, spread
from gfe_core.types import Status

SUM = gfe.Bernoulli(reduction="sum")
STANDARD = GaussianPrior.standard(8, dtype=torch.float64)


def tilted() -> GaussianPrior:
    """A prior of three latents that is neither centred nor round."""
    root = torch.randn(3, 3, dtype=torch.float64, generator=generator(5))
    mean = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    return GaussianPrior(mean=mean, precision=root @ root.T + torch.eye(3, dtype=torch.float64))


# the prior


def test_prior_is_minus_the_log_density_without_its_constant_and_knows_it_with_it():
    prior = tilted()
    z = torch.randn(7, 3, dtype=torch.float64, generator=generator())
    exact = torch.distributions.MultivariateNormal(prior.mean, precision_matrix=prior.precision)
    torch.testing.assert_close(prior(z), exact.log_prob(prior.mean) - exact.log_prob(z))
    torch.testing.assert_close(prior.log_prob(z), exact.log_prob(z))


def test_prior_fitted_to_its_own_draws_is_the_prior():
    prior = tilted()
    z = prior.sample(100_000, generator())
    found = GaussianPrior.fit(z)
    covariance = torch.linalg.inv(prior.precision)
    # standard errors: sd / sqrt(n) = 0.003 sd for means, 0.0045 variances for covariances; about
    # five of them
    assert ((found.mean - prior.mean).abs() < 0.015 * covariance.diagonal().sqrt()).all()
    assert (
        torch.linalg.inv(found.precision) - covariance
    ).abs().max() < 0.025 * covariance.diagonal().max()
    torch.testing.assert_close(
        torch.linalg.inv(GaussianPrior.fit(z, ridge=0.3).precision), z.T.cov() + 0.3 * torch.eye(3)
    )


def test_ridge_makes_a_prior_of_codes_on_a_line():
    z = torch.arange(5.0)[:, None] * torch.ones(2)
    with pytest.raises(
        ValueError,
        match="`z` varies by 5 in one direction, by .* in another. Pass more codes, or a `ri",
    ):
        GaussianPrior.fit(z)
    covariance = torch.tensor(
        [[3.0, 2.5], [2.5, 3.0]]
    )  # five equally spaced values have variance 2.5
    torch.testing.assert_close(
        torch.linalg.inv(GaussianPrior.fit(z, ridge=0.5).precision), covariance
    )


@pytest.mark.parametrize(
    ("z", "ridge", "text"),
    [
        (
            torch.ones(2, 2),
            0.0,
            "`z` must hold at least 3 codes of 2 latents, got 2. Pass more codes, or a `ridge`",
        ),
        (torch.ones(1, 2), 1.0, "`z` must hold at least 2 codes of 2 latents, got 1"),
        (
            torch.tensor([[0.0], [1.0], [math.nan]]),
            0.0,
            "`z` has NaN or infinity. Leave them out: `z\\[z.isfinite",
        ),
        (torch.ones(4, 2), -1.0, "`ridge` must be at least 0 and finite, got -1.0"),
        (torch.ones(4, 2), 0.0, "`z` varies by 0 in one direction"),
    ],
    ids=["few", "one", "NaN", "ridge", "equal"],
)
def test_codes_that_make_no_prior_are_refused(z, ridge, text):
    with pytest.raises(ValueError, match=text):
        GaussianPrior.fit(z, ridge=ridge)


@pytest.mark.parametrize(
    ("mean", "precision"),
    [
        (torch.zeros(2), torch.eye(3)),
        (torch.zeros(2), -torch.eye(2)),
        (torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]])),
        (torch.zeros(2), torch.full((2, 2), math.nan)),
        (torch.full((2,), math.inf), torch.eye(2)),
    ],
    ids=["shapes", "negative", "asymmetric", "NaN", "infinite"],
)
def test_precision_that_is_none_is_refused(unchecked: None, mean: Tensor, precision: Tensor):
    with pytest.raises(
        ValueError, match="`precision` .* symmetric and positive definite, got shapes"
    ):
        GaussianPrior(mean=mean, precision=precision)


# where the answer is known


@pytest.mark.parametrize("share_seen", [1.0, 0.5, 0.0], ids=["whole", "half", "nothing"])
def test_posterior_of_a_linear_decoder_is_the_closed_form(share_seen):
    prior = tilted()
    variance = 0.3
    decoder = gfe.LinearDecoder(latent_dim=3, data_dim=12, generator=generator(1)).double()
    W = decoder.linear.weight.detach()
    b = decoder.linear.bias.detach()
    x = torch.randn(5, 12, dtype=torch.float64, generator=generator(2))
    seen = torch.rand(5, 12, generator=generator(3)) < share_seen
    still = gfe.Stop(grad_norm=1e-11, energy_slope=0.0)
    loss = gfe.Gaussian(variance=variance, reduction="sum")
    found = laplace(
        decoder, torch.where(seen, x, torch.nan), mask=seen, prior=prior, loss=loss, stop=still
    )
    for i in range(5):
        rows = W[seen[i]]
        precision = rows.T @ rows / variance + prior.precision
        mean = torch.linalg.solve(
            precision, rows.T @ (x - b)[i, seen[i]] / variance + prior.precision @ prior.mean
        )
        # a search on energies of order ten sees their rounding, 2e-15: half the square of the error
        torch.testing.assert_close(found.best[i], mean, rtol=0, atol=5e-8)
        torch.testing.assert_close(
            found.covariance[0, i], torch.linalg.inv(precision), rtol=1e-9, atol=1e-12
        )
        n = len(rows)
        covariance = torch.linalg.inv(prior.precision)
        if n:
            marginal = rows @ covariance @ rows.T + variance * torch.eye(n, dtype=torch.float64)
            around = torch.distributions.MultivariateNormal(
                rows @ prior.mean + b[seen[i]], marginal
            )
            evidence = around.log_prob(x[i, seen[i]]) + 0.5 * n * math.log(2 * math.pi * variance)
        else:
            evidence = torch.zeros((), dtype=torch.float64)
        torch.testing.assert_close(found.log_evidence[i], evidence, rtol=1e-9, atol=1e-9)


class Squares(nn.Module):
    """A decoder that cannot tell z from -z."""

    latent_dim = 1
    data_shape: tuple[int, ...] = (1,)

    def forward(self, z: Tensor) -> Tensor:
        return z.square()


@cache
def two_basins(n_starts: int = 8) -> Posterior:
    """Posterior of a point that z = 1 and z = -1 explain alike, and of one at z near 0."""
    return laplace(
        Squares(),
        torch.tensor([[1.0], [-4.0]], dtype=torch.float64),
        prior=GaussianPrior.standard(1, dtype=torch.float64),
        loss=gfe.Gaussian(variance=0.01, reduction="sum"),
        z0=torch.full((2, 1), 0.1, dtype=torch.float64),
        n_starts=n_starts,
        generator=generator(),
        stop=gfe.Stop(grad_norm=1e-9, energy_slope=0.0),
    )


def test_two_basins_of_a_square_are_found_with_equal_weight():
    found = two_basins()
    heavy = found.log_weight[:, 0] > -math.inf
    assert heavy.sum() == 2 and (found.log_weight[:, 1] > -math.inf).sum() == 1
    modes = found.z[heavy, 0, 0].sort().values
    # where 200 z (z^2 - 1) + z = 0: z^2 = 1 - 1 / 200; Newton's last step ends far below 1e-9 /
    # curvature 400
    expected = math.sqrt(1 - 0.005)
    torch.testing.assert_close(
        modes, torch.tensor([-expected, expected], dtype=torch.float64), rtol=0, atol=1e-9
    )
    torch.testing.assert_close(
        found.log_weight[heavy, 0].exp(), torch.tensor([0.5, 0.5], dtype=torch.float64)
    )


def test_evidence_of_two_basins_is_the_integral():
    z = torch.linspace(-6, 6, 200_001, dtype=torch.float64)
    integrand = torch.exp(-(1 - z**2).square() / 0.02 - z.square() / 2) / math.sqrt(2 * math.pi)
    exact = torch.trapezoid(integrand, z).log()
    # Laplace's own error: the curvature is 400 and the third derivative 1200 there, a correction of
    # half a per cent
    assert abs(two_basins().log_evidence[0] - exact) < 0.01
    missed = two_basins(n_starts=1).log_evidence[0] - exact
    assert abs(missed + math.log(2)) < 0.01  # one start knows one basin: half of the integral


def test_draws_come_from_both_basins_and_a_level_knows_only_one():
    found = two_basins()
    draws = found.sample(4000, generator(1))[:, 0, 0]
    assert abs((draws > 0).double().mean() - 0.5) < 0.03  # standard error 0.008
    assert (
        abs(draws.abs().std() - found.covariance[0, 0, 0, 0].sqrt()) < 0.1 * draws.abs().std()
    )  # 1 % standard error
    there = found.best
    assert (found.level(there) == 0).all() and found.level(-there)[0] > 0.999


# what a posterior is good for


def of_digits(n: int = 6, **arguments) -> Posterior:
    return laplace(trained("mlp"), digits(n), prior=STANDARD, **arguments)


def test_mode_is_that_of_encode_and_precision_is_gauss_newton_plus_prior():
    x = digits(6)
    found = of_digits()
    expected = gfe.encode(trained("mlp"), x, loss=SUM, penalty=STANDARD, solver=gfe.GaussNewton())
    assert torch.equal(found.best, expected.z) and torch.equal(found.status[0], expected.status)
    energy = gfe.Energy(trained("mlp"), x, SUM, penalty=STANDARD)
    torch.testing.assert_close(
        found.precision[0], energy.gauss_newton(expected.z), rtol=1e-12, atol=1e-12
    )
    assert not found.z.requires_grad and not found.log_mass.requires_grad


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_posterior_works_in_every_grad_mode(kind):
    expected = laplace(trained(kind), digits(3), prior=STANDARD, max_steps=3)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = laplace(trained(kind), digits(3), prior=STANDARD, max_steps=3)
        assert torch.equal(found.z, expected.z) and torch.equal(found.precision, expected.precision)


def test_draws_have_mean_and_covariance_of_the_posterior_and_are_a_function_of_the_generator():
    found = of_digits(2)
    draws = found.sample(20_000, generator(1))
    sd = found.covariance[0].diagonal(dim1=1, dim2=2).sqrt()
    assert draws.shape == (20_000, 2, 8)
    # standard errors: 0.007 sd for means, 0.01 for covariances of unit variance; about five of them
    assert ((draws.mean(0) - found.best).abs() < 0.035 * sd).all()
    for i in range(2):
        assert (
            (draws[:, i].T.cov() - found.covariance[0, i]) / (sd[i] * sd[i, :, None])
        ).abs().max() < 0.05
    assert torch.equal(draws, found.sample(20_000, generator(1)))
    levels = torch.stack([found.level(z) for z in draws[:4000]])
    assert ((levels <= 0.5).double().mean(0) - 0.5).abs().max() < 0.03  # standard error 0.008


def test_spread_is_mean_and_standard_deviation_of_decoded_draws():
    found = of_digits(3)
    decoder = trained("mlp")
    mean, std = spread(decoder, found, n=50, generator=generator(2))
    images = torch.stack(
        [gfe.reconstruct(decoder, z, gfe.Bernoulli()) for z in found.sample(50, generator(2))]
    )
    torch.testing.assert_close(mean, images.mean(0))
    torch.testing.assert_close(std, images.std(0))
    with pytest.raises(ValueError, match="`n` must be at least 2 for a standard deviation, got 1"):
        spread(decoder, found, n=1, generator=generator())


def test_what_was_not_seen_is_more_doubtful():
    x = digits(6)
    seen = torch.ones(6, 64, dtype=torch.bool)
    seen[:, 32:] = False
    half = of_digits(mask=seen)
    narrower = half.covariance[0] - of_digits().covariance[0]
    assert (narrower.diagonal(dim1=1, dim2=2).sum(1) > 0).all()
    assert torch.equal(
        half.z,
        laplace(trained("mlp"), torch.where(seen, x, torch.nan), prior=STANDARD, mask=seen).z,
    )
    nothing = of_digits(mask=torch.zeros_like(seen))
    assert (nothing.best == 0).all() and torch.equal(
        nothing.precision[0], STANDARD.precision.expand(6, 8, 8)
    )
    assert (nothing.log_evidence == 0).all()


def test_starts_that_end_at_one_mode_count_once():
    tight = gfe.Stop(grad_norm=1e-9, energy_slope=0.0)
    once = of_digits(stop=tight)
    often = of_digits(stop=tight, n_starts=4, generator=generator())
    assert once.z.shape == (1, 6, 8) and often.z.shape == (4, 6, 8)
    assert (often.log_evidence >= once.log_evidence - 1e-9).all()
    n_basins = (often.log_weight > -math.inf).sum(0)
    assert (n_basins >= 1).all() and (n_basins < 4).any()
    torch.testing.assert_close(often.log_weight.exp().sum(0), torch.ones(6, dtype=torch.float64))
    assert (often.log_mass[0] == often.log_mass.amax(0)).all()
    single = n_basins == 1
    # codes found from elsewhere agree to 1e-8, as searches on energies of 30 nats do, and |H|
    # changes with them
    torch.testing.assert_close(
        often.log_evidence[single], once.log_evidence[single], rtol=0, atol=1e-6
    )


def test_failed_sample_has_no_posterior_and_harms_no_other():
    x = digits(6)
    x[2, 5] = math.nan
    found = laplace(trained("mlp"), x, prior=STANDARD, n_starts=2, generator=generator())
    healthy = laplace(trained("mlp"), digits(6), prior=STANDARD, n_starts=2, generator=generator())
    keep = torch.arange(6) != 2
    assert (found.status[:, 2] == Status.NON_FINITE).all()
    assert (found.log_weight[:, 2] == -math.inf).all() and found.log_evidence[2] == -math.inf
    draws = found.sample(5, generator())
    assert (
        draws[:, 2].isnan().all()
        and draws[:, keep].isfinite().all()
        and found.level(found.best)[2].isnan()
    )
    for name in ("z", "precision", "log_mass", "log_weight"):
        assert torch.equal(getattr(found, name)[:, keep], getattr(healthy, name)[:, keep])


def test_arguments_of_encode_are_handed_on():
    found = of_digits(solver=gfe.AMD(), max_steps=2)
    assert {Status(code) for code in found.status[0].tolist()} == {Status.MAX_STEPS}
    by_hand = gfe.encode(trained("mlp"), digits(6), loss=SUM, penalty=STANDARD, max_steps=2)
    assert torch.equal(found.best, by_hand.z) and statuses(by_hand) == [Status.MAX_STEPS] * 6


def test_what_makes_no_posterior_is_refused(unchecked: None):
    with pytest.raises(
        ValueError,
        match="`loss` must be a sum .*got Bernoulli.reduction='mean'.. Use `reduction='sum'`",
    ):
        of_digits(loss=gfe.Bernoulli())
    with pytest.raises(
        ValueError, match="`generator` must be given to draw 2 starts. Pass a seeded"
    ):
        of_digits(n_starts=3)
    with pytest.raises(ValueError, match="`n_starts` must be at least 1, got 0"):
        of_digits(n_starts=0)
    with pytest.raises(
        ValueError,
        match=r"`prior` must be of codes of shape and type \(\(8,\), torch.float64\), got \(\(2,",
    ) as refusal:
        laplace(
            trained("mlp"),
            digits(6),
            prior=replace(tilted(), mean=torch.zeros(2), precision=torch.eye(2)),
        )
    written = str(refusal.value).split("Write `prior=")[1].split("`")[0]
    assert check_prior(eval(written, {"gfe": gfe, "torch": torch}), 8, torch.float64) is None
    with pytest.raises(TypeError, match="`x` must be a torch.Tensor"):
        laplace(trained("mlp"), [1.0], prior=STANDARD)  # pyright: ignore[reportArgumentType]


def test_a_penalty_or_bounds_beside_the_prior_are_refused_in_words():
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    x, prior = torch.rand(2, 3), GaussianPrior.standard(2)
    for name, value in {"penalty": prior, "bounds": (-1.0, 1.0)}.items():
        with pytest.raises(TypeError, match=f"`laplace` takes no `{name}`"):
            laplace(decoder, x, prior=prior, **{name: value})


def summed(output: Tensor, x: Tensor) -> Tensor:
    return (output - x).square().flatten(1).sum(1)


class Own(gfe.Gaussian):
    """Squares of the sigmoid of the output; `mean` says what an output stands for."""

    def per_sample(self, output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return summed(torch.sigmoid(output), x)

    def mean(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)


class Bent(gfe.Gaussian):
    """A curvature that is not that of its energy."""

    def per_sample(self, output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return summed(output, x)

    def curvature(self, output: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.ones_like(output)


class Alone:
    """Nothing but the energy."""

    def per_sample(self, output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return summed(output, x)


def by_autograd(decoder: nn.Module, loss: Any, x: Tensor, z: Tensor) -> Tensor:
    """J' W J of one sample, W the second derivative of what the loss says."""
    energy = loss.per_sample if hasattr(loss, "per_sample") else loss
    jacobian: Any = torch.autograd.functional.jacobian(lambda code: decoder(code[None])[0], z)
    output = decoder(z[None])[0].detach()
    bend: Any = torch.autograd.functional.hessian(lambda y: energy(y[None], x[None])[0], output)
    return jacobian.T @ bend @ jacobian


@pytest.mark.parametrize(
    "loss", [summed, Alone(), Own(reduction="sum")], ids=["a function", "per_sample", "overridden"]
)
def test_precision_belongs_to_the_energy_of_a_strangers_loss(loss):
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64, generator=generator(3))
    decoder = decoder.double()
    x = digits(3).double()
    prior = GaussianPrior.standard(decoder.latent_dim, dtype=torch.float64)
    posterior = laplace(decoder, x, prior=prior, loss=loss)
    for i in range(3):
        bend = by_autograd(decoder, loss, x[i], posterior.best[i])
        torch.testing.assert_close(posterior.precision[0, i], bend + prior.precision)
    mean, _ = spread(decoder, posterior, generator=generator(0))
    drawn = gfe.reconstruct(decoder, posterior.best, loss)
    assert (mean - drawn).abs().mean() < 0.1, "both are means in data space, as the loss has it"


def test_curvature_that_is_not_of_the_energy_is_refused():
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64, generator=generator(3))
    prior = GaussianPrior.standard(2)
    with pytest.raises(
        ValueError, match=r"`loss.curvature` of Bent is not .* Leave `curvature` out"
    ):
        laplace(decoder, digits(3).float(), prior=prior, loss=Bent(reduction="sum"))


@pytest.mark.parametrize("n", [1, 3])
def test_function_that_averages_over_features_is_refused(n):
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64, generator=generator(3))
    prior = GaussianPrior.standard(2)

    def averaged(output: Tensor, x: Tensor) -> Tensor:
        return (output - x).square().mean(1)

    with pytest.raises(ValueError, match=r"`loss` averaged averages over features.*sum\(1\)"):
        laplace(decoder, digits(n).float(), prior=prior, loss=averaged)


WEIGHTS = torch.linspace(0.5, 2.0, 64)
SHARES = WEIGHTS / WEIGHTS.sum()
MATRIX = torch.eye(64) + 0.1


def weighted(output: Tensor, x: Tensor) -> Tensor:
    return (output - x).square() * WEIGHTS


def named(output: Tensor, x: Tensor, *, mean: bool, context: Tensor) -> Tensor:
    squares = (output - x).square() * context
    return squares.mean(1) if mean else squares.sum(1)


AVERAGES = {
    "weights": lambda output, x: weighted(output, x).mean(1),
    "root weights": lambda output, x: ((output - x) * WEIGHTS.sqrt()).square().mean(1),
    "weighted average": lambda output, x: weighted(output, x).sum(1) / WEIGHTS.sum(),
    "by the count": lambda output, x: weighted(output, x).sum(1) / x[0].numel(),
    "weights (1, n)": lambda output, x: ((output - x).square() * WEIGHTS[None]).mean(-1),
    "matrix": lambda output, x: ((output - x) @ MATRIX * (output - x)).mean(1),
}
SUMS = {
    "weights": lambda output, x: weighted(output, x).sum(1),
    "weights that sum to 1": lambda output, x: ((output - x).square() * SHARES).sum(1),
    "centred": lambda output, x: (
        (output - output.mean(1, keepdim=True) - x).square() * WEIGHTS
    ).sum(1),
    "mean times count": lambda output, x: weighted(output, x).mean(1) * x.shape[1],
    "divided": lambda output, x: ((output - x).square() / (2 * WEIGHTS)).sum(1),
    "matrix": lambda output, x: ((output - x) @ MATRIX * (output - x)).sum(1),
    "scattered features": lambda output, x: (output - x)[:, [3, 5, 40]].square().sum(1),
}


def doubt(loss: Any, n: int = 3, **given: Any) -> Any:
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64, generator=generator(3))
    prior = GaussianPrior.standard(2)
    return laplace(decoder, digits(n).float(), prior=prior, loss=loss, **given)


@pytest.mark.parametrize("name", AVERAGES)
def test_average_with_something_for_each_feature_is_refused(name):
    with pytest.raises(ValueError, match=r"`loss` .* averages over features.*sum\(1\)"):
        doubt(AVERAGES[name])


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("n", [1, 3, 64])
def test_sum_with_something_for_each_feature_is_a_likelihood(name, n):
    assert doubt(SUMS[name], n).log_mass.isfinite().all()


def test_average_with_a_context_for_each_feature_is_refused():
    noise = WEIGHTS.expand(3, -1)
    assert doubt(partial(named, mean=False), context=noise).log_mass.isfinite().all()
    with pytest.raises(ValueError, match="averages over features"):
        doubt(partial(named, mean=True), context=noise)


@pytest.mark.parametrize("weights", [torch.linspace(1, 2, 8), torch.linspace(1, 2, 64).view(8, 8)])
def test_average_over_pixels_with_weights_is_refused(weights):
    net = nn.Sequential(nn.Linear(2, 64), nn.Unflatten(1, (8, 8)))
    decoder = gfe.wrap(net, latent_dim=2, data_shape=(8, 8))
    x = digits(3).float().view(-1, 8, 8)
    prior = GaussianPrior.standard(2)

    def energy(output: Tensor, x: Tensor) -> Tensor:
        return ((output - x).square() * weights).flatten(1)

    flat = weights.expand(8, 8).flatten()
    laplace(decoder, x, prior=prior, loss=lambda output, x: energy(output, x).sum(1))
    for mean in (
        lambda output, x: energy(output, x).mean(1),
        lambda output, x: ((output - x).square().flatten(1) * flat).mean(1),
    ):
        with pytest.raises(ValueError, match="averages over features"):
            laplace(decoder, x, prior=prior, loss=mean)


# what does not belong together


def test_prior_refuses_codes_of_another_size_or_type(unchecked: None):
    prior = GaussianPrior.standard(3)
    wanted = r"`z` must be codes of this prior, of shape \(n, 3\) and torch.float32, got"
    double = r"`GaussianPrior.standard\(3, dtype=torch.float64\)`"
    cases: list[tuple[Any, type[Exception], str]] = [
        (torch.ones(2, 1), ValueError, rf"{wanted} \(2, 1\) and torch.float32.*standard\(1, "),
        (torch.ones(2, 3).double(), ValueError, rf"{wanted} \(2, 3\) and torch.float64.*{double}"),
        (torch.ones(3), TypeError, r"`z` must be codes, a tensor of floats of shape \(n, latent\)"),
        (np.ones((2, 3)), TypeError, "`z` must be codes"),
    ]
    for z, error, told in cases:
        for call in (prior, prior.log_prob):
            with pytest.raises(error, match=told):
                call(z)
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=4)
    with pytest.raises(ValueError, match=wanted):
        gfe.encode(decoder, torch.rand(5, 4), penalty=prior)


def test_prior_of_two_float_types_or_of_numbers_is_refused(unchecked: None):
    with pytest.raises(TypeError, match=r"one float type, got torch.float64 and torch.float32"):
        GaussianPrior(mean=torch.zeros(2).double(), precision=torch.eye(2))
    with pytest.raises(ValueError, match=r"got shapes \(\) and \(\)"):
        GaussianPrior(mean=torch.tensor(0.0), precision=torch.tensor(1.0))


def test_prior_has_the_float_type_of_the_codes_it_is_fitted_to(unchecked: None):
    z = torch.randn(50, 2, dtype=torch.float64, generator=generator())
    expected = GaussianPrior.fit(z)
    for kind in (torch.float64, torch.float32):
        found = GaussianPrior.fit(z.to(kind).numpy())  # pyright: ignore[reportArgumentType]
        assert found.mean.dtype == found.precision.dtype == kind
        torch.testing.assert_close(found.precision.double(), expected.precision, rtol=1e-4, atol=0)


def test_level_takes_draws_and_refuses_codes_of_others(unchecked: None):
    found = of_digits(2)
    draws = found.sample(5, generator(1))
    assert torch.equal(found.level(draws), torch.stack([found.level(z) for z in draws]))
    for z in (draws[0, 0], draws[0, :1], draws[0, :, :1], draws[0].float()):
        with pytest.raises(
            ValueError, match=r"`z` must be codes of the samples, of shape \(2, 8\)"
        ):
            found.level(z)


def test_spread_decodes_with_the_context_of_the_posterior():
    class Shifted(gfe.LinearDecoder):
        def forward(self, z: Tensor, shift: Tensor | None = None) -> Tensor:
            return super().forward(z) + (0.0 if shift is None else shift)

    decoder = Shifted(latent_dim=1, data_dim=4).double()
    x, shift = torch.rand(2, 5, 4, dtype=torch.float64, generator=generator())
    prior = GaussianPrior.standard(1, dtype=torch.float64)
    loss = gfe.Gaussian(reduction="sum")
    found = laplace(decoder, x, prior=prior, loss=loss, context=shift)
    call = partial(spread, decoder, found, n=5)
    here, there = call(generator=generator(1)), call(generator=generator(1), context=shift)
    assert all(map(torch.equal, here, there))
    other = call(generator=generator(1), context=torch.zeros_like(shift))
    torch.testing.assert_close(here[0] - other[0], shift)


class OwnSquares:
    """A stranger's loss, with a curvature of its own."""

    def per_sample(self, output: Tensor, x: Tensor, mask: Any = None) -> Tensor:
        return (output - x).square().sum(1)

    def curvature(self, output: Tensor, mask: Any = None) -> Tensor:
        return torch.full_like(output, 2.0)


def test_no_samples_have_no_posterior_whatever_the_loss():
    found = laplace(trained("mlp"), digits(0), prior=STANDARD, loss=OwnSquares())
    assert found.z.shape == (1, 0, 8) and found.log_evidence.shape == (0,)


def test_number_of_draws_is_named_where_it_is_negative():
    prior = GaussianPrior.standard(2)
    x = torch.rand(2, 4, generator=generator())
    found = laplace(gfe.LinearDecoder(latent_dim=2, data_dim=4), x, prior=prior)
    for sample in (prior.sample, found.sample):
        with pytest.raises(ValueError, match="`n` must be at least 0, got -1"):
            sample(-1, generator())
        assert len(sample(0, generator())) == 0


def test_prior_follows_only_tensors_that_require_a_gradient():
    mean, precision = torch.zeros(2), torch.eye(2)
    prior = GaussianPrior(mean=mean, precision=precision)
    learnt = torch.zeros(2, requires_grad=True)
    learning = GaussianPrior(mean=learnt, precision=precision)
    for tensor in (mean, precision, learnt.data):
        tensor.add_(5)
    assert (prior.mean == 0).all() and torch.equal(prior.precision, torch.eye(2))
    assert (learning.mean == 5).all() and learning.mean is learnt
