"""The player: a latent code flows down its energy landscape while its picture sharpens.

`FlowPlayer` sends a `Film` and a `Landscape` to the browser in one message and draws them there, so
that scrubbing never waits for the kernel. When the reader drags the start or moves a control, the
browser sends one request at a time.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import traitlets as t

from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.identity import looks
from gfe_core.widgets.kit.savable import Savable
from gfe_core.widgets.kit.thumbnails import WithThumbnails
from gfe_core.widgets.player.film import Film, Landscape, energy_range, grey_sprite

__all__ = ["Film", "FlowPlayer", "Landscape"]


class FlowPlayer(Savable, WithThumbnails):
    """Play films of codes that flow down a landscape.

    The reader can scrub, drag the start and move the controls.

    Set `on_request` to a function of one dictionary `{"id", "start", "values", "changed"}`; it is
    called when the reader has released the start point or changed a control, and it answers with
    `show`. `preview` and `preview_numbers` (preview.py) describe what the browser follows by itself
    until then, and `preview_script` computes it.
    `controls` lists the inputs: `{"name", "label", "kind": "range" | "choice" | "number" | "strip",
    "min", "max", "step" | "options", "format": decimals, "note": text beside the value}`; a strip
    chooses the sample by its thumbnail. `values` holds the state of the controls, and `defaults`
    the state that Reset restores together with `start`. `code` is Python that makes the view again,
    with {values} in place of the values.
    """

    _esm = script("player")
    _css = style("player")
    on_request: Callable[[dict[str, Any]], None] | None = None

    names = t.List(t.Unicode()).tag(sync=True)
    looks = t.List(t.Dict()).tag(sync=True)
    notes = t.List(t.Unicode()).tag(sync=True)
    shape = t.List(t.Int(), default_value=[0, 0]).tag(sync=True)
    trajectory = t.Bytes().tag(sync=True)
    off_plane = t.Bytes().tag(sync=True)
    energies = t.Bytes().tag(sync=True)
    steps = t.Bytes().tag(sync=True)
    n_frames = t.List(t.Int()).tag(sync=True)
    image_shape = t.List(t.Int(), default_value=[1, 1]).tag(sync=True)
    target = t.Bytes().tag(sync=True)
    frames = t.Bytes().tag(sync=True)
    energy_label = t.Unicode(Film.energy_label).tag(sync=True)
    step_label = t.Unicode("step size dt").tag(sync=True)
    frame_label = t.Unicode(Film.frame_label).tag(sync=True)
    step_limit = t.Float(None, allow_none=True).tag(sync=True)
    step_limit_label = t.Unicode().tag(sync=True)
    landscape = t.Bytes().tag(sync=True)
    n_maps = t.Int(1).tag(sync=True)
    map_label = t.Unicode(Landscape.label).tag(sync=True)
    axes = t.List(t.Unicode(), default_value=["", ""]).tag(sync=True)
    extent = t.List(t.Float(), default_value=[-1.0, 1.0, -0.625, 0.625]).tag(sync=True)
    energy_range = t.List(t.Float(), default_value=[0.0, 1.0]).tag(sync=True)
    frame = t.Int(0).tag(sync=True)
    playing = t.Bool(False).tag(sync=True)
    speed = t.Float(1.0).tag(sync=True)
    palette = t.Enum(["cividis", "viridis", "grey"], default_value="cividis").tag(sync=True)
    alt_text = t.Unicode("A point moves over an energy landscape while a picture sharpens.").tag(
        sync=True
    )
    title = t.Unicode().tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    controls = t.List(t.Dict()).tag(sync=True)
    values = t.Dict().tag(sync=True)
    defaults = t.Dict().tag(sync=True)
    request = t.Dict().tag(sync=True)
    reply = t.Int(0).tag(sync=True)
    draggable = t.Bool(True).tag(sync=True)
    start = t.List(t.Float(), default_value=[0.0, 0.0]).tag(sync=True)
    code = t.Unicode().tag(sync=True)
    preview = t.Dict().tag(sync=True)
    preview_numbers = t.Bytes().tag(sync=True)
    preview_script = t.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._lock = threading.RLock()  # callbacks may run on another thread while a cell runs
        self._usual_caption: str | None = None
        super().__init__(**traits)
        self.observe(self._answer, names="request")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Send all changes made inside in one message, and answer no request meanwhile."""
        with self._lock, self.hold_sync():
            yield

    def show(self, film: Film, landscape: Landscape | None = None) -> None:
        """Replace what is shown, in one state message.

        Args:
            film: film of the tracks.
            landscape: landscape below the tracks; `None` keeps the present one.
        """
        with self.changing():
            self._set_film(film)
            if landscape is not None:
                self._set_landscape(film, landscape)
            self.reply = self.request.get("id", self.reply)

    def _set_film(self, film: Film) -> None:
        self.names = list(film.names)
        self.looks = [asdict(look) for look in looks(film.names).values()]
        self.notes = list(film.notes)
        self.n_frames = list(film.n_frames)
        self.shape = list(film.energy.shape)
        self.image_shape = list(film.target.shape)
        self.trajectory = film.path.tobytes()
        self.off_plane = film.off_plane.tobytes()
        self.energies = film.energy.tobytes()
        self.steps = film.step.tobytes()
        self.target = film.target.tobytes()
        self.frames = film.images.tobytes()
        self.energy_label = film.energy_label
        self.step_label = film.step_label
        self.frame_label = film.frame_label
        self.step_limit = film.step_limit
        self.step_limit_label = film.step_limit_label
        self.frame = min(self.frame, max(film.energy.shape[1] - 1, 0))

    def _set_landscape(self, film: Film, landscape: Landscape) -> None:
        limits = energy_range(film, landscape)
        self.landscape = grey_sprite(landscape, limits)
        self.n_maps = len(landscape.energy)
        self.map_label = landscape.label
        self.axes = list(landscape.axes)
        self.extent = [float(edge) for edge in landscape.extent]
        self.energy_range = list(limits)

    def _answer(self, change: dict[str, Any]) -> None:
        """Run the reader's request.

        A request that fails is acknowledged too, because the browser waits for the reply.
        """
        request = change["new"]
        if "id" not in request:
            return
        with self.changing():
            before = self.values, self.start
            self.values = {**self.values, **request.get("values", {})}
            self.start = request.get("start") or self.start
            try:
                if self.on_request is not None:
                    self.on_request(request)
                self._say(None)
            except Exception as error:
                self.values, self.start = before  # the state of the film that is still shown
                self._say(f"This did not work ({type(error).__name__}): {error}")
            self.reply = request["id"]

    def _say(self, problem: str | None) -> None:
        """Show a problem in place of the caption until the next request succeeds."""
        if problem is not None:
            self._usual_caption = (
                self.caption if self._usual_caption is None else self._usual_caption
            )
            self.caption = problem
        elif self._usual_caption is not None:
            self.caption = self._usual_caption
            self._usual_caption = None
