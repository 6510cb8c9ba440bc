"""`--help` explains every command and every option, wherever it is printed."""

import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gfe_core.cli.main import COMMANDS, main
from gfe_core.experiments.runner.config import METHODS, RATES, SETS, Config

ROOT = Path(__file__).parents[2]
OPTION = re.compile(r"^[│| ]*--([a-z][a-z-]*) ", re.MULTILINE)


@pytest.fixture
def help_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """What a command prints with `--help`, in lines so long that nothing is wrapped."""
    monkeypatch.setenv("COLUMNS", "1000")

    def printed(*words: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main([*words, "--help"])
        assert stopped.value.code == 0
        return capsys.readouterr().out

    return printed


def line_of(option: str, text: str) -> str:
    return next(line for line in text.splitlines() if f"--{option.replace('_', '-')} " in line)


def documented(owner: type) -> dict[str, str]:
    """The `Args` of a class docstring: field to text, in one line each."""
    section = inspect.cleandoc(owner.__doc__ or "").split("Args:\n")[1].split("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, flags=re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).strip() for name, text in found}


def test_list_of_commands_has_each_with_the_first_line_of_its_docstring(help_of):
    text = help_of()
    for name, command in COMMANDS.items():
        first = (command.__doc__ or "").splitlines()[0]
        assert re.search(rf"• {name} +{re.escape(first)}", text), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_explained(help_of, name: str):
    command = COMMANDS[name]
    assert is_dataclass(command)
    text = help_of(name)
    assert text.startswith(f"usage: python -m gfe_core {name} ")
    for field in fields(command):
        assert documented(command)[field.name] in text, field.name
    options = OPTION.findall(text)
    n_words = {"reproduce": 1, "bundled": 1, "lab": 2, "site": 1}.get(name, 0)
    assert len(options) >= len(fields(command)) - n_words, "words have no dashes, options do"
    for option in options:
        words = line_of(option, text).strip("│| ").split("(default")[0].split()[2:]
        assert len(words) >= 3, f"--{option} is not explained"


def test_train_explains_every_field_of_a_config_with_its_default(help_of):
    text = help_of("train")
    told = documented(Config)
    assert list(told) == [field.name for field in fields(Config)]
    for field in fields(Config):
        default = field.default
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        line = line_of(field.name, text)
        assert told[field.name] in line and f"(default: {shown})" in line


def test_ranges_in_the_help_are_those_that_a_config_keeps():
    """Each bound is tried on both sides; an open bound is said by "above" or "below"."""
    at_least = {
        "n_images": 1,
        "latent_dim": 1,
        "size": 1,
        "epochs": 1,
        "updates_per_encode": 1,
        "rehearsals": 0,
        "rehearsal_size": 1,
        "max_steps": 1,
        "seed": 0,
    }
    told = documented(Config)
    for name, bound in at_least.items():
        assert f"at least {bound}" in told[name] or f"from {bound} to" in told[name], name
        allowed: dict[str, Any] = {name: bound}
        Config(**allowed)
        refused: dict[str, Any] = {name: bound - 1}
        with pytest.raises(ValueError, match=f"`{name}`"):
            Config(**refused)
    assert "at least 0" in told["weight_decay"] and Config(weight_decay=0.0)
    assert "above 0" in told["learning_rate"] and "above 0 and below 1" in told["warm_up"]
    assert "from 0 to 10,000" in told["n_validation"] and Config(n_validation=10_000)
    for name, value in (
        ("weight_decay", -1e-9),
        ("learning_rate", 0.0),
        ("warm_up", 0.0),
        ("warm_up", 1.0),
        ("n_validation", 10_001),
        ("n_validation", -1),
    ):
        beyond: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=f"`{name}`"):
            Config(**beyond)


def test_words_of_a_choice_are_all_in_the_help():
    told = documented(Config)
    for name, choices in (("data", SETS), ("method", METHODS), ("optimizer", RATES)):
        assert sorted(re.findall(r'"([\w-]+)"', told[name])) == sorted(choices)


COMMANDS_IN_TURN = """
import os, runpy, sys
for columns, *words in {calls}:
    os.environ["COLUMNS"] = str(columns)
    sys.argv = ["gfe_core", *words]
    status = 0
    try:
        runpy.run_module("gfe_core", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        status = stop.code or 0
    print("ended with", status)
"""
"""One process starts them all: the import of torch takes longer than they do."""


def in_turn(*calls: tuple[int | str, ...], **environment: str) -> list[tuple[str, int]]:
    """Start `python -m gfe_core` with a width and words; return output and exit status of each."""
    run = subprocess.run(
        [sys.executable, "-c", COMMANDS_IN_TURN.format(calls=calls)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | environment | {"PYTHONIOENCODING": "utf-8"},
    )
    assert "Traceback" not in run.stderr
    ends = re.findall(r"(.*?)ended with (\d+)\n", run.stdout, flags=re.DOTALL)
    assert len(ends) == len(calls)
    return [(text, int(status)) for text, status in ends]


@pytest.mark.slow
def test_help_of_a_process_has_no_colours_and_keeps_to_the_width_given():
    widths = (80, 100)
    answers = in_turn(*((columns, "train", "--help") for columns in widths))
    for columns, (text, status) in zip(widths, answers, strict=True):
        assert status == 0 and "\x1b" not in text
        assert 60 < max(map(len, text.splitlines())) <= columns


@pytest.mark.slow
def test_commands_work_where_torchvision_is_broken(tmp_path: Path):
    (tmp_path / "torchvision.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    calls = ((80, "--help"), (80, "train", "--help"), (80, "doctor"))
    *helps, doctor = in_turn(*calls, PYTHONPATH=path)
    for text, status in helps:
        assert status == 0 and text.startswith("usage: python -m gfe_core ")
    text, status = doctor
    assert status == 1
    assert "FIX  torchvision: RuntimeError: operator torchvision::nms" in text
    assert text.endswith("1 to fix.\n")


def test_console_script_is_the_command_line(monkeypatch, help_of):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, name = scripts["gfe"].split(":")
    assert getattr(import_module(module), name) is main
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/gfe", "train", "--help"])
    assert help_of("train").startswith("usage: gfe train ")
