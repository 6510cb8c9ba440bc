"""The first view that a reader uses.

It shows a digit, its energy landscape, and the flow from any start that the reader chooses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.solvers import AMD, RK4, Euler
from gfe_core.types import Decoder, Encoding, Loss
from gfe_core.widgets.kit.engine import Recipe
from gfe_core.widgets.player.film import Film
from gfe_core.widgets.player.landscape_explorer import (
    LIMITS,
    LandscapeExplorer,
    dt_control,
    sample_control,
    with_limit,
)

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "AMD and Euler": ("AMD", "Euler"),
    "AMD and RK4": ("AMD", "RK4"),
    "AMD": ("AMD",),
    "AMD, carried step": ("AMD", "AMD, carried step"),
    "Euler": ("Euler",),
    "RK4": ("RK4",),
}
_N_STEPS = 80
_SLOPES = [1e-4, 1e-2, 0.1, 0.3, 0.5, 0.7, 0.9]


class FlowExplorer(LandscapeExplorer):
    """Follow the flow of one sample at a time over its landscape.

    The reader sets the step of fixed grids as dt x lambda_max, where lambda_max is the largest
    curvature at the code.

    Args:
        decoder: trained decoder, in eval mode if it has normalisation.
        samples: samples that can be encoded; they need an image shape.
        name: name of the explorer.
        sample: row of the sample shown first.
        solver: choice of the control "solver" shown first.
        dt_times_curvature: first value of the control for fixed grids.
        n_steps: number of steps of fixed grids.
        loss: loss of the energy, `Bernoulli()` by default.
        title: title above the player.
        controls: names of the controls shown, from "sample", "solver", "dt", "armijo_slope".
        playing: whether the film starts by itself when it is first seen.
    """

    dragged = ("dt",)

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str = "flow",
        sample: int = 0,
        solver: str = "AMD and Euler",
        dt_times_curvature: float = 0.5,
        n_steps: int = _N_STEPS,
        loss: Loss | None = None,
        title: str = "An image finds its own code",
        controls: Sequence[str] = ("sample", "solver", "dt"),
        playing: bool = False,
    ) -> None:
        checks.one_of("solver", solver, tuple(_CHOICES))
        n_steps = checks.at_least_one("n_steps", n_steps)
        checks.finite_positive("dt_times_curvature", dt_times_curvature)
        self.n_steps = n_steps
        first = {
            "sample": sample,
            "solver": solver,
            "dt": dt_times_curvature,
            "armijo_slope": AMD().armijo_slope,
        }
        alt = (
            "A point flows down the energy landscape of an image while its reconstruction "
            "sharpens beside it."
        )
        super().__init__(
            decoder,
            samples,
            name=name,
            first=first,
            controls=controls,
            title=title,
            alt_text=alt,
            loss=loss,
            playing=playing,
        )

    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """Return the one or two solvers that the reader chose."""
        slope = float(values["armijo_slope"])
        t1 = float(values["dt"]) / self.lambda_max * self.n_steps
        makers = {
            "AMD": lambda: Recipe(solver=AMD(armijo_slope=slope)),
            "AMD, carried step": lambda: Recipe(solver=AMD(armijo_slope=slope, trial="carry")),
            "Euler": lambda: Recipe(solver=Euler(n_steps=self.n_steps), t1=t1),
            "RK4": lambda: Recipe(solver=RK4(n_steps=self.n_steps), t1=t1),
        }
        return {name: makers[name]() for name in _CHOICES[values["solver"]]}

    def film(self, tracks: Mapping[str, Encoding], values: dict[str, Any]) -> Film:
        """Add the stability limit of the fixed grid."""
        film = super().film(tracks, values)
        fixed = next((name for name in tracks if name in LIMITS), None)
        return film if fixed is None else with_limit(film, fixed)

    def arguments(self) -> str:
        """Add the length of fixed grids."""
        longer = f", n_steps={self.n_steps}" if self.n_steps != _N_STEPS else ""
        return super().arguments() + longer

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the controls of sample, solver, dt x lambda_max and the Armijo slope."""
        note = f"dt = {float(values['dt']) / self.lambda_max:.3g}, λ_max = {self.lambda_max:.3g}"
        if not LIMITS.keys() & set(_CHOICES[values["solver"]]):
            note = "acts on Euler and RK4 only"
        return [
            sample_control(self.samples, values),
            {"name": "solver", "label": "solver", "kind": "choice", "options": list(_CHOICES)},
            dt_control("dt × λ_max", 3.0, note),
            {
                "name": "armijo_slope",
                "label": "Armijo slope σ",
                "kind": "choice",
                "options": _SLOPES,
            },
        ]
