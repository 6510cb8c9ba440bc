"""When an interrupt may reach a training: between two updates, never in one.

Ctrl-C and a notebook's stop button send SIGINT, which Python turns into a KeyboardInterrupt between
any two instructions: also between the weights of two layers of which one has moved already. `fit`
holds the signal back there. Interrupts are its business alone: nobody else catches them.
"""

import math
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

EVERY_ONE = math.inf
"""How many interrupts wait for the end of an update."""


class Interrupts:
    """Keep interrupts waiting where they would tear something apart.

    In the main thread, this takes the place of the program's own handler of SIGINT until the block
    ends, and calls it when the interrupt may come through. Elsewhere, and where the program ignores
    SIGINT, nothing happens: no interrupt arrives there.

    Example:
        >>> with Interrupts() as interrupts:
        ...     interrupts.hold(EVERY_ONE)  # what follows is done wholly
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
        """Let n interrupts wait from now on; one that has waited, or one more, is raised.

        Args:
            n: 0 lets none wait; 1 lets the first wait, so that a reader who presses twice is not
                kept; `EVERY_ONE` cannot be broken.
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
