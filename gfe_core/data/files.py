"""The only writer of files: it writes beside the target, and moves the complete file into place.

Every save, from a checkpoint to a page, goes through this module. A save that fails or is killed
leaves the old file as it was. Files of tensors are read without executing code.
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
"""Seconds without a write after which a partial file counts as left over, on any machine."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends without an error.

    A new file gets the mode that the umask gives; a replaced file keeps its mode. A symbolic link
    stays a link, and the file that it points to is replaced. Partial files that killed processes
    left in the folder are removed.

    Args:
        path: path of the file; missing folders are created.

    Yields:
        The file, open for bytes.

    Raises:
        OSError: the file cannot be written; for a full disk the message names disk and path.

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
    """Write a text file in UTF-8 and create its folder; a failure leaves an old file as it was."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write plain values as JSON; NaN is refused, because other programs cannot read it."""
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
    """Read a file of `write_tensors` onto the CPU; no code in the file is executed.

    Args:
        path: path of an existing file.
        kind: expected kind of file, for the error, such as "checkpoint".
        remedy: remedy for a damaged file, one or two sentences.

    Raises:
        ValueError: the file is damaged, is of another kind, or holds code.
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
    """Return eight hexadecimal digits for this machine: process numbers mean nothing on another."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _remove_leftovers(folder: Path) -> None:
    """Remove partial files whose process has ended, or that were not written to for a day."""
    with suppress(OSError):  # some folders can be written to but not listed
        for file in folder.glob(".*.part"):
            match = _PART.search(file.name)
            with suppress(OSError):  # removed by now, or another user's: writing can still go on
                if match is not None and _is_left_over(file, match):
                    file.unlink()


def _is_left_over(part: Path, match: re.Match[str]) -> bool:
    here = match["host"] == _host()
    return (here and not _runs(int(match["process"]))) or (
        time.time() - part.stat().st_mtime > _ABANDONED
    )


def _runs(process: int) -> bool:
    """Whether a process of this machine is still running."""
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
    """Return the error of a full disk among an error and its causes, where torch hides it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _named(full: OSError, target: Path) -> OSError:
    """Return the error of a full disk, with disk, path and remedy."""
    disk = target.parent
    while not disk.is_mount() and disk != disk.parent:
        disk = disk.parent
    usage = shutil.disk_usage(target.parent)
    size = f"of {usage.total / 1e6:.1f} MB, {usage.free / 1e6:.1f} MB are free, too little"
    what = "no file was written" if not target.exists() else "the old file is as it was"
    message = f"No space left on the disk {disk} for {target}: {size}; {what}."
    remedy = "Free some space, or write to another disk."
    return OSError(full.errno, f"{message} {remedy}")
