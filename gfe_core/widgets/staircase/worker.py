"""A training with gates that goes on under the reader's hand.

What it did, its copies, and the thread that runs it.
"""

import copy
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from gfe_core.methods.narrowing import Gated, Narrowing
from gfe_core.training import Report

_MOST_POINTS = 240  # drawn; a message then stays under 10 kB with 16 gates
_REST = 0.2  # seconds from one telling to the next, at least
_MOST_UPDATES = 20_000  # after one press: a training that everybody forgot ends by itself


@dataclass
class Notes:
    """A callback of `fit`: what gates and constraint were after each update.

    Args:
        rule: whose constraint it reads.
        rows: updates, open gates, moving average of the error, threshold, multiplier.
        gates: their probabilities to be open.
    """

    rule: Narrowing
    rows: list[tuple[float, ...]] = field(default_factory=list)
    gates: list[np.ndarray] = field(default_factory=list)

    def __call__(self, report: Report) -> None:
        """Note how it stands."""
        gated = cast(Gated, report.decoder)
        bound = self.rule.constraint
        # gates first: who draws from another thread counts the rows
        self.gates.append((255 * torch.sigmoid(gated.gamma.detach())).round().byte().cpu().numpy())
        n_open = int(gated.open.sum())
        self.rows.append(
            (len(self.rows) + 1, n_open, bound.average, bound.threshold, bound.multiplier)
        )

    def drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """Some updates, evenly spaced, the last among them.

        Float32 (5, points) and uint8 (gates, points).
        """
        n = len(self.rows)
        if not n:
            return np.zeros((5, 0), np.float32), np.zeros((0, 0), np.uint8)
        some = np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(int)
        rows = np.array([self.rows[k] for k in some], dtype=np.float32)
        return np.ascontiguousarray(rows.T), np.ascontiguousarray(
            np.stack([self.gates[k] for k in some]).T
        )


@dataclass
class Training:
    """All that one training consists of.

    A deep copy, generators included, is a second one that goes the same way.

    Args:
        rule: the encoder of the training.
        train: `functools.partial(gfe.fit, gated, batches, encoder=rule, ...)`; called with epochs
            and callbacks.
    """

    rule: Narrowing
    train: Callable[..., Any]

    def __post_init__(self) -> None:
        self.notes = Notes(self.rule)

    def copy(self) -> "Training":
        """A second one that does not touch this one."""
        return copy.deepcopy(self)

    def go_on(self, epochs: int, callbacks: Sequence[Callable[[Report], bool | None]] = ()) -> None:
        """Train, and take note."""
        with torch.enable_grad():
            self.train(epochs=epochs, callbacks=[self.rule.learn, self.notes, *callbacks])


class Worker:
    """Train in a thread of its own until it is paused.

    Args:
        tell: called from that thread, at most five times a second and once at the end, with an
            error or None.
    """

    def __init__(self, tell: Callable[[Exception | None], None]) -> None:
        self._tell = tell
        self._one_at_a_time = threading.Lock()
        self._stop: threading.Event | None = None
        self.thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a training is under way that nobody has paused."""
        return self._stop is not None

    def start(self, training: Training) -> None:
        """Go on with a training, unless one is under way."""
        if self._stop is None:
            self._stop = threading.Event()
            self.thread = threading.Thread(
                target=self._work, args=(training, self._stop), daemon=True
            )
            self.thread.start()

    def pause(self) -> None:
        """Stop after the present update, without waiting for it."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None

    def finish(self) -> None:
        """Pause, and wait for it."""
        self.pause()
        if self.thread is not None:
            self.thread.join()

    def _work(self, training: Training, stop: threading.Event) -> None:
        told_at = time.monotonic()
        first = len(training.notes.rows)

        def between(_: Report) -> bool:
            nonlocal told_at
            if not stop.is_set() and time.monotonic() - told_at >= _REST:
                self._tell(None)
                told_at = time.monotonic()
            return stop.is_set() or len(training.notes.rows) - first >= _MOST_UPDATES

        error = None
        try:
            # A training that was paused a moment ago may be in its last update.
            with self._one_at_a_time:
                if not stop.is_set():
                    training.go_on(_MOST_UPDATES, [between])
        except Exception as caught:
            error = caught
        if self._stop is stop:  # it ended by itself
            self._stop = None
        self._tell(error)
