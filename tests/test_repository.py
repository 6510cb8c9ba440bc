"""What the project promises about itself: thin, layered, quiet, and as its front page says."""

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import gfe_core

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gfe_core"
READING_PATH = (
    *("types", "checks", "losses", "decoders", "dense", "dataset", "readers", "spectra", "shapes", "data"),
    *("curvature", "energy", "flows", "solvers", "recording", "integrate", "adjoint", "encoding"),
)
ROOMS = (
    *READING_PATH,
    *("sensitivity", "stiffness", "training", "checkpoints", "baselines", "convolutional", "variational", "siren"),
    *("gon", "constraint", "narrowing", "posterior"),
    *("results", "plots", "widgets", "experiments", "doctor", "__main__"),
)
CORE = ROOMS[: ROOMS.index("results")]
"""What computes; the rooms after it show, run experiments and answer the command line."""
SOURCES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKPLACE = re.compile(r"(?<![\w.])/(?:work|farm|root|home|Users|tmp/bash_jobs)[./]\w")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_source = pytest.mark.parametrize("path", SOURCES, ids=by_name)


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "gfe_core":
            names = [f"gfe_core.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "import by full name: `from gfe_core.flows import Energy`"
            names = [node.module or ""]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("gfe_core."))


@every_source
def test_module_imports_only_from_rooms_above_its_own(path: Path):
    room = room_of(path)
    if room == "__init__":
        return
    assert room in ROOMS, f"{room} has no place in the order of rooms"
    allowed = {*ROOMS[: ROOMS.index(room)], *([room] if path.parent != PACKAGE else [])}
    assert set(imported_rooms(ast.parse(path.read_text()))) <= allowed


def is_text(node: ast.AST) -> bool:
    """Whether a statement is a docstring, of a module, class, function or attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def code_lines(path: Path) -> set[int]:
    """Numbers of the lines that hold code: no blank lines, comments or docstrings."""
    source = path.read_text()
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for t in tokens if t.type not in idle for line in range(t.start[0], t.end[0] + 1)}
    texts = (node for node in ast.walk(ast.parse(source)) if is_text(node))
    return lines - {line for node in texts for line in range(node.lineno, node.end_lineno + 1)}  # pyright: ignore


def count_code(rooms: tuple[str, ...]) -> int:
    return sum(len(code_lines(path)) for path in SOURCES if room_of(path) in rooms)


@pytest.mark.xfail(strict=True, reason="a promise not kept: ten solvers and flows with all their rooms are longer")
def test_reading_path_is_at_most_800_lines_of_code():
    assert count_code(READING_PATH) <= 800


def test_one_encode_by_amd_is_read_in_800_lines_of_code():
    solver = [PACKAGE / "solvers" / f"{name}.py" for name in ("step", "line_search", "amd")]
    rooms = ("types", "losses", "energy", "flows", "recording", "integrate", "adjoint", "encoding")
    assert count_code(rooms) + sum(len(code_lines(path)) for path in solver) <= 800


@pytest.mark.parametrize("path", sorted((PACKAGE / "solvers").glob("*.py")), ids=by_name)
def test_a_solver_is_at_most_90_lines_of_code(path: Path):
    assert len(code_lines(path)) <= 90


@pytest.mark.xfail(strict=True, reason="a promise not kept: own data, posteriors and ten solvers are longer")
def test_core_is_under_2500_lines_of_code():
    assert count_code(CORE) < 2500


def test_what_computes_is_under_3100_lines_of_code():
    assert count_code(CORE) < 3100


@pytest.mark.parametrize("rooms", [("gon",), ("constraint", "narrowing"), ("posterior",)], ids="-".join)
def test_method_that_composes_encode_is_at_most_150_lines_of_code(rooms: tuple[str, ...]):
    assert count_code(rooms) <= 150


@every_source
def test_file_has_at_most_250_lines(path: Path):
    assert len(path.read_text().splitlines()) <= 250


@every_source
def test_function_bodies_have_at_most_50_lines_and_nothing_prints(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if is_text(node.body[0]) else node.body
            assert not body or (body[-1].end_lineno or 0) - body[0].lineno < 50, f"{node.name} is too long"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print" or path.stem == "__main__", f"print in line {node.lineno}"


@every_source
def test_module_name_says_what_it_holds(path: Path):
    assert not {*path.relative_to(PACKAGE).with_suffix("").parts} & {"utils", "util", "misc", "common", "helpers"}


def test_import_of_the_core_is_light():
    heavy = ["gfe_core.plots", "gfe_core.widgets", "plotly", "ipywidgets", "torchvision", "IPython"]
    code = f"import gfe_core, sys; print([name for name in {heavy} if name in sys.modules])"
    assert run_python("-c", code) == "[]\n"


def run_python(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", gfe_core.__all__)
def test_public_name_is_used_by_a_notebook(name: str):
    assert hasattr(gfe_core, name)
    books = [json.loads(path.read_text())["cells"] for path in (ROOT / "notebooks").glob("*.ipynb")]
    code = "\n".join("".join(cell["source"]) for cells in books for cell in cells if cell["cell_type"] == "code")
    assert re.search(rf"\b{name}\b", code)


def readme_blocks() -> list[tuple[str, str]]:
    """Return the fenced blocks of the README: language, text."""
    return re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)


def test_readme_opens_with_the_two_commands():
    first = readme_blocks()[0][1]
    assert 0 <= first.find("make lab") < first.find("make test")


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
    assert pip == ["-c constraints.txt", "-e ."]


def test_environment_offers_a_python_that_the_project_accepts():
    offered, accepted = SpecifierSet(environment()[0]["python"]), SpecifierSet(PROJECT["requires-python"])
    versions = [f"3.{minor}.{patch}" for minor in range(8, 20) for patch in (0, 9)]
    chosen = [version for version in versions if version in offered]
    assert chosen and all(version in accepted for version in chosen)


def test_constraints_pin_every_declared_dependency_within_its_bounds():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {name.lower(): version for name, version in (line.split("==") for line in lines)}
    declared = map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
    assert [str(need) for need in declared if pins.get(need.name, "0") not in need.specifier] == []


def test_version_is_one():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert PROJECT["version"] == gfe_core.__version__
    assert f"## {PROJECT['version']}" in changelog
    assert f"version: {PROJECT['version']}" in (ROOT / "CITATION.cff").read_text()


def published_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_folder_of_one_machine():
    texts = {path: path.read_text(errors="ignore") for path in published_files()}
    found = {by_name(path): match[0] for path, text in texts.items() if (match := WORKPLACE.search(text))}
    assert found == {}
