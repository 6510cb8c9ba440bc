"""Gates that close while a model trains, and the threshold under the hand meanwhile."""

from collections.abc import Callable, Sequence
from typing import Any

import traitlets as t

from gfe_core import checks
from gfe_core.methods.narrowing import Narrowing
from gfe_core.training import Report
from gfe_core.widgets.kit.answering import Answering
from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.staircase.worker import Training, Worker


class StaircaseView(Answering):
    """Open gates above the error and its threshold; made by `StaircaseExplorer`."""

    _esm = script("staircase")
    _css = style("staircase")

    lines = t.Bytes().tag(
        sync=True
    )  # float32 (5, points): updates, open, average, threshold, multiplier
    gates = t.Bytes().tag(sync=True)  # uint8 (gates, points): probabilities
    n_gates = t.Int(1).tag(sync=True)
    running = t.Bool(False).tag(sync=True)
    limits = t.List(t.Float(), default_value=[0.1, 10.0]).tag(sync=True)  # of the threshold
    unit = t.Unicode().tag(sync=True)
    seed = t.Int(0).tag(sync=True)
    title = t.Unicode().tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)


class StaircaseExplorer(Explorer):
    """Train behind gates, and go on training while the reader moves the threshold.

    The notebook trains with `train`. Then the reader goes on: the buttons train in a thread of the
    kernel and pause it, start again, or return to what the notebook had trained. A threshold that
    moves counts from the next update on, and another one changes nothing but what comes.

    Args:
        rule: the encoder of the training.
        train: `functools.partial(gfe.fit, gated, batches, encoder=rule, ...)`, all but epochs and
            callbacks.
        n_gates: of the decoder.
        name: of the explorer.
        reach: the threshold can be moved from its first value divided by this to its first value
            times this, > 1.
        unit: of the error.
        seed: of the run; it is only said.
        title: above it all.

    Raises:
        ValueError: reach is not above 1, or there is no gate.
    """

    def __init__(
        self,
        rule: Narrowing,
        train: Callable[..., Any],
        n_gates: int,
        *,
        name: str = "staircase",
        reach: float = 5.0,
        unit: str = "squared error of an image",
        seed: int = 0,
        title: str = "Gates close while the error allows it",
    ) -> None:
        wanted = "`rule` must be a `Narrowing`, the encoder of the training"
        fits = isinstance(rule, Narrowing)
        checks.require(fits, f"{wanted}, got {checks.described(rule)}.", TypeError)
        wanted = "`train` must be a function of epochs and callbacks"
        line = "functools.partial(gfe.fit, gated, batches, encoder=rule)"
        got = checks.described(train)
        checks.require(callable(train), f"{wanted}, got {got}. Write `{line}`.", TypeError)
        checks.above_one("reach", reach)
        checks.at_least_one("n_gates", n_gates)
        self.training = Training(rule, train)
        self.worker = Worker(self._tell)
        self._fresh = self.training.copy()
        self._kept = None
        self._start = 0
        first = rule.constraint.threshold
        alt = "The number of open gates falls in steps while the error stays near its threshold."
        self.view = StaircaseView(
            n_gates=n_gates,
            limits=[first / reach, first * reach],
            unit=unit,
            seed=seed,
            title=title,
            alt_text=alt,
            values={"threshold": first, "running": False, "start": 0, "fresh": False},
        )
        self.view.on_request = self._answer
        super().__init__(name, self.view, alt)

    def train(self, epochs: int, callbacks: Sequence[Callable[[Report], bool | None]] = ()) -> None:
        """Train here and now, which is where Reset returns to.

        Args:
            epochs: passes over the data.
            callbacks: of `fit`, beside the explorer's own, such as a `Progress`.
        """
        self.worker.finish()
        self.training.go_on(epochs, callbacks)
        self._kept = None
        self._tell(None)

    def close(self) -> None:
        """Pause, and free what the browser holds."""
        self.worker.pause()
        super().close()

    def _answer(self, values: dict[str, Any]) -> None:
        """Threshold, whether to train, and which run: a start that is new replaces the run."""
        threshold = min(max(float(values["threshold"]), self.view.limits[0]), self.view.limits[1])
        if self._kept is None:
            self._kept = self.training.copy()  # nothing has trained on yet
        if values["start"] != self._start:
            self.worker.pause()
            self.training = (self._fresh if values["fresh"] else self._kept).copy()
            self._start = values["start"]
        self.training.rule.constraint.threshold = threshold
        if values["running"]:
            self.worker.start(self.training)
        else:
            self.worker.pause()
        self.view.values = {**values, "threshold": threshold}
        self._draw()

    def _tell(self, error: Exception | None) -> None:
        """Send how it stands; called by the thread that trains, too."""
        with self.view._lock, self.view.hold_sync():
            self._draw()
            if error is not None:  # last: who reads the note finds the button back
                self.view.note = f"Training stopped ({type(error).__name__}): {error}"

    def _draw(self) -> None:
        lines, gates = self.training.notes.drawn()
        self.view.lines = lines.tobytes()
        self.view.gates = gates.tobytes()
        self.view.running = self.worker.running
        self.view.values = {**self.view.values, "running": self.worker.running}
