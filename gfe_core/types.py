"""The vocabulary of the kit: protocols of its parts, and the results that they return.

All other modules use these terms. Data flows one way:

    decoder, x, loss  ->  Energy  ->  flow  ->  solver  ->  integrate  ->  Encoding

Shapes: `batch` samples; `latent` the size of a code z; `*data` the shape of one sample; `time`
saved states.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import IntEnum
from functools import partial
from itertools import pairwise
from numbers import Integral, Real
from types import CellType, FunctionType, MethodType
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Codes = Float[Tensor, "batch latent"]
Data = Float[Tensor, "batch *data"]
Mask = Bool[Tensor, "batch *data"]
PerSample = Float[Tensor, "batch"]


class Status(IntEnum):
    """Why a sample stopped. Each sample has one status; a failed sample raises no exception."""

    RUNNING = 0
    """The sample is still flowing. `encode` never returns this status."""
    CONVERGED = 1
    """Almost nothing is left to gain."""
    REACHED_T = 2
    """The flow reached t1, or a recorded grid was replayed to its end."""
    MAX_STEPS = 3
    """The budget of steps is spent; the best point so far is returned."""
    STALLED = 4
    """The next decrease would be smaller than the rounding of the energy."""
    STEP_TOO_SMALL = 5
    """No step of at least dt_min decreases the energy enough."""
    NON_FINITE = 6
    """The energy or its gradient is NaN or infinite; the last finite point is returned."""
    FLAT = 7
    """The energy has flattened, but its gradient is not small: it may fall further ahead."""
    NOT_REACHED = 8
    """An interrupt came before the sample was encoded; the start is returned."""

    @property
    def failed(self) -> bool:
        """Whether the code should not be trusted."""
        return self in (Status.STEP_TOO_SMALL, Status.NON_FINITE, Status.NOT_REACHED)


def plain(value: Any) -> Any:
    """Return a number of numpy, or a tensor without axes, as a number of Python."""
    return value.item() if getattr(value, "shape", None) == () else value


_NOT_GIVEN = cast(float, None)
"""Marks a rule that the caller left out."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Stop:
    """When a sample that has no end time stops.

    CONVERGED when almost nothing is left to gain. Near a minimum the energy is a parabola, and its
    remaining decrease is |g|^2 / (2 k). The rule is

        |g|^2 / (2 k)  <=  gain_rtol |E(0) - E(z)| + eps |E(z)|

    with g the gradient at z, k the smallest curvature <dz, dg> / |dz|^2 along the last `window`
    accepted steps dz, E(0) the energy of the code 0 and eps the rounding of the data's type.
    Curvatures along the 2 `window` steps before these count too, ten times as large for each window
    that has passed. The rule waits for `window` accepted steps, because the first ones often meet
    steep axes alone, and the curvature must be positive along all of the last `window`, or a sample
    would stop as it leaves a saddle. With fewer `max_steps` a search ends at MAX_STEPS. A sample
    that starts at a minimum does not wait: it stops if its first step promises at most a tenth of
    the decrease that the rule allows. Where nothing but rounding changes the energy, only the last
    step is tested. Both sides have units of energy, and neither depends on the start of the search,
    so the rule suits data, latents and energies in any units.

    A solver that has a matrix G of second derivatives, as GaussNewton does, applies the rule to the
    larger of |g|^2 / (2 k) and <g, G^-1 g> / 2, from its second step on. The others know only
    curvatures along their steps. Steps down the gradient mix the axes: if the curvatures at one
    code differ by more than 10^4 (singular values of the decoder's Jacobian by more than 100), AMD
    may report CONVERGED while a sample still moves slowly along a flat axis. GaussNewton, BFGS and
    LBFGS detect more in that case.

    FLAT when the energy fell by at most energy_slope |E| per step, on average over the last
    `window` accepted steps, while more is left to gain, as at a kink of a ReLU decoder or in a long
    valley. If the energy did not fall at all over the window, the status is STALLED.

    Without arguments, `Stop()` is `Stop(gain_rtol=5e-5, energy_slope=2e-7, window=10)`. If any rule
    is given, the rules that are not given are off.

    Args:
        gain_rtol: fraction of the descent from the code 0 that may be left, >= 0; 0 switches the
            rule off.
        energy_slope: relative decrease of the energy per accepted step, >= 0; 0 switches the rule
            off.
        grad_norm: threshold on |g|, in units of energy per latent unit, >= 0: a sample is also
            CONVERGED if |g| <= grad_norm. It is meant for problems with known units; an exactly
            stationary point is always CONVERGED.
        window: number of recent accepted steps that the rules use, >= 1.
    """

    gain_rtol: float = _NOT_GIVEN
    grad_norm: float = _NOT_GIVEN
    energy_slope: float = _NOT_GIVEN
    window: int = 10

    def __post_init__(self) -> None:
        defaults = {"gain_rtol": 5e-5, "energy_slope": 2e-7, "grad_norm": 0.0}
        any_given = any(getattr(self, rule) is not _NOT_GIVEN for rule in defaults)
        for rule, default in defaults.items():
            if getattr(self, rule) is _NOT_GIVEN:
                object.__setattr__(self, rule, 0.0 if any_given else default)
            value = plain(getattr(self, rule))
            object.__setattr__(self, rule, value)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"`{rule}` must be a number, got {value!r}.")
            if not float(value) >= 0:
                raise ValueError(f"`{rule}` must be at least 0, got {value}.")
        window = plain(self.window)
        if isinstance(window, bool) or not isinstance(window, Integral):
            raise TypeError(f"`window` must be a whole number, got {window!r}.")
        if window < 1:
            raise ValueError(f"`window` must be at least 1 accepted step, got {window}.")
        object.__setattr__(self, "window", int(window))

    def __repr__(self) -> str:
        rules = {name: getattr(self, name) for name in ("gain_rtol", "grad_norm", "energy_slope")}
        used = {name: value for name, value in rules.items() if value} or {"grad_norm": 0.0}
        rules = ", ".join(f"{name}={value!r}" for name, value in used.items())
        return f"Stop({rules}, window={self.window})"


