"""Gates that close while a model trains, with a threshold that the reader can move meanwhile."""

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
    # smallest and largest threshold
    limits = t.List(t.Float(), default_value=[0.1, 10.0]).tag(sync=True)
    unit = t.Unicode().tag(sync=True)
    seed = t.Int(0).tag(sync=True)
    title = t.Unicode().tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)


class StaircaseExplorer(Explorer):
    """Train behind gates, and continue training while the reader moves the threshold.

    The notebook trains with `train`. Then the reader continues: the buttons train in a thread of
    the kernel, pause it, restart from the beginning, or return to the state that the notebook had
    trained. A moved threshold applies from the next update on and leaves earlier updates as they
    are.

    Args:
        rule: encoder of the training run.
        train: function of epochs and callbacks, such as `functools.partial(gfe.fit, gated, batches,
            encoder=rule, ...)`.
        n_gates: number of gates of the decoder.
        name: name of the explorer.
        reach: largest factor by which the reader can raise or lower the threshold from its first
            value, > 1.
        unit: unit of the error.
        seed: seed of the run, only reported in the view.
        title: title above the view.

    Raises:
        TypeError: `rule` is no `Narrowing`, or `train` cannot be called.
        ValueError: `reach` is not above 1, or there is no gate.
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
        n_gates = checks.at_least_one("n_gates", n_gates)
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
        """Train in the calling thread; Reset returns to the state afterwards.

        Args:
            epochs: number of passes over the data.
            callbacks: callbacks of `fit`, in addition to those of the explorer, such as a
                `Progress`.
        """
        self.worker.finish()
        self.training.go_on(epochs, callbacks)
        self._kept = None
        self._tell(None)

    def close(self) -> None:
        """Pause the training and close the widgets."""
        self.worker.pause()
        super().close()

    def _answer(self, values: dict[str, Any]) -> None:
        """Set the threshold, start or pause, and replace the run if `values["start"]` is new."""
        threshold = min(max(float(values["threshold"]), self.view.limits[0]), self.view.limits[1])
        if self._kept is None:
            self._kept = self.training.copy()  # the reader has not continued the training yet
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
        """Send the present state; the training thread calls this, too."""
        with self.view._lock, self.view.hold_sync():
            self._draw()
            if error is not None:  # last, so that the button is enabled when the note appears
                self.view.note = f"Training stopped ({type(error).__name__}): {error}"

    def _draw(self) -> None:
        lines, gates = self.training.notes.drawn()
        self.view.lines = lines.tobytes()
        self.view.gates = gates.tobytes()
        self.view.running = self.worker.running
        self.view.values = {**self.view.values, "running": self.worker.running}
