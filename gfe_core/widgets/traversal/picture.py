"""The still of the traversals: the rows of every model, one model under the other."""

from typing import Any

import numpy as np
from PIL import Image

from gfe_core.widgets.kit.drawing import INK, SOFT, Sheet, coloured
from gfe_core.widgets.kit.style import COLOURS

_N_TILES = 9
_HEADING = "share of the latent's variance that a factor explains alone"
_WIDTH = 1000
_LEFT = 90
_TILE = 44
_CELL = 84
_BLUE = tuple(bytes.fromhex(COLOURS[0][1:]))


def traversal_picture(view: Any) -> Image.Image:
    """Draw, for each latent of each model, pictures along it and the shares of the factors.

    Args:
        view: a `TraversalView`.
    """
    counts = [len(names) for names in view.latents]
    sheet = Sheet(_WIDTH, 62 + sum(58 + n * (_TILE + 4) for n in counts))
    sheet.text((16, 14), view.title, 20)
    sheet.text((16, 44), f"right: {_HEADING} · image {view.values['base']} · {view.note}", 13, SOFT)
    top = 74.0
    start = 0
    for told, n, numbers, names in zip(
        view.models, counts, view.numbers, view.latents, strict=True
    ):
        shape = (view.n_bases, n, view.n_frames, *view.image_shape)
        size = int(np.prod(shape))
        images = np.frombuffer(view.images, np.uint8)[start : start + size].reshape(shape)[
            view.values["base"]
        ]
        start += size
        sheet.text((16, top + 4), f"{told}: {n} open", 14, INK)
        for i, factor in enumerate(view.factors):
            sheet.text((_cell(i) + _CELL / 2, top + 20), factor, 11, SOFT, "ms")
        top += 28
        for j, name in enumerate(names):
            _draw_row(sheet, top, f"latent {name}", images[j], numbers["shares"][j])
            top += _TILE + 4
        top += 30
    return sheet.finished(_few_colours())


def _cell(column: int) -> float:
    return _LEFT + _N_TILES * (_TILE + 2) + 24 + column * (_CELL + 4)


def _draw_row(sheet: Sheet, top: float, told: str, images: np.ndarray, shares: list[float]) -> None:
    sheet.text((16, top + _TILE / 2), told, 12, SOFT, "lm")
    for k, frame in enumerate(np.linspace(0, len(images) - 1, _N_TILES).round().astype(int)):
        left = _LEFT + k * (_TILE + 2)
        sheet.paste(images[frame], (left, top, left + _TILE, top + _TILE))
    for i, share in enumerate(shares):
        ink = coloured(np.array([[share]]), (0.0, 1.0), [(255, 255, 255), _BLUE])
        sheet.paste(ink, (_cell(i), top + 6, _cell(i) + _CELL, top + _TILE - 6))
        sheet.text(
            (_cell(i) + _CELL / 2, top + _TILE / 2),
            f"{share:.2f}",
            12,
            "#ffffff" if share > 0.5 else INK,
            "mm",
        )


def _few_colours() -> np.ndarray:
    """Greys, and the ink fading to the background, uint8 (colours, 3)."""
    ramps = [(96, [(0, 0, 0), (255, 255, 255)]), (64, [_BLUE, (255, 255, 255)])]
    return np.concatenate([coloured(np.arange(k), (0, k - 1), ramp) for k, ramp in ramps])
