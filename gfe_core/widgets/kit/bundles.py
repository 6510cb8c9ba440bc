"""The front end of each view: one script and one style sheet, which `make bundles` writes.

Their sources are view.js and view.css in the folder of the view, and what they import from kit/.
"""

from pathlib import Path

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
