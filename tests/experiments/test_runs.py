"""A run is a function of its config, goes on where it was left, and is judged on new data."""

import json
import math
import signal
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from small_sets import SMALL, sets  # noqa: F401  (a fixture)
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.experiments.runner import config as config_module
from gfe_core.experiments.runner import runs
from gfe_core.experiments.runner.callbacks import Rehearsal, Watch
from gfe_core.experiments.runner.config import METHODS, Config, chosen_images, images, schedule_of
from gfe_core.experiments.runner.runs import Run, build, evaluate, finish, train
from gfe_core.training.fitting import History, Report, update
from gfe_core.types import Encoding, Statistics

pytestmark = pytest.mark.usefixtures("sets")
every_method = pytest.mark.parametrize("method", METHODS)


def small(**changes: Any) -> Config:
    fields: dict[str, Any] = (
        SMALL | {"rehearsals": 2, "rehearsal_size": 4, "n_validation": 8} | changes
    )
    return Config(**fields)


@cache
def whole(config: Config) -> dict[str, Any]:
    """The state after a run that nobody disturbed."""
    return state(train(config))


def state(run: Run) -> dict[str, Any]:
    """Everything but seconds, in plain values."""
    parts = {name: part for name, part in run.parts.items() if name != "others"} | run.others
    found = {name: part.state_dict() for name, part in parts.items() if part is not None}
    found["watch"] = {"energies": run.watch.energies, "weights": run.watch.weights}
    history = {name: value for name, value in asdict(run.history).items() if name != "seconds"}
    return plain(found | {"history": history})


def plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def interrupt_at(step: int):
    def callback(report: Report) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return callback


def stop_at(step: int):
    return lambda report: report.step == step


# going on


@every_method
@pytest.mark.slow
def test_run_that_was_interrupted_three_times_ends_at_the_weights_of_an_undisturbed_one(
    method, tmp_path
):
    config = small(method=method)
    done = []
    for stop in (4, 2, 3):  # in the first pass, at its end, in the second
        run = build(config)
        with pytest.raises(KeyboardInterrupt):
            finish(run, tmp_path, callbacks=[interrupt_at(stop)])
        done.append(len(run.history.step))
        assert run.history.interrupted
    assert done == [4, 6, 9]
    run = train(config, tmp_path)
    assert not run.history.interrupted
    assert state(run) == whole(config)
    assert state(train(replace(config, seed=1))) != whole(config)


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_run_by_rmsprop_goes_on_from_the_middle_to_the_weights_of_an_undisturbed_one(
    schedule, tmp_path
):
    config = small(optimizer="rmsprop", schedule=schedule)
    with pytest.raises(KeyboardInterrupt):
        finish(build(config), tmp_path, callbacks=[interrupt_at(4)])
    note = json.loads((tmp_path / "run.json").read_text())
    assert note["updates"] == 12 and note["config"]["optimizer"] == "rmsprop"
    run = train(config, tmp_path)
    assert not run.history.interrupted and state(run) == whole(config)
    assert state(run)["decoder"] != whole(replace(config, optimizer="adam"))["decoder"]


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_rmsprop_has_the_numbers_of_the_paper_and_never_a_momentum(schedule):
    """The one-cycle schedule of torch would give it one."""
    run = train(small(learning_rate=None, optimizer="rmsprop", schedule=schedule))
    assert isinstance(run.optimizer, torch.optim.RMSprop)
    group = run.optimizer.param_groups[0]
    assert (group["alpha"], group["eps"], group["momentum"]) == (0.9, 1e-6, 0)
    assert run.config.learning_rate == 5e-4 and group["weight_decay"] == 0
    assert all("momentum_buffer" not in kept for kept in run.optimizer.state.values())
    assert group["lr"] == 5e-4 if schedule == "constant" else group["lr"] < 5e-5


