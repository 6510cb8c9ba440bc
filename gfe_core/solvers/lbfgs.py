"""The fast minimiser: a quasi-Newton method that remembers the last steps of each sample."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.energy import Energy
from gfe_core.solvers.line_search import (
    falls_enough,
    given_up,
    polyak_step,
    probe,
    unit_of,
)
from gfe_core.solvers.step import State, Step
from gfe_core.types import Codes, Descent, PerSample, Stop


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """z <- z - a H grad with the Armijo test; H is the inverse curvature of a sample's last steps.

    H is never formed. It starts as a multiple of the unit matrix and learns from the last `pairs`
    steps dz and the changes dg of the gradient along them. With r = 1 / <dz, dg>, from the oldest
    step to the newest:

        H <- s I, with s = <dz, dg> / |dg|^2 of the newest step
        H <- (I - r dz dg') H (I - r dg dz') + r dz dz'

    The multiple s is measured again at every step, so that directions which no pair covers follow
    the curvature where the sample is now. Pairs without positive curvature are left out, so H is
    positive definite and every step points downhill; a step that met no positive curvature makes
    the next one twice as long. There is no flow time: t is NaN, and `dt` in a trajectory is the
    fraction a of the full step.

    Args:
        pairs: steps that each sample remembers, at least 1.
        armijo_slope: sigma, in (0, 1): fraction of the promised decrease that is demanded.
        memory: energies that the test looks back on; 1 is monotone.
        dt_init: s of the first step, with nothing learnt before it; None takes a gradient a tenth
            of a Polyak step (E - floor) / |grad|^2 downhill and learns from it as from a step.
        dt_min: a sample that needs a smaller fraction a of a step stops with STEP_TOO_SMALL.

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
        checks.at_least_one("pairs", self.pairs)
        checks.fraction("armijo_slope", self.armijo_slope)
        checks.at_least_one("memory", self.memory)
        checks.fraction("dt_min", self.dt_min)
        if self.dt_init is not None:
            checks.finite_positive("dt_init", self.dt_init)

    def schedule(self, z0: Tensor, t1: float) -> None:
        """No grid: steps are found as the method goes on."""

    def begin(self, energy: Energy, flow: Descent, state: State) -> None:
        """Learn the curvature along the first gradient, as if a step had been made there."""
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
            # a probe that met no positive curvature was no step: a Polyak step is bold enough
            state.own["boldness"] = ones

    def step(self, energy: Energy, flow: Descent, state: State, *, t1: float) -> Step:
        """One trial for every sample.

        The full step after a move, a shorter one after a rejection.
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
        # the lowest point of the parabola through two energies and the slope
        lowest = (a * a * slope / (2 * rise)).nan_to_num(nan=0.0)
        a_next = torch.where(accepted, a, lowest.clamp(0.1 * a, 0.5 * a))
        status = given_up(state, accepted, a_next * slope, a_next < self.dt_min)
        return Step(z, a, a_next, accepted, status, point, slope, n_loss=(~accepted).long())


def _learn(state: State, dz: Codes, dg: Codes, moved: Tensor, n_pairs: int) -> None:
    """Remember a step of the samples that moved, and forget their oldest beyond `n_pairs`.

    All samples have equally many places; an empty one has r = 0. Every call adds one, until there
    are `n_pairs`: at the end for samples that learn, at the front and empty for the others.
    Gradients are in units of each sample's first one.
    """
    own = state.own
    dg = dg / own["unit"][:, None]
    curvature = (dz * dg).sum(1)
    # of a smaller cosine rounding leaves no digit, and H explodes
    least = torch.finfo(dz.dtype).eps ** 0.5
    learns = moved & (curvature > least * dz.norm(dim=1) * dg.norm(dim=1))
    curvature = torch.where(learns, curvature, 1.0)
    for name, newest in (("dz", dz), ("dg", dg), ("r", 1 / curvature)):
        own[name] = _appended(own[name], newest[:, None], learns, n_pairs)
    steepness = torch.where(learns, dg.square().sum(1), 1.0)
    own["scale"] = torch.where(learns, curvature / steepness, own["scale"])
    bolder = torch.where(moved & ~learns, 2 * own["boldness"], own["boldness"])
    own["boldness"] = torch.where(learns, 1.0, bolder)


def _appended(known: Tensor, newest: Tensor, learns: Tensor, n_pairs: int) -> Tensor:
    """Put the newest at the end for samples that learn, in place of their first."""
    full = known.shape[1] == n_pairs
    places = known if full else torch.cat([torch.zeros_like(newest), known], 1)
    shifted = torch.cat([places[:, 1:], newest], 1)
    if shifted.is_cuda:  # to ask which samples stay as they are would make the host wait
        return torch.where(learns.reshape(-1, *[1] * (places.dim() - 1)), shifted, places)
    stays = ~learns
    shifted[stays] = places[stays]
    return shifted


def _downhill(state: State) -> tuple[Codes, PerSample]:
    """Direction -H grad, and the slope of the energy against it.

    Where rounding has spoilt H, the sample forgets its steps and goes down its gradient.
    """
    own = state.own
    grad = state.grad / own["unit"][:, None]
    least = torch.finfo(grad.dtype).eps
    direction = -own["boldness"][:, None] * _inverse_times(grad, own)
    slope = -(direction * grad).sum(1)
    sound = slope > least * direction.norm(dim=1) * grad.norm(dim=1)
    own["r"] = torch.where(sound[:, None], own["r"], 0.0)
    steepest = -(own["boldness"] * own["scale"])[:, None] * grad
    direction = torch.where(sound[:, None], direction, steepest)
    return direction, -own["unit"] * (direction * grad).sum(1)


def _inverse_times(vector: Codes, own: dict[str, Tensor]) -> Codes:
    """H times a vector of each sample, by one loop back over its pairs and one forth."""
    pairs = list(zip(*(own[name].unbind(1) for name in ("dz", "dg", "r")), strict=True))
    shares = []
    for dz, dg, r in reversed(pairs):
        shares.append((r * (dz * vector).sum(1))[:, None])
        vector = vector - shares[-1] * dg
    vector = own["scale"][:, None] * vector
    for (dz, dg, r), share in zip(pairs, reversed(shares), strict=True):
        vector = vector + (share - (r * (dg * vector).sum(1))[:, None]) * dz
    return vector
