"""Frames and series of pandas: their numbers are taken, and what their labels say is heeded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gfe_core as gfe
from gfe_core import narrowing
from gfe_core.analysis.stiffness import spectrum
from gfe_core.data.samples import known_features
from gfe_core.scale import encode_shards

pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("unchecked")

NAMES = ["a", "b", "c", "d"]
G: Any = gfe.Gaussian()
X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
FRAME = pandas.DataFrame(X.numpy(), columns=NAMES)
BACK = NAMES[::-1]
SHORT: dict[str, Any] = {"loss": G, "max_steps": 3}
PRIOR: Any = gfe.posterior.GaussianPrior


def decoder() -> Any:
    source = torch.Generator().manual_seed(0)
    return gfe.MLPDecoder(latent_dim=2, hidden=(6,), data_dim=4, generator=source)


D = decoder()
ENC = gfe.encode(D, X, **SHORT)
CODES = ENC.to_frame()
Z = CODES[["z_0", "z_1"]]
TURNED = CODES[["z_1", "z_0"]]


def named(tmp_path: Path, **more: Any) -> gfe.Model:
    return gfe.load(gfe.save(tmp_path / "named.pt", D, loss=G, names=NAMES, **more))


# codes

BY_CODES: dict[str, Callable[[Any], Any]] = {
    "reconstruct": lambda z: gfe.reconstruct(D, z, G),
    "log_volume": lambda z: gfe.density.log_volume(D, z, G),
    "start": lambda z: gfe.encode(D, X, z0=z, **SHORT).z,
    "spectrum": lambda z: spectrum(D, z, X, loss=G).eigenvalues,
    "fit of a prior": lambda z: PRIOR.fit(z).mean.float(),
    "normality": lambda z: torch.tensor(gfe.gon.normality(z)),
    "mean of a prior": lambda z: PRIOR(
        mean=z.mean(axis=0), precision=torch.eye(2, dtype=torch.float64)
    ).mean.float(),
    "bounds": lambda z: gfe.encode(D, X, bounds=(z.min(axis=0) - 1, z.max(axis=0) + 1), **SHORT).z,
}
"""Results of codes in a frame or an array of float64."""


@pytest.mark.parametrize("use", BY_CODES)
def test_a_frame_of_codes_must_hold_the_latents_in_their_order(use: str):
    result = BY_CODES[use]
    expected = result(Z.to_numpy())
    assert torch.allclose(result(Z), expected)
    plain = TURNED.set_axis(["t", "u"], axis=1)
    for frame in (TURNED, CODES[["energy", "grad_norm"]], CODES.drop(columns="status"), plain):
        with pytest.raises(ValueError, match="must hold the latents of codes, in their order, got"):
            result(frame)
    remedied = result(CODES[["z_0", "z_1"]])
    assert torch.allclose(remedied, expected), "the line that the error gives"
    own = Z.set_axis(["first", "second"], axis=1)
    assert torch.allclose(result(own), expected), "names of one's own say nothing of the order"


# numbers for each feature


def test_a_series_is_one_number_for_each_feature(tmp_path: Path):
    variance = FRAME.var()
    assert gfe.Gaussian(variance=variance) == gfe.Gaussian(variance=variance.to_numpy())
    assert gfe.Gaussian(variance=variance[::-1]) == gfe.Gaussian(variance=variance.to_numpy()[::-1])
    scaling = {"mean": FRAME.mean(), "scale": FRAME.std()}
    kept = named(tmp_path, scaling=scaling).scaling
    assert kept is not None
    for name, numbers in scaling.items():
        assert torch.equal(kept[name], torch.tensor(numbers.to_numpy(), dtype=torch.float64))
    gaps = torch.where(X > 0, X, torch.nan)
    network = gfe.encoders.Autoencoder.mirror(D, loss=G)
    ours, theirs = (
        gfe.encoders.Filled(network, fill=fill)(D, gaps)
        for fill in (FRAME.mean(), torch.tensor(FRAME.mean().to_numpy()))
    )
    assert torch.equal(ours.z, theirs.z)
    framed: Any = pandas.DataFrame(gaps.numpy(), columns=NAMES)
    found = gfe.encoders.Filled(network, fill=FRAME.mean())(D, framed)
    torch.testing.assert_close(found.z, ours.z)  # rows of a frame lie otherwise in memory


def test_labels_in_another_order_than_the_names_are_refused(tmp_path: Path):
    for scaling in ({"mean": FRAME.mean()[BACK]}, {"scale": FRAME.std()[BACK]}):
        with pytest.raises(ValueError, match=r"`scaling\['(mean|scale)'\]` has the features of"):
            named(tmp_path, scaling=scaling)
    model = named(tmp_path)
    filled = gfe.encoders.Filled(
        gfe.encoders.Autoencoder.mirror(D, loss=G), fill=FRAME.mean()[BACK]
    )
    with pytest.raises(ValueError, match="`fill` has the features of the model in another order"):
        filled(model.decoder, torch.where(X > 0, X, torch.nan))
    turned = pandas.Series([1.0, 2.0, 3.0], index=[2, 0, 1])
    with pytest.raises(ValueError, match=r"count its numbers in another order.*sort_index\(\)"):
        gfe.Gaussian(variance=turned)
    assert gfe.Gaussian(variance=turned.sort_index()).variance == (2.0, 3.0, 1.0)
    assert gfe.Gaussian(variance=turned.to_numpy()).variance == (1.0, 2.0, 3.0)
    with pytest.raises(TypeError, match="`variance` must be one number or one for each feature"):
        gfe.Gaussian(variance=pandas.Series(["much", "little"]))


def test_a_prior_in_arrays_has_their_float_type_and_the_remedy_for_another_works():
    prior = PRIOR(mean=Z.mean(), precision=np.linalg.inv(Z.cov()))
    fitted = PRIOR.fit(Z)
    torch.testing.assert_close(prior.mean, fitted.mean)
    torch.testing.assert_close(prior.precision, fitted.precision)
    with pytest.raises(ValueError, match=r"Convert it: `gfe.posterior.GaussianPrior\(mean=prior.m"):
        gfe.density.log_density(D, ENC, prior=prior)
    single = PRIOR(mean=prior.mean.to(torch.float32), precision=prior.precision.to(torch.float32))
    assert gfe.density.log_density(D, ENC, prior=single).isfinite().all()


# contexts


class Shifted(torch.nn.Module):
    latent_dim, data_shape = 2, (4,)

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 4)

    def forward(self, z: torch.Tensor, context: Any) -> torch.Tensor:
        shift = context if isinstance(context, torch.Tensor) else context["shift"]
        return self.layer(z) + shift


CONTEXTS: dict[str, Callable[[], Any]] = {
    "frame": lambda: FRAME,
    "array of doubles": lambda: X.double().numpy(),
    "read-only array": lambda: np.broadcast_to(X.numpy(), X.shape),
    "frames by name": lambda: {"shift": FRAME},
}


@pytest.mark.parametrize("form", CONTEXTS)
def test_a_context_may_be_an_array_or_a_frame(form: str):
    shifted: Any = Shifted()
    context = CONTEXTS[form]()
    expected = gfe.encode(shifted, X, context=X, **SHORT)
    found = gfe.encode(shifted, FRAME, context=context, **SHORT)
    assert torch.equal(found.z, expected.z)
    drawn = gfe.reconstruct(shifted, expected)
    assert torch.equal(gfe.reconstruct(shifted, found), drawn)
    assert torch.equal(gfe.reconstruct(shifted, found.z, G, context=context), drawn)
    energies = [gfe.evaluate(shifted, X, loss=G, context=c).energy for c in (X, context)]
    assert torch.equal(*energies)
    batches = gfe.data.Batches(FRAME, context=context, size=6)
    assert gfe.fit(shifted, batches, loss=G).step == [1, 2]
    summed: Any = gfe.Gaussian(reduction="sum")
    prior = PRIOR.standard(2)
    posterior = gfe.posterior.laplace(shifted, X, prior=prior, loss=summed, context=context)
    assert posterior.context is not None
    assert spectrum(shifted, found.z, X, loss=G, context=context).eigenvalues.shape


def test_rows_and_kinds_of_a_context_are_those_that_were_given():
    x = FRAME.set_axis([f"s{i}" for i in range(12)], axis=0)
    shifted: Any = Shifted()
    with pytest.raises(ValueError, match=r"`context` has the rows of `x` in another order"):
        gfe.encode(shifted, x, context=x[::-1], **SHORT)
    with pytest.raises(ValueError, match=r"`context\['shift'\]` has the rows of `x` in another"):
        gfe.data.Batches(x, context={"shift": x[::-1]}, size=6)
    with pytest.raises(TypeError, match="`context` must hold floats in every column"):
        gfe.encode(shifted, x, context=x.assign(a="much"), **SHORT)
    with pytest.raises(ValueError, match="`context` must have one row for each of the 12 samples"):
        gfe.encode(shifted, x, context=x[:5].to_numpy(), **SHORT)
    classes = gfe.data.Batches(X, context=pandas.Series(range(12)), size=6).context
    assert isinstance(classes, torch.Tensor) and classes.dtype == torch.int64
    positive: Any = X.numpy() > 0
    flags = gfe.data.Batches(X, context=positive, size=6).context
    assert isinstance(flags, torch.Tensor) and flags.dtype == torch.bool


# names of features


def test_a_decoder_around_another_knows_its_features(tmp_path: Path):
    inner: Any = named(tmp_path).decoder
    narrowed = narrowing.Narrowed(inner, torch.tensor([True, False]))
    wrapped = gfe.wrap(inner, latent_dim=2, data_shape=(4,))
    for outer in (
        wrapped,
        narrowed,
        narrowing.Gated(inner),
        gfe.wrap(narrowed, latent_dim=1, data_shape=4),
    ):
        assert known_features(outer) == tuple(NAMES)
    for outer in (wrapped, narrowed):
        with pytest.raises(ValueError, match="`x` has the features of the model in another order"):
            gfe.encode(outer, FRAME[BACK], **SHORT)
        assert len(gfe.encode(outer, FRAME, **SHORT)) == 12
    longer = gfe.gon.WithLabels(inner, 3)
    assert known_features(longer) is None, "it has other features besides"


def test_unscaled_refuses_the_frames_that_scaled_refuses(tmp_path: Path):
    model = named(tmp_path, scaling={"mean": FRAME.mean()})
    for convert in (model.scaled, model.unscaled):
        with pytest.raises(ValueError, match="`x` has the features of the model in another order"):
            convert(FRAME[BACK])
    back = model.unscaled(model.scaled(FRAME))
    torch.testing.assert_close(back, X)
    assert torch.equal(model.unscaled(FRAME), model.unscaled(X.numpy()).to(torch.float64))


# values that are no numbers

DAYS = pandas.Series(pandas.date_range("2020", periods=12))
NO_NUMBERS: dict[str, Any] = {
    "dates": DAYS,
    "dates of a time zone": DAYS.dt.tz_localize("UTC"),
    "durations": DAYS - DAYS.min(),
    "missing dates": pandas.Series([pandas.NaT] * 12),
    "objects": DAYS.astype(object),
    "days": DAYS.dt.date,
    "durations of numpy": pandas.Series([np.timedelta64(i, "D") for i in range(12)], dtype=object),
    "categories of dates": DAYS.astype("category"),
    "complex": pandas.Series(np.full(12, 1 + 2j)),
    "texts": pandas.Series(["x", "y"] * 6),
    "categories": pandas.Series(["x", "y"] * 6, dtype="category"),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_column_that_holds_no_numbers_is_named(kind: str, tmp_path: Path):
    frame = FRAME.assign(a=NO_NUMBERS[kind])
    shifted: Any = Shifted()
    message = "`{}` must hold floats in every column, but its columns a are not"
    calls: dict[str, Callable[[], Any]] = {
        "x": lambda: gfe.encode(D, frame, **SHORT),
        "batches": lambda: gfe.fit(D, frame, loss=G),
        "context": lambda: gfe.data.Batches(X, context=frame, size=6),
        r"context\['c'\]": lambda: gfe.encode(shifted, X, context={"c": frame}, **SHORT),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=message.format(name)):
            call()
    with pytest.raises(TypeError, match=message.format("x")) as refusal:
        encode_shards(gfe.Model(D, G, (4,)), frame, tmp_path / "codes")
    line = str(refusal.value).split("`")[-2]
    assert [*eval(line, {"x": frame})] == NAMES[1:]


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_series_without_numbers_is_refused_with_the_line_that_gives_some(kind: str):
    series = NO_NUMBERS[kind]
    values = {"numpy": np, "pandas": pandas}
    for given in (series, series.to_numpy()):
        with pytest.raises(TypeError, match="`context` must hold numbers, got") as refusal:
            gfe.data.Batches(X, context=given, size=6)
        found = given
        for line in str(refusal.value).split("`")[3::2][:2]:
            found = eval(line, values | {"context": found})
        assert len(gfe.data.Batches(X, context=found, size=6).context) == 12
    with pytest.raises(TypeError, match=r"`context\['c'\]` must hold numbers, got a series of"):
        gfe.data.Batches(X, context={"c": series}, size=6)
    for name, call in {
        "x": lambda: gfe.encode(D, series, **SHORT),
        "z0": lambda: gfe.encode(D, X, z0=series, **SHORT),
    }.items():
        with pytest.raises(TypeError, match=f"`{name}` must have a float dtype, got a series of"):
            call()


def test_numbers_and_missing_ones_in_columns_of_objects_are_taken():
    objects = FRAME.astype(object)
    objects.iloc[0, 0] = None
    found = gfe.encode_observed(D, objects, **SHORT).z
    frame = FRAME.copy()
    frame.iloc[0, 0] = np.nan
    assert torch.equal(found, gfe.encode_observed(D, frame, **SHORT).z)
    words: Any = ["x", "y"] * 6
    with pytest.raises(TypeError, match=r"`context` must be a tensor.*numpy.unique\(context"):
        gfe.data.Batches(X, context=words, size=6)
