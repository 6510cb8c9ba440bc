"""What a solver is given, what it proposes, and what it promises to the loop."""

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
    """Where a step starts: time, state, the gradient there and the length of the step."""

    t: PerSample
    y: States
    grad: Codes
    dt: PerSample


@dataclass
class State(Node):
    """What the loop knows of each sample that still flows.

    `index` is its row in the caller's batch.

    The previous state is kept for rules that measure curvature along the last step; `fresh` says
    that the last attempt was accepted, so that a solver should propose a new step rather than
    shrink the old one. `recent` holds the last energies, `origin` the energy of the code 0, `soft`
    the inverse curvatures along the last moves, and `at_minimum` is set where the first step
    promised next to nothing: by these the loop judges what is left to gain. `own` is whatever else
    the solver remembers, one row a sample; a matrix of second derivatives that it calls "curvature"
    is asked what is left to gain, too. `attempt` counts the attempts, which all samples make
    together. Rows that are not `running` wait to leave: what is computed of them is ignored.
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
        """The same for a selection of samples (a mask or row numbers)."""
        values: dict[str, Any] = {name: getattr(self, name)[keep] for name in PER_SAMPLE}
        return State(
            **values,
            own={name: value[keep] for name, value in self.own.items()},
            attempt=self.attempt,
        )

    def update(self, where: Tensor, **new: Tensor) -> None:
        """Give some samples new values.

        The old tensors stay as they are, for whoever noted them.
        """
        column = where[:, None]
        for name, value in new.items():
            setattr(
                self,
                name,
                torch.where(column if value.dim() > 1 else where, value, getattr(self, name)),
            )


PER_SAMPLE = tuple(field.name for field in fields(State) if field.name not in ("own", "attempt"))
"""Fields of `State` with one row for each sample."""


@dataclass(frozen=True)
class Step:
    """One attempt for every flowing sample; a rejected step is just a step with accepted False.

    Args:
        y: proposed states.
        dt: step size that was tried.
        dt_next: step size to remember: the accepted one, or a smaller one to try next.
        accepted: whether the sample moves to y.
        status: RUNNING, or why the solver gives a sample up.
        point: the proposed codes decoded, if the solver did so; their gradient then costs no second
            forward pass.
        promise: decrease that a full step has to first order, as the solver's model of the energy
            knows it; None where it has no model.
        n_loss, n_grad, n_hess: evaluations the attempt took for each sample, without the gradient
            at the new point.
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
    """A rule that proposes the next state; `integrate` does everything else."""

    default_stop: ClassVar[Stop | None]
    default_max_steps: ClassVar[int]

    @property
    def has_time(self) -> bool:
        """Whether its steps are flow time, so that the flow can end at t1."""
        ...

    @property
    def memory(self) -> int:
        """Accepted energies that it looks back on in `State.recent`, at least 1."""
        ...

    def schedule(self, z0: Tensor, t1: float) -> Tensor | None:
        """All steps (time, batch) where they are known beforehand, else None."""
        ...

    def begin(self, energy: Energy, flow: Any, state: State) -> None:
        """Prepare `state` for the first step; refuse a flow that the solver cannot follow."""
        ...

    def step(self, energy: Energy, flow: Any, state: State, *, t1: float) -> Step:
        """Propose the next state of every sample."""
        ...
