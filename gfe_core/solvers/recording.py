"""Recording of a flow: every accepted state, or the states at given times."""

import torch
from torch import Tensor

from gfe_core.solvers.step import State
from gfe_core.types import Flow, SaveAt, Statistics, Trajectory


def statistics(state: State) -> Statistics:
    """Return the counts of each sample so far."""
    counts = {
        name: getattr(state, name)
        for name in ("n_accepted", "n_rejected", "n_loss", "n_grad", "n_hess")
    }
    return Statistics(**counts, n_steps=state.n_accepted + state.n_rejected)


class Recorder:
    """A recorder of the accepted states of every sample during the flow.

    All other processing waits until the end.
    """

    _FIELDS = ("n_accepted", "index", "t", "y", "energy", "grad")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.notes: list[tuple[Tensor, ...]] = []

    def start(self, state: State) -> None:
        """Record the start."""
        self.batch = len(state.index)
        self.add(state, torch.zeros_like(state.t), torch.ones_like(state.fresh))

    def add(self, state: State, dt: Tensor, moved: Tensor) -> None:
        """Record the states of the samples that just moved, and the steps that led there."""
        noted = (getattr(state, name) for name in self._FIELDS)
        self.notes.append((*noted, statistics(state).work, dt, moved))

    def trajectory(self, save_at: SaveAt) -> Trajectory:
        """Return all states as one array over time, with each sample's last state repeated."""
        *noted, moves = zip(*self.notes, strict=True)
        moved = torch.cat(moves)
        row, index, t, y, energy, grad, work, dt = (torch.cat(parts)[moved] for parts in noted)
        latent = grad.shape[1]
        column = {
            "t": t,
            "z": y[:, :latent],
            "energy": energy,
            "dt": dt,
            "work": work.to(t.dtype),
            "v": y[:, latent:],
        }
        if save_at.at is not None:
            velocity = self.flow.velocity(t, y, grad)[:, :latent]
            column |= {"velocity": velocity, "slope": (velocity * grad).sum(1)}
        last = torch.zeros(self.batch, dtype=torch.long, device=row.device).scatter_reduce(
            0, index, row, "amax"
        )
        rows = torch.arange(int(row.max()) + 1 if len(row) else 1, device=row.device)[:, None]
        held = torch.minimum(rows, last)
        position = torch.zeros_like(held).index_put(
            (row, index), torch.arange(len(row), device=row.device)
        )
        table = {name: values[position.gather(0, held)] for name, values in column.items()}
        arriving, velocity, slope = (table.pop(name, t) for name in ("dt", "velocity", "slope"))
        leaving = torch.where(rows < last, arriving.roll(-1, 0), 0.0)
        steps = Trajectory(**table, dt=leaving, mask=rows <= last)
        return steps if save_at.at is None else _at_times(steps, velocity, slope, save_at.at)


def _at_times(
    steps: Trajectory, velocity: Tensor, slope: Tensor, times: tuple[float, ...]
) -> Trajectory:
    """Interpolate between accepted states.

    Times that a sample did not reach repeat its last state.
    """
    t = torch.tensor(times, dtype=steps.t.dtype, device=steps.t.device)[:, None].expand(
        -1, steps.t.shape[1]
    )
    last = steps.mask.sum(0) - 1
    after = (
        torch.searchsorted(steps.t.T.contiguous(), t.T.contiguous()).T.clamp(min=1).minimum(last)
    )
    before = (after - 1).clamp(min=0)
    start = steps.t.gather(0, before)
    dt = steps.t.gather(0, after) - start
    s = ((t - start) / dt.clamp(min=torch.finfo(t.dtype).tiny)).clamp(0, 1)
    reached = t <= steps.t[-1] * (1 + 1e-6)
    leaving = torch.where(reached[1:], t.diff(dim=0), 0.0)
    return Trajectory(
        t=torch.minimum(t, steps.t[-1]),
        z=_hermite(
            s[..., None],
            dt[..., None],
            *_ends(steps.z, before, after),
            *_ends(velocity, before, after),
        ),
        energy=_hermite(s, dt, *_ends(steps.energy, before, after), *_ends(slope, before, after)),
        dt=torch.cat([leaving, torch.zeros_like(t[:1])]),
        work=steps.work.gather(0, torch.where(s > 0, after, before)),
        mask=reached,
    )


def _ends(values: Tensor, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values at both ends of each sample's step."""
    columns = torch.arange(values.shape[1], device=values.device)
    return values[before, columns], values[after, columns]


def _hermite(s: Tensor, dt: Tensor, y0: Tensor, y1: Tensor, v0: Tensor, v1: Tensor) -> Tensor:
    """Return the cubic through y0 and y1 with slopes v0 and v1, at fraction s of a step dt."""
    return y0 + s * s * (3 - 2 * s) * (y1 - y0) + s * (1 - s) * dt * ((1 - s) * v0 - s * v1)
