"""What a page holds of what a notebook shows: the state of each view, and words between them.

`collect` runs in the kernel of a notebook and lets every explorer add its parts to its output.
"""

import base64
from collections.abc import Iterator
from typing import Any

import ipywidgets

from gfe_core.widgets.kit.bundles import bundle_of
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.kit.page import is_view, synced
from gfe_core.widgets.lessons import Prediction

PARTS = "application/vnd.gfe-parts+json"
"""Mime type of the parts of an output."""

Part = dict[str, Any]
"""{"bundle", "state"} of a view, {"html"}, or {"png"} as base64.

A view whose trait is kept equal with another's also has {"link": {"trait", "part", "other"}}.
"""


def collect(shell: Any) -> None:
    """Let each explorer and each prediction that this kernel shows say what a page needs of it.

    Args:
        shell: of IPython, which shows them.
    """
    shown = shell.display_formatter.mimebundle_formatter
    shown.for_type(Explorer, _explorer)
    shown.for_type(Prediction, _prediction)


def _explorer(explorer: Explorer) -> tuple[dict[str, Any], dict[str, Any]]:
    data, metadata = explorer._repr_mimebundle_()
    # what a document shows is saved with its notebook
    return data if isinstance(explorer, Document) else data | {PARTS: parts_of(explorer)}, metadata


def _prediction(asked: Prediction) -> tuple[dict[str, Any], dict[str, Any]]:
    question = {
        "question": asked.question,
        "options": dict(asked.replies),
        "answer": asked.answer,
        "because": asked.because,
        "revealed": [] if asked.shown is None else parts_of(asked.shown),
    }
    return asked._repr_mimebundle_() | {PARTS: question}, {}


def parts_of(shown: Any) -> list[Part]:
    """Return the parts of an explorer or a widget, from top to bottom."""
    explored = isinstance(shown, Explorer)
    widgets = list(_leaves(shown.widget if explored else shown))
    parts = [_part(widget) for widget in widgets]
    if explored and shown.link is not None:
        (leader, trait), (follower, other) = shown.link.source, shown.link.target
        at, to = widgets.index(leader), widgets.index(follower)
        parts[at]["link"] = {"trait": trait, "part": to, "other": other}
    return parts


def _leaves(widget: Any) -> Iterator[Any]:
    """Yield the widgets that a box holds, or the widget itself."""
    if not hasattr(widget, "children"):
        yield widget
    for child in getattr(widget, "children", ()):
        yield from _leaves(child)


def _part(widget: Any) -> Part:
    if is_view(widget):
        return {"bundle": bundle_of(widget), "state": synced(widget)}
    if isinstance(widget, ipywidgets.Image):
        return {"png": base64.b64encode(bytes(widget.value)).decode("ascii")}
    return {"html": widget.value if isinstance(widget, ipywidgets.HTML) else ""}
