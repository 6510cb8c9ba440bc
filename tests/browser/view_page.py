"""A view of the kit in a page of its own, where a script stands for the kernel."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
from playwright.sync_api import Browser, Page

from gfe_core.widgets.kit.style import PAGE, STORED_MODEL
from gfe_core.widgets.player.player import _plain

OpenView = Callable[..., Page]


def synced(view: anywidget.AnyWidget) -> dict[str, Any]:
    """The traits that the kit's own classes share with the browser."""
    kinds = type(view).__mro__[: type(view).__mro__.index(anywidget.AnyWidget)]
    traits = {key: trait for kind in kinds for key, trait in kind.class_own_traits().items()}
    return {
        key: _plain(getattr(view, key))
        for key, trait in traits.items()
        if trait.metadata.get("sync") and key[0] != "_"
    }


@contextmanager
def pages_of(
    chromium: Browser, view: anywidget.AnyWidget, style: str, name: str, folder: Path
) -> Iterator[OpenView]:
    """Open the view, whose root has the class gfe-NAME, offline.

    At the end nothing may have been complained about.
    """
    complaints: list[str] = []
    contexts = []

    def opened(width: int = 1000, *, live: bool = True, **context: Any) -> Page:
        script = str(view.trait_values()["_esm"]).split("export default", maxsplit=1)[0]
        state = json.dumps(synced(view))
        page = PAGE.format(title=name, state=state, style=style, model=STORED_MODEL, script=script)
        page = page.replace("model: storedModel(", "model: window.model = storedModel(")
        path = folder / f"{name}.html"
        path.write_text(page.replace("live: false", f"live: {str(live).lower()}"), encoding="utf-8")
        contexts.append(
            chromium.new_context(offline=True, viewport={"width": width, "height": 900}, **context)
        )
        sheet = contexts[-1].new_page()
        sheet.on("pageerror", lambda error: complaints.append(str(error)))
        sheet.goto(path.as_uri())
        sheet.wait_for_selector(f".gfe-{name}[data-drawn]")
        return sheet

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
