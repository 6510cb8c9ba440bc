"""GradientFlowEncoder is a transformer of scikit-learn, for data of any unit and with gaps."""

import math
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gfe_core as gfe
from gfe_core.sklearn import GradientFlowEncoder

pytestmark = pytest.mark.usefixtures("unchecked")


def small(**options: Any) -> GradientFlowEncoder:
    """An estimator whose training takes a moment."""
    given: dict[str, Any] = {"hidden": (16,), "epochs": 10, "learning_rate": 1e-2}
    given |= {"random_state": 0} | options
    return GradientFlowEncoder(**given)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Samples on a curved surface in five dimensions, float64."""
    random = np.random.default_rng(0)
    z = random.normal(size=(96, 2))
    return np.tanh(z @ random.normal(size=(2, 5))) + 0.3 * z[:, :1] + 4.0


@pytest.fixture(scope="module")
def model(x: np.ndarray) -> GradientFlowEncoder:
    return small().fit(x)


@parametrize_with_checks([small(epochs=2), small(epochs=2, decoder="linear", loss=gfe.Gaussian())])
def test_satisfies_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_explains_what_the_mean_does_not(model, x):
    assert 0.9 < model.score(x) < 1


def test_score_is_the_explained_variance_of_its_docstring(model, x):
    gaps = x.copy()
    gaps[::3, 1] = np.nan
    found = model.inverse_transform(model.transform(gaps))
    left = np.nansum((gaps - found) ** 2)
    assert model.score(gaps) == pytest.approx(1 - left / np.nansum((gaps - x.mean(0)) ** 2))


def test_linear_decoder_scores_as_principal_components(x):
    model = small(decoder="linear", epochs=60, learning_rate=3e-2).fit(x)
    explained = PCA(2).fit(x).explained_variance_ratio_.sum()
    assert model.score(x) == pytest.approx(explained, abs=2e-3)
    assert model.score(x) <= explained + 1e-9


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_codes_do_not_depend_on_the_unit_of_the_data(model, x, unit):
    other = small().fit(unit * x)
    np.testing.assert_allclose(other.transform(unit * x), model.transform(x), atol=1e-6)
    assert other.score(unit * x) == pytest.approx(model.score(x), abs=1e-6)


def test_same_random_state_gives_the_same_bits_and_another_gives_others(model, x):
    again = small().fit(x).transform(x)
    assert (again == model.transform(x)).all()
    assert not np.allclose(small(random_state=1).fit(x).transform(x), again)


def test_fit_leaves_the_random_numbers_of_the_caller_alone(x):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    small(epochs=1).fit(x)
    assert torch.equal(torch.rand(4), expected)


def test_missing_entries_have_no_influence_and_are_filled_in(x):
    random = np.random.default_rng(1)
    gaps = np.where(random.random(x.shape) < 0.15, np.nan, x)
    model = small(epochs=60).fit(gaps)
    filled = model.inverse_transform(model.transform(gaps))
    assert np.isfinite(filled).all()
    hidden = np.isnan(gaps)
    by_mean = np.broadcast_to(np.nanmean(gaps, 0), x.shape)
    error = np.mean((filled - x)[hidden] ** 2)
    assert error < 0.5 * np.mean((by_mean - x)[hidden] ** 2)


def test_sample_without_any_entry_has_code_0(model):
    assert (model.transform(np.full((1, 5), np.nan)) == 0).all()


def test_codes_do_not_depend_on_the_samples_beside_them(model, x):
    one_by_one = np.vstack([model.transform(x[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(one_by_one, model.transform(x)[:8], atol=1e-9)


def test_pickled_and_cloned_estimators_are_the_same(model, x):
    same = pickle.loads(pickle.dumps(model))
    assert (same.transform(x) == model.transform(x)).all()
    again: Any = clone(model)
    assert again.fit(x).score(x) == model.score(x)


@pytest.mark.slow
def test_grid_search_over_components_in_a_pipeline(x):
    steps = make_pipeline(StandardScaler(), small(epochs=10))
    search = GridSearchCV(steps, {"gradientflowencoder__n_components": [1, 2, 4]}, cv=3).fit(x)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and scores[0] < scores[1] < 1
    names = search.best_estimator_.get_feature_names_out()
    assert list(names[:2]) == ["gradientflowencoder0", "gradientflowencoder1"]


def test_set_output_names_the_columns(x):
    pandas = pytest.importorskip("pandas")
    frame = small(epochs=1).set_output(transform="pandas").fit(x).transform(x)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame) == ["gradientflowencoder0", "gradientflowencoder1"]


def test_frame_of_codes_in_another_order_is_refused(x):
    model = GradientFlowEncoder(n_components=2, epochs=1, random_state=0).fit(x)
    codes = model.transform(x[:5])
    expected = model.inverse_transform(codes)
    names = list(model.get_feature_names_out())
    for columns in (names, [f"gfe__{name}" for name in names]):
        frame = pd.DataFrame(codes, columns=columns)
        np.testing.assert_array_equal(model.inverse_transform(frame), expected)
        with pytest.raises(ValueError, match="`X` must hold codes of 2 components in the order of"):
            model.inverse_transform(frame[columns[::-1]])
    own = pd.DataFrame(codes, columns=["width", "height"])
    np.testing.assert_array_equal(model.inverse_transform(own), expected)


def test_interrupted_transform_returns_no_codes_that_were_never_looked_for(model, x, monkeypatch):
    def interrupted(*arguments: Any, **options: Any) -> Any:
        found = gfe.encode(*arguments, **options)
        return replace(found, status=torch.full_like(found.status, int(gfe.Status.NOT_REACHED)))

    monkeypatch.setattr("gfe_core.sklearn.encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.transform(x)


class Net(torch.nn.Module):
    """A stranger's decoder without sizes of its own."""

    def __init__(self, latent_dim: int = 2, data_dim: int = 5) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(latent_dim, data_dim)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sinh(self.layer(z))


