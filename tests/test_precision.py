"""Neither `torch.autocast` nor another default dtype changes what the kit computes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain

import pytest
import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core import density, posterior

X = gfe.data.load("digits").take(24).x
SOLVERS = (gfe.AMD(), gfe.BFGS(), gfe.LBFGS(), gfe.GaussNewton())
GRIDS = (gfe.Euler(dt=2.0), gfe.RK4(n_steps=3), gfe.Dopri5())

Surroundings = Callable[[], AbstractContextManager[object]]


@contextmanager
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SURROUNDINGS: dict[str, Surroundings] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "double by default": double_by_default,
}
every_surroundings = pytest.mark.parametrize("around", SURROUNDINGS.values(), ids=SURROUNDINGS)


def decoder() -> gfe.MLPDecoder:
    source = torch.Generator().manual_seed(0)
    return gfe.MLPDecoder(latent_dim=3, hidden=(8,), data_dim=64, generator=source)


def codes(model: gfe.MLPDecoder) -> list[Tensor]:
    found = [gfe.encode(model, X, solver=solver, max_steps=20) for solver in SOLVERS]
    found += [gfe.encode(model, X, solver=solver, t1=6.0, max_steps=20) for solver in GRIDS]
    kept = gfe.encode(model, X, solver=GRIDS[0], t1=6.0, save_at=gfe.SaveAt.times([0.0, 3.0]))
    assert kept.trajectory is not None
    numbers = [[one.z, one.energy, one.grad_norm, one.t] for one in found]
    return [*chain.from_iterable(numbers), kept.trajectory.z, gfe.reconstruct(model, kept)]


def evaluation(model: gfe.MLPDecoder) -> list[Tensor]:
    found = gfe.evaluate(model, X)
    return [found.energy, found.excess]


def training(model: gfe.MLPDecoder) -> list[Tensor]:
    gfe.fit(model, gfe.data.Batches(X, size=8), epochs=2)
    return [p.detach() for p in model.parameters()]


def gradients(model: gfe.MLPDecoder) -> list[Tensor]:
    found: list[Tensor] = []
    for adjoint in (gfe.Implicit(), gfe.DiscreteAdjoint(), gfe.Unrolled()):
        z = gfe.encode(model, X, adjoint=adjoint, max_steps=5).z
        found += torch.autograd.grad(z.square().sum(), list(model.parameters()))
    return found


def doubt(model: gfe.MLPDecoder) -> list[Tensor]:
    prior = posterior.GaussianPrior.standard(3)
    found = posterior.laplace(model, X, prior=prior)
    dense = density.log_density(model, found.best, gfe.Bernoulli(), prior=prior)
    return [found.z, found.precision, found.sample(2, torch.Generator().manual_seed(0)), dense]


def sets(_: gfe.MLPDecoder) -> list[Tensor]:
    made = [gfe.data.load(name) for name in ("digits", "circle", "line", "spectra", "shapes")]
    batches = gfe.data.Batches(X.double().numpy(), size=24, shuffle=False)
    return [*(one.x[:9] for one in made), *(one.y[:9] for one in made), *batches]


@pytest.mark.slow
@every_surroundings
@pytest.mark.parametrize(
    "computed",
    [codes, evaluation, training, gradients, doubt, sets],
    ids=lambda function: function.__name__,
)
def test_numbers_and_their_types_are_the_same(
    computed: Callable[[gfe.MLPDecoder], list[Tensor]], around: Surroundings
):
    usual = computed(decoder())
    model = decoder()
    with around():
        found = computed(model)
    assert [one.dtype for one in found] == [one.dtype for one in usual]
    same = [torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(found, usual, strict=True)]
    assert all(same)


def test_autocast_goes_on_after_a_call():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gfe.encode(decoder(), X, max_steps=2)
        assert torch.is_autocast_enabled("cpu")
        assert decoder()(torch.zeros(1, 3)).dtype == torch.bfloat16
