"""Several decoders evaluated on unseen images while they train.

The view shows curves of their excess, and their reconstructions.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import torch

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import Samples, samples_for
from gfe_core.encoding import reconstruct
from gfe_core.energy import Bernoulli
from gfe_core.training import Report, evaluate
from gfe_core.training.parts import callable_encoder
from gfe_core.types import Encoder, Loss
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figure_view import FigureView
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.shown import shown_rows
from gfe_core.widgets.training.gallery import gallery, named_rows

_TILE = 60  # approximate width of an image on the screen, in pixels
_MOST = 4  # largest number of competitors that fits into a preview


class SideBySide:
    """A callback and a preview of `fit`: excess and reconstructions of unseen images.

    Args:
        x: images that no competitor trains on.
        image_shape: shape of an image, (height, width), or (3, height, width) in colour.
        competitors: decoders and encoders to compare, name -> (decoder, encoder), at most four; all
            of them are evaluated each time.
        every: number of batches from one evaluation to the next.
        at: numbers of updates at which to evaluate instead, increasing.
        n_drawn: number of images that are drawn.
        loss: loss of the excess and the reconstructions, `Bernoulli()` by default.

    Attributes:
        updates: number of updates of the decoder that `fit` trains, at each evaluation.
        images: number of images encoded in its training until then, repeats counted.
        seconds: processor time of the training until then, in seconds; evaluations do not count.
        excess: mean excess over the floor at each evaluation by name, nats per pixel by default.
            Samples without an energy do not count; a warning reports their number.
    """

    @in_own_words
    def __init__(
        self,
        x: Samples,
        image_shape: tuple[int, ...],
        competitors: Mapping[str, tuple[Any, Encoder]],
        *,
        every: int = 5,
        at: Sequence[int] | None = None,
        n_drawn: int = 10,
        loss: Loss | None = None,
    ) -> None:
        checks.require(
            1 <= len(competitors) <= _MOST,
            (
                f"`competitors` must be 1 to {_MOST}, got {len(competitors)}. Show the "
                "others in a second one."
            ),
        )
        checks.at_least_one("every", every)
        rows = shown_rows(x, gaps=True)
        image_shape = checks.image_shape(image_shape)
        for one in competitors.values():
            pair = isinstance(one, (tuple, list)) and len(one) == 2
            wanted = "`competitors` must be names with (decoder, encoder)"
            checks.require(pair, f"{wanted}, got {checks.described(one)}.", TypeError)
            checks.is_decoder(one[0])
            callable_encoder(one[1])
            rows = samples_for(one[0], x)
        for update in at if at is not None else ():
            checks.whole("at", update)
        self.x = rows
        self.image_shape = image_shape
        self.competitors = dict(competitors)
        self.every = every
        self.at = at
        self.n_drawn = n_drawn
        self.loss = loss
        self.updates: list[int] = []
        self.images: list[int] = []
        self.seconds: list[float] = []
        self.excess: dict[str, list[float]] = {name: [] for name in self.competitors}

        self._spent = 0.0
        self._since = time.process_time()

    def __call__(self, report: Report) -> None:
        """Evaluate all competitors if an evaluation is due."""
        self._spent += time.process_time() - self._since
        if self._due(report):
            self.updates.append(report.history.step[-1])
            self.images.append(report.history.images[-1])
            self.seconds.append(self._spent)
            for name, (decoder, encoder) in self.competitors.items():
                judged = evaluate(decoder, self.x, encoder=encoder, loss=self.loss)
                self.excess[name].append(judged.excess.nanmean().item())
        self._since = time.process_time()

    def runs(self, n_distinct: int) -> dict[str, dict[str, list[float]]]:
        """Return the evaluations of all competitors, for `AxesExplorer`.

        Args:
            n_distinct: number of images in the training data.
        """
        axes: dict[str, list[float]] = {
            "distinct images": [min(n, n_distinct) for n in self.images],
            "decoder updates": [*self.updates],
            "seconds": self.seconds,
        }
        return {name: axes | {"excess": excess} for name, excess in self.excess.items()}

    def _due(self, report: Report) -> bool:
        if self.at is not None:
            return (
                len(self.updates) < len(self.at)
                and report.history.step[-1] >= self.at[len(self.updates)]
            )
        return (report.step - 1) % self.every == 0 or report.step == report.n_steps

    def preview(self, report: Report) -> np.ndarray:
        """Draw the images and, below them, each competitor's reconstructions; for `Progress`."""
        return self.picture()

    def explorer(self, name: str, alt_text: str) -> Explorer:
        """Show the curves, and below them the images and each competitor's reconstructions.

        Args:
            name: name of the explorer.
            alt_text: one sentence that says what to see.
        """
        checks.require(
            len(self.updates) > 0,
            "No look yet: pass it to a training, `gfe.fit(..., callbacks=[side])`.",
        )
        series: dict[str, plots.Series] = {
            label: (self.updates, curve) for label, curve in self.excess.items()
        }
        y_title = "excess, unseen (nats per pixel)"
        figure = plots.curves(series, x_title="decoder updates", y_title=y_title)
        curves = FigureView(figure, alt_text=alt_text)
        names = ["unseen images", *self.competitors]
        drawn = ipywidgets.HTML(named_rows(names, self.picture(), _TILE * self.n_drawn))
        return Explorer(name, ipywidgets.VBox([curves, drawn]), alt_text)

    def picture(self) -> np.ndarray:
        """Return the first images, and below them each competitor's reconstructions."""
        x = self.x[: self.n_drawn]
        with torch.no_grad():
            drawn = [
                reconstruct(decoder, encoder(decoder, x), self.loss or Bernoulli())
                for decoder, encoder in self.competitors.values()
            ]
        return gallery([one.flatten(1) for one in (x, *drawn)], self.image_shape)
