import pytest
import torch
import torch.nn.functional as F
from problems import fresh, generator

import gfe_core as gfe
from gfe_core.decoders.mlp import Steady, linear
from gfe_core.types import Decoder

KINDS = ["mlp", "conv", "linear"]


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_returns_one_flat_row_for_each_code(kind):
    decoder = fresh(kind)
    assert isinstance(decoder, Decoder)
    assert decoder(torch.zeros(3, 8, dtype=torch.float64)).shape == (3, 64)
    assert decoder(torch.zeros(0, 8, dtype=torch.float64)).shape == (0, 64)
    assert decoder.data_shape == (64,)


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_is_a_function_of_its_seed(kind):
    z = torch.randn(3, 8, dtype=torch.float64, generator=generator())
    torch.manual_seed(123)  # the global source has no effect
    one = fresh(kind, seed=1)(z)
    assert torch.equal(one, fresh(kind, seed=1)(z))
    assert not torch.equal(one, fresh(kind, seed=2)(z))


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_decoder_has_continuous_slopes(kind):
    # Curvature needs smooth activations: over a short line the gradient may not jump.
    decoder = fresh(kind)
    direction = torch.randn(8, dtype=torch.float64, generator=generator(1))
    z = (torch.linspace(-1, 1, 2001, dtype=torch.float64)[:, None] * direction).requires_grad_()
    (slope,) = torch.autograd.grad(decoder(z).sum(), z)
    jumps = (slope @ direction).diff().abs()
    # steps of 1/1000 of the line: a kink is a jump of an O(1) share of the slope, a smooth function
    # moves by 1/1000
    assert jumps.max() < 0.05 * (slope @ direction).abs().max()


def test_conv_decoder_cuts_sizes_that_are_no_multiple():
    decoder = gfe.ConvDecoder(latent_dim=3, image_shape=(7, 10), channels=(4, 4, 4))
    assert decoder(torch.zeros(2, 3)).shape == (2, 70)
    assert decoder.image_shape == (7, 10)


def test_linear_decoder_is_affine():
    decoder = fresh("linear")
    assert isinstance(decoder, gfe.LinearDecoder)
    z = torch.randn(5, 8, dtype=torch.float64, generator=generator())
    torch.testing.assert_close(decoder(z), z @ decoder.linear.weight.T + decoder.linear.bias)
    assert gfe.LinearDecoder(latent_dim=2, data_dim=3, bias=False).linear.bias is None


def test_image_shape_is_a_square_where_the_size_allows_one():
    assert gfe.LinearDecoder(latent_dim=1, data_dim=49).image_shape == (7, 7)
    assert gfe.LinearDecoder(latent_dim=1, data_dim=48).image_shape is None
    assert gfe.LinearDecoder(latent_dim=1, data_dim=1).image_shape is None
    assert gfe.LinearDecoder(latent_dim=1, data_dim=48, image_shape=(6, 8)).image_shape == (6, 8)


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(
        ValueError, match=r"`image_shape` \(5, 5\) has 25 pixels, but `data_dim` is 24"
    ):
        gfe.MLPDecoder(latent_dim=2, hidden=(4,), data_dim=24, image_shape=(5, 5))
    with pytest.raises(ValueError, match="`latent_dim` must be at least 1"):
        gfe.MLPDecoder(latent_dim=0, hidden=(4,), data_dim=24)
    with pytest.raises(
        ValueError,
        match="`latent_dim` must not exceed `data_dim` 24, got 25. .* lower `latent_dim`",
    ):
        gfe.MLPDecoder(latent_dim=25, hidden=(4,), data_dim=24)
    with pytest.raises(ValueError, match="`latent_dim` must not exceed `data_dim` 4, got 5"):
        gfe.ConvDecoder(latent_dim=5, image_shape=(2, 2))
    assert gfe.LinearDecoder(latent_dim=4, data_dim=4).latent_dim == 4
    with pytest.raises(ValueError, match="`data_dim` must be at least 1"):
        gfe.LinearDecoder(latent_dim=2, data_dim=0)


@pytest.mark.slow
@pytest.mark.parametrize("data_dim", [5, 7, 10, 30])
@pytest.mark.parametrize("width", [5, 6, 10, 50])
@pytest.mark.parametrize("latent", [2, 5, 7, 10])
def test_codes_of_every_width_do_not_depend_on_the_batch_to_the_bit(latent, width, data_dim):
    latent = min(latent, data_dim)
    decoder = gfe.MLPDecoder(
        latent_dim=latent, hidden=(width,), data_dim=data_dim, generator=generator(1)
    )
    x = torch.randn(20, data_dim, generator=generator(2))
    options = {"loss": gfe.Gaussian(), "max_steps": 30}
    z = gfe.encode(decoder, x, **options).z
    assert torch.equal(gfe.encode(decoder, x.flip(0), **options).z.flip(0), z)
    assert torch.equal(gfe.encode(decoder, x, size=7, **options).z, z)
    assert torch.equal(gfe.encode(decoder, x[3:4], **options).z, z[3:4])


@pytest.mark.parametrize(("n_in", "n_out"), [(10, 784), (50, 5), (11, 3)])
def test_steady_layer_is_the_linear_layer_of_its_weights(n_in, n_out):
    layer = linear(n_in, n_out)
    assert isinstance(layer, Steady)
    x = torch.randn(16, n_in, generator=generator())
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    assert type(linear(8, n_out)) is type(linear(300, 784)) is torch.nn.Linear
