"""Functions shared by all solvers that require the energy to fall.

They are the Armijo test, the status of failed searches and the first step.
"""

import math

import torch
from torch import Tensor

from gfe_core import threads
from gfe_core.energy import Energy
from gfe_core.solvers.step import State
from gfe_core.types import Codes, PerSample, Status


def falls_enough(state: State, value: PerSample, promised: PerSample, memory: int) -> Tensor:
    """Apply Armijo's test.

    The energy must fall by the predicted amount, up to rounding, and must never rise.

    The decrease is measured from the largest of the last `memory` energies; with 1 the test is
    monotone.
    """
    reference = state.recent[:, -memory:].amax(1)
    rounding = 2 * torch.finfo(value.dtype).eps * reference.abs()
    return (value <= reference) & (reference - value >= promised - rounding)


def given_up(state: State, accepted: Tensor, decrease: PerSample, too_small: Tensor) -> Tensor:
    """Return the status of rejected samples that have no further trial.

    Args:
        state: state before the attempt.
        accepted: mask of samples that moved.
        decrease: first-order decrease that the next trial could bring.
        too_small: whether the next trial is below the smallest step.
    """
    status = torch.where(
        ~accepted & too_small, int(Status.STEP_TOO_SMALL), torch.zeros_like(state.status)
    )
    stalled = ~accepted & (decrease <= torch.finfo(decrease.dtype).eps * state.energy.abs())
    return torch.where(stalled, int(Status.STALLED), status)


def inverse_curvature(dz: Tensor, dgrad: Tensor, fallback: Tensor) -> PerSample:
    """Return |dz|^2 / <dz, dgrad>, or the fallback if the curvature along dz is not positive."""
    unit = unit_of(dgrad)
    curvature = (dz * (dgrad / unit[:, None])).sum(1)
    usable = curvature > 0
    length = dz.square().sum(1)
    return torch.where(usable, length / torch.where(usable, curvature, 1.0) / unit, fallback)


def short_inverse_curvature(dz: Tensor, dgrad: Tensor, fallback: Tensor) -> PerSample:
    """Return <dz, dgrad> / |dgrad|^2, or the fallback if the curvature is not positive.

    It is at most the inverse curvature along dz, because it gives steep directions more weight.
    """
    unit = unit_of(dgrad)
    change = dgrad / unit[:, None]
    curvature = (dz * change).sum(1)
    usable = curvature > 0
    steepness = torch.where(usable, change.square().sum(1), 1.0)
    return torch.where(usable, curvature / steepness / unit, fallback)


def slope_along(direction: Codes, grad: Codes) -> PerSample:
    """Return <direction, grad> of each sample, without underflow for small units of energy."""
    unit = unit_of(grad)
    return unit * (direction * (grad / unit[:, None])).sum(1)


def newton_step(curvature: Tensor, ridge: PerSample, grad: Codes) -> tuple[Codes, Tensor]:
    """Return -(H + ridge I)^-1 grad of each sample, and whether the matrix is positive definite."""
    curvature = threads.wide(curvature)
    unit = torch.eye(curvature.shape[1]).to(curvature)
    factor, fault = torch.linalg.cholesky_ex(curvature + ridge[:, None, None] * unit)
    step = -torch.cholesky_solve(threads.wide(grad)[:, :, None], factor)[:, :, 0]
    return step.to(grad.dtype), fault == 0


def norm_of(grad: Codes) -> PerSample:
    """Return |grad| of each sample, without underflow; 0 if all entries are 0."""
    unit = unit_of(grad)
    return unit * length_of(grad / unit[:, None])


def length_of(vectors: Codes) -> PerSample:
    """Return the length of each row; `Tensor.norm` calls the same function by a longer way."""
    return torch.linalg.vector_norm(vectors, dim=1)


def first_trial(energy: Energy, state: State) -> PerSample:
    """Return the inverse curvature along the first gradient, in units of |dz| / |grad|.

    It takes one gradient, which is added to the count.

    The curvature is a secant over a tenth of the Polyak step, a length that scales with the
    latents. If it is not positive, a whole Polyak step is tried.
    """
    polyak = polyak_step(energy, state)
    return inverse_curvature(*probe(energy, state, 0.1 * polyak), polyak)


def polyak_step(energy: Energy, state: State) -> PerSample:
    """Return (E - floor) / |grad|^2, the step that would bring a line down to the loss's floor.

    The step scales with the units of energies and latents. It is never 0, because no solver could
    increase it from there. Away from the origin it is no longer than the code itself, because near
    a minimum a longer step would leave the valley.
    """
    limits = torch.finfo(state.energy.dtype)
    norm = norm_of(state.grad).clamp(min=limits.tiny)
    height = (state.energy - energy.floor()).abs().maximum(limits.eps * state.energy.abs())
    height = torch.where(height == 0, limits.eps, height)
    radius = length_of(state.z)
    radius = torch.where(radius > 0, radius, math.inf)
    return (height / norm).minimum(radius) / norm


def unit_of(grad: Codes) -> PerSample:
    """Return a power of two just above a gradient's largest entry; dividing by it rounds nothing.

    It is 1 if that entry is 0 or not finite.

    The square of a gradient in small units may be too small for its floating-point type.
    """
    largest = grad.abs().amax(1)
    # 0 / 0 and infinity / infinity are NaN
    return (largest / torch.frexp(largest).mantissa).nan_to_num(nan=1.0, posinf=math.inf)


def probe(energy: Energy, state: State, length: PerSample) -> tuple[Codes, Codes]:
    """Return a move downhill of `length` times the gradient, and the gradient's change along it.

    It takes one gradient, which is added to the count.
    """
    dz = -length[:, None] * state.grad
    if energy.bounds is not None:
        dz = energy.inside(state.z + dz) - state.z
    change = energy.at(state.z + dz).grad() - state.grad
    state.n_grad = state.n_grad + 1
    return dz, change
