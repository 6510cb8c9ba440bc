from typing import Any

import numpy as np
import pytest
import torch
from problems import EPS, generator

import gfe_core as gfe

LOSSES = [gfe.Bernoulli(reduction=r) for r in ("mean", "sum")] + [
    gfe.Gaussian(variance=v, reduction=r)
    for v in (0.5, tuple(0.2 * i for i in range(1, 11)))
    for r in ("mean", "sum")
]
LOSSES += [gfe.Poisson(reduction=r) for r in ("mean", "sum")]
ids = repr
KINDS = ("Bernoulli", "Gaussian", "Poisson")


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


def gradient(loss: Any, output: torch.Tensor, x: torch.Tensor, mask: torch.Tensor | None) -> Any:
    """Derivative of the energies in every output, with a graph."""
    y = output.requires_grad_()
    return torch.autograd.grad(loss.per_sample(y, x, mask).sum(), y, create_graph=True)[0]


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_curvature_is_the_diagonal_second_derivative(loss, output, x, mask):
    y = output.clone()
    slope = gradient(loss, y, x, mask)
    # Features do not mix: the sum of a row is the diagonal. That of a constant slope is 0.
    expected = torch.autograd.grad(slope.sum(), y, materialize_grads=True)[0]
    torch.testing.assert_close(loss.curvature(output, mask), expected, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_what_overflows_at_an_unobserved_feature_has_no_influence(loss, output, x):
    mask = torch.ones_like(x, dtype=torch.bool)
    mask[:, 3] = False
    wild = output.clone()
    wild[:, 3] = 1e3
    wild[0, 3] = torch.inf
    assert torch.equal(loss.per_sample(wild, x, mask), loss.per_sample(output, x, mask))
    assert torch.equal(gradient(loss, wild, x, mask), gradient(loss, output, x, mask))
    assert torch.equal(loss.curvature(wild, mask), loss.curvature(output, mask))


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_floor_is_the_lowest_energy_of_any_output(loss, x, mask):
    floor = loss.floor(x, mask)
    random = 5 * torch.randn(200, *x.shape, dtype=torch.float64, generator=generator(5))
    for candidate in random:
        assert (loss.per_sample(candidate, x, mask) >= floor - 100 * EPS).all()
    best = x
    if isinstance(loss, gfe.Bernoulli):
        best = torch.logit(x.clamp(1e-15, 1 - 1e-15))
    elif isinstance(loss, gfe.Poisson):
        best = x.clamp(min=1e-15).log()
    # outputs cannot reach 0 and 1: ten features miss them by 1e-15 times a logit of 35 each
    torch.testing.assert_close(loss.per_sample(best, x, mask), floor, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [gfe.Bernoulli, gfe.Gaussian, gfe.Poisson])
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
    assert (gradient(loss, output, x, mask)[~mask] == 0).all()
    assert (loss.curvature(output, mask)[~mask] == 0).all()


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_sample_without_any_observed_feature_has_energy_zero(loss, output, x):
    nothing = torch.zeros(6, 10, dtype=torch.bool)
    assert (loss.per_sample(output, x, nothing) == 0).all()
    assert (gradient(loss, output, x, nothing) == 0).all()


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
    assert torch.equal(gfe.Poisson().mean(output), output.exp())


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_bernoulli_energy_stays_finite_at_saturated_logits(logit):
    y = torch.full((1, 2), logit, dtype=torch.float64)
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert (
        gfe.Bernoulli(reduction="sum").per_sample(y, x).item() == 1e4
    )  # one of the two is right, the other costs |y|


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_repr_can_be_pasted_back(loss):
    assert eval(repr(loss), {kind: getattr(gfe, kind) for kind in KINDS}) == loss
    assert len({loss, loss}) == 1


def test_unknown_reduction_and_variance_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"`reduction` must be 'mean'.*got 'median'"):
        gfe.Bernoulli(reduction="median")  # pyright: ignore[reportArgumentType]
    for variance in (0.0, -1.0, float("nan"), float("inf"), (1.0, 0.0), ()):
        with pytest.raises(ValueError, match="`variance` must be"):
            gfe.Gaussian(variance=variance)


def test_poisson_energy_is_the_log_probability_of_torch(output):
    counts = torch.arange(60, dtype=torch.float64).view(6, 10)
    expected = -torch.distributions.Poisson(output.exp()).log_prob(counts).sum(1)
    actual = gfe.Poisson(reduction="sum").per_sample(output, counts)
    torch.testing.assert_close(actual, expected, rtol=100 * EPS, atol=0)
    with pytest.raises(ValueError, match=r"at least 0 for the Poisson loss, got -59"):
        gfe.Poisson().check_data(-counts)


@pytest.mark.parametrize("kind", ["tuple", "list", "array", "tensor"])
def test_variance_of_each_feature_is_kept_as_a_tuple_whatever_it_came_in(kind, output, x):
    numbers = tuple(0.5 * i for i in range(1, 11))
    given: Any = {"tuple": numbers, "list": [*numbers], "array": np.array(numbers)}.get(kind)
    loss = gfe.Gaussian(variance=torch.tensor(numbers) if given is None else given)
    assert loss == gfe.Gaussian(variance=numbers)
    expected = torch.stack(
        [
            gfe.Gaussian(variance=v).per_sample(output[:, i : i + 1], x[:, i : i + 1])
            for i, v in enumerate(numbers)
        ]
    ).mean(0)
    torch.testing.assert_close(loss.per_sample(output, x), expected, rtol=100 * EPS, atol=0)


def test_variance_of_other_features_than_the_data_is_refused(output, x, unchecked):
    for variance in ((1.0, 2.0), ((1.0,) * 10,)):
        with pytest.raises(ValueError, match=r"one for each feature in shape \(10,\), got shape"):
            gfe.Gaussian(variance=variance).per_sample(output, x)
    with pytest.raises(TypeError, match="one number or one for each feature"):
        gfe.Gaussian(variance="small")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_output_that_would_be_broadcast_is_refused(loss, output, x, unchecked):
    for wrong in (output[:, :1], output[:1], output[:, None]):
        with pytest.raises(ValueError, match="`output` must have the shape of `x`"):
            loss.per_sample(wrong, x)