@dataclass(frozen=True, kw_only=True)
class SaveAt:
    """The states of the flow to keep; made by `SaveAt.steps()` or `SaveAt.times(t)`."""

    at: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.at is not None and not isinstance(self.at, tuple):
            raise TypeError(
                f"`at` must be a tuple of times, got {self.at!r}. Write `SaveAt.times`."
            )

    @staticmethod
    def steps() -> "SaveAt":
        """Keep the start and every accepted state."""
        return SaveAt()

    @staticmethod
    def times(t: Any) -> "SaveAt":
        """Keep the states at given flow times, by cubic Hermite interpolation.

        Codes and energies are interpolated separately between accepted states, so the energy is
        not exactly that of the interpolated code.

        Args:
            t: increasing times in flow units, the first at least 0: a sequence or a one-dimensional
                tensor.
        """
        given = t.tolist() if hasattr(t, "tolist") else t
        several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, dict))
        values = tuple(given) if several else ()
        if not several or any(isinstance(one, bool) or not isinstance(one, Real) for one in values):
            raise TypeError(
                f"`t` must be a sequence of times, got {t!r}. Write `SaveAt.times([0.0, 1.0])`."
            )
        at = tuple(float(value) for value in values)
        if (
            not at
            or not all(math.isfinite(time) for time in at)
            or at[0] < 0
            or any(b <= a for a, b in pairwise(at))
        ):
            raise ValueError(
                f"`t` must hold increasing finite times that start at 0 or later, got {at}."
            )
        return SaveAt(at=at)


@dataclass(frozen=True, eq=False)
class Statistics:
    """The cost of encoding each sample; all fields are counts of shape (batch,).

    A gradient includes its loss, so that an accepted trial counts as one gradient and a rejected
    trial as one loss. `n_hess` counts Jacobian-vector products: a Gauss-Newton matrix takes one for
    each latent dimension. The work in forward-equivalents (one decoder pass for one sample) is
    n_loss + 2 n_grad + n_hess: a latent gradient takes one forward and one input-only backward
    pass, and a Jacobian-vector product passes through the same layers as a forward pass.
    """

    n_steps: Int[Tensor, "batch"]
    n_accepted: Int[Tensor, "batch"]
    n_rejected: Int[Tensor, "batch"]
    n_loss: Int[Tensor, "batch"]
    n_grad: Int[Tensor, "batch"]
    n_hess: Int[Tensor, "batch"]

    @property
    def work(self) -> Int[Tensor, "batch"]:
        """Work in forward-equivalents for each sample."""
        return self.n_loss + 2 * self.n_grad + self.n_hess


