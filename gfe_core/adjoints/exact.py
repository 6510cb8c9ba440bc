"""Derivatives of a code in its inputs: three exact alternatives to `Detached`.

Given a = dL/dz, each adjoint returns the derivatives of <a, z> in the weights, the data, the
context, the start and the tensors of a penalty. Ordinary autograd on `enc.z` calls them. Autograd
itself computes the part of a gradient that a loss has at fixed codes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gfe_core import checks, threads
from gfe_core.adjoints.detached import Solution
from gfe_core.adjoints.inputs import AsEncoded, Versions, parameters_of
from gfe_core.adjoints.replay import Path, pulled_back, unrolled
from gfe_core.energy import Energy, Matrices
from gfe_core.flows import GradientFlow
from gfe_core.solvers import AMD, Dopri5, Solver
from gfe_core.types import Codes, Flow, PerSample, SaveAt


@dataclass(frozen=True, kw_only=True)
class _ThroughTheCode(ABC):
    """The common base: a node in autograd's graph between the codes and their inputs.

    The derivatives are taken in the backward pass, with the caller's decoder, which is in the mode
    of the encode for that time: `decoder.train()` may be called before. Weights that were changed
    in place before the backward pass are refused, as in autograd, and so are weights that were
    replaced, which the derivatives would not reach. A decoder, a loss or a penalty whose values
    have changed in any other way is refused too.
    """

    replays: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True

    @abstractmethod
    def check(self, decoder: object, flow: Flow, solver: Solver) -> None:
        """Refuse a decoder, flow or solver that cannot be differentiated."""

    def attach(self, decoder: object, solution: Solution) -> Codes:
        """Return the code with a graph to all tensors that require a gradient."""
        inputs = solution.inputs
        if not inputs.tensors:
            return solution.encoding.z

        def own() -> list[Tensor]:
            buffers = decoder.buffers() if isinstance(decoder, nn.Module) else ()
            return [*parameters_of(decoder), *buffers]

        # It decodes, which may change a buffer: only changes after it are watched.
        as_encoded = AsEncoded(solution.energy, solution.encoding.z)
        watched = Versions(lambda: [*own(), *inputs.tensors, *solution.energy.held])
        # A closure, a loss or a penalty has no list of its tensors that could be compared.
        elsewhere = not {*map(id, inputs.leaves)} <= {*map(id, own())}

        def pull(a: Tensor) -> Sequence[Tensor]:
            checks.require(not watched.changed, _CHANGED, RuntimeError)
            with as_encoded.modes():
                same = not elsewhere or inputs.reached_by(solution.energy)
                checks.require(same and as_encoded.holds, _CHANGED, RuntimeError)
                return self._pulled(solution, a)

        return _Code.apply(solution.encoding.z, pull, *inputs.tensors)  # pyright: ignore

    def _pulled(self, solution: Solution, a: Codes) -> list[Tensor]:
        """Return the derivatives of <a, z> in the inputs."""
        inputs = solution.inputs
        with torch.enable_grad():  # links selected rows to data and context
            energy, rows = inputs.bound_to(solution.energy)
        of_held, of_start = self._pulled_through(solution, energy, [*inputs.leaves, *rows], a)
        return of_held if inputs.z0 is None else [*of_held, of_start]

    @abstractmethod
    def _pulled_through(
        self, solution: Solution, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        """Return the derivatives of <a, z> in the tensors of an energy, and in the start."""


_CHANGED = (
    "The decoder, or something else that the codes depend on, has been changed in place since "
    "`encode`, or replaced (weights, data, a number in a loss or a penalty), so that their "
    "gradient can no longer be computed. Call `backward` before `optimizer.step()` or "
    "`load_state_dict`, or encode again."
)


class _Code(torch.autograd.Function):
    """The code as a function of its inputs."""

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
    """The common base of the two adjoints that repeat the steps."""

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


def _path(solution: Solution) -> Path:
    """Return the steps to the returned codes; the record itself may then be freed."""
    assert solution.record is not None
    return Path.of(solution.record.trajectory(SaveAt.steps()), solution.encoding.status)


@dataclass(frozen=True, kw_only=True)
class Unrolled(_Replayed):
    """Differentiate the recorded steps with autograd.

    All steps are repeated in the backward pass.

    The gradient is exact for the computed codes, with step sizes and accept decisions held
    constant. Memory grows with every step by all intermediate values of the decoder. This is the
    reference for `DiscreteAdjoint`, which gives the same gradient with less memory.
    """

    def _pulled_through(
        self, solution: Solution, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        start, z = unrolled(solution.solver, solution.flow, energy, _path(solution))
        *of_held, of_start = torch.autograd.grad(
            z, (*held, start), a, retain_graph=True, materialize_grads=True
        )
        return of_held, of_start


@dataclass(frozen=True, kw_only=True)
class DiscreteAdjoint(_Replayed):
    """Follow the recorded states backwards and apply the transpose of each step.

    The result is the exact gradient of the computed codes. For Euler it is

        a_n = a_n+1 - dt alpha H(z_n) a_n+1,    dL/dtheta = - sum over n of dt alpha M(z_n)' a_n+1

    with H = d2E/dz2 and M = d2E/dz dtheta; other rules are transposed in the same way. Step sizes
    and accept decisions are constants. Memory grows by the stored codes only; a step costs up to
    four latent gradients.

    Source: the discrete counterpart of Flouris et al. 2024 (arXiv 2412.00864), equations 8 to 11.
    """

    def check(self, decoder: object, flow: Flow, solver: Solver) -> None:
        """Refuse solvers whose steps have no transpose in this module."""
        super().check(decoder, flow, solver)
        remedy = "Use `adjoint=Unrolled()`, or encode with `RK4`."
        checks.require(
            not isinstance(solver, Dopri5),
            f"`DiscreteAdjoint` has no transpose of `Dopri5`. {remedy}",
        )

    def _pulled_through(
        self, solution: Solution, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        return pulled_back(solution.solver, solution.flow, energy, _path(solution), a, held)


@dataclass(frozen=True, kw_only=True)
class Implicit(_ThroughTheCode):
    """Differentiate the condition grad_z E(z, theta) = 0 instead of the steps.

        dz/dtheta = -H^-1 M    for each sample, with H = d2E/dz2 and M = d2E/dz dtheta

    The result is exact if the flow has reached a minimum, for any outer loss. With frozen=True the
    flow counts as unfinished. The energy is then taken as a parabola with the Hessian H of the last
    point. In a mode of curvature l, z follows the minimum only by the fraction 1 - exp(-s l), with
    s the time (times the rate) that the flow has run.

    A sample whose Hessian is not positive definite has no minimum to follow. The Gauss-Newton
    matrix replaces the Hessian there; if that matrix is singular too, the code counts as constant.
    With frozen=True every mode has its factor, and a mode of negative curvature grows by a factor
    of e at most.

    Args:
        hessian: "true", or "gauss_newton", which omits the curvature of the decoder.
        frozen: whether to correct for an unfinished flow; needs a solver with time on the
            gradient flow. For `AMD` that time is the sum of its steps.

    Raises:
        ValueError: `hessian` is neither of these words.

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
        """Refuse frozen=True for a solver or flow without the time of a gradient flow."""
        knows = hasattr(flow, "travelled") and getattr(flow, "order", 1) == 1
        fits = not self.frozen or (solver.has_time and knows)
        wanted = "`Implicit(frozen=True)` needs the time of a gradient flow"
        remedy = "Use `Implicit()`, or `AMD(trial='carry')`, `Euler` or `RK4` on `GradientFlow()`."
        checks.require(
            fits, f"{wanted}, which {type(solver).__name__} on {flow} does not have. {remedy}"
        )

    def _pulled_through(
        self, solution: Solution, energy: Energy, held: Sequence[Tensor], a: Codes
    ) -> tuple[list[Tensor], Codes]:
        """Pull a back. Only an unfinished flow depends on the start; a minimum does not."""
        finite = torch.isfinite(solution.encoding.energy)
        with torch.enable_grad():
            energy = energy.rows(finite)
        z = solution.encoding.z[finite]
        a = a[finite]
        of_start = z.new_zeros(len(finite), z.shape[1])
        matrix = energy.hessian(z) if self.hessian == "true" else energy.gauss_newton(z)
        if self.frozen:
            flow = cast(GradientFlow, solution.flow)
            time = flow.travelled(solution.encoding.t[finite])
            v = _followed(matrix, a, time)
            of_start[finite] = _kept(matrix, a, time)
        else:
            v, sound = _solved(matrix, a)
            if self.hessian == "true" and not sound.all():
                v = torch.where(sound, v, _solved(energy.gauss_newton(z), a)[0])
        return energy.linearised(z, held)[1](-v)[1:], of_start


