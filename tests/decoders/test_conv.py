"""Convolutional decoders make images of any size, and an encoder mirrors them."""

import pytest
import torch
from problems import digits, generator
from torch import nn

import gfe_core as gfe
from gfe_core.encoders.autoencoder import Autoencoder
from gfe_core.encoders.convolutional import ConvAutoencoder

WIDTHS = (64, 32, 16)
SIZES = [(28, 28), (8, 8), (9, 7), (32, 32), (1, 16)]


def decoder_of(image_shape: tuple[int, int], channels=WIDTHS) -> gfe.TransposedConvDecoder:
    return gfe.TransposedConvDecoder(
        latent_dim=8, image_shape=image_shape, channels=channels, generator=generator()
    ).double()


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_decoder_has_the_parameters_of_the_published_network_less_those_of_its_normalisations():
    decoder = gfe.TransposedConvDecoder(latent_dim=32, image_shape=(28, 28))
    normalisations = nn.ModuleList(nn.BatchNorm2d(n) for n in WIDTHS)
    assert n_parameters(decoder) == 74_097
    assert n_parameters(decoder) + n_parameters(normalisations) == 74_321


@pytest.mark.parametrize("image_shape", SIZES)
def test_image_is_the_middle_of_the_largest_picture(image_shape):
    z = torch.randn(3, 8, dtype=torch.float64, generator=generator(1))
    small = decoder_of(image_shape)
    large = decoder_of((32, 32))
    assert all(
        torch.equal(a, b) for a, b in zip(small.parameters(), large.parameters(), strict=True)
    )
    (above, below), (left, right) = (((32 - n) // 2, (33 - n) // 2) for n in image_shape)
    picture = large(z).unflatten(1, (32, 32))[:, above : 32 - below, left : 32 - right]
    assert torch.equal(small(z).unflatten(1, image_shape), picture)
    assert 0 <= below - above <= 1 and 0 <= right - left <= 1


def test_each_layer_doubles_the_picture():
    sides = []
    decoder = decoder_of((32, 32))
    for layer in decoder.layers:
        layer.register_forward_hook(
            lambda layer, _, y: (
                sides.append(y.shape[2]) if isinstance(layer, nn.ConvTranspose2d) else None
            )
        )
    decoder(torch.zeros(1, 8, dtype=torch.float64))
    assert sides == [4, 8, 16, 32]


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(0)
    one = decoder_of((8, 8))
    torch.manual_seed(1)
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.parameters(), decoder_of((8, 8)).parameters(), strict=True)
    )


@pytest.mark.parametrize("image_shape", SIZES)
@pytest.mark.parametrize("latent_dim", [8, 5])
def test_mirrored_encoder_reads_images_of_any_size(image_shape, latent_dim):
    decoder = decoder_of(image_shape)
    encoder = ConvAutoencoder.mirror(decoder, latent_dim=latent_dim, generator=generator()).double()
    x = torch.rand(3, *decoder.data_shape, dtype=torch.float64, generator=generator(1))
    assert encoder.layers(x).shape == (3, latent_dim)
    pad = encoder.layers[1]
    around = decoder.layers[-2]
    assert isinstance(pad, nn.ZeroPad2d) and isinstance(around, nn.ZeroPad2d)
    assert torch.equal(around(pad(x.unflatten(1, image_shape))), x.unflatten(1, image_shape))


def test_mirrored_encoder_has_the_weights_of_the_decoder_backwards():
    decoder = decoder_of((28, 28))
    encoder = ConvAutoencoder.mirror(decoder)
    forth = [
        layer.weight.shape for layer in decoder.layers if isinstance(layer, nn.ConvTranspose2d)
    ]
    back = [layer.weight.shape for layer in encoder.layers if isinstance(layer, nn.Conv2d)]
    assert back == forth[::-1]


def test_autoencoder_of_convolutions_learns_digits():
    decoder = decoder_of((8, 8), channels=(8, 4))
    encoder = ConvAutoencoder.mirror(decoder, generator=generator(1)).double()
    assert isinstance(encoder, Autoencoder)
    optimizer = torch.optim.Adam([*decoder.parameters(), *encoder.parameters()], lr=5e-3)
    before = encoder(decoder, digits(200, 200)).energy.mean()
    gfe.fit(
        decoder,
        gfe.data.Batches(digits(60), size=20),
        encoder=encoder,
        optimizer=optimizer,
        epochs=4,
    )
    assert encoder(decoder, digits(200, 200)).energy.mean() < before - 0.02


def test_code_of_a_sample_does_not_depend_on_its_neighbours_in_the_encoder():
    decoder = decoder_of((8, 8))
    encoder = ConvAutoencoder.mirror(decoder, generator=generator(1)).double()
    x = digits(5)
    # convolutions may sum in another order for another batch: some roundings of numbers below 1
    assert (
        encoder(decoder, x).z - torch.cat([encoder(decoder, one).z for one in x.split(1)])
    ).abs().max() < 1e-13


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", [gfe.TransposedConvDecoder, ConvAutoencoder])
def test_image_that_is_too_large_is_refused_with_the_remedy(kind):
    message = (
        r"`image_shape` must be at most 16x16 for 2 channels, got \(8, 17\). Name more `channels`"
    )
    with pytest.raises(ValueError, match=message):
        kind(latent_dim=2, image_shape=(8, 17), channels=(4, 2))
