"""One training run: built from its config, resumed where it stopped, judged on unseen images."""

import copy
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core import checks, encoders
from gfe_core.data.files import write_json
from gfe_core.experiments.runner.callbacks import Rehearsal, Watch
from gfe_core.experiments.runner.config import (
    SOLVER,
    ChosenData,
    Config,
    OwnConfig,
    chosen_data,
    optimizer_of,
    read_config,
    schedule_of,
)
from gfe_core.experiments.runner.judging import encoders_of, judged, precise_for
from gfe_core.scale.parallel import Asked, PartOfBatches, Together, joined, same_everywhere
from gfe_core.scale.ranks import Rank
from gfe_core.training import Callback, History, Report, update
from gfe_core.types import Encoder


@dataclass(kw_only=True)
class Run:
    """The objects of a run; `build` makes them from a config, and `train` trains them.

    Args:
        config: config from which the objects were built.
        x: training images.
        batches: batches of the training images.
        decoder: decoder to be trained.
        autoencoder: network that guesses codes, or None.
        encoder: encoder that finds codes in training.
        judge: encoder that finds codes when the run is judged by its own means: its network, or the
            flow to rest.
        optimizer: optimizer of the decoder and of an autoencoder's network.
        schedule: schedule of the learning rate, or None.
        callbacks: further functions that learn or record after every batch.
        watch: record of seconds, validation energies and best weights; the last of the callbacks.
        others: further objects, by name, whose state a checkpoint keeps.
        chosen: data of the run, and how they were converted.
        history: history of `fit`.
    """

    config: Config
    x: Tensor
    batches: gfe.data.Batches
    decoder: gfe.MLPDecoder | gfe.LinearDecoder
    autoencoder: encoders.Autoencoder | None
    encoder: Encoder
    judge: Encoder
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None
    callbacks: list[Callback]
    watch: Watch
    others: dict[str, Any]
    chosen: ChosenData
    history: History = field(default_factory=History)

    @property
    def parts(self) -> dict[str, Any]:
        """Everything that a checkpoint keeps."""
        names = ("decoder", "optimizer", "schedule", "batches", "others")
        return {name: getattr(self, name) for name in names}

    @property
    def epochs_left(self) -> int:
        """Number of passes that remain, including one that has begun."""
        at_the_end = self.batches.index == len(self.batches)
        return self.config.epochs - self.batches.epoch - at_the_end


def build(config: Config) -> Run:
    """Build the objects of a config: images, networks, encoders, optimizer and callbacks."""
    generator = torch.Generator().manual_seed(config.seed)  # the decoder draws from it first
    chosen = chosen_data(config)
    x = chosen.x
    batches = gfe.data.Batches(x, size=config.size, seed=config.seed)
    decoder = _decoder(config, chosen, generator)
    network = _network(config, decoder, chosen, generator)
    modules = [module for module in (decoder, network) if module is not None]
    optimizer = _optimizer(config, modules if config.method == "autoencoder" else [decoder])
    n_updates = config.epochs * len(batches) * (config.updates_per_encode + config.rehearsals)
    schedule = schedule_of(config, optimizer, n_updates)
    codes = _codes(config, network, chosen)
    watch = Watch(nn.ModuleList(modules), codes.judge, chosen.validation, len(batches))
    callbacks = list(codes.callbacks)
    others = dict(codes.others)
    if config.rehearsals:
        learn = partial(update, decoder, chosen.loss or gfe.Bernoulli(), optimizer, schedule)
        others["rehearsal"] = rehearsal = _rehearsal(config, codes.encoder, learn, len(batches))
        callbacks.append(rehearsal)
    return Run(
        config=config,
        x=x,
        batches=batches,
        decoder=decoder,
        autoencoder=network,
        encoder=codes.encoder,
        judge=codes.judge,
        optimizer=optimizer,
        schedule=schedule,
        callbacks=[*callbacks, watch],
        watch=watch,
        others=others | {"watch": watch},
        chosen=chosen,
    )


def _decoder(
    config: Config, chosen: ChosenData, generator: torch.Generator
) -> gfe.MLPDecoder | gfe.LinearDecoder:
    sizes: dict[str, Any] = {
        "latent_dim": config.latent_dim,
        "data_dim": chosen.x.shape[1],
        "image_shape": chosen.image_shape,
        "generator": generator,
    }
    if config.method == "logistic_pca":
        return gfe.LinearDecoder(**sizes)
    return gfe.MLPDecoder(hidden=config.hidden, **sizes)


