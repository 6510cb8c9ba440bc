"""Tables of `narrowing`, for `show_result`.

They list the numbers of open gates, and the factors that can be predicted from the open latents.
"""

from collections.abc import Mapping
from typing import Any

from gfe_core.widgets.kit.explorer import Document
from gfe_core.widgets.tables import Cell, Table, show_table, spread


def planted(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Tabulate one row for each model and planted number of latents.

    The columns are the mean and the range of the number of open gates, and the number of runs that
    found the planted number.

    Args:
        result: content of the file; result["planted"][model][n] has "open", a list, and the number
            of successful runs, "within_one_and_met", among all runs, "of".
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    rows: dict[str, list[float | None]] = {}
    for model, numbers in result["planted"].items():
        for n, one in numbers.items():
            counts = one["open"]
            others = [min(counts), max(counts), one["within_one_and_met"], one["of"]]
            rows[f"{model}, {n} planted"] = [sum(counts) / len(counts), *others]
    columns = ("model", "mean open", "fewest", "most", "found it", "of")
    caption = (
        "Gates open at the end, one data set a run. Found it: runs within one of the planted "
        "number whose error of unseen samples is under the threshold."
    )
    return show_table(Table(columns, rows, caption, compared=(), digits=1), name, alt_text)


def factors(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Tabulate one row for each model and threshold on shapes.

    The columns are the error, the number of open gates, and for each factor the R² of its
    prediction from the codes; for the shape, it is the share of correct predictions.

    Args:
        result: content of the file; result["factors"][model][threshold] has "error", "open" and
            "r2" by factor.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    by_model: Mapping[str, Mapping[str, Any]] = result["factors"]
    names = dict.fromkeys(
        factor for rows in by_model.values() for one in rows.values() for factor in one["r2"]
    )
    rows: dict[str, list[Cell]] = {
        f"{model}, {threshold}": [
            spread(one["error"]),
            sum(one["open"]) / len(one["open"]),
            *(spread(one["r2"][factor]) for factor in names),
        ]
        for model, of_model in by_model.items()
        for threshold, one in of_model.items()
    }
    caption = (
        "Shapes, means ± standard deviations over seeds: error, open gates, and R² of each factor "
        "as predicted from the open latents; of the shape, the share named rightly."
    )
    columns = (
        "model, threshold",
        "error",
        "open",
        *names,
    )
    return show_table(Table(columns, rows, caption, compared=(), digits=2), name, alt_text)
