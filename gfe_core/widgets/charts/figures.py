"""Showing a plotly figure or a picture.

Live with a kernel, a still of the same arrays without one.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from ipywidgets import DOMWidget
from PIL import Image

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.widgets.charts.still_figure import figure_picture
from gfe_core.widgets.kit.explorer import Explorer


def show_figure(figure: go.Figure, name: str, alt_text: str) -> Explorer:
    """Return an explorer around a figure, to be the last line of a cell.

    Args:
        figure: from `gfe_core.plots`.
        name: of the explorer; a figure of the same name replaces the earlier one.
        alt_text: one sentence that says what to see, without trained or timed numbers.
    """
    widget: Any = go.FigureWidget(figure)
    for side in "xy":
        axis = widget.layout[f"{side}axis"]
        if axis.type == "log" and axis.range is None:
            drawn = [trace[side] for trace in widget.data if trace[side] is not None]
            label_few_decades(axis, [float(value) for values in drawn for value in values])
    return Explorer(name, widget, lambda: figure_picture(figure), alt_text)


def unseen(widget: DOMWidget) -> DOMWidget:
    """Make a figure anew: JupyterLab would draw one that was made before it is revealed empty.

    Others stay as they are.

    Args:
        widget: any.
    """
    again: Any = go.FigureWidget(widget) if isinstance(widget, go.FigureWidget) else widget
    return again  # the first stays open: where it is closed, JupyterLab draws this one empty, too


def label_few_decades(axis: Any, values: Sequence[float]) -> None:
    """Label a logarithmic axis at 1, 2 and 5 where powers of ten alone would leave it nearly bare.

    Args:
        axis: of a figure's layout; changed in place.
        values: what is drawn along it.
    """
    known = [value for value in values if 0 < value < math.inf]
    if not known or max(known) >= 100 * min(known):
        axis.update(tickmode="linear", dtick=1, exponentformat="power")
        return
    powers = range(math.floor(math.log10(min(known))) - 1, math.ceil(math.log10(max(known))) + 2)
    ticks = [lead * 10.0**power for power in powers for lead in (1, 2, 5)]
    axis.update(tickmode="array", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


@in_own_words
def show_picture(grey: np.ndarray, name: str, alt_text: str, *, width: int = 720) -> Explorer:
    """Return an explorer around a grey picture, enlarged without smoothing.

    Args:
        grey: uint8 (height, width), for example from `gallery`.
        name: of the explorer.
        alt_text: one sentence that says what to see.
        width: on screen, in pixels, about.
    """
    fits = isinstance(grey, np.ndarray) and grey.dtype == np.uint8 and grey.ndim == 2
    got = f"{checks.described(grey)}{f', {grey.dtype}' if hasattr(grey, 'dtype') else ''}"
    remedy = "`gallery` makes one of samples."
    wanted = "`grey` must be an array of uint8, shape (height, width)"
    checks.require(fits, f"{wanted}, got {got}. {remedy}", TypeError)
    checks.at_least_one("width", width)
    scale = max(1, round(width / grey.shape[1]))
    image = Image.fromarray(grey).resize(
        (grey.shape[1] * scale, grey.shape[0] * scale), Image.Resampling.NEAREST
    )
    png = io.BytesIO()
    image.save(png, format="PNG", optimize=True)
    layout = ipywidgets.Layout(max_width="100%", align_self="flex-start")
    widget = ipywidgets.Image(value=png.getvalue(), format="png", layout=layout)
    return Explorer(name, widget, lambda: image, alt_text)