@pytest.mark.parametrize("first", ["adam", "rmsprop"])
def test_folder_of_a_run_by_another_optimizer_is_refused_and_left_as_it_is(first, tmp_path):
    other = {"adam": "rmsprop", "rmsprop": "adam"}[first]
    train(small(optimizer=first), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="holds a run with another optimizer. Choose another"):
        train(small(optimizer=other), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("rounds", [0, 5])
@pytest.mark.parametrize("presses", [1, 2])
def test_interrupt_between_two_updates_of_a_batch_keeps_whole_batches(
    rounds, presses, tmp_path, monkeypatch
):
    config = small()
    calls = []

    def pressed(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2 * rounds + 2:  # the second of two rehearsals, which are callbacks
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)
        update(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "update", pressed)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path, save_every=-1, callbacks=[])
    kept = rounds + (presses == 1)  # a second press does not wait for the rest of the batch
    assert (tmp_path / "checkpoint.pt").exists() == (kept > 0)
    steps: list[int] = []
    run = train(config, tmp_path, callbacks=[lambda report: steps.append(report.step)])
    assert len(steps) == 12 - kept and state(run) == whole(config)


def test_interrupt_while_codes_are_found_is_saved_at_once(tmp_path, monkeypatch):
    config = small()
    encode = gfe.encode
    calls = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encode(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(gfe, "encode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path)
    assert (
        json.loads((tmp_path / "run.json").read_text())["updates"] == 9
    )  # three batches of three updates
    assert state(train(config, tmp_path)) == whole(config)


def test_run_goes_on_from_the_old_checkpoint_after_a_save_that_failed(tmp_path, monkeypatch):
    config = small()
    save = torch.save
    calls = []

    def full(content: object, file: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            file.write(b"half of a checkpo")
            raise OSError("no space left on device")
        save(content, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space left"):
            train(config, tmp_path, save_every=-1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "run.json"]
    steps: list[int] = []
    assert state(
        train(config, tmp_path, callbacks=[lambda report: steps.append(report.step)])
    ) == whole(config)
    assert len(steps) == 12 - 4


def test_run_stopped_at_its_very_last_batch_is_finished(tmp_path):
    config = small()
    run = train(config, tmp_path, callbacks=[lambda report: report.step == 12])
    assert not run.history.interrupted
    again = train(config, tmp_path)
    assert not again.history.interrupted and plain(again.decoder.state_dict()) == plain(
        run.decoder.state_dict()
    )


def test_finished_run_has_its_best_weights(tmp_path):
    few = {
        "n_images": 10,
        "rehearsals": 10,
        "learning_rate": 0.05,
        "schedule": "constant",
        "epochs": 4,
    }
    config = small(method="autoencoder", **few)
    run = train(config, tmp_path / "whole")  # learns them by heart
    energy = gfe.evaluate(run.decoder, run.watch.x, encoder=run.judge).energy.mean().item()
    assert (
        len(run.watch.energies) == 4 and energy == min(run.watch.energies) < run.watch.energies[-1]
    )
    train(config, tmp_path / "run", callbacks=[stop_at(3)])  # when the best pass is over
    assert plain(train(config, tmp_path / "run").decoder.state_dict()) == plain(
        run.decoder.state_dict()
    )


# judging and describing


@every_method
def test_evaluation_adds_test_energies_that_a_later_training_command_keeps(method, tmp_path):
    config = small(method=method)
    run = train(config, tmp_path)
    content = evaluate(tmp_path)
    ways = {"flow"} if run.autoencoder is None else {"flow", "encoder", "encoder_then_flow"}
    assert content["test"].keys() == ways
    x = gfe.data.load("mnist", split="test").x
    own = (
        "flow"
        if run.autoencoder is None
        else "encoder_then_flow"
        if method == "semi_amortised"
        else "encoder"
    )
    expected = gfe.evaluate(run.decoder, x, encoder=run.judge).energy.double().mean().item()
    assert content["test"][own]["energy"] == expected
    train(config, tmp_path)
    assert json.loads((tmp_path / "run.json").read_text()) == content


def test_result_says_config_seed_versions_machine_and_time(tmp_path):
    run = train(small(seed=3), tmp_path)
    content = json.loads((tmp_path / "run.json").read_text())
    assert Config.read(tmp_path / "run.json") == run.config and content["config"]["seed"] == 3
    assert content["versions"].keys() == {"gfe_core", "torch", "python"} and content["machine"]
    assert content["threads"] == torch.get_num_threads() and content["cpu_seconds"] > 0
    assert (
        content["images"] == 60 and content["updates"] == 12 * 3 and len(content["validation"]) == 2
    )


@pytest.mark.filterwarnings("ignore:.*(missing features|have no energy):UserWarning")
def test_energy_that_is_no_number_hides_no_best_weights_and_no_result(tmp_path):
    decoder: Any = nn.Linear(1, 1)
    decoder.latent_dim, decoder.data_shape = 1, (1,)
    x = torch.ones(1, 1)
    energies = iter([math.nan, 2.0, 1.0, math.nan, 1.5])
    watch = Watch(nn.ModuleList([decoder]), lambda *_: result(next(energies)), x, 1)
    for i in range(5):
        nn.init.constant_(decoder.weight, i)
        history = History(step=[1])
        watch(Report(1, 1, 1, 1, 0.0, 0.0, decoder, x, result(0.0), history))
    watch.restore()
    assert decoder.weight.item() == 2
    run = train(small(n_validation=0), tmp_path)
    run.watch.energies = [math.nan, 0.5]
    assert runs.describe(run)["validation"] == [None, 0.5]


def result(energy: float) -> Any:
    count = torch.zeros(1, dtype=torch.long)
    one = torch.tensor([energy])
    return Encoding(one[:, None], one, one, one, count, Statistics(*[count] * 6))


# callbacks


def test_rehearsal_learns_from_the_images_of_the_last_pass_and_the_codes_found_for_them():
    run = build(small(rehearsals=0))
    seen = []
    rehearsal = Rehearsal(
        run.encoder, lambda z, x: seen.append((z, x)), n_updates=3, size=50, memory=2, seed=0
    )
    met: dict[tuple[float, ...], list[float]] = {}

    def remember(report: Report) -> None:
        met.update(zip(map(tuple, report.x.tolist()), report.encoding.z.tolist(), strict=True))

    history = gfe.fit(
        run.decoder, run.batches, encoder=run.encoder, callbacks=[remember, rehearsal]
    )
    assert history.step == [4, 8, 12, 16, 20, 24] and len(seen) == 18
    for z, x in seen:
        assert x.shape == (50, 16) and [met[tuple(row)] for row in x.tolist()] == z.tolist()
    last_two = {tuple(row) for row in list(met)[-20:]}
    drawn = {tuple(row) for _, x in seen[-3:] for row in x.tolist()}
    assert drawn <= last_two and len(drawn) > 15


@pytest.mark.filterwarnings("ignore:.*(missing features|have no energy):UserWarning")
@every_method
def test_nan_among_the_images_poisons_no_weight(method, monkeypatch):
    load = gfe.data.load

    def spoiled(name: str, split: str = "train") -> Any:
        loaded = load(name, split)
        loaded.x[:100:7, 3] = math.nan
        return loaded

    monkeypatch.setattr(config_module.gfe.data, "load", spoiled)
    run = train(small(method=method))
    assert run.x.isnan().any() and all(value.isfinite().all() for value in run.decoder.parameters())
    assert all(map(math.isfinite, run.history.energy)) and all(
        map(math.isfinite, run.watch.energies)
    )


# configs


def test_config_survives_json_and_what_it_lacks_has_its_default(tmp_path):
    config = small(method="autoencoder", n_images=None)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(asdict(config)))
    assert Config.read(path) == config and hash(Config.read(path)) == hash(config)
    path.write_text('{"seed": 7, "weight_decay": 0}')
    assert Config.read(path) == Config(seed=7)


def test_learning_rate_that_is_left_out_is_that_of_the_optimizer(tmp_path):
    assert Config().learning_rate == 2e-3 and Config(optimizer="rmsprop").learning_rate == 5e-4
    assert Config(optimizer="rmsprop", learning_rate=0.1).learning_rate == 0.1
    path = tmp_path / "config.json"
    path.write_text('{"optimizer": "rmsprop"}')
    assert Config.read(path) == Config(optimizer="rmsprop", learning_rate=5e-4)


def test_record_of_a_config_names_the_optimizer_only_where_it_is_not_the_default():
    """Records made before there was a choice stay those of the same settings."""
    record = Config().as_record()
    assert record | {"optimizer": "adam"} == asdict(Config()) and "optimizer" not in record
    config = Config(optimizer="rmsprop")
    assert config.as_record() == asdict(config) and Config(**record) == Config()


def test_images_are_drawn_by_the_seed_and_validation_is_apart():
    first, validation = chosen_images(small())
    assert torch.equal(first, chosen_images(small())[0]) and torch.equal(
        first, chosen_images(small(epochs=9))[0]
    )
    assert not torch.equal(first, chosen_images(small(seed=1))[0])
    everything = gfe.data.load("mnist").x
    assert torch.equal(validation, everything[-10_000:][:8])
    known = {tuple(row) for row in everything[:-10_000].tolist()}
    assert {tuple(row) for row in first.tolist()} <= known


def test_seg_mnist_is_validated_on_digits_that_training_never_sees():
    x, validation = images("seg-mnist")
    assert len(x) == 50 and len(validation) == 5000
    loaded = gfe.data.load("mnist")
    assert torch.equal(x, loaded.x[:100][loaded.y[:100] < 5])
    assert torch.equal(validation, loaded.x[100:][loaded.y[100:] >= 5])


@pytest.mark.parametrize("n_updates", [1, 3, 9, 50])
@pytest.mark.parametrize("warm_up", [0.1, 0.25, 0.5, 0.9])
def test_one_cycle_rises_to_the_rate_and_falls_for_any_number_of_updates(n_updates, warm_up):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    schedule = schedule_of(Config(learning_rate=0.5, warm_up=warm_up), optimizer, n_updates)
    assert schedule is not None
    rates = []
    for _ in range(n_updates):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) <= 0.5 and (n_updates < 50 or rates[-1] < 0.5 * max(rates))
    assert schedule_of(Config(schedule="constant"), optimizer, n_updates) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"learning_rat": 1}', "unknown key 'learning_rat'. Did you mean 'learning_rate'?"),
        ('{"": 1}', "unknown key ''. Did you mean "),
        ("[1, 2]", "must hold a JSON object with the fields of Config"),
        ('{"config": 5}', "must hold a JSON object with the fields of Config"),
        ("hello", "cannot be read as JSON: .* Pass the run.json of a run"),
        ("", "cannot be read as JSON"),
        ('{"size": "ten"}', "`size` must be a whole number, such as 100, got 'ten'"),
        ('{"size": 2.5}', "`size` must be a whole number, such as 100, got 2.5"),
        ('{"epochs": true}', "`epochs` must be a whole number, such as 1, got True"),
        ('{"learning_rate": NaN}', "`learning_rate` must be a positive finite number, got nan"),
        (
            '{"hidden": 5}',
            (
                r"`hidden` must be a list of widths, whole numbers of at least 1, such as \(150, "
                r"300, 600\)"
            ),
        ),
        ('{"hidden": [8, 0]}', r"`hidden` must be a list of widths.* got \(8, 0\)"),
        ('{"method": "flwo"}', "`method` must be 'flow' or 'autoencoder' or .*, got 'flwo'"),
        ('{"learning_rate": "x"}', "`learning_rate` must be a number, such as 0.002, got 'x'"),
        ('{"optimizer": "sgd"}', "`optimizer` must be 'adam' or 'rmsprop', got 'sgd'"),
        ('{"optimizer": ["adam"]}', "`optimizer` must be a string, such as 'adam', got "),
        (
            '{"optimizer": "rmsprop", "weight_decay": 0.1}',
            "`weight_decay` must be 0 with `optimizer` 'rmsprop', got 0.1. Leave it out, or train",
        ),
        ('{"data": 3}', "`data` must be a string, such as 'mnist', got 3"),
        ('{"seed": -1}', "`seed` must be a finite number of at least 0, got -1"),
        (
            '{"weight_decay": Infinity}',
            "`weight_decay` must be a finite number of at least 0, got inf",
        ),
        ('{"n_images": 0}', "`n_images` must be at least 1, got 0"),
        ('{"n_validation": 10001}', "`n_validation` must be between 0 and 10000, got 10001"),
    ],
)
def test_config_file_that_makes_no_sense_is_refused(text, message, tmp_path, unchecked: None):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Config.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"n_images": 101},
            "`n_images` must be at most 100 with `data` 'mnist', got 101. Ask for fewer",
        ),
        ({"data": "seg-mnist"}, "`n_images` must be at most 50 with `data` 'seg-mnist', got 60"),
        (
            {"latent_dim": 17},
            "`latent_dim` must not exceed `data_dim` 16, got 17. .*lower `latent_dim`",
        ),
    ],
)
def test_more_than_there_is_is_refused_with_the_size(changes, message):
    with pytest.raises(ValueError, match=message):
        build(small(**changes))


