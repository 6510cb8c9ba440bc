"""Neither `torch.autocast` nor another default dtype changes what the kit computes."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain

import pytest
import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core import density, posterior
from gfe_core.analysis import stiffness

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


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_small_matrices_of_half_precision_give_the_results_of_single_precision(kind: torch.dtype):
    half = gfe.LinearDecoder(latent_dim=3, data_dim=64, generator=torch.Generator().manual_seed(0))
    half = half.to(kind)
    single, x = copy.deepcopy(half).float(), X[:8].to(kind)
    summed = gfe.Gaussian(reduction="sum")

    def found(model: gfe.LinearDecoder, x: Tensor) -> dict[str, Tensor]:
        prior = posterior.GaussianPrior.standard(3, dtype=x.dtype)
        modes = posterior.laplace(model, x, prior=prior, loss=summed)
        arguments = {"loss": summed, "penalty": prior}
        newton, bfgs = (
            gfe.encode(model, x, solver=solver, **arguments).z
            for solver in (gfe.GaussNewton(), gfe.BFGS(matrix_at=1))
        )
        implicit, frozen = (
            gfe.encode(model, x, solver=gfe.RK4(n_steps=9), t1=1.0, adjoint=adjoint, **arguments).z
            for adjoint in (gfe.Implicit(), gfe.Implicit(frozen=True))
        )
        weights = list(model.parameters())
        return {
            "codes": newton,
            "codes of BFGS": bfgs,
            "deviations": modes.covariance.diagonal(dim1=2, dim2=3).sqrt(),
            "curvatures": stiffness.spectrum(model, newton, x, loss=summed).eigenvalues,
            "log density": posterior.GaussianPrior.fit(x[:, 10:12]).log_prob(x[:, 10:12]),
            "gradient": torch.autograd.grad(implicit.square().sum(), weights)[0],
            "gradient of a flow": torch.autograd.grad(frozen.square().sum(), weights)[0],
        }

    expected = found(single, x.float())
    for name, value in found(half, x).items():
        assert value.dtype == kind
        apart = (value.float() - expected[name]).norm() / expected[name].norm()
        # a line search ends where the energies are equal to rounding, other results are rounded
        assert apart < (0.1 if "codes" in name else 4 * torch.finfo(kind).eps), name
