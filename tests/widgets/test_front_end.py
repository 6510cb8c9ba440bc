"""The views' scripts: bundles are those of the sources, and small; nothing is written twice."""

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from front_end import FOLDER, npm

from gfe_core.widgets.kit import bundles

STATIC = FOLDER / "static"
VIEWS = sorted(path.parent.name for path in FOLDER.glob("*/view.js"))
LARGEST = 40_000


def sources() -> list[Path]:
    """What a person writes: scripts and style sheets of the kit and the views."""
    folders = [FOLDER / "kit", *(FOLDER / view for view in VIEWS)]
    return [path for folder in folders for kind in ("*.js", "*.css") for path in folder.glob(kind)]


def test_committed_bundles_are_those_that_the_sources_give(tmp_path: Path):
    remedy = "run `make bundles` and commit gfe_core/widgets/static"
    assert (FOLDER / "node_modules").is_dir(), "no node_modules: run `make lint`, which installs it"
    assert npm("run", "--silent", "build", "--", f"--outdir={tmp_path}").returncode == 0
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    assert sorted(built) == sorted(committed), remedy
    assert [name for name in built if built[name] != committed[name]] == [], remedy


@pytest.mark.parametrize("view", [*VIEWS, "kit"])
def test_a_bundle_is_small_and_names_no_address(view: str):
    for text in (bundles.script(view), bundles.style(view)):
        assert len(text.encode()) <= LARGEST
        assert "http" not in text


def test_no_line_of_substance_stands_in_two_files():
    files: dict[str, set[str]] = defaultdict(set)
    for path in sources():
        for line in path.read_text(encoding="utf-8").splitlines():
            files[line.strip()].add(str(path.relative_to(FOLDER)))
    twice = {
        line: sorted(where)
        for line, where in files.items()
        if len(line) > 40 and len(where) > 1 and not re.match(r"(import|/?\*+|//) ?", line)
    }
    assert twice == {}


def test_the_wheel_carries_bundles_and_colours_and_no_sources():
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["gfe_core"]
    carried = {path for pattern in patterns for path in FOLDER.parent.glob(pattern)}
    assert carried == {*(FOLDER / "kit").glob("*.json"), *STATIC.iterdir()}
