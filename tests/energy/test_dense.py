import math

import pytest
import torch
from problems import generator, quadratic, trained
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.energy.dense import Dense

ACTIVATIONS = [nn.ELU, nn.Tanh, nn.Sigmoid, nn.ReLU]


def stack(
    activation: type[nn.Module], *, bias: bool, dtype: torch.dtype = torch.float64
) -> gfe.MLPDecoder:
    """Return a decoder 4-8-12-16 with this activation, on inputs of both signs."""
    decoder = gfe.MLPDecoder(latent_dim=4, hidden=(8, 12), data_dim=16, generator=generator(1))
    for i in (1, 3):
        decoder.layers[i] = activation()
    if not bias:
        for layer in decoder.layers[::2]:
            layer.register_parameter("bias", None)
    return decoder.to(dtype)


def dense(decoder: object) -> Dense:
    found = Dense.of(decoder)
    assert found is not None
    return found


def codes(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (3 * torch.randn(n, 4, dtype=torch.float64, generator=generator(2))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_pullback_and_jacobian_equal_those_of_autograd(activation, bias, dtype):
    decoder = stack(activation, bias=bias, dtype=dtype)
    z = codes(7, dtype)
    cotangent = torch.randn(7, 16, dtype=torch.float64, generator=generator(3)).to(dtype)
    ours = dense(decoder)
    with torch.no_grad():
        outputs = ours.forward(z)
        pulled = ours.pullback(outputs, cotangent)
        tangents = ours.jacobian(outputs)
    leaf = z.clone().requires_grad_()
    (expected,) = torch.autograd.grad(decoder(leaf), leaf, cotangent)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: decoder(row[None])[0]))(z)
    rounding = 64 * torch.finfo(dtype).eps  # sums of some dozens of terms of order one
    torch.testing.assert_close(outputs[-1], decoder(z).detach(), rtol=0, atol=rounding)
    torch.testing.assert_close(pulled, expected, rtol=0, atol=rounding)
    torch.testing.assert_close(tangents, jacobian.transpose(1, 2).detach(), rtol=0, atol=rounding)
    assert pulled.abs().max() > 0.01 and len(outputs) == 3


def test_pullback_does_not_change_what_it_is_given():
    ours = dense(stack(nn.ELU, bias=True))
    z = codes(5)
    cotangent = torch.ones(5, 16, dtype=torch.float64)
    with torch.no_grad():
        outputs = ours.forward(z)
        before = [h.clone() for h in outputs]
        first = ours.pullback(outputs, cotangent)
        second = ours.pullback(outputs, cotangent)
    assert torch.equal(first, second) and (cotangent == 1).all()
    assert all(torch.equal(h, b) for h, b in zip(outputs, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_elu_equals_that_of_torch_to_rounding_of_one_at_every_size(dtype):
    decoder = gfe.MLPDecoder(latent_dim=1, hidden=(1,), data_dim=1).to(dtype)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.fill_(1.0 if parameter.dim() == 2 else 0.0)
    sizes = torch.logspace(-12, 3, 200, dtype=dtype)
    ends = torch.tensor([0.0, -0.0, math.inf, -math.inf], dtype=dtype)
    z = torch.cat([sizes, -sizes, ends])[:, None]
    with torch.no_grad():
        found = dense(decoder).forward(z)[0]
        outputs = dense(decoder).forward(z[:-2])
        slope = dense(decoder).pullback(outputs, torch.ones_like(z[:-2]))
        assert dense(decoder).forward(torch.full_like(z[:1], math.nan))[0].isnan().all()
    leaf = z[:-2].clone().requires_grad_()
    (expected,) = torch.autograd.grad(nn.functional.elu(leaf).sum(), leaf)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found, nn.functional.elu(z), rtol=eps, atol=eps)
    torch.testing.assert_close(slope, expected, rtol=0, atol=2 * eps)


def test_linear_decoder_and_multilayer_perceptrons_are_stacks():
    assert len(dense(quadratic().decoder).weights) == 1
    assert dense(gfe.LinearDecoder(latent_dim=3, data_dim=5, bias=False)).biases == (None,)
    assert len(dense(gfe.MLPDecoder(latent_dim=3, hidden=(), data_dim=5)).weights) == 1
    assert len(dense(gfe.MLPDecoder(latent_dim=3, hidden=(4, 4, 4), data_dim=5)).weights) == 4


def test_jacobian_of_a_linear_decoder_is_its_matrix():
    decoder = quadratic().decoder
    ours = dense(decoder)
    with torch.no_grad():
        tangents = ours.jacobian(ours.forward(codes(3)))
    assert torch.equal(tangents, decoder.linear.weight.detach().T.expand(3, -1, -1))


class Doubled(gfe.MLPDecoder):
    def forward(self, z: Tensor) -> Tensor:
        return 2 * super().forward(z)


class Shifted(gfe.LinearDecoder):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z) + 1


class Widened(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 3 * super().forward(input)


def _doubled(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return 2 * output


def changed(how: str) -> nn.Module:  # noqa: C901 (one branch for each way)
    """Return a decoder that looks like a stack but computes something more."""
    decoder = stack(nn.ELU, bias=True)
    if how == "subclass":
        return Doubled(latent_dim=4, hidden=(8,), data_dim=16, generator=generator(1)).double()
    if how == "linear subclass":
        return Shifted(latent_dim=4, data_dim=16, generator=generator(1)).double()
    if how == "hook":
        decoder.register_forward_hook(_doubled)
    elif how == "hook of a layer":
        decoder.layers[2].register_forward_hook(_doubled)
    elif how == "pre-hook":
        decoder.layers[0].register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    elif how == "alpha":
        decoder.layers[1] = nn.ELU(alpha=0.5)
    elif how == "other activation":
        decoder.layers[1] = nn.Softplus()
    elif how == "other layer":
        decoder.layers[2] = Widened(8, 12).double()
    elif how == "dropped":
        decoder.layers = nn.Sequential(*decoder.layers, nn.Dropout(0.5)).eval()
    elif how == "two activations":
        decoder.layers = nn.Sequential(*decoder.layers[:2], nn.Tanh(), *decoder.layers[2:])
    return decoder


WAYS = [
    "subclass",
    "linear subclass",
    "hook",
    "hook of a layer",
    "pre-hook",
    "alpha",
    "other activation",
]
WAYS += ["other layer", "dropped", "two activations"]


@pytest.mark.parametrize("how", WAYS)
def test_decoder_that_computes_more_than_a_stack_is_differentiated_as_what_it_is(how):
    decoder = changed(how)
    z = codes(5)
    assert Dense.of(decoder) is None
    x = torch.rand(5, 16, dtype=torch.float64, generator=generator(4))
    leaf = z.clone().requires_grad_()
    expected = gfe.Bernoulli().per_sample(decoder(leaf), x)
    (slope,) = torch.autograd.grad(expected.sum(), leaf)
    assert isinstance(decoder, gfe.MLPDecoder | gfe.LinearDecoder)
    value, grad = gfe.Energy(decoder, x, gfe.Bernoulli()).value_and_grad(z)
    torch.testing.assert_close(
        value, expected.detach(), rtol=0, atol=1e-14
    )  # means of 16 terms of order one
    torch.testing.assert_close(grad, slope, rtol=0, atol=1e-14)


def test_convolutions_and_other_modules_are_no_stack():
    assert Dense.of(trained("conv")) is None
    assert Dense.of(nn.Sequential(nn.Linear(2, 3))) is None
    assert Dense.of(torch.sin) is None
