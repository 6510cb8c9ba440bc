"""The flow of a spectrum with gaps: the curve of the code at every step, also inside the gaps.

`SpectrumView` sends every step of one sample to the browser at once; emission_lines.js draws them.
To choose another sample or solver is a request to the kernel, one at a time. Any rows of numbers in
a meaningful order can take the place of spectra.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import traitlets as t
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.encoding import encode_observed, reconstruct
from gfe_core.energy import Energy
from gfe_core.solvers import AMD, LBFGS, Euler, GaussNewton
from gfe_core.types import Decoder, Encoding, Loss, SaveAt
from gfe_core.widgets.kit.answering import Answering
from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.shown import shown_samples
from gfe_core.widgets.player.slices import note_of

SOLVERS = ("LBFGS", "AMD", "GaussNewton", "Euler")
_MOST_STEPS = 300
_EULER = 1.0  # Euler's step x lambda_max, half of its stability limit

Probe = Callable[[Tensor], Any]
"""Codes (batch, latent) -> parameters (batch, parameters)."""


class SpectrumView(Answering):
    """One sample with gaps, and a curve through it for every step of a flow.

    The reader can scrub and play.

    `values` are {"sample", "solver"}; `readings` are rows of a name, a true value and the value
    read from the code.
    """

    _esm = script("emission_lines")
    _css = style("emission_lines")

    at = t.Bytes().tag(sync=True)  # (features,), positions of the features
    flux = t.Bytes().tag(sync=True)  # (features,), NaN where missing
    truth = t.Bytes().tag(sync=True)  # (features,), or empty
    curves = t.Bytes().tag(sync=True)  # (frames, features)
    energies = t.Bytes().tag(sync=True)  # (frames,)
    limits = t.List(t.Float(), default_value=[0.0, 1.0]).tag(sync=True)
    level = t.Float(None, allow_none=True).tag(sync=True)
    readings = t.List().tag(sync=True)
    n_samples = t.Int(1).tag(sync=True)
    solvers = t.List(t.Unicode()).tag(sync=True)
    defaults = t.Dict().tag(sync=True)
    frame = t.Int(0).tag(sync=True)
    playing = t.Bool(False).tag(sync=True)
    title = t.Unicode().tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)
    x_title = t.Unicode().tag(sync=True)
    y_title = t.Unicode().tag(sync=True)


class SpectrumExplorer(Explorer):
    """Watch the flow fit the measured features of a sample, and see its curve inside the gaps.

    Args:
        decoder: trained decoder.
        samples: samples that can be encoded, NaN where a number is missing.
        loss: loss of the energy.
        name: name of the explorer.
        at: positions of the features, increasing, for example wavelengths; their indices by
            default.
        truth: samples without noise and gaps, which the reader can show as a curve; none by
            default.
        probe: function from codes to the parameters in `samples.y`; with it the view shows the
            true values beside the values read from the code.
        parameters: names of the parameters.
        level: energy of the noise alone, drawn as a line; 0.5 for a Gaussian loss with the variance
            of the noise.
        sample: row of the sample shown first.
        solver: solver shown first, one of `SOLVERS`.
        title: title above the curve.
        x_title: title of the horizontal axis, with units.
        y_title: title of the vertical axis, with units.

    Raises:
        ValueError: `truth`, `probe` and `parameters` do not match the samples, or the solver is
            unknown.
    """

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        loss: Loss,
        name: str = "spectrum",
        at: Float[Tensor, "features"] | None = None,
        truth: Float[Tensor, "n features"] | None = None,
        probe: Probe | None = None,
        parameters: Sequence[str] = (),
        level: float | None = None,
        sample: int = 0,
        solver: str = "LBFGS",
        title: str = "A code found through the gaps",
        x_title: str = "feature",
        y_title: str = "value",
    ) -> None:
        checks.one_of("solver", solver, SOLVERS)
        samples = shown_samples(decoder, samples, loss=loss, images=False, gaps=True, row=sample)
        _fits(samples, truth, probe, parameters)
        self.decoder = own_copy(decoder)
        self.samples = samples
        self.loss = loss
        self.truth = truth
        self.probe = probe
        self.parameters = tuple(parameters)
        at = torch.arange(samples.x.shape[1]) if at is None else torch.as_tensor(at)
        n = samples.x.shape[1]
        wanted = f"`at` must hold a place for each of the {n} features"
        checks.require(tuple(at.shape) == (n,), f"{wanted}, got shape {tuple(at.shape)}.")
        rising = bool((at.diff() > 0).all()) and n > 1
        remedy = "Sort the features: `order = at.argsort()`, `samples.x[:, order]`."
        checks.require(rising, f"`at` must hold two or more places, rising. {remedy}")
        alt = (
            "A curve goes through measured points and through the gaps between them; its "
            "energy falls by steps."
        )
        first = {"sample": sample, "solver": solver}
        self.view = SpectrumView(
            at=_bytes(at),
            n_samples=len(samples),
            solvers=list(SOLVERS),
            defaults=first,
            level=level,
            title=title,
            alt_text=alt,
            x_title=x_title,
            y_title=y_title,
        )
        self.show(first)
        self.view.on_request = self.show
        super().__init__(name, self.view, alt)

    def show(self, values: dict[str, Any]) -> None:
        """Encode a sample with a solver and draw every step.

        Args:
            values: choices of the reader: "sample", a row, and "solver", one of `SOLVERS`.
        """
        row = slice(int(values["sample"]), int(values["sample"]) + 1)
        encoding = self.follow(self.samples.x[row], values["solver"])
        assert encoding.trajectory is not None
        curves = reconstruct(self.decoder, encoding.trajectory.z[:, 0], self.loss)
        truth = None if self.truth is None else self.truth[row]
        with self.view.hold_sync():
            self.view.flux = _bytes(self.samples.x[row])
            self.view.truth = b"" if truth is None else _bytes(truth)
            self.view.curves = _bytes(curves)
            self.view.energies = _bytes(encoding.trajectory.energy[:, 0])
            self.view.limits = _limits([self.samples.x[row], curves[-1:], truth])
            self.view.frame = len(curves) - 1
            self.view.values = {name: values[name] for name in ("sample", "solver")}
            self.view.readings = self._readings(row, encoding)
            self.view.note = f"{self.samples.title} · {values['solver']}: {note_of(encoding)}"

    def follow(self, x: Float[Tensor, "1 features"], solver: str) -> Encoding:
        """Encode one sample and keep every state."""
        if solver != "Euler":
            minimiser = {"LBFGS": LBFGS(), "AMD": AMD(), "GaussNewton": GaussNewton()}[solver]
            return encode_observed(
                self.decoder,
                x,
                loss=self.loss,
                solver=minimiser,
                save_at=SaveAt.steps(),
                max_steps=_MOST_STEPS,
            )
        end = encode_observed(self.decoder, x, loss=self.loss, solver=LBFGS()).z
        energy = Energy(self.decoder, x, self.loss, mask=~x.isnan())
        dt = _EULER / max(torch.linalg.eigvalsh(energy.hessian(end)).max().item(), 1e-30)
        return encode_observed(
            self.decoder,
            x,
            loss=self.loss,
            solver=Euler(dt=dt),
            t1=_MOST_STEPS * dt,
            save_at=SaveAt.steps(),
        )

    def _readings(self, row: slice, encoding: Encoding) -> list[list[Any]]:
        """Return the name, the true value and the value read from the code of each parameter."""
        if self.probe is None:
            return []
        read = np.asarray(self.probe(encoding.z), dtype=float)[0].tolist()
        made = self.samples.y[row][0].tolist()
        return [
            [name, _known(true), _known(from_code)]
            for name, true, from_code in zip(self.parameters, made, read, strict=True)
        ]


def _fits(
    samples: DataSet, truth: Tensor | None, probe: Probe | None, parameters: Sequence[str]
) -> None:
    shape = tuple(samples.x.shape)
    same = truth is None or tuple(getattr(truth, "shape", ())) == shape
    checks.require(
        same,
        f"`truth` must have the shape of the samples, {shape}. Pass one clean row for each sample.",
    )
    wanted = f"`parameters` must name the columns of `samples.y`, shape {tuple(samples.y.shape)}"
    named = probe is None or tuple(samples.y.shape) == (shape[0], len(parameters))
    checks.require(named, f"{wanted}, got {list(parameters)}. Leave `probe` out if none are known.")


def _limits(parts: Sequence[Tensor | None]) -> list[float]:
    """Return the limits of the vertical axis, with a margin around the finite values."""
    values = torch.cat([part for part in parts if part is not None])
    known = values[values.isfinite()]
    if not len(known):
        return [0.0, 1.0]
    low = known.min().item()
    high = known.max().item()
    space = 0.06 * (high - low or 1.0)
    return [low - space, high + space]


def _known(value: float) -> float | None:
    """Return a number for JSON, which has no infinity and no NaN: None where it is not finite."""
    return value if math.isfinite(value) else None


def _bytes(values: Tensor) -> bytes:
    return values.detach().numpy().astype(np.float32).tobytes()
