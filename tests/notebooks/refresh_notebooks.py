"""Execute notebooks and save them as they are published.

`make refresh`, or with NB=notebooks/01_gradient_flow.ipynb.

Saved are sources, counts and outputs that mean something without a kernel. Left out are widget
state, references to widgets that are gone (a reader sees the picture instead), times and versions,
so that a second refresh on another day changes nothing but pictures.
"""

import argparse
import base64
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from gfe_core.data.files import replacing, write_text
from gfe_core.widgets.charts.figures import with_still

FRONT_PAGE = "00_start_here"
PICTURE = Path(__file__).parents[2] / "data" / "first_flow.png"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT_CELL_METADATA = ("tags", "jupyter", "slideshow")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)


def find(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the notebooks named, and those in the folders named."""
    for path in paths:
        if not path.exists():
            raise SystemExit(
                f"No such notebook: {path}. Name files as in `make refresh "
                "NB=notebooks/NAME.ipynb`."
            )
        yield from sorted(path.glob("*.ipynb")) if path.is_dir() else [path]


def execute(notebook: NotebookNode, folder: Path, timeout: int = 300) -> None:
    """Run every cell in a fresh kernel of this environment; the notebook changes in place."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()


def publish(notebook: NotebookNode) -> None:
    """Remove what belongs to one run, and add the stills of figures.

    Widget references and state, times, versions; the notebook changes in place.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        )
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            output.get("metadata", {}).pop(WIDGET_VIEW, None)
            with_still(output.get("data", {}))


def write(notebook: NotebookNode, path: Path) -> None:
    """Replace the file in one step: an interrupted refresh leaves the old notebook whole."""
    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def write_first_picture(notebook: NotebookNode, path: Path) -> None:
    """Save the first picture of a notebook on its own: the front page of the project shows it."""
    pictures = (
        output.data["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "data" in output and "image/png" in output.data
    )
    with replacing(path) as file:
        file.write(base64.b64decode(next(pictures)))


def refresh(path: Path) -> None:
    """Execute one notebook and save it as it is published."""
    notebook = nbformat.read(path, as_version=4)
    execute(notebook, path.resolve().parent)
    publish(notebook)
    write(notebook, path)
    if path.stem == FRONT_PAGE:
        write_first_picture(notebook, PICTURE)


def main() -> int:
    """Refresh what the command line names; a notebook that fails stays as it was."""
    parser = argparse.ArgumentParser(
        description="Execute notebooks and save them as they are published."
    )
    parser.add_argument("notebooks", nargs="*", type=Path, default=[Path("notebooks")])
    failed = 0
    for path in find(parser.parse_args().notebooks):
        start = time.perf_counter()
        try:
            refresh(path)
        except FAILURES as error:
            failed += 1
            print(f"{path}: not saved\n{error}", file=sys.stderr)
        else:
            print(
                f"{path}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
