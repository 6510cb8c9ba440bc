"""When a sample stops: what is left to gain, how flat the energy is, and whether time is over."""

import math

import torch
from torch import Tensor

from gfe_core.energy import Energy
from gfe_core.solvers.line_search import newton_step, norm_of, slope_along, unit_of
from gfe_core.solvers.step import State, Step
from gfe_core.types import Codes, PerSample, Status, Stop


def judge(
    state: State, schedule: Tensor | None, stop: Stop | None, t1: float, max_steps: int
) -> Tensor:
    """Return the status of every sample.

    Among the running, a later line overrules an earlier one. A sample whose search ended in the
    rounding of the energy is CONVERGED where nothing was left to gain.
    """
    status = torch.where(
        state.n_accepted + state.n_rejected >= max_steps, int(Status.MAX_STEPS), int(Status.RUNNING)
    )
    given = state.status
    if stop is not None:
        fall = (state.recent[:, -stop.window - 1] - state.energy).abs() / stop.window
        full = state.fresh & (state.n_accepted >= stop.window)
        is_flat = full & (fall <= stop.energy_slope * state.energy.abs())
        status = torch.where(is_flat, int(Status.FLAT), status)
        status = torch.where(full & (fall == 0), int(Status.STALLED), status)
        at_minimum = state.at_minimum | _little_to_gain(state, stop)
        converged = at_minimum & (given == int(Status.STALLED))
        given = torch.where(converged, int(Status.CONVERGED), given)
        status = torch.where(at_minimum | _stationary(state, stop), int(Status.CONVERGED), status)
    if schedule is not None:
        status = torch.where(_grid_is_over(state, schedule), int(Status.REACHED_T), status)
    elif math.isfinite(t1):
        status = torch.where(state.t >= t1 * (1 - 1e-6), int(Status.REACHED_T), status)
    return torch.where(given == int(Status.RUNNING), status, given)


def origin_energy(energy: Energy, z0: Codes, value: PerSample) -> tuple[PerSample, Tensor]:
    """Energy of the code 0, and how many losses it took; that of the start where it has none."""
    elsewhere = (z0 != 0).any(1)
    if not elsewhere.any():
        return value, elsewhere.long()
    origin = energy.value(energy.inside(torch.zeros_like(z0)))
    return torch.where(elsewhere & torch.isfinite(origin), origin, value), elsewhere.long()


def starts_at_minimum(state: State, step: Step, stop: Stop) -> Tensor:
    """Whether the first step promises each sample next to nothing.

    A tenth of what is enough later, as it knows the curvature in one direction, often a steep one.
    """
    if step.promise is None or not stop.gain_rtol:
        return torch.zeros_like(state.fresh)
    return (step.promise > 0) & (step.promise / 2 <= _enough(state, stop) / 10)


def note_softness(state: State, moved: Tensor) -> None:
    """Measure the inverse curvature along the last move: infinite where it is not positive.

    Where rounding leaves no digit of it, it counts as 0 and decides nothing.
    """
    if not state.soft.shape[1]:
        return
    dz = state.z - state.z_previous
    dg = state.grad - state.grad_previous
    unit = unit_of(dg)
    dg = dg / unit[:, None]
    curvature = (dz * dg).sum(1)
    noise = torch.finfo(dz.dtype).eps ** 0.5 * dz.norm(dim=1) * dg.norm(dim=1)
    positive = curvature > 0
    soft = dz.square().sum(1) / torch.where(positive, curvature, 1.0) / unit
    soft = torch.where(positive, soft, math.inf)
    soft = torch.where(curvature.abs() > noise, soft, 0.0)
    state.update(moved, soft=torch.cat([state.soft[:, 1:], soft[:, None]], 1))


def _little_to_gain(state: State, stop: Stop) -> Tensor:
    """Whether the parabola of the last steps leaves next to nothing to gain.

    A sample that met negative curvature has just left a saddle, or leaves it now: it goes on. In
    the rounding of the energy such curvature may be rounding too, and the last step decides.
    """
    if not stop.gain_rtol:
        return torch.zeros_like(state.fresh)
    upward = torch.isfinite(state.soft)
    softest = torch.where(upward, state.soft, 0.0).amax(1)
    left = slope_along(softest[:, None] / 2 * state.grad, state.grad).maximum(_modelled(state))
    ended = state.status == int(Status.STALLED)
    bowl = torch.where(ended, upward[:, -1], upward.all(1))
    known = (state.n_accepted >= 2) & (softest > 0) & bowl
    return known & (left <= _enough(state, stop))


def _modelled(state: State) -> PerSample:
    """What Newton's step would gain by the second derivatives that a solver knows.

    <grad, H^-1 grad> / 2; 0 where it knows none or they have no minimum. A damped step hardly moves
    along a flat axis, so the steps alone do not tell how much is left there.
    """
    if "curvature" not in state.own:
        return torch.zeros_like(state.energy)
    curvature = state.own["curvature"]
    rounding = torch.finfo(curvature.dtype).eps * curvature.diagonal(dim1=1, dim2=2).abs().amax(1)
    newton, definite = newton_step(curvature, rounding, state.grad)
    return torch.where(definite, -slope_along(newton / 2, state.grad), 0.0)


def _enough(state: State, stop: Stop) -> PerSample:
    """Decrease that is next to nothing: a share of the descent from the code 0, and rounding."""
    rounding = torch.finfo(state.energy.dtype).eps * state.energy.abs()
    return stop.gain_rtol * (state.origin - state.energy).abs() + rounding


def _stationary(state: State, stop: Stop) -> Tensor:
    """Whether the gradient is as small as was asked, or exactly zero."""
    return norm_of(state.grad) <= stop.grad_norm


def _grid_is_over(state: State, schedule: Tensor) -> Tensor:
    """Whether a sample is at the end of its grid, or at a step of zero that pads a shorter one."""
    row = state.n_accepted.clamp(max=len(schedule) - 1)
    return (state.n_accepted >= len(schedule)) | (schedule[row, state.index] == 0)
