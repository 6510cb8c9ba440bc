"""Data sets are what their names say, and damage is noticed."""

import gzip
import os
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gfe_core import data
from gfe_core.data import dataset
from gfe_core.data.sets import DataError, DataSet, data_folder, load


def idx(*shape: int, values: bytes | None = None) -> bytes:
    """The bytes of an IDX file; values count upwards unless they are given."""
    n_values = 1
    for length in shape:
        n_values *= length
    values = bytes(i % 10 for i in range(n_values)) if values is None else values
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + values


def write_set(folder: Path, kind: str = "MNIST", n: int = 20) -> Path:
    raw = folder / kind / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(n, 2, 3))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(n))
    return raw


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path))
    return tmp_path


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, download: Any) -> None:
    datasets = ModuleType("torchvision.datasets")
    package = ModuleType("torchvision")
    vars(datasets).update(MNIST=download, FashionMNIST=download)
    vars(package).update(datasets=datasets)
    monkeypatch.setitem(sys.modules, "torchvision", package)


# the sets


def test_digits_are_all_1797_images_split_without_overlap_and_balanced():
    train = load("digits")
    test = load("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.image_shape == (8, 8) and train.x.shape[1] == 64
    for part in (train, test):
        share = torch.bincount(part.y, minlength=10) / len(part)
        assert part.x.dtype == torch.float32 and part.x.min() == 0 and part.x.max() == 1
        assert part.y.dtype == torch.long and ((share - 0.1).abs() < 0.01).all()  # 33 to 37 of 360
    assert not any((train.x == sample).all(1).any() for sample in test.x)


@pytest.mark.parametrize("name", ["circle", "sine", "line"])
def test_curves_are_the_same_every_time_and_differ_between_splits(name: str):
    train = load(name)
    again = load(name)
    test = load(name, "test")
    assert torch.equal(train.x, again.x) and torch.equal(train.y, again.y)
    assert not torch.equal(train.x, test.x)
    assert train.x.shape == (100, 2) and train.y.is_floating_point() and train.image_shape is None


def test_curves_do_not_touch_the_global_generator():
    before = torch.get_rng_state()
    load("circle")
    assert torch.equal(before, torch.get_rng_state())


def test_circle_lies_within_noise_of_its_formula():
    circle = load("circle")
    noise = circle.x - torch.stack((circle.y.sin(), circle.y.cos()), dim=1)
    assert (
        abs(noise.std().item() - 0.05) < 0.01
    )  # 200 draws: standard error 0.0025, so four of them
    assert (
        abs(circle.y.std().item() - 0.886) < 0.25
    )  # sqrt(pi) / 2; 100 draws: standard error 0.063


def test_data_set_and_its_error_are_found_where_they_are_used():
    assert data.DataSet is dataset.DataSet and data.DataError is dataset.DataError


def test_take_gives_the_first_samples_with_their_labels_and_at_most_all():
    digits = load("digits", "test")
    few = digits.take(3)
    assert (
        isinstance(few, DataSet)
        and len(few) == 3
        and few.image_shape == (8, 8)
        and few.split == "test"
    )
    assert torch.equal(few.x, digits.x[:3]) and torch.equal(few.y, digits.y[:3])
    assert len(digits.take(10_000)) == 360 and len(digits.take(0)) == 0
    with pytest.raises(ValueError, match="`n` must be at least 0"):
        digits.take(-1)


@pytest.mark.parametrize(
    ("name", "split", "n", "mean"),
    [
        ("mnist", "train", 60_000, 0.1307),  # published means
        ("mnist", "test", 10_000, 0.1325),
        ("fashion-mnist", "train", 60_000, 0.2860),
        ("fashion-mnist", "test", 10_000, 0.2868),
        ("seg-mnist", "train", 30_596, 0.1309),
        ("seg-mnist", "test", 4_861, 0.1335),
    ],
)
def test_real_image_sets_have_their_published_sizes_and_means(
    name: str, split: str, n: int, mean: float
):
    kind = "FashionMNIST" if name == "fashion-mnist" else "MNIST"
    if not (data_folder() / kind / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip(
            f"{kind} is not in {data_folder()}: set GFE_DATA_DIR to a folder that holds {kind}/raw"
        )
    images = load(name, split)
    assert len(images) == n and images.image_shape == (28, 28)
    assert abs(images.x.mean().item() - mean) < 5e-5  # four decimals are published
    expected = range(10) if name != "seg-mnist" else range(5) if split == "train" else range(5, 10)
    assert sorted(images.y.unique().tolist()) == list(expected)


def test_seg_mnist_never_shows_a_test_class_in_training(folder: Path):
    write_set(folder)
    train = load("seg-mnist")
    test = load("seg-mnist", "test")
    assert set(train.y.tolist()) == {0, 1, 2, 3, 4} and set(test.y.tolist()) == {5, 6, 7, 8, 9}
    assert len(train) == len(test) == 10
    assert torch.equal(train.x, load("mnist").x[load("mnist").y < 5])


def test_grey_values_become_fractions_of_255_row_after_row(folder: Path):
    raw = write_set(folder)
    (raw / "train-images-idx3-ubyte").write_bytes(
        idx(20, 2, 3, values=bytes([0, 51, 102, 153, 204, 255] * 20))
    )
    first = load("mnist").x[0]
    torch.testing.assert_close(first, torch.tensor([0, 0.2, 0.4, 0.6, 0.8, 1.0]))


def test_files_on_disk_need_no_torchvision(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write_set(folder)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert len(load("mnist")) == 20


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize(
    "place", ["MNIST/raw", "MNIST", "MNIST/raw/MNIST/raw", "MNIST/raw/raw", "mnist"]
)
def test_files_are_found_as_mirrors_name_them_and_as_people_unpack_them(
    folder: Path, place: str, dotted: bool, packed: bool
):
    raw = write_set(folder / "kept")
    (folder / place).mkdir(parents=True)
    for file in raw.iterdir():
        name = file.name.replace("-idx", ".idx") if dotted else file.name
        content = gzip.compress(file.read_bytes()) if packed else file.read_bytes()
        (folder / place / f"{name}{'.gz' * packed}").write_bytes(content)
    assert len(load("mnist")) == len(load("mnist", "test")) == 20
    assert len(load("mnist", "all")) == 40


def test_packed_file_that_is_damaged_is_named(folder: Path):
    raw = write_set(folder)
    whole = gzip.compress((raw / "train-images-idx3-ubyte").read_bytes())
    (raw / "train-images-idx3-ubyte").unlink()
    (raw / "train-images-idx3-ubyte.gz").write_bytes(whole[:-9])
    with pytest.raises(DataError, match="ubyte.gz is damaged .*it does not unpack.*load again"):
        load("mnist")


# errors


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [("minst", "mnist"), ("MNIST", "mnist"), ("fashion", "fashion-mnist"), ("spectrum", "spectra")],
)
def test_unknown_name_is_answered_with_the_known_ones_and_the_nearest(asked: str, nearest: str):
    with pytest.raises(
        ValueError,
        match=f"`name` must be one of mnist-sample, digits, circle.*Did you mean '{nearest}'",
    ) as caught:
        load(asked)
    assert "seg-mnist, cifar10, omniglot, celeba, or a path such as 'mine.csv'; got" in str(
        caught.value
    )


def test_name_that_is_no_text_and_unknown_split_are_refused(unchecked: None):
    with pytest.raises(ValueError, match="`name` must be one of"):
        load(["mnist"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`split` must be 'train' or 'test' or 'all', got 'val'"):
        load("digits", "val")


DAMAGE = {
    "half": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "only a header": lambda whole: whole[:16],
    "one byte short": lambda whole: whole[:-1],
    "one byte long": lambda whole: whole + b"0",
    "right size, wrong content": lambda whole: bytes(len(whole)),
    "a web page": lambda whole: b"<html>please log in to this network</html>",
    "another number type": lambda whole: b"\0\0\x0d" + whole[3:],
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_damaged_file_is_named_with_its_remedy(folder: Path, file: str, kind: str):
    path = write_set(folder) / file
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    with pytest.raises(DataError, match="is damaged or was only half downloaded") as caught:
        load("mnist")
    assert str(path) in str(caught.value) and str(caught.value).endswith(
        "Move it away and load again."
    )
    assert len(load("mnist", "test")) == 20  # the other split is whole


def test_images_and_labels_that_do_not_belong_together_are_refused(folder: Path):
    (write_set(folder) / "train-labels-idx1-ubyte").write_bytes(idx(19))
    with pytest.raises(DataError, match="20 images, train-labels-idx1-ubyte holds 19 labels"):
        load("mnist")


def test_no_network_and_no_data_says_where_it_looked_why_it_failed_and_what_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def offline(root: str, download: bool) -> None:
        raise OSError("<urlopen error [Errno -2]\nName or service not known>")

    fake_torchvision(monkeypatch, offline)
    with pytest.raises(DataError) as caught:
        load("fashion-mnist")
    told = str(caught.value)
    assert str(folder / "FashionMNIST" / "raw") in told and "GFE_DATA_DIR" in told
    assert "failed: <urlopen error [Errno -2] Name or service not known>" in told
    assert "`load('mnist-sample')` needs no network" in told
    assert list(folder.iterdir()) == []


def test_torchvision_that_does_not_fit_torch_is_recognised(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    class Broken:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.startswith("torchvision"):
                raise RuntimeError("operator torchvision::nms does not exist")

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    with pytest.raises(
        DataError, match=r"operator torchvision::nms does not exist.*`python -m gfe_core doctor`"
    ):
        load("mnist")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("connection reset")])
def test_download_that_breaks_off_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
):
    def half(root: str, download: bool) -> None:
        (write_set(Path(root)) / "t10k-labels-idx1-ubyte").write_bytes(b"half")
        raise error

    fake_torchvision(monkeypatch, half)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DataError):
        load("mnist")
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_download_is_kept_and_used_the_next_time(folder: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []

    def fetch(root: str, download: bool) -> None:
        calls.append(root)
        write_set(Path(root))

    fake_torchvision(monkeypatch, fetch)
    assert len(load("mnist")) == len(load("mnist", "test")) == 20
    assert len(calls) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["MNIST"]
    assert len(list((folder / "MNIST" / "raw").iterdir())) == 4


def test_data_folder_is_the_environment_first_and_the_repository_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("GFE_DATA_DIR", "~/sets")
    assert data_folder() == Path(os.path.expanduser("~/sets"))
    monkeypatch.delenv("GFE_DATA_DIR")
    assert data_folder() == Path(__file__).parents[2] / "data"
