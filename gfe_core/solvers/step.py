"""The interface between solvers and the loop: states, steps and the protocol of a solver."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gfe_core.energy import Energy, Point
from gfe_core.flows import States
from gfe_core.types import Codes, PerSample, Status, Stop

Gradient = Callable[[Codes], Codes]
"""z -> grad_z E(z)."""


@dataclass
class Node:
    """The start of a step: time, state, gradient and length of the step."""

    t: PerSample
    y: States
    grad: Codes
    dt: PerSample


@dataclass
class State(Node):
    """The state of the loop for each sample that still flows.

    `index` is the row of a sample in the caller's batch. The previous state is kept for rules that
    measure curvature along the last step. `fresh` is True if the last attempt was accepted, so that
    a solver should propose a new step instead of shrinking the old one.

    The loop estimates from these fields how much is left to gain: `recent` holds the last energies,
    `origin` the energy of the code 0 and `soft` the inverse curvatures along the last moves;
    `at_minimum` is True if the first step predicted almost no decrease. `own` holds the solver's
    own memory, one row for each sample; if it has a matrix of second derivatives under the name
    "curvature", that matrix is used in the estimate, too.

    `attempt` counts the attempts, which all samples make together. Rows that are not `running` wait
    to leave, and values computed for them are ignored.
    """

    index: Int[Tensor, "batch"]
    energy: PerSample
    fresh: Bool[Tensor, "batch"]
    z_previous: Codes
    grad_previous: Codes
    recent: Float[Tensor, "batch window"]
    origin: PerSample
    soft: Float[Tensor, "batch softness"]
    at_minimum: Bool[Tensor, "batch"]
    grad_norm: PerSample
    best_z: Codes
    best_energy: PerSample
    best_grad_norm: PerSample
    n_accepted: Int[Tensor, "batch"]
    n_rejected: Int[Tensor, "batch"]
    n_loss: Int[Tensor, "batch"]
    n_grad: Int[Tensor, "batch"]
    n_hess: Int[Tensor, "batch"]
    status: Int[Tensor, "batch"]
    own: dict[str, Tensor]
    attempt: int = 0

    @property
    def z(self) -> Codes:
        """Codes: the first half of the state where the flow is of second order."""
        return self.y[:, : self.grad.shape[1]]

    @property
    def running(self) -> Bool[Tensor, "batch"]:
        """Whether each sample still flows."""
        return self.status == int(Status.RUNNING)

    def rows(self, keep: Tensor | slice) -> "State":
        """Return the state for a selection of samples (a mask or row indices)."""
        values: dict[str, Any] = {name: getattr(self, name)[keep] for name in PER_SAMPLE}
        return State(
            **values,
            own={name: value[keep] for name, value in self.own.items()},
            attempt=self.attempt,
        )

    def update(self, where: Tensor, **new: Tensor) -> None:
        """Give the samples in `where` new values.

        The old tensors are not changed, because a recorder may hold them.
        """
        column = where[:, None]
        everywhere = for_all(where)
        for name, value in new.items():
            old = getattr(self, name)
            if not everywhere or value.shape != old.shape or value.dtype != old.dtype:
                value = torch.where(column if value.dim() > 1 else where, value, old)
            setattr(self, name, value)


def for_all(where: Tensor) -> bool:
    """Whether a mask holds every sample; False on a GPU, where the answer would be waited for."""
    return where.device.type == "cpu" and bool(where.all())


PER_SAMPLE = tuple(field.name for field in fields(State) if field.name not in ("own", "attempt"))
"""Fields of `State` with one row for each sample."""


@dataclass(frozen=True)
class Step:
    """One attempt for every flowing sample; a rejected step is a step with `accepted` False.

    Args:
        y: proposed states.
        dt: step size that was tried.
        dt_next: step size for the next attempt; larger than `dt` only after an accepted step of a
            solver that lets steps grow, such as Dopri5.
        accepted: whether each sample moves to y.
        status: RUNNING, or the reason why the solver gives a sample up.
        point: proposed codes after decoding, if the solver decoded them; their gradient then costs
            no second forward pass.
        promise: first-order decrease of a full step, as predicted by the solver's model of the
            energy; None if the solver has no model.
        n_loss, n_grad, n_hess: numbers of evaluations that the attempt took for each sample,
            without the gradient at the new point.
    """

    y: States
    dt: PerSample
    dt_next: PerSample
    accepted: Bool[Tensor, "batch"]
    status: Int[Tensor, "batch"]
    point: Point | None = None
    promise: PerSample | None = None
    n_loss: int | Tensor = 0
    n_grad: int | Tensor = 0
    n_hess: int | Tensor = 0


@runtime_checkable
class Solver(Protocol):
    """A rule that proposes the next state; `integrate` does the rest.

    A solver that holds something for each sample, such as recorded steps, also has `of_rows(rows,
    n)`, which returns the solver of a slice of n samples.
    """

    default_stop: ClassVar[Stop | None]
    default_max_steps: ClassVar[int]

    @property
    def has_time(self) -> bool:
        """Whether the steps are flow time, so that the flow can end at t1."""
        ...

    @property
    def memory(self) -> int:
        """Number of accepted energies in `State.recent` that the solver uses, >= 1."""
        ...

    def schedule(self, z0: Tensor, t1: float) -> Tensor | None:
        """Return all steps (time, batch) if they are known beforehand, else None."""
        ...

    def begin(self, energy: Energy, flow: Any, state: State) -> None:
        """Prepare `state` for the first step; refuse a flow that the solver cannot follow."""
        ...

    def step(self, energy: Energy, flow: Any, state: State, *, t1: float) -> Step:
        """Propose the next state of every sample, in tensors that do not change afterwards."""
        ...
