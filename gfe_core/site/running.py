"""Run a notebook once and gather the parts of its views.

In the kernel of the notebook, `collect` makes every explorer add its parts to its output.
"""

import os
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from gfe_core.site.recording import recorded
from gfe_core.site.views import Part, parts_of
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.lessons import Prediction
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer

PARTS = "application/vnd.gfe-parts+json"
"""MIME type of the parts of an output."""

_COLLECT = "from gfe_core.site.running import collect\ncollect(get_ipython())"

Shown = dict[tuple[int, str], Any]
"""Map from the number of a cell and the text of an output to the parts of that output."""


def run(path: Path) -> Shown:
    """Run a notebook in a kernel of this environment, with every question answered.

    Args:
        path: path of the notebook, which is not changed.

    Raises:
        RuntimeError: a cell raises an error.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(_COLLECT))
    client = nbclient.NotebookClient(
        notebook, timeout=None, resources={"metadata": {"path": str(path.parent)}}
    )
    surroundings = {"GFE_PREDICT": "commit", "JUPYTER_PREFER_ENV_PATH": "1"}
    try:
        client.execute(env=os.environ | surroundings)
    except CellExecutionError as error:
        raise RuntimeError(
            f"{path.name} does not run, so its page would be wrong. {error.ename}: {error.evalue} "
            "Open it with `make lab`."
        ) from error
    return shown_in(notebook.cells[1:])


def shown_in(cells: list[NotebookNode]) -> Shown:
    """Return the parts of every output that has parts."""
    return {
        (number, output.data["text/plain"]): output.data[PARTS]
        for number, cell in enumerate(cells)
        for output in cell.get("outputs", ())
        if PARTS in output.get("data", {})
    }


def collect(shell: Any) -> None:
    """Make each explorer and each prediction of this kernel add its parts to its output.

    Args:
        shell: shell of IPython, which formats the outputs.
    """
    shown = shell.display_formatter.mimebundle_formatter
    shown.for_type(Explorer, _explorer)
    shown.for_type(Prediction, _prediction)


def _explorer(explorer: Explorer) -> tuple[dict[str, Any], dict[str, Any]]:
    data, metadata = explorer._repr_mimebundle_()
    # a document is saved with its notebook
    return data if isinstance(explorer, Document) else data | {PARTS: _parts(explorer)}, metadata


def _prediction(asked: Prediction) -> tuple[dict[str, Any], dict[str, Any]]:
    question = {
        "question": asked.question,
        "options": dict(asked.replies),
        "answer": asked.answer,
        "because": asked.because,
        "revealed": [] if asked.shown is None else _parts(asked.shown),
    }
    return asked._repr_mimebundle_() | {PARTS: question}, {}


def _parts(shown: Any) -> list[Part]:
    return recorded(shown) if isinstance(shown, LandscapeExplorer) else parts_of(shown)
