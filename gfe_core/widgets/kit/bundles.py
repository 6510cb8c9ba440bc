"""The front end of each view: one script and one style sheet, which `make bundles` writes.

The sources are view.js and view.css in the folder of the view, with their imports from kit/.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

_EXPORT = re.compile(r"export\s*\{\s*([\w$]+) as default\s*\};?\s*$")
_STATIC = Path(__file__).parents[1] / "static"


def script(name: str) -> str:
    """Return the ES module that draws a view.

    Args:
        name: folder of the view, "kit" for the script of a saved page, "preview" for the script
            that follows the flow in the browser, or "actions" for that of a view's menu.
    """
    return (_STATIC / f"{name}.js").read_text(encoding="utf-8")


def style(name: str) -> str:
    """Return the style sheet of a view.

    Args:
        name: folder of the view, or "kit" for the style sheet of a saved page.
    """
    return (_STATIC / f"{name}.css").read_text(encoding="utf-8")


def views() -> list[str]:
    """Return the names of the bundles that draw a view."""
    return sorted(path.stem for path in _STATIC.glob("*.js") if draws(script(path.stem)))


def draws(module: str) -> bool:
    """Return whether a script is the bundle of a view, which exports a widget to be rendered."""
    return bool(_EXPORT.search(module))


def classic(module: str, name: str) -> str:
    """Return the bundle of a view as a classic script, not a module.

    Args:
        module: bundle, an ES module.
        name: name that the exported widget gets in `globalThis`.
    """
    body = _EXPORT.sub(rf"globalThis.{name} = \1;", module)
    return f'(() => {{\n"use strict";\n{body}\n}})();'


def bundle_of(view: Any) -> str:
    """Return the name of the bundle that draws a view.

    Args:
        view: widget of the kit.
    """
    return _names()[view.trait_values()["_esm"]]


@cache
def _names() -> dict[str, str]:
    """Return the name of each bundle by its script; cached, as a page asks once for each view."""
    return {script(path.stem): path.stem for path in _STATIC.glob("*.js")}
