"""The one writer of files: beside the target first, moved into place when all of it is there.

Whoever saves something, from a checkpoint to a page, writes through here. A save that fails or is
killed leaves the old file as it was, and files of tensors are read without executing anything.
"""

import errno
import json
import os
import re
import secrets
import shutil
import socket
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

_PART = re.compile(r"\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.part$")
_ABANDONED = 24 * 3600.0
"""Seconds without a write after which a part is left over, whichever machine began it."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends without an error.

    A new file has the mode that the umask gives, one that was there keeps its own. A symbolic link
    stays one: what it points to is replaced. Parts that killed processes left in the folder are
    removed.

    Args:
        path: of the file; folders that are missing are made.

    Yields:
        The file, open for bytes.

    Raises:
        OSError: the file cannot be written; a full disk is named, with the path.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "codes.txt")
        >>> with replacing(path) as file:
        ...     _ = file.write(b"0.5")
        >>> path.read_text()
        '0.5'
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise IsADirectoryError(
            errno.EISDIR, f"`path` must name a file, got a folder or device: {path}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target.parent)
    part = target.with_name(f".{target.name[:100]}{_part_suffix()}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if full := _disk_full(error):
            raise _named(full, target) from error
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, with its folder; nothing is lost when that fails."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write plain values as JSON; NaN is refused, because other readers do not know it."""
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f"`content` of {path} has NaN or infinity. Write None in its place."
        ) from error
    write_text(path, text + "\n")


def write_tensors(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write tensors and plain values, nested in dicts and lists, in torch's zip format."""
    with replacing(path) as file:
        torch.save(content, file)


def read_tensors(path: str | os.PathLike[str], *, kind: str, remedy: str) -> Any:
    """Read what `write_tensors` wrote, onto the processor; no code in the file is executed.

    Args:
        path: of an existing file.
        kind: what the file should be, for the error: "checkpoint".
        remedy: what to do about a damaged file, one or two sentences.

    Raises:
        ValueError: the file is damaged or no such file, or holds code.
    """
    try:
        # torch does not compare the checksums that it writes
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # damaged bytes fail in too many ways to list
        raise ValueError(
            f"`path` {path} is damaged or no {kind} ({type(error).__name__}). {remedy}"
        ) from error


def _part_suffix() -> str:
    return f".{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def _host() -> str:
    """This machine, in eight digits: a number of a process means nothing on another."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _remove_leftovers(folder: Path) -> None:
    """Remove parts of processes that have ended, and of any that have not written for a day."""
    with suppress(OSError):  # a folder that may be written and not listed
        for file in folder.glob(".*.part"):
            match = _PART.search(file.name)
            with suppress(OSError):  # gone by now, or another user's: no reason not to write
                if match is not None and _is_left_over(file, match):
                    file.unlink()


def _is_left_over(part: Path, match: re.Match[str]) -> bool:
    here = match["host"] == _host()
    return (here and not _runs(int(match["process"]))) or (
        time.time() - part.stat().st_mtime > _ABANDONED
    )


def _runs(process: int) -> bool:
    """Whether a process of this machine has not ended."""
    if os.name == "nt":  # there, signal 0 ends a process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _disk_full(error: BaseException) -> OSError | None:
    """The error of a full disk among an error and what it came from; torch hides it in its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _named(full: OSError, target: Path) -> OSError:
    """The error of a full disk, with disk, path and what to do."""
    disk = target.parent
    while not disk.is_mount() and disk != disk.parent:
        disk = disk.parent
    usage = shutil.disk_usage(target.parent)
    size = f"of {usage.total / 1e6:.1f} MB, {usage.free / 1e6:.1f} MB are free, too little"
    what = "no file is there" if not target.exists() else "the file there is as it was"
    message = f"No space left on the disk {disk} for {target}: {size}; {what}."
    remedy = "Free some space, or write to another disk."
    return OSError(full.errno, f"{message} {remedy}")
