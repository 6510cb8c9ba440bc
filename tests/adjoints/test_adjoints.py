import copy
import math
import statistics
import time
from functools import partial
from typing import Any

import pytest
import scipy.integrate
import torch
from problems import SOLVERS, digits, fresh, generator, log_slope, quadratic, trained
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.adjoints.exact import _followed
from gfe_core.adjoints.replay import Path
from gfe_core.types import Encoding, Status

NEVER = gfe.Stop(grad_norm=0, energy_slope=0)
DECAY = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=60.0))
MOMENTUM = gfe.NesterovFlow()
KEEP = gfe.SaveAt.steps()

CASES = {
    "Euler, even": (gfe.Euler(n_steps=8), {"t1": 40.0}),
    "Euler, uneven": (gfe.Euler(n_steps=8, grid="log"), {"t1": 40.0}),
    "Euler, falling rate": (gfe.Euler(n_steps=8, grid="log"), {"t1": 40.0, "flow": DECAY}),
    "Euler, momentum": (gfe.Euler(n_steps=8, grid="log"), {"t1": 12.0, "flow": MOMENTUM}),
    "RK4, uneven, falling rate": (gfe.RK4(n_steps=4, grid="log"), {"t1": 40.0, "flow": DECAY}),
    "RK4, momentum": (gfe.RK4(n_steps=4, grid="log"), {"t1": 12.0, "flow": MOMENTUM}),
    "SemiImplicit": (gfe.SemiImplicit(n_steps=8, grid="log"), {"t1": 12.0, "flow": MOMENTUM}),
    "Dopri5": (gfe.Dopri5(), {"t1": 40.0}),
    "AMD": (gfe.AMD(), {"max_steps": 25, "stop": gfe.Stop(energy_slope=1e-2)}),
    "AMD, carry": (gfe.AMD(trial="carry"), {"max_steps": 25, "stop": gfe.Stop(energy_slope=1e-2)}),
    "AMD, memory 8": (gfe.AMD(memory=8), {"max_steps": 12, "stop": NEVER}),
    "AMD, published": (gfe.AMD.published(), {"max_steps": 12, "stop": NEVER}),
}
"""Every kind of step that can be replayed, on even and uneven grids."""


def ridge(z: Tensor) -> Tensor:
    """A penalty that bends the energy in every direction."""
    return 2e-3 * z.square().sum(1)


