"""Calls of the user's code: decoder, loss and penalty are called, and their outputs are checked.

Broadcasting must not change the meaning of a model. The checks of each call read shapes and types,
never values: they take microseconds and do not wait for a GPU. Methods that a loss does not define
are derived from its `per_sample`.
"""

import inspect
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from gfe_core import arguments, checks
from gfe_core.arguments import called
from gfe_core.data.contexts import lengthened, rows_of
from gfe_core.data.samples import weight_of
from gfe_core.decoders.graph import nodes_below
from gfe_core.decoders.plain import is_plain, still
from gfe_core.decoders.probes import AMPLIFIED, nearby
from gfe_core.decoders.state import Kept
from gfe_core.energy.losses import Bernoulli, Gaussian, Poisson
from gfe_core.energy.padding import padded, row_multiple
from gfe_core.types import AnyLoss, Context, Decoder, Penalty

_INSTEAD = {
    "MSELoss": "gfe.Gaussian()",
    "mse_loss": "gfe.Gaussian()",
    "GaussianNLLLoss": "gfe.Gaussian(variance=...)",
    "gaussian_nll_loss": "gfe.Gaussian(variance=...)",
    "BCEWithLogitsLoss": "gfe.Bernoulli()",
    "binary_cross_entropy_with_logits": "gfe.Bernoulli()",
    "BCELoss": "gfe.Bernoulli(), which reads logits: leave out the decoder's last sigmoid",
    "binary_cross_entropy": "gfe.Bernoulli(), which reads logits: leave out the decoder's last "
    "sigmoid",
    "PoissonNLLLoss": "gfe.Poisson()",
    "poisson_nll_loss": "gfe.Poisson()",
}
"""Losses of torch and their replacements."""
_OPTIONAL = {
    "mean": "mean(output)",
    "floor": "floor(x, mask)",
    "check_data": "check_data(x)",
    "curvature": "curvature(output, mask)",
}
"""Methods that a loss may have, and how they are called."""
_N_OTHERS = 8
"""Number of rows that are decoded without the first one."""


