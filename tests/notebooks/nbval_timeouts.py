"""A pytest plugin for the notebooks.

A cell that runs out of time fails, even if its code survives the interruption.

nbval interrupts such a cell, and a training that stops cleanly on an interruption would pass with
its work undone.
"""

from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail the cell after which its notebook counts as timed out.

    Nbval itself excuses those that follow.
    """
    yield
    if getattr(item.parent, "timed_out", False):
        limit = item.config.getoption("nbval_cell_timeout")
        pytest.fail(f"{item.name} of {item.parent} took longer than {limit:g} s.", pytrace=False)
