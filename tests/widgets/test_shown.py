"""What strangers give to a view: shown, or refused in one sentence."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gfe_core as gfe
import gfe_core.widgets
from gfe_core.widgets.kit.shown import complete, shown_samples

pytestmark = pytest.mark.usefixtures("unchecked")

widgets: Any = gfe_core.widgets  # a stranger's editor checks no types
DIGITS = gfe.data.load("digits", split="test").take(6)


def perceptron(data_dim: int = 64) -> gfe.MLPDecoder:
    source = torch.Generator().manual_seed(0)
    return gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=data_dim, generator=source)


DECODER: Any = perceptron()
SIREN = gfe.SirenDecoder(latent_dim=2, hidden=(8,), image_shape=(8, 8))
LANDSCAPES = (
    widgets.FlowExplorer,
    widgets.RaceExplorer,
    widgets.StiffnessExplorer,
    widgets.MomentumExplorer,
    widgets.ArmijoExplorer,
)
VIEWS: dict[str, Callable[..., Any]] = {
    **{view.__name__: view for view in LANDSCAPES},
    "OriginExplorer": lambda d, s, **k: widgets.OriginExplorer({"unrolled": {"1": d}}, s, **k),
    "MaskExplorer": lambda d, s, **k: widgets.MaskExplorer(d, DIGITS, s, n_draws=8, **k),
    "AdjointExplorer": lambda d, s, **k: widgets.AdjointExplorer(d, s, n_samples=2, **k),
}
IN_ROWS = [name for name in VIEWS if name != "AdjointExplorer"]

every_view = pytest.mark.parametrize("name", VIEWS)


@every_view
@pytest.mark.parametrize(
    ("decoder", "samples", "sentence"),
    [
        (perceptron(data_dim=9), DIGITS, r"must have shape \(batch, 9\)"),
        (DECODER, replace(DIGITS, x=300 * DIGITS.x), r"must lie in \[0, 1\]"),
        (DECODER, "digits", "must be a DataSet"),
        (gfe.MLPDecoder, DIGITS, "got the class MLPDecoder"),
        (DIGITS, DECODER, "`decoder` must be a decoder"),
    ],
    ids=["other size", "greys of 300", "a word", "a class", "swapped"],
)
def test_what_a_view_cannot_show_is_refused_in_one_sentence(
    name: str, decoder: Any, samples: Any, sentence: str
):
    if name == "OriginExplorer" and "lie in" in sentence:
        pytest.skip("its squared errors take any number")
    with pytest.raises((TypeError, ValueError), match=sentence):
        VIEWS[name](decoder, samples)


@pytest.mark.parametrize("name", IN_ROWS)
def test_rows_that_are_not_there_are_refused(name: str):
    with pytest.raises(ValueError, match="`sample` must lie between 0 and 5, got 99"):
        VIEWS[name](DECODER, DIGITS, sample=99)
    with pytest.raises(TypeError, match="`sample` must be a whole number"):
        VIEWS[name](DECODER, DIGITS, sample="first")


@pytest.mark.parametrize("form", [DIGITS.x, DIGITS.x.double().numpy()], ids=["tensor", "array"])
def test_bare_samples_are_shown_as_the_decoder_shows_its_own(form: Any):
    shown = shown_samples(DECODER, form)
    assert torch.equal(shown.x, DIGITS.x) and shown.image_shape == (8, 8)
    assert widgets.FlowExplorer(DECODER, form, n_steps=2).player.caption.startswith("samples")


def test_curves_are_no_images_but_may_have_gaps():
    line = gfe.data.load("line").take(4)
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=2)
    with pytest.raises(ValueError, match="`samples` must be images; 'line' has no image shape"):
        widgets.FlowExplorer(decoder, line, loss=gfe.Gaussian())
    x = line.x.clone()
    x[0, 0] = torch.nan
    holed = replace(line, x=x)
    assert widgets.SpectrumExplorer(decoder, holed, loss=gfe.Gaussian()).view.curves


@pytest.mark.parametrize("kind", ["array", "array of images", "frame", "frame of pandas' types"])
@pytest.mark.parametrize("gap", [np.nan, np.inf])
def test_line_that_leaves_incomplete_samples_out_fits_what_was_passed(kind: str, gap: float):
    x = DIGITS.x.numpy().copy()
    x[2, 30] = gap
    given: Any = x.reshape(6, 8, 8) if "images" in kind else x
    if "frame" in kind:
        given = pd.DataFrame(x)
        given = given.convert_dtypes() if "types" in kind else given
    with pytest.raises(ValueError, match="row 2 of 6 has missing or infinite") as refusal:
        complete(torch.from_numpy(x), given, "samples")
    line = str(refusal.value).split("Leave them out: `samples = ")[1].split("`")[0]
    kept = np.asarray(eval(line, {"np": np, "samples": given}), np.float32)
    assert np.array_equal(kept.reshape(5, 64), x[[0, 1, 3, 4, 5]])


def test_other_helpers_refuse_in_words():
    calls = {
        "`rows` must be tensors of one shape": lambda: widgets.gallery([DIGITS.x[:, :9]], (8, 8)),
        "`image_shape` must be a list": lambda: widgets.gallery([DIGITS.x], 8),
        "`clean` must be one image": lambda: widgets.noisy_film(
            DECODER, DIGITS.x, DIGITS.x[0], (8, 8), t1=1.0
        ),
        "`sirens` must be a `SirenDecoder`": lambda: widgets.SirenExplorer(DECODER, DIGITS),
        "`models` must be names with": lambda: widgets.TraversalExplorer({"a": SIREN}, DIGITS, []),
        "`competitors` must be a dict": lambda: widgets.SideBySide(DIGITS.x, (8, 8), DECODER),
        "`every` must be a number": lambda: widgets.Progress("a", every="often"),
        "`title` must be a string": lambda: widgets.Progress(None),
        "array of uint8": lambda: widgets.show_picture(DIGITS.x, "a", "b"),
    }
    for sentence, call in calls.items():
        with pytest.raises((TypeError, ValueError), match=sentence):
            call()


def test_a_part_that_is_called_decoder_is_not_asked_for_shapes():
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=64)
    decoder.decoder = torch.nn.Identity()  # as many networks of strangers have one
    digits = gfe.data.load("digits", split="test").take(4)
    assert len(shown_samples(decoder, digits)) == 4
