"""What is seen of the gradients at the origin while a decoder learns."""

import numpy as np
import pytest
import torch
from explorers import DIGITS

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.methods import gon
from gfe_core.widgets.training.gradient_histogram import GradientHistogram


@pytest.fixture
def seen(generator: torch.Generator) -> tuple[GradientHistogram, gfe.MLPDecoder]:
    decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=64, generator=generator)
    histogram = GradientHistogram(DIGITS.x, every=2)
    batches = gfe.data.Batches(DIGITS.x, size=10)
    gfe.fit(
        decoder, batches, encoder=gon.Origin(), loss=gon.SQUARES, epochs=2, callbacks=[histogram]
    )
    return histogram, decoder


def test_last_look_is_one_step_of_the_trained_decoder(
    seen: tuple[GradientHistogram, gfe.MLPDecoder],
):
    histogram, decoder = seen
    assert histogram.steps == [1, 3, 5, 7, 8], "every second round, and the last"
    codes = gon.Origin()(decoder, DIGITS.x).z.detach()
    assert torch.allclose(histogram.codes[-1], codes, atol=1e-6)  # float32
    assert histogram.distance[-1] == pytest.approx(gon.normality(codes), abs=1e-4)


def test_slider_goes_back_through_the_training(
    seen: tuple[GradientHistogram, gfe.MLPDecoder],
):
    histogram, _ = seen
    histogram.explorer("looks", "A histogram.")
    view = histogram.view
    assert view.shown == 4 and view.controls[0]["options"] == ["1", "3", "5", "7", "8"]
    assert "after 8 updates" in view.changes[4]["words"]
    assert "after 1 updates" in view.changes[0]["words"]
    first, last = (view.changes[k]["data"][0] for k in (0, 4))
    assert first != last
    for bars in (first, last):  # a density: its area is one, but for what lies beyond the edges
        assert np.trapezoid(bars["y"], bars["x"]) == pytest.approx(1, abs=0.02)


def test_preview_is_a_histogram_of_the_last_look(seen: tuple[GradientHistogram, gfe.MLPDecoder]):
    histogram, _ = seen
    bars = (histogram.picture() < 255).sum(0)[::4]
    counts = histogram._density(-1)[1]
    assert bars.argmax() == counts.argmax() and (bars[counts == 0] == 0).all()


def test_no_look_is_told_and_broken_codes_are_drawn(
    seen: tuple[GradientHistogram, gfe.MLPDecoder],
):
    empty = widgets.GradientHistogram(DIGITS.x)
    with pytest.raises(ValueError, match="has seen no training"):
        empty.explorer("none", "Nothing.")
    histogram, _ = seen
    histogram.codes[-1] = torch.full((40, 4), torch.nan)
    histogram.distance[-1] = np.nan
    assert (histogram.picture() == empty.picture()).all()
    histogram.explorer("broken", "A histogram of nothing.")
