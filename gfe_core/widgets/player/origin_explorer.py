"""Decoders trained with few or many steps, each of them followed by few or many steps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.methods.gon import SQUARES
from gfe_core.solvers import AMD, Euler
from gfe_core.types import Decoder, Encoding, Loss
from gfe_core.widgets.kit.engine import Recipe
from gfe_core.widgets.kit.explorer import own_copy
from gfe_core.widgets.kit.numbers import NUMBERS, tidy
from gfe_core.widgets.kit.pictures import base64_of, png_of
from gfe_core.widgets.kit.shown import shown_samples, two_latents
from gfe_core.widgets.player.film import Film, Landscape
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer, sample_control, with_limit

STEPS = ("1", "2", "4", "8", "16", "flow")
_SHARES = (
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.07,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.7,
    0.85,
    1.0,
    1.2,
    1.5,
    2.0,
)
_SIDE = 46  # side of a picture in the strip, in pixels
_MOST = 17  # largest number of steps in the strip

Tile = tuple[str, str, np.ndarray]
"""Text above a picture, text below it, and the picture."""


class OriginExplorer(LandscapeExplorer):
    """Choose the number of steps a decoder was trained with, and the number of steps taken now.

    The landscape is that of the chosen decoder. The flow to its end is always shown beside the
    steps. Below the player, a strip shows the picture after each step.

    Args:
        decoders: decoders by the gradient through the steps in training ("unrolled", "detached")
            and then by the number of steps in training, as a string; every gradient needs the
            same numbers of steps.
        samples: samples that can be encoded; they need an image shape.
        name: name of the explorer.
        sample: row of the sample shown first.
        trained: number of steps in training shown first; the first in `decoders` by default.
        steps: number of steps taken now shown first, one of `STEPS`.
        dt: step size shown first; the control ranges from a hundredth of it to twice its value.
        loss: loss of the steps, summed squares by default.
        seed: seed of the decoders, only reported in the caption.
        title: title above the player.
    """

    ground = ("sample", "trained", "adjoint")
    usual_loss = SQUARES
    dragged = ("dt",)

    def __init__(
        self,
        decoders: Mapping[str, Mapping[str, Decoder]],
        samples: DataSet,
        *,
        name: str = "origin",
        sample: int = 0,
        trained: str | None = None,
        steps: str = "1",
        dt: float = 1.0,
        loss: Loss | None = None,
        seed: int = 0,
        title: str = "From one step to the whole flow",
    ) -> None:
        for of_steps in decoders.values():
            checks.mapping("decoders", of_steps)
            for decoder in of_steps.values():
                shown_samples(decoder, samples, loss=loss or self.usual_loss, row=sample)
                two_latents(decoder, "the directions of a landscape")
        checks.finite_positive("dt", dt)
        lists = [list(of_steps) for of_steps in decoders.values()]
        same = bool(lists) and all(one and one == lists[0] for one in lists)
        checks.require(same, f"`decoders` must have the same steps for every adjoint, got {lists}.")
        checks.one_of("steps", steps, STEPS)
        trained = trained or lists[0][0]
        checks.one_of("trained", trained, tuple(lists[0]))
        self.decoders = {
            adjoint: {steps: own_copy(decoder) for steps, decoder in of_steps.items()}
            for adjoint, of_steps in decoders.items()
        }
        self.seed = seed
        self._dt = dt
        self.strip = ipywidgets.HTML()
        first = {
            "sample": sample,
            "trained": trained,
            "adjoint": next(iter(decoders)),
            "steps": steps,
            "dt": dt,
        }
        alt = (
            "Steps from the origin over a landscape beside the flow to its end, and what "
            "each step draws of a digit."
        )
        super().__init__(
            self.decoder_for(first),
            samples,
            name=name,
            first=first,
            controls=tuple(first),
            title=title,
            alt_text=alt,
            loss=loss,
        )
        self.widget = ipywidgets.VBox([self.player, self.strip])

    def decoder_for(self, values: dict[str, Any]) -> Decoder:
        """Return the decoder with the chosen number of steps and gradient in training."""
        return self.decoders[values["adjoint"]][values["trained"]]

    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """Return the chosen number of steps of Euler's rule, and the flow to its end."""
        flow = {"the flow": Recipe(solver=AMD())}
        if values["steps"] == "flow":
            return flow
        n = int(values["steps"])
        steps = Recipe(solver=Euler(n_steps=n), t1=n * float(values["dt"]))
        return {_steps(values["steps"]): steps} | flow

    def film(self, tracks: Mapping[str, Encoding], values: dict[str, Any]) -> Film:
        """Add Euler's limit, and a label of the energy."""
        film = replace(
            super().film(tracks, values), energy_label="energy: squared error, summed over pixels"
        )
        self.shown = with_limit(film, "Euler")
        return self.shown

    def arguments(self) -> str:
        """Return the arguments as code: decoders instead of one decoder, and the first dt."""
        return f"{super().arguments().replace('decoder', 'decoders', 1)}, dt={self._dt!r}"

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the controls of the sample, the decoder's training, and the steps taken now."""
        trained = _stops("trained", "steps in training", list(self.decoders[values["adjoint"]]))
        steps = _stops("steps", "steps now", list(STEPS))
        note = f"dt × λ_max = {float(values['dt']) * self.lambda_max:.3g}"
        dt = _stops("dt", "dt", [self._dt * share for share in _SHARES]) | {
            "format": 3,
            "note": note,
        }
        adjoint = {
            "name": "adjoint",
            "label": "gradient",
            "kind": "choice",
            "options": list(self.decoders),
        }
        return [sample_control(self.samples, values), trained, adjoint, steps, dt]

    def caption(self, values: dict[str, Any]) -> str:
        """Return a line on the sample, the training with its seed, and the energies reached."""
        trained = values["trained"]
        training = "the flow" if trained == "flow" else f"{_steps(trained)}, {values['adjoint']}"
        dt = f"of dt {float(values['dt']):.3g}"
        ends = ", ".join(
            f"{name if name == 'the flow' else f'{name} {dt}'}: {tidy(float(energy[-1]))}"
            for name, energy in zip(self.shown.names, self.shown.energy, strict=True)
        )
        return (
            f"{super().caption(values)} · trained with {training}, seed {self.seed} · energy "
            f"after {ends}"
        )

    def _redraw(
        self, values: dict[str, Any], start: Tensor | None, landscape: Landscape | None
    ) -> None:
        super()._redraw(values, start, landscape)
        self.player.frame = self.shown.energy.shape[1] - 1
        self.strip.value = strip_html(tiles_of(self.shown))


