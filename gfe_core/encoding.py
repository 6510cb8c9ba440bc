"""The main verbs: `encode` and `encode_observed` find codes, `reconstruct` decodes them."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gfe_core import arguments, checks, threads
from gfe_core.adjoints import Detached, Solution
from gfe_core.adjoints.inputs import Inputs, Versions, parameters_of
from gfe_core.data.contexts import changed, rows_of
from gfe_core.data.samples import (
    Samples,
    codes_for,
    context_for,
    in_same_order,
    mask_for,
    samples_for,
    start_like,
)
from gfe_core.energy import Calls, Energy, WholeLoss, context_taken
from gfe_core.flows import GradientFlow
from gfe_core.solvers import AMD, Solver
from gfe_core.solvers.chunks import SIZE, chunk_rows, in_chunks, not_reached, solver_of
from gfe_core.solvers.integrate import integrate
from gfe_core.solvers.recording import Recorder
from gfe_core.types import (
    Adjoint,
    AnyLoss,
    Bounds,
    Codes,
    Context,
    Data,
    Decoder,
    Encoding,
    Flow,
    Mask,
    Penalty,
    SaveAt,
    Statistics,
    Status,
    Stop,
)


@arguments.in_own_words
def encode(
    decoder: Decoder,
    x: Samples,
    *,
    loss: AnyLoss | None = None,
    flow: Flow | None = None,
    solver: Solver | None = None,
    z0: Codes | None = None,
    mask: Mask | None = None,
    penalty: Penalty | None = None,
    context: Context | None = None,
    t1: float = math.inf,
    stop: Stop | None = None,
    save_at: SaveAt | None = None,
    adjoint: Adjoint | None = None,
    max_steps: int | None = None,
    bounds: Bounds | None = None,
    n_starts: int = 1,
    size: int | None = None,
    progress: bool = False,
    on_failure: Literal["mark", "raise"] = "mark",
) -> Encoding:
    """Find the code of each sample by following dz/dt = -alpha grad_z E(z) from z0.

    E(z) = loss(decoder(z), x) + penalty(z) for each sample on its own. The split and the order of a
    batch do not change codes: for `MLPDecoder` and `LinearDecoder`, which are called with multiples
    of 16 rows, the results agree bit for bit; for others they agree up to rounding. The decoder is
    only read. `encode` works under `torch.no_grad` and in inference mode, from any thread; a thread
    that encodes while another trains needs a copy of the decoder. Unless you set
    `torch.set_num_threads`, torch uses only as many threads as speed it up
    (`gfe_core.threads`).

    Args:
        decoder: model that maps codes (batch, latent) to data (batch, *data); it has `latent_dim`
            and `data_shape`. Its output is checked and never broadcast. One that draws at random
            is refused; of a `VariationalDecoder` pass `decoder.at_mean()`.
        x: data, of the decoder's float dtype and device; arrays, frames, a `DataSet` and loaders
            are converted (`data.samples`). Samples with NaN or infinite features are marked
            NON_FINITE.
        loss: loss object, or a function (output, x) -> (batch,); `Bernoulli()` by default, for grey
            values in [0, 1]. A loss with a parameter `mask` accepts incomplete samples.
        flow: differential equation of the codes; `GradientFlow()` by default.
        solver: method that follows the flow; `AMD()` by default.
        z0: start codes; the origin by default, with a UserWarning if the gradient there is exactly
            0 for all samples, so that no code moves. The columns of a frame are z_0, z_1 and so on.
            The codes of a `narrowing.Gated` decoder hold its gates, so that it needs them
            (`narrowing.encode_at`).
        mask: True where x is observed; everywhere by default. x may be NaN elsewhere.
            `encode_observed` makes this mask itself.
        penalty: function z -> (batch,), added to the energy: minus the log of a prior on codes.
        context: additional known values, one row for each sample: a tensor, an array or a frame,
            or a dict of these by name. The context is passed to decoder(z, context), if the decoder
            takes a second argument, and to a loss and a penalty that have a parameter `context`.
            Each row stays with its sample when other samples leave the batch.
        t1: end time in flow units. Fixed grids need it, and so does `Dopri5` without `stop`, which
            would use up its `max_steps`. Minimisers stop by themselves.
        stop: rule that decides when a sample has converged. By default minimisers use `Stop()`;
            fixed grids and `Dopri5` run to t1.
        save_at: `SaveAt.steps()` or `SaveAt.times(t)` to keep the trajectory.
        adjoint: rule by which gradients of a function of z reach every input that requires a
            gradient: the weights, x, z0, context and tensors that the penalty holds. The default,
            `Detached()`, passes no gradients on. Gradients are those of the decoder in its mode at
            the encode, even if `decoder.train()` is called before the backward pass.
        max_steps: limit on attempted steps of each sample; by default 500 for AMD, BFGS and LBFGS,
            100 for GaussNewton, 10,000 for Dopri5, and the whole grid for fixed grids.
        bounds: (lower, upper), each a number or one number per latent. Codes stay in this box, by
            projected gradient descent (AMD alone). `grad_norm` is then the norm of the gradient
            without the components that push out of the box. The start is the point of the box
            nearest to the origin.
        n_starts: number of starts of each sample, >= 1. The code with the lowest energy is kept,
            and the statistics count the work of all starts. Further starts are drawn from a normal
            distribution, whose standard deviation in each latent is the root mean square of the
            sample's first code (1 if that code is 0), or uniformly in `bounds`; they are the same
            in every call.
        size: number of samples encoded at once, >= 1, which bounds the memory; all of them by
            default. An interrupt keeps the finished codes; the other samples are NOT_REACHED.
        progress: whether to show a bar that counts samples; without `size`, in chunks of 1,000.
        on_failure: "mark" failures in `status`, or "raise" if any sample failed or was not reached.

    Returns:
        Codes, energies, statuses, counts, the loss, the context, the mask and, if requested, the
        trajectory.

    Raises:
        TypeError, ValueError: an argument is invalid, or the decoder, loss or penalty does not
            return one row or number for each sample; the message says what to write.
        RuntimeError: a sample failed and on_failure is "raise", the weights of the decoder changed
            during the call, or it is made within `torch.func`.
        KeyboardInterrupt: an interrupt came before the first chunk was finished, or before the last
            one and on_failure is "raise".

    Example:
        >>> import torch
        >>> import gfe_core as gfe
        >>> decoder = gfe.MLPDecoder(latent_dim=8, hidden=(64, 128), data_dim=64)
        >>> enc = gfe.encode(decoder, gfe.data.load("digits", split="test").x[:5])
        >>> enc.z.shape
        torch.Size([5, 8])

        A conditional decoder, with a known offset for each sample:

        >>> class Shifted(torch.nn.Linear):
        ...     latent_dim, data_shape = 2, (3,)
        ...     def forward(self, z, shift):
        ...         return super().forward(z) + shift
        >>> x, shift = torch.rand(5, 3), torch.rand(5, 3)
        >>> gfe.encode(Shifted(2, 3), x, loss=gfe.Gaussian(), context=shift).z.shape
        torch.Size([5, 2])

    Source: Flouris et al. 2024 (arXiv 2412.00864), equations 1 and 2; bounds after Birgin, Martinez
    & Raydan 2000.
    """
    remedy = (
        "Call it outside, for all samples at once, with `adjoint=gfe.Implicit()`, and "
        "differentiate its codes with `torch.autograd.grad`."
    )
    checks.outside_transforms("`encode`", remedy)
    _of_their_kinds(stop, save_at, penalty, flow=flow, solver=solver, adjoint=adjoint)
    arguments.loss_or_none(loss)
    flow = flow or GradientFlow()
    solver = solver or AMD()
    adjoint = adjoint or Detached()
    _satisfying(flow=(flow, Flow), solver=(solver, Solver), adjoint=(adjoint, Adjoint))
    whole = WholeLoss(loss)
    checks.decoder_ready(decoder)
    checks.draws_nothing(decoder)
    given, x = x, samples_for(decoder, x)
    in_same_order("z0", z0, "x", given)
    z0 = start_like(decoder, z0, x, "z0")
    mask = mask_for(given, x, mask)
    checks.observed(x, mask)
    context = context_for(context, x, given)
    for rows in chunk_rows(len(x), SIZE):  # a check may copy its input
        whole.check_data(x[rows], None if mask is None else mask[rows])
    checks.budget(t1, max_steps, on_failure)
    checks.has_end(solver, t1)
    checks.has_times(solver, save_at)
    checks.at_least_one("n_starts", n_starts)
    checks.gates_given(decoder, z0, n_starts, penalty)
    if size is not None:
        checks.at_least_one("size", size)
    box = checks.box_for(decoder, x, bounds)
    if box is not None:
        checks.keeps_bounds(solver, flow, adjoint)
    adjoint.check(decoder, flow, solver)
    start = checks.start_for(decoder, x, z0)
    if box is not None:
        start = checks.start_inside(start, z0, box)
    samples = _Samples(x, start, z0, mask, context)
    method = _Method(
        decoder=decoder,
        loss=whole,
        flow=flow,
        solver=solver,
        adjoint=adjoint,
        penalty=penalty,
        bounds=box,
        t1=t1,
        stop=stop or solver.default_stop,
        save_at=save_at,
        max_steps=max_steps or solver.default_max_steps,
    )
    if size is None and not progress:
        encoding = method.best_of(n_starts, samples)
    else:
        encoding = _in_chunks(method, n_starts, samples, size, progress, on_failure)
    if z0 is None and box is None and n_starts == 1:
        _tell_of_flat_origin(encoding, whole, x, mask)
    encoding = replace(encoding, mask=checks.own("mask", mask))
    if on_failure == "raise":
        _raise_failures(encoding)
    return encoding


@dataclass(frozen=True)
class _Samples:
    """Inputs with one row for each sample; `z0` is the start as the caller passed it."""

    x: Data
    start: Codes
    z0: Codes | None
    mask: Mask | None
    context: Context | None

    def rows(self, rows: slice) -> "_Samples":
        """Select a slice of the samples."""
        return _Samples(
            self.x[rows],
            self.start[rows],
            None if self.z0 is None else self.z0[rows],
            None if self.mask is None else self.mask[rows],
            rows_of(self.context, rows),
        )


@dataclass(frozen=True, kw_only=True)
class _Method:
    """Settings by which the codes of all samples are found."""

    decoder: Decoder
    loss: WholeLoss
    flow: Flow
    solver: Solver
    adjoint: Adjoint
    penalty: Penalty | None
    bounds: tuple[Tensor, Tensor] | None
    t1: float
    stop: Stop | None
    save_at: SaveAt | None
    max_steps: int

    def of(self, samples: _Samples) -> Encoding:
        """Find the codes of a batch."""
        x = samples.x
        z0 = samples.z0
        context = samples.context
        asks = self.adjoint.differentiates and torch.is_grad_enabled()
        with threads.suited(self.decoder), torch.inference_mode(False), torch.no_grad():
            energy = Energy(
                self.decoder,
                _ordinary(x),
                self.loss,
                mask=None if samples.mask is None else _ordinary(samples.mask),
                penalty=self.penalty,
                context=changed(context, _ordinary),
                bounds=self.bounds,
            )
            start = _ordinary(samples.start)
            inputs = Inputs.of(energy, start, x, z0, context) if asks else Inputs.none()
            replays = self.adjoint.replays and len(inputs.tensors) > 0
            record = Recorder(self.flow) if self.save_at or replays else None
            with _decoder_at_rest(self.decoder):
                encoding = integrate(
                    energy,
                    self.flow,
                    self.solver,
                    start,
                    t1=self.t1,
                    stop=self.stop,
                    max_steps=self.max_steps,
                    record=record,
                )
            kept = record.trajectory(self.save_at) if record and self.save_at else None
            encoding = replace(
                encoding,
                trajectory=kept,
                loss=self.loss.given,
                context=changed(samples.context, partial(checks.own, "context")),
            )
        if not asks:
            return encoding
        run = Solution(inputs, energy, self.flow, self.solver, encoding, record)
        with threads.suited(self.decoder):
            return replace(encoding, z=self.adjoint.attach(self.decoder, run))

    def best_of(self, n_starts: int, samples: _Samples) -> Encoding:
        """Find the codes of a batch from several starts and keep the lowest energy of each sample.

        The first start is the caller's; the others are the same in every batch, but for the length
        of the first code. A gradient of their codes therefore goes on to the first code.
        """
        first = self.of(samples)
        if n_starts == 1:
            return first
        others = [
            replace(samples, start=start, z0=start)
            for start in _starts(n_starts - 1, first.z, self.bounds)
        ]
        runs = [first, *map(self.of, others)]
        energies = torch.stack([part.energy for part in runs])
        lowest = torch.where(energies.isnan(), math.inf, energies).argmin(0)
        best = Encoding.joined(runs)[lowest * len(first) + torch.arange(len(first)).to(lowest)]
        totals = {
            field.name: torch.stack([getattr(part.statistics, field.name) for part in runs]).sum(0)
            for field in fields(Statistics)
        }
        return replace(best, statistics=Statistics(**totals))


def _tell_of_flat_origin(encoding: Encoding, loss: WholeLoss, x: Data, mask: Mask | None) -> None:
    """Warn if no code left the origin, because the gradient there is exactly 0.

    Nothing is wrong with that where the origin draws all samples perfectly.
    """
    flat = encoding.grad_norm == 0
    if not flat.any():
        return
    finite = encoding.status != int(Status.NON_FINITE)
    stayed = flat & (encoding.z == 0).all(1)
    if not stayed[finite].all():
        return
    floor = torch.zeros_like(encoding.energy)
    with suppress(TypeError, ValueError):  # a floor that cannot leave out features
        floor = loss.floor(x, mask)
    above = encoding.energy > floor + 1e-6 * floor.abs()
    if above[finite].any():
        warnings.warn(
            f"The gradient of the energy at the code 0 is exactly 0 for all {int(finite.sum())} "
            "samples, so that no code moved. `decoder` may use ReLU without biases (or with "
            "biases of 0), be symmetric about 0, or ignore its code. Start elsewhere, with `z0=` "
            "or `n_starts=4`; for training, give its hidden layers biases other than 0, or a "
            "smooth activation such as ELU.",
            UserWarning,
            stacklevel=4,
        )


def _starts(n: int, z: Codes, bounds: tuple[Tensor, Tensor] | None) -> list[Codes]:
    """Draw n further starts, scaled by the codes `z` that the first start led to."""
    random = torch.Generator().manual_seed(0)
    normal = torch.randn(n, z.shape[1], generator=random).to(z)
    square = z.square().mean(1, keepdim=True)
    length = torch.where(square > 0, square, 1.0).sqrt()  # the root has no derivative at 0
    if bounds is None:
        return [length * draw for draw in normal]
    lower, upper = bounds
    uniform = torch.rand(n, z.shape[1], generator=random).to(z)
    width = upper - lower
    closed = torch.isfinite(width)
    width = torch.where(closed, width, 0.0)
    return [
        torch.where(closed, lower + draw * width, length * other).clamp(lower, upper)
        for draw, other in zip(uniform, normal, strict=True)
    ]


def _in_chunks(
    method: _Method,
    n_starts: int,
    samples: _Samples,
    size: int | None,
    progress: bool,
    on_failure: str,
) -> Encoding:
    """Find codes in chunks of samples; samples not reached before an interrupt are NOT_REACHED."""
    n = len(samples.x)

    def find(rows: slice) -> Encoding:
        part = replace(method, solver=solver_of(method.solver, rows, n))
        return part.best_of(n_starts, samples.rows(rows))

    parts = in_chunks(find, n, size or SIZE, progress=progress)
    reached = sum(map(len, parts))
    if reached < n:
        if on_failure == "raise":
            raise KeyboardInterrupt
        rest = samples.rows(slice(reached, None))
        parts.append(not_reached(rest.start, parts[0], rest.context))
    return Encoding.joined(parts)


@arguments.in_own_words
def encode_observed(decoder: Decoder, x: Samples, **options: Any) -> Encoding:
    """Encode incomplete samples.

    Features that are NaN count as unobserved and have no influence.

    `functools.partial(gfe.encode_observed, solver=...)` is an encoder, so that `fit` can train on
    incomplete data. A sample without any observed feature stays at its start, or moves to the
    minimum of the penalty. Its energy is 0 or the value of the penalty, and should be left out of
    means. `fit` leaves such samples out.

    Args:
        decoder: decoder, as for `encode`.
        x: data, NaN where unobserved. Infinite features count as observed and mark their sample
            NON_FINITE.
        options: options of `encode`, all but `mask`.

    Raises:
        TypeError, ValueError, RuntimeError: as in `encode`; TypeError also if `mask` is given.

    Example:
        >>> import torch
        >>> import gfe_core as gfe
        >>> decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=3)
        >>> gfe.encode_observed(decoder, torch.tensor([[0.2, float("nan"), 0.9]])).energy.isfinite()
        tensor([True])
    """
    checks.require(
        "mask" not in options,
        "`encode_observed` makes the mask itself, from the entries that are not NaN. Leave `mask` "
        "out, or write `encode(decoder, x, mask=mask)`.",
        TypeError,
    )
    checks.decoder_ready(decoder)
    x = samples_for(decoder, x)
    return encode(decoder, x, mask=~x.isnan(), **options)


@arguments.in_own_words
def reconstruct(
    decoder: Decoder,
    z: Codes | np.ndarray | Encoding,
    loss: AnyLoss | None = None,
    *,
    context: Context | None = None,
) -> Data:
    """Decode codes to their mean in data space.

    The loss defines the meaning of the output: its sigmoid is the mean for `Bernoulli()`, and the
    output itself for `Gaussian()` and for a loss without `mean`.

    Args:
        decoder: decoder that maps codes to raw outputs.
        z: an encoding, which holds its loss and its context, or bare codes (batch, latent), which
            need `loss`; the columns of a frame are z_0, z_1 and so on.
        loss: loss that defines the mean; by default the loss of the encoding.
        context: context of each sample, if the decoder takes one; by default that of the encoding.

    Raises:
        ValueError: neither the encoding nor the argument `loss` provides a loss.
        TypeError, ValueError: an argument is invalid, or the decoder does not return data of its
            shape; the message says what to write.

    Example:
        >>> import torch
        >>> import gfe_core as gfe
        >>> decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
        >>> enc = gfe.encode(decoder, torch.rand(5, 3))
        >>> gfe.reconstruct(decoder, enc).shape
        torch.Size([5, 3])
        >>> gfe.reconstruct(decoder, torch.zeros(1, 2), gfe.Gaussian()).shape
        torch.Size([1, 3])
    """
    codes, context, calls = decoding("reconstruct", decoder, z, loss, context)
    with threads.suited(decoder), torch.no_grad():
        codes = codes.clone()  # a decoder may write into its argument
        return calls.mean(calls.output(codes, context))


def decoding(
    verb: str, decoder: Decoder, z: Any, loss: AnyLoss | None, context: Context | None
) -> tuple[Codes, Context | None, Calls]:
    """Check the arguments of a verb such as `reconstruct`; return codes, context and calls.

    Args:
        verb: name of the verb after `gfe.`, for the suggested line.
        decoder: decoder, as for `reconstruct`.
        z: encoding or codes, as for `reconstruct`.
        loss: loss, as for `reconstruct`.
        context: context, as for `reconstruct`.
    """
    arguments.loss_or_none(loss)
    checks.keeps_samples_apart(decoder)
    checks.draws_nothing(decoder)
    known = z.loss if isinstance(z, Encoding) and loss is None else loss
    if known is None:
        instead = "an encoding without a loss" if isinstance(z, Encoding) else "bare codes"
        raise ValueError(
            f"`loss` must say what the output means, got {instead}. Pass the encoding itself, "
            f"`gfe.{verb}(decoder, enc)`, or `loss=gfe.Bernoulli()` (the sigmoid of the "
            "output), `loss=gfe.Gaussian()` (the output itself)."
        )
    codes = codes_for(decoder, z.z if isinstance(z, Encoding) else z)
    judge = WholeLoss(known)
    if isinstance(z, Encoding) and context is None:
        context = context_taken(decoder, judge, z.context)
    context = context_for(context, codes, z, "z")
    calls = Calls(decoder, judge, None, context)
    return codes, context, calls


def _ordinary(tensor: Tensor) -> Tensor:
    """Detach a tensor. Copy it if it was made in inference mode, which autograd does not accept."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def _of_their_kinds(stop: Any, save_at: Any, penalty: Any, **parts: object) -> None:
    """Refuse words, classes and numbers passed in place of objects; suggest the line to write."""
    arguments.stop_rule(stop)
    arguments.saved_states(save_at)
    arguments.penalty_function(penalty)
    for name, part in parts.items():
        if part is not None:
            arguments.made(name, part)


