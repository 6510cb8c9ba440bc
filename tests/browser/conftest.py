"""Chromium, a JupyterLab server and notebooks opened in it.

`GFE_REQUIRE_BROWSER=1` turns the skip of a machine without Chromium into a failure.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupyter_lab
import pytest
from jupyter_lab import ABSENT, LabServer, NotebookPage, lab_over
from playwright.sync_api import Browser
from xdist.scheduler import LoadScopeScheduling

from gfe_core.cli.doctor import find_browser

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SHARING = ("test_figures_in_lab.py", "test_player_in_lab.py", "test_site.py")
"""Files whose tests share a page that takes long to make."""


class Together(LoadScopeScheduling):
    """Gives the tests of a file that share a page to one process, which makes it once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return file if Path(file).name in SHARING else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Share out tests one by one, and those that share a page together."""
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the notebooks, which take longest: the last, the first, the last but one ...

    The last ones compute most; side by side they would make each other wait.
    """
    books = [item for item in items if item.path.name == "test_lab.py"]
    others = [item for item in items if item.path.name != "test_lab.py"]
    in_turn = [book for pair in zip(reversed(books), books, strict=True) for book in pair]
    items[:] = [*in_turn[: len(books)], *others]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once why nothing ran."""
    if find_browser() is None:
        terminalreporter.write_line(f"browser tests: {ABSENT}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    if find_browser() is None:
        if os.environ.get("GFE_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{ABSENT}, and GFE_REQUIRE_BROWSER=1 asks for one", pytrace=False)
        pytest.skip(ABSENT)
    with jupyter_lab.chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def lab(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A JupyterLab server over a copy of notebooks/.

    Asks for the browser first, without which it has no use.
    """
    with lab_over(NOTEBOOKS, tmp_path_factory.mktemp("lab")) as server:
        yield server


def _openers(chromium: Browser, lab: LabServer) -> Iterator[Callable[[str], NotebookPage]]:
    opened: list[NotebookPage] = []

    def open_one(notebook: str) -> NotebookPage:
        opened.append(NotebookPage(chromium, lab, notebook))
        return opened[-1]

    yield open_one
    for page in opened:
        page.close()


@pytest.fixture
def open_notebook(chromium: Browser, lab: LabServer) -> Iterator[Callable[[str], NotebookPage]]:
    """Open a notebook of the lab's folder by name; closed after the test."""
    yield from _openers(chromium, lab)


@pytest.fixture(scope="module")
def open_for_all(chromium: Browser, lab: LabServer) -> Iterator[Callable[[str], NotebookPage]]:
    """The same; closed after the tests of a file, which share what they open."""
    yield from _openers(chromium, lab)
