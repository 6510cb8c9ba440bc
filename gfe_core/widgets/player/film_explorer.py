"""Films that are made once and then only watched.

One shows a decoder while it trains; the other shows a flow that fits the noise of an image late.
The reader can scrub and play, and nothing is asked of the kernel.
"""

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import rows_of, samples_for
from gfe_core.decoders.wrapped import flattened
from gfe_core.encoding import encode, reconstruct
from gfe_core.energy import Bernoulli
from gfe_core.solvers import Euler
from gfe_core.training import Report
from gfe_core.types import Decoder, Encoding, Loss, SaveAt, Status
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import two_latents
from gfe_core.widgets.player.film import Film, Landscape
from gfe_core.widgets.player.player import FlowPlayer
from gfe_core.widgets.player.slices import (
    Plane,
    energy_map,
    extent_around,
    film_of,
    landscape_of,
    map_axes,
    map_label,
)


class FilmExplorer(Explorer):
    """Show one film in a player without controls."""

    def __init__(
        self,
        name: str,
        film: Film,
        landscape: Landscape,
        *,
        title: str,
        caption: str,
        alt_text: str,
    ) -> None:
        self.player = FlowPlayer(title=title, caption=caption, alt_text=alt_text, draggable=False)
        self.player.show(film, landscape)
        super().__init__(name, self.player, alt_text)


class TrainingFilm:
    """A callback of `fit` that keeps copies of a decoder with two latents or more.

    Args:
        x: image whose landscape and code are shown, (features,).
        image_shape: shape of the image, (height, width), or (3, height, width) in colour.
        n_frames: number of copies kept, evenly spread over the training.
    """

    @in_own_words
    def __init__(
        self, x: Float[Tensor, "features"], image_shape: tuple[int, ...], *, n_frames: int = 48
    ) -> None:
        checks.at_least_one("n_frames", n_frames)
        self.x = one_image(x, image_shape, "x")
        self.image_shape = image_shape
        self.n_frames = n_frames
        self.decoders: list[Any] = []  # modules and decoders, which no type expresses together
        self.steps: list[int] = []

    def __call__(self, report: Report) -> None:
        """Keep a copy when the next frame is due."""
        if not self.decoders:
            samples_for(flattened(report.decoder), self.x[None])
            two_latents(report.decoder, "the directions of a landscape")
        due = len(self.decoders) * (report.n_steps - 1) / max(self.n_frames - 1, 1)
        if report.step - 1 >= due:
            self.decoders.append(flattened(copy.deepcopy(report.decoder)))
            self.steps.append(report.step)

    def explorer(self, name: str = "training film", *, loss: Loss | None = None) -> FilmExplorer:
        """Encode the image with every copy, and show its code, landscape and reconstruction."""
        if not self.decoders:
            raise ValueError(
                "The film is empty. Pass it to a training first: `gfe.fit(..., callbacks=[film])`."
            )
        loss = loss or Bernoulli()
        encodings = [encode(decoder, self.x[None], loss=loss) for decoder in self.decoders]
        path = torch.cat([one.z for one in encodings])
        plane = Plane.through(path)
        extent = extent_around(plane.coordinates(torch.cat([path, torch.zeros_like(path[:1])])))
        maps = [
            energy_map(decoder, self.x, loss, plane, extent).numpy() for decoder in self.decoders
        ]
        pictures = torch.cat(
            [reconstruct(d, one.z, loss) for d, one in zip(self.decoders, encodings, strict=True)]
        )
        moved = torch.cat([path.diff(dim=0).norm(dim=1), torch.zeros(1)])
        film = Film(
            names=("reconstruction",),
            notes=(f"{len(path)} moments of the training, {self.steps[-1]} batches in all",),
            path=plane.coordinates(path)[None].numpy().astype(np.float32),
            off_plane=plane.distance(path)[None].numpy().astype(np.float32),
            energy=torch.cat([one.energy for one in encodings])[None].numpy(),
            step=moved[None].numpy().astype(np.float32),
            n_frames=(len(path),),
            images=pictures_of(pictures, self.image_shape)[None],
            target=pictures_of(self.x, self.image_shape),
            step_label="how far the code moves until the next frame",
            frame_label="frame",
        )
        return FilmExplorer(
            name,
            film,
            Landscape(
                energy=np.stack(maps).astype(np.float32),
                extent=extent,
                label=map_label(self.decoders[-1]),
                axes=map_axes(self.decoders[-1]),
            ),
            title="The landscape of one digit while the decoder learns",
            caption=(
                "Each frame is a later moment of the training. The cross is the code 0; the marker "
                "is the code that the flow finds from there."
            ),
            alt_text=(
                "The energy landscape of one digit changes while its decoder learns, and "
                "its code moves with it."
            ),
        )


