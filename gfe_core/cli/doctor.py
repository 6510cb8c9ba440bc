"""Check whether this machine is ready, and give a remedy for each fault.

`python -m gfe_core doctor` prints the report; a notebook can call `report`. Libraries are imported
one by one, so that a broken library becomes a line of the report.
"""

import importlib
import json
import re
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gfe_core.cli import lab
from gfe_core.cli.command import Command
from gfe_core.data import data_folder
from gfe_core.data.places import checkout

Importer = Callable[[str], ModuleType]

_LIBRARIES = ("torch", "sklearn")
_NOTEBOOKS = ("torchvision", "jupyterlab", "ipywidgets", "anywidget", "plotly", "nbval")
"""Libraries of the extra `lab`."""
_PIP_NAMES = {"sklearn": "scikit-learn"}
_MISMATCH_SIGNS = (
    "operator torchvision::",
    "undefined symbol",
    "could not load",
    "cannot open shared object",
    "dll load failed",
)
_ONE_INDEX = (
    "torch and torchvision do not match; install both from one index: "
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
_ENOUGH_OF_A_CORE = 0.7
"""Share of a core below which views answer late: two processes on one core get half each."""
_ENOUGH_SPACE = 100e6
"""Bytes of free space: MNIST takes 66 MB while it is downloaded, a training takes a little more."""
_ADDRESS = "https://pypi.org"
_PATIENCE = 2.0
"""Seconds within which the network must answer."""
_CGROUP = Path("/sys/fs/cgroup/cpu.max")
_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq")
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
        name: thing that was checked.
        result: result of the check.
        remedy: instruction for fixing a fault; empty if nothing needs fixing.
        advice: optional improvement; the kit works without it.
    """

    name: str
    result: str
    remedy: str = ""
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs fixing."""
        return not self.remedy

    def __str__(self) -> str:
        word = "FIX " if self.remedy else "note" if self.advice else "ok  "
        what_to_do = self.remedy or self.advice
        return f"{word} {self.name}: {self.result}" + (f" -> {what_to_do}" if what_to_do else "")


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Check that this machine is ready, and give a remedy for each fault."""

    def run(self) -> int:
        """Print one line for each check, and the number of faults."""
        checks = [*report(), network()]
        for check in checks:
            print(check)
        broken = sum(not check.ok for check in checks)
        print(f"{broken} to fix." if broken else "Ready.")
        return 1 if broken else 0


def report(importer: Importer = importlib.import_module) -> list[Check]:
    """Check Python, libraries, views, data, the machine, and one small encoding.

    Nothing leaves the machine: only the command checks whether the network answers.

    Args:
        importer: function that imports a module by name; tests pass one that fails as they choose.

    Returns:
        The checks in the order in which they should be fixed.
    """
    return [
        _python(),
        *(_library(name, importer) for name in _LIBRARIES),
        *_notebooks(importer),
        *(_images(name) for name in ("MNIST", "FashionMNIST")),
        _user(),
        _processor(importer),
        _load(),
        _disk(),
        _browser(),
        _chromium(),
        _encoding(importer),
    ]


def find_browser() -> str | None:
    """Find a Chromium for the browser tests.

    Returns:
        Path of the browser, or None.
    """
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    remedy = (
        ""
        if sys.version_info >= (3, 11)
        else "install Python 3.11 or newer, and install the kit in an environment with it"
    )
    return Check(name="python", result=version, remedy=remedy)


def _library(name: str, importer: Importer) -> Check:
    """Import one library.

    Any failure becomes a line, because a broken binary can raise more than ImportError.
    """
    pip_name = _PIP_NAMES.get(name, name)
    try:
        version = str(getattr(importer(name), "__version__", "installed"))
    except Exception as error:
        result = _first_line(error)
        return Check(name=pip_name, result=result, remedy=_library_remedy(pip_name, error))
    return Check(name=pip_name, result=version)


def _library_remedy(pip_name: str, error: Exception) -> str:
    text = str(error).lower()
    if pip_name in ("torch", "torchvision") and any(sign in text for sign in _MISMATCH_SIGNS):
        return _ONE_INDEX
    return f"`pip install {'-c constraints.txt ' if checkout() else ''}{pip_name}`"


def _notebooks(importer: Importer) -> Iterator[Check]:
    """Check what the notebooks need; yield a single line if none of it is installed."""
    checks = [_library(name, importer) for name in _NOTEBOOKS]
    if all(check.result.startswith("ModuleNotFoundError") for check in checks):
        yield Check(
            name="notebooks",
            result="JupyterLab and the views are not installed",
            advice='the notebooks need `pip install "gfe_core[lab]"`',
        )
        return
    yield from checks
    yield _views(importer)
    yield _front_end(importer)


def _views(importer: Importer) -> Check:
    """Compare what Python sends to each view with the script that draws it."""
    remedy = (
        "`make bundles`, and restart the kernel"
        if checkout()
        else "`pip install --force-reinstall --no-deps gfe_core`, and restart the kernel"
    )
    try:
        importer("gfe_core.widgets")
        anywidget: Any = importer("anywidget")
    except Exception as error:
        return Check(name="views", result=_first_line(error), remedy=remedy)
    # a view that is shown gets a class of its own, whose script is a trait
    views = [
        view
        for view in _subclasses(anywidget.AnyWidget)
        if view.__module__.startswith("gfe_core.") and isinstance(getattr(view, "_esm", None), str)
    ]
    unknown = {
        f"{view.__name__}.{trait}"
        for view in views
        for trait in view.class_trait_names(sync=True)
        if not hasattr(anywidget.AnyWidget, trait) and not re.search(rf"\b{trait}\b", view._esm)
    }
    if unknown:
        result = f"their scripts do not know {', '.join(sorted(unknown))}"
        return Check(name="views", result=result, remedy=remedy)
    return Check(name="views", result="scripts and Python match")


def _subclasses(kind: type) -> Iterator[Any]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _front_end(importer: Importer) -> Check:
    """Compare the anywidget that JupyterLab loads into the browser with the one in Python.

    JupyterLab may run in another environment, whose extensions cannot be seen from here.
    """
    name = "anywidget in JupyterLab"
    try:
        paths: Any = importer("jupyter_core.paths")
        known = str(getattr(importer("anywidget"), "__version__", ""))
    except Exception as error:
        return Check(name=name, result=_first_line(error), remedy="fix the lines above first")
    folders = [Path(folder, "anywidget") for folder in paths.jupyter_path("labextensions")]
    package = next((file for one in folders if (file := one / "package.json").is_file()), None)
    if package is None:
        return Check(name=name, result="not in this environment; JupyterLab may be in another")
    loaded = json.loads(package.read_text(encoding="utf-8"))["version"]
    if loaded != known:
        return Check(
            name=name,
            result=f"{loaded} in {package.parent}, but {known} in Python",
            remedy="`pip install --force-reinstall --no-deps anywidget`, and reload the page",
        )
    return Check(name=name, result=loaded)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _images(name: str) -> Check:
    folder = data_folder() / name / "raw"
    present = {
        file: (folder / file).stat().st_size for file in _RAW_SIZES if (folder / file).is_file()
    }
    damaged = [file for file, size in present.items() if size != _RAW_SIZES[file]]
    if damaged:
        remedy = f"move {', '.join(damaged)} away from there and load {name} again"
        return Check(name=name, result=f"damaged in {folder}", remedy=remedy)
    if len(present) == len(_RAW_SIZES):
        return Check(name=name, result=str(folder))
    return Check(
        name=name,
        result=f"not in {folder}; optional, downloaded when asked for (or set GFE_DATA_DIR)",
    )


def _processor(importer: Importer) -> Check:
    try:
        torch: Any = importer("torch")
        cuda = (
            torch.cuda.get_device_name()
            if torch.cuda.is_available()
            else "none, the kit needs none"
        )
        return Check(name="processor", result=f"{torch.get_num_threads()} threads; CUDA: {cuda}")
    except Exception as error:
        return Check(
            name="processor", result=f"torch did not answer: {error}", remedy="fix torch first"
        )


def _user() -> Check:
    if lab.is_root():
        result = "root; `lab` adds --allow-root, without which JupyterLab refuses to start"
        return Check(name="user", result=result)
    return Check(name="user", result="not root")


def _load() -> Check:
    """Compute for a tenth of a second, and report which share of a core was available."""
    share = _share_of_a_core(0.1)
    if (quota := _quota()) is not None and quota < 1:
        return Check(
            name="load",
            result=f"this container is throttled to {quota:.2g} of a core",
            advice="everything takes longer; give it a whole core",
        )
    if share < _ENOUGH_OF_A_CORE:
        return Check(
            name="load",
            result=f"the processor is busy: {share:.0%} of a core was available",
            advice="everything takes longer; end other programs that compute",
        )
    if (clock := _clock()) is not None and clock < 0.5:
        return Check(
            name="load",
            result=f"the processor is throttled to {clock:.0%} of its highest clock",
            advice="everything takes longer; plug in the power supply, or let it cool",
        )
    return Check(name="load", result=f"{share:.0%} of a core was available")


def _share_of_a_core(seconds: float) -> float:
    """Return the ratio of processor time to elapsed time while computing.

    Args:
        seconds: processor time to compute for; at most ten times as much time may elapse.
    """
    began, used = time.perf_counter(), time.thread_time()
    while time.thread_time() - used < seconds and time.perf_counter() - began < 10 * seconds:
        pass
    return min(1.0, (time.thread_time() - used) / (time.perf_counter() - began))


def _quota() -> float | None:
    """Return the number of cores that the container may use; None without a limit."""
    with suppress(OSError, ValueError):
        limit, period = _CGROUP.read_text().split()
        return int(limit) / int(period)  # "max" is no limit
    return None


def _clock() -> float | None:
    """Return the clock of the first core as a share of its highest; None if it is unknown."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        now, highest = (
            int((_CLOCK / name).read_text()) for name in ("scaling_cur_freq", "cpuinfo_max_freq")
        )
        return now / highest
    return None


