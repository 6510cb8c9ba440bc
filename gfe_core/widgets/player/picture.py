"""Still pictures for readers without a kernel.

The player's first screen, and a plain reading of a plotly figure.

Both are drawn from the arrays that the live view shows, in its light colours.
"""

import numpy as np
from PIL import Image, ImageColor

from gfe_core.widgets.charts.still_figure import figure_picture
from gfe_core.widgets.kit.drawing import (
    INK,
    RULE,
    SOFT,
    Axes,
    Box,
    Scale,
    Sheet,
    as_hex,
    coloured,
    tidy,
)
from gfe_core.widgets.kit.style import COLOURS, DASHES, PALETTES, TOO_LITTLE, TOO_MUCH
from gfe_core.widgets.player.film import Film, Landscape

__all__ = ["figure_picture", "player_picture"]

_WIDTH = 1000
_MARGIN = 16
_GAP = 32
_PLANE = (560, 350)
_BANDS = 24


def player_picture(
    film: Film,
    landscape: Landscape | None,
    *,
    palette: str = "cividis",
    title: str = "",
    limits: tuple[float, float],
) -> Image.Image:
    """Draw the player's first screen at the last frame, about 1000 pixels wide.

    Args:
        film: the tracks.
        landscape: the ground; `None` leaves it plain.
        palette: of the ground and of the markers' filling, the true energy.
        title: above everything.
        limits: energies of the first and the last colour.
    """
    tracks = len(film.names)
    top = _MARGIN + (36 if title else 0)
    rows_top = top + _PLANE[1] + 40
    chart_top = rows_top + 26 * tracks + 22
    sheet = Sheet(_WIDTH, chart_top + 170)
    sheet.text((_MARGIN, _MARGIN), title, 20)
    plane = _plane_picture(film, landscape, palette, limits)
    sheet.paste(plane.image, (_MARGIN, top, _MARGIN + _PLANE[0], top + _PLANE[1]), smooth=True)
    sheet.text((_MARGIN, top + _PLANE[1] + 7), landscape.label if landscape else "", 12, SOFT)
    words = f"energy {tidy(limits[0])} (dark) to {tidy(limits[1])} (light)"
    sheet.text((_MARGIN + _PLANE[0], top + _PLANE[1] + 7), words, 12, SOFT, "ra")
    if film.energy.size:
        _draw_tiles(
            sheet, film, (_MARGIN + _PLANE[0] + _GAP, top, _WIDTH - _MARGIN, top + _PLANE[1])
        )
        _draw_readout(sheet, film, rows_top)
        _draw_charts(sheet, film, chart_top)
    return sheet.finished(_few_colours(palette))


def _few_colours(palette: str) -> np.ndarray:
    """Return the palette, greys and fading inks of the picture, uint8 (colours, 3)."""
    inks = [*COLOURS, as_hex(TOO_LITTLE), as_hex(TOO_MUCH)]
    ramps = [PALETTES[palette], [(0, 0, 0), (255, 255, 255)]]
    ramps += [[end, ImageColor.getrgb(ink)] for ink in inks for end in ((0, 0, 0), (255, 255, 255))]
    sizes = [_BANDS, 32] + [8] * (2 * len(inks))
    return np.concatenate(
        [coloured(np.arange(n), (0, n - 1), ramp) for n, ramp in zip(sizes, ramps, strict=True)]
    )


def _plane_picture(
    film: Film, landscape: Landscape | None, palette: str, limits: tuple[float, float]
) -> Sheet:
    """Draw ground, trails and markers on a sheet of their own, cut at its edge."""
    sheet = Sheet(*_PLANE, background=RULE)
    if landscape is None:
        return sheet
    x_min, x_max, y_min, y_max = landscape.extent
    box = (0.0, 0.0, float(_PLANE[0]), float(_PLANE[1]))
    axes = Axes(box=box, x=Scale(low=x_min, high=x_max), y=Scale(low=y_min, high=y_max))
    sheet.paste(_ground(landscape.energy[-1], palette, limits), box, smooth=True)
    for track in reversed(range(len(film.names) if film.energy.size else 0)):
        spots = axes.at(film.path[track, :, 0], film.path[track, :, 1])
        sheet.line(spots, "#ffffff", 5)
        sheet.line(spots, COLOURS[track], 2.4, DASHES[track])
        fill = as_hex(coloured(film.energy[track, -1:], limits, PALETTES[palette])[0])
        sheet.marker(tuple(spots[-1]), track, 7, fill, [(7, "#ffffff"), (4, COLOURS[track])])
    if film.energy.size:
        x, y = axes.at(film.path[0, :1, 0], film.path[0, :1, 1])[0]
        for colour, width in (("#ffffff", 5), (INK, 2.2)):
            sheet.line(np.array([(x - 6, y - 6), (x + 6, y + 6)]), colour, width)
            sheet.line(np.array([(x + 6, y - 6), (x - 6, y + 6)]), colour, width)
    return sheet


