"""Encoding of large data sets in shards: each shard is a file, and any process can write it.

    data, model  ->  encode_shards, on each process  ->  a folder  ->  read_codes  ->  Encoding

A folder holds encode.json, which describes the codes; probe.pt, which identifies the model; and the
shards codes-000000.pt and so on. A shard is written to a temporary file and moved into place when
complete, so that every existing shard is finished. A process that starts again after a kill, or
beside others, encodes the missing shards.
"""

import copy
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.files import read_tensors, write_json, write_tensors
from gfe_core.data.samples import Samples, images_for
from gfe_core.decoders import probes as decoder_probes
from gfe_core.decoders.wrapped import parts_of
from gfe_core.encoding import encode, encode_observed
from gfe_core.energy import WholeLoss
from gfe_core.energy import probes as energy_probes
from gfe_core.models import Model
from gfe_core.scale.ranks import Rank
from gfe_core.scale.rows import Rows
from gfe_core.solvers import AMD, Solver
from gfe_core.solvers.chunks import solver_of
from gfe_core.types import Encoding, Statistics, Status

_Plain = int | float | str
_FORMAT = "gfe_core codes"
_VERSION = 1
_PROBE = "probe.pt"
_SIZE = 1000
"""Number of samples encoded at once, so that memory does not grow with the size of a shard."""


@in_own_words
def encode_shards(
    model: Model,
    data: Rows | Samples | str | Path,
    folder: str | Path,
    *,
    solver: Solver | None = None,
    max_steps: int | None = None,
    shard_size: int = 10_000,
    device: str = "cpu",
    rank: Rank | None = None,
    tell: Callable[[str], None] | None = None,
) -> int:
    """Encode the rows of a data set in shards of fixed size, and skip the shards already finished.

    Shard i holds the rows i s to (i + 1) s - 1, where s is the shard size. Of N processes, process
    r takes the shards r, r + N, r + 2 N and so on; the processes need not communicate. The codes
    equal those of one `encode` of all rows: to the bit for the kit's perceptrons, to rounding for
    other decoders. NaN counts as missing, as in `encode_observed`.

    Args:
        model: model from `gfe.load`: decoder, loss and the scaling that is applied to the data.
        data: rows to encode, or what `Rows.of` takes: the path of an .npy file is read a few rows
            at a time, and samples are those in memory.
        folder: folder for the shards. If it holds shards of the same model, data and settings, the
            missing ones are added.
        solver: solver that finds the codes; `AMD()` by default.
        max_steps: largest number of attempts for each sample, as in `encode`.
        shard_size: number of rows in a shard, >= 1.
        device: device to compute on, in torch's notation.
        rank: rank of this process among several; by default the one that `torchrun` gives.
        tell: function called with a line of progress after each shard, and at the start if some
            shards exist already.

    Returns:
        The number of shards that this call has finished.

    Raises:
        ValueError: the features of the data have other names or another order than those of the
            model; the folder holds codes of another model, other data or other settings, which stay
            as they are; or an argument does not fit.
        OSError: a file cannot be written; for a full disk the message names disk and path.

    Example:
        >>> import tempfile
        >>> import gfe_core as gfe
        >>> decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64)
        >>> model = Model(decoder, gfe.Bernoulli(), (64,))
        >>> digits = gfe.data.load("digits", split="test")
        >>> folder = Path(tempfile.mkdtemp())
        >>> encode_shards(model, Rows.of(digits), folder, shard_size=100)
        4
        >>> read_codes(folder).z.shape
        torch.Size([360, 2])
    """
    wanted = "`model` must be a model, such as one of `gfe.load`"
    made = isinstance(model, Model)
    line = "gfe.Model(decoder, loss, data_shape)"
    got = checks.described(model)
    checks.require(made, f"{wanted}, got {got}. Make one: `{line}`.", TypeError)
    data = data if isinstance(data, Rows) else Rows.of(data)
    solver = solver or AMD()
    shard_size = checks.at_least_one("shard_size", shard_size)
    if max_steps is not None:
        max_steps = checks.at_least_one("max_steps", max_steps)
    checks.require(len(data) > 0, "`data` must hold at least one sample, got none.")
    rank = rank or Rank.here()
    place = rank.device(device)
    checks.decoder_ready(model.decoder)
    checks.draws_nothing(model.decoder)
    checks.gates_given(model.decoder, None, 1)
    n_expected = math.prod(model.data_shape)
    checks.require(
        data.n_features == n_expected,
        f"`data` must hold samples of {n_expected} features for this model, got {data.n_features}.",
    )
    images_for(model.decoder, data.image_shape, "data")
    checks.same_names("data", data.features, model.names)
    folder = Path(folder)
    gaps = data.has_gaps()
    settings = {"solver": _in_full(solver), "max_steps": max_steps, "shard_size": shard_size}
    header = _header(model, data, settings | {"device": place.type})
    _claim(folder, header, model)
    decoder = _placed(model.decoder, place)
    find = partial(
        encode_observed if gaps else encode,
        decoder,
        loss=model.loss,
        max_steps=max_steps,
        size=_SIZE,
    )
    chunks = data.chunks(shard_size)
    own = [i for i in rank.share(len(chunks)) if not _file(folder, i).exists()]
    n_there = len(rank.share(len(chunks))) - len(own)
    if n_there and tell is not None:
        tell(f"{n_there} of {len(rank.share(len(chunks)))} shards are there already")
    start = time.monotonic()
    n_done = 0
    for i in own:
        x = model.scaled(data.read(chunks[i]).reshape(-1, *model.data_shape))
        part = solver_of(solver, chunks[i], len(data))
        encoding = find(x.to(next(decoder.parameters(), x)), solver=part)
        if (encoding.status == int(Status.NOT_REACHED)).any():
            raise KeyboardInterrupt  # encode returned only a part of the shard
        write_tensors(_file(folder, i), _content(header, i, encoding))
        n_done += len(x)
        if tell is not None:
            rate = n_done / (time.monotonic() - start)
            tell(f"shard {i + 1}/{len(chunks)}: {len(x):,} codes, {rate:,.0f} samples a second")
    return len(own)


