"""The experiment on gates, made small: what is trained, how it is judged, what is gathered."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from gfe_core.data import shapes
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import gates
from gfe_core.experiments.tables import narrowing as experiment

TINY = gates.Setting(hidden=(8,), updates=4, size=8, rate=1e-3, price=30.0, max_steps=2)


def few(data: str) -> tuple[Tensor, Tensor, Tensor]:
    made = shapes.make(120, side=8)
    return made.x, made.x, made.y


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        experiment, "SETTINGS", dict.fromkeys(("planted", "digits", "shapes"), _both(TINY))
    )
    monkeypatch.setattr(experiment, "splits", few)
    monkeypatch.setattr(gates, "EVERY", 2)


def _both(setting: gates.Setting) -> dict[str, gates.Setting]:
    return {"VAE": setting, "flow": setting}


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
    assert list(content["planted"]) == ["VAE", "flow", "flow, codes kept"]
    for n in experiment.PLANTED:
        assert content["planted"]["VAE"][str(n)]["open"] == 10 * [2 * n], (
            "four updates close nothing"
        )
    doubled = content["doubled"]["shapes"]["flow"]["10"]
    assert doubled["open"] == [20, 20, 20]
    assert doubled["error"]["mean"] == pytest.approx(
        first.only(data="shapes", kind="flow", n=10)["doubled"]["error"]
    )
    table = experiment.EXPERIMENT.table(content)
    assert (
        "| flow, codes kept | 10 |" in table
        and "| digits | VAE | 5 |" in table
        and "rotation of hearts" in table
    )


def test_a_model_counts_only_if_it_is_within_one_and_under_the_threshold():
    models = [
        {"open": n, "met": met}
        for n, met in ((3, True), (4, True), (5, True), (3, False), (2, True))
    ]
    found = experiment._counted(models, 3)
    assert found == {
        "open": [3, 4, 5, 3, 2],
        "met": [True, True, True, False, True],
        "within_one_and_met": 3,
        "of": 5,
    }


def test_planted_data_share_a_decoder_and_no_sample_between_splits():
    train, test = (gates.planted(3, 4000, 5, split) for split in (0, 2))
    singular = [torch.linalg.svdvals(x - x.mean(0))[20] / math.sqrt(len(x)) for x in (train, test)]
    assert train.var(0).mean().item() == pytest.approx(1.01, rel=0.05), (
        "variance 1 and noise of 0.1 squared"
    )
    assert (
        torch.cdist(train[:500], test[:500]).min() > 0.1
        and abs(singular[0] - singular[1]) < 0.05 * singular[0]
    )
    assert torch.equal(gates.planted(3, 50, 5, 1), gates.planted(3, 50, 5, 1))
    assert not torch.allclose(gates.planted(3, 50, 6, 1), gates.planted(3, 50, 5, 1))


def test_factors_are_told_from_codes_that_hold_them_and_from_no_others():
    y = shapes.make(1500, side=8).y
    noise = torch.randn(1500, 1, generator=torch.Generator().manual_seed(0))
    told = gates.factors(torch.cat([y[:, 3:4], noise], 1), y)
    assert (
        told["x"] > 0.99
        and told["y"] < 0.1
        and told["scale"] < 0.1
        and told["shape (share right)"] < 0.45
    )
    assert gates.factors(torch.cat([y[:, :1], noise], 1), y)["shape (share right)"] > 0.95
    circle = torch.stack([(2 * y[:, 2]).cos(), (2 * y[:, 2]).sin()], 1)
    turned = gates.factors(circle, y)
    assert turned["rotation of ellipses"] > 0.95 and turned["rotation of squares"] > 0.8
    assert turned["rotation of hearts"] < 0.1, "half a turn is lost in the doubled angle"


SHORT = gates.Setting(hidden=(16,), updates=60, size=32, rate=5e-3, price=30.0, max_steps=4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["VAE", "flow", "flow, codes kept"])
def test_training_makes_the_error_smaller(kind: str):
    x = gates.planted(2, 500, 0, 0, data_dim=16)
    model = gates.train(kind, x, 4, 1.0, SHORT, 0)
    assert model.error(x) < 0.7 * x.square().sum(1).mean().item()
    assert model.codes(x).shape == (500, model.n_open)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["VAE", "flow", "flow, codes kept"])
def test_staircase_notes_each_change_of_the_open_gates(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gates, "EVERY", 10)
    monkeypatch.setattr(gates, "GATE_RATE", 1.0)
    model = gates.train(kind, gates.planted(2, 500, 0, 0, data_dim=16), 4, 9.0, SHORT, 0)
    updates, counts, _ = zip(*model.staircase, strict=True)
    assert updates[0] == 10 and set(updates) <= {10, 20, 30, 40}, (
        "gates are settled after 48 updates"
    )
    assert counts[0] == 4 and len(counts) > 1 and all(a != b for a, b in pairwise(counts))
