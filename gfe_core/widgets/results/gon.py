"""Tables and curves of `gon`, for `show_result`.

The experiment compares one step from the origin with flows and autoencoders.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figures import show_figure
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.tables import Cell, Table, show_table, spread


def errors(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Tabulate one row for each method.

    The columns are the number of parameters, final errors, and errors after given seconds; the
    lowest errors are marked.

    Args:
        result: content of the file; result["error"][set][method] and
            result["seconds"][set][method][seconds] have "mean" and "sd" of summed squared errors of
            a test image, result["parameters"][method] is a number of parameters.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    error = result["error"]
    seconds = result.get("seconds", {})
    counts = result.get("parameters", {})
    methods = dict.fromkeys(method for of_set in error.values() for method in of_set)
    columns: dict[str, list[Cell]] = {
        data: [_known(by_method, m) for m in methods] for data, by_method in error.items()
    }
    for data, by_method in seconds.items():
        times = sorted({time for of_method in by_method.values() for time in of_method}, key=float)
        for time in times:
            columns[f"{data}, {time} s"] = [_known(by_method.get(m, {}), time) for m in methods]
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
    """Tabulate the bound on minus the log-likelihood of a test image, by method and data set.

    Args:
        result: content of the file; result["bound"][set][method] has "mean" and "sd", nats.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    by_set = result.get("bound", {})
    methods = dict.fromkeys(method for of_set in by_set.values() for method in of_set)
    rows = {m: [_known(of_set, m) for of_set in by_set.values()] for m in methods}
    caption = (
        "Bound on -log p(x) of a test image, nats: mean ± standard deviation over seeds; lower is "
        "better."
    )
    return show_table(
        Table(("method", *by_set), rows, caption, digits=1, down=True), name, alt_text
    )


def samples(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Draw precision and recall of samples, and the distance of codes from normal, over training.

    Numbers are means over seeds.

    Args:
        result: content of the file; result["samples"] has for each seed a list of evaluations, each
            with "updates", "precision", "recall" and "normality".
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    evaluations = [*zip(*result["samples"], strict=True)]
    updates = [at_once[0]["updates"] for at_once in evaluations]
    labels = {
        "precision": "precision",
        "recall": "recall",
        "normality": "distance of codes from normal",
    }
    series: dict[str, plots.Series] = {
        label: (
            updates,
            [sum(one[key] for one in at_once) / len(at_once) for at_once in evaluations],
        )
        for key, label in labels.items()
    }
    return show_figure(plots.curves(series, x_title="updates", y_title="share"), name, alt_text)


def places(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Draw the errors of the small SIREN at equal updates, by every place and by a quarter of them.

    Args:
        result: content of the file; result["places"] has "updates", "curves" by name, and
            "time_ratio", the time of an update by a quarter over that of one by every place.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    content = result["places"]
    series: dict[str, plots.Series] = {
        label: (content["updates"], errors) for label, errors in content["curves"].items()
    }
    title = f"An update by a quarter takes {content['time_ratio']['mean']:.2f} of the time"
    return show_figure(
        plots.curves(series, x_title="updates", y_title="squared error, MNIST", title=title),
        name,
        alt_text,
    )


def _known(summaries: Mapping[str, Any], key: str) -> Cell:
    """Return mean and standard deviation over seeds, or None where they are not known."""
    return spread(summaries[key]) if key in summaries else None


def places_in_time(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Draw the errors of `places` against time, in units of an update by every place.

    Args:
        result: content of the file, as for `places`.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    series: dict[str, plots.Series] = dict(_in_time(result))
    x_title = "time, in updates by every place"
    return show_figure(
        plots.curves(series, x_title=x_title, y_title="squared error, MNIST"), name, alt_text
    )


def places_at_equal_times(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Tabulate the errors of `places` at equal times, one row for each.

    The times are those at which the training by a quarter was evaluated, as far as the errors of
    the training by every place can be interpolated there.

    Args:
        result: content of the file, as for `places`.
        name: name of the explorer.
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
    """Return times and errors of both training runs; an update by every place takes 1."""
    content = result["places"]
    every, quarter = content["curves"]
    length = {every: 1.0, quarter: content["time_ratio"]["mean"]}
    return {
        label: ([length[label] * n for n in content["updates"]], errors)
        for label, errors in content["curves"].items()
    }
