"""Training a decoder at the codes that a flow finds.

One round: encode a batch with the current decoder, then update the decoder at those codes. `fit`
shows nothing itself: progress bars and lines on stderr are the work of callbacks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gfe_core import arguments, checks, threads
from gfe_core.data import Batches
from gfe_core.data.batches import LoaderBatches, batches_of
from gfe_core.data.contexts import rows_of
from gfe_core.data.samples import Samples, context_for, samples_for
from gfe_core.encoding import encode
from gfe_core.energy import Energy, WholeLoss, context_taken
from gfe_core.solvers.chunks import in_chunks, not_reached
from gfe_core.training import parts
from gfe_core.training.interrupts import EVERY_ONE, Interrupts
from gfe_core.training.missing import Untaught, observed_somewhere, warn_of_missing_energies
from gfe_core.training.units import warn_of_units
from gfe_core.types import AnyLoss, Context, Encoder, Encoding, Statistics, Status


@dataclass
class History:
    """The course of `fit`, one entry for each encoded batch; `asdict(history)` is JSON.

    Args:
        step: number of decoder updates so far.
        images: number of samples encoded so far, repeats counted.
        energy: mean energy of the batch at its codes, before the decoder is updated; samples that
            are NON_FINITE or have no observed feature are left out.
        work: mean number of forward-equivalents that encoding one sample took.
        seconds: seconds of training so far, over all calls of `fit` that continued this history.
        interrupted: whether an interrupt or a callback ended training early.
    """

    step: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True)
class Report:
    """The argument of callbacks, which `fit` calls after each encoded batch.

    Args:
        step: number of rounds (encode, then update) made in this call, out of `n_steps`;
            `history.step` counts single updates over all calls.
        epoch: number of the current pass over the data, from 1 to `n_epochs`.
        energy: mean energy of this batch before the update.
        seconds: seconds of training so far, over all calls of `fit` that continued this history.
        decoder: the decoder itself, after the update.
        x: samples of the batch.
        encoding: codes of the batch.
        history: history up to and including this batch.
        context: context of the batch, if the data have one.
    """

    step: int
    n_steps: int
    epoch: int
    n_epochs: int
    energy: float
    seconds: float
    decoder: nn.Module
    x: Tensor
    encoding: Encoding
    history: History
    context: Context | None = None


Callback = Callable[[Report], bool | None]
"""A function that `fit` calls after every round; if it returns True, `fit` stops cleanly."""


@arguments.in_own_words
def fit(
    decoder: nn.Module,
    batches: Batches | Samples,
    *,
    encoder: Encoder | None = None,
    loss: AnyLoss | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    epochs: int = 1,
    updates_per_encode: int = 1,
    callbacks: Callback | Sequence[Callback] = (),
    history: History | None = None,
    on_interrupt: Literal["return", "raise"] = "return",
) -> History:
    """Train the decoder in place: encode a batch, update the decoder at the codes, repeat.

    The update follows the gradient of the batch mean of E(z, theta) in theta, as far as the
    encoder's adjoint lets it through.

    An interrupt (Ctrl-C, a notebook's stop button) ends training at a whole number of updates and
    keeps what was learnt: decoder, optimizer, schedule, batches and history are those of the last
    finished batch. During encoding the interrupt takes effect at once, and training continues later
    with the same batch. An encoder that is a module may keep codes of its own, and so finishes its
    batch first. During the updates the interrupt waits until the callbacks have run; a second
    interrupt breaks the callbacks off.

    Samples whose status is NON_FINITE teach nothing and do not count in the mean energy. Those are
    the samples with infinite features, and those with NaN in the data, unless the encoder treats
    NaN as unobserved (`encode_observed`, `encoders.Filled`); then only the observed features
    contribute. Those are also the samples for which the decoder gives no number, as when training
    diverges. A UserWarning counts the samples that teach nothing, once for each cause.

    Args:
        decoder: decoder to train; it is changed in place.
        batches: training data in their order: `Batches`, a `DataLoader`, or samples, which become
            batches of 64.
        encoder: function (decoder, x) -> Encoding; `encode` with this loss by default. If the
            batches have a context, it is called with `context=` and the update decodes with it.
            One that binds a row for each sample, such as a `mask`, by `functools.partial` is
            refused, because batches have other rows; in a function they cannot be recognised. If it
            leaves out observed features, the update learns these too.
        loss: loss of the update; by default the loss that the encoder used, and `Bernoulli()` if
            neither is given.
        optimizer: optimizer of the decoder's weights, or of other weights if those are frozen;
            `torch.optim.Adam(decoder.parameters(), lr=1e-3)` by default.
        schedule: schedule of this optimizer, stepped after each update.
        epochs: number of passes over the data, >= 1.
        updates_per_encode: number of decoder updates for each batch, >= 1, at the same codes. Codes
            that carry a gradient are found again before each update, because a gradient serves
            only one.
        callbacks: functions, or a single function, called with a `Report` after every round.
        history: history to continue in place; a new one by default.
        on_interrupt: action on an interrupt: "return" returns the history, whose `interrupted` is
            True; "raise" raises the KeyboardInterrupt, for callers that cannot use a partial
            training.

    Returns:
        The history.

    Raises:
        KeyboardInterrupt: training was interrupted and on_interrupt is "raise".
        RuntimeError: called under `torch.no_grad()` or `torch.inference_mode()`.
        TypeError, ValueError: an argument does not fit, the batches have a context that the encoder
            does not take, or the decoder or the loss returns a wrong shape or has no gradient; the
            message says how to fix it.

    Example:
        >>> import gfe_core as gfe
        >>> digits = gfe.data.load("digits").take(64)
        >>> decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64)
        >>> history = gfe.fit(decoder, gfe.data.Batches(digits.x, size=32), epochs=2)
        >>> history.images
        [32, 64, 96, 128]

    Source: Flouris et al. 2024 (arXiv 2412.00864), equations 3 and 12.
    """
    checks.one_of("on_interrupt", on_interrupt, ("return", "raise"))
    for name, n in (("epochs", epochs), ("updates_per_encode", updates_per_encode)):
        checks.at_least_one(name, n)
    data = _checked(decoder, batches, history)
    find_codes = _encoder_of_batches(decoder, encoder, loss, data)
    known = data.x if isinstance(data, Batches) else None
    optimizer = parts.optimizer_of(decoder, optimizer, schedule)
    called = parts.listed(callbacks)
    untaught = Untaught(known)
    warn_of_units(known, loss)
    history = history or History()
    before = len(history.step)
    n_steps = epochs * len(data) - data.index
    start = time.perf_counter() - (history.seconds[-1] if before else 0.0)

    def report(epoch: int, x: Tensor, context: Context | None, encoding: Encoding) -> Report:
        return Report(
            step=len(history.step) - before,
            n_steps=n_steps,
            epoch=epoch,
            n_epochs=epochs,
            energy=history.energy[-1],
            seconds=history.seconds[-1],
            decoder=decoder,
            x=x,
            encoding=encoding,
            history=history,
            context=context,
        )

    def learn(x: Tensor, context: Context | None, encoding: Encoding) -> None:
        codes = encoding
        finite = encoding.status != Status.NON_FINITE
        taught = finite & observed_somewhere(x)
        seen = rows_of(context, taught)
        learnt = parts.loss_of(encoding, loss, find_codes, optimizer)
        for i in range(updates_per_encode):
            if i and codes.z.requires_grad:
                codes = find_codes(decoder, x, **_given(context))
            update(decoder, learnt, optimizer, schedule, codes.z[taught], x[taught], context=seen)
        untaught.note(x, finite)
        _note(history, encoding, taught, updates_per_encode, time.perf_counter() - start)

    held_by_encoder = EVERY_ONE if isinstance(find_codes, nn.Module) else 0
    position = (data.epoch, data.index)  # of the next batch to learn from
    try:
        with Interrupts() as interrupts:
            for epoch, x, context in _passes(data, epochs):
                position = (data.epoch, data.index - 1)
                interrupts.hold(held_by_encoder)
                with threads.suited(decoder, encoder):
                    encoding = parts.encoding_of(find_codes(decoder, x, **_given(context)), x)
                    interrupts.hold(EVERY_ONE)
                    learn(x, context, encoding)
                position = (data.epoch, data.index)
                interrupts.hold(1)
                news = report(epoch, x, context, encoding)
                history.interrupted = any([parts.stops(callback(news)) for callback in called])
                interrupts.hold(0)
                if history.interrupted:
                    break
                interrupts.hold(EVERY_ONE)  # until the next batch is handed out
    except KeyboardInterrupt:
        history.interrupted = True
        data.epoch, data.index = position
        if on_interrupt == "raise":
            raise
    untaught.tell_of_weights(decoder)
    return history


def _checked(
    decoder: nn.Module, batches: Batches | Samples, history: History | None
) -> Batches | LoaderBatches:
    """Return the batches, ready to continue, after checking gradients, decoder and history."""
    checks.require(
        torch.is_grad_enabled(),
        "`fit` needs gradients, but was called under `torch.no_grad()` or "
        "`torch.inference_mode()`. Call it outside of that block.",
        RuntimeError,
    )
    parts.trainable(decoder)
    checks.require(
        history is None or isinstance(history, History),
        f"`history` must be a `History` that `fit` returned, got {checks.described(history)}.",
        TypeError,
    )
    if history is not None:
        history.interrupted = False
    data = batches_of(decoder, batches)
    if data.index == len(data):  # after the last batch of an epoch: its empty rest is not a pass
        next(iter(data), None)
    return data


def _passes(
    batches: Batches | LoaderBatches, epochs: int
) -> Iterator[tuple[int, Tensor, Context | None]]:
    """Yield (number of the pass, from 1; batch; its context) for each batch of all passes."""
    for epoch in range(1, epochs + 1):
        for batch in batches:
            x, context = (batch, None) if isinstance(batch, Tensor) else batch
            yield epoch, x, context


def _encoder(encoder: Encoder | None, loss: AnyLoss | None, context: Context | None) -> Encoder:
    """Return the encoder given, or `encode` with its defaults and this loss."""
    arguments.loss_or_none(loss)
    parts.callable_encoder(encoder)
    checks.require(
        context is None or encoder is None or arguments.takes_named(encoder, "context"),
        f"`encoder` {arguments.called(encoder)} takes no `context`, which the data have. Give it "
        "a parameter `context`, or leave the context out.",
        TypeError,
    )
    return encoder or partial(encode, loss=loss)


def _encoder_of_batches(
    decoder: nn.Module, encoder: Encoder | None, loss: AnyLoss | None, data: Batches | LoaderBatches
) -> Encoder:
    """Return the encoder for a training, after checking that batches have what it needs."""
    find_codes = _encoder(encoder, loss, data.context)
    n = len(data.x) if isinstance(data, Batches) else None
    in_order = isinstance(data, Batches) and not data.shuffle and len(data) == 1
    parts.holds_no_rows(encoder, n, in_order=in_order)
    if data.context is None:
        parts.context_there(decoder, loss, encoder)
    return find_codes


def _given(context: Context | None) -> dict[str, Context]:
    """Return the keyword argument for the context of an encoder, if there is one."""
    return {} if context is None else {"context": context}


def update(
    decoder: nn.Module,
    loss: AnyLoss | None,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    z: Tensor,
    x: Tensor,
    *,
    context: Context | None = None,
) -> None:
    """Take one optimizer step at the given codes; without codes do nothing.

    A context that only the encoder's penalty reads is not part of the step.

    Args:
        decoder: decoder to update in place.
        loss: loss of the update.
        optimizer: optimizer that takes the step.
        schedule: schedule to step afterwards, or None.
        z: codes of the samples.
        x: samples; NaN counts as unobserved.
        context: context of the samples, if they have one.
    """
    if not len(x):
        return
    optimizer.zero_grad(set_to_none=True)
    judge = WholeLoss(loss)
    taken = context_taken(decoder, judge, context)
    bound = Energy(decoder, x, judge, mask=_observed(x), context=taken)  # pyright: ignore[reportArgumentType]
    energy = bound.per_sample(z).mean()
    checks.require(
        energy.requires_grad,
        f"`decoder` {arguments.called(decoder)} cannot learn: no energy has a gradient in its "
        "weights. Call `decoder.requires_grad_()`, and leave out `.detach()` and "
        "`torch.no_grad()` in `forward` and in the loss.",
    )
    energy.backward()
    optimizer.step()
    if schedule is not None:
        schedule.step()


def _observed(x: Tensor) -> Tensor | None:
    """Return the mask of values that are not NaN.

    It is None if no value is missing: without a mask a loss is faster, and its rounding is that of
    complete data.
    """
    missing = x.isnan()
    return ~missing if missing.any() else None


def _note(
    history: History, encoding: Encoding, taught: Tensor, n_updates: int, seconds: float
) -> None:
    history.step.append((history.step[-1] if history.step else 0) + n_updates)
    history.images.append((history.images[-1] if history.images else 0) + len(taught))
    history.energy.append(encoding.energy[taught].mean().item())
    history.work.append(encoding.statistics.work.double().mean().item())
    history.seconds.append(seconds)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `evaluate`; every field has one entry for each sample.

    Args:
        energy: energy at the codes that the encoder found.
        excess: energy minus the floor of the observed features, below which no decoder can score.
            Features that are NaN in the data or False in the encoder's mask are not observed.
        status: status of each encoding, as in `Status`.
        statistics: counts of the solver's work.
    """

    energy: Float[Tensor, "batch"]
    excess: Float[Tensor, "batch"]
    status: Int[Tensor, "batch"]
    statistics: Statistics


