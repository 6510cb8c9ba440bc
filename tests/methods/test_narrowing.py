"""Gates are estimated without bias, close what is not needed, and touch nothing else."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from itertools import pairwise, product
from typing import Any, cast

import pytest
import torch
from problems import digits, generator
from torch import Tensor, distributions, nn

import gfe_core as gfe
from gfe_core.encoders import Autoencoder, StoredCodes
from gfe_core.methods.constraint import Constraint
from gfe_core.methods.gon import SQUARES
from gfe_core.methods.narrowing import (
    Gated,
    Inference,
    Narrowed,
    Narrowing,
    Shrinking,
    arm,
    drawn,
    encode_at,
    shrinking_autoencoder,
    shrinking_flow,
)
from gfe_core.methods.variational import Evidence, divergence
from gfe_core.training.fitting import Report
from gfe_core.types import Encoding

F = Callable[[Tensor], Tensor]
"""Energies (..., sample) of gates (..., sample, gate), another function for each sample."""
Draws = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
SAMPLES = 3


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def rand(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=generator(seed))


def mlp(latent_dim: int = 4, seed: int = 0) -> gfe.MLPDecoder:
    return gfe.MLPDecoder(
        latent_dim=latent_dim, hidden=(16,), data_dim=64, generator=generator(seed)
    ).double()


def gated_at(gamma: list[float], *, costs: bool = False, seed: int = 0) -> Gated:
    gated = Gated(mlp(len(gamma), seed), costs=costs).double()
    with torch.no_grad():
        gated.gamma.copy_(torch.tensor(gamma))
    return gated


def log_odds(n: int) -> Tensor:
    return torch.tensor([0.8, -1.5, 0.2, 2.5, -0.4, 1.3, -2.2, 0.6], dtype=torch.float64)[:n]


def quadratic(n: int) -> F:
    couplings = randn(SAMPLES, n, n, seed=2)
    slopes = 2 * randn(SAMPLES, n, seed=3)
    return lambda nu: (
        torch.einsum("...si,sij,...sj->...s", nu, couplings, nu) + (nu * slopes).sum(-1)
    )


def exponential(n: int) -> F:
    slopes = randn(SAMPLES, n, seed=4) / n**0.5
    return lambda nu: (nu * slopes).sum(-1).exp()


def perceptron(n: int) -> F:
    first = randn(n, 9, seed=5)
    bias = randn(SAMPLES, 9, seed=6)
    last = randn(9, seed=7)
    return lambda nu: (nu @ first + bias).tanh() @ last


def reconstruction(n: int) -> F:
    gated = Gated(mlp(n)).double()
    z = 2 * randn(SAMPLES, n, seed=8)
    x = digits(SAMPLES)

    def energy(nu: Tensor) -> Tensor:
        code = torch.cat([z.expand_as(nu), nu], -1).flatten(0, -2)
        y = gated(code).detach()
        return SQUARES.per_sample(y, x.repeat(len(y) // SAMPLES, 1)).reshape(nu.shape[:-1])

    return energy


def exact(energy: F, gamma: Tensor) -> Tensor:
    """Mean over samples of d/dgamma sum over all states of P(state) F(state)."""
    gamma = gamma.clone().requires_grad_()
    states = torch.tensor([*product((0.0, 1.0), repeat=len(gamma))], dtype=torch.float64)
    p = torch.where(states == 1, gamma.sigmoid(), (-gamma).sigmoid()).prod(1)
    (gradient,) = torch.autograd.grad(
        p @ energy(states[:, None].expand(-1, SAMPLES, -1)).mean(1), gamma
    )
    return gradient


def per_sample_estimates(energy: F, gamma: Tensor, draws: Draws) -> Tensor:
    """Estimates of 150 batches, each of 80 draws for each sample."""
    estimates = []
    for u in rand(150, 80, SAMPLES, len(gamma), seed=len(gamma)):
        nu, twin = draws(gamma, u)
        estimates.append(arm(energy(nu), energy(twin), u))
    return torch.stack(estimates)


def shared_estimates(energy: F, gamma: Tensor, draws: Draws) -> Tensor:
    """Estimates of 800 batches, each of one draw that all samples share."""
    estimates = []
    for u in rand(800, len(gamma), seed=len(gamma)):
        nu, twin = (gates.expand(SAMPLES, -1) for gates in draws(gamma, u))
        estimates.append(arm(energy(nu).mean(), energy(twin).mean(), u))
    return torch.stack(estimates)


def deviation(estimates: Tensor, wanted: Tensor) -> float:
    """The largest distance of a mean of estimates from its target, in standard errors."""
    error = estimates.std(0) / len(estimates) ** 0.5
    return ((estimates.mean(0) - wanted).abs() / error).max().item()


every_energy = pytest.mark.parametrize("make", [quadratic, exponential, perceptron, reconstruction])


@every_energy
@pytest.mark.parametrize("n", [1, 4, 8])
def test_arm_is_the_exact_gradient_of_samples_with_gates_of_their_own(
    make: Callable[[int], F], n: int
):
    energy = make(n)
    gamma = log_odds(n)
    assert (
        deviation(per_sample_estimates(energy, gamma, drawn), exact(energy, gamma)) < 4
    )  # standard errors


@pytest.mark.parametrize("make, n", [(quadratic, 4), (reconstruction, 8), (exponential, 1)])
def test_arm_is_the_exact_gradient_of_a_mean_over_samples_that_share_their_gates(
    make: Callable[[int], F], n: int
):
    energy = make(n)
    gamma = log_odds(n)
    assert (
        deviation(shared_estimates(energy, gamma, drawn), exact(energy, gamma)) < 4
    )  # standard errors


def swapped(gamma: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The wrong sign."""
    nu, twin = drawn(gamma, u)
    return twin, nu


