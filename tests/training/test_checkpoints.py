import copy
import os
import pickle
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from problems import digits, fresh
from torch import nn

import gfe_core as gfe
from gfe_core.data.batches import Batches
from gfe_core.training.checkpoints import load_checkpoint, save_checkpoint
from gfe_core.training.fitting import History, fit

SHORT = partial(gfe.encode, max_steps=6)


class Run:
    """Everything that a training needs and a checkpoint holds."""

    def __init__(
        self, *, seed: int = 0, batch_seed: int = 3, hidden: tuple[int, ...] = (32, 64)
    ) -> None:
        source = torch.Generator().manual_seed(seed)
        self.decoder = gfe.MLPDecoder(
            latent_dim=8, hidden=hidden, data_dim=64, generator=source
        ).double()
        self.optimizer = torch.optim.Adam(self.decoder.parameters(), lr=1e-2)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=20)
        self.batches = Batches(digits(160), size=32, seed=batch_seed)

    @property
    def parts(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in ("decoder", "optimizer", "schedule", "batches")
        }

    def fit(self, **arguments: Any) -> History:
        parts = self.parts
        return fit(parts.pop("decoder"), parts.pop("batches"), encoder=SHORT, **parts, **arguments)

    def snapshot(self) -> dict[str, Any]:
        return copy.deepcopy({name: part.state_dict() for name, part in self.parts.items()})