class WholeLoss:
    """A loss with all methods that the kit needs, derived from `per_sample` if they are missing.

    Args:
        loss: loss as passed: a loss, a function (output, x) -> (batch,), or None for `Bernoulli()`.

    Raises:
        TypeError: the argument is neither, or averages over the batch, or has a value by the name
            of an optional method.
    """

    def __init__(self, loss: AnyLoss | None) -> None:
        self.given: Any = Bernoulli() if loss is None else loss
        self.function = _per_sample_of(self.given)
        _check_optional(self.given)
        self.is_kit = type(self.given) in (Bernoulli, Gaussian, Poisson)
        taken = {"mask"} if self.is_kit else arguments.names(self.function)
        self._takes_mask = "mask" in taken
        default = None if self.is_kit else arguments.default_of(self.function, "mask")
        self._needs_mask = default is inspect.Parameter.empty
        self._brings_mask = getattr(default, "ndim", 0) > 0
        self.takes_context = "context" in taken
        if not self.is_kit:
            arguments.check_callable(self.function, "loss", ("output", "x"), ("mask", "context"))

    def __repr__(self) -> str:
        return repr(self.given)

    def per_sample(
        self, output: Tensor, x: Tensor, mask: Tensor | None = None, context: Context | None = None
    ) -> Tensor:
        """Return the energy (batch,) of raw outputs, after checks."""
        checks.require(
            mask is None or self._takes_mask,
            f"`loss` {called(self.given)} cannot leave out unobserved features: it has no "
            "parameter `mask`. Give it one, `(output, x, mask=None)`, True where x is observed, "
            "or pass complete samples.",
        )
        if mask is not None and self._brings_mask:
            raise ValueError(
                f"`loss` {called(self.given)} has a mask of its own, and so have the data: it is "
                "not clear which features count. Leave the loss's mask out, and pass "
                "`mask=theirs & own`."
            )
        given: dict[str, Any] = {}
        if mask is not None or self._needs_mask:
            given["mask"] = mask
        if self.takes_context and context is not None:
            given["context"] = context
        energy = self.function(output, x, **given)
        checks.one_a_sample(energy, len(x), output, "loss", _averaging(self.given))
        return energy

    def curvature(self, output: Tensor, mask: Tensor | None) -> Tensor | None:
        """Return the diagonal second derivative that the loss gives for its own energy, or None."""
        own = _own(self.given, "curvature")
        if own is None:
            return None
        diagonal = own(output, mask)
        checks.require(
            isinstance(diagonal, Tensor) and diagonal.shape == output.shape,
            f"`loss.curvature` must return a tensor of the shape of the output, "
            f"{tuple(output.shape)}, got {tuple(getattr(diagonal, 'shape', ()))}.",
        )
        return diagonal

    def mean(self, output: Tensor) -> Tensor:
        """Return the data that a raw output describes; the output itself without a `mean`."""
        mean = getattr(self.given, "mean", None)
        drawn = output if mean is None else mean(output)
        checks.require(
            isinstance(drawn, Tensor),
            f"`loss.mean` of {called(self.given)} must return a tensor, got "
            f"{checks.described(drawn)}. Compute it with torch: `torch.as_tensor(...)` of an array "
            "cuts the graph of the output.",
            TypeError,
        )
        return drawn

    def floor(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the lowest energy that any decoder can reach; 0 if the loss has no `floor`."""
        own = _own(self.given, "floor")
        if own is None:
            return x.new_zeros(len(x))
        checks.require(
            mask is None or self._floor_takes_mask,
            f"`loss.floor` of {called(self.given)} cannot leave out unobserved features: it has "
            "no parameter `mask`. Write `floor(self, x, mask=None)`, or pass complete samples.",
            TypeError,
        )
        lowest = own(x, mask) if self._floor_takes_mask else own(x)
        remedy = (
            "Average over features only: `.flatten(1).mean(1)`. One number for all is written "
            "`x.new_full((len(x),), number)`."
        )
        checks.one_a_sample(lowest, len(x), x, "loss.floor", remedy)
        return lowest

    @cached_property
    def _floor_takes_mask(self) -> bool:
        return arguments.takes(self.given.floor, "x", "mask")

    def check_data(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Refuse data that are invalid for the loss, if it has a `check_data`.

        Only observed values are judged, in the shape of the data.
        """
        check = getattr(self.given, "check_data", None)
        if check is not None and (mask is None or mask.any()):
            check(x if mask is None else _observed_alone(x, mask))


def _observed_alone(x: Tensor, mask: Tensor) -> Tensor:
    """Replace unobserved values by observed ones, of the same feature where there are any."""
    seen = mask.any(0)
    of_feature = x.gather(0, mask.int().argmax(0, keepdim=True))[0]
    return torch.where(mask, x, torch.where(seen, of_feature, x[mask][0]))


def context_taken(
    decoder: Any, loss: AnyLoss | WholeLoss | None, context: Context | None
) -> Context | None:
    """Return the context if the decoder or the loss takes one; None if only a penalty did.

    Args:
        decoder: decoder of the codes.
        loss: loss that defines the meaning of the decoder's output.
        context: context with which the codes were found, or None.
    """
    judge = loss if isinstance(loss, WholeLoss) else WholeLoss(loss)
    return context if judge.takes_context or arguments.takes_context(decoder) else None


class Calls:
    """Decoder, loss and penalty as an energy calls them.

    A context is passed to `decoder(z, context)` if the decoder takes a second argument, and to a
    loss or penalty with a parameter `context`. A context that nothing takes is refused, and so is a
    part that needs a context if there is none.

    Args:
        decoder, loss, penalty: parts as passed.
        context: context of all samples, or None.

    Raises:
        TypeError: a part cannot be called in this way.
    """

    def __init__(
        self,
        decoder: Decoder,
        loss: WholeLoss,
        penalty: Penalty | None = None,
        context: Context | None = None,
    ) -> None:
        self._decoder: Any = decoder
        self._loss = loss
        self._penalty: Any = penalty
        checks.is_decoder(decoder)
        self._shape = tuple(getattr(decoder, "raw_shape", decoder.data_shape))
        self._kept = Kept(decoder)
        self._called = False
        self._leaves_out = loss.is_kit
        self._conditional = context is not None and arguments.takes_context(decoder)
        if penalty is not None:
            arguments.check_callable(penalty, "penalty", ("z",), ("context",))
        named = penalty is not None and "context" in arguments.names(penalty)
        self._penalised_by_context = named and context is not None
        taken = self._conditional or loss.takes_context or named
        checks.require(
            context is None or taken,
            f"`context` was given, but `decoder` {called(decoder)} takes no second argument, and "
            "neither `loss` nor `penalty` has a parameter `context`. Write "
            "`forward(self, z, context)`, or leave `context` out.",
            TypeError,
        )
        for name, function in (("loss", loss.function), ("penalty", penalty)):
            checks.require(
                context is not None or not arguments.requires(function, "context"),
                f"`{name}` {called(function)} takes `context`, but none was given. Pass "
                "`context=`, one row for each sample.",
                TypeError,
            )
        by_name = ", ".join(f"`{one}`" for one in arguments.needed_by_name(decoder))
        checks.require(
            not by_name,
            f"`decoder` {called(decoder)} needs {by_name} by name, which is never passed. Write "
            "`forward(self, z, context)` and pass `context=`, or give it a default.",
            TypeError,
        )
        needed = arguments.needed_beside_codes(decoder)
        listed = ", ".join(f"'{one}': {one}" for one in needed)
        checks.require(
            len(needed) < 2,
            f"`decoder` {called(decoder)} takes {' and '.join(f'`{one}`' for one in needed)} in "
            "addition to z, but is called with one context. Write `forward(self, z, context)`, and "
            f"pass several values by name: `context={{{listed}}}`.",
            TypeError,
        )
        checks.require(
            context is not None or not needed,
            f"`decoder` {called(decoder)} takes {', '.join(f'`{one}`' for one in needed)} in "
            "addition to z, but no `context` was given. Pass `context=`, one row for each sample.",
            TypeError,
        )

    def output(self, z: Tensor, context: Context | None) -> Tensor:
        """Return the raw output (batch, *data) of codes."""
        try:
            output = self._decoder(z, context) if self._conditional else self._decoder(z)
        except RuntimeError as error:
            checks.require(
                weight_of(self._decoder) is not None or "dtype" not in str(error),
                f"`decoder` {called(self._decoder)} cannot decode {z.dtype}: {error} It has no "
                "weight that shows its float type, so that arrays become float32. Pass tensors of "
                "its type, such as `torch.as_tensor(x, dtype=torch.float64)`.",
                TypeError,
            )
            raise self._in_place("decoder", self._decoder, error) from error
        checks.output(output, (len(z), *self._shape), z)
        if not self._called:
            self._check_kept()
        return output

    def _in_place(self, name: str, part: Any, error: RuntimeError) -> RuntimeError | ValueError:
        """Return an error that explains a forbidden write in place, or the error unchanged."""
        if not any(words in str(error) for words in _WRITES):
            return error
        return ValueError(
            f"`{name}` {called(part)} writes in place into a tensor that a gradient needs, such as "
            "its input codes or a buffer that it refills in each call. Build layers "
            "with `inplace=False`, begin with `z = z.clone()`, and return a new tensor. "
            f"({str(error).splitlines()[0]})"
        )

    def _check_kept(self) -> None:
        """Refuse a decoder that its first call has changed, and undo the change."""
        written = self._kept.written()
        if written:
            self._kept.restore()
        checks.require(
            not written,
            f"`decoder` {called(self._decoder)} writes into its buffer `{''.join(written[:1])}` "
            "whenever it is called in training mode: every evaluation would change it. Call "
            "`decoder.eval()`. To keep the buffer up to date while `fit` trains the decoder, call "
            "it in a callback: `decoder.train()`, one call, `decoder.eval()`.",
        )
        self._called = True

    def misfit(
        self, output: Tensor, x: Tensor, mask: Tensor | None, context: Context | None
    ) -> Tensor:
        """Return the loss (batch,) of raw outputs."""
        energy = self._loss.per_sample(output, x, mask, context)
        if mask is not None and not self._leaves_out:
            self._check_leaves_out(output.detach(), x, mask, context)
        return energy

    @torch.no_grad()
    def _check_leaves_out(
        self, output: Tensor, x: Tensor, mask: Tensor, context: Context | None
    ) -> None:
        """Refuse a loss that takes a mask but reads the data where it is False.

        A user's loss is tested once, on a few samples, with 0 and another value in these places.
        The outputs there may count, as in a loss that asks for smooth pictures.
        """
        self._leaves_out = True
        rows = torch.where(~mask.flatten(1).all(1))[0][:_N_OTHERS]
        seen = mask[rows]
        known = x[rows][seen & x[rows].isfinite()]
        # the largest observed value is valid for every loss of these data, where it is not 0
        other = known[known.abs().argmax()] if known.any() else x.new_ones(())

        def energies(unobserved: Tensor) -> Tensor:
            filled = torch.where(seen, x[rows], unobserved)
            parts = output[rows].clone(), filled, seen, rows_of(context, rows)
            return self._loss.per_sample(*parts).nan_to_num(0, 0, 0)

        try:
            given, moved, again = map(energies, (x.new_zeros(()), other, x.new_zeros(())))
        except Exception:  # the call for the samples themselves will raise
            return
        rounding = 100 * torch.finfo(x.dtype).eps * given.abs()
        reads = ((moved - given).abs() > rounding) & (again == given)
        checks.require(
            not bool(reads.any()),
            f"`loss` {called(self._loss.given)} takes `mask`, but its energy depends on `x` where "
            "`mask` is False, which would pull the codes to the number that fills the gaps. Leave "
            "these features out: `torch.where(mask, (output - x).square(), 0.0)`.",
        )

    def mean(self, output: Tensor) -> Tensor:
        """Return the data (batch, *data) that raw outputs describe."""
        drawn = self._loss.mean(output)
        expected = (len(output), *self._decoder.data_shape)
        checks.require(
            tuple(drawn.shape) == expected,
            f"`loss` {called(self._loss.given)} must map an output {tuple(output.shape)} "
            f"to data {expected}, got {tuple(drawn.shape)}. Give it a method "
            "`mean(output)`.",
        )
        return drawn

    def penalty(self, z: Tensor, context: Context | None) -> Tensor:
        """Return the penalty (batch,) of codes."""
        given = {"context": context} if self._penalised_by_context else {}
        try:
            value = self._penalty(z, **given)
        except RuntimeError as error:
            raise self._in_place("penalty", self._penalty, error) from error
        remedy = "Sum over latents and not over samples: `lambda z: z.square().sum(1)`."
        checks.one_a_sample(value, len(z), z, "penalty", remedy)
        return value

    def check_output_depends(self, z: Tensor, output: Tensor) -> None:
        """Refuse a decoder whose output does not depend on the codes."""
        checks.require(
            _reaches(output, z),
            f"`decoder` {called(self._decoder)} does not depend on z: its output has no gradient "
            f"there. {_ATTACHED}",
        )

    def check_data_left_alone(self, before: Tensor, after: Tensor) -> None:
        """Refuse a loss that writes into the data."""
        checks.require(
            torch.equal(before.nan_to_num(), after.nan_to_num()),
            f"`loss` {called(self._loss.given)} changes the data passed to it. {_ON_A_COPY}",
        )

    def check_rows_alone(self, z: Tensor, context: Context | None) -> None:
        """Refuse a decoder whose output for a code depends on other codes or on chance.

        Random codes, one for each row, are decoded together, then up to 8 of them without the
        first, then the first alone, twice. This happens once for each energy, as a decoder may
        change in between. A plain decoder (`is_plain`) is not tested, and a refused one gets its
        buffers back.
        """
        if not len(z) or is_plain(self._decoder):
            return
        try:
            self._check_rows_alone(z, context)
        except ValueError:
            self._kept.restore()
            raise

    def _check_rows_alone(self, z: Tensor, context: Context | None) -> None:
        codes = random_codes(z)
        given = codes.clone()
        try:
            with torch.no_grad():
                whole = self._still_output(given, context)
        except Exception:  # the call for the samples themselves will raise
            return
        checks.require(
            torch.equal(given, codes),
            f"`decoder` {called(self._decoder)} changes the codes passed to it. {_ON_A_COPY}",
        )
        groups = _groups(len(z), z.device)
        beside = [whole[rows] for rows in groups]  # copied, as the next call may refill a buffer
        apart = [self._without_others(codes, rows, context) for rows in groups]
        repeated = self._without_others(codes, groups[-1], context)
        by_itself = all(
            alike(one, other) or self._is_rounding(one, other, codes, rows, context)
            for one, other, rows in zip(beside, apart, groups, strict=True)
        )
        checks.require(
            by_itself and alike(repeated, apart[-1], scale=0.1),
            f"`decoder` {called(self._decoder)} {_WANTED}, but a code gave one output in one call "
            f"and a different one in another, beside other codes or without them. {_LEFT_OUT}.",
        )

    def _still_output(self, z: Tensor, context: Context | None) -> Tensor:
        """Return the raw output, without the intended random draws of a decoder."""
        calls = copy(self)
        calls._decoder = still(self._decoder)
        return calls.output(z, context)

    def _without_others(self, z: Tensor, rows: Tensor, context: Context | None) -> Tensor:
        """Return a copy of the raw output of selected codes, decoded with padding rows only."""
        codes = padded(z[rows], row_multiple(self._decoder))
        beside = lengthened(rows_of(context, rows), len(codes))
        try:
            with torch.no_grad():
                return self._still_output(codes, beside)[: len(rows)].clone()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise ValueError(
                f"`decoder` {called(self._decoder)} {_WANTED}, but it decodes {len(z)} codes and "
                f"fails for {len(codes)} of them: {error} Finished samples leave the batch. "
                f"{_LEFT_OUT}. A decoder of a fixed number of rows has an attribute `row_multiple`."
            ) from error

    def _is_rounding(
        self, beside: Tensor, apart: Tensor, z: Tensor, rows: Tensor, context: Context | None
    ) -> bool:
        """Whether a change of the codes by rounding alone explains a difference, as with sines.

        Chance does not: what is drawn at random differs for the same codes, too.
        """
        if not alike(self._without_others(z, rows, context), apart, scale=0.1):
            return False
        near = nearby(z, torch.finfo(z.dtype).eps)
        moved = self._without_others(near, rows, context)
        difference, rounding = (
            (one - apart).abs().nan_to_num(0, 0, 0).max() for one in (beside, moved)
        )
        return bool(difference <= AMPLIFIED * rounding)

    def check_misfit_depends(self, z: Tensor, misfit: Tensor) -> None:
        """Refuse a loss that does not depend on the decoder's output."""
        checks.require(
            _reaches(misfit, z),
            f"`loss` {called(self._loss.given)} does not depend on the decoder's output: its "
            f"energy has no gradient there. {_ATTACHED}",
        )

    def check_mean_depends(self, z: Tensor, mean: Tensor) -> None:
        """Refuse a loss whose mean cuts the graph, if data are differentiated in the codes."""
        checks.require(
            _reaches(mean, z),
            f"`loss` {called(self._loss.given)} has a `mean` without a gradient in the decoder's "
            f"output. {_ATTACHED}",
        )

    def check_samples_apart(
        self,
        z: Tensor,
        output: Tensor,
        x: Tensor,
        mask: Tensor | None,
        context: Context | None,
    ) -> None:
        """Refuse a loss or a penalty that couples the samples or has no gradient.

        A user's functions are tested once for each energy, at the samples' codes and at random
        codes: all samples may start at one code, and equal rows do not reveal a coupling.
        """
        codes = random_codes(z)
        groups = _groups(len(z), z.device)
        if not self._loss.is_kit and len(z):

            def misfit(output: Tensor, rows: Tensor) -> Tensor:
                observed = None if mask is None else mask[rows]
                return self.misfit(output[rows], x[rows], observed, rows_of(context, rows))

            remedy = "Average over features only: `.flatten(1).mean(1)`"
            for outputs in (output, *self._outputs_if_any(codes, context)):
                _check_rows(misfit, outputs, [*groups, *_extremes(x)], _coupled("loss", remedy))
        if self._penalty is not None:
            remedy = f"{_ATTACHED} A constant penalty changes no code: leave it out."
            leaf = z.detach().requires_grad_()
            sees = _reaches(self.penalty(leaf, context), leaf)
            checks.require(sees, f"`penalty` does not depend on z: it has no gradient. {remedy}")
            remedy = "Sum over latents only: `.sum(1)`"
            # At the origin itself the slope of a square would be 0.
            for places in (z + 1e-3, codes):
                _check_rows(
                    lambda z, rows: self.penalty(z[rows], rows_of(context, rows)),
                    places,
                    groups,
                    _coupled("penalty", remedy),
                )

    def _outputs_if_any(self, z: Tensor, context: Context | None) -> list[Tensor]:
        """Return the raw output of codes in a list; an empty list if the decoder fails for them."""
        with suppress(Exception), torch.no_grad():
            return [self._still_output(z.clone(), context)]
        return []


_WRITES = ("a leaf Variable that requires grad", "modified inplace", "modified by an inplace")
"""Parts of torch's messages about writes into tensors that a gradient needs."""
_WANTED = "must decode each code on its own and always in the same way"
_LEFT_OUT = (
    "Leave out random layers (`F.dropout`, noise), memory of earlier calls (counters, moving "
    "averages) and couplings of the batch (statistics or attention over samples; pass values with "
    "one row for each sample as `context=`), or call `decoder.eval()` if that is enough"
)
_ON_A_COPY = "Let it work on a copy: `.clone()`."
_ATTACHED = "Leave out what cuts the graph: `.detach()`, `torch.no_grad()`, numpy."


def _per_sample_of(loss: Any) -> Callable[..., Tensor]:
    """Return the function that computes the energy of each sample."""
    function: Any = loss
    if isinstance(loss, type):
        raise TypeError(f"`loss` must be an object, got the class {loss!r}. Call it: `loss=...()`.")
    if hasattr(loss, "per_sample"):
        return loss.per_sample
    name = called(loss)
    averages = isinstance(loss, _Loss) and loss.reduction != "none"
    plain = getattr(loss, "__module__", "") == F.__name__
    checks.require(
        not (averages or plain),
        f"`loss` must return one number for each sample, but {name} averages over the batch. "
        f"{_averaging(loss)}",
        TypeError,
    )
    checks.require(
        callable(loss),
        f"`loss` must have `per_sample(output, x, mask=None)` or be a function (output, x) -> "
        f"(batch,), got {name}. Use `gfe.Bernoulli()`, `gfe.Gaussian()` or `gfe.Poisson()`.",
        TypeError,
    )
    return function


def _check_optional(loss: Any) -> None:
    """Refuse a loss with a number, a tensor or a buffer by the name of an optional method."""
    for name, call in _OPTIONAL.items():
        member = getattr(loss, name, None)
        checks.require(
            member is None or callable(member),
            f"`loss.{name}` of {called(loss)} must be a method, `{call}`, got "
            f"{checks.described(member)}. Give the attribute another name, such as `{name}_`.",
            TypeError,
        )


def _averaging(loss: Any) -> str:
    """Return advice on replacing a loss that averages over the batch."""
    name = called(getattr(loss, "func", loss))
    instead = _INSTEAD.get(name)
    if instead:
        return f"Use `loss={instead}`." if "," not in instead else f"Use {instead}."
    return (
        "Average over features only: `lambda output, x: F.huber_loss(output, x, "
        'reduction="none").flatten(1).mean(1)`.'
    )


def _own(loss: Any, name: str) -> Callable[..., Any] | None:
    """Return a method of the loss, unless its class inherits it but overrides the energy."""
    levels = [vars(loss) if hasattr(loss, "__dict__") else {}, *map(vars, type(loss).__mro__)]
    defined = [i for i, members in enumerate(levels) if name in members]
    energy = [i for i, members in enumerate(levels) if "per_sample" in members]
    belongs = not defined or not energy or defined[0] <= energy[0]
    return getattr(loss, name, None) if belongs else None


def _reaches(value: Tensor, leaf: Tensor) -> bool:
    """Whether a graph has a path from a value to a leaf."""
    return any(getattr(node, "variable", None) is leaf for node in nodes_below(value))


def random_codes(like: Tensor) -> Tensor:
    """Draw a code for each row: the same codes in every call."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(0)).to(like)


def _groups(n: int, device: torch.device) -> list[Tensor]:
    """Return indices of rows to evaluate apart: some without the first one, then the first alone.

    A function of the whole batch changes its value in at least one group, because the first row is
    missing in one and all other rows in the other. A tensor with one row for each sample is read at
    another index, because the rows have moved.
    """
    first = torch.arange(1, device=device)
    if n < 2:
        return [first]
    others = torch.linspace(1, n - 1, min(n - 1, _N_OTHERS)).round().long()
    return [others.to(device), first]


def _extremes(x: Tensor) -> list[Tensor]:
    """Return indices of the row with the smallest maximum and the row with the largest minimum.

    Almost all samples may have the largest value of the batch, such as white pixels. Only a sample
    without that value shows whether the loss uses it.
    """
    features = x.flatten(1)
    return [features.amax(1).argmin()[None], features.amin(1).argmax()[None]]


def _coupled(name: str, remedy: str) -> str:
    """Return a message that a function of some rows must not depend on others or on the call."""
    return (
        f"`{name}` must judge each sample on its own and always alike, but its value for one "
        f"depends on the others or changes from call to call. {remedy}, leave out statistics of "
        "the batch and what is random or counts calls, and pass values with one row for each "
        "sample as `context=`."
    )


def _check_rows(
    function: Callable[[Tensor, Tensor], Tensor],
    rows: Tensor,
    groups: list[Tensor],
    message: str,
) -> None:
    """Refuse a function whose value for one sample depends on the others or changes by itself."""
    if not len(rows):
        return
    leaf = rows.detach().requires_grad_()
    try:
        # the function may write into its argument
        values = function(leaf.clone(), torch.arange(len(rows), device=rows.device))
        (slope,) = torch.autograd.grad(values[0], leaf, allow_unused=True)
    except Exception:  # the call for the samples themselves will raise
        return
    checks.require(slope is None or not bool(slope[1:].nan_to_num(0, 0, 0).any()), message)
    values = values.detach()
    usual = values.abs().nan_to_num(0, 0, 0).mean()
    with torch.no_grad():  # a detached statistic has no slope
        for group in groups:
            try:
                apart = function(rows.detach().clone(), group)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                part = f"It fails for {len(group)} of {len(rows)} samples: {error}"
                raise ValueError(f"{message} {part}") from error
            checks.require(alike(values[group], apart, usual=usual), message)


def alike(one: Tensor, other: Tensor, *, scale: float = 10.0, usual: Tensor | None = None) -> bool:
    """Whether two computations of the same values differ by rounding alone.

    The bound is `scale` square roots of the rounding, times the largest or the usual value.
    """
    apart, size = (value.abs().nan_to_num(0, 0, 0).max() for value in (one - other, other))
    bound = scale * torch.finfo(other.dtype).eps ** 0.5
    return bool(apart <= bound * (size if usual is None else torch.maximum(size, usual)))
