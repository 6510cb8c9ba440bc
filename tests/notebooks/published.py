"""Notebooks as they are saved: outputs without traces of a single run, stills with sentences.

A still is a picture of a view as a browser drew it, for readers without a kernel. It is stored
beside the sentence that says what there is to see.
"""

import base64
import io
import math
from collections.abc import Iterator
from typing import Any

import nbformat
import numpy as np
from nbformat import NotebookNode
from nbval_timeouts import PLOTLY
from PIL import Image

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PNG = "image/png"
KEPT_CELL_METADATA = ("tags", "jupyter", "slideshow")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_COLOURS = 160
_LEAST_SPREAD = 4.0  # grey levels; the emptiest half of any still has 10
_SMALL = 48  # pixels across, of pictures that are compared
_WIDTHS = 4  # pixels by which their widths may differ
_HEIGHTS = 1.25  # and the ratio of their heights: a view may have a row more of what was found
_BOX = Image.Resampling.BOX
UNLIKE = 0.5
"""`difference` from which a view no longer looks like its still: other trained numbers move lines,
and a map by t-SNE may turn. A blank one has 1."""
UNLIKE_TIMED = 0.8
"""The same of a figure of measured times, which another load of the machine moves (0.56 once)."""
_TIMES = ("second", "minute", "hour")
APART = 0.25
"""`difference` of any two views of one notebook; the most alike are two maps of points."""


def publish(notebook: NotebookNode) -> None:
    """Remove what belongs to one run; the notebook changes in place.

    Widget references and state, times, versions.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        )
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            output.get("metadata", {}).pop(WIDGET_VIEW, None)


def sentence(output: Any) -> str | None:
    """Return what an explorer says that it shows; None for every other output."""
    text = str(output.get("data", {}).get("text/plain", ""))
    return text.partition("): ")[2] if text.startswith("Explorer(") else None


def wants_still(output: Any) -> bool:
    """Say whether an output is drawn by scripts: a widget of an explorer or a plotly figure."""
    return sentence(output) is not None and bool({WIDGET_VIEW, PLOTLY} & output["data"].keys())


def add_still(output: Any, screenshot: bytes) -> None:
    """Store a screenshot in few colours, with its sentence; the output changes in place."""
    few = opened(screenshot).quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.putpalette([255 if level == 254 else level for level in few.getpalette() or ()])  # white
    buffer = io.BytesIO()
    few.save(buffer, format="PNG", optimize=True)
    output["data"][PNG] = base64.b64encode(buffer.getvalue()).decode("ascii") + "\n"
    output["metadata"][PNG] = {"alt": sentence(output)}


def pictures(notebook: NotebookNode) -> Iterator[tuple[int, int, NotebookNode, bytes]]:
    """Yield number of the cell, number of the output, the output and its PNG."""
    for number, cell in enumerate(notebook.cells):
        for k, output in enumerate(cell.get("outputs", ())):
            if PNG in output.get("data", {}):
                yield number, k, output, base64.b64decode(output["data"][PNG])


def opened(png: bytes) -> Image.Image:
    """Return a PNG as red, green and blue."""
    return Image.open(io.BytesIO(png)).convert("RGB")


def is_blank(png: bytes) -> bool:
    """Say whether half of a picture shows next to nothing: its grey values hardly differ.

    A view that failed to draw still has its title and its controls, in the upper half.
    """
    grey = np.asarray(opened(png).convert("L"), dtype=float)
    halves = np.array_split(grey, 2)
    return bool(min(half.std() for half in halves) < _LEAST_SPREAD)


def is_flat(png: bytes) -> bool:
    """Say whether a picture shows nothing at all."""
    return bool(np.asarray(opened(png).convert("L"), dtype=float).std() < _LEAST_SPREAD)


def is_timed(output: Any) -> bool:
    """Say whether a figure is drawn against measured times: a title of an axis says so."""
    layout = output.get("data", {}).get(PLOTLY, {}).get("layout", {})
    titles = [layout.get(f"{side}axis", {}).get("title", {}).get("text", "") for side in "xy"]
    return any(title.startswith(_TIMES) for title in titles)


def unlike_from(output: Any) -> float:
    """Return the `difference` from which a saved output no longer looks like its view."""
    return UNLIKE_TIMED if is_timed(output) else UNLIKE


def difference(one: bytes, other: bytes) -> float:
    """Return how much two pictures differ: 0 for equal ones, about 1 where one is blank.

    Both are shrunk to 48 pixels across, so that the same view with other trained numbers looks much
    the same; then it is the sum of the differences in grey, divided by that of the darker picture's
    distance from white. Infinity where their sizes differ much.
    """
    first, second = (opened(png).convert("L") for png in (one, other))
    low, high = sorted((first.height, second.height))
    if abs(first.width - second.width) > _WIDTHS or high > _HEIGHTS * low:
        return math.inf
    small = (_SMALL, max(1, round(_SMALL * first.height / first.width)))
    ink = [255.0 - np.asarray(image.resize(small, _BOX)) for image in (first, second)]
    return float(np.abs(ink[0] - ink[1]).sum() / max(ink[0].sum(), ink[1].sum(), 1.0))
