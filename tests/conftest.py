"""Every test runs with the annotations of gfe_core, shapes included, checked at run time."""

import signal
from collections.abc import Iterator

import jaxtyping
import pytest
from annotations import begin_test, check_annotations

check_annotations()

import torch  # noqa: E402  (gfe_core and what it imports come after the hook)

# A shell's background job ignores Ctrl-C, and so would its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # small problems: a second thread costs more than it brings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, so that no process has to wait for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_wheel.py")


def pytest_runtest_setup() -> None:
    """Check the first calls of every function in this test too."""
    begin_test()


@pytest.fixture
def generator() -> torch.Generator:
    """The only source of randomness in a test: seeded and passed explicitly."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Run as a user does, without run-time annotations.

    A bad argument meets the error text of gfe_core itself.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
