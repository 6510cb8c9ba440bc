"""The still of a map of points: what a reader without a kernel sees of it, in its light colours."""

from typing import Any

import numpy as np
from PIL import Image, ImageColor

from gfe_core.widgets.kit.drawing import (
    BACKGROUND,
    INK,
    RULE,
    SOFT,
    Axes,
    Box,
    Scale,
    Sheet,
    coloured,
)
from gfe_core.widgets.kit.style import COLOURS, DASHES, INKS, ON_INKS

_CURVES = ("codes mixed, as A", "as B", "pixels mixed, own code")

_WIDTH = 1000
_MARGIN = 16
_MAIN = 500
_GAP = 32
_THEME = {"fg": INK, "bg": BACKGROUND}


def map_picture(shown: Any) -> Image.Image:
    """Draw the first screen of a `PointMap`, 1000 pixels wide.

    Its map, the map beside it or the way from A to B.

    Args:
        shown: the widget; its traits are read.
    """
    top = _MARGIN + 36
    sheet = Sheet(_WIDTH, top + 20 + _MAIN + _MARGIN)
    sheet.text((_MARGIN, _MARGIN), shown.title, 20)
    flat = np.frombuffer(shown.flat, np.float32).reshape(len(shown.names), -1, 2)[shown.choice]
    name = shown.names[shown.choice]
    layout = flat
    how = "by PCA"
    if shown.perplexities:
        shape = (len(shown.names), len(shown.perplexities), -1, 2)
        layout = np.frombuffer(shown.layouts, np.float32).reshape(shape)[shown.choice, shown.frame]
        how = f"t-SNE with perplexity {shown.perplexities[shown.frame]:.0f}"
    sheet.text((_MARGIN, top), f"{name}, {how}", 12, SOFT)
    box = (_MARGIN, top + 20, _MARGIN + _MAIN, top + 20 + _MAIN)
    axes = _draw_map(sheet, box, layout, shown, 8)
    left = _MARGIN + _MAIN + _GAP
    if shown.n_mix:
        _draw_way(sheet, axes, layout, shown)
        _draw_between(sheet, left, top, shown)
    else:
        _draw_beside(sheet, left, top, flat, shown)
        for map_axes, positions in ((axes, layout), (_square(_beside_box(left, top)), flat)):
            _draw_near(sheet, map_axes, positions, shown)
    return sheet.finished(_few_colours())


def _few_colours() -> np.ndarray:
    """Return the inks on their way to black and white, and greys, uint8 (colours, 3)."""
    inks = [ImageColor.getrgb(ink) for ink in (*INKS, *COLOURS) if ink.startswith("#")]
    ramps = [
        coloured(np.arange(6), (0, 5), [end, ink])
        for ink in inks
        for end in ((0, 0, 0), (255, 255, 255))
    ]
    return np.concatenate([*ramps, coloured(np.arange(32), (0, 31), [(0, 0, 0), (255, 255, 255)])])[
        :256
    ]


def _spot(axes: Axes, layout: np.ndarray, row: int) -> np.ndarray:
    x, y = layout[row].tolist()
    return axes.at(x, y).ravel()


def _called(shown: Any, point: int) -> int:
    """The row number of a point."""
    return shown.rows[point] if shown.rows else point


def _near(shown: Any) -> list[int]:
    """Return the rows of the nearest points of the chosen point."""
    rows = np.frombuffer(shown.nearest, np.uint16).reshape(len(shown.names), len(shown.labels), -1)
    return rows[shown.choice, shown.first["point"]].tolist()


def _draw_near(sheet: Sheet, axes: Axes, layout: np.ndarray, shown: Any) -> None:
    """Draw a ring around the chosen point and lines to its nearest."""
    here = _spot(axes, layout, shown.first["point"])
    for colour, width in ((BACKGROUND, 4), (INK, 1.4)):
        for row in _near(shown):
            sheet.line(np.stack([here, _spot(axes, layout, row)]), colour, width)
    _ring(sheet, here)


def _square(box: Box) -> Axes:
    return Axes(box=box, x=Scale(low=-1.1, high=1.1), y=Scale(low=-1.1, high=1.1))


def _beside_box(left: float, top: float) -> Box:
    return (left, top + 20, left + 290, top + 310)


def _draw_map(sheet: Sheet, box: Box, layout: np.ndarray, shown: Any, radius: float) -> Axes:
    """Draw a frame and one mark for each point, with its class."""
    x0, y0, x1, y1 = box
    sheet.line(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]), RULE)
    axes = _square(box)
    for spot, label in zip(axes.at(layout[:, 0], layout[:, 1]), shown.labels, strict=True):
        ink = INKS[label % len(INKS)]
        words = ON_INKS[label % len(INKS)]
        fill = _THEME.get(ink) or ink
        sheet.marker(tuple(spot), 0, radius, fill, [(1, INK if ink == "bg" else BACKGROUND)])
        sheet.text(
            tuple(spot),
            shown.class_names[label][:1],
            round(1.4 * radius),
            _THEME.get(words) or words,
            "mm",
        )
    return axes


