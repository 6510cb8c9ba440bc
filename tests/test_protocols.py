"""The smallest flow, solver, loss, decoder, adjoint and encoder that satisfy each protocol."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from problems import generator
from torch import Tensor

import gfe_core as gfe
from gfe_core.solvers import Solver, State, Step
from gfe_core.types import (
    Accelerated,
    Adjoint,
    Codes,
    Decoder,
    Descent,
    Encoding,
    Flow,
    Loss,
    Status,
)

WEIGHTS = torch.randn(4, 9, dtype=torch.float64, generator=generator(1))
X = torch.rand(6, 9, dtype=torch.float64, generator=generator(2))


class Falling:
    """A flow that goes downhill at half the speed: two methods and nothing else."""

    def start(self, z0: Tensor) -> Tensor:
        return z0

    def velocity(self, t: Tensor, y: Tensor, grad: Tensor) -> Tensor:
        return -0.5 * grad


class Descending(Falling):
    """A flow that says how fast it falls."""

    order = 1

    def alpha(self, t: Tensor) -> Tensor:
        return torch.full_like(t, 0.5)

    def force(self, t: Tensor, grad: Tensor) -> Tensor:
        return -0.5 * grad


class Rolling:
    """A flow with constant friction, from rest."""

    order = 2

    def start(self, z0: Tensor) -> Tensor:
        return torch.cat([z0, torch.zeros_like(z0)], 1)

    def velocity(self, t: Tensor, y: Tensor, grad: Tensor) -> Tensor:
        v = y[:, grad.shape[1] :]
        return torch.cat([v, -v - grad], 1)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def force(self, t: Tensor, grad: Tensor) -> Tensor:
        return -grad

    def friction(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def momentum(self, age: Tensor) -> Tensor:
        return age / (age + 3)


class Halving:
    """A solver that takes one length for all steps."""

    default_stop = None
    default_max_steps = 20
    has_time = False
    memory = 1

    def schedule(self, z0: Tensor, t1: float) -> None:
        return None

    def begin(self, energy: gfe.Energy, flow: Flow, state: State) -> None:
        pass

    def step(self, energy: gfe.Energy, flow: Flow, state: State, *, t1: float) -> Step:
        dt = torch.full_like(state.t, 0.1)
        y = state.y + dt[:, None] * flow.velocity(state.t, state.y, state.grad)
        going = torch.full_like(state.status, int(Status.RUNNING))
        return Step(y, dt, dt, torch.ones_like(state.fresh), going)


class Absolute:
    """A loss that is no square: the sum of |y - x|, rounded at the corner. One method is enough."""

    def per_sample(self, output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        away = ((output - x).square() + 1e-2).sqrt()
        return (away if mask is None else torch.where(mask, away, 0.0)).sum(1)


class Matrix:
    """A decoder that is no module."""

    latent_dim = 4
    data_shape: tuple[int, ...] = (9,)

    def __call__(self, z: Tensor) -> Tensor:
        return z @ WEIGHTS


class Constant:
    """An adjoint that lets nothing through."""

    replays: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False

    def check(self, decoder: object, flow: object, solver: object) -> None:
        pass

    def attach(self, decoder: object, solution: gfe.adjoints.Solution) -> Codes:
        return solution.encoding.z


FIXED = {
    "Euler": (gfe.Euler(dt=0.1), 2.0),
    "RK4": (gfe.RK4(dt=0.2), 2.0),
    "Dopri5": (gfe.Dopri5(dt_init=0.1), 2.0),
    "own": (Halving(), float("inf")),
}
MINIMISERS = {
    "AMD": gfe.AMD(),
    "BFGS": gfe.BFGS(),
    "GaussNewton": gfe.GaussNewton(),
    "Dopri5": gfe.Dopri5(),
}
SQUARES = gfe.Gaussian()


def falls(encoding: Encoding) -> bool:
    """Whether every code explains its sample better than the origin does."""
    start = gfe.Energy(Matrix(), X, SQUARES).value(torch.zeros(6, 4, dtype=torch.float64))
    return bool((encoding.energy < start).all())


def test_the_smallest_of_each_satisfy_their_protocols():
    assert isinstance(Falling(), Flow) and not isinstance(Falling(), Descent)
    assert isinstance(Descending(), Descent) and not isinstance(Descending(), Accelerated)
    assert isinstance(Rolling(), Accelerated) and isinstance(gfe.NesterovFlow(), Accelerated)
    assert isinstance(gfe.GradientFlow(), Descent)
    assert not isinstance(gfe.GradientFlow(), Accelerated)
    assert isinstance(Halving(), Solver) and isinstance(Absolute(), Loss)
    assert isinstance(Matrix(), Decoder) and isinstance(Constant(), Adjoint)


@pytest.mark.parametrize("name", FIXED)
def test_flow_of_two_methods_is_followed_by_solvers_that_only_need_its_velocity(name, unchecked):
    solver, t1 = FIXED[name]
    arguments = {"loss": SQUARES, "solver": solver, "t1": t1, "max_steps": 20}
    found = gfe.encode(Matrix(), X, flow=Falling(), **arguments)
    same = gfe.encode(Matrix(), X, flow=gfe.GradientFlow(rate=0.5), **arguments)
    assert falls(found) and torch.equal(found.z, same.z)


@pytest.mark.parametrize("name", [*MINIMISERS, "SemiImplicit"])
def test_flow_of_two_methods_is_refused_by_solvers_that_need_its_rate(name, unchecked):
    solver = MINIMISERS.get(name, gfe.SemiImplicit(dt=0.1))
    t1 = 2.0 if name in ("SemiImplicit", "Dopri5") else float("inf")
    message = (
        rf"`{name}.*needs a `flow` with `alpha`.*`order`; Falling has only `start`, `velocity`"
    )
    with pytest.raises(TypeError, match=message):
        gfe.encode(Matrix(), X, loss=SQUARES, flow=Falling(), solver=solver, t1=t1)


@pytest.mark.parametrize("name", MINIMISERS)
def test_flow_that_says_how_fast_it_falls_is_followed_by_every_solver_without_momentum(
    name, unchecked
):
    arguments = {"loss": SQUARES, "solver": MINIMISERS[name], "max_steps": 20}
    arguments["t1"] = 2.0 if name == "Dopri5" else float("inf")
    found = gfe.encode(Matrix(), X, flow=Descending(), **arguments)
    same = gfe.encode(Matrix(), X, flow=gfe.GradientFlow(rate=0.5), **arguments)
    assert falls(found) and torch.equal(found.z, same.z)


@pytest.mark.parametrize("name", ["AMD", "SemiImplicit", "RK4", "Dopri5"])
def test_flow_with_momentum_of_ones_own_is_followed(name, unchecked):
    solvers = {"AMD": gfe.AMD(), "SemiImplicit": gfe.SemiImplicit(dt=0.1)}
    solver = solvers.get(name) or {"RK4": gfe.RK4(dt=0.1), "Dopri5": gfe.Dopri5()}[name]
    t1 = float("inf") if name == "AMD" else 2.0
    found = gfe.encode(Matrix(), X, loss=SQUARES, flow=Rolling(), solver=solver, t1=t1)
    assert falls(found)


def test_second_order_without_momentum_is_refused_by_the_accelerated_method(unchecked):
    class Heavy(Descending):
        order = 2

    with pytest.raises(ValueError, match="`friction`, `momentum`; Heavy has only"):
        gfe.encode(Matrix(), X, loss=SQUARES, flow=Heavy())


@pytest.mark.parametrize("name", ["AMD", "BFGS", "GaussNewton"])
def test_loss_of_ones_own_is_minimised(name, unchecked):
    loss = Absolute()
    start = loss.per_sample(torch.zeros_like(X), X)
    found = gfe.encode(Matrix(), X, loss=loss, solver=MINIMISERS[name], max_steps=40)
    assert (found.energy < start).all()
    z = found.z.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss.per_sample(Matrix()(z), X).sum(), z)
    torch.testing.assert_close(found.grad_norm, grad.norm(dim=1), rtol=1e-6, atol=1e-9)
    assert torch.equal(gfe.reconstruct(Matrix(), found), Matrix()(found.z))


def test_adjoint_and_encoder_of_ones_own_train_a_decoder(unchecked):
    decoder = gfe.LinearDecoder(latent_dim=4, data_dim=9, generator=generator(3)).double()

    def encoder(one: Decoder, x: Tensor) -> Encoding:
        return gfe.encode(one, x, loss=SQUARES, adjoint=Constant(), max_steps=5)

    batches = gfe.data.Batches(X, size=6, seed=0)
    history = gfe.fit(decoder, batches, encoder=encoder, loss=SQUARES, epochs=5)
    assert history.energy[-1] < history.energy[0]


@dataclass
class Nothing:
    """It satisfies no protocol."""


@pytest.mark.parametrize("name", ["flow", "solver", "adjoint"])
def test_what_satisfies_no_protocol_is_refused_by_the_names_of_what_is_missing(name, unchecked):
    first = {"flow": "start", "solver": "begin", "adjoint": "attach"}[name]
    with pytest.raises(TypeError, match=rf"`encode` needs a `{name}` with `{first}`.*none of them"):
        arguments: dict[str, Any] = {name: Nothing()}
        gfe.encode(Matrix(), X, **arguments)


def test_class_in_place_of_an_object_is_refused(unchecked):
    with pytest.raises(TypeError, match=r"`solver=gfe.AMD\(\)`"):
        gfe.encode(Matrix(), X, solver=gfe.AMD)  # pyright: ignore[reportArgumentType]
