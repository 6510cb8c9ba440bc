"""What `pip install` brings, with and without the extra `lab`, and no repository around it.

The wheel is built from a copy, so that nothing is left in the repository, and installed beside the
libraries that its metadata name and no others; nothing is downloaded.
"""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

Run = Callable[..., subprocess.CompletedProcess[str]]

NAME = "gfe_core"
ROOT = Path(__file__).parents[1]
SOURCES = ("gfe_core", "notebooks", "data/results")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
BOOKS = ("00_start_here", "01_gradient_flow")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    unwanted = shutil.ignore_patterns("node_modules", "__pycache__", ".ipynb_checkpoints")
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder / "dist"), str(folder)]
    subprocess.run(command, check=True, timeout=300, cwd=folder)
    return next((folder / "dist").glob("*.whl"))


def expected_files() -> set[str]:
    """Every module, and the files that they read."""
    package = ROOT / "gfe_core"
    patterns = (
        "**/*.py",
        "cli/jupyter/**/*.json",
        "cli/jupyter/**/*.j2",
        "site/templates/*.j2",
        "data/mnist-sample.*",
        "models/trained/*.pt",
        "widgets/kit/*.json",
        "widgets/static/*",
    )
    files = {file for pattern in patterns for file in package.glob(pattern)}
    inside = {str(file.relative_to(ROOT)) for file in files if "node_modules" not in file.parts}
    books = [*(ROOT / "notebooks").glob("[!.]*.*"), ROOT / "notebooks" / "LICENSE"]
    inside |= {f"gfe_core/shipped/notebooks/{book.name}" for book in books}
    results = ROOT.glob("data/results/*.json")
    return inside | {f"gfe_core/shipped/results/{file.name}" for file in results}


def test_the_wheel_holds_what_the_package_reads_and_nothing_else(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - about == expected_files()
    assert wheel.stat().st_size < 6e6
    assert any(name.endswith("licenses/notebooks/LICENSE") for name in about)


def needed(lines: Sequence[str], extra: str) -> set[str]:
    """Return the installed distributions that the wheel's requirements lead to."""
    names: set[tuple[str, frozenset[str]]] = set()

    def follow(lines: Sequence[str], extras: Iterable[str]) -> None:
        for need in map(Requirement, lines):
            applies = need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in (*extras, "")
            )
            key = need.name, frozenset(need.extras)
            if applies and key not in names:
                names.add(key)
                follow(own if need.name == NAME else metadata.requires(need.name) or (), key[1])

    own = lines
    follow(own, [extra])
    return {name for name, _ in names} - {NAME}


