"""Every view meets what strangers pass: it shows it, or says in a sentence what to pass instead."""

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gfe_core as gfe
import gfe_core.widgets
from gfe_core.data import shapes
from gfe_core.methods.narrowing import Constraint, Narrowing

pytestmark = pytest.mark.usefixtures("unchecked")

widgets: Any = gfe_core.widgets  # a stranger's editor checks no types
DIGITS = gfe.data.load("digits", split="test").take(6)
GAPS = DIGITS.x.clone()
GAPS[2, 0] = torch.nan
NOTHING = torch.full_like(DIGITS.x, torch.nan)
FACTORS = torch.linspace(0, 1, 12).reshape(6, 2)


def decoder_of(latent_dim: int = 2, data_dim: int = 64) -> Any:
    source = torch.Generator().manual_seed(0)
    return gfe.MLPDecoder(latent_dim=latent_dim, hidden=(8,), data_dim=data_dim, generator=source)


def siren(decoder: Any, samples: Any) -> Any:
    own = gfe.SirenDecoder(latent_dim=decoder.latent_dim, hidden=(8,), image_shape=(8, 8))
    return widgets.SirenExplorer(own, samples)


def traversal(decoder: Any, samples: Any) -> Any:
    codes = torch.zeros(len(samples), decoder.latent_dim)
    if isinstance(samples, gfe.data.DataSet):
        samples = replace(samples, y=FACTORS[: len(samples)])
    return widgets.TraversalExplorer({"one": (decoder, codes)}, samples, ["a", "b"])


def watched(callback: Any, decoder: Any) -> Any:
    """Train for a moment under the eyes of a callback."""
    gfe.fit(decoder, gfe.data.Batches(DIGITS.x, size=3), epochs=1, callbacks=[callback])
    return callback


def first_row(samples: Any) -> Any:
    """Return the sample that the table's gap is in, where there is one."""
    x = getattr(samples, "x", samples)
    return x[min(2, len(x) - 1)] if len(x) else x


def film(decoder: Any, samples: Any) -> Any:
    return watched(widgets.TrainingFilm(first_row(samples), (8, 8), n_frames=2), decoder).explorer()


def early(decoder: Any, samples: Any) -> Any:
    noisy = first_row(samples)
    return widgets.noisy_film(decoder, DIGITS.x[0], noisy, (8, 8), t1=1.0, n_steps=8, n_frames=4)


def histogram(decoder: Any, samples: Any) -> Any:
    return watched(widgets.GradientHistogram(samples), decoder).explorer("histogram", "Bars.")


def side(decoder: Any, samples: Any) -> Any:
    pairs = {"flow": (decoder, gfe.encode)}
    watching = widgets.SideBySide(samples, (8, 8), pairs)
    return watched(watching, decoder).explorer("side", "Curves.")


def preview(decoder: Any, samples: Any) -> Any:
    progress = widgets.Progress("preview", preview=widgets.preview_of(samples, (8, 8)))
    watched(progress, decoder)
    assert "Preview failed" not in progress.page.value
    return progress


def mask(decoder: Any, samples: Any) -> Any:
    return widgets.MaskExplorer(decoder, DIGITS, samples, n_draws=8)


def mask_train(decoder: Any, samples: Any) -> Any:
    return widgets.MaskExplorer(decoder, samples, DIGITS, n_draws=8)


VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "FlowExplorer": lambda d, s: widgets.FlowExplorer(d, s, n_steps=3),
    "RaceExplorer": lambda d, s: widgets.RaceExplorer(d, s),
    "StiffnessExplorer": lambda d, s: widgets.StiffnessExplorer(d, s),
    "MomentumExplorer": lambda d, s: widgets.MomentumExplorer(d, s),
    "ArmijoExplorer": lambda d, s: widgets.ArmijoExplorer(d, s),
    "OriginExplorer": lambda d, s: widgets.OriginExplorer(
        {"unrolled": {"1": decoder_of(), "2": d}}, s
    ),
    "MaskExplorer": mask,
    "MaskExplorer, train": mask_train,
    "AdjointExplorer": lambda d, s: widgets.AdjointExplorer(d, s, n_samples=1),
    "SpectrumExplorer": lambda d, s: widgets.SpectrumExplorer(d, s, loss=gfe.Bernoulli()),
    "MapExplorer": lambda d, s: widgets.MapExplorer(d, s),
    "BetweenExplorer": lambda d, s: widgets.BetweenExplorer(d, s, n_mix=3),
    "SirenExplorer": siren,
    "TraversalExplorer": traversal,
    "FilmExplorer, TrainingFilm": film,
    "FilmExplorer, noisy_film": early,
    "GradientHistogram": histogram,
    "SideBySide": side,
    "preview_of": preview,
    "gallery": lambda _, s: widgets.gallery([s], (8, 8)),
}
SLOW = {"AdjointExplorer": pytest.mark.slow}
WITHOUT_SAMPLES = {"AxesExplorer", "CurveExplorer", "StaircaseExplorer", "Explorer"}
"""Views that show runs, a given point, a training run, or any given widget."""

