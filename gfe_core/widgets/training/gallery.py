"""Small pictures of several samples in one picture, with or without names of the rows."""

import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import Samples, rows_of
from gfe_core.decoders.wrapped import flattened
from gfe_core.encoding import encode, reconstruct
from gfe_core.training import Report
from gfe_core.types import Loss
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.numbers import NUMBERS
from gfe_core.widgets.kit.pictures import base64_of, pictures_of, png_of
from gfe_core.widgets.kit.shown import at_least, shown_rows

_NAME = "padding: 0 12px 0 0; text-align: right; font-weight: normal; max-width: 180px"
_ROW = "display: block; max-width: 100%; image-rendering: pixelated"


@in_own_words
def gallery(
    rows: list[Float[Tensor, "n features"]], image_shape: tuple[int, ...], *, gap: int = 1
) -> np.ndarray:
    """Lay out samples as one picture: each tensor is a row, each of its samples a column.

    Args:
        rows: tensors of values in [0, 1], all of the same shape.
        image_shape: shape of a sample, (height, width), or (3, height, width) in colour.
        gap: number of white pixels around each sample.

    Returns:
        uint8 (height, width), or (height, width, 3).
    """
    image_shape = checks.image_shape(image_shape)
    n_features = math.prod(image_shape)
    checks.require(
        gap >= 0 and len(rows) > 0,
        f"`rows` must hold at least one row and `gap` be at least 0, got {len(rows)} and {gap}.",
    )
    tensors = [_flat(rows_of(row, "rows")) for row in rows]
    shape = tuple(getattr(tensors[0], "shape", ()))
    wanted = f"`rows` must be tensors of one shape (n, {n_features}), values in [0, 1]"
    remedy = "Write one tensor as `gallery([x], image_shape)`."
    for row in tensors:
        fits = isinstance(row, Tensor) and row.dim() == 2 and row.shape[1] == n_features
        fits = fits and tuple(row.shape) == shape
        checks.require(fits, f"{wanted}, got {checks.described(row)}. {remedy}")
    at_least(1, len(tensors[0]), "rows")
    pictures = np.stack([pictures_of(row.detach().nan_to_num(), image_shape) for row in tensors])
    margins = [(0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)][: pictures.ndim]
    padded = np.pad(pictures, margins, constant_values=255)
    n_rows, n_columns, height, width, *colours = padded.shape
    return padded.swapaxes(1, 2).reshape(n_rows * height, n_columns * width, *colours)


@in_own_words
def show_gallery(
    rows: Mapping[str, Float[Tensor, "n features"]],
    image_shape: tuple[int, ...],
    name: str,
    alt_text: str,
    *,
    width: int = 600,
) -> Explorer:
    """Return an explorer around rows of pictures, each with its name in front.

    Args:
        rows: values in [0, 1] by name, all of the same shape.
        image_shape: shape of a sample, (height, width), or (3, height, width) in colour.
        name: name of the explorer.
        alt_text: one sentence that says what to see.
        width: approximate width of the pictures on the screen, in pixels.
    """
    checks.at_least_one("width", width)
    picture = gallery([*rows.values()], image_shape)
    return Explorer(name, ipywidgets.HTML(named_rows([*rows], picture, width)), alt_text)


def named_rows(names: list[str], picture: np.ndarray, width: int) -> str:
    """Return a gallery as HTML: its rows below each other, the name of each in front.

    Args:
        names: names of the rows.
        picture: picture made by `gallery`.
        width: approximate width on the screen, in pixels.
    """
    scale = max(1, round(width / picture.shape[1]))
    lines = []
    for name, row in zip(names, np.split(picture, len(names)), strict=True):
        png = base64_of(png_of(row, scale))
        image = f'<img alt="{escape(name)}" src="data:image/png;base64,{png}" style="{_ROW}">'
        lines.append(f'<tr><th style="{_NAME}">{escape(name)}</th><td>{image}</td></tr>')
    return f'<table style="{NUMBERS}; border-spacing: 0">{"".join(lines)}</table>'


def _flat(row: Any) -> Any:
    """Return samples as rows of features; anything else is returned unchanged, to be refused."""
    return row.flatten(1) if isinstance(row, Tensor) and row.dim() > 2 else row


@in_own_words
def preview_of(
    x: Samples, image_shape: tuple[int, ...], *, loss: Loss | None = None
) -> Callable[[Report], np.ndarray]:
    """Return a preview for `Progress`: images, and below them their present reconstructions.

    Args:
        x: images, as rows.
        image_shape: shape of an image, (height, width), or (3, height, width) in colour.
        loss: loss of the training, `Bernoulli()` by default.
    """
    rows = shown_rows(x)
    image_shape = checks.image_shape(image_shape)
    wanted = f"`x` must be images of shape {tuple(image_shape)}"
    fits = tuple(rows.shape[1:]) == (math.prod(image_shape),)
    checks.require(
        fits, f"{wanted}, flat, got {checks.described(x)}. Flatten them: `x.flatten(1)`."
    )

    def preview(report: Report) -> np.ndarray:
        with torch.no_grad():
            decoder = flattened(report.decoder)
            encoding = encode(decoder, rows, loss=loss, max_steps=30)
            return gallery([rows, reconstruct(decoder, encoding)], image_shape)

    return preview
