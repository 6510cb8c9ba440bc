"""Several decoders judged on unseen images while they train.

Curves of their excess, and what each draws.
"""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageColor
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import samples_for
from gfe_core.encoding import reconstruct
from gfe_core.energy import Bernoulli
from gfe_core.training import Report, evaluate
from gfe_core.training.parts import callable_encoder
from gfe_core.types import Encoder, Loss
from gfe_core.widgets.kit.drawing import INK, RULE, SOFT, Axes, Scale, Sheet
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.identity import DASHES, INKS, looks
from gfe_core.widgets.player.slices import grey

_WIDTH = 560
_CHART = 190
_TILE = 40
_LABELS = 120
_MOST = 4  # more names would not fit above the curves


class SideBySide:
    """A callback and a preview of `fit`.

    The excess of unseen images for each competitor, and their drawings.

    Args:
        x: images that no competitor trains on.
        image_shape: how to show them.
        competitors: at most four, name -> (decoder, encoder); all of them are judged at every look.
        every: rounds from one look to the next.
        at: updates at which to look instead, increasing.
        n_drawn: how many of the images are drawn.
        loss: gives the floor and says how to draw, `Bernoulli()` by default.

    Attributes:
        updates: of the decoder that `fit` trains, at every look.
        images: encoded in its training until then, repeats counted.
        seconds: of the processor, spent on training until then; looking does not count.
        excess: name -> mean excess over the floor at every look, nats per pixel by default.
    """

    @in_own_words
    def __init__(
        self,
        x: Float[Tensor, "n features"],
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
        for one in competitors.values():
            pair = isinstance(one, (tuple, list)) and len(one) == 2
            wanted = "`competitors` must be names with (decoder, encoder)"
            checks.require(pair, f"{wanted}, got {checks.described(one)}.", TypeError)
            checks.is_decoder(one[0])
            callable_encoder(one[1])
            x = samples_for(one[0], x)
        for update in at if at is not None else ():
            checks.whole("at", update)
        self.x = x
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
        """Look when it is time to."""
        self._spent += time.process_time() - self._since
        if self._due(report):
            self.updates.append(report.history.step[-1])
            self.images.append(report.history.images[-1])
            self.seconds.append(self._spent)
            for name, (decoder, encoder) in self.competitors.items():
                judged = evaluate(decoder, self.x, encoder=encoder, loss=self.loss)
                self.excess[name].append(judged.excess.mean().item())
        self._since = time.process_time()

    def runs(self, n_distinct: int) -> dict[str, dict[str, list[float]]]:
        """What was seen, for `AxesExplorer`.

        Args:
            n_distinct: images in the training data.
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

    def preview(self, report: Report) -> Image.Image:
        """Draw what is known so far; for `Progress`."""
        return self.picture()

    def explorer(self, name: str, alt_text: str) -> Explorer:
        """Show the last numbers to the reader who watched, else the last picture.

        Args:
            name: of the explorer.
            alt_text: one sentence that says what to see.
        """
        picture = self.picture()
        ends = " · ".join(
            f"{escape(name)} {one[-1]:.4f}" for name, one in self.excess.items() if one
        )
        told = (
            f"After {self.updates[-1]} updates, excess of unseen images: {ends}"
            if self.updates
            else "No look yet."
        )
        return Explorer(name, ipywidgets.HTML(told), lambda: picture, alt_text)

    def picture(self) -> Image.Image:
        """Curves above; below them the images and what each competitor draws, pixel for pixel."""
        x = self.x[: self.n_drawn]
        rows = {"unseen images": x}
        with torch.no_grad():
            for name, (decoder, encoder) in self.competitors.items():
                rows[name] = reconstruct(decoder, encoder(decoder, x), self.loss or Bernoulli())
        scale = max(1, round(_TILE / self.image_shape[-1]))
        height, width = (scale * side for side in self.image_shape)
        sheet = Sheet(_WIDTH, _CHART + (height + 4) * len(rows) + 8)
        if self.updates:
            self._curves(sheet)
        for i, name in enumerate(rows):
            sheet.text(
                (_LABELS - 8, _CHART + 4 + i * (height + 4) + height / 2), name, 12, INK, "rm"
            )
        picture = sheet.finished(_few_colours())
        for i, row in enumerate(rows.values()):
            for k, tile in enumerate(
                grey(row, self.image_shape) // 16
            ):  # the first colours are 16 greys
                image = Image.fromarray(tile).resize((width, height), Image.Resampling.NEAREST)
                image.putpalette(_few_colours().tobytes())
                picture.paste(image, (_LABELS + k * (width + 4), _CHART + 4 + i * (height + 4)))
        return picture

    def _curves(self, sheet: Sheet) -> None:
        values = np.concatenate([np.asarray(one) for one in self.excess.values()])
        box = (74.0, 30.0, _WIDTH - 24.0, _CHART - 48.0)
        ends = np.array([0, max(self.updates)])
        axes = Axes(
            box=box, x=Scale.around(ends, log=False, margin=0), y=Scale.around(values, log=False)
        )
        axes.draw(sheet, x_title="decoder updates", y_title="excess, unseen")
        right = _WIDTH - 12.0
        found = looks(self.excess)
        for name, curve in reversed(self.excess.items()):
            colour = found[name].colour
            dash = DASHES[found[name].dash]
            sheet.line(axes.at(np.asarray(self.updates), np.asarray(curve)), colour, 2.5, dash)
            right -= sheet.text((right, 14), name, 12, INK, "rm") + 40
            sheet.line(np.array([(right, 14), (right + 32, 14)]), colour, 2.5, dash)
            right -= 18
        sheet.text((16, 14), "nats per pixel above the floor", 12, SOFT, "lm")


def _few_colours() -> np.ndarray:
    """Sixteen greys for the digits, then the inks and their pale edges.

    Few colours keep an update small and sharp.
    """
    greys = np.repeat(17 * np.arange(16)[:, None], 3, axis=1)
    inks = np.array([ImageColor.getrgb(ink) for ink in (INK, SOFT, RULE, *INKS.values())])
    pale = [255 - (255 - inks) * share for share in (1.0, 0.7, 0.35)]
    return np.concatenate([greys, *pale]).round().astype(np.uint8)