@arguments.in_own_words
def evaluate(
    decoder: nn.Module,
    x: Samples,
    *,
    encoder: Encoder | None = None,
    loss: AnyLoss | None = None,
    context: Context | None = None,
    size: int = 2000,
    progress: bool = False,
) -> Evaluation:
    """Encode data and judge the codes without touching the decoder.

    A UserWarning counts the samples without a finite energy, which are those with infinity in the
    data, and those with NaN unless the encoder treats NaN as unobserved. Another warning counts
    samples without any observed feature.

    Args:
        decoder: trained decoder.
        x: held-out data, as for `encode`; NaN is unobserved if the encoder treats it so.
        encoder: function (decoder, x) -> Encoding; `encode` with this loss by default.
        loss: loss of the default encoder, `Bernoulli()` by default. An encoder's energies are by
            its own loss, and so is their floor; this one gives the floor only if the encoding
            names no loss. For a loss without a floor, excess is the energy.
        context: context of each sample, for encoders that take one.
        size: number of samples encoded at once, which bounds the memory and changes nothing else.
            An interrupt keeps finished samples; the others are NOT_REACHED and have no energy. An
            encoder that binds a row for each sample, such as a `mask`, needs all of them at once.
        progress: whether to show a progress bar.

    Raises:
        TypeError, ValueError: an argument does not fit, the encoder takes no context, or the
            context has another number of rows than x; the message says how to fix it.
    """
    checks.at_least_one("size", size)
    find_codes = _encoder(encoder, loss, context)
    checks.is_decoder(decoder)
    rows = samples_for(decoder, x)
    context = context_for(context, rows, x)
    parts.holds_rows_of(encoder, len(rows), size, context)

    def find(chunk: slice) -> Encoding:
        x = rows[chunk]
        return parts.encoding_of(find_codes(decoder, x, **_given(rows_of(context, chunk))), x)

    with threads.suited(decoder, encoder), torch.no_grad():
        encodings = in_chunks(find, len(rows), size, progress=progress)
        reached = sum(map(len, encodings))
        if reached < len(rows):
            start = checks.start_for(decoder, rows[reached:], None)
            rest = rows_of(context, slice(reached, None))
            kept = None if encodings[0].context is None else rest
            encodings.append(not_reached(start, encodings[0], kept))
    encoding = Encoding.joined(encodings)
    seen = _seen_by(encoding, rows)
    by_mask = bool((observed_somewhere(rows) & ~observed_somewhere(seen)).any())
    warn_of_missing_energies(seen[:reached], encoding.energy[:reached], by_mask=by_mask)
    effect = "energies and excess are by the encoder's"
    parts.tell_of_other_loss(encoding, loss, find_codes, effect, frames=4, on_purpose=False)
    judged = WholeLoss(loss if encoding.loss is None else encoding.loss)
    excess = encoding.energy - judged.floor(seen, _observed(seen))
    return Evaluation(encoding.energy, excess, encoding.status, encoding.statistics)


def _seen_by(encoding: Encoding, x: Tensor) -> Tensor:
    """Return the samples with NaN where the encoder did not observe them."""
    mask = encoding.mask
    return x if mask is None or mask.shape != x.shape else torch.where(mask, x, torch.nan)