@in_own_words
def read_codes(folder: str | Path) -> Encoding:
    """Return the codes of all rows in their order, with energies, statuses and counts.

    Args:
        folder: folder that `encode_shards` has filled, on any number of processes.

    Returns:
        One encoding, on the CPU; its `loss` is not set.

    Raises:
        FileNotFoundError: the folder holds no codes.
        ValueError: shards are missing, damaged or of another call; the message names them.
    """
    folder = Path(folder)
    header = _read_header(folder)
    checks.require(
        header is not None,
        f"`folder` {folder} holds no codes. Make them: `python -m gfe_core encode --out {folder}`.",
        FileNotFoundError,
    )
    assert header is not None
    missing = [i for i in range(header["n_shards"]) if not _file(folder, i).exists()]
    named = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
    checks.require(
        not missing,
        f"`folder` {folder} lacks {len(missing)} of {header['n_shards']} shards: {named}. Repeat "
        "the command that began it: it makes the missing shards.",
    )
    return Encoding.joined([_part(folder, header, i) for i in range(header["n_shards"])])


def _file(folder: Path, shard: int) -> Path:
    return folder / f"codes-{shard:06d}.pt"


def _placed(decoder: Any, place: torch.device) -> Any:
    """Return the decoder on a device; the caller's own stays where it is."""
    weight = next(decoder.parameters(), torch.empty(0))
    return decoder if weight.device == place else copy.deepcopy(decoder).to(place)


def _header(model: Model, data: Rows, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a folder's codes; equal headers mean equal codes."""
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "model": _fingerprint(model),
        "data": data.fingerprint(),
        "n": len(data),
        "n_shards": math.ceil(len(data) / settings["shard_size"]),
        "settings": settings,
    }


def _fingerprint(model: Model) -> str:
    """Return the SHA-256 of a model's weights, scaling, settings and all its other tensors."""
    digest = hashlib.sha256()
    decoder: Any = model.decoder
    described = f"{decoder!r} {getattr(decoder, 'arguments', None)} {model.loss!r}"
    described = re.sub(" at 0x[0-9a-f]+", "", described)  # addresses in memory do not matter
    digest.update(f"{described} {model.data_shape}".encode())
    held = dict(decoder.state_dict()) | _constants(model)
    held |= {f"scaling {name}": value for name, value in (model.scaling or {}).items()}
    for name, value in sorted(held.items()):
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(_bytes(value))
        else:
            digest.update(f"{name} {value!r}".encode())
    return digest.hexdigest()


def _constants(model: Model) -> dict[str, Tensor | _Plain]:
    """Return the constants of a loss, without what a call changes, such as a counter of calls."""
    if WholeLoss(model.loss).is_kit:  # its repr shows all constants
        return {}
    before = dict(_held_in(model.loss, "loss"))
    energy_probes.probe(model.loss, model.decoder)
    after = dict(_held_in(model.loss, "loss"))
    return {
        name: value
        for name, value in before.items()
        if isinstance(value, Tensor) or repr(value) == repr(after.get(name))
    }


