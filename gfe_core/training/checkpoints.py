"""Checkpoints: everything needed to continue, in one file that is read without executing code."""

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data import Batches
from gfe_core.data.files import read_tensors, write_tensors
from gfe_core.decoders.probes import gap, probe
from gfe_core.decoders.state import Kept
from gfe_core.training.fitting import History

_FORMAT = 1
_WITH_KIND = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
"""Types of parts that silently accept the state of another type."""
_OF_SCHEDULES = {"initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"}
"""Names that schedules of torch add to the settings of an optimizer."""


@in_own_words
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
    """Write everything needed to continue to one file; the old file survives a failed save.

    The file holds tensors and plain values only. It is written beside the target and moved into
    place. If all parts of a training are saved, it continues to the same weights, even from the
    middle of an epoch:

        parts = {"decoder": decoder, "optimizer": optimizer, "batches": batches}
        save_checkpoint(path, history=history, **parts)
        history = load_checkpoint(path, **parts)
        n_left = epochs - batches.epoch
        gfe.fit(decoder, batches, optimizer=optimizer, epochs=n_left, history=history)

    Args:
        path: path of the file.
        decoder: decoder whose weights are saved.
        optimizer: optimizer whose moments are saved.
        schedule: schedule whose position is saved.
        batches: batches whose position in the data is saved.
        history: history so far.
        others: further objects with a state_dict, by name, such as the network of an autoencoder or
            codes kept between epochs.

    Returns:
        The path of the file.

    Raises:
        ValueError: a name in `others` is that of another part.
        OSError: the file cannot be written; for a full disk the message names disk and path.
    """
    checks.path("path", path)
    wanted = "`history` must be a `History` that `fit` returned"
    fits = history is None or isinstance(history, History)
    checks.require(fits, f"{wanted}, got {checks.described(history)}.", TypeError)
    parts = _parts(others, decoder=decoder, optimizer=optimizer, schedule=schedule, batches=batches)
    content: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    content |= {"format": _FORMAT, "history": None if history is None else asdict(history)}
    content["kinds"] = {
        name: _kind(part) for name, part in parts.items() if isinstance(part, _WITH_KIND)
    }
    content["probe"] = _probe(decoder)
    write_tensors(path, content)
    return Path(path)


@in_own_words
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
        path: path of a file that `save_checkpoint` wrote.
        decoder: decoder with the sizes of the saved one; changed in place.
        optimizer: optimizer of this decoder, or None to leave it out; changed in place.
        schedule: schedule of this optimizer, or None; changed in place.
        batches: batches of the same data, or None; changed in place.
        others: further saved objects, by name; changed in place.

    Returns:
        The history so far, or None if none was saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is not a checkpoint, lacks a requested part, or belongs to
            another decoder (even if only an activation or a constant differs), another kind of
            optimizer or schedule, or other sizes.
    """
    checks.path("path", path)
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
    for name, part in wanted.items():
        _same_kind(name, part, content, path)
    _restore(wanted, content, path, decoder)
    return None if content["history"] is None else History(**content["history"])


def _parts(others: Mapping[str, Any] | None, **parts: Any) -> dict[str, Any]:
    """Return all objects with a state, by name; refuse names that are taken."""
    named = others is None or isinstance(others, Mapping)
    wanted = "`others` must be a dict of names and objects"
    checks.require(named, f"{wanted}, got {checks.described(others)}.", TypeError)
    for name, part in (parts | dict(others or {})).items():
        stateful = part is None or (hasattr(part, "state_dict") and not isinstance(part, type))
        wanted = f"`{name}` must be an object with a state (`state_dict`)"
        checks.require(stateful, f"{wanted}, got {checks.described(part)}.", TypeError)
    taken = [
        name for name in others or {} if name in (*parts, "format", "history", "kinds", "probe")
    ]
    checks.require(
        not taken,
        f"`others` must not contain the name {' or '.join(taken)}: another part has it. Choose "
        "another name.",
    )
    return {name: part for name, part in (parts | dict(others or {})).items() if part is not None}


def _restore(parts: dict[str, Any], saved: dict[str, Any], path: Any, decoder: Any) -> None:
    """Load every part or, if one does not fit, put all of them back as they were."""
    before = {name: deepcopy(part.state_dict()) for name, part in parts.items()}
    name = ""
    try:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        name = "decoder"
        _same_function(decoder, saved.get("probe"))
    except BaseException as error:
        for name_before, state in before.items():
            parts[name_before].load_state_dict(state)
        if not isinstance(error, Exception):  # an interrupt stays one
            raise
        raise ValueError(  # each part refuses in its own way
            f"`{name}` does not fit the checkpoint {path}: {error} Build it as it was saved."
        ) from error


def _probe(decoder: Any) -> dict[str, Tensor]:
    """Return the decoder's output for fixed codes; {} without sizes, or if its output is random."""
    kept = Kept(decoder)
    try:
        checks.keeps_samples_apart(decoder)
        with torch.random.fork_rng(devices=[]):  # a save must not change later random numbers
            first, again = probe(decoder), probe(decoder)
    except Exception:  # any module can be saved, a decoder or not
        return {}
    finally:
        kept.restore()
    same = all(torch.equal(first[name].nan_to_num(), again[name].nan_to_num()) for name in first)
    return first if same else {}


