"""Slices: a plane through latent space, the energy on it, and flows projected onto it.

The plane is drawn without distortion, but a path through more than two dimensions leaves it; its
distance from the plane is kept. Shape vocabulary: time, latent; coordinates on a plane are (x, y)
in latent units.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import threads
from gfe_core.encoding import reconstruct
from gfe_core.energy import Energy
from gfe_core.types import Decoder, Encoding, Loss, Status
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.player.film import Film, Landscape

ASPECT = 1.6  # width over height of the player's map
# size of the grid on which the energy is computed
_COLUMNS = 72
_ROWS = 45
_ENDINGS = {
    Status.CONVERGED: "converged",
    Status.REACHED_T: "reached t1",
    Status.MAX_STEPS: "out of steps",
    Status.STALLED: "converged to rounding",
    Status.STEP_TOO_SMALL: "no step small enough",
    Status.NON_FINITE: "not finite",
    Status.FLAT: "flattened",
    Status.NOT_REACHED: "not reached",
}


@dataclass(frozen=True)
class Plane:
    """The codes origin + x axes[0] + y axes[1]; the axes are orthonormal."""

    origin: Float[Tensor, "latent"]
    axes: Float[Tensor, "two latent"]

    @staticmethod
    def through(path: Float[Tensor, "time latent"]) -> "Plane":
        """Return the plane of a path.

        It contains the start of the path, its end, and the point that deviates most from the line
        between them. With two latents it is the whole latent space, with the latents as axes.
        """
        origin = path[0]
        latent = path.shape[1]
        if latent == 2:
            return Plane(torch.zeros_like(origin), torch.eye(2).to(path))
        size = (path - origin).norm(dim=1).max()
        along = _unit(path[-1] - origin, size, avoid=None)
        aside = (path - origin) - ((path - origin) @ along)[:, None] * along
        across = aside[aside.norm(dim=1).argmax()]
        return Plane(
            origin,
            torch.stack([along, _unit(across - (across @ along) * along, size, avoid=along)]),
        )

    def coordinates(self, z: Float[Tensor, "*time latent"]) -> Float[Tensor, "*time two"]:
        """Return the positions of codes on the plane, by orthogonal projection."""
        return (z - self.origin) @ self.axes.T

    def codes(self, xy: Float[Tensor, "*time two"]) -> Float[Tensor, "*time latent"]:
        """Return the codes at positions on the plane."""
        return self.origin + xy @ self.axes

    def distance(self, z: Float[Tensor, "*time latent"]) -> Float[Tensor, "*time"]:
        """Return the distances of codes from the plane, in latent units."""
        return (z - self.codes(self.coordinates(z))).norm(dim=-1)


def _unit(direction: Tensor, size: Tensor, *, avoid: Tensor | None) -> Tensor:
    """Normalise a direction.

    One that is rounding beside the size of the path becomes an axis, perpendicular to `avoid` if
    given.
    """
    if direction.norm() > 1e-6 * size:
        return direction / direction.norm()
    basis = torch.eye(len(direction)).to(direction)
    if avoid is None:
        return basis[0]
    axis = basis[avoid.abs().argmin()]
    axis = axis - (axis @ avoid) * avoid
    return axis / axis.norm()


def extent_around(
    points: Float[Tensor, "time two"], *, margin: float = 0.45
) -> tuple[float, float, float, float]:
    """Return a frame (x_min, x_max, y_min, y_max) with a margin around the points."""
    low = points.min(0).values
    high = points.max(0).values
    centre = (low + high) / 2
    half = (high - low) * (0.5 + margin)
    least = 1e-3 * (points.abs().max().item() or 1.0)
    width = max(half[0].item(), half[1].item() * ASPECT, least)
    x, y = centre.tolist()
    return x - width, x + width, y - width / ASPECT, y + width / ASPECT


def energy_map(
    decoder: Decoder,
    x: Float[Tensor, "features"],
    loss: Loss,
    plane: Plane,
    extent: tuple[float, float, float, float],
) -> Float[Tensor, "rows columns"]:
    """Return the energy of one sample on a grid over the plane, first row at the top."""
    x_min, x_max, y_min, y_max = extent
    across = torch.linspace(x_min, x_max, _COLUMNS)
    down = torch.linspace(y_max, y_min, _ROWS)
    y_grid, x_grid = torch.meshgrid(down, across, indexing="ij")
    z = plane.codes(torch.stack([x_grid, y_grid], -1).reshape(-1, 2).to(plane.origin))
    with threads.suited(decoder):
        return Energy(decoder, x.expand(len(z), -1), loss).value(z).reshape(_ROWS, _COLUMNS)


def landscape_of(
    decoder: Decoder,
    x: Float[Tensor, "features"],
    loss: Loss,
    plane: Plane,
    extent: tuple[float, float, float, float],
) -> Landscape:
    """Return a landscape with one map, ready for the player."""
    energy = energy_map(decoder, x, loss, plane, extent)
    return Landscape(
        energy=energy.numpy().astype(np.float32)[None],
        extent=extent,
        label=map_label(decoder),
        axes=map_axes(decoder),
    )


def map_label(decoder: Decoder) -> str:
    """Return a label that says whether a map shows all of latent space or a slice of it."""
    return "latent space" if decoder.latent_dim == 2 else "a slice through latent space"


def map_axes(decoder: Decoder) -> tuple[str, str]:
    """Describe the horizontal and the vertical direction of a map of a `Plane.through`."""
    if decoder.latent_dim == 2:
        return "first latent", "second latent"
    return "from the start of the path to its end", "largest deviation"


def film_of(
    tracks: Mapping[str, Encoding],
    decoder: Decoder,
    loss: Loss,
    plane: Plane,
    target: np.ndarray,
    *,
    step_scale: float = 1.0,
    step_label: str = "step size dt",
    step_limit: float | None = None,
    step_limit_label: str = "",
) -> Film:
    """Turn encodings of one sample, saved with `SaveAt.steps()`, into a film.

    Shorter tracks hold their last state.

    Args:
        tracks: encodings of a batch of one, by name.
        decoder: decoder that draws the reconstructions.
        loss: loss of the encodings.
        plane: plane onto which the paths are projected.
        target: picture that is encoded, uint8 (height, width) or (height, width, 3).
        step_scale: factor that multiplies step sizes in the chart, as `step_label` says.
        step_label: label of the step chart.
        step_limit: height of a reference line in that chart.
        step_limit_label: label of that line, a few words.
    """
    height, width, *colours = target.shape
    frames = max(len(_path(encoding)) for encoding in tracks.values())
    paths = torch.stack([_held(_path(encoding), frames) for encoding in tracks.values()])
    energy = energies_of(tracks)
    step = _stacked(tracks, "dt") * step_scale
    pictures = reconstruct(decoder, paths.flatten(0, 1), loss).unflatten(0, paths.shape[:2])
    return Film(
        names=tuple(tracks),
        notes=tuple(note_of(encoding) for encoding in tracks.values()),
        path=_float32(plane.coordinates(paths)),
        off_plane=_float32(plane.distance(paths)),
        energy=_float32(energy),
        step=_float32(step),
        n_frames=tuple(len(_path(encoding)) for encoding in tracks.values()),
        images=pictures_of(torch.nan_to_num(pictures), (*colours, height, width)),
        target=target,
        step_label=step_label,
        step_limit=step_limit,
        step_limit_label=step_limit_label,
    )


def energies_of(tracks: Mapping[str, Encoding]) -> Tensor:
    """Return the energies of tracks (track, frame), in the tracks' own precision."""
    return _stacked(tracks, "energy")