BESIDE_CODES = ("energy", "grad_norm", "t", "status", *(f.name for f in fields(Statistics)), "work")
"""Columns of `Encoding.to_frame` other than the codes."""


def code_names(n: int) -> list[str]:
    """Return the names of n latents in a frame of codes."""
    return [f"z_{i}" for i in range(n)]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The accepted states of each sample, starting with the start, or its states at given times.

    Rows after a sample's last state repeat it.

    Args:
        t: flow time (sum of steps), in flow units.
        z: codes.
        energy: true energy at each accepted state; at given times interpolated, as z is.
        dt: step that leaves each state, 0 after the last; `Euler(steps=trajectory.dt)` replays it.
        work: forward-equivalents spent before each state was reached.
        mask: True where a row is a state of that sample and not a repetition.
        v: velocities of a flow with momentum; without columns for other flows; None at given times.
    """

    t: Float[Tensor, "time batch"]
    z: Float[Tensor, "time batch latent"]
    energy: Float[Tensor, "time batch"]
    dt: Float[Tensor, "time batch"]
    work: Float[Tensor, "time batch"]
    mask: Bool[Tensor, "time batch"]
    v: Float[Tensor, "time batch _"] | None = None

    @property
    def accepted(self) -> Bool[Tensor, "time batch"]:
        """True where an accepted step leaves the state."""
        return torch.cat([self.mask[1:], torch.zeros_like(self.mask[:1])])


@dataclass(frozen=True, eq=False)
class Encoding:
    """The codes of a batch, with their energies, statuses, counts and other results.

    An encoding is equal to itself alone; compare tensors, such as `enc.z`. `copy.deepcopy` copies
    its tensors without their gradients.

    Args:
        z: codes; they carry a gradient to the decoder only where the adjoint provides one.
        energy: E at z, in nats or squared data units, always detached.
        grad_norm: |grad_z E| at z, detached.
        t: sum of steps; NaN if the solver has no time.
        status: `Status` codes.
        statistics: counts for each sample.
        trajectory: saved states, or None.
        loss: loss by which the codes were found; it defines the meaning of the decoder's output.
        context: context with which the codes were found, one row for each sample, or None.
        mask: mask with which the codes were found, True where the data were observed, or None.
    """

    z: Float[Tensor, "batch latent"]
    energy: Float[Tensor, "batch"]
    grad_norm: Float[Tensor, "batch"]
    t: Float[Tensor, "batch"]
    status: Int[Tensor, "batch"]
    statistics: Statistics
    trajectory: Trajectory | None = None
    loss: "AnyLoss | None" = None
    context: "Context | None" = None
    mask: Mask | None = None

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.z)

    def __getitem__(self, rows: Any) -> "Encoding":
        """Return a selection of the samples, with their counts and their part of the trajectory.

        Args:
            rows: a slice, whole numbers (a list or a tensor), a boolean mask of shape (batch,), or
                one number, for which the batch axis stays. Codes keep their gradient.

        Raises:
            TypeError: `rows` is of another type.
            IndexError: an index is outside the batch, or a mask has another length.

        Example:
            >>> import gfe_core as gfe
            >>> decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
            >>> enc = gfe.encode(decoder, torch.rand(5, 3))
            >>> len(enc[1:3]), len(enc[enc.energy < 0])
            (2, 0)
        """
        index = _rows(rows, len(self))
        return _with_tensors(self, lambda tensor, axis: tensor[(slice(None),) * axis + (index,)])

    def __deepcopy__(self, memo: dict[int, Any]) -> "Encoding":
        """Copy all parts, the tensors without a graph: torch copies no graph."""
        detached = _with_tensors(self, lambda tensor, axis: tensor.detach())
        named = {field.name: getattr(detached, field.name) for field in fields(self)}
        return type(self)(**deepcopy(named, memo))

    @staticmethod
    def joined(parts: Iterable["Encoding"]) -> "Encoding":
        """Join encodings of successive samples that were made by the same method.

        Shorter trajectories repeat their last state; a part without a trajectory counts as a
        trajectory of its last state alone. A part without a mask counts as observed everywhere.

        Args:
            parts: encodings, at least one; all with latents, loss and context of the same kind.

        Raises:
            TypeError: a part is not an encoding.
            ValueError: there is no part, or parts have other latents, another loss or another
                context than the first.

        Example:
            >>> import gfe_core as gfe
            >>> decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
            >>> enc = gfe.encode(decoder, torch.rand(5, 3))
            >>> bool((Encoding.joined([enc[:2], enc[2:]]).z == enc.z).all())
            True
        """
        parts = [*parts]
        if not parts:
            raise ValueError("`parts` must hold at least one encoding, got none.")
        first = parts[0]
        for i, part in enumerate(parts):
            _check_joins(first, part, f"parts[{i}]")
        if len(parts) == 1:
            return first

        def join(pieces: Sequence[Any], axis: int) -> dict[str, Tensor]:
            names = [f.name for f in fields(pieces[0])]
            columns = {name: [getattr(piece, name) for piece in pieces] for name in names}
            whole = {n: c for n, c in columns.items() if all(isinstance(t, Tensor) for t in c)}
            return {name: torch.cat(tensors, axis) for name, tensors in whole.items()}

        trajectory = None
        kept = [part.trajectory for part in parts if part.trajectory is not None]
        if kept:
            n_states = max(len(path.t) for path in kept)
            paths = [_lengthened(part, n_states, kept[0]) for part in parts]
            trajectory = replace(kept[0], **join(paths, 1))
        statistics = Statistics(**join([part.statistics for part in parts], 0))
        whole: dict[str, Any] = join(parts, 0)
        named = [part.context for part in parts if isinstance(part.context, Mapping)]
        if named:
            whole["context"] = {name: torch.cat([c[name] for c in named]) for name in named[0]}
        masks = [part.mask for part in parts if part.mask is not None]
        if masks:
            whole["mask"] = torch.cat([_mask_of(part, like=masks[0]) for part in parts])
        return replace(first, **whole, statistics=statistics, trajectory=trajectory)

    def to(self, *args: Any, **kwargs: Any) -> "Encoding":
        """Move to a device or convert floats to a dtype, like `Tensor.to`; counts stay integers.

        Example:
            >>> import gfe_core as gfe
            >>> enc = gfe.encode(gfe.LinearDecoder(latent_dim=2, data_dim=3), torch.rand(5, 3))
            >>> enc.to("cpu", torch.float64).z.dtype
            torch.float64
        """
        example = torch.empty(0, dtype=self.z.dtype, device=self.z.device).to(*args, **kwargs)
        if not example.is_floating_point():
            raise TypeError(f"`dtype` must be a float dtype for codes, got {example.dtype}.")

        def moved(tensor: Tensor, axis: int) -> Tensor:
            is_float = tensor.is_floating_point()
            return tensor.to(example.device, example.dtype if is_float else tensor.dtype)

        return _with_tensors(self, moved)

    def __repr__(self) -> str:
        statuses = Counter(self.status.tolist())
        counts = ", ".join(f"{n} {_status_name(code)}" for code, n in sorted(statuses.items()))
        finite = self.energy[self.energy.isfinite()]
        energy = f", mean energy {finite.mean().item():.4g}" if len(finite) else ""
        states = "" if self.trajectory is None else f", {len(self.trajectory.t)} states kept"
        size = f"{len(self)} samples, {self.z.shape[1]} latents"
        return f"Encoding({size}{energy}{states}; {counts or 'no status'})"

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, one row for each sample.

        Columns: z_0, z_1 and so on; energy, grad_norm, t; status by name; the counts and the work.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            # Imported here, because nothing else in the kit needs pandas.
            import pandas  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError(
                "`to_frame` needs pandas, which is not installed. Install it: "
                "`pip install pandas`, or use the tensors: `enc.z`, `enc.energy`."
            ) from error
        z = self.z.detach()
        columns: dict[str, list[Any]] = dict(zip(code_names(z.shape[1]), z.T.tolist(), strict=True))
        for name in ("energy", "grad_norm", "t"):
            columns[name] = getattr(self, name).tolist()
        columns["status"] = [_status_name(code) for code in self.status.tolist()]
        for field in fields(Statistics):
            columns[field.name] = getattr(self.statistics, field.name).tolist()
        columns["work"] = self.statistics.work.tolist()
        return pandas.DataFrame(columns)


def _check_joins(first: Encoding, part: Any, name: str) -> None:
    """Refuse a part whose latents, loss or context are of another kind than those of the first."""
    if not isinstance(part, Encoding):
        got = type(part).__name__
        raise TypeError(f"`parts` must hold encodings, but `{name}` is of type {got}.")
    ours = f"{first.z.shape[1]} latents of {first.z.dtype}"
    theirs = f"{part.z.shape[1]} latents of {part.z.dtype}"
    if ours != theirs:
        raise ValueError(
            f"`{name}` has {theirs}, but `parts[0]` has {ours}. Join encodings of one decoder."
        )
    if not _same_loss(first.loss, part.loss):
        raise ValueError(
            f"`{name}` was found by the loss {part.loss!r}, but `parts[0]` by {first.loss!r}: one "
            "encoding has one loss. Encode all samples by the same one."
        )
    ours, theirs = _form_of(first.context), _form_of(part.context)
    if ours != theirs:
        raise ValueError(
            f"`{name}` has {theirs}, but `parts[0]` has {ours}. Encode all samples with a context "
            "of one form; one that changes nothing may be zeros."
        )
    if first.mask is not None and part.mask is not None:
        ours, theirs = tuple(first.mask.shape[1:]), tuple(part.mask.shape[1:])
        if ours != theirs:
            raise ValueError(
                f"`{name}` has a mask of samples of shape {theirs}, but `parts[0]` of {ours}. Join "
                "encodings of one decoder."
            )


def _mask_of(part: Encoding, like: Tensor) -> Mask:
    """Return the mask of a part; without one, everything was observed."""
    everything = like.new_ones(len(part), *like.shape[1:])
    return everything if part.mask is None else part.mask


def _same_loss(one: Any, other: Any) -> bool:
    """Whether two losses are one, are equal, or do the same by their code and what they hold."""
    try:
        return _alike(one, other, set())
    except Exception:  # a user's object may refuse to be compared
        return False


def _alike(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    """Whether two losses, or parts of them, are equal or hold parts that are alike.

    Args:
        one: loss or part.
        other: what it is compared with.
        seen: pairs that are compared already; a part may hold itself.
    """
    pair = (id(one), id(other))
    if one is other or pair in seen or _equal(one, other):
        return True
    if type(one) is not type(other):
        return False
    seen.add(pair)
    if hasattr(one, "shape") and hasattr(one, "dtype"):  # tensors and arrays
        return one.shape == other.shape and one.dtype == other.dtype and bool((one == other).all())
    if isinstance(one, FunctionType) and one.__code__ != other.__code__:
        return False
    ours, theirs = _held_by(one), _held_by(other)
    if ours is None or theirs is None or ours.keys() != theirs.keys():
        return False
    return all(_alike(part, theirs[name], seen) for name, part in ours.items())


def _equal(one: Any, other: Any) -> bool:
    """Whether two values of one type say that they are equal; tensors give no single answer."""
    with suppress(Exception):
        return type(one) is type(other) and bool(one == other)
    return False


def _held_by(value: Any) -> dict[Any, Any] | None:
    """Return the parts of a value that its results depend on, by name; None if it has no parts."""
    if isinstance(value, FunctionType):
        cells = enumerate(value.__closure__ or ())
        defaults = {"defaults": value.__defaults__, "by name": value.__kwdefaults__}
        return {i: _content(cell) for i, cell in cells} | defaults
    if isinstance(value, MethodType):
        return {"function": value.__func__, "object": value.__self__}
    if isinstance(value, partial):
        return {"function": value.func, "arguments": value.args, "by name": value.keywords}
    if isinstance(value, Mapping):
        return {**value}
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    by_parts = is_dataclass(value) or type(value).__eq__ is object.__eq__
    return vars(value) if by_parts and hasattr(value, "__dict__") else None


def _content(cell: CellType) -> Any:
    """Return the value of a closure's variable; None if it was never set."""
    with suppress(ValueError):
        return cell.cell_contents
    return None


