import math
from itertools import pairwise
from unittest.mock import Mock

import pytest
import torch
from problems import Counting, digits, fresh, quadratic, statuses, trained
from torch import Tensor

import gfe_core as gfe
from gfe_core.solvers import State, Step, lbfgs
from gfe_core.types import Descent, Status

STUBBORN = gfe.Stop(grad_norm=0.0, energy_slope=0.0)
TIGHT = gfe.Stop(grad_norm=1e-9, energy_slope=0.0)


class Watched(gfe.LBFGS):
    """Keeps what the solver remembers and what it proposes, one list entry for each attempt."""

    def step(self, energy: gfe.Energy, flow: Descent, state: State, *, t1: float) -> Step:
        step = super().step(energy, flow, state, t1=t1)
        kept = dict(state.own) | {"z": state.z, "grad": state.grad, "index": state.index}
        SEEN.append(kept | {"proposed": step.y, "a": step.dt, "fresh": state.fresh})
        return step


SEEN: list[dict[str, Tensor]] = []


def seen(pairs: int = 20, dt_init: float | None = None, **arguments) -> list[dict[str, Tensor]]:
    """Return what a watched encode kept."""
    SEEN.clear()
    gfe.encode(solver=Watched(pairs=pairs, dt_init=dt_init), **arguments)
    return list(SEEN)


def inverse(one: dict[str, Tensor]) -> Tensor:
    """Return H of each sample from the product formula, in the solver's units of gradients."""
    unit = torch.eye(one["dz"].shape[2], dtype=one["dz"].dtype)
    matrix = one["scale"][:, None, None] * unit
    for dz, dg, r in zip(*(one[name].unbind(1) for name in ("dz", "dg", "r")), strict=True):
        outer = r[:, None, None] * dz[:, :, None] * dg[:, None, :]
        along = r[:, None, None] * dz[:, :, None] * dz[:, None, :]
        matrix = (unit - outer) @ matrix @ (unit - outer).transpose(1, 2) + along
    return matrix


def ridge(z: Tensor) -> Tensor:
    return 0.7 * z.square().sum(1)


def two_wells(z: Tensor) -> Tensor:
    """Fall from the origin, where the curvature is -2, to |z_i| = 1; slightly tilted."""
    return (0.5 * z**4 - z.square() + 0.01 * z).sum(1)


@pytest.mark.parametrize("pairs", [3, 20])  # fewer and more than the latents
@pytest.mark.parametrize("condition", [10.0, 1e3])
def test_quadratic_is_solved_to_its_minimum(condition, pairs):
    problem = quadratic(torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64).tolist())
    stop = gfe.Stop(grad_norm=1e-6, energy_slope=0.0)  # below, the energy's own rounding decides
    solver = gfe.LBFGS(pairs=pairs)
    found = gfe.encode(problem.decoder, problem.x, loss=problem.loss, solver=solver, stop=stop)
    assert statuses(found) == [Status.CONVERGED] * 5
    assert pairs < 6 or found.statistics.n_steps.max() <= 6 * 5  # a few times the six of theory
    torch.testing.assert_close(found.z, problem.minimum, rtol=0, atol=2e-6 * condition)


def test_end_of_the_path_is_faster_than_any_line():
    problem = quadratic((4.0, 2.0, 1.0))
    errors = [
        (torch.stack([problem.energy(one["z"])]) - problem.energy(problem.minimum)).max().item()
        for one in seen(decoder=problem.decoder, x=problem.x, loss=problem.loss, stop=TIGHT)
        if len(one["z"]) == 5
    ]
    shares = [after / before for before, after in pairwise(errors)]
    assert min(shares[-4:]) < 1e-3  # superlinear: the last steps gain more digits than the first
    assert min(shares[:2]) > 1e-3


@pytest.mark.parametrize("pairs", [2, 5, 20])
def test_step_is_that_of_the_matrix_which_the_pairs_define(pairs):
    kept = seen(pairs, decoder=trained("mlp"), x=digits(8), max_steps=25, stop=STUBBORN)
    widths = [one["r"].shape[1] for one in kept]
    assert widths[:3] == [min(n, pairs) for n in (1, 2, 3)] and max(widths) == pairs
    for one in kept:
        gradient = one["grad"] / one["unit"][:, None]
        full = torch.einsum("bij,bj->bi", inverse(one), gradient)
        expected = -(one["a"] * one["boldness"])[:, None] * full
        torch.testing.assert_close(one["proposed"] - one["z"], expected, rtol=1e-8, atol=1e-12)