def flat(tensors) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Distance relative to the length of the second: sees magnitude as well as direction."""
    return ((ours - theirs).norm() / theirs.norm()).item()


def squared(decoder, z: Tensor, x: Tensor) -> Tensor:
    """Another loss than the one the code minimises."""
    return (torch.sigmoid(decoder(z)) - x).square().sum()


def gradient(decoder, x: Tensor, outside=squared, **arguments) -> Tensor:
    """Derivative of a loss at the codes in all weights, by ordinary autograd."""
    z = gfe.encode(decoder, x, **arguments).z
    return flat(torch.autograd.grad(outside(decoder, z, x), list(decoder.parameters())))


def direction(decoder, seed: int = 5) -> list[Tensor]:
    random = generator(seed)
    return [torch.randn(p.shape, dtype=p.dtype, generator=random) for p in decoder.parameters()]


def moved(decoder, along: list[Tensor], h: float):
    """A copy with its weights moved by h times a direction."""
    other = copy.deepcopy(decoder)
    with torch.no_grad():
        for p, d in zip(other.parameters(), along, strict=True):
            p.add_(h * d)
    return other


def finite_difference(loss, decoder, along: list[Tensor], h: float = 1e-5) -> float:
    """Central difference; with h = 1e-5 its relative error is about 1e-9."""
    return (loss(moved(decoder, along, h)) - loss(moved(decoder, along, -h))).item() / (2 * h)


def dormand_prince(decoder, x: Tensor, steps: Tensor, **arguments) -> Tensor:
    """Replay recorded steps with the coefficients that scipy has."""
    energy = gfe.Energy(decoder, x, gfe.Bernoulli(), **arguments)
    z = x.new_zeros(len(x), decoder.latent_dim)
    table = scipy.integrate.RK45
    for dt in steps[:, :, None]:
        k = [-energy.at(z).grad()]
        for i in range(1, 6):
            ahead = sum(float(table.A[i, j]) * k[j] for j in range(i))
            k.append(-energy.at(z + dt * ahead).grad())
        z = z + dt * sum(float(b) * slope for b, slope in zip(table.B, k, strict=True))
    return z


def replayed(decoder, x: Tensor, solver, steps: Tensor, **arguments) -> Tensor:
    """Codes of a decoder by the steps that another one recorded."""
    if isinstance(solver, gfe.Dopri5):
        return dormand_prince(
            decoder, x, steps, mask=arguments["mask"], penalty=arguments["penalty"]
        )
    kind = gfe.Euler if isinstance(solver, gfe.AMD) else type(solver)
    given = {name: arguments[name] for name in ("flow", "mask", "penalty") if name in arguments}
    return gfe.encode(decoder, x, solver=kind(steps=steps), **given).z


@pytest.mark.parametrize("name", CASES)
def test_unrolled_equals_finite_differences_with_steps_and_decisions_replayed(name):
    solver, arguments = CASES[name]
    decoder = trained("mlp")
    x = digits(7)
    arguments = arguments | {
        "mask": torch.rand(7, 64, generator=generator(3)) < 0.7,
        "penalty": ridge,
    }
    found = gfe.encode(decoder, x, solver=solver, save_at=KEEP, **arguments)
    assert found.trajectory is not None
    path = Path.of(found.trajectory, found.status)
    steps = torch.where(torch.arange(len(path.dt))[:, None] < path.n_steps, path.dt, 0.0)
    torch.testing.assert_close(
        replayed(decoder, x, solver, steps, **arguments), found.z, rtol=1e-12, atol=1e-12
    )
    along = direction(decoder)
    expected = finite_difference(
        lambda other: squared(other, replayed(other, x, solver, steps, **arguments), x),
        decoder,
        along,
    )
    exact = gradient(decoder, x, solver=solver, adjoint=gfe.Unrolled(), **arguments) @ flat(along)
    assert abs(exact.item() / expected - 1) < 1e-6
    dropped = gradient(decoder, x, solver=solver, **arguments) @ flat(along)
    assert (path.n_steps < found.trajectory.mask.sum(0) - 1).any() == (
        "memory" in name
    )  # a best point, then worse ones
    assert abs(dropped.item() / expected - 1) > 1e-3  # the dropped term is not negligible


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("name", [name for name in CASES if name != "Dopri5"])
def test_discrete_adjoint_equals_unrolled_to_rounding(name, kind):
    solver, arguments = CASES[name]
    x = digits(7)
    seen = torch.rand(7, 64, generator=generator(3)) < 0.7
    arguments = arguments | {"solver": solver, "mask": seen, "penalty": ridge}
    unrolled = gradient(trained(kind), x, adjoint=gfe.Unrolled(), **arguments)
    walked = gradient(trained(kind), x, adjoint=gfe.DiscreteAdjoint(), **arguments)
    # some 25 steps, whose gradients are summed in another order
    assert relative(walked, unrolled) < 1e-12


class Toy(nn.Module):
    """E = (1.3 z - theta)^2 / 2."""

    latent_dim = 1
    data_shape: tuple[int, ...] = (1,)

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([0.9], dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return 1.3 * z - self.theta


def toy_gradient(solver, adjoint) -> float:
    toy = Toy()
    loss = gfe.Gaussian(reduction="sum")
    x = torch.zeros(1, 1, dtype=torch.float64)
    flow = gfe.GradientFlow(rate=0.7)
    z = gfe.encode(toy, x, loss=loss, flow=flow, solver=solver, t1=2.0, adjoint=adjoint).z
    return torch.autograd.grad(loss.per_sample(toy(z), x).sum(), toy.theta)[0].item()


@pytest.mark.parametrize(
    "adjoint", [gfe.Unrolled(), gfe.DiscreteAdjoint(), gfe.Implicit(frozen=True)]
)
@pytest.mark.slow
def test_scalar_toy_has_its_closed_form(adjoint, unchecked):
    exact = 0.9 * math.exp(-4.732)  # theta exp(-2 alpha c^2 t1)
    assert abs(exact - 0.007927952) < 1e-9
    assert abs(toy_gradient(gfe.RK4(n_steps=400), adjoint) / exact - 1) < 1e-7


def continuous(decoder, x: Tensor, found: Encoding) -> Tensor:
    """Equations 9 and 10 of the paper by Euler's rule on the states of the flow."""
    path = found.trajectory
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    assert path is not None
    z = path.z[-1].clone().requires_grad_()
    outside = squared(decoder, z, x)
    adjoint, *total = torch.autograd.grad(outside, [z, *decoder.parameters()])
    for at, dt in zip(path.z[1:].flip(0), path.dt[:-1].flip(0), strict=True):
        of_z, *of_weights = energy.linearised(at, list(decoder.parameters()))[1](adjoint)
        total = [so_far - dt[0] * part for so_far, part in zip(total, of_weights, strict=True)]
        adjoint = adjoint - dt[:, None] * of_z
    return flat(total)


