"""Stop the flow early, and see how wrong each approximate gradient of the decoder is."""

from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from gfe_core import checks, threads
from gfe_core.adjoints import Detached, DiscreteAdjoint, Implicit
from gfe_core.data import DataSet
from gfe_core.encoding import encode
from gfe_core.energy import Bernoulli, Energy, WholeLoss
from gfe_core.solvers import LBFGS, Euler
from gfe_core.training.parts import trainable
from gfe_core.types import Adjoint, Encoding, Loss, Stop
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figure_view import FigureView
from gfe_core.widgets.charts.figures import with_ticks
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.shown import shown_samples

_APPROXIMATIONS: dict[str, Adjoint] = {
    "dropped (Detached)": Detached(),
    "Implicit": Implicit(),
    "Implicit, frozen": Implicit(frozen=True),
}
_TIMES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_OUTSIDE = ("same as inside", "squared error")
_FLOOR = 1e-6  # float32 gradients agree to no better than this
_AT_REST = Stop(grad_norm=1e-5, energy_slope=0)


class AdjointExplorer(Explorer):
    """Relative errors of three approximate gradients at each time at which the flow can stop.

    The flow of each sample starts on the line from the origin to the sample's code, at nine tenths
    of the distance by default, so that the curvature hardly changes along the flow. It takes Euler
    steps of at most half their stability limit. The exact gradient goes back through these steps
    (`DiscreteAdjoint`). The unit of time is 1 / lambda_max, where lambda_max is the largest
    eigenvalue of the Hessian of the energy at the sample's own code.

    Args:
        decoder: trained decoder; its parameters must require a gradient.
        samples: samples to encode.
        n_samples: number of samples, counted from the first row.
        t1: stopping time shown first, in units of 1 / lambda_max.
        outside: loss whose gradient is taken: "same as inside" or "squared error".
        start: fraction of the distance from the origin to the code at which the flow starts, in
            [0, 1).
        loss: loss of the flow, `Bernoulli()` by default.
    """

    def __init__(
        self,
        decoder: Any,
        samples: DataSet,
        *,
        n_samples: int = 16,
        t1: float = 2.0,
        outside: str = _OUTSIDE[0],
        start: float = 0.9,
        loss: Loss | None = None,
    ) -> None:
        n_samples = checks.at_least_one("n_samples", n_samples)
        checks.one_of("outside", outside, _OUTSIDE)
        checks.number("start", start)
        checks.require(0 <= start < 1, f"`start` must be in [0, 1), got {start!r}.")
        known = not isinstance(t1, bool) and t1 in _TIMES
        checks.require(known, f"`t1` must be one of {_TIMES}, got {checks.described(t1)}.")
        samples = shown_samples(decoder, samples, loss=loss, images=False)
        trainable(decoder)
        self.decoder = own_copy(decoder)
        self.x = samples.x[:n_samples]
        self.loss = loss or Bernoulli()
        arrived = encode(self.decoder, self.x, loss=self.loss, solver=LBFGS(), stop=_AT_REST)
        curvatures = Energy(self.decoder, self.x, self.loss).hessian(arrived.z)
        self.modes = torch.linalg.eigvalsh(curvatures).clamp(min=0)
        self.start = start * arrived.z
        self._errors = self._compared()
        controls = [
            {"label": "t1 × λ_max", "kind": "slider", "options": [f"{t:g}" for t in _TIMES]},
            {"label": "loss outside", "kind": "buttons", "options": [*_OUTSIDE]},
        ]
        alt = "Errors of three gradients of the decoder against the time at which the flow stops."
        self.view = FigureView(
            self._figure(),
            controls=controls,
            changes=[self._stopped(t, loss) for t in _TIMES for loss in _OUTSIDE],
            shown=len(_OUTSIDE) * _TIMES.index(t1) + _OUTSIDE.index(outside),
            alt_text=alt,
        )
        super().__init__("adjoint", self.view, alt)

    @property
    def times(self) -> tuple[float, ...]:
        """Times at which the flow is stopped, in units of 1 / lambda_max."""
        return _TIMES

    def errors(self, outside: str) -> dict[str, list[float]]:
        """Return the relative errors of each approximation at every stopping time."""
        return self._errors[outside]

    def _compared(self) -> dict[str, dict[str, list[float]]]:
        """Return, for each loss, the errors of each approximation at every stopping time."""
        exact = [self._gradients(DiscreteAdjoint(), t) for t in _TIMES]
        others = {
            name: [self._gradients(adjoint, t) for t in _TIMES]
            for name, adjoint in _APPROXIMATIONS.items()
        }
        return {
            outside: {
                name: [
                    _distance(one[outside], truth[outside])
                    for one, truth in zip(gradients, exact, strict=True)
                ]
                for name, gradients in others.items()
            }
            for outside in _OUTSIDE
        }

    def followed(self, adjoint: Adjoint, t: float) -> Encoding:
        """Follow the flow of each sample for t units of its own 1 / lambda_max."""
        n = max(4, round(t))
        steps = (t / n / self.modes[:, -1]).expand(n, -1)
        return encode(
            self.decoder,
            self.x,
            loss=self.loss,
            solver=Euler(steps=steps),
            z0=self.start,
            adjoint=adjoint,
        )

    def _gradients(self, adjoint: Adjoint, t: float) -> dict[str, Tensor]:
        """Return the gradient of the mean of each loss with respect to all weights."""
        with threads.suited(self.decoder), torch.enable_grad():
            output = self.decoder(self.followed(adjoint, t).z)
            squares = (WholeLoss(self.loss).mean(output) - self.x).square().mean(1)
            gaps = (self.loss.per_sample(output, self.x), squares)
            weights = list(self.decoder.parameters())
            gradients = [
                torch.autograd.grad(gap.mean(), weights, retain_graph=True) for gap in gaps
            ]
        return {
            outside: torch.cat([part.flatten() for part in parts])
            for outside, parts in zip(_OUTSIDE, gradients, strict=True)
        }

    def _figure(self) -> go.Figure:
        series: dict[str, plots.Series] = {
            name: (_TIMES, y) for name, y in self.errors(_OUTSIDE[0]).items()
        }
        drawn = [y for one in self._errors.values() for row in one.values() for y in row]
        series["stopped here"] = ([_TIMES[0]] * 2, [min(drawn), max(drawn)])
        time = "time at which the flow stops, t1 × λ_max"
        error = "relative error of the gradient"
        figure: Any = plots.curves(series, log=True, x_title=time, y_title=error)
        figure.data[-1].update(mode="lines", line=plots.REFERENCE)
        with_ticks(figure)
        return figure

    def _stopped(self, t: float, outside: str) -> dict[str, Any]:
        """Return the change that moves the mark to a time, with the errors there in words."""
        known = self.errors(outside)
        errors = " · ".join(
            f"{name} {values[_TIMES.index(t)]:.2g}" for name, values in known.items()
        )
        shares = (self.modes / self.modes[:, -1:]).median(0)[0]
        left = torch.exp(-shares * t).tolist()
        unfinished = ", ".join(f"{share:.2f}" for share in reversed(left))
        words = (
            f"t1 × λ_max = {t:g}, loss outside: {outside} · relative error: {errors}<br>"
            f"share of the way still ahead, steepest direction first: {unfinished}"
        )
        return {"data": [*({"y": y} for y in known.values()), {"x": [t, t]}], "words": words}


def _distance(gradient: Tensor, exact: Tensor) -> float:
    return max(((gradient - exact).norm() / exact.norm()).item(), _FLOOR)
