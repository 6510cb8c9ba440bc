import numpy as np
import pytest
import torch

import gfe_core as gfe
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.player.slices import (
    Plane,
    energy_map,
    extent_around,
    film_of,
    heights_of,
    landscape_of,
)

LOSS = gfe.Bernoulli()


@pytest.fixture
def decoder(generator: torch.Generator) -> gfe.MLPDecoder:
    return gfe.MLPDecoder(latent_dim=5, hidden=(16,), data_dim=64, generator=generator).double()


@pytest.fixture
def x(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(1, 64, generator=generator, dtype=torch.float64)


def test_plane_holds_start_end_and_largest_deviation_of_a_path(generator: torch.Generator):
    path = torch.randn(9, 5, generator=generator, dtype=torch.float64).cumsum(0)
    plane = Plane.through(path)
    chord = (path[-1] - path[0]) / (path[-1] - path[0]).norm()
    aside = (path - path[0]) - ((path - path[0]) @ chord)[:, None] * chord
    farthest = int(aside.norm(dim=1).argmax())
    assert plane.distance(path[[0, -1, farthest]]).max() < 1e-12  # rounding of a few products
    assert plane.distance(path).max() > 0.1  # five dimensions do not fit into a plane
    assert torch.allclose(plane.axes @ plane.axes.T, torch.eye(2, dtype=torch.float64), atol=1e-12)


def test_codes_and_coordinates_are_inverse_on_the_plane(generator: torch.Generator):
    plane = Plane.through(torch.randn(4, 5, generator=generator))
    xy = torch.randn(7, 2, generator=generator)
    assert torch.allclose(plane.coordinates(plane.codes(xy)), xy, atol=1e-5)  # float32


def test_two_latents_are_shown_with_their_own_axes(generator: torch.Generator):
    path = torch.randn(4, 2, generator=generator)
    plane = Plane.through(path)
    assert torch.equal(plane.coordinates(path), path)
    assert plane.distance(path).max() == 0


@pytest.mark.parametrize("path", [torch.zeros(3, 4), torch.arange(3.0)[:, None].expand(3, 4)])
def test_a_path_without_extent_or_without_bend_still_has_a_plane(path: torch.Tensor):
    plane = Plane.through(path)
    assert torch.allclose(plane.axes @ plane.axes.T, torch.eye(2), atol=1e-6)  # float32
    assert plane.distance(path).max() < 1e-5


def test_extent_has_the_maps_proportions_and_room_around_the_points():
    x_min, x_max, y_min, y_max = extent_around(torch.tensor([[0.0, 0.0], [1.0, 3.0]]))
    assert (x_max - x_min) / (y_max - y_min) == pytest.approx(1.6)
    assert x_min < 0 and x_max > 1 and y_min < -0.5 and y_max > 3.5


def test_map_shows_the_energy_with_the_largest_y_on_top(decoder: gfe.MLPDecoder, x: torch.Tensor):
    plane = Plane.through(
        torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    ground = energy_map(decoder, x[0], LOSS, plane, (-2.0, 3.0, -1.0, 4.0))
    corners = plane.codes(torch.tensor([[-2.0, 4.0], [3.0, -1.0]], dtype=torch.float64))
    expected = LOSS.per_sample(decoder(corners), x.expand(2, -1))
    assert torch.allclose(
        torch.stack([ground[0, 0], ground[-1, -1]]), expected.detach(), atol=1e-6
    )  # grid in float32


def test_film_holds_the_last_state_of_the_shorter_track(decoder: gfe.MLPDecoder, x: torch.Tensor):
    saved = gfe.SaveAt.steps()
    long = gfe.encode(decoder, x, solver=gfe.Euler(n_steps=9), t1=9.0, save_at=saved)
    short = gfe.encode(decoder, x, solver=gfe.Euler(n_steps=4), t1=2.0, save_at=saved)
    assert long.trajectory is not None and short.trajectory is not None
    plane = Plane.through(long.trajectory.z[:, 0])
    film = film_of(
        {"long": long, "short": short},
        decoder,
        LOSS,
        plane,
        pictures_of(x[0], (8, 8)),
        step_scale=2.0,
    )
    assert film.n_frames == (10, 5)
    assert np.array_equal(film.energy[1, 4:], np.full(6, short.energy.item(), np.float32))
    assert np.allclose(film.step[0, :9], 2.0) and film.step[0, 9] == 0  # dt = 1, scaled
    assert film.images.shape == (2, 10, 8, 8)
    assert film.notes[0] == "9 steps, 20 forward-equivalents, reached t1"  # ten gradients


def test_film_asks_for_trajectories(decoder: gfe.MLPDecoder, x: torch.Tensor):
    plane = Plane.through(torch.zeros(2, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match="save_at"):
        film_of({"AMD": gfe.encode(decoder, x)}, decoder, LOSS, plane, pictures_of(x[0], (8, 8)))


def test_map_says_whether_it_is_a_slice(
    decoder: gfe.MLPDecoder, x: torch.Tensor, generator: torch.Generator
):
    extent = (-1.0, 1.0, -1.0, 1.0)
    slice_ = landscape_of(
        decoder, x[0], LOSS, Plane.through(torch.zeros(2, 5, dtype=torch.float64)), extent
    )
    flat = gfe.LinearDecoder(latent_dim=2, data_dim=64, generator=generator).double()
    whole = landscape_of(
        flat, x[0], LOSS, Plane.through(torch.zeros(2, 2, dtype=torch.float64)), extent
    )
    assert (slice_.label, whole.label) == ("a slice through latent space", "latent space")


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_the_plane_of_a_path_and_its_frame_do_not_depend_on_the_unit_of_codes(unit):
    path = unit * torch.tensor([[0.0, 0, 0, 0], [0.5, 1, 0, 0], [1.0, 0, 0, 0]])
    plane = Plane.through(path)
    assert plane.distance(path).max() < 1e-5 * unit
    assert plane.coordinates(path)[1].abs().tolist() == pytest.approx([0.5 * unit, unit])
    left, right, _, _ = extent_around(plane.coordinates(path))
    assert right - left < 10 * unit


def test_heights_are_taken_before_energies_are_rounded():
    energy = 1 + torch.tensor([1e-9, 4e-10, 1e-10], dtype=torch.float64)
    assert heights_of(energy, 1.0).tolist() == pytest.approx([1e-9, 4e-10, 1e-10], rel=1e-5)
    assert heights_of(energy, 2.0).tolist() == pytest.approx([9e-10, 3e-10, 0], rel=1e-5, abs=1e-15)