@pytest.mark.slow
def test_plain_continuous_equations_approach_the_discrete_adjoint_with_slope_one_in_dt(unchecked):
    decoder = trained("mlp")
    x = digits(5)
    counts = (20, 40, 80, 160)
    errors = []
    for n in counts:
        arguments = {"solver": gfe.Euler(n_steps=n), "t1": 20.0}
        plain = continuous(decoder, x, gfe.encode(decoder, x, save_at=KEEP, **arguments))
        errors.append(
            relative(plain, gradient(decoder, x, adjoint=gfe.DiscreteAdjoint(), **arguments))
        )
    assert (
        abs(log_slope([20 / n for n in counts], errors) - 1) < 0.1
    )  # the next order is still felt at dt = 1


def smooth():
    """A decoder with tanh.

    The second derivative of ELU jumps, so that its Hessian has no slope to speak of.
    """
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, gfe.MLPDecoder)
    decoder.layers[1] = nn.Tanh()
    decoder.layers[3] = nn.Tanh()
    return decoder


def minimum(decoder, x: Tensor) -> Tensor:
    """Codes at the very bottom.

    A line search ends at the rounding of the energy, Newton's method at that of z.
    """
    energy = gfe.Energy(decoder, x, gfe.Bernoulli(), penalty=ridge)
    z = gfe.encode(
        decoder, x, solver=gfe.BFGS(), penalty=ridge, stop=gfe.Stop(grad_norm=1e-9, energy_slope=0)
    ).z
    for _ in range(4):
        z = z - torch.linalg.solve(energy.hessian(z), energy.at(z).grad())
    return z


def gradient_at(z: Tensor, decoder, x: Tensor, adjoint, outside) -> Tensor:
    """Gradient of a flow that has arrived in z: it starts there and hardly moves."""
    still = {"solver": gfe.Euler(dt=1e-12), "t1": 1e-12}
    return gradient(decoder, x, outside, z0=z, penalty=ridge, adjoint=adjoint, **still)


def inside(decoder, z: Tensor, x: Tensor) -> Tensor:
    return (gfe.Bernoulli().per_sample(decoder(z), x) + ridge(z)).sum()


@pytest.mark.parametrize(
    ("adjoint", "order"),
    [(gfe.Detached(), 1), (gfe.Implicit(hessian="gauss_newton"), 1), (gfe.Implicit(), 2)],
    ids=["detached", "gauss_newton", "true"],
)
def test_error_against_the_true_minimum_falls_with_the_latent_gradient_norm(adjoint, order):
    decoder = smooth()
    x = digits(16)
    bottom = minimum(decoder, x)
    energy = gfe.Energy(decoder, x, gfe.Bernoulli(), penalty=ridge)
    truth = gradient_at(bottom, decoder, x, gfe.Detached(), inside)
    away = torch.randn(16, 8, generator=generator(6))
    norms = []
    errors = []
    for distance in (1e-1, 3e-2, 1e-2, 3e-3):
        z = bottom + distance * away.double()
        norms.append(energy.at(z).grad().norm().item())
        errors.append(relative(gradient_at(z, decoder, x, adjoint, inside), truth))
    assert abs(log_slope(norms, errors) - order) < 0.05  # the next order, at a distance of 0.1


def test_another_loss_outside_needs_more_than_dropping():
    decoder = trained("mlp")
    x = digits(6)
    along = direction(decoder)

    expected = finite_difference(lambda other: squared(other, minimum(other, x), x), decoder, along)
    bottom = minimum(decoder, x)
    exact = gradient_at(bottom, decoder, x, gfe.Implicit(), squared) @ flat(along)
    dropped = gradient_at(bottom, decoder, x, gfe.Detached(), squared) @ flat(along)
    assert abs(exact.item() / expected - 1) < 1e-6
    assert abs(dropped.item() / expected - 1) > 0.05


