"""Repeat recorded steps: forwards with a graph, or backwards by the transpose of each step.

Step sizes and accept decisions are constants. Each sample takes part until its own last step.
Nothing is integrated backwards: the states are the recorded ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gfe_core.energy import Energy
from gfe_core.flows import States
from gfe_core.solvers.step import Node
from gfe_core.types import Codes, Flow, Status, Trajectory

Rule = Any
"""A solver whose step is a function of the state alone, `moved`."""


@dataclass(frozen=True)
class Path:
    """The steps between the start and the codes that `encode` returned.

    Args:
        t: flow time before each step.
        y: state before each step.
        dt: length of each step.
        n_steps: number of steps of each sample.
        latent: size of a code, the first columns of a state.
    """

    t: Float[Tensor, "time batch"]
    y: Float[Tensor, "time batch state"]
    dt: Float[Tensor, "time batch"]
    n_steps: Int[Tensor, "batch"]
    latent: int

    @staticmethod
    def of(trajectory: Trajectory, status: Tensor) -> "Path":
        """Take all steps of samples that ended at t1, and those up to the best point of others."""
        assert trajectory.v is not None
        lowest = torch.where(trajectory.mask, trajectory.energy, torch.inf).amin(0)
        row = torch.arange(len(trajectory.t), device=status.device)[:, None]
        best = torch.where(trajectory.mask & (trajectory.energy == lowest), row, 0).amax(0)
        n_steps = torch.where(status == Status.REACHED_T, trajectory.mask.sum(0) - 1, best)
        taken = slice(max(1, int(n_steps.max())) if len(status) else 1)
        y = torch.cat([trajectory.z[taken], trajectory.v[taken]], 2)
        return Path(trajectory.t[taken], y, trajectory.dt[taken], n_steps, trajectory.z.shape[2])

    def code(self, y: States) -> Codes:
        """Return the codes of states."""
        return y[:, : self.latent]

    def start(self) -> Codes:
        """Return the codes from which the flow started."""
        return self.code(self.y[0]).detach().clone()

    def steps(self, energy: Energy) -> Iterator[tuple[int, "Walkers"]]:
        """Yield each step with the samples that take it, from the last step to the first."""
        for n in range(len(self.dt))[::-1]:
            rows = (n < self.n_steps).nonzero()[:, 0]
            if not len(rows):
                continue
            with torch.enable_grad():  # links rows to data that require a gradient
                walking = energy if len(rows) == energy.n else energy.rows(rows)
            yield n, Walkers(rows, walking)


@dataclass(frozen=True)
class Walkers:
    """Samples that take a step together: their rows in the batch and their energy."""

    rows: Int[Tensor, "walking"]
    energy: Energy

    def move(self, rule: Rule, flow: Flow, path: Path, n: int, y: States) -> States:
        """Repeat step n from y, with a graph."""
        gradient = self.energy.grad_with_graph
        node = Node(path.t[n, self.rows], y, gradient(path.code(y)), path.dt[n, self.rows])
        return rule.moved(gradient, flow, node)


def unrolled(rule: Rule, flow: Flow, energy: Energy, path: Path) -> tuple[Codes, Codes]:
    """Return the start, and codes with a graph to the start and to all tensors of the energy."""
    with torch.enable_grad():
        z0 = path.start().requires_grad_()
        y = flow.start(z0)
        for n, walkers in reversed(list(path.steps(energy))):
            moved = walkers.move(rule, flow, path, n, y[walkers.rows])
            y = moved if walkers.energy is energy else y.index_copy(0, walkers.rows, moved)
        return z0, path.code(y)


def pulled_back(
    rule: Rule,
    flow: Flow,
    energy: Energy,
    path: Path,
    cotangent: Codes,
    held: Sequence[Tensor],
) -> tuple[list[Tensor], Codes]:
    """Return derivatives of <cotangent, z> in the tensors of an energy and in the start.

    Only the graph of one step is held at a time.

    With z_n+1 = step(z_n, theta) and a the cotangent: a_n = (d step / d z)' a_n+1, and the weights
    accumulate (d step / d theta)' a_n+1, a quadrature in which every step has its own length.
    """
    a = torch.cat(
        [cotangent, cotangent.new_zeros(len(cotangent), path.y.shape[2] - cotangent.shape[1])], 1
    )
    total = [torch.zeros_like(tensor) for tensor in held]
    for n, walkers in path.steps(energy):
        with torch.enable_grad():
            y = path.y[n, walkers.rows].requires_grad_()
            moved = walkers.move(rule, flow, path, n, y)
        # `held` may have been computed outside, with a graph that every step traverses.
        of_y, *of_held = torch.autograd.grad(
            moved, (y, *held), a[walkers.rows], retain_graph=True, materialize_grads=True
        )
        a = a.index_copy(0, walkers.rows, of_y)
        for so_far, part in zip(total, of_held, strict=True):
            so_far += part
    with torch.enable_grad():
        z0 = path.start().requires_grad_()
        y = flow.start(z0)
    return total, torch.autograd.grad(y, z0, a)[0]
