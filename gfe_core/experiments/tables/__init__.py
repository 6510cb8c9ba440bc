"""The paper's tables and figures, and other long runs whose results the project ships.

One module for each.
"""

from typing import Any

_ROOMS = {
    "table1-few": "few",
    "table1-converged": "converged",
    "fig1": "fig1",
    "fig2": "fig2",
    "fig3": "fig3",
    "two-by-two": "two_by_two",
    "missing": "missing",
    "spectra": "emission_lines",
    "gon": "gon",
    "narrowing": "narrowing",
}

NAMES = tuple(_ROOMS)
"""What `python -m gfe_core reproduce` knows."""


def experiment(name: str) -> Any:
    """Find an experiment by its name; only its own module is imported.

    Args:
        name: one of `NAMES`.
    """
    from importlib import import_module

    return import_module(f"gfe_core.experiments.tables.{_ROOMS[name]}").EXPERIMENT
