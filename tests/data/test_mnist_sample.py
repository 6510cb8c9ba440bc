"""The MNIST sample: real digits that come with the package."""

from pathlib import Path

import pytest
import torch

import gfe_core as gfe
from gfe_core.data import DataError, mnist_sample


@pytest.mark.parametrize(("split", "n"), [("train", 5000), ("test", 1000)])
def test_sample_holds_equally_many_of_each_digit_as_grey_values(split: str, n: int):
    data = gfe.data.load("mnist-sample", split)
    assert data.x.shape == (n, 784) and data.image_shape == (28, 28)
    assert data.x.min() == 0 and data.x.max() == 1
    assert data.y.bincount().tolist() == [n // 10] * 10
    assert torch.equal((data.x * 255).round() / 255, data.x)
    assert len(data.x.unique(dim=0)) == n
    assert not torch.equal(data.y, data.y.sort().values), "digits are mixed, as in MNIST"


def test_splits_share_no_image():
    train, test = (gfe.data.load("mnist-sample", split).x for split in ("train", "test"))
    assert len(torch.cat([train, test]).unique(dim=0)) == 6000


SPLITS = {"train": 5000, "test": 1000}


def made_up(n: int, seed: int) -> mnist_sample.Images:
    source = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 28, 28), generator=source, dtype=torch.uint8)
    return mnist_sample.Images(images, torch.arange(n) % 10)


def test_the_same_images_make_the_same_bytes_and_come_back_unchanged(tmp_path: Path):
    train, test = made_up(6000, 0), made_up(1500, 1)
    paths = [mnist_sample.write(train, test, tmp_path / name) for name in ("one.npz", "two.npz")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    for (split, n), every in zip(SPLITS.items(), (train, test), strict=True):
        kept = mnist_sample.read(split, paths[0])
        assert len(kept.images) == n
        known = {image.numpy().tobytes(): int(digit) for image, digit in zip(*every, strict=True)}
        assert all(
            known[image.numpy().tobytes()] == digit for image, digit in zip(*kept, strict=True)
        )


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path):
    broken = tmp_path / "mnist-sample.npz"
    broken.write_bytes(mnist_sample.FILE.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"mnist-sample\.npz.*Install gfe_core again"):
        mnist_sample.read("train", broken)


def test_licence_and_command_stand_beside_the_file():
    text = mnist_sample.FILE.with_suffix(".txt").read_text(encoding="utf-8")
    for words in ("LeCun", "Cortes", "creativecommons.org/licenses/by-sa/3.0", "bundled sample"):
        assert words in text
