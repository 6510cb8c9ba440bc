"""A plain still of a plotly figure, for readers without a kernel."""

import base64
import io
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageColor

from gfe_core.widgets.kit.drawing import INK, Axes, Box, Scale, Sheet, coloured
from gfe_core.widgets.kit.style import PALETTES

_DASHES = {
    "dash": (8, 5),
    "dot": (2, 3),
    "dashdot": (8, 3, 2, 3),
    "longdash": (12, 5),
    "longdashdot": (12, 4, 2, 4),
}
_SYMBOLS = {"circle": 0, "square": 1, "triangle-up": 2, "diamond": 3}
_CYCLE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")


def figure_picture(figure: go.Figure) -> Image.Image:
    """Draw a plotly figure of scatter, heatmap and image traces in its subplots as a clean still.

    Reads data, domains, ranges, logarithmic axes, titles, legend names and subplot titles; it is no
    clone of plotly.
    """
    layout: Any = figure.layout
    margin = (76, 52 if layout.title.text else 40, 20, 56)
    width = int(layout.width or 800)
    height = int(layout.height or 400)
    sheet = Sheet(width, height)
    inner = (margin[0], margin[1], width - margin[2], height - margin[3])
    if layout.title.text:
        sheet.text((16, 10), _plain(layout.title.text), 16)
    panels: dict[tuple[str, str], list[Any]] = {}
    every: list[Any] = list(figure.data)
    for trace in every:
        if trace.visible in (None, True):
            panels.setdefault(
                (getattr(trace, "xaxis", None) or "x", getattr(trace, "yaxis", None) or "y"), []
            ).append(trace)
    for (x_name, y_name), traces in panels.items():
        _draw_panel(
            sheet, layout, (_axis(layout, x_name), _axis(layout, y_name)), traces, inner, every
        )
    for note in layout.annotations:
        if note.xref == note.yref == "sheet" and note.text:
            x = inner[0] + (inner[2] - inner[0]) * (note.x or 0)
            sheet.text(
                (x, inner[3] - (inner[3] - inner[1]) * (note.y or 0) - 4),
                _plain(note.text),
                13,
                INK,
                "md",
            )
    _draw_legend(sheet, every, (width - 20, inner[1] - 12))
    return sheet.finished()


def _plain(text: str) -> str:
    """Return words without the few tags that plotly allows."""
    return (
        text.replace("<br>", " ")
        .replace("<b>", "")
        .replace("</b>", "")
        .replace("<i>", "")
        .replace("</i>", "")
    )


def _axis(layout: Any, name: str) -> Any:
    return layout[f"{name[0]}axis{name[1:]}"]


def _colour(trace: Any, position: int) -> str:
    """Return what plotly would draw the trace with.

    Colours that vary within a trace fall back to the cycle.
    """
    for part in (trace.line, trace.marker):
        if isinstance(part.color, str) and part.color.startswith(("#", "rgb(")):
            return part.color
    return _CYCLE[position % len(_CYCLE)]


def _draw_panel(
    sheet: Sheet,
    layout: Any,
    axes: tuple[Any, Any],
    traces: list[Any],
    inner: Box,
    everything: list[Any],
) -> None:
    left, top, right, bottom = inner
    (x0, x1), (y0, y1) = axes[0].domain or (0, 1), axes[1].domain or (0, 1)
    box = (
        left + (right - left) * x0,
        bottom - (bottom - top) * y1,
        left + (right - left) * x1,
        bottom - (bottom - top) * y0,
    )
    scatters = [trace for trace in traces if hasattr(trace, "mode")]
    plain = Axes(box=box, x=_scale(axes[0], traces, 0), y=_scale(axes[1], traces, 1))
    for trace in traces:
        if trace not in scatters:
            sheet.paste(_pixels(trace, plain.y.low > plain.y.high), box)
    if scatters:
        plain.draw(
            sheet,
            x_title=_plain(axes[0].title.text or ""),
            y_title=_plain(axes[1].title.text or ""),
        )
    for trace in scatters:
        _draw_scatter(sheet, plain, trace, _colour(trace, everything.index(trace)))