@pytest.mark.parametrize("rate", [0.7, gfe.ExponentialDecay(tau=1.0)], ids=str)
@pytest.mark.slow
def test_frozen_factor_is_that_of_the_exact_flow_on_a_parabola(rate, unchecked):
    problem = quadratic()
    arguments = {"loss": problem.loss, "t1": 0.8, "flow": gfe.GradientFlow(rate=rate)}

    def outside(decoder, z, x):
        return (z * weights).sum()

    weights = torch.randn(5, 4, dtype=torch.float64, generator=generator(4))
    # the bias moves the minimum and leaves the Hessian alone, so that the frozen form is exact in
    # it
    exact, frozen, implicit = (
        gradient(
            problem.decoder,
            problem.x,
            outside,
            solver=gfe.RK4(n_steps=100),
            adjoint=adjoint,
            **arguments,
        )[-16:]
        for adjoint in (gfe.DiscreteAdjoint(), gfe.Implicit(frozen=True), gfe.Implicit())
    )
    assert relative(frozen, exact) < 1e-8  # RK4 with 100 steps of 0.008: 1e-10
    assert relative(implicit, exact) > 0.1


def test_frozen_factor_stays_finite_for_flat_and_negative_curvature():
    matrix = torch.diag_embed(torch.tensor([[0.0, -1e6, 2.0, 1e-9]], dtype=torch.float64))
    ones = torch.ones(1, 4, dtype=torch.float64)
    time = torch.tensor([3.0], dtype=torch.float64)
    expected = torch.tensor(
        [3.0, 3 * (math.e - 1), (1 - math.exp(-6)) / 2, 3.0], dtype=torch.float64
    )
    torch.testing.assert_close(_followed(matrix, ones, time)[0], expected, rtol=1e-7, atol=0)


def test_implicit_falls_back_where_there_is_no_minimum_to_follow():
    decoder = trained("mlp")
    x = digits(9)
    seen = torch.ones_like(x, dtype=torch.bool)
    seen[4] = False  # an energy without any curvature
    arguments = {"solver": gfe.Euler(n_steps=1), "t1": 1e-3, "mask": seen}
    z = gfe.encode(decoder, x, **arguments).z
    smallest = torch.linalg.eigvalsh(gfe.Energy(decoder, x, gfe.Bernoulli(), mask=seen).hessian(z))[
        :, 0
    ]
    assert (
        smallest[:4] < 0
    ).all()  # near the origin every code has a direction of negative curvature
    true, gauss_newton = (
        gradient(decoder, x, adjoint=gfe.Implicit(hessian=word), **arguments)
        for word in ("true", "gauss_newton")
    )
    assert true.isfinite().all() and relative(true, gauss_newton) < 1e-12
    rest = torch.arange(9) != 4
    without = arguments | {"mask": seen[rest]}
    parts = gradient(decoder, x[rest], adjoint=gfe.Implicit(), **without) + gradient(
        decoder, x[4:5], **arguments | {"mask": seen[4:5]}
    )
    assert relative(true, parts) < 1e-10


ADJOINTS = [
    gfe.Unrolled(),
    gfe.DiscreteAdjoint(),
    gfe.Implicit(),
    gfe.Implicit(hessian="gauss_newton", frozen=True),
]


@pytest.mark.parametrize("adjoint", ADJOINTS, ids=str)
def test_gradient_of_a_batch_is_the_sum_over_its_samples_and_bad_ones_add_nothing(adjoint):
    solver, arguments = CASES["AMD, carry"]
    x = digits(24)
    decoder = trained("mlp")
    x[[3, 20], 5] = math.nan
    good = [i for i in range(24) if i not in (3, 20)]
    arguments = arguments | {"solver": solver, "adjoint": adjoint, "penalty": ridge}

    def outside(_, z, x):
        return z.nan_to_num().square().sum()

    found = gfe.encode(decoder, x, **arguments)
    assert found.status[3] == Status.NON_FINITE and len(found.statistics.n_accepted.unique()) > 3
    together = gradient(decoder, x, outside, **arguments)
    parts = [
        gradient(decoder, x[rows], outside, **arguments) for rows in (good[:1], good[1:9], good[9:])
    ]
    # Hessians in float64 with condition numbers of some 1e3
    assert relative(together, sum(parts, torch.zeros(()))) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [gfe.Detached(), *ADJOINTS], ids=str)
