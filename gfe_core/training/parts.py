"""Checks of the objects that callers pass to a training: each error says what does not fit."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from gfe_core import checks
from gfe_core.arguments import called, needed_beside_codes, needed_by_name, requires, takes
from gfe_core.decoders.graph import leaves_below
from gfe_core.encoding import encode, encode_observed
from gfe_core.energy import Bernoulli, Gaussian, Poisson, WholeLoss
from gfe_core.types import AnyLoss, Encoding, Status

_ADAM = "torch.optim.Adam(decoder.parameters(), lr=1e-3)"
_GAPS = (
    "Write NaN for what is not observed, `x = torch.where(mask, x, torch.nan)`, and pass "
    "`encoder=functools.partial(gfe.encode_observed, ...)`"
)


def trainable(decoder: Any) -> None:
    """Refuse an object that is not a decoder with weights."""
    checks.is_decoder(decoder)
    wrap = "`gfe.wrap(decoder, latent_dim=..., data_shape=...)`"
    checks.require(
        isinstance(decoder, nn.Module),
        f"`decoder` must be a torch.nn.Module, got {type(decoder).__name__}: only modules have "
        f"weights to train. Make it one: {wrap}.",
        TypeError,
    )


def optimizer_of(decoder: nn.Module, optimizer: Any, schedule: Any) -> Optimizer:
    """Return the optimizer given, or Adam, after checking that it trains this decoder.

    Raises:
        TypeError: optimizer or schedule is of another kind, or needs arguments that `fit` does not
            have.
        ValueError: the optimizer trains other weights, or the schedule has another optimizer.
    """
    own = [p for p in decoder.parameters() if p.requires_grad]
    if optimizer is None:
        frozen = "`decoder` has no weight that requires a gradient, so that nothing can be learnt"
        checks.require(bool(own), f"{frozen}. Unfreeze it: `decoder.requires_grad_()`.")
        given = schedule is None
        line = "`optimizer=schedule.optimizer`"
        checks.require(given, f"`schedule` needs the optimizer that it was built for: pass {line}.")
        return torch.optim.Adam(own, lr=1e-3)
    wanted = f"`optimizer` must be an optimizer of torch, got {checks.described(optimizer)}"
    made = isinstance(optimizer, Optimizer)
    checks.require(made, f"{wanted}. Write `optimizer={_ADAM}`.", TypeError)
    kind = type(optimizer).__name__
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    plain = closure is None or closure.default is not closure.empty
    checks.require(
        plain,
        f"`optimizer` must step without a closure, which {kind} needs. Write `optimizer={_ADAM}`.",
        TypeError,
    )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    checks.require(
        not own or any(id(p) in held for p in own),
        f"`optimizer` holds no weight of `decoder`, which would stay as it is. Write "
        f"`optimizer=torch.optim.{kind}(decoder.parameters(), ...)`; to train an encoder alone, "
        "freeze the decoder: `decoder.requires_grad_(False)`.",
    )
    _schedule_of(optimizer, schedule)
    return optimizer


def _schedule_of(optimizer: Optimizer, schedule: Any) -> None:
    line = "callbacks=[lambda report: schedule.step(report.energy)]"
    checks.require(
        not isinstance(schedule, ReduceLROnPlateau),
        f"`schedule` must step without a measure, which ReduceLROnPlateau needs. Write `{line}` "
        "and leave `schedule` out.",
        TypeError,
    )
    made = schedule is None or isinstance(schedule, LRScheduler)
    example = "torch.optim.lr_scheduler.StepLR(optimizer, step_size=...)"
    wanted = f"`schedule` must be a schedule of torch, got {checks.described(schedule)}"
    checks.require(made, f"{wanted}. Write `schedule={example}`.", TypeError)
    own = schedule is None or schedule.optimizer is optimizer
    checks.require(
        own,
        "`schedule` was built for another optimizer, so that it would change nothing. Build it for "
        "`optimizer`, or pass `optimizer=schedule.optimizer`.",
    )


def listed(callbacks: Any) -> Sequence[Callable[..., Any]]:
    """Return callbacks as a sequence; a single callback may be given without a list."""
    alone = callable(callbacks) and not isinstance(callbacks, type)
    called: Any = [callbacks] if alone else callbacks
    wanted = "`callbacks` must be functions of a report, such as `callbacks=[print]`"
    is_list = isinstance(called, (list, tuple))
    checks.require(is_list, f"{wanted}, got {checks.described(called)}.", TypeError)
    for callback in called:
        is_class = isinstance(callback, type)
        remedy = f" Call it: `{callback.__name__}(...)`." if is_class else ""
        fits = takes(callback, "report")
        checks.require(fits, f"{wanted}, got {checks.described(callback)}.{remedy}", TypeError)
    return called


def callable_encoder(value: Any, name: str = "encoder", *, needed: bool = False) -> None:
    """Refuse an encoder that cannot be called with a decoder and data; allow None unless `needed`.

    Args:
        value: encoder that was passed.
        name: name of the argument.
        needed: whether None is refused too.
    """
    decodes = isinstance(value, nn.Module) and hasattr(value, "data_shape")
    fits = (value is None and not needed) or (takes(value, "decoder", "x") and not decodes)
    wanted = f"`{name}` must be a function (decoder, x) -> Encoding"
    line = f"{name}=functools.partial(gfe.encode, solver=gfe.LBFGS())"
    checks.require(fits, f"{wanted}, got {checks.described(value)}. Write `{line}`.", TypeError)


def holds_no_rows(encoder: Any, n: int | None, *, in_order: bool) -> None:
    """Refuse an encoder for `fit` that holds something for each sample, as batches have other rows.

    Args:
        encoder: encoder that was passed.
        n: number of samples, if it is known.
        in_order: whether each batch holds all samples in their order. Starts and steps then belong
            to them; a mask or a context would still be unknown to the update.
    """
    remedies = {
        "mask": _GAPS,
        "context": "Pass it with the data: `gfe.data.Batches(x, context=context, size=64)`",
        "z0": "Leave it out, or start each sample where it last ended: "
        "`gfe.encoders.StoredCodes(functools.partial(gfe.encode, ...))`",
        "solver": "Give all samples the same steps: `steps[:, 0]`",
    }
    fitting = ("z0", "solver") if in_order else ()
    name = next((name for name in _held_for_rows(encoder, n) if name not in fitting), None)
    checks.require(
        name is None,
        f"`encoder` holds `{name}`, with a row for each sample, which `fit` cannot match with the "
        f"samples of a batch. {remedies.get(str(name))}.",
    )


def holds_rows_of(encoder: Any, n: int, size: int, context: Any) -> None:
    """Refuse an encoder for `evaluate` that holds something for samples which it gets in parts.

    Args:
        encoder: encoder that was passed.
        n: number of samples.
        size: number of samples in a part.
        context: context that is passed to the encoder, or None.
    """
    at_once = f"encode all samples at once: `size={n}`"
    remedies = {
        "mask": f"{_GAPS}, or {at_once}",
        "context": "Pass it to `evaluate`: `context=context`",
        "z0": at_once.capitalize(),
        "solver": at_once.capitalize(),
    }
    for name in _held_for_rows(encoder, n):
        checks.require(
            n <= size,
            f"`encoder` holds `{name}`, with a row for each sample, but `evaluate` calls it with "
            f"{size} of the {n} samples. {remedies[name]}.",
        )
        checks.require(
            name != "context" or context is None,
            "`encoder` holds a `context`, which the argument `context` would replace. Pass one.",
        )


def _held_for_rows(encoder: Any, n: int | None) -> Iterator[str]:
    """Yield the names of the options that an encoder holds for each sample.

    A user's function may mean something else by these names, unless there is one row for each of
    the n samples.
    """
    for function, name, value in _bound(encoder):
        steps = getattr(value, "steps", None) if hasattr(value, "of_rows") else None
        if name == "solver" and steps is not None and np.ndim(steps) == 2:
            yield name
        if name in ("mask", "z0", "context") and value is not None:
            parts = [*value.values()] if isinstance(value, Mapping) else [value]
            counts = [len(part) for part in parts if getattr(part, "shape", ())]
            if _is_kits(function) or n in counts:
                yield name


def _is_kits(function: Any) -> bool:
    return str(getattr(_unbound(function), "__module__", "")).startswith("gfe_core.")


def _bound(encoder: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield (function, name, value) of all arguments that `functools.partial` binds in an encoder.

    An encoder may hold others, such as `ThenFlow` its flow.
    """
    waiting = [encoder]
    known: dict[int, Any] = {}
    while waiting:
        part = waiting.pop()
        if id(part) in known or isinstance(part, (type, Tensor)):
            continue
        known[id(part)] = part
        if isinstance(part, partial):
            held = [part.func, *part.args, *part.keywords.values()]
            yield from ((part.func, *one) for one in part.keywords.items())
        else:
            owner = part.__self__ if inspect.ismethod(part) else None
            held = [owner, *getattr(part, "__dict__", {}).values()]
        if isinstance(part, nn.Module):
            held += part.children()
        waiting += [one for one in held if callable(one)]


