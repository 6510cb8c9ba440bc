"""Image sets of 16 pixels in the files of MNIST, for runs that take a moment."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

N_TRAIN = 100
N_TEST = 12
"""Images that training can draw from (beside 10,000 for validation), and images to be judged on."""

SMALL: dict[str, Any] = {
    "n_images": 60,
    "latent_dim": 3,
    "hidden": (8, 12),
    "size": 10,
    "epochs": 2,
    "max_steps": 4,
    "learning_rate": 1e-2,
}
"""Fields of a `Config`: 2 passes of 6 batches."""


def write_sets(folder: Path) -> None:
    """Write ten blurred shapes with noise, as both image sets that the kit knows."""
    random = np.random.default_rng(0)
    shapes = random.integers(0, 200, (10, 4, 4))
    for kind in ("MNIST", "FashionMNIST"):
        raw = folder / kind / "raw"
        raw.mkdir(parents=True)
        for prefix, n in (("train", 10_000 + N_TRAIN), ("t10k", N_TEST)):
            labels = np.arange(n) % 10
            images = shapes[labels] + random.integers(0, 56, (n, 4, 4))
            head = bytes((0, 0, 8, 3)) + struct.pack(">3I", n, 4, 4)
            (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
                head + images.astype(np.uint8).tobytes()
            )
            head = bytes((0, 0, 8, 1)) + struct.pack(">I", n)
            (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(
                head + labels.astype(np.uint8).tobytes()
            )


@pytest.fixture
def sets(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small sets in the place of the real ones, for this process and those it starts."""
    folder = tmp_path_factory.getbasetemp() / "small_sets"
    if not folder.exists():
        write_sets(folder)
    monkeypatch.setenv("GFE_DATA_DIR", str(folder))
    return folder
