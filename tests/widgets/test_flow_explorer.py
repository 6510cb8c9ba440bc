import json
from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS, ask, shared_decoder

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figures import PLOTLY


@pytest.fixture
def decoder() -> gfe.MLPDecoder:
    return shared_decoder()


@pytest.fixture(scope="module")
def untouched() -> widgets.FlowExplorer:
    """One explorer for all refused calls, which must not change it."""
    return widgets.FlowExplorer(shared_decoder(), DIGITS)


def test_dragging_the_start_keeps_the_landscape_and_moves_the_path(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS)
    player = explorer.player
    ground = player.landscape
    before = np.frombuffer(player.trajectory, np.float32).reshape(*player.shape, 2)
    assert np.allclose(before[:, 0], 0, atol=1e-6)  # the origin, in float32
    ask(explorer, 1, start=[0.5, -0.25])
    after = np.frombuffer(player.trajectory, np.float32).reshape(*player.shape, 2)
    assert player.landscape == ground and player.reply == 1 and player.start == [0.5, -0.25]
    assert np.allclose(after[:, 0], [0.5, -0.25], atol=1e-5)  # float32


def test_another_sample_has_another_landscape_and_starts_at_the_origin(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS)
    ground = explorer.player.landscape
    target = explorer.player.target
    ask(explorer, 1, start=[0.5, 0.5], sample=3)
    assert explorer.player.landscape != ground and explorer.player.target != target
    assert explorer.player.start == [0.0, 0.0]
    assert "sample 3" in explorer.player.caption


def test_fixed_grids_are_steered_by_the_curvature_at_the_code(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS, solver="Euler", n_steps=7)
    ask(explorer, 1, dt=1.5)
    steps = np.frombuffer(explorer.player.steps, np.float32)
    assert explorer.player.shape == [1, 8]
    assert np.allclose(steps[:7], 1.5, rtol=1e-4)  # dt x lambda_max, in float32
    assert explorer.player.step_limit == 2.0
    note = next(control["note"] for control in explorer.player.controls if control["name"] == "dt")
    assert note.startswith("dt = ")


def test_euler_diverges_past_its_limit_and_the_player_survives(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS, solver="Euler", n_steps=200)
    ask(explorer, 1, dt=3.0)
    energies = np.frombuffer(explorer.player.energies, np.float32)
    assert np.isfinite(energies).all() and explorer.player.reply == 1
    assert energies[-1] > energies.min() + 1e-3  # it bounces instead of arriving


def test_only_the_controls_asked_for_are_shown(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS, controls=["sample"])
    assert [control["name"] for control in explorer.player.controls] == ["sample"]
    assert explorer.player.values == {"sample": 0}


def test_wrong_choices_are_refused_with_the_right_ones(decoder: gfe.MLPDecoder):
    with pytest.raises(ValueError, match="AMD and Euler"):
        widgets.FlowExplorer(decoder, DIGITS, solver="Newton")
    with pytest.raises(ValueError, match="digits"):
        widgets.FlowExplorer(decoder, gfe.data.load("circle"))


def test_training_film_keeps_evenly_spread_copies_and_shows_a_map_for_each(
    generator: torch.Generator,
):
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64, generator=generator)
    film = widgets.TrainingFilm(DIGITS.x[0], (8, 8), n_frames=5)
    gfe.fit(decoder, gfe.data.Batches(DIGITS.x, size=5), epochs=2, callbacks=[film])
    assert film.steps == [1, 5, 9, 13, 16]  # of 16 rounds, first and last among them
    first, last = (next(copy.parameters()) for copy in (film.decoders[0], film.decoders[-1]))
    assert not torch.equal(first, last)
    player = film.explorer().player
    assert player.shape == [1, 5] and player.n_maps == 5 and player.map_label == "latent space"


def test_an_empty_training_film_says_what_to_do():
    with pytest.raises(ValueError, match="callbacks"):
        widgets.TrainingFilm(DIGITS.x[0], (8, 8)).explorer()


def test_noisy_film_follows_the_noisy_image_and_measures_the_clean_one(decoder: gfe.MLPDecoder):
    clean = DIGITS.x[0]
    noisy = (clean + 0.3).clamp(0, 1)
    player = widgets.noisy_film(
        decoder, clean, noisy, (8, 8), t1=20.0, n_steps=50, n_frames=10
    ).player
    energies = np.frombuffer(player.energies, np.float32).reshape(player.shape)[0]
    distances = np.frombuffer(player.steps, np.float32).reshape(player.shape)[0]
    at_origin = gfe.reconstruct(decoder, torch.zeros(1, 4), gfe.Bernoulli())[0]
    assert (np.diff(energies) <= 1e-6).all()  # float32
    assert distances[0] == pytest.approx(
        (at_origin - clean).square().mean().sqrt().item(), abs=1 / 255
    )


def test_noisy_film_says_that_its_steps_are_too_long(decoder: gfe.MLPDecoder):
    clean = DIGITS.x[0]
    noisy = (clean + 0.3).clamp(0, 1)
    with pytest.raises(
        ValueError, match=r"`t1` of 1e\+06 .* 20 steps .* Raise `n_steps`, or lower"
    ):
        widgets.noisy_film(decoder, clean, noisy, (8, 8), t1=1e6, n_steps=20, n_frames=5)