def _satisfying(**given: tuple[object, type]) -> None:
    """Refuse an argument that does not satisfy its protocol, and name the missing members."""
    for name, (value, protocol) in given.items():
        remedy = f"See `gfe_core.types` and `gfe_core.solvers.step` for `{protocol.__name__}`."
        checks.members(name, value, protocol, "`encode`", remedy)


@contextmanager
def _decoder_at_rest(decoder: Decoder) -> Iterator[None]:
    """Refuse weights that change while codes are found with them, as in another thread."""
    watched = Versions(lambda: parameters_of(decoder))
    message = (
        "The weights of `decoder` changed while it encoded, in another thread or in a hook. Encode "
        "with a copy of its own, `copy.deepcopy(decoder)`, made between two updates."
    )
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(message) if watched.changed else error from error
    checks.require(not watched.changed, message, RuntimeError)


def _raise_failures(encoding: Encoding) -> None:
    """Raise an error that names the failed samples and suggests remedies."""
    failed = [
        (i, Status(code)) for i, code in enumerate(encoding.status.tolist()) if Status(code).failed
    ]
    if failed:
        names = ", ".join(f"{i} {status.name}" for i, status in failed[:5])
        raise RuntimeError(
            f"{len(failed)} of {len(encoding.status)} samples failed "
            f"({names}{', ...' if len(failed) > 5 else ''}). "
            "Check these rows of `x` for NaN, lower `dt` (fixed grids), "
            "or keep the best points found with `on_failure='mark'`."
        )