KINDS: dict[str, tuple[int, Any]] = {
    "one latent": (1, DIGITS),
    "one sample": (2, DIGITS.take(1)),
    "no sample": (2, DIGITS.take(0)),
    "a gap": (2, replace(DIGITS, x=GAPS)),
    "nothing but gaps": (2, replace(DIGITS, x=NOTHING)),
    "a tensor": (2, DIGITS.x),
    "a tensor with a gap": (2, GAPS),
    "a tensor of one sample": (2, DIGITS.x[:1]),
    "an empty tensor": (2, DIGITS.x[:0]),
    "one sample as a tensor": (2, DIGITS.x[0]),
}

TWO = r"`decoder` must have at least two latents, the directions of .*, got 1\. Train one with"
NONE = r"must hold at least one sample, got none\. Pass more, such as"
FEW = r"must hold at least [23] samples.*, got 1\. Pass more, such as"
GAP = (
    r"must be complete, but row 2 of 6 has .*Leave them out: `(\w+) = \1\[\1\.x\.isfinite\(\)\.all"
)
GAP_IN_TENSOR = r"but row 2 of 6 has missing.*Leave them out: `(\w+) = \1\[\1\.isfinite\(\)\.all"
ALL = r"must be complete, but rows 0, 1, 2, 3, 4, \.\.\. of 6 have .*No sample is complete: pass"
FLAT = r"must .*, got .*\(64,\)\.|got one of shape \(64,\)\."
LOST = r"got none; rows 0, 1, 2, 3, 4, \.\.\. have missing features or no code\. Pass more"
PIXELS = r"must be a complete image, but \d+ of its 64 pixels are missing or infinite\. Pick a row"
ONE = r"must be one image of 64 floats, got .*\. Pick a row: `samples\.x\[0\]`"
NO_FACTORS = r"must be a DataSet, whose y holds factors, got Tensor .*\. Make one: `gfe"

REFUSED = {
    "one latent": TWO,
    "no sample": NONE,
    "a gap": GAP,
    "nothing but gaps": ALL,
    "a tensor with a gap": GAP_IN_TENSOR,
    "an empty tensor": NONE,
    "one sample as a tensor": FLAT,
}
"""What a view says that needs two latents and complete samples, and takes one sample or many."""

SHOWN = ""
GAPS_SHOWN = {"a gap": SHOWN, "a tensor with a gap": SHOWN}
MAPS = {
    **GAPS_SHOWN,
    "one latent": SHOWN,
    "one sample": FEW,
    "a tensor of one sample": FEW,
    "nothing but gaps": LOST,
}
IMAGES = {
    **dict.fromkeys(("a gap", "nothing but gaps", "a tensor with a gap"), PIXELS),
    **dict.fromkeys(("no sample", "an empty tensor", "one sample as a tensor"), ONE),
}
TRAINING = {"one latent": SHOWN}
OTHERWISE: dict[str, dict[str, str]] = {
    "MaskExplorer, train": {"one sample": FEW, "a tensor of one sample": FEW},
    "AdjointExplorer": {"one latent": SHOWN},
    "SpectrumExplorer": {"one latent": SHOWN, "nothing but gaps": SHOWN, **GAPS_SHOWN},
    "MapExplorer": MAPS,
    "BetweenExplorer": MAPS,
    "SirenExplorer": {"one latent": SHOWN},
    "TraversalExplorer": {
        "one latent": SHOWN,
        "a gap": SHOWN,  # it shows what codes draw, and never looks at the samples
        "nothing but gaps": SHOWN,
        **dict.fromkeys((kind for kind in KINDS if "tensor" in kind), NO_FACTORS),
    },
    "FilmExplorer, TrainingFilm": IMAGES,
    "FilmExplorer, noisy_film": IMAGES,
    "GradientHistogram": TRAINING,
    "SideBySide": {
        **TRAINING,
        **GAPS_SHOWN,  # an encoder may take them, and a warning counts those without an energy
        "nothing but gaps": r"must hold an observed feature, got 6 samples of NaN\. Check",
    },
    "preview_of": TRAINING,
    "gallery": {"one latent": SHOWN, "nothing but gaps": SHOWN, **GAPS_SHOWN},
}
"""Outcome for the views that differ from `REFUSED`."""