def test_gallery_puts_each_tensor_in_a_row_and_each_sample_in_a_column():
    picture = widgets.gallery([torch.zeros(3, 4), torch.ones(3, 4)], (2, 2), gap=1)
    assert picture.shape == (8, 12)
    assert picture[1, 1] == 0 and picture[5, 1] == 255 and picture[0, 0] == 255


def test_figures_tables_and_pictures_are_shown_with_their_sentence_and_without_a_widget():
    figure = plots.curves({"a": ([1, 2, 3], [1, 4, 9])}, x_title="x", y_title="y")
    shown = widgets.show_figure(figure, "curve", "A rising curve.")
    picture = widgets.show_picture(np.zeros((4, 6), np.uint8), "black", "A black picture.")
    table = widgets.show_table(widgets.Table(("", "a"), {"first": [1]}), "table", "A number.")
    kinds = (PLOTLY, "image/png", "text/html")
    for one, kind in zip((shown, picture, table), kinds, strict=True):
        data, _ = one._repr_mimebundle_()
        assert data.keys() == {"text/plain", kind} and one.alt_text in data["text/plain"]
        assert "widget" not in vars(one)
    assert picture._repr_mimebundle_()[1] == {"image/png": {"alt": "A black picture."}}


def test_figure_goes_out_as_json_for_any_plotly_and_not_as_a_widget():
    y = np.array([1, np.nan, 1 / 3], np.float32)
    figure = plots.curves({"a": (range(3), y)}, x_title="x", y_title="y")
    data, _ = widgets.show_figure(figure, "gap", "A gap.")._repr_mimebundle_()
    # Beside a PNG plotly would draw the figure only under a mouse.
    assert data.keys() == {"text/plain", PLOTLY}
    (trace,) = json.loads(json.dumps(data[PLOTLY], allow_nan=False))["data"]
    assert trace["x"] == [0, 1, 2] and trace["y"] == [1, None, 0.333333]
    assert data[PLOTLY]["config"]["displayModeBar"] == "hover"


@pytest.mark.slow
def test_turning_does_what_a_reader_does(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS, controls=("sample", "dt"))
    explorer.turn(sample=5, dt=1.0, solver="RK4", start=(0.2, -0.1))
    asked = widgets.FlowExplorer(
        decoder, DIGITS, name="asked", solver="RK4", controls=("sample", "dt")
    )
    ask(asked, 1, sample=5, dt=1.0)
    ask(asked, 2, start=[0.2, -0.1])
    assert explorer.player.values == asked.player.values == {"sample": 5, "dt": 1.0}
    assert explorer.player.start == pytest.approx([0.2, -0.1]) and explorer.player.names == ["RK4"]
    assert explorer.player.trajectory == asked.player.trajectory
    assert explorer.player.landscape == asked.player.landscape


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sample": 40}, "`sample` must lie between 0 and 39, got 40"),
        ({"sample": 1.5}, "`sample` must be"),
        ({"solver": "newton"}, "`solver` must be one of 'AMD and Euler'"),
        ({"dt": 9.0}, "`dt` must lie between 0.05 and 3"),
        ({"speed": 1}, "`values` must be 'sample'"),
        ({"start": (1.0,)}, r"`start` must be \(x, y\)"),
    ],
)
def test_a_wrong_turn_names_the_control_and_changes_nothing(
    untouched: widgets.FlowExplorer, values: dict[str, Any], words: str
):
    player = untouched.player
    before = (player.trajectory, player.landscape, dict(player.values), list(player.start))
    with pytest.raises((ValueError, TypeError), match=words):
        untouched.turn(**values)
    now = (player.trajectory, player.landscape, dict(player.values), list(player.start))
    assert now == before


def test_code_says_what_a_reader_cannot_see(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(
        decoder, DIGITS, loss=gfe.Gaussian(), n_steps=9, controls=("sample",)
    )
    made, turned, shown = explorer.player.code.split("\n")
    assert made == "explorer = gfe.widgets.FlowExplorer(decoder, samples, loss=loss, n_steps=9)"
    hidden = "solver='AMD and Euler', dt=0.5, armijo_slope=0.0001"
    assert (turned, shown) == (f"explorer.turn({hidden}, {{values}})", "explorer")


def test_thumbnails_are_of_forty_samples_with_the_chosen_one_among_them(
    decoder: gfe.MLPDecoder,
):
    samples = gfe.data.load("digits", split="test")
    for sample, first in ((39, 0), (60, 60), (len(samples) - 1, len(samples) - 40)):
        player = widgets.FlowExplorer(decoder, samples, sample=sample, name=str(sample)).player
        assert player.thumbnail_shape == [40, 8, 8]
        assert player.thumbnail_rows == [*range(first, first + 40)]
        levels = np.frombuffer(player.thumbnails, np.uint8).reshape(40, 64)
        shown = samples.x[first : first + 40]
        assert (levels == (shown * 255).round().to(torch.uint8).numpy()).all()
        assert player.thumbnail_labels[sample - first] == f"label {int(samples.y[sample])}"