@pytest.mark.parametrize("name", SOLVERS)
def test_codes_are_bit_identical_whatever_the_adjoint(name, adjoint):
    solver, arguments = SOLVERS[name]
    kept = gfe.SaveAt.times([0.0, 0.5]) if solver.has_time else gfe.SaveAt.steps()
    arguments = arguments | {"solver": solver, "save_at": kept}
    expected = gfe.encode(trained("mlp"), digits(5), **arguments)
    try:
        found = gfe.encode(trained("mlp"), digits(5), adjoint=adjoint, **arguments)
    except ValueError:
        return
    assert torch.equal(found.z, expected.z) and found.z.requires_grad == (adjoint != gfe.Detached())
    assert found.trajectory is not None and expected.trajectory is not None
    assert torch.equal(found.trajectory.z, expected.trajectory.z)


REFUSED = [
    (gfe.GaussNewton(), {}, gfe.Unrolled(), "Implicit()"),
    (gfe.GaussNewton(), {}, gfe.DiscreteAdjoint(), "Implicit()"),
    (gfe.BFGS(), {}, gfe.DiscreteAdjoint(), "Implicit()"),
    (gfe.LBFGS(), {}, gfe.DiscreteAdjoint(), "Implicit()"),
    (gfe.Dopri5(), {"t1": 1.0}, gfe.DiscreteAdjoint(), "Unrolled()"),
    (gfe.AMD(), {"flow": MOMENTUM}, gfe.Unrolled(), "SemiImplicit"),
    (gfe.AMD(), {}, gfe.Implicit(frozen=True), "AMD(trial='carry')"),
    (gfe.GaussNewton(), {}, gfe.Implicit(frozen=True), "Implicit()"),
    (gfe.RK4(dt=0.1), {"t1": 1.0, "flow": MOMENTUM}, gfe.Implicit(frozen=True), "GradientFlow()"),
]


@pytest.mark.parametrize(("solver", "arguments", "adjoint", "alternative"), REFUSED)
def test_combination_outside_the_table_is_refused_with_its_alternative(
    solver, arguments, adjoint, alternative
):
    with pytest.raises(ValueError, match=type(adjoint).__name__) as error:
        gfe.encode(trained("mlp"), digits(2), solver=solver, adjoint=adjoint, **arguments)
    assert alternative in str(error.value)


@pytest.mark.parametrize("adjoint", ADJOINTS, ids=str)
def test_code_of_a_decoder_that_holds_nothing_to_learn_has_no_graph(adjoint):
    class Function:
        latent_dim = 8
        data_shape: tuple[int, ...] = (64,)

        def __call__(self, z: Tensor) -> Tensor:
            return z @ torch.ones(8, 64, dtype=torch.float64)

    arguments = {"solver": gfe.Euler(dt=1.0), "t1": 2.0}
    assert not gfe.encode(Function(), digits(2), adjoint=adjoint, **arguments).z.requires_grad


@pytest.mark.parametrize("adjoint", ADJOINTS, ids=str)
def test_nothing_is_recorded_and_no_graph_is_made_where_no_gradient_is_wanted(adjoint, monkeypatch):
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, nn.Module)
    monkeypatch.setattr("gfe_core.solvers.recording.Recorder.add", None)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            encoded = gfe.encode(
                decoder, digits(2), solver=gfe.Euler(dt=1.0), t1=3.0, adjoint=adjoint
            )
            assert not encoded.z.requires_grad
    frozen = gfe.encode(
        decoder.requires_grad_(False), digits(2), solver=gfe.Euler(dt=1.0), t1=3.0, adjoint=adjoint
    )
    assert not frozen.z.requires_grad


