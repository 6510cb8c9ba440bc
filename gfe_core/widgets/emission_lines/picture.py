"""The still of a spectrum under the flow, drawn from the arrays of the live view."""

from typing import Any

import numpy as np
from PIL import Image

from gfe_core.widgets.kit.drawing import BACKGROUND, INK, RULE, SOFT, Axes, Scale, Sheet, tidy
from gfe_core.widgets.kit.style import COLOURS, DASHES

_WIDTH = 1000
_LEFT = 66.0
_RIGHT = 984.0
_TOP = 84.0
_BOTTOM = 350.0


def spectrum_picture(view: Any) -> Image.Image:
    """Draw points, gaps, the last curve, the clean truth, and the energy by step.

    Args:
        view: a `SpectrumView`.
    """
    at, flux, truth, energies = (
        _floats(getattr(view, name)) for name in ("at", "flux", "truth", "energies")
    )
    curves = _floats(view.curves).reshape(len(energies), len(flux))
    readings = view.readings
    sheet = Sheet(_WIDTH, 590)
    sheet.text((16, 14), view.title, 20)
    sheet.text((16, 44), f"sample {view.values['sample']} · {view.note}", 13, SOFT)
    axes = Axes(
        box=(_LEFT, _TOP, _RIGHT, _BOTTOM),
        x=Scale(low=float(at[0]), high=float(at[-1])),
        y=Scale(low=view.limits[0], high=view.limits[1]),
    )
    _gaps(sheet, axes, at, ~np.isfinite(flux))
    axes.draw(sheet, x_title=view.x_title, y_title=view.y_title)
    for spot in axes.at(at, flux):
        sheet.marker(tuple(spot), 0, 1.9, INK)
    names: list[tuple[str, str, Any]] = [("what the code draws", COLOURS[0], ())]
    if len(truth):
        names.append(("the clean truth", COLOURS[1], DASHES[1]))
        sheet.line(axes.at(at, truth), COLOURS[1], 3.2, DASHES[1])
    sheet.line(axes.at(at, curves[-1]), COLOURS[0], 2.2)
    _key(sheet, names)
    _energy(sheet, energies, view.level, _RIGHT if not readings else 500.0)
    _readings(sheet, readings)
    return sheet.finished()


def _gaps(sheet: Sheet, axes: Axes, at: np.ndarray, lost: np.ndarray) -> None:
    """Hatch what was lost, so that it cannot be taken for a value."""
    left, top, right, bottom = axes.box
    half = (right - left) / max(len(at) - 1, 1) / 2
    for x in axes.at(at[lost], 0.0)[:, 0].tolist():
        x0 = max(x - half, left)
        x1 = min(x + half, right)
        sheet.paste(np.full((1, 1, 3), 240, np.uint8), (x0, top, x1, bottom))
        for y in np.arange(top + x0 % 8, bottom - (x1 - x0), 8):
            sheet.line(np.array([(x0, y), (x1, y + x1 - x0)]), SOFT, 0.5)


def _key(sheet: Sheet, names: list[tuple[str, str, Any]]) -> None:
    x = _LEFT
    sheet.marker((x + 6, 70), 0, 2, INK)
    x += 18 + sheet.text((x + 14, 70), "measured", 12, INK, "lm") + 12
    sheet.paste(np.full((1, 1, 3), 240, np.uint8), (x, 64, x + 22, 76))
    x += 28 + sheet.text((x + 28, 70), "lost", 12, INK, "lm") + 16
    for told, colour, dash in names:
        sheet.line(np.array([(x, 70), (x + 28, 70)]), colour, 2.4, dash)
        x += 34 + sheet.text((x + 34, 70), told, 12, INK, "lm") + 16


def _energy(sheet: Sheet, energies: np.ndarray, level: float | None, right: float) -> None:
    sheet.text(
        (16, 400),
        "energy against step" + ("" if level is None else "; dashed: noise alone"),
        12,
        SOFT,
    )
    values = energies if level is None else np.append(energies, level)
    ends = Scale(low=0.0, high=max(len(energies) - 1, 1))
    axes = Axes(box=(_LEFT, 422.0, right, 550.0), x=ends, y=Scale.around(values))
    axes.draw(sheet)
    if level is not None:
        sheet.line(axes.at(np.array([0.0, ends.high]), level), SOFT, 1.2, (5, 4))
    spots = axes.at(np.arange(len(energies)), energies)
    sheet.line(spots, COLOURS[0], 2)
    sheet.marker(tuple(spots[-1]), 0, 4.5, COLOURS[0], [(2, BACKGROUND)])


def _readings(sheet: Sheet, readings: list[Any]) -> None:
    """True values beside those read from the code."""
    told = [(name, tidy(made), tidy(read)) for name, made, read in readings]
    for k, row in enumerate([("", "true", "read from the code"), *told] if told else []):
        y = 426 + 24 * k
        for x, anchor, word in zip((550, 780, 960), ("lm", "rm", "rm"), row, strict=True):
            sheet.text((x, y), word, 13, INK if k and x > 550 else SOFT, anchor)
        sheet.line(np.array([(550, y + 12), (960, y + 12)]), RULE)


def _floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.float32)