def _solved(matrix: Matrices, a: Codes) -> tuple[Codes, Tensor]:
    """Solve H v = a where H is positive definite beyond rounding, (batch, 1); v is 0 elsewhere."""
    values, axes = torch.linalg.eigh(threads.wide(matrix))
    floor = values[:, -1:].abs() * matrix.shape[1] * torch.finfo(matrix.dtype).eps
    sound = values[:, :1] > floor
    return _in_modes(axes, torch.where(sound, 1 / torch.where(sound, values, 1.0), 0.0), a), sound


def _followed(matrix: Matrices, a: Codes, time: PerSample) -> Codes:
    """Return (1 - exp(-time H)) H^-1 a; finite for small and negative curvatures."""
    values, axes = torch.linalg.eigh(threads.wide(matrix))
    x = (-time[:, None] * values).clamp(max=1)
    ratio = torch.where(x == 0, 1.0, torch.expm1(x) / torch.where(x == 0, 1.0, x))
    return _in_modes(axes, time[:, None] * ratio, a)


def _kept(matrix: Matrices, a: Codes, time: PerSample) -> Codes:
    """Return exp(-time H) a, in which a mode grows by a factor of e at most."""
    values, axes = torch.linalg.eigh(threads.wide(matrix))
    return _in_modes(axes, (-time[:, None] * values).clamp(max=1).exp(), a)


def _in_modes(axes: Matrices, factor: Tensor, a: Codes) -> Codes:
    along = axes.transpose(1, 2) @ threads.wide(a)[:, :, None]
    return (axes @ (factor[:, :, None] * along))[:, :, 0].to(a.dtype)
