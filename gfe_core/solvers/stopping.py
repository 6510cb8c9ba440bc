"""Stop rules: the remaining decrease, the flatness of the energy and the end of time."""

import math
from functools import cache

import torch
from torch import Tensor

from gfe_core.energy import Energy
from gfe_core.solvers.line_search import length_of, newton_step, slope_along, unit_of
from gfe_core.solvers.step import State, Step
from gfe_core.types import Codes, PerSample, Status, Stop

MEMORY = 3
"""Number of windows of `Stop` over which moves are remembered."""
_FIRST_MOVES = 2
"""Number of moves before curvatures along them are trusted."""


def judge(
    state: State, schedule: Tensor | None, stop: Stop | None, t1: float, max_steps: int
) -> Tensor:
    """Return the status of every sample.

    For running samples, a later line overrides an earlier one. A sample whose search ended in the
    rounding of the energy is CONVERGED if almost nothing was left to gain.
    """
    given = state.status
    out_of_steps = state.attempt >= max_steps
    status = torch.full_like(given, int(Status.MAX_STEPS if out_of_steps else Status.RUNNING))
    if stop is not None:
        if state.attempt >= stop.window:
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
    """Return the energy of the code 0 (of the start if it is not finite), and its loss count."""
    elsewhere = (z0 != 0).any(1)
    if not elsewhere.any():
        return value, elsewhere.long()
    origin = energy.value(energy.inside(torch.zeros_like(z0)))
    return torch.where(elsewhere & torch.isfinite(origin), origin, value), elsewhere.long()


def starts_at_minimum(state: State, step: Step, stop: Stop) -> Tensor:
    """Whether the first step predicts almost no decrease for each sample.

    The threshold is a tenth of the later one, because the first step knows the curvature in only
    one direction, often a steep one.
    """
    if step.promise is None or not stop.gain_rtol:
        return torch.zeros_like(state.fresh)
    return (step.promise > 0) & (step.promise / 2 <= _enough(state, stop) / 10)


def note_softness(state: State, moved: Tensor) -> None:
    """Record the inverse curvature along the last move, infinite if it is not positive.

    If rounding leaves no correct digit, the inverse curvature is 0 and has no effect.
    """
    if not state.soft.shape[1]:
        return
    dz = state.z - state.z_previous
    dg = state.grad - state.grad_previous
    unit = unit_of(dg)
    dg = dg / unit[:, None]
    curvature = (dz * dg).sum(1)
    noise = torch.finfo(dz.dtype).eps ** 0.5 * length_of(dz) * length_of(dg)
    positive = curvature > 0
    soft = dz.square().sum(1) / torch.where(positive, curvature, 1.0) / unit
    soft = torch.where(positive, soft, math.inf)
    soft = torch.where(curvature.abs() > noise, soft, 0.0)
    state.update(moved, soft=torch.cat([state.soft[:, 1:], soft[:, None]], 1))


def _little_to_gain(state: State, stop: Stop) -> Tensor:
    """Whether the parabola of the last steps leaves almost nothing to gain.

    A sample that met negative curvature is leaving a saddle and continues. Within the rounding of
    the energy, negative curvature may itself be rounding, and only the last step decides.
    """
    if not stop.gain_rtol or state.attempt < _FIRST_MOVES:
        return torch.zeros_like(state.fresh)
    finite = torch.isfinite(state.soft)
    n, device, dtype = state.soft.shape[1], state.soft.device, state.soft.dtype
    faded = torch.where(finite, state.soft, 0.0) * _fading(stop.window, n, device, dtype)
    softest = faded.amax(1)
    upward = finite[:, -stop.window :]
    left = slope_along(softest[:, None] / 2 * state.grad, state.grad).maximum(_modelled(state))
    ended = state.status == int(Status.STALLED)
    bowl = torch.where(ended, upward[:, -1], upward.all(1))
    sees_all_axes = "curvature" in state.own
    window = _FIRST_MOVES if sees_all_axes else max(stop.window, _FIRST_MOVES)
    known = (state.n_accepted >= torch.where(ended, _FIRST_MOVES, window)) & (softest > 0) & bowl
    return known & (left <= _enough(state, stop))


@cache
def _fading(window: int, n_moves: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the weight of each remembered move: 1 in the last window, a tenth one window earlier.

    Steps down the gradient meet the flat axes only now and then. What they met there counts for a
    while, because curvatures of axes differ by powers of ten; but a flat region that was left
    behind is soon forgotten.
    """
    age = torch.arange(n_moves - 1, -1, -1, device=device, dtype=torch.float32)
    return (10.0 ** -((age - window + 1).clamp(min=0) / window)).to(dtype)


def _modelled(state: State) -> PerSample:
    """Return the decrease of Newton's step by the second derivatives that a solver knows.

    It is <grad, H^-1 grad> / 2; 0 if the solver knows none or they have no minimum. A damped step
    hardly moves along a flat axis, so steps alone do not show how much is left there.
    """
    if "curvature" not in state.own:
        return torch.zeros_like(state.energy)
    curvature = state.own["curvature"]
    rounding = torch.finfo(curvature.dtype).eps * curvature.diagonal(dim1=1, dim2=2).abs().amax(1)
    newton, definite = newton_step(curvature, rounding, state.grad)
    return torch.where(definite, -slope_along(newton / 2, state.grad), 0.0)


def _enough(state: State, stop: Stop) -> PerSample:
    """Return the decrease that counts as nothing: a fraction of the descent, plus rounding."""
    rounding = torch.finfo(state.energy.dtype).eps * state.energy.abs()
    return stop.gain_rtol * (state.origin - state.energy).abs() + rounding


def _stationary(state: State, stop: Stop) -> Tensor:
    """Whether the gradient is as small as requested, or exactly zero."""
    return state.grad_norm <= stop.grad_norm


def _grid_is_over(state: State, schedule: Tensor) -> Tensor:
    """Whether a sample is at the end of its grid, or at a zero step that pads a shorter one."""
    row = state.n_accepted.clamp(max=len(schedule) - 1)
    return (state.n_accepted >= len(schedule)) | (schedule[row, state.index] == 0)