@pytest.mark.parametrize(
    "decoder",
    [Net(), Net, partial(gfe.MLPDecoder, hidden=(8,), activation="tanh")],
    ids=["module", "class", "partial"],
)
def test_any_module_or_what_makes_one_is_a_decoder(decoder, x):
    before = pickle.dumps(decoder)
    model = small(decoder=decoder).fit(x)
    assert model.score(x) > 0.5
    assert pickle.dumps(decoder) == before, "the argument is only read"


def test_image_shaped_decoders_take_rows(x):
    net = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.Unflatten(1, (2, 3)))
    model = small(decoder=gfe.wrap(net, latent_dim=2, data_shape=(2, 3)))
    rows = np.hstack([x, x[:, :1]])
    assert model.fit(rows).inverse_transform(model.transform(rows)).shape == rows.shape


def test_loss_of_ones_own_takes_data_as_they_are(x):
    grey = ((x - x.min()) / np.ptp(x)).astype(np.float32)
    model = small(loss=gfe.Bernoulli()).fit(grey)
    found = model.inverse_transform(model.transform(grey))
    assert model.scale_ == 1 and found.dtype == np.float32
    assert found.min() > 0 and found.max() < 1 and model.score(grey) > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 6}, "got n_components=6 and n_features=5. Lower `n_components`."),
        ({"n_components": 0}, "`n_components` must be at least 1, got 0."),
        ({"decoder": "cnn"}, "`decoder` must be 'mlp', 'linear', a torch.nn.Module or a function"),
        ({"decoder": len}, "`decoder` must be a function that makes a module for `latent_dim` and"),
        ({"decoder": Net(3)}, "`decoder` does not map codes of 2 components to 5 features. Set"),
        ({"loss": gfe.Bernoulli()}, "must lie in [0, 1] for the Bernoulli loss"),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0."),
        ({"learning_rate": 0.0}, "`learning_rate` must be a positive finite number, got 0.0."),
    ],
)
def test_what_does_not_fit_is_refused_by_name(x, options, message):
    with pytest.raises((ValueError, TypeError)) as refused:
        small(**options).fit(x)
    assert message in str(refused.value)


@pytest.mark.slow
def test_import_of_the_package_does_not_bring_it():
    code = "import gfe_core, sys; print('gfe_core.sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_tensors_and_data_sets_keep_their_float_type():
    digits = gfe.data.load("digits").take(60)
    made = [
        GradientFlowEncoder(2, epochs=1, random_state=0).fit(x)
        for x in (digits, digits.x, digits.x.numpy())
    ]
    for one in made:
        assert next(one.decoder_.parameters()).dtype == torch.float32
        assert one.transform(digits).tolist() == made[0].transform(digits.x.numpy()).tolist()


@pytest.mark.parametrize("n_components", [2, 50])
def test_a_fit_that_does_not_end_leaves_the_earlier_one(
    n_components: int, monkeypatch: pytest.MonkeyPatch
):
    x = np.random.default_rng(0).normal(size=(40, 5))
    model = GradientFlowEncoder(2, epochs=1, random_state=0).fit(x)
    codes = model.transform(x)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gfe_core.sklearn.fit", interrupted)
    model.set_params(n_components=n_components)
    with pytest.raises((KeyboardInterrupt, ValueError)):
        model.fit(x[:, :3])
    assert model.transform(x).tolist() == codes.tolist()


def test_what_a_mask_hides_has_no_part():
    x = np.random.default_rng(0).normal(size=(30, 4))
    gaps = np.where(x > 1, np.nan, x)
    masked = np.ma.array(np.where(x > 1, 1e6, x), mask=x > 1)
    one, other = (GradientFlowEncoder(2, epochs=1, random_state=0).fit(y) for y in (gaps, masked))
    assert (
        one.scale_ == other.scale_
        and one.transform(gaps).tolist() == other.transform(masked).tolist()
    )


