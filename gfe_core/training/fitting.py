"""Training a decoder at the codes that a flow finds.

One round: encode a batch with the decoder as it is, then update the decoder at those codes. `fit`
only calls callbacks; what a reader sees of it (a progress bar, a line on stderr) is theirs to draw.
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
from gfe_core.data.contexts import check_context, rows_of
from gfe_core.data.samples import Samples, samples_for
from gfe_core.encoding import encode
from gfe_core.energy import Energy, WholeLoss
from gfe_core.solvers.chunks import in_chunks, not_reached
from gfe_core.training import parts
from gfe_core.training.interrupts import EVERY_ONE, Interrupts
from gfe_core.training.missing import Untaught, observed_somewhere, warn_of_missing_energies
from gfe_core.training.units import warn_of_units
from gfe_core.types import AnyLoss, Context, Encoder, Encoding, Statistics, Status


@dataclass
class History:
    """What happened during `fit`, one entry for each encoded batch; `asdict(history)` is JSON.

    Args:
        step: decoder updates made so far.
        images: samples encoded so far, repeats counted.
        energy: mean energy of the batch at its codes, before the decoder is updated; samples that
            failed or have no observed feature are left out.
        work: mean forward-equivalents that the encoding took for each sample.
        seconds: since `fit` began.
        interrupted: whether training ended before its time, by an interrupt or a callback.
    """

    step: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True)
class Report:
    """What `fit` tells its callbacks after each encoded batch.

    Args:
        step: rounds (encode, then update) made in this call, of `n_steps`.
        epoch: passes over the data that were begun, from 1, of `n_epochs`.
        energy: mean energy of this batch before the update.
        seconds: since `fit` began.
        decoder: the decoder itself, after the update.
        x: the batch.
        encoding: its codes.
        history: everything so far.
        context: of the batch, where the data have one.
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
"""Called after every round; returning True asks `fit` to stop cleanly."""


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
    finished batch. While codes are found it comes at once, and their batch comes first when
    training goes on; an encoder that is a module may keep codes of its own and finishes its batch.
    During the updates it waits for the callbacks too; a second one breaks these off.

    Samples whose status is NON_FINITE teach nothing and do not count in the mean
    energy: those with NaN in the data, unless the encoder takes NaN for unobserved features
    (`encode_observed`, `encoders.Filled`). Of these the features observed teach, and no others. A
    UserWarning counts the samples that are lost in this way.

    Args:
        decoder: changed in place.
        batches: the training data in their order: `Batches`, a `DataLoader`, or samples, of which
            64 make a batch.
        encoder: (decoder, x) -> Encoding; `encode` with this loss by default. Where the batches
            have a context, it is called with `context=` and the update decodes with it.
        loss: for the update; by default that by which the encoder found its codes, and
            `Bernoulli()` where neither is given.
        optimizer: `torch.optim.Adam(decoder.parameters(), lr=1e-3)` by default; holds weights of
            the decoder, unless these are frozen.
        schedule: of this optimizer; stepped after each update.
        epochs: passes over the data, >= 1.
        updates_per_encode: decoder updates for each batch, >= 1, at the same codes; where codes
            carry a gradient, which serves one update only, they are found anew.
        callbacks: each, or the only one, is called with a `Report` after every round.
        history: what happened before, to be carried on in place; a new one by default.
        on_interrupt: "return" returns the history, whose `interrupted` is True; "raise" raises the
            KeyboardInterrupt, for callers to whom half a training is none.

    Returns:
        The history.

    Raises:
        KeyboardInterrupt: training was interrupted and on_interrupt is "raise".
        RuntimeError: called under `torch.no_grad()` or `torch.inference_mode()`.
        TypeError, ValueError: an argument does not fit, the batches have a context, which the
            encoder does not take, or the decoder or the loss return another shape than they
            should, or have no gradient; the message says how to mend it.

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
    find_codes = _encoder(encoder, loss, data.context)
    optimizer = parts.optimizer_of(decoder, optimizer, schedule)
    called = parts.listed(callbacks)
    known = data.x if isinstance(data, Batches) else None
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
        learnt = parts.loss_of(encoding, loss)
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
    untaught.tell_if_all()
    return history


