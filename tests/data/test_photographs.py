"""Sets that torchvision reads, from tiny folders in their formats."""

import hashlib
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

import gfe_core as gfe
from gfe_core.data.photographs import KINDS, read

CLASSES = ["aeroplane", "bird", "cat"]
ATTRIBUTES = ["Bald", "Smiling"]


def checksum(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images to train with, in two files, and two to test with."""
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    sums = {}
    for seed, (name, n) in enumerate(
        {"data_batch_1": 2, "data_batch_2": 1, "test_batch": 2}.items()
    ):
        content = {"data": pixels(seed, n, 3072), "labels": [(seed + k) % 3 for k in range(n)]}
        (batches / name).write_bytes(pickle.dumps(content))
        sums[name] = checksum(batches / name)
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES}))
    meta = datasets.CIFAR10.meta | {"md5": checksum(batches / "batches.meta")}
    train = [[name, sums[name]] for name in ("data_batch_1", "data_batch_2")]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return batches


@pytest.fixture
def omniglot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two characters to train with, one to test with, two drawings of each: black on white."""
    top = folder / "omniglot-py"
    sums = {}
    kinds = {"images_background": ["Greek/character01", "Latin/character01"]}
    for part, characters in (kinds | {"images_evaluation": ["Tengwar/character01"]}).items():
        for character in characters:
            (top / part / character).mkdir(parents=True)
            for k in range(2):
                drawing = np.full((105, 105), 255, np.uint8)
                drawing[15 * k : 15 * k + 15] = 0
                Image.fromarray(drawing).convert("1").save(top / part / character / f"{k}.png")
        with zipfile.ZipFile(top / f"{part}.zip", "w") as archive:
            archive.writestr("readme", part)
        sums[part] = checksum(top / f"{part}.zip")
    monkeypatch.setattr(datasets.Omniglot, "zips_md5", sums)
    return top


@pytest.fixture
def celeba(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three faces, of which the last is for the test, 178 x 218, the left half red."""
    top = folder / "celeba"
    (top / "img_align_celeba").mkdir(parents=True)
    names = [f"00000{k}.jpg" for k in range(1, 4)]
    face = np.zeros((218, 178, 3), np.uint8)
    face[:, :89, 0] = 255
    for name in names:
        Image.fromarray(face).save(top / "img_align_celeba" / name, quality=100)
    rows = {
        "list_attr_celeba.txt": ["3", " ".join(ATTRIBUTES), *(f"{name} -1  1" for name in names)],
        "identity_CelebA.txt": [f"{name} 7" for name in names],
        "list_bbox_celeba.txt": ["3", "image_id x_1", *(f"{name} 5" for name in names)],
        "list_landmarks_align_celeba.txt": ["3", "lefteye_x", *(f"{name} 5" for name in names)],
        "list_eval_partition.txt": [f"{name} {2 * (k == 2)}" for k, name in enumerate(names)],
    }
    for name, lines in rows.items():
        (top / name).write_text("\n".join(lines) + "\n")
    files = [("", checksum(top / name), name) for name in rows]
    monkeypatch.setattr(datasets.CelebA, "file_list", files)
    return top


def test_cifar10_keeps_colours_and_the_names_of_classes(cifar10: Path):
    train, test = (gfe.data.load("cifar10", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (3, 2)
    assert train.image_shape == (3, 32, 32) and train.classes == tuple(CLASSES)
    first = torch.from_numpy(pixels(0, 2, 3072)[0]) / 255
    assert torch.equal(train.x[0], first)
    assert train.y.tolist() == [0, 1, 1] and test.y.tolist() == [2, 0]


def test_omniglot_is_white_ink_on_black_in_small(omniglot: Path):
    data = gfe.data.load("omniglot")
    assert data.image_shape == (28, 28) and len(data) == 4
    assert data.classes == ("Greek/character01", "Latin/character01")
    picture = data.x[0].reshape(28, 28)
    assert picture[:4].tolist() == [[1.0] * 28] * 4 and picture[4:].abs().max() == 0
    assert len(gfe.data.load("omniglot", "test", side=105)) == 2
    both = gfe.data.load("omniglot", "all")
    assert both.y.tolist() == [0, 0, 1, 1, 2, 2] and both.classes is not None
    assert both.classes[2] == "Tengwar/character01"


def test_celeba_is_the_middle_of_each_face_with_its_attributes(celeba: Path):
    data = gfe.data.load("celeba", side=16)
    assert data.image_shape == (3, 16, 16) and len(data) == 2
    red, green, _ = data.x[0].reshape(3, 16, 16)
    assert red[:, :7].min() > 0.9 and red[:, 9:].max() < 0.1 and green.max() < 0.1
    assert data.y.tolist() == [[0.0, 1.0]] * 2 and data.y.dtype == torch.float32


def test_only_the_first_images_are_decoded(celeba: Path):
    (celeba / "img_align_celeba" / "000002.jpg").unlink()
    assert len(gfe.data.load("celeba", n=1)) == 1


@pytest.mark.parametrize("option", ["side", "n"])
def test_options_are_whole_numbers(celeba: Path, option: str):
    options: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=f"`{option}` must be at least 1, got 0"):
        gfe.data.load("celeba", **options)


def test_a_set_is_not_called_damaged_where_torchvision_is_missing(
    cifar10: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    with pytest.raises(gfe.data.DataError, match="needs torchvision, which is not") as refused:
        gfe.data.load("cifar10")
    assert '`pip install "gfe_core[data]"`' in str(refused.value)
    assert "damaged" not in str(refused.value)


def test_a_damaged_set_is_told_and_left_as_it_is(cifar10: Path):
    (cifar10 / "data_batch_2").write_bytes(b"half")
    with pytest.raises(gfe.data.DataError, match=r"'cifar10' in .* is damaged.*Move that folder"):
        gfe.data.load("cifar10")
    assert (cifar10 / "data_batch_2").read_bytes() == b"half"


@pytest.mark.parametrize("name", KINDS)
def test_what_cannot_be_downloaded_leaves_nothing(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    kind = type(KINDS[name])(**{**vars(KINDS[name]), "open": refuse})
    monkeypatch.setitem(KINDS, name, kind)
    with pytest.raises(gfe.data.DataError, match=f"'{name}' is not in .*no route to host"):
        read(name, "train")
    assert list(folder.iterdir()) == []


def test_a_download_is_moved_into_place_when_it_is_complete(
    folder: Path, cifar10: Path, monkeypatch: pytest.MonkeyPatch
):
    away = folder / "elsewhere"
    cifar10.rename(away)

    def fetch(self: datasets.CIFAR10) -> None:
        target = Path(self.root, self.base_folder)
        target.mkdir(exist_ok=True)
        for file in away.iterdir():
            (target / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(datasets.CIFAR10, "download", fetch)
    assert len(gfe.data.load("cifar10", "test")) == 2
    assert sorted(one.name for one in folder.iterdir()) == ["cifar-10-batches-py", "elsewhere"]
