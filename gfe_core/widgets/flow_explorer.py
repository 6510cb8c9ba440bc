"""The first thing a reader touches: a digit, its energy landscape, and the flow from wherever the hand starts it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.data import DataSet
from gfe_core.encoding import encode
from gfe_core.energy import Energy
from gfe_core.losses import Bernoulli
from gfe_core.solvers import AMD, RK4, Euler, Solver
from gfe_core.types import Decoder, Encoding, Loss, SaveAt
from gfe_core.widgets.explorer import Explorer
from gfe_core.widgets.film import Landscape
from gfe_core.widgets.player import FlowPlayer
from gfe_core.widgets.slices import Plane, extent_around, film_of, grey, landscape_of

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "AMD and Euler": ("AMD", "Euler"),
    "AMD and RK4": ("AMD", "RK4"),
    "AMD": ("AMD",),
    "AMD, carried step": ("AMD", "AMD, carried step"),
    "Euler": ("Euler",),
    "RK4": ("RK4",),
}
_SLOPES = [1e-4, 1e-2, 0.1, 0.3, 0.5, 0.7, 0.9]
_LANDMARKS = 200  # samples whose codes say how far a flat latent space goes
_LIMITS = {"Euler": 2.0, "RK4": 2.785}


class FlowExplorer(Explorer):
    """Follow the flow of one sample at a time, with the landscape under it.

    The landscape is a plane through the start, the code that AMD finds from the origin, and the largest deviation of
    its path; with two latents it is all of latent space, as far as codes go. It stays as it is while the start is
    dragged or the solver changes; another sample has another one.
    Fixed grids are steered by dt x lambda_max, where lambda_max is the largest curvature at that code.

    Args:
        decoder: trained, in eval mode if it has normalisation.
        samples: what can be encoded; needs an image shape.
        name: of the explorer.
        sample: row shown first.
        solver: one of the choices of the control, shown first.
        dt_times_curvature: first value of the control for fixed grids.
        n_steps: length of fixed grids.
        loss: `Bernoulli()` by default.
        title: above the player.
        controls: names of the controls shown, of "sample", "solver", "dt", "armijo_slope".
        playing: whether the film starts by itself when it is first seen.
    """

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str = "flow",
        sample: int = 0,
        solver: str = "AMD and Euler",
        dt_times_curvature: float = 0.5,
        n_steps: int = 80,
        loss: Loss | None = None,
        title: str = "An image finds its own code",
        controls: Sequence[str] = ("sample", "solver", "dt", "armijo_slope"),
        playing: bool = False,
    ) -> None:
        if samples.image_shape is None:
            raise ValueError(f"`samples` must be images; {samples.name!r} has no image shape. Use load('digits').")
        checks.one_of("solver", solver, tuple(_CHOICES))
        self.decoder, self.samples, self.loss, self.n_steps = decoder, samples, loss or Bernoulli(), n_steps
        first = {"sample": sample, "solver": solver, "dt": dt_times_curvature, "armijo_slope": AMD().armijo_slope}
        alt = "A point flows down the energy landscape of a digit while its reconstruction sharpens beside it."
        self._first, shown = first, {name: first[name] for name in controls}
        self.player = FlowPlayer(title=title, alt_text=alt, values=shown, defaults=shown, playing=playing)
        self.player.on_request = self._answer
        super().__init__(name, self.player, self.player.picture, alt)
        self._landmarks = self._where_codes_lie()
        self._look_at(sample)
        self._redraw(first, start=None, landscape=self._landscape)

    def _answer(self, request: dict[str, Any]) -> None:
        values: dict[str, Any] = self._first | self.player.values
        landscape = None
        if values["sample"] != self._sample:
            self._look_at(int(values["sample"]))
            landscape, request = self._landscape, {**request, "start": None}
        start = request.get("start")
        self._redraw(values, None if start is None else torch.tensor([start]), landscape)

    def _where_codes_lie(self) -> Tensor:
        """Return two corners that hold nearly all codes of a flat latent space, nothing where the map is a slice."""
        if self.decoder.latent_dim != 2:
            return self.samples.x.new_zeros(0, self.decoder.latent_dim)
        codes = encode(self.decoder, self.samples.x[:_LANDMARKS], loss=self.loss, max_steps=50).z
        return torch.quantile(codes, torch.tensor([0.05, 0.95], dtype=codes.dtype), dim=0)

    def _look_at(self, sample: int) -> None:
        """Encode a sample from the origin and lay the plane through that path."""
        self._sample, self._x = sample, self.samples.x[sample : sample + 1]
        reference = self._encode(AMD(), None)
        assert reference.trajectory is not None and self.samples.image_shape is not None
        path = reference.trajectory.z[:, 0]
        self._plane = Plane.through(path)
        self._target = grey(self._x[0], self.samples.image_shape)
        curvature = torch.linalg.eigvalsh(Energy(self.decoder, self._x, self.loss).hessian(reference.z))
        self._lambda_max = max(curvature.max().item(), 1e-6)
        extent = extent_around(self._plane.coordinates(torch.cat([path, self._landmarks])))
        self._landscape = landscape_of(self.decoder, self._x[0], self.loss, self._plane, extent)

    def _redraw(self, values: dict[str, Any], start: Tensor | None, landscape: Landscape | None) -> None:
        """Follow the flow again with the reader's choices and show it."""
        z0 = None if start is None else self._plane.codes(start)
        dt = float(values["dt"]) / self._lambda_max
        solvers: dict[str, Solver] = {
            "AMD": AMD(armijo_slope=float(values["armijo_slope"])),
            "AMD, carried step": AMD(armijo_slope=float(values["armijo_slope"]), trial="carry"),
            "Euler": Euler(n_steps=self.n_steps),
            "RK4": RK4(n_steps=self.n_steps),
        }
        names = _CHOICES[values["solver"]]
        tracks = {name: self._encode(solvers[name], z0, t1=dt * self.n_steps) for name in names}
        fixed = next((name for name in names if name in _LIMITS), None)
        film = film_of(
            tracks,
            self.decoder,
            self.loss,
            self._plane,
            self._target,
            step_scale=self._lambda_max,
            step_label="step size × λ_max",
            step_limit=None if fixed is None else _LIMITS[fixed],
            step_limit_label=f"{fixed}'s limit",
        )
        with self.player.hold_sync():
            self.player.start = [0.0, 0.0] if start is None else start[0].tolist()
            self.player.controls = self._controls(dt)
            self.player.caption = self._caption(values)
            self.player.show(film, landscape)

    def _encode(self, solver: Solver, z0: Tensor | None, t1: float = torch.inf) -> Encoding:
        end = t1 if isinstance(solver, Euler | RK4) else torch.inf
        return encode(
            self.decoder, self._x, loss=self.loss, solver=solver, z0=z0, t1=end, save_at=SaveAt.steps(), max_steps=200
        )

    def _controls(self, dt: float) -> list[dict[str, Any]]:
        last = len(self.samples) - 1
        note = f"dt = {dt:.3g}, λ_max = {self._lambda_max:.3g}"
        every = [
            {"name": "sample", "label": "sample", "kind": "range", "min": 0, "max": last, "step": 1, "format": 0},
            {"name": "solver", "label": "solver", "kind": "choice", "options": list(_CHOICES)},
            {"name": "dt", "label": "dt × λ_max", "kind": "range", "min": 0.05, "max": 3.0, "step": 0.05, "format": 2}
            | {"note": note},
            {"name": "armijo_slope", "label": "Armijo slope σ", "kind": "choice", "options": _SLOPES},
        ]
        return [control for control in every if control["name"] in self.player.values]

    def _caption(self, values: dict[str, Any]) -> str:
        label = self.samples.y[self._sample]
        return f"{self.samples.name} ({self.samples.split}), sample {values['sample']}, label {label:g}"
