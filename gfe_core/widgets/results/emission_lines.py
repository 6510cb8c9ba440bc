"""Curves and table of `spectra`, learnt from few and from many; to be passed to `show_result`."""

from collections.abc import Mapping
from typing import Any

from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figures import show_figure
from gfe_core.widgets.kit.explorer import Document, Explorer
from gfe_core.widgets.tables import Table, show_table


def energies(result: Mapping[str, Any], *, name: str, alt_text: str) -> Explorer:
    """One curve for each method.

    The energy of its reconstructions against the clean flux, by spectra learnt from.

    Args:
        result: content of the file; result["energy"][n][method]["mean"] is in nats per wavelength.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    found: Mapping[str, Mapping[str, Any]] = result["energy"]
    methods = dict.fromkeys(method for of_n in found.values() for method in of_n)
    points = {
        m: {int(n): of_n[m]["mean"] for n, of_n in found.items() if m in of_n} for m in methods
    }
    series: dict[str, plots.Series] = {m: ([*at], [*at.values()]) for m, at in points.items()}
    y_title = "energy against the clean flux"
    figure = plots.curves(series, log=True, x_title="spectra learnt from", y_title=y_title)
    return show_figure(figure, name, alt_text)


def not_told(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """One row for each parameter and number of spectra.

    The share of its variance that a probe does not tell, 1 - R^2.

    Args:
        result: content of the file; result["r2"][n][method][parameter]["mean"] is at most 1.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    found: Mapping[str, Mapping[str, Any]] = result["r2"]
    methods = list(dict.fromkeys(method for of_n in found.values() for method in of_n))
    parameters = list(
        dict.fromkeys(told for of_n in found.values() for one in of_n.values() for told in one)
    )
    rows = {
        f"{told}, from {int(n):,}": [
            1 - of_n[m][told]["mean"] if m in of_n else None for m in methods
        ]
        for told in parameters
        for n, of_n in found.items()
    }
    caption = "Share of the variance of a parameter that its probe does not tell, 1 - R²"
    return show_table(Table(("spectra", *methods), rows, caption, digits=2), name, alt_text)
