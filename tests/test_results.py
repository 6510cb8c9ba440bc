"""Measured figures that the project shows are those in data/results."""

import json
from pathlib import Path

import bench
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((ROOT / "data" / "results" / "bench.json").read_text())


def test_readme_shows_the_seconds_that_were_measured(results: dict):
    page = (ROOT / "README.md").read_text()
    assert [row for row in bench.front_page(results) if row not in page] == []


@pytest.mark.parametrize("name", ["mnist_one_pass", "mnist_six_passes"])
def test_every_method_was_timed_on_the_same_images_and_judged(results: dict, name: str):
    found = results[name]
    assert found["images"] == 2000 and found["repeats"] >= 3
    assert all(row["gap"] > -1e-6 and 0 <= row["best_basin"] <= 1 for row in found["race"])
    methods = {row["method"] for row in found["race"]}
    assert {"AMD", "BFGS", "GaussNewton", "torch L-BFGS, summed batch", "torch Adam, tuned"} <= methods
    assert any(method.startswith("torchdiffeq") for method in methods)
