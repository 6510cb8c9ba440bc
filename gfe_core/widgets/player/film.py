"""The content of a player as numpy arrays: a film of the tracks, and the landscape below them.

The explorers make it from encodings, and the browser draws it.
Shape vocabulary: tracks (one per solver), frames (one per step), maps, rows, columns.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_LOOK = Path(__file__).parents[1] / "kit" / "look.json"
NEAR: int = json.loads(_LOOK.read_text(encoding="utf-8"))["near"]
"""Number of the 256 levels of a map that cover the energy range; the others lie above it."""
_ONE_MAP_WIDTH = 480
_SPRITE_PIXELS = 400_000  # of all maps: keeps the landscapes of a training run below 300 kB


def _expect(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: Any) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"`{name}` must have shape {shape} and dtype {np.dtype(dtype)}, got {array.shape} "
            f"and {array.dtype}. "
            f"Stack one row per track and convert with `.astype({str(np.dtype(dtype))!r})`."
        )


@dataclass(frozen=True, kw_only=True)
class Film:
    """The states along each track, ready to be drawn.

    Args:
        names: names of the tracks, such as "AMD", at most four.
        notes: notes, for each track a short sentence on its cost and its outcome.
        path: positions in the plane of the landscape, float32 (tracks, frames, 2).
        off_plane: distances from that plane, float32 (tracks, frames); 0 if the latent space is
            that plane.
        energy: true energies, float32 (tracks, frames).
        step: step sizes that leave each frame, float32 (tracks, frames), in flow units; 0 where
            there is no step.
        n_frames: number of real frames of each track; later frames hold the last state.
        images: reconstructions, uint8 (tracks, frames, *target).
        target: image that is encoded, uint8 (height, width), or (height, width, 3) in colour.
        energy_label: label of the energy chart.
        step_label: label of the step chart.
        step_limit: height of a dashed line in the step chart; no line by default.
        step_limit_label: label of that line, a few words.
        frame_label: word for a frame.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...]
    path: np.ndarray
    off_plane: np.ndarray
    energy: np.ndarray
    step: np.ndarray
    n_frames: tuple[int, ...]
    images: np.ndarray
    target: np.ndarray
    energy_label: str = "energy, nats per pixel"
    step_label: str = "step size dt"
    step_limit: float | None = None
    step_limit_label: str = ""
    frame_label: str = "step"

    def __post_init__(self) -> None:
        tracks = len(self.names)
        frames = self.energy.shape[-1] if self.energy.ndim else 0
        for name in ("notes", "n_frames"):
            if len(getattr(self, name)) != tracks:
                raise ValueError(
                    f"`{name}` must have one entry per track ({tracks}), got "
                    f"{len(getattr(self, name))}."
                )
        if tracks > 4:
            raise ValueError(
                f"`names` must hold at most 4 tracks, got {tracks}. Show the others in a "
                "second player."
            )
        if any(not 0 <= n <= frames for n in self.n_frames):
            raise ValueError(
                f"`n_frames` must lie between 0 and {frames}, got {self.n_frames}. Count real "
                "frames only."
            )
        for name in ("energy", "off_plane", "step"):
            _expect(name, getattr(self, name), (tracks, frames), np.float32)
        _expect("path", self.path, (tracks, frames, 2), np.float32)
        if self.target.ndim != 2 and self.target.shape[2:] != (3,):
            raise ValueError(
                "`target` must be one image, (height, width) or (height, width, 3), got shape "
                f"{self.target.shape}. Reshape it."
            )
        _expect("target", self.target, self.target.shape, np.uint8)
        _expect("images", self.images, (tracks, frames, *self.target.shape), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """Energy on a plane through latent space.

    Args:
        energy: energies in nats per pixel, float32 (maps, rows, columns), row 0 at the top (largest
            y). There is one map, or one per frame for a landscape that changes while a decoder
            trains.
        extent: x_min, x_max, y_min, y_max of the plane, in latent units. A ratio of width to height
            of about 8 to 5 fits the player best.
        label: description of the map, in a few words.
        axes: descriptions of the horizontal and of the vertical direction, in a few words each.
    """

    energy: np.ndarray
    extent: tuple[float, float, float, float]
    label: str = "a slice through latent space"
    axes: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        if self.energy.ndim != 3 or self.energy.size == 0:
            raise ValueError(
                f"`energy` must have shape (maps, rows, columns), got {self.energy.shape}. "
                "Add a map axis: `energy[None]`."
            )
        x_min, x_max, y_min, y_max = self.extent
        if not (x_min < x_max and y_min < y_max):
            raise ValueError(
                f"`extent` must be (x_min, x_max, y_min, y_max) in rising order, got {self.extent}."
            )


def energy_range(film: Film, landscape: Landscape) -> tuple[float, float]:
    """Return the energies of the first and the last colour, in nats per pixel.

    The range begins at the lowest energy anywhere. It ends at the highest energy of a start, or at
    the median of the landscape if that is higher: no flow climbs above its start, and a steep
    corner or a diverging track must not take the contrast from the rest.
    """
    ground = landscape.energy[np.isfinite(landscape.energy)]
    visited = film.energy[np.isfinite(film.energy)]
    starts = film.energy[:, :1][np.isfinite(film.energy[:, :1])]
    low = min((float(part.min()) for part in (ground, visited) if part.size), default=0.0)
    high = max((float(np.median(ground)) if ground.size else low, *starts.tolist()))
    return low, high if high > low else low + 1.0


def grey_sprite(landscape: Landscape, limits: tuple[float, float]) -> bytes:
    """Return the maps as one 8-bit grey PNG, stacked downwards and smoothly enlarged.

    `NEAR` levels cover the range `limits`; the other levels cover energies above it, up to twice
    the range, and are drawn increasingly pale.
    """
    maps = len(landscape.energy)
    x_min, x_max, y_min, y_max = landscape.extent
    ratio = min(max((y_max - y_min) / (x_max - x_min), 0.4), 1.25)
    width = max(16, min(_ONE_MAP_WIDTH, int((_SPRITE_PIXELS / ratio / maps) ** 0.5)))
    height = max(16, round(width * ratio))
    height_above = (landscape.energy - limits[0]) / (limits[1] - limits[0])
    near = np.clip(height_above, 0.0, 1.0) * (NEAR - 1)
    level = near + np.clip(height_above - 1.0, 0.0, 1.0) * (256 - NEAR)
    sprite = Image.new("L", (width, height * maps))
    for k, one in enumerate(np.nan_to_num(level, nan=255.0).astype(np.float32)):
        smooth = np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC))
        sprite.paste(
            Image.fromarray(np.clip(smooth.round(), 0, 255).astype(np.uint8)), (0, k * height)
        )
    buffer = io.BytesIO()
    sprite.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
