"""The race runs what can run, says why the rest does not, and judges all by the same energy."""

import math
from typing import Any

import pytest
import torch
from peers import Racer, attempts, residuals
from race import race
from torch import Tensor

import gfe_core as gfe
from gfe_core.experiments import speed

DECODER = gfe.MLPDecoder(
    latent_dim=2, hidden=(8,), data_dim=9, generator=torch.Generator().manual_seed(0)
)
X = torch.rand(6, 9, generator=torch.Generator().manual_seed(1))
TUNE = torch.rand(4, 9, generator=torch.Generator().manual_seed(2))


def stub(decoder: Any, x: Tensor, n: float):
    """A peer whose choice is the step of gradient descent."""
    return lambda rate: gfe.encode(decoder, x, solver=gfe.Euler(dt=rate), t1=rate * n).z


def broken(decoder: Any, x: Tensor, n: float):
    def run(choice: Any) -> Tensor:
        raise RuntimeError("no Jacobian\nof this layer")

    return run


def half_installed(decoder: Any, x: Tensor, n: float):
    raise ImportError("libpeer.so is missing")


RACERS = (
    Racer("LBFGS", attempts(gfe.LBFGS()), (3, 30), peer=False),
    Racer("stub", stub, (5, 40), choices=(1e-3, 0.5)),
    Racer("absent", stub, (5,), packages=("no_such_package",)),
    Racer("broken", broken, (5,)),
    Racer("half installed", half_installed, (5,)),
)


@pytest.fixture(scope="module")
def raced() -> dict[str, Any]:
    return race(DECODER, X, TUNE, repeats=2, patience=math.inf, racers=RACERS)


def test_peers_that_are_missing_or_fail_are_listed_with_their_reason(raced: dict[str, Any]):
    assert {one["method"]: one["reason"] for one in raced["left_out"]} == {
        "absent": 'did not install: no_such_package is missing, pip install ".[bench]"',
        "broken": "did not run: no Jacobian",
        "half installed": "did not install: libpeer.so is missing",
    }
    assert [time["method"] for time in raced["times"]] == ["LBFGS", "stub"]


def test_every_budget_is_timed_and_judged_by_the_energy(raced: dict[str, Any]):
    runs = {(run["method"], run["budget"]): run for run in raced["runs"]}
    assert list(runs) == [("LBFGS", 3), ("LBFGS", 30), ("stub", 5), ("stub", 40)]
    assert all(run["seconds"] > 0 for run in runs.values())
    assert [run["repeats"] for run in runs.values()][:2] == [2, 2], "the first racer always"
    assert runs["LBFGS", 30]["gap"] < 1e-6 < runs["LBFGS", 3]["gap"]
    energy = gfe.Energy(DECODER, X, gfe.Bernoulli())
    few, many = (energy.value(stub(DECODER, X, n)(0.5)).mean().item() for n in (5, 40))
    assert runs["stub", 5]["gap"] - runs["stub", 40]["gap"] == pytest.approx(few - many, rel=1e-3)


def test_a_peer_gets_the_choice_that_is_best_on_other_images(raced: dict[str, Any]):
    assert raced["choices"] == {"stub": 0.5}


def test_without_patience_larger_budgets_are_left_out():
    raced = race(DECODER, X, TUNE, repeats=2, patience=0.0, racers=RACERS[:2])
    runs = [(run["method"], run["budget"]) for run in raced["runs"]]
    assert runs == [("LBFGS", 3), ("LBFGS", 30), ("stub", 5)]


def test_half_the_square_sum_of_the_residuals_is_the_energy_above_its_floor():
    x = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.3, 0.3, 0.5, 1 / 255], dtype=torch.float64)
    at = torch.tensor([-9.0, 2.0, 9.0, -2.0, 1.0, -0.86, 0.01, -5.5], dtype=torch.float64)
    at.requires_grad_()
    loss = gfe.Bernoulli(reduction="sum")
    excess = loss.per_sample(at[None], x[None]) - loss.floor(x[None])
    half = residuals(torch, at, x).square() / 2
    # Where the series replaces a difference, it is exact to d squared: 0.05 ** 2 / 36.
    torch.testing.assert_close(half.sum(), excess[0], rtol=1e-4, atol=0)
    (slope,) = torch.autograd.grad(half.sum(), at)
    torch.testing.assert_close(slope, torch.sigmoid(at.detach()) - x, rtol=1e-3, atol=1e-9)


def test_residuals_have_finite_slopes_everywhere():
    x = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.3, 0.5])
    at = torch.tensor([-200.0, 200.0, -200.0, 200.0, -200.0, 0.0], requires_grad=True)
    (slope,) = torch.autograd.grad(residuals(torch, at, x).sum(), at)
    assert slope.isfinite().all()


def setting(**times: tuple[float | None, float | None]) -> dict[str, Any]:
    return {
        "decoder": "one_pass",
        "latents": 20,
        "images": 1000,
        "repeats": 1,
        "left_out": [],
        "times": [
            {"method": name, "peer": name != "LBFGS", "longest": 9.0}
            | {f"seconds to {gap:g}": s for gap, s in zip(speed.GAPS, seconds, strict=True)}
            for name, seconds in times.items()
        ],
    }


def test_the_table_compares_lbfgs_with_the_best_peer_that_reached_each_gap():
    raced = {
        "a": setting(LBFGS=(1.0, 2.0), p=(2.0, None), q=(4.0, 8.0)),
        "b": setting(LBFGS=(1, 2)),
    }
    lines = speed.race_table(raced).splitlines()
    assert "| p | 2 / > 9 | - |" in lines
    assert "| **LBFGS over the best peer** | 0.50 / 0.25 | - / - |" in lines
