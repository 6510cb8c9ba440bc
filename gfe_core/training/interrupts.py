"""Interrupts of a training: they take effect between two updates, never during one.

Ctrl-C and a notebook's stop button send SIGINT, which Python turns into a KeyboardInterrupt between
any two instructions. That could be after the weights of one layer have moved and before those of
the next. `fit` therefore holds the signal back during updates. No other code of the kit does.
"""

import math
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

EVERY_ONE = math.inf
"""Argument of `Interrupts.hold` that holds back all interrupts, however many come."""


class Interrupts:
    """Hold interrupts back while they would leave something half done.

    In the main thread, this replaces the program's own handler of SIGINT until the block ends, and
    calls that handler when an interrupt may take effect. In other threads, and if the program
    ignores SIGINT, it does nothing, because no interrupt arrives there.

    Example:
        >>> with Interrupts() as interrupts:
        ...     interrupts.hold(EVERY_ONE)  # the following lines run to their end
        ...     interrupts.hold(0)  # an interrupt that came meanwhile is raised here
    """

    def __init__(self) -> None:
        self.n_held: float = 0
        self.n_came = 0
        self.handler: Callable[[int, FrameType | None], Any] | None = None

    def __enter__(self) -> "Interrupts":
        own = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(own):
            self.handler = own
            signal.signal(signal.SIGINT, self._came)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)
        if error is None:
            self.hold(0)

    def hold(self, n: float) -> None:
        """Hold back up to n interrupts from now on; if more have come or come, raise one.

        Args:
            n: number of interrupts to hold back. 0 holds back none; 1 holds back the first, so that
                a reader who presses twice need not wait; `EVERY_ONE` holds back all.
        """
        self.n_held = n
        if self.n_came > n:
            self._pass_on(None)

    def _came(self, number: int, frame: FrameType | None) -> None:
        self.n_came += 1
        if self.n_came > self.n_held:
            self._pass_on(frame)

    def _pass_on(self, frame: FrameType | None) -> None:
        self.n_came = 0
        if self.handler is not None:
            self.handler(signal.SIGINT, frame)
