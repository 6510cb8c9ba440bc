"""A pytest plugin for the notebooks, which conftest.py loads for every run.

A cell that runs out of time fails, even if its code survives the interruption: nbval interrupts
such a cell, and a training that stops cleanly on an interruption would pass with its work undone.

The JSON of plotly's figures is left out of the comparison, as nbval leaves pictures out: it holds
trained numbers bit by bit. The sentence beside each figure is compared.
"""

from collections.abc import Generator

import pytest
from nbval.plugin import IPyNbFile

PLOTLY = "application/vnd.plotly.v1+json"


def without_plotly(notebook: IPyNbFile) -> IPyNbFile:
    """Leave the JSON of figures out of what nbval compares; the file changes in place."""
    vars(notebook)["skip_compare"] = (*notebook.skip_compare, PLOTLY)
    return notebook


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Do so with every notebook that nbval collects."""
    collected = yield
    return [without_plotly(one) if isinstance(one, IPyNbFile) else one for one in collected]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail the cell after which its notebook counts as timed out.

    Nbval itself excuses those that follow.
    """
    yield
    if getattr(item.parent, "timed_out", False):
        limit = item.config.getoption("nbval_cell_timeout")
        pytest.fail(f"{item.name} of {item.parent} took longer than {limit:g} s.", pytrace=False)
