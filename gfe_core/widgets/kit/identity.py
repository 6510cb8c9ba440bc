"""One look for each solver and each method, wherever it is drawn.

The looks are in identity.json. The colours are those of Okabe and Ito, which colour-blind readers
can tell apart. Grey takes the place of black, because curves are drawn on white and also on
JupyterLab's dark background.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_FILE = json.loads((Path(__file__).parent / "identity.json").read_text(encoding="utf-8"))
INKS: dict[str, str] = _FILE["inks"]
DASHES: dict[str, list[int]] = _FILE["dashes"]
MARKERS: list[str] = _FILE["markers"]


@dataclass(frozen=True)
class Look:
    """Colour, dash and marker of a curve.

    Args:
        colour: colour, "#RRGGBB".
        dash: name in `DASHES`, which lists strokes and gaps in pixels.
        marker: name in `MARKERS`.
    """

    colour: str
    dash: str
    marker: str


NEUTRAL = Look(INKS["grey"], "dot", "circle")
"""Look of reference lines, such as a floor."""

KINDS: dict[str, dict[str, Look]] = {
    kind: {
        name: Look(INKS[entry["look"][0]], *entry["look"][1:])
        for name, entry in _FILE[kind].items()
    }
    for kind in ("solvers", "adjoints", "methods")
}
_NAMED: dict[str, Look] = {
    other: KINDS[kind][name]
    for kind in KINDS
    for name, entry in _FILE[kind].items()
    for other in (name, *entry.get("also", ()))
}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each name in one drawing.

    A known name has its own look. One that begins with a known name, such as "RK4, log grid", has
    the same colour with another dash and marker. Other names take unused colours.

    Args:
        names: names of the curves.

    Example:
        >>> chosen = looks(["anything", "Euler", "Euler, 8 steps"])
        >>> [look.colour for look in chosen.values()]
        ['#0072B2', '#E69F00', '#E69F00']
    """
    chosen: dict[str, Look] = {}
    names = list(dict.fromkeys(names))
    for name in names:
        if name in _NAMED and _NAMED[name] not in chosen.values():
            chosen[name] = _NAMED[name]
    for name in names:
        if name not in chosen:
            known = _begins_with(name)
            choices = _spare() if known is None else _of_colour(known.colour)
            chosen[name] = _free(list(choices), [*chosen.values()], other_colour=known is None)
    return {name: chosen[name] for name in names}


def _begins_with(name: str) -> Look | None:
    """Return the look of the longest known name that this one begins with."""
    known = [one for one in _NAMED if name == one or name.startswith((f"{one}, ", f"{one} "))]
    return _NAMED[max(known, key=len)] if known else None


def _of_colour(colour: str) -> Iterator[Look]:
    for k in range(len(MARKERS)):
        for i, dash in enumerate(DASHES):
            yield Look(colour, dash, MARKERS[(i + k) % len(MARKERS)])


def _spare() -> Iterator[Look]:
    for k in range(len(MARKERS)):
        for i, ink in enumerate(INKS.values()):
            yield Look(ink, [*DASHES][(i + k) % len(DASHES)], MARKERS[(i + k) % len(MARKERS)])


def _free(choices: list[Look], taken: list[Look], *, other_colour: bool) -> Look:
    """Return the first look that is not taken, if possible of a colour that is not taken either."""
    colours = [look.colour for look in taken] if other_colour else []
    fresh = [one for one in choices if one.colour not in colours and one not in taken]
    left = fresh or [one for one in choices if one not in taken]
    return left[0] if left else choices[len(taken) % len(choices)]