def equal(one: Any, other: Any) -> bool:
    """Compare nested states, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def after_rounds(n: int):
    return lambda report: report.step == n


def test_everything_comes_back_as_it_was_saved(tmp_path):
    run = Run()
    path = tmp_path / "deep" / "in" / "folders.pt"
    history = run.fit(callbacks=[after_rounds(3)])
    assert save_checkpoint(path, history=history, **run.parts) == path
    other = Run(seed=9)
    assert not equal(other.snapshot(), run.snapshot())
    assert load_checkpoint(path, **other.parts) == history
    assert equal(other.snapshot(), run.snapshot())


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [1, 3, 7, 9])
def test_resumed_training_ends_at_the_weights_of_an_uninterrupted_one(tmp_path, rounds):
    whole = Run()
    whole.fit(epochs=3)
    run = Run()
    path = tmp_path / "run.pt"
    run.fit(epochs=3, callbacks=[after_rounds(rounds)])
    save_checkpoint(path, **run.parts)
    resumed = Run(seed=5)
    load_checkpoint(path, **resumed.parts)
    resumed.fit(epochs=3 - rounds // 5)
    assert equal(resumed.snapshot(), whole.snapshot())


def test_training_saved_at_the_end_of_an_epoch_goes_on_with_the_next(tmp_path):
    whole = Run()
    whole.fit(epochs=2)
    run = Run()
    path = tmp_path / "run.pt"
    run.fit(
        epochs=2, callbacks=[after_rounds(5)]
    )  # stopped by a callback at the last of five batches
    save_checkpoint(path, **run.parts)
    resumed = Run(seed=5)
    load_checkpoint(path, **resumed.parts)
    history = resumed.fit(epochs=1)
    assert len(history.step) == 5
    assert equal(resumed.snapshot()["decoder"], whole.snapshot()["decoder"])


def test_parts_may_be_left_out(tmp_path):
    run = Run()
    path = tmp_path / "decoder.pt"
    save_checkpoint(path, decoder=run.decoder)
    other = Run(seed=9)
    before = other.snapshot()
    assert load_checkpoint(path, decoder=other.decoder) is None
    assert equal(other.decoder.state_dict(), run.decoder.state_dict())
    assert equal(other.snapshot()["optimizer"], before["optimizer"])
    with pytest.raises(
        ValueError, match=r"holds no optimizer: it was saved without. Leave `optimizer` out"
    ):
        load_checkpoint(path, decoder=other.decoder, optimizer=other.optimizer)


def half_written(content: object, file: Any) -> None:
    file.write(b"half of a checkpo")
    raise OSError("no space left on device")


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_save_that_fails_midway_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, failure):
    run = Run()
    path = tmp_path / "run.pt"
    save_checkpoint(path, **run.parts)
    old = path.read_bytes()

    def half(content: object, file: Any) -> None:
        file.write(b"half of a checkpo")
        raise failure

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(failure):
        save_checkpoint(path, **run.parts)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_first_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(tmp_path / "run.pt", decoder=Run().decoder)
    assert list(tmp_path.iterdir()) == []


def test_move_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    run = Run()
    path = tmp_path / "run.pt"
    save_checkpoint(path, **run.parts)
    old = path.read_bytes()

    def refuse(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        save_checkpoint(path, decoder=fresh("linear"))  # pyright: ignore[reportArgumentType]
    assert path.read_bytes() == old and len(list(tmp_path.iterdir())) == 1


def refused(path: Path, message: str) -> None:
    run = Run(seed=4)
    before = run.snapshot()
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path, **run.parts)
    assert equal(run.snapshot(), before)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    run = Run()
    run.fit(callbacks=[after_rounds(1)])
    return save_checkpoint(tmp_path / "good.pt", history=History(), **run.parts)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused_with_a_clear_error(good, share):
    content = good.read_bytes()
    good.write_bytes(content[: int(share * len(content))])
    refused(
        good,
        (
            r"`path` .*good.pt is damaged or no checkpoint .*Pass a file written by "
            r"`gfe.save_checkpoint`, restore a copy, or train again."
        ),
    )


FOREIGN = {
    "text": b"hello, I am a letter and no checkpoint\n",
    "json": b'{"format": 1}',
    "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "zip": b"PK\x05\x06" + bytes(18),
    "zeros": bytes(4096),
    "numpy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
    "pickle": pickle.dumps({"format": 1, "decoder": {}}),
    "pickle 2": pickle.dumps([1, 2, 3], protocol=2),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_file_is_refused_with_a_clear_error(tmp_path, name):
    path = tmp_path / "foreign"
    path.write_bytes(FOREIGN[name])
    refused(
        path, "`path` .*foreign is (damaged or )?no (gfe_core )?checkpoint|does not fit|holds no"
    )


def test_tensor_files_of_others_are_refused_with_a_clear_error(tmp_path):
    path = tmp_path / "other.pt"
    for content in (
        Run().decoder.state_dict(),
        torch.zeros(3),
        {"format": 99, "decoder": {}},
        [1, 2],
        None,
    ):
        torch.save(content, path)
        refused(path, "`path` .*other.pt is not a gfe_core checkpoint of format 1")


def test_random_damage_never_escapes_as_another_error(good):
    # Either the damage is noticed and named, or it hit bytes that carry no meaning (padding, a dead
    # header field).
    content = good.read_bytes()
    random_source = random.Random(0)
    noticed = 0
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(random_source.choice((1, 4, 64))):
            damaged[random_source.randrange(len(damaged))] ^= 1 << random_source.randrange(8)
        good.write_bytes(bytes(damaged))
        run = Run(seed=4)
        before = run.snapshot()
        try:
            load_checkpoint(good, **run.parts)
        except ValueError as error:
            assert "`path`" in str(error) or "does not fit" in str(error)
            assert equal(run.snapshot(), before)
            noticed += 1
    print(f"{noticed} of 150 damaged files were noticed")
    assert noticed > 75


class Evil:
    """Something that writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_file_is_not_executed(tmp_path, writer):
    path = tmp_path / "evil.pt"
    trace = tmp_path / "trace"
    content = {"format": 1, "decoder": Evil(trace), "history": None}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    refused(path, "evil.pt is damaged or no checkpoint")
    assert not trace.exists()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"`path` .*nothing.pt does not exist. Save one first"
    ):
        load_checkpoint(tmp_path / "nothing.pt", decoder=Run().decoder)
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        load_checkpoint(tmp_path, decoder=Run().decoder)


def test_decoder_of_other_sizes_is_refused_before_anything_changes(good):
    other = Run(hidden=(32, 48))
    before = other.snapshot()
    with pytest.raises(
        ValueError,
        match=r"`layers.2.weight` is \(48, 32\) here and \(64, 32\) in the file. Build the decoder",
    ):
        load_checkpoint(good, **other.parts)
    with pytest.raises(ValueError, match=r"`layers.6.weight` is .* here and absent in the file"):
        load_checkpoint(good, decoder=Run(hidden=(32, 64, 64)).decoder)
    assert equal(other.snapshot(), before)


