"""The order of batches is reproducible, and training resumes where it stopped."""

from typing import Any

import pytest
import torch

import gfe_core as gfe
from gfe_core.data.batches import Batches


def rows(batches: Batches) -> list[list[float]]:
    return [batch.tolist() for batch in batches]


def test_order_is_a_function_of_seed_and_epoch():
    one = Batches(torch.arange(50.0), size=7, seed=3)
    two = Batches(torch.arange(50.0), size=7, seed=3)
    two.epoch = 1
    first = rows(one)
    second = rows(one)
    assert rows(two) == second != first
    assert rows(Batches(torch.arange(50.0), size=7, seed=4)) != first
    assert (
        rows(Batches(torch.arange(50.0), size=7, seed=3 + 2**32)) != first
    )  # torch alone would drop the upper bits


def test_order_does_not_depend_on_the_batch_size_or_the_global_generator():
    small = torch.cat(list(Batches(torch.arange(50.0), size=7, seed=3)))
    torch.manual_seed(1)
    assert torch.equal(small, next(iter(Batches(torch.arange(50.0), size=50, seed=3))))


def test_every_sample_comes_exactly_once_and_the_last_batch_may_be_smaller():
    batches = Batches(torch.arange(50.0), size=7)
    seen = rows(batches)
    assert [len(batch) for batch in seen] == [7] * 7 + [1] and len(batches) == 8
    assert sorted(sample for batch in seen for sample in batch) == list(range(50))
    assert (batches.epoch, batches.index) == (1, 0)


def test_unshuffled_batches_keep_the_order():
    assert rows(Batches(torch.arange(5.0), size=2, shuffle=False)) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("n_done", range(9))
def test_resuming_gives_exactly_the_remaining_batches(n_done: int):
    whole = Batches(torch.arange(50.0), size=7, seed=5)
    rows(whole)  # an epoch before
    expected = rows(whole)
    following = rows(whole)
    stopped = Batches(torch.arange(50.0), size=7, seed=5)
    rows(stopped)
    running = iter(stopped)
    for _ in range(n_done):
        next(running)
    resumed = Batches(torch.arange(50.0), size=7, seed=5)
    resumed.load_state_dict(stopped.state_dict())
    assert resumed.epoch == 1
    assert rows(resumed) == expected[n_done:]
    assert rows(resumed) == following


@pytest.mark.parametrize("other", [{"size": 8}, {"seed": 6}, {"shuffle": False}])
def test_position_of_other_batches_is_refused_and_changes_nothing(other: dict[str, Any]):
    arguments: dict[str, Any] = {"size": 7, "seed": 5} | other
    batches = Batches(torch.arange(50.0), **arguments)
    state = Batches(torch.arange(50.0), size=7, seed=5).state_dict() | {"epoch": 4}
    with pytest.raises(ValueError, match=r"`state` .* belongs to other batches"):
        batches.load_state_dict(state)
    with pytest.raises(ValueError, match=r"`state` .* belongs to other batches"):
        batches.load_state_dict({"epoch": 1})
    assert batches.epoch == 0


def test_position_is_plain_integers():
    assert {type(value) for value in Batches(torch.arange(5.0), size=2).state_dict().values()} == {
        int
    }


@pytest.mark.parametrize(
    ("x", "size", "told"),
    [
        (torch.zeros(5), 0, "`size` must be at least 1"),
        (torch.zeros(0, 4), 2, r"`x` must hold at least one sample .* got shape \(0, 4\)"),
        (torch.tensor(1.0), 2, "`x` must hold at least one sample"),
        ([1, 2], 2, "`x` must be a torch.Tensor, got list. Convert it: `torch.as_tensor"),
    ],
)
def test_batches_refuse_bad_arguments_by_name(unchecked: None, x: Any, size: int, told: str):
    with pytest.raises((TypeError, ValueError), match=told):
        Batches(x, size=size)


def test_negative_seed_is_refused_by_name():
    with pytest.raises(ValueError, match="`seed` at least 0, got size=2 and seed=-1"):
        Batches(torch.zeros(5), size=2, seed=-1)


def test_batches_keep_the_shape_of_their_images(unchecked: None):
    decoder = gfe.ConvDecoder(latent_dim=2, image_shape=(4, 8), channels=(2,))
    images = Batches(gfe.data.DataSet.of(torch.rand(3, 8, 4)), size=2)
    for verb in (gfe.encode, gfe.fit):
        with pytest.raises(ValueError, match=r"holds images of shape \(8, 4\), but the decoder"):
            verb(decoder, images)  # pyright: ignore[reportArgumentType]
