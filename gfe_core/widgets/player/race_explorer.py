"""A race of several solvers over one landscape, with equal work in each frame."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.flows import NesterovFlow
from gfe_core.solvers import AMD, BFGS, LBFGS, RK4, Dopri5, Euler, GaussNewton
from gfe_core.types import Decoder, Encoding, Loss
from gfe_core.widgets.kit.engine import Recipe
from gfe_core.widgets.player.film import Film
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer, sample_control
from gfe_core.widgets.player.slices import energies_of, film_of, heights_of

FIELDS: Mapping[str, tuple[str, ...]] = {
    "AMD, L-BFGS, Gauss-Newton, Euler": ("AMD", "L-BFGS", "Gauss-Newton", "Euler"),
    "users of curvature": ("AMD", "L-BFGS", "BFGS", "Gauss-Newton"),
    "followers of the flow": ("AMD", "Euler", "RK4", "Dopri5"),
    "kinds of AMD": ("AMD", "published", "carried step", "momentum"),
}
_BUDGETS = [60, 120, 240, 480]
_FRAMES = 60


class RaceExplorer(LandscapeExplorer):
    """Let solvers run side by side at equal work; a frame is a fixed number of forward-equivalents.

    Euler and RK4 step at 0.95 of their stability limit. They get lambda_max at the code without
    paying for it, although in practice it is unknown. The second chart is the energy above the
    lowest that any of the solvers or the reference reached.

    Args:
        decoder: trained decoder.
        samples: samples that can be encoded; they need an image shape.
        sample: row of the sample shown first.
        field: set of solvers shown first, a name in `FIELDS`.
        loss: loss of the energy, `Bernoulli()` by default.
    """

    only_kernel = "then the race is run again"

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        sample: int = 0,
        field: str = "AMD, L-BFGS, Gauss-Newton, Euler",
        loss: Loss | None = None,
    ) -> None:
        checks.one_of("field", field, tuple(FIELDS))
        first = {"sample": sample, "field": field, "budget": 240}
        alt = "Solvers race down one energy landscape, each frame the same work for all of them."
        title = "Which solver finds the code first?"
        super().__init__(
            decoder,
            samples,
            name="race",
            first=first,
            controls=tuple(first),
            title=title,
            alt_text=alt,
            loss=loss,
            playing=True,
        )

    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """Return every solver of the field, with enough steps for the budget."""
        work = int(values["budget"])
        recipes = {
            "AMD": Recipe(solver=AMD(), max_steps=work),
            "carried step": Recipe(solver=AMD(trial="carry"), max_steps=work),
            "published": Recipe(solver=AMD.published(), max_steps=work // 2),
            "momentum": Recipe(solver=AMD(), flow=NesterovFlow(), max_steps=work // 3),
            "BFGS": Recipe(solver=BFGS(), max_steps=work // 2),
            "L-BFGS": Recipe(solver=LBFGS(), max_steps=work // 2),
            "Gauss-Newton": Recipe(solver=GaussNewton(), max_steps=work // self.decoder.latent_dim),
            "Euler": self._grid(Euler, 1.9, work // 2),
            "RK4": self._grid(RK4, 2.646, work // 8),
            "Dopri5": Recipe(solver=Dopri5(), t1=1e3 / self.lambda_max, max_steps=work // 12),
        }
        return {name: recipes[name] for name in FIELDS[values["field"]]}

    def film(self, tracks: Mapping[str, Encoding], values: dict[str, Any]) -> Film:
        """Show each track at equal work instead of at equal steps."""
        film = film_of(tracks, self.shown_decoder, self.loss, self.plane, self._target)
        work = np.linspace(0, int(values["budget"]), _FRAMES + 1)
        rows = np.stack([_reached(encoding, work) for encoding in tracks.values()])
        track = np.arange(len(tracks))[:, None]
        lowest = min(one.energy.item() for one in (*tracks.values(), self.reference))
        above = heights_of(energies_of(tracks)[track, rows], lowest)
        return replace(
            film,
            path=film.path[track, rows],
            off_plane=film.off_plane[track, rows],
            energy=film.energy[track, rows],
            step=above,
            images=film.images[track, rows],
            n_frames=(_FRAMES + 1,) * len(tracks),
            step_label="energy above the lowest reached",
            frame_label="frame",
        )

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the controls of sample, solvers and budget."""
        return [
            sample_control(self.samples, values),
            {"name": "field", "label": "solvers", "kind": "choice", "options": list(FIELDS)},
            {"name": "budget", "label": "work", "kind": "choice", "options": _BUDGETS},
        ]

    def caption(self, values: dict[str, Any]) -> str:
        """Add the work of a frame."""
        each = int(values["budget"]) / _FRAMES
        return (
            f"{super().caption(values)} · a frame is {each:g} forward-equivalents for every solver"
        )

    def _grid(self, rule: type[Euler] | type[RK4], limit: float, n: int) -> Recipe:
        return Recipe(solver=rule(n_steps=n), t1=n * limit / self.lambda_max, max_steps=n)


def _reached(encoding: Encoding, work: np.ndarray) -> np.ndarray:
    """Return the rows of the trajectory that are reached with given amounts of work.

    The start costs nothing here.
    """
    assert encoding.trajectory is not None
    spent = encoding.trajectory.work[:, 0]
    mask = encoding.trajectory.mask[:, 0]
    arrived = torch.where(mask, spent, torch.inf).numpy()
    arrived[0] = 0.0
    return np.searchsorted(arrived, work, side="right") - 1
