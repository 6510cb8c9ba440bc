"""The codes of one step from the origin while a decoder learns.

A live histogram, and how normal they are.
"""

import io
import math

import ipywidgets
import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from gfe_core import checks, threads
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import rows_of, samples_for
from gfe_core.energy import Energy
from gfe_core.methods.gon import SQUARES, normality
from gfe_core.training import Report
from gfe_core.types import Codes, Loss
from gfe_core.widgets.kit.drawing import SOFT, Axes, Scale, Sheet
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.style import COLOURS, DASHES, NUMBERS

# the histogram reaches so many standard deviations
_WIDTH = 760
_HEIGHT = 250
_BINS = 41
_REACH = 4.0
_CHANCE = (
    0.87  # mean distance of n normal points is about this over sqrt(n), Kolmogorov and Smirnov
)


class GradientHistogram:
    """A callback and a preview of `fit`.

    Minus the gradients of images at the origin, all latents together.

    Beside the histogram, with the normal curve of its mean and variance, stands the distance of the
    codes from a normal distribution (`gon.normality`) against training.

    Args:
        x: images, more than the decoder has latents.
        loss: of the energy, summed squares by default.
        every: rounds from one look to the next.

    Attributes:
        steps: of the training at each look.
        codes: minus the gradients at each look.
        distance: of them from a normal distribution, at each look.
    """

    @in_own_words
    def __init__(
        self, x: Float[Tensor, "n features"], *, loss: Loss = SQUARES, every: int = 2
    ) -> None:
        checks.at_least_one("every", every)
        self.x = rows_of(x)
        self.loss = loss
        self.every = every
        self.steps: list[int] = []
        self.codes: list[Codes] = []
        self.distance: list[float] = []

    def __call__(self, report: Report) -> None:
        """Look when it is time to."""
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

    def preview(self, report: Report) -> Image.Image:
        """Draw the last look; for `Progress`."""
        return self.picture()

    def picture(self, look: int = -1) -> Image.Image:
        """Draw a histogram with the normal curve, and its distance against training."""
        sheet = Sheet(_WIDTH, _HEIGHT)
        if self.codes:
            self._histogram(sheet, self.codes[look].flatten().numpy().astype(float))
            self._distances(sheet, look)
        return sheet.finished()

    def explorer(self, name: str, alt_text: str) -> Explorer:
        """Let the reader go back through the training.

        Args:
            name: of the explorer.
            alt_text: one sentence that says what to see, without numbers.
        """
        last = len(self.steps) - 1
        checks.require(
            last >= 0,
            "The histogram has seen no training: pass it to `fit(..., callbacks=[histogram])`.",
        )
        self.slider = ipywidgets.IntSlider(value=last, max=last, description="look", readout=False)
        reset = ipywidgets.Button(description="Reset")
        self.state = ipywidgets.HTML()
        layout = ipywidgets.Layout(max_width="100%", align_self="flex-start")
        self.image = ipywidgets.Image(format="png", layout=layout)
        reset.on_click(lambda _: self.slider.set_trait("value", last))
        self.slider.observe(lambda _: self._show(self.slider.value), names="value")
        self._show(last)
        controls = ipywidgets.HBox(
            [self.slider, reset, self.state], layout=ipywidgets.Layout(flex_flow="row wrap")
        )
        return Explorer(
            name,
            ipywidgets.VBox([controls, self.image]),
            lambda: self.picture(self.slider.value),
            alt_text,
        )

    def _show(self, look: int) -> None:
        png = io.BytesIO()
        self.picture(look).save(png, format="PNG")
        self.image.value = png.getvalue()
        told = f"after {self.steps[look]} updates · distance from normal {self.distance[look]:.3f}"
        self.state.value = f'<span style="{NUMBERS}">{told}, by chance {self._chance():.3f}</span>'

    def _chance(self) -> float:
        return _CHANCE / math.sqrt(len(self.x))

    def _histogram(self, sheet: Sheet, values: np.ndarray) -> None:
        values = values[np.isfinite(values)]
        mean, sd = (values.mean(), values.std() or 1.0) if values.size else (0.0, 1.0)
        edges = mean + sd * np.linspace(-_REACH, _REACH, _BINS + 1)
        density = np.histogram(values, edges)[0] / max(values.size, 1) / (edges[1] - edges[0])
        grid = np.linspace(edges[0], edges[-1], 161)
        normal = np.exp(-0.5 * ((grid - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
        high = Scale(low=0.0, high=1.1 * float(max(density.max(), normal.max())))
        axes = Axes(
            box=(60.0, 34.0, 430.0, _HEIGHT - 48.0), x=Scale(low=edges[0], high=edges[-1]), y=high
        )
        axes.draw(sheet, x_title="minus the gradient at the origin, all latents")
        floor = axes.at(0.0, 0.0)[1]
        pale = np.full((1, 1, 3), (176, 208, 230), np.uint8)
        for left, right, height in zip(edges[:-1], edges[1:], density, strict=True):
            (x0, top), (x1, _) = axes.at(left, height), axes.at(right, height)
            if height:
                sheet.paste(pale, (x0, top, x1 - 1, floor))
        sheet.line(axes.at(grid, normal), COLOURS[1], 2.2, DASHES[1])
        sheet.text((60, 10), "histogram; dashed: the normal curve", 12, SOFT)

    def _distances(self, sheet: Sheet, look: int) -> None:
        values = np.array(self.distance)
        x = np.array(self.steps, dtype=float)
        y = Scale.around(np.append(values, [0.0, self._chance()]), log=False)
        axes = Axes(
            box=(510.0, 34.0, _WIDTH - 20.0, _HEIGHT - 48.0),
            x=Scale.around(np.append(x, 0), log=False),
            y=y,
        )
        axes.draw(sheet, x_title="decoder updates")
        chance = axes.at(np.array([0.0, x[-1]]), self._chance())
        sheet.line(chance, SOFT, 1.2, (5, 4))
        sheet.text((float(chance[1, 0]), float(chance[1, 1]) - 3), "by chance", 11, SOFT, "rd")
        spots = axes.at(x, values)
        sheet.line(spots, COLOURS[0], 2)
        sheet.marker(tuple(spots[look]), 0, 4.5, COLOURS[0], [(2, "#ffffff")])
        sheet.text((510, 10), "distance of the codes from normal", 12, SOFT)


def _distance(codes: Codes) -> float:
    """How far codes are from normal; NaN while they do not vary in every direction."""
    try:
        return normality(codes)
    except ValueError:
        return math.nan
