"""Experiments do what is missing, in one process or in several, and write whole files or none."""

import ast
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_sets import SMALL, sets  # noqa: F401  (a fixture)

import gfe_core as gfe
from gfe_core import experiments
from gfe_core.data.batches import Batches
from gfe_core.data.files import write_json, write_text
from gfe_core.experiments.runner.jobs import Experiment, Job, do, reproduce
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import NAMES
from gfe_core.experiments.tables import cells as tables


def square(number: int, diary: str) -> dict[str, Any]:
    """Work of the fake experiment; a file in the diary tells of every time that it was done."""
    Path(diary, f"{number}-{time.monotonic_ns()}").touch()
    return {"square": number**2, "seed": number, "threads_used": torch.get_num_threads()}


def slow(number: int, diary: str) -> dict[str, Any]:
    """The first job takes no time and the others ten minutes."""
    if number:
        time.sleep(600)
    return square(number, diary)


def broken(number: int, diary: str) -> dict[str, Any]:
    """The first job fails at once."""
    if number == 0:
        raise ValueError("`number` must not be 0.")
    time.sleep(0.5)
    return square(number, diary)


def interrupted_fit(number: int, diary: str) -> dict[str, Any]:
    """Training in which Ctrl-C is pressed."""
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=4)
    stop = [lambda report: signal.raise_signal(signal.SIGINT)]
    gfe.fit(decoder, Batches(torch.rand(4, 4), size=2), callbacks=stop, on_interrupt="raise")
    return square(number, diary)


def gather(records: Records) -> dict[str, Any]:
    return {"sum": sum(record["square"] for record in records)}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Result files go here, not to the repository."""
    monkeypatch.setattr("gfe_core.data.results.folder", lambda: tmp_path / "results")
    return tmp_path / "results"


def experiment(tmp_path: Path, n: int = 3, work: Any = square) -> Experiment:
    diary = tmp_path / "diary"
    diary.mkdir(exist_ok=True)
    todo = [
        Job(f"tiny-{i}", work, {"number": i, "diary": str(diary)}, {"number": i}, {"stop": "now"})
        for i in range(n)
    ]
    return Experiment(
        "tiny-sum", "What is the sum?", todo, gather, lambda content: f"| {content['sum']} |"
    )


def done(tmp_path: Path) -> list[int]:
    """Numbers of the jobs that were done, once for each time."""
    return sorted(int(path.name.split("-")[0]) for path in (tmp_path / "diary").iterdir())


def values(content: Mapping[str, Any]) -> dict[str, Any]:
    """A result without its times."""
    cells = {
        name: {k: v for k, v in cell.items() if k != "seconds"}
        for name, cell in content["cells"].items()
    }
    return {**content, "cells": cells}


# experiments


def test_result_file_holds_question_command_figures_and_what_every_job_told(tmp_path, results):
    content = reproduce(experiment(tmp_path), folder=tmp_path / "runs")
    assert json.loads((results / "tiny_sum.json").read_text()) == content
    assert content["command"] == "python -m gfe_core reproduce tiny-sum" and content["sum"] == 5
    cell = content["cells"]["tiny-2"]
    assert cell["fields"] == {"number": 2} and cell["settings"] == {"stop": "now"}
    assert cell["square"] == 4 and cell["arguments"]["number"] == 2 and cell["seed"] == 2
    assert (
        cell["versions"].keys() == {"gfe_core", "torch", "python"}
        and cell["machine"]
        and cell["seconds"] >= 0
    )


def test_only_missing_jobs_are_done(tmp_path, results):
    folder = tmp_path / "runs"
    told = []
    first = reproduce(experiment(tmp_path), folder=folder)
    assert done(tmp_path) == [0, 1, 2]
    (folder / "tiny-1.json").unlink()
    again = reproduce(experiment(tmp_path), folder=folder, tell=told.append)
    assert done(tmp_path) == [0, 1, 1, 2] and values(again) == values(first)
    assert [line.rsplit(" (", 1)[0] for line in told] == ["tiny-sum: 3/3 tiny-1"]


def remade(tmp_path: Path, stored: dict[str, Any], job: Job) -> tuple[list[str], dict[str, Any]]:
    """Run a job whose file holds this; return its messages, and the file's content afterwards."""
    folder = tmp_path / "runs"
    write_json(job.file(folder), stored)
    told: list[str] = []
    reproduce(Experiment("tiny-sum", "", [job], gather, str), folder=folder, tell=told.append)
    return told, json.loads(job.file(folder).read_text())


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"settings": {"stop": "later"}}, "settings.stop 'later' (today 'now')"),
    ({"settings": {"stop": "now", "rate": 1}}, "settings.rate 1 (today none)"),
    ({"settings": {}}, "no settings.stop (today 'now')"),
    ({"fields": {"number": 7}}, "fields.number 7 (today 0)"),
]


