"""What is lost to missing features is said aloud, once, and nothing is said where nothing is."""

import warnings
from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import gfe_core as gfe

WHOLE = gfe.data.load("digits").take(40).x
SHORT = partial(gfe.encode, max_steps=2)
OBSERVED = partial(gfe.encode_observed, max_steps=2)


def decoder() -> gfe.LinearDecoder:
    source = torch.Generator().manual_seed(0)
    return gfe.LinearDecoder(latent_dim=2, data_dim=64, generator=source)


def with_gaps() -> torch.Tensor:
    """Seven incomplete samples of forty; every feature is known somewhere."""
    x = WHOLE.clone()
    x[3:10, 5] = torch.nan
    return x


def said(call: partial) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if one.category is UserWarning]


def test_samples_that_teach_nothing_are_counted_once():
    batches = gfe.data.Batches(with_gaps(), size=8)
    (message,) = said(partial(gfe.fit, decoder(), batches, encoder=SHORT, epochs=3))
    assert message.startswith("7 of 40 samples have missing features (NaN) and teach nothing.")
    assert "gfe.encode_observed" in message


def test_nothing_is_said_where_nan_means_unobserved():
    x = with_gaps()
    batches = gfe.data.Batches(x, size=8)
    assert said(partial(gfe.fit, decoder(), batches, encoder=OBSERVED)) == []
    assert said(partial(gfe.evaluate, decoder(), x, encoder=OBSERVED)) == []


def test_nothing_is_said_of_whole_samples():
    batches = gfe.data.Batches(WHOLE, size=8)
    assert said(partial(gfe.fit, decoder(), batches, encoder=SHORT)) == []
    assert said(partial(gfe.evaluate, decoder(), WHOLE, encoder=SHORT)) == []


@pytest.mark.parametrize("encoder", [SHORT, OBSERVED], ids=["encode", "encode_observed"])
def test_a_feature_that_is_missing_everywhere_is_named(encoder: partial):
    x = WHOLE.clone()
    x[:, 7] = torch.nan
    batches = gfe.data.Batches(x, size=8)
    messages = said(partial(gfe.fit, decoder(), batches, encoder=encoder))
    assert "missing (NaN) in every sample" in messages[0] and ": 7." in messages[0]
    assert len(messages) == (1 if encoder is OBSERVED else 2)


def test_a_training_that_taught_nothing_says_so():
    x = WHOLE.clone()
    x[torch.arange(40), torch.arange(40)] = torch.nan
    batches = gfe.data.Batches(x, size=8)
    (message,) = said(partial(gfe.fit, decoder(), batches, encoder=SHORT))
    assert "40 of 40 samples" in message and "no sample is left to learn from" in message
    x = WHOLE.clone()
    x[:, 0] = torch.inf
    (message,) = said(partial(gfe.fit, decoder(), gfe.data.Batches(x, size=8), encoder=SHORT))
    assert "40 of 40 samples" in message and "no sample is left to learn from" in message
    broken = decoder()
    torch.nn.init.constant_(broken.linear.weight, torch.nan)
    (message,) = said(partial(gfe.fit, broken, gfe.data.Batches(WHOLE, size=8), encoder=SHORT))
    assert message.startswith("8 of 8 samples of this batch have codes that are NON_FINITE")


@pytest.mark.parametrize("shape", [(16,), (4, 4)])
def test_line_that_leaves_incomplete_samples_out_fits_rows_and_images(shape: tuple[int, ...]):
    layers = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Unflatten(1, shape))
    drawing = gfe.wrap(layers, latent_dim=2, data_shape=shape)
    x = torch.rand(6, *shape)
    x[2].view(-1)[3] = torch.nan
    (message,) = said(partial(gfe.evaluate, drawing, x, encoder=SHORT))
    line = message.split("leave these samples out: `")[1].split("`")[0]
    assert torch.equal(eval(line, {"x": x}), x[[0, 1, 3, 4, 5]])


def test_evaluation_without_any_energy_gives_the_reason():
    broken = decoder()
    torch.nn.init.constant_(broken.linear.weight, torch.nan)
    (message,) = said(partial(gfe.evaluate, broken, WHOLE, encoder=SHORT))
    assert message.startswith("40 of 40 samples have no energy, 40 for codes that are NON_FINITE.")


