"""How torch computes in a call of the kit: number of threads and precision.

Threads: as many as speed the call up, unless the caller chose a number.

A thread that has finished its part of an operation waits for the others by spinning, for
milliseconds. If another process is busy, the spinning thread can take the processor from the very
thread it waits for. With torch's default of two threads on two processors, the README's ten lines
took 53.6 s beside one busy process; with one thread they took 2.9 s.

The rules hold for the duration of one call of the kit, in the calling thread only:

- A number set by the caller (`torch.set_num_threads`, `OMP_NUM_THREADS`, `MKL_NUM_THREADS`) is
  kept.
- Without convolutions, torch gets one thread: the matrices of a perceptron are too small to share.
- With convolutions, torch's own number is used while that number of processors is free, otherwise
  one.

Codes do not depend on the number of threads: all decoders of the kit give the same codes with one
thread and with two, bit for bit. The gradient of a convolution's bias in an update of `fit` may
differ by rounding.

Precision: that of the decoder and the data. A line search compares energies that differ in their
last digits, which `torch.autocast` would cut off, so autocast is switched off during the call.
Matrices in half precision are the exception: `wide` converts them.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

_AT_IMPORT = torch.get_num_threads()
_DEVICES = ("cpu", "cuda", "xpu", "mps")
"""Types of devices on which `torch.autocast` is known."""


@contextmanager
def suited(*models: object) -> Iterator[None]:
    """Run a block with a number of threads that suits the models, then restore the caller's number.

    `torch.autocast` is off in the block. Entering the block costs about 0.2 ms if torch has more
    than one thread, and a few us if it has one, as in nested blocks.

    Args:
        models: objects that the block computes with, such as a decoder and an encoder. Objects
            without modules count as having no convolutions.
    """
    with own_precision(), _own_threads(models):
        yield


def own_precision() -> ExitStack:
    """Switch off `torch.autocast` if it is on, for the duration of a block."""
    off = ExitStack()
    for kind in _DEVICES:
        if torch.is_autocast_enabled(kind):
            off.enter_context(torch.autocast(kind, enabled=False))
    return off


def wide(numbers: Tensor) -> Tensor:
    """Return numbers in half precision as float32, and others as they are.

    On the CPU torch has no linear algebra in half precision, and its `matrix_exp` returns NaN.
    """
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


@contextmanager
def _own_threads(models: tuple[object, ...]) -> Iterator[None]:
    before = torch.get_num_threads()
    if (
        before == 1
        or _caller_chose(before)
        or (_convolves(models) and _free_processors() >= before)
    ):
        yield
        return
    _limit(1)
    try:
        yield
    finally:
        # If it is not 1, the caller's code set another number inside the block.
        if torch.get_num_threads() == 1:
            _limit(before)


@cache
def _openmp() -> list[Any]:
    """Find the thread pools of the loaded OpenMP libraries.

    These include torch's, no matter who imported it.
    """
    return ThreadpoolController().select(user_api="openmp").lib_controllers


def _limit(n: int) -> None:
    """Set the number for this thread only; `torch.set_num_threads` would affect later threads."""
    for library in _openmp():
        library.set_num_threads(n)


def _caller_chose(n: int) -> bool:
    """Whether the caller set the number of threads, so that it is not torch's own choice.

    A new thread takes the number that was set. If none was set, it takes the number that OpenMP
    offers, which is one here.
    """
    if os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS"):
        return True
    if not torch.backends.mkl.is_available():  # without MKL a new thread counts processors
        return n != _AT_IMPORT
    answers = []

    def ask() -> None:
        _limit(1)
        answers.append(torch.get_num_threads())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answers == [n]


def _convolves(models: tuple[object, ...]) -> bool:
    """Whether any model has a convolution.

    Modules that an encoder holds as attributes are included.
    """
    parts = [part for model in models for part in (model, *getattr(model, "__dict__", {}).values())]
    modules = (module for part in parts if isinstance(part, nn.Module) for module in part.modules())
    return any(isinstance(module, _ConvNd) for module in modules)


def _free_processors() -> int:
    """Count the processors that this process may use and no other process is using now."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(allowed, (os.cpu_count() or 1) - _busy_elsewhere())


def _busy_elsewhere() -> int:
    """Count the threads of other processes that run or wait for a processor, as Linux reports.

    On other systems the count is 0.
    """
    try:
        before = _own_running()
        running = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])
    except (OSError, ValueError, IndexError):
        return 0
    # The larger of the two counts, so that our own waking or sleeping threads are not counted.
    return max(running - max(before, _own_running()), 0)


def _own_running() -> int:
    """Count the threads of this process that run or wait for a processor."""
    return sum(map(_runs, Path("/proc/self/task").iterdir()))


def _runs(task: Path) -> bool:
    """Whether a thread of this process runs or waits for a processor.

    A thread that has ended meanwhile does not.
    """
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    except OSError:
        return False
