"""Is this machine ready? One check after another, each with its remedy.

`python -m gfe_core doctor` prints the report; a notebook may ask for it too. Libraries are imported
one by one, so that a broken one becomes a line of the report.
"""

import importlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from gfe_core.cli.command import Command
from gfe_core.data import data_folder

Importer = Callable[[str], ModuleType]

_LIBRARIES = (
    "torch",
    "torchvision",
    "jupyterlab",
    "ipywidgets",
    "anywidget",
    "plotly",
    "sklearn",
    "nbval",
)
_PIP_NAMES = {"sklearn": "scikit-learn"}
_MISMATCH_SIGNS = (
    "operator torchvision::",
    "undefined symbol",
    "could not load",
    "cannot open shared object",
    "dll load failed",
)
_ONE_INDEX = (
    "torch and torchvision do not belong together; take both from one index: "
    "`pip install --force-reinstall torch torchvision` or, for the small CPU builds, "
    "`pip install --force-reinstall torch torchvision --index-url "
    "https://download.pytorch.org/whl/cpu`"
)
_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_RAW_SIZES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report.

    Args:
        name: what was looked at.
        found: what was found.
        remedy: what to do about it; empty where nothing needs mending.
    """

    name: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs mending."""
        return not self.remedy

    def __str__(self) -> str:
        return (
            f"ok   {self.name}: {self.found}"
            if self.ok
            else f"FIX  {self.name}: {self.found} -> {self.remedy}"
        )


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Check that this machine is ready, with a remedy for what is not."""

    def run(self) -> int:
        """Print one line for each check, and how many need a remedy."""
        checks = report()
        for check in checks:
            print(check)
        broken = sum(not check.ok for check in checks)
        print(f"{broken} to fix." if broken else "Ready.")
        return 1 if broken else 0


def report(importer: Importer = importlib.import_module) -> list[Check]:
    """Check Python, the libraries, data, processor, browser and one small encoding.

    Args:
        importer: imports a module by name; tests pass one that fails in known ways.

    Returns:
        The checks in the order in which they should be mended.
    """
    return [
        _python(),
        *(_library(name, importer) for name in _LIBRARIES),
        *(_images(name) for name in ("MNIST", "FashionMNIST")),
        _processor(importer),
        _browser(),
        _encoding(importer),
    ]


def find_browser() -> str | None:
    """Find a Chromium for the browser tests.

    Returns:
        Its path, or None.
    """
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    remedy = (
        ""
        if sys.version_info >= (3, 11)
        else "install Python 3.11 or newer, remove .venv and run `make lab`"
    )
    return Check(name="python", found=version, remedy=remedy)


def _library(name: str, importer: Importer) -> Check:
    """Import one library.

    Any failure is a line, because a broken binary raises more than ImportError.
    """
    pip_name = _PIP_NAMES.get(name, name)
    try:
        version = str(getattr(importer(name), "__version__", "installed"))
    except Exception as error:
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(name=pip_name, found=found, remedy=_library_remedy(pip_name, error))
    return Check(name=pip_name, found=version)


def _library_remedy(pip_name: str, error: Exception) -> str:
    text = str(error).lower()
    if pip_name in ("torch", "torchvision") and any(sign in text for sign in _MISMATCH_SIGNS):
        return _ONE_INDEX
    return f"`pip install -c constraints.txt {pip_name}`"


def _images(name: str) -> Check:
    folder = data_folder() / name / "raw"
    present = {
        file: (folder / file).stat().st_size for file in _RAW_SIZES if (folder / file).is_file()
    }
    damaged = [file for file, size in present.items() if size != _RAW_SIZES[file]]
    if damaged:
        remedy = f"delete {', '.join(damaged)} there and load {name} again"
        return Check(name=name, found=f"damaged in {folder}", remedy=remedy)
    if len(present) == len(_RAW_SIZES):
        return Check(name=name, found=str(folder))
    return Check(
        name=name,
        found=f"not in {folder}; optional, downloaded when asked for (or set GFE_DATA_DIR)",
    )


def _processor(importer: Importer) -> Check:
    try:
        torch: Any = importer("torch")
        cuda = (
            torch.cuda.get_device_name()
            if torch.cuda.is_available()
            else "none, the kit needs none"
        )
        return Check(name="processor", found=f"{torch.get_num_threads()} threads; CUDA: {cuda}")
    except Exception as error:
        return Check(
            name="processor", found=f"torch did not answer: {error}", remedy="mend torch first"
        )


def _browser() -> Check:
    return Check(
        name="chromium", found=find_browser() or "not found; only `make browser` would use it"
    )


def _encoding(importer: Importer) -> Check:
    """Encode one tiny sample: the shortest proof that the parts work together."""
    try:
        gfe: Any = importer("gfe_core")
        torch: Any = importer("torch")
        encoding = gfe.encode(
            gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=4), torch.full((1, 4), 0.5)
        )
        if not bool(torch.isfinite(encoding.z).all()):
            raise ArithmeticError("the code is not finite")
    except Exception as error:
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        remedy = "mend the lines above first; if there are none, `make test` shows what broke"
        return Check(name="encode", found=found, remedy=remedy)
    return Check(name="encode", found="one sample found its code")
