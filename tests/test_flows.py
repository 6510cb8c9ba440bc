import pytest
import torch
from problems import EPS, digits, energy_and_gradient, generator, quadratic, trained
from torch import nn

import gfe_core as gfe

KINDS = ["mlp", "conv", "linear"]


@pytest.fixture
def z() -> torch.Tensor:
    return 0.5 * torch.randn(5, 8, dtype=torch.float64, generator=generator(7))


def tiny() -> tuple[gfe.MLPDecoder, torch.Tensor, torch.Tensor]:
    random = generator(11)
    decoder = gfe.MLPDecoder(latent_dim=3, hidden=(5,), data_dim=6, generator=random).double()
    x = torch.rand(4, 6, dtype=torch.float64, generator=random)
    return decoder, x, torch.randn(4, 3, dtype=torch.float64, generator=random)


@pytest.mark.parametrize("kind", KINDS)
def test_value_and_gradient_equal_plain_torch(kind, z):
    decoder, x = trained(kind), digits(5)
    value, grad = gfe.Energy(decoder, x, gfe.Bernoulli()).value_and_grad(z)
    expected_value, expected_grad = energy_and_gradient(decoder, x, z)
    # sums of 64 terms of order one, added in another order
    torch.testing.assert_close(value, expected_value, rtol=0, atol=64 * EPS)
    torch.testing.assert_close(grad, expected_grad, rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("kind", KINDS)
def test_value_with_and_without_gradient_are_one_number(kind, z):
    energy = gfe.Energy(trained(kind), digits(5), gfe.Bernoulli())
    assert torch.equal(energy.value(z), energy.value_and_grad(z)[0])


@pytest.mark.parametrize("loss", [gfe.Bernoulli(), gfe.Gaussian(variance=0.3, reduction="sum")], ids=repr)
def test_hessian_equals_that_of_autograd(loss):
    decoder, x, z = tiny()
    hessian = gfe.Energy(decoder, x, loss, penalty=lambda z: z.pow(4).sum(1)).hessian(z)
    for i in range(len(x)):
        expected = torch.autograd.functional.hessian(
            lambda code, i=i: loss.per_sample(decoder(code[None]), x[i : i + 1])[0] + code.pow(4).sum(), z[i]
        )
        assert isinstance(expected, torch.Tensor)
        # entries of order ten, each a sum over a few dozen paths
        torch.testing.assert_close(hessian[i], expected, rtol=0, atol=1e-13)


def test_hessian_of_the_linear_problem_is_its_matrix():
    problem = quadratic()
    energy = gfe.Energy(problem.decoder, problem.x, problem.loss)
    expected = problem.axes * problem.curvature @ problem.axes.T
    actual = energy.hessian(torch.zeros(5, 4, dtype=torch.float64))
    torch.testing.assert_close(actual, expected.expand(5, 4, 4), rtol=0, atol=1e-13)  # sums of 16 terms of order one


def test_hessian_product_is_the_hessian_times_each_own_vector():
    decoder, x, z = tiny()
    energy, v = gfe.Energy(decoder, x, gfe.Bernoulli()), torch.randn(4, 3, dtype=torch.float64, generator=generator(1))
    expected = torch.einsum("bij,bj->bi", energy.hessian(z), v)
    torch.testing.assert_close(energy.hessian_product(z, v), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "keep", [torch.tensor([True, False, True, True, False]), torch.tensor([4, 0])], ids=["mask", "rows"]
)
def test_rows_is_the_same_energy_for_a_selection(keep, z):
    observed = torch.rand(5, 64, generator=generator(2)) < 0.8
    energy = gfe.Energy(trained("mlp"), digits(5), gfe.Bernoulli(), mask=observed, penalty=lambda z: z.square().sum(1))
    value, grad = energy.value_and_grad(z)
    part_value, part_grad = energy.rows(keep).value_and_grad(z[keep])
    assert torch.equal(part_value, value[keep])
    assert torch.equal(part_grad, grad[keep])
    assert energy.rows(keep).n == len(z[keep])


def test_penalty_is_added_to_value_and_gradient(z):
    x, decoder = digits(5), trained("mlp")
    bare, grad = gfe.Energy(decoder, x, gfe.Bernoulli()).value_and_grad(z)
    energy = gfe.Energy(decoder, x, gfe.Bernoulli(), penalty=lambda z: 0.5 * z.square().sum(1))
    value, penalised = energy.value_and_grad(z)
    torch.testing.assert_close(value, bare + 0.5 * z.square().sum(1), rtol=10 * EPS, atol=0)
    torch.testing.assert_close(penalised, grad + z, rtol=0, atol=10 * EPS)


def test_energy_leaves_no_gradient_on_the_decoder_and_no_graph_on_its_answers(z):
    decoder = trained("mlp")
    assert isinstance(decoder, nn.Module)
    energy = gfe.Energy(decoder, digits(5), gfe.Bernoulli())
    answers = [*energy.value_and_grad(z), energy.value(z), energy.hessian(z), energy.hessian_product(z, z)]
    assert not any(answer.requires_grad for answer in answers)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in decoder.parameters())
    assert not z.requires_grad


def test_gradient_flow_goes_downhill_at_its_rate(z):
    t = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    assert torch.equal(gfe.GradientFlow().velocity(t, z, z), -z)
    assert torch.equal(gfe.GradientFlow(rate=2.5).velocity(t, z, z), -2.5 * z)
    decaying = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=2.0)).velocity(t, z, z)
    torch.testing.assert_close(decaying, -torch.exp(-t)[:, None] * z, rtol=4 * EPS, atol=0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_not_positive_and_finite_are_refused(value):
    with pytest.raises(ValueError, match="`rate` must be a positive finite number"):
        gfe.GradientFlow(rate=value)
    with pytest.raises(ValueError, match="`tau` must be a positive finite number"):
        gfe.ExponentialDecay(tau=value)
