"""The large results as a reader sees them.

Each function draws the content of one file in data/results.

They only read; `gfe_core.experiments` computes. To be passed to `show_result`.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.axes_explorer import AxesExplorer
from gfe_core.widgets.charts.figures import show_figure, show_picture
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.tables import Table, show_table
from gfe_core.widgets.training.gallery import gallery

_COLUMNS = {
    "mean image": "mean, encoder",
    "PCA": "pca, encoder",
    "logistic PCA": "logistic_pca, flow",
    "autoencoder (AE)": "autoencoder, encoder",
    "AE's decoder, flow": "autoencoder, flow",
    "AE, then flow": "autoencoder, encoder_then_flow",
    "flow": "flow, flow",
}
_PUBLISHED = {"autoencoder (AE)": "autoencoder", "AE's decoder, flow": "mixed", "flow": "flow"}
_PAIRS = {
    "AE's decoder, guess": "autoencoder, encoder",
    "AE's decoder, guess, then flow": "autoencoder, encoder_then_flow",
    "flow's decoder, guess": "flow, encoder",
    "flow's decoder, flow": "flow, flow",
}
_METHODS = {"flow": "flow", "autoencoder": "autoencoder", "logistic_pca": "logistic PCA"}
_AXES = {"images": "distinct images", "updates": "decoder updates", "cpu_seconds": "seconds"}


def few_images(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Table of `table1-few`: published, each image seen once, rehearsed, and many passes."""
    ours = {
        "seen once": result["single"],
        "rehearsed": result["once"],
        "many passes": result["free"],
    }
    return _beside_published(result["published"], ours, name, alt_text)


def all_images(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Table of `table1-converged`: published, and ten minutes of one core for each decoder."""
    return _beside_published(result["published"], {"ours": result["energy"]}, name, alt_text)


def two_by_two(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Curves of `two-by-two`.

    Excess of decoders crossed with codes, against the number of training images.
    """
    floor = floor_of(result)
    series = {}
    for told, key in _PAIRS.items():
        points = {
            int(n): found[key]["mean"] - floor
            for n, found in result["sizes"].items()
            if key in found
        }
        series[told] = ([*points], [*points.values()])
    y_title = "test excess (nats per pixel)"
    return show_figure(
        plots.curves(series, log=True, x_title="training images", y_title=y_title), name, alt_text
    )


def one_pass(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Curves of `fig1` against images, updates or seconds."""
    runs: dict[str, dict[str, Sequence[float]]] = {}
    for method, points in result["curves"].items():
        runs[_METHODS[method]] = _measures(points)
    runs["autoencoder, twelve passes"] = _measures([result["twelve_passes"]])
    y_title = "test energy (nats per pixel)"
    return AxesExplorer(
        runs, [*_AXES.values()], "energy", y_title=y_title, name=name, alt_text=alt_text
    )


def _measures(points: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[float]]:
    """Columns of the curves of `fig1`; energies are means over seeds."""
    measures = {label: [point[key] for point in points] for key, label in _AXES.items()}
    return {**measures, "energy": [point["energy"]["mean"] for point in points]}


def curvature(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Largest curvature while decoders learn with gentle updates, of `fig2`.

    Means over seeds, and the limit of the grid of equal steps.
    """
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for cell in result["cells"].values():
        if cell["fields"]["updates"] == "gentle" and cell["fields"]["encoder"] in result["gentle"]:
            runs.setdefault(cell["fields"]["encoder"], []).append(cell)
    series = {}
    for encoder, cells in runs.items():
        batches = [point["batch"] for point in cells[0]["curvature"]]
        means = np.mean([[at["largest"] for at in cell["curvature"]] for cell in cells], 0)
        series[encoder] = (batches, means)
    level = ("limit of equal steps", result["gentle"]["equal steps"]["grid limit"])
    figure = plots.curves(
        series, x_title="batches", y_title="largest curvature", log=True, level=level
    )
    return show_figure(figure, name, alt_text)


def grids(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Table of `fig2`: test energies and climbs after gentle and after large updates."""
    measures = {"test energy": "own codes", "climb": "climb", "curvature": "curvature"}
    columns = ["", *measures, "limit of the grid", "seconds"]
    rows: dict[str, list[float | None]] = {}
    for updates in ("gentle", "large"):
        for encoder, its in result[updates].items():
            values = [its[key]["mean"] for key in measures.values()]
            seconds = round(its["seconds"]["mean"])
            rows[f"{encoder}, {updates} updates"] = [*values, its["grid limit"], seconds]
    n_seeds = len(result["gentle"]["AMD"]["own codes"]["by_seed"])
    seeds = "One seed" if n_seeds == 1 else f"Means over {n_seeds} seeds"
    gentle, large = (result[updates]["AMD"]["batches"] for updates in ("gentle", "large"))
    batches = f"Gentle updates: {gentle:,} batches; large ones: {large:,}."
    caption = f"{seeds}; energies in nats per pixel. {batches}"
    return show_table(Table(columns, rows, caption, compared=()), name, alt_text)


def drawings(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Pictures of `fig3`.

    Ten test digits above, below them what each decoder draws, in the order of the file.
    """
    rows = [result["x"], *(row["drawn"] for row in result["rows"].values())]
    return show_picture(gallery([_unpacked(row) for row in rows], (28, 28)), name, alt_text)


def floor_of(result: Mapping[str, Any]) -> float:
    """Mean floor of the test images, from the first judged cell of a file: energy minus excess."""
    cell = next(cell for cell in result["cells"].values() if "test" in cell)
    found = next(iter(cell["test"].values()))
    return found["energy"] - found["excess"]


def _beside_published(
    published: Mapping[str, Any], ours: Mapping[str, Any], name: str, alt_text: str
) -> Document:
    """One row of published numbers and one for each of ours.

    Columns that nobody filled are left out.
    """
    rows: dict[str, list[float | None]] = {}
    for which, numbers in published.items():
        rows[f"{which}, published"] = [
            numbers[_PUBLISHED[told]] if _PUBLISHED.get(told) in numbers else None
            for told in _COLUMNS
        ]
        for told, found in ours.items():
            keys = _COLUMNS.values()
            rows[f"{which}, {told}"] = [
                found[which][key]["mean"] if key in found[which] else None for key in keys
            ]
    filled = [i for i in range(len(_COLUMNS)) if any(row[i] is not None for row in rows.values())]
    columns = ["", *([*_COLUMNS][i] for i in filled)]
    kept = {label: [row[i] for i in filled] for label, row in rows.items()}
    return show_table(
        Table(columns, kept, "Mean energy of test images, nats per pixel"), name, alt_text
    )


def _unpacked(text: str) -> torch.Tensor:
    """Grey values in [0, 1], (images, 784), from bytes in base64."""
    grey = np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(-1, 784)
    return torch.tensor(grey / 255, dtype=torch.float32)