@pytest.mark.filterwarnings("ignore:.*samples have no energy")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", [pytest.param(view, marks=SLOW.get(view, ())) for view in VIEWS])
def test_a_view_shows_what_a_stranger_passes_or_says_what_to_pass(
    view: str, kind: str, tmp_path: Path
):
    latent_dim, samples = KINDS[kind]
    sentence = OTHERWISE.get(view, {}).get(kind, REFUSED.get(kind, SHOWN))
    if sentence:
        with pytest.raises((TypeError, ValueError), match=sentence) as caught:
            VIEWS[view](decoder_of(latent_dim), samples)
        assert str(caught.value).startswith("`"), "an argument comes first"
        return
    shown = VIEWS[view](decoder_of(latent_dim), samples)
    if hasattr(shown, "save_html"):
        assert shown.save_html(tmp_path / "shown.html").stat().st_size > 1000


def explorer_names() -> set[str]:
    named = {name for name in widgets.__all__ if inspect.isclass(getattr(widgets, name))}
    return {name for name in named if name.endswith("Explorer")}


def arguments_of(kind: Any) -> set[str]:
    return {*inspect.signature(kind.__init__).parameters}


def test_every_view_is_in_the_table():
    explorers = explorer_names()
    assert explorers - WITHOUT_SAMPLES == {name.partition(",")[0] for name in VIEWS} & explorers


JUDGES_ITSELF = {
    "MaskExplorer": "hidden pixels are judged by their cross-entropy",
    "SirenExplorer": "a step from the origin is one on squared errors",
    "StaircaseExplorer": "its rule holds the loss",
}
"""Views that encode, and take no loss."""


def test_every_view_that_encodes_takes_a_loss():
    classes = {name: getattr(widgets, name) for name in explorer_names()}
    without = {
        name
        for name, kind in classes.items()
        if not {"decoder", "decoders", "sirens", "models", "rule"}.isdisjoint(arguments_of(kind))
        and "loss" not in arguments_of(kind)
    }
    assert without == {*JUDGES_ITSELF}


ANY_UNIT = gfe.data.DataSet(3 * DIGITS.x - 1, DIGITS.y, (8, 8), "far", "test")
ADVISE = [name for name in VIEWS if name.endswith("Explorer") and name not in JUDGES_ITSELF]
ADVISE = [name for name in ADVISE if name not in {"SpectrumExplorer", "TraversalExplorer"}]
"""Views whose default is a cross-entropy, or in one case squared errors."""


@pytest.mark.parametrize("view", [pytest.param(view, marks=SLOW.get(view, ())) for view in ADVISE])
def test_a_view_follows_the_advice_of_its_own_error(view: str):
    kind = getattr(widgets, view)
    given = {"unrolled": {"1": decoder_of()}} if view == "OriginExplorer" else decoder_of()
    if view != "OriginExplorer":  # squares are its default, which any unit suits
        with pytest.raises(ValueError, match=r"use `loss=gfe\.Gaussian\(\)`"):
            kind(given, ANY_UNIT)
    shown = kind(given, ANY_UNIT, loss=gfe.Gaussian())
    assert getattr(shown, "loss", gfe.Gaussian()) == gfe.Gaussian()


def test_a_preview_shows_data_of_any_unit_with_the_loss_of_its_training():
    previews: list[Any] = []
    show = widgets.preview_of(ANY_UNIT.x, (8, 8), loss=gfe.Gaussian())
    batches = gfe.data.Batches(ANY_UNIT.x, size=3)
    watch = [lambda report: previews.append(show(report))]
    gfe.fit(decoder_of(), batches, epochs=1, loss=gfe.Gaussian(), callbacks=watch)
    assert previews[0].shape == (20, 60)


@pytest.mark.parametrize("argument", ["train", "samples"])
def test_a_mask_takes_grey_values_alone_and_advises_no_loss(argument: str):
    given = {"train": DIGITS, "samples": DIGITS, argument: ANY_UNIT}
    with pytest.raises(ValueError, match=rf"`{argument}` must lie in \[0, 1\], .* Rescale them"):
        widgets.MaskExplorer(decoder_of(), **given)


