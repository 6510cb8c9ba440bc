"""The codes of one step from the origin while a decoder learns.

A live histogram shows them, with their distance from a normal distribution.
"""

import math
from typing import Any

import ipywidgets
import numpy as np

from gfe_core import checks, threads
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import Samples, samples_for
from gfe_core.energy import Energy
from gfe_core.methods.gon import SQUARES, normality
from gfe_core.training import Report
from gfe_core.types import Codes, Loss
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figure_view import FigureView
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.shown import shown_rows

_CURVES = ("histogram", "the normal curve of its mean and variance")
_BINS = 41
_REACH = 4.0  # standard deviations on each side of the mean
# height of a preview and width of a bar, in pixels
_HEIGHT = 100
_BAR = 4
# the mean distance of n normal points is about this over sqrt(n): Kolmogorov and Smirnov
_CHANCE = 0.87


class GradientHistogram:
    """A callback and a preview of `fit`: a histogram of minus the gradients at the origin.

    The histogram takes the gradients of images in all latents together, and has the normal curve of
    its mean and variance. Another figure shows the distance of the codes from a normal distribution
    (`gon.normality`) over the training.

    Args:
        x: images, more than the decoder has latents.
        loss: loss of the energy, summed squares by default.
        every: number of batches from one evaluation to the next.

    Attributes:
        steps: number of decoder updates at each evaluation.
        codes: minus the gradients, at each evaluation.
        distance: distance of the codes from a normal distribution, at each evaluation.
    """

    @in_own_words
    def __init__(self, x: Samples, *, loss: Loss = SQUARES, every: int = 2) -> None:
        checks.at_least_one("every", every)
        self.x = shown_rows(x)
        self.loss = loss
        self.every = every
        self.steps: list[int] = []
        self.codes: list[Codes] = []
        self.distance: list[float] = []

    def __call__(self, report: Report) -> None:
        """Evaluate the gradients if an evaluation is due."""
        if (report.step - 1) % self.every and report.step != report.n_steps:
            return
        decoder = report.decoder
        self.x = samples_for(decoder, self.x)
        origin = self.x.new_zeros(len(self.x), decoder.latent_dim)  # pyright: ignore[reportArgumentType, reportCallIssue]
        with threads.suited(decoder):
            codes = -Energy(decoder, self.x, self.loss).value_and_grad(origin)[1]  # pyright: ignore[reportArgumentType]
        self.steps.append(report.history.step[-1])
        self.codes.append(codes)
        self.distance.append(_distance(codes))

    def preview(self, report: Report) -> np.ndarray:
        """Draw the last evaluation as bars; for `Progress`."""
        return self.picture()

    def picture(self) -> np.ndarray:
        """Return the bars of the last evaluation, grey on white; all white before the first."""
        density = self._density(-1)[1] if self.codes else np.zeros(_BINS)
        heights = _HEIGHT * density / (1.1 * density.max() or 1.0)
        filled = heights > np.arange(_HEIGHT, 0, -1)[:, None]
        return np.where(filled, 96, 255).astype(np.uint8).repeat(_BAR, 1)

    def explorer(self, name: str, alt_text: str) -> Explorer:
        """Return an explorer with which the reader can go back through the training.

        Args:
            name: name of the explorer.
            alt_text: one sentence that says what to see, without numbers.
        """
        checks.require(
            len(self.steps) > 0,
            "The histogram has seen no training: pass it to `fit(..., callbacks=[histogram])`.",
        )
        changes = [self._change(k) for k in range(len(self.steps))]
        series: dict[str, plots.Series] = {
            label: (part["x"], part["y"])
            for label, part in zip(_CURVES, changes[-1]["data"], strict=True)
        }
        x_title = "minus the gradient at the origin, all latents"
        figure: Any = plots.curves(series, x_title=x_title, y_title="density")
        figure.data[0].update(fill="tozeroy", line={"shape": "linear", "width": 1})
        updates = {"label": "updates", "kind": "slider", "options": [*map(str, self.steps)]}
        last = len(changes) - 1
        self.view = FigureView(
            figure, controls=[updates], changes=changes, shown=last, alt_text=alt_text
        )
        distances: dict[str, plots.Series] = {"codes": (self.steps, self.distance)}
        y_title = "distance from normal"
        level = ("by chance", self._chance())
        below = plots.curves(distances, x_title="decoder updates", y_title=y_title, level=level)
        alt = "The distance of the codes from a normal distribution, against training."
        return Explorer(
            name, ipywidgets.VBox([self.view, FigureView(below, alt_text=alt)]), alt_text
        )

    def _chance(self) -> float:
        return _CHANCE / math.sqrt(len(self.x))

    def _density(self, k: int) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Return the edges of the bins, the density in each, mean and standard deviation."""
        values = self.codes[k].flatten().numpy().astype(float)
        values = values[np.isfinite(values)]
        mean, sd = (values.mean(), values.std() or 1.0) if values.size else (0.0, 1.0)
        edges = mean + sd * np.linspace(-_REACH, _REACH, _BINS + 1)
        counts = np.histogram(values, edges)[0]
        return edges, counts / max(values.size, 1) / (edges[1] - edges[0]), mean, sd

    def _change(self, k: int) -> dict[str, Any]:
        """Return the outline of the histogram of an evaluation, and its normal curve."""
        edges, density, mean, sd = self._density(k)
        grid = np.linspace(edges[0], edges[-1], 81)
        normal = np.exp(-0.5 * ((grid - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
        outline = {"x": edges.repeat(2), "y": np.pad(density.repeat(2), 1)}
        words = (
            f"after {self.steps[k]} updates · distance from normal "
            f"{self.distance[k]:.3f}, by chance {self._chance():.3f}"
        )
        return {"data": [outline, {"x": grid, "y": normal}], "words": words}


def _distance(codes: Codes) -> float:
    """Return the distance of codes from normal; NaN while they do not vary in every direction."""
    try:
        return normality(codes)
    except ValueError:
        return math.nan
