"""Tables and curves of `gon`, for `show_result`.

One step from the origin beside flows and autoencoders.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figures import show_figure
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.tables import Cell, Table, show_table, spread


def errors(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """One row for each method.

    Parameters, final errors, and errors after some seconds; the lowest are marked.

    Args:
        result: content of the file; result["error"][set][method] and
            result["seconds"][set][method][seconds] have "mean" and "sd" of summed squared errors of
            a test image, result["parameters"][method] counts.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    error = result["error"]
    seconds = result.get("seconds", {})
    counts = result.get("parameters", {})
    methods = dict.fromkeys(method for of_set in error.values() for method in of_set)
    columns: dict[str, list[Cell]] = {
        data: [_known(found, m) for m in methods] for data, found in error.items()
    }
    for data, found in seconds.items():
        times = sorted({time for of_method in found.values() for time in of_method}, key=float)
        for time in times:
            columns[f"{data}, {time} s"] = [_known(found.get(m, {}), time) for m in methods]
    rows: dict[str, Sequence[Cell]] = {
        m: [counts.get(m), *(column[k] for column in columns.values())]
        for k, m in enumerate(methods)
    }
    caption = (
        "Squared error of a test image, summed over pixels: mean ± standard deviation over seeds. "
        "Columns with seconds: after that much processor time of training."
    )
    heads = ("method", "parameters", *columns)
    return show_table(
        Table(heads, rows, caption, compared=[*columns], digits=2, down=True), name, alt_text
    )


def bounds(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """One row for each method: the bound on minus the log-likelihood of a test image, for each set.

    Args:
        result: content of the file; result["bound"][set][method] has "mean" and "sd", nats.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    found = result.get("bound", {})
    methods = dict.fromkeys(method for of_set in found.values() for method in of_set)
    rows = {m: [_known(of_set, m) for of_set in found.values()] for m in methods}
    caption = (
        "Bound on -log p(x) of a test image, nats: mean ± standard deviation over seeds; lower is "
        "better."
    )
    return show_table(Table(("method", *found), rows, caption, digits=1, down=True), name, alt_text)


def samples(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Against training.

    Distance of codes from normal, and precision and recall of samples, means over seeds.

    Args:
        result: content of the file; result["samples"] has for each seed a list of looks, each with
            "updates" and these.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    looks = [*zip(*result["samples"], strict=True)]
    updates = [at_once[0]["updates"] for at_once in looks]
    told = {
        "precision": "precision",
        "recall": "recall",
        "normality": "distance of codes from normal",
    }
    series: dict[str, plots.Series] = {
        words: (updates, [sum(look[key] for look in at_once) / len(at_once) for at_once in looks])
        for key, words in told.items()
    }
    return show_figure(plots.curves(series, x_title="updates", y_title="share"), name, alt_text)


def places(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Errors of the small SIREN at equal updates, by every place and by a quarter.

    Args:
        result: content of the file; result["places"] has "updates", "curves" by name, and
            "time_ratio".
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    found = result["places"]
    series: dict[str, plots.Series] = {
        told: (found["updates"], errors) for told, errors in found["curves"].items()
    }
    title = f"An update by a quarter takes {found['time_ratio']['mean']:.2f} of the time"
    return show_figure(
        plots.curves(series, x_title="updates", y_title="squared error, MNIST", title=title),
        name,
        alt_text,
    )


def _known(found: Mapping[str, Any], key: str) -> Cell:
    """Mean and standard deviation over seeds, where they are known."""
    return spread(found[key]) if key in found else None


def places_in_time(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Draw the errors of `places` against time, in units of an update by every place.

    Args:
        result: as for `places`.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    series: dict[str, plots.Series] = dict(_in_time(result))
    x_title = "time, in updates by every place"
    return show_figure(
        plots.curves(series, x_title=x_title, y_title="squared error, MNIST"), name, alt_text
    )


def places_at_equal_times(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """One row for each time at which the quarter was judged and every place can be interpolated.

    Args:
        result: as for `places`.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    (every, (times, errors)), (quarter, points) = _in_time(result).items()
    rows: dict[str, list[float | None]] = {
        f"{time:.0f}": [float(np.interp(time, times, errors)), error]
        for time, error in zip(*points, strict=True)
        if times[0] <= time <= times[-1]
    }
    n_seeds = result["places"]["time_ratio"].get("seeds", len(result["samples"]))
    caption = (
        "Squared error of a test image of MNIST, summed over pixels, at equal times; times in "
        f"updates by every place, whose errors are interpolated. Means over {n_seeds} seeds."
    )
    return show_table(Table(("time", every, quarter), rows, caption, digits=1), name, alt_text)


def _in_time(result: Mapping[str, Any]) -> dict[str, tuple[list[float], list[float]]]:
    """Map each of both trainings to its times and errors; an update by every place takes 1."""
    found = result["places"]
    every, quarter = found["curves"]
    length = {every: 1.0, quarter: found["time_ratio"]["mean"]}
    return {
        told: ([length[told] * n for n in found["updates"]], errors)
        for told, errors in found["curves"].items()
    }
