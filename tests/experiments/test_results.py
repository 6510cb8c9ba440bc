"""Measured figures that the project shows are those in data/results."""

import json
from pathlib import Path

import bench
import pytest

from gfe_core import experiments
from gfe_core.data import results as files
from gfe_core.experiments import claims, pages
from gfe_core.experiments.runner.jobs import gathered
from gfe_core.experiments.tables import gon

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((ROOT / "data" / "results" / "bench.json").read_text())


def test_readme_shows_the_seconds_that_were_measured(results: dict):
    page = (ROOT / "README.md").read_text()
    assert [row for row in bench.front_page(results) if row not in page] == []


def test_readme_shows_the_tables_of_the_paper_that_there_are_results_for():
    page = (ROOT / "README.md").read_text()
    for name in ("table1-few", "table1-converged", "two-by-two"):
        table = (
            experiments.experiment(name).table(files.load(name))
            if files.path(name).exists()
            else ""
        )
        assert [line for line in table.splitlines() if line not in page] == []


@pytest.mark.parametrize(
    ("name", "left_out", "digits"),
    [
        ("missing", ("flow", "logistic PCA", "logistic PCA, posterior mean"), 4),
        ("spectra", ("linear decoder, flow",), 1),
    ],
)
def test_readme_shows_hidden_pixels_and_spectra_as_they_were_found(
    name: str, left_out: tuple[str, ...], digits: int
):
    page = (ROOT / "README.md").read_text()
    for row, found in files.load(name)["energy"].items():
        told = [
            f"{f['mean']:.{digits}f} ± {f['sd']:.{digits}f}"
            for m, f in found.items()
            if m not in left_out
        ]
        assert f"| {row} | {' | '.join(told)} |" in page


def test_readme_shows_one_step_as_it_was_found():
    page = (ROOT / "README.md").read_text()
    table = experiments.experiment("gon").table(files.load("gon")).splitlines()
    rows = [
        line for line in table if line.startswith(tuple(f"| {method} |" for method in gon.COLUMNS))
    ]
    assert len(rows) == len(gon.COLUMNS) + len(gon.TIMED), "the errors, and those after seconds"
    assert [line for line in rows[: len(gon.COLUMNS)] if line not in page] == []


def test_readme_shows_gates_as_they_were_found():
    page = (ROOT / "README.md").read_text()
    table = experiments.experiment("narrowing").table(files.load("narrowing"))
    rows = [line for line in table.splitlines() if line.startswith(("| VAE", "| flow"))]
    assert len(rows) == 9 + 6, "planted, and factors of shapes"
    assert [line for line in rows if line not in page] == []


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
        assert record["settings"].keys() == job.settings.keys()
        if "config" in record:
            rule = {"grad_norm": 1e-6, "energy_slope": 3e-5, "window": 5}
            for config in (record["config"], record["arguments"]["config"]):
                assert rule.items() <= config.items()


def test_claims_and_tables_are_those_of_the_results_as_their_command_writes_them():
    assert {path: path.read_text() for path in pages.pages()} == pages.pages()


def test_a_claim_is_judged_by_where_one_column_lies_below_the_other():
    rows = {
        "few": {"ours": {"mean": 0.1}, "theirs": {"mean": 0.2}},
        "many": {"ours": {"mean": 0.1}, "theirs": {"mean": 0.09}},
    }
    assert claims._compared(rows, "ours", "theirs") == (
        "holds for few",
        "few: 0.1000 against 0.2000; many: 0.1000 against 0.0900",
    )
    assert claims._compared({"few": rows["few"]}, "ours", "theirs")[0] == "holds"
    assert claims._compared({"many": rows["many"]}, "ours", "theirs")[0] == "does not hold"


def test_a_factor_is_given_up_if_codes_tell_less_than_half_of_what_the_reference_tells():
    def row(opened: int, *told: float) -> dict:
        names = (
            "x",
            "y",
            "scale",
            "shape (share right)",
            "rotation of ellipses",
            "rotation of hearts",
        )
        return {
            "open": [opened],
            "r2": {name: {"mean": value} for name, value in zip(names, told, strict=True)},
        }

    rows = {
        "reference": row(10, 1.0, 1.0, 0.9, 0.8, 0.9, -0.1),
        "tight": row(8, 1.0, 1.0, 0.9, 0.7, 0.8, -0.2),
    }
    loose = row(3, 1.0, 1.0, 0.8, 0.4, 0.0, -0.1)
    verdict, told = claims._given_up({"factors": {"VAE": rows | {"loose": loose}}})
    assert (
        verdict == "holds"
        and "VAE, loose: 3.0 open, x 1.00, y 1.00, scale 0.89, shape 0.14" in told
    )
    assert "hearts" not in told, "the reference does not tell them"
    turned = {
        "VAE": rows | {"loose": row(4, 1.0, 1.0, 0.8, 0.4, 0.5, -0.1)},
        "flow": rows | {"loose": loose},
    }
    assert claims._given_up({"factors": turned})[0] == "holds for flow"


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
