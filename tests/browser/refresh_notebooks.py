"""Run notebooks in JupyterLab in Chromium and save them as they are published.

`make refresh`, or with NB=notebooks/01_gradient_flow.ipynb.

Saved are sources, counts and outputs that mean something without a kernel; where a script draws, a
still of what it drew. Left out are widget state, references to widgets that are gone (a reader sees
the still instead), times and versions, so that a second refresh on another day changes nothing but
pictures.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import nbformat
import thumbnails
from jupyter_lab import LabServer, NotebookPage, chromium, lab_over
from nbformat import NotebookNode
from nbval.plugin import coalesce_streams
from playwright.sync_api import Browser
from playwright.sync_api import Error as BrowserError
from published import add_still, is_blank, pictures, publish, wants_still

from gfe_core.data.files import replacing, write_text

FRONT_PAGE = "00_start_here"
PICTURE = Path(__file__).parents[2] / "data" / "first_flow.png"


class NotSavedError(Exception):
    """A notebook that cannot be published, and why."""


def find(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the notebooks named, and those in the folders named."""
    for path in paths:
        if not path.exists():
            raise SystemExit(
                f"No such notebook: {path}. Name files as in `make refresh "
                "NB=notebooks/NAME.ipynb`."
            )
        yield from sorted(path.glob("*.ipynb")) if path.is_dir() else [path]


def executed(path: Path, page: NotebookPage) -> NotebookNode:
    """Run every cell in the browser and return the notebook with what it shows there."""
    notebook = nbformat.read(path, as_version=4)
    page.keep_still()
    page.run_all(timeout=300)
    if troubles := page.troubles():
        raise NotSavedError("\n".join(troubles))
    counts = page.counts()
    for number, outputs in enumerate(page.outputs()):
        if notebook.cells[number].cell_type != "code":
            continue
        for k, output in enumerate(outputs):
            if wants_still(output):
                add_still(output, picture := page.still(number, k))
                if is_blank(picture):
                    raise NotSavedError(f"cell {number} is blank: {output['data']['text/plain']}")
        notebook.cells[number].outputs = coalesce_streams(
            [nbformat.from_dict(output) for output in outputs]
        )
        notebook.cells[number].execution_count = counts[number]
    return notebook


def refresh(path: Path, browser: Browser, lab: LabServer) -> None:
    """Run one notebook and save it, in one step: one that fails stays as it was."""
    page = NotebookPage(browser, lab, path.name)
    try:
        notebook = executed(path, page)
    finally:
        page.close()
    publish(notebook)
    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")
    thumbnails.write(path, notebook)
    if path.stem == FRONT_PAGE:
        with replacing(PICTURE) as file:
            file.write(next(png for _, _, _, png in pictures(notebook)))


def main() -> int:
    """Refresh what the command line names."""
    parser = argparse.ArgumentParser(
        description="Run notebooks in JupyterLab and save them as they are published."
    )
    parser.add_argument("notebooks", nargs="*", type=Path, default=[Path("notebooks")])
    failed = 0
    paths = [path.resolve() for path in find(parser.parse_args().notebooks)]
    with chromium() as browser:
        for folder, named in groupby(paths, key=lambda path: path.parent):
            with tempfile.TemporaryDirectory() as scratch, lab_over(folder, Path(scratch)) as lab:
                for path in named:
                    start = time.perf_counter()
                    try:
                        refresh(path, browser, lab)
                    except (NotSavedError, BrowserError, TimeoutError) as error:
                        failed += 1
                        print(f"{path.name}: not saved\n{error}", file=sys.stderr, flush=True)
                    else:
                        took = time.perf_counter() - start
                        size = path.stat().st_size / 1000
                        print(f"{path.name}: {took:.0f} s, {size:.0f} kB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
