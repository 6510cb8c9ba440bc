"""`python -m gfe_core`.

What one command wrote the next one accepts, and mistakes are answered, not traced back.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from small_sets import SMALL, sets  # noqa: F401  (a fixture)
from test_jobs import experiment

import gfe_core as gfe
from gfe_core import experiments
from gfe_core.cli import train as train_command
from gfe_core.cli.main import main
from gfe_core.data import results
from gfe_core.experiments import mnist_decoders
from gfe_core.experiments.runner.config import Config
from gfe_core.training.fitting import Report

pytestmark = pytest.mark.usefixtures("sets", "unchecked")
Answer = tuple[int, str, str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command; return its status, its output and its messages."""

    def run(*words: Any) -> Answer:
        status = main([str(word) for word in words])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file with just the fields of a config."""
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL | {"n_validation": 4, "rehearsals": 1}))
    return path


def weights(folder: Path) -> dict[str, Any]:
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {name: value.tolist() for name, value in saved["decoder"].items()}


def note(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_train_accepts_what_any_run_wrote_and_options_win_over_it(call, config, tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    status, out, err = call("train", "--folder", first, "--config", config)
    assert status == 0 and out.strip() == str(first / "run.json") and "batch 12/12, energy " in err
    assert call("train", "--folder", second, "--config", first / "run.json")[0] == 0
    assert weights(first) == weights(second)
    options = ("--seed", 4, "--hidden", 5, 6, "--schedule", "constant", "--learning-rate", 1)
    assert call("train", "--folder", third, "--config", first / "run.json", *options)[0] == 0
    changed = {"seed": 4, "hidden": (5, 6), "schedule": "constant", "learning_rate": 1.0}
    assert Config.read(third / "run.json") == Config(
        **asdict(Config.read(first / "run.json")) | changed
    )


def test_option_wins_over_a_file_even_where_it_is_the_default(call, config, tmp_path):
    content = json.loads(config.read_text()) | {"seed": 7, "weight_decay": 0.1}
    config.write_text(json.dumps(content))
    words = ("train", "--config", config, "--seed", 0, "--n-images", "None", "--epochs", 1)
    assert call(*words, "--folder", tmp_path / "run")[0] == 0
    changed = {"seed": 0, "n_images": None, "epochs": 1}
    assert Config.read(tmp_path / "run" / "run.json") == Config(**content | changed)


def test_optimizer_that_is_typed_brings_its_rate_unless_the_file_gives_one(call, tmp_path):
    path = tmp_path / "config.json"
    words = ("train", "--config", path, "--optimizer", "rmsprop", "--folder")
    for given, rate in ({}, 5e-4), ({"learning_rate": 0.01}, 0.01):
        fields = {name: value for name, value in SMALL.items() if name != "learning_rate"}
        path.write_text(json.dumps(fields | given))
        assert call(*words, tmp_path / str(rate))[0] == 0
        assert note(tmp_path / str(rate))["config"]["learning_rate"] == rate


def test_every_field_of_a_config_has_an_option(call, config, tmp_path):
    fields = asdict(
        Config(
            **SMALL | {"data": "fashion-mnist", "method": "stored_codes", "seed": 2},
            optimizer="rmsprop",
        )
    )
    words = [
        word
        for name, value in fields.items()
        for word in (
            f"--{name.replace('_', '-')}",
            *(value if isinstance(value, tuple) else (value,)),
        )
    ]
    assert call("train", "--folder", tmp_path / "run", *words)[0] == 0
    assert note(tmp_path / "run")["config"] == json.loads(json.dumps(fields))


def test_interrupted_training_exits_130_and_the_same_command_goes_on(
    call, config, tmp_path, monkeypatch
):
    words = ("train", "--config", config, "--folder")
    call(*words, tmp_path / "whole")

    def interrupt(report: Report) -> None:
        if report.step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_command, "tell", interrupt)
        status, out, err = call(*words, tmp_path / "run")
    assert status == 130 and out == "" and "Run the same command again to continue" in err
    assert note(tmp_path / "run")["updates"] == 10
    status, _, err = call(*words, tmp_path / "run")
    assert status == 0 and "batch 7/7" in err
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert call(*words, tmp_path / "run")[0] == 0  # nothing is left to do


@pytest.mark.slow
def test_ctrl_c_ends_a_training_process_with_130_and_without_a_traceback(config, tmp_path):
    command = [
        sys.executable,
        "-m",
        "gfe_core",
        "train",
        "--folder",
        tmp_path / "run",
        "--config",
        config,
    ]
    process = subprocess.Popen([*command, "--epochs", "100000"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("batch 50/600000")
        os.kill(process.pid, signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in told
    assert note(tmp_path / "run")["config"]["epochs"] == 100_000


def test_evaluate_judges_and_adds_to_the_run(call, config, tmp_path):
    call("train", "--folder", tmp_path / "run", "--config", config, "--method", "autoencoder")
    before = note(tmp_path / "run")
    status, out, _ = call("evaluate", "--folder", tmp_path / "run")
    assert status == 0 and json.loads(out) == note(tmp_path / "run")
    test = json.loads(out)["test"]
    assert note(tmp_path / "run") == before | {"test": test}
    assert (
        0
        < test["encoder_then_flow"]["excess"]
        < test["encoder"]["excess"]
        < test["encoder"]["energy"]
    )


def test_reproduce_prints_the_table_and_tells_of_every_job(call, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "folder", lambda: tmp_path / "results")
    monkeypatch.setattr(experiments, "experiment", lambda name: experiment(tmp_path))
    status, out, err = call("reproduce", "fig1", "--folder", tmp_path / "runs")
    assert status == 0 and out == "| 5 |\n"
    assert [line.split(" (")[0] for line in err.splitlines()] == [
        f"tiny-sum: {i + 1}/3 tiny-{i}" for i in range(3)
    ]
    status, _, err = call("reproduce", "fig1", "--folder", tmp_path / "runs", "--processes", 0)
    assert status == 1 and err == "`processes` must be at least 1, got 0.\n"


def test_interrupted_command_says_what_it_kept(call, monkeypatch):
    def train(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt("training was interrupted; nothing was written")

    monkeypatch.setattr(mnist_decoders, "train", train)
    status, _, err = call("decoders", "--passes", 1)
    assert status == 130 and err == "training was interrupted; nothing was written\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train",), "--folder"),
        (("train", "--folder", "x", "--latent-dims", 3), "--latent-dims"),
        (("train", "--folder", "x", "--epochs", "two"), "'two'"),
        (("reproduce", "table9"), "'table9'"),
        (("decoders", "--passes", 3), "'3'"),
    ],
)
def test_words_that_are_no_options_end_with_2_and_are_named_on_stderr(capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    told = capsys.readouterr()
    assert stopped.value.code == 2 and message in told.err and told.out == ""


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ('{"epoch": 3}', (), "unknown key 'epoch'. Did you mean 'epochs'?"),
        ("no JSON", (), "cannot be read as JSON"),
        (None, (), "small.json cannot be read as JSON: .* Pass the run.json of a run."),
        ('{"hidden": "wide"}', (), "`hidden` must be a list of widths"),
        (
            "{}",
            ("--latent-dim", 17),
            "`latent_dim` must not exceed `data_dim` 16, got 17. .* lower `latent_dim`",
        ),
        (
            "{}",
            ("--latent-dim", 2, "--n-images", 101),
            "`n_images` must be at most 100 .* got 101. Ask for fewer.",
        ),
        ("{}", ("--method", "autoencodr"), "`method` must be 'flow' or .* got 'autoencodr'"),
        (
            "{}",
            ("--learning-rate", "nan"),
            "`learning_rate` must be a positive finite number, got nan.",
        ),
        (
            "{}",
            ("--data", "emnist"),
            "`name` must be one of .*; got 'emnist'. Did you mean 'mnist'?",
        ),
    ],
)
def test_config_that_makes_no_sense_is_answered_and_leaves_nothing(
    call, config, tmp_path, content, options, message
):
    if content is None:
        config.unlink()
    else:
        config.write_text(content)
    status, out, err = call("train", "--folder", tmp_path / "run", "--config", config, *options)
    assert status == 1 and out == "" and not (tmp_path / "run").exists()
    assert re.search(message, err), err


def test_folder_that_does_not_fit_is_answered(call, config, tmp_path):
    words = ("train", "--config", config, "--folder")
    folder = tmp_path / "run"
    status, _, err = call("evaluate", "--folder", folder)
    assert status == 1 and f"Make one: `python -m gfe_core train --folder {folder}`." in err
    assert call(*words, folder)[0] == 0
    status, _, err = call(*words, folder, "--size", 9)
    assert status == 1 and "holds a run with another size. Choose another folder" in err
    checkpoint = folder / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    for command in (words, ("evaluate", "--folder")):
        status, _, err = call(*command, folder)
        assert status == 1 and "restore a copy, or train again." in err
    status, _, err = call(*words, config / "below a file")
    assert status == 1 and "small.json" in err


def test_what_only_load_takes_is_said_in_a_line_of_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "mine.csv").write_text("kind,mass\ndog,1.5\ncat,2.5\nowl,3.5\n")
    decoder = gfe.MLPDecoder(latent_dim=1, hidden=(2,), data_dim=1)
    model = gfe.save(tmp_path / "m.pt", decoder, loss=gfe.Gaussian())
    words = ["--model", str(model), "--data", str(tmp_path / "mine.csv"), "--out", str(tmp_path)]
    assert main(["encode", *words]) == 1
    told = capsys.readouterr().err
    assert "`label=`" in told and "numpy.save('x.npy', data.x.numpy())" in told


def test_a_run_is_not_gone_on_with_on_other_data_and_one_that_learnt_nothing_is_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table, folder = tmp_path / "mine.csv", tmp_path / "run"

    def train(*more: str) -> tuple[int, str]:
        words = ["--data", str(table), "--folder", str(folder), "--latent-dim", "1"]
        status = main(["train", *words, "--hidden", "2", "--n-validation", "2", *more])
        return status, capsys.readouterr().err

    def write(factor: float) -> None:
        lines = [f"{factor * k},{factor * k * k}" for k in range(1, 13)]
        table.write_text("\n".join(["a,b", *lines]))

    write(1.5)
    status, told = train("--epochs", "1", "--loss", "bernoulli")
    assert status == 1 and "must lie in [0, 1]" in told
    assert train("--epochs", "1", "--loss", "gaussian")[0] == 0, "nothing was learnt before"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write(75.0)
    status, told = train("--epochs", "1", "--loss", "gaussian")
    assert status == 1 and "is not what the run in" in told
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