def _disk() -> Check:
    """Check the free space where notebooks, image sets and temporary files are written."""
    folders = (Path.cwd(), _existing(data_folder()), Path(tempfile.gettempdir()))
    free, folder = min((shutil.disk_usage(folder).free, str(folder)) for folder in folders)
    result = f"{free / 1e6:,.0f} MB free in {folder}"
    if free < _ENOUGH_SPACE:
        remedy = f"free {_ENOUGH_SPACE / 1e6:.0f} MB there, or notebooks may not be saved"
        return Check(name="disk", result=result, remedy=remedy)
    return Check(name="disk", result=result)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest folder above it that exists."""
    folder = folder.absolute()
    return next((one for one in (folder, *folder.parents) if one.is_dir()), Path.cwd())


def network() -> Check:
    """Check whether the network answers.

    The request runs in a thread, because a name that no server resolves may block for a long time.
    """
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(_answers()), daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    if any(answers):
        return Check(name="network", result=f"{_ADDRESS} answers")
    return Check(
        name="network",
        result=f"{_ADDRESS} does not answer",
        advice="only needed to install, and to download MNIST; behind a proxy set HTTPS_PROXY",
    )


def _answers() -> bool:
    try:
        request = urllib.request.Request(_ADDRESS, method="HEAD")
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            return True
    except urllib.error.HTTPError:  # a refusal is an answer
        return True
    except (OSError, ValueError):
        return False


def _browser() -> Check:
    if lab.has_browser():
        return Check(name="browser", result="opened by `lab`")
    return Check(
        name="browser",
        result="none to open here",
        advice="`lab` prints its address; open it in a browser elsewhere",
    )


def _chromium() -> Check:
    return Check(
        name="chromium",
        result=find_browser() or "not found; only the tests of the views would use it",
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
        result = _first_line(error)
        remedy = "fix the lines above first; if there are none, install the kit again"
        return Check(name="encode", result=result, remedy=remedy)
    return Check(name="encode", result="one sample was encoded")
