"""The fast minimiser: a quasi-Newton method that remembers a few steps of each sample."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.energy.energy import Energy
from gfe_core.flows import GradientFlow
from gfe_core.solvers.line_search import falls_enough, first_trial, given_up
from gfe_core.solvers.step import State, Step
from gfe_core.types import Codes, PerSample, Stop


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """z <- z - a H grad with the Armijo test; H is the inverse curvature of a sample's last steps.

    H is never formed. It starts as a multiple of the unit matrix and learns from the last `pairs`
    steps dz and the changes dg of the gradient along them. With r = 1 / <dz, dg>, from the oldest
    step to the newest:

        H <- s I, with s = <dz, dg> / |dg|^2 of the newest step
        H <- (I - r dz dg') H (I - r dg dz') + r dz dz'

    The multiple s is measured again at every step, so that directions which no pair covers follow
    the curvature where the sample is now; this is what makes the method fast. Pairs without
    positive curvature are left out, so H is positive definite and every step points downhill; a
    step that found none makes the next one twice as long. There is no flow time: t is NaN, and `dt`
    in a trajectory is the fraction a of the full step.

    Args:
        pairs: steps that each sample remembers, at least 1.
        armijo_slope: sigma, in (0, 1): fraction of the promised decrease that is demanded.
        memory: energies that the test looks back on; 1 is monotone.
        dt_init: s of the first step; None takes the inverse curvature along the gradient.
        dt_min: a sample that needs a smaller fraction a of a step stops with STEP_TOO_SMALL.

    Raises:
        ValueError: a field is out of range.

    Source: Nocedal & Wright 2006, algorithm 7.4 (two loops) and equation 7.20 (the multiple s),
        with backtracking by interpolation; Liu & Nocedal 1989.
    """

    pairs: int = 10
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

    def begin(self, energy: Energy, flow: GradientFlow, state: State) -> None:
        """No steps to remember yet: H is a multiple of the unit matrix."""
        checks.first_order("LBFGS", flow)
        scale = (
            first_trial(energy, state)
            if self.dt_init is None
            else torch.full_like(state.t, self.dt_init)
        )
        empty = state.grad[:, None].expand(-1, self.pairs, -1) * 0.0
        state.own = {
            "dz": empty,
            "dg": empty,
            "r": empty[:, :, 0],
            "scale": scale,
            "boldness": torch.ones_like(scale),
        }

    def step(self, energy: Energy, flow: GradientFlow, state: State, *, t1: float) -> Step:
        """One trial for every sample.

        The full step after a move, a shorter one after a rejection.
        """
        _remember(state)
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
        return Step(z, a, a_next, accepted, status, point, n_loss=(~accepted).long())


def _remember(state: State) -> None:
    """Let the samples that moved remember their last step in place of their oldest."""
    own = state.own
    dz = state.z - state.z_previous
    dg = state.grad - state.grad_previous
    curvature = (dz * dg).sum(1)
    # of a smaller cosine rounding leaves no digit, and H explodes
    least = torch.finfo(dz.dtype).eps ** 0.5
    learns = state.fresh & (curvature > least * dz.norm(dim=1) * dg.norm(dim=1))
    usable = torch.where(learns, curvature, 1.0)
    for name, newest in (("dz", dz), ("dg", dg), ("r", 1 / usable)):
        shifted = torch.cat([own[name][:, 1:], newest[:, None]], 1)
        where = learns.reshape(-1, *[1] * (shifted.dim() - 1))
        own[name] = torch.where(where, shifted, own[name])
    steepness = torch.where(learns, dg.square().sum(1), 1.0)
    own["scale"] = torch.where(learns, usable / steepness, own["scale"])
    bolder = torch.where(state.fresh & ~learns, 2 * own["boldness"], own["boldness"])
    own["boldness"] = torch.where(learns, 1.0, bolder)


def _downhill(state: State) -> tuple[Codes, PerSample]:
    """Direction -H grad and the slope of the energy against it, both per sample.

    Where rounding has spoilt H, the sample forgets its steps and goes down the gradient.
    """
    own = state.own
    direction = -own["boldness"][:, None] * _applied(state)
    slope = -(direction * state.grad).sum(1)
    steepest = -(own["boldness"] * own["scale"])[:, None] * state.grad
    least = torch.finfo(slope.dtype).eps
    sound = slope > least * direction.norm(dim=1) * state.grad.norm(dim=1)
    own["r"] = torch.where(sound[:, None], own["r"], 0.0)
    direction = torch.where(sound[:, None], direction, steepest)
    return direction, -(direction * state.grad).sum(1)


def _applied(state: State) -> Codes:
    """H grad by two loops over the pairs; an empty place has r = 0 and changes nothing."""
    own = state.own
    n_pairs = own["r"].shape[1]
    newest_first = range(n_pairs - 1, max(n_pairs - 1 - state.attempt, -1), -1)
    vector = state.grad
    shares = {}
    for i in newest_first:
        shares[i] = (own["r"][:, i] * (own["dz"][:, i] * vector).sum(1))[:, None]
        vector = vector - shares[i] * own["dg"][:, i]
    vector = own["scale"][:, None] * vector
    for i in reversed(newest_first):
        back = (own["r"][:, i] * (own["dg"][:, i] * vector).sum(1))[:, None]
        vector = vector + (shares[i] - back) * own["dz"][:, i]
    return vector
