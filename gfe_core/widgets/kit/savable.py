"""The base class of views that a reader can save from their menu."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from gfe_core.data.files import write_text
from gfe_core.widgets.kit.bundles import script
from gfe_core.widgets.kit.page import page


class Savable(anywidget.AnyWidget):
    """A view with a menu; the browser draws its picture, and Python writes its page."""

    actions_script = t.Unicode(script("actions")).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._hear)

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        """Answer the menu, which asks for the view as a page."""
        if content == {"ask": "page"}:
            self.send({"page": self._page()})

    def save_html(self, path: str | Path) -> Path:
        """Write one file that plays without a network or a kernel; return its path."""
        write_text(path, self._page())
        return Path(path)

    def _page(self) -> str:
        return page(self, getattr(self, "title", "") or "Gradient flow")
