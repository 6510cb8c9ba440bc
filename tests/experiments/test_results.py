"""Measured figures that the project shows are those in data/results."""

import json
from pathlib import Path

import pytest
from bench import time_to

from gfe_core import experiments
from gfe_core.data import results as files
from gfe_core.experiments import claims, pages, speed
from gfe_core.experiments.runner.jobs import gathered

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((ROOT / "data" / "results" / "bench.json").read_text())


@pytest.mark.parametrize("name", experiments.NAMES)
def test_figures_of_a_result_file_are_gathered_from_its_records(name: str):
    content = files.load(name)
    assert (
        json.loads(json.dumps(gathered(experiments.experiment(name), content["cells"]))) == content
    )


@pytest.mark.parametrize("name", experiments.NAMES)
def test_records_of_a_result_file_say_what_they_are_about_and_how_they_were_made(name: str):
    cells = files.load(name)["cells"]
    for job in experiments.experiment(name).jobs:
        record = cells[job.name]
        assert record["fields"] == job.description["fields"]
        assert record["settings"] == job.description["settings"], "as they would be made today"
        if "config" in record:
            rule = {"grad_norm": 1e-6, "energy_slope": 3e-5, "window": 5}
            for config in (record["config"], record["arguments"]["config"]):
                assert rule.items() <= config.items()


def test_claims_and_tables_are_those_of_the_results_as_their_command_writes_them():
    assert {path: path.read_text() for path in pages.pages()} == pages.pages()


def over_seeds(*values: float) -> dict[str, float]:
    return {str(seed): value for seed, value in enumerate(values)}


def test_a_claim_holds_where_the_paired_difference_exceeds_its_spread():
    theirs = over_seeds(0.2, 0.3, 0.4)
    lower, higher = over_seeds(0.1, 0.2, 0.31), over_seeds(0.3, 0.4, 0.49)
    mixed = over_seeds(0.1, 0.4, 0.41)
    assert claims.below(lower, theirs) == "holds"
    assert claims.below(higher, theirs) == "does not hold"
    assert claims.below(mixed, theirs) == "within the spread"
    assert claims._judged({"few": (lower, theirs), "many": (mixed, theirs)}) == (
        "holds for few; within the spread: many",
        "few: 0.2033 against 0.3000 (-0.0967 ± 0.0058); "
        "many: 0.3033 against 0.3000 (+0.0033 ± 0.1002)",
    )


def test_a_verdict_needs_three_seeds_that_both_have():
    ours, theirs = over_seeds(0.1, 0.2), over_seeds(0.3, 0.4, 0.5)
    assert claims.below(ours, theirs) == "no verdict"
    assert claims._judged({"": (over_seeds(0.1), theirs)}) == (
        "no verdict",
        "0.1000 against 0.4000 (-0.2000)",
    )
    assert [claims._no_worse(verdict) for verdict in ("no verdict", "within the spread")] == [
        "no verdict",
        "holds",
    ]


def test_a_spread_over_seeds_counts_as_smaller_by_a_factor_that_depends_on_their_number():
    def row(ours: float, theirs: float, n_seeds: int = 5) -> dict:
        sds = {"flow, flow": ours, "autoencoder, encoder": theirs}
        seeds = dict.fromkeys(map(str, range(n_seeds)), 0.0)
        return {name: {"sd": sd, "by_seed": seeds} for name, sd in sds.items()}

    once = {"480": row(0.1, 0.3), "1920": row(0.1, 0.2), "5760": row(0.3, 0.1)}
    single = {"480": row(0.1, 0.3, 3), "1920": row(0.1, 0.5, 3)}
    assert claims._steady({"single": single, "once": once, "free": {}})[0] == (
        "holds for 1920 (a single look), 480 (rehearsal); "
        "within the spread: 480 (a single look), 1920 (rehearsal); "
        "does not hold for 5760 (rehearsal)"
    )


def test_kept_codes_are_compared_where_both_runs_met_the_threshold():
    fresh = {"open": [10, 9, 10, 10], "met": [True] * 4}
    kept = {"open": [11, 11, 11, 10], "met": [True] * 4}
    planted = {"flow": {"10": fresh}, "flow, codes kept": {"10": kept}}
    assert claims._kept({"planted": planted})[0] == "does not hold"
    fresh["met"] = [True, False, True, True]
    assert claims._kept({"planted": planted})[0] == "does not hold"
    kept["open"][2] = 10
    assert claims._kept({"planted": planted})[0] == "holds"
    fresh["met"] = [False, False, True, True]
    assert claims._kept({"planted": planted})[0] == "no verdict"


