"""Colours, dashes and palettes, which the browser's scripts read from the same JSON files."""

import json
from pathlib import Path

from gfe_core.widgets.kit import identity

_LOOK = json.loads(Path(__file__).with_name("look.json").read_text(encoding="utf-8"))

COLOURS: tuple[str, ...] = tuple(identity.INKS.values())
"""Of curves without a name of their own."""
DASHES: tuple[tuple[int, ...], ...] = tuple(map(tuple, identity.DASHES.values()))
# Of lines that hold figures.
NUMBERS = "font-size: 13px; line-height: 1.5; font-variant-numeric: tabular-nums"
NEAR: int = _LOOK["near"]
"""Of the 256 levels of a map, so many are of the energies that matter; others are farther up."""
TOO_LITTLE: tuple[int, ...] = tuple(_LOOK["too_little"])
"""Red, green and blue of missing ink."""
TOO_MUCH: tuple[int, ...] = tuple(_LOOK["too_much"])
"""Of ink that should not be there."""
HATCH: dict[str, list[str]] = _LOOK["hatch"]
"""Ground and lines of hidden pixels: blue, because every grey is a value that a pixel may have."""
INKS: tuple[str, ...] = tuple(_LOOK["inks"])
"""Of classes; "fg" and "bg" are the theme's ink and paper, and the tenth class is drawn open."""
ON_INKS: tuple[str, ...] = tuple(_LOOK["on_inks"])
"""Of words on them."""
PALETTES: dict[str, tuple[tuple[int, ...], ...]] = {
    name: tuple(tuple(bytes.fromhex(one)) for one in stops.split())
    for name, stops in _LOOK["palettes"].items()
}
