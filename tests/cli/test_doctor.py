"""The doctor names what is broken and how to fix it."""

import importlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gfe_core.cli import doctor, lab
from gfe_core.cli.main import main

Importer = Callable[[str], ModuleType]
MISMATCH = RuntimeError("operator torchvision::nms does not exist")


SHARE_OF_A_CORE = doctor._share_of_a_core


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks an address, or measures a processor that others use."""
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(doctor, "_share_of_a_core", lambda seconds: 1.0)


def unreachable(*_: Any, **__: Any) -> Any:
    raise urllib.error.URLError("no network in tests")


def importer_failing(name: str, error: Exception) -> Importer:
    def fake(module: str) -> ModuleType:
        if module == name:
            raise error
        return importlib.import_module(module)

    return fake


def check_of(name: str, importer: Importer = importlib.import_module) -> doctor.Check:
    return next(check for check in doctor.report(importer) if check.name == name)


def test_every_line_is_ok_on_this_machine():
    assert [str(check) for check in doctor.report() if not check.ok] == []


@pytest.mark.parametrize(
    "error",
    [
        MISMATCH,
        OSError("/lib/libtorchvision.so: undefined symbol: _ZN3c10"),
        OSError("Could not load this library: image.so"),
        ImportError("DLL load failed while importing _C"),
    ],
)
def test_torch_and_torchvision_from_different_indexes_are_recognised_and_fixed_from_one(
    error: Exception,
):
    check = check_of("torchvision", importer_failing("torchvision", error))
    assert not check.ok
    assert "`pip install --force-reinstall torch torchvision`" in check.remedy
    assert "--index-url https://download.pytorch.org/whl/cpu" in check.remedy


def test_missing_library_is_named_as_pip_names_it():
    check = check_of(
        "scikit-learn",
        importer_failing("sklearn", ModuleNotFoundError("No module named 'sklearn'")),
    )
    assert str(check) == (
        "FIX  scikit-learn: ModuleNotFoundError: No module named 'sklearn'"
        " -> `pip install -c constraints.txt scikit-learn`"
    )


def test_broken_core_is_a_line_and_not_a_traceback():
    assert not check_of("encode", importer_failing("gfe_core", ImportError("half written"))).ok
    assert not check_of("processor", importer_failing("torch", ImportError("no torch"))).ok


def write_raw_files(folder: Path, name: str) -> Path:
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for file, size in doctor._RAW_SIZES.items():
        with (raw / file).open("wb") as handle:
            handle.truncate(size)
    return raw


def test_image_sets_are_found_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path))
    raw = write_raw_files(tmp_path, "MNIST")
    assert check_of("MNIST").result == str(raw)
    absent = check_of("FashionMNIST")
    assert absent.ok and "optional" in absent.result


def test_half_downloaded_image_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path))
    (write_raw_files(tmp_path, "MNIST") / "t10k-images-idx3-ubyte").write_bytes(b"half")
    assert (
        check_of("MNIST").remedy
        == "move t10k-images-idx3-ubyte away from there and load MNIST again"
    )


def test_no_browser_is_no_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(doctor, "_BROWSERS", ("chromium",))
    check = check_of("chromium")
    assert check.ok and check.result.startswith("not found")


def test_missing_library_of_a_package_without_its_repository_needs_no_constraints(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(doctor, "checkout", lambda: None)
    missing = importer_failing("sklearn", ModuleNotFoundError("No module named 'sklearn'"))
    assert check_of("scikit-learn", missing).remedy == "`pip install scikit-learn`"


def importer_without(*names: str) -> Importer:
    def fake(module: str) -> ModuleType:
        if module.split(".")[0] in names or module == "gfe_core.widgets":
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return importlib.import_module(module)

    return fake


def test_an_extra_that_was_left_out_is_one_note_and_one_that_is_torn_is_to_fix():
    bare = doctor.report(importer_without(*doctor._NOTEBOOKS))
    assert all(check.ok for check in bare)
    (line,) = [str(check) for check in bare if "gfe_core[lab]" in str(check)]
    assert line.startswith("note notebooks: JupyterLab and the views are not installed -> ")
    assert not check_of("anywidget", importer_without("anywidget")).ok


def test_root_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lab, "is_root", lambda: True)
    assert check_of("user").ok and "--allow-root" in check_of("user").result
    monkeypatch.setattr(lab, "is_root", lambda: False)
    assert check_of("user").result == "not root"


def test_a_machine_without_a_browser_is_told_what_lab_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lab, "has_browser", lambda: False)
    assert "`lab` prints its address" in str(check_of("browser"))
    monkeypatch.setattr(lab, "has_browser", lambda: True)
    assert not check_of("browser").advice


def test_a_busy_processor_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """The clock on the wall goes on four times as fast as that of the process."""
    monkeypatch.setattr(doctor, "_share_of_a_core", SHARE_OF_A_CORE)
    monkeypatch.setattr(doctor, "_quota", lambda: None)
    monkeypatch.setattr(doctor, "_clock", lambda: None)
    monkeypatch.setattr(time, "perf_counter", lambda: 4 * time.thread_time())
    assert str(check_of("load")).startswith("note load: the processor is busy: 25% of a core")
    monkeypatch.setattr(time, "perf_counter", time.thread_time)
    assert str(check_of("load")) == "ok   load: 100% of a core was available"


def test_a_processor_that_waits_for_ever_does_not_hold_the_report(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    assert SHARE_OF_A_CORE(0.001) == 0


@pytest.mark.parametrize(
    ("limit", "words"), [("50000 100000", "0.5 of a core"), ("max 100000", "")]
)
def test_a_container_with_less_than_a_core_is_called_throttled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, words: str
):
    (tmp_path / "cpu.max").write_text(limit + "\n")
    monkeypatch.setattr(doctor, "_CGROUP", tmp_path / "cpu.max")
    monkeypatch.setattr(doctor, "_clock", lambda: None)
    line = str(check_of("load"))
    assert ("throttled" in line) == bool(words) and words in line


def test_a_processor_below_half_its_clock_is_called_throttled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(doctor, "_CGROUP", tmp_path / "nothing")
    monkeypatch.setattr(doctor, "_CLOCK", tmp_path)
    (tmp_path / "cpuinfo_max_freq").write_text("4000000\n")
    (tmp_path / "scaling_cur_freq").write_text("800000\n")
    assert "throttled to 20% of its highest clock" in str(check_of("load"))
    (tmp_path / "scaling_cur_freq").write_text("3900000\n")
    assert not check_of("load").advice


def test_a_full_disk_is_to_fix_and_the_fullest_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path / "not" / "made" / "yet"))
    space = {str(tmp_path): 3_000_000}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: SimpleNamespace(free=space.get(str(folder), 10**10))
    )
    line = str(check_of("disk"))
    assert line.startswith(f"FIX  disk: 3 MB free in {tmp_path} -> free 100 MB there")
    space.clear()
    assert check_of("disk").ok


def test_no_network_is_a_note_and_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch):
    line = str(doctor.network())
    assert line.startswith("note network: https://pypi.org does not answer -> ")

    def refuse(*_: Any, **__: Any) -> Any:
        raise urllib.error.HTTPError("https://pypi.org", 403, "no", {}, None)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert str(doctor.network()) == "ok   network: https://pypi.org answers"


def test_a_name_that_nobody_resolves_does_not_hold_the_report(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_PATIENCE", 0.01)
    monkeypatch.setattr(doctor, "_answers", lambda: time.sleep(2) or True)
    assert doctor.network().advice


def test_a_script_that_does_not_know_what_python_sends_is_to_fix(monkeypatch: pytest.MonkeyPatch):
    from gfe_core.widgets.mask.painter import MaskPainter

    assert check_of("views").ok
    old = MaskPainter._esm.replace("brush", "pencil")
    assert old != MaskPainter._esm
    monkeypatch.setattr(MaskPainter, "_esm", old)
    check = check_of("views")
    assert "do not know MaskPainter.brush" in check.result and "`make bundles`" in check.remedy
    monkeypatch.setattr(doctor, "checkout", lambda: None)
    assert "--force-reinstall" in check_of("views").remedy


def test_a_script_that_is_missing_is_to_fix():
    missing = importer_failing("gfe_core.widgets", FileNotFoundError("static/player.js"))
    assert "static/player.js" in str(check_of("views", missing))
    assert not check_of("views", missing).ok


def test_views_that_are_shown_change_nothing():
    from gfe_core.widgets.mask.painter import MaskPainter

    MaskPainter(np.zeros((4, 4), np.uint8))
    assert check_of("views").ok


def test_another_anywidget_in_jupyterlab_is_to_fix(tmp_path: Path):
    package = tmp_path / "anywidget" / "package.json"
    package.parent.mkdir()
    package.write_text(json.dumps({"version": "0.0.1"}))
    paths: Any = SimpleNamespace(jupyter_path=lambda name: [str(tmp_path / "empty"), str(tmp_path)])

    def importer(module: str) -> ModuleType:
        return paths if module == "jupyter_core.paths" else importlib.import_module(module)

    name = "anywidget in JupyterLab"
    check = check_of(name, importer)
    assert check.result.startswith("0.0.1 in ") and "reload the page" in check.remedy
    package.unlink()
    assert check_of(name, importer).ok, "JupyterLab may be in another environment"


def test_exit_status_says_whether_something_must_be_fixed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert main(["doctor"]) == 0
    monkeypatch.setattr(
        doctor,
        "report",
        lambda: [doctor.Check(name="torch", result="missing", remedy="install it")],
    )
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines[0] == "FIX  torch: missing -> install it" and lines[2] == "1 to fix."
    assert lines[1].startswith("note network: "), "asked by the command alone"
    assert all(check.name != "network" for check in doctor.report())


def test_no_command_prints_help_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    assert "doctor" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["docter"])
    assert stopped.value.code == 2
    told = capsys.readouterr()
    assert "docter" in told.err and "doctor, lab, train, " in told.err and told.out == ""


@pytest.mark.slow
def test_doctor_runs_as_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "gfe_core"], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.startswith("usage: python -m gfe_core")
