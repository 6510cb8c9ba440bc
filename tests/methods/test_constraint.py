"""A bound on a mean is kept by a multiplier that follows its violation, whatever the units."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from problems import digits, generator
from torch import Tensor

import gfe_core as gfe
from gfe_core.methods.constraint import Ascent, Constraint, Multiplicative
from gfe_core.methods.variational import Evidence

Update = Callable[[float, float], float]

every_update = pytest.mark.parametrize(
    "update", [Multiplicative(), Ascent()], ids=["multiplicative", "ascent"]
)


def observed(constraint: Constraint, *errors: float) -> Constraint:
    for error in errors:
        constraint.observe(error)
    return constraint


def state(constraint: Constraint) -> tuple[float, float, float, bool]:
    return constraint.multiplier, constraint.weight.item(), constraint.average, constraint.was_met


@every_update
def test_multiplier_rises_while_violated_falls_while_met_and_rests_at_the_threshold(update: Update):
    for multiplier in (0.02, 1.0, 50.0):
        assert update(multiplier, 0.3) > multiplier > update(multiplier, -0.3)
        # float64: a root and its square, a logarithm and its exponential
        assert abs(update(multiplier, 0.0) / multiplier - 1) < 1e-12


@every_update
def test_larger_violation_never_moves_the_multiplier_less(update: Update):
    found = [update(2.0, violation) for violation in (-0.9, -0.1, 0.0, 0.1, 0.9, 9.0)]
    assert found == sorted(found)


@pytest.mark.parametrize("multiplier", [1e-2, 0.1, 1.0, 7.0, 1e2])
@pytest.mark.parametrize("violation", [-0.8, -0.01, 0.4, 3.0])
def test_ascent_is_a_step_of_autograd_in_the_root_of_the_multiplier(
    multiplier: float, violation: float
):
    root = torch.tensor(multiplier, dtype=torch.float64).sqrt()
    r = root.expm1().log().requires_grad_()  # the inverse of softplus
    value = F.softplus(r, threshold=100) ** 2
    (slope,) = torch.autograd.grad(value * violation, r)
    wanted = F.softplus(r.detach() + 0.05 * slope, threshold=100) ** 2
    # float64 by two ways round a softplus whose inverse loses a digit at either end
    assert abs(Ascent(rate=0.05)(multiplier, violation) / wanted.item() - 1) < 1e-12


def test_multiplicative_step_is_an_exponential_within_the_largest_factor():
    update = Multiplicative(rate=0.5, most=1.2)
    # float64: a few roundings of an exponential
    for violation in (-0.3, 0.1, 0.3):
        assert math.isclose(update(3.0, violation), 3.0 * math.exp(0.5 * violation), rel_tol=1e-14)
    for violation in (0.5, 1e3, 1e300, math.inf):
        assert math.isclose(update(3.0, violation), 3.0 * 1.2, rel_tol=1e-14)
        assert math.isclose(update(3.0, -violation), 3.0 / 1.2, rel_tol=1e-14)


@every_update
@pytest.mark.parametrize("error", [10.0, 1e9, 1e200, 1.7e308])
def test_bounds_hold_under_any_finite_error(update: Update, error: float):
    constraint = Constraint(1e-3, update=update, smoothing=0.0, bounds=(0.5, 4.0))
    assert observed(constraint, *[error] * 60).multiplier == 4.0
    assert constraint.weight.item() == 0.25
    constraint.threshold = 1e6
    assert (
        observed(constraint, *[1e-9] * 2000).multiplier == 0.5 and constraint.weight.item() == 2.0
    )


def test_one_batch_moves_the_multiplier_by_the_largest_factor_at_most():
    constraint = Constraint(1.0, update=Multiplicative(most=1.1), smoothing=0.0, fall=2.0)
    seen = [1.0]
    for error in (1e6, 1e6, 1e-6, 1.5, 1e9):
        seen.append(observed(constraint, error).multiplier)
    ratios = [b / a for a, b in pairwise(seen)]
    # float64: the logarithm of the factor, and its exponential
    assert max(ratios) < 1.1 * (1 + 1e-14) and min(ratios) > 1 / 1.1 * (1 - 1e-14)


@every_update
def test_multiplier_falls_slowly_and_rises_as_the_update_wants(update: Update):
    constraint = observed(Constraint(1.0, update=update, smoothing=0.0, fall=1.01), *[9.0] * 2)
    high = constraint.multiplier
    # float64: two roundings
    assert math.isclose(observed(constraint, 1e-9).multiplier, high / 1.01, rel_tol=1e-14)
    low = constraint.multiplier
    assert observed(constraint, 9.0).multiplier == min(100.0, update(low, 8.0)) > 1.01 * low


def test_average_is_exponential_and_starts_at_the_first_error():
    constraint = Constraint(1.0, smoothing=0.8)
    errors = [50.0, 3.0, 8.0, 1.0]
    assert math.isnan(constraint.average) and not constraint.met
    assert math.isclose(
        observed(constraint, errors[0]).average, 50.0, rel_tol=1e-15
    )  # 0.8 + 0.2 rounds
    observed(constraint, *errors[1:])
    wanted = 0.8**3 * 50 + 0.2 * (0.8**2 * 3 + 0.8 * 8 + 1)
    assert math.isclose(constraint.average, wanted, rel_tol=1e-14)  # a handful of roundings


@every_update
@pytest.mark.parametrize("error", [math.nan, math.inf, -math.inf])
def test_error_that_is_no_number_leaves_everything_as_it_was(update: Update, error: float):
    fresh = Constraint(1.0, update=update)
    used = observed(Constraint(1.0, update=update), 0.5, 3.0)
    before = state(used)
    assert state(observed(used, error)) == before
    assert (
        math.isnan(observed(fresh, error).average) and fresh.multiplier == 1.0 and not fresh.was_met
    )
    # the first number that comes is the first of the average; one rounding of 0.99 + 0.01
    assert math.isclose(observed(fresh, 7.0).average, 7.0, rel_tol=1e-15)


def test_weight_is_one_tensor_that_stays_the_inverse_of_the_multiplier():
    constraint = Constraint(2.0, smoothing=0.5)
    weight = constraint.weight
    for error in (9.0, 1.0, 0.1, 0.1, 0.1, 30.0):
        observed(constraint, error)
        assert constraint.weight is weight and not weight.requires_grad
        assert (
            weight.item() == torch.tensor(1 / constraint.multiplier).item()
        )  # to the last bit of float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_evidence_follows_the_weight(dtype: torch.dtype):
    constraint = Constraint(1.0, update=Ascent(), smoothing=0.0)
    likelihood = gfe.Bernoulli(reduction="sum")
    x = digits(3).to(dtype)
    loss = Evidence(likelihood=likelihood, weight=constraint.weight)
    output = torch.randn(3, 65, dtype=dtype, generator=generator())
    before = loss.per_sample(output, x)
    assert (
        torch.equal(before, Evidence(likelihood=likelihood).per_sample(output, x))
        and before.dtype == dtype
    )
    for error in (5.0, 5.0, 0.1):
        observed(constraint, error)
        plain = Evidence(likelihood=likelihood, weight=constraint.weight.item())
        assert torch.equal(loss.per_sample(output, x), plain.per_sample(output, x))
        leaf = output.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss.per_sample(leaf, x).sum(), leaf)
        assert torch.equal(slope[:, -1], constraint.weight.to(dtype).expand(3))
        assert not torch.equal(loss.per_sample(output, x), before)


@every_update
def test_threshold_may_change_between_batches_and_what_was_met_stays(update: Update):
    constraint = observed(Constraint(10.0, update=update, smoothing=0.0), 12.0)
    assert not constraint.met and not constraint.was_met and constraint.multiplier > 1
    constraint.threshold = 20.0
    assert constraint.met and not constraint.was_met  # nothing was observed at this threshold
    high = constraint.multiplier
    assert observed(constraint, 12.0).multiplier < high and constraint.was_met
    constraint.threshold = 1.0
    low = constraint.multiplier
    assert observed(constraint, 12.0).multiplier > low and constraint.was_met and not constraint.met


def test_error_at_the_threshold_meets_it():
    assert observed(Constraint(4.0, smoothing=0.0), 4.0).was_met


@every_update
@pytest.mark.parametrize("factor", [1e3, 1e-5])
def test_multipliers_do_not_depend_on_the_units_of_the_error(update: Update, factor: float):
    one = Constraint(2.0, update=update, smoothing=0.9)
    other = Constraint(2.0 * factor, update=update, smoothing=0.9)
    for error in (30.0, 9.0, 1.0, 0.5, 0.5, 4.0, 3.0, 0.1) * 5:
        observed(one, error)
        observed(other, error * factor)
        # the violation is a difference from 1 of a rounded quotient
        assert math.isclose(one.multiplier, other.multiplier, rel_tol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "update", [Multiplicative(rate=0.05), Ascent(rate=0.05)], ids=["multiplicative", "ascent"]
)
@pytest.mark.parametrize("start", [0.0, 3.0, -2.0])
def test_descent_of_error_and_weighted_cost_ends_at_the_constraint(update: Update, start: float):
    # least (theta - 3)^2 with theta^2 <= 1: theta = 1, where 2 (theta - 3) + lambda 2 theta = 0
    # says lambda = 2
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    constraint = Constraint(1.0, update=update, smoothing=0.5)
    optimizer = torch.optim.SGD([theta], lr=0.05)
    noise = 0.05 * torch.randn(2500, dtype=torch.float64, generator=generator())
    path: list[Tensor] = []
    for shift in noise:
        error = theta.square() + shift
        optimizer.zero_grad()
        (error + constraint.weight * (theta - 3).square()).backward()
        optimizer.step()
        constraint.observe(error.item())
        path.append(torch.tensor([theta.item(), constraint.multiplier]))
    end, multiplier = torch.stack(path)[-700:].mean(0).tolist()
    # noise of 0.05 in the error moves the multiplier by about a hundredth a step; over 700 of them
    # the mean settles
    assert abs(end - 1) < 0.02 and abs(multiplier - 2) < 0.1


def test_constraint_that_binds_nothing_falls_to_the_lower_bound():
    constraint = Constraint(5.0, bounds=(0.1, 10.0), fall=1.005)
    n_batches = math.ceil(math.log(10) / math.log(1.005))
    assert observed(constraint, *[1.0] * (n_batches - 1)).multiplier > 0.1
    assert observed(constraint, 1.0).multiplier == 0.1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Constraint(0.0), "`threshold` must be a positive finite number, got 0.0."),
        (lambda: Constraint(-1.0), "`threshold` must be a positive finite number, got -1.0."),
        (lambda: Constraint(math.inf), "`threshold` must be a positive finite number, got inf."),
        (lambda: Constraint(math.nan), "`threshold` must be a positive finite number, got nan."),
        (lambda: Constraint(1.0, fall=1.0), "`fall` must be above 1 and finite, got 1.0."),
        (lambda: Constraint(1.0, smoothing=1.0), "`smoothing` must lie in [0, 1), got 1.0."),
        (lambda: Constraint(1.0, smoothing=-0.1), "`smoothing` must lie in [0, 1), got -0.1."),
        (lambda: Constraint(1.0, smoothing=math.nan), "`smoothing` must lie in [0, 1), got nan."),
        (
            lambda: Constraint(1.0, bounds=(0.0, 2.0)),
            "must be positive and finite with 1 between them, got (0.0, 2.0)",
        ),
        (
            lambda: Constraint(1.0, bounds=(2.0, 3.0)),
            "`bounds` must be positive and finite with 1 between them",
        ),
        (
            lambda: Constraint(1.0, bounds=(0.1, 0.9)),
            "`bounds` must be positive and finite with 1 between them",
        ),
        (
            lambda: Constraint(1.0, bounds=(0.1, math.inf)),
            "`bounds` must be positive and finite with 1 between them",
        ),
        (
            lambda: Constraint(1.0, bounds=(math.nan, 2.0)),
            "`bounds` must be positive and finite with 1 between them",
        ),
        (lambda: Multiplicative(rate=0.0), "`rate` must be a positive finite number, got 0.0."),
        (
            lambda: Multiplicative(rate=math.inf),
            "`rate` must be a positive finite number, got inf.",
        ),
        (lambda: Multiplicative(most=1.0), "`most` must be above 1 and finite, got 1.0."),
        (lambda: Multiplicative(most=math.nan), "`most` must be above 1 and finite, got nan."),
        (lambda: Ascent(rate=-0.5), "`rate` must be a positive finite number, got -0.5."),
        (lambda: Ascent(rate=math.nan), "`rate` must be a positive finite number, got nan."),
    ],
)
def test_bad_argument_is_named_with_what_was_got(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


@every_update
def test_update_reads_back_from_its_repr(update: Update):
    assert eval(repr(update), {"Multiplicative": Multiplicative, "Ascent": Ascent}) == update
