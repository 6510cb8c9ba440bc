"""Show a plotly figure or a picture."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.widgets.charts.figure_view import CONFIG, FigureView, json_of
from gfe_core.widgets.kit.explorer import Document
from gfe_core.widgets.kit.pictures import base64_of, png_of

PLOTLY = "application/vnd.plotly.v1+json"
# Ticks of a logarithmic axis: over fewer than _HALF decades those of plotly, from _FEW decades on
# powers of ten, of which about _LABELS are drawn, and between these limits 1, 2 and 5.
_HALF, _FEW, _LABELS = 0.6, 2.0, 8


class Figure(Document):
    """A plotly figure, shown by plotly itself from its mime type."""

    def __init__(self, name: str, figure: go.Figure, alt_text: str) -> None:
        self.figure = figure
        data = {PLOTLY: json_of(figure) | {"config": CONFIG}}
        super().__init__(name, data, alt_text, lambda: FigureView(figure, alt_text=alt_text))


def show_figure(figure: go.Figure, name: str, alt_text: str) -> Figure:
    """Return an explorer around a figure, to be the last line of a cell.

    Args:
        figure: figure to show, for example from `gfe_core.widgets.charts.plots`.
        name: name of the explorer; a figure of the same name replaces the earlier one.
        alt_text: one sentence that says what to see, without numbers from training or timing.
    """
    shown: Any = go.Figure(figure)
    with_ticks(shown)
    return Figure(name, shown, alt_text)


def with_ticks(figure: Any) -> None:
    """Give the logarithmic axes of a figure ticks that suit what is drawn along them."""
    for side in "xy":
        axis = figure.layout[f"{side}axis"]
        if axis.type == "log" and axis.range is None and axis.tickvals is None:
            drawn = [trace[side] for trace in figure.data if trace[side] is not None]
            axis.update(log_ticks([float(value) for values in drawn for value in values]))


def log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Return the ticks of a logarithmic axis.

    The ticks are powers of ten over many decades, 1, 2 and 5 in each decade over a few, and those
    that plotly chooses over a fraction of one.

    Args:
        values: values that are drawn along the axis.
    """
    known = [value for value in values if 0 < value < math.inf]
    decades = math.log10(max(known) / min(known)) if known else 1.0
    if decades < _HALF:
        return {"tickmode": "auto", "dtick": None, "exponentformat": "none"}
    if decades >= _FEW:
        every = math.ceil(decades / _LABELS)
        return {"tickmode": "linear", "dtick": every, "exponentformat": "power"}
    powers = range(math.floor(math.log10(min(known))) - 1, math.ceil(math.log10(max(known))) + 2)
    ticks = [lead * 10.0**power for power in powers for lead in (1, 2, 5)]
    return {"tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


@in_own_words
def show_picture(picture: np.ndarray, name: str, alt_text: str, *, width: int = 720) -> Document:
    """Return an explorer around a picture, enlarged without smoothing.

    Args:
        picture: picture as uint8, (height, width) or (height, width, 3), for example from
            `gallery`.
        name: name of the explorer.
        alt_text: one sentence that says what to see.
        width: approximate width on the screen, in pixels.
    """
    fits = isinstance(picture, np.ndarray) and picture.dtype == np.uint8
    fits = fits and (picture.ndim == 2 or picture.shape[2:] == (3,))
    got = f"{checks.described(picture)}{f', {picture.dtype}' if hasattr(picture, 'dtype') else ''}"
    remedy = "`gallery` makes one from samples."
    wanted = "`picture` must be an array of uint8, shape (height, width) or (height, width, 3)"
    checks.require(fits, f"{wanted}, got {got}. {remedy}", TypeError)
    checks.require(
        picture.size > 0, f"`picture` must hold a pixel, got shape {picture.shape}. {remedy}"
    )
    checks.at_least_one("width", width)
    png = png_of(picture, max(1, round(width / picture.shape[1])))
    data = {"image/png": base64_of(png)}
    return Document(name, data, alt_text, lambda: Picture(png, alt_text))


class Picture(ipywidgets.HTML):
    """A picture inside a widget, with its alternative text, which `ipywidgets.Image` has not.

    Args:
        png: content of the PNG file.
        alt_text: one sentence that says what to see.
    """

    def __init__(self, png: bytes, alt_text: str) -> None:
        self.png = png
        source = f"data:image/png;base64,{base64_of(png)}"
        style = "max-width: 100%"
        super().__init__(f'<img alt="{escape(alt_text)}" style="{style}" src="{source}">')
