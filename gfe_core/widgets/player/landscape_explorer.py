"""The base class of all explorers of a flow.

An explorer shows one sample, the landscape around its code, and tracks over it. A subclass defines
the controls and the tracks that they ask for. The base class follows the tracks from the start that
the reader chose, and sends film and landscape to the player in one message.
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
"""Stability limits of solvers of the gradient flow, as dt x lambda_max, to the digits shown."""

_HEIGHTS_LABEL = "energy above the lowest reached"
_LANDMARKS = 200  # number of samples whose codes determine the extent of a map of two latents


@dataclass(frozen=True)
class Ground:
    """The plane of a landscape.

    Args:
        plane: plane in latent space; flows start at its origin until the reader moves the start.
        frame: x_min, x_max, y_min, y_max of the map.
        label: description of the map, in a few words.
        axes: descriptions of the horizontal and of the vertical direction, in a few words each.
    """

    plane: Plane
    frame: tuple[float, float, float, float]
    label: str
    axes: tuple[str, str]


class LandscapeExplorer(Explorer, ABC):
    """Show tracks over the landscape of one sample; the abstract base of explorers of a flow.

    The landscape is the energy on a plane through the start, the code that AMD finds from the
    origin, and the point of its path that deviates most from the line between them. With two
    latents the plane is the latent space, in the range of the codes. A subclass can choose another
    plane (`ground_below`). The landscape stays the same while the start is dragged or solvers
    change; another sample has another one.

    Args:
        decoder: trained decoder, in eval mode if it has normalisation.
        samples: samples that can be encoded; they need an image shape.
        name: name of the explorer.
        first: first value of every control by name, including "sample".
        controls: names of the controls shown.
        title: title above the player.
        alt_text: one sentence that says what the picture shows.
        loss: loss of the energy, `usual_loss` by default.
        playing: whether the film starts by itself when it is first seen.
    """

    ground: tuple[str, ...] = ("sample",)
    """Controls whose change makes a new landscape."""
    usual_loss: Loss = Bernoulli()
    dragged: tuple[str, ...] = ()
    """Sliders that the browser follows by itself while they are moved."""
    heights: bool = False
    """Whether the second chart shows heights above the lowest energy instead of steps."""
    only_kernel: str = ""
    """Reason why only the kernel can follow the tracks; empty if the browser can, too."""

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
        """Return recipes for the tracks that the controls ask for, at most four, by name."""

    @abstractmethod
    def controls(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Describe every control, as `FlowPlayer.controls`.

        The player leaves out those that are not shown.
        """

    def tracks(self, values: dict[str, Any], z0: Tensor | None) -> Mapping[str, Encoding]:
        """Follow the tracks that the controls ask for: name -> encoding of the sample."""
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
        """Encode the sample from the origin; curvatures are evaluated at this code."""
        return self.follow(Recipe(solver=AMD()), None)

    def ground_below(self) -> Ground:
        """Return the plane through the path of the reference."""
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
        """Return a caption that names the sample."""
        label = label_of(self.samples, self._sample)
        return f"{self.samples.title}, sample {values['sample']}, {label}"

    def turn(self, *, start: Sequence[float] | None = None, **values: Any) -> None:
        """Set controls and the start of the flow, as a reader would.

        Args:
            start: start of the flow, (x, y) on the plane of the landscape; its origin by default.
            values: values of controls by name, whether the control is shown or not.

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
            self.player.defaults = shown  # Reset comes back to what was turned to
            self._answer({"start": None})  # another sample has another plane
            if start is not None:
                self.player.defaults = shown | {"start": [float(share) for share in start]}
                self._answer({"start": self.player.defaults["start"]})

    def arguments(self) -> str:
        """Return the arguments that make this explorer, as code."""
        return "decoder, samples" + (", loss=loss" if self.loss != self.usual_loss else "")

    def _code(self) -> str:
        """Return Python that makes this view again, with {values} for the reader's choices."""
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
            start = self.player.defaults.get("start") if request.get("changed") == "reset" else None
        self._redraw(values, None if start is None else torch.tensor([start]), landscape)

    def _look_at(self, values: dict[str, Any]) -> None:
        """Encode the sample, and compute its curvature and its landscape."""
        self._seen = [values[name] for name in self.ground]
        self._sample = int(values["sample"])
        self.x = self.data_of(self._sample)
        self.shown_decoder = self.decoder_for(values)
        self.reference = self.reference_code()
        self._target = pictures_of(self.x[0], self._shape)
        self.hessian = Energy(self.shown_decoder, self.x, self.loss).hessian(self.reference.z)[0]
        self.curvature = torch.linalg.eigvalsh(self.hessian)
        self.lambda_max = max(self.curvature.max().item(), 1e-30)
        ground = self.ground_below()
        self.plane = ground.plane
        self._landscape = replace(
            landscape_of(self.shown_decoder, self.x[0], self.loss, self.plane, ground.frame),
            label=ground.label,
            axes=ground.axes,
        )

    def _corners(self) -> Tensor:
        """Return two opposite corners of a box with nearly all codes, if there are two latents.

        Return no rows where the map is a slice.
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
        """Let the browser follow the tracks during a drag, or say why it cannot."""
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
    """Add a solver's stability limit to the step chart."""
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
    """Return a slider for a step in units of 1 / lambda_max."""
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
