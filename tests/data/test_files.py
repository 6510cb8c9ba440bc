"""The one writer: a file is there whole, or it is as it was."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from gfe_core.data import files
from gfe_core.data.files import read_tensors, replacing, write_json, write_tensors, write_text

WRITERS = {
    "text": lambda path: write_text(path, "new"),
    "json": lambda path: write_json(path, {"new": 1}),
    "tensors": lambda path: write_tensors(path, {"new": torch.zeros(3)}),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@every_writer
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_mode_of_a_new_file_follows_the_umask(tmp_path, write, mask):
    before = os.umask(mask)
    try:
        write(tmp_path / "new")
        (tmp_path / "plain").write_text("as any other program writes it")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == mode(tmp_path / "plain") == 0o666 & ~mask


@every_writer
def test_file_that_was_there_keeps_its_mode(tmp_path, write):
    path = tmp_path / "private"
    path.write_text("old")
    path.chmod(0o640)
    write(path)
    assert mode(path) == 0o640 and path.read_bytes() != b"old"


@every_writer
def test_symbolic_link_stays_one_and_what_it_points_to_is_replaced(tmp_path, write):
    (tmp_path / "store").mkdir()
    target = tmp_path / "store" / "target"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(Path("store", "target"))
    write(link)
    assert link.is_symlink() and not target.is_symlink()
    assert target.read_bytes() == link.read_bytes() != b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "store"]
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "later" / "target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "later" / "target").read_text() == "new" and (tmp_path / "link").is_symlink()


KILLED = """
import sys, time
from gfe_core.data.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_save_left_is_removed_by_the_next_one(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_text("old")
    command = [sys.executable, "-c", KILLED, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    write_text(path, "while it is written elsewhere")
    assert len(list(tmp_path.iterdir())) == 2, "the part of a process that runs must stay"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_text() == "while it is written elsewhere"
    write_text(tmp_path / "other", "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.pt", "other"]


def test_parts_of_another_machine_are_removed_after_a_day_and_other_files_never(tmp_path):
    part = tmp_path / ".checkpoint.pt.00000000-1-00000000.part"
    mine = [tmp_path / ".hidden", tmp_path / "thesis.part", tmp_path / ".thesis.part"]
    for file in (part, *mine):
        file.write_text("half")
    write_text(tmp_path / "first", "new")
    assert part.exists(), "it may be written to there"
    yesterday = time.time() - 90_000
    for file in (part, *mine):
        os.utime(file, (yesterday, yesterday))
    write_text(tmp_path / "second", "new")
    assert not part.exists() and all(file.exists() for file in mine)


def onto_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every write of a part go to /dev/full."""
    opened = Path.open

    def full(self: Path, *arguments: Any, **others: Any) -> Any:
        if arguments != ("xb",):
            return opened(self, *arguments, **others)
        self.touch()
        return open("/dev/full", "wb")

    monkeypatch.setattr(Path, "open", full)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@every_writer
@pytest.mark.parametrize("old", [None, "old"])
def test_full_disk_is_named_with_the_path_and_nothing_changes(tmp_path, monkeypatch, write, old):
    path = tmp_path / "results.json"
    if old:
        path.write_text(old)
    before = [file.name for file in tmp_path.iterdir()]
    onto_a_full_disk(monkeypatch)
    what = "the old file is as it was" if old else "no file was written"
    with pytest.raises(OSError) as caught:
        write(path)
    text = str(caught.value)
    assert caught.value.errno == errno.ENOSPC
    assert "No space left on the disk /" in text and f" for {path}: of " in text
    assert f"MB are free, too little; {what}. Free some space, or write to another disk." in text
    assert [file.name for file in tmp_path.iterdir()] == before
    assert not old or path.read_text() == old


def test_disk_is_the_one_that_the_file_lies_on(tmp_path):
    error = files._named(OSError(errno.ENOSPC, "full"), tmp_path / "file")
    disk = Path(str(error).split("the disk ")[1].split(" for ")[0])
    assert (disk.is_mount() and disk in tmp_path.parents) or disk == tmp_path
    assert os.stat(disk).st_dev == os.stat(tmp_path).st_dev


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_block_that_fails_leaves_the_old_file_and_no_other(tmp_path, failure):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(failure), replacing(path) as file:
        file.write(b"half")
        raise failure
    assert path.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["file"]


def test_folder_or_device_is_refused_and_left_alone(tmp_path):
    with pytest.raises(IsADirectoryError, match="`path` must name a file, got a folder or device"):
        write_text(tmp_path, "new")
    with pytest.raises(IsADirectoryError, match="got a folder or device: /dev/null"):
        write_text("/dev/null", "new")
    assert not Path("/dev/null").is_file()


def test_name_as_long_as_a_disk_allows_can_be_written(tmp_path):
    path = tmp_path / ("x" * 255)
    write_text(path, "Schrödinger")
    assert path.read_bytes() == "Schrödinger".encode()


def test_tensors_come_back_and_code_does_not(tmp_path):
    path = tmp_path / "file"
    content = {"a": torch.arange(3.0), "b": [1, "two", None, (0.5, True)]}
    write_tensors(path, content)
    found = read_tensors(path, kind="model", remedy="Save it again.")
    assert torch.equal(found["a"], content["a"]) and found["b"] == content["b"]
    write_tensors(path, {"evil": os.getcwd})
    with pytest.raises(ValueError, match=r"`path` .*file is damaged or no model .*Save it again"):
        read_tensors(path, kind="model", remedy="Save it again.")
