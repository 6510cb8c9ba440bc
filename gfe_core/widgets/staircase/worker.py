"""A training run with gates that the reader controls.

This module has its record, its copies, and the thread that runs it.
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

_MOST_POINTS = 240  # points drawn; a message then stays below 10 kB with 16 gates
_REST = 0.2  # least time between two messages, in seconds
_MOST_UPDATES = 20_000  # updates after one press, so that a forgotten training run ends by itself


@dataclass
class Notes:
    """A callback of `fit` that records the gates and the constraint after each update.

    Args:
        rule: encoder whose constraint is read.
        rows: for each update its number, the number of open gates, the moving average of the error,
            the threshold and the multiplier.
        gates: for each update the probabilities of the gates to be open, uint8, 255 for 1.
    """

    rule: Narrowing
    rows: list[tuple[float, ...]] = field(default_factory=list)
    gates: list[np.ndarray] = field(default_factory=list)

    def __call__(self, report: Report) -> None:
        """Record the state after an update."""
        gated = cast(Gated, report.decoder)
        bound = self.rule.constraint
        # gates first, because the thread that draws counts the rows
        self.gates.append((255 * torch.sigmoid(gated.gamma.detach())).round().byte().cpu().numpy())
        n_open = int(gated.open.sum())
        self.rows.append(
            (len(self.rows) + 1, n_open, bound.average, bound.threshold, bound.multiplier)
        )

    def drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """Return evenly spaced updates, including the last.

        The arrays are float32 (5, points) and uint8 (gates, points).
        """
        n = len(self.rows)
        if not n:
            return np.zeros((5, 0), np.float32), np.zeros((0, 0), np.uint8)
        chosen = np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(int)
        rows = np.array([self.rows[k] for k in chosen], dtype=np.float32)
        return np.ascontiguousarray(rows.T), np.ascontiguousarray(
            np.stack([self.gates[k] for k in chosen]).T
        )


@dataclass
class Training:
    """A training run with everything that determines it.

    A deep copy includes the generators, so that it continues in exactly the same way.

    Args:
        rule: encoder of the training run.
        train: function of epochs and callbacks, such as `functools.partial(gfe.fit, gated, batches,
            encoder=rule, ...)`.
    """

    rule: Narrowing
    train: Callable[..., Any]

    def __post_init__(self) -> None:
        self.notes = Notes(self.rule)

    def copy(self) -> "Training":
        """Return an independent copy."""
        return copy.deepcopy(self)

    def go_on(self, epochs: int, callbacks: Sequence[Callable[[Report], bool | None]] = ()) -> None:
        """Train and record."""
        with torch.enable_grad():
            self.train(epochs=epochs, callbacks=[self.rule.learn, self.notes, *callbacks])


class Worker:
    """Train in a thread of its own until it is paused.

    Args:
        tell: function that is called from that thread, at most five times a second and once at the
            end, with an error or None.
    """

    def __init__(self, tell: Callable[[Exception | None], None]) -> None:
        self._tell = tell
        self._one_at_a_time = threading.Lock()
        self._stop: threading.Event | None = None
        self.thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a training run is under way and not paused."""
        return self._stop is not None

    def start(self, training: Training) -> None:
        """Continue a training run, unless one is under way."""
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
        """Pause, and wait for the end of the present update."""
        self.pause()
        if self.thread is not None:
            self.thread.join()

    def _work(self, training: Training, stop: threading.Event) -> None:
        sent_at = time.monotonic()
        first = len(training.notes.rows)

        def between(_: Report) -> bool:
            nonlocal sent_at
            if not stop.is_set() and time.monotonic() - sent_at >= _REST:
                self._tell(None)
                sent_at = time.monotonic()
            return stop.is_set() or len(training.notes.rows) - first >= _MOST_UPDATES

        error = None
        try:
            # A training run that was paused a moment ago may still be in its last update.
            with self._one_at_a_time:
                if not stop.is_set():
                    training.go_on(_MOST_UPDATES, [between])
        except Exception as caught:
            error = caught
        if self._stop is stop:  # it ended by itself
            self._stop = None
        self._tell(error)