def test_every_decoder_of_a_view_is_looked_at_and_not_the_first_alone():
    other = (decoder_of(data_dim=9), gfe.encode)
    fits = r"must have shape \(batch, 9\) for this decoder"
    with pytest.raises(ValueError, match=fits):
        widgets.MaskExplorer(decoder_of(), DIGITS, DIGITS, others={"other": other}, n_draws=8)
    with pytest.raises(ValueError, match=fits):
        widgets.OriginExplorer({"unrolled": {"1": decoder_of(), "2": other[0]}}, DIGITS)
    with pytest.raises(ValueError, match=fits):
        traversal(other[0], DIGITS)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ({}, r"`runs` and `axes` must each hold at least one, got 0 and 2\. Train one first"),
        ({"a": {"u": [], "s": [], "e": []}}, r"'a' has {'u': 0, 's': 0, 'e': 0}\. Leave a run"),
        ({"a": {"u": [1], "s": [1, 2], "e": [1]}}, r"`runs` must hold as many .* 's': 2"),
        (DIGITS, "`runs` must be a dict with names, got DataSet"),
    ],
    ids=["none", "empty", "uneven", "samples"],
)
def test_runs_are_compared_where_they_have_points(runs: Any, sentence: str):
    with pytest.raises((TypeError, ValueError), match=sentence):
        widgets.AxesExplorer(runs, ("u", "s"), "e", name="axes", alt_text="Runs.")


def test_numbers_of_a_run_that_are_not_known_are_said_to_be_so():
    runs = {"a": {"u": torch.tensor([1.0, 2.0]), "e": [0.3, torch.nan]}}
    view = widgets.AxesExplorer(runs, ("u",), "e", name="axes", alt_text="Runs.").view
    assert "1: 0.3000</td>" in view.changes[0]["words"]
    assert "2: not finite</td>" in view.changes[0]["words"]
    assert view.figure["data"][0]["y"] == [0.3, None]


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (DIGITS, "`image` must be an array of uint8, .*, got DataSet. Of a sample it is"),
        (DIGITS.x[0], "`image` must be .*, got Tensor of shape .*, torch.float32"),
        (GAPS.numpy(), "`image` must be .*, got ndarray of shape .*, float32"),
        (np.zeros((0, 8), np.uint8), r"`image` must hold a pixel, got \(0, 8\). Of a sample"),
    ],
    ids=["samples", "a tensor", "floats", "empty"],
)
def test_a_painter_says_which_picture_it_takes(image: Any, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        widgets.MaskPainter(image)


def test_codes_and_factors_that_are_not_known_explain_nothing_and_are_refused():
    z = torch.zeros(6, 2)
    with pytest.raises(ValueError, match="`z` and `factors` must be finite"):
        widgets.explained(z / 0, FACTORS)
    with pytest.raises(ValueError, match=r"`z` must hold at least one sample, got none\. Pass"):
        widgets.explained(z[:0], FACTORS[:0])
    gaps = replace(DIGITS, y=FACTORS / 0)
    with pytest.raises(ValueError, match=r"`samples` must have finite factors y.*Leave these rows"):
        widgets.TraversalExplorer({"one": (decoder_of(), z)}, gaps, ["a", "b"])


def test_a_staircase_takes_a_training_and_one_gate_is_enough():
    gate = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    rule = Narrowing(lambda *_: None, Constraint(1.0), gate)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`rule` must be a `Narrowing`.*, got DataSet"):
        widgets.StaircaseExplorer(DIGITS, gfe.fit, 1)
    with pytest.raises(TypeError, match=r"`train` must be a function .*Write `functools.partial"):
        widgets.StaircaseExplorer(rule, DIGITS, 1)
    with pytest.raises(ValueError, match="`n_gates` must be at least 1, got 0"):
        widgets.StaircaseExplorer(rule, gfe.fit, 0)
    assert widgets.StaircaseExplorer(rule, gfe.fit, 1).view.n_gates == 1


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 8, 8)])
def test_views_show_decoders_whose_samples_are_no_rows(shape: tuple[int, ...]):
    net = nn.Sequential(nn.Linear(3, math.prod(shape)), nn.Unflatten(1, shape))
    decoder = gfe.wrap(net, latent_dim=3, data_shape=shape)
    data = shapes.make(12, side=8, colour=shape[0] == 3)
    film = widgets.TrainingFilm(data.x[0], data.image_shape, n_frames=2)
    preview = widgets.preview_of(data.x[:4], data.image_shape)
    previews: list[Any] = []
    watch = [film, lambda report: previews.append(preview(report))]
    gfe.fit(decoder, data, epochs=2, callbacks=watch)
    models = {"a": (decoder, gfe.encode(decoder, data).z)}
    shown = [
        film.explorer().player,
        widgets.FlowExplorer(decoder, data).player,
        widgets.FlowExplorer(decoder, data.x.reshape(-1, *shape)).player,
        widgets.MaskExplorer(decoder, data, data, n_starts=1, n_draws=8).view,
        widgets.MapExplorer(decoder, data, perplexities=(2,)).map,
        widgets.TraversalExplorer(models, data, [str(k) for k in range(data.y.shape[1])]).view,
    ]
    picture = [8, 8, 3] if shape[0] == 3 else [8, 8]
    assert [view.image_shape for view in shown] == [picture] * len(shown)
