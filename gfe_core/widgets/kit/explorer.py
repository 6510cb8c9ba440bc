"""The base class of everything that is shown: a live view and a sentence.

A notebook output made by `Explorer` holds the view for a reader with a kernel, and a constant text
that strict `nbval` compares. `make refresh` adds a picture of the view as a browser drew it, for
readers without a kernel (GitHub, nbviewer, print).
"""

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ipywidgets import DOMWidget
from ipywidgets.widgets.widget_link import Link

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.files import write_text
from gfe_core.decoders.wrapped import flattened
from gfe_core.types import Decoder
from gfe_core.widgets.kit.page import is_view, page

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_open: dict[tuple[type, str], "Closable"] = {}


@runtime_checkable
class Closable(Protocol):
    """Something shown that holds resources in the browser until it is closed."""

    def close(self) -> None: ...  # noqa: D102


def show_only(shown: Closable, name: str) -> None:
    """Close the earlier object of the same class and name, because its cell has run again.

    Args:
        shown: object that takes the place of the earlier one.
        name: name of what the cell shows.
    """
    if (earlier := _open.pop((type(shown), name), None)) is not None:
        earlier.close()
    _open[type(shown), name] = shown


def own_copy(decoder: Decoder) -> Any:
    """Copy a decoder for a view that encodes on request; the samples of the copy are rows.

    A request may arrive in another thread while a cell trains, and `encode` refuses weights that
    change while it runs.
    """
    return flattened(copy.deepcopy(decoder))


def live_view(widget: DOMWidget) -> dict[str, Any]:
    """Return the part of a mime bundle that shows a widget to a reader with a kernel.

    Args:
        widget: live view.

    Returns:
        One entry, from the mime type of widgets to the reference that the front end follows; no
        entry for a closed widget.
    """
    if widget.comm is None:
        return {}
    return {_WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


class Explorer:
    """Show a widget, and say in a sentence what it shows.

    Args:
        name: name of the explorer; making another one of the same class and name closes this one.
        widget: live view.
        alt_text: one sentence that says what to see, without numbers from training or timing.
    """

    link: Link | None = None
    """Link by which the browser keeps traits of two views of the widget equal."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Make every view refuse wrong arguments in the same words."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = in_own_words(cls.__init__)

    def __init__(self, name: str, widget: DOMWidget, alt_text: str) -> None:
        self.name = name
        self.widget = widget
        self.alt_text = alt_text
        show_only(self, name)

    def __repr__(self) -> str:
        return f"Explorer({self.name!r}): {self.alt_text}"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"text/plain": repr(self)} | live_view(self.widget), {}

    def save_html(self, path: str | Path) -> Path:
        """Write one file that shows the present view without a kernel or a network.

        An explorer with several views writes the first of them.

        Args:
            path: path of the file; an existing file is replaced once the new one is complete.

        Returns:
            The path.

        Raises:
            TypeError: the explorer shows no view of the kit.
        """
        checks.path("path", path)
        parts = [self.widget, *getattr(self.widget, "children", ())]
        views = [part for part in parts if is_view(part)]
        checks.require(
            len(views) > 0,
            f"{type(self).__name__} shows a widget that needs its kernel, and no view of the kit, "
            "which a page could hold. Save the notebook instead.",
            TypeError,
        )
        write_text(path, page(views[0], getattr(views[0], "title", "") or self.name))
        return Path(path)

    def close(self) -> None:
        """Close the widget and what it holds, in the browser too."""
        if self.link is not None:
            self.link.close()
        for widget in (*getattr(self.widget, "children", ()), self.widget):
            widget.close()


class Document(Explorer):
    """Content that the page itself can show, without a widget and therefore without a kernel.

    Args:
        name: name, as for any explorer.
        data: content by mime type.
        alt_text: one sentence, as for any explorer.
        inside: function that makes a widget with the same content, to be placed inside another
            widget, such as an answer.
    """

    def __init__(
        self, name: str, data: Mapping[str, Any], alt_text: str, inside: Callable[[], DOMWidget]
    ) -> None:
        self.name = name
        self.data = dict(data)
        self.alt_text = alt_text
        self._inside = inside
        show_only(self, name)

    @cached_property
    def widget(self) -> DOMWidget:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A widget that shows the same content, made at the first access."""
        return self._inside()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        alt = {kind: {"alt": self.alt_text} for kind in self.data if kind.startswith("image/")}
        return {"text/plain": repr(self)} | self.data, alt

    def close(self) -> None:
        """Close the widget, if there is one."""
        if "widget" in vars(self):
            super().close()