def test_parts_that_do_not_fit_are_refused_before_anything_changes(good):
    other = Run(batch_seed=77)
    before = other.snapshot()
    with pytest.raises(ValueError, match=r"`batches` does not fit the checkpoint .*other batches"):
        load_checkpoint(good, **other.parts)
    assert equal(other.snapshot(), before)
    other = Run()
    decoder_parameters = list(other.decoder.parameters())
    other.optimizer = torch.optim.Adam(
        [{"params": decoder_parameters[:2]}, {"params": decoder_parameters[2:]}], lr=1e-2
    )
    before = other.snapshot()
    with pytest.raises(ValueError, match="`optimizer` does not fit the checkpoint"):
        load_checkpoint(good, decoder=other.decoder, optimizer=other.optimizer)
    assert equal(other.snapshot(), before)


def test_parts_of_other_names_come_back_too(tmp_path):
    run = Run()
    network = nn.Linear(3, 2)
    path = tmp_path / "run.pt"
    save_checkpoint(path, others={"network": network}, **run.parts)
    other = Run(seed=9)
    twin = nn.Linear(3, 2)
    load_checkpoint(path, others={"network": twin}, **other.parts)
    assert equal(twin.state_dict(), network.state_dict()) and equal(
        other.snapshot(), run.snapshot()
    )
    load_checkpoint(path, **other.parts)  # they may be left out
    with pytest.raises(ValueError, match="holds no codes: it was saved without. Leave `codes` out"):
        load_checkpoint(
            path, decoder=other.decoder, others={"network": twin, "codes": nn.Linear(1, 1)}
        )


def test_other_part_that_does_not_fit_is_refused_before_anything_changes(tmp_path):
    path = tmp_path / "run.pt"
    save_checkpoint(path, others={"network": nn.Linear(3, 2)}, **Run().parts)
    other = Run(seed=9)
    wider = nn.Linear(4, 2)
    before = other.snapshot()
    weights = copy.deepcopy(wider.state_dict())
    with pytest.raises(
        ValueError, match=r"(?s)`network` does not fit the checkpoint .* Build it as it was saved"
    ):
        load_checkpoint(path, others={"network": wider}, **other.parts)
    assert equal(other.snapshot(), before) and equal(wider.state_dict(), weights)


@pytest.mark.parametrize("name", ["decoder", "optimizer", "history", "format", "kinds"])
def test_other_part_must_not_take_the_name_of_a_part(tmp_path, name):
    decoder = Run().decoder
    for verb in (save_checkpoint, load_checkpoint):
        with pytest.raises(
            ValueError,
            match=f"`others` must not contain the name {name}: another part has it.",
        ):
            verb(tmp_path / "run.pt", decoder=decoder, others={name: nn.Linear(1, 1)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ConstantLR", "OneCycleLR", "LambdaLR", "SequentialLR"])
def test_schedules_of_torch_survive_the_safe_format(tmp_path, name):
    decoder = nn.Linear(2, 2)
    schedulers = torch.optim.lr_scheduler
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2)

    def make() -> torch.optim.lr_scheduler.LRScheduler:
        if name == "OneCycleLR":
            return schedulers.OneCycleLR(optimizer, 1e-2, total_steps=20)
        if name == "LambdaLR":
            return schedulers.LambdaLR(optimizer, lambda step: 0.9**step)
        if name == "SequentialLR":
            halves = [schedulers.ConstantLR(optimizer), schedulers.ExponentialLR(optimizer, 0.9)]
            return schedulers.SequentialLR(optimizer, halves, milestones=[2])
        return schedulers.ConstantLR(optimizer)

    schedule = make()
    for _ in range(3):
        optimizer.step()
        schedule.step()
    path = save_checkpoint(tmp_path / "schedule.pt", decoder=decoder, schedule=schedule)
    expected = schedule.last_epoch
    other = make()
    load_checkpoint(path, decoder=decoder, schedule=other)
    assert other.last_epoch == expected


# another optimizer, another size


KINDS = {
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.1),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.1),
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.1),
    "Adafactor": lambda parameters: torch.optim.Adafactor(parameters, lr=0.1),
    "LBFGS": lambda parameters: torch.optim.LBFGS(parameters, lr=0.1),
}