def _ring(sheet: Sheet, spot: np.ndarray, letter: str = "") -> None:
    angle = np.linspace(0, 2 * np.pi, 40)
    circle = spot + 12 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for colour, width in ((BACKGROUND, 5), (INK, 2.4)):
        sheet.line(circle, colour, width)
    if letter:
        corner = (spot[0] + 15, spot[1] - 13)
        sheet.marker(corner, 0, 9, BACKGROUND)
        sheet.text(corner, letter, 14, INK, "mm")


def _pictures(data: bytes, shown: Any) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(-1, *shown.image_shape)


def _draw_tile(
    sheet: Sheet, at: tuple[float, float], side: float, words: str, pixels: np.ndarray
) -> None:
    x, y = at
    sheet.text((x, y), words, 12)
    sheet.paste(pixels, (x, y + 20, x + side, y + 20 + side))


def _draw_beside(sheet: Sheet, left: float, top: float, flat: np.ndarray, shown: Any) -> None:
    """Draw the same points by PCA, and the chosen image with its reconstruction."""
    point = shown.first["point"]
    sheet.text((left, top), "the same points by PCA", 12, SOFT)
    _draw_map(sheet, _beside_box(left, top), flat, shown, 5.5)
    _draw_tile(sheet, (left + 310, top), 130, shown.noun, _pictures(shown.images, shown)[point])
    _draw_tile(
        sheet, (left + 310, top + 164), 130, "from its code", _pictures(shown.drawn, shown)[point]
    )
    sheet.text(
        (left, top + 326), "its five nearest in all dimensions; lines lead to them", 12, SOFT
    )
    for k, row in enumerate(_near(shown)):
        x = left + 89 * k
        sheet.paste(_pictures(shown.images, shown)[row], (x, top + 346, x + 77, top + 423))
    told = f"{shown.noun} {_called(shown, point)}, class {shown.class_names[shown.labels[point]]}"
    sheet.text((left, top + 440), told)
    for k, words in enumerate(_lines(shown.notes[shown.choice], 62)):
        sheet.text((left, top + 464 + 18 * k), words, 13, SOFT)


def _lines(words: str, length: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= length:
            lines.append("")
        lines[-1] += word + " "
    return lines


def _draw_way(sheet: Sheet, axes: Axes, layout: np.ndarray, shown: Any) -> None:
    """Draw the line from A to B and how far along it the slider stands."""
    a, b = (_spot(axes, layout, k) for k in shown.pair)
    way = np.linspace(a, b, shown.n_mix)
    if shown.way:
        x, y = np.frombuffer(shown.way, np.float32).reshape(-1, 2).T
        way = axes.at(x, y)
    for colour, width in ((BACKGROUND, 5), (INK, 2.2)):
        sheet.line(way, colour, width)
    _ring(sheet, a, "A")
    _ring(sheet, b, "B")
    sheet.marker(tuple(way[shown.first["step"]]), 3, 7, INK)


def _draw_between(sheet: Sheet, left: float, top: float, shown: Any) -> None:
    """Draw A, both mixtures, B, and the energies along the way."""
    step = shown.first["step"]
    images = _pictures(shown.images, shown)
    mixes = _pictures(shown.mixes, shown).reshape(2, shown.n_mix, *shown.image_shape)
    side = (_WIDTH - _MARGIN - left - 3 * 12) / 4
    tiles = {
        "A": images[shown.pair[0]],
        "codes mixed": mixes[0, step],
        "pixels mixed": mixes[1, step],
    }
    for k, (words, pixels) in enumerate((tiles | {"B": images[shown.pair[1]]}).items()):
        _draw_tile(sheet, (left + k * (side + 12), top), side, words, pixels)
    curves = np.frombuffer(shown.curves, np.float32).reshape(len(_CURVES), -1)
    sheet.text((left, top + side + 44), f"energy above the floor, {shown.unit}", 12, SOFT)
    box = (left + 44, top + side + 72, _WIDTH - _MARGIN - 8, top + side + 290)
    steps = np.linspace(0, 1, shown.n_mix)
    axes = Axes(
        box=box, x=Scale(low=0, high=1), y=Scale(low=0, high=1.08 * float(curves.max()) or 1.0)
    )
    axes.draw(sheet, x_title="t, from A to B")
    for k, (name, curve) in enumerate(zip(_CURVES, curves, strict=True)):
        sheet.line(axes.at(steps, curve), COLOURS[k], 2, DASHES[k])
        x = left + (0, 172, 262)[k]
        y = box[3] + 58
        sheet.line(np.array([(x, y), (x + 28, y)]), COLOURS[k], 2, DASHES[k])
        sheet.text((x + 36, y), name, 12, INK, "lm")
