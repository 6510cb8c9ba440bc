"""Densities on sheets: closed forms, mass that is kept, and what is no density."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from problems import generator, trained
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core import density
from gfe_core.methods.posterior import GaussianPrior
from gfe_core.types import Codes, Context, Decoder, Status

EPS = torch.finfo(torch.float64).eps
AS_DRAWN = gfe.Gaussian()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def linear(latent_dim: int, data_dim: int) -> tuple[Decoder, Tensor, Tensor]:
    decoder = gfe.LinearDecoder(latent_dim=latent_dim, data_dim=data_dim, generator=generator(1))
    decoder.double()
    return decoder, decoder.linear.weight.detach(), decoder.linear.bias.detach()


class Drawn(nn.Module):
    """A decoder made of a function of codes, with one weight so that it has a type."""

    def __init__(self, function: Any, latent_dim: int, data_dim: int) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.function = function
        self.latent_dim = latent_dim
        self.data_shape = (data_dim,)

    def forward(self, z: Tensor) -> Tensor:
        return self.one * self.function(z)


def ellipse(z: Tensor) -> Tensor:
    return torch.cat([3 * z.cos(), 0.5 * z.sin()], 1)


def fold(z: Tensor) -> Tensor:
    return torch.cat([z.square(), z.square() / 2], 1)


# where the answer is known


@pytest.mark.parametrize(("latent_dim", "data_dim"), [(1, 1), (1, 5), (3, 3), (3, 12)])
@pytest.mark.parametrize("standard", [True, False], ids=["standard", "another prior"])
def test_linear_decoder_has_the_gaussian_on_its_plane(
    latent_dim: int, data_dim: int, standard: bool
):
    decoder, A, b = linear(latent_dim, data_dim)
    mean = torch.zeros(latent_dim).double() if standard else normal(latent_dim, seed=3)
    root = normal(latent_dim, latent_dim, seed=4) + 2 * torch.eye(latent_dim)
    precision = torch.eye(latent_dim).double() if standard else root @ root.T
    prior = None if standard else GaussianPrior(mean=mean, precision=precision)
    z = normal(7, latent_dim)
    found = density.log_density(decoder, z, AS_DRAWN, prior=prior)
    # N(A m + b, A C A'), by the pseudo-inverse and the determinant of the plane alone
    covariance = A @ torch.linalg.inv(precision) @ A.T
    variances, axes = (part[..., -latent_dim:] for part in torch.linalg.eigh(covariance))
    away = (z @ A.T + b - (A @ mean + b)) @ axes
    exact = -0.5 * (away.square() / variances + variances.log() + math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)


def test_grey_values_of_one_pixel_are_logit_normal():
    decoder, w, b = linear(1, 1)
    z = normal(9, 1)
    x = torch.sigmoid(decoder(z)).detach()[:, 0]
    logit = torch.distributions.Normal(b[0], w[0, 0].abs()).log_prob(x.logit())
    exact = logit - (x * (1 - x)).log()
    found = density.log_density(decoder, z, gfe.Bernoulli())
    torch.testing.assert_close(found, exact, rtol=1e-11, atol=1e-11)
    of_logits = density.log_density(decoder, z, AS_DRAWN)
    assert (found - of_logits > 1).all(), "logits are spread more widely than grey values"


def test_loss_says_what_is_drawn_and_an_encoding_knows_its_loss():
    decoder = trained("mlp")
    x = torch.rand(3, 64, dtype=torch.float64, generator=generator())
    enc = gfe.encode(decoder, x, max_steps=5)
    found = density.log_density(decoder, enc)
    assert torch.equal(found, density.log_density(decoder, enc.z, gfe.Bernoulli()))
    assert torch.equal(found, density.log_density(decoder, enc.z.numpy(), gfe.Bernoulli()))
    assert not torch.equal(found, density.log_density(decoder, enc, AS_DRAWN))


def test_volume_is_that_of_finite_differences():
    decoder = trained("mlp")
    z = normal(4, 8)
    h = 1e-5
    axes = h * torch.eye(8).double()

    def drawn(z: Tensor) -> Tensor:
        return gfe.reconstruct(decoder, z, gfe.Bernoulli())

    J = torch.stack([(drawn(z + axis) - drawn(z - axis)) / (2 * h) for axis in axes], 2)
    exact = 0.5 * torch.logdet(J.mT @ J)
    # central differences: h^2 of curvature, and rounding over h
    found = density.log_volume(decoder, z, gfe.Bernoulli())
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("latent_dim", "data_dim"), [(1, 2), (2, 5), (3, 3)])
def test_layers_and_jacobians_agree(latent_dim: int, data_dim: int):
    decoder = gfe.InvertibleDecoder(
        latent_dim=latent_dim, data_dim=data_dim, generator=generator()
    ).double()
    with torch.no_grad():
        decoder.A.mul_(3)
    z = normal(40, latent_dim)
    by_jacobian = density.log_volume(decoder, z, AS_DRAWN)
    torch.testing.assert_close(decoder.log_det(z), by_jacobian, rtol=0, atol=1e4 * EPS)
    with_density = density.WithDensity(decoder)
    found = density.log_density(with_density, z, density.Likelihood())
    torch.testing.assert_close(with_density.log_prob(z), found, rtol=0, atol=1e4 * EPS)
    torch.testing.assert_close(-with_density(z)[:, -1], found, rtol=0, atol=1e4 * EPS)


# mass


def along(decoder: Any, low: float, high: float, n: int = 4001) -> tuple[Tensor, Tensor]:
    """Density at places of a curve, and the mass that it puts on their chords."""
    z = torch.linspace(low, high, n, dtype=torch.float64)[:, None]
    p = density.log_density(decoder, z, AS_DRAWN).exp()
    chords = decoder(z).detach().diff(dim=0).norm(dim=1)  # lengths that know no derivative
    return p, (chords * (p[1:] + p[:-1]) / 2).sum()


def test_density_along_a_closed_curve_keeps_the_mass_of_one_turn():
    decoder = Drawn(ellipse, 1, 2)
    _, mass = along(decoder, -math.pi, math.pi)
    # trapezia and chords: a step of 2 pi / 4000, squared
    assert abs(mass.item() - math.erf(math.pi / math.sqrt(2))) < 1e-6


def test_density_of_an_invertible_decoder_integrates_to_one_along_its_curve():
    decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2, generator=generator(3)).double()
    with torch.no_grad():
        decoder.A.mul_(4)
    p, mass = along(decoder, -8, 8)
    assert abs(mass.item() - 1) < 1e-4
    assert p.max() > 1.1 * math.exp(-0.5 * math.log(2 * math.pi)), "a stretched curve"


def test_density_over_a_curved_surface_keeps_the_mass_of_its_codes():
    bowl = Drawn(lambda z: torch.cat([z, z.square().sum(1, keepdim=True)], 1), 2, 3)
    n = 80
    ticks = torch.linspace(-2, 2, n + 1, dtype=torch.float64)
    z = torch.cartesian_prod(ticks, ticks)
    p = density.log_density(bowl, z, AS_DRAWN).exp().unflatten(0, (n + 1, n + 1))
    x = bowl(z).detach().unflatten(0, (n + 1, n + 1))
    a, b, c, d = x[:-1, :-1], x[1:, :-1], x[1:, 1:], x[:-1, 1:]
    halves = [torch.linalg.cross(b - a, c - a), torch.linalg.cross(c - a, d - a)]
    area = sum(half.norm(dim=2) / 2 for half in halves)
    mean = (p[:-1, :-1] + p[1:, :-1] + p[1:, 1:] + p[:-1, 1:]) / 4
    mass = (area * mean).sum().item()
    # flat triangles: a step of 1 / 20, squared
    assert abs(mass - math.erf(math.sqrt(2)) ** 2) < 2e-3


def test_a_folded_curve_has_the_density_of_both_codes_in_sum():
    once = Drawn(lambda z: z.square(), 1, 1)
    z = torch.tensor([[0.5], [-0.5], [1.5], [-1.5]], dtype=torch.float64)
    p = density.log_density(once, z, AS_DRAWN).exp()
    chi2 = torch.distributions.Chi2(torch.ones((), dtype=torch.float64))
    exact = chi2.log_prob(z[::2, 0].square()).exp()
    torch.testing.assert_close(p[::2] + p[1::2], exact, rtol=1e-12, atol=0)


# laws


def test_units_of_data_and_latents_change_the_density_as_they_must():
    plain = trained("mlp")
    units = torch.logspace(-8, 8, 8, dtype=torch.float64)  # farther apart than rounding
    z = normal(4, 8)
    base = density.log_density(plain, z, AS_DRAWN)
    for unit in (1e6, 1e-20):
        scaled = Drawn(lambda z, unit=unit: unit * plain(z), 8, 64)
        found = density.log_density(scaled, z, AS_DRAWN)
        torch.testing.assert_close(found, base - 8 * math.log(unit), rtol=0, atol=1e-9)
    stretched = Drawn(lambda z: plain(z / units), 8, 64)
    prior = GaussianPrior(mean=torch.zeros(8).double(), precision=torch.diag(units**-2))
    found = density.log_density(stretched, z * units, AS_DRAWN, prior=prior)
    torch.testing.assert_close(found, base, rtol=0, atol=1e-9)


def test_rotated_data_have_the_same_density():
    decoder = trained("mlp")
    turn = torch.linalg.qr(normal(64, 64)).Q
    z = normal(4, 8)
    turned = Drawn(lambda z: decoder(z) @ turn.T, 8, 64)
    found = density.log_density(turned, z, AS_DRAWN)
    torch.testing.assert_close(found, density.log_density(decoder, z, AS_DRAWN), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_density_of_a_sample_does_not_depend_on_its_batch(kind: str):
    decoder = trained(kind)
    z = normal(300, 8)  # more than are held at once
    whole = density.log_density(decoder, z, gfe.Bernoulli())
    parts = [density.log_density(decoder, z[k : k + 1], gfe.Bernoulli()) for k in (0, 7, 299)]
    assert torch.equal(whole[[0, 7, 299]], torch.cat(parts))
    assert density.log_density(decoder, z[:0], gfe.Bernoulli()).shape == (0,)


def test_strangers_decoders_agree_to_rounding():
    decoder = trained("mlp")
    z = normal(20, 8)
    stranger = Drawn(decoder, 8, 64)
    found = density.log_density(stranger, z, gfe.Bernoulli())
    expected = density.log_density(decoder, z, gfe.Bernoulli())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e5 * EPS)
    alone = density.log_density(stranger, z[3:4], gfe.Bernoulli())
    torch.testing.assert_close(found[3:4], alone, rtol=0, atol=1e5 * EPS)


def test_images_have_the_density_of_their_rows_of_pixels():
    decoder = trained("mlp")
    image = gfe.wrap(lambda z: decoder(z).unflatten(1, (8, 8)), latent_dim=8, data_shape=(8, 8))
    z = normal(3, 8)
    found = density.log_density(image, z, AS_DRAWN)
    torch.testing.assert_close(found, density.log_density(decoder, z, AS_DRAWN))


class Conditional(nn.Module):
    """A plane whose slope is the context's."""

    latent_dim = 1
    data_shape: tuple[int, ...] = (2,)

    def forward(self, z: Codes, context: Context) -> Tensor:
        assert isinstance(context, Tensor)
        return torch.cat([z, context * z], 1)


