"""What the project promises about itself: thin, layered, quiet, and as its front page says."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from published import is_blank

import gfe_core

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PACKAGE = ROOT / "gfe_core"
ORDER = {
    "gfe_core": (
        "types checks arguments threads data decoders energy flows solvers adjoints "
        "encoding models training encoders analysis methods sklearn scale widgets experiments site "
        "cli __main__"
    ),
    "gfe_core/models": "files pretrained",
    "gfe_core/data": (
        "files places values pixels frames in_memory dataset contexts samples batches "
        "emission_lines shapes mnist_sample sources tables arrays images readers downloads "
        "photographs sets results"
    ),
    "gfe_core/decoders": "plain graph state probes mlp invertible conv siren wrapped",
    "gfe_core/energy": "losses padding calls probes curvature energy",
    "gfe_core/solvers": (
        "step line_search runge_kutta nesterov amd bfgs lbfgs gauss_newton dopri5 recording "
        "stopping integrate chunks"
    ),
    "gfe_core/adjoints": "inputs detached replay exact",
    "gfe_core/training": "interrupts parts missing units fitting checkpoints",
    "gfe_core/encoders": "single_look pca autoencoder convolutional amortised",
    "gfe_core/analysis": "stiffness sample_quality",
    "gfe_core/methods": (
        "constraint scattered gon variational narrowing doubling posterior density"
    ),
    "gfe_core/scale": "ranks rows shards parallel",
    "gfe_core/widgets": (
        "kit charts tables lessons player curve training map mask emission_lines siren staircase "
        "traversal results"
    ),
    "gfe_core/widgets/kit": (
        "identity numbers pictures bundles page savable answering thumbnails engine explorer shown"
    ),
    "gfe_core/widgets/charts": "plots figure_view figures axes_explorer adjoint_explorer",
    "gfe_core/widgets/player": (
        "film player slices preview landscape_explorer film_explorer flow_explorer "
        "stiffness_explorer race_explorer momentum_explorer armijo_explorer origin_explorer"
    ),
    "gfe_core/widgets/training": "gallery progress side_by_side gradient_histogram",
    "gfe_core/widgets/curve": "explorer",
    "gfe_core/widgets/map": "layouts profiles marks explorer between_explorer",
    "gfe_core/widgets/mask": "painter explorer",
    "gfe_core/widgets/emission_lines": "explorer",
    "gfe_core/widgets/siren": "explorer",
    "gfe_core/widgets/staircase": "worker explorer",
    "gfe_core/widgets/traversal": "traversal explorer",
    "gfe_core/widgets/lessons": "kinds content checking prediction",
    "gfe_core/widgets/lessons/content": (
        "start_here gradient_flow how_the_decoder_learns stiffness adaptive_minimise_distance "
        "the_race nesterov adjoint against_an_autoencoder latent_space missing_data_and_doubt "
        "your_own_data gradient_origin_networks implicit_decoders shrinking_bottlenecks"
    ),
    "gfe_core/widgets/results": "paper gon missing narrowing emission_lines",
    "gfe_core/experiments": "runner mnist_decoders tables one_cell speed claims pages bundled",
    "gfe_core/experiments/runner": "records config callbacks judging runs jobs",
    "gfe_core/experiments/tables": (
        "settings cells fig1 few converged two_by_two fig2 fig3 missing emission_lines "
        "origins gon gates narrowing reverse learnt"
    ),
    "gfe_core/site": "text views packing recording running pages front building",
    "gfe_core/cli": (
        "command progress lab doctor train encode evaluate reproduce claims decoders bundled site "
        "handouts main"
    ),
}
"""Direction of imports.

In each folder, a file or subpackage imports only from those named before it.
"""
SOURCES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKPLACE = re.compile(r"(?<![\w.])/(?:work|farm|root|home|Users|tmp/bash_jobs)[./]\w")


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> tuple[str, ...]:
    """Return the dotted name of a source file, in parts: a package's `__init__` is the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path) for path in SOURCES}
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}


