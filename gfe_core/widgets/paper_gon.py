"""Tables of `gon`, for `show_result`: one step from the origin beside flows and autoencoders."""

from collections.abc import Mapping, Sequence
from typing import Any

from gfe_core.widgets.explorer import Explorer
from gfe_core.widgets.tables import Table, show_table


def errors(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """One row for each method: parameters, final errors, and errors after some seconds; the lowest are marked.

    Args:
        result: content of the file; result["error"][set][method]["mean"] and
            result["seconds"][set][method][seconds]["mean"] are summed squared errors of a test image,
            result["parameters"][method] counts.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    error, seconds, counts = result["error"], result.get("seconds", {}), result.get("parameters", {})
    methods = dict.fromkeys(method for of_set in error.values() for method in of_set)
    columns: dict[str, list[float | None]] = {told: [_mean(found, m) for m in methods] for told, found in error.items()}
    for told, found in seconds.items():
        times = sorted({time for of_method in found.values() for time in of_method}, key=float)
        for time in times:
            columns[f"{told}, {time} s"] = [_mean(found.get(m, {}), time) for m in methods]
    rows: dict[str, Sequence[float | None]] = {
        m: [counts.get(m), *(column[k] for column in columns.values())] for k, m in enumerate(methods)
    }
    caption = "Squared error of a test image, summed over pixels; after so many processor seconds of training"
    heads = ("method", "parameters", *columns)
    return show_table(Table(heads, rows, caption, compared=[*columns], digits=2, down=True), name, alt_text)


def bounds(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """One row for each method: the bound on minus the log-likelihood of a test image, for each set.

    Args:
        result: content of the file; result["bound"][set][method]["mean"] is in nats.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    found = result.get("bound", {})
    methods = dict.fromkeys(method for of_set in found.values() for method in of_set)
    rows = {m: [_mean(of_set, m) for of_set in found.values()] for m in methods}
    caption = "Minus the evidence bound of a test image, nats; lower is better"
    return show_table(Table(("method", *found), rows, caption, digits=1, down=True), name, alt_text)


def _mean(found: Mapping[str, Any], key: str) -> float | None:
    return found[key]["mean"] if key in found else None
