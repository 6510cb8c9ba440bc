"""Momentum under the hand: overshoot, friction, restart, and what an explicit step makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.flows import NesterovFlow
from gfe_core.solvers import AMD, RK4, Euler, SemiImplicit
from gfe_core.types import Decoder, Encoding
from gfe_core.widgets.film import Film
from gfe_core.widgets.landscape_explorer import LandscapeExplorer, dt_control, sample_control

_PAIRS = ("momentum and gradient flow", "semi-implicit and explicit Euler", "restart and no restart")
_TIME = 60.0  # length of the flows in units of 1 / sqrt(lambda_max)


class MomentumExplorer(LandscapeExplorer):
    """Follow the flow with momentum beside something it should be compared with.

    Steps are steered by dt x sqrt(lambda_max), the natural unit of a flow with momentum: 2 is the limit of the
    semi-implicit rule, 2.83 that of RK4. Both flows of the first pair run for the same time.

    Args:
        decoder: trained.
        samples: what can be encoded; needs an image shape.
        sample: row shown first.
        pair: what is compared, shown first.
        controls: names of the controls shown, of "sample", "pair", "dt", "damping".
    """

    def __init__(
        self, decoder: Decoder, samples: DataSet, *, sample: int = 0, pair: str = _PAIRS[0],
        controls: Sequence[str] = ("sample", "pair", "dt", "damping"),
    ) -> None:  # fmt: skip
        checks.one_of("pair", pair, _PAIRS)
        first = {"sample": sample, "pair": pair, "dt": 0.5, "damping": 3.0}
        title, alt = "A ball that rolls", "A code with momentum overshoots and swings back beside one without momentum."
        super().__init__(decoder, samples, name="momentum", first=first, controls=controls, title=title, alt_text=alt)

    def tracks(self, values: dict[str, Any], z0: Tensor | None) -> Mapping[str, Encoding]:
        """The pair that was chosen."""
        unit = self.lambda_max**-0.5
        flow, dt, t1 = NesterovFlow(damping=float(values["damping"])), float(values["dt"]) * unit, _TIME * unit
        semi = self.follow(SemiImplicit(dt=dt), z0, flow=flow, t1=t1)
        if values["pair"] == _PAIRS[0]:
            n = max(1, round(t1 / dt))
            return {
                "momentum": self.follow(RK4(n_steps=n), z0, flow=flow, t1=t1),
                "gradient flow": self._plain(n, t1, z0),
            }
        if values["pair"] == _PAIRS[1]:
            return {"semi-implicit": semi, "explicit Euler": self.follow(Euler(dt=dt), z0, flow=flow, t1=t1)}
        return {"restart (AMD)": self.follow(AMD(), z0, flow=flow), "no restart": semi, "AMD": self.follow(AMD(), z0)}

    def film(self, tracks: Mapping[str, Encoding], values: dict[str, Any]) -> Film:
        """Steps in the unit of the momentum flow."""
        film, unit = super().film(tracks, values), self.lambda_max**-0.5
        limit = {"step_limit": 2.0, "step_limit_label": "semi-implicit limit"}
        shown = limit if "semi-implicit" in tracks else {}
        return replace(film, step=film.step * unit, step_label="step size × √λ_max", **shown)

    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Sample, pair, dt x sqrt(lambda_max) and damping."""
        note = f"dt = {float(values['dt']) * self.lambda_max**-0.5:.3g}"
        return [
            sample_control(self.samples),
            {"name": "pair", "label": "compare", "kind": "choice", "options": list(_PAIRS)},
            dt_control("dt × √λ_max", 3.0, note),
            {"name": "damping", "label": "damping", "kind": "range", "min": 0.5, "max": 9.0, "step": 0.5, "format": 1},
        ]