def _ground(energy: np.ndarray, palette: str, limits: tuple[float, float]) -> np.ndarray:
    """Return the landscape in bands of colour, a thin line along every second edge."""
    size = (2 * _PLANE[0], 2 * _PLANE[1])
    smooth = np.asarray(
        Image.fromarray(energy.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    )
    share = np.nan_to_num((smooth - limits[0]) / (limits[1] - limits[0]), nan=1.0, posinf=1.0)
    band = np.floor(np.clip(share, 0.0, 1.0) * (_BANDS - 1e-3))
    ground = coloured(band, (0, _BANDS - 1), PALETTES[palette]).astype(float)
    level = band // 2
    edge = np.zeros(level.shape, dtype=bool)
    edge[1:] |= level[1:] != level[:-1]
    edge[:, 1:] |= level[:, 1:] != level[:, :-1]
    ground[edge] = (
        0.7 * ground[edge] + 0.3 * np.where(level[edge] < _BANDS / 4, 255.0, 0.0)[:, None]
    )
    return ground.round().astype(np.uint8)


def _draw_tiles(sheet: Sheet, film: Film, box: Box) -> None:
    """Draw the target, each reconstruction and what the first track still misses, in two rows."""
    left, top, right, bottom = box
    final = film.images[:, -1]
    gap = np.clip(2 * (film.target.astype(float) - final[0]) / 255.0, -1.0, 1.0)[..., None]
    missing = (
        np.where(gap > 0, gap * np.array(TOO_LITTLE), -gap * np.array(TOO_MUCH))
        .round()
        .astype(np.uint8)
    )
    pictures = [film.target, *final, missing]
    columns = 2 if len(pictures) < 5 else 3
    side = min((right - left - 14 * (columns - 1)) / columns, (bottom - top - 2 * 22 - 34) / 2)
    for k, (name, pixels) in enumerate(
        zip(["target", *film.names, "missing"], pictures, strict=True)
    ):
        x = left + k % columns * (side + 14)
        y = top + k // columns * (side + 34)
        track = k - 1 if 0 < k < len(pictures) - 1 else None
        if track is not None:
            _draw_badge(sheet, (x, y + 8), track)
        sheet.text((x + (38 if track is not None else 0), y), name)
        sheet.paste(pixels, (x, y + 20, x + side, y + 20 + side))
    for x, colour, words in (
        (left, TOO_LITTLE, "too little ink"),
        (left + 120, TOO_MUCH, "too much ink, shown ×2"),
    ):
        sheet.marker((x + 5, bottom - 2), 1, 5, as_hex(colour))
        sheet.text((x + 16, bottom - 2), words, 12, SOFT, "lm")


def _draw_badge(sheet: Sheet, at: tuple[float, float], track: int) -> None:
    x, y = at
    sheet.line(np.array([(x, y), (x + 30, y)]), COLOURS[track], 2, DASHES[track])
    sheet.marker((x + 15, y), track, 4.2, COLOURS[track], [(2, "#ffffff")])


def _draw_readout(sheet: Sheet, film: Film, top: float) -> None:
    """Write one line per track: name, last energy, distance from the plane, note."""
    for track, (name, note) in enumerate(zip(film.names, film.notes, strict=True)):
        y = top + 26 * track + 13
        sheet.line(np.array([(_MARGIN, y - 13), (_WIDTH - _MARGIN, y - 13)]), RULE)
        _draw_badge(sheet, (_MARGIN, y), track)
        sheet.text((_MARGIN + 38, y), name, anchor="lm")
        sheet.text((_MARGIN + 190, y), f"energy {film.energy[track, -1]:.4f}", anchor="lm")
        if film.off_plane.any():
            sheet.text(
                (_MARGIN + 310, y), f"{film.off_plane[track, -1]:.2f} off the plane", anchor="lm"
            )
        sheet.text((_MARGIN + 460, y), note, 13, SOFT, "lm")


def _draw_charts(sheet: Sheet, film: Film, top: float) -> None:
    """Draw energy and step size against the step, below landscape and pictures."""
    steps = Scale(low=0.0, high=max(film.energy.shape[1] - 1, 1))
    right = _MARGIN + _PLANE[0]
    limit = [film.step_limit, 1.25 * film.step_limit] if film.step_limit else []
    sizes = np.append(film.step[film.step > 0], limit)
    energy = Axes(
        box=(_MARGIN + 48, top + 24, right - 8, top + 132), x=steps, y=Scale.around(film.energy)
    )
    size = Axes(
        box=(right + _GAP + 48, top + 24, _WIDTH - _MARGIN - 8, top + 132),
        x=steps,
        y=Scale.around(sizes, zero=True),
    )
    for axes, title in ((energy, film.energy_label), (size, film.step_label)):
        sheet.text((axes.box[0] - 48, top), title)
        axes.draw(sheet)
    for track in reversed(range(len(film.names))):
        k = np.arange(film.n_frames[track])
        spots = energy.at(k, film.energy[track, k])
        sheet.line(spots, COLOURS[track], 2, DASHES[track])
        if len(k):
            sheet.marker(tuple(spots[-1]), track, 4.5, COLOURS[track], [(3, "#ffffff")])
        taken = k[film.step[track, k] > 0]
        for spot in size.at(taken, film.step[track, taken]):
            sheet.marker(tuple(spot), track, 2.2, COLOURS[track])
    if film.step_limit:
        (x0, y), (x1, _) = size.at(0.0, film.step_limit), size.at(steps.high, film.step_limit)
        sheet.line(np.array([(x0, y), (x1, y)]), SOFT, 1, (5, 4))
        sheet.text((x1, y - 3), film.step_limit_label, 12, SOFT, "rd")
