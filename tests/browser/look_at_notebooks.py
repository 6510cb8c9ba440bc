"""Look at notebooks as a reader with a small machine does, and say what drew.

Each notebook runs in JupyterLab in Chromium slowed six times; then every question is answered, and
a line for each view and figure says whether it drew, with its text, where its reader sees it. With
`--reopened` nothing runs: the saved notebook is opened and its kernel shut down, and each view must
show the picture that was saved, which must have its sentence as the alternative text.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from jupyter_lab import LabServer, NotebookPage, chromium, lab_over
from playwright.sync_api import Browser
from playwright.sync_api import Error as BrowserError
from published import is_blank, opened, pictures, sentence, wants_still
from refresh_notebooks import find

SLOWER = 6

Seen = tuple[int, str, str]
"""Number of a cell, what it shows, and what is wrong with it, if anything is."""


def run(page: NotebookPage, path: Path) -> Iterator[Seen]:
    """Run a notebook on a slow machine and look at all that it draws."""
    page.keep_still()
    page.slow_down(SLOWER)
    page.run_all(timeout=600)
    for number, outputs in enumerate(page.outputs()):
        for k, output in enumerate(outputs):
            if wants_still(output):
                yield number, str(sentence(output)), _trouble_with_output(page, number, k)
    page.guess_everything()
    for number in page.asking():
        for k in range(page.drawings(number).count()):
            yield number, "in an answer", _trouble_with_drawing(page, number, k)
    page.slow_down(1)
    for trouble in page.troubles():
        yield -1, "on the page", trouble


def reopen(page: NotebookPage, path: Path) -> Iterator[Seen]:
    """Look at a saved notebook whose kernel is gone."""
    page.keep_still()
    page.shut_down()
    for number, k, output, png in pictures(nbformat.read(path, as_version=4)):
        words = output.metadata["image/png"].get("alt", "")
        trouble = page.trouble_with_picture(number, k, opened(png).width)
        yield number, words, trouble or ("" if words else "no alternative text")


def _trouble_with_output(page: NotebookPage, number: int, k: int) -> str:
    try:
        blank = is_blank(page.still(number, k))
    except (TimeoutError, BrowserError) as error:
        return str(error).partition("\n")[0]
    return "blank" if blank else ", ".join(page.texts_missing(number))


def _trouble_with_drawing(page: NotebookPage, number: int, k: int) -> str:
    drawing = page.drawings(number).nth(k)
    try:
        page.wait_until_drawn(drawing, f"cell {number}: drawing {k} of its answer")
        blank = is_blank(drawing.screenshot(animations="disabled"))
    except (TimeoutError, BrowserError) as error:
        return str(error).partition("\n")[0]
    return "blank" if blank else ", ".join(page.texts_missing(number))


def look(path: Path, browser: Browser, lab: LabServer, *, reopened: bool) -> int:
    """Say what one notebook shows.

    Returns:
        Number of views that are not as they should be.
    """
    page = NotebookPage(browser, lab, path.name)
    start = time.perf_counter()
    wrong = n = 0
    try:
        for number, words, trouble in (reopen if reopened else run)(page, path):
            n += number >= 0
            wrong += bool(trouble)
            print(f"  cell {number}: {trouble or 'drawn'}: {words}", flush=True)
    finally:
        page.close()
    took = time.perf_counter() - start
    print(f"{path.name}: {n} views, {wrong} wrong, {took:.0f} s", flush=True)
    return wrong


def main() -> int:
    """Look at what the command line names."""
    parser = argparse.ArgumentParser(description="Look at notebooks and say what they draw.")
    parser.add_argument("notebooks", nargs="*", type=Path, default=[Path("notebooks")])
    parser.add_argument("--reopened", action="store_true", help="as saved, without a kernel")
    asked = parser.parse_args()
    wrong = 0
    paths = [path.resolve() for path in find(asked.notebooks)]
    with (
        chromium() as browser,
        tempfile.TemporaryDirectory() as scratch,
        lab_over(paths[0].parent, Path(scratch)) as lab,
    ):
        for path in paths:
            try:
                wrong += look(path, browser, lab, reopened=asked.reopened)
            except (BrowserError, TimeoutError, AssertionError) as error:
                wrong += 1
                print(f"{path.name}: {error}", file=sys.stderr, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