def test_multiple_is_measured_again_at_every_step_and_the_newest_secant_holds():
    kept = seen(decoder=trained("mlp"), x=digits(8), max_steps=25, stop=STUBBORN)
    multiples = torch.stack([one["scale"] for one in kept])
    assert len(multiples[:, 0].unique()) > 15
    for one in kept:
        dz = one["dz"][:, -1]
        dg = one["dg"][:, -1]
        learnt = one["r"][:, -1] > 0
        measured = (dz * dg).sum(1) / dg.square().sum(1)
        torch.testing.assert_close(one["scale"][learnt], measured[learnt], rtol=1e-12, atol=0)
        mapped = torch.einsum("bij,bj->bi", inverse(one), dg)
        torch.testing.assert_close(mapped[learnt], dz[learnt], rtol=1e-7, atol=1e-12)


def test_multiple_that_is_measured_again_beats_one_that_is_not():
    budget = {"max_steps": 20, "stop": STUBBORN}
    bottom = gfe.encode(trained("mlp"), digits(48), solver=gfe.LBFGS(), stop=TIGHT).energy.mean()
    gaps = [
        gfe.encode(trained("mlp"), digits(48), solver=solver, **budget).energy.mean() - bottom
        for solver in (gfe.LBFGS(), gfe.BFGS(matrix_at=None))
    ]
    assert gaps[0] < 0.5 * gaps[1]


def test_pairs_are_the_last_steps_of_each_sample():
    problem = quadratic()
    kept = seen(
        3, 0.1, decoder=problem.decoder, x=problem.x, loss=problem.loss, max_steps=7, stop=STUBBORN
    )
    assert all(one["fresh"].all() for one in kept[1:])  # convex, and a short first step
    for last, one in enumerate(kept):
        for age in range(1, min(last, 3) + 1):
            step = kept[last - age + 1]["z"] - kept[last - age]["z"]
            assert torch.equal(one["dz"][:, -age], step)


def test_refused_trial_changes_nothing_that_is_remembered():
    kept = seen(decoder=trained("mlp"), x=digits(12), max_steps=60, stop=STUBBORN)
    n_refused = 0
    for before, after in pairwise(kept[1:]):
        stays = [i for i, row in enumerate(after["index"].tolist()) if not after["fresh"][i]]
        for i in stays:
            j = before["index"].tolist().index(int(after["index"][i]))
            n_refused += 1
            n = min(before["r"].shape[1], after["r"].shape[1])
            for name in ("dz", "dg", "r"):
                assert torch.equal(after[name][i, -n:], before[name][j, -n:])
            assert after["scale"][i] == before["scale"][j] and after["a"][i] < before["a"][j]
    assert n_refused > 5


def test_curvature_that_rounding_made_is_not_learnt_from(generator):
    dz = torch.randn(200, 6, generator=generator)
    across = torch.randn(200, 6, generator=generator)
    across = across - (across * dz).sum(1, keepdim=True) / dz.square().sum(1, keepdim=True) * dz
    dg = across + 1e-6 * dz  # in float32 its angle to dz has no correct digit
    own = nothing_known(200, 6)
    lbfgs._learn(Mock(spec=State, own=own), dz, dg, torch.ones(200, dtype=torch.bool), 5)
    eigenvalues = torch.linalg.eigvalsh(inverse(own).double())
    assert eigenvalues.min() > 0 and eigenvalues.max() <= 2


def nothing_known(n: int, latent: int) -> dict[str, Tensor]:
    """Return what a solver remembers before its first step, H the unit matrix."""
    none = torch.zeros(n, 0, latent)
    one = torch.ones(n)
    return {
        "dz": none,
        "dg": none,
        "r": none[:, :, 0],
        "unit": one,
        "scale": one,
        "boldness": one,
    }