def _checked(
    decoder: nn.Module, batches: Batches | Samples, history: History | None
) -> Batches | LoaderBatches:
    """Return the batches that are meant, ready to go on, after refusing what cannot be trained."""
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
    if data.index == len(data):  # the last batch of an epoch: its empty rest is no pass
        next(iter(data), None)
    return data


def _passes(
    batches: Batches | LoaderBatches, epochs: int
) -> Iterator[tuple[int, Tensor, Context | None]]:
    """So many passes over the batches, as (number of the pass from 1, batch, its context)."""
    for epoch in range(1, epochs + 1):
        for batch in batches:
            x, context = (batch, None) if isinstance(batch, Tensor) else batch
            yield epoch, x, context


def _encoder(encoder: Encoder | None, loss: AnyLoss | None, context: Context | None) -> Encoder:
    """Return the encoder given, or the flow with its defaults and this loss."""
    arguments.loss_or_none(loss)
    parts.callable_encoder(encoder)
    checks.require(
        context is None or encoder is None or arguments.takes_named(encoder, "context"),
        f"`encoder` {arguments.called(encoder)} takes no `context`, which the data have. Give it "
        "a parameter `context`, or leave the context out.",
        TypeError,
    )
    return encoder or partial(encode, loss=loss)


def _given(context: Context | None) -> dict[str, Context]:
    """Return the argument of an encoder, if there is a context."""
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
    """One optimizer step at fixed codes; none where there are no codes, whose mean would be NaN.

    A context that only the encoder's penalty reads is not part of the step.
    """
    if not len(x):
        return
    optimizer.zero_grad(set_to_none=True)
    judge = WholeLoss(loss)
    taken = context if judge.takes_context or arguments.takes_context(decoder) else None
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
    """Where x is no NaN.

    None where nothing is missing, which a loss computes faster and to the last bit as ever.
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


@dataclass(frozen=True)
class Evaluation:
    """How well a decoder with an encoder explains data; every field has one entry for each sample.

    Args:
        energy: at the codes found.
        excess: energy minus the floor, of observed features, that no decoder can pass under.
        status: `Status` codes.
        statistics: counts.
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

    A UserWarning counts the samples without an energy: those with NaN in the data, unless the
    encoder takes NaN for unobserved features. Another counts those of which nothing was observed.

    Args:
        decoder: the trained decoder.
        x: held-out data, as for `encode`; NaN where unobserved if the encoder takes it so.
        encoder: (decoder, x) -> Encoding; `encode` with this loss by default.
        loss: gives the floor; by default that by which the codes were found, `Bernoulli()` where
            neither is given. Of one without a floor, excess is the energy.
        context: of each sample, for encoders that take one.
        size: samples encoded at once, which bounds the memory and changes nothing else. An
            interrupt keeps what is finished; the other samples are NOT_REACHED and have no energy.
        progress: whether a bar counts the samples.

    Raises:
        TypeError, ValueError: an argument does not fit, the encoder takes no context, or the
            context has other rows than x; the message says how to mend it.
    """
    size = checks.whole("size", size)
    checks.at_least_one("size", size)
    find_codes = _encoder(encoder, loss, context)
    checks.is_decoder(decoder)
    rows = samples_for(decoder, x)
    check_context(context, rows)

    def find(some: slice) -> Encoding:
        x = rows[some]
        return parts.encoding_of(find_codes(decoder, x, **_given(rows_of(context, some))), x)

    with threads.suited(decoder, encoder), torch.no_grad():
        found = in_chunks(find, len(rows), size, progress=progress)
        reached = sum(map(len, found))
        if reached < len(rows):
            start = checks.start_for(decoder, rows[reached:], None)
            found.append(not_reached(start, like=found[0]))
    encoding = Encoding.joined(found)
    warn_of_missing_energies(rows[:reached], encoding.energy[:reached])
    judged = WholeLoss(parts.loss_of(encoding, loss))
    excess = encoding.energy - judged.floor(rows, _observed(rows))
    return Evaluation(encoding.energy, excess, encoding.status, encoding.statistics)
