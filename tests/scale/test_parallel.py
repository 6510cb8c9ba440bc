"""Training on two processes is training on one, up to rounding."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

import gfe_core as gfe
from gfe_core.cli.main import main
from gfe_core.data import Batches
from gfe_core.experiments.runner.config import OwnConfig
from gfe_core.experiments.runner.runs import build
from gfe_core.scale import Rank
from gfe_core.scale.parallel import Asked, PartOfBatches, Together

pytestmark = pytest.mark.usefixtures("unchecked")
ROOT = Path(__file__).parents[2]
WORKER = """
import sys
import torch
import gfe_core as gfe
from functools import partial
from gfe_core.data import Batches
from gfe_core.scale import Rank
from gfe_core.scale.parallel import Asked, PartOfBatches, Together, Together, joined

rank = Rank.here()
random = torch.Generator().manual_seed(0)
x = torch.randn(41, 12, generator=random).double()
if sys.argv[2] == "bad samples":
    x[1::2] = torch.inf  # all of process 1 in the batches that keep the order
decoder = gfe.MLPDecoder(latent_dim=4, hidden=(8,), data_dim=12, generator=random).double()
optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=100)
batches = Batches(x, size=10, seed=1, shuffle=sys.argv[2] != "bad samples")
encoder = partial(gfe.encode, loss=gfe.Gaussian(), max_steps=5)
with joined(rank, torch.device("cpu")) as asked:
    if rank.n > 1:
        batches = PartOfBatches(batches, rank)
        encoder = Together(
            encoder, decoder, optimizer, schedule, asked=asked, updates_per_encode=2
        )
    gfe.fit(decoder, batches, encoder=encoder, loss=gfe.Gaussian(), optimizer=optimizer,
            schedule=schedule, epochs=3, updates_per_encode=2)
torch.save([schedule.last_epoch, decoder.state_dict()], f"{sys.argv[1]}-{rank.number}-{rank.n}.pt")
"""
"""Batches of 10 on one process, of 5 on each of two; the last of an epoch has one sample."""


def launched(n: int, *words: object, folder: Path) -> None:
    """Run a script or module on n processes of torchrun."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    told = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launch, *map(str, words)],
        env=os.environ | told,
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("samples", ["good samples", "bad samples"])
def test_two_processes_with_half_the_batch_each_learn_what_one_learns(tmp_path, samples):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    for n in (1, 2):
        launched(n, script, tmp_path / "weights", samples, folder=tmp_path)
    steps, alone = torch.load(tmp_path / "weights-0-1.pt")
    assert steps == 30
    for rank in (0, 1):
        n_steps, together = torch.load(tmp_path / f"weights-{rank}-2.pt")
        assert n_steps == steps
        for name, weight in alone.items():
            # float64 sums in another order, 30 steps of Adam on codes that follow the weights
            assert (together[name] - weight).abs().max() < 1e-9, name


def test_parts_of_batches_are_the_batches_dealt_out():
    x = torch.arange(23.0)
    whole = Batches(x, size=6, seed=3)
    parts = [PartOfBatches(whole, Rank(number=r, n=3)) for r in range(3)]
    for batch, *dealt in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat(dealt).sort().values, batch.sort().values)
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert [part.state_dict() for part in parts] == [whole.state_dict()] * 3


def words(folder: Path, **options: Any) -> list[str]:
    """Return a short training of the command line."""
    given = {"hidden": 16, "latent_dim": 4, "n_images": 100, "epochs": 1, "size": 40}
    return [
        "train",
        f"--folder={folder}",
        *(f"--{name.replace('_', '-')}={value}" for name, value in (given | options).items()),
    ]


@pytest.mark.slow
def test_command_on_two_processes_writes_one_run_that_one_process_accepts(tmp_path, capsys):
    launched(2, "-m", "gfe_core", *words(tmp_path / "two", data="digits"), folder=tmp_path)
    assert main(words(tmp_path / "one", data="digits")) == 0
    decoders: list[Any] = [gfe.load(tmp_path / n / "model.pt").decoder for n in ("two", "one")]
    two, one = decoders
    for a, b in zip(two.parameters(), one.parameters(), strict=True):
        # float32, three steps of 2e-3 at most
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    capsys.readouterr()
    assert main(words(tmp_path / "two", data="digits")) == 0  # nothing is left to do
    assert "batch" not in capsys.readouterr().err
    assert main(["evaluate", "--folder", str(tmp_path / "two")]) == 0


