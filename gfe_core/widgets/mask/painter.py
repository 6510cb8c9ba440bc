"""A canvas on which the reader paints the missing pixels of an image.

The browser draws every stroke at once. The kernel gets the mask at most ten times a second, and
when a stroke ends.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import traitlets as t

from gfe_core import checks
from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.thumbnails import WithThumbnails


class MaskPainter(WithThumbnails):
    """Show an image and let the reader hide parts of it.

    Hidden pixels are hatched, so that they cannot be taken for black ones.

    Set `on_request` to a function without arguments; it is called when the mask or the values have
    changed. The browser sends one request at a time, and after each reply its newest state.
    `values` holds "seed" and, for views with these controls, "sample" (one of `n_samples`, chosen
    by thumbnails) and "prior" (a bool). `first` holds the state that Reset restores: the values,
    and "hidden", the indices of the hidden pixels.
    """

    _esm = script("mask")
    _css = style("mask")
    on_request: Callable[[], None] | None = None

    image = t.Bytes().tag(sync=True)  # uint8, (height, width) or (height, width, 3)
    image_shape = t.List(t.Int(), default_value=[1, 1]).tag(sync=True)
    mask = t.Bytes(b"\1").tag(
        sync=True, from_json=lambda arrived, _: bytes(arrived)
    )  # uint8, 1 where visible
    brush = t.Int(1).tag(sync=True)
    n_samples = t.Int(1).tag(sync=True)
    values = t.Dict().tag(sync=True)
    first = t.Dict().tag(sync=True)
    facts = t.Unicode().tag(sync=True)
    title = t.Unicode().tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    alt_text = t.Unicode("An image, parts of which are hidden.").tag(sync=True)
    request = t.Dict().tag(sync=True)
    reply = t.Int(0).tag(sync=True)

    def __init__(self, image: np.ndarray, *, seen: np.ndarray | None = None, **traits: Any) -> None:
        """Show an image, uint8 (height, width), or (height, width, 3) in colour.

        `seen` is True where a pixel is visible, everywhere by default.
        """
        self._lock = threading.RLock()  # callbacks may run on another thread while a cell runs
        fits = isinstance(image, np.ndarray) and image.dtype == np.uint8
        fits = fits and (image.ndim == 2 or image.shape[2:] == (3,))
        got = f"{checks.described(image)}{f', {image.dtype}' if hasattr(image, 'dtype') else ''}"
        remedy = "Of a sample it is `(255 * x.reshape(height, width)).byte().numpy()`."
        wanted = "`image` must be an array of uint8, shape (height, width) or (height, width, 3)"
        checks.require(fits, f"{wanted}, got {got}. {remedy}")
        checks.require(image.size > 0, f"`image` must hold a pixel, got {image.shape}. {remedy}")
        sides = image.shape[:2]
        seen = np.ones(sides, dtype=bool) if seen is None else np.asarray(seen)
        if seen.shape != sides or seen.dtype != bool:
            raise ValueError(
                f"`seen` must be bool {sides}, True where seen, got {seen.dtype} {seen.shape}."
            )
        values = {"seed": 0} | traits.pop("values", {})
        first = values | {"hidden": np.flatnonzero(~seen).tolist()}
        shown = {
            "image": image.tobytes(),
            "image_shape": list(image.shape),
            "mask": seen.astype(np.uint8).tobytes(),
        }
        super().__init__(**shown, values=values, first=first, **traits)
        self._usual_caption = self.caption
        self.observe(self._answer, names="request")

    @property
    def seen(self) -> np.ndarray:
        """The mask, bool (height, width), True where a pixel is visible."""
        return np.frombuffer(self.mask, np.uint8).reshape(self.image_shape[:2]).astype(bool)

    def _answer(self, change: dict[str, Any]) -> None:
        """Answer the reader in one message.

        A request that fails is acknowledged too, because the browser waits for the reply.
        """
        request = change["new"]
        if "id" not in request:
            return
        with self._lock, self.hold_sync():
            before = self.values
            self.values = {**before, **request.get("values", {})}
            try:
                if self.on_request is not None:
                    self.on_request()
                self.caption = self._usual_caption
            except Exception as error:
                self.caption = f"This did not work ({type(error).__name__}): {error}"
                self.values = before
                self.facts = ""  # the reader's mask stays, and the facts belonged to another one
            self.reply = request["id"]
