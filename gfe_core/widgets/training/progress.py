"""Progress: a display of training, which says how to stop it.

It is a callback for `fit`. A report may become one small update of a bar, a line of text, a curve
and a picture. At most five updates a second leave the kernel, each of at most 20 kB in one message.

There is no button to stop: a click reaches the kernel when the cell ends, and then it is too late.
"""

import io
import math
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
import torch
from ipywidgets import HTML, Layout, VBox
from PIL import Image

from gfe_core.arguments import in_own_words
from gfe_core.training import Report
from gfe_core.widgets.kit.explorer import live_view, show_only
from gfe_core.widgets.kit.numbers import NUMBERS
from gfe_core.widgets.kit.pictures import base64_of

Preview = Callable[[Report], Any]

_POINTS = 100  # largest number of points of the curve
_PNG_BYTES = 12_000
_PICTURE_PIXELS = 320
_ACCENT = "var(--jp-brand-color1, #1976d2)"
_BAR = (
    "height: 8px; margin: 4px 0; border-radius: 4px; overflow: hidden; background: "
    "var(--jp-layout-color3, #bdbdbd)"
)
_CURVE = "display: block; width: 100%; height: 48px; margin-top: 4px"
_PIXELATED = "display: block; max-width: 100%; margin-top: 4px; image-rendering: pixelated"
_STOP = "to stop and keep what is learnt, interrupt the kernel (■ in the toolbar)"