@pytest.mark.parametrize(("stored", "difference"), CHANGES)
def test_job_made_otherwise_is_said_in_one_line_made_again_and_its_old_file_kept(
    stored, difference, tmp_path, results
):
    job = experiment(tmp_path).jobs[0]
    old = {"square": 99, **job.description, **stored}
    told, now = remade(tmp_path, old, job)
    assert told[0] == (
        f"tiny-0 was made with {difference}: it is made again, and the old file is kept in "
        f"{tmp_path / 'runs' / 'earlier'}"
    )
    assert len(told) == 2 and now["square"] == 0 and now["settings"] == {"stop": "now"}
    assert json.loads((tmp_path / "runs" / "earlier" / "tiny-0-1.json").read_text()) == old


def test_every_old_file_is_kept_and_a_long_list_of_changes_is_cut(tmp_path, results):
    tiny = experiment(tmp_path, n=1).jobs[0]
    job = replace(tiny, settings={"a": 1, "b": 2, "c": 3})
    for again in (1, 2):
        told, _ = remade(tmp_path, {"square": 9, **job.description, "settings": {"x": 0}}, job)
        assert "made with settings.x 0 (today none), no settings.a (today 1) and 2 more:" in told[0]
        assert len(list((tmp_path / "runs" / "earlier").iterdir())) == again


def test_files_of_the_first_build_which_had_no_settings_are_taken_as_they_are(tmp_path, results):
    job = experiment(tmp_path).jobs[0]
    old = {"square": 99, "arguments": {"number": 0}}  # a later build has more arguments
    told, now = remade(tmp_path, old, job)
    assert told == [] and now == old and done(tmp_path) == []
    content = json.loads((results / "tiny_sum.json").read_text())
    assert content["cells"]["tiny-0"] == old | {"fields": {"number": 0}}
    told, now = remade(tmp_path, {"square": 99, "arguments": {"number": 1}}, job)
    assert "made with arguments.number 1 (today 0): " in told[0] and now["square"] == 0


def test_job_whose_file_is_damaged_is_done_again_and_the_file_kept(tmp_path, results):
    folder = tmp_path / "runs"
    reproduce(experiment(tmp_path), folder=folder)
    (folder / "tiny-1.json").write_text('{"square": 1, ')
    assert reproduce(experiment(tmp_path), folder=folder)["sum"] == 5
    assert done(tmp_path) == [0, 1, 1, 2]
    assert (folder / "earlier" / "tiny-1-1.json").read_text() == '{"square": 1, '