def context_there(decoder: Any, loss: Any, encoder: Any) -> None:
    """Refuse data without a context where the decoder, the loss or a penalty needs one."""
    remedy = "Pass both: `gfe.data.Batches(x, context=context, size=64)`."
    needed = [] if needed_by_name(decoder) else needed_beside_codes(decoder)
    checks.require(
        len(needed) != 1,
        f"`decoder` {called(decoder)} takes `{''.join(needed[:1])}` in addition to z, but "
        f"`batches` hold samples alone. {remedy}",
        TypeError,
    )
    for name, value in [("loss", loss), *_bound_by_itself(encoder)]:
        function = WholeLoss(value).function if name == "loss" else value
        checks.require(
            name not in ("loss", "penalty") or not requires(function, "context"),
            f"`{name}` {called(function)} takes `context`, but `batches` hold samples alone. "
            f"{remedy}",
            TypeError,
        )


def _bound_by_itself(encoder: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of what an encoder that is a partial of a verb of the kit binds."""
    while isinstance(encoder, partial):
        yield from encoder.keywords.items() if _is_kits(encoder) else ()
        encoder = encoder.func


def callable_flow(value: Any) -> None:
    """Refuse a flow that cannot be called with a decoder, data and a start."""
    fits = takes(value, "decoder", "x", z0="z0")
    wanted = "`flow` must be a function (decoder, x, z0=...) -> Encoding"
    line = "flow=functools.partial(gfe.encode, max_steps=...)"
    checks.require(fits, f"{wanted}, got {checks.described(value)}. Write `{line}`.", TypeError)


def loss_of(
    encoding: Encoding, loss: AnyLoss | None, encoder: Any, optimizer: Optimizer
) -> AnyLoss | None:
    """Return the loss to learn by: the caller's, or the one that the encoder used.

    Warnings name another loss of the encoder, and an encoder whose weights nothing changes.
    """
    _tell_of_idle_encoder(encoder, encoding, optimizer)
    effect = "the codes are not minima of the loss that learns"
    tell_of_other_loss(encoding, loss, encoder, effect, frames=6)
    return encoding.loss if loss is None else loss


def tell_of_other_loss(
    encoding: Encoding,
    loss: AnyLoss | None,
    encoder: Any,
    effect: str,
    *,
    frames: int,
    on_purpose: bool = True,
) -> None:
    """Warn if the encoder's loss differs from the caller's by mistake.

    Args:
        encoding: encoding by the encoder's loss.
        loss: loss that the caller passed.
        encoder: encoder that found the codes.
        effect: what follows from it, for the message.
        frames: number of calls from here up to the caller's own line, which the warning shows.
        on_purpose: whether a loss that is none of the kit's plain ones may differ from the
            encoder's, unless that is the default of `encode`, whose loss was left out.
    """
    used = encoding.loss
    if loss is None or used is None or used is loss or repr(used) == repr(loss):
        return
    plain = (Bernoulli, Gaussian, Poisson)
    comparable = isinstance(loss, plain) or _leaves_loss_out(encoder)
    if on_purpose and not (isinstance(used, plain) and comparable):
        return
    name = _verb_of(encoder)
    line = f"functools.partial(gfe.{name}, loss=...)" if name else "loss=..."
    named = repr(loss) if isinstance(loss, plain) else checks.described(loss)
    warnings.warn(
        f"`encoder` finds codes by {used!r}, but `loss` is {named}: {effect}. Give the encoder the "
        f"same loss, `{line}`.",
        UserWarning,
        stacklevel=frames,
    )


def _tell_of_idle_encoder(encoder: Any, encoding: Encoding, optimizer: Optimizer) -> None:
    """Warn if gradients reach the weights of an encoder, none of which the optimizer changes."""
    module = _unbound(encoder)
    if not encoding.z.requires_grad or not isinstance(module, nn.Module):
        return
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    below = {id(leaf) for leaf in leaves_below(encoding.z)}
    own = {id(p) for p in module.parameters()} & below
    if own and not own & held:
        warnings.warn(
            "`optimizer` holds no weight of `encoder`, and `fit` changes none. To train both, pass "
            "`optimizer=torch.optim.Adam([*decoder.parameters(), *encoder.parameters()])`; to keep "
            "it, freeze it: `encoder.requires_grad_(False)`.",
            UserWarning,
            stacklevel=6,
        )


def _unbound(encoder: Any) -> Any:
    """Return the function below `functools.partial`."""
    while isinstance(encoder, partial):
        encoder = encoder.func
    return encoder


def _verb_of(encoder: Any) -> str | None:
    """Return the name of the verb of the kit that an encoder is, below `functools.partial`."""
    function = _unbound(encoder)
    return next((one.__name__ for one in (encode, encode_observed) if one is function), None)


def _leaves_loss_out(encoder: Any) -> bool:
    """Whether an encoder is a verb of the kit to which no loss was bound."""
    return _verb_of(encoder) is not None and dict(_bound_by_itself(encoder)).get("loss") is None


def encoding_of(encoding: Any, x: Tensor) -> Encoding:
    """Return the result of an encoder after checking that it is an encoding of these samples."""
    line = "gfe.encoders.one_look(decoder, x, z, loss)"
    wanted = f"`encoder` must return an `Encoding` of the {len(x)} samples"
    fits = isinstance(encoding, Encoding)
    got = checks.described(encoding)
    checks.require(fits, f"{wanted}, got {got}. Make one of codes: `{line}`.", TypeError)
    checks.require(len(encoding) == len(x), f"{wanted}, got one of {len(encoding)}.")
    if (encoding.status == int(Status.NOT_REACHED)).any():  # an interrupt ended the encoding early
        raise KeyboardInterrupt
    return encoding


def stops(answer: Any) -> bool:
    """Return whether a callback's result ends the training: True does, None and False do not."""
    known = answer is None or isinstance(answer, (bool, np.bool_))
    wanted = "`callbacks` must return nothing, or True to end the training"
    remedy = "Wrap it in a function that returns nothing."
    checks.require(known, f"{wanted}; one returned {checks.described(answer)}. {remedy}", TypeError)
    return bool(answer)
