"""How a code changes with what it depends on: three exact alternatives to `Detached`.

Each returns the derivatives of <a, z> in the weights, the data, the context, the start and whatever
a penalty holds, given a = dL/dz; ordinary autograd on `enc.z` asks for them. The part of the
gradient that a loss has at fixed codes is not their business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gfe_core import checks, threads
from gfe_core.adjoints.detached import Found
from gfe_core.adjoints.inputs import Versions, parameters_of
from gfe_core.adjoints.replay import Path, pulled_back, unrolled
from gfe_core.energy import Energy, Matrices
from gfe_core.flows import GradientFlow
from gfe_core.solvers import AMD, Dopri5, Solver
from gfe_core.types import Codes, Flow, PerSample, SaveAt


@dataclass(frozen=True, kw_only=True)
class _ThroughTheCode(ABC):
    """What the three share: a node in autograd's graph between what the codes depend on and them.

    The derivatives are taken in the backward pass, with the caller's decoder: weights that have
    been changed in place by then are refused, as autograd does.
    """

    replays: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True

    @abstractmethod
    def check(self, decoder: object, flow: Flow, solver: Solver) -> None:
        """Refuse what cannot be differentiated."""

    def attach(self, decoder: object, found: Found) -> Codes:
        """Return the code with a graph to all tensors that require a gradient."""
        inputs = found.inputs
        if not inputs.tensors:
            return found.encoding.z
        buffers = decoder.buffers() if isinstance(decoder, nn.Module) else ()
        own = [*parameters_of(decoder), *buffers]
        watched = Versions([*own, *inputs.tensors, *found.energy.held])

        def pull(a: Tensor) -> Sequence[Tensor]:
            checks.require(not watched.changed, _CHANGED, RuntimeError)
            return self._pulled(found, a)

        return _Code.apply(found.encoding.z, pull, *inputs.tensors)  # pyright: ignore

    def _pulled(self, found: Found, a: Codes) -> list[Tensor]:
        """Derivatives of <a, z> in the inputs."""
        inputs = found.inputs
        with torch.enable_grad():  # to data and context, wherever their rows are selected
            energy, rows = inputs.bound_to(found.energy)
        of_held, of_start = self._pulled_through(found, energy, [*inputs.leaves, *rows], a)
        return of_held if inputs.z0 is None else [*of_held, of_start]

    @abstractmethod
    def _pulled_through(
        self, found: Found, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        """Derivatives of <a, z> in the tensors that an energy holds, and in the start."""


_CHANGED = (
    "The decoder, or something else that the codes depend on, has been changed in place since "
    "`encode`, so that their gradient can no longer be computed. Call `backward` before "
    "`optimizer.step()`, or encode again."
)


class _Code(torch.autograd.Function):
    """The code as a function of what it depends on."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, pull: Callable[[Tensor], Sequence[Tensor]], *inputs: Tensor
    ) -> Tensor:
        ctx.pull = pull
        return z.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *a: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        with threads.own_precision():
            return None, None, *ctx.pull(a[0])


@dataclass(frozen=True, kw_only=True)
class _Replayed(_ThroughTheCode):
    """What the two that take the steps again share."""

    def check(self, decoder: object, flow: Flow, solver: Solver) -> None:
        """Refuse solvers whose steps depend on more than the state."""
        name = type(self).__name__
        rule = type(solver).__name__
        remedy = "Use `adjoint=Implicit()`, or encode with `AMD`, `Euler` or `RK4`."
        whole = hasattr(solver, "moved")
        checks.require(
            whole,
            f"`{name}` cannot differentiate the steps of `{rule}`, which has a memory. {remedy}",
        )
        remedy = "Use `SemiImplicit` or `RK4` on this flow, or `adjoint=Implicit()`."
        restarts = isinstance(solver, AMD) and getattr(flow, "order", 1) > 1
        checks.require(
            not restarts, f"`{name}` cannot differentiate `AMD` on a flow with momentum. {remedy}"
        )


def _path(found: Found) -> Path:
    """Steps to the codes returned; the record itself may go."""
    assert found.record is not None
    return Path.of(found.record.trajectory(SaveAt.steps()), found.encoding.status)


