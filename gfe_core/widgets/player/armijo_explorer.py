"""The choice of a step by AMD.

The path is shown above; below it, the energy along the ray of the step that leaves the frame.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from gfe_core import threads
from gfe_core.data import DataSet
from gfe_core.energy import Energy
from gfe_core.solvers import AMD
from gfe_core.types import Decoder, Encoding, Loss, Trajectory
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figure_view import FigureView, plain
from gfe_core.widgets.kit.engine import Recipe
from gfe_core.widgets.kit.identity import INKS
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer, sample_control

_POINTS = 64  # points along a ray
_VIEW = 4.0  # refused trials are drawn up to this many accepted steps; the nearest one always is
_LOOKS = {
    "energy": {},
    "slope (σ = 1)": {"line": {"color": INKS["grey"], "dash": "dot", "width": 1.5}},
    "Armijo's line": {"line": {"color": INKS["orange"], "dash": "dash", "width": 2.5}},
    "refused": {"marker": {"symbol": "triangle-up", "size": 12, "color": INKS["vermilion"]}},
    "accepted": {"marker": {"symbol": "diamond", "size": 14, "color": INKS["green"]}},
}


@dataclass(frozen=True)
class _Rays:
    """The energy along the ray of every step of a path, with two lines to compare it with.

    Attributes:
        step: step sizes s along the rays, in flow units (steps, points).
        energy: energies at these distances.
        promise: energies that the slope at the start of the step predicts.
        armijo: energies on Armijo's line.
        dt: accepted step sizes (steps,).
        n_refused: number of refused trials of each step.
        n_seen: number of refused trials that are drawn.
    """

    step: np.ndarray
    energy: np.ndarray
    promise: np.ndarray
    armijo: np.ndarray
    dt: np.ndarray
    n_refused: np.ndarray
    n_seen: np.ndarray

    @staticmethod
    def along(path: Trajectory, solver: AMD, decoder: Decoder, x: Tensor, loss: Loss) -> "_Rays":
        """Evaluate the ray of every accepted step, to a little beyond the longest trial drawn."""
        n = int(path.accepted[:, 0].sum())
        z = path.z[:n, 0]
        dt = path.dt[:n, 0]
        start = path.energy[:n, 0]
        refused = (
            path.work[1 : n + 1, 0] - path.work[:n, 0] - 2
        ).round()  # an accepted step alone costs 2
        most = max(1, int(np.log(_VIEW) / -np.log(solver.decrease_factor)))
        seen = refused.clamp(max=most)
        energies = Energy(decoder, x.expand(n, -1), loss)
        gradient = energies.at(z).grad() if n else z
        length = 1.3 * dt / solver.decrease_factor**seen
        step = torch.linspace(0, 1, _POINTS).to(z) * length[:, None]
        codes = (z[:, None] - step[..., None] * gradient[:, None]).flatten(0, 1)
        with threads.suited(decoder):
            energy = (
                Energy(decoder, x.expand(len(codes), -1), loss).value(codes) if n else codes[:, 0]
            )
        fall = step * gradient.square().sum(1)[:, None]
        lines = (start[:, None] - share * fall for share in (1.0, solver.armijo_slope))
        arrays = (
            part.numpy().astype(np.float32)
            for part in (step, energy.reshape(step.shape), *lines, dt)
        )
        return _Rays(
            *arrays, n_refused=refused.numpy().astype(int), n_seen=seen.numpy().astype(int)
        )


def _ray_figure() -> go.Figure:
    """Return a figure of five empty series: three lines and two kinds of marks."""
    figure: Any = plots.curves(
        {name: ([0.0], [0.0]) for name in _LOOKS},
        x_title="step × λ_max",
        y_title="energy (nats per pixel)",
        title="-",
    )
    figure.update_layout(height=300, margin={"t": 48}, title={"y": 0.97, "yanchor": "top"})
    for trace, look in zip(figure.data, _LOOKS.values(), strict=True):
        trace.update(mode="markers" if "marker" in look else "lines", **look)
    return figure


class ArmijoExplorer(LandscapeExplorer):
    """Follow AMD and show the energy along the ray of each of its steps.

    The lower figure has the energy on the ray, Armijo's line, and the accepted and refused trials.
    A trial s is accepted if its energy lies on or below the line E - sigma s |grad|^2. Scrubbing
    the player moves the lower figure to the same step.

    Args:
        decoder: trained decoder.
        samples: samples that can be encoded; they need an image shape.
        sample: row of the sample shown first.
        loss: loss of the energy, `Bernoulli()` by default.
    """

    dragged = ("beta", "sigma", "growth")

    def __init__(
        self, decoder: Decoder, samples: DataSet, *, sample: int = 0, loss: Loss | None = None
    ) -> None:
        first = {"sample": sample, "trial": "carry", "beta": 0.5, "sigma": 0.1, "growth": 2.0}
        self.view = FigureView(_ray_figure())
        alt = (
            "A code goes down its landscape by AMD; below, the energy along one step and the "
            "line it must get under."
        )
        title = "How AMD chooses its step"
        super().__init__(
            decoder,
            samples,
            name="armijo",
            first=first,
            controls=tuple(first),
            title=title,
            alt_text=alt,
            loss=loss,
        )
        self.view.alt_text = "The energy along one step, the line to get under, and the trials."
        self.widget = ipywidgets.VBox([self.player, self.view])
        # the view opens at the step with the longest search
        self.player.frame = int(np.append(self._rays.n_refused, 0).argmax())
        self.view.shown = self.player.frame
        self.link = ipywidgets.jsdlink((self.player, "frame"), (self.view, "shown"))

    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """Return AMD with the constants that the reader chose."""
        return {"AMD": Recipe(solver=_solver(values))}

    def tracks(self, values: dict[str, Any], z0: Tensor | None) -> Mapping[str, Encoding]:
        """Follow AMD, and compute the energy along each of its steps."""
        tracks = super().tracks(values, z0)
        encoding = tracks["AMD"]
        assert encoding.trajectory is not None
        self._solver = _solver(values)
        self._rays = _Rays.along(
            encoding.trajectory, self._solver, self.shown_decoder, self.x, self.loss
        )
        self.view.changes = self._changes()
        return tracks

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the controls of the sample, the first trial and the three constants."""
        return [
            sample_control(self.samples, values),
            {
                "name": "trial",
                "label": "first trial",
                "kind": "choice",
                "options": ["carry", "barzilai_borwein"],
            },
            {
                "name": "beta",
                "label": "decrease β",
                "kind": "range",
                "min": 0.1,
                "max": 0.9,
                "step": 0.05,
                "format": 2,
            },
            {
                "name": "sigma",
                "label": "slope σ",
                "kind": "range",
                "min": 0.05,
                "max": 0.95,
                "step": 0.05,
                "format": 2,
            },
            {
                "name": "growth",
                "label": "growth",
                "kind": "range",
                "min": 1.1,
                "max": 4.0,
                "step": 0.1,
                "format": 1,
            },
        ]

    def caption(self, values: dict[str, Any]) -> str:
        """Add a note where the growth factor has hardly any effect."""
        idle = " · growth acts only where the last step met no positive curvature"
        return super().caption(values) + (idle if values["trial"] == "barzilai_borwein" else "")

    def _changes(self) -> list[dict[str, Any]]:
        """Return the ray of the step that leaves each frame; the last frame shows the last ray."""
        if len(self._rays.dt) == 0:
            nothing = {"data": [{"x": [], "y": []} for _ in _LOOKS]}
            return [nothing | {"layout": {"title": {"text": "no step was accepted"}}}]
        return [plain(self._ray(k)) for k in range(len(self._rays.dt))]

    def _ray(self, k: int) -> dict[str, Any]:
        """Return the lines and marks along step k."""
        rays = self._rays
        dt = rays.dt[k]
        scale = np.float32(self.lambda_max)
        ray = rays.step[k]
        low = min(rays.energy[k].min(), rays.armijo[k].min())
        high = rays.energy[k].max()
        tried = dt / self._solver.decrease_factor ** np.arange(
            rays.n_seen[k], 0, -1, dtype=np.float32
        )
        data = []
        for y in (rays.energy[k], rays.promise[k], rays.armijo[k]):
            seen = y >= low - 0.15 * (high - low)  # only the slope leaves the picture
            data.append({"x": (ray * scale)[seen], "y": y[seen]})
        for x in (tried, rays.dt[k : k + 1]):
            data.append({"x": x * scale, "y": np.interp(x, ray, rays.energy[k])})
        words = _words(k, int(rays.n_refused[k]), len(tried), float(dt), float(scale))
        return {"data": data, "layout": {"title": {"text": words}}}


def _solver(values: dict[str, Any]) -> AMD:
    return AMD(
        armijo_slope=float(values["sigma"]),
        decrease_factor=float(values["beta"]),
        increase_factor=float(values["growth"]),
        trial=values["trial"],
    )


def _words(k: int, n_refused: int, n_seen: int, dt: float, scale: float) -> str:
    """Describe a step in words."""
    beyond = f" ({n_refused - n_seen} of them farther right)" if n_refused > n_seen else ""
    return (
        f"step {k}: {n_refused} refused{beyond}, then dt × λ_max = {dt * scale:.2f} (dt = {dt:.3g})"
    )
