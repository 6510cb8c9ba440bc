"""A view as a page of its own: one file that needs no kernel and no network."""

import json
import math
from collections.abc import Mapping
from html import escape
from typing import Any

import anywidget
from ipywidgets import DOMWidget

from gfe_core import checks
from gfe_core.widgets.kit.bundles import classic, draws, script, style
from gfe_core.widgets.kit.pictures import base64_of

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
{page_style}{style}</style></head><body><main data-live="{live}"></main>
<script type="application/json" id="state">{state}</script>
<script>
{script}
</script><script type="module">
{page_script}
</script></body></html>
"""


def is_view(widget: DOMWidget) -> bool:
    """Return whether a widget draws itself from a bundle of the kit, so that a page can show it."""
    bundle = str(widget.trait_values().get("_esm", ""))
    return isinstance(widget, anywidget.AnyWidget) and draws(bundle)


def page(view: DOMWidget, title: str, *, live: bool = False) -> str:
    """Return a view of the kit, with all that it shows, as one HTML page.

    Args:
        view: widget that draws itself in the browser, from a bundle.
        title: title of the page.
        live: whether a script beside the page answers requests, as in tests; otherwise controls
            that ask the kernel are disabled.

    Raises:
        TypeError: the widget is not one of the kit's views.
    """
    checks.require(
        is_view(view),
        f"`view` must be a view of the kit, such as `explorer.widget`, got "
        f"{checks.described(view)}.",
        TypeError,
    )
    own_page = getattr(view, "own_page", None)
    if own_page is not None:
        return own_page(title)
    traits = view.trait_values()
    return _PAGE.format(
        title=escape(title),
        live=json.dumps(live),
        state=json.dumps(synced(view), allow_nan=False).replace("<", "\\u003c"),
        page_style=style("kit"),
        style=traits["_css"],
        script=classic(traits["_esm"], "gfeView").replace("</", "<\\/"),
        page_script=script("kit"),
    )


def synced(view: DOMWidget) -> dict[str, Any]:
    """Return the traits that the kit's own classes share with the browser, as JSON.

    Bytes become {"base64": text}, numbers that are not finite become null.
    """
    kinds = type(view).__mro__[: type(view).__mro__.index(anywidget.AnyWidget)]
    names = {name for kind in kinds for name in kind.class_own_traits(sync=True)}
    return {name: _plain(getattr(view, name)) for name in sorted(names) if name[0] != "_"}


def in_base64(data: bytes) -> dict[str, str]:
    """Return bytes in the form that they have in the JSON of a state."""
    return {"base64": base64_of(data)}


def _plain(value: Any) -> Any:
    """Return a trait as JSON: bytes become base64, numbers that are not finite become null."""
    if isinstance(value, bytes):
        return in_base64(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
