"""Curves and a table of `spectra`, learnt from few and from many spectra, for `show_result`."""

from collections.abc import Mapping
from typing import Any

from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figures import show_figure
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.tables import Table, show_table


def energies(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """Draw one curve for each method.

    A curve is the energy of reconstructions against the clean flux, over the number of spectra that
    the method learnt from.

    Args:
        result: content of the file; result["energy"][n][method]["mean"] is in nats per wavelength.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    by_number: Mapping[str, Mapping[str, Any]] = result["energy"]
    methods = dict.fromkeys(method for of_n in by_number.values() for method in of_n)
    points = {
        m: {int(n): of_n[m]["mean"] for n, of_n in by_number.items() if m in of_n} for m in methods
    }
    series: dict[str, plots.Series] = {m: ([*at], [*at.values()]) for m, at in points.items()}
    y_title = "energy, clean flux (nats per wavelength)"
    figure = plots.curves(series, log=True, x_title="spectra learned from", y_title=y_title)
    return show_figure(figure, name, alt_text)


def not_told(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Tabulate one row for each parameter and number of spectra.

    A number is the share of the variance of the parameter that a probe does not explain, 1 - R^2.

    Args:
        result: content of the file; result["r2"][n][method][parameter]["mean"] is at most 1.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    by_number: Mapping[str, Mapping[str, Any]] = result["r2"]
    methods = list(dict.fromkeys(method for of_n in by_number.values() for method in of_n))
    parameters = list(
        dict.fromkeys(
            parameter for of_n in by_number.values() for one in of_n.values() for parameter in one
        )
    )
    rows = {
        f"{parameter}, from {int(n):,}": [
            1 - of_n[m][parameter]["mean"] if m in of_n else None for m in methods
        ]
        for parameter in parameters
        for n, of_n in by_number.items()
    }
    caption = (
        "Share of a parameter's variance that the reader of codes misses, 1 - R²; above 1: worse "
        "than the mean."
    )
    return show_table(Table(("spectra", *methods), rows, caption, digits=2), name, alt_text)
