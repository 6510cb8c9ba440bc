"""The experiments on gradient origin networks, on small images.

What is trained, how it is judged, what is gathered.
"""

import pytest
import torch
from small_sets import N_TEST, sets  # noqa: F401  (a fixture)

import gfe_core as gfe
from gfe_core.analysis import sample_quality as sampling
from gfe_core.experiments.runner.config import images
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import gon as experiment
from gfe_core.experiments.tables import origins
from gfe_core.methods import gon

pytestmark = pytest.mark.usefixtures("sets")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (origins, "LATENT", 2),
        (origins, "SIREN", (8, 8)),
        (origins, "WIDTHS", (8, 4)),
        (origins, "NARROW", (4, 2)),
        (experiment, "UPDATES", 6),
        (experiment, "MARKS", (0.01, 0.02)),
        (experiment, "EVERY", 2),
        (experiment, "N_PLACES_UPDATES", 4),
        (experiment, "LOOKS", (2, 6)),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.slow
def test_all_jobs_are_done_and_gathered_into_one_table(short: None):
    jobs = [job for job in experiment.EXPERIMENT.jobs if job.arguments["seed"] == 0]
    first = Records([{"fields": job.fields} | job.work(**job.arguments) for job in jobs])
    records = Records(
        [
            {**first.only(**{**job.fields, "seed": 0}), "fields": job.fields}
            for job in experiment.EXPERIMENT.jobs
        ]
    )
    content = experiment.EXPERIMENT.gather(records)
    for data in experiment.SETS:
        assert set(content["error"][data]) == set(experiment.COLUMNS)
        assert content["bound"][data].keys() == {"variational GON", "VAE"}
    assert content["error"]["mnist"]["GON"]["mean"] == pytest.approx(
        first.only(protocol="updates", data="mnist", method="gon")["test"]["own steps"]
    )
    table = experiment.EXPERIMENT.table(content)
    assert all(f"| {told} |" in table for told in experiment.COLUMNS)


def test_networks_have_the_published_width_and_the_narrow_ones_as_many_weights_together():
    x = torch.zeros(64, 784)
    counts = {
        method: sum(parameter.numel() for parameter in origins.build(method, x, 0).trained)
        for method in ("gon", "autoencoder", "narrow_autoencoder", "siren")
    }
    assert counts["gon"] == 74_097 and counts["siren"] == 4_321
    assert counts["autoencoder"] == pytest.approx(2 * counts["gon"], rel=0.01)
    assert counts["narrow_autoencoder"] == pytest.approx(counts["gon"], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", list(origins.RATES))
def test_every_method_learns(method: str, short: None):
    training = origins.build(method, images("mnist")[0], 0)
    x = gfe.data.load("mnist", split="test").x
    before = next(iter(training.errors(x).values()))
    training.fit(5e-3, n_updates=40)
    assert len(x) == N_TEST and next(iter(training.errors(x).values())) < before


def test_training_makes_just_as_many_updates_as_asked_for(short: None):
    training = origins.build("gon", images("mnist")[0], 0)
    assert training.fit(1e-3, n_updates=7).step[-1] == 7  # a pass has 4 batches


def test_samples_that_are_data_are_precise_and_those_far_away_are_not(generator: torch.Generator):
    real = torch.randn(200, 40, generator=generator)
    other = torch.randn(200, 40, generator=generator)
    near = sampling.quality(other, real, n_components=5)
    far = sampling.quality(other + 20, real, n_components=5)
    assert min(near.values()) > 0.5 and max(far.values()) == 0
    one = sampling.quality(real[:1].expand(200, -1) + 1e-3 * other, real, n_components=5)
    assert one["precision"] == 1 and one["recall"] < 0.1  # all alike


def test_flow_trained_decoder_is_judged_by_a_step_whose_length_is_its_own(short: None):
    training = origins.build("flow", images("mnist")[0], 0)
    x = gfe.data.load("mnist", split="test").x
    step = training.judged_by["one step"](training.decoder, x)
    origin = gfe.Energy(training.decoder, x, gon.SQUARES).value(torch.zeros(len(x), 2))
    assert bool((step.energy <= origin).all()) and int(step.statistics.n_accepted.max()) <= 1


def test_a_run_that_broke_down_begins_again_at_half_the_rate(
    short: None, monkeypatch: pytest.MonkeyPatch
):
    rates = []
    run = experiment._run

    def noted(method: str, x: torch.Tensor, seed: int, rate: float):
        rates.append(rate)
        return run(method, x, seed, rate)

    monkeypatch.setattr(experiment, "_run", noted)
    monkeypatch.setattr(experiment, "_broke_down", lambda training, x: len(rates) < 2)
    found = experiment.trained("autoencoder", "mnist", 0)
    assert rates == [origins.RATES["autoencoder"], origins.RATES["autoencoder"] / 2]
    assert found["restarts"] == 1 and found["updates"] == experiment.UPDATES


@pytest.mark.parametrize(("share", "broken"), [(0.4, False), (0.6, True), (float("nan"), True)])
def test_drawing_hardly_better_than_the_mean_image_is_a_breakdown(
    share: float, broken: bool, unchecked: None
):
    x = torch.rand(50, 9, generator=torch.Generator().manual_seed(0))
    mean_image = (x - x.mean(0)).square().sum(1).mean().item()

    class Stub:
        def errors(self, x: torch.Tensor) -> dict[str, float]:
            return {"own steps": share * mean_image}

    assert experiment._broke_down(Stub(), x) == broken  # pyright: ignore[reportArgumentType]
