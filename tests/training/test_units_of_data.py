"""Training says so where the unit of the data is far from what it assumes."""

import warnings
from functools import partial
from typing import Any

import pytest
import torch
from problems import digits
from torch import Tensor

import gfe_core as gfe


def told(x: Tensor, loss: Any) -> list[str]:
    """Return the warnings of a short training."""
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=x.shape[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gfe.fit(decoder, gfe.data.Batches(x, size=16), loss=loss)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e4])
def test_far_units_are_named_with_a_scaler_and_a_variance(unit: float) -> None:
    (message,) = told(unit * digits(32).float(), gfe.Gaussian())
    assert "(x - x.mean()) / x.std()" in message and "gfe.Gaussian(variance=" in message


def test_the_variance_that_is_named_ends_the_warning() -> None:
    x = 1e-3 * digits(32).float()
    (message,) = told(x, gfe.Gaussian())
    variance = float(message.split("variance=")[1].split(")")[0])
    assert told(x, gfe.Gaussian(variance=variance)) == []


def test_common_units_need_no_word() -> None:
    x = digits(32).float()
    assert told(x, gfe.Bernoulli()) == []
    for unit in (0.1, 1.0, 16.0):
        assert told(unit * x, gfe.Gaussian()) == []
    with_gap = x.clone()
    with_gap[0, 0] = torch.nan
    assert not any("about their mean" in message for message in told(with_gap, gfe.Gaussian()))


def test_an_encoder_with_another_loss_is_named() -> None:
    x = digits(16).float()
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=64)
    by_squares = partial(gfe.encode, loss=gfe.Gaussian(), max_steps=3)
    with pytest.warns(UserWarning, match=r"finds codes by Gaussian\(.*but `loss` is Bernoulli"):
        gfe.fit(decoder, x, encoder=by_squares, loss=gfe.Bernoulli())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gfe.fit(decoder, 5 * x, encoder=by_squares)
        found = gfe.evaluate(decoder, 5 * x, encoder=by_squares)
    assert torch.equal(found.excess, found.energy)  # the floor of squares is 0


def squares(output: Tensor, x: Tensor) -> Tensor:
    return (output - x).square().sum(1)


def test_an_encoder_whose_loss_was_left_out_is_told_for_losses_of_ones_own():
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=6)
    with pytest.warns(UserWarning, match=r"by Bernoulli.*but `loss` is the function squares"):
        gfe.fit(decoder, x, encoder=gfe.encode, loss=squares)
    with pytest.warns(UserWarning, match="energies and excess are by the encoder's"):
        judged = gfe.evaluate(decoder, x, encoder=gfe.encode, loss=squares)
    usual = gfe.evaluate(decoder, x, encoder=gfe.encode)
    assert judged.excess.equal(usual.excess) and (judged.excess >= 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for encoder in (partial(gfe.encode, loss=squares), None):
            gfe.evaluate(decoder, x, loss=squares, encoder=encoder)


def test_an_excess_is_over_the_floor_of_the_loss_that_gives_the_energies():
    class Squares:
        def per_sample(self, output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return (output - x).square().mean(1)

    x = digits(32).float()
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=64)
    by_bernoulli = partial(gfe.encode, loss=gfe.Bernoulli())
    with pytest.warns(UserWarning, match="energies and excess are by the encoder's"):
        judged = gfe.evaluate(decoder, x, encoder=by_bernoulli, loss=Squares())
    assert judged.excess.equal(gfe.evaluate(decoder, x, encoder=by_bernoulli).excess)
    assert (judged.excess < judged.energy).all()