def _form_of(context: Any) -> str:
    """Put the names, shapes and types of a context into words, without its rows."""
    if context is None:
        return "no context"
    if isinstance(context, Mapping):
        return ", ".join(f"{name!r}: {_form_of(part)}" for name, part in sorted(context.items()))
    return f"a context of shape (n, {', '.join(map(str, context.shape[1:]))}) and {context.dtype}"


def _status_name(code: int) -> str:
    return Status(code).name if code in tuple(Status) else str(code)


def _with_tensors(encoding: Encoding, change: Callable[[Tensor, int], Tensor]) -> Encoding:
    """Change every tensor of an encoding; `change` receives the tensor and its batch axis."""

    def changed(part: Any, axis: int) -> Any:
        tensors = {field.name: getattr(part, field.name) for field in fields(part)}
        return replace(
            part,
            **{
                name: change(tensor, axis)
                for name, tensor in tensors.items()
                if isinstance(tensor, Tensor)
            },
        )

    statistics = changed(encoding.statistics, 0)
    trajectory = None if encoding.trajectory is None else changed(encoding.trajectory, 1)
    whole = replace(changed(encoding, 0), statistics=statistics, trajectory=trajectory)
    if isinstance(encoding.context, Mapping):
        context = {name: change(tensor, 0) for name, tensor in encoding.context.items()}
        whole = replace(whole, context=context)
    return whole


