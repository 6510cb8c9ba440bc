"""Every layer can be undone, and its volume is that of its derivatives."""

import copy
from typing import Any

import pytest
import torch
from problems import generator
from torch import Tensor

import gfe_core as gfe
from gfe_core.decoders.invertible import ARCSINH, SINH, STRAIGHT
from gfe_core.types import Decoder

EPS = torch.finfo(torch.float64).eps
SIZES = [(1, 1), (1, 2), (2, 2), (2, 5), (4, 4)]
every_size = pytest.mark.parametrize(("latent_dim", "data_dim"), SIZES)


def bent(latent_dim: int, data_dim: int, n_layers: int = 4, seed: int = 0) -> Any:
    """A decoder far from the identity, float64."""
    decoder = gfe.InvertibleDecoder(
        latent_dim=latent_dim, data_dim=data_dim, n_layers=n_layers, generator=generator(seed)
    ).double()
    with torch.no_grad():
        for weights in decoder.parameters():
            noise = torch.randn(weights.shape, generator=generator(seed + 1))
            weights.copy_(0.5 / data_dim**0.5 * noise)
    return decoder


def codes(n: int, latent_dim: int) -> Tensor:
    return torch.randn(n, latent_dim, dtype=torch.float64, generator=generator(2))


def jacobians(decoder: Any, z: Tensor) -> Tensor:
    return torch.stack([torch.func.jacrev(lambda one: decoder(one[None])[0])(one) for one in z])


def test_it_is_a_decoder_of_flat_rows():
    decoder = bent(2, 5)
    assert isinstance(decoder, Decoder)
    assert decoder(codes(3, 2)).shape == (3, 5) and decoder(codes(0, 2)).shape == (0, 5)
    assert (decoder.latent_dim, decoder.data_shape) == (2, (5,))
    # without an activation it would be one matrix
    z = codes(3, 2)
    assert not torch.allclose(decoder(2 * z) - decoder(z), decoder(z) - decoder(0 * z), atol=0.01)


@every_size
def test_what_it_draws_has_the_code_it_was_drawn_from(latent_dim: int, data_dim: int):
    decoder = bent(latent_dim, data_dim)
    z = codes(20, latent_dim)
    # ten thousand roundings, as layers stretch them
    torch.testing.assert_close(decoder.inverse(decoder(z)), z, rtol=0, atol=1e4 * EPS)


@every_size
def test_volume_by_layers_is_that_of_the_jacobian(latent_dim: int, data_dim: int):
    decoder = bent(latent_dim, data_dim)
    z = codes(20, latent_dim)
    widths = torch.linalg.svdvals(jacobians(decoder, z))
    exact = widths.log().sum(1)
    # J'J squares the condition of J
    rounding = 100 * EPS * (widths[:, 0] / widths[:, -1]).max().item() ** 2
    assert rounding < 1e-9
    torch.testing.assert_close(decoder.log_det(z), exact, rtol=0, atol=rounding)
    assert exact.std() > 0.05, "a constant would be no test"


def test_square_volume_is_the_determinant_of_the_jacobian():
    decoder = bent(3, 3)
    z = codes(20, 3)
    J = jacobians(decoder, z)
    sign, log_abs = torch.linalg.slogdet(J)
    assert (sign == 1).all(), "turns and stretches reflect nothing"
    # the Jacobian is rounded, and its determinant by its condition more
    rounding = 100 * EPS * torch.linalg.cond(J).max().item()
    assert rounding < 1e-7
    torch.testing.assert_close(decoder.log_det(z), log_abs, rtol=0, atol=rounding)


def test_gradients_of_the_volume_are_its_finite_differences():
    decoder = bent(1, 2)
    z = codes(5, 1).requires_grad_()
    inputs = (z, *decoder.parameters())

    def volume(z: Tensor, *_: Tensor) -> Tensor:
        return decoder.log_det(z)

    assert torch.autograd.gradcheck(volume, inputs)
    square = bent(2, 2)
    assert torch.autograd.gradcheck(square.log_det, codes(5, 2).requires_grad_())


def test_turns_are_rotations_and_zeros_widen_without_a_stretch():
    decoder = bent(1, 4, n_layers=0)
    with torch.no_grad():
        decoder.A.copy_(decoder.A - decoder.A.mT)  # the symmetric part is the stretch
    (M, _, _), *more = decoder._layers()
    assert not more
    torch.testing.assert_close(M @ M.mT, torch.eye(4).double(), rtol=0, atol=100 * EPS)
    assert decoder.log_det(codes(3, 1)).abs().max() < 100 * EPS