def imported_modules(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield the modules of the package that a file imports.

    `from gfe_core import data` counts as gfe_core.data.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "import by full name: `from gfe_core.energy import Energy`"
            package = tuple((node.module or "").split("."))
            names = [(*package, alias.name) for alias in node.names]
            yield from (name if name in MODULES else package for name in names)


def test_every_module_has_a_place_in_the_order():
    packages = {path.parent for path in SOURCES}
    found = {
        by_name(folder): {p.stem for p in folder.glob("*.py")} - {"__init__"} for folder in packages
    }
    for folder in packages - {PACKAGE}:
        found[by_name(folder.parent)].add(folder.name)
    assert found == {name: set(rooms.split()) for name, rooms in ORDER.items()}


def out_of_order(path: Path, other: tuple[str, ...]) -> str | None:
    """Say what is wrong with an import of the module `other`, if anything is."""
    own = module_of(path)
    if other[0] != "gfe_core" or len(own) == 1 or len(other) == 1:
        return None
    shared = next(i for i, (a, b) in enumerate(zip_longest(own, other)) if a != b)
    order = ORDER["/".join(own[:shared])].split()
    name = f"{by_name(path)} imports {'.'.join(other)}"
    if len(own) == shared:
        return None if path.name == "__init__.py" else f"{name}, from a package of its own name"
    if len(other) == shared:
        return f"{name}, its own door: name the module"
    below = order.index(other[shared]) >= order.index(own[shared])
    return f"{name}, which stands below it" if below else None


def test_modules_import_only_from_what_is_above_them():
    troubles = [
        out_of_order(path, other)
        for path, tree in TREES.items()
        for other in imported_modules(tree)
    ]
    assert [trouble for trouble in troubles if trouble] == []


def test_at_most_nine_modules_stand_at_the_root():
    assert len([path for path in SOURCES if path.parent == PACKAGE]) <= 9


def test_nothing_prints_but_the_command_line():
    prints = [
        f"{by_name(path)}:{node.lineno}"
        for path, tree in TREES.items()
        if path.parent.name != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert prints == []


def test_module_names_say_what_they_hold():
    names = {part for path in SOURCES for part in module_of(path)}
    assert not names & {"utils", "util", "misc", "common", "helpers"}


@pytest.mark.slow
def test_import_of_the_core_is_light():
    heavy = [
        "gfe_core.widgets.charts.plots",
        "gfe_core.widgets",
        "plotly",
        "ipywidgets",
        "torchvision",
        "IPython",
        "pandas",
        "h5py",
        "scipy",
    ]
    code = f"import gfe_core, sys; print([name for name in {heavy} if name in sys.modules])"
    assert run_python("-c", code) == "[]\n"


def run_python(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_names_are_used_by_a_notebook():
    books = [json.loads(path.read_text())["cells"] for path in NOTEBOOKS]
    code = "\n".join(
        "".join(cell["source"]) for cells in books for cell in cells if cell["cell_type"] == "code"
    )
    used = set(re.findall(r"\w+", code))
    assert [name for name in gfe_core.__all__ if not hasattr(gfe_core, name)] == []
    assert [name for name in gfe_core.__all__ if name not in used] == []


def readme_blocks() -> list[tuple[str, str]]:
    """Return the fenced blocks of the README: language, text."""
    return re.findall(
        r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )


def test_readme_opens_with_the_two_commands():
    first = readme_blocks()[0][1]
    assert 0 <= first.find("make lab") < first.find("make test")


def test_readme_is_short_and_its_links_lead_somewhere():
    page = (ROOT / "README.md").read_text()
    assert len(page.splitlines()) <= 130, "two screens"
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page)
    local = [link for pair in links for link in pair if link and not link.startswith("http")]
    assert local and [link for link in local if not (ROOT / link).exists()] == []


def test_readme_shows_a_picture_of_every_notebook():
    page = (ROOT / "README.md").read_text()
    for path in NOTEBOOKS:
        picture = (ROOT / "data" / "thumbnails" / f"{path.stem}.png").read_bytes()
        assert f'src="data/thumbnails/{path.stem}.png"' in page
        assert not is_blank(picture), path.stem


@pytest.mark.slow
def test_readme_example_runs_and_is_short():
    example = next(text for language, text in readme_blocks() if language == "python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    run_python("-c", example)


def environment() -> tuple[dict[str, str], list[str]]:
    """Return what environment.yml takes from conda (name: versions) and from pip (lines)."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [re.fullmatch(r"([\w-]+)\s*(.*)", entry) for entry in entries if isinstance(entry, str)]
    pip = [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    return {match[1]: match[2] for match in conda if match}, pip


def test_environment_takes_everything_but_python_and_pip_from_this_project():
    conda, pip = environment()
    assert set(conda) == {"python", "pip"}
    assert pip == ["-c constraints.txt", "-e .[lab]"]


def test_environment_offers_a_python_that_the_project_accepts():
    offered = SpecifierSet(environment()[0]["python"])
    accepted = SpecifierSet(PROJECT["requires-python"])
    versions = [f"3.{minor}.{patch}" for minor in range(8, 20) for patch in (0, 9)]
    chosen = [version for version in versions if version in offered]
    assert chosen and all(version in accepted for version in chosen)


def test_constraints_pin_every_declared_dependency_within_its_bounds():
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    pins = {name.lower(): version for name, version in (line.split("==") for line in lines)}
    extras = PROJECT["optional-dependencies"]
    wanted = [line for extra in ("data", "lab", "dev") for line in extras[extra]]
    declared = map(Requirement, [*PROJECT["dependencies"], *wanted])
    assert [str(need) for need in declared if pins.get(need.name, "0") not in need.specifier] == []


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())


def targets() -> dict[str, str]:
    """Targets of the Makefile that are no files, and what they need."""
    text = (ROOT / "Makefile").read_text()
    return dict(re.findall(r"^([a-z-]+):([^#=\n]*)##", text, flags=re.MULTILINE))


def test_shards_of_the_checks_are_all_that_make_test_does():
    shards = workflow("checks")["jobs"]["checks"]["strategy"]["matrix"]["shard"]
    done = {target for shard in shards for target in shard.split()}
    if {"quick", "slow"} <= done:  # the halves of unit
        done = done - {"quick", "slow"} | {"unit"}
    assert done == set(targets()["test"].split())


def test_workflows_run_targets_that_exist():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        lines = [
            step.get("run", "")
            for job in workflow(path.stem)["jobs"].values()
            for step in job["steps"]
        ]
        words = [word for line in lines for word in re.findall(r"^make (.*)", line)]
        plain = [word for line in words for word in line.split() if re.fullmatch("[a-z-]+", word)]
        assert [word for word in plain if word not in targets()] == [], path.name
        assert all(job["timeout-minutes"] <= 30 for job in workflow(path.stem)["jobs"].values())


def test_no_password_releases_the_package():
    publish = workflow("release")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["steps"][-1].keys() == {"uses"}


def test_issue_forms_ask_something():
    forms = set((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    for path in forms - {ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"}:
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= form.keys(), path.name
        names = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert names and len(names) == len(set(names)), path.name


def test_version_is_one():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert PROJECT["version"] == gfe_core.__version__
    assert f"## {PROJECT['version']}" in changelog
    assert f"version: {PROJECT['version']}" in (ROOT / "CITATION.cff").read_text()


def published_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_folder_of_one_machine():
    texts = {path: path.read_text(errors="ignore") for path in published_files()}
    found = {
        by_name(path): match[0] for path, text in texts.items() if (match := WORKPLACE.search(text))
    }
    assert found == {}


@pytest.mark.slow
def test_readme_names_the_files_of_the_reading_path():
    # In a process of its own: here the run-time checks of annotations would be entered too.
    lines = run_python("tests/reading_path.py").splitlines()
    files = [line.split()[1] for line in lines if line.endswith(".py")]
    page = (ROOT / "README.md").read_text()
    table = page[page.index("| file | what it holds |") :].split("\n\n")[0]
    assert re.findall(r"^\| `([^`]+)`", table, flags=re.MULTILINE) == files