def test_doubled_latents_are_counted_over_runs_that_met_the_threshold():
    def verdict(met: list[bool]) -> str:
        runs = {"open": [5, 5, 5, 12], "met": met}
        return claims._doubled({"doubled": {"digits": {"VAE": {"5": runs}}}})[0]

    assert verdict([True] * 4) == "does not hold"
    assert verdict([True, True, True, False]) == "holds"
    assert verdict([False, False, True, True]) == "no verdict"


def factors(opened: int, *r2: float, sd: float = 0.01, met: tuple[bool, ...] = (True,) * 3) -> dict:
    names = ("x", "y", "scale", "shape (share right)", "rotation of ellipses", "rotation of hearts")
    measured = {
        name: {"mean": value, "by_seed": {"0": value - sd, "1": value, "2": value + sd}}
        for name, value in zip(names, r2, strict=True)
    }
    return {"open": [opened] * 3, "met": list(met), "r2": measured}


def test_a_factor_is_given_up_if_codes_tell_less_than_half_of_what_the_reference_tells():
    rows = {
        "reference": factors(10, 1.0, 1.0, 0.9, 0.8, 0.9, -0.1),
        "tight": factors(8, 1.0, 1.0, 0.9, 0.7, 0.8, -0.2),
    }
    loose = factors(3, 1.0, 1.0, 0.8, 0.4, 0.0, -0.1)
    verdict, figures = claims._given_up({"factors": {"VAE": rows | {"loose": loose}}})
    assert verdict == "holds"
    assert "VAE, loose: 3.0 open, x 1.00 (1.00), y 1.00 (1.00), scale 0.80 (0.89)" in figures
    assert "shape 0.40 (0.14)" in figures, "the plain number, and that above chance"
    assert "left out, because the reference predicts too little: rotation of hearts" in figures


def test_a_factor_that_is_half_kept_is_within_the_spread_of_the_runs():
    rows = {
        "reference": factors(10, 1.0, 1.0, 0.9, 0.8, 0.9, -0.1),
        "tight": factors(8, 1.0, 1.0, 0.9, 0.7, 0.8, -0.2),
    }
    turned = factors(4, 1.0, 1.0, 0.8, 0.4, 0.6, -0.1)
    doubtful = factors(4, 1.0, 1.0, 0.8, 0.4, 0.5, -0.1, sd=0.2)
    kinds = {"VAE": rows | {"loose": turned}, "flow": rows | {"loose": doubtful}}
    assert claims._given_up({"factors": kinds})[0] == (
        "within the spread: flow; does not hold for VAE"
    )


def test_factors_are_not_judged_by_runs_that_missed_the_threshold():
    rows = {
        "reference": factors(10, 1.0, 1.0, 0.9, 0.8, 0.9, -0.1),
        "tight": factors(8, 1.0, 1.0, 0.9, 0.7, 0.8, -0.2),
        "loose": factors(3, 1.0, 1.0, 0.8, 0.4, 0.0, -0.1, met=(True, False, False)),
    }
    verdict, figures = claims._given_up({"factors": {"flow": rows}})
    assert verdict == "no verdict" and "flow, loose: 1 of 3 runs count" in figures


@pytest.mark.parametrize("name", ["mnist_one_pass", "mnist_six_passes"])
def test_every_method_was_timed_on_the_same_images_and_judged(results: dict, name: str):
    found = results[name]
    assert found["images"] == 2000 and found["repeats"] >= 3
    assert all(row["gap"] > -1e-6 and 0 <= row["best_basin"] <= 1 for row in found["race"])
    methods = {row["method"] for row in found["race"]}
    assert {
        "AMD",
        "BFGS",
        "GaussNewton",
        "torch L-BFGS, summed batch",
        "torch Adam, tuned",
    } <= methods
    assert any(method.startswith("torchdiffeq") for method in methods)


@pytest.mark.parametrize("setting", files.load("race"))
def test_seconds_of_the_race_follow_from_its_runs(setting: str):
    raced = files.load("race")[setting]
    assert raced["versions"]["torch"]
    for one in raced["times"]:
        runs = [run for run in raced["runs"] if run["method"] == one["method"]]
        assert one["longest"] == max(run["seconds"] for run in runs)
        assert min(run["gap"] for run in runs) > -1e-6
        for gap in speed.GAPS:
            assert one[f"seconds to {gap:g}"] == time_to(runs, one["method"], gap)