@pytest.mark.slow
def test_two_processes_give_what_one_gives_and_each_uses_one_thread(tmp_path, results):
    torch.set_num_threads(2)
    try:
        one = reproduce(experiment(tmp_path), folder=tmp_path / "one")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    two = reproduce(experiment(tmp_path), folder=tmp_path / "two", processes=2)
    assert values(one) == values(two) and done(tmp_path) == [0, 0, 1, 1, 2, 2]
    assert {cell["threads_used"] for cell in one["cells"].values()} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_interrupt_leaves_finished_jobs_and_does_not_wait_for_others(processes, tmp_path, results):
    folder = tmp_path / "runs"

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(
            experiment(tmp_path, work=slow), folder=folder, processes=processes, tell=interrupt
        )
    while multiprocessing.active_children():
        time.sleep(0.1)
    assert [path.name for path in folder.iterdir()] == ["tiny-0.json"]
    assert not results.exists()
    assert reproduce(experiment(tmp_path), folder=folder)["sum"] == 5 and done(tmp_path) == [
        0,
        1,
        2,
    ]


@pytest.mark.slow
def test_job_that_fails_keeps_the_work_of_those_that_run_and_says_why(tmp_path, results):
    with pytest.raises(ValueError, match="`number` must not be 0"):
        reproduce(experiment(tmp_path, n=2, work=broken), folder=tmp_path / "runs", processes=2)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tiny-1.json"]


def test_interrupt_in_a_training_leaves_no_result(tmp_path):
    job = experiment(tmp_path, n=1, work=interrupted_fit).jobs[0]
    with pytest.raises(KeyboardInterrupt):
        do(job, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_training_of_an_experiment_asks_for_the_interrupt():
    """Half a training is no result; `fit` returns one to a notebook and to nobody else."""
    folder = Path(experiments.__file__).parent
    trainings = [
        (path.name, call)
        for path in folder.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("gfe.fit", "encoders.fit_encoder")
    ]
    assert len(trainings) >= 8
    for name, call in trainings:
        asked = [ast.unparse(word.value) for word in call.keywords if word.arg == "on_interrupt"]
        assert asked == ["'raise'"], f"{name}, line {call.lineno}"


def test_fewer_than_one_process_is_refused(tmp_path, results):
    with pytest.raises(ValueError, match="`processes` must be at least 1, got 0"):
        reproduce(experiment(tmp_path), folder=tmp_path, processes=0)


# files


def test_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "result.json"
    write_text(path, "Schrödinger\n")
    with pytest.raises(
        ValueError, match="`content` of .*result.json has NaN or infinity. Write None in its place"
    ):
        write_json(path, {"energy": float("nan")})
    monkeypatch.setattr(
        os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError("not here"))
    )
    with pytest.raises(PermissionError):
        write_json(path, {"energy": 1})
    assert (
        path.read_text(encoding="utf-8") == "Schrödinger\n"
        and len(list(path.parent.iterdir())) == 1
    )


# tables


def test_summary_has_mean_spread_and_the_value_of_each_seed():
    several = tables.summary({0: 1.0, 1: 2.0, 2: 6.0})
    assert several["mean"] == 3.0 and several["sd"] == pytest.approx(7**0.5)
    assert several["by_seed"] == {"0": 1.0, "1": 2.0, "2": 6.0}
    assert tables.summary({4: 1.5}) == {"mean": 1.5, "sd": None, "by_seed": {"4": 1.5}}


def test_energies_are_collected_by_method_way_and_seed():
    def record(method: str, seed: int, energy: float, **more: Any) -> dict[str, Any]:
        fields = {"method": method, "seed": seed, **more}
        return {"fields": fields, "test": {"flow": {"energy": energy, "excess": energy - 1}}}

    records = Records(
        [
            record("stored_codes", 0, 2.0, n=480),
            record("stored_codes", 1, 3.0, n=480),
            record("flow", 0, 4.0, n=4800),
            record("flow", 12, 5.0, n=480),
        ]
    )
    assert tables.collect(records.where(n=480)) == {
        "stored_codes, flow": {0: 2.0, 1: 3.0},
        "flow, flow": {12: 5.0},
    }
    assert tables.collect(records.where(n=4800), "excess") == {"flow, flow": {0: 3.0}}