def _network(
    config: Config, decoder: nn.Module, chosen: ChosenData, generator: torch.Generator
) -> encoders.Autoencoder | None:
    """Return the network that guesses codes, or None if the method has none."""
    if config.method not in ("autoencoder", "semi_amortised"):
        return None
    checks.require(
        not chosen.has_gaps,
        f"`method` {config.method!r} takes no samples with missing values (NaN), which `data` "
        f"{config.data!r} has. Train by the 'flow', which leaves them out of the energy.",
    )
    return encoders.Autoencoder.mirror(decoder, loss=chosen.loss, generator=generator)


def _optimizer(config: Config, modules: Sequence[nn.Module]) -> torch.optim.Optimizer:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return optimizer_of(config, parameters)


@dataclass(frozen=True, kw_only=True)
class _Codes:
    """The encoders of training and judging, with the callbacks and states that belong to them."""

    encoder: Encoder
    judge: Encoder
    callbacks: Sequence[Callback] = ()
    others: Mapping[str, Any] = field(default_factory=dict)


def _codes(config: Config, network: encoders.Autoencoder | None, chosen: ChosenData) -> _Codes:
    """Return the encoders for the method of a config."""
    flow = partial(
        gfe.encode_observed if chosen.has_gaps else gfe.encode,
        loss=chosen.loss,
        solver=SOLVER,
        stop=config.stop,
        max_steps=config.max_steps,
    )
    precise = precise_for(chosen.loss, gaps=chosen.has_gaps)
    if config.method == "stored_codes":
        stored = encoders.StoredCodes(flow)
        return _Codes(encoder=stored, judge=precise, others={"stored": stored})
    if network is None:
        return _Codes(encoder=flow, judge=precise)
    if config.method == "autoencoder":
        return _Codes(encoder=network, judge=network, others={"network": network})
    optimizer = _optimizer(config, [network])
    amortised = encoders.SemiAmortised(network, flow, optimizer)
    return _Codes(
        encoder=amortised,
        judge=encoders.ThenFlow(network, precise),
        callbacks=[amortised.learn],
        others={"network": network, "network_optimizer": optimizer},
    )


def _rehearsal(
    config: Config, encoder: Encoder, learn: Callable[[Tensor, Tensor], None], n_batches: int
) -> Rehearsal:
    return Rehearsal(
        encoder,
        learn,
        n_updates=config.rehearsals,
        size=config.rehearsal_size,
        memory=n_batches,
        seed=config.seed,
    )


def train(
    config: Config,
    folder: Path | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    save_every: float = 60.0,
    rank: Rank | None = None,
    device: str = "cpu",
) -> Run:
    """Train a config; with a folder, save regularly and continue a run that the folder holds.

    A checkpoint holds a whole number of batches, so that an interrupted run ends at the same
    weights as an uninterrupted one.

    Args:
        config: settings of the run.
        folder: folder for run.json and checkpoint.pt; None saves nothing.
        callbacks: callbacks for progress; one that returns True stops the run.
        save_every: seconds between checkpoints.
        rank: rank of this process among several, by default as `torchrun` gives it. Processes share
            each batch of `config.size`, so that each step equals that of one process, up to
            rounding, which many steps amplify. Only process 0 writes; all read the folder.
        device: device to compute on.

    Returns:
        The run with its best weights or, if a callback stopped it, with its last weights
        (`run.history.interrupted`).

    Raises:
        KeyboardInterrupt: the run was interrupted; its progress is saved.
        ValueError: the folder holds a run of another config.
    """
    rank = rank or Rank.here()
    place = rank.device(device)
    run = build(config)
    _move(run, place)
    with joined(rank, place) as asked:
        if rank.n > 1:
            if folder is not None:
                _resume(run, folder)
            _share(run, rank, asked)
        return finish(
            run,
            folder,
            callbacks=callbacks,
            save_every=save_every,
            writes=rank.number == 0,
        )