@pytest.mark.parametrize("curve", [ARCSINH, SINH, STRAIGHT], ids=["arcsinh", "sinh", "straight"])
def test_curves_are_undone_and_know_their_slope(curve: Any):
    u = torch.linspace(-30, 30, 61, dtype=torch.float64).requires_grad_()
    v = curve.bend(u)
    torch.testing.assert_close(curve.undo(v), u, rtol=1e-13, atol=1e-14)
    (slope,) = torch.autograd.grad(v.sum(), u)
    torch.testing.assert_close(curve.log_slope(u, v), slope.log(), rtol=1e-12, atol=1e-14)


def test_far_codes_have_finite_volumes_in_single_precision():
    decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2, n_layers=2, generator=generator())
    z = torch.tensor([[1e25], [-1e30]])
    assert decoder.log_det(z).isfinite().all()  # squares of these would overflow


def test_new_decoder_draws_a_nearly_straight_sheet_at_unit_speed():
    for n in (2, 16, 64):
        decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=n, generator=generator())
        z = torch.linspace(-2, 2, 9)[:, None]
        assert decoder.log_det(z).abs().max() < 0.7
        directions = decoder(z).diff(dim=0)
        cosines = torch.cosine_similarity(directions[1:], directions[:-1])
        assert cosines.min() > 0.9


def test_it_is_a_function_of_its_seed():
    one, same, other = (bent_from(seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def bent_from(seed: int) -> Tensor:
    torch.manual_seed(123)  # the global source has no effect
    decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2, generator=generator(seed))
    return decoder(torch.ones(1, 1)).detach()


def test_flow_finds_the_code_that_the_inverse_knows():
    decoder = bent(2, 5)
    z = codes(20, 2)
    loss = gfe.Gaussian(reduction="sum")
    x = decoder(z).detach()
    end = gfe.Stop(grad_norm=1e-10)
    enc = gfe.encode(decoder, x, loss=loss, solver=gfe.GaussNewton(), stop=end)
    reached = enc.energy < 1e-16
    assert reached.float().mean() > 0.8, "at most a few lie behind a ridge"
    # the root of the energy that is left is 1e-8, which layers stretch
    torch.testing.assert_close(
        enc.z[reached], decoder.inverse(x)[reached].detach(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("latent_dim", "data_dim"), [(2, 4), (4, 8)])
def test_codes_do_not_depend_on_the_batch(latent_dim: int, data_dim: int):
    decoder = bent(latent_dim, data_dim)
    x = decoder(codes(20, latent_dim)).detach()
    loss = gfe.Gaussian()
    whole = gfe.encode(decoder, x, loss=loss, max_steps=30)
    alone = gfe.encode(decoder, x[7:8], loss=loss, max_steps=30)
    assert torch.equal(whole.z[7:8], alone.z)


def test_sizes_that_make_no_sense_are_refused(unchecked: None):
    with pytest.raises(ValueError, match="`latent_dim` must not exceed `data_dim` 2, got 3"):
        gfe.InvertibleDecoder(latent_dim=3, data_dim=2)
    with pytest.raises(ValueError, match="`n_layers` must be at least 0, got -1"):
        gfe.InvertibleDecoder(latent_dim=1, data_dim=2, n_layers=-1)
    decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=2)
    with pytest.raises(ValueError, match=r"`x` must have shape \(batch, 2\)"):
        decoder.inverse(torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"`z` must be codes of shape \(batch, 1\)"):
        decoder.log_det(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"`z` must be codes of shape \(batch, 1\), got \(3, 2\)"):
        decoder(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"`z` must be codes of shape \(batch, 1\).*`z\[None\]`"):
        gfe.density.WithDensity(decoder).log_prob(torch.zeros(3, 1)[0])


def test_log_det_is_exact_in_float32_where_tangents_are_nearly_parallel():
    decoder = gfe.InvertibleDecoder(latent_dim=2, data_dim=3, generator=generator(1))
    with torch.no_grad():
        for weights in decoder.parameters():
            weights *= 4
    z = torch.randn(200, 2, generator=generator(0))
    single = decoder.log_det(z)
    (slope,) = torch.autograd.grad(decoder.log_det(z.requires_grad_()).sum(), z)
    double = decoder.double().log_det(z.detach().double())
    # the condition of J reaches 1e4, which costs four of float32's seven digits; J'J would cost all
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-2)
    assert slope.isfinite().all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_decoder_in_half_precision_computes_what_its_weights_say(kind):
    half = gfe.InvertibleDecoder(latent_dim=2, data_dim=4, generator=generator()).to(kind)
    single = copy.deepcopy(half).float()
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).to(kind)
    x = half(z).detach()
    for found, expected in (
        (x, single(z.float())),
        (half.log_det(z), single.log_det(z.float())),
        (half.inverse(x), single.inverse(x.float())),
    ):
        assert found.dtype == kind
        # a few layers round a few times each
        assert (found - expected).norm() < 16 * torch.finfo(kind).eps * expected.norm()
