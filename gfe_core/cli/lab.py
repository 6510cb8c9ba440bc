"""`python -m gfe_core lab`: open a notebook in JupyterLab, also as root.

If the kit was installed without its repository, the notebooks are first copied into a folder of
the reader's.

JupyterLab refuses to run as root, prints the address of its front page instead of the notebook's,
prefers a kernel that another installation left in the home folder, loses the views of a notebook
that is closed, and exports pages whose pictures have no alternative texts. This module changes
these five behaviours and leaves everything else to JupyterLab.
"""

import os
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import tyro

from gfe_core.cli.command import Command
from gfe_core.data.files import replacing
from gfe_core.data.places import checkout, shipped

FIRST = Path("notebooks/00_start_here.ipynb")
COPIES = Path("gfe_notebooks")
"""Folder of the reader's notebooks, in the current folder."""
_AS_ROOT = (
    "Running as root, as in a container: adding --allow-root, because JupyterLab refuses to start "
    "without it; only this machine can reach it (localhost), unless you pass --ip."
)
_NO_BROWSER = (
    "No browser to open here: JupyterLab prints its address below, for a browser elsewhere."
)
_NO_LAB = (
    "The notebooks need JupyterLab, which is not installed: "
    '`pip install "gfe_core[lab]"`, then run this again.'
)
_ELSEWHERE = "`python -m gfe_core lab FOLDER`"
_DEFAULTS = Path(__file__).parent / "jupyter"
TEMPLATES = _DEFAULTS / "nbconvert" / "templates"
"""Folder with the templates of exported pages."""
_TEXT_BROWSERS = ("www-browser", "links", "elinks", "lynx", "w3m")


@dataclass(frozen=True, kw_only=True)
class Lab(Command):
    """Open a notebook in JupyterLab, also as root.

    Everything after the notebook goes to JupyterLab: `lab --no-browser --port=9000`.

    Args:
        notebook: notebook file to open; JupyterLab shows its folder. Or a folder into which the
            kit's notebooks are copied; existing files stay as they are. By default the notebooks
            of the current folder or of the repository are opened, or copies in ./gfe_notebooks if
            the kit was installed without its repository.
        options: options of JupyterLab; they win over those that this command sets.
    """

    notebook: tyro.conf.Positional[tyro.conf.DisallowNone[Path | None]] = None
    options: tyro.conf.Positional[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, words: Sequence[str], *, prog: str) -> "Lab":
        """Take the first word, or a word that ends in .ipynb, as the notebook; pass on the rest."""
        if {"-h", "--help"} & set(words):
            return super().parse(["--help"], prog=prog)
        named = [word for word in words if not word.startswith("-") and word.endswith(".ipynb")]
        named += [word for word in words[:1] if not word.startswith("-")]
        if not named:
            return cls(options=tuple(words))
        others = list(words)
        others.remove(named[0])
        return cls(notebook=Path(named[0]), options=tuple(others))

    def run(self) -> int:
        """Start JupyterLab, wait until it ends, and return its exit status."""
        if find_spec("jupyterlab") is None:
            raise RuntimeError(_NO_LAB)
        notebook = self._to_open()
        as_root = is_root()
        browser = has_browser()
        line = command(notebook, self.options, as_root=as_root, browser=browser)
        if as_root:
            print(_AS_ROOT)
        if not browser:
            print(_NO_BROWSER)
        print("Starting JupyterLab; stop it with Ctrl-C.", flush=True)
        os.environ.update(environment())
        if os.name == "posix":
            # JupyterLab replaces this process, so that it alone uses memory and gets Ctrl-C.
            os.execv(line[0], line)
        return subprocess.call(line)

    def _to_open(self) -> Path:
        """Return the notebook to open; copy the notebooks first where that is needed."""
        if self.notebook and (self.notebook.is_file() or self.notebook.suffix == ".ipynb"):
            return self.notebook
        if self.notebook and not self.notebook.exists():
            meant = Path(f"{self.notebook}.ipynb")
            if meant.is_file() or meant.name in {file.name for file in _to_copy()}:
                raise FileNotFoundError(
                    f"`notebook` {self.notebook} is neither a file nor a folder. For the notebook: "
                    f"`python -m gfe_core lab {meant}`."
                )
        if self.notebook is None:
            for here in (Path(FIRST.name), FIRST):
                if here.is_file():
                    return here
        repository = checkout()
        if self.notebook is None and repository:
            return repository / FIRST
        folder = self.notebook or COPIES
        for line in copy_notebooks(folder):
            print(line)
        return folder / FIRST.name