def _scale(axis: Any, traces: list[Any], side: int) -> Scale:
    """Return the axis' own range, or one around the data of its traces.

    Pictures fill the panel to its edges.
    """
    log = axis.type == "log"
    if axis.range is not None:
        return Scale(low=float(axis.range[0]), high=float(axis.range[1]), log=log)
    values = [np.asarray(_data(trace, side), dtype=float).ravel() for trace in traces]
    filled = any(not hasattr(trace, "mode") for trace in traces)
    scale = Scale.around(np.concatenate(values), log=log, margin=0.0 if filled else 0.04)
    turned = axis.autorange == "reversed" or (
        side == 1 and any(trace.type == "image" for trace in traces)
    )
    return Scale(low=scale.high, high=scale.low, log=log) if turned else scale


def _data(trace: Any, side: int) -> Any:
    """Return the coordinates of a trace along one side; pictures without any count their cells."""
    given = getattr(trace, "xy"[side], None)
    if given is not None:
        return given
    if hasattr(trace, "mode"):
        return np.arange(len(trace.x if trace.x is not None else trace.y))
    return (-0.5, (0 if trace.z is None else np.shape(trace.z)[1 - side]) - 0.5)


def _pixels(trace: Any, turned: bool) -> np.ndarray:
    """Return a heatmap or an image as uint8 (rows, columns, 3), row 0 at the top."""
    if getattr(trace, "source", None):
        data = io.BytesIO(base64.b64decode(trace.source.split(",", 1)[1]))
        return np.asarray(Image.open(data).convert("RGB"))
    z = np.asarray(trace.z, dtype=float)
    if trace.type == "image":
        return z[..., :3].clip(0, 255).astype(np.uint8)
    low = trace.zmin if trace.zmin is not None else np.nanmin(z)
    high = trace.zmax if trace.zmax is not None else np.nanmax(z)
    stops = (
        [ImageColor.getrgb(c) for _, c in trace.colorscale]
        if trace.colorscale
        else PALETTES["cividis"]
    )
    return coloured(z if turned else z[::-1], (float(low), float(high)), stops)


def _draw_scatter(sheet: Sheet, axes: Axes, trace: Any, colour: str) -> None:
    spots = axes.at(
        np.asarray(_data(trace, 0), dtype=float), np.asarray(_data(trace, 1), dtype=float)
    )
    mode = trace.mode or "lines"
    if "lines" in mode:
        sheet.line(
            spots, colour, trace.line.width or 2, _DASHES.get(trace.line.dash or "solid", ())
        )
    if "markers" in mode:
        size = trace.marker.size if isinstance(trace.marker.size, (int, float)) else 6
        for spot in spots:
            sheet.marker(
                tuple(spot), _SYMBOLS.get(trace.marker.symbol or "circle", 0), size / 2, colour
            )


def _draw_legend(sheet: Sheet, traces: list[Any], corner: tuple[float, float]) -> None:
    """Write the names of the traces in one row that ends at the corner; a name is written once."""
    x, y = corner
    named = {
        trace.name: k
        for k, trace in reversed(list(enumerate(traces)))
        if trace.name and trace.showlegend is not False
    }
    for name, k in sorted(named.items(), key=lambda item: -item[1]) if len(traces) > 1 else ():
        if not hasattr(traces[k], "mode"):
            continue
        x -= sheet.text((x, y), name, 12, INK, "rm") + 40
        line = np.array([(x, y), (x + 32, y)])
        trace = traces[k]
        colour = _colour(traces[k], k)
        if "lines" in (trace.mode or "lines"):
            sheet.line(line, colour, 2, _DASHES.get(trace.line.dash or "solid", ()))
        if "markers" in (trace.mode or ""):
            sheet.marker((x + 16, y), _SYMBOLS.get(trace.marker.symbol or "circle", 0), 4, colour)
        x -= 18