def one_image(x: Any, image_shape: Any, name: str) -> Tensor:
    """Return one image as a flat tensor, after checking that its pixels match the shape."""
    n_features = math.prod(checks.image_shape(image_shape))
    row = rows_of(x, name)
    wanted = f"`{name}` must be one image of {n_features} floats"
    fits = isinstance(row, Tensor) and row.is_floating_point()
    fits = fits and tuple(row.shape) == (n_features,)
    remedy = "Pick a row: `samples.x[0]`."
    checks.require(fits, f"{wanted}, got {checks.described(x)}. {remedy}")
    n_lost = int((~row.isfinite()).sum())
    wanted = f"`{name}` must be a complete image, but {n_lost} of its {len(row)} pixels are missing"
    remedy = "Pick a row of `samples.x[samples.x.isfinite().all(1)]`."
    checks.require(n_lost == 0, f"{wanted} or infinite. {remedy}")
    return row


@in_own_words
def noisy_film(
    decoder: Decoder,
    clean: Float[Tensor, "features"],
    noisy: Float[Tensor, "features"],
    image_shape: tuple[int, ...],
    *,
    t1: float,
    n_steps: int = 800,
    n_frames: int = 80,
    loss: Loss | None = None,
    name: str = "early stopping",
) -> FilmExplorer:
    """Follow the flow of a noisy image and show its distance from the clean one.

    Args:
        decoder: decoder trained on clean images.
        clean: image without noise (features,), which the flow does not use.
        noisy: image that the flow encodes (features,).
        image_shape: shape of both images, (height, width), or (3, height, width) in colour.
        t1: end of the flow, in flow units.
        n_steps: number of steps of Euler's rule on a log-spaced grid.
        n_frames: number of times shown, evenly spaced in the logarithm of time.
        loss: loss of the energy, `Bernoulli()` by default.
        name: name of the explorer.

    Raises:
        ValueError: the steps are too long for the flow, so that the energy rises.
    """
    decoder = flattened(decoder)
    clean, noisy = (
        samples_for(decoder, one_image(x, image_shape, name)[None], name)[0]
        for name, x in (("clean", clean), ("noisy", noisy))
    )
    two_latents(decoder, "the directions of a landscape")
    checks.finite_positive("t1", t1)
    checks.at_least_one("n_steps", n_steps)
    checks.at_least_one("n_frames", n_frames)
    loss = loss or Bernoulli()
    times = torch.cat([torch.zeros(1), torch.logspace(-2.5, 0, n_frames) * t1])
    solver = Euler(n_steps=n_steps, grid="log", log_base=100.0)
    flow = encode(
        decoder, noisy[None], loss=loss, solver=solver, t1=t1, save_at=SaveAt.times(times)
    )
    _falls(flow, t1, n_steps)
    unseen = encode(decoder, clean[None], loss=loss).z
    rest = encode(
        decoder,
        noisy[None],
        loss=loss,
        z0=unseen,
        solver=Euler(steps=torch.zeros(1)),
        save_at=SaveAt.steps(),
    )
    assert flow.trajectory is not None
    path = torch.cat([flow.trajectory.z[:, 0], unseen])
    plane = Plane.through(path[:-1])
    film = film_of(
        {"flow": flow, "clean image": rest}, decoder, loss, plane, pictures_of(noisy, image_shape)
    )
    gaps = film.images / 255 - pictures_of(clean, image_shape) / 255
    error = np.sqrt(np.square(gaps).mean(tuple(range(2, gaps.ndim))))
    error[1] = 0.0  # not drawn: this track is the clean image itself
    notes = ("sees only the noisy image", "the code that the flow finds without noise")
    return FilmExplorer(
        name,
        replace(
            film,
            step=error.astype(np.float32),
            step_label="distance to the clean image",
            frame_label="frame",
            notes=notes,
        ),
        landscape_of(decoder, noisy, loss, plane, extent_around(plane.coordinates(path))),
        title="Stop the flow early",
        caption="The energy is that of the noisy image. The distance, root mean square over "
        "pixels, is to the clean "
        "one, which the flow never sees. Frames are evenly spaced in the logarithm of time.",
        alt_text=(
            "The energy of a noisy digit falls all the way; its distance to the clean "
            "digit falls, then rises."
        ),
    )


def _falls(flow: Encoding, t1: float, n_steps: int) -> None:
    """Refuse a path along which the energy rises: along a gradient flow it cannot."""
    assert flow.trajectory is not None
    energy = flow.trajectory.energy[:, 0]
    # sums over many features round by more than the last digit
    rounding = 100 * torch.finfo(energy.dtype).eps * energy.abs().max()
    falls = bool(energy.isfinite().all()) and bool((energy.diff() <= rounding).all())
    checks.require(
        falls and int(flow.status[0]) == Status.REACHED_T,
        f"`t1` of {t1:g} is too long for {n_steps} steps of Euler's rule: the energy rises, which "
        "it never does along the flow. Raise `n_steps`, or lower `t1`.",
    )
