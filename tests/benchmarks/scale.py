"""What one machine holds: speed and memory of `encode` in shards, and how they grow.

    python tests/benchmarks/scale.py [--write data/results/scale.md]

Each line is a process of its own on one thread: it opens an .npy file of made images that stays on
disk, encodes some rows and measures seconds of the processor and the most memory that it has held.
Speed is measured on 3,000 rows; memory on files of up to 1,000,000 rows, of which only two shards
are encoded, because later shards hold as much as earlier ones. Takes about three minutes, and
700 MB of disk for a while.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gfe_core as gfe
from gfe_core.models import Model
from gfe_core.scale import Rank, Rows, encode_shards, read_codes

HIDDEN = (150, 300, 600)
SHARD = 1000
SAMPLES = (1_000, 10_000, 100_000, 1_000_000)
LATENTS = (2, 8, 20, 64)
PIXELS = (64, 784, 3072)
ROWS = 3_000
"""Rows that speed is measured on."""


def memory() -> float:
    """Return the most memory that this process has held, in MB, pages of files counted."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def file_of(folder: Path, n: int, pixels: int) -> Path:
    """Write n made images of bytes, some rows at a time."""
    path = folder / f"{n}-{pixels}.npy"
    if not path.exists():
        random = np.random.default_rng(0)
        values = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, pixels))
        block = random.integers(0, 256, (min(n, 10_000), pixels), dtype=np.uint8)
        for start in range(0, n, len(block)):
            values[start : start + len(block)] = block[: n - start]
        del values
    return path


def model_of(latents: int, pixels: int) -> Model:
    """A decoder with the widths of the MNIST decoder and fresh weights."""
    decoder = gfe.MLPDecoder(
        latent_dim=latents,
        hidden=HIDDEN,
        data_dim=pixels,
        generator=torch.Generator().manual_seed(0),
    )
    return Model(decoder, gfe.Bernoulli(), (pixels,))


def measured(n: int, latents: int, pixels: int, folder: Path) -> dict[str, float]:
    """Encode two shards of a file of n rows, or all of a small file; read the codes of a full one."""
    torch.set_num_threads(1)
    rows = Rows.of(folder / f"{n}-{pixels}.npy")
    model = model_of(latents, pixels)
    gfe.encode(model.decoder, rows.read(slice(64)), max_steps=3)  # what is made once
    before = memory()
    n_shards = -(-n // SHARD)
    only = max(1, n_shards // 2) if n > ROWS else 1  # this rank takes the first shards alone
    out = folder / f"out-{n}-{latents}-{pixels}"
    began = time.perf_counter()
    print_none: list[str] = []
    start = time.process_time()
    encode_shards(
        model,
        rows,
        out,
        shard_size=SHARD,
        max_steps=50,
        rank=Rank(number=0, n=only),
        tell=print_none.append,
    )
    seconds = time.process_time() - start
    n_encoded = min(n, len(print_none) * SHARD)
    return {
        "rate": n_encoded / seconds,
        "wall": n_encoded / (time.perf_counter() - began),
        "base": before,
        "memory": memory(),
    }


def codes_in_memory(n: int, latents: int, folder: Path) -> dict[str, float]:
    """Memory of all codes of n samples, as `read_codes` returns them: shards of zeros stand in."""
    x = torch.zeros(n, 1)
    decoder = gfe.MLPDecoder(latent_dim=1, hidden=(2,), data_dim=1)
    out = folder / f"codes-{n}"
    encode_shards(
        Model(decoder, gfe.Gaussian(), (1,)), Rows.of(x), out, shard_size=n // 10, max_steps=1
    )
    before = memory()
    found = read_codes(out)
    assert len(found) == n
    return {"memory": memory() - before, "latents": latents}


def apart(what: str, folder: Path, n: int, latents: int, pixels: int) -> dict[str, float]:
    """Return what a process of its own measures."""
    given = json.dumps({"what": what, "n": n, "latents": latents, "pixels": pixels})
    command = [sys.executable, __file__, "--one", given, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def several(folder: Path, n: int) -> float:
    """Images a second of n processes of torchrun, their start included."""
    model = model_of(20, 784)
    gfe.save(folder / "m.pt", model.decoder, loss=model.loss)
    words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    words += ["-m", "gfe_core", "encode", "--model", str(folder / "m.pt")]
    words += ["--data", str(file_of(folder, 10_000, 784)), "--out", str(folder / f"ranks-{n}")]
    words += ["--shard-size", str(SHARD), "--max-steps", "50"]
    told = os.environ | {"OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], env=told, capture_output=True, check=True)
    return 10_000 / (time.perf_counter() - start)
