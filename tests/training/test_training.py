import copy
import json
import math
import signal
import threading
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pytest
import torch
from problems import digits, fresh, trained
from torch import nn

import gfe_core as gfe
from gfe_core.data.batches import Batches
from gfe_core.encoders.amortised import StoredCodes
from gfe_core.training.fitting import History, Report, evaluate, fit
from gfe_core.types import Encoding

SHORT = partial(gfe.encode, max_steps=8)


def decoder_of(seed: int = 0) -> gfe.MLPDecoder:
    decoder = fresh("mlp", seed=seed)
    assert isinstance(decoder, gfe.MLPDecoder)
    return decoder


def weights(decoder: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in decoder.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_training_is_a_function_of_the_seed():
    def run(seed: int) -> tuple[list[torch.Tensor], list[float]]:
        decoder = decoder_of()
        history = fit(decoder, Batches(digits(96), size=32, seed=seed), encoder=SHORT, epochs=2)
        return weights(decoder), history.energy

    first = run(1)
    second = run(1)
    other = run(2)
    assert same(first[0], second[0]) and first[1] == second[1]
    assert not same(first[0], other[0])


def test_training_lowers_the_energy_of_digits_it_has_not_seen():
    decoder = decoder_of()
    unseen = digits(64, start=500)
    before = evaluate(decoder, unseen, encoder=SHORT)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    history = fit(
        decoder, Batches(digits(256), size=32), encoder=SHORT, optimizer=optimizer, epochs=3
    )
    after = evaluate(decoder, unseen, encoder=SHORT)
    assert after.excess.mean() < 0.5 * before.excess.mean()
    assert sum(history.energy[-8:]) < 0.8 * sum(history.energy[:8])
    assert (after.excess > 0).all()
    assert torch.equal(after.excess, after.energy - gfe.Bernoulli().floor(unseen))


def test_evaluation_leaves_the_decoder_alone():
    decoder = decoder_of()
    before = weights(decoder)
    evaluation = evaluate(decoder, digits(10), encoder=SHORT)
    assert same(before, weights(decoder)) and all(
        parameter.grad is None for parameter in decoder.parameters()
    )
    assert torch.equal(evaluation.energy, SHORT(decoder, digits(10)).energy)
    assert not evaluation.energy.requires_grad


def test_one_update_is_one_optimizer_step_at_the_codes_of_the_decoder_as_it_was():
    ours = decoder_of()
    theirs = decoder_of()
    x = digits(32)
    fit(
        ours,
        Batches(x, size=32, shuffle=False),
        encoder=SHORT,
        optimizer=torch.optim.SGD(ours.parameters(), lr=0.5),
        updates_per_encode=3,
    )
    z = SHORT(theirs, x).z
    descent = torch.optim.SGD(theirs.parameters(), lr=0.5)
    for _ in range(3):
        descent.zero_grad()
        gfe.Bernoulli().per_sample(theirs(z), x).mean().backward()
        descent.step()
    assert same(weights(ours), weights(theirs))


def test_history_counts_what_was_done():
    decoder = decoder_of()
    optimizer = torch.optim.SGD(decoder.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    x = digits(70)
    reports: list[Report] = []
    history = fit(
        decoder,
        Batches(x, size=32),
        encoder=SHORT,
        optimizer=optimizer,
        schedule=schedule,
        epochs=2,
        updates_per_encode=3,
        callbacks=[reports.append],
    )
    assert history.step == [3, 6, 9, 12, 15, 18]
    assert history.images == [32, 64, 70, 102, 134, 140]
    assert len(history.energy) == len(history.work) == len(history.seconds) == 6
    assert history.seconds == sorted(history.seconds) and history.seconds[0] > 0
    assert not history.interrupted
    assert schedule.last_epoch == 18 and optimizer.param_groups[0]["lr"] == pytest.approx(
        0.1 * 0.5**18
    )
    assert [(r.step, r.n_steps, r.epoch, r.n_epochs) for r in reports] == [
        (i + 1, 6, 1 + i // 3, 2) for i in range(6)
    ]
    assert [r.energy for r in reports] == history.energy
    assert [r.encoding.energy.mean().item() for r in reports] == history.energy
    assert [r.encoding.statistics.work.double().mean().item() for r in reports] == history.work
    assert all(r.decoder is decoder and r.history is history for r in reports)
    assert json.loads(json.dumps(asdict(history))) == asdict(history)


def test_energy_reported_is_that_before_the_update():
    decoder = decoder_of()
    x = digits(32)
    expected = SHORT(decoder_of(), x).energy.mean().item()
    history = fit(decoder, Batches(x, size=32, shuffle=False), encoder=SHORT)
    assert history.energy == [expected]


def test_callback_that_returns_true_stops_training_after_all_callbacks_ran():
    decoder = decoder_of()
    seen = []
    history = fit(
        decoder,
        Batches(digits(96), size=32),
        encoder=SHORT,
        epochs=5,
        callbacks=[lambda report: report.step == 2, lambda report: seen.append(report.step)],
    )
    assert history.interrupted and len(history.step) == 2 and seen == [1, 2]


def test_callback_that_returns_nothing_or_false_lets_training_go_on():
    history = fit(
        decoder_of(),
        Batches(digits(64), size=32),
        encoder=SHORT,
        callbacks=[lambda _: False, lambda _: None],
    )
    assert not history.interrupted and len(history.step) == 2


def interrupted(place: str, round_number: int = 3) -> tuple[nn.Module, History]:
    decoder = decoder_of()
    calls = []

    def now() -> None:
        calls.append(1)
        if len(calls) == round_number:
            raise KeyboardInterrupt

    def encoder(decoder: gfe.MLPDecoder, x: torch.Tensor) -> Encoding:
        if place == "encoder":
            now()
        return SHORT(decoder, x)

    callbacks = [lambda _: now()] if place == "callback" else []
    return decoder, fit(
        decoder, Batches(digits(128), size=32), encoder=encoder, epochs=2, callbacks=callbacks
    )


def after(rounds: int) -> nn.Module:
    """Return a decoder after a number of rounds of the training that `interrupted` begins."""
    decoder = decoder_of()
    fit(
        decoder,
        Batches(digits(128), size=32),
        encoder=SHORT,
        callbacks=[lambda report: report.step == rounds],
    )
    return decoder


@pytest.mark.parametrize(("place", "rounds"), [("callback", 3), ("encoder", 2)])
def test_interrupt_keeps_what_was_learnt(place, rounds):
    decoder, history = interrupted(place)
    assert history.interrupted
    assert len(history.step) == len(history.energy) == rounds
    assert same(weights(decoder), weights(after(rounds)))
    assert not same(weights(decoder), weights(decoder_of()))


def test_interrupt_before_the_first_round_returns_an_empty_history():
    decoder, history = interrupted("encoder", round_number=1)
    assert history.interrupted and history.step == []
    assert same(weights(decoder), weights(decoder_of()))


def test_training_interrupted_while_codes_were_found_goes_on_with_the_batch_that_waited():
    whole = decoder_of()
    batches = Batches(digits(128), size=32, seed=1)
    ours = decoder_of()
    calls = []
    expected = fit(
        whole, Batches(digits(128), size=32, seed=1), encoder=SHORT, optimizer=sgd(whole), epochs=2
    )

    def encoder(decoder: gfe.MLPDecoder, x: torch.Tensor) -> Encoding:
        calls.append(1)
        if len(calls) in (
            1,
            3,
            7,
        ):  # before anything, in the middle of a pass, at the beginning of the next
            raise KeyboardInterrupt
        return SHORT(decoder, x)

    history = History()
    while batches.epoch < 2:
        fit(
            ours,
            batches,
            encoder=encoder,
            optimizer=sgd(ours),
            epochs=2 - batches.epoch,
            history=history,
        )
    assert same(weights(ours), weights(whole)) and not history.interrupted
    assert (history.energy, history.images, history.step) == (
        expected.energy,
        expected.images,
        expected.step,
    )


def press() -> None:
    """Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


class Pressing(torch.optim.SGD):
    """Press once or more before any weight moves, in the third update."""

    presses = 1
    n_updates = 0

    def step(self, closure: Any = None) -> Any:
        self.n_updates += 1
        for _ in range(self.presses if self.n_updates == 3 else 0):
            press()
        return super().step(closure)


@pytest.mark.parametrize("presses", [1, 4])
def test_interrupt_during_an_update_waits_until_it_is_whole(presses):
    decoder = decoder_of()
    optimizer = Pressing(decoder.parameters(), lr=0.5)
    optimizer.presses = presses
    batches = Batches(digits(128), size=32)
    history = fit(decoder, batches, encoder=SHORT, optimizer=optimizer, updates_per_encode=2)
    whole = decoder_of()
    fit(
        whole,
        Batches(digits(128), size=32),
        encoder=SHORT,
        optimizer=sgd(whole),
        updates_per_encode=2,
        callbacks=[lambda report: report.step == 2],
    )
    assert history.interrupted and history.step == [2, 4] and batches.index == 2
    assert same(weights(decoder), weights(whole))


def test_interrupt_during_an_update_waits_for_the_callbacks_and_a_second_does_not():
    def training(*callbacks: Any) -> tuple[History, list[int]]:
        seen: list[int] = []
        decoder = decoder_of()
        optimizer = Pressing(decoder.parameters(), lr=0.5)
        after = [*callbacks, lambda report: seen.append(report.step)]
        batches = Batches(digits(128), size=32)
        return fit(decoder, batches, encoder=SHORT, optimizer=optimizer, callbacks=after), seen

    history, seen = training()
    assert history.step == seen == [1, 2, 3] and history.interrupted
    history, seen = training(lambda report: press() if report.step == 3 else None)
    assert history.step == [1, 2, 3] and seen == [1, 2] and history.interrupted


def test_interrupt_while_an_encoder_with_a_memory_works_waits_until_its_batch_is_learnt():
    stored = StoredCodes(lambda decoder, x, z0: (press(), SHORT(decoder, x))[1])
    batches = Batches(digits(64), size=32)
    history = fit(decoder_of(), batches, encoder=stored)
    assert history.interrupted and history.step == [1] and batches.index == 1
    assert len(stored.codes) == 32


def test_caller_who_wants_the_interrupt_gets_it_with_everything_at_a_whole_update(
    unchecked: None,
):
    decoder = decoder_of()
    history = History()
    optimizer = Pressing(decoder.parameters(), lr=0.5)
    with pytest.raises(KeyboardInterrupt):
        fit(
            decoder,
            Batches(digits(128), size=32),
            encoder=SHORT,
            optimizer=optimizer,
            history=history,
            on_interrupt="raise",
        )
    assert history.interrupted and history.step == [1, 2, 3]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ValueError, match="`on_interrupt` must be 'return' or 'raise', got 'stop'"):
        fit(decoder, Batches(digits(4), size=4), on_interrupt="stop")  # pyright: ignore[reportArgumentType]


def test_a_programs_own_handler_of_interrupts_is_called_and_put_back():
    came = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        own = signal.getsignal(signal.SIGINT)
        decoder = decoder_of()
        optimizer = Pressing(decoder.parameters(), lr=0.5)
        history = fit(decoder, Batches(digits(128), size=32), encoder=SHORT, optimizer=optimizer)
        assert came == [signal.SIGINT] and signal.getsignal(signal.SIGINT) is own
        assert not history.interrupted and len(history.step) == 4, "its handler raised nothing"
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_in_another_thread_leaves_interrupts_alone():
    handlers = []
    note = [lambda report: handlers.append(signal.getsignal(signal.SIGINT))]
    arguments = (decoder_of(), Batches(digits(4), size=4))
    worker = threading.Thread(target=partial(fit, *arguments, encoder=SHORT, callbacks=note))
    worker.start()
    worker.join()
    assert handlers == [signal.default_int_handler]


def sgd(decoder: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(decoder.parameters(), lr=0.5)


def test_history_is_carried_on_and_reports_count_this_call_alone():
    decoder = decoder_of()
    batches = Batches(digits(64), size=16)
    reports = []
    first = fit(decoder, batches, encoder=SHORT, callbacks=[lambda report: report.step == 3])
    assert first.interrupted
    seconds = list(first.seconds)
    second = fit(
        decoder, batches, encoder=SHORT, epochs=2, history=first, callbacks=[reports.append]
    )
    assert second is first and not second.interrupted
    assert second.step == [1, 2, 3, 4, 5, 6, 7, 8] and second.images == [
        16 * i for i in second.step
    ]
    assert second.seconds[:3] == seconds and second.seconds == sorted(second.seconds)
    assert [(report.step, report.n_steps) for report in reports] == [(i, 5) for i in range(1, 6)]


@pytest.mark.parametrize(("carries", "expected"), [(False, 4), (True, 12)])
def test_codes_are_found_once_for_each_batch_or_anew_for_each_update_if_they_carry_a_gradient(
    carries, expected
):
    decoder = decoder_of()
    network = nn.Linear(64, 8).double()
    calls = []
    before = weights(network)

    def encoder(decoder: gfe.MLPDecoder, x: torch.Tensor) -> Encoding:
        calls.append(1)
        found = SHORT(decoder, x)
        return replace(found, z=network(x)) if carries else found

    optimizer = torch.optim.SGD([*decoder.parameters(), *network.parameters()], lr=0.1)
    fit(
        decoder,
        Batches(digits(32), size=8),
        encoder=encoder,
        optimizer=optimizer,
        updates_per_encode=3,
    )
    assert len(calls) == expected
    assert same(before, weights(network)) is not carries


def test_evaluation_does_not_depend_on_the_size_of_its_parts():
    decoder = decoder_of()
    x = digits(20)
    whole, parts = (evaluate(decoder, x, encoder=SHORT, size=size) for size in (2000, 7))
    assert all(
        torch.equal(getattr(whole, name), getattr(parts, name))
        for name in ("energy", "excess", "status")
    )
    assert torch.equal(
        whole.statistics.work, parts.statistics.work
    ) and whole.statistics.n_grad.shape == (20,)
    with pytest.raises(ValueError, match="`size` must be at least 1, got 0"):
        evaluate(decoder, x, size=0)


def test_other_errors_are_not_swallowed():
    def broken(decoder: nn.Module, x: torch.Tensor) -> Encoding:
        raise RuntimeError("no codes today")

    with pytest.raises(RuntimeError, match="no codes today"):
        fit(decoder_of(), Batches(digits(32), size=32), encoder=broken)


@pytest.mark.filterwarnings("ignore:.*missing features:UserWarning")
def test_sample_with_nan_teaches_nothing_and_harms_nothing():
    x = digits(32)
    x[5, 3] = math.nan
    keep = torch.arange(32) != 5
    ours = decoder_of()
    theirs = decoder_of()
    history = fit(ours, Batches(x, size=32, shuffle=False), encoder=SHORT, epochs=2)
    without = fit(theirs, Batches(x[keep], size=31, shuffle=False), encoder=SHORT, epochs=2)
    assert same(weights(ours), weights(theirs))
    assert history.energy == without.energy


@pytest.mark.filterwarnings("ignore:.*missing features:UserWarning")
def test_batch_of_nan_alone_changes_nothing():
    decoder = decoder_of()
    x = torch.full((4, 64), math.nan, dtype=torch.float64)
    with pytest.warns(UserWarning, match="are missing .NaN. in every sample"):
        fit(decoder, Batches(x, size=4), encoder=SHORT)
    assert same(weights(decoder), weights(decoder_of()))


def test_loss_of_the_update_is_that_of_the_codes_unless_told():
    decoder = decoder_of()
    loss = gfe.Gaussian(reduction="sum")
    history = fit(decoder, Batches(digits(32), size=32, shuffle=False), loss=loss)
    expected = gfe.encode(decoder_of(), digits(32), loss=loss).energy.mean().item()
    assert history.energy == [expected]


def test_numbers_below_one_are_refused():
    batches = Batches(digits(4), size=4)
    with pytest.raises(ValueError, match="`epochs` must be at least 1, got 0"):
        fit(decoder_of(), batches, epochs=0)
    with pytest.raises(ValueError, match="`updates_per_encode` must be at least 1, got 0"):
        fit(decoder_of(), batches, updates_per_encode=0)


def test_encoding_with_batch_norm_in_training_mode_is_refused_before_anything_changes():
    decoder = decoder_of()
    decoder.layers.insert(1, nn.BatchNorm1d(32).double())
    before = copy.deepcopy(decoder.state_dict())
    with pytest.raises(ValueError, match="BatchNorm1d"):
        fit(decoder, Batches(digits(8), size=4))
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())


def test_cached_decoder_of_the_tests_is_not_trained_by_them():
    assert all(parameter.grad is None for parameter in copy.deepcopy(trained("mlp")).parameters())  # pyright: ignore[reportAttributeAccessIssue]


class Mixed(torch.utils.data.Dataset[Any]):
    """Samples in another form than alone or first beside labels."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        image = torch.full((3,), i / 4)
        forms = {"one": {"image": image}, "two": {"image": image, "label": i}}
        return {**forms, "pair": ((image, image), i)}[self.kind]


@pytest.mark.parametrize(
    ("kind", "got"), [("one", "dict of 'image'"), ("two", "dict of 'image', 'label'"), ("pair", "")]
)
def test_loader_that_hands_out_no_tensors_is_refused(kind, got):
    loader = torch.utils.data.DataLoader(Mixed(kind), batch_size=2)
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    message = f"`{{}}` is a DataLoader, which must yield batches of tensors.*got a {got}"
    with pytest.raises(TypeError, match=message.format("batches")):
        gfe.fit(decoder, loader)
    with pytest.raises(TypeError, match=message.format("x")):
        gfe.encode(decoder, loader)


@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode])
def test_fit_without_gradients_is_told_to_leave_the_block(block):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    with (
        block(),
        pytest.raises(RuntimeError, match="`fit` needs gradients.* outside of that block"),
    ):
        gfe.fit(decoder, torch.rand(4, 3))


def test_context_that_only_the_penalty_of_the_encoder_reads_does_not_stop_training():
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    seen = []

    def penalty(z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        seen.append(len(context))
        return (z - context).square().sum(1)

    batches = gfe.data.Batches(torch.rand(6, 3), context=torch.ones(6, 2), size=3)
    encoder = partial(gfe.encode, loss=gfe.Gaussian(), penalty=penalty, max_steps=3)
    history = gfe.fit(decoder, batches, encoder=encoder)
    assert len(history.step) == 2 and seen


MASK = torch.rand(40, 4, generator=torch.Generator().manual_seed(3)) > 0.4
MASK[:, 0] |= ~MASK.any(1)
FOUR = torch.rand(40, 4, generator=torch.Generator().manual_seed(4))
GAPS = torch.where(MASK, FOUR, torch.nan)
STEPS = torch.full((3, 40), 0.1)


class Shifted(nn.Module):
    """A linear decoder that adds a context."""

    latent_dim, data_shape = 2, (4,)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 4)

    def forward(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.layer(z) + context


def of_a_user(decoder: Any, x: Any, mask: Any = None) -> Encoding:
    return SHORT(decoder, x, mask=mask)


NOTED = partial(gfe.encode, max_steps=8)
NOTED.note = "with an attribute, it is kept by another partial"  # pyright: ignore
ROWS: dict[str, tuple[Any, str]] = {
    "mask": (partial(SHORT, mask=MASK), r"`mask`.* NaN .*torch.where\(mask.*encode_observed"),
    "z0": (partial(SHORT, z0=torch.ones(40, 2)), "`z0`.*StoredCodes"),
    "solver": (partial(gfe.encode, solver=gfe.Euler(steps=STEPS)), r"`solver`.*steps\[:, 0\]"),
    "stored": (StoredCodes(partial(SHORT, mask=MASK)), "`mask`.* NaN "),
    "then": (gfe.encoders.ThenFlow(partial(SHORT, mask=MASK), SHORT), "`mask`.* NaN "),
    "filled": (gfe.encoders.Filled(partial(partial(SHORT, mask=MASK), loss=None)), "`mask`.* NaN "),
    "around another": (partial(NOTED, mask=MASK[:20]), "`mask`.* NaN "),
    "of a user": (partial(of_a_user, mask=MASK), "`mask`.* NaN "),
}


@pytest.mark.parametrize("name", ROWS)
def test_training_refuses_an_encoder_that_holds_a_row_for_each_sample(name, unchecked):
    encoder, message = ROWS[name]
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    before = weights(decoder)
    with pytest.raises(ValueError, match=f"`encoder` holds {message}"):
        fit(decoder, FOUR, encoder=encoder)
    assert same(before, weights(decoder))


def test_a_context_held_by_an_encoder_belongs_with_the_data():
    decoder: Any = Shifted()
    holds = partial(SHORT, context=FOUR, loss=gfe.Gaussian())
    with pytest.raises(ValueError, match=r"`encoder` holds `context`.*Batches\(x, context=context"):
        fit(decoder, FOUR, encoder=holds)
    with pytest.raises(ValueError, match="`encoder` holds a `context`.* would replace"):
        evaluate(decoder, FOUR, encoder=holds, context=-FOUR)
    with pytest.raises(ValueError, match=r"`encoder` holds `context`.*`evaluate`: `context="):
        evaluate(decoder, FOUR, encoder=holds, size=20)


@pytest.mark.parametrize("n_masked", [3, 40])
def test_an_encoder_of_a_user_may_mean_something_else_by_a_mask(n_masked):
    def encoder(decoder: Any, x: torch.Tensor, mask: Any) -> Encoding:
        return SHORT(decoder, x, mask=mask[:1].expand(x.shape) if n_masked == 3 else None)

    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    mask = MASK[:n_masked] if n_masked == 3 else "any word"
    assert fit(decoder, FOUR, encoder=partial(encoder, mask=mask)).step == [1]


def masked_by_a_function(decoder: Any, x: torch.Tensor) -> Encoding:
    return gfe.encode(decoder, x, mask=x >= x.median(1, keepdim=True).values)


def test_excess_is_over_the_floor_of_what_the_encoder_observed():
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    expected = evaluate(decoder, GAPS, encoder=gfe.encode_observed)
    found = evaluate(decoder, FOUR, encoder=partial(gfe.encode, mask=MASK))
    assert torch.equal(found.energy, expected.energy)
    assert torch.equal(found.excess, expected.excess)
    middle = FOUR.median(1, keepdim=True).values
    alike = torch.where(middle <= FOUR, FOUR, torch.nan)
    expected = evaluate(decoder, alike, encoder=gfe.encode_observed, size=7)
    found = evaluate(decoder, FOUR, encoder=masked_by_a_function, size=7)
    assert torch.equal(found.excess, expected.excess)


def test_evaluation_in_parts_refuses_a_mask_of_all_samples():
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    for mask in (MASK, MASK[:20]):  # one of 20 rows would serve both parts
        with pytest.raises(ValueError, match="`encoder` holds `mask`.*20 of the 40.*`size=40`"):
            evaluate(decoder, FOUR, encoder=partial(SHORT, mask=mask), size=20)


def test_training_without_a_context_that_is_needed_names_the_batches(unchecked):
    decoder: Any = Shifted()
    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(FOUR, FOUR), batch_size=8)
    remedy = r"`batches` hold samples alone.*`gfe.data.Batches\(x, context=context"
    for data in (FOUR, pairs):
        with pytest.raises(TypeError, match=f"Shifted takes `context` in addition to z.*{remedy}"):
            fit(decoder, data, loss=gfe.Gaussian())
    plain = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    with pytest.raises(TypeError, match=f"`loss` <lambda> takes `context`.*{remedy}"):
        fit(plain, FOUR, loss=lambda output, x, context: (output - x).square().sum(1))
    pulled = partial(SHORT, penalty=lambda z, context: (z - context).square().sum(1))
    with pytest.raises(TypeError, match=f"`penalty` <lambda> takes `context`.*{remedy}"):
        fit(plain, FOUR, encoder=pulled)


def test_starts_of_all_samples_belong_to_a_batch_of_all_in_their_order():
    whole = gfe.data.Batches(FOUR, size=40, shuffle=False)
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    assert fit(decoder, whole, encoder=partial(SHORT, z0=torch.ones(40, 2))).step == [1]
    with pytest.raises(ValueError, match="`encoder` holds `mask`"):
        fit(decoder, whole, encoder=partial(SHORT, mask=MASK))


class WithContexts:
    """An encoder of a user that gives its flow a context of its own making."""

    def __init__(self) -> None:
        def penalty(z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
            return (z * context).square().sum(1)

        self.flow = partial(SHORT, penalty=penalty)

    def __call__(self, decoder: Any, x: torch.Tensor) -> Encoding:
        return self.flow(decoder, x, context=x[:, :1])


def test_an_encoder_of_a_user_may_make_the_context_of_a_penalty(unchecked):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    assert fit(decoder, FOUR, encoder=WithContexts()).step == [1]
