"""Chromium, a JupyterLab server and a notebook opened in it: what a reader sees.

For tests that look through a real browser, and for `make refresh`.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbval_timeouts import PLOTLY
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    ViewportSize,
    sync_playwright,
)
from published import is_blank, is_flat

from gfe_core.cli.doctor import find_browser

ARTEFACTS = os.environ.get("GFE_ARTEFACTS")
"""Folder for screenshots of every notebook; without it none are taken."""
ABSENT = "no Chromium found (on Debian and Ubuntu: apt install chromium)"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
VIEWPORT: ViewportSize = {"width": 1280, "height": 1400}
# What JupyterLab itself says on the console; and what anywidget says of a view whose script took
# longer than two seconds to load, as on a busy machine. It shows the view when it is there.
NOT_OURS = (
    "favicon",
    "/api/me",
    "lsp",
    "ERR_NETWORK_CHANGED",
    "[anywidget] Failed to initialize model.",
)

_CONFIG = """
from jupyterlab.galata import configure_jupyter_server
configure_jupyter_server(c)
c.ServerApp.port = {port}
c.LabApp.user_settings_dir = {settings!r}
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
"""
_MODEL = (
    "const panel = window.jupyterapp.shell.currentWidget; const cells = "
    "Array.from(panel.content.model.cells);"
)
# How many cells have run, and whether no more will.
_PROGRESS = f"""() => {{ {_MODEL}
    const code = cells.filter(cell => cell.type === "code" && cell.sharedModel.getSource().trim());
    const broken = output => output.output_type === "error";
    const failed = code.some(cell => cell.outputs.toJSON().some(broken));
    const idle = panel.sessionContext.session?.kernel?.status === "idle";
    const done = cell => cell.executionCount !== null && cell.executionState === "idle";
    return [code.filter(done).length, idle && (failed || code.every(done))];
}}"""
_CONNECTED = f"""timeout => {{ {_MODEL}
    const context = panel.sessionContext;
    const connected = context.ready.then(() => context.session.kernel.info).then(() => true);
    return Promise.race([connected, new Promise(resolve => setTimeout(resolve, timeout, false))]);
}}"""
_SHUT_DOWN = f"""() => {{ {_MODEL}
    const waited = new Promise(resolve => setTimeout(resolve, 5000));
    return Promise.race([panel.sessionContext.shutdown(), waited]);
}}"""
_OUTPUTS = (
    f"() => {{ {_MODEL} return cells.map(cell => cell.type === 'code' ? "
    "cell.outputs.toJSON() : []); }"
)

_RESTART = f"() => {{ {_MODEL} return panel.sessionContext.session.kernel.restart(); }}"
_RUN_CELL = f"""number => {{ {_MODEL}
    panel.content.activeCellIndex = number;
    window.jupyterapp.commands.execute("notebook:run-cell");
}}"""
_COUNTS = f"() => {{ {_MODEL} return cells.map(cell => cell.executionCount ?? null); }}"
_SOURCES = f"() => {{ {_MODEL} return cells.map(cell => cell.sharedModel.getSource()); }}"
_SCROLLED = f"number => {{ {_MODEL} return panel.content.scrollToItem(number, 'start'); }}"
# How many lines or sets of marks each figure of plotly shows.
_TRACES = """plots => {
    const drawn = trace => trace.querySelector("path.js-line[d^=M], .points path");
    const traces = plot => Array.from(plot.querySelectorAll(".scatterlayer .trace"));
    return plots.map(plot => traces(plot).filter(drawn).length);
}"""

# Whether all views and figures of an output have drawn, figures every trace of theirs.
_COMPLETE = """output => {
    const all = [output, ...output.querySelectorAll("*")];
    const those = selector => all.filter(one => one.matches(selector));
    const views = those(".gfe-view, .gfe-figure");
    const plots = those(".js-plotly-plot");
    const images = those("img");
    const drawn = plot => plot._fullData && plot.querySelector(".main-svg")
        && plot.querySelectorAll(".scatterlayer .trace").length === plot._fullData.length;
    return those(".gfe-view, .gfe-figure, .js-plotly-plot, .jupyter-widgets").length
        && views.every(view => view.dataset.drawn)
        && plots.every(drawn) && images.every(image => image.complete);
}"""
# Views, figures and pictures that are not part of another one.
_DRAWINGS = ":is(.gfe-view, .js-plotly-plot, .widget-image):not(.gfe-view *)"
# Words of a figure: the titles of the axes and one tick of each.
_TEXTS = ".js-plotly-plot :is(.xtitle, .ytitle, .xtick:nth-child(2) text, .ytick:nth-child(2) text)"
# Cells that come into view are filled in when the page has nothing else to do.
_DRAWN = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(
    () => requestIdleCallback(done, { timeout: 2000 }))))"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    executable = find_browser()
    if executable is None:
        raise SystemExit(ABSENT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()


class LabServer:
    """JupyterLab as a reader starts it, with settings and workspaces in throw-away folders."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.url = f"http://localhost:{(port := _free_port())}"
        self.log = scratch / "jupyterlab.log"
        quiet = scratch / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        quiet.parent.mkdir(parents=True)
        quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
        config = scratch / "jupyter_config.py"
        config.write_text(_CONFIG.format(port=port, settings=str(scratch / "settings")))
        environment = os.environ | {
            "JUPYTERLAB_GALATA_ROOT_DIR": str(root),
            "JUPYTER_CONFIG_DIR": str(scratch / "config"),
            "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        }
        first = min(root.glob("*.ipynb"))
        command = [sys.executable, "-m", "gfe_core", "lab", str(first), f"--config={config}"]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=environment, cwd=root, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_up(self, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/api", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End the server, and with it its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def lab_over(folder: Path, scratch: Path) -> Iterator[LabServer]:
    """JupyterLab over a copy of a folder with notebooks."""
    root = scratch / folder.name
    shutil.copytree(folder, root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    server = LabServer(root, scratch)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


class NotebookPage:
    """One notebook in a fresh workspace and a fresh browser context."""

    def __init__(self, browser: Browser, lab: LabServer, notebook: str) -> None:
        self.name = Path(notebook).stem
        self.console_errors: list[str] = []
        self._context = browser.new_context(viewport=VIEWPORT)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self._keep(f"uncaught: {error}"))
        self.page.goto(
            f"{lab.url}/lab/workspaces/test-{uuid.uuid4().hex[:8]}/tree/{notebook}?reset"
        )
        self.page.wait_for_selector(
            ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell", timeout=60_000
        )
        self.wait_for_idle_kernel()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._keep(f"{message.text} ({message.location.get('url', '')})")

    def _keep(self, error: str) -> None:
        if not any(words in error for words in NOT_OURS):
            self.console_errors.append(error)

    def wait_for_idle_kernel(self, timeout: float = 60) -> None:
        if not self.page.evaluate(_CONNECTED, 1000 * timeout):
            raise TimeoutError(
                f"no kernel for {self.name} after {timeout:.0f} s; is `kernelspec` in its metadata?"
            )
        selector = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
        self.page.wait_for_selector(selector, state="attached", timeout=1000 * timeout)

    def clear(self) -> None:
        """Forget the saved outputs, so that whatever is seen later was computed here."""
        self.page.evaluate(
            "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
        )

    def run_all(self, timeout: float = 180) -> None:
        """Choose Run > Run All Cells and wait until every cell has run, or one has failed.

        Args:
            timeout: seconds that one cell may take; a busy machine takes longer for all of them.
        """
        self.clear()
        self.page.click('.lm-MenuBar-itemLabel:text-is("Run")')
        self.page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
        known = -1
        finished = False
        deadline = 0.0
        while not finished:
            n_done, finished = self.page.evaluate(_PROGRESS)
            if n_done > known:
                known = n_done
                deadline = time.monotonic() + timeout
            elif time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {known} cells have run, the next has not ended")
            self.page.wait_for_timeout(300)
        self.wait_for_idle_kernel()

    def restart(self) -> None:
        """Start a fresh kernel and forget all outputs."""
        self.page.evaluate(_RESTART)
        self.wait_for_idle_kernel()
        self.clear()

    def run_cell(self, number: int) -> None:
        """Run one cell, as Shift+Enter does; its end is not waited for."""
        self.page.evaluate(_RUN_CELL, number)

    def keep_still(self) -> None:
        """Let no view play by itself, so that a still is the same on every run."""
        self.page.emulate_media(reduced_motion="reduce")

    def slow_down(self, times: float) -> None:
        """Make the page's processor slower by a factor, as on a small machine."""
        session = self._context.new_cdp_session(self.page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": times})

    def cell(self, number: int) -> Locator:
        """Bring a cell into view."""
        self.page.evaluate(_SCROLLED, number)
        return self.page.locator(f'.jp-Cell[data-windowed-list-index="{number}"]')

    def traces(self, number: int) -> list[int]:
        """Number of traces that each plotly figure of a cell has drawn."""
        return self.cell(number).locator(".js-plotly-plot").evaluate_all(_TRACES)

    def wait_for_traces(self, number: int, *n: int) -> None:
        """Wait until a cell shows plotly figures with n traces each, or one figure with any."""
        deadline = time.monotonic() + 60
        while (drawn := self.traces(number)) != [*n] and (n or len(drawn) != 1 or not drawn[0]):
            if time.monotonic() > deadline:
                raise AssertionError(f"cell {number} of {self.name}: {drawn} traces, not {[*n]}")
            self.page.wait_for_timeout(100)

    def figures(self) -> dict[int, list[int]]:
        """Number of a cell -> traces of each figure that it holds as plotly's JSON."""
        held: dict[int, list[int]] = {}
        for number, outputs in enumerate(self.outputs()):
            for output in outputs:
                if PLOTLY in output.get("data", {}):
                    held.setdefault(number, []).append(len(output["data"][PLOTLY]["data"]))
        return held

    def asking(self) -> list[int]:
        """The cells that ask a question."""
        sources = self.page.evaluate(_SOURCES)
        return [number for number, source in enumerate(sources) if "widgets.predict(" in source]

    def guess_everything(self) -> list[int]:
        """Answer every question with its first option.

        Returns:
            The cells whose answer holds a figure.
        """
        sources = self.page.evaluate(_SOURCES)
        asking = self.asking()
        for number in asking:
            asked = self.cell(number)
            asked.locator(".gfe-predict input").first.click()
            asked.get_by_role("button", name="Commit my guess").click()
            asked.get_by_role("button", name="Committed").wait_for()
            if "reveal=" in sources[number]:  # below question, answers, button and verdict
                asked.locator(".gfe-predict > :nth-child(5)").wait_for(timeout=120_000)
        figures = ".gfe-figure, .js-plotly-plot"
        return [number for number in asking if self.cell(number).locator(figures).count()]

    def still(self, number: int, k: int) -> bytes:
        """Return a picture of an output of a cell as it is drawn; films stand at their end."""
        child = self.cell(number).locator(".jp-OutputArea-child").nth(k)
        output = child.locator(".jp-OutputArea-output")
        self.wait_until_drawn(child, f"cell {number} of {self.name}: output {k}")
        for film in output.locator(".gfe-player .frame").all():
            if film.input_value() == "0":
                film.press("End")
                film.blur()
        self.page.mouse.move(0, 0)
        self.page.evaluate(_DRAWN)
        return output.screenshot(animations="disabled")

    def wait_until_drawn(self, part: Locator, name: str) -> None:
        """Bring a part of the page into view and wait until its views and figures have drawn."""
        part.scroll_into_view_if_needed()
        deadline = time.monotonic() + 60
        while not part.evaluate(_COMPLETE):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not drawn")
            self.page.wait_for_timeout(100)

    def drawings(self, number: int) -> Locator:
        """The outermost elements of a cell that hold views and figures."""
        return self.cell(number).locator(_DRAWINGS)

    def texts_missing(self, number: int) -> list[str]:
        """Words of plotly's figures in a cell that are in the page but are not visible."""
        missing = []
        for text in self.cell(number).locator(_TEXTS).all():
            if not text.is_visible() or is_flat(text.screenshot()):
                missing.append(f"no text {text.text_content()!r}")
        return missing

    def trouble_with_picture(self, number: int, k: int, width: int) -> str:
        """What is wrong with a saved picture as the page shows it; empty if nothing is.

        JupyterLab gives pictures no alternative text, whatever their metadata say.
        """
        output = self.cell(number).locator(".jp-OutputArea-child").nth(k)
        picture = output.locator("img")
        if picture.count() != 1:
            return f"{picture.count()} pictures"
        picture.scroll_into_view_if_needed()
        self.page.evaluate(_DRAWN)
        if picture.evaluate("image => image.naturalWidth") != width:
            return "not the picture that was saved"
        return "blank" if is_blank(picture.screenshot()) else ""

    def shut_down(self) -> None:
        """End the kernel; the notebook stays open."""
        self.page.evaluate(_SHUT_DOWN)

    def counts(self) -> list[int | None]:
        """The execution count of each cell."""
        return self.page.evaluate(_COUNTS)

    def outputs(self) -> list[list[dict[str, Any]]]:
        """The outputs of each cell, as JupyterLab holds them."""
        return self.page.evaluate(_OUTPUTS)

    def troubles(self) -> list[str]:
        """Everything a reader should never see.

        Errors, stderr, broken widgets, messages on the console.
        """
        found = [f"console: {message}" for message in self.console_errors]
        for number, outputs in enumerate(self.outputs()):
            for output in outputs:
                if output["output_type"] == "error":
                    found.append(f"cell {number} failed: {output['ename']}: {output['evalue']}")
                elif output.get("name") == "stderr":
                    found.append(f"cell {number} wrote to stderr: {output['text']}")
        for text in (
            "Error displaying widget",
            "Error creating widget",
            "Loading widget...",
            "model not found",
        ):
            if count := self.page.get_by_text(text).count():
                found.append(f"{count} times on the page: {text}")
        return found

    def set_theme(self, theme: str) -> None:
        """Switch to `light` or `dark`."""
        change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
        self.page.evaluate(change, THEMES[theme])
        self.page.wait_for_selector(f'body[data-jp-theme-name="{THEMES[theme]}"]', state="attached")

    def scroll_through(self, label: str) -> None:
        """Show every screenful; with GFE_ARTEFACTS, save each there as NAME-LABEL-NN.png."""
        scroller = self.page.locator(
            ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
        )
        scroller.evaluate("element => element.scrollTo(0, 0)")
        number = 0
        more = True
        while more:
            self.page.evaluate(_DRAWN)
            number += 1
            if ARTEFACTS:
                self.page.screenshot(path=Path(ARTEFACTS, f"{self.name}-{label}-{number:02d}.png"))
            more = scroller.evaluate("""element => {
                const before = element.scrollTop;
                element.scrollBy(0, 0.9 * element.clientHeight);
                return element.scrollTop > before + 1;
            }""")

    def close(self) -> None:
        """Shut the kernel down and leave; once is enough."""
        if self.page.is_closed():
            return
        self.shut_down()
        self._context.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
