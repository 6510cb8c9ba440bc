"""A still of the mask explorer, drawn from the arrays that the browser shows."""

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
from gfe_core.widgets.kit.style import COLOURS, HATCH, PALETTES

N_DRAWS = 8

# _FINE: pixels of the hatching in one pixel of the image
_WIDTH = 1000
_MARGIN = 16
_FINE = 24


def mask_picture(shown: Any) -> Image.Image:
    """Draw what a `MaskView` shows, the truth uncovered, about 1000 pixels wide.

    Args:
        shown: the widget; only its arrays and words are read.
    """
    rows, columns = shown.image_shape
    top = _MARGIN + 36
    side = 300.0
    left = 350.0
    n = len(shown.names)
    tile = min((_WIDTH - _MARGIN - left - 14 * (n - 1)) / n, 190.0)
    low = top + 20 + tile + 58
    sheet = Sheet(_WIDTH, low + 250)
    sheet.text((_MARGIN, _MARGIN), shown.title, 20)
    sheet.text((_MARGIN, top), "hatched: what is missing", 12, SOFT)
    pixels = _pictures(shown.image, shown)[0]
    sheet.paste(
        _hatched(pixels, shown.seen),
        (_MARGIN, top + 20, _MARGIN + side, top + 20 + side * rows / columns),
    )
    for k, (name, note) in enumerate(zip(shown.names, shown.notes, strict=True)):
        x = left + k * (tile + 14)
        picture = _pictures(shown.tiles, shown)[k]
        palette = shown.palettes[k]
        sheet.text((x, top), _cut(name, tile), 12)
        sheet.paste(
            coloured(picture.astype(float), (0, 255), PALETTES[palette]) if palette else picture,
            (x, top + 20, x + tile, top + 20 + tile),
        )
        sheet.text((x, top + 26 + tile), note, 12, SOFT)
    _draw_strip(sheet, (left, low), shown)
    _draw_cloud(sheet, (left + 344, low + 20, _WIDTH - _MARGIN, low + 226), shown)
    sheet.text(
        (_MARGIN, low + 150),
        f"sample {shown.values['sample']}, seed {shown.values['seed']}",
        13,
        SOFT,
    )
    for k, words in enumerate(shown.facts.split(", ")):
        sheet.text((_MARGIN, low + 172 + 20 * k), words, 13, SOFT)
    return sheet.finished(_few_colours())


def _few_colours() -> np.ndarray:
    """Return greys, palette, hatching and ink of the cloud, uint8 (colours, 3)."""
    ramps = [(96, [(0, 0, 0), (255, 255, 255)]), (64, PALETTES["cividis"])]
    inks = [*HATCH["light"], COLOURS[0]]
    ramps += [(12, [ImageColor.getrgb(ink), (255, 255, 255)]) for ink in inks]
    return np.concatenate([coloured(np.arange(n), (0, n - 1), ramp) for n, ramp in ramps])


def _pictures(data: bytes, shown: Any) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(-1, *shown.image_shape)


def _hatched(pixels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the image enlarged, diagonal stripes over hidden pixels, uint8 (rows, columns, 3)."""
    large, hole = (
        np.kron(one, np.ones((_FINE, _FINE), np.uint8))
        for one in (pixels, (~seen).astype(np.uint8))
    )
    down, across = np.indices(large.shape)
    stripe = np.asarray((down + across) % (_FINE // 2) < 2)
    inks = [np.array(ImageColor.getrgb(ink)) for ink in HATCH["light"]]
    sheet = np.where(stripe[..., None], inks[1], inks[0])
    return np.where(hole[..., None] > 0, sheet, large[..., None]).astype(np.uint8)


def _draw_strip(sheet: Sheet, at: tuple[float, float], shown: Any) -> None:
    left, top = at
    sheet.text((left, top), f"{N_DRAWS} draws that agree with what is seen", 12, SOFT)
    for k, picture in enumerate(_pictures(shown.draws, shown)):
        x = left + 80 * (k % 4)
        y = top + 20 + 80 * (k // 4)
        sheet.paste(picture, (x, y, x + 72, y + 72))


def _draw_cloud(sheet: Sheet, box: Box, shown: Any) -> None:
    x0, x1, y0, y1 = shown.extent
    axes = Axes(box=box, x=Scale(low=x0, high=x1), y=Scale(low=y0, high=y1))
    left, top, right, bottom = box
    sheet.text((left, top - 20), "codes: drawn (blue), training (grey), whole (ring)", 12, SOFT)
    sheet.line(
        np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]), RULE
    )
    for data, radius, ink in ((shown.ground, 1.8, RULE), (shown.cloud, 2.6, COLOURS[0])):
        for x, y in _inside(axes, data):
            sheet.marker((x, y), 0, radius, ink)
    for spot in _inside(axes, shown.marks):
        angle = np.linspace(0, 2 * np.pi, 40)
        circle = spot + 7 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        for colour, width in ((BACKGROUND, 5), (INK, 2.2)):
            sheet.line(circle, colour, width)


def _inside(axes: Axes, data: bytes) -> np.ndarray:
    """Return the pixels of positions that lie inside the axes, (spots, 2)."""
    spots = np.frombuffer(data, np.float32).reshape(-1, 2)
    at, (left, top, right, bottom) = axes.at(spots[:, 0], spots[:, 1]), axes.box
    return at[(at[:, 0] > left) & (at[:, 0] < right) & (at[:, 1] > top) & (at[:, 1] < bottom)]


def _cut(words: str, width: float) -> str:
    """Shorten words that would run into the next picture."""
    most = int(width / 6.4)
    return words if len(words) <= most else words[: most - 1] + "…"
