"""Chromium, a JupyterLab server and notebooks opened in it.

`GFE_REQUIRE_BROWSER=1` turns the skip of a machine without Chromium into a failure.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_lab import LabServer, NotebookPage
from playwright.sync_api import Browser, sync_playwright

from gfe_core.cli.doctor import find_browser

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ABSENT = "no Chromium found (on Debian and Ubuntu: apt install chromium)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once why nothing ran."""
    if find_browser() is None:
        terminalreporter.write_line(f"browser tests: {ABSENT}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    executable = find_browser()
    if executable is None:
        if os.environ.get("GFE_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{ABSENT}, and GFE_REQUIRE_BROWSER=1 asks for one", pytrace=False)
        pytest.skip(ABSENT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A JupyterLab server over a copy of notebooks/.

    Asks for the browser first, without which it has no use.
    """
    scratch = tmp_path_factory.mktemp("lab")
    root = scratch / "notebooks"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    server = LabServer(root, scratch)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


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
