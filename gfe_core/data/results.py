"""Result files that the project ships in data/results: where each lies, and how to read it."""

import json
from pathlib import Path
from typing import Any


def folder() -> Path:
    """Where they lie: data/results of the repository."""
    return Path(__file__).parents[2] / "data" / "results"


def path(name: str) -> Path:
    """The file of a result, for example of `python -m gfe_core reproduce table1-few`."""
    return folder() / f"{name.replace('-', '_')}.json"


def load(name: str) -> dict[str, Any]:
    """Read a result file.

    Raises:
        FileNotFoundError: there is none; the text names the command that makes it.
    """
    if not path(name).exists():
        command = (
            "make bench"
            if name in ("bench", "adjoints")
            else f"python -m gfe_core reproduce {name}"
        )
        raise FileNotFoundError(f"{path(name)} is missing. Make it: `{command}`.")
    return json.loads(path(name).read_text(encoding="utf-8"))