def _move(run: Run, place: torch.device) -> None:
    """Move networks and data to a device; the optimizers hold the same weights as before."""
    run.decoder.to(place)
    run.watch.modules.to(place)
    run.watch.x = run.watch.x.to(place)
    run.x = run.batches.x = run.batches.x.to(place)


def _share(run: Run, rank: Rank, asked: Asked) -> None:
    """Let several processes take the steps of this run together."""
    independent = run.config.method in ("flow", "logistic_pca") and run.config.rehearsals == 0
    checks.require(
        independent,
        "On several processes `method` must be 'flow' or 'logistic_pca' and `rehearsals` 0: stored "
        "codes, rehearsed images and encoders would differ from those of one process. Train on one "
        "process.",
    )
    same_everywhere(len(run.history.step), "the batches trained so far", run.x.device)
    run.batches = PartOfBatches(run.batches, rank)
    run.encoder = Together(
        run.encoder,
        run.decoder,
        run.optimizer,
        run.schedule,
        asked=asked,
        updates_per_encode=run.config.updates_per_encode,
    )


def finish(
    run: Run,
    folder: Path | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    save_every: float = 60.0,
    writes: bool = True,
) -> Run:
    """Make the remaining passes of a run, as `train` does, for callbacks that need the run.

    Args:
        run: run to train.
        folder: folder for run.json and checkpoint.pt; None saves nothing.
        callbacks: callbacks for progress; one that returns True stops the run.
        save_every: seconds between checkpoints.
        writes: whether this process writes to the folder; otherwise it only reads.
    """
    if folder is not None:
        _resume(run, folder)
        if writes:
            _write_note(run, folder)
    keeper = _Keeper(run, folder if writes else None, save_every)
    try:
        _learn(run, [*run.callbacks, keeper, *callbacks])
    except KeyboardInterrupt:
        keeper.close()
        raise
    keeper.close()
    run.history.interrupted = run.epochs_left > 0
    if not run.history.interrupted:
        run.watch.restore()
    return run


def _learn(run: Run, callbacks: Sequence[Callback]) -> None:
    """Train for the remaining passes."""
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
            callbacks=callbacks,
            on_interrupt="raise",
        )


class _Keeper:
    """A callback that saves a run regularly; it comes after those of the run.

    Args:
        run: run to save.
        folder: folder for the checkpoint, or None.
        every: seconds between checkpoints.
    """

    def __init__(self, run: Run, folder: Path | None, every: float) -> None:
        self.run = run
        self.folder = folder
        self.every = every
        self.saved = time.monotonic()
        self.n_whole = len(run.history.step)
        """Number of batches after which all callbacks of the run were called."""

    def __call__(self, report: Report) -> None:
        """Count the batch, and save if enough time has passed."""
        self.n_whole = len(self.run.history.step)
        if time.monotonic() - self.saved > self.every:
            self._save()
            self.saved = time.monotonic()

    def close(self) -> None:
        """Save the run, unless the callbacks of the last batch were broken off."""
        if self.n_whole == len(self.run.history.step):
            self._save()
            if self.folder is not None:
                _write_note(self.run, self.folder)

    def _save(self) -> None:
        if self.folder is not None:
            path = self.folder / "checkpoint.pt"
            gfe.save_checkpoint(path, history=self.run.history, **self.run.parts)


def _resume(run: Run, folder: Path) -> None:
    """Load the checkpoint of this run, if there is one; refuse that of another run."""
    note = folder / "run.json"
    checkpoint = folder / "checkpoint.pt"
    wanted = f"`folder` {folder} holds a checkpoint.pt but no run.json that describes it."
    checks.require(
        note.exists() or not checkpoint.exists(),
        f"{wanted} Choose another folder, or move it away.",
    )
    if note.exists():
        other = _read_note(folder)
        learnt = checkpoint.exists() or bool(_noted(folder, "updates"))
        differing = [
            name
            for name, value in asdict(run.config).items()
            if learnt and getattr(other, name, None) != value
        ]
        remedy = "Choose another folder, or pass `--config` with the run.json that lies there."
        message = f"`folder` {folder} holds a run with another {', '.join(differing)}. {remedy}"
        checks.require(not differing, message)
        same = _noted(folder, "data_sha256") in (None, _digest(run)) or not learnt
        began = f"`data` {run.config.data} is not what the run in {folder} began with"
        checks.require(same, f"{began}. Choose another folder, or restore the earlier data.")
    if checkpoint.exists():
        run.history = gfe.load_checkpoint(checkpoint, **run.parts) or History()


