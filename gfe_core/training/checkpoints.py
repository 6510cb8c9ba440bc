"""Checkpoints: everything needed to go on, in one file that executes nothing when it is read."""

import os
import tempfile
import zipfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.data import Batches
from gfe_core.training.fitting import History

_FORMAT = 1


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    decoder: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    batches: Batches | None = None,
    history: History | None = None,
    others: Mapping[str, Any] | None = None,
) -> Path:
    """Write everything needed to go on to one file; the old file survives a failed save.

    The file holds tensors and plain numbers only. It is written beside the target and moved into
    place. With all the parts that a training has, it goes on to the same weights, also from the
    middle of an epoch:

        save_checkpoint(path, decoder=decoder, optimizer=optimizer, batches=batches,
        history=history) history = load_checkpoint(path, decoder=decoder, optimizer=optimizer,
        batches=batches) gfe.fit(decoder, batches, optimizer=optimizer, epochs=epochs -
        batches.epoch, history=history)

    Args:
        path: of the file.
        decoder: its weights.
        optimizer: its moments.
        schedule: its position.
        batches: the position in the data.
        history: what happened so far.
        others: by name, whatever else has a state_dict: the network of an autoencoder, codes kept
            between epochs.

    Returns:
        The path written.

    Raises:
        ValueError: a name in `others` is that of another part.
    """
    target = Path(path)
    parts = _parts(others, decoder=decoder, optimizer=optimizer, schedule=schedule, batches=batches)
    target.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    content |= {"format": _FORMAT, "history": None if history is None else asdict(history)}
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    decoder: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    batches: Batches | None = None,
    others: Mapping[str, Any] | None = None,
) -> History | None:
    """Put a saved state back into the objects given.

    No code in the file is executed, and nothing changes if the file does not fit.

    Args:
        path: written by `save_checkpoint`.
        decoder: built with the sizes it was saved with; changed in place.
        optimizer: built for this decoder, or None to leave it out; changed in place.
        schedule: built for this optimizer, or None; changed in place.
        batches: over the same data, or None; changed in place.
        others: those that were saved, by name; changed in place.

    Returns:
        The history so far, if one was saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, no checkpoint, lacks a part that was asked for, or belongs
            to another decoder.
    """
    wanted = _parts(
        others, decoder=decoder, optimizer=optimizer, schedule=schedule, batches=batches
    )
    content = _read(Path(path))
    if missing := [name for name in wanted if name not in content]:
        remedy = f"Leave {', '.join(f'`{name}`' for name in missing)} out."
        raise ValueError(
            f"`path` {path} holds no {' or '.join(missing)}: it was saved without. {remedy}"
        )
    _same_shapes(decoder, content["decoder"], path)
    _restore(wanted, content, path)
    return None if content["history"] is None else History(**content["history"])


def _parts(others: Mapping[str, Any] | None, **parts: Any) -> dict[str, Any]:
    """Everything with a state, by name; a part must not take the place of another."""
    taken = [name for name in others or {} if name in (*parts, "format", "history")]
    checks.require(
        not taken,
        f"`others` must not be named {' or '.join(taken)}: other parts are. Choose another name.",
    )
    return {name: part for name, part in (parts | dict(others or {})).items() if part is not None}


def _restore(parts: dict[str, Any], saved: dict[str, Any], path: Any) -> None:
    """Load every part or, if one does not fit, put all of them back as they were."""
    before = {name: deepcopy(part.state_dict()) for name, part in parts.items()}
    name = ""
    try:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    except Exception as error:  # each part refuses in its own way
        for name_before, state in before.items():
            parts[name_before].load_state_dict(state)
        raise ValueError(
            f"`{name}` does not fit the checkpoint {path}: {error} Build it as it was saved."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    """Load the file without executing code; say what is wrong with it otherwise."""
    if not path.exists():
        raise FileNotFoundError(
            f"`path` {path} does not exist. Save one first: `gfe.save_checkpoint(path, "
            "decoder=decoder)`."
        )
    try:
        with zipfile.ZipFile(
            path
        ) as archive:  # torch does not compare the checksums that it writes
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # damaged bytes fail in too many ways to list
        raise ValueError(
            f"`path` {path} is damaged or no checkpoint ({type(error).__name__}). "
            "Delete it and train again, or restore a copy."
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(
            f"`path` {path} is no gfe_core checkpoint of format {_FORMAT}. "
            "Pass a file written by `gfe.save_checkpoint`."
        )
    return content


def _same_shapes(decoder: nn.Module, saved: dict[str, Tensor], path: Any) -> None:
    """Refuse a checkpoint of another decoder before anything is changed."""
    ours = {name: tuple(value.shape) for name, value in decoder.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in saved.items()}
    if ours != theirs:
        differing = next(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
        raise ValueError(
            f"`decoder` does not fit the checkpoint {path}: `{differing}` is "
            f"{ours.get(differing, 'absent')} here and "
            f"{theirs.get(differing, 'absent')} in the file. Build the decoder with the sizes "
            "it was saved with."
        )
