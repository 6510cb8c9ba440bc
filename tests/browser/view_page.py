"""A view of the kit in a page of its own, where a script stands for the kernel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
from playwright.sync_api import Browser, Page

from gfe_core.widgets.kit.page import page

OpenView = Callable[..., Page]


@contextmanager
def pages_of(chromium: Browser, folder: Path) -> Iterator[OpenView]:
    """Open views offline, each in a page of its own.

    At the end nothing may have been complained about.
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
        return sheet

    yield opened
    for context in contexts:
        context.close()
    assert complaints == [], complaints
