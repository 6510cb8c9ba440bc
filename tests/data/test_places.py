"""Files of the kit are found in its repository, and in a package that came without it."""

import json
from pathlib import Path

import pytest

from gfe_core.data import places, results
from gfe_core.experiments import claims, pages
from gfe_core.experiments.runner import jobs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as a wheel leaves it, and a current folder beside it, which is returned."""
    package = tmp_path / "site-packages" / "gfe_core"
    (package / "shipped" / "results").mkdir(parents=True)
    (package / "shipped" / "results" / "table1_few.json").write_text('{"of": "the wheel"}')
    (package.parent / "pyproject.toml").write_text("of a package that left it here")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(places, "_PACKAGE", package)
    return here


def test_the_repository_is_known_by_more_than_one_file(alone: Path):
    assert places.checkout() is None


def test_a_checkout_reads_and_writes_its_own_folders():
    assert places.checkout() == ROOT
    assert places.shipped("notebooks") == ROOT / "notebooks"
    assert results.folder() == places.shipped("results") == ROOT / "data" / "results"


def test_results_of_the_wheel_are_read_until_there_is_one_made_here(alone: Path):
    assert results.load("table1-few") == {"of": "the wheel"}
    results.folder().mkdir(parents=True)
    results.path("table1-few").write_text(json.dumps({"of": "the reader"}))
    assert results.load("table1-few") == {"of": "the reader"}
    assert results.find("fig1") is None
    with pytest.raises(FileNotFoundError, match="reproduce fig1"):
        results.load("fig1")


def test_nothing_is_written_into_the_package(alone: Path, monkeypatch: pytest.MonkeyPatch):
    assert jobs.default_folder() == alone / "data" / "runs"
    monkeypatch.setattr(claims, "page", lambda: "")
    monkeypatch.setattr(pages, "tables", lambda: "")
    written = {alone / "notebooks" / "CLAIMS.md", alone / "data" / "results" / "README.md"}
    assert set(pages.pages()) == written