def _steps(n: str) -> str:
    return "1 step" if n == "1" else f"{n} steps"


def _stops(name: str, label: str, options: list[Any]) -> dict[str, Any]:
    """Return a slider with a stop for each option."""
    last = len(options) - 1
    return {
        "name": name,
        "label": label,
        "kind": "range",
        "min": 0,
        "max": last,
        "step": 1,
        "options": options,
    }


def tiles_of(film: Film) -> list[Tile]:
    """Return tiles of the image, of evenly spaced steps of the first track, and of the flow's end.

    Args:
        film: film whose last track is the flow.
    """
    shown = (
        torch.linspace(0, film.n_frames[0] - 1, min(_MOST, film.n_frames[0])).round().int().tolist()
    )
    steps = [
        ("origin" if k == 0 else f"step {k}", tidy(float(film.energy[0, k])), film.images[0, k])
        for k in shown
    ]
    end = (
        [("flow", tidy(float(film.energy[-1, -1])), film.images[-1, -1])]
        if len(film.names) > 1
        else []
    )
    return [("image", "energy", film.target), *steps, *end]


def strip_html(tiles: list[Tile]) -> str:
    """Return the strip as HTML in the reader's theme."""
    figures = "".join(
        f'<div style="text-align: center">{above}<br><img alt="{above}" width="{_SIDE}" '
        f'height="{_SIDE}" '
        f'style="image-rendering: pixelated" '
        f'src="data:image/png;base64,{base64_of(png_of(pixels))}"><br>{below}</div>'
        for above, below, pixels in tiles
    )
    return (
        f'<div class="gfe-strip" style="{NUMBERS}; display: flex; flex-wrap: wrap; gap: 8px '
        f'6px">{figures}</div>'
    )
