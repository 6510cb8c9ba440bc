"""The paper's tables and figures, and other experiments whose results are shipped.

Each experiment has a module of its own.
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
    "learnt": "learnt",
}

NAMES = tuple(_ROOMS)
"""Names of the experiments of `python -m gfe_core reproduce`."""


def experiment(name: str) -> Any:
    """Return an experiment by its name; only its own module is imported.

    Args:
        name: name of the experiment, one of `NAMES`.
    """
    from importlib import import_module

    return import_module(f"gfe_core.experiments.tables.{_ROOMS[name]}").EXPERIMENT
