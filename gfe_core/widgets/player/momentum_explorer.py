"""A flow with momentum that the reader controls.

It shows overshoot, friction and restart, and the instability of an explicit step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.energy import Energy
from gfe_core.flows import NesterovFlow
from gfe_core.solvers import AMD, Euler, SemiImplicit, State, Step
from gfe_core.solvers.runge_kutta import taken
from gfe_core.types import Accelerated, Decoder, Flow, Loss
from gfe_core.widgets.kit.engine import Recipe
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer, sample_control

_PAIRS = (
    "momentum and gradient flow",
    "semi-implicit and explicit Euler",
    "restart and no restart",
)
_NOTES = {
    _PAIRS[0]: " · a step of the gradient flow is dt² long",
    _PAIRS[2]: " · AMD rolls too: it tests its steps and restarts",
}
_TIME = 40.0  # length of the flows in units of 1 / sqrt(lambda_max)
_STEPS = (40, 300)  # limits: enough to see an instability, few enough for a quick answer


@dataclass(frozen=True, kw_only=True)
class _Restarting(SemiImplicit):
    """The semi-implicit rule, restarted from rest where the velocity points uphill."""

    engine_rule: ClassVar[str] = "restarting"

    def begin(self, energy: Energy, flow: Flow, state: State) -> None:
        super().begin(energy, flow, state)
        state.own = {"rested_at": state.t}

    def step(self, energy: Energy, flow: Accelerated, state: State, *, t1: float) -> Step:
        v = state.y[:, state.grad.shape[1] :]
        uphill = (state.grad * v).sum(1) > 0
        state.own["rested_at"] = torch.where(uphill, state.t, state.own["rested_at"])
        v = torch.where(uphill[:, None], 0.0, v)
        dt = state.dt
        friction = flow.friction(state.t - state.own["rested_at"] + dt)
        v = (v + dt[:, None] * flow.force(state.t, state.grad)) / (1 + dt * friction)[:, None]
        return taken(state, torch.cat([state.z + dt[:, None] * v, v], 1))


class MomentumExplorer(LandscapeExplorer):
    """Follow the flow with momentum beside another flow or rule.

    The reader sets the step as dt x sqrt(lambda_max), the natural unit of a flow with momentum; the
    limit of the semi-implicit rule is 2. The gradient flow beside it takes the same number of Euler
    steps of length dt squared: the work is the same, and dt squared is the factor with which a
    gradient enters the code in a step with momentum. The second chart is the energy above the
    lowest energy that any track or the reference reached.

    Args:
        decoder: trained decoder.
        samples: samples that can be encoded; they need an image shape.
        name: name of the explorer.
        sample: row of the sample shown first.
        pair: comparison shown first, a choice of the control "compare".
        controls: names of the controls shown, from "sample", "pair", "dt", "damping".
        loss: loss of the energy, `Bernoulli()` by default.
    """

    dragged = ("dt", "damping")
    heights = True

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str = "momentum",
        sample: int = 0,
        pair: str = _PAIRS[0],
        controls: Sequence[str] = ("sample", "pair", "dt", "damping"),
        loss: Loss | None = None,
    ) -> None:
        checks.one_of("pair", pair, _PAIRS)
        first = {"sample": sample, "pair": pair, "dt": 0.5, "damping": 3.0}
        title = "A ball that rolls"
        alt = "A code with momentum overshoots and swings back beside one without momentum."
        super().__init__(
            decoder,
            samples,
            name=name,
            first=first,
            controls=controls,
            title=title,
            alt_text=alt,
            loss=loss,
            playing=True,
        )

    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """Return the tracks of the comparison that the reader chose."""
        flow = NesterovFlow(damping=float(values["damping"]))
        dt = self._dt(values)
        n = min(max(round(_TIME / float(values["dt"])), _STEPS[0]), _STEPS[1])
        semi = Recipe(solver=SemiImplicit(n_steps=n), flow=flow, t1=n * dt, max_steps=n)
        if values["pair"] == _PAIRS[0]:
            return {
                "momentum": semi,
                "gradient flow": Recipe(solver=Euler(n_steps=n), t1=n * dt**2, max_steps=n),
            }
        if values["pair"] == _PAIRS[1]:
            return {
                "semi-implicit": semi,
                "explicit Euler": replace(semi, solver=Euler(n_steps=n)),
            }
        return {
            "restart": replace(semi, solver=_Restarting(n_steps=n)),
            "no restart": semi,
            "AMD": Recipe(solver=AMD(), flow=flow),
        }

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the controls of sample, pair, dt x sqrt(lambda_max) and damping."""
        dt = {
            "name": "dt",
            "label": "dt × √λ_max",
            "kind": "range",
            "min": 0.1,
            "max": 2.5,
            "step": 0.05,
            "format": 2,
        }
        return [
            sample_control(self.samples, values),
            {"name": "pair", "label": "compare", "kind": "choice", "options": list(_PAIRS)},
            dt | {"note": f"dt = {self._dt(values):.3g}"},
            {
                "name": "damping",
                "label": "damping",
                "kind": "range",
                "min": 0.5,
                "max": 9.0,
                "step": 0.5,
                "format": 1,
            },
        ]

    def caption(self, values: dict[str, Any]) -> str:
        """Add a note on what the steps or the solver of a comparison are."""
        return super().caption(values) + _NOTES.get(values["pair"], "")

    def _dt(self, values: dict[str, Any]) -> float:
        """Return the step in flow units."""
        return float(values["dt"]) * self.lambda_max**-0.5
