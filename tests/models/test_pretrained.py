"""Decoders that come trained do what their cards say; a missing one is named with its command."""

from pathlib import Path

import pytest
import torch

import gfe_core as gfe
from gfe_core.experiments import bundled
from gfe_core.models.pretrained import FOLDER, file_name

every_decoder = pytest.mark.parametrize(
    ("data", "latent_dim"), bundled.IN_THE_PACKAGE, ids=lambda value: str(value)
)


@pytest.mark.slow
@every_decoder
def test_decoder_fits_its_data_and_reaches_the_test_energy_of_its_card(data: str, latent_dim: int):
    model = gfe.pretrained(data, latent_dim=latent_dim)
    test = gfe.data.load(data, "test")
    assert model.data_shape == test.x.shape[1:] and model.decoder.latent_dim == latent_dim
    x = test.x if len(test.x) < 1000 else test.x[::5]
    solver = bundled.recipe_for(data).solver
    energy = bundled.encoder_for(test)(model.decoder, x, solver=solver, loss=model.loss).energy
    spread = 4 * energy.std().item() / len(energy) ** 0.5 if len(x) < len(test.x) else 0.0
    told = model.card["test_energy"]
    assert abs(energy.mean().item() - told) < max(spread, 0.02 * told)
    origin = torch.zeros(len(x), latent_dim)
    blank = gfe.Energy(model.decoder, x, model.loss, mask=~x.isnan()).value(origin)
    assert energy.mean() < 0.85 * blank.mean(), "codes draw the data better than code 0 does"


@every_decoder
def test_card_says_data_settings_and_a_command_that_makes_it(data: str, latent_dim: int):
    card = gfe.pretrained(data, latent_dim=latent_dim).card
    words = card["command"].split()
    assert words[:5] == ["python", "-m", "gfe_core", "bundled", "decoders"]
    assert words[5:] == ["--data", data, "--latent-dim", str(latent_dim)]
    usual, recipe = (
        {name: str(value) for name, value in vars(one).items()}
        for one in (bundled.Recipe(), bundled.recipe_for(data))
    )
    assert usual | card["settings"] == recipe, "a field that a card lacks has its default"


def test_files_are_those_of_the_list_and_take_at_most_900_kb_together():
    files = sorted(FOLDER.glob("*"))
    assert [file.name for file in files] == sorted(
        file_name(data, size) for data, size in bundled.IN_THE_PACKAGE
    )
    assert sum(file.stat().st_size for file in files) <= 900_000


def test_each_call_returns_a_decoder_of_its_own_in_float32():
    first, second = (gfe.pretrained("circle").decoder for _ in range(2))
    assert isinstance(first, torch.nn.Module) and isinstance(second, torch.nn.Module)
    weights, other = next(first.parameters()), next(second.parameters())
    weights.data.zero_()
    assert weights.dtype == other.dtype == torch.float32 and other.abs().sum() > 0


def test_a_missing_decoder_is_refused_with_what_there_is_and_how_to_train_it():
    with pytest.raises(ValueError, match=r"mnist-sample.*Did you mean|Did you mean 'mnist-sample'"):
        gfe.pretrained("mnist_sample")
    with pytest.raises(ValueError, match="bundled decoders --data fashion-mnist --latent-dim 8"):
        gfe.pretrained("fashion-mnist")
    with pytest.raises(ValueError, match=r"'mnist-sample' \(2, 8, 20\)"):
        gfe.pretrained("mnist-sample", latent_dim=3)
    with pytest.raises(ValueError, match="`latent_dim`"):
        gfe.pretrained("digits", latent_dim=0)


def test_a_decoder_that_the_command_trained_is_found_beside_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GFE_DATA_DIR", str(tmp_path))
    quick = bundled.Recipe(hidden=(8,), passes=1, max_steps=3)
    path = bundled.train_decoder("digits", 3, recipe=quick)
    assert path == tmp_path / "trained" / "digits-3.pt"
    assert gfe.pretrained("digits", latent_dim=3).decoder.latent_dim == 3
    assert sorted(path.parent.iterdir()) == [path]
