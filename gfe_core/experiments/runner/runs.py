"""One training run.

Built from its config, resumed where it was left, judged on images that it has not seen.
"""

import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core import checks, encoders
from gfe_core.data.files import write_json
from gfe_core.experiments.runner.callbacks import Rehearsal, Watch
from gfe_core.experiments.runner.config import Config, chosen_images, schedule_of
from gfe_core.experiments.runner.judging import PRECISE, judged, ways
from gfe_core.training import Callback, History, Report, update
from gfe_core.types import Encoder


class Run:
    """The objects that a config names; `train` works on them.

    Args:
        config: what to build.

    Attributes:
        decoder: to be trained.
        encoder: what finds codes in training.
        autoencoder: the network that guesses codes, or None.
        judge: what finds codes when the run is judged by its own means: its network, or the flow to
            rest.
        watch: seconds of training, validation energies, best weights.
        history: of `fit`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.history = History()
        generator = torch.Generator().manual_seed(config.seed)
        self.x, validation = chosen_images(config)
        sizes: dict[str, Any] = {
            "latent_dim": config.latent_dim,
            "data_dim": self.x.shape[1],
            "generator": generator,
        }
        linear = config.method == "logistic_pca"
        self.decoder = (
            gfe.LinearDecoder(**sizes) if linear else gfe.MLPDecoder(hidden=config.hidden, **sizes)
        )
        self.batches = gfe.data.Batches(self.x, size=config.size, seed=config.seed)
        self.autoencoder = self._autoencoder(generator)
        trained = (
            [self.decoder, self.autoencoder] if config.method == "autoencoder" else [self.decoder]
        )
        self.optimizer = self._optimizer(*[module for module in trained if module])
        updates_per_batch = config.updates_per_encode + config.rehearsals
        self.schedule = schedule_of(
            config, self.optimizer, config.epochs * len(self.batches) * updates_per_batch
        )
        self.others: dict[str, Any] = {"network": self.autoencoder} if self.autoencoder else {}
        self.callbacks: list[Callback] = []
        self.encoder, self.judge = self._encoders()
        if config.rehearsals:
            self.others["rehearsal"] = rehearsal = Rehearsal(
                self.encoder,
                self._update,
                n_updates=config.rehearsals,
                size=config.rehearsal_size,
                memory=len(self.batches),
                seed=config.seed,
            )
            self.callbacks.append(rehearsal)
        modules = nn.ModuleList([module for module in (self.decoder, self.autoencoder) if module])
        self.watch = Watch(modules, self.judge, validation, len(self.batches))
        self.others["watch"] = self.watch
        self.callbacks.append(self.watch)

    def _autoencoder(self, generator: torch.Generator) -> encoders.Autoencoder | None:
        if self.config.method not in ("autoencoder", "semi_amortised"):
            return None
        assert isinstance(self.decoder, gfe.MLPDecoder)
        return encoders.Autoencoder.mirror(self.decoder, generator=generator)

    def _encoders(self) -> tuple[Encoder, Encoder]:
        """What finds codes in training, and what finds them when the run is judged."""
        flow = partial(gfe.encode, max_steps=self.config.max_steps)
        if self.config.method == "stored_codes":
            self.others["stored"] = stored = encoders.StoredCodes(flow)
            return stored, PRECISE
        if self.autoencoder is None:
            return flow, PRECISE
        if self.config.method == "autoencoder":
            return self.autoencoder, self.autoencoder
        self.others["network_optimizer"] = optimizer = self._optimizer(self.autoencoder)
        amortised = encoders.SemiAmortised(self.autoencoder, flow, optimizer)
        self.callbacks.append(amortised.learn)
        return amortised, encoders.ThenFlow(self.autoencoder, PRECISE)

    def _optimizer(self, *modules: nn.Module) -> torch.optim.Optimizer:
        parameters = [parameter for module in modules for parameter in module.parameters()]
        return torch.optim.AdamW(
            parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )

    def _update(self, z: Tensor, x: Tensor) -> None:
        update(self.decoder, gfe.Bernoulli(), self.optimizer, self.schedule, z, x)

    @property
    def parts(self) -> dict[str, Any]:
        """Everything that a checkpoint keeps."""
        names = ("decoder", "optimizer", "schedule", "batches", "others")
        return {name: getattr(self, name) for name in names}

    @property
    def epochs_left(self) -> int:
        """Passes over the images that are still to be made, the one in the middle counted."""
        at_the_end = self.batches.index == len(self.batches)
        return self.config.epochs - self.batches.epoch - at_the_end

    @property
    def torn(self) -> int:
        """Batches that an interrupt hit while they were learnt from."""
        return self.batches.epoch * len(self.batches) + self.batches.index - len(self.history.step)


def train(
    config: Config,
    folder: Path | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    save_every: float = 60.0,
) -> Run:
    """Train as the config says; with a folder, save as it goes on and go on from what lies there.

    What is saved is a whole number of batches, so that a run that was interrupted ends at the same
    weights as one that was not; an interrupt in the middle of an update keeps the checkpoint
    before.

    Args:
        config: what to train.
        folder: gets run.json and checkpoint.pt; None keeps nothing.
        callbacks: for progress; one that returns True interrupts.
        save_every: seconds between checkpoints.

    Returns:
        The run with its best weights, or, if it was interrupted, with its last
        (`run.history.interrupted`).

    Raises:
        ValueError: the folder holds a run of another config.
    """
    return finish(Run(config), folder, callbacks=callbacks, save_every=save_every)


def finish(
    run: Run,
    folder: Path | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    save_every: float = 60.0,
) -> Run:
    """Make the passes that a run still lacks; as `train`, for callbacks that need the run."""
    if folder is not None:
        _resume(run, folder)
        _write_note(run, folder)
    saved = time.monotonic()
    whole = len(run.history.step)
    torn_before = run.torn

    def save(report: Report) -> None:
        nonlocal saved, whole
        whole = len(run.history.step)
        if folder is not None and time.monotonic() - saved > save_every:
            gfe.save_checkpoint(folder / "checkpoint.pt", history=run.history, **run.parts)
            saved = time.monotonic()

    run.watch.skip()
    if run.epochs_left:
        gfe.fit(
            run.decoder,
            run.batches,
            encoder=run.encoder,
            optimizer=run.optimizer,
            schedule=run.schedule,
            epochs=run.epochs_left,
            updates_per_encode=run.config.updates_per_encode,
            history=run.history,
            callbacks=[*run.callbacks, save, *callbacks],
        )
    torn = whole < len(run.history.step) or run.torn > torn_before
    run.history.interrupted = torn or run.epochs_left > 0
    if folder is not None and not torn:
        gfe.save_checkpoint(folder / "checkpoint.pt", history=run.history, **run.parts)
        _write_note(run, folder)
    if not run.history.interrupted:
        run.watch.restore()
    return run


def _resume(run: Run, folder: Path) -> None:
    """Load the checkpoint of this run, if there is one; refuse that of another."""
    note = folder / "run.json"
    checkpoint = folder / "checkpoint.pt"
    lack = f"`folder` {folder} holds a checkpoint.pt but no run.json that says of what."
    checks.require(
        note.exists() or not checkpoint.exists(), f"{lack} Choose another folder, or move it away."
    )
    if note.exists():
        other = _read_note(folder)
        differing = [
            name for name, value in asdict(run.config).items() if getattr(other, name) != value
        ]
        remedy = "Choose another folder, or pass `--config` with the run.json that lies there."
        message = f"`folder` {folder} holds a run with another {', '.join(differing)}. {remedy}"
        checks.require(not differing, message)
    if checkpoint.exists():
        run.history = gfe.load_checkpoint(checkpoint, **run.parts) or History()


def _read_note(folder: Path) -> Config:
    """The config in run.json; one that cannot be read is refused with how to go on."""
    note = folder / "run.json"
    try:
        return Config.read(note)
    except ValueError as error:
        if (folder / "checkpoint.pt").exists():
            remedy = (
                "The weights are in checkpoint.pt beside it. To go on, replace run.json by the "
                'settings of this run, such as {"seed": 3, "epochs": 5} (a setting left out has '
                "its default), and give the command again. To begin again, choose another folder."
            )
        else:
            remedy = "No weights lie beside it: delete it and give the command again."
        raise ValueError(f"`folder` {folder} has a damaged run.json. {remedy} ({error})") from error


def _write_note(run: Run, folder: Path) -> None:
    """Write run.json, unless one of as many updates is there.

    It may hold the test energies and was made by them.
    """
    note = folder / "run.json"
    content = describe(run)
    known = json.loads(note.read_text()).get("updates") if note.exists() else None
    if known != content["updates"] or not known:
        write_json(note, content)


def describe(run: Run) -> dict[str, Any]:
    """What a reader of the numbers must know: config, versions, machine, time."""
    return {
        "config": asdict(run.config),
        "images": len(run.x),
        "updates": run.history.step[-1] if run.history.step else 0,
        "cpu_seconds": round(run.watch.seconds, 1),
        "validation": [energy if math.isfinite(energy) else None for energy in run.watch.energies],
        **machine(),
    }


def machine() -> dict[str, Any]:
    """Versions and machine, for a result file."""
    versions = {
        "gfe_core": gfe.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    return {"versions": versions, "machine": platform.machine(), "threads": torch.get_num_threads()}


def evaluate(folder: Path) -> dict[str, Any]:
    """Judge a finished run on all test images and add what was found to its run.json.

    Args:
        folder: of a run that `train` made.

    Returns:
        The content of run.json.

    Raises:
        ValueError: there is no finished run.
    """
    note = folder / "run.json"
    checks.require(
        note.exists(), f"`folder` {folder} holds no run.json. {_command('Make one', folder)}"
    )
    run = Run(_read_note(folder))
    _resume(run, folder)
    remedy = _command("Finish it", folder, f" --config {note}")
    checks.require(not run.epochs_left, f"`folder` {folder} holds an unfinished run. {remedy}")
    _write_note(run, folder)
    run.watch.restore()
    test = judged(run.decoder, ways(run.autoencoder), run.config.data)
    content = json.loads(note.read_text()) | {"test": test}
    write_json(note, content)
    return content


def _command(what: str, folder: Path, more: str = "") -> str:
    return f"{what}: `python -m gfe_core train --folder {folder}{more}`."