def test_density_is_conditional_on_the_context():
    z = normal(300, 1)
    slope = normal(300, 1, seed=1)
    found = density.log_volume(Conditional(), z, AS_DRAWN, context=slope)
    exact = 0.5 * torch.log1p(slope[:, 0].square())
    torch.testing.assert_close(found, exact, rtol=0, atol=10 * EPS)
    with pytest.raises(ValueError, match="`context` must have one row for each of the 300"):
        density.log_density(Conditional(), z, AS_DRAWN, context=slope[:3])


def test_it_works_without_gradients_and_in_inference_mode_and_leaves_its_arguments_alone():
    class Writing(nn.Module):
        latent_dim = 1
        data_shape: tuple[int, ...] = (2,)

        def forward(self, z: Tensor) -> Tensor:
            z = z.clone()
            return torch.cat([z.mul_(2), z.sin()], 1)

    z = normal(3, 1)
    expected = density.log_density(Writing(), z, AS_DRAWN)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            found = density.log_density(Writing(), z.clone(), AS_DRAWN)
        assert torch.equal(found, expected) and not found.requires_grad
    asking = z.clone().requires_grad_()
    assert torch.equal(density.log_density(Writing(), asking, AS_DRAWN), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_single_and_half_precision_come_near(dtype: torch.dtype):
    decoder, _, _ = linear(2, 5)
    z = normal(4, 2)
    exact = density.log_density(decoder, z, AS_DRAWN)
    assert isinstance(decoder, nn.Module)
    found = density.log_density(decoder.to(dtype), z.to(dtype), AS_DRAWN)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=40 * torch.finfo(dtype).eps)