@dataclass(frozen=True, kw_only=True)
class Unrolled(_Replayed):
    """Differentiate the recorded steps as autograd would.

    All of them are taken again in the backward pass.

    Exact for what was computed, with step sizes and accept decisions held constant. Memory grows
    with every step by all that the decoder computes in it: the reference for `DiscreteAdjoint`,
    which gives the same for less.
    """

    def _pulled_through(
        self, found: Found, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        start, z = unrolled(found.solver, found.flow, energy, _path(found))
        *of_held, of_start = torch.autograd.grad(
            z, (*held, start), a, retain_graph=True, materialize_grads=True
        )
        return of_held, of_start


@dataclass(frozen=True, kw_only=True)
class DiscreteAdjoint(_Replayed):
    """Walk the recorded states back, each step by its transpose.

    The exact gradient of what was computed.

        a_n = a_n+1 - dt alpha H(z_n) a_n+1,    dL/dtheta = - sum over n of dt alpha M(z_n)' a_n+1

    for Euler, with H = d2E/dz2 and M = d2E/dz dtheta; other rules likewise. Step sizes and accept
    decisions are constants. Memory grows by the stored codes only; a step costs up to four latent
    gradients.

    Source: the discrete counterpart of Flouris et al. 2024 (arXiv 2412.00864), equations 8 to 11.
    """

    def check(self, decoder: object, flow: Flow, solver: Solver) -> None:
        """Refuse solvers whose steps have no transpose here."""
        super().check(decoder, flow, solver)
        remedy = "Use `adjoint=Unrolled()`, or encode with `RK4`."
        checks.require(
            not isinstance(solver, Dopri5),
            f"`DiscreteAdjoint` has no transpose of `Dopri5`. {remedy}",
        )

    def _pulled_through(
        self, found: Found, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        return pulled_back(found.solver, found.flow, energy, _path(found), a, held)


@dataclass(frozen=True, kw_only=True)
class Implicit(_ThroughTheCode):
    """Differentiate the condition grad_z E(z, theta) = 0 and not the way there.

    Dz/dtheta = -H^-1 M, for each sample.

    Right where the flow has arrived, for any loss outside. With frozen=True the flow is taken for
    unfinished: as if the energy were a parabola with the Hessian H of the last point, z has
    followed the minimum in a mode of curvature l only by the fraction 1 - exp(-s l), with s the
    time (times the rate) that the flow has run.

    A sample whose Hessian is not positive definite has no minimum to follow: the Gauss-Newton
    matrix takes its place, and where that is singular too the code counts as constant. With
    frozen=True every mode has its factor, and one of negative curvature counts as grown by a factor
    of e at most.

    Args:
        hessian: "true", or "gauss_newton", which leaves out the curvature of the decoder.
        frozen: whether to correct for the time that was too short; needs a solver with time on the
            gradient flow. For `AMD` that time is the sum of its steps.

    Raises:
        ValueError: `hessian` is another word.

    Source: the implicit function theorem; the frozen factor is the solution of dS/dt = -H S - M
        with constant H, M.
    """

    hessian: Literal["true", "gauss_newton"] = "true"
    frozen: bool = False

    replays: ClassVar[bool] = False

    def __post_init__(self) -> None:
        checks.one_of("hessian", self.hessian, ("true", "gauss_newton"))
        checks.flag("frozen", self.frozen)

    def check(self, decoder: object, flow: Flow, solver: Solver) -> None:
        """Refuse a frozen Hessian where there is no time to speak of."""
        knows = hasattr(flow, "travelled") and getattr(flow, "order", 1) == 1
        fits = not self.frozen or (solver.has_time and knows)
        wanted = "`Implicit(frozen=True)` needs the time of a gradient flow"
        remedy = "Use `Implicit()`, or `AMD(trial='carry')`, `Euler` or `RK4` on `GradientFlow()`."
        checks.require(fits, f"{wanted}, which {type(solver).__name__} on {flow} has not. {remedy}")

    def _pulled_through(
        self, found: Found, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        """A minimum does not depend on the start; an unfinished flow still does."""
        finite = torch.isfinite(found.encoding.energy)
        with torch.enable_grad():
            energy = energy.rows(finite)
        z = found.encoding.z[finite]
        a = a[finite]
        of_start = z.new_zeros(len(finite), z.shape[1])
        matrix = energy.hessian(z) if self.hessian == "true" else energy.gauss_newton(z)
        if self.frozen:
            flow = cast(GradientFlow, found.flow)
            time = flow.travelled(found.encoding.t[finite])
            v = _followed(matrix, a, time)
            of_start[finite] = _kept(matrix, a, time)
        else:
            v, sound = _solved(matrix, a)
            if self.hessian == "true" and not sound.all():
                v = torch.where(sound, v, _solved(energy.gauss_newton(z), a)[0])
        return energy.linearised(z, held)[1](-v)[1:], of_start


def _solved(matrix: Matrices, a: Codes) -> tuple[Codes, Tensor]:
    """Solve H v = a where H is positive definite beyond rounding, (batch, 1); v is 0 elsewhere."""
    values, axes = torch.linalg.eigh(matrix)
    floor = values[:, -1:].abs() * matrix.shape[1] * torch.finfo(values.dtype).eps
    sound = values[:, :1] > floor
    return _in_modes(axes, torch.where(sound, 1 / torch.where(sound, values, 1.0), 0.0), a), sound


def _followed(matrix: Matrices, a: Codes, time: PerSample) -> Codes:
    """Product of (1 - exp(-time H)) H^-1 with a; finite for small and negative curvatures."""
    values, axes = torch.linalg.eigh(matrix)
    x = (-time[:, None] * values).clamp(max=1)
    ratio = torch.where(x == 0, 1.0, torch.expm1(x) / torch.where(x == 0, 1.0, x))
    return _in_modes(axes, time[:, None] * ratio, a)


def _kept(matrix: Matrices, a: Codes, time: PerSample) -> Codes:
    """Product of exp(-time H) with a, a growing mode by a factor of e at most."""
    values, axes = torch.linalg.eigh(matrix)
    return _in_modes(axes, (-time[:, None] * values).clamp(max=1).exp(), a)


def _in_modes(axes: Matrices, factor: Tensor, a: Codes) -> Codes:
    return (axes @ (factor[:, :, None] * (axes.transpose(1, 2) @ a[:, :, None])))[:, :, 0]
