"""The fast minimiser: a quasi-Newton method that stores the last steps of each sample."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.energy import Energy
from gfe_core.solvers.line_search import (
    falls_enough,
    given_up,
    length_of,
    polyak_step,
    probe,
    unit_of,
)
from gfe_core.solvers.step import State, Step, for_all
from gfe_core.types import Codes, Descent, PerSample, Stop


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """z <- z - a H grad with the Armijo test; H is the inverse curvature of a sample's last steps.

    H is never formed. It starts as a multiple of the unit matrix and learns from the last `pairs`
    steps dz and the changes dg of the gradient along them. With r = 1 / <dz, dg>, from the oldest
    step to the newest:

        H <- s I, with s = <dz, dg> / |dg|^2 of the newest step
        H <- (I - r dz dg') H (I - r dg dz') + r dz dz'

    The multiple s is measured again at every step, so that directions not covered by any pair
    follow the curvature at the present code. Pairs without positive curvature are omitted, so H is
    positive definite and every step points downhill. After a step without positive curvature the
    next one is twice as long. There is no flow time: t is NaN, and `dt` in a trajectory is the
    fraction a of the full step.

    Args:
        pairs: number of steps stored for each sample, >= 1.
        armijo_slope: sigma, in (0, 1): required fraction of the predicted decrease.
        memory: number of energies that the test uses, >= 1; with 1 the method is monotone.
        dt_init: s of the first step, before any pair is known. None takes one gradient a tenth of a
            Polyak step (E - floor) / |grad|^2 downhill and uses it as the first pair.
        dt_min: smallest fraction a of a full step, in (0, 1); a sample that needs less stops with
            STEP_TOO_SMALL.

    Raises:
        ValueError: a field is out of range.

    Source: Nocedal & Wright 2006, algorithm 7.4 (two loops) and equation 7.20 (the multiple s),
        with backtracking by interpolation.
    """

    pairs: int = 20
    armijo_slope: float = 1e-4
    memory: int = 1
    dt_init: float | None = None
    dt_min: float = 1e-6

    default_stop: ClassVar[Stop | None] = Stop()
    default_max_steps: ClassVar[int] = 500
    has_time = False
    """Its path is not that of the flow."""

    def __post_init__(self) -> None:
        checks.as_python(self, checks.at_least_one, "pairs", "memory")
        checks.as_python(self, checks.fraction, "armijo_slope", "dt_min")
        checks.as_python(self, checks.finite_positive, "dt_init", or_none=True)

    def schedule(self, z0: Tensor, t1: float) -> None:
        """Return None: there is no grid, because steps are chosen during the search."""

    def begin(self, energy: Energy, flow: Descent, state: State) -> None:
        """Measure the curvature along the first gradient, as if a step had been made there."""
        checks.first_order("LBFGS", flow)
        none = state.grad.new_zeros(len(state.grad), 0, state.grad.shape[1])
        ones = torch.ones_like(state.t)
        unit = unit_of(state.grad)
        polyak = polyak_step(energy, state)
        state.own = {
            "dz": none,
            "dg": none,
            "r": none[:, :, 0],
            "unit": unit,
            "scale": unit * (polyak if self.dt_init is None else self.dt_init),
            "boldness": ones,
        }
        if self.dt_init is None:
            _learn(state, *probe(energy, state, 0.1 * polyak), state.running, self.pairs)
            # A probe without positive curvature is not a step: a Polyak step is long enough.
            state.own["boldness"] = ones

    def step(self, energy: Energy, flow: Descent, state: State, *, t1: float) -> Step:
        """Propose one trial for every sample.

        It is the full step after a move, and a shorter one after a rejection.
        """
        if state.attempt:
            dz = state.z - state.z_previous
            dg = state.grad - state.grad_previous
            _learn(state, dz, dg, state.fresh, self.pairs)
        direction, slope = _downhill(state)
        a = torch.where(state.fresh, 1.0, state.dt) if state.attempt else torch.ones_like(state.dt)
        z = state.z + a[:, None] * direction
        point = energy.at(z)
        accepted = falls_enough(state, point.value, self.armijo_slope * a * slope, self.memory)
        rise = point.value - state.energy + a * slope
        # The minimum of the parabola through both energies with the slope at the start.
        lowest = (a * a * slope / (2 * rise)).nan_to_num(nan=0.0)
        a_next = torch.where(accepted, a, lowest.clamp(0.1 * a, 0.5 * a))
        status = given_up(state, accepted, a_next * slope, a_next < self.dt_min)
        return Step(z, a, a_next, accepted, status, point, slope, n_loss=(~accepted).long())


def _learn(state: State, dz: Codes, dg: Codes, moved: Tensor, n_pairs: int) -> None:
    """Store a step of the samples that moved, and drop their oldest step beyond `n_pairs`.

    All samples have the same number of slots; an empty slot has r = 0. Every call adds a slot until
    there are `n_pairs`: at the end for samples that learn, and an empty one at the front for the
    others. Gradients are in units of each sample's first gradient.
    """
    own = state.own
    dg = dg / own["unit"][:, None]
    curvature = (dz * dg).sum(1)
    # For a smaller cosine, rounding leaves no correct digit, and H diverges.
    least = torch.finfo(dz.dtype).eps ** 0.5
    learns = moved & (curvature > least * length_of(dz) * length_of(dg))
    curvature = torch.where(learns, curvature, 1.0)
    for name, newest in (("dz", dz), ("dg", dg), ("r", 1 / curvature)):
        own[name] = _appended(own[name], newest[:, None], learns, n_pairs)
    steepness = torch.where(learns, dg.square().sum(1), 1.0)
    own["scale"] = torch.where(learns, curvature / steepness, own["scale"])
    bolder = torch.where(moved & ~learns, 2 * own["boldness"], own["boldness"])
    own["boldness"] = torch.where(learns, 1.0, bolder)


def _appended(known: Tensor, newest: Tensor, learns: Tensor, n_pairs: int) -> Tensor:
    """Append the newest entry for samples that learn, in place of their oldest."""
    full = known.shape[1] == n_pairs
    places = known if full else torch.cat([torch.zeros_like(newest), known], 1)
    shifted = torch.cat([places[:, 1:], newest], 1)
    if for_all(learns):
        return shifted
    return torch.where(learns.reshape(-1, *[1] * (places.dim() - 1)), shifted, places)


def _downhill(state: State) -> tuple[Codes, PerSample]:
    """Return the direction -H grad, and the slope of the energy against it.

    If rounding has spoilt H, the sample drops its steps and follows its gradient.
    """
    own = state.own
    grad = state.grad / own["unit"][:, None]
    least = torch.finfo(grad.dtype).eps
    direction = -own["boldness"][:, None] * _inverse_times(grad, own)
    slope = -(direction * grad).sum(1)
    sound = slope > least * length_of(direction) * length_of(grad)
    if not for_all(sound):
        own["r"] = torch.where(sound[:, None], own["r"], 0.0)
        steepest = -(own["boldness"] * own["scale"])[:, None] * grad
        direction = torch.where(sound[:, None], direction, steepest)
        slope = -(direction * grad).sum(1)
    return direction, own["unit"] * slope


def _inverse_times(vector: Codes, own: dict[str, Tensor]) -> Codes:
    """Return H times a vector for each sample, by a backward and a forward loop over pairs."""
    pairs = list(zip(*(own[name].unbind(1) for name in ("dz", "dg", "r")), strict=True))
    shares = []
    for dz, dg, r in reversed(pairs):
        shares.append((r * (dz * vector).sum(1))[:, None])
        vector = vector - shares[-1] * dg
    vector = own["scale"][:, None] * vector
    for (dz, dg, r), share in zip(pairs, reversed(shares), strict=True):
        vector = vector + (share - (r * (dg * vector).sum(1))[:, None]) * dz
    return vector
