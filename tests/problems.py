"""Encoding problems that several test files share.

Real digits, briefly trained decoders, and one with a closed form.

Everything is float64 and seeded. What is cached here is shared between tests: nobody may change it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.types import Decoder, Encoding, Statistics, Status

EPS = torch.finfo(torch.float64).eps
EARLY = gfe.Stop(
    energy_slope=3e-3
)  # samples finish at different times, within the few steps that a test can afford

SOLVERS = {
    "barzilai_borwein": (gfe.AMD(), {"max_steps": 40, "stop": EARLY}),
    "carry": (gfe.AMD(trial="carry"), {"max_steps": 40, "stop": EARLY}),
    "memory 8": (gfe.AMD(memory=8), {"max_steps": 40, "stop": EARLY}),
    "Euler": (gfe.Euler(n_steps=25), {"t1": 200.0}),
    "RK4": (gfe.RK4(n_steps=8), {"t1": 80.0}),
    "Dopri5": (gfe.Dopri5(), {"t1": 80.0}),
    "GaussNewton": (gfe.GaussNewton(), {"max_steps": 12, "stop": EARLY}),
    "BFGS": (gfe.BFGS(), {"max_steps": 40, "stop": EARLY}),
    "LBFGS": (gfe.LBFGS(), {"max_steps": 40, "stop": EARLY}),
    "barzilai_borwein, momentum": (
        gfe.AMD(),
        {"max_steps": 40, "stop": EARLY, "flow": gfe.NesterovFlow()},
    ),
    "carry, momentum": (
        gfe.AMD(trial="carry"),
        {"max_steps": 40, "stop": EARLY, "flow": gfe.NesterovFlow()},
    ),
    "SemiImplicit": (gfe.SemiImplicit(n_steps=25), {"t1": 50.0, "flow": gfe.NesterovFlow()}),
    "RK4, momentum": (gfe.RK4(n_steps=8), {"t1": 20.0, "flow": gfe.NesterovFlow()}),
    "Dopri5, momentum": (gfe.Dopri5(), {"t1": 20.0, "flow": gfe.NesterovFlow()}),
}
"""Every kind of step, with the arguments of `encode` that keep it short."""


@cache
def all_digits() -> Tensor:
    """Return the 1797 digits of scikit-learn, 64 grey values in [0, 1] each."""
    return torch.as_tensor(load_digits(return_X_y=True)[0] / 16, dtype=torch.float64)


def digits(n: int, start: int = 0) -> Tensor:
    """Return n of the digits."""
    return all_digits()[start : start + n].clone()


def generator(seed: int = 0) -> torch.Generator:
    """Return a fresh source of randomness."""
    return torch.Generator().manual_seed(seed)


def fresh(kind: str, seed: int = 0) -> Decoder:
    """Return an untrained float64 decoder of 64 pixels."""
    random = generator(seed)
    if kind == "mlp":
        return gfe.MLPDecoder(latent_dim=8, hidden=(32, 64), data_dim=64, generator=random).double()
    if kind == "conv":
        return gfe.ConvDecoder(
            latent_dim=8, image_shape=(8, 8), channels=(8, 4), generator=random
        ).double()
    return gfe.LinearDecoder(latent_dim=8, data_dim=64, generator=random).double()


@cache
def trained(kind: str) -> Decoder:
    """Return a decoder after fifteen updates on digits that the tests do not encode.

    No trivial landscape.
    """
    decoder = fresh(kind)
    assert isinstance(decoder, nn.Module)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for start in range(200, 680, 32):
        x = digits(32, start)
        z = gfe.encode(decoder, x, max_steps=10).z
        optimizer.zero_grad()
        gfe.Bernoulli().per_sample(decoder(z), x).mean().backward()
        optimizer.step()
    optimizer.zero_grad()
    return decoder


@keeps_rows_apart  # else the calls that ask whether it does would be counted
class Counting(nn.Module):
    """A decoder that counts its forward calls and the backward passes through its output."""

    def __init__(self, inner: Decoder) -> None:
        super().__init__()
        self.inner = inner
        self.latent_dim = inner.latent_dim
        self.data_shape = inner.data_shape
        self.calls: Counter[str] = Counter()

    def forward(self, z: Tensor) -> Tensor:
        self.calls["forward"] += 1
        output = self.inner(z)
        if output.requires_grad:
            output.register_hook(lambda _: self.calls.update(backward=1))
        return output


@dataclass(frozen=True)
class Quadratic:
    """Linear decoder with plain squared error.

    E = |x - W z - b|^2, so dz/dt = A (z_min - z) with A = 2 W'W.
    """

    decoder: gfe.LinearDecoder
    x: Tensor
    curvature: Tensor
    axes: Tensor

    loss = gfe.Gaussian(variance=0.5, reduction="sum")

    @property
    def minimum(self) -> Tensor:
        """Return the pseudo-inverse solution of every sample."""
        linear = self.decoder.linear
        return (self.x - linear.bias.detach()) @ torch.linalg.pinv(linear.weight.detach()).T

    def flow(self, t: float | Tensor, z0: Tensor | None = None) -> Tensor:
        """Return z(t) = z_min + exp(-A t) (z0 - z_min), at one time or at times (time, 1, 1)."""
        start = torch.zeros_like(self.minimum) if z0 is None else z0
        decay = torch.exp(-self.curvature * t)
        return self.minimum + ((start - self.minimum) @ self.axes * decay) @ self.axes.T

    def energy(self, z: Tensor) -> Tensor:
        """Return E from its formula."""
        linear = self.decoder.linear
        return (self.x - z @ linear.weight.detach().T - linear.bias.detach()).square().sum(-1)


def quadratic(curvature: Sequence[float] = (4.0, 2.0, 1.0, 0.5), batch: int = 5) -> Quadratic:
    """Return a linear problem whose Hessian A has these eigenvalues."""
    random = generator(3)
    k = len(curvature)
    axes = torch.linalg.qr(torch.randn(k, k, dtype=torch.float64, generator=random))[0]
    frame = torch.linalg.qr(torch.randn(16, k, dtype=torch.float64, generator=random))[0]
    values = torch.tensor(curvature, dtype=torch.float64)
    decoder = gfe.LinearDecoder(latent_dim=k, data_dim=16, generator=random).double()
    with torch.no_grad():
        decoder.linear.weight.copy_(frame * (values / 2).sqrt() @ axes.T)
    x = torch.randn(batch, 16, dtype=torch.float64, generator=random)
    return Quadratic(decoder, x, values, axes)


def log_slope(dt: Sequence[float], error: Sequence[float]) -> float:
    """Return the least-squares slope of log error on log dt: the observed order of convergence."""
    a = torch.tensor([math.log(value) for value in dt], dtype=torch.float64)
    b = torch.tensor([math.log(value) for value in error], dtype=torch.float64)
    a = a - a.mean()
    b = b - b.mean()
    return float((a * b).sum() / a.square().sum())


def per_sample(encoding: Encoding) -> dict[str, Tensor]:
    """Return every field of an encoding, with a missing time as -1 so that it compares equal."""
    counts = {name: getattr(encoding.statistics, name) for name in Statistics.__dataclass_fields__}
    names = ("z", "energy", "grad_norm", "status")
    return (
        {name: getattr(encoding, name) for name in names}
        | {"t": encoding.t.nan_to_num(-1.0)}
        | counts
    )


def joined(encodings: Sequence[Encoding]) -> dict[str, Tensor]:
    """Return `per_sample` of several encodings, one after the other."""
    parts = [per_sample(encoding) for encoding in encodings]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def differing(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """Name the fields that are not bit for bit the same."""
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def statuses(encoding: Encoding) -> list[Status]:
    """Return the status of each sample."""
    return [Status(code) for code in encoding.status.tolist()]


def energy_and_gradient(decoder: Decoder, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy of each sample and its gradient, by torch's own functions."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        energy = nn.functional.binary_cross_entropy_with_logits(
            decoder(z), x, reduction="none"
        ).mean(1)
        (gradient,) = torch.autograd.grad(energy.sum(), z)
    return energy.detach(), gradient
