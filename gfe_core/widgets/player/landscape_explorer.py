"""What every explorer of a flow shares.

One sample, the landscape around its code, and tracks over it.

A subclass says which controls there are and which tracks they ask for; this base follows them from
wherever the hand put the start, and sends film and landscape to the player in one message.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gfe_core import checks, threads
from gfe_core.data import DataSet
from gfe_core.encoding import encode
from gfe_core.energy import Bernoulli, Energy
from gfe_core.solvers import AMD
from gfe_core.types import Decoder, Encoding, Loss, SaveAt
from gfe_core.widgets.kit.bundles import script
from gfe_core.widgets.kit.engine import Recipe, Unportable
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import shown_samples, two_latents
from gfe_core.widgets.kit.thumbnails import label_of, rows_around, thumbnails_of
from gfe_core.widgets.player.film import Film, Landscape
from gfe_core.widgets.player.player import FlowPlayer
from gfe_core.widgets.player.preview import grounds_for, recipes_for
from gfe_core.widgets.player.slices import (
    Plane,
    energies_of,
    extent_around,
    film_of,
    heights_of,
    landscape_of,
    map_axes,
    map_label,
)

LIMITS = {"Euler": 2.0, "RK4": 2.785, "Dopri5": 3.307}
"""Stability limits on the gradient flow, as dt x lambda_max; to the digits that are shown."""

_HEIGHTS_LABEL = "energy above the lowest reached"
_LANDMARKS = 200  # samples whose codes say how far a flat latent space goes


@dataclass(frozen=True)
class Ground:
    """The plane that a landscape lies in.

    Args:
        plane: its origin is where flows start until a hand moves the start.
        frame: x_min, x_max, y_min, y_max of the map.
        label: what the map is, in a few words.
        axes: what lies to the right and what upwards, in a few words each.
    """

    plane: Plane
    frame: tuple[float, float, float, float]
    label: str
    axes: tuple[str, str]


class LandscapeExplorer(Explorer, ABC):
    """Show tracks over the landscape of one sample; the base of explorers, not shown itself.

    The landscape is a plane through the start, the code that AMD finds from the origin, and the
    largest deviation of its path; with two latents it is all of latent space, as far as codes go.
    A subclass may lay another plane (`ground_below`). The landscape stays as it is while the start
    is dragged or solvers change; another sample has another one.

    Args:
        decoder: trained, in eval mode if it has normalisation.
        samples: what can be encoded; needs an image shape.
        name: of the explorer.
        first: name -> first value of every control; "sample" is one of them.
        controls: names of the controls shown.
        title: above the player.
        alt_text: one sentence that says what the picture shows.
        loss: `Bernoulli()` by default.
        playing: whether the film starts by itself when it is first seen.
    """

    ground: tuple[str, ...] = ("sample",)
    """Controls whose change makes a new landscape."""
    usual_loss: Loss = Bernoulli()
    dragged: tuple[str, ...] = ()
    """Sliders that the browser follows by itself while they are turned."""
    heights: bool = False
    """Whether the second chart shows heights above the lowest energy instead of steps."""
    only_kernel: str = ""
    """Why the browser cannot follow the tracks by itself, where it cannot."""

    def __init__(
        self,
        decoder: Decoder,
        samples: DataSet,
        *,
        name: str,
        first: dict[str, Any],
        controls: Sequence[str],
        title: str,
        alt_text: str,
        loss: Loss | None = None,
        playing: bool = False,
    ) -> None:
        self.loss = self.usual_loss if loss is None else loss
        samples = shown_samples(decoder, samples, loss=self.loss, row=first["sample"])
        two_latents(decoder, "the directions of a landscape")
        self.decoder = own_copy(decoder)
        self.samples = samples
        assert samples.image_shape is not None  # or they would not be shown
        self._shape = samples.image_shape
        self._first = first
        for control in controls:
            checks.one_of("controls", control, tuple(first))
        shown = {name: first[name] for name in controls}
        self.player = FlowPlayer(
            title=title,
            alt_text=alt_text,
            values=shown,
            defaults=shown,
            playing=playing,
            **thumbnails_of(samples, rows_around(samples, int(first["sample"]))),
        )
        self.player.on_request = self._answer
        super().__init__(name, self.player, alt_text)
        self._look_at(first)
        self._redraw(first, start=None, landscape=self._landscape)

    @abstractmethod
    def recipes(self, values: dict[str, Any]) -> Mapping[str, Recipe]:
        """Say how the tracks are followed that the controls ask for, at most four, by name."""

    @abstractmethod
    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Describe every control, as `FlowPlayer.controls`.

        Those that are not shown are left out.
        """

    def tracks(self, values: dict[str, Any], z0: Tensor | None) -> Mapping[str, Encoding]:
        """Follow what the controls ask for: name -> encoding of the sample."""
        return {name: self.follow(recipe, z0) for name, recipe in self.recipes(values).items()}

    def decoder_for(self, values: dict[str, Any]) -> Decoder:
        """Return the decoder that the controls ask for."""
        return self.decoder

    def film(self, tracks: Mapping[str, Encoding], values: dict[str, Any]) -> Film:
        """Turn tracks into a film, with steps in units of 1 / lambda_max, or with heights."""
        film = film_of(
            tracks,
            self.shown_decoder,
            self.loss,
            self.plane,
            self._target,
            step_scale=self.lambda_max,
            step_label="step size × λ_max",
        )
        if not self.heights:
            return film
        above = heights_of(energies_of(tracks), self.reference.energy.item())
        return replace(film, step=above, step_label=_HEIGHTS_LABEL)

    def data_of(self, sample: int) -> Tensor:
        """Return a sample as a batch of one."""
        return self.samples.x[sample : sample + 1]

    def reference_code(self) -> Encoding:
        """Encode the sample from the origin; curvatures are those at the code found."""
        return self.follow(Recipe(solver=AMD()), None)

    def ground_below(self) -> Ground:
        """Lay the plane through the path of the reference."""
        assert self.reference.trajectory is not None
        path = self.reference.trajectory.z[:, 0]
        plane = Plane.through(path)
        frame = extent_around(plane.coordinates(torch.cat([path, self._corners()])))
        decoder = self.shown_decoder
        return Ground(plane, frame, map_label(decoder), map_axes(decoder))

    def follow(self, recipe: Recipe, z0: Tensor | None) -> Encoding:
        """Encode the sample and keep every state."""
        return encode(
            self.shown_decoder,
            self.x,
            loss=self.loss,
            solver=recipe.solver,
            flow=recipe.flow,
            z0=z0,
            t1=recipe.t1,
            save_at=SaveAt.steps(),
            max_steps=recipe.max_steps,
        )

    def caption(self, values: dict[str, Any]) -> str:
        """Say what is shown."""
        label = label_of(self.samples, self._sample)
        return f"{self.samples.title}, sample {values['sample']}, {label}"

    def turn(self, *, start: Sequence[float] | None = None, **values: Any) -> None:
        """Turn controls, and put the start somewhere, as a reader would.

        Args:
            start: of the flow, (x, y) on the plane of the landscape; its origin by default.
            values: name of a control -> its value, whether the control is shown or not.

        Example:
            explorer.turn(sample=3, dt=0.5, start=(0.2, -0.1))
        """
        known = {control["name"]: control for control in self.controls(self._first)}
        for name, value in values.items():
            checks.one_of("values", name, tuple(known))
            _fits(known[name], value)
        if start is not None:
            checks.sequence("start", start)
            checks.require(len(start) == 2, f"`start` must be (x, y), got {start!r}.")
        with self.player.changing():
            self._first = self._first | values
            shown = {name: values.get(name, one) for name, one in self.player.values.items()}
            self.player.values = shown
            self._answer({"start": None})  # another sample has another plane
            if start is not None:
                self._answer({"start": [float(share) for share in start]})

    def arguments(self) -> str:
        """Return the arguments that make this explorer, as code."""
        return "decoder, samples" + (", loss=loss" if self.loss != self.usual_loss else "")

    def _code(self) -> str:
        """Return Python that makes this view again, with {values} for what the reader chose."""
        hidden = {k: one for k, one in self._first.items() if k not in self.player.values}
        words = "".join(f"{name}={value!r}, " for name, value in hidden.items())
        made = f"explorer = gfe.widgets.{type(self).__name__}({self.arguments()})"
        return f"{made}\nexplorer.turn({words}{{values}})\nexplorer"

    def _answer(self, request: dict[str, Any]) -> None:
        values: dict[str, Any] = self._first | self.player.values
        landscape = None
        start = request.get("start")
        if self._seen != [values[name] for name in self.ground]:
            self._look_at(values)
            landscape = self._landscape
            start = None
        self._redraw(values, None if start is None else torch.tensor([start]), landscape)

    def _look_at(self, values: dict[str, Any]) -> None:
        """Encode the sample and lay the ground for its flows."""
        self._seen = [values[name] for name in self.ground]
        self._sample = int(values["sample"])
        self.x = self.data_of(self._sample)
        self.shown_decoder = self.decoder_for(values)
        self.reference = self.reference_code()
        self._target = pictures_of(self.x[0], self._shape)
        self.hessian = Energy(self.shown_decoder, self.x, self.loss).hessian(self.reference.z)[0]
        self.curvature = torch.linalg.eigvalsh(self.hessian)
        self.lambda_max = max(self.curvature.max().item(), 1e-12)
        ground = self.ground_below()
        self.plane = ground.plane
        self._landscape = replace(
            landscape_of(self.shown_decoder, self.x[0], self.loss, self.plane, ground.frame),
            label=ground.label,
            axes=ground.axes,
        )

    def _corners(self) -> Tensor:
        """Two corners that hold nearly all codes of a flat latent space.

        Nothing where the map is a slice.
        """
        if self.shown_decoder.latent_dim != 2:
            return self.x.new_zeros(0, self.shown_decoder.latent_dim)
        codes = encode(
            self.shown_decoder, self.samples.x[:_LANDMARKS], loss=self.loss, max_steps=50
        ).z
        return torch.quantile(codes, torch.tensor([0.05, 0.95], dtype=codes.dtype), dim=0)

    def _redraw(
        self, values: dict[str, Any], start: Tensor | None, landscape: Landscape | None
    ) -> None:
        """Follow the flow again with the reader's choices and show it."""
        place = self.x.new_zeros(1, 2) if start is None else start.to(self.x)
        z0 = self.plane.codes(place)
        with threads.suited(self.shown_decoder):
            film = self.film(self.tracks(values, z0), values)
        with self.player.hold_sync():
            self.player.start = [0.0, 0.0] if start is None else start[0].tolist()
            wanted = self.controls(values)
            self.player.controls = [
                control for control in wanted if control["name"] in self.player.values
            ]
            self.player.caption = self.caption(values)
            self.player.code = self._code()
            self._preview(values)
            self.player.show(film, landscape)

    def _preview(self, values: dict[str, Any]) -> None:
        """Let the browser follow the tracks while a hand drags, or say why it cannot."""
        sliders = [one for one in self.player.controls if one["name"] in self.dragged]
        lowest = self.reference.energy.item() if self.heights else None
        try:
            if self.only_kernel:
                raise Unportable(self.only_kernel)
            tracks = recipes_for(self.recipes, values, sliders)
            grounds = grounds_for(self.shown_decoder, self.loss, self.plane, self.x[0], self._shape)
        except Unportable as reason:
            self.player.preview = {"why_not": str(reason)}
            self.player.preview_numbers = b""
            return
        self.player.preview_numbers = grounds.pop("numbers")
        self.player.preview_script = script("preview")
        charted = {"step_scale": self.lambda_max, "lowest": lowest}
        self.player.preview = grounds | charted | tracks