def copy_notebooks(folder: Path) -> list[str]:
    """Copy the kit's notebooks, and the files beside them, into a folder.

    An existing file stays as it is, because the reader may have changed it.

    Args:
        folder: folder of the reader's; it is created if it does not exist.

    Returns:
        Lines for the reader: where the notebooks are, and which of them differ from the kit's.

    Raises:
        OSError: the folder cannot be written to.
    """
    kept = []
    try:
        for original in _to_copy():
            copy = folder / original.name
            if not copy.exists():
                with replacing(copy) as file:
                    file.write(original.read_bytes())
            elif copy.read_bytes() != original.read_bytes():
                kept.append(copy.name)
    except OSError as error:
        raise OSError(
            f"The notebooks cannot be copied into {folder.resolve()}: {error.strerror or error}. "
            f"Name another folder: {_ELSEWHERE}."
        ) from error
    lines = [f"The notebooks are in {folder.resolve()}."]
    if kept:
        lines.append(
            "Kept as they are, because they differ from the kit's (changed, run, or of another "
            f"version): {', '.join(kept)}. For fresh copies name another folder: {_ELSEWHERE}."
        )
    return lines


def _to_copy() -> list[Path]:
    """Return notebooks, pages and licence; no hidden files, and no folders that a kernel left."""
    files = (file for file in shipped("notebooks").iterdir() if file.is_file())
    return sorted(file for file in files if not file.name.startswith("."))


def command(
    notebook: Path, options: Sequence[str] = (), *, as_root: bool, browser: bool
) -> list[str]:
    """Return the command that starts JupyterLab.

    Args:
        notebook: notebook file to open; JupyterLab shows its folder.
        options: options of JupyterLab, such as `--port=9000`; they win over those set here.
        as_root: whether the process belongs to root.
        browser: whether there is a browser to open.

    Returns:
        The words of the command.

    Raises:
        FileNotFoundError: there is no such notebook.
    """
    if not notebook.is_file():
        raise FileNotFoundError(
            f"`notebook` must be a file, got {notebook}; run this in the folder that holds "
            "it, or without a name, `python -m gfe_core lab`, which opens the kit's first notebook."
        )
    words = [sys.executable, "-m", "jupyterlab"]
    words.append(f"--ServerApp.root_dir={notebook.resolve().parent}")
    words.append(f"--LabApp.default_url=/lab/tree/{quote(notebook.name)}")
    if as_root:
        words.append("--allow-root")
        if not any(option.split("=")[0] in ("--ip", "--ServerApp.ip") for option in options):
            words.append("--ServerApp.ip=localhost")
    if not browser and "--no-browser" not in options:
        words.append("--no-browser")
    return [*words, *options]


def environment() -> dict[str, str]:
    """Return the environment variables that JupyterLab is started with.

    The kernel of this environment takes precedence over one in the home folder. Views are saved
    with their notebook, so that they are there when it is opened again. Pictures keep their
    alternative texts in exported pages. The reader's own JupyterLab settings win over all of this.
    """
    searched = ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH")
    paths = {name: [str(_DEFAULTS), *filter(None, [os.environ.get(name)])] for name in searched}
    joined = {name: os.pathsep.join(folders) for name, folders in paths.items()}
    return {"JUPYTER_PREFER_ENV_PATH": "1", **joined}


def is_root() -> bool:
    """Return whether this process belongs to root; never on Windows."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def has_browser() -> bool:
    """Return whether a browser can be opened from here; text browsers do not count."""
    try:
        return getattr(webbrowser.get(), "name", "") not in _TEXT_BROWSERS
    except webbrowser.Error:
        return False
