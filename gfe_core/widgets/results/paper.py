"""Tables and figures of the large results, for `show_result`.

Each function draws the content of one file in data/results, which `gfe_core.experiments` computed.
"""

import base64
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.axes_explorer import AxesExplorer
from gfe_core.widgets.charts.figures import show_figure
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.tables import Cell, Table, show_table, spread
from gfe_core.widgets.training.gallery import show_gallery

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


def seen_once(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Return the table of `table1-few` for images seen once: published results and ours."""
    return _energies({"published": result["published"], "ours": result["single"]}, name, alt_text)


def seen_often(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Return the table of `table1-few` for rehearsal and many passes, which were not published."""
    return _energies({"rehearsed": result["once"], "many passes": result["free"]}, name, alt_text)


def all_images(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Return the table of `table1-converged`: published, and ten minutes of a core per decoder."""
    return _energies({"published": result["published"], "ours": result["energy"]}, name, alt_text)


def shares(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Return the table of `two-by-two`: the gain of the flow on an autoencoder in two shares.

    The code's share is the gain from the autoencoder's own code to the code that the flow finds for
    the same decoder. The decoder's share is the gain from there to the flow with the decoder that
    it trained. Shares are means over seeds of paired differences.
    """
    starts = {"the origin": "autoencoder, flow", "the AE's code": "autoencoder, encoder_then_flow"}
    rows: dict[str, list[Cell]] = {}
    for n, by_method in result["sizes"].items():
        for start, middle in starts.items():
            methods = ("autoencoder, encoder", middle, "flow, flow")
            energies = [by_method[method] for method in methods]
            own, flows, trained = (energy["by_seed"] for energy in energies)
            rows[f"{int(n):,} images, from {start}"] = [
                *map(spread, energies),
                _difference(own, flows),
                _difference(flows, trained),
            ]
    columns = ("the flow starts at", "autoencoder (AE)", "AE's decoder, flow", "flow")
    caption = (
        "Mean energy of test images, nats per pixel, ± standard deviation over seeds. "
        "A share below zero is a loss."
    )
    both = ("the code's share", "the decoder's share")
    return show_table(Table((*columns, *both), rows, caption, columns[1:]), name, alt_text)


def two_by_two(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Return the curves of `two-by-two`.

    They are the excess of decoders crossed with codes, over the number of training images.
    """
    floor = floor_of(result)
    series = {}
    for label, key in _PAIRS.items():
        points = {
            int(n): by_method[key]["mean"] - floor
            for n, by_method in result["sizes"].items()
            if key in by_method
        }
        series[label] = ([*points], [*points.values()])
    y_title = "test excess (nats per pixel)"
    return show_figure(
        plots.curves(series, log=True, x_title="training images", y_title=y_title), name, alt_text
    )


def one_pass(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Return the curves of `fig1` against images, updates or seconds."""
    runs: dict[str, dict[str, Sequence[float]]] = {}
    for method, points in result["curves"].items():
        runs[_METHODS[method]] = _measures(points)
    runs["autoencoder, twelve passes"] = _measures([result["twelve_passes"]])
    y_title = "test energy (nats per pixel)"
    return AxesExplorer(
        runs, [*_AXES.values()], "energy", y_title=y_title, name=name, alt_text=alt_text
    )


def _measures(points: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[float]]:
    """Return the measures of a curve of `fig1`; energies are means over seeds."""
    measures = {label: [point[key] for point in points] for key, label in _AXES.items()}
    return {**measures, "energy": [point["energy"]["mean"] for point in points]}


def curvature(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Return the curves of `fig2`: the largest curvature while decoders learn, gentle updates.

    Curves are means over seeds; a line is the limit of the grid of equal steps.
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
    """Return the table of `fig2`: test energies and climbs after gentle and after large updates."""
    measures = {"test energy": "own codes", "climb": "climb", "curvature": "curvature"}
    columns = ["", *measures, "limit of the grid", "seconds"]
    rows: dict[str, list[Cell]] = {}
    n_seeds = len(result["gentle"]["AMD"]["own codes"]["by_seed"])
    for updates in ("gentle", "large"):
        for encoder, its in result[updates].items():
            values = [
                spread(its[key]) if n_seeds > 1 else its[key]["mean"] for key in measures.values()
            ]
            seconds = round(its["seconds"]["mean"])
            rows[f"{encoder}, {updates} updates"] = [*values, its["grid limit"], seconds]
    seeds = "One seed" if n_seeds == 1 else f"Means ± standard deviations over {n_seeds} seeds"
    gentle, large = (result[updates]["AMD"]["batches"] for updates in ("gentle", "large"))
    batches = f"Gentle updates: {gentle:,} batches; large ones: {large:,}."
    caption = f"{seeds}; energies in nats per pixel. {batches}"
    return show_table(Table(columns, rows, caption, compared=()), name, alt_text)


def drawings(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Return the pictures of `fig3`.

    The first row has ten test digits; below it, each decoder has a row of reconstructions, in the
    order of the file.
    """
    packed = {"test digits": result["x"]}
    packed |= {decoder: row["drawn"] for decoder, row in result["rows"].items()}
    rows = {label: _unpacked(text) for label, text in packed.items()}
    return show_gallery(rows, (28, 28), name, alt_text)


def floor_of(result: Mapping[str, Any]) -> float:
    """Return the mean floor of the test images: energy minus excess of the first tested cell."""
    cell = next(cell for cell in result["cells"].values() if "test" in cell)
    entry = next(iter(cell["test"].values()))
    return entry["energy"] - entry["excess"]


def _energies(kinds: Mapping[str, Mapping[str, Any]], name: str, alt_text: str) -> Document:
    """Tabulate one row of energies for each case and kind; empty columns are left out.

    Args:
        kinds: energies by kind, then by case, then by method; published ones are bare numbers.
        name: name of the explorer.
        alt_text: one sentence that says what to see.
    """
    rows: dict[str, list[Cell]] = {}
    for case in next(iter(kinds.values())):
        label = f"{int(case):,} images" if case.isdigit() else case
        for kind, by_case in kinds.items():
            keys = _PUBLISHED if kind == "published" else _COLUMNS
            energies = by_case[case]
            rows[f"{label}, {kind}"] = [
                spread(energies[key]) if (key := keys.get(column)) in energies else None
                for column in _COLUMNS
            ]
    filled = [i for i in range(len(_COLUMNS)) if any(row[i] is not None for row in rows.values())]
    columns = ["", *([*_COLUMNS][i] for i in filled)]
    kept = {label: [row[i] for i in filled] for label, row in rows.items()}
    caption = "Mean energy of test images, nats per pixel, ± standard deviation over seeds."
    return show_table(Table(columns, kept, caption), name, alt_text)


def _difference(first: Mapping[str, float], second: Mapping[str, float]) -> Cell:
    """Return mean and standard deviation of paired differences, over the seeds that both have."""
    paired = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    return statistics.fmean(paired), statistics.stdev(paired) if len(paired) > 1 else None


def _unpacked(text: str) -> torch.Tensor:
    """Return grey values in [0, 1], (images, 784), from bytes in base64."""
    grey = np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(-1, 784)
    return torch.tensor(grey / 255, dtype=torch.float32)