def with_limit(film: Film, name: str) -> Film:
    """Draw a solver's stability limit into the step chart."""
    return replace(film, step_limit=LIMITS[name], step_limit_label=f"{name}'s limit")


def sample_control(samples: DataSet, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the control that chooses a sample."""
    return {
        "name": "sample",
        "label": "sample",
        "kind": "strip",
        "min": 0,
        "max": len(samples) - 1,
        "note": label_of(samples, int(values["sample"])),
    }


def _fits(control: dict[str, Any], value: Any) -> None:
    """Check a value for a control."""
    name = control["name"]
    if (options := control.get("options")) is not None:
        listed = ", ".join(map(repr, options))
        checks.require(value in options, f"`{name}` must be one of {listed}, got {value!r}.")
        return
    checks.number(name, value)
    low, high = control["min"], control["max"]
    fits = low <= value <= high
    checks.require(fits, f"`{name}` must lie between {low} and {high}, got {value!r}.")
    if control["kind"] == "strip":
        checks.whole(name, value)


def dt_control(label: str, largest: float, note: str, *, name: str = "dt") -> dict[str, Any]:
    """Return a control for a step in units of its stability limit's denominator."""
    return {
        "name": name,
        "label": label,
        "kind": "range",
        "min": 0.05,
        "max": largest,
        "step": 0.05,
        "format": 2,
        "note": note,
    }