@pytest.mark.parametrize("adjoint", ADJOINTS, ids=str)
def test_gradient_reaches_only_weights_that_ask_for_it(adjoint):
    arguments = {"solver": gfe.Euler(dt=4.0), "t1": 40.0, "penalty": ridge, "adjoint": adjoint}
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, gfe.MLPDecoder)
    z = gfe.encode(decoder, digits(4), **arguments).z
    expected = torch.autograd.grad(z.sum(), list(decoder.parameters()))
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, gfe.MLPDecoder)
    decoder.layers[0].requires_grad_(False)
    gfe.encode(decoder, digits(4), **arguments).z.sum().backward()
    assert [p.grad is None for p in decoder.parameters()] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    found = flat(p.grad for p in decoder.parameters() if p.grad is not None)
    assert relative(found, flat(expected[2:])) < 1e-12


def test_tied_weights_collect_both_parts():
    class Tied(nn.Module):
        latent_dim = 64
        data_shape: tuple[int, ...] = (64,)

        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(64, 64, bias=False).double()
            self.two = self.one

        def forward(self, z: Tensor) -> Tensor:
            return self.two(torch.tanh(self.one(z)))

    decoder = Tied()
    x = digits(3)
    with torch.no_grad():
        decoder.one.weight.copy_(
            torch.randn(64, 64, dtype=torch.float64, generator=generator(2)) / 8
        )
    along = direction(decoder)
    euler = gfe.Euler(dt=10.0)
    expected = finite_difference(
        lambda other: squared(other, gfe.encode(other, x, solver=euler, t1=30.0).z, x),
        decoder,
        along,
    )
    for adjoint in (gfe.Unrolled(), gfe.DiscreteAdjoint()):
        exact = gradient(decoder, x, solver=euler, t1=30.0, adjoint=adjoint) @ flat(along)
        assert abs(exact.item() / expected - 1) < 1e-6


def test_training_takes_the_gradient_through_the_code():
    batches = gfe.data.Batches(digits(64), size=32, seed=0)
    for adjoint in (gfe.Detached(), gfe.DiscreteAdjoint()):
        decoder = copy.deepcopy(fresh("mlp"))
        assert isinstance(decoder, nn.Module)
        encoder = partial(gfe.encode, solver=gfe.Euler(n_steps=1), t1=1.0, adjoint=adjoint)
        history = gfe.fit(decoder, batches, encoder=encoder, epochs=5, updates_per_encode=2)
        # one step of a new decoder hardly moves: only its gradient through the code can learn to
        # use it
        assert history.energy[-1] < history.energy[0] and not history.interrupted


def mnist_like() -> tuple[gfe.MLPDecoder, Tensor]:
    decoder = gfe.MLPDecoder(
        latent_dim=20, hidden=(150, 300, 600), data_dim=784, generator=generator()
    )
    return decoder, torch.rand(256, 784, generator=generator(1))


def peak(adjoint, n_steps: int) -> float:
    """Most bytes alive at a time between the encoding and the end of its backward pass."""
    decoder, x = mnist_like()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        z = gfe.encode(decoder, x, solver=gfe.Euler(n_steps=n_steps), t1=20.0, adjoint=adjoint).z
        torch.autograd.grad(z.sum(), list(decoder.parameters()))
    results: Any = profile.profiler.kineto_results  # pyright: ignore
    events = [event for event in results.events() if event.name() == "[memory]"]
    alive = torch.tensor([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]).cumsum(0)
    return alive.max().item()


def test_memory_of_the_discrete_adjoint_grows_by_the_stored_codes_only():
    codes = 256 * 20 * 4  # bytes
    walked, unrolled = (
        (peak(adjoint, 12) - peak(adjoint, 4)) / 8
        for adjoint in (gfe.DiscreteAdjoint(), gfe.Unrolled())
    )
    # codes, gradients, times and counts are recorded, and copied while they are sorted; the rest
    # is that of one step
    assert walked < 6 * codes
    assert unrolled > 100 * codes  # every layer's outputs and their derivatives


@pytest.mark.slow
def test_backward_of_the_discrete_adjoint_costs_at_most_four_gradients():
    decoder, x = mnist_like()
    ratios = []
    for _ in range(7):
        start = time.process_time()
        z = gfe.encode(
            decoder, x, solver=gfe.Euler(n_steps=6), t1=20.0, adjoint=gfe.DiscreteAdjoint()
        ).z
        middle = time.process_time()
        torch.autograd.grad(z.sum(), list(decoder.parameters()))
        ratios.append(
            (time.process_time() - middle) / (middle - start) * 7 / 6
        )  # the start takes a gradient too
    assert statistics.median(ratios) < 4