def test_spoilt_memory_is_forgotten_and_the_step_goes_down_the_gradient(generator):
    grad = torch.randn(4, 6, generator=generator)
    own = nothing_known(4, 6)
    own["scale"] = torch.full((4,), 0.1)
    own |= {"dz": grad[:, None].clone(), "dg": grad[:, None].clone()}
    own["r"] = -1 / grad.square().sum(1, keepdim=True)
    own["r"][0] *= -1  # the first sample's pair is sound
    state = Mock(spec=State, own=own, grad=grad)
    direction, slope = lbfgs._downhill(state)
    torch.testing.assert_close(direction[0], -grad[0])
    torch.testing.assert_close(direction[1:], -0.1 * grad[1:])
    torch.testing.assert_close(slope, -(direction * grad).sum(1))
    assert (own["r"][1:] == 0).all() and (own["r"][0] > 0).all()


def test_step_that_finds_no_positive_curvature_makes_the_next_one_bolder():
    problem = quadratic()
    kept = seen(
        dt_init=0.01,
        decoder=problem.decoder,
        x=problem.x,
        loss=problem.loss,
        max_steps=5,
        penalty=lambda z: -10 * z.square().sum(1),
        stop=STUBBORN,
    )
    assert len(kept) == 5
    for n, one in enumerate(kept):
        assert torch.equal(one["boldness"], torch.full_like(one["boldness"], 2.0**n))
        assert (one["r"] == 0).all() and (one["scale"] == kept[0]["scale"]).all()


def test_indefinite_start_ends_in_a_minimum():
    problem = quadratic((0.4, 0.2, 0.1, 0.05))
    stop = gfe.Stop(grad_norm=1e-6, energy_slope=0.0)  # below, the energy's own rounding decides
    arguments = {"loss": problem.loss, "penalty": two_wells, "solver": gfe.LBFGS(), "stop": stop}
    found = gfe.encode(problem.decoder, problem.x, **arguments)
    assert statuses(found) == [Status.CONVERGED] * 5
    energy = gfe.Energy(problem.decoder, problem.x, problem.loss, penalty=two_wells)
    at_start = torch.linalg.eigvalsh(energy.hessian(torch.zeros_like(found.z)))
    at_end = torch.linalg.eigvalsh(energy.hessian(found.z))
    assert (at_start[:, -1] < 0).all() and (at_end[:, 0] > 0).all()


def test_penalty_moves_the_minimum_where_its_formula_says():
    problem = quadratic()
    found = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        penalty=ridge,
        solver=gfe.LBFGS(),
        stop=TIGHT,
    )
    hessian = problem.axes * problem.curvature @ problem.axes.T
    expected = torch.linalg.solve(
        hessian + 1.4 * torch.eye(4, dtype=torch.float64), (problem.minimum @ hessian).T
    ).T
    torch.testing.assert_close(found.z, expected, rtol=0, atol=1e-8)  # the gradient allowed is 1e-9


