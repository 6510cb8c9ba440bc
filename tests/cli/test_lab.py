"""`python -m gfe_core lab` starts JupyterLab on a notebook, whoever runs it and wherever."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_server.services.config.manager import ConfigManager

from gfe_core.cli import lab
from gfe_core.cli.main import main

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FIRST = NOTEBOOKS / "00_start_here.ipynb"


def options_of(*options: str, as_root: bool = False, browser: bool = True) -> list[str]:
    return lab.command(FIRST, options, as_root=as_root, browser=browser)[3:]


def test_the_notebook_is_opened_in_its_folder():
    folder = f"--ServerApp.root_dir={NOTEBOOKS}"
    assert options_of() == [folder, "--LabApp.default_url=/lab/tree/00_start_here.ipynb"]


def test_root_is_allowed_and_reached_from_this_machine_only_unless_the_reader_says_otherwise():
    assert options_of(as_root=True)[2:] == ["--allow-root", "--ServerApp.ip=localhost"]
    for ip in ("--ip=0.0.0.0", "--ServerApp.ip=0.0.0.0"):
        assert options_of(ip, as_root=True)[2:] == ["--allow-root", ip]


def test_no_browser_is_asked_for_once_where_there_is_none():
    assert options_of(browser=False)[2:] == ["--no-browser"]
    assert options_of("--no-browser", "--port=9000", browser=False)[2:] == [
        "--no-browser",
        "--port=9000",
    ]


def test_a_browser_for_terminals_does_not_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("w3m"))
    assert not lab.has_browser()
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.Chrome("google-chrome"))
    assert lab.has_browser()

    def none() -> webbrowser.BaseBrowser:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    assert not lab.has_browser()


def test_a_notebook_that_is_not_there_is_answered(capsys: pytest.CaptureFixture[str]):
    assert main(["lab", "nowhere.ipynb"]) == 1
    assert "`notebook` must be a file, got nowhere.ipynb; run this in" in capsys.readouterr().err


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have started JupyterLab."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: commands.append(words))
    monkeypatch.setattr(subprocess, "call", lambda words: 0)
    for name, value in lab.environment().items():  # which the command sets
        monkeypatch.setenv(name, value)
    return commands


def test_without_a_repository_the_notebooks_are_copied_where_the_reader_is(
    started: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "checkout", lambda: None)
    main(["lab", "--port=9000"])
    folder = tmp_path / "gfe_notebooks"
    assert capsys.readouterr().out.startswith(f"The notebooks are in {folder}.\n")
    assert started[0][3:5] == [
        f"--ServerApp.root_dir={folder}",
        "--LabApp.default_url=/lab/tree/00_start_here.ipynb",
    ]
    originals = {file.name for file in NOTEBOOKS.iterdir() if file.is_file()} - {".ruff.toml"}
    assert {file.name for file in folder.iterdir()} == originals
    assert all(
        (folder / name).read_bytes() == (NOTEBOOKS / name).read_bytes() for name in originals
    )


def test_a_checkout_opens_its_own_notebooks_from_any_folder(
    started: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    main(["lab"])
    assert started[0][3] == f"--ServerApp.root_dir={NOTEBOOKS}" and not any(tmp_path.iterdir())


def test_copies_are_opened_where_they_are_and_a_notebook_may_stand_behind_options(
    started: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lab.copy_notebooks(tmp_path)
    monkeypatch.chdir(tmp_path)
    n_files = len(list(tmp_path.iterdir()))
    main(["lab"])
    main(["lab", "--port=9000", "05_the_race.ipynb"])
    assert [words[3] for words in started] == [f"--ServerApp.root_dir={tmp_path}"] * 2
    assert started[0][4].endswith("/00_start_here.ipynb")
    assert started[1][4].endswith("/05_the_race.ipynb") and started[1][-1] == "--port=9000"
    assert len(list(tmp_path.iterdir())) == n_files


def test_a_notebook_named_without_its_ending_is_not_taken_for_a_folder(
    started: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "05_the_race"]) == 1
    assert "`python -m gfe_core lab 05_the_race.ipynb`" in capsys.readouterr().err
    assert started == [] and not any(tmp_path.iterdir())


def test_what_is_there_already_is_kept_and_named_and_what_is_missing_comes_back(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "my course"
    assert lab.copy_notebooks(folder) == [f"The notebooks are in {folder}."]
    mine, lost = folder / "05_the_race.ipynb", folder / "07_adjoint.ipynb"
    mine.write_text("mine")
    lost.unlink()
    main(["lab", str(folder)])
    printed = capsys.readouterr().out
    assert "): 05_the_race.ipynb. For fresh copies name another folder" in printed
    assert mine.read_text() == "mine" and lost.read_bytes() == (NOTEBOOKS / lost.name).read_bytes()
    assert started[0][3] == f"--ServerApp.root_dir={folder}"


def test_a_folder_that_cannot_be_written_to_is_answered(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    assert main(["lab", str(tmp_path / "file" / "course")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"The notebooks cannot be copied into {tmp_path / 'file' / 'course'}: ")
    assert error.endswith("Name another folder: `python -m gfe_core lab FOLDER`.\n")
    assert started == []


def test_a_missing_jupyterlab_is_answered_with_what_brings_it(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    assert main(["lab", str(FIRST)]) == 1
    assert '`pip install "gfe_core[lab]"`' in capsys.readouterr().err and started == []


def test_options_are_passed_on_and_the_first_notebook_is_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    started: list[list[str]] = []
    monkeypatch.chdir(NOTEBOOKS.parent)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "")
    monkeypatch.setattr(lab, "is_root", lambda: True)
    monkeypatch.setattr(lab, "has_browser", lambda: False)
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    monkeypatch.setattr(subprocess, "call", lambda words: len(started))
    assert main(["lab", "--port", "9000"]) == 1  # the exit status of JupyterLab
    assert started[0][1:4] == ["-m", "jupyterlab", f"--ServerApp.root_dir={NOTEBOOKS}"]
    assert started[0][-2:] == ["--port", "9000"]
    assert os.environ["JUPYTER_PREFER_ENV_PATH"] == "1"
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Running as root") and "because JupyterLab refuses" in told[0]
    assert told[1].startswith("No browser") and told[2].endswith("stop it with Ctrl-C.")


def test_views_are_saved_with_their_notebook_and_a_path_of_the_reader_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """JupyterLab reads what the reader has chosen after these defaults."""
    kept = tmp_path / "labconfig" / "page_config.json"
    kept.parent.mkdir()
    kept.write_text('{"of": "the reader"}', encoding="utf-8")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    for name, value in lab.environment().items():
        monkeypatch.setenv(name, value)
    read = ConfigManager(config_dir_name="labconfig").get
    widgets = read("default_setting_overrides")["@jupyter-widgets/jupyterlab-manager:plugin"]
    assert widgets["saveState"] is True
    assert read("page_config")["of"] == "the reader"


@contextmanager
def running(home: Path, *options: str) -> Iterator["queue.Queue[str]"]:
    """Run the command; the queue gets the lines that it prints, and an empty one at its end."""
    environment = os.environ | {"HOME": str(home), "PYTHONUNBUFFERED": "1"}
    environment |= {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}
    command = [sys.executable, "-m", "gfe_core", "lab", str(FIRST), *options]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = process.stdout
    assert output is not None
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in output:
            lines.put(line)
        lines.put("")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            reader.join()
            output.close()


def printed_address(lines: "queue.Queue[str]") -> str:
    """Wait for the address that a reader would copy."""
    told = ""
    while line := lines.get(timeout=120):
        told += line
        if "Or copy and paste" in told and (found := re.search(r"http://localhost:\S+", line)):
            return found[0]
    raise AssertionError(f"no address in:\n{told}")


def page_at(address: str, lines: "queue.Queue[str]") -> bytes:
    """Return the page; the address is printed a moment before the server listens."""
    while True:
        try:
            with urllib.request.urlopen(address, timeout=60) as page:
                return page.read()
        except urllib.error.URLError as error:
            told = list(lines.queue)
            if not isinstance(error.reason, ConnectionRefusedError) or "" in told:
                raise AssertionError("".join(told)) from error
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="browsers are found in other ways there")
def test_printed_address_opens_and_exports_the_notebook_also_where_the_port_is_busy(tmp_path: Path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with running(tmp_path, f"--port={port}") as lines:
            address = printed_address(lines)
            where, path = re.fullmatch(r"http://localhost:(\d+)(\S+)", address).groups()  # pyright: ignore[reportOptionalMemberAccess]
            assert int(where) != port
            assert re.fullmatch(r"/lab/tree/00_start_here\.ipynb\?token=[0-9a-f]+", path)
            assert b"JupyterLab" in page_at(address, lines)
            # what the menu of a notebook exports
            exported = page_at(address.replace("/lab/tree/", "/nbconvert/html/"), lines).decode()
    words = re.findall(r'"alt": "([^"]+)"', FIRST.read_text(encoding="utf-8"))
    assert words and all(f'alt="{alt}"' in exported for alt in words)