def _stacked(tracks: Mapping[str, Encoding], name: str) -> Tensor:
    """Return a number of each saved state (track, frame)."""
    frames = max(len(_path(encoding)) for encoding in tracks.values())
    rows = (getattr(encoding.trajectory, name)[:, 0] for encoding in tracks.values())
    return torch.stack([_held(row, frames) for row in rows])


def heights_of(energy: Tensor, lowest: float) -> np.ndarray:
    """Return energies above the lowest of all, as float32.

    The difference is taken before it is rounded: near a minimum it is smaller than a float32
    energy can resolve.

    Args:
        energy: energies of any shape.
        lowest: an energy that was reached elsewhere.
    """
    energy = energy.double().nan_to_num(nan=torch.inf)
    return _float32((energy - min(energy.min().item(), lowest)).clamp(min=0))


def _path(encoding: Encoding) -> Tensor:
    if encoding.trajectory is None:
        raise ValueError(
            "`tracks` must hold encodings with a trajectory. Encode with "
            "`save_at=gfe.SaveAt.steps()`."
        )
    return encoding.trajectory.z[:, 0]


def _held(rows: Tensor, n: int) -> Tensor:
    """Repeat the last row up to n rows."""
    return torch.cat([rows, rows[-1:].expand(n - len(rows), *rows.shape[1:])])


def note_of(encoding: Encoding) -> str:
    """Describe the steps, the work and the ending of a batch of one in words."""
    steps = encoding.statistics.n_accepted.item()
    work = encoding.statistics.work.item()
    return (
        f"{steps} steps, {work} forward-equivalents, "
        f"{_ENDINGS[Status(int(encoding.status.item()))]}"
    )


def _float32(values: Tensor) -> np.ndarray:
    return np.nan_to_num(values.numpy().astype(np.float32), posinf=3e38, neginf=-3e38)
