"""A view of the kit in a page of its own, where a script stands for the kernel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
from playwright.sync_api import Browser, Page

import gfe_core.widgets
from gfe_core.widgets.kit.page import page

OpenView = Callable[..., Page]
_AXE = Path(gfe_core.widgets.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
_BARRIERS = """async (selector) => {
  const { violations } = await axe.run({ include: [[selector]] }, { preload: false });
  const hard = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return hard.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}"""
_looked_at: set[tuple[str, str]] = set()


def barriers(sheet: Page, selector: str = ".gfe-view") -> list[str]:
    """Return the accessibility barriers that axe-core finds in what a selector matches."""
    assert _AXE.is_file(), "no axe-core: run `make lint`, which installs it"
    sheet.evaluate(_AXE.read_text(encoding="utf-8"))
    return sheet.evaluate(_BARRIERS, selector)


@contextmanager
def pages_of(chromium: Browser, folder: Path) -> Iterator[OpenView]:
    """Open views offline, each in a page of its own.

    At the end no problem may have been reported, neither by the browser nor, once for each
    kind of view in a light and in a dark theme, by axe-core.
    """
    complaints: list[str] = []
    contexts = []

    def opened(
        view: anywidget.AnyWidget, *, live: bool = True, width: int = 1000, **context: Any
    ) -> Page:
        path = folder / "view.html"
        path.write_text(page(view, "view", live=live), encoding="utf-8")
        contexts.append(
            chromium.new_context(offline=True, viewport={"width": width, "height": 900}, **context)
        )
        sheet = contexts[-1].new_page()
        sheet.on("pageerror", lambda error: complaints.append(str(error)))
        sheet.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        sheet.goto(path.as_uri())
        sheet.wait_for_selector(".gfe-view[data-drawn]")
        sheet.evaluate("window.model = gfeModel")
        kind = (type(view).__name__, context.get("color_scheme", "light"))
        if kind not in _looked_at:
            _looked_at.add(kind)
            complaints.extend(barriers(sheet))
        return sheet

    yield opened
    for context in contexts:
        context.close()
    assert complaints == [], complaints
