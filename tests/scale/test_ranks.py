"""A process knows its share of the work from what torchrun says."""

import pytest
import torch

from gfe_core.scale import Rank

pytestmark = pytest.mark.usefixtures("unchecked")


def test_one_process_alone_has_everything(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Rank.here() == Rank(number=0, n=1, local=0)
    assert list(Rank().share(3)) == [0, 1, 2]


def test_process_of_torchrun_reads_its_place(monkeypatch):
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert Rank.here() == Rank(number=5, n=8, local=1)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_shares_are_all_pieces_once(n):
    shares = [piece for number in range(n) for piece in Rank(number=number, n=n).share(5)]
    assert sorted(shares) == [0, 1, 2, 3, 4]


def test_device_is_the_one_named_or_refused_with_a_remedy():
    assert Rank().device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(
            ValueError, match="'cuda' cannot be used here.*device=\"cpu\".*--device cpu"
        ):
            Rank(number=1, n=2, local=1).device("cuda")


@pytest.mark.parametrize(("number", "n"), [(2, 2), (-1, 2), (0, 0)])
def test_places_outside_are_refused(number, n):
    with pytest.raises(ValueError, match="`n` must be at least 1|`number` must be from 0 to 1"):
        Rank(number=number, n=n)
