"""The one loop: it follows every sample of a batch until that sample stops.

    propose (solver) -> move the accepted, evaluate the gradient there -> judge -> record -> let the finished leave

A finished sample leaves the batch, so easy samples cost nothing while hard ones go on, and no sample waits for another.
"""

import math
from dataclasses import fields

import torch
from torch import Tensor

from gfe_core.flows import Energy
from gfe_core.recording import Record, statistics
from gfe_core.solvers import Solver, State, Step
from gfe_core.types import Codes, Encoding, Flow, SaveAt, Status, Stop, Trajectory


def integrate(
    energy: Energy,
    flow: Flow,
    solver: Solver,
    z0: Codes,
    *,
    t1: float,
    stop: Stop | None,
    max_steps: int,
    save_at: SaveAt | None = None,
) -> Encoding:
    """Follow the flow from z0 for every sample until it stops.

    Args:
        energy: binds decoder, data and loss for this batch.
        flow: gives the velocity dz/dt from the gradient.
        solver: proposes steps.
        z0: start codes.
        t1: end time in flow units, may be infinite.
        stop: when a sample counts as converged; None never asks.
        max_steps: attempts, accepted or not, that each sample may make.
        save_at: which states to keep.

    Returns:
        The encoding, detached from every graph.
    """
    schedule = solver.schedule(z0, t1)
    state = _start(energy, flow, solver, z0, schedule, stop)
    record = None if save_at is None else Record(flow, state)
    finished = [state.rows(slice(0, 0))]
    while True:
        state.status = _judge(state, schedule, stop, t1, max_steps)
        leaving = state.status != Status.RUNNING
        if leaving.any():
            finished.append(state.rows(leaving))
            state, energy = state.rows(~leaving), energy.rows(~leaving)
        if not len(state.index):
            break
        if schedule is not None:
            state.dt = schedule[state.n_accepted, state.index]
        step = solver.step(energy, flow, state, t1=t1)
        moved = _advance(state, step, energy)
        if record is not None:
            record.add(state, step.dt, moved)
    trajectory = None if record is None or save_at is None else record.trajectory(save_at)
    return _encoding(_in_order(finished), trajectory, has_time=solver.has_time)


def _start(energy: Energy, flow: Flow, solver: Solver, z0: Tensor, schedule: Tensor | None, stop: Stop | None) -> State:
    """Evaluate the start and let the solver estimate its first step."""
    value, grad = energy.value_and_grad(z0)
    zero, index = torch.zeros_like(value), torch.arange(len(z0), device=z0.device)
    window = max(stop.window + 1 if stop else 1, solver.memory)
    point = {"z": z0, "energy": value, "grad": grad, "t": zero, "dt": zero}
    previous = {"z_previous": z0, "grad_previous": grad}
    best = {"best_z": z0, "best_energy": value, "best_grad_norm": grad.norm(dim=1)}
    counts = dict.fromkeys(("n_accepted", "n_rejected", "n_loss"), torch.zeros_like(index))
    state = State(
        **(point | previous | best | counts),
        index=index,
        fresh=torch.zeros_like(index, dtype=torch.bool),
        recent=value[:, None].repeat(1, window),
        n_grad=torch.ones_like(index),
        status=torch.where(_finite(value, grad), int(Status.RUNNING), int(Status.NON_FINITE)),
    )
    if schedule is None:
        state.dt, n_grad = solver.first_step(energy, flow, state)
        state.n_grad = state.n_grad + n_grad
    return state


def _finite(value: Tensor, grad: Tensor) -> Tensor:
    return torch.isfinite(value) & torch.isfinite(grad).all(1)


def _advance(state: State, step: Step, energy: Energy) -> Tensor:
    """Move the accepted samples in place and return which moved; a non-finite arrival leaves a sample where it was."""
    value, grad = _evaluate(state, step, energy)
    accepted, moved = step.accepted, step.accepted & _finite(value, grad)
    recent = torch.cat([state.recent[:, 1:], value[:, None]], 1)
    state.update(moved, z_previous=state.z, grad_previous=state.grad, recent=recent)
    state.update(moved, z=step.z, energy=value, grad=grad, t=state.t + step.dt)
    state.dt, state.fresh = step.dt_next, accepted
    state.n_accepted = state.n_accepted + moved
    state.n_rejected = state.n_rejected + ~moved
    state.n_loss = state.n_loss + step.n_loss
    state.n_grad = state.n_grad + accepted + step.n_grad
    state.status = torch.where(accepted & ~moved, int(Status.NON_FINITE), step.status)
    better, norm = state.energy <= state.best_energy, state.grad.norm(dim=1)
    state.update(better, best_z=state.z, best_energy=state.energy, best_grad_norm=norm)
    return moved


def _evaluate(state: State, step: Step, energy: Energy) -> tuple[Tensor, Tensor]:
    """Energy and gradient at the new points; nothing is spent on rejected samples."""
    if step.accepted.all():
        return energy.value_and_grad(step.z)
    value, grad = state.energy.clone(), state.grad.clone()
    if step.accepted.any():
        value[step.accepted], grad[step.accepted] = energy.rows(step.accepted).value_and_grad(step.z[step.accepted])
    return value, grad


def _judge(state: State, schedule: Tensor | None, stop: Stop | None, t1: float, max_steps: int) -> Tensor:
    """Return the status of every sample; among the running, a later line overrules an earlier one."""
    status = torch.where(state.n_accepted + state.n_rejected >= max_steps, int(Status.MAX_STEPS), int(Status.RUNNING))
    if stop is not None:
        fall = (state.recent[:, -stop.window - 1] - state.energy).abs() / stop.window
        full = state.fresh & (state.n_accepted >= stop.window)
        status = torch.where(full & (fall <= stop.energy_slope * state.energy.abs()), int(Status.CONVERGED), status)
        status = torch.where(full & (fall == 0), int(Status.STALLED), status)
        status = torch.where(state.grad.norm(dim=1) <= stop.grad_norm, int(Status.CONVERGED), status)
    if schedule is not None:
        status = torch.where(_grid_is_over(state, schedule), int(Status.REACHED_T), status)
    elif math.isfinite(t1):
        status = torch.where(state.t >= t1 * (1 - 1e-6), int(Status.REACHED_T), status)
    return torch.where(state.status == Status.RUNNING, status, state.status)


def _grid_is_over(state: State, schedule: Tensor) -> Tensor:
    """Whether a sample is at the end of its grid, or at a step of zero that pads a shorter one."""
    row = state.n_accepted.clamp(max=len(schedule) - 1)
    return (state.n_accepted >= len(schedule)) | (schedule[row, state.index] == 0)


def _in_order(parts: list[State]) -> State:
    """Put the samples that left, at whatever time, back into the caller's order."""
    joined = {field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(State)}
    return State(**joined).rows(joined["index"].argsort())


def _encoding(state: State, trajectory: Trajectory | None, *, has_time: bool) -> Encoding:
    """Return the point at t1 where time ended the flow, the best point so far everywhere else."""
    arrived = state.status == Status.REACHED_T
    return Encoding(
        z=torch.where(arrived[:, None], state.z, state.best_z),
        energy=torch.where(arrived, state.energy, state.best_energy),
        grad_norm=torch.where(arrived, state.grad.norm(dim=1), state.best_grad_norm),
        t=state.t if has_time else torch.full_like(state.t, math.nan),
        status=state.status,
        statistics=statistics(state),
        trajectory=trajectory,
    )
