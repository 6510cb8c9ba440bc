import pytest
import torch
from problems import EPS, generator

import gfe_core as gfe

LOSSES = [gfe.Bernoulli(reduction=r) for r in ("mean", "sum")] + [
    gfe.Gaussian(variance=v, reduction=r) for v in (0.5, 2.0) for r in ("mean", "sum")
]
ids = repr


@pytest.fixture
def output() -> torch.Tensor:
    return 3 * torch.randn(6, 10, dtype=torch.float64, generator=generator(1))


@pytest.fixture
def x() -> torch.Tensor:
    grey = torch.rand(6, 10, dtype=torch.float64, generator=generator(2))
    # the ends, where the entropy is 0 log 0
    grey[:, 0] = 0.0
    grey[:, 1] = 1.0
    return grey


@pytest.fixture(params=["all", "some"])
def mask(request: pytest.FixtureRequest) -> torch.Tensor | None:
    return None if request.param == "all" else torch.rand(6, 10, generator=generator(4)) < 0.7


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_curvature_is_the_diagonal_second_derivative(loss, output, x, mask):
    y = output.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss.per_sample(y, x, mask).sum(), y, create_graph=True)
    (expected,) = torch.autograd.grad(
        gradient.sum(), y
    )  # features do not mix: the sum of a row is the diagonal
    torch.testing.assert_close(loss.curvature(output, mask), expected, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_floor_is_the_lowest_energy_of_any_output(loss, x, mask):
    floor = loss.floor(x, mask)
    random = 5 * torch.randn(200, *x.shape, dtype=torch.float64, generator=generator(5))
    for candidate in random:
        assert (loss.per_sample(candidate, x, mask) >= floor - 100 * EPS).all()
    best = torch.logit(x.clamp(1e-15, 1 - 1e-15)) if isinstance(loss, gfe.Bernoulli) else x
    # logits cannot reach 0 and 1: ten features miss them by 1e-15 times a logit of 35 each
    torch.testing.assert_close(loss.per_sample(best, x, mask), floor, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [gfe.Bernoulli, gfe.Gaussian])
def test_sum_is_mean_times_the_number_of_observed_features(kind, output, x, mask):
    observed = 10 if mask is None else mask.sum(1)
    mean = kind(reduction="mean")
    total = kind(reduction="sum")
    torch.testing.assert_close(
        total.per_sample(output, x, mask), mean.per_sample(output, x, mask) * observed
    )
    torch.testing.assert_close(total.floor(x, mask), mean.floor(x, mask) * observed)


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_unobserved_features_do_not_matter(loss, output, x):
    mask = torch.rand(6, 10, generator=generator(4)) < 0.7
    other = torch.where(mask, x, 0.123)
    assert torch.equal(loss.per_sample(output, x, mask), loss.per_sample(output, other, mask))
    y = output.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss.per_sample(y, x, mask).sum(), y)
    assert (gradient[~mask] == 0).all()
    assert (loss.curvature(output, mask)[~mask] == 0).all()


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_sample_without_any_observed_feature_has_energy_zero(loss, output, x):
    nothing = torch.zeros(6, 10, dtype=torch.bool)
    assert (loss.per_sample(output, x, nothing) == 0).all()


def test_bernoulli_energy_is_the_cross_entropy_of_torch(output, x):
    expected = torch.nn.functional.binary_cross_entropy_with_logits(output, x, reduction="none")
    torch.testing.assert_close(
        gfe.Bernoulli().per_sample(output, x), expected.mean(1), rtol=10 * EPS, atol=0
    )


def test_gaussian_energy_is_the_log_density_of_torch_up_to_its_constant(output, x):
    density = torch.distributions.Normal(output, 2.0**0.5)
    constant = density.log_prob(output).sum(1)
    expected = constant - density.log_prob(x).sum(1)
    actual = gfe.Gaussian(variance=2.0, reduction="sum").per_sample(output, x)
    torch.testing.assert_close(actual, expected, rtol=100 * EPS, atol=0)


def test_mean_is_the_expectation_in_data_space(output):
    assert torch.equal(gfe.Bernoulli().mean(output), torch.sigmoid(output))
    assert torch.equal(gfe.Gaussian().mean(output), output)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_bernoulli_energy_stays_finite_at_saturated_logits(logit):
    y = torch.full((1, 2), logit, dtype=torch.float64)
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert (
        gfe.Bernoulli(reduction="sum").per_sample(y, x).item() == 1e4
    )  # one of the two is right, the other costs |y|


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_repr_can_be_pasted_back(loss):
    assert eval(repr(loss), {"Bernoulli": gfe.Bernoulli, "Gaussian": gfe.Gaussian}) == loss


def test_unknown_reduction_and_variance_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"`reduction` must be 'mean'.*got 'median'"):
        gfe.Bernoulli(reduction="median")  # pyright: ignore[reportArgumentType]
    for variance in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`variance` must be"):
            gfe.Gaussian(variance=variance)
