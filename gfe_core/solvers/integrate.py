"""The main loop, which follows every sample of a batch until that sample stops.

    judge -> remove finished samples -> propose (solver) -> move accepted samples, take their
    gradient -> record

A finished sample leaves the batch, so easy samples cost nothing while hard ones continue, and no
sample waits for another. A count of finished samples makes the host wait for a GPU. On a GPU they
are therefore counted only every few attempts; until they leave, finished samples stay unchanged in
the batch.
"""

import math
from itertools import count
from typing import Any

import torch
from torch import Tensor

from gfe_core.energy import Energy
from gfe_core.solvers.line_search import norm_of
from gfe_core.solvers.recording import Recorder, statistics
from gfe_core.solvers.step import PER_SAMPLE, Solver, State, Step
from gfe_core.solvers.stopping import (
    MEMORY,
    judge,
    note_softness,
    origin_energy,
    starts_at_minimum,
)
from gfe_core.types import Codes, Encoding, Flow, Status, Stop

_WORTH_LEAVING = 1 / 16
"""Fraction of finished samples above which copying to a smaller batch is worthwhile."""


def integrate(
    energy: Energy,
    flow: Flow,
    solver: Solver,
    z0: Codes,
    *,
    t1: float,
    stop: Stop | None,
    max_steps: int,
    record: Recorder | None = None,
) -> Encoding:
    """Follow the flow from z0 for every sample until it stops.

    Args:
        energy: energy of this batch, with decoder, data and loss.
        flow: flow that gives dy/dt from the gradient.
        solver: solver that proposes steps.
        z0: start codes.
        t1: end time in flow units; may be infinite.
        stop: rule that decides when a sample has converged; None for no rule.
        max_steps: limit on the attempts of each sample, accepted or not.
        record: recorder of every accepted state, if any.

    Returns:
        The encoding, detached from every graph.
    """
    schedule = solver.schedule(z0, t1)
    state = _start(energy, flow, solver, z0, stop)
    if record is not None:
        record.start(state)
    finished = [state.rows(slice(0, 0))]
    patience = _patience(z0.device)
    for attempt in count():
        state.attempt = attempt
        state.status = judge(state, schedule, stop, t1, max_steps)
        if attempt % patience == 0:
            running = state.running
            n_running = int(running.sum())
            n = len(running)
            if n_running == 0:
                break
            if n - n_running >= n * _WORTH_LEAVING:
                finished.append(state.rows(~running))
                state = state.rows(running)
                energy = energy.rows(running)
        if schedule is not None:
            state.dt = schedule[state.n_accepted.clamp(max=len(schedule) - 1), state.index]
        step = solver.step(energy, flow, state, t1=t1)
        if attempt == 0 and stop is not None:
            state.at_minimum = starts_at_minimum(state, step, stop)
        moved = _advance(state, step, energy)
        if record is not None:
            record.add(state, step.dt, moved)
    return _encoding(_in_order([*finished, state]), has_time=solver.has_time)


def _patience(device: torch.device) -> int:
    """Return the number of attempts between two transfers from the device."""
    return 1 if device.type == "cpu" else 8


def _start(energy: Energy, flow: Flow, solver: Solver, z0: Tensor, stop: Stop | None) -> State:
    """Evaluate the start and prepare the solver."""
    value, grad = energy.value_and_grad(z0)
    zero = torch.zeros_like(value)
    index = torch.arange(len(z0), device=z0.device)
    zeros = torch.zeros_like(index)
    window = max(stop.window + 1 if stop else 1, solver.memory)
    point = {"y": flow.start(z0), "energy": value, "grad": grad, "t": zero, "dt": zero}
    previous = {"z_previous": z0, "grad_previous": grad}
    watches = stop is not None and stop.gain_rtol > 0
    origin, n_loss = origin_energy(energy, z0, value) if watches else (value, zeros)
    n_moves = MEMORY * stop.window if stop is not None and watches else 0
    norm = norm_of(grad)
    best = {"best_z": z0, "best_energy": value, "best_grad_norm": norm}
    counts = dict.fromkeys(("n_accepted", "n_rejected", "n_hess"), zeros) | {"n_loss": n_loss}
    tensors: dict[str, Any] = point | previous | best | counts
    state = State(
        **tensors,
        index=index,
        fresh=torch.zeros_like(index, dtype=torch.bool),
        recent=value[:, None].repeat(1, window),
        origin=origin,
        at_minimum=torch.zeros_like(index, dtype=torch.bool),
        soft=zero[:, None].repeat(1, n_moves),
        grad_norm=norm,
        n_grad=torch.ones_like(index),
        status=torch.where(_finite(value, grad), int(Status.RUNNING), int(Status.NON_FINITE)),
        own={},
    )
    solver.begin(energy, flow, state)
    return state


