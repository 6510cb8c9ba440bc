"""The front end of each view: one script and one style sheet, which `make bundles` writes.

Their sources are view.js and view.css in the folder of the view, and what they import from kit/.
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
        name: folder of the view, "kit" for what a saved page runs, "preview" for what follows the
            flow in the browser, or "actions" for what the menu of a view does.
    """
    return (_STATIC / f"{name}.js").read_text(encoding="utf-8")


def style(name: str) -> str:
    """Return the style sheet of a view.

    Args:
        name: folder of the view, or "kit" for that of a saved page.
    """
    return (_STATIC / f"{name}.css").read_text(encoding="utf-8")


def views() -> list[str]:
    """Return the names of the bundles that draw a view."""
    return sorted(path.stem for path in _STATIC.glob("*.js") if draws(script(path.stem)))


def draws(module: str) -> bool:
    """Return whether a script is the bundle of a view: it exports the widget that hosts render."""
    return bool(_EXPORT.search(module))


def classic(module: str, name: str) -> str:
    """Return the bundle of a view as a script that is no module.

    Args:
        module: the bundle.
        name: of what it exports, after `globalThis.`.
    """
    body = _EXPORT.sub(rf"globalThis.{name} = \1;", module)
    return f'(() => {{\n"use strict";\n{body}\n}})();'


def bundle_of(view: Any) -> str:
    """Return the name of the bundle that a view draws itself with.

    Args:
        view: a widget of the kit.
    """
    return _names()[view.trait_values()["_esm"]]


@cache
def _names() -> dict[str, str]:
    """Map the script of each bundle to its name; read once, as a page asks for every view."""
    return {script(path.stem): path.stem for path in _STATIC.glob("*.js")}
