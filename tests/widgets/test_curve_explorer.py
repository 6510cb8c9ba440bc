"""One latent on a curve: what is shown, where the flow ends, and what is refused."""

import pytest
import torch

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.curve.explorer import CurveExplorer

MODEL = gfe.pretrained("circle")


def explorer(point: tuple[float, float], *, start: float = 0.0) -> CurveExplorer:
    return widgets.CurveExplorer(MODEL.decoder, point, loss=MODEL.loss, start=start)


def nearest_code(shown: CurveExplorer) -> float:
    """The code of the nearest place among those that are shown."""
    low, high = shown.view.codes
    z = torch.linspace(low, high, 2001)[:, None]
    curve = MODEL.decoder(z).detach()
    gaps = (curve - torch.tensor(shown.view.point)).norm(dim=1)
    return z[gaps.argmin()].item()


@pytest.mark.parametrize("point", [(-1.2, 0.5), (0.0, 1.3), (0.1, 0.7)])
def test_the_flow_ends_at_the_nearest_place_of_the_curve(point: tuple[float, float]):
    shown = explorer(point)
    assert abs(shown.follow().z.item() - nearest_code(shown)) < 0.05


def test_a_point_inside_the_circle_has_two_ends():
    ends = [explorer((0.35, -0.6), start=start).follow().z.item() for start in (-1.0, 1.0)]
    assert ends[0] < -3 and ends[1] > 3


def test_the_codes_shown_are_those_where_the_curve_moves():
    low, high = explorer((0.0, 1.3)).view.codes
    z = torch.linspace(-20, 20, 4001)[:, None]
    curve = MODEL.decoder(z).detach()
    speed = curve.diff(dim=0).norm(dim=1)
    outside = (z[:-1, 0] < low - 0.1) | (z[:-1, 0] > high + 0.1)
    assert speed[outside].max() < 0.06 * speed.max()
    ends = [int((z[:-1, 0] - end).abs().argmin()) for end in (low, high)]
    assert speed[ends].min() > 0.04 * speed.max()


def test_the_energy_falls_at_every_step():
    path = explorer((-0.9, -0.2)).follow().trajectory
    assert path is not None and bool((path.energy.diff(dim=0) <= 1e-7).all())


def test_a_decoder_of_pixels_is_refused_with_a_remedy():
    pixels = gfe.LinearDecoder(latent_dim=1, data_dim=4)
    with pytest.raises(ValueError, match=r"one latent and two outputs.*\n?.*pretrained"):
        widgets.CurveExplorer(pixels, (0.0, 0.0))


def test_a_decoder_that_the_browser_cannot_repeat_is_refused_with_what_it_can():
    decoder = gfe.MLPDecoder(latent_dim=1, hidden=(4,), data_dim=2, activation="silu")
    with pytest.raises(ValueError, match=r"`decoder` and `loss` must .* SiLU\. Use a"):
        CurveExplorer(decoder, (0.1, 0.2), loss=gfe.Gaussian())