def test_images_of_another_shape_than_the_decoder_draws_are_refused():
    images = gfe.data.DataSet.of(torch.rand(20, 6, 5))
    decoder = partial(gfe.ConvDecoder, image_shape=(5, 6), channels=(4,))
    made = lambda latent_dim, data_dim: decoder(latent_dim=latent_dim)  # noqa: E731
    with pytest.raises(
        ValueError, match=r"`X` holds images of shape \(6, 5\), but the decoder draws"
    ):
        GradientFlowEncoder(2, decoder=made, epochs=1).fit(images)


@pytest.mark.parametrize("loss", [None, gfe.Gaussian(variance=4.0)])
def test_a_saved_model_finds_the_same_codes(tmp_path: Path, loss: Any):
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32) * 3 + 7
    estimator = GradientFlowEncoder(2, loss=loss, epochs=2, random_state=0).fit(x)
    model = gfe.load(estimator.save(tmp_path / "m.pt", card={"data": "normal"}))
    scaled = model.scaled(torch.tensor(x).double()).float()  # rounded once, as the estimator does
    z = gfe.encode(model.decoder, scaled, loss=model.loss).z
    assert z.numpy() == pytest.approx(estimator.transform(x), abs=1e-4)
    assert dict(model.card) == {"data": "normal"}


def test_data_set_with_other_columns_than_in_training_is_refused(tmp_path):
    values = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    table = gfe.data.DataSet.of(values, features=["a", "b"])
    swapped = gfe.data.DataSet.of(values.flip(1), features=["b", "a"])
    model = GradientFlowEncoder(n_components=1, decoder="linear", epochs=1, random_state=0)
    model.fit(table)
    frame = pd.DataFrame(values.numpy())
    model.transform(frame)  # columns without names are compared with nothing
    counted = GradientFlowEncoder(n_components=1, decoder="linear", epochs=1, random_state=0)
    with pytest.raises(ValueError, match="another order"):
        counted.fit(frame).transform(frame[[1, 0]])
    for verb in (model.transform, model.score):
        verb(table)
        verb(values.numpy())
        with pytest.raises(ValueError, match="`X` has the features of the model in another order"):
            verb(swapped)
    assert gfe.load(model.save(tmp_path / "m.pt")).names == ("a", "b")


def test_score_refuses_images_of_another_shape_as_transform_does():
    decoder = partial(gfe.ConvDecoder, image_shape=(8, 4), channels=(4,))
    x = torch.rand(20, 8, 4, generator=torch.Generator().manual_seed(0))
    build = lambda latent_dim, data_dim: decoder(latent_dim=latent_dim)  # noqa: E731
    model = GradientFlowEncoder(n_components=2, decoder=build, epochs=1, random_state=0)
    model.fit(gfe.data.DataSet.of(x))
    wide = gfe.data.DataSet.of(x.transpose(1, 2))
    for verb in (model.transform, model.score):
        with pytest.raises(ValueError, match="`X` holds images of shape"):
            verb(wide)


@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        torch.as_tensor,
        pd.DataFrame,
        lambda x: pd.DataFrame(x).convert_dtypes(),
        partial(np.ma.masked_equal, value=7),
    ],
    ids=["array", "tensor", "frame", "nullable", "masked"],
)
def test_bytes_are_refused_as_by_encode(kind):
    x = np.arange(40, dtype="uint8").reshape(10, 4)
    model = GradientFlowEncoder(n_components=1, decoder="linear", epochs=1, random_state=0)
    with pytest.raises(TypeError, match=r"`X` is of type uint8.*`X / 255`.*`X \* 1.0`"):
        model.fit(kind(x))
    model.fit(gfe.data.DataSet.of(x))
    with pytest.raises(TypeError, match="uint8"):
        model.transform(kind(x))
    model.transform(kind(x / 255))


def test_parameters_set_after_a_fit_change_nothing_that_was_fitted(x, tmp_path):
    data = x * 100 + 50
    for fitted, later in ((None, gfe.Gaussian()), (gfe.Gaussian(), None)):
        model = small(decoder="linear", epochs=3, loss=fitted).fit(data)
        z = model.transform(data)
        model.set_params(loss=later, solver=gfe.Euler(n_steps=1), n_components=1)
        assert np.array_equal(model.transform(data), z)
        kept = gfe.load(model.save(tmp_path / "m.pt"))
        assert (kept.scaling is None) == (fitted is not None)
        enc = gfe.encode(kept.decoder, kept.scaled(data), loss=kept.loss)
        # the estimator rounds its mean elsewhere, and stops within its rule
        np.testing.assert_allclose(enc.z.numpy(), z, rtol=0, atol=1e-3 * np.abs(z).max())


def test_score_of_nothing_observed_is_no_number(model, x):
    with pytest.warns(UndefinedMetricWarning, match="no observed entry"):
        assert math.isnan(model.score(np.full((3, 5), np.nan)))