@pytest.mark.slow
def test_interrupt_stops_both_processes_before_one_batch_and_keeps_it(tmp_path):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, "-m", "gfe_core", *words(tmp_path / "run", data="digits", epochs=100_000)]
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    try:
        while "batch 50/" not in (line := process.stderr.readline()):
            assert line, "the training ended"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    finally:
        process.kill()
    run = build(OwnConfig.read(tmp_path / "run" / "run.json"))
    history = gfe.load_checkpoint(tmp_path / "run" / "checkpoint.pt", **run.parts)
    assert history is not None and len(history.step) >= 50
    assert len(history.step) == run.batches.epoch * len(run.batches) + run.batches.index


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        ("digits", "Bernoulli"),
        ("spectra", "Gaussian"),
        ("circle", "Gaussian"),
        ("mine", "Gaussian"),
    ],
)
def test_train_takes_every_name_and_path_and_chooses_a_loss(tmp_path, capsys, data, loss):
    if data == "mine":
        data = str(tmp_path / "mine.npy")
        np.save(data, 1e4 + 1e3 * np.random.default_rng(0).normal(size=(120, 6)))
    options: dict[str, Any] = {"data": data, "latent_dim": 2, "n_images": 60, "n_validation": 9}
    assert main(words(tmp_path / "run", **options)) == 0
    model = gfe.load(tmp_path / "run" / "model.pt")
    x = gfe.data.load(data).x
    assert type(model.loss).__name__ == loss and model.card["data"] == data
    encoding = gfe.encode_observed(model.decoder, model.scaled(x[:20]), loss=model.loss)
    assert encoding.energy.isfinite().all()
    note = json.loads((tmp_path / "run" / "run.json").read_text())
    assert note["images"] == 60 and len(note["validation"]) == 1
    assert main(words(tmp_path / "run", **options)) == 0  # the same command goes on
    capsys.readouterr()
    assert main(["evaluate", f"--folder={tmp_path / 'run'}"]) == 0
    energy = json.loads(capsys.readouterr().out)["test"]["flow"]["energy"]
    assert np.isfinite(energy) and (loss == "Bernoulli" or energy < 0.6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "digits", "loss": "squares"}, "`loss` must be 'auto' or 'bernoulli'"),
        ({"data": "spectra", "loss": "bernoulli"}, "must lie in [0, 1] for the Bernoulli loss"),
        ({"data": "spectra", "method": "autoencoder"}, "takes no samples with missing values"),
        ({"data": "circle"}, "`data` 'circle' has 100 training samples, fewer than the 109"),
        ({"data": "nowhere.npy"}, "it does not exist"),
        ({"data": "digits", "device": "nowhere"}, "`device` 'nowhere' cannot be used here"),
    ],
)
def test_training_that_makes_no_sense_is_answered_and_leaves_no_model(
    tmp_path, capsys, options, message
):
    assert main(words(tmp_path / "run", n_validation=9, **options)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.pt").exists()


def test_samples_without_an_observed_feature_have_no_weight_and_hold_no_process_up(monkeypatch):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    optimizer = torch.optim.SGD(decoder.parameters(), lr=1.0)
    monkeypatch.setattr(dist, "broadcast", lambda tensor, src: None)
    averages: list[int] = []

    def all_reduce(flat: torch.Tensor) -> None:
        if len(flat) == 2:  # the other process learns from three samples
            flat += torch.tensor([3.0, 0.0])
        else:
            averages.append(len(flat))

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    find = partial(gfe.encode_observed, loss=gfe.Gaussian(), max_steps=2)
    together = Together(find, decoder, optimizer, asked=Asked())
    x = torch.rand(3, 4)
    x[1:] = torch.nan
    together(decoder, x)
    assert together.share == 1 / 4 and not averages  # `fit` takes the step
    together(decoder, x[1:])
    assert together.share == 0.0 and len(averages) == 1  # `fit` takes none, the other waits


def test_weight_without_a_gradient_in_one_process_takes_the_step_of_the_other(monkeypatch):
    reached, unreached, nowhere = (nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = torch.optim.SGD([reached, unreached, nowhere], lr=1.0)
    monkeypatch.setattr(dist, "broadcast", lambda tensor, src: None)
    together = Together(gfe.encode, nn.Identity(), optimizer, asked=Asked())
    together.share = 0.5
    # gradients, and for each whether the other process has one
    other = torch.tensor([4.0, 4.0, 2.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    monkeypatch.setattr(dist, "all_reduce", lambda flat: flat.add_(0.5 * other))
    reached.grad = torch.zeros(2)
    optimizer.step()
    assert reached.tolist() == [-1.0, -1.0] and unreached.tolist() == [0.0, 0.0]
    assert nowhere.grad is None