def same(gamma: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """No antithesis."""
    nu = drawn(gamma, u)[0]
    return nu, nu


def independent(gamma: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """An antithesis that knows nothing of u: half the gradient."""
    return drawn(gamma, u)[0], drawn(gamma, rand(*u.shape, seed=9))[1]


def mirrored(gamma: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """An antithesis with the opposite probability."""
    nu = drawn(gamma, u)[0]
    return nu, 1 - nu


@every_energy
@pytest.mark.parametrize("wrong", [swapped, same, independent, mirrored])
def test_check_of_arm_notices_wrong_draws(make: Callable[[int], F], wrong: Draws):
    energy = make(4)
    gamma = log_odds(4)
    assert deviation(per_sample_estimates(energy, gamma, wrong), exact(energy, gamma)) > 4


@pytest.mark.parametrize("wrong", [swapped, same])
def test_check_of_shared_gates_notices_wrong_draws(wrong: Draws):
    energy = quadratic(4)
    gamma = log_odds(4)
    assert deviation(shared_estimates(energy, gamma, wrong), exact(energy, gamma)) > 4


def test_rows_of_draws_count_alike_in_any_shape():
    energy = quadratic(4)
    gamma = log_odds(4)
    u = rand(5, SAMPLES, 4)
    nu, twin = drawn(gamma, u)
    together = arm(energy(nu), energy(twin), u)
    flat = arm(energy(nu).flatten(), energy(twin).flatten(), u.flatten(0, 1))
    rows = [arm(a, b, c) for a, b, c in zip(energy(nu), energy(twin), u, strict=True)]
    assert torch.equal(together, flat)
    assert torch.allclose(
        together, torch.stack(rows).mean(0), rtol=0, atol=1e-14
    )  # sums of order 1 in another order


def test_both_draws_open_with_the_probability_of_the_gate():
    n = 20_000
    gamma = torch.tensor([-6.0, -2.0, 0.0, 0.5, 4.0], dtype=torch.float64)
    p = gamma.sigmoid()
    for gates in drawn(gamma, rand(n, 5)):
        assert set(gates.unique().tolist()) == {0.0, 1.0}
        assert ((gates.mean(0) - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()  # standard errors


def test_draws_are_opposite_at_even_odds_and_the_same_where_a_gate_is_sure():
    u = rand(1000, 3)
    nu, twin = drawn(torch.tensor([0.0, 40.0, -40.0], dtype=torch.float64), u)
    assert torch.equal(nu[:, 0], 1 - twin[:, 0])
    assert torch.equal(nu[:, 1:], twin[:, 1:])
    assert nu[:, 1].all() and not nu[:, 2].any()


@pytest.mark.parametrize("costs", [False, True])
def test_open_gates_are_the_decoder_itself_and_the_last_output_what_open_latents_cost(costs: bool):
    gated = gated_at([1.0] * 4, costs=costs)
    z = randn(3, 4)
    cost = rand(3, 4, seed=2)
    nu = torch.tensor([[1.0, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=torch.float64)
    y = gated(torch.cat([z, *[cost] * costs, nu], 1))
    assert (
        gated.latent_dim == 8 + 4 * costs
        and gated.data_shape == (64,)
        and gated.image_shape == (8, 8)
    )
    assert torch.equal(y[:, :64], gated.decoder(z * nu)) and torch.equal(
        y[0, :64], gated.decoder(z)[0]
    )
    assert y.shape == (3, 64 + costs)
    if costs:
        assert torch.equal(y[:, 64], (cost * nu).sum(1)) and y[2, 64] == 0


@pytest.mark.parametrize("costs", [False, True])
def test_closed_latents_have_no_influence_and_no_gradient(costs: bool):
    gated = gated_at([1.0] * 4, costs=costs)
    nu = torch.tensor([[1.0, 0, 0, 1]], dtype=torch.float64)
    z = randn(1, 4).requires_grad_()
    cost = rand(1, 4).requires_grad_()
    other = torch.where(nu == 1, z, -7.0), torch.where(nu == 1, cost, 1e6)
    y = gated(torch.cat([z, *[cost] * costs, nu], 1))
    assert torch.equal(y, gated(torch.cat([other[0], *[other[1]] * costs, nu], 1)))
    y.square().sum().backward()
    for leaf in (z, cost) if costs else (z,):
        assert (
            leaf.grad is not None
            and (leaf.grad[nu == 0] == 0).all()
            and (leaf.grad[nu == 1] != 0).all()
        )


@pytest.mark.parametrize("costs", [False, True])
def test_no_output_has_a_gradient_in_gates_or_log_odds(costs: bool):
    gated = gated_at([1.0] * 4, costs=costs)
    code = torch.cat(
        [randn(3, 4 + 4 * costs), torch.ones(3, 4, dtype=torch.float64)], 1
    ).requires_grad_()
    gated(code).square().sum().backward()
    assert (
        code.grad is not None
        and (code.grad[:, -4:] == 0).all()
        and code.grad[:, :4].abs().min() > 0
    )
    assert gated.gamma.grad is None and all(p.grad is not None for p in gated.decoder.parameters())


def test_gates_begin_at_the_probability_asked_for():
    gamma = Gated(mlp(), probability=0.8).gamma
    assert torch.allclose(gamma.sigmoid(), torch.full((4,), 0.8))
    assert gated_at([0.1, -0.1, 0.0, 3.0]).open.tolist() == [True, False, False, True]


def test_narrowed_decoder_is_the_gated_one_at_hard_gates_with_the_same_weights():
    gated = gated_at([2.0, -1.0, -0.1, 0.1])
    narrowed = gated.narrowed()
    z = randn(5, 2)
    full = torch.zeros(5, 4, dtype=torch.float64)
    full[:, [0, 3]] = z
    assert (
        narrowed.latent_dim == 2 and narrowed.data_shape == (64,) and narrowed.image_shape == (8, 8)
    )
    assert torch.equal(narrowed(z), gated(torch.cat([full, gated.open.double().expand(5, -1)], 1)))
    assert [
        a is b for a, b in zip(narrowed.parameters(), gated.decoder.parameters(), strict=True)
    ] == [True] * 4
    with torch.no_grad():
        gated.gamma.neg_()
    assert narrowed.latent_dim == 2 and torch.equal(narrowed(z), gated.decoder(full))


GATES = torch.tensor(
    [
        [1, 1, 1, 1],
        [1, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [1, 1, 0, 1],
        [0, 0, 1, 0],
    ],
    dtype=torch.float64,
)

every_solver = pytest.mark.parametrize(
    "arguments",
    [{}, {"solver": gfe.BFGS()}, {"solver": gfe.GaussNewton()}, {"flow": gfe.NesterovFlow()}],
    ids=["AMD", "BFGS", "GaussNewton", "AMD, momentum"],
)


@every_solver
def test_flow_leaves_closed_latents_at_zero_and_gates_as_they_are(arguments: dict[str, Any]):
    gated = gated_at([1.0] * 4)
    x = digits(7)
    code = encode_at(gated, x, GATES, max_steps=15, **arguments).z
    z, nu = code.split(4, 1)
    assert torch.equal(nu, GATES)
    assert (z[GATES == 0] == 0).all() and (z[GATES == 1] != 0).all()


@every_solver
def test_gates_of_other_samples_have_no_influence_on_a_code(arguments: dict[str, Any]):
    # widths of 8, 4, 16 and 64 are multiples of 4, for which codes are promised to the last bit
    gated = gated_at([1.0] * 4)
    x = digits(7)
    order = torch.tensor([3, 6, 0, 2, 5, 1, 4])
    find = partial(encode_at, gated, max_steps=15, **arguments)
    together = find(x, GATES).z
    assert torch.equal(
        together, torch.cat([find(*one).z for one in zip(x.split(1), GATES.split(1), strict=True)])
    )
    assert torch.equal(
        together,
        torch.cat([find(*some).z for some in zip(x.split(3), GATES.split(3), strict=True)]),
    )
    assert torch.equal(together[order], find(x[order], GATES[order]).z)
    others = torch.cat([GATES[:1], 1 - GATES[1:]])
    assert torch.equal(together[0], find(x, others).z[0])


@pytest.mark.parametrize("solver", [None, gfe.BFGS()], ids=["AMD", "BFGS"])
def test_flow_at_hard_gates_is_that_of_the_narrowed_decoder(solver: Any):
    gated = gated_at([2.0, -1.0, 1.0, -0.5])
    x = digits(7)
    stop = gfe.Stop(grad_norm=1e-10, energy_slope=0)
    nu = gated.open.double().expand(7, -1)
    ours = encode_at(gated, x, nu, loss=SQUARES, solver=solver, stop=stop)
    theirs = gfe.encode(gated.narrowed(), x, loss=SQUARES, solver=solver, stop=stop)
    # both end where the gradient is below 1e-10 (or where energies round), near the same minimum
    assert torch.allclose(ours.z[:, [0, 2]], theirs.z, rtol=0, atol=1e-6)
    assert torch.allclose(ours.energy, theirs.energy, rtol=1e-12)


def test_divergence_is_that_of_torch():
    mean = 2 * randn(6, 5)
    log_variance = randn(6, 5, seed=2)
    ours = distributions.Normal(mean, (0.5 * log_variance).exp())
    theirs = distributions.kl_divergence(ours, distributions.Normal(0.0, 1.0))
    # differences of numbers of order 10, some of them near 0
    assert torch.allclose(divergence(mean, log_variance), theirs, rtol=0, atol=1e-14)


def inference(gated: Gated, *, weight: Any = 1.0, seed: int = 3) -> Inference:
    network = Autoencoder.mirror(
        gated.decoder, latent_dim=2 * gated.n_gates, generator=generator(seed)
    )
    network.to(gated.gamma.dtype)
    loss = Evidence(likelihood=SQUARES, weight=weight)
    return Inference(network=network, loss=loss, generator=generator(seed + 1))


def test_inferred_code_is_a_draw_with_its_costs_and_gates():
    gated = gated_at([1.0] * 4, costs=True)
    x = digits(7)
    find = inference(gated)
    encoding = find(gated, x, GATES)
    mean, log_variance = find.network.layers(x).chunk(2, 1)
    noise = torch.randn(7, 4, dtype=torch.float64, generator=generator(4))
    wanted = torch.cat(
        [mean + (0.5 * log_variance).exp() * noise, divergence(mean, log_variance), GATES], 1
    )
    assert torch.equal(encoding.z, wanted)
    paid = (divergence(mean, log_variance) * GATES).sum(1)
    assert torch.equal(gated(encoding.z)[:, -1], paid) and paid[3] == 0 and paid[0] > 0
    assert torch.equal(encoding.energy, find.loss.per_sample(gated(encoding.z), x).detach())


def test_inference_teaches_its_network_by_open_latents_alone():
    gated = gated_at([1.0] * 4, costs=True)
    x = digits(5)
    find = inference(gated)
    nu = torch.tensor([1.0, 0, 1, 0], dtype=torch.float64).expand(5, -1)
    find.loss.per_sample(gated(find(gated, x, nu).z), x).mean().backward()
    last = cast(nn.Linear, find.network.layers[-1])
    for p in find.network.parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0
    assert last.bias.grad is not None
    assert torch.equal(last.bias.grad != 0, torch.tensor([True, False, True, False] * 2))


class Spy:
    """A way to find codes that remembers the gates it was asked for."""

    def __init__(self, find: Callable[..., Encoding]) -> None:
        self.find = find
        self.seen = []
        self.generator = getattr(find, "generator", None)

    def __call__(self, decoder: Any, x: Tensor, nu: Tensor) -> Encoding:
        self.seen.append(nu)
        return self.find(decoder, x, nu)


FIND = partial(encode_at, loss=SQUARES, max_steps=3)


class Run:
    """Training of a gated decoder that notes log-odds after each batch."""

    def __init__(
        self, gated: Gated, find: Callable[..., Encoding], *, lr: float = 0.5, **arguments: Any
    ) -> None:
        self.gated = gated
        self.find = Spy(find)
        self.constraint = arguments.pop("constraint", None) or Constraint(1e-9, smoothing=0.0)
        optimizer = torch.optim.SGD([gated.gamma], lr=lr)
        arguments = {"generator": generator(5)} | arguments
        self.narrowing = Narrowing(self.find, self.constraint, optimizer, **arguments)
        self.gammas = [gated.gamma.detach().clone()]

    def note(self, report: Report) -> None:
        self.gammas.append(self.gated.gamma.detach().clone())

    def fit(
        self,
        x: Tensor,
        *,
        loss: Any = SQUARES,
        size: int = 5,
        before: Any = (),
        more: Any = (),
        lr: float = 1e-3,
    ) -> "Run":
        """One pass over x in its order: `before`, gates learning, then `more` callbacks."""
        weights = [p for p in self.gated.decoder.parameters() if p.requires_grad]
        if isinstance(self.find.find, Inference):
            weights += self.find.find.network.parameters()
        batches = gfe.data.Batches(x, size=size, shuffle=False)
        calls = [*before, self.narrowing.learn, self.note, *more]
        optimizer = torch.optim.SGD(weights, lr=lr)
        gfe.fit(
            self.gated,
            batches,
            encoder=self.narrowing,
            loss=loss,
            optimizer=optimizer,
            callbacks=calls,
        )
        return self

    @property
    def moved(self) -> list[bool]:
        return [not torch.equal(a, b) for a, b in pairwise(self.gammas)]


def from_batch(constraint: Constraint, step: int, threshold: float) -> Callable[[Report], None]:
    """A callback that sets the threshold after this batch, for the next one."""

    def change(report: Report) -> None:
        if report.step == step:
            constraint.threshold = threshold

    return change


@pytest.mark.parametrize("kind", ["flow", "flow anew", "inference"])
def test_gates_are_open_and_do_not_move_until_the_constraint_was_first_met(kind: str):
    gated = gated_at([0.5, -0.5, 1.0, 0.0], costs=kind == "inference")
    run = Run(gated, inference(gated) if kind == "inference" else FIND, anew=kind == "flow anew")
    changes = [from_batch(run.constraint, 3, 1e9), from_batch(run.constraint, 5, 1e-9)]
    loss = Evidence(likelihood=SQUARES) if kind == "inference" else SQUARES
    run.fit(digits(40), loss=loss, more=changes)
    # the fourth batch meets the threshold; from the fifth on gates are drawn, and from the sixth it
    # is missed again
    assert run.moved == [False] * 3 + [True] * 5
    all_open = [bool(nu.all()) for nu in run.find.seen]
    assert all_open == [True] * 4 + [False] * (8 if kind == "flow anew" else 4)
    assert not run.constraint.met and gated.gamma.grad is None


@pytest.mark.parametrize("anew", [False, True])
def test_codes_are_found_twice_only_anew_and_only_for_drawn_gates(anew: bool):
    run = Run(gated_at([0.5, -0.5, 1.0, 0.0]), FIND, anew=anew)
    counts: list[int] = []
    more = [lambda _: counts.append(len(run.find.seen)), from_batch(run.constraint, 2, 1e9)]
    run.fit(digits(30), more=more)
    assert [b - a for a, b in pairwise([0, *counts])] == [1] * 3 + [1 + anew] * 3


def deaf(n: int = 4) -> Gated:
    """Gates that nothing depends on: what moves them is their price alone."""
    gated = gated_at([1.0, -0.5, 0.3, 2.0][:n])
    for p in gated.decoder.parameters():
        nn.init.zeros_(p)
    return gated


def test_price_of_gates_counts_only_while_the_constraint_is_met():
    run = Run(deaf(), FIND, lr=0.1, price=3.0, constraint=Constraint(1e9, smoothing=0.0))
    weights: list[Tensor] = []
    more = [
        lambda _: weights.append(run.constraint.weight.clone()),
        from_batch(run.constraint, 2, 1e-9),
        from_batch(run.constraint, 4, 1e9),
    ]
    run.fit(digits(30), more=more, lr=0.0)
    for i, met in enumerate([True, True, False, False, True, True]):
        p = run.gammas[i].sigmoid()
        step = run.gammas[i + 1] - run.gammas[i]
        cost = (3.0 * weights[i] * met).double()
        # one rounding of numbers of order 1
        assert torch.allclose(step, -0.1 * cost * p * (1 - p), rtol=0, atol=1e-15)
    assert weights[0] > 1 and weights[1] > weights[0] > weights[3], "it counts by its own weight"


def test_gates_of_needed_latents_open_while_the_constraint_is_violated():
    gated = gated_at([0.0] * 4)
    z = 2 * randn(200, 4, seed=6)
    needed = torch.tensor([True, False, True, False])

    def find(decoder: Any, x: Tensor, nu: Tensor) -> Encoding:
        y = encode_at(decoder, x, nu, loss=SQUARES, max_steps=1)
        return Encoding(torch.cat([z, nu], 1), y.energy, y.grad_norm, y.t, y.status, y.statistics)

    with torch.no_grad():
        cast(nn.Linear, gated.decoder.layers[0]).weight[:, ~needed] = 0
        x = gated.decoder(z)
    constraint = Constraint(1e9, smoothing=0.0)
    constraint.observe(1.0)
    constraint.threshold = 1e-9
    run = Run(gated, find, constraint=constraint).fit(x, size=200, lr=0.0)
    step = run.gammas[1] - run.gammas[0]
    # 200 samples with errors of order 1 that only the needed latents change: their noise is below
    # their gradient
    assert (step[needed] > 5 * step[~needed].abs().max()).all()


def test_what_is_learnt_is_arm_of_error_and_weighted_costs_of_the_same_draws():
    gated = gated_at([0.5, -0.5, 1.0, 0.0], costs=True)
    constraint = Constraint(1e9, smoothing=0.0)
    constraint.observe(1.0)
    constraint.threshold = 1e-9
    weight = constraint.weight.item()
    before = gated.gamma.detach().clone()
    x = digits(6)
    find = inference(gated)
    run = Run(gated, find, lr=1.0, constraint=constraint)
    run.fit(x, size=6, lr=0.0, loss=Evidence(likelihood=SQUARES, weight=constraint.weight))
    u = torch.rand(6, 4, dtype=torch.float64, generator=generator(5))
    nu, twin = drawn(before, u)
    assert torch.equal(run.find.seen[0], nu)
    code = inference(gated)(gated, x, nu).z
    loss = Evidence(likelihood=SQUARES, weight=weight)
    energy, other = (
        loss.per_sample(gated(torch.cat([code[:, :-4], gates], 1)), x) for gates in (nu, twin)
    )
    wanted = arm(energy, other, u).detach()
    # float64, the same numbers added in another order
    assert (
        torch.allclose(before - run.gammas[1], wanted, rtol=0, atol=1e-13) and wanted.norm() > 0.1
    )


@pytest.mark.filterwarnings("ignore:.*missing features:UserWarning")
@pytest.mark.parametrize("kind", ["flow", "inference"])
@pytest.mark.parametrize("lost", [[2], [0, 1, 2, 3, 4]], ids=["one sample", "a whole batch"])
def test_sample_that_is_not_a_number_teaches_nothing_and_spoils_nothing(kind: str, lost: list[int]):
    gated = gated_at([0.5, -0.5, 1.0, 0.0], costs=kind == "inference")
    constraint = Constraint(1e9, smoothing=0.0)
    constraint.observe(1.0)
    find = inference(gated) if kind == "inference" else FIND
    x = digits(10)
    statuses = []
    x[lost, 7] = math.nan
    run = Run(gated, find, constraint=constraint)
    loss = Evidence(likelihood=SQUARES) if kind == "inference" else SQUARES
    run.fit(x, loss=loss, more=[lambda report: statuses.append(report.encoding.status)])
    assert ((statuses[0] == gfe.Status.NON_FINITE).nonzero()[:, 0]).tolist() == lost
    assert run.moved == [len(lost) < 5, True]
    learnt = [
        *gated.parameters(),
        *(find.network.parameters() if isinstance(find, Inference) else ()),
    ]
    assert all(p.isfinite().all() for p in learnt) and math.isfinite(constraint.average)


def test_same_seeds_give_the_same_gates():
    def gammas() -> Tensor:
        gated = gated_at([0.5, -0.5, 1.0, 0.0], costs=True)
        constraint = Constraint(1e9, smoothing=0.0)
        run = Run(gated, inference(gated, weight=constraint.weight), constraint=constraint)
        torch.rand(1)  # draws from the global source have no effect
        return torch.stack(run.fit(digits(40), loss=cast(Inference, run.find.find).loss).gammas)

    assert torch.equal(gammas(), gammas())


Other = Callable[[Narrowing, Gated, Tensor], object]
OTHERS: dict[str, Other] = {
    "encoded": lambda rule, gated, x: rule(gated, x),
    "encoded at hard gates": lambda rule, gated, x: rule.hard(gated, x),
    "evaluated": lambda rule, gated, x: gfe.evaluate(gated, x, encoder=rule),
    "evaluated at hard gates": lambda rule, gated, x: gfe.evaluate(gated, x, encoder=rule.hard),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("kind", ["flow", "flow anew", "inference", "one generator for all"])
def test_other_data_between_two_updates_change_nothing_that_is_learnt(kind: str, other: str):
    """The fault to prevent: gates that learn from whatever was encoded last."""

    def trained(disturb: Callable[[Run], object]) -> list[Tensor]:
        of_network = kind in ("inference", "one generator for all")
        gated = gated_at([0.5, -0.5, 1.0, 0.0], costs=of_network)
        constraint = Constraint(1e9, smoothing=0.0)
        constraint.observe(1.0)
        find = inference(gated, weight=constraint.weight) if of_network else FIND
        chance = find.generator if isinstance(find, Inference) and "one" in kind else generator(5)
        run = Run(gated, find, constraint=constraint, anew=kind == "flow anew", generator=chance)
        loss = find.loss if isinstance(find, Inference) else SQUARES

        def between(_: Report) -> None:  # what a callback returns would end the training
            disturb(run)

        run.fit(digits(30), loss=loss, before=[between], more=[between])
        network = find.network.parameters() if isinstance(find, Inference) else ()
        return [*run.gammas, *gated.parameters(), *network, torch.tensor(constraint.average)]

    unseen = -3.0 * digits(40)[30:37]
    alone = trained(lambda run: None)
    beside = trained(lambda run: OTHERS[other](run.narrowing, run.gated, unseen))
    assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))
    assert not torch.equal(alone[0], alone[6])


def test_draws_go_on_with_what_is_learnt_from_and_only_then():
    gated = gated_at([0.5, -0.5, 1.0, 0.0], costs=True)
    find = inference(gated)
    run = Run(gated, find)
    x = digits(5)
    noise = [run.narrowing.hard(gated, x).z for _ in range(2)]
    assert torch.equal(noise[0], noise[1])
    noise[1].sum().backward()
    assert not torch.equal(run.narrowing.hard(gated, x).z, noise[1])
    codes: list[Tensor] = []
    gfe.fit(
        gated,
        gfe.data.Batches(x.repeat(3, 1), size=5, shuffle=False),
        encoder=run.narrowing.hard,
        loss=find.loss,
        optimizer=torch.optim.SGD(gated.decoder.parameters(), lr=0.0),
        callbacks=[lambda report: codes.append(report.encoding.z.detach())],
    )
    assert not torch.equal(codes[0], codes[1]) and not torch.equal(codes[1], codes[2])


def test_draws_of_a_batch_that_failed_are_made_again():
    gated = gated_at([0.5, -0.5, 1.0, 0.0])

    def interrupted(decoder: Any, x: Tensor, nu: Tensor) -> Encoding:
        raise KeyboardInterrupt

    run = Run(gated, interrupted)
    assert run.narrowing.generator is not None
    state = run.narrowing.generator.get_state()
    with pytest.raises(KeyboardInterrupt):
        run.narrowing(gated, digits(5))
    assert torch.equal(run.narrowing.generator.get_state(), state)


def test_gates_refuse_to_learn_from_codes_that_something_else_found():
    gated = gated_at([0.5, -0.5, 1.0, 0.0])
    run = Run(gated, FIND)
    batches = gfe.data.Batches(digits(10), size=5)
    with pytest.raises(ValueError, match="must come from a Narrowing.* got Encoding. Pass it to"):
        gfe.fit(
            gated,
            batches,
            encoder=run.narrowing.hard,
            loss=SQUARES,
            callbacks=[run.narrowing.learn],
        )


def test_evaluation_is_at_hard_gates():
    gated = gated_at([0.5, -0.5, 1.0, -3.0])
    x = digits(6)
    run = Run(gated, FIND)
    found = gfe.evaluate(gated, x, encoder=run.narrowing.hard, loss=SQUARES)
    assert torch.equal(
        run.find.seen[0], torch.tensor([1.0, 0, 1, 0], dtype=torch.float64).expand(6, -1)
    )
    assert torch.equal(
        found.energy, encode_at(gated, x, run.find.seen[0], loss=SQUARES, max_steps=3).energy
    )


def planted(scale: float, noise: float, n: int) -> tuple[Tensor, Tensor]:
    """Data x = z W + noise of two latents in 16 features, and the transpose of W."""
    frame = torch.linalg.qr(torch.randn(16, 2, generator=generator(1)))[0]
    z = torch.randn(n, 2, generator=generator(2))
    return scale * z @ frame.T + noise * torch.randn(n, 16, generator=generator(3)), frame


def narrow(
    gated: Gated,
    find: Any,
    constraint: Constraint,
    x: Tensor,
    weights: list[Any],
    *,
    loss: Any,
    lr: float,
    epochs: int,
    anew: bool = False,
) -> Narrowing:
    """Train weights and gates in batches of 64."""
    optimizer = torch.optim.Adam(weights, lr=lr)
    of_gates = torch.optim.Adam([gated.gamma], lr=0.05)
    narrowing = Narrowing(
        find, constraint, of_gates, price=100.0, anew=anew, generator=generator(6)
    )
    gfe.fit(
        gated,
        gfe.data.Batches(x, size=64),
        encoder=narrowing,
        loss=loss,
        optimizer=optimizer,
        epochs=epochs,
        callbacks=[narrowing.learn],
    )
    return narrowing


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_autoencoder_keeps_the_two_latents_that_were_planted():
    x, _ = planted(3.0, 0.1, 512)
    decoder = gfe.MLPDecoder(latent_dim=6, hidden=(32,), data_dim=16, generator=generator())
    # the best plane leaves the noise of 14 features
    gated = Gated(decoder, costs=True)
    constraint = Constraint(3 * 14 * 0.1**2, smoothing=0.95)
    find = inference(gated, weight=constraint.weight)
    weights = [*decoder.parameters(), *find.network.parameters()]
    narrowing = narrow(gated, find, constraint, x, weights, loss=find.loss, lr=1e-2, epochs=60)
    assert gated.open.sum() == 2
    error = SQUARES.per_sample(gated(narrowing.hard(gated, x).z)[:, :16], x).mean()
    assert error <= constraint.threshold
    assert (
        constraint.average < 1.2 * constraint.threshold
    )  # of drawn gates: it swings about the threshold


@pytest.mark.usefixtures("unchecked")
@pytest.mark.slow
def test_flow_keeps_the_two_latents_that_were_planted():
    # a needed latent must save more than the price: 40^2 in squares, against 100 / lambda
    x, frame = planted(40.0, 3.0, 128)
    decoder = gfe.LinearDecoder(latent_dim=6, data_dim=16, generator=generator())
    with torch.no_grad():
        decoder.linear.weight.mul_(0.2)[:, [1, 4]] = frame
    # the best plane leaves the noise of 14 features
    gated = Gated(decoder)
    constraint = Constraint(2 * 14 * 3.0**2, smoothing=0.95)
    find = partial(encode_at, loss=SQUARES, max_steps=5)
    weights = [*decoder.parameters()]
    narrowing = narrow(
        gated, find, constraint, x, weights, loss=SQUARES, lr=5e-3, epochs=75, anew=True
    )
    assert gated.open.tolist() == [False, True, False, False, True, False] and constraint.met
    narrowed = gfe.encode(gated.narrowed(), x, loss=SQUARES).energy.mean()
    assert (
        narrowing.hard(gated, x).energy.mean() <= constraint.threshold
        and narrowed <= constraint.threshold
    )


def refused(energy: Tensor, u: Tensor) -> str:
    with pytest.raises(ValueError) as caught:
        arm(energy, energy, u)
    return str(caught.value)


@pytest.mark.usefixtures("unchecked")
def test_mean_over_a_batch_is_refused_for_gates_of_each_sample_and_the_reverse():
    per_sample = randn(7)
    shared = randn(1)[0]
    remedy = "Draw a row for each sample and do not average, or share one row and average."
    for energy, u, wanted in (
        (shared, rand(7, 4), (7,)),
        (per_sample, rand(4), ()),
        (per_sample, rand(1, 4), (1,)),
    ):
        shapes = (
            f"must have shape {wanted}, one number for each row of `u`, got "
            f"{tuple(energy.shape)} and "
        )
        text = refused(energy, u)
        assert text.startswith("`energy` and `twin` ") and shapes in text and text.endswith(remedy)
    with pytest.raises(ValueError, match=r"must have shape \(7,\).* got \(7,\) and \(\)"):
        arm(per_sample, shared, rand(7, 4))


def narrowing_of(**arguments: Any) -> Narrowing:
    gated = gated_at([1.0])
    return Narrowing(FIND, Constraint(1.0), torch.optim.SGD([gated.gamma], lr=0.1), **arguments)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: Gated(mlp(), probability=0.0),
            "`probability` must lie strictly between 0 and 1, got 0.0.",
        ),
        (
            lambda: Gated(mlp(), probability=1.0),
            "`probability` must lie strictly between 0 and 1, got 1.0.",
        ),
        (lambda: gated_at([-1.0, -2.0]).narrowed(), "`is_open` has no open gate"),
        (lambda: Narrowed(mlp(2), torch.tensor([False, False])), "`is_open` has no open gate"),
        (lambda: narrowing_of(price=0.0), "`price` must be a positive finite number, got 0.0."),
        (
            lambda: narrowing_of(price=math.nan),
            "`price` must be a positive finite number, got nan.",
        ),
        (lambda: narrowing_of(error=gfe.Gaussian()), "`error` must be a sum over features"),
        (
            lambda: encode_at(gated_at([1.0] * 4), digits(2)[:, :9], GATES[:2]),
            "`x` must have shape (batch, 64)",
        ),
        (
            lambda: encode_at(gated_at([1.0] * 4), digits(2), GATES),
            "`nu` must hold the gates of each sample, shape (2, 4), such as `decoder.hard(x)`",
        ),
    ],
)
def test_bad_argument_is_named_with_what_was_got(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


VERBS = {
    "encode": gfe.encode,
    "encode_observed": gfe.encode_observed,
    "evaluate": gfe.evaluate,
    "fit": gfe.fit,
    "laplace": partial(gfe.posterior.laplace, prior=gfe.posterior.GaussianPrior.standard(8)),
    "stored codes": lambda decoder, x, loss: StoredCodes(partial(gfe.encode, loss=loss))(
        decoder, x
    ),
    "around it": lambda decoder, x, loss: gfe.encode(
        gfe.wrap(decoder, latent_dim=8, data_shape=(64,)), x, loss=loss
    ),
}
"""Verbs that would start the flow of a gated decoder at the origin, where every gate is shut."""


@pytest.mark.parametrize("verb", VERBS)
def test_gated_decoder_without_gates_to_start_from_is_refused(verb):
    gated = gated_at([1.0] * 4).float()
    with pytest.raises(ValueError, match="`decoder` has gates, which are part of its codes"):
        VERBS[verb](gated, digits(7).float(), loss=SQUARES)


def test_remedies_for_a_gated_decoder_find_codes():
    gated = gated_at([1.0] * 4)
    x = digits(7)
    at_gates = encode_at(gated, x, gated.hard(x), loss=SQUARES)
    narrowed = gfe.encode(gated.narrowed(), x, loss=SQUARES)
    inner = gfe.encode(gated.decoder, x, loss=SQUARES)
    for encoding in (at_gates, narrowed):
        # each ends where its stop rule leaves at most 5e-5 of the descent
        torch.testing.assert_close(encoding.energy, inner.energy, rtol=1e-4, atol=0)


def test_further_starts_of_a_gated_decoder_are_refused_because_they_would_draw_gates():
    with pytest.raises(ValueError, match="`n_starts` must be 1 for a decoder with gates, got 3"):
        encode_at(gated_at([1.0] * 4), digits(7), GATES, n_starts=3)


def test_decoder_whose_codes_hold_costs_is_refused_where_a_flow_would_need_them():
    gated = gated_at([1.0] * 4, costs=True)
    with pytest.raises(ValueError, match="codes with costs, which only an `Inference` knows"):
        encode_at(gated, digits(7), GATES)
    assert gfe.encode(gated.narrowed(), digits(7)).z.shape == (7, 4)


@pytest.mark.usefixtures("unchecked")
def test_gates_and_samples_may_be_arrays():
    gated = gated_at([1.0] * 4)
    expected = encode_at(gated, digits(7), GATES, loss=SQUARES)
    found = encode_at(gated, digits(7).numpy(), GATES.numpy(), loss=SQUARES)
    assert torch.equal(found.z, expected.z)
    assert torch.equal(gated.hard(digits(7).numpy()), gated.hard(digits(7)))


def test_dtype_of_the_decoder_is_kept():
    gated = gated_at([0.5, -0.5, 1.0, 0.0], costs=True).float()
    x = digits(5).float()
    code = inference(gated)(gated, x, GATES[:5].float()).z
    assert (
        code.dtype
        == gated(code).dtype
        == gated.narrowed()(torch.zeros(1, 2)).dtype
        == torch.float32
    )
    assert gated.double().narrowed()(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.slow
def test_a_looser_threshold_closes_gates_one_after_the_other():
    # Of five gates that 0.4 of the variance needs, 0.65 needs one or two. A multiplier that fell by
    # 3 % a batch closed all but one at once, and the error rose to 1.27 times the threshold.
    x = gfe.data.load("digits").take(1500).x
    variance = (x - x.mean(0)).square().sum(1).mean().item()
    chance = generator(0)
    constraint = Constraint(0.4 * variance, smoothing=0.95)
    decoder = gfe.MLPDecoder(latent_dim=16, hidden=(64, 128), data_dim=64, generator=chance)
    network = Autoencoder.mirror(decoder, latent_dim=32, generator=chance)
    gated = Gated(decoder, costs=True)
    loss = Evidence(likelihood=SQUARES, weight=constraint.weight)
    find = Inference(network=network, loss=loss, generator=chance)
    gates = torch.optim.Adam([gated.gamma], lr=0.05)
    narrowing = Narrowing(find, constraint, gates, price=100, generator=chance)
    adam = torch.optim.Adam([*decoder.parameters(), *network.parameters()], lr=2e-3)
    batches = gfe.data.Batches(x, size=64, seed=0)
    errors: list[float] = []
    n_open: list[int] = []

    def note(_: Report) -> None:
        errors.append(constraint.average / constraint.threshold)
        n_open.append(int(gated.open.sum()))

    for share, epochs in ((0.4, 40), (0.65, 25)):
        constraint.threshold = share * variance
        start = len(errors)
        calls = [narrowing.learn, note]
        gfe.fit(
            gated,
            batches,
            encoder=narrowing,
            loss=loss,
            optimizer=adam,
            epochs=epochs,
            callbacks=calls,
        )
    assert n_open[start] > n_open[-1] >= 1
    assert max(errors[start:]) < 1.2
    assert constraint.multiplier > 10, "it never fell so far that every latent is too dear"


@pytest.mark.parametrize("make", [shrinking_autoencoder, shrinking_flow])
def test_a_shrinking_model_moves_gates_and_a_copy_goes_the_same_way(
    make: Callable[..., Shrinking],
):
    x = digits(128).float()
    model = make(x, 4, threshold=1e3, hidden=(16,), seed=1)  # met at once, so that gates learn
    before = model.gated.gamma.detach().clone()
    model.learn(epochs=1)
    other = deepcopy(model)
    histories = [one.learn(epochs=2).energy for one in (model, other)]
    assert histories[0] == histories[1]
    assert torch.equal(model.gated.gamma, other.gated.gamma)
    assert not torch.allclose(model.gated.gamma, before, atol=0.1), "the price closes gates"


def test_a_shrinking_flow_is_judged_at_hard_gates_on_any_samples():
    x = digits(64).float()
    model = shrinking_flow(x, 4, threshold=5.0, hidden=(16,))
    with torch.no_grad():
        model.gated.gamma.copy_(torch.tensor([3.0, -3.0, 3.0, -3.0]))
    inside = model.gated.narrowed()
    z = gfe.encode(inside, x, loss=SQUARES, max_steps=8).z
    assert torch.allclose(model.error(x), SQUARES.per_sample(inside(z), x), rtol=1e-3)


def test_a_penalty_on_codes_moves_no_gate():
    inner = gfe.LinearDecoder(latent_dim=2, data_dim=4, generator=generator(0))
    gated = Gated(inner)
    x, nu = torch.rand(3, 4, generator=generator(1)), torch.tensor([[1.0, 1.0]] * 2 + [[1.0, 0.0]])
    loss = gfe.Gaussian(reduction="sum")

    def prior(z: Tensor) -> Tensor:
        return 0.5 * z.square().sum(1)

    found = encode_at(gated, x, nu, loss=loss, penalty=prior)
    assert found.z[:, 2:].equal(nu)
    with pytest.raises(ValueError, match="may move them. Use `narrowing.encode_at"):
        gfe.encode(gated, x, z0=found.z, loss=loss, penalty=prior)
    plain = gfe.encode(inner, x[:2], loss=loss, penalty=prior)
    torch.testing.assert_close(found.z[:2, :2], plain.z, rtol=1e-3, atol=1e-4)