def _lengthened(part: Encoding, n_states: int, like: Trajectory) -> Trajectory:
    """Return the trajectory of a part, extended to `n_states` by repeating its last state."""
    path = part.trajectory
    if path is None:
        zero = torch.zeros_like(part.energy)[None]
        v = None if like.v is None else zero[..., None].expand(-1, -1, like.v.shape[2])
        mask = torch.ones_like(zero, dtype=torch.bool)
        path = Trajectory(zero, part.z.detach()[None], part.energy[None], zero, zero, mask, v)
    missing = n_states - len(path.t)

    def repeated(rows: Tensor | None) -> Any:
        return (
            None if rows is None else torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
        )

    longer = {f.name: repeated(getattr(path, f.name)) for f in fields(path)}
    longer["mask"][len(path.t) :] = False
    return Trajectory(**longer)


def _rows(rows: Any, n: int) -> slice | Tensor:
    """Return a selector of rows of n samples: a slice, indices or a mask."""
    if isinstance(rows, slice):
        backwards = rows.step is not None and rows.step < 0  # torch has no negative steps
        return torch.tensor(range(n)[rows], dtype=torch.long) if backwards else rows
    wanted = (
        "`rows` must be a slice, a whole number, whole numbers or a boolean mask of shape "
        f"({n},), got"
    )
    if rows is None or isinstance(rows, (tuple, str)):
        raise TypeError(f"{wanted} {rows!r}. Other axes are those of the tensors: `enc.z[:, 0]`.")
    try:
        index = torch.as_tensor(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{wanted} {type(rows).__name__}.") from error
    if index.numel() == 0 and not isinstance(rows, Tensor):  # torch reads an empty list as floats
        index = index.long()
    if index.dim() > 1 or index.is_floating_point() or index.is_complex():
        raise TypeError(f"{wanted} shape {tuple(index.shape)}, {index.dtype}.")
    if index.dtype == torch.bool:
        if tuple(index.shape) != (n,):
            raise IndexError(f"{wanted} a mask of shape {tuple(index.shape)}.")
        return index
    index = index.reshape(-1).long()
    if len(index) and not (-n <= int(index.min()) and int(index.max()) < n):
        raise IndexError(f"`rows` must lie between {-n} and {n - 1}, got {index.tolist()[:5]}.")
    return index


@runtime_checkable
class Decoder(Protocol):
    """Anything that maps codes to data, one row for each sample, rows independent of each other.

    A conditional decoder is called as `decoder(z, context)`. If the raw output has another shape
    than the data, because a loss reads more from it (a mean and a variance), the decoder has an
    attribute `raw_shape`, the shape of one row of the output.
    """

    latent_dim: int
    data_shape: tuple[int, ...]

    def __call__(self, z: Tensor, /) -> Tensor: ...  # noqa: D102


@runtime_checkable
class Loss(Protocol):
    """A distance between the decoder's output and data, per sample.

    `per_sample` is enough: gradients and curvature are its derivatives. A loss may also have

    - `mean(output)`: data (batch, *data) that a raw output describes; the output itself if absent;
    - `floor(x, mask)`: lowest energy (batch,) that any decoder can reach; 0 if absent;
    - `check_data(x)`: raises a ValueError for data that are invalid for the loss; where x is not
      observed, it holds observed values of the same feature;
    - `curvature(output, mask)`: diagonal of the second derivative, with the shape of the output,
      for losses that do not mix features; faster than differentiating twice.

    An attribute by one of these names that is no method is refused.

    A class that overrides `per_sample` inherits neither `curvature` nor `floor`, which belong to
    the energy of its parent.
    """

    @property
    def per_sample(self) -> Callable[..., Tensor]:
        """(output, x, mask=None) -> energy (batch,); `mask` is True where x is observed.

        A loss without a parameter `mask` is refused for incomplete data. A loss with a parameter
        `context` receives the context of `encode`.
        """
        ...


AnyLoss = Loss | Callable[..., Tensor]
"""A loss object, or a function that serves as its `per_sample`."""

Context = Tensor | Mapping[str, Tensor]
"""Additional known values of samples: a tensor or a dict of tensors, one row for each sample."""


@runtime_checkable
class Flow(Protocol):
    """The differential equation that carries a code downhill. `Euler` and `RK4` need no more.

    The first columns of its state are the code.
    """

    def start(self, z0: Tensor) -> Tensor:
        """Return the state (batch, state) at time 0 for codes (batch, latent)."""
        ...

    def velocity(self, t: Tensor, y: Tensor, grad: Tensor) -> Tensor:
        """Return dy/dt (batch, state) at times t (batch,), given the gradient at the code of y."""
        ...


@runtime_checkable
class Descent(Flow, Protocol):
    """A flow for solvers that choose their own steps; it provides its rate and its force."""

    order: ClassVar[int]
    """1 where the state is the code, 2 where it is the code and its velocity."""

    def alpha(self, t: Tensor) -> Tensor:
        """Return the rate (batch,) that multiplies the gradient at times t."""
        ...

    def force(self, t: Tensor, grad: Tensor) -> Tensor:
        """Return the downhill pull (batch, latent): minus the rate times the gradient."""
        ...


@runtime_checkable
class Accelerated(Descent, Protocol):
    """A descent with momentum, of order 2."""

    def friction(self, t: Tensor) -> Tensor:
        """Return the friction (batch,) at times t > 0, per flow unit."""
        ...

    def momentum(self, age: Tensor) -> Tensor:
        """Return the fraction (batch,) of its last move kept `age` steps after a restart."""
        ...


@runtime_checkable
class Adjoint(Protocol):
    """How gradients of a function of z reach the inputs of an encode.

    If `differentiates` is true, the inputs that require a gradient are collected. If `replays` is
    true, the steps of the flow are recorded as well.
    """

    replays: ClassVar[bool]
    differentiates: ClassVar[bool]

    def check(self, decoder: Any, flow: Any, solver: Any) -> None:
        """Raise a ValueError for a decoder, flow or solver that it cannot differentiate."""
        ...

    def attach(self, decoder: Any, solution: Any) -> Tensor:
        """Return the codes of an `adjoints.Solution`, with whatever graph they have."""
        ...


Bounds = tuple[float | Sequence[float] | Tensor, float | Sequence[float] | Tensor]
"""(lower, upper) bounds of codes, each one number for all latents or one number per latent."""

Encoder = Callable[..., Encoding]
"""(decoder, x) -> Encoding; `functools.partial(encode, solver=...)` is one.

With data that have a context it is called as (decoder, x, context=context).
"""

Penalty = Callable[..., Tensor]
"""z (batch, latent) -> (batch,), added to the energy: minus the log of a prior on codes.

A penalty with a parameter `context` receives the context of `encode`.
"""
