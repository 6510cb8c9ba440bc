"""Showing a plotly figure or a picture: live with a kernel, a still of the same arrays without one."""

import io

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from PIL import Image

from gfe_core.widgets.explorer import Explorer
from gfe_core.widgets.picture import figure_picture


def show_figure(figure: go.Figure, name: str, alt_text: str) -> Explorer:
    """Return an explorer around a figure, to be the last line of a cell.

    Args:
        figure: from `gfe_core.plots`.
        name: of the explorer; a figure of the same name replaces the earlier one.
        alt_text: one sentence that says what to see, without trained or timed numbers.
    """
    return Explorer(name, go.FigureWidget(figure), lambda: figure_picture(figure), alt_text)


def show_picture(grey: np.ndarray, name: str, alt_text: str, *, width: int = 720) -> Explorer:
    """Return an explorer around a grey picture, enlarged without smoothing.

    Args:
        grey: uint8 (height, width), for example from `gallery`.
        name: of the explorer.
        alt_text: one sentence that says what to see.
        width: on screen, in pixels, about.
    """
    scale = max(1, round(width / grey.shape[1]))
    image = Image.fromarray(grey).resize((grey.shape[1] * scale, grey.shape[0] * scale), Image.Resampling.NEAREST)
    png = io.BytesIO()
    image.save(png, format="PNG", optimize=True)
    layout = ipywidgets.Layout(max_width="100%", align_self="flex-start")
    widget = ipywidgets.Image(value=png.getvalue(), format="png", layout=layout)
    return Explorer(name, widget, lambda: image, alt_text)