# folders


def test_folder_of_another_run_is_refused_and_left_as_it_is(tmp_path):
    train(small(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        ValueError, match="`folder` .* holds a run with another size, seed. Choose another folder"
    ):
        train(small(seed=5, size=12), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", ["truncated", "foreign", "of another network"])
def test_checkpoint_that_is_none_of_this_run_is_refused(content, tmp_path: Path):
    path = tmp_path / "checkpoint.pt"
    config = small()
    train(config, tmp_path, callbacks=[stop_at(3)])
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:-900])
    elif content == "foreign":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        train(small(hidden=(7,)), tmp_path / "other", callbacks=[stop_at(3)])
        (tmp_path / "other" / "checkpoint.pt").replace(path)
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match="is damaged or no checkpoint|is not a gfe_core checkpoint|does not fit"
    ):
        train(config, tmp_path)
    assert path.read_bytes() == before


def test_checkpoint_without_a_note_of_what_it_is_of_is_refused(tmp_path):
    train(small(), tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(ValueError, match="holds a checkpoint.pt but no run.json that describes it"):
        train(small(), tmp_path)


@pytest.mark.parametrize("damage", ["half", "nothing", "foreign", "unknown key"])
def test_damaged_note_beside_a_whole_checkpoint_says_how_to_go_on(damage, tmp_path: Path):
    config = small()
    train(config, tmp_path, callbacks=[stop_at(3)])
    note = tmp_path / "run.json"
    whole_note = note.read_text()
    note.write_text(
        {
            "half": whole_note[: len(whole_note) // 2],
            "nothing": "",
            "foreign": "[1, 2]",
            "unknown key": '{"sed": 3}',
        }[damage]
    )
    before = (tmp_path / "checkpoint.pt").read_bytes()
    remedy = r"has a damaged run.json. The weights are in checkpoint.pt.*move run.json away"
    for verb in (lambda: train(config, tmp_path), lambda: evaluate(tmp_path)):
        with pytest.raises(ValueError, match=remedy):
            verb()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    note.write_text(json.dumps(asdict(config)))  # as it says
    assert state(train(config, tmp_path)) == whole(config)
    assert json.loads(note.read_text())["updates"] == 36


def test_damaged_note_without_a_checkpoint_may_be_moved_away(tmp_path: Path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match="damaged run.json. No weights lie .*: move it away"):
        train(small(), tmp_path)
    (tmp_path / "run.json").rename(tmp_path / "damaged.json")
    assert not train(small(), tmp_path).history.interrupted


def test_only_finished_runs_are_judged(tmp_path):
    with pytest.raises(
        ValueError, match="holds no run.json. Make one: `python -m gfe_core train --folder"
    ):
        evaluate(tmp_path)
    train(small(), tmp_path, callbacks=[stop_at(3)])
    with pytest.raises(
        ValueError,
        match="holds an unfinished run. Finish it: `python -m gfe_core train --folder .* --config",
    ):
        evaluate(tmp_path)