def installed(wheel: Path, folder: Path, extra: str) -> Run:
    """Install the wheel with an extra, and links to the libraries that it needs; run Python there.

    The function returned runs it in a folder outside, in which nothing else is.
    """
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120
    )
    packages = next((folder / "venv").glob("**/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (about,) = metadata.distributions(name=NAME, path=[str(packages)])
    for name in needed(about.requires or (), extra):
        library = metadata.distribution(name)
        for top in {file.parts[0] for file in library.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(library.locate_file(top)))
    outside = folder / "outside"
    outside.mkdir()
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GFE_"))
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python", *words],
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
            cwd=outside,
            env=variables | {"HOME": str(folder), "JUPYTER_PREFER_ENV_PATH": "1"},
        )

    return run


METHOD = """
import sys
import numpy as np
import torch
import gfe_core as gfe
from gfe_core.sklearn import GradientFlowEncoder

x = gfe.data.load("digits").x[:40]
decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=64)
gfe.fit(decoder, gfe.data.Batches(x, size=20), epochs=1)
gfe.save("model.pt", decoder, loss=gfe.Bernoulli())
model = gfe.load("model.pt")
pictures = gfe.reconstruct(model.decoder, gfe.encode(model.decoder, x))
assert torch.isfinite(pictures).all()
assert gfe.pretrained("mnist-sample", latent_dim=2) and len(gfe.data.load("mnist-sample", "test"))
GradientFlowEncoder(2, epochs=1).fit_transform(x.numpy())
np.save("x.npy", x.numpy())
assert not {"plotly", "ipywidgets", "anywidget", "torchvision", "pandas"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return installed(wheel, tmp_path_factory.mktemp("bare"), "")


def test_the_method_runs_without_jupyterlab(bare: Run):
    method = bare("-c", METHOD)
    assert method.returncode == 0, method.stderr
    encoded = bare(
        *["-m", "gfe_core", "encode", "--model", "model.pt", "--data", "x.npy", "--out", "codes"]
    )
    assert encoded.returncode == 0, encoded.stderr
    claims = bare("-c", "from gfe_core.experiments import pages; assert len(pages.pages()) == 2")
    assert claims.returncode == 0, claims.stderr


@pytest.mark.parametrize(
    ("words", "missing", "extra"),
    [
        (("-c", "from gfe_core import widgets"), "anywidget, ipywidgets, plotly", "lab"),
        (("-c", "from gfe_core import plots"), "anywidget, ipywidgets, plotly", "lab"),
        (("-m", "gfe_core", "lab"), "JupyterLab", "lab"),
        (("-c", "import gfe_core; gfe_core.data.load('mnist')"), "torchvision", "data"),
        (("-c", "import gfe_core; gfe_core.data.load('cifar10')"), "torchvision", "data"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_sentence(
    bare: Run, words: tuple[str, ...], missing: str, extra: str
):
    answer = bare(*words)
    assert answer.returncode == 1
    last = answer.stderr.splitlines()[-1]
    assert missing in last and f'`pip install "gfe_core[{extra}]"`' in last
    assert "No module named" not in last


def test_the_doctor_takes_the_missing_extra_for_a_choice(bare: Run):
    report = bare("-m", "gfe_core", "doctor")
    assert report.returncode == 0, report.stdout + report.stderr
    assert "note notebooks: JupyterLab and the views are not installed -> " in report.stdout
    assert "FIX" not in report.stdout and "constraints.txt" not in report.stdout


EXECUTE = """
import sys
import nbclient
import nbformat

for path in sys.argv[1:]:
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=None, resources={"metadata": {"path": "."}}).execute()
    printed = [
        output.text
        for cell in book.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stdout"
    ]
    print(path, "".join(printed))
"""


def imports_of(path: Path) -> set[str]:
    """The lines of a notebook that import."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    nodes = [node for source in code for node in ast.walk(ast.parse(source))]
    return {ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))}


def test_notebooks_are_copied_and_run_where_there_is_no_repository(wheel: Path, tmp_path: Path):
    run = installed(wheel, tmp_path, "lab")
    # JupyterLab prints its version and ends, after the notebooks were copied for it
    opened = run("-m", "gfe_core", "lab", "--version")
    assert opened.returncode == 0, opened.stderr
    folder = tmp_path / "outside" / "gfe_notebooks"
    assert f"The notebooks are in {folder}." in opened.stdout
    books = [folder / f"{name}.ipynb" for name in BOOKS]
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {"14_shrinking_bottlenecks.ipynb", "TEACHING.md", "LICENSE"} <= before.keys()
    ran = run("-c", EXECUTE, *map(str, books))
    assert ran.returncode == 0, ran.stderr
    assert "missing: nothing" in ran.stdout
    lines = set().union(*(imports_of(book) for book in folder.glob("*.ipynb")))
    assert {"import pandas as pd", "import gfe_core as gfe"} <= lines
    found = run("-c", "\n".join(sorted(lines)))
    assert found.returncode == 0, found.stderr
    books[0].write_text("changed by its reader")
    assert "differ from the kit's" in run("-m", "gfe_core", "lab", "--version").stdout
    assert books[0].read_text() == "changed by its reader"
    shipped = run("-c", "from gfe_core import results; print(len(results.load('bench')))")
    assert int(shipped.stdout) > 0
