"""Times of a quiet machine, measured on a busy one.

A view promises to answer within some milliseconds. Where other programs keep the processors busy,
its processes stand in line before they run, and the clock on the wall goes on. Linux counts that
time for each thread; it is taken off what was measured. On a quiet machine there is next to none.
"""

import os
from pathlib import Path

import psutil


def waited() -> float:
    """Return how long the main threads of this process's descendants stood in line, in seconds."""
    total = 0
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            total += int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1])
        except (OSError, IndexError):  # ended meanwhile, or no Linux: nothing is taken off
            continue
    return total / 1e9


class QuietTimes(list[float]):
    """Milliseconds, each without the time that was spent in line since the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._waited = waited()

    def add(self, milliseconds: float) -> None:
        """Keep one measurement."""
        now = waited()
        self.append(max(0.0, milliseconds - 1000 * max(0.0, now - self._waited)))
        self._waited = now
