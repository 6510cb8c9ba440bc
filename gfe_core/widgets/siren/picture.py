"""The still of the explorer of implicit decoders, drawn from the arrays of the live view."""

from typing import Any

import numpy as np
from PIL import Image, ImageColor

from gfe_core.widgets.kit.drawing import (
    BACKGROUND,
    INK,
    RULE,
    SOFT,
    Axes,
    Scale,
    Sheet,
    as_hex,
    coloured,
)
from gfe_core.widgets.kit.style import COLOURS, DASHES, HATCH, TOO_LITTLE, TOO_MUCH

_LIMITS = (-0.4, 1.4)
_HONEST = (
    "blue: darker than bilinear,",
    "orange: brighter. Nobody",
    "measured between pixels:",
    "what is added is invented.",
)
_NAMES = ("the code", "bilinear", "nearest pixel", "code − bilinear, ×2")

_WIDTH = 1000
_MARGIN = 16
_TOP = 100
_SIDE = 260
_LARGE = 330
_GAP = 12
_FINE = 32  # points of the hatching in one pixel


def siren_picture(view: Any) -> Image.Image:
    """Draw the pixels with their window, the code and the enlargements in it, and the cut.

    Args:
        view: a `SirenView`.
    """
    values = view.values
    n = view.values["resolution"]
    sheet = Sheet(_WIDTH, 690)
    sheet.text((_MARGIN, 14), view.title, 20)
    seen = f"{values['share']:.0%} of the pixels (seed {values['seed']})"
    told = (
        f"{values['decoder']} · sample {values['sample']} · by {values['by']} · {seen} · "
        f"drawn {n} × {n}"
    )
    sheet.text((_MARGIN, 44), told, 13, SOFT)
    sheet.text((_MARGIN, 62), view.facts, 13, SOFT)
    _draw_image(sheet, view)
    tiles = np.frombuffer(view.tiles, np.uint8).reshape(3, n, n)
    gap = np.clip(2 * (tiles[:1, ..., None].astype(float) - tiles[1:2, ..., None]) / 255, -1, 1)[0]
    added = (
        np.where(gap < 0, -gap * np.array(TOO_LITTLE), gap * np.array(TOO_MUCH))
        .round()
        .astype(np.uint8)
    )
    side = (_LARGE - _GAP - 20) / 2
    left = _MARGIN + _SIDE + 30
    right = _MARGIN + _SIDE + 30 + _LARGE + 24
    corners = ((left, _TOP), (right, _TOP), (right + side + 18, _TOP), (right, _TOP + side + 32))
    for k, ((x, y), name, picture) in enumerate(zip(corners, _NAMES, (*tiles, added), strict=True)):
        size = side if k else _LARGE
        sheet.text((x, y - 4), name, 12, INK, "ls")
        sheet.paste(picture, (x, y, x + size, y + size))
    for k, words in enumerate(_HONEST):
        sheet.text((right + side + 18, _TOP + side + 72 + 18 * k), words, 11, SOFT)
    _draw_cut(sheet, view)
    return sheet.finished(_few_colours())


def _few_colours() -> np.ndarray:
    """Return greys and the inks in use, fading to the background or black, uint8 (colours, 3)."""
    inks = [*HATCH["light"], *COLOURS[:2], as_hex(TOO_LITTLE), as_hex(TOO_MUCH)]
    ramps: list[Any] = [(96, [(0, 0, 0), (255, 255, 255)])]
    ramps += [
        (12, [ImageColor.getrgb(ink), end]) for ink in inks for end in ((0, 0, 0), (255, 255, 255))
    ]
    return np.concatenate([coloured(np.arange(k), (0, k - 1), ramp) for k, ramp in ramps])


def _draw_image(sheet: Sheet, view: Any) -> None:
    """The pixels, hatched where they were not seen, with the window and the cut."""
    rows, columns = view.image_shape
    values = view.values
    large, hole = (
        np.kron(
            np.frombuffer(data, np.uint8).reshape(rows, columns), np.ones((_FINE, _FINE), np.uint8)
        )
        for data in (view.image, view.seen)
    )
    down, across = np.indices(large.shape)
    inks = [np.array(ImageColor.getrgb(ink)) for ink in HATCH["light"]]
    stripe = np.asarray((down + across) % (_FINE // 2) < 3)
    hatched = np.where(stripe[..., None], inks[1], inks[0])
    picture = np.where(hole[..., None] > 0, large[..., None], hatched).astype(np.uint8)
    sheet.text((_MARGIN, _TOP - 4), f"the pixels: {rows} × {columns}", 12, INK, "ls")
    reach = max(1 + 1 / max(rows - 1, columns - 1, 1), 1.06 * values["half"])

    def at(c: float) -> float:
        return (c / reach + 1) / 2 * _SIDE

    def corners(
        half_down: float, half_across: float, middle: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        left = at(middle[1] - half_across)
        right = at(middle[1] + half_across)
        return (
            _MARGIN + left,
            _TOP + at(middle[0] - half_down),
            _MARGIN + right,
            _TOP + at(middle[0] + half_down),
        )

    sheet.paste(np.full((1, 1), 220, np.uint8), (_MARGIN, _TOP, _MARGIN + _SIDE, _TOP + _SIDE))
    sheet.paste(picture, corners(1 + 1 / max(rows - 1, 1), 1 + 1 / max(columns - 1, 1), (0.0, 0.0)))
    left, top, right, bottom = corners(
        values["half"], values["half"], (values["down"], values["across"])
    )
    middle = _TOP + at(2 * view.row / max(rows - 1, 1) - 1)
    frame = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    for width, ink in ((4, BACKGROUND), (1.8, COLOURS[0])):
        sheet.line(frame, ink, width)
        sheet.line(np.array([(left, middle), (right, middle)]), ink, width)


def _draw_cut(sheet: Sheet, view: Any) -> None:
    """The code and the interpolation as curves through one row of pixels."""
    rows, columns = view.image_shape
    half = view.values["half"]
    middle = view.values["across"]
    curves = np.frombuffer(view.curves, np.float32).reshape(2, -1)
    axes = Axes(
        box=(_MARGIN + 40, 490, _WIDTH - _MARGIN, 660),
        x=Scale(low=middle - half, high=middle + half),
        y=Scale(low=_LIMITS[0], high=_LIMITS[1]),
    )
    heading = (
        f"a cut through the window along row {view.row} of the pixels (dots); the code "
        "blue, bilinear dashed"
    )
    sheet.text((_MARGIN, 470), heading, 12, SOFT)
    axes.draw(sheet)
    where = np.linspace(middle - half, middle + half, curves.shape[1])
    for k in (1, 0):
        sheet.line(axes.at(where, np.clip(curves[k], *_LIMITS)), COLOURS[k], 2.4, DASHES[k])
    at = np.linspace(-1, 1, columns)
    image, seen = (
        np.frombuffer(data, np.uint8).reshape(rows, columns)[view.row]
        for data in (view.image, view.seen)
    )
    for c, value, known in zip(at, image / 255, seen, strict=True):
        if abs(c - middle) <= half:
            spot: Any = tuple(axes.at(c, value))
            sheet.marker(
                spot,
                0,
                3.6,
                INK if known else BACKGROUND,
                [(1.4, INK), (0, RULE)] if not known else (),
            )
