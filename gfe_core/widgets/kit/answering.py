"""The base class of views that ask the kernel.

A request has a number, and a reply acknowledges it.
"""

import threading
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets as t


class Answering(anywidget.AnyWidget):
    """A view whose choices are answered by the kernel.

    Set `on_request` to a function of `values` that answers by setting the traits. The browser sends
    one request at a time, and after each reply its newest state. `note` reports a failure.
    """

    on_request: Callable[[dict[str, Any]], None] | None = None

    values = t.Dict().tag(sync=True)
    note = t.Unicode().tag(sync=True)
    request = t.Dict().tag(sync=True)
    reply = t.Int(0).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._lock = threading.RLock()  # callbacks may run on another thread while a cell runs
        super().__init__(**traits)
        self.observe(self._answer, names="request")

    def _answer(self, change: dict[str, Any]) -> None:
        """Run the reader's request.

        A request that fails is acknowledged too, because the browser waits for the reply.
        """
        request = change["new"]
        with self._lock, self.hold_sync():
            self.note = ""
            try:
                if self.on_request is not None:
                    self.on_request({**self.values, **request["values"]})
            except Exception as error:
                self.note = f"This did not work ({type(error).__name__}): {error}"
            self.reply = request["id"]
