"""Result files: where the shipped ones lie, where new ones are written, and how to read them."""

import json
from pathlib import Path
from typing import Any

from gfe_core.data.places import checkout, shipped


def folder() -> Path:
    """Return the folder that results are written to.

    It is data/results of the repository or, without one, of the current folder.
    """
    return (checkout() or Path.cwd()) / "data" / "results"


def path(name: str) -> Path:
    """Return the path that a result is written to, as by `python -m gfe_core reproduce NAME`."""
    return folder() / f"{name.replace('-', '_')}.json"


def find(name: str) -> Path | None:
    """Return the file of a result: one made here, else the shipped one; None if there is none."""
    own = path(name)
    places = [own] if checkout() else [own, shipped("results") / own.name]
    return next((place for place in places if place.is_file()), None)


def load(name: str) -> dict[str, Any]:
    """Read a result file.

    Raises:
        FileNotFoundError: there is no such file; the message names the command that makes it.
    """
    file = find(name)
    if file is None:
        command = (
            "make bench"
            if name in ("bench", "adjoints")
            else f"python -m gfe_core reproduce {name}"
        )
        raise FileNotFoundError(f"{path(name)} is missing. Make it: `{command}`.")
    return json.loads(file.read_text(encoding="utf-8"))
