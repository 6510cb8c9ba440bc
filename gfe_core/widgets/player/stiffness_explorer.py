"""Stiffness under the hand: a step against its limit, and latents that are stretched."""

from collections.abc import Mapping
from typing import Any

from gfe_core.analysis.stiffness import rescaled
from gfe_core.data import DataSet
from gfe_core.solvers import AMD, RK4, Dopri5, Euler
from gfe_core.types import Decoder, Encoding
from gfe_core.widgets.kit.engine import Recipe
from gfe_core.widgets.player.film import Film
from gfe_core.widgets.player.landscape_explorer import (
    LIMITS,
    LandscapeExplorer,
    dt_control,
    sample_control,
    with_limit,
)

_TOLERANCES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
_STRETCH = [0.25, 0.5, 1.0, 2.0, 4.0]
_T_CURVATURE = 40.0  # length of the flow in units of 1 / lambda_max


class StiffnessExplorer(LandscapeExplorer):
    """Compare a solver that follows the flow with AMD, and stretch the latents by c.

    The fixed grids take steps of dt x lambda_max; Dopri5 chooses its own from rtol. The map is
    redrawn in the stretched latents: path and steps look the same, dt has changed by c squared.

    Args:
        decoder: trained.
        samples: what can be encoded; needs an image shape.
        sample: row shown first.
        solver: "Euler", "RK4" or "Dopri5", shown first.
    """

    ground = ("sample", "c")
    dragged = ("dt",)

    def __init__(
        self, decoder: Decoder, samples: DataSet, *, sample: int = 0, solver: str = "Euler"
    ) -> None:
        first = {"sample": sample, "solver": solver, "dt": 1.8, "rtol": 1e-3, "c": 1.0}
        title = "How long may a step be?"
        alt = (
            "Two solvers go down the landscape of a digit; one has to stay under its "
            "stability limit."
        )
        super().__init__(
            decoder,
            samples,
            name="stiffness",
            first=first,
            controls=tuple(first),
            title=title,
            alt_text=alt,
            playing=True,
        )

    def decoder_for(self, values: dict[str, Any]) -> Decoder:
        """The decoder with its latents stretched by c."""
        c = float(values["c"])
        return self.decoder if c == 1 else rescaled(self.decoder, c)

    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """The chosen solver over a fixed time, and AMD."""
        t1 = _T_CURVATURE / self.lambda_max
        dt = float(values["dt"]) / self.lambda_max
        solvers = {
            "Euler": Euler(dt=dt),
            "RK4": RK4(dt=dt),
            "Dopri5": Dopri5(rtol=float(values["rtol"])),
        }
        name = values["solver"]
        return {
            name: Recipe(solver=solvers[name], t1=t1, max_steps=900),
            "AMD": Recipe(solver=AMD()),
        }

    def film(self, tracks: Mapping[str, Encoding], values: dict[str, Any]) -> Film:
        """Add the stability limit of the solver."""
        return with_limit(super().film(tracks, values), values["solver"])

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Sample, solver, dt x lambda_max, rtol and the stretch of the latents."""
        note = f"dt = {float(values['dt']) / self.lambda_max:.3g} (Euler, RK4)"
        return [
            sample_control(self.samples, values),
            {"name": "solver", "label": "solver", "kind": "choice", "options": list(LIMITS)},
            dt_control("dt × λ_max", 3.0, note),
            {"name": "rtol", "label": "rtol of Dopri5", "kind": "choice", "options": _TOLERANCES},
            {"name": "c", "label": "latents times c", "kind": "choice", "options": _STRETCH},
        ]

    def caption(self, values: dict[str, Any]) -> str:
        """Say how stiff the flow is here."""
        positive = self.curvature[self.curvature > 0]
        condition = (
            f"condition number {(positive.max() / positive.min()).item():.3g}"
            if len(positive)
            else "no minimum"
        )
        return f"{super().caption(values)} · λ_max = {self.lambda_max:.3g}, {condition}"
