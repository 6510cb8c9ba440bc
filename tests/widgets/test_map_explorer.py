"""Maps of points, the explorer that shows them, and what lies between two codes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from explorers import DIGITS, shared_decoder
from sklearn.neighbors import NearestNeighbors

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.methods import gon
from gfe_core.widgets.map.between_explorer import between, walked
from gfe_core.widgets.map.explorer import Mapped
from gfe_core.widgets.map.layouts import layouts_of, nearest, turned

LEVELS = (2, 8)


@pytest.fixture
def decoder() -> gfe.MLPDecoder:
    return shared_decoder()


def two_heaps(n: int = 60) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(2 * n, 5))
    return points + np.repeat([0.0, 20.0], n)[:, None]


def test_every_layout_keeps_two_heaps_apart_and_fits_the_view():
    layouts = layouts_of(two_heaps(), LEVELS)
    for layout in (layouts.pca, *layouts.tsne):
        assert np.abs(layout).max() == pytest.approx(1.0, abs=1e-5)  # float32
        assert (nearest(layout, 1)[:60] < 60).all() and (nearest(layout, 1)[60:] >= 60).all()


def test_layouts_are_the_same_every_time():
    assert np.array_equal(
        layouts_of(two_heaps(), LEVELS).tsne, layouts_of(two_heaps(), LEVELS).tsne
    )


def test_perplexities_out_of_order_or_range_are_refused():
    for wrong in ((8, 2), (2, 2), (0, 2), (2, 120)):
        with pytest.raises(ValueError, match="must increase within"):
            layouts_of(two_heaps(), wrong)


def test_a_layout_is_turned_and_mirrored_back_but_not_stretched():
    points = np.random.default_rng(0).normal(size=(30, 2))
    mirror = np.array([[0.6, 0.8], [0.8, -0.6]])
    back = turned(2 * points @ mirror, toward=points)
    assert np.allclose(back, 2 * (points - points.mean(0)), atol=1e-5)  # float32


def test_nearest_are_those_of_scikit_learn():
    points = np.random.default_rng(0).normal(size=(50, 3))
    known = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(return_distance=False)
    assert np.array_equal(nearest(points, 5), known)


def test_the_map_sends_codes_pixels_and_noise_at_once(decoder: gfe.MLPDecoder):
    explorer = widgets.MapExplorer(decoder, DIGITS, perplexities=LEVELS, perplexity=8, sample=3)
    shown = explorer.map
    n = len(DIGITS)
    assert shown.names == ["codes", "pixels", "noise"] == list(explorer.layouts)
    layouts = np.frombuffer(shown.layouts, np.float32).reshape(3, 2, n, 2)
    assert np.array_equal(layouts[2], explorer.layouts["noise"].tsne)
    assert np.frombuffer(shown.nearest, np.uint16).reshape(3, n, 5).max() < n
    assert shown.labels == DIGITS.y.tolist()
    assert len(shown.images) == len(shown.drawn) == DIGITS.x.numel()
    assert (np.frombuffer(shown.excess, np.float32) > 0).all()
    assert shown.first == {"map": 0, "frame": 1, "point": 3, "pair": [0, 1], "step": 0}


def test_maps_say_what_they_cannot_show(decoder: gfe.MLPDecoder):
    with pytest.raises(ValueError, match="must be one of"):
        widgets.MapExplorer(decoder, DIGITS, perplexities=LEVELS, perplexity=3)
    with pytest.raises(ValueError, match="at least 3 samples with a code"):
        widgets.MapExplorer(decoder, DIGITS.take(2))
    with pytest.raises(ValueError, match="at least 2 samples with a code"):
        widgets.BetweenExplorer(decoder, DIGITS.take(1))
    with pytest.raises(ValueError, match="`pair` must be the row of a sample that is shown, 0 to"):
        widgets.BetweenExplorer(decoder, DIGITS, pair=(0, 99))


DEGENERATE = {
    "all the same": np.full((30, 8), 0.1),
    "equal up to rounding": np.full((30, 8), 1e6) + 1e-4 * np.eye(30, 8),
    "two heaps of equal points": np.repeat(np.eye(2, 8), 15, 0),
    "one apart": np.eye(30, 8)[:, ::-1] * (np.arange(30) == 7)[:, None],
    "one feature": np.arange(30.0)[:, None],
    "very small": 1e-38 * np.random.default_rng(0).normal(size=(30, 8)),
    "very large": 1e20 * np.random.default_rng(0).normal(size=(30, 8)),
    "three": np.eye(3, 8),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_points_that_hardly_differ_are_laid_out_all_the_same(name: str):
    points = DEGENERATE[name].astype(np.float32)
    layouts = layouts_of(points, [2, 10][: 1 + (len(points) > 10)])
    for layout in (layouts.pca, *layouts.tsne):
        size = np.abs(layout).max()
        flat = name in ("all the same", "equal up to rounding")
        assert np.isfinite(layout).all() and size == pytest.approx(0 if flat else 1, abs=1e-5)
    assert nearest(points, 5).shape == (len(points), 5)


def shown_labels(decoder: gfe.MLPDecoder, y: torch.Tensor) -> list[str]:
    shown = widgets.BetweenExplorer(decoder, replace(DIGITS, y=y)).map
    return [shown.class_names[label] for label in shown.labels]


def test_whatever_is_known_of_samples_becomes_a_mark(decoder: gfe.MLPDecoder):
    n = torch.arange(40)
    assert shown_labels(decoder, n % 30) == [str(k % 30) for k in range(40)]
    assert shown_labels(decoder, n % 3 - 1) == [str(k % 3 - 1) for k in range(40)]
    assert shown_labels(decoder, torch.zeros(40).long()) == ["0"] * 40
    assert shown_labels(decoder, 10**9 * (n % 2)) == [str(10**9 * (k % 2)) for k in range(40)]
    tenths = [name[0] for name in shown_labels(decoder, n / 10)]
    assert tenths == [str(k // 4) for k in range(40)]
    several = torch.stack([n / 10, -n / 7], 1)
    assert [name[0] for name in shown_labels(decoder, several)] == tenths
    assert shown_labels(decoder, torch.full((40,), 2.5)) == ["0: 2.5 to 2.5"] * 40
    unknown = torch.where(n == 3, torch.nan, n / 10)
    assert shown_labels(decoder, unknown)[3] == "?: unknown"


def test_samples_with_missing_features_are_left_out_by_name(decoder: gfe.MLPDecoder):
    x = DIGITS.x.clone()
    x[0, 3] = torch.nan
    x[5] = torch.inf
    samples = replace(DIGITS, x=x)
    explorer = widgets.MapExplorer(decoder, samples, perplexities=LEVELS, perplexity=2, sample=6)
    shown = explorer.map
    assert shown.rows == [1, 2, 3, 4, *range(6, 40)] and shown.rows[shown.first["point"]] == 6
    assert "without rows 0, 5" in shown.title and len(explorer.codes) == 38
    assert shown.labels == DIGITS.y[shown.rows].tolist()
    assert len(shown.images) == 38 * 64
    with pytest.raises(ValueError, match="0 has missing features or no code"):
        widgets.BetweenExplorer(decoder, samples, pair=(0, 1))
    assert widgets.BetweenExplorer(decoder, samples).map.pair == [0, 1]


def test_few_samples_have_a_map_of_fitting_perplexities(decoder: gfe.MLPDecoder):
    shown = widgets.MapExplorer(decoder, DIGITS.take(12)).map
    assert shown.perplexities == [2, 5] and shown.frame == 1
    assert widgets.MapExplorer(decoder, DIGITS.take(3)).map.perplexities == [2]


def test_codes_that_are_all_the_same_have_a_map(decoder: gfe.MLPDecoder):
    same = replace(DIGITS, x=DIGITS.x[:1].expand(40, 64).clone())
    explorer = widgets.MapExplorer(decoder, same, perplexities=LEVELS, perplexity=2)
    codes = np.frombuffer(explorer.map.layouts, np.float32).reshape(3, 2, 40, 2)[0]
    assert not codes.any()
    curves = np.frombuffer(widgets.BetweenExplorer(decoder, same).map.curves, np.float32)
    assert np.isfinite(curves).all()


def test_curves_are_drawn_as_curves(generator: torch.Generator):
    line = gfe.data.load("line").take(12)
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=2, generator=generator)
    explorer = widgets.MapExplorer(decoder, line, loss=gfe.Gaussian())
    shown = explorer.map
    assert shown.names == ["codes", "numbers", "noise"] and shown.noun == "sample"
    pictures = np.frombuffer(shown.images, np.uint8).reshape(12, *shown.image_shape)
    assert (pictures.max(1) == 255).all(), "a curve passes every column"
    highest = int(line.x[:, 0].argmax())
    assert pictures[highest, 0, 0] == 255 and not np.array_equal(pictures[0], pictures[1])
    between = widgets.BetweenExplorer(decoder, line, loss=gfe.Gaussian()).map
    assert len(between.mixes) == 2 * between.n_mix * shown.image_shape[0] * shown.image_shape[1]


def test_between_ends_at_the_reconstructions_and_mixes_pixels_straight(decoder: gfe.MLPDecoder):
    x = DIGITS.x[:2]
    loss = gfe.Bernoulli()
    found = gfe.encode(decoder, x)
    pictures, curves = between(Mapped(decoder, DIGITS, loss), x, walked(torch.lerp, found.z, 5))
    ends = gfe.reconstruct(decoder, found)
    assert torch.allclose(pictures[0][[0, -1]], ends, atol=1e-6)  # float32
    assert torch.allclose(pictures[1][2], x.mean(0), atol=1e-6)
    excess = found.energy - loss.floor(x)
    for curve, place, sample in (
        (curves[0], 0, 0),
        (curves[1], -1, 1),
        (curves[2], 0, 0),
        (curves[2], -1, 1),
    ):
        assert curve[place] == pytest.approx(
            excess[sample].item(), abs=1e-5
        )  # float32, batches of another size


def test_a_new_pair_from_the_browser_is_answered(decoder: gfe.MLPDecoder):
    explorer = widgets.BetweenExplorer(decoder, DIGITS, pair=(3, 4), n_mix=5)
    shown = explorer.map
    before = shown.mixes
    assert shown.mixed == [3, 4] and len(before) == 2 * 5 * 64
    shown.set_state({"pair": [7, 4]})
    assert shown.mixed == [7, 4] and shown.mixes != before


def test_an_arc_is_walked_in_latent_space_and_lies_bent_on_the_map(decoder: gfe.MLPDecoder):
    how = {"loss": gon.SQUARES, "encoder": gon.Origin(), "pair": (3, 4), "n_mix": 5}
    straight, arc = (
        widgets.BetweenExplorer(decoder, DIGITS, **how, walk=w) for w in (torch.lerp, gon.slerp)
    )
    assert (
        torch.equal(arc.codes, gon.Origin()(decoder, DIGITS.x).z.detach())
        and straight.map.way == b""
    )
    flat = np.frombuffer(arc.map.flat, np.float32).reshape(-1, 2)
    way = np.frombuffer(arc.map.way, np.float32).reshape(5, 2)
    assert np.allclose(
        way[[0, -1]], flat[[3, 4]], atol=1e-4
    )  # a least squares fit of float32 points
    middle = gfe.reconstruct(decoder, gon.slerp(arc.codes[3:4], arc.codes[4:5], 0.5), gon.SQUARES)
    shown = np.frombuffer(arc.map.mixes, np.uint8).reshape(2, 5, 64)[0, 2]
    assert (
        np.abs(shown / 255 - middle.clamp(0, 1).numpy()[0]).max() < 0.01
        and arc.map.mixes != straight.map.mixes
    )


def test_the_text_is_constant(decoder: gfe.MLPDecoder):
    maps = widgets.MapExplorer(decoder, DIGITS, perplexities=LEVELS, perplexity=2)
    way = widgets.BetweenExplorer(decoder, DIGITS)
    for explorer in (maps, way):
        assert repr(explorer) == f"Explorer({explorer.name!r}): {explorer.alt_text}"
