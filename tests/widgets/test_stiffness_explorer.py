"""The demonstration of the stability limit shows what its sentence says, for every sample."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import gfe_core as gfe
from gfe_core import stiffness, widgets
from gfe_core.types import Encoding
from gfe_core.widgets.player.stiffness_explorer import crossings_and_rises

AT_REST = gfe.Stop(grad_norm=1e-10, energy_slope=0.0)


@dataclass(frozen=True)
class Valleys:
    """A decoder in float64, its data, and for each sample the minimum and the displaced start."""

    decoder: Any
    x: torch.Tensor
    minimum: Encoding
    moved: stiffness.Displacement

    def counts(self, dt_times_curvature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Crossings and rises of thirty steps of Euler's rule."""
        solver = gfe.Euler(steps=(dt_times_curvature / self.moved.largest).expand(30, -1))
        track = gfe.encode(
            self.decoder, self.x, solver=solver, z0=self.moved.start, save_at=gfe.SaveAt.steps()
        )
        return crossings_and_rises(track, self.minimum, self.moved)


@pytest.fixture(scope="module", params=["mnist-sample", "digits"])
def valleys(request: pytest.FixtureRequest) -> Valleys:
    """Every test sample, all of which the control offers."""
    decoder: Any = gfe.pretrained(request.param).decoder
    decoder = decoder.double()
    x = gfe.data.load(request.param, "test").x.double()
    near = gfe.encode(decoder, x).z
    minimum = gfe.encode(decoder, x, solver=gfe.BFGS(), z0=near, stop=AT_REST, max_steps=500)
    return Valleys(decoder, x, minimum, stiffness.displaced(decoder, minimum.z, x))


@pytest.mark.slow
def test_no_sample_crosses_below_one_all_alternate_below_two_and_rise_above(valleys: Valleys):
    crossings, rises = valleys.counts(0.9)
    assert crossings.max() == 0 and rises.max() == 0
    crossings, rises = valleys.counts(1.9)
    assert crossings.min() >= 20 and rises.max() == 0
    crossings, rises = valleys.counts(2.1)
    assert crossings.min() >= 25 and rises.min() >= 5


def test_explorer_shows_these_counts_and_starts_beside_the_minimum():
    data = gfe.data.load("digits", "test")
    explorer = widgets.StiffnessExplorer(gfe.pretrained("digits").decoder, data, sample=3)
    for dt, words in (
        (0.9, "0 of 30 steps cross the minimum, 0 raise"),
        (1.9, "30 of 30 steps cross the minimum, 0 raise"),
    ):
        explorer.turn(dt=dt)
        assert words in explorer.player.caption
    explorer.turn(dt=2.1)
    assert ", 0 raise" not in explorer.player.caption
    assert explorer.player.start == [0.0, 0.0]
    assert torch.equal(explorer.plane.codes(torch.zeros(1, 2).double()), explorer.moved.start)


def test_stretched_latents_show_the_same_counts_at_steps_c_squared_times_as_long():
    data = gfe.data.load("digits", "test")
    explorer = widgets.StiffnessExplorer(gfe.pretrained("digits").decoder, data, sample=3)
    counts, limit = explorer.counts, explorer.lambda_max
    explorer.turn(c=2.0)
    assert explorer.counts == counts
    assert explorer.lambda_max == pytest.approx(limit / 4, rel=1e-6)


def test_displaced_start_is_where_the_energy_is_still_a_parabola(valleys: Valleys):
    few = slice(0, 20)
    decoder, x, z = valleys.decoder, valleys.x[few], valleys.minimum.z[few]
    moved = stiffness.displaced(decoder, z, x)
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    along = (energy.hessian(z) @ moved.direction[:, :, None])[:, :, 0]
    assert torch.allclose(along, moved.largest[:, None] * moved.direction, atol=1e-8)
    rise = energy.value(moved.start) - energy.value(z)
    parabola = moved.largest * moved.distance**2 / 2
    assert torch.allclose(rise, parabola, rtol=0.05)
    closer = stiffness.displaced(decoder, z, x, within=0.002)
    assert (closer.distance < moved.distance).all()


def test_displaced_refuses_what_is_no_fraction():
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    with pytest.raises(ValueError, match="`within`"):
        stiffness.displaced(decoder, torch.zeros(1, 2), torch.zeros(1, 3), within=2.0)
