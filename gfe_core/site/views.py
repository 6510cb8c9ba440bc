"""The parts of a widget that a page holds: the state of each view, and the text between them."""

from collections.abc import Iterator
from typing import Any

import ipywidgets

from gfe_core.widgets.charts.figures import Picture
from gfe_core.widgets.kit.bundles import bundle_of
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.page import is_view, synced
from gfe_core.widgets.kit.pictures import base64_of, smaller

Part = dict[str, Any]
"""{"bundle", "state"} of a view, {"html"}, or {"picture"}, WebP as base64.

If a trait of a view is kept equal to that of another view, its part also has {"link": {"trait",
"part", "other"}}. A view whose choices are recorded has "answers" (see recording).
"""


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
    if isinstance(widget, Picture):
        return {"picture": base64_of(smaller(widget.png))}
    return {"html": widget.value if isinstance(widget, ipywidgets.HTML) else ""}