def test_only_what_is_observed_is_fitted(generator):
    problem = quadratic()
    mask = torch.rand(5, 16, generator=generator) < 0.7
    found = gfe.encode(
        problem.decoder,
        torch.where(mask, problem.x, math.nan),
        mask=mask,
        loss=problem.loss,
        solver=gfe.LBFGS(),
        stop=TIGHT,
    )
    linear = problem.decoder.linear
    for i in range(5):
        weight = linear.weight.detach()[mask[i]]
        rest = (problem.x[i] - linear.bias.detach())[mask[i]]
        expected = torch.linalg.lstsq(weight, rest[:, None]).solution[:, 0]
        torch.testing.assert_close(found.z[i], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exponent", [-30, -8, 12])
def test_units_of_data_and_of_latents_change_no_digit(dtype, exponent):
    problem = quadratic()
    c = 2.0**exponent

    def codes(data: float, latents: float) -> Tensor:
        decoder = gfe.LinearDecoder(latent_dim=4, data_dim=16).to(dtype)
        with torch.no_grad():
            decoder.linear.weight.copy_(problem.decoder.linear.weight * data / latents)
            decoder.linear.bias.copy_(problem.decoder.linear.bias * data)
        x = (problem.x * data).to(dtype)
        how = {"solver": gfe.LBFGS(), "stop": STUBBORN, "max_steps": 5}
        return gfe.encode(decoder, x, loss=problem.loss, **how).z

    assert torch.equal(codes(c, 1.0), codes(1.0, 1.0))
    assert torch.equal(codes(1.0, c), c * codes(1.0, 1.0))


def test_counts_equal_those_of_a_counting_decoder():
    rejected = 0
    for x in digits(6).split(1):
        decoder = Counting(fresh("mlp"))
        counts = gfe.encode(decoder, x, solver=gfe.LBFGS(dt_init=1e4), max_steps=60).statistics
        assert counts.n_grad.item() == 1 + counts.n_accepted.item()
        assert decoder.calls["forward"] == counts.n_loss.item() + counts.n_grad.item()
        assert decoder.calls["backward"] == counts.n_grad.item()
        assert counts.n_loss.item() == counts.n_rejected.item() and counts.n_hess.item() == 0
        rejected += counts.n_rejected.item()
    assert rejected > 0
    decoder = Counting(trained("mlp"))
    first = gfe.encode(decoder, digits(1), solver=gfe.LBFGS(), stop=gfe.Stop(grad_norm=1e9))
    assert first.statistics.n_grad.item() == 2  # what it learns before the first step takes one
    assert decoder.calls == {"forward": 2, "backward": 2}


def test_trial_where_the_energy_is_no_number_is_refused_and_the_others_do_not_notice():
    problem = quadratic()
    edge = problem.minimum[0].norm() * 0.5

    def fenced(z: Tensor) -> Tensor:
        return torch.where(z.norm(dim=1) > edge, math.nan, 0.0 * z.sum(1))

    arguments = {"loss": problem.loss, "solver": gfe.LBFGS(), "stop": STUBBORN, "max_steps": 20}
    found = gfe.encode(problem.decoder, problem.x, penalty=fenced, **arguments)
    free = gfe.encode(problem.decoder, problem.x, **arguments)
    inside = free.z.norm(dim=1) < 0.9 * edge
    assert found.z.isfinite().all() and found.energy.isfinite().all()
    assert (found.z.norm(dim=1) <= edge).all() and found.energy[0] < problem.energy(free.z * 0)[0]
    assert found.statistics.n_rejected[0] > 0
    alone = gfe.encode(problem.decoder, problem.x[:1], penalty=fenced, **arguments)
    assert torch.equal(found.z[:1], alone.z) and not inside[0]


def test_going_on_from_a_minimum_stays_there():
    for kind in ("mlp", "linear"):
        there = gfe.encode(trained(kind), digits(12), solver=gfe.LBFGS(), stop=TIGHT)
        again = gfe.encode(
            trained(kind), digits(12), z0=there.z, solver=gfe.LBFGS(), stop=STUBBORN, max_steps=60
        )
        assert (again.energy <= there.energy).all()
        assert (again.energy - there.energy).abs().max() < 1e-12  # codes were at rest to 1e-9
        assert set(statuses(again)) <= {Status.STALLED, Status.STEP_TOO_SMALL, Status.CONVERGED}
        at_once = gfe.encode(trained(kind), digits(12), z0=there.z, solver=gfe.LBFGS())
        assert set(statuses(at_once)) == {Status.CONVERGED}
        assert (at_once.statistics.n_steps <= 1).all()


def test_statuses_say_why_samples_stopped():
    def ends(solver: gfe.LBFGS, max_steps: int = 60) -> set[Status]:
        found = gfe.encode(trained("mlp"), digits(6), solver=solver, max_steps=max_steps)
        return set(statuses(found))

    assert ends(gfe.LBFGS()) == {Status.CONVERGED}
    assert ends(gfe.LBFGS(), 3) == {Status.MAX_STEPS}
    assert ends(gfe.LBFGS(dt_init=1e9, dt_min=0.5)) == {Status.STEP_TOO_SMALL}


def test_memory_of_no_pairs_is_refused():
    with pytest.raises(ValueError, match="`pairs` must be at least 1"):
        gfe.LBFGS(pairs=0)


def test_repr_can_be_pasted_back():
    assert eval(repr(gfe.LBFGS(pairs=3)), {"LBFGS": gfe.LBFGS}) == gfe.LBFGS(pairs=3)