def _noted(folder: Path, name: str) -> Any:
    """Return a value of run.json, or None if it is missing."""
    return json.loads((folder / "run.json").read_text()).get(name)


def _digest(run: Run) -> str | None:
    """Return the SHA-256 of one's own data; None for the paper's sets, which have names."""
    if not isinstance(run.config, OwnConfig):
        return None
    digest = hashlib.sha256(repr(run.chosen.scaling).encode())
    digest.update(run.x.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_note(folder: Path) -> Config:
    """Return the config in run.json; if it is damaged, the error says how to continue."""
    note = folder / "run.json"
    try:
        return read_config(note)
    except ValueError as error:
        if (folder / "checkpoint.pt").exists():
            remedy = (
                "The weights are in checkpoint.pt beside it. To continue, move run.json away, "
                "write a new one with the settings of this run, such as "
                '{"seed": 3, "epochs": 5} (a setting left out has its default), and run the '
                "command again. To begin again, choose another folder."
            )
        else:
            remedy = "No weights lie beside it: move it away and run the command again."
        raise ValueError(f"`folder` {folder} has a damaged run.json. {remedy} ({error})") from error


def _write_note(run: Run, folder: Path) -> None:
    """Write run.json, unless one with the same number of updates exists.

    Such a file may also hold the test energies, and records the versions and machine of the run.
    """
    note = folder / "run.json"
    content = describe(run)
    known = json.loads(note.read_text()).get("updates") if note.exists() else None
    if known != content["updates"] or not known:
        write_json(note, content)


def save_model(run: Run, folder: Path) -> Path:
    """Write the decoder of a finished run as model.pt, for `gfe.load`.

    The file also holds the loss, the scaling and the names of the features.
    """
    card = {"data": run.config.data, "settings": run.config.as_record()}
    card |= {"updates": run.history.step[-1] if run.history.step else 0}
    decoder = copy.deepcopy(run.decoder).cpu()
    return gfe.save(
        folder / "model.pt",
        decoder,
        loss=run.chosen.loss or gfe.Bernoulli(),
        scaling=run.chosen.scaling,
        names=run.chosen.names,
        card=card,
    )


def describe(run: Run) -> dict[str, Any]:
    """Return the context of a run's numbers: config, versions, machine and time."""
    digest = _digest(run)
    return {
        "config": run.config.as_record(),
        **({} if digest is None else {"data_sha256": digest}),
        "images": len(run.x),
        "updates": run.history.step[-1] if run.history.step else 0,
        "cpu_seconds": round(run.watch.seconds, 1),
        "validation": [energy if math.isfinite(energy) else None for energy in run.watch.energies],
        **machine(),
    }


def machine() -> dict[str, Any]:
    """Return versions and machine, for a result file."""
    versions = {
        "gfe_core": gfe.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    return {"versions": versions, "machine": platform.machine(), "threads": torch.get_num_threads()}


def evaluate(folder: Path) -> dict[str, Any]:
    """Judge a finished run on all test images and add the result to its run.json.

    Args:
        folder: folder of a run that `train` made.

    Returns:
        The content of run.json.

    Raises:
        ValueError: there is no finished run.
    """
    note = folder / "run.json"
    checks.require(
        note.exists(), f"`folder` {folder} holds no run.json. {_command('Make one', folder)}"
    )
    run = build(_read_note(folder))
    _resume(run, folder)
    remedy = _command("Finish it", folder, f" --config {note}")
    checks.require(not run.epochs_left, f"`folder` {folder} holds an unfinished run. {remedy}")
    _write_note(run, folder)
    run.watch.restore()
    chosen = run.chosen
    precise = precise_for(chosen.loss, gaps=chosen.has_gaps)
    test = judged(
        run.decoder, encoders_of(run.autoencoder, precise), run.config.data, scaling=chosen.scaling
    )
    content = json.loads(note.read_text()) | {"test": test}
    write_json(note, content)
    return content


def _command(what: str, folder: Path, more: str = "") -> str:
    return f"{what}: `python -m gfe_core train --folder {folder}{more}`."
