"""Result files: where those lie that come with the kit, where new ones go, and how to read them."""

import json
from pathlib import Path
from typing import Any

from gfe_core.data.places import checkout, shipped


def folder() -> Path:
    """Where they are written: data/results of the repository, else of the current folder."""
    return (checkout() or Path.cwd()) / "data" / "results"


def path(name: str) -> Path:
    """Where a result is written, for example by `python -m gfe_core reproduce table1-few`."""
    return folder() / f"{name.replace('-', '_')}.json"


def find(name: str) -> Path | None:
    """The file of a result: one made here, else the one that comes with the kit; None without."""
    own = path(name)
    places = [own] if checkout() else [own, shipped("results") / own.name]
    return next((place for place in places if place.is_file()), None)


def load(name: str) -> dict[str, Any]:
    """Read a result file.

    Raises:
        FileNotFoundError: there is none; the text names the command that makes it.
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
