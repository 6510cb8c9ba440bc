"""The still of the staircase, drawn from the arrays of the live view."""

import math
from typing import Any

import numpy as np
from PIL import Image

from gfe_core.widgets.kit.drawing import (
    BACKGROUND,
    INK,
    RULE,
    SOFT,
    Axes,
    Scale,
    Sheet,
    coloured,
    tidy,
)
from gfe_core.widgets.kit.style import COLOURS, DASHES

_CHARTS = (
    ("gates", "open gates, and below them each gate's probability to be open: blue is 1", 236),
    ("error", "", 170),
    ("multiplier", "λ, the weight of the error against everything else", 100),
)
_ERROR_HEADING = "moving average of the {unit}; dashed: the threshold at the time"

_WIDTH = 1000
_LEFT = 70
_RIGHT = 984
_BLUE = [tuple(bytes.fromhex(COLOURS[0][1:]))]
_INKS = [*_BLUE, tuple(bytes.fromhex(COLOURS[1][1:]))]


def staircase_picture(view: Any) -> Image.Image:
    """Draw open gates, probabilities, error and multiplier against updates.

    Args:
        view: a `StaircaseView`.
    """
    lines = np.frombuffer(view.lines, np.float32).reshape(5, -1).astype(float)
    gates = (
        np.frombuffer(view.gates, np.uint8).reshape(-1, lines.shape[1])
        if lines.size
        else np.zeros((0, 0))
    )
    sheet = Sheet(_WIDTH, 650)
    sheet.text((16, 14), view.title, 20)
    sheet.text((16, 44), state_text(view, lines), 13, SOFT)
    headings = [told or _ERROR_HEADING.format(unit=view.unit) for _, told, _ in _CHARTS]
    for y, heading in zip((72, 338, 530), headings, strict=True):
        sheet.text((16, y), heading, 12, SOFT)
    if lines.size:
        x = Scale(low=0.0, high=float(lines[0, -1]))
        _draw_gates(sheet, x, lines, gates, view.n_gates)
        _draw_error(sheet, x, lines, view.values["threshold"])
        axes = Axes(
            box=(_LEFT, 552, _RIGHT, 624), x=x, y=Scale.around(np.append(lines[4], 1.0), log=True)
        )
        axes.draw(sheet)
        sheet.line(axes.at(lines[0], lines[4]), INK, 1.6)
    return sheet.finished(_few_colours())


def state_text(view: Any, lines: np.ndarray) -> str:
    """The state in one line, as the live view says it."""
    update, n_open, average, _, multiplier = (
        lines[:, -1] if lines.size else (0, view.n_gates, math.nan, 0, math.nan)
    )
    counts = f"{n_open:.0f} of {view.n_gates} gates open · update {update:,.0f}"
    told = f"error {tidy(average)} · λ {tidy(multiplier)}" if lines.size else "not trained yet"
    return f"threshold {tidy(view.values['threshold'])} · {counts} · {told} · seed {view.seed}"


def _draw_gates(sheet: Sheet, x: Scale, lines: np.ndarray, gates: np.ndarray, n_gates: int) -> None:
    """The staircase, and under it a strip for each gate."""
    axes = Axes(box=(_LEFT, 96, _RIGHT, 186), x=x, y=Scale(low=0.0, high=1.04 * n_gates))
    for tick in axes.y.ticks():
        height = float(axes.at(0.0, tick)[1])
        sheet.line(np.array([(_LEFT, height), (_RIGHT, height)]), RULE)
        sheet.text((_LEFT - 8, height), tidy(tick), 12, SOFT, "rm")
    sheet.line(_stairs(axes.at(lines[0], lines[1])), COLOURS[0], 2.6)
    columns = np.searchsorted(lines[0], np.linspace(0, lines[0, -1], _RIGHT - _LEFT))
    tall = 120 / n_gates
    for j, row in enumerate(gates):
        top = 202 + j * tall
        strip = coloured(row[columns][None].astype(float), (0.0, 255.0), [(240, 240, 242), *_BLUE])
        sheet.paste(strip, (_LEFT, top, _RIGHT, top + max(tall - (1.5 if tall > 4 else 0.5), 1)))
    for j in (0, n_gates - 1):
        sheet.text((_LEFT - 8, 202 + (j + 0.5) * tall), f"gate {j}", 12, SOFT, "rm")


def _draw_error(sheet: Sheet, x: Scale, lines: np.ndarray, threshold: float) -> None:
    axes = Axes(
        box=(_LEFT, 362, _RIGHT, 498),
        x=x,
        y=Scale.around(np.concatenate([*lines[2:4], [threshold]]), log=True),
    )
    axes.draw(sheet)
    sheet.line(_stairs(axes.at(lines[0], lines[3])), COLOURS[1], 2.0, DASHES[1])
    sheet.line(axes.at(lines[0], lines[2]), COLOURS[0], 2.4)


def _stairs(spots: np.ndarray) -> np.ndarray:
    """Level until the next point, then straight there."""
    return np.stack([np.repeat(spots[:, 0], 2)[1:], np.repeat(spots[:, 1], 2)[:-1]], -1)


def _few_colours() -> np.ndarray:
    """Greys, and the two inks fading to the background, uint8 (colours, 3)."""
    white = tuple(bytes.fromhex(BACKGROUND[1:]))
    ramps = [(64, [(0, 0, 0), (255, 255, 255)]), *((64, [ink, white]) for ink in _INKS)]
    return np.concatenate([coloured(np.arange(k), (0, k - 1), ramp) for k, ramp in ramps])
