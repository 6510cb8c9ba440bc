"""Many samples in one call: chunks, interrupts, several starts, and boxes."""

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
import torch
from problems import Quadratic, digits, generator, quadratic, trained
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.checks import box_for
from gfe_core.types import Encoding, Statistics, Status


def same(a: Encoding, b: Encoding) -> bool:
    """Whether two encodings are equal to the bit."""
    tensors = [(getattr(a, name), getattr(b, name)) for name in ("z", "energy", "status", "t")]
    tensors += [
        (getattr(a.statistics, f.name), getattr(b.statistics, f.name)) for f in fields(Statistics)
    ]
    return all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in tensors)


@pytest.mark.parametrize("solver", [gfe.AMD(), gfe.LBFGS()], ids=str)
def test_chunks_change_no_bit_for_decoders_of_the_kit(solver: Any) -> None:
    x = digits(13)
    mask = torch.rand(x.shape, generator=generator()) < 0.8
    z0 = 0.1 * torch.randn(13, 8, generator=generator(1), dtype=torch.float64)
    arguments: dict[str, Any] = {"solver": solver, "mask": mask, "z0": z0}
    whole = gfe.encode(trained("mlp"), x, save_at=gfe.SaveAt.steps(), **arguments)
    parts = gfe.encode(trained("mlp"), x, save_at=gfe.SaveAt.steps(), size=4, **arguments)
    assert same(whole, parts) and len(parts) == 13
    one, other = whole.trajectory, parts.trajectory
    assert one is not None and other is not None
    assert torch.equal(one.z, other.z) and torch.equal(one.mask, other.mask)
    assert torch.equal(one.energy, other.energy) and torch.equal(one.dt, other.dt)


def test_gradients_go_through_chunks() -> None:
    decoder = trained("linear")
    x = digits(6)
    arguments: dict[str, Any] = {"solver": gfe.Euler(dt=1.0), "t1": 3, "adjoint": gfe.Unrolled()}

    def gradient(size: int | None) -> Tensor:
        data = x.clone().requires_grad_()
        gfe.encode(decoder, data, size=size, **arguments).z.square().sum().backward()
        assert data.grad is not None
        return data.grad

    torch.testing.assert_close(gradient(2), gradient(None), rtol=1e-12, atol=0)


class Interrupting(nn.Module):
    """A decoder during whose n-th call the user presses Ctrl-C."""

    latent_dim = 8
    data_shape: tuple[int, ...] = (64,)

    def __init__(self, n: int) -> None:
        super().__init__()
        self.inner: Any = trained("mlp")
        self.row_multiple = self.inner.row_multiple
        self.n_left = n

    def forward(self, z: Tensor) -> Tensor:
        self.n_left -= 1
        if self.n_left == 0:
            raise KeyboardInterrupt
        return self.inner(z)


def calls_of(x: Tensor) -> int:
    """Return how often a decoder is called to encode x."""
    decoder = Interrupting(0)
    gfe.encode(decoder, x)
    return -decoder.n_left


def test_an_interrupt_keeps_the_codes_that_are_finished() -> None:
    x = digits(12)
    with pytest.warns(UserWarning, match=r"Interrupted: \d+ of 12 samples have codes"):
        found = gfe.encode(Interrupting(calls_of(x[:3]) + 5), x, size=3)
    whole = gfe.encode(trained("mlp"), x)
    n = int((found.status != Status.NOT_REACHED).sum())
    assert n == 3
    assert torch.equal(found.z[:n], whole.z[:n]) and (found.z[n:] == 0).all()
    assert found.energy[n:].isnan().all() and found.energy[:n].isfinite().all()
    assert (found.statistics.work[n:] == 0).all()
    assert "not reached" in repr(found).lower().replace("_", " ")


def test_an_interrupt_before_anything_is_finished_goes_through() -> None:
    for size in (3, None):
        with pytest.raises(KeyboardInterrupt):
            gfe.encode(Interrupting(2), digits(12), size=size)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning):
        decoder = Interrupting(calls_of(digits(3)) + 5)
        gfe.encode(decoder, digits(12), size=3, on_failure="raise")


def test_an_interrupt_ends_all_flows_of_a_posterior() -> None:
    prior = gfe.posterior.GaussianPrior.standard(8, dtype=torch.float64)
    loss = gfe.Bernoulli(reduction="sum")
    alone = Interrupting(0)
    gfe.encode(alone, digits(3), loss=loss, penalty=prior)
    with pytest.warns(UserWarning, match=r"Interrupted: 3 of 6 samples have codes"):
        posterior = gfe.posterior.laplace(
            Interrupting(5 - alone.n_left),
            digits(6),
            prior=prior,
            loss=loss,
            solver=gfe.AMD(),
            n_starts=4,
            generator=generator(),
            size=3,
        )
    reached = posterior.status != Status.NOT_REACHED
    assert reached.sum(0).tolist() == [1, 1, 1, 0, 0, 0]
    assert torch.equal(reached, posterior.log_mass.isfinite())


def test_an_interrupt_of_an_encoder_keeps_the_flow_after_it_from_starting() -> None:
    decoder = Interrupting(calls_of(digits(3)) + 5)
    twice = gfe.encoders.ThenFlow(partial(gfe.encode, size=3), lambda decoder, x, z0: pytest.fail())
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning):
        twice(decoder, digits(12))


def test_a_bar_counts_the_samples(capsys: pytest.CaptureFixture[str]) -> None:
    with_bar = gfe.encode(trained("mlp"), digits(7), size=3, progress=True, max_steps=3)
    assert "7/7" in capsys.readouterr().err
    assert same(with_bar, gfe.encode(trained("mlp"), digits(7), max_steps=3))


