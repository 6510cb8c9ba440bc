"""One cell of a table runs alone, at its committed seeds or at another, and changes no table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gfe_core import experiments
from gfe_core.cli.main import main
from gfe_core.experiments import one_cell
from gfe_core.experiments.one_cell import OTHER_SEEDS, figures, reproduce_cell
from gfe_core.experiments.runner.jobs import Experiment, Job, reproduce
from gfe_core.experiments.tables import NAMES

SEEDS = (0, 1)


def measured(kind: str, config: Mapping[str, Any], diary: str) -> dict[str, Any]:
    """Work of the fake table; a line in the diary tells of every time that it was done."""
    with Path(diary).open("a") as lines:
        lines.write(f"{kind} {config['seed']}\n")
    energy = {"red": 1.0, "blue": 2.0, "redder": 3.0}[kind] + config["seed"] / 10
    return {"test": {"flow": {"energy": energy}}, "curve": [9.0, energy], "picture": "AAAA"}


def job(kind: str, seed: int, tmp_path: Path) -> Job:
    config = {"seed": seed, "size": 5}
    arguments = {"kind": kind, "config": config, "diary": str(tmp_path / "diary")}
    return Job(f"tiny-{kind}-{seed}", measured, arguments, {"kind": kind, "seed": seed})


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """A table of three cells at two seeds, whose files lie in a folder of the test."""
    monkeypatch.setattr("gfe_core.data.results.folder", lambda: tmp_path / "results")
    jobs = [job(kind, seed, tmp_path) for seed in SEEDS for kind in ("red", "blue", "redder")]
    found = Experiment("tiny", "Which?", jobs, lambda records: {"n": len(records)}, str)
    monkeypatch.setattr(experiments, "experiment", lambda name: found)
    return found


def done(tmp_path: Path) -> list[str]:
    """Cells and seeds that were done since the last call."""
    diary = tmp_path / "diary"
    lines = diary.read_text().splitlines() if diary.exists() else []
    diary.unlink(missing_ok=True)
    return lines


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.json")
        if path.is_file()
    }


def test_one_cell_runs_at_all_committed_seeds_and_writes_no_result_file(tiny, tmp_path):
    told: list[str] = []
    found = reproduce_cell(tiny, "tiny-red", tell=told.append)
    assert done(tmp_path) == ["red 0", "red 1"] and found.keys() == {0, 1}
    runs = tmp_path / "runs"
    assert files(tmp_path).keys() == {"runs/tiny-red-0.json", "runs/tiny-red-1.json"}
    assert [line.split(" (")[0] for line in told] == [
        "tiny, tiny-red: 1/2 tiny-red-0",
        "tiny, tiny-red: 2/2 tiny-red-1",
        f"kept as {runs / 'tiny-red-0.json'}, {runs / 'tiny-red-1.json'}",
    ]


def test_committed_seed_is_the_job_of_the_whole_table(tiny, tmp_path):
    assert reproduce_cell(tiny, "tiny-red", seed=1)[1]["arguments"]["config"]["seed"] == 1
    assert done(tmp_path) == ["red 1"]
    reproduce_cell(tiny, "tiny-red", seed=1)
    assert done(tmp_path) == []
    reproduce(tiny)
    assert sorted(done(tmp_path)) == ["blue 0", "blue 1", "red 0", "redder 0", "redder 1"]


def test_seed_that_is_not_committed_is_kept_apart_and_changes_no_other_file(tiny, tmp_path):
    content = reproduce(tiny)
    done(tmp_path)
    before = files(tmp_path)
    found = reproduce_cell(tiny, "tiny-blue", seed=7)
    assert done(tmp_path) == ["blue 7"]
    after = files(tmp_path)
    own = f"runs/{OTHER_SEEDS}/tiny-blue-7.json"
    assert after.keys() - before.keys() == {own} and before.items() <= after.items()
    record = json.loads(after[own])
    assert record == found[7] and record["fields"] == {"kind": "blue", "seed": 7}
    assert record["arguments"]["config"] == {"seed": 7, "size": 5}
    assert reproduce(tiny) == content and done(tmp_path) == []


def test_folder_given_holds_both_kinds_of_seeds(tiny, tmp_path):
    for seed in (0, 7):
        reproduce_cell(tiny, "tiny-red", seed=seed, folder=tmp_path / "mine")
    assert files(tmp_path).keys() == {
        "mine/tiny-red-0.json",
        f"mine/{OTHER_SEEDS}/tiny-red-7.json",
    }


def test_figures_of_all_seeds_stand_beside_those_that_are_shipped(tiny, tmp_path):
    reproduce(tiny)
    lines = figures(tiny, reproduce_cell(tiny, "tiny-red")).splitlines()
    assert lines[0] == "| figure | seed 0 | seed 1 | mean ± sd | shipped, seeds 0, 1 |"
    energies = "| 1.0000 | 1.1000 | 1.0500 ± 0.0707 | 1.0500 ± 0.0707 |"
    assert lines[2:] == [f"| test, flow, energy {energies}", f"| curve, last of 2 {energies}"]


@pytest.mark.parametrize(
    ("seed", "title", "energy", "shipped"),
    [
        (1, "shipped, seed 1", "1.1000", "1.1000"),
        (7, "shipped, seeds 0, 1", "1.7000", "1.0500 ± 0.0707"),
    ],
)
def test_figures_of_one_seed_stand_beside_the_same_or_all_seeds(
    seed, title, energy, shipped, tiny, tmp_path
):
    reproduce(tiny)
    lines = figures(tiny, reproduce_cell(tiny, "tiny-red", seed=seed)).splitlines()
    assert lines[0] == f"| figure | seed {seed} | {title} |"
    assert lines[2] == f"| test, flow, energy | {energy} | {shipped} |"


def test_figures_without_a_result_file_stand_alone(tiny, tmp_path):
    found = reproduce_cell(tiny, "tiny-red", seed=1)
    assert figures(tiny, found).splitlines()[0] == "| figure | seed 1 |"


def test_number_that_a_seed_lacks_is_a_dash(tiny, tmp_path):
    found = reproduce_cell(tiny, "tiny-red")
    del found[1]["curve"]
    assert figures(tiny, found).splitlines()[3] == "| curve, last of 2 | 1.0000 | – | – |"


def test_unknown_cell_is_answered_with_all_cells_the_nearest_first(tiny, tmp_path):
    with pytest.raises(ValueError, match="`only` must be a cell of tiny, got 'tiny-rede'") as told:
        reproduce_cell(tiny, "tiny-rede", seed=1)
    listed = str(told.value).removesuffix(".").split("nearest first: ")[1].split(", ")
    assert set(listed[:2]) == {"tiny-red", "tiny-redder"} and listed[2:] == ["tiny-blue"]
    with pytest.raises(ValueError, match="nearest first: tiny-red, tiny-blue, tiny-redder"):
        reproduce_cell(tiny, "zzz")
    assert files(tmp_path) == {} and done(tmp_path) == []


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_is_refused(seed, tiny, tmp_path):
    with pytest.raises(ValueError, match=f"`seed` must be from 0 to 4294967295, got {seed}"):
        reproduce_cell(tiny, "tiny-red", seed=seed)
    assert done(tmp_path) == []


def test_command_runs_one_cell_and_prints_its_figures(tiny, tmp_path, capsys):
    words = ["reproduce", "fig1", "--only", "tiny-red", "--seed", "7"]
    assert main(words) == 0 and done(tmp_path) == ["red 7"]
    told = capsys.readouterr()
    assert told.out.startswith("| figure | seed 7 |\n")
    assert told.err.splitlines()[1] == f"kept as {tmp_path / 'runs/other_seeds/tiny-red-7.json'}"
    assert main(["reproduce", "fig1", "--only", "tiny-rad"]) == 1
    assert "`only` must be a cell of tiny, got 'tiny-rad'" in capsys.readouterr().err
    assert main(["reproduce", "fig1", "--seed", "7"]) == 1
    assert "`seed` 7 needs a cell" in capsys.readouterr().err
    assert done(tmp_path) == [] and not (tmp_path / "results").exists()


# the shipped tables


@pytest.mark.parametrize("name", NAMES)
def test_jobs_of_a_cell_are_one_job_at_several_seeds(name: str):
    """So that a seed that is not committed runs with the committed settings."""
    experiment = experiments.experiment(name)
    for cell in one_cell.cells(experiment):
        jobs = [job for job in experiment.jobs if job.cell == cell]
        for one in jobs:
            assert one.name == f"{cell}-{one.fields['seed']}"
            again = jobs[0].with_seed(one.fields["seed"])
            assert again.name == one.name and again.description == one.description


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_changes_the_name_and_every_seed_and_nothing_else(name: str):
    for cell in experiments.experiment(name).jobs:
        other = cell.with_seed(12_345)
        assert other.name not in {one.name for one in experiments.experiment(name).jobs}
        text = json.dumps(other.description)
        assert text.count('"seed": 12345') == text.count('"seed": ') >= 2
        assert other.with_seed(cell.fields["seed"]) == cell


def test_figures_of_every_shipped_cell_have_numbers():
    from gfe_core.data import results

    for name in NAMES:
        experiment = experiments.experiment(name)
        records = results.load(name)["cells"]
        for cell in one_cell.cells(experiment):
            found = {
                job.fields["seed"]: records[job.name] for job in experiment.jobs if job.cell == cell
            }
            lines = figures(experiment, found).splitlines()
            assert len(lines) > 2 and "shipped, seed" in lines[0], cell