def stepped(kind: str, decoder: nn.Module) -> torch.optim.Optimizer:
    """An optimizer that has made two steps and has a state."""
    optimizer = KINDS[kind](decoder.parameters())
    x = torch.ones(4, 3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = decoder(x).square().mean()
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    return optimizer


def forget_the_kinds(path: Path) -> None:
    """Make a file as the first release wrote it."""
    content = torch.load(path)
    del content["kinds"]
    torch.save(content, path)


@pytest.mark.parametrize("first_release", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_optimizer_of_the_same_kind_goes_on(tmp_path, kind, first_release):
    decoder = nn.Linear(3, 2)
    optimizer = stepped(kind, decoder)
    path = save_checkpoint(tmp_path / "run.pt", decoder=decoder, optimizer=optimizer)
    if first_release:
        forget_the_kinds(path)
    fresh_one = KINDS[kind](decoder.parameters())
    load_checkpoint(path, decoder=decoder, optimizer=fresh_one)
    assert equal(fresh_one.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize(
    ("saved", "wanted", "first_release"),
    [
        ("Adam", "SGD", False),
        ("SGD", "Adam", False),
        ("Adam", "AdamW", False),
        ("LBFGS", "Adam", False),
        ("Adam", "SGD", True),
        ("SGD", "Adam", True),
        ("RMSprop", "AdamW", True),
    ],
)
def test_state_of_another_optimizer_is_refused_before_anything_changes(
    tmp_path, saved, wanted, first_release
):
    decoder = nn.Linear(3, 2)
    path = tmp_path / "run.pt"
    save_checkpoint(path, decoder=decoder, optimizer=stepped(saved, decoder))
    if first_release:
        forget_the_kinds(path)
    other = nn.Linear(3, 2)
    optimizer = stepped(wanted, other)
    before = copy.deepcopy((other.state_dict(), optimizer.state_dict()))
    reason = "which .* does not know" if first_release else f"another kind, {saved}, and this is"
    with pytest.raises(
        ValueError,
        match=f"`optimizer` does not fit the checkpoint .*{reason}.* Build `optimizer` as it was",
    ):
        load_checkpoint(path, decoder=other, optimizer=optimizer)
    assert equal((other.state_dict(), optimizer.state_dict()), before)
    load_checkpoint(path, decoder=other)  # the remedy
    assert equal(other.state_dict(), decoder.state_dict())


@pytest.mark.parametrize("kind", ["Adam", "SGD", "RMSprop", "Adafactor"])
def test_state_for_other_sizes_is_refused_before_anything_changes(tmp_path, kind):
    decoder = nn.Linear(3, 2)
    path = tmp_path / "run.pt"
    save_checkpoint(path, decoder=decoder, optimizer=stepped(kind, decoder))
    other = nn.Linear(3, 2)
    optimizer = stepped(kind, nn.Linear(3, 5))  # by mistake, that of another network
    before = copy.deepcopy((other.state_dict(), optimizer.state_dict()))
    with pytest.raises(
        ValueError, match=r"of parameter 0 has shape \(2, .*, the parameter \(5, 3\)"
    ):
        load_checkpoint(path, decoder=other, optimizer=optimizer)
    assert equal((other.state_dict(), optimizer.state_dict()), before)


@pytest.mark.parametrize("first_release", [False, True])
def test_schedule_of_another_kind_is_refused_before_anything_changes(tmp_path, first_release):
    decoder = nn.Linear(3, 2)
    schedulers = torch.optim.lr_scheduler
    optimizer = stepped("Adam", decoder)
    path = tmp_path / "run.pt"
    cosine = schedulers.CosineAnnealingLR(optimizer, T_max=20)
    save_checkpoint(path, decoder=decoder, optimizer=optimizer, schedule=cosine)
    if first_release:
        forget_the_kinds(path)
    other = nn.Linear(3, 2)
    optimizer = stepped("Adam", other)
    schedule = schedulers.StepLR(optimizer, 3)
    parts = {"decoder": other, "optimizer": optimizer, "schedule": schedule}
    before = copy.deepcopy({name: part.state_dict() for name, part in parts.items()})
    with pytest.raises(ValueError, match="`schedule` does not fit the checkpoint .*another kind"):
        load_checkpoint(path, **parts)
    assert equal({name: part.state_dict() for name, part in parts.items()}, before)


def test_interrupt_while_parts_are_loaded_puts_them_back(tmp_path):
    class Interrupted(nn.Linear):
        def load_state_dict(self, *arguments: Any, **others: Any) -> Any:
            if not torch.equal(arguments[0]["weight"], self.weight):
                raise KeyboardInterrupt
            return super().load_state_dict(*arguments, **others)

    path = tmp_path / "run.pt"
    save_checkpoint(path, others={"network": nn.Linear(3, 2)}, **Run().parts)
    other = Run(seed=9)
    before = other.snapshot()
    with pytest.raises(KeyboardInterrupt):
        load_checkpoint(path, others={"network": Interrupted(3, 2)}, **other.parts)
    assert equal(other.snapshot(), before)


CHECKPOINTS = Path(__file__).parents[2] / "data" / "checkpoints"


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.glob("*.pt")), ids=lambda path: path.stem)
def test_checkpoints_of_the_first_release_still_load(path: Path):
    decoder = gfe.MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784)
    assert load_checkpoint(path, decoder=decoder) is None
    saved = torch.load(path, weights_only=True)["decoder"]
    assert equal(decoder.state_dict(), {name: value.float() for name, value in saved.items()})