class Valleys(nn.Module):
    """Output sin(z): data that it explains exactly at many codes, and in part nowhere."""

    latent_dim = 1
    data_shape: tuple[int, ...] = (2,)

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([(z - 1).square() * (z + 2).square(), 0.1 * z], 1)


def test_the_best_of_several_starts_is_kept() -> None:
    # two valleys, near 1 and -2, as flat as z^4; the origin leads to the one near 1
    x = torch.tensor([[0.0, -0.2], [0.0, 0.1]], dtype=torch.float64)
    loss = gfe.Gaussian(reduction="sum")
    box: dict[str, Any] = {"bounds": (-3.0, 3.0)}
    one = gfe.encode(Valleys(), x, loss=loss, **box)
    many = gfe.encode(Valleys(), x, loss=loss, n_starts=6, **box)
    assert one.z[0, 0] > 0.5
    torch.testing.assert_close(many.z[:, 0], x.new_tensor([-2.0, 1.0]), rtol=0, atol=0.1)
    assert (many.energy <= one.energy).all()
    assert (many.statistics.work > 3 * one.statistics.work).all()
    alone = gfe.encode(Valleys(), x[:1], loss=loss, n_starts=6, **box)
    torch.testing.assert_close(alone.z, many.z[:1], rtol=1e-12, atol=0)


def test_starts_are_as_long_as_the_codes_in_any_unit() -> None:
    plain = gfe.encode(trained("mlp"), digits(5), n_starts=3)
    single = gfe.encode(trained("mlp"), digits(5))
    assert (plain.energy <= single.energy).all() and (plain.energy < single.energy).any()


def test_further_starts_leave_an_origin_that_is_stationary() -> None:
    class Square(nn.Module):
        latent_dim = 1
        data_shape: tuple[int, ...] = (1,)

        def forward(self, z: Tensor) -> Tensor:
            return z.square()

    x = torch.full((3, 1), 4.0, dtype=torch.float64)
    loss = gfe.Gaussian()
    with pytest.warns(UserWarning, match="`n_starts=4`"):
        assert (gfe.encode(Square(), x, loss=loss).z == 0).all()
    boxes: list[Any] = [None, (-5.0, 5.0), (0.0, float("inf")), (float("-inf"), float("inf"))]
    for bounds in boxes:
        found = gfe.encode(Square(), x, loss=loss, n_starts=5, bounds=bounds)
        torch.testing.assert_close(found.z.abs(), torch.full_like(x, 2.0), rtol=1e-2, atol=0)


@pytest.fixture
def problem() -> Quadratic:
    return quadratic()


def boxes(problem: Quadratic) -> Iterator[tuple[Any, Any]]:
    middle = problem.minimum.median().item()
    yield middle - 0.1, middle + 0.1
    yield -1e9, middle
    lower = problem.minimum.amin(0) - 1
    yield lower.tolist(), problem.minimum.mean(0)


def test_codes_in_a_box_satisfy_the_conditions_of_a_minimum_there(problem: Quadratic) -> None:
    tight = gfe.Stop(gain_rtol=1e-14)
    energy = gfe.Energy(problem.decoder, problem.x, problem.loss)
    for lower, upper in boxes(problem):
        found = gfe.encode(
            problem.decoder,
            problem.x,
            loss=problem.loss,
            bounds=(lower, upper),
            stop=tight,
            max_steps=3000,
        )
        low = torch.as_tensor(lower, dtype=torch.float64).expand_as(found.z)
        high = torch.as_tensor(upper, dtype=torch.float64).expand_as(found.z)
        assert (found.z >= low).all() and (found.z <= high).all()
        held = (found.z == low) | (found.z == high)
        assert held.any()
        _, gradient = energy.value_and_grad(found.z)
        scale = gradient.abs().max()
        assert (gradient[~held].abs() <= 1e-5 * scale).all()  # the square root of the rounding
        assert (gradient[found.z == low] >= 0).all() and (gradient[found.z == high] <= 0).all()


def test_a_box_around_the_minimum_changes_nothing(problem: Quadratic) -> None:
    arguments: dict[str, Any] = {"loss": problem.loss}
    free = gfe.encode(problem.decoder, problem.x, **arguments)
    held = gfe.encode(problem.decoder, problem.x, bounds=(-1e6, 1e6), **arguments)
    torch.testing.assert_close(free.z, held.z, rtol=1e-9, atol=1e-12)


def test_bounds_that_cannot_be_kept_are_refused(problem: Quadratic) -> None:
    decoder = problem.decoder
    x = problem.x

    def encode(**arguments: Any) -> Encoding:
        keywords: dict[str, Any] = {"bounds": (-1, 1)} | arguments
        return gfe.encode(decoder, x, loss=problem.loss, **keywords)

    for wrong in (
        {"solver": gfe.BFGS()},
        {"flow": gfe.NesterovFlow()},
        {"adjoint": gfe.Implicit()},
    ):
        with pytest.raises(ValueError, match="`bounds` are kept by projected gradient descent"):
            encode(**wrong)
    for bounds in ((1, -1), (0, 0), (0, float("nan"))):
        with pytest.raises(ValueError, match="lower < upper"):
            encode(bounds=bounds)
    for bounds in (1.0, "ab", (None, 1), ([0, 1], [1, 2, 3])):
        with pytest.raises(TypeError, match="`bounds` must be"):
            box_for(decoder, x, bounds)
    with pytest.raises(ValueError, match="`z0` must lie within `bounds`"):
        encode(z0=torch.full_like(problem.minimum, 5.0))
    with pytest.raises(ValueError, match="`n_starts` must be at least 1"):
        encode(n_starts=0)
    with pytest.raises(ValueError, match="`size` must be at least 1"):
        encode(size=0)
