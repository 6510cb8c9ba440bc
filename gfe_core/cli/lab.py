"""`python -m gfe_core lab`: JupyterLab on one notebook, also where it is run by root.

JupyterLab refuses to run as root, prints the address of its front page instead of the notebook's,
prefers a kernel that another installation left in the home folder, loses the views of a notebook
that is closed, and exports pages whose pictures have no alternative texts. This module changes
these five and leaves everything else to JupyterLab.
"""

import os
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import tyro

from gfe_core.cli.command import Command

FIRST = Path("notebooks/00_start_here.ipynb")
_AS_ROOT = (
    "Running as root, as in a container: adding --allow-root, because JupyterLab refuses to start "
    "without it; only this machine can reach it (localhost), unless you pass --ip."
)
_NO_BROWSER = (
    "No browser to open here: JupyterLab prints its address below, for a browser elsewhere."
)
_DEFAULTS = Path(__file__).parent / "jupyter"
TEMPLATES = _DEFAULTS / "nbconvert" / "templates"
"""Of exported pages."""
_TEXT_BROWSERS = ("www-browser", "links", "elinks", "lynx", "w3m")


@dataclass(frozen=True, kw_only=True)
class Lab(Command):
    """Open a notebook in JupyterLab, as root too.

    Everything after the notebook goes to JupyterLab: `lab --no-browser --port=9000`.

    Args:
        notebook: file to open; its folder is what JupyterLab shows.
        options: options of JupyterLab; they win over what is chosen here.
    """

    notebook: tyro.conf.Positional[Path] = FIRST
    options: tyro.conf.Positional[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, words: Sequence[str], *, prog: str) -> "Lab":
        """Take the first word as the notebook unless it is an option; the rest is JupyterLab's."""
        if {"-h", "--help"} & set(words):
            return super().parse(["--help"], prog=prog)
        if words and not words[0].startswith("-"):
            return cls(notebook=Path(words[0]), options=tuple(words[1:]))
        return cls(options=tuple(words))

    def run(self) -> int:
        """Start JupyterLab and stay until it ends; its exit status is returned."""
        as_root = is_root()
        browser = has_browser()
        line = command(self.notebook, self.options, as_root=as_root, browser=browser)
        if as_root:
            print(_AS_ROOT)
        if not browser:
            print(_NO_BROWSER)
        print("Starting JupyterLab; stop it with Ctrl-C.", flush=True)
        os.environ.update(environment())
        if os.name == "posix":
            # Replaced by JupyterLab, to which Ctrl-C and the memory then belong alone.
            os.execv(line[0], line)
        return subprocess.call(line)


def command(
    notebook: Path, options: Sequence[str] = (), *, as_root: bool, browser: bool
) -> list[str]:
    """Return the command that starts JupyterLab.

    Args:
        notebook: file to open; its folder is what JupyterLab shows.
        options: of JupyterLab, such as `--port=9000`; they win over what is chosen here.
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
            f"{FIRST.parent}/, or name a notebook: `python -m gfe_core lab NOTEBOOK`."
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
    """Return the variables that JupyterLab is started with.

    The kernel of this environment goes before one in the home folder. Views are saved with their
    notebook, so that they are there when it is opened again, and pictures keep their alternative
    texts in a page that is exported; what the reader has chosen in JupyterLab's settings wins over
    that.
    """
    searched = ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH")
    paths = {name: [str(_DEFAULTS), *filter(None, [os.environ.get(name)])] for name in searched}
    joined = {name: os.pathsep.join(folders) for name, folders in paths.items()}
    return {"JUPYTER_PREFER_ENV_PATH": "1", **joined}


def is_root() -> bool:
    """Return whether this process belongs to root; never on Windows."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def has_browser() -> bool:
    """Return whether a browser can be opened from here; one for terminals does not count."""
    try:
        return getattr(webbrowser.get(), "name", "") not in _TEXT_BROWSERS
    except webbrowser.Error:
        return False