def test_checkpoint_of_the_first_release_with_a_whole_training_still_loads(tmp_path):
    run = Run()
    path = tmp_path / "run.pt"
    history = run.fit(callbacks=[after_rounds(3)])
    save_checkpoint(path, history=history, others={"network": nn.Linear(3, 2)}, **run.parts)
    forget_the_kinds(path)
    other = Run(seed=9)
    assert load_checkpoint(path, **other.parts) == history
    assert equal(other.snapshot(), run.snapshot())


class Shifted(nn.Module):
    """A decoder with a constant that is neither a weight nor a buffer, and noise if asked."""

    def __init__(self, shift: float = 0.0, noise: float = 0.0) -> None:
        super().__init__()
        self.latent_dim = 2
        self.data_shape: tuple[int, ...] = (3,)
        self.layer = nn.Linear(2, 3)
        self.shift = shift
        self.noise = noise

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layer(z) + self.shift + self.noise * torch.randn(3)


def relu(activation: str) -> gfe.MLPDecoder:
    return gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=3, activation=activation)


@pytest.mark.parametrize(
    ("saved", "other"),
    [(Shifted(), Shifted(0.1)), (relu("elu"), relu("relu"))],
    ids=["constant", "activation"],
)
def test_decoder_that_makes_something_else_of_the_weights_is_refused(tmp_path, saved, other):
    path = save_checkpoint(tmp_path / "c.pt", decoder=saved)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match="`decoder` does not fit .* or a constant is another"):
        load_checkpoint(path, decoder=other)
    assert equal(other.state_dict(), before)
    load_checkpoint(path, decoder=copy.deepcopy(saved))
    load_checkpoint(path, decoder=copy.deepcopy(saved).double())
    load_checkpoint(path, decoder=copy.deepcopy(saved).half())


def test_decoder_that_draws_at_random_and_a_network_without_sizes_are_not_compared(tmp_path):
    for saved in (
        Shifted(noise=1.0),
        nn.Linear(2, 3),
        nn.Sequential(nn.Dropout(), nn.Linear(2, 3)),
    ):
        state = torch.get_rng_state()
        path = save_checkpoint(tmp_path / "c.pt", decoder=saved)
        assert torch.equal(torch.get_rng_state(), state)
        load_checkpoint(path, decoder=saved)


class OfAContext(torch.nn.Module):
    """A decoder of codes and a context, whose gain is neither a weight nor a buffer."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.latent_dim, self.data_shape = 2, (4,)
        self.layer = torch.nn.Linear(3, 4)
        self.gain = gain

    def forward(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.gain * self.layer(torch.cat([z, context], 1))


def test_conditional_decoder_with_another_constant_does_not_take_the_weights(tmp_path):
    path = gfe.save_checkpoint(tmp_path / "c.pt", decoder=OfAContext(3.0))
    gfe.load_checkpoint(path, decoder=OfAContext(3.0))
    with pytest.raises(ValueError, match="an activation or a constant is another"):
        gfe.load_checkpoint(path, decoder=OfAContext(1.0))