class Progress:
    """Show the progress of training.

    Args:
        title: title of the display; showing another progress of the same title closes this one.
        preview: function of the report that draws what the decoder can do now: a PIL image, or
            uint8 (height, width) or (height, width, 3). Its errors are shown and never stop the
            training.
        every: least time between two updates in seconds, >= 0.2; the first and the last report are
            always shown.
        unit: unit of the energy.

    Raises:
        ValueError: `every` is below 0.2.

    Example:
        >>> import gfe_core as gfe
        >>> digits = gfe.data.load("digits").take(8)
        >>> decoder = gfe.LinearDecoder(latent_dim=2, data_dim=64)
        >>> progress = Progress("Training")
        >>> history = gfe.fit(decoder, gfe.data.Batches(digits.x, size=8), callbacks=[progress])
        >>> progress
        Progress('Training')
    """

    @in_own_words
    def __init__(
        self,
        title: str,
        *,
        preview: Preview | None = None,
        every: float = 0.2,
        unit: str = "nats per pixel",
    ) -> None:
        if not every >= 0.2:
            raise ValueError(
                f"`every` must be at least 0.2 seconds (five updates a second), got {every}."
            )
        self.title = title
        self.preview = preview
        self.every = every
        self.unit = unit
        self._shown_at = -math.inf
        self._build()
        show_only(self, title)

    def __call__(self, report: Report) -> None:
        """Show a report if an update is due; `fit` calls this after every batch.

        Args:
            report: report of `fit`.
        """
        last = report.step >= report.n_steps
        if last or report.step == 1 or time.monotonic() - self._shown_at >= self.every:
            self._show(report, last)
            self._shown_at = time.monotonic()

    def close(self) -> None:
        """Close the widgets and free what they hold in the browser."""
        for widget in (*self.widget.children, self.widget):
            widget.close()

    def __repr__(self) -> str:
        return f"Progress({self.title!r})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self)} | live_view(self.widget)

    def _build(self) -> None:
        self.page = HTML(self._page(0, ["waiting for the first batch"], ""))
        frame = Layout(max_width="560px", padding="8px 4px")
        self.widget = VBox([self.page], layout=frame)

    def _show(self, report: Report, last: bool) -> None:
        ending = ["done"] if last else [_time_left(report), _STOP]
        below = _curve(report.history.energy) + self._picture(report)
        self.page.value = self._page(
            report.step / report.n_steps, [*self._words(report), *ending], below
        )

    def _words(self, report: Report) -> list[str]:
        return [
            f"step {report.step:,} of {report.n_steps:,}",
            f"epoch {report.epoch} of {report.n_epochs}",
            f"energy {report.energy:.4f} {self.unit}",
            f"{report.history.images[-1] / max(report.seconds, 1e-9):,.0f} images/s",
        ]

    def _page(self, fraction: float, words: Sequence[str], below: str) -> str:
        percent = round(100 * min(fraction, 1))
        title = escape(self.title)
        phrases = " · ".join(
            f'<span style="white-space: nowrap">{escape(word)}</span>' for word in words
        )
        return (
            f'<div class="gfe-progress" data-percent="{percent}" '
            f'style="{NUMBERS}"><strong>{title}</strong>'
            f'<div role="progressbar" aria-label="{title}" aria-valuenow="{percent}" '
            f'style="{_BAR}">'
            f'<div style="width: {percent}%; height: 100%; background: '
            f'{_ACCENT}"></div></div>{phrases}{below}</div>'
        )

    def _picture(self, report: Report) -> str:
        """Return the picture that `preview` draws, as HTML.

        An error of `preview` becomes a line of text, so that training continues.
        """
        if self.preview is None:
            return ""
        try:
            with torch.no_grad():
                image = _image(self.preview(report))
            scale = max(1, _PICTURE_PIXELS // image.width)
            png = base64_of(_small_png(image))
        except Exception as error:
            return f"<div>Preview failed: {escape(f'{type(error).__name__}: {error}'[:500])}</div>"
        size = f'width="{scale * image.width}" height="{scale * image.height}"'
        return (
            f'<img alt="Preview" {size} style="{_PIXELATED}" decoding="sync" '
            f'src="data:image/png;base64,{png}">'
        )


def _image(picture: Any) -> Image.Image:
    """Return the picture of a preview as a PIL image."""
    if isinstance(picture, Image.Image):
        return picture if picture.mode in ("L", "P") else picture.convert("RGB")
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or (pixels.ndim != 2 and pixels.shape[2:] != (3,)):
        raise TypeError(
            "it must be a PIL image or uint8 of shape (height, width) or (height, width, 3), got "
            f"{pixels.dtype} {pixels.shape}"
        )
    return Image.fromarray(pixels)


def _small_png(image: Image.Image) -> bytes:
    """Halve a picture until its PNG fits into an update."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    if buffer.tell() <= _PNG_BYTES:
        return buffer.getvalue()
    return _small_png((image.convert("RGB") if image.mode == "P" else image).reduce(2))


def _time_left(report: Report) -> str:
    earlier = report.history.seconds[: -report.step]  # of the calls that this one continues
    spent = report.seconds - (earlier[-1] if earlier else 0.0)
    seconds = spent / report.step * (report.n_steps - report.step)
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


def _curve(energies: Sequence[float]) -> str:
    """Draw the energy so far as a small line; each point is the mean of about as many batches."""
    finite = np.array([energy for energy in energies if math.isfinite(energy)])
    if len(finite) < 2:
        return ""
    means = [part.mean() for part in np.array_split(finite, min(len(finite), _POINTS))]
    low = min(means)
    high = max(means)
    heights = [48 - 46 * (mean - low) / max(high - low, 1e-12) - 1 for mean in means]
    points = " ".join(
        f"{400 * i / (len(means) - 1):.0f},{height:.1f}" for i, height in enumerate(heights)
    )
    label = f"energy, from {means[0]:.4f} to {means[-1]:.4f}"
    return (
        f'<svg viewBox="0 0 400 48" preserveAspectRatio="none" role="img" aria-label="{label}" '
        f'style="{_CURVE}">'
        f'<polyline points="{points}" fill="none" stroke="{_ACCENT}" stroke-width="2" '
        f'vector-effect="non-scaling-stroke"/></svg><div>{label}</div>'
    )