@pytest.mark.parametrize("encoder", [SHORT, OBSERVED], ids=["encode", "encode_observed"])
def test_a_training_that_diverges_says_so_once(encoder: partial):
    x = WHOLE if encoder is SHORT else with_gaps()
    learner = decoder()
    optimizer = torch.optim.SGD(learner.parameters(), lr=1e30)
    batches = gfe.data.Batches(x, size=8)
    squares = partial(encoder, loss=gfe.Gaussian())
    train = partial(gfe.fit, learner, batches, encoder=squares, optimizer=optimizer, epochs=3)
    (message,) = said(train)
    assert "8 of 8 samples of this batch have codes that are NON_FINITE" in message
    assert "lower learning rate" in message


def test_weights_that_the_last_update_broke_are_said():
    learner = decoder()
    optimizer = torch.optim.SGD(learner.parameters(), lr=torch.inf)
    (message,) = said(partial(gfe.fit, learner, WHOLE, encoder=SHORT, optimizer=optimizer))
    assert message.startswith("The training left weights that are not finite. If the energies rise")


def test_batches_of_a_loader_are_counted_too():
    loader = DataLoader(TensorDataset(with_gaps()), batch_size=8)
    (message,) = said(partial(gfe.fit, decoder(), loader, encoder=SHORT))
    assert message.startswith("5 of 8 samples of this batch")


def test_an_evaluation_without_a_mean_is_said():
    (message,) = said(partial(gfe.evaluate, decoder(), with_gaps(), encoder=SHORT))
    assert message.startswith("7 of 40 samples have no energy, 7 for missing features (NaN).")
    assert "encode_observed" in message and "nanmean" in message


def test_samples_of_which_nothing_was_observed_have_no_part_in_means_and_updates():
    whole, more = WHOLE[:8], torch.full((24, 64), torch.nan)
    histories, weights = [], []
    for x in (whole, torch.cat([whole, more])):
        learner = decoder()
        batches = gfe.data.Batches(x, size=len(x), shuffle=False)
        optimizer = torch.optim.SGD(learner.parameters(), lr=1.0)
        encoder = OBSERVED
        histories.append(gfe.fit(learner, batches, encoder=encoder, optimizer=optimizer, epochs=2))
        weights.append(learner.linear.weight.detach())
    # sums over 8 samples in batches of 8 and 32 are rounded in another order
    assert histories[1].energy == pytest.approx(histories[0].energy, rel=1e-5)
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-6)


def test_evaluation_counts_samples_of_which_nothing_was_observed():
    x = with_gaps()
    x[:3] = torch.nan
    (message,) = said(partial(gfe.evaluate, decoder(), x, encoder=OBSERVED))
    assert message.startswith("3 of 40 samples have no observed feature")
    left = x[~x.isnan().flatten(1).all(1)]
    assert said(partial(gfe.evaluate, decoder(), left, encoder=OBSERVED)) == []


@pytest.mark.parametrize("encoder", [SHORT, OBSERVED], ids=["encode", "encode_observed"])
def test_samples_with_infinite_features_are_counted_apart_from_those_with_gaps(encoder: partial):
    x = with_gaps()
    x[[1, 3, 20], [0, 1, 2]] = torch.tensor([torch.inf, -torch.inf, torch.inf])
    squares = partial(encoder, loss=gfe.Gaussian())
    batches = gfe.data.Batches(x, size=8)
    messages = said(partial(gfe.fit, decoder(), batches, encoder=squares, epochs=2))
    gaps = [one for one in messages if "missing features (NaN)" in one]
    (infinite,) = [one for one in messages if one not in gaps]
    assert infinite.startswith("3 of 40 samples have infinite features and teach nothing. Leave")
    (message,) = said(partial(gfe.evaluate, decoder(), x, encoder=squares))
    if encoder is OBSERVED:
        assert not gaps and message.startswith("3 of 40 samples have no energy, 3 for infinite fe")
    else:
        assert [one[:12] for one in gaps] == ["6 of 40 samp"]
        assert message.startswith("9 of 40 samples have no energy, 6 for missing features (NaN).")
        assert " 3 for infinite features. Leave" in message
    assert "evaluation.energy[evaluation.energy.isfinite()].mean()" in message
