"""Codes and statuses do not depend on the units of the data or of the latents."""

from functools import cache
from typing import Any

import pytest
import torch
from problems import digits, generator
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.types import Decoder, Encoding, Status

LOSS = gfe.Gaussian()
SOLVERS: dict[str, dict[str, Any]] = {
    "AMD": {},
    "AMD, carry": {"solver": gfe.AMD(trial="carry"), "max_steps": 60},
    "AMD, momentum": {"flow": gfe.NesterovFlow(), "max_steps": 60},
    "BFGS": {"solver": gfe.BFGS()},
    "LBFGS": {"solver": gfe.LBFGS()},
    "GaussNewton": {"solver": gfe.GaussNewton(), "max_steps": 40},
}
"""Everything that stops by a rule of its own."""
KINDS = ("mlp", "conv", "siren", "linear")


class Rescaled(nn.Module):
    """A decoder of data and latents in other units."""

    def __init__(self, inner: Decoder, *, data: float = 1.0, latents: float = 1.0) -> None:
        super().__init__()
        self.inner = inner
        self.latent_dim = inner.latent_dim
        self.data_shape = inner.data_shape
        self.data = data
        self.latents = latents

    def forward(self, z: Tensor) -> Tensor:
        return self.data * self.inner(z / self.latents)


@cache
def problem(kind: str, dtype: torch.dtype) -> tuple[Decoder, Tensor]:
    """Return a random decoder, and data that it explains in part."""
    if kind == "mlp":
        decoder: Any = gfe.MLPDecoder(
            latent_dim=4, hidden=(16, 32), data_dim=64, generator=generator()
        )
    elif kind == "conv":
        decoder = gfe.ConvDecoder(
            latent_dim=4, image_shape=(8, 8), channels=(8, 4), generator=generator()
        )
    elif kind == "siren":
        decoder = gfe.SirenDecoder(
            latent_dim=4, hidden=(16,), image_shape=(8, 8), w0=5.0, generator=generator()
        )
    else:
        decoder = gfe.LinearDecoder(latent_dim=4, data_dim=64, generator=generator())
    with torch.no_grad():
        clean = decoder(2 * torch.randn(6, 4, generator=generator(1)))
    noise = digits(6).reshape(clean.shape) - 0.5
    return decoder.to(dtype), (clean.to(dtype) + 0.2 * clean.std() * noise.to(dtype))


@cache
def encoded(
    solver: str, kind: str, dtype: torch.dtype, *, data: float = 1.0, latents: float = 1.0
) -> Encoding:
    """Encode the problem in these units."""
    decoder, x = problem(kind, dtype)
    other = Rescaled(decoder, data=data, latents=latents)
    return gfe.encode(other, data * x, loss=LOSS, **SOLVERS[solver])


@cache
def settled(kind: str) -> Encoding:
    """Encode the problem until the gradients have all but vanished."""
    decoder, x = problem(kind, torch.float64)
    still = gfe.Stop(grad_norm=1e-9)
    return gfe.encode(decoder, x, loss=LOSS, solver=gfe.BFGS(), stop=still, max_steps=3000)


def explained(found: Encoding, kind: str, dtype: torch.dtype, data: float = 1.0) -> Tensor:
    """Return the share of the energy of the code 0 that each code explains."""
    decoder, x = problem(kind, dtype)
    zeros = torch.zeros_like(found.z)
    with torch.no_grad():
        start = LOSS.per_sample(Rescaled(decoder, data=data)(zeros), data * x)
    return 1 - found.energy / start


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_units_that_are_powers_of_two_change_no_bit(
    solver: str, kind: str, dtype: torch.dtype
) -> None:
    plain = encoded(solver, kind, dtype)
    assert (plain.statistics.n_accepted > 0).all()
    for c in (2.0**-20, 2.0**20):
        small = encoded(solver, kind, dtype, data=c)
        assert torch.equal(small.z, plain.z)
        assert torch.equal(small.energy, c * c * plain.energy)
        assert torch.equal(small.status, plain.status)
        small = encoded(solver, kind, dtype, latents=c)
        assert torch.equal(small.z, c * plain.z)
        assert torch.equal(small.energy, plain.energy)
        assert torch.equal(small.status, plain.status)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_other_units_change_what_is_explained_by_less_than_a_thousandth(
    solver: str, kind: str
) -> None:
    for dtype in (torch.float32, torch.float64):
        plain = explained(encoded(solver, kind, dtype), kind, dtype).mean()
        for c in (1e-6, 3e-3, 1e6):
            other = explained(encoded(solver, kind, dtype, data=c), kind, dtype, c).mean()
            assert abs(other - plain) < 1e-3
            other = explained(encoded(solver, kind, dtype, latents=c), kind, dtype).mean()
            assert abs(other - plain) < 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_restart_from_a_minimum_converges_within_two_steps(solver: str, kind: str) -> None:
    decoder, x = problem(kind, torch.float64)
    rest = settled(kind)
    at_rest = rest.status == Status.CONVERGED
    assert at_rest.any()
    again = gfe.encode(decoder, x, loss=LOSS, z0=rest.z, **SOLVERS[solver])
    assert (again.status[at_rest] == Status.CONVERGED).all()
    assert again.statistics.n_steps[at_rest].max() <= 2


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_gradient_of_zero_at_the_start_is_a_minimum_found(solver: str) -> None:
    class Constant(nn.Module):
        latent_dim = 2
        data_shape: tuple[int, ...] = (3,)

        def forward(self, z: Tensor) -> Tensor:
            return 0.5 + 0 * z.sum(1, keepdim=True).expand(-1, 3)

    with pytest.warns(UserWarning, match="exactly 0 for all 4 samples"):
        found = gfe.encode(Constant(), torch.rand(4, 3), loss=LOSS, **SOLVERS[solver])
    assert (found.status == Status.CONVERGED).all()
    assert (found.z == 0).all() and (found.statistics.n_steps == 0).all()
