from typing import Any

import pytest
import torch
from problems import EPS, generator

import gfe_core as gfe


@pytest.fixture
def z() -> torch.Tensor:
    return 0.5 * torch.randn(5, 8, dtype=torch.float64, generator=generator(7))


def test_gradient_flow_goes_downhill_at_its_rate(z):
    t = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    assert torch.equal(gfe.GradientFlow().velocity(t, z, z), -z)
    assert torch.equal(gfe.GradientFlow(rate=2.5).velocity(t, z, z), -2.5 * z)
    decaying = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=2.0)).velocity(t, z, z)
    torch.testing.assert_close(decaying, -torch.exp(-t)[:, None] * z, rtol=4 * EPS, atol=0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_not_positive_and_finite_are_refused(value):
    with pytest.raises(ValueError, match="`rate` must be a positive finite number"):
        gfe.GradientFlow(rate=value)
    with pytest.raises(ValueError, match="`tau` must be a positive finite number"):
        gfe.ExponentialDecay(tau=value)


def test_a_rate_may_be_a_class_of_ones_own_but_no_bare_function(z, unchecked):
    class Slow(gfe.ExponentialDecay):
        def __call__(self, t: torch.Tensor) -> torch.Tensor:
            return 1 / (1 + t / self.tau)

    t = torch.full((5,), 2.0, dtype=torch.float64)
    assert torch.equal(gfe.GradientFlow(rate=Slow(tau=2.0)).velocity(t, z, z), -z / 2)
    bare: Any = torch.exp
    with pytest.raises(TypeError, match="derive a class from it"):
        gfe.GradientFlow(rate=bare)


def test_momentum_starts_at_rest():
    z0 = torch.ones(3, 2, dtype=torch.float64)
    y = gfe.NesterovFlow().start(z0)
    assert torch.equal(y[:, :2], z0) and (y[:, 2:] == 0).all() and y.shape == (3, 4)


def test_velocity_with_momentum_is_the_velocity_and_what_friction_leaves_of_the_force():
    flow = gfe.NesterovFlow(damping=5.0, eps=0.5, rate=2.0)
    t = torch.tensor([0.5, 2.0], dtype=torch.float64)
    y = torch.tensor([[0.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
    grad = torch.tensor([[7.0], [0.25]], dtype=torch.float64)
    assert flow.velocity(t, y, grad).tolist() == [[1.0, -14.0 - 5.0], [-3.0, -0.5 + 6.0]]


@pytest.mark.parametrize("damping", [3.0, 7.0])
def test_acceleration_at_rest_is_the_limit_of_that_shortly_after(damping):
    flow = gfe.NesterovFlow(damping=damping, eps=0.0)
    grad = torch.ones(1, 1, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    at_rest = flow.velocity(zero, flow.start(grad), grad)
    assert at_rest[0, 0] == 0 and at_rest[0, 1] == -1 / (1 + damping)
    for t in (1e-9, 1e-3):
        on_the_solution = torch.tensor([[1.0, -t / (1 + damping)]], dtype=torch.float64)
        later = flow.velocity(zero + t, on_the_solution, grad)
        torch.testing.assert_close(later[:, 1], at_rest[:, 1], rtol=8 * EPS, atol=0)


@pytest.mark.parametrize(
    "flow", [gfe.GradientFlow(), gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=2.0))], ids=repr
)
def test_repr_of_a_flow_can_be_pasted_back(flow):
    names = {"GradientFlow": gfe.GradientFlow, "ExponentialDecay": gfe.ExponentialDecay}
    assert eval(repr(flow), names) == flow


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"damping": 0.0}, "`damping` must be a positive finite number"),
        ({"damping": float("nan")}, "`damping` must be a positive finite number"),
        ({"eps": -1e-9}, "`eps` must be at least 0 and finite"),
        ({"eps": float("inf")}, "`eps` must be at least 0 and finite"),
        ({"rate": -1.0}, "`rate` must be a positive finite number"),
    ],
    ids=str,
)
def test_momentum_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gfe.NesterovFlow(**arguments)
