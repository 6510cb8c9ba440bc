"""Times of a quiet machine, measured on a busy one.

A view promises to answer within some milliseconds. Where other programs keep the processors busy,
its threads stand in line before they run, and the clock on the wall goes on. Linux counts that
time, and the time the thread ran, for each thread; a hypervisor reports what it took for others.

    quiet = wall - waiting,    but at least the processor time of the busiest thread

Waiting is summed over all threads of all descendants of this process: JupyterLab, its kernels, the
browser and what it forks. Threads may wait side by side, so that the sum can be too large. The
bound from below keeps slow work from hiding behind it; for the rest, a measurement encloses what is
timed tightly, and what waits for its end looks every so often (`LOOK`), not at every frame.

A promise is made for a machine. After every measurement a fixed piece of work is timed by its
processor time (`pace`); where it takes twice as long as on that machine, so may the view.
"""

import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
from torch import nn

DRAWING = 16.0
"""ms from a hand's move to the end of the drawing: one frame of a screen of 60 Hz."""
ROUND_TRIP = 150.0
"""ms from a hand's release to the kernel's answer on screen."""
MARGIN = 3
"""The promises hold on an idle machine with a GPU; one without may take this much longer."""
PACE = 1.4
"""ms of processor time of `pace` on the machine for which the promises are made."""
SLOWEST = 4.0
"""Largest number of times by which a slower machine stretches a promise."""
_NET = nn.Sequential(nn.Linear(8, 64), nn.ELU(), nn.Linear(64, 128), nn.ELU(), nn.Linear(128, 64))
_Z = torch.zeros(1, 8, requires_grad=True)
LOOK = 50
"""ms between looks at a page that is waited for: looking at every frame keeps threads in line."""
ENOUGH = 50
"""The 95th percentile of fewer times would be their largest."""


def pace() -> float:
    """Return the milliseconds of processor time that a fixed piece of work takes just now.

    It is the work of a kernel that follows a flow, gradients of one sample through a small decoder;
    the quickest of four rounds counts, because the first ones fill the caches.
    """
    rounds = []
    for _ in range(4):
        start = time.thread_time()
        for _ in range(10):
            output = _NET(_Z).square().sum()
            torch.autograd.grad(output, _Z)
        rounds.append(1000 * (time.thread_time() - start))
    return min(rounds)


def _stolen() -> float:
    """Return the seconds in which the hypervisor ran others, summed over processors."""
    try:
        ticks = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    except (OSError, IndexError):  # no Linux
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Usage:
    """What the threads of this process's descendants got and missed so far, in seconds."""

    ran: dict[str, float] = field(default_factory=dict)
    waited: dict[str, float] = field(default_factory=dict)
    stolen: float = field(default_factory=_stolen)

    @classmethod
    def now(cls) -> "Usage":
        """Read the counts of every thread; where there is no Linux there are none."""
        usage = cls()
        for process in psutil.Process().children(recursive=True):
            for thread in Path(f"/proc/{process.pid}/task").glob("*"):
                try:
                    ran, waited, _ = (thread / "schedstat").read_text().split()
                except (OSError, ValueError):  # ended meanwhile
                    continue
                usage.ran[thread.name] = int(ran) / 1e9
                usage.waited[thread.name] = int(waited) / 1e9
        return usage

    def quiet(self, wall: float, until: "Usage") -> float:
        """Return what `wall` seconds between here and `until` would be on a quiet machine."""
        missed = sum(_gains(self.waited, until.waited)) + until.stolen - self.stolen
        busiest = max(_gains(self.ran, until.ran), default=0.0)
        return min(wall, max(wall - missed, busiest))


def _gains(before: dict[str, float], after: dict[str, float]) -> list[float]:
    return [count - before.get(thread, 0.0) for thread, count in after.items()]


class QuietTimes(list[float]):
    """Milliseconds of a quiet machine."""

    def __init__(self) -> None:
        super().__init__()
        self.by_the_clock: list[float] = []
        self.paces: list[float] = []
        self.start()

    def start(self) -> None:
        """Begin a measurement here; else it begins where the one before ended."""
        self._before = Usage.now()

    def add(self, milliseconds: float) -> None:
        """Keep a measurement that lies between the start and now."""
        now = Usage.now()
        self.by_the_clock.append(milliseconds)
        self.append(1000 * self._before.quiet(milliseconds / 1000, now))
        self.paces.append(pace())
        self.start()

    @property
    def slowness(self) -> float:
        """How many times longer this machine took for a fixed piece of work; from 1 to 4."""
        return min(max(1.0, statistics.median(self.paces) / PACE), SLOWEST)

    def hold(self, promise: float, what: str) -> None:
        """Print what was measured and compare it with the promise.

        The 95th percentile is compared where there are enough times, else the median.
        """
        median = statistics.median(self)
        high = statistics.quantiles(self, n=20)[-1]
        print(
            f"\n{what}: median {median:.1f}, 95th percentile {high:.1f} ms (promised "
            f"{promise:.0f}; median by the clock {statistics.median(self.by_the_clock):.1f}; "
            f"the machine takes {self.slowness:.2f} times as long)"
        )
        assert (high if len(self) >= ENOUGH else median) <= self.slowness * MARGIN * promise