def test_records_are_chosen_by_their_fields():
    rows = [
        {"fields": {"method": method, "seed": seed}, "energy": seed}
        for method in ("a", "b")
        for seed in (0, 1)
    ]
    records = Records(rows)
    assert records.only(method="b", seed=1) is rows[3] and len(records.where(seed=0)) == 2
    assert records.where(method="a").by("seed") == {0: rows[0], 1: rows[1]}
    assert list(records[1:]) == rows[1:] and len(records.where(size=3)) == 0
    with pytest.raises(ValueError, match="must name one record, got 2 of 4. Name more fields"):
        records.only(method="a")
    with pytest.raises(ValueError, match="must name one record, got 0 of 4"):
        records.only(method="c", seed=0)
    with pytest.raises(ValueError, match="`name` 'seed' must tell all 4 records apart, got 2"):
        records.by("seed")


@pytest.mark.parametrize("name", NAMES)
def test_jobs_of_an_experiment_are_told_apart_by_their_fields(name: str):
    jobs = experiments.experiment(name).jobs
    fields = [json.dumps(job.description["fields"], sort_keys=True) for job in jobs]
    assert len(set(fields)) == len(jobs) == len({job.name for job in jobs})


@pytest.mark.parametrize("name", NAMES)
def test_jobs_that_find_codes_by_the_flow_write_out_their_rule_of_stopping(name: str):
    """Later defaults of `encode` then change no result that is there."""
    rule = repr(gfe.Stop(grad_norm=1e-6, energy_slope=3e-5, window=5))
    for job in experiments.experiment(name).jobs:
        told = job.description
        for options in (told["settings"].get(part) for part in ("judging", "flow")):
            assert options is None or options["stop"] == rule
        config = told["arguments"].get("config")
        assert config is None or (config["grad_norm"], config["window"]) == (1e-6, 5)
    texts = [json.dumps(job.description) for job in experiments.experiment(name).jobs]
    assert any("Stop(grad_norm=1e-06, energy_slope=3e-05, window=5)" in text for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_no_job_by_the_default_optimizer_names_it(name: str):
    """Otherwise every record made before there was a choice would be made again."""
    for job in experiments.experiment(name).jobs:
        for part in ("config", "fitted"):
            assert "optimizer" not in job.arguments.get(part, {})


def test_row_shows_the_spread_only_where_there_is_one():
    summaries = {"a": tables.summary({0: 1.0, 1: 2.0}), "b": tables.summary({0: 1.0})}
    assert tables.cells_of(summaries, {"first": "a", "second": "b"}) == [
        "1.5000 ± 0.7071",
        "1.0000",
    ]
    assert tables.row("x", 1) == "| x | 1 |"


def test_trained_cell_judges_a_decoder_by_an_encoder_fitted_to_it_afterwards(sets: Path):  # noqa: F811
    config = SMALL | {"n_validation": 5}
    fitted = config | {"method": "autoencoder", "epochs": 4, "updates_per_encode": 2}
    cell = tables.trained_cell(config, fitted=fitted)
    alone = tables.trained_cell(config)
    assert cell["test"].keys() == {"flow", "encoder", "encoder_then_flow"} and alone[
        "test"
    ].keys() == {"flow"}
    assert cell["test"]["flow"] == alone["test"]["flow"]  # the decoder stayed as it was
    assert cell["test"]["encoder_then_flow"]["energy"] < cell["test"]["encoder"]["energy"]
    assert cell["config"]["seed"] == 0 and cell["cpu_seconds"] >= 0 and cell["updates"] == 12


def test_pca_cell_sees_the_images_of_its_seed_and_beats_the_mean_image(sets: Path):  # noqa: F811
    mean, pca = (tables.pca_cell("mnist", 60, latent_dim, 0) for latent_dim in (0, 3))
    assert pca["test"]["encoder"]["energy"] < mean["test"]["encoder"]["energy"]
    assert mean["seed"] == 0 and 0.0025 <= pca["clip"] <= 0.04
