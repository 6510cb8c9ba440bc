"""Recorded steps taken again: with a graph from start to end, or backwards, each by its transpose.

Step sizes and accept decisions are constants. A sample takes part until its own last step; nothing
is integrated backwards: the states are those that were recorded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gfe_core.energy import Energy
from gfe_core.flows import GradientFlow, States
from gfe_core.solvers.step import Gradient, Node
from gfe_core.types import Codes, Status, Trajectory

Rule = Any
"""A solver whose step is a function of the state alone, `moved`."""


@dataclass(frozen=True)
class Path:
    """The steps between the start and the codes that `encode` returned.

    Args:
        t: flow time before each step.
        y: state before each step.
        dt: length of each step.
        n_steps: how many of them each sample took.
    """

    t: Float[Tensor, "time batch"]
    y: Float[Tensor, "time batch state"]
    dt: Float[Tensor, "time batch"]
    n_steps: Int[Tensor, "batch"]

    @staticmethod
    def of(trajectory: Trajectory, status: Tensor) -> "Path":
        """Every step where time ended the flow, those up to the last best point elsewhere."""
        assert trajectory.v is not None
        lowest = torch.where(trajectory.mask, trajectory.energy, torch.inf).amin(0)
        row = torch.arange(len(trajectory.t), device=status.device)[:, None]
        best = torch.where(trajectory.mask & (trajectory.energy == lowest), row, 0).amax(0)
        n_steps = torch.where(status == Status.REACHED_T, trajectory.mask.sum(0) - 1, best)
        taken = slice(max(1, int(n_steps.max())) if len(status) else 1)
        y = torch.cat([trajectory.z[taken], trajectory.v[taken]], 2)
        return Path(trajectory.t[taken], y, trajectory.dt[taken], n_steps)

    def steps(self, energy: Energy) -> Iterator[tuple[int, "Walkers"]]:
        """Each step with the samples that take it, from the last one back."""
        for n in range(len(self.dt))[::-1]:
            rows = (n < self.n_steps).nonzero()[:, 0]
            if not len(rows):
                continue
            yield n, Walkers(rows, energy if len(rows) == energy.n else energy.rows(rows))


@dataclass(frozen=True)
class Walkers:
    """Samples that take a step together: their rows in the batch and their energy."""

    rows: Int[Tensor, "some"]
    energy: Energy

    def move(
        self, rule: Rule, flow: GradientFlow, path: Path, n: int, y: States, gradient: Gradient
    ) -> States:
        """Take step n again from y."""
        z = y.tensor_split(flow.order, 1)[0]
        return rule.moved(
            gradient, flow, Node(path.t[n, self.rows], y, gradient(z), path.dt[n, self.rows])
        )


def unrolled(rule: Rule, flow: GradientFlow, energy: Energy, path: Path) -> Codes:
    """Codes with a graph through every step to the decoder's weights that require a gradient."""
    with torch.enable_grad():
        y = path.y[0].detach().requires_grad_()
        for n, some in reversed(list(path.steps(energy))):
            moved = some.move(rule, flow, path, n, y[some.rows], some.energy.grad_with_graph)
            y = moved if some.energy is energy else y.index_copy(0, some.rows, moved)
        return y.tensor_split(flow.order, 1)[0]


def pulled_back(
    rule: Rule,
    flow: GradientFlow,
    energy: Energy,
    path: Path,
    cotangent: Codes,
    weights: Sequence[Tensor],
) -> list[Tensor]:
    """Derivatives of <cotangent, z> in the weights, by the transpose of each step.

    Holds one step's graph at a time.

    With z_n+1 = step(z_n, theta) and a the cotangent: a_n = (d step / d z)' a_n+1, and the weights
    collect (d step / d theta)' a_n+1, a quadrature in which every step has its own length.
    """
    a = torch.cat(
        [cotangent, cotangent.new_zeros(len(cotangent), path.y.shape[2] - cotangent.shape[1])], 1
    )
    total = [torch.zeros_like(weight) for weight in weights]
    for n, some in path.steps(energy):
        with torch.enable_grad():
            y = path.y[n, some.rows].requires_grad_()
            moved = some.move(rule, flow, path, n, y, partial(_gradient, some.energy, weights))
        of_y, *found = torch.autograd.grad(
            moved, (y, *weights), a[some.rows], materialize_grads=True
        )
        a = a.index_copy(0, some.rows, of_y)
        for so_far, part in zip(total, found, strict=True):
            so_far += part
    return total


class _Gradient(torch.autograd.Function):
    """A latent gradient; its derivatives in code and weights take one double backward pass."""

    @staticmethod
    def forward(ctx: Any, energy: Energy, z: Tensor, *weights: Tensor) -> Tensor:
        grad, ctx.pull = energy.linearised(z, weights)
        return grad

    @staticmethod
    def backward(ctx: Any, *v: Tensor) -> Any:
        return None, *ctx.pull(v[0])


def _gradient(energy: Energy, weights: Sequence[Tensor], z: Codes) -> Codes:
    return _Gradient.apply(energy, z, *weights)  # pyright: ignore[reportReturnType]
