"""Stiffness that the reader controls: a step against its limit, and stretched latents."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gfe_core.analysis.stiffness import Displacement, displaced, rescaled
from gfe_core.data import DataSet
from gfe_core.encoding import encode
from gfe_core.solvers import BFGS, RK4, Euler
from gfe_core.types import Decoder, Encoding, Loss, Stop
from gfe_core.widgets.kit.engine import Recipe
from gfe_core.widgets.player.film import Film
from gfe_core.widgets.player.landscape_explorer import (
    Ground,
    LandscapeExplorer,
    dt_control,
    sample_control,
)
from gfe_core.widgets.player.slices import ASPECT, Plane

_STRETCH = [0.25, 0.5, 1.0, 2.0, 4.0]
_N_STEPS = 30
_REACH = 4.0  # half the width of the map, in distances of the start from the minimum
_AT_REST = Stop(grad_norm=1e-10, energy_slope=0.0)


class StiffnessExplorer(LandscapeExplorer):
    """Take steps of one size across the steepest direction of a valley.

    The start is displaced from the minimum along the eigenvector of the largest curvature,
    lambda_max (`stiffness.displaced`), and 30 steps are taken, whatever their size. Near the
    minimum, each step of Euler's rule multiplies the distance by 1 - dt lambda_max. Below
    dt lambda_max = 1 the code never crosses the minimum; between 1 and 2 it crosses at every step
    and the energy falls; above 2 it crosses and the energy rises. Everything is computed in
    float64.

    Args:
        decoder: trained decoder; a `torch.nn.Module`.
        samples: samples that can be encoded; they need an image shape.
        name: name of the explorer.
        sample: row of the sample shown first.
        solver: solver shown first, "Euler" or "RK4".
        dt_times_curvature: first value of the control for the step.
        loss: loss of the energy, `Bernoulli()` by default.
    """

    ground = ("sample", "c")
    dragged = ("dt",)
    heights = True

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str = "stiffness",
        sample: int = 0,
        solver: str = "Euler",
        dt_times_curvature: float = 1.9,
        loss: Loss | None = None,
    ) -> None:
        first = {"sample": sample, "solver": solver, "dt": dt_times_curvature, "c": 1.0}
        super().__init__(
            decoder,
            samples,
            name=name,
            first=first,
            controls=tuple(first),
            title="How long may a step be?",
            alt_text=(
                "A code takes 30 steps of one size from the wall of a narrow valley; beside "
                "it, its height above the bottom at each step."
            ),
            loss=loss,
            playing=True,
        )

    def decoder_for(self, values: dict[str, Any]) -> Decoder:
        """Return the decoder in float64, with its latents stretched by c."""
        return rescaled(self.decoder, float(values["c"])).double()

    def data_of(self, sample: int) -> Tensor:
        """Return the sample in float64."""
        return super().data_of(sample).double()

    def reference_code(self) -> Encoding:
        """Return the code at the minimum, to high precision."""
        near = encode(self.shown_decoder, self.x, loss=self.loss)
        return encode(
            self.shown_decoder,
            self.x,
            loss=self.loss,
            solver=BFGS(),
            z0=near.z,
            stop=_AT_REST,
            max_steps=500,
        )

    def ground_below(self) -> Ground:
        """Return the plane of the steepest and the flattest direction through the start."""
        minimum = self.reference.z
        self.moved = displaced(self.shown_decoder, minimum, self.x, loss=self.loss)
        steepest = -self.moved.direction[0]  # towards the minimum
        _, directions = torch.linalg.eigh(self.hessian)
        plane = Plane(self.moved.start[0], torch.stack([steepest, directions[:, 0]]))
        middle = self.moved.distance.item()
        far = _REACH * middle
        frame = (middle - far, middle + far, -far / ASPECT, far / ASPECT)
        return Ground(
            plane, frame, "a slice around the minimum", ("steepest direction", "flattest direction")
        )

    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """Return the chosen solver."""
        dt = float(values["dt"]) / self.lambda_max
        solver = {"Euler": Euler, "RK4": RK4}[values["solver"]](n_steps=_N_STEPS)
        return {values["solver"]: Recipe(solver=solver, t1=_N_STEPS * dt)}

    def film(self, tracks: Mapping[str, Encoding], values: dict[str, Any]) -> Film:
        """Turn the track into a film, and count its crossings and rises."""
        self.counts = crossings_and_rises(tracks[values["solver"]], self.reference, self.moved)
        return super().film(tracks, values)

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the controls of sample, solver, dt x lambda_max and the stretch of the latents."""
        note = f"dt = {float(values['dt']) / self.lambda_max:.3g}"
        return [
            sample_control(self.samples, values),
            {"name": "solver", "label": "solver", "kind": "choice", "options": ["Euler", "RK4"]},
            dt_control("dt × λ_max", 3.0, note),
            {"name": "c", "label": "latents times c", "kind": "choice", "options": _STRETCH},
        ]

    def caption(self, values: dict[str, Any]) -> str:
        """Add the counts of the steps, and the stiffness of the flow at the minimum."""
        crossings, rises = self.counts
        positive = self.curvature[self.curvature > 0]
        condition = (positive.max() / positive.min()).item() if len(positive) else float("nan")
        return (
            f"{super().caption(values)} · {values['solver']}: {crossings.item()} of {_N_STEPS} "
            f"steps cross the minimum, {rises.item()} raise the energy · λ_max = "
            f"{self.lambda_max:.3g}, condition number {condition:.3g}"
        )


def crossings_and_rises(
    track: Encoding, reference: Encoding, moved: Displacement
) -> tuple[Tensor, Tensor]:
    """Count, for each sample, steps that cross its minimum and steps that raise its energy.

    A crossing lands on the other side of the minimum, along the steepest direction, by more than a
    hundredth of the distance of the start. A rise exceeds the rounding of the energy.
    """
    assert track.trajectory is not None
    beside = ((track.trajectory.z - reference.z) * moved.direction).sum(-1)
    crossed = beside[1:] * beside[:-1].sign() < -0.01 * moved.distance
    energy = track.trajectory.energy
    rose = energy.diff(dim=0) > 8 * torch.finfo(energy.dtype).eps * energy[:-1].abs()
    return crossed.sum(0), rose.sum(0)