def _same_function(decoder: Any, kept: dict[str, Tensor] | None) -> None:
    """Refuse a decoder that computes something else with these weights than the saved one did."""
    if not kept or not _probe(decoder):  # written by an older gfe_core, or in another mode
        return
    difference, rounding = gap(decoder, kept)
    checks.require(
        bool((difference <= rounding).all()),
        "with the weights of the file it computes something else than what was saved, because an "
        "activation or a constant is another. To take the weights alone, "
        '`decoder.load_state_dict(torch.load(path)["decoder"])`.',
    )


def _read(path: Path) -> dict[str, Any]:
    """Load the file without executing code; the error says what is wrong with it."""
    if not path.exists():
        raise FileNotFoundError(
            f"`path` {path} does not exist. Save one first: `gfe.save_checkpoint(path, "
            "decoder=decoder)`."
        )
    remedy = "Pass a file written by `gfe.save_checkpoint`, restore a copy, or train again."
    content = read_tensors(path, kind="checkpoint", remedy=remedy)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(
            f"`path` {path} is not a gfe_core checkpoint of format {_FORMAT}. "
            "Pass a file written by `gfe.save_checkpoint`."
        )
    return content


def _kind(part: Any) -> str:
    return type(part).__name__


def _same_kind(name: str, part: Any, content: dict[str, Any], path: Any) -> None:
    """Refuse the state of another kind of optimizer or schedule, or of other sizes.

    torch accepts both silently, and fails or computes wrong steps afterwards.
    """
    saved = content[name]
    if not isinstance(part, _WITH_KIND) or not isinstance(saved, dict):
        return
    kind = content.get("kinds", {}).get(name)  # checkpoints of early versions name none
    wrong = kind is not None and kind != _kind(part)
    reason = f"the saved one is of another kind, {kind}, and this is {_kind(part)}."
    if kind is None and isinstance(part, torch.optim.Optimizer):
        foreign = _settings(saved) - _settings(part.state_dict())
        wrong = bool(foreign)
        reason = f"it has {', '.join(sorted(foreign))}, which {_kind(part)} does not know."
    elif kind is None:
        other = _public(saved) ^ _public(part.state_dict())
        wrong = bool(other)
        reason = f"only one of the two has {', '.join(sorted(other))}: it is of another kind."
    if not wrong and isinstance(part, torch.optim.Optimizer):
        reason = _other_sizes(part, saved)
        wrong = bool(reason)
    if wrong:
        remedy = f"Build `{name}` as it was saved, or leave it out."
        raise ValueError(f"`{name}` does not fit the checkpoint {path}: {reason} {remedy}")


def _settings(state: dict[str, Any]) -> set[str]:
    """Return the names of an optimizer's settings, such as lr and betas."""
    names = {name for group in state.get("param_groups", ()) for name in group}
    return names - _OF_SCHEDULES


def _public(state: dict[str, Any]) -> set[str]:
    return {name for name in state if not name.startswith("_")} - {"verbose"}


def _other_sizes(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> str:
    """Return the reason why a saved state does not fit this optimizer's parameters, or ""."""
    if isinstance(optimizer, torch.optim.LBFGS):  # keeps one vector for all of its parameters
        return ""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, state in saved.get("state", {}).items():
        for name, value in state.items():
            if not isinstance(value, Tensor) or index >= len(parameters):
                continue
            shape = tuple(parameters[index].shape)
            if not _fits(tuple(value.shape), shape):
                return (
                    f"`{name}` of parameter {index} has shape {tuple(value.shape)}, the parameter "
                    f"{shape}."
                )
    return ""


def _fits(state: tuple[int, ...], parameter: tuple[int, ...]) -> bool:
    """Whether a state has a parameter's shape, or one that is 1 along some of its axes."""
    if len(state) not in (0, len(parameter)):
        return state == (1,)
    return all(n in (1, size) for n, size in zip(state, parameter, strict=False))


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