def _held_in(value: Any, place: str, depth: int = 4) -> Iterator[tuple[str, Tensor | _Plain]]:
    """Yield the tensors, arrays, numbers and strings of a loss, which its repr may leave out."""
    held: Any = value
    if isinstance(held, (np.ndarray, np.generic)) and held.dtype.kind in "biuf":
        yield place, torch.from_numpy(np.asarray(held, np.float64))
    elif isinstance(value, (Tensor, _Plain)):
        yield place, value
    elif depth:
        for i, part in enumerate(parts_of(value)):
            yield from _held_in(part, f"{place} {i}", depth - 1)


def _probe(model: Model) -> dict[str, dict[str, Tensor]]:
    """Return outputs of decoder and loss for fixed inputs, which show constants without tensors."""
    return {
        "decoder": decoder_probes.probe(model.decoder),
        "loss": energy_probes.probe(model.loss, model.decoder),
    }


def _agrees(model: Model, folder: Path) -> bool:
    """Whether decoder and loss compute the same as those of a folder's codes, up to rounding.

    Bytes are not compared, because other machines and numbers of threads round differently.
    """
    if not (folder / _PROBE).exists():  # written by an older gfe_core
        return True
    remedy = "Choose another folder, or restore a copy."
    kept = read_tensors(folder / _PROBE, kind="probe", remedy=remedy)
    decoder, loss = kept["decoder"], kept["loss"]
    if decoder:
        apart, rounding = decoder_probes.gap(model.decoder, decoder)
        if not bool((apart <= rounding).all()):
            return False
    return not loss or energy_probes.agrees(model.loss, loss)


def _in_full(solver: Solver | None) -> str:
    """Return the repr of a solver, with a digest of each tensor, which a repr shortens."""
    digests = [
        f" {name} {hashlib.sha256(_bytes(one)).hexdigest()[:16]}"
        for name, one in getattr(solver, "__dict__", {}).items()
        if isinstance(one, Tensor)
    ]
    return repr(solver) + "".join(digests)


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _claim(folder: Path, header: dict[str, Any], model: Model) -> None:
    """Write the header, or refuse a folder of other codes and change nothing in it."""
    known = _read_header(folder)
    shards = sorted(folder.glob("codes-*.pt"))
    checks.require(
        known is not None or not shards,
        f"`folder` {folder} holds {len(shards)} shards but no encode.json that describes them. "
        "Choose another folder.",
    )
    if known is None or not shards:  # a call failed before its first shard
        write_tensors(folder / _PROBE, _probe(model))  # first, as an encode.json promises it
        write_json(folder / "encode.json", header)
        return
    differing = [name for name in ("model", "data", "n") if known.get(name) != header[name]]
    differing = differing or ["model"] * (not _agrees(model, folder))
    settings = known.get("settings", {})
    differing += [n for n, value in header["settings"].items() if settings.get(n) != value]
    checks.require(
        not differing,
        f"`folder` {folder} holds codes with another {', '.join(differing)}. Choose another "
        "folder, or repeat the command that began it.",
    )


def _read_header(folder: Path) -> dict[str, Any] | None:
    path = folder / "encode.json"
    if not path.exists():
        return None
    try:
        header = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`folder` {folder} has an encode.json that cannot be read ({error}). Choose another "
            "folder, or restore a copy."
        ) from error
    ours = isinstance(header, dict) and header.get("format") == _FORMAT
    checks.require(
        ours and header["version"] <= _VERSION,
        f"`folder` {folder} has an encode.json of another program, or of a newer gfe_core. Choose "
        "another folder.",
    )
    return header


_COLUMNS = ("z", "energy", "grad_norm", "t", "status")


def _content(header: dict[str, Any], shard: int, encoding: Encoding) -> dict[str, Any]:
    """Return the content of a shard's file."""
    columns = {name: getattr(encoding, name).clone() for name in _COLUMNS}
    counts = {field.name: getattr(encoding.statistics, field.name) for field in fields(Statistics)}
    return {"of": _of(header), "shard": shard, **columns, "statistics": counts}


def _of(header: dict[str, Any]) -> str:
    """Return one hash of the parts of a header that a shard must agree with."""
    text = json.dumps([header[name] for name in ("model", "data", "settings")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _part(folder: Path, header: dict[str, Any], shard: int) -> Encoding:
    """Read one shard; refuse damaged shards and shards of other codes."""
    path = _file(folder, shard)
    again = "Move it away and run the command that began the folder again."
    content = read_tensors(path, kind="shard of codes", remedy=again)
    checks.require(
        isinstance(content, dict)
        and (content.get("of"), content.get("shard"))
        == (
            _of(header),
            shard,
        ),
        f"`folder` {folder} has a shard that belongs to other codes, {path.name}. {again}",
    )
    columns = {name: content[name] for name in _COLUMNS}
    return Encoding(**columns, statistics=Statistics(**content["statistics"]))
