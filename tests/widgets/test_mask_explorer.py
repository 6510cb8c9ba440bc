"""The explorer of missing pixels.

What a mask changes, who is judged on what, and the table of the large run.
"""

from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS, briefly_trained

import gfe_core as gfe
from gfe_core import encoders
from gfe_core.widgets.kit.explorer import Document
from gfe_core.widgets.mask.explorer import MaskExplorer, widest_plane
from gfe_core.widgets.results.missing import hidden_pixels, incomplete

TRAIN = gfe.data.load("digits").take(100)


@pytest.fixture
def explorer(generator: torch.Generator) -> MaskExplorer:
    decoder = briefly_trained(generator)
    encoder = encoders.Autoencoder(latent_dim=4, hidden=(16,), data_dim=64, generator=generator)
    others = {"given zeros": (decoder, encoders.Filled(encoder))}
    return MaskExplorer(decoder, TRAIN, DIGITS, others=others, n_starts=2, n_draws=40)


def paint(
    explorer: MaskExplorer, number: int, seen: np.ndarray | None = None, **values: Any
) -> None:
    """What the browser sends at the end of a stroke, or of a control's move."""
    seen = explorer.view.seen if seen is None else seen
    state = {
        "mask": memoryview(seen.astype(np.uint8).tobytes()),
        "request": {"id": number, "values": values},
    }
    explorer.view.set_state(state)


def tiles(explorer: MaskExplorer) -> dict[str, np.ndarray]:
    pictures = np.frombuffer(explorer.view.tiles, np.uint8).reshape(-1, 8, 8)
    return dict(zip(explorer.view.names, pictures, strict=True))


def width(explorer: MaskExplorer) -> float:
    return np.frombuffer(explorer.view.cloud, np.float32).reshape(-1, 2).std(0).sum()


def test_it_opens_with_the_left_half_hidden_and_all_panels(explorer: MaskExplorer):
    view = explorer.view
    assert view.seen[:, 4:].all() and not view.seen[:, :4].any()
    assert view.names == ["mean of draws", "their spread", "given zeros", "truth"]
    assert np.array_equal(
        tiles(explorer)["truth"], (255 * DIGITS.x[0]).round().reshape(8, 8).numpy()
    )
    assert len(view.draws) == 8 * 64 and len(view.cloud) == 40 * 2 * 4 and len(view.marks) == 2 * 4
    assert "energy per hidden pixel" in view.facts and "mean image" in view.facts


def test_the_more_is_hidden_the_wider_the_cloud(explorer: MaskExplorer):
    widths = []
    for number, n_seen in enumerate((64, 24, 0), start=1):
        seen = np.zeros((8, 8), dtype=bool)
        seen.flat[64 - n_seen :] = True
        paint(explorer, number, seen)
        assert explorer.view.reply == number and explorer.view.caption == ""
        widths.append(width(explorer))
    assert widths[0] < widths[1] < widths[2]


def test_hidden_pixels_have_no_influence_on_what_is_drawn(generator: torch.Generator):
    decoder = briefly_trained(generator)
    other = DIGITS.x.unflatten(1, (8, 8)).clone()
    other[:, :, :4] = 1 - other[:, :, :4]
    sets = [DIGITS, gfe.data.DataSet(other.flatten(1), DIGITS.y, (8, 8), "digits", "test")]
    shown = [MaskExplorer(decoder, TRAIN, some, n_starts=1).view for some in sets]
    assert shown[0].draws == shown[1].draws and shown[0].cloud == shown[1].cloud
    assert shown[0].facts != shown[1].facts  # judged on hidden pixels


def test_the_energy_is_that_of_hidden_pixels_alone(explorer: MaskExplorer):
    hidden = ~torch.tensor(explorer.view.seen).reshape(1, 64)
    p = torch.tensor(tiles(explorer)["mean of draws"] / 255.0).reshape(1, 64).clamp(1e-3, 1 - 1e-3)
    x = DIGITS.x[:1].double()
    energy = -(x * p.log() + (1 - x) * (1 - p).log())[hidden].mean().item()
    told = float(explorer.view.facts.split("pixel ")[1].split(",")[0])
    assert told == pytest.approx(energy, abs=0.01)  # the picture has 256 levels


def test_sample_seed_and_prior_change_the_answer_and_reset_gives_it_back(explorer: MaskExplorer):
    view = explorer.view
    first = (view.tiles, view.draws)
    for number, (sample, seed, prior) in enumerate(
        ((3, 0, True), (0, 5, True), (0, 0, False)), start=1
    ):
        paint(explorer, number, sample=sample, seed=seed, prior=prior)
        assert (view.tiles, view.draws) != first
    assert width(explorer) > 0
    paint(explorer, 9, sample=0, seed=0, prior=True)
    assert (view.tiles, view.draws) == first


def test_without_a_prior_the_cloud_is_wider(explorer: MaskExplorer):
    narrow = width(explorer)
    paint(explorer, 1, prior=False)
    assert width(explorer) > 1.5 * narrow


def test_nothing_hidden_is_said_and_nobody_is_judged(explorer: MaskExplorer):
    paint(explorer, 1, np.ones((8, 8), dtype=bool))
    assert explorer.view.facts == "nothing is hidden"
    assert not any(explorer.view.notes)


def test_the_plane_holds_the_widest_directions(generator: torch.Generator):
    codes = torch.randn(200, 5, generator=generator) * torch.tensor([1.0, 9.0, 1.0, 4.0, 1.0])
    assert widest_plane(codes).axes.abs().argmax(1).tolist() == [1, 3]


def test_the_text_is_constant(explorer: MaskExplorer):
    before = repr(explorer)
    paint(explorer, 1, sample=2)
    assert repr(explorer) == before == f"Explorer('missing'): {explorer.alt_text}"


def test_what_is_no_image_is_refused(generator: torch.Generator):
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=2, generator=generator)
    circle = gfe.data.load("circle")
    with pytest.raises(ValueError, match="`samples` must be images"):
        MaskExplorer(decoder, circle, circle)
    with pytest.raises(ValueError, match="`n_draws` must be at least 8"):
        MaskExplorer(briefly_trained(generator), TRAIN, DIGITS, n_draws=4)


def test_the_table_of_the_large_run_has_a_column_for_each_kind_of_gap():
    energy = {
        "left half": {"mean image": {"mean": 0.4, "sd": 0.0}, "flow": {"mean": 0.3, "sd": 0.01}}
    }
    energy["75 % at random"] = {"mean image": {"mean": 0.5, "sd": 0.0}}
    shown = hidden_pixels({"energy": energy}, name="hidden", alt_text="A table.")
    assert isinstance(shown, Document)
    text = shown.data["text/html"]
    for word in ("left half", "75 % at random", "mean image", "<u>0.300</u>", "–", "0.010"):
        assert word in text
    assert text.count("<u>") == 1, "a spread is not compared"


def test_the_table_of_incomplete_images_sets_both_trainings_side_by_side():
    energy = {"50 % at random": {"flow": {"mean": 0.1, "sd": 0.01}}, "left half": {}}
    halves = {"flow": {"mean": 0.2, "sd": 0.02}}
    result = {"energy": energy, "incomplete": halves}
    text = incomplete(result, name="incomplete", alt_text="A table.").data["text/html"]
    numbers = ["whole images", "half of each image", "0.100", "0.010", "0.200", "0.020"]
    assert [text.index(one) for one in numbers] == sorted(text.index(one) for one in numbers)
