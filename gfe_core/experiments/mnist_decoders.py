"""The two MNIST decoders of data/checkpoints: one network after one and after six passes.

Solvers are compared on both, because the energy landscape becomes stiffer while a decoder learns.
"""

import json
import platform
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch

import gfe_core as gfe
from gfe_core import checks
from gfe_core.data.files import write_json, write_text
from gfe_core.experiments.runner.config import STOP
from gfe_core.training import Report

N_TRAIN = 50_000
"""Number of images, from the start of the training set; the last 10,000 serve for validation."""

_NAMES = {1: "mnist_one_pass", 6: "mnist_six_passes"}

_CARD = """# Two MNIST decoders

`MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784)`: logits of 28x28 grey values, trained without an
encoder, by `gfe_core.fit` at the codes that `AMD()` finds from z = 0. Weights are kept in half precision.

```python
decoder = gfe.MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784)
gfe.load_checkpoint("data/checkpoints/mnist_one_pass.pt", decoder=decoder)
```

Made by `python -m gfe_core decoders`, from the first 50,000 images of the training set. The same command writes the
table. Energies are means over the 10,000 test images, in nats per pixel; no decoder can score below the floor of 0.0581,
the entropy of the grey values. Attempts are the steps of the flow for each image in training.

| file | passes | batch | attempts | seed | test energy, AMD | test energy, BFGS | minutes | torch, machine |
|---|---|---|---|---|---|---|---|---|
{rows}

Intended use: comparing solvers, and teaching. Not for any use that depends on recognizing digits correctly. The decoders
know only digits, and draw every image as a digit. Data: MNIST (LeCun, Bottou, Bengio and Haffner 1998).
"""


def new_decoder(generator: torch.Generator | None = None) -> gfe.MLPDecoder:
    """Return the network of both files, untrained."""
    return gfe.MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784, generator=generator)


def train(
    passes: int,
    folder: Path,
    *,
    seed: int = 0,
    size: int = 100,
    max_steps: int = 40,
    callback: Callable[[Report], bool | None] = lambda report: None,
) -> Path:
    """Train one of the two decoders, judge it on test images, write checkpoint and card.

    Args:
        passes: number of passes over the images, 1 or 6.
        folder: folder for the files.
        seed: seed of the initial weights and of the order of the images.
        size: number of images in a batch.
        max_steps: largest number of attempts of the flow for each image.
        callback: callback of `fit`, for progress.
    """
    checks.require(passes in _NAMES, f"`passes` must be 1 or 6, got {passes}.")
    start = time.perf_counter()
    decoder = new_decoder(torch.Generator().manual_seed(seed))
    batches = gfe.data.Batches(gfe.data.load("mnist").x[:N_TRAIN], size=size, seed=seed)
    optimizer = torch.optim.Adam(decoder.parameters())
    n_updates = passes * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=n_updates + 1
    )
    try:
        history = gfe.fit(
            decoder,
            batches,
            encoder=partial(gfe.encode, solver=gfe.AMD(), stop=STOP, max_steps=max_steps),
            optimizer=optimizer,
            schedule=schedule,
            epochs=passes,
            callbacks=[callback],
            on_interrupt="raise",
        )
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("training was interrupted; nothing was written") from interrupt
    checks.require(
        not history.interrupted,
        "`callback` stopped the training: nothing was written. Return None to go on.",
    )
    decoder = deepcopy(decoder).half().float()  # judged in the precision in which it is saved
    figures = {
        "passes": passes,
        "size": size,
        "max_steps": max_steps,
        "seed": seed,
        "stop": repr(STOP),
        "minutes": (time.perf_counter() - start) / 60,
        "test_energy_amd": _test_energy(decoder, gfe.AMD()),
        "test_energy_bfgs": _test_energy(decoder, gfe.BFGS()),
        "torch": str(torch.__version__),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    path = gfe.save_checkpoint(folder / f"{_NAMES[passes]}.pt", decoder=decoder.half())
    write_json(path.with_suffix(".json"), figures)
    write_text(folder / "README.md", _CARD.format(rows="\n".join(_rows(folder))))
    return path


def _test_energy(decoder: gfe.MLPDecoder, solver: gfe.AMD | gfe.BFGS) -> float:
    parts = gfe.data.load("mnist", split="test").x.split(2000)
    energies = [
        gfe.evaluate(decoder, x, encoder=partial(gfe.encode, solver=solver, stop=STOP)).energy
        for x in parts
    ]
    return torch.cat(energies).double().mean().item()


def _rows(folder: Path) -> list[str]:
    """Return the rows of the card's table, one for each existing file."""
    rows = []
    for name in _NAMES.values():
        if (folder / f"{name}.json").exists():
            f = json.loads((folder / f"{name}.json").read_text())
            rows.append(
                f"| {name}.pt | {f['passes']} | {f['size']} | at most {f['max_steps']} | "
                f"{f['seed']} "
                f"| {f['test_energy_amd']:.4f} | {f['test_energy_bfgs']:.4f} | {f['minutes']:.1f} "
                f"| {f['torch']}, {f['machine']}, {f['threads']} threads |"
            )
    return rows
