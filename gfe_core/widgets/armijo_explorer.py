"""How AMD chooses a step: the path above, and below it the energy along the ray of the step that leaves this frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch
from PIL import Image
from torch import Tensor

from gfe_core import plots
from gfe_core.data import DataSet
from gfe_core.energy import Energy
from gfe_core.solvers import AMD
from gfe_core.types import Decoder, Encoding, Loss, Trajectory
from gfe_core.widgets.landscape_explorer import LandscapeExplorer, sample_control
from gfe_core.widgets.still_figure import figure_picture

_POINTS = 48  # along a ray


@dataclass(frozen=True)
class _Rays:
    """For every step of a path: the energy along its ray and the line that Armijo's test draws (steps, points)."""

    step: np.ndarray
    energy: np.ndarray
    armijo: np.ndarray
    dt: np.ndarray
    n_rejected: np.ndarray

    @staticmethod
    def along(path: Trajectory, solver: AMD, decoder: Decoder, x: Tensor, loss: Loss) -> "_Rays":
        """Look along every step that was taken, somewhat further than the longest trial."""
        n = max(int(path.accepted[:, 0].sum()), 1)
        z, dt, start = path.z[:n, 0], path.dt[:n, 0], path.energy[:n, 0]
        rejected = ((path.work[1:, 0] - path.work[:-1, 0] - 2)[:n]).round()  # an accepted step alone costs 2
        rejected = torch.cat([rejected, rejected.new_zeros(n - len(rejected))])
        gradient = Energy(decoder, x.expand(n, -1), loss).at(z).grad()
        longest = dt / solver.decrease_factor ** rejected.clamp(max=6)
        step = torch.linspace(0, 1.3, _POINTS).to(z) * longest.clamp(min=1e-12)[:, None]
        codes = (z[:, None] - step[..., None] * gradient[:, None]).flatten(0, 1)
        energy = Energy(decoder, x.expand(len(codes), -1), loss).value(codes).unflatten(0, step.shape)
        line = start[:, None] - solver.armijo_slope * step * gradient.square().sum(1)[:, None]
        arrays = (values.numpy().astype(np.float32) for values in (step, energy, line, dt))
        return _Rays(*arrays, n_rejected=rejected.clamp(max=6).numpy().astype(int))


def _ray_figure() -> go.Figure:
    """Four empty series: two lines, two kinds of marks."""
    names = ("energy along the ray", "Armijo's line: get under it", "refused", "accepted")
    figure = plots.curves(
        {name: ([0.0], [0.0]) for name in names}, x_title="step dt", y_title="energy (nats per pixel)", title="step 0"
    )
    figure.update_layout(height=300)
    for trace, size in zip(figure.data[2:], (11, 13), strict=True):
        trace.update(mode="markers", marker={"size": size})
    return figure


class ArmijoExplorer(LandscapeExplorer):
    """Follow AMD and look along each of its steps: the energy on the ray, Armijo's line, trials kept and refused.

    A trial is accepted where the energy lies under the line E - sigma s |grad|^2. Scrubbing the player moves the lower
    figure along.

    Args:
        decoder: trained.
        samples: what can be encoded; needs an image shape.
        sample: row shown first.
    """

    def __init__(self, decoder: Decoder, samples: DataSet, *, sample: int = 0) -> None:
        first = {"sample": sample, "trial": "carry", "beta": 0.5, "sigma": 0.1, "growth": 2.0}
        self.figure: Any = go.FigureWidget(_ray_figure())
        alt = "A code goes down its landscape by AMD; below, the energy along one step and the line it must get under."
        title = "How AMD chooses its step"
        super().__init__(decoder, samples, name="armijo", first=first, controls=tuple(first), title=title, alt_text=alt)
        self.widget = ipywidgets.VBox([self.player, self.figure])
        self.picture = self._still
        self.player.observe(lambda change: self._show_ray(change["new"]), names="frame")

    def tracks(self, values: dict[str, Any], z0: Tensor | None) -> Mapping[str, Encoding]:
        """AMD with the reader's constants."""
        self._solver = AMD(
            armijo_slope=float(values["sigma"]), decrease_factor=float(values["beta"]),
            increase_factor=float(values["growth"]), trial=values["trial"],
        )  # fmt: skip
        encoding = self.follow(self._solver, z0, max_steps=120)
        assert encoding.trajectory is not None
        self._rays = _Rays.along(encoding.trajectory, self._solver, self.shown_decoder, self.x, self.loss)
        self._show_ray(self.player.frame or int(self._rays.n_rejected.argmax()))
        return {"AMD": encoding}

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Sample, how a trial is chosen, and the three constants."""
        return [
            sample_control(self.samples),
            {"name": "trial", "label": "first trial", "kind": "choice", "options": ["carry", "barzilai_borwein"]},
            {"name": "beta", "label": "decrease β", "kind": "range", "min": 0.1, "max": 0.9, "step": 0.05, "format": 2},
            {"name": "sigma", "label": "slope σ", "kind": "range", "min": 0.05, "max": 0.95, "step": 0.05, "format": 2},
            {"name": "growth", "label": "growth", "kind": "range", "min": 1.1, "max": 4.0, "step": 0.1, "format": 1},
        ]

    def close(self) -> None:
        """Close player and figure."""
        for widget in (self.player, self.figure, self.widget):
            widget.close()

    def _show_ray(self, frame: int) -> None:
        """Draw the ray of the step that leaves this frame; the last state has none, so the last step stays."""
        k = min(frame, len(self._rays.dt) - 1)
        ray = self._rays
        lines = (ray.energy[k], ray.armijo[k])
        tried = ray.dt[k] / self._solver.decrease_factor ** np.arange(ray.n_rejected[k], 0, -1, dtype=np.float32)
        with self.figure.batch_update():
            for trace, y in zip(self.figure.data[:2], lines, strict=True):
                trace.x, trace.y = ray.step[k], y
            for trace, x in zip(self.figure.data[2:], (tried, ray.dt[k : k + 1]), strict=True):
                trace.x, trace.y = x, np.interp(x, ray.step[k], ray.energy[k]).astype(np.float32)
            self.figure.layout.title.text = f"step {k}: {ray.n_rejected[k]} refused, then dt = {ray.dt[k]:.3g}"

    def _still(self) -> Image.Image:
        upper, lower = self.player.picture().convert("RGB"), figure_picture(self.figure).convert("RGB")
        both = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), "white")
        both.paste(upper, (0, 0))
        both.paste(lower, (0, upper.height))
        return both.quantize(256, dither=Image.Dither.NONE)