# where there is none


def deep(first: nn.Module) -> Any:
    """A network of two latents behind a first layer."""
    torch.manual_seed(0)
    rest = gfe.MLPDecoder(latent_dim=2, hidden=(30, 40), data_dim=64, generator=generator())
    return Drawn(nn.Sequential(first, rest).double(), 2, 64)


def one_direction(z: Tensor) -> Tensor:
    return (z @ torch.tensor([[0.3], [0.7]]).to(z)) @ torch.tensor([[0.9, -0.4]]).to(z)


@pytest.mark.parametrize(
    ("decoder", "z"),
    [
        (Drawn(fold, 1, 2), [[0.0]]),
        (Drawn(lambda z: torch.cat([z[:, :1], z[:, :1].sin()], 1), 2, 2), [[0.4, 1.0]]),
        (Drawn(one_direction, 2, 2), [[0.4, 1.0]]),
        (Drawn(lambda z: (10 * z).round(), 1, 1), [[0.4]]),
        (Drawn(lambda z: z.clamp(-1, 1).expand(-1, 2), 1, 2), [[3.0]]),
    ],
    ids=["fold", "dead latent", "one direction", "steps", "standstill"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_singular_places_have_no_volume_and_an_infinite_density(
    decoder: Any, z: list[list[float]], dtype: torch.dtype
):
    codes = torch.tensor(z, dtype=dtype)
    decoder = decoder.to(dtype)
    assert density.log_volume(decoder, codes, AS_DRAWN).item() == -math.inf
    assert density.log_density(decoder, codes, AS_DRAWN).item() == math.inf


class OneDirection(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return one_direction(z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_directions_that_only_rounding_tells_apart_are_singular(dtype: torch.dtype):
    decoder = deep(OneDirection()).to(dtype)
    z = normal(50, 2).to(dtype)
    assert (density.log_volume(decoder, z, AS_DRAWN) == -math.inf).all()


def test_nearly_parallel_directions_are_not():
    skew = Drawn(lambda z: torch.cat([z.sum(1, keepdim=True), 1e-10 * z[:, 1:]], 1), 2, 2)
    found = density.log_volume(skew, normal(3, 2), AS_DRAWN)
    torch.testing.assert_close(found, torch.full((3,), math.log(1e-10)).double(), rtol=1e-6, atol=0)


def test_what_is_not_finite_is_nan_and_spoils_no_other_sample():
    decoder = Drawn(lambda z: torch.cat([z, z.exp()], 1), 1, 2)
    z = torch.tensor([[0.5], [math.nan], [1e6], [-0.5]], dtype=torch.float64)
    found = density.log_density(decoder, z, AS_DRAWN)
    assert found.isnan().tolist() == [False, True, True, False]
    expected = density.log_density(decoder, z[[0, 3]], AS_DRAWN)
    torch.testing.assert_close(found[[0, 3]], expected, rtol=0, atol=10 * EPS)


def test_failed_samples_of_an_encoding_have_no_density():
    decoder = trained("mlp")
    x = torch.rand(4, 64, dtype=torch.float64, generator=generator())
    x[1, 3] = math.nan
    enc = gfe.encode(decoder, x, max_steps=5)
    assert enc.status[1] == Status.NON_FINITE
    assert density.log_density(decoder, enc).isnan().tolist() == [False, True, False, False]


# what is refused


def cut(z: Tensor) -> Tensor:
    return torch.cat([z, z], 1).detach()


class Rounded(gfe.Gaussian):
    def mean(self, output: Tensor) -> Tensor:
        return output.detach().round()


def mixing(z: Tensor) -> Tensor:
    return torch.cat([z, z - z.mean(0)], 1)


LINE = Drawn(lambda z: torch.cat([z, z], 1), 1, 2)
STILL = GaussianPrior.standard(1, dtype=torch.float64)
Z = torch.zeros(3, 1, dtype=torch.float64)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("decoder", "z", "options", "error", "text"),
    [
        (
            LINE,
            Z,
            {},
            ValueError,
            r"`loss` .* bare codes.*`gfe.density.log_density\(decoder, enc\)`",
        ),
        (LINE, Z, {"loss": "gaussian"}, TypeError, r"`loss=gfe.Gaussian\(\)`"),
        (LINE, Z, {"loss": AS_DRAWN, "prior": "normal"}, TypeError, "GaussianPrior.standard"),
        (
            LINE,
            Z,
            {"loss": AS_DRAWN, "prior": GaussianPrior.standard(2, dtype=torch.float64)},
            ValueError,
            r"`prior` must be of codes of shape and type \(\(1,\), torch.float64\)",
        ),
        (LINE, Z[:, 0], {"loss": AS_DRAWN}, ValueError, r"`z` must be codes of shape \(batch, 1\)"),
        (LINE, Z.float(), {"loss": AS_DRAWN}, TypeError, "`z` is torch.float32"),
        (Z, LINE, {"loss": AS_DRAWN}, TypeError, "`decoder` must be a decoder"),
        (
            Drawn(lambda z: z[:, :1], 2, 1),
            Z.expand(3, 2),
            {"loss": AS_DRAWN},
            ValueError,
            "`decoder` has 2 latents and 1 features: .* at most 1 latents",
        ),
        (Drawn(cut, 1, 2), Z, {"loss": AS_DRAWN}, ValueError, "`decoder` .* does not depend on z"),
        (
            LINE,
            Z,
            {"loss": Rounded()},
            ValueError,
            "`loss` Rounded has a `mean` without a gradient",
        ),
        (Drawn(mixing, 1, 2), Z, {"loss": AS_DRAWN}, ValueError, "decode each code on its own"),
        (LINE, Z, {"los": AS_DRAWN}, TypeError, "`log_density` takes no `los`: write `loss=...`"),
    ],
)
def test_what_has_no_density_is_refused_in_words(
    decoder: Any, z: Any, options: dict[str, Any], error: type[Exception], text: str
):
    with pytest.raises(error, match=text):
        density.log_density(decoder, z, **options)


# training


def test_likelihood_is_the_misfit_minus_the_log_density():
    decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2, generator=generator()).double()
    with_density = density.WithDensity(decoder)
    noise = gfe.Gaussian(variance=0.04, reduction="sum")
    loss = density.Likelihood(likelihood=noise, weight=0.5)
    z = normal(5, 1)
    x = normal(5, 2, seed=1)
    found = loss.per_sample(with_density(z), x)
    log_p = density.log_density(decoder, z, AS_DRAWN)
    torch.testing.assert_close(found, noise.per_sample(decoder(z), x) - 0.5 * log_p)
    assert (gfe.reconstruct(with_density, z, loss) == decoder(z)).all()
    assert (loss.floor(x) == 0).all()


@pytest.mark.parametrize("solver", [gfe.AMD(), gfe.GaussNewton()], ids=["AMD", "GaussNewton"])
def test_most_probable_codes_do_not_depend_on_the_batch(solver: Any):
    decoder = gfe.InvertibleDecoder(latent_dim=2, data_dim=4, generator=generator()).double()
    with_density = density.WithDensity(decoder)
    loss = density.Likelihood(likelihood=gfe.Gaussian(variance=0.1, reduction="sum"))
    x = normal(20, 4)
    whole = gfe.encode(with_density, x, loss=loss, solver=solver, max_steps=30)
    alone = gfe.encode(with_density, x[7:8], loss=loss, solver=solver, max_steps=30)
    assert torch.equal(whole.z[7:8], alone.z)
    nearest = gfe.encode(decoder, x, loss=loss.likelihood, solver=solver, max_steps=30)
    at_nearest = loss.per_sample(with_density(nearest.z), x)
    assert (whole.energy < at_nearest).all(), "the prior and the volume move codes"


def test_a_decoder_that_knows_no_volume_is_refused_for_training():
    with pytest.raises(TypeError, match=r"`decoder` must have a method `log_det\(z\)`, got MLPDec"):
        density.WithDensity(trained("mlp"))


@pytest.mark.slow
def test_training_by_likelihood_lays_a_line_through_normal_points():
    train, test = (gfe.data.load("line", split).x for split in ("train", "test"))
    decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2, n_layers=0, generator=generator())
    with_density = density.WithDensity(decoder)
    loss = density.Likelihood(likelihood=gfe.Gaussian(variance=0.01, reduction="sum"))
    gfe.fit(
        with_density,
        gfe.data.Batches(train, size=100),
        encoder=partial(gfe.encode, loss=loss, max_steps=20),
        optimizer=torch.optim.Adam(decoder.parameters(), lr=3e-2),
        epochs=60,
        updates_per_encode=2,
    )
    enc = gfe.encode(with_density, test, loss=loss)
    # standard errors of 100 points: 0.1 of the mean, 0.07 of the deviation; three of them
    assert abs(enc.z.mean()) < 0.3 and abs(enc.z.std() - 1) < 0.21
    # the points are (a, a / 2) with a ~ N(0, pi / 4): how far one standard deviation reaches
    sd = math.sqrt(math.pi / 4 * 5 / 4)
    volume = density.log_volume(with_density, enc)
    assert (volume - math.log(sd)).abs().max() < 0.21
    residual = (gfe.reconstruct(with_density, enc) - test).norm(dim=1)
    assert residual.mean() < 0.06, "noise of 0.05 beside the line"
