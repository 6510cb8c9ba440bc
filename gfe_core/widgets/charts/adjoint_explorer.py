"""Stop the flow early, and see how wrong each approximate gradient of the decoder is."""

from typing import Any

import ipywidgets
import plotly.graph_objects as go
import torch
from torch import Tensor

from gfe_core import checks, threads
from gfe_core.adjoints import Detached, DiscreteAdjoint, Implicit
from gfe_core.data import DataSet
from gfe_core.encoding import encode
from gfe_core.energy import Bernoulli, Energy
from gfe_core.solvers import BFGS, Euler
from gfe_core.training.parts import trainable
from gfe_core.types import Adjoint
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.still_figure import figure_picture
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.shown import shown_samples

_WAYS: dict[str, Adjoint] = {
    "dropped (Detached)": Detached(),
    "Implicit": Implicit(),
    "Implicit, frozen": Implicit(frozen=True),
}
_TIMES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_OUTSIDE = ("the loss inside", "squared error")
_FLOOR = 1e-6  # float32 gradients agree no better


class AdjointExplorer(Explorer):
    """Relative errors of three gradients against the exact one, at every time to stop.

    The exact gradient walks the steps back (`DiscreteAdjoint`); the flow takes Euler steps of a
    third of its limit.

    Args:
        decoder: trained, its parameters requiring a gradient.
        samples: what is encoded.
        n_samples: how many of them, from the first on.
        t1: time to stop shown first, in units of 1 / lambda_max.
        outside: loss whose gradient is taken: "the loss inside" or "squared error".
    """

    def __init__(
        self,
        decoder: Any,
        samples: DataSet,
        *,
        n_samples: int = 32,
        t1: float = 4.0,
        outside: str = _OUTSIDE[0],
    ) -> None:
        checks.at_least_one("n_samples", n_samples)
        checks.one_of("outside", outside, _OUTSIDE)
        known = not isinstance(t1, bool) and t1 in _TIMES
        checks.require(known, f"`t1` must be one of {_TIMES}, got {checks.described(t1)}.")
        samples = shown_samples(decoder, samples, images=False)
        trainable(decoder)
        self.decoder = own_copy(decoder)
        self.x = samples.x[:n_samples]
        self.loss = Bernoulli()
        codes = encode(decoder, self.x, solver=BFGS()).z
        self.modes = torch.linalg.eigvalsh(
            Energy(decoder, self.x, self.loss).hessian(codes)
        ).median(0)[0]
        self.first = {"t1": t1, "outside": outside}
        self._known = {}
        self.figure = go.FigureWidget(self._figure(outside))
        self.time = ipywidgets.SelectionSlider(
            options=[(f"{t:g}", t) for t in _TIMES],
            value=t1,
            description="t1 × λ_max",
            continuous_update=True,
        )
        self.outside = ipywidgets.ToggleButtons(
            options=_OUTSIDE, value=outside, description="loss outside"
        )
        self.state = ipywidgets.HTML()
        reset = ipywidgets.Button(description="Reset")
        self.time.observe(self._stopped, names="value")
        self.outside.observe(self._changed, names="value")
        reset.on_click(lambda _: self.reset())
        self._stopped()
        widget = ipywidgets.VBox(
            [ipywidgets.HBox([self.time, self.outside, reset]), self.figure, self.state]
        )
        alt = (
            "Errors of three gradients against flow time: dropping fades late, implicit "
            "starts worse and ends better."
        )
        super().__init__("adjoint", widget, lambda: figure_picture(go.Figure(self.figure)), alt)

    def reset(self) -> None:
        """Return to what was shown first."""
        self.outside.value = self.first["outside"]
        self.time.value = self.first["t1"]

    def errors(self, outside: str) -> dict[str, list[float]]:
        """Relative errors of each way at every time; computed once for each loss."""
        if outside not in self._known:
            exact = [self._gradient(DiscreteAdjoint(), t, outside) for t in _TIMES]
            self._known[outside] = {
                name: [
                    self._distance(adjoint, *at, outside) for at in zip(_TIMES, exact, strict=True)
                ]
                for name, adjoint in _WAYS.items()
            }
        return self._known[outside]

    def _distance(self, adjoint: Adjoint, t: float, exact: Tensor, outside: str) -> float:
        difference = self._gradient(adjoint, t, outside) - exact
        return max((difference.norm() / exact.norm()).item(), _FLOOR)

    def _gradient(self, adjoint: Adjoint, t: float, outside: str) -> Tensor:
        """Gradient of the mean loss at the codes in all weights."""
        t1 = t / self.modes[-1].item()
        solver = Euler(n_steps=max(4, round(1.5 * t)))
        with threads.suited(self.decoder), torch.enable_grad():
            z = encode(
                self.decoder, self.x, loss=self.loss, solver=solver, t1=t1, adjoint=adjoint
            ).z
            output = self.decoder(z)
            same = outside == _OUTSIDE[0]
            gap = (
                self.loss.per_sample(output, self.x)
                if same
                else (self.loss.mean(output) - self.x).square().mean(1)
            )
            return torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(gap.mean(), list(self.decoder.parameters()))
                ]
            )

    def _figure(self, outside: str) -> go.Figure:
        series: dict[str, plots.Series] = {
            name: (_TIMES, y) for name, y in self.errors(outside).items()
        }
        series["stopped here"] = ([self.first["t1"]] * 2, [_FLOOR, 10.0])
        time = "time the flow is given, t1 × λ_max"
        error = "relative error of the gradient"
        return plots.curves(series, log=True, x_title=time, y_title=error)

    def _changed(self, _: object = None) -> None:
        with self.figure.batch_update():
            for trace, values in zip(
                self.figure.data, self.errors(str(self.outside.value)).values(), strict=False
            ):
                trace.y = values  # pyright: ignore[reportAttributeAccessIssue]
        self._stopped()

    def _stopped(self, _: object = None) -> None:
        """Move the mark, and say what the mark means."""
        t = self.time.value
        known = self.errors(str(self.outside.value))
        self.figure.data[-1].x = [t, t]  # pyright: ignore[reportAttributeAccessIssue]
        errors = " · ".join(
            f"{name} {values[_TIMES.index(t)]:.2g}" for name, values in known.items()
        )
        left = torch.exp(-self.modes / self.modes[-1] * t).tolist()
        unfinished = ", ".join(f"{share:.2f}" for share in reversed(left))
        self.state.value = (
            f"t1 × λ_max = {t:g}, loss outside: {self.outside.value} · relative error: {errors}<br>"
            f"share of the way still ahead, steepest mode first: {unfinished}"
        )
