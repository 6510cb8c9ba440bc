"""The doctor names what is broken and how to mend it."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from gfe_core.cli import doctor
from gfe_core.cli.main import main

Importer = Callable[[str], ModuleType]
MISMATCH = RuntimeError("operator torchvision::nms does not exist")


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
def test_torch_and_torchvision_from_different_indexes_are_recognised_and_mended_from_one(
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
    assert check_of("MNIST").found == str(raw)
    absent = check_of("FashionMNIST")
    assert absent.ok and "optional" in absent.found


def test_half_downloaded_image_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path))
    (write_raw_files(tmp_path, "MNIST") / "t10k-images-idx3-ubyte").write_bytes(b"half")
    assert check_of("MNIST").remedy == "delete t10k-images-idx3-ubyte there and load MNIST again"


def test_no_browser_is_no_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(doctor, "_BROWSERS", ("chromium",))
    check = check_of("chromium")
    assert check.ok and check.found.startswith("not found")


def test_exit_status_says_whether_something_must_be_fixed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert main(["doctor"]) == 0
    monkeypatch.setattr(
        doctor, "report", lambda: [doctor.Check(name="torch", found="missing", remedy="install it")]
    )
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("FIX  torch: missing -> install it\n1 to fix.\n")


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
