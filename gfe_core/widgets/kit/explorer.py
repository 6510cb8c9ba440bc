"""The one base of everything that is shown: a live widget, a still picture and a sentence.

A notebook output made by `Explorer` holds three views of the same arrays: the widget for a reader
with a kernel, a PNG for the saved notebook (GitHub, nbviewer, print), and a constant text that
strict `nbval` compares.
"""

import base64
import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ipywidgets import DOMWidget
from PIL import Image

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.files import write_text
from gfe_core.types import Decoder
from gfe_core.widgets.kit.page import is_view, page

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_open: dict[tuple[type, str], "Closable"] = {}


@runtime_checkable
class Closable(Protocol):
    """Something shown that holds resources in the browser until it is closed."""

    def close(self) -> None: ...  # noqa: D102


def show_only(shown: Closable, name: str) -> None:
    """Close what was shown under the same name and by the same class: the cell has run again.

    Args:
        shown: takes its place.
        name: names what the cell shows.
    """
    if (earlier := _open.pop((type(shown), name), None)) is not None:
        earlier.close()
    _open[type(shown), name] = shown


def own_copy(decoder: Decoder) -> Any:
    """Copy a decoder for a view that encodes when its reader asks.

    Requests may come while a cell trains, in another thread: an encode whose weights change
    meanwhile is refused.
    """
    return copy.deepcopy(decoder)


def live_view(widget: DOMWidget) -> dict[str, Any]:
    """Return the part of a mime bundle that shows a widget to a reader with a kernel.

    Args:
        widget: the live view.

    Returns:
        One entry, from the mime type of widgets to the reference that the front end follows; none
        for a closed widget.
    """
    if widget.comm is None:
        return {}
    return {_WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


class Explorer:
    """Show a widget, with a still picture of it for readers without a kernel.

    Args:
        name: what is explored; showing another explorer of the same name closes the earlier one.
        widget: the live view.
        picture: draws the still view from the arrays that the widget shows; called when the output
            is made.
        alt_text: one sentence that says what the picture shows, without trained or timed numbers.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Let every view answer for its arguments in the same words."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = in_own_words(cls.__init__)

    def __init__(
        self, name: str, widget: DOMWidget, picture: Callable[[], Image.Image], alt_text: str
    ) -> None:
        self.name = name
        self.widget = widget
        self.picture = picture
        self.alt_text = alt_text
        show_only(self, name)

    def __repr__(self) -> str:
        return f"Explorer({self.name!r}): {self.alt_text}"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data = {"text/plain": repr(self), "image/png": _png_base64(self.picture())}
        return data | live_view(self.widget), {"image/png": {"alt": self.alt_text}}

    def save_html(self, path: str | Path) -> Path:
        """Write one file that shows the present view without a kernel or a network.

        Args:
            path: of the file; one that is there is replaced once the new one is complete.

        Returns:
            The path.

        Raises:
            TypeError: the explorer shows a plotly figure, which saves itself.
        """
        checks.path("path", path)
        checks.require(
            is_view(self.widget),
            f"{type(self).__name__} shows a plotly figure. Save that: "
            "`explorer.figure.write_html(path)`.",
            TypeError,
        )
        shown = getattr(self.widget, "title", "") or self.name
        write_text(path, page(self.widget, shown))
        return Path(path)

    def close(self) -> None:
        """Close the widget and free what it holds in the browser."""
        self.widget.close()


def _png_base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
