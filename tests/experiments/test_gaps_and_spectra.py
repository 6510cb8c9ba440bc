"""The experiments on hidden pixels and on spectra.

What is hidden stays hidden, and who knows more is judged better.
"""

from dataclasses import asdict, replace

import pytest
import torch
from small_sets import N_TEST, SMALL, sets  # noqa: F401  (a fixture)

import gfe_core as gfe
from gfe_core.data import emission_lines
from gfe_core.experiments.runner.config import Config
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import emission_lines as codes_of_spectra
from gfe_core.experiments.tables import missing, settings

pytestmark = pytest.mark.usefixtures("sets")


def small(method: str) -> dict:
    return asdict(Config(**SMALL | {"method": method, "latent_dim": 2, "n_validation": 20}))


def test_gaps_hide_the_share_they_name(generator: torch.Generator):
    x = torch.rand(50, 784, generator=generator)
    shares = [1 - gaps(x, generator).double().mean().item() for gaps in missing.MASKS.values()]
    assert shares == pytest.approx(
        [0.5, 0.75, 0.9, 0.5], abs=0.01
    )  # 39,200 draws: standard error 0.0025
    seen = missing.left_half(x, generator).view(50, 28, 28)
    assert not seen[:, :, :14].any() and seen[:, :, 14:].all()


@pytest.mark.parametrize("method", [pytest.param("flow", marks=pytest.mark.slow), "autoencoder"])
def test_pixels_that_were_lost_in_training_teach_nothing(
    method: str, monkeypatch: pytest.MonkeyPatch
):
    met = []
    monkeypatch.setattr(missing, "_judged", lambda run, *kinds: met.append(run) or {})
    missing.incomplete(small(method), missing.LOST)
    first = met[0].decoder.state_dict()
    lost = met[0].batches.x.isnan()
    assert 0.4 < lost.double().mean() < 0.6
    monkeypatch.setattr(gfe.data, "load", _with_other_values(lost))
    missing.incomplete(small(method), missing.LOST)
    assert all(
        torch.equal(first[name], other) for name, other in met[1].decoder.state_dict().items()
    )


def _with_other_values(lost: torch.Tensor):
    """Load training images that differ exactly where pixels are lost: the run must not notice."""
    load = gfe.data.load

    def changed(name: str, split: str = "train"):
        data = load(name, split)
        order = torch.randperm(len(data.x) - 10_000, generator=torch.Generator().manual_seed(0))[
            : len(lost)
        ]
        x = data.x.clone()
        x[order] = torch.where(lost, 1 - x[order], x[order])
        return replace(data, x=x)

    return changed


@pytest.mark.slow
def test_every_way_to_a_code_is_judged_by_hidden_pixels_alone():
    rows = []
    mean = missing.mean_image(60, 0)
    for job in missing.EXPERIMENT.jobs:
        if job.fields["seed"] == 0:
            kind = {name: job.arguments[name] for name in ("kind",) if name in job.arguments}
            method = job.fields["method"].replace("trained_with_gaps", "autoencoder")
            found = mean if method == "mean" else job.work(small(method), **kind)
            rows.append({"fields": job.fields} | found)
    content = missing.EXPERIMENT.gather(Records(rows))
    assert all(set(found) == set(missing.COLUMNS) for found in content["energy"].values())
    assert (
        content["energy"]["left half"]["mean image"]["mean"] == mean["hidden"]["left half"]["image"]
    )
    assert "| 90 % at random |" in missing.EXPERIMENT.table(content)


def test_energy_of_hidden_pixels_leaves_out_the_seen_ones(generator: torch.Generator):
    x, seen = missing._test_images(missing.at_random(0.5))
    assert len(x) == N_TEST
    logits = torch.randn(x.shape, generator=generator)
    elsewhere = torch.where(seen, logits + 1, logits)
    assert missing._hidden_energy(logits, x, seen) == missing._hidden_energy(elsewhere, x, seen)
    assert missing._hidden_energy(logits, x, seen) != missing._hidden_energy(logits + 1, x, seen)


def test_probe_reads_what_codes_hold_and_nothing_where_they_hold_nothing(
    generator: torch.Generator,
):
    y = emission_lines.make(300, seed=0).y
    noise = torch.randn(300, 5, generator=generator.manual_seed(7))  # not the seed that drew y
    knows = codes_of_spectra.probe(y[:200], y[:200], y[200:], y[200:])
    guesses = codes_of_spectra.probe(noise[:200], y[:200], noise[200:], y[200:])
    assert min(knows.values()) > 0.95 and max(guesses.values()) < 0.2


@pytest.mark.parametrize("method", [*codes_of_spectra.METHODS, codes_of_spectra.RAW])
def test_every_method_has_codes_for_spectra_with_gaps(method: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(codes_of_spectra, "N_TEST", 30)
    short = {"n_updates": 8, "learning_rate": 1e-3, "weight_decay": 0.0}
    monkeypatch.setattr(
        codes_of_spectra, "EMISSION_LINES", {key: {50: short} for key in settings.EMISSION_LINES}
    )
    found = codes_of_spectra.cell(method, 50, 0)
    assert set(found["r2"]) == set(emission_lines.PARAMETERS)
    assert ("energy" in found) == (method != codes_of_spectra.RAW)
