"""Run a notebook once and gather what its views show."""

import os
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from gfe_core.site.views import PARTS

_COLLECT = "from gfe_core.site.views import collect\ncollect(get_ipython())"

Shown = dict[tuple[int, str], Any]
"""Number of a cell and the sentence of an output -> its parts."""


def run(path: Path) -> Shown:
    """Run a notebook in a kernel of this environment, with every question answered.

    Args:
        path: of the notebook, which stays as it is.

    Raises:
        RuntimeError: a cell raises.
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
    """Return the parts of every output that has some."""
    return {
        (number, output.data["text/plain"]): output.data[PARTS]
        for number, cell in enumerate(cells)
        for output in cell.get("outputs", ())
        if PARTS in output.get("data", {})
    }