def _finite(value: Tensor, grad: Tensor) -> Tensor:
    return torch.isfinite(value) & torch.isfinite(grad).all(1)


def _advance(state: State, step: Step, energy: Energy) -> Tensor:
    """Move the accepted samples in place and return a mask of samples that moved.

    A sample stays where it was if the new energy or gradient is not finite.
    """
    running = state.running
    accepted = step.accepted & running
    value, grad = _arrival(state, step, energy, accepted)
    moved = accepted & _finite(value, grad)
    recent = torch.cat([state.recent[:, 1:], value[:, None]], 1)
    state.update(moved, z_previous=state.z, grad_previous=state.grad, recent=recent)
    state.update(moved, y=step.y, energy=value, grad=grad, t=state.t + step.dt)
    note_softness(state, moved)
    spent = {"n_loss": step.n_loss, "n_grad": step.n_grad + accepted, "n_hess": step.n_hess}
    for name, evaluations in spent.items():
        if isinstance(evaluations, Tensor) or evaluations:
            setattr(state, name, getattr(state, name) + running * evaluations)
    state.n_accepted = state.n_accepted + moved
    state.n_rejected = state.n_rejected + (running & ~moved)
    failed = torch.where(accepted & ~moved, int(Status.NON_FINITE), step.status)
    state.update(running, dt=step.dt_next, fresh=step.accepted, status=failed)
    state.grad_norm = norm_of(state.grad)
    better = moved & (state.energy <= state.best_energy)
    best = {"best_z": state.z, "best_energy": state.energy, "best_grad_norm": state.grad_norm}
    state.update(better, **best)
    return moved


def _arrival(state: State, step: Step, energy: Energy, accepted: Tensor) -> tuple[Tensor, Tensor]:
    """Return energy and gradient at the new points.

    A point that the solver has decoded is not decoded again.
    """
    waits = accepted.is_cuda  # a test of all or none would make the host wait
    if not waits and not accepted.any():
        return state.energy, state.grad
    if step.point is not None:
        return step.point.value, step.point.grad(accepted)
    z = step.y[:, : state.grad.shape[1]]
    if waits or accepted.all():
        return energy.value_and_grad(z)
    value = state.energy.clone()
    grad = state.grad.clone()
    value[accepted], grad[accepted] = energy.rows(accepted).value_and_grad(z[accepted])
    return value, grad


def _in_order(parts: list[State]) -> State:
    """Put all samples back into the caller's order."""
    joined: dict[str, Any] = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in PER_SAMPLE
    }
    return State(**joined, own={}).rows(joined["index"].argsort())


def _encoding(state: State, *, has_time: bool) -> Encoding:
    """Return the point at t1 for samples that reached it, and the best point for all others."""
    arrived = state.status == int(Status.REACHED_T)
    return Encoding(
        z=torch.where(arrived[:, None], state.z, state.best_z),
        energy=torch.where(arrived, state.energy, state.best_energy),
        grad_norm=torch.where(arrived, state.grad_norm, state.best_grad_norm),
        t=state.t if has_time else torch.full_like(state.t, math.nan),
        status=state.status,
        statistics=statistics(state),
    )
