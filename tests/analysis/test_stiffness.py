import math
import warnings
from dataclasses import replace

import pytest
import torch
from problems import EPS, digits, generator, quadratic, trained
from torch import nn

import gfe_core as gfe
from gfe_core.analysis import stiffness
from gfe_core.solvers import dopri5

NESTEROV = gfe.NesterovFlow()
CURVATURE = (4.0, 2.0, 1.0, 0.5)


class Steady(gfe.Dopri5):
    """Dopri5 with its error control switched off: every step is dt_init."""

    def step(self, energy, flow, state, *, t1):
        step = super().step(energy, flow, state, t1=t1)
        return replace(step, accepted=torch.ones_like(step.accepted), dt_next=state.dt, n_grad=5)


def polynomial(stages, weights, h):
    """R(h) of a Runge-Kutta rule, from its tableau: one step of y' = h y from 1."""
    k = [h]
    for row in stages:
        k.append(h * (1 + sum(a * slope for a, slope in zip(row, k, strict=True))))
    return 1 + sum(b * slope for b, slope in zip(weights, k, strict=True))


def last_below_one(grows, low, high):
    """Bisect for the h at which a rule begins to amplify."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    return low


# --- spectrum
# ------------------------------------------------------------------------------------------


def test_spectrum_of_a_linear_decoder_is_known():
    problem = quadratic(CURVATURE)
    found = stiffness.spectrum(problem.decoder, problem.minimum, problem.x, loss=problem.loss)
    expected = torch.tensor(CURVATURE, dtype=torch.float64).flip(0).expand(5, 4)
    torch.testing.assert_close(
        found.eigenvalues, expected, rtol=0, atol=100 * EPS
    )  # a 16x4 product and an eigensolver
    assert torch.equal(found.largest, found.eigenvalues[:, -1]) and torch.equal(
        found.smallest, found.eigenvalues[:, 0]
    )
    torch.testing.assert_close(
        found.condition_number, torch.full_like(found.largest, 8), rtol=1e-13, atol=0
    )
    assert found.n_negative.tolist() == [0] * 5


def test_spectrum_is_that_of_finite_differences_of_the_gradient():
    decoder = trained("mlp")
    x = digits(3)
    z = torch.randn(3, 8, dtype=torch.float64, generator=generator())
    h = 1e-5
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    axes = h * torch.eye(8, dtype=torch.float64)
    columns = [
        (energy.value_and_grad(z + a)[1] - energy.value_and_grad(z - a)[1]) / (2 * h) for a in axes
    ]
    expected = torch.linalg.eigvalsh(torch.stack(columns, 2))
    # central differences: h^2 times third derivatives of order one, and eps / h from rounding
    torch.testing.assert_close(
        stiffness.spectrum(decoder, z, x).eigenvalues, expected, rtol=0, atol=1e-8
    )


def test_mask_loss_and_penalty_are_part_of_the_energy():
    problem = quadratic(CURVATURE)
    mask = torch.zeros_like(problem.x, dtype=torch.bool)
    found = stiffness.spectrum(
        problem.decoder,
        problem.minimum,
        problem.x.masked_fill(~mask, math.nan),
        loss=problem.loss,
        mask=mask,
        penalty=lambda z: 1.5 * z.square().sum(1),
    )
    torch.testing.assert_close(
        found.eigenvalues, torch.full_like(found.eigenvalues, 3.0), rtol=0, atol=10 * EPS
    )


def test_spectrum_of_each_sample_alone_is_that_in_a_batch():
    # more than two chunks
    decoder = trained("mlp")
    x = digits(300)
    z = torch.randn(300, 8, dtype=torch.float64, generator=generator())
    together = stiffness.spectrum(decoder, z, x).eigenvalues
    for i in (0, 127, 128, 299):
        alone = stiffness.spectrum(decoder, z[i : i + 1], x[i : i + 1]).eigenvalues[0]
        assert torch.equal(alone, together[i])
    order = torch.randperm(300, generator=generator())
    assert torch.equal(stiffness.spectrum(decoder, z[order], x[order]).eigenvalues, together[order])


def test_one_sample_without_a_finite_hessian_changes_no_other():
    decoder = trained("mlp")
    x = digits(4)
    z = torch.randn(4, 8, dtype=torch.float64, generator=generator())
    spoilt = z.clone()
    spoilt[1, 0] = math.nan
    good = stiffness.spectrum(decoder, z, x)
    found = stiffness.spectrum(decoder, spoilt, x)
    assert found.eigenvalues[1].isnan().all() and found.condition_number[1].isnan()
    assert torch.equal(found.eigenvalues[[0, 2, 3]], good.eigenvalues[[0, 2, 3]])


def test_negative_directions_are_counted_and_leave_no_condition_number():
    values = torch.tensor(
        [[-2.0, -1.0, 4.0], [0.5, 1.0, 4.0], [-3.0, -2.0, -1.0], [1e-20, 1.0, 4.0], [0.0, 1.0, 4.0]]
    )
    found = stiffness.Spectrum(values)
    assert found.n_negative.tolist() == [2, 0, 3, 0, 0]
    condition = found.condition_number
    assert condition.isnan().tolist() == [True, False, True, False, False]
    assert condition[1].item() == 8 and condition[3:].isinf().all()


def test_origin_of_a_trained_decoder_is_indefinite_for_some_digits():
    decoder = trained("mlp")
    x = digits(20)
    found = stiffness.spectrum(decoder, torch.zeros(20, 8, dtype=torch.float64), x)
    assert (found.n_negative > 0).any()
    assert torch.equal(found.n_negative > 0, found.smallest < 0)
    assert torch.equal(found.condition_number.isnan(), found.n_negative > 0)


def test_spectrum_refuses_codes_of_another_shape_by_their_name(unchecked):
    problem = quadratic(CURVATURE)
    with pytest.raises(ValueError, match=r"`z` must be a tensor of shape \(5, 4\)"):
        stiffness.spectrum(
            problem.decoder, torch.zeros(5, 3, dtype=torch.float64), problem.x, loss=problem.loss
        )
    with pytest.raises(ValueError, match="`x` must have shape"):
        stiffness.spectrum(problem.decoder, problem.minimum, problem.x[:, :3], loss=problem.loss)


# --- stability limits
# ------------------------------------------------------------------------------------------


def test_limits_are_those_of_the_tableaus():
    fifth = (*dopri5._STAGES, dopri5._FIFTH[:0])[:5], dopri5._FIFTH
    fourth = ((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    one = torch.ones(1, dtype=torch.float64)
    nesterov = NESTEROV
    for solver, tableau in ((gfe.Dopri5(), fifth), (gfe.RK4(dt=1.0), fourth)):
        real = last_below_one(lambda h, t=tableau: abs(polynomial(*t, -h)) > 1, 1.0, 4.0)
        assert stiffness.stability_limit(solver, one).item() == pytest.approx(real, abs=1e-9)
    imaginary = last_below_one(lambda h: abs(polynomial(*fourth, 1j * h)) > 1, 1.0, 4.0)
    assert stiffness.stability_limit(gfe.RK4(dt=1.0), one, nesterov).item() == pytest.approx(
        imaginary, abs=1e-9
    )
    # at small h Dopri5 damps by h^6 / 1800 only: rounding hides where that begins, not where it
    # ends
    imaginary = last_below_one(lambda h: abs(polynomial(*fifth, 1j * h)) > 1 + 1e-15, 0.5, 2.0)
    assert stiffness.stability_limit(gfe.Dopri5(), one, nesterov).item() == pytest.approx(
        imaginary, abs=1e-4
    )


def distance(solver, problem, dt, flow, n_steps):
    """Distance from the minimum after n steps, in units of the distance at the start."""
    encoding = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=solver, flow=flow, t1=n_steps * dt
    )
    return ((encoding.z - problem.minimum).norm() / problem.minimum.norm()).item()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [gfe.Euler, gfe.RK4, Steady])
@pytest.mark.parametrize("rate", [1.0, 3.0])
def test_steps_just_below_the_limit_decay_and_just_above_it_grow(kind, rate):
    problem = quadratic((4.0,) * 4)
    flow = gfe.GradientFlow(rate=rate)

    def solver(dt):
        return Steady(dt_init=dt) if kind is Steady else kind(dt=dt)

    limit = stiffness.stability_limit(
        solver(1.0), torch.full((1,), 4.0, dtype=torch.float64), flow
    ).item()
    # |R| is at most 0.96 below and at least 1.04 above (Euler's, the slowest): 0.002 and 350 in 150
    # steps
    below, above = (
        distance(solver(part * limit), problem, part * limit, flow, 150) for part in (0.98, 1.02)
    )
    assert below < 0.1 and above > 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", [gfe.RK4, gfe.SemiImplicit])
def test_steps_with_momentum_decay_below_the_limit_and_grow_above_it(kind):
    problem = quadratic((4.0,) * 4)
    limit = stiffness.stability_limit(
        kind(dt=1.0), torch.full((1,), 4.0, dtype=torch.float64), NESTEROV
    ).item()
    assert limit == pytest.approx((2 if kind is gfe.SemiImplicit else math.sqrt(8)) / 2)
    # above it, friction 3 / t has to fade first; then a step of RK4 grows by 7 %, one of
    # SemiImplicit by 30 %
    below, above = (
        distance(kind(dt=p * limit), problem, p * limit, NESTEROV, 250) for p in (0.99, 1.01)
    )
    assert below < 0.1 and above > 10


def test_euler_with_momentum_has_a_limit_that_shrinks_like_one_over_t():
    problem = quadratic((4.0,) * 4)
    four = torch.full((1,), 4.0, dtype=torch.float64)
    assert stiffness.stability_limit(
        gfe.Euler(dt=1.0), four, NESTEROV, 30.0
    ).item() == pytest.approx(3 / (30 * 4), rel=1e-6)
    dt = 0.1  # stable until t = 3 / (0.1 x 4) = 7.5
    encoding = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=gfe.Euler(dt=dt),
        flow=NESTEROV,
        t1=40.0,
        save_at=gfe.SaveAt.steps(),
    )
    assert encoding.trajectory is not None
    size = (encoding.trajectory.z - problem.minimum).norm(dim=(1, 2))
    assert size[60:90].amax() < 0.1 * size[0] and size[-1] > 10 * size[60:90].amax()


def test_minimisers_have_no_limit_and_curvature_that_is_not_positive_sets_none():
    largest = torch.tensor([2.0, 0.0, -1.0, math.nan], dtype=torch.float64)
    for solver in (gfe.AMD(), gfe.BFGS(), gfe.LBFGS(), gfe.GaussNewton()):
        assert stiffness.stability_limit(solver, largest)[:3].isinf().all()
    assert stiffness.stability_limit(gfe.AMD(), largest[:1], NESTEROV).isinf().all()
    for flow, solver in (
        (gfe.GradientFlow(), gfe.Euler(dt=1.0)),
        (NESTEROV, gfe.SemiImplicit(dt=1.0)),
    ):
        limit = stiffness.stability_limit(solver, largest, flow)
        assert limit[0].isfinite() and limit[1:3].isinf().all() and limit[3].isnan()


def test_decaying_rate_lengthens_the_limit():
    one = torch.ones(2, dtype=torch.float64)
    flow = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=4.0))
    limits = stiffness.stability_limit(
        gfe.Euler(dt=1.0), one, flow, torch.tensor([0.0, 2.0], dtype=torch.float64)
    )
    torch.testing.assert_close(
        limits, torch.tensor([2.0, 2.0 * math.e], dtype=torch.float64), rtol=1e-14, atol=0
    )


def test_solvers_that_do_not_go_with_the_flow_are_refused():
    with pytest.raises(
        TypeError, match=r"`solver` must be one of .*RK4.* on GradientFlow, got SemiImplicit"
    ):
        stiffness.stability_limit(gfe.SemiImplicit(dt=1.0), torch.ones(1))
    with pytest.raises(TypeError, match=r"on NesterovFlow, got GaussNewton.*another `flow`"):
        stiffness.stability_limit(gfe.GaussNewton(), torch.ones(1), NESTEROV)


# --- grids
# ------------------------------------------------------------------------------------------


def quietly(*arguments) -> stiffness.GridCheck:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return stiffness.check_grid(*arguments)


GRIDS = {
    "Euler, linear": (gfe.Euler(n_steps=300), gfe.GradientFlow()),
    "RK4, linear": (gfe.RK4(n_steps=300), gfe.GradientFlow()),
    "Euler, log": (gfe.Euler(n_steps=12, grid="log"), gfe.GradientFlow()),
    "Euler, decaying": (
        gfe.Euler(n_steps=300),
        gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=2000.0)),
    ),
    "SemiImplicit": (gfe.SemiImplicit(n_steps=300), NESTEROV),
    "RK4 with momentum": (gfe.RK4(n_steps=300), NESTEROV),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GRIDS)
def test_check_foretells_what_happens(name):
    (solver, flow), problem = GRIDS[name], quadratic((4.0,) * 4, batch=2)
    largest = torch.full((2,), 4.0, dtype=torch.float64)
    t1 = (
        100 / quietly(solver, 100.0, largest, flow).worst[0].item()
    )  # where the worst step is at its limit
    for part in (0.98, 1.05):
        said = quietly(solver, part * t1, largest, flow)
        assert said.worst.tolist() == pytest.approx(
            [part] * 2, rel=1e-9 if name == "Euler, linear" else 0.05
        )
        encoding = gfe.encode(
            problem.decoder,
            problem.x,
            loss=problem.loss,
            solver=solver,
            flow=flow,
            t1=part * t1,
            save_at=gfe.SaveAt.steps(),
        )
        assert encoding.trajectory is not None
        size = (encoding.trajectory.z - problem.minimum).norm(dim=2)
        rises = (size[1:] > size[:-1] * (1 + 1e-9)) & (size[1:] > 1e-9 * size[0])
        if flow is NESTEROV:  # its distance oscillates: only unbounded growth shows instability
            assert said.breaks.tolist() == (size[-1] > size[0]).tolist() == [part > 1] * 2
        else:
            assert said.breaks.tolist() == rises.any(0).tolist() == [part > 1] * 2


def test_log_grid_breaks_at_its_last_steps_only_and_decay_rescues_it():
    # few steps, or nothing is left to grow
    problem = quadratic(CURVATURE)
    solver = gfe.Euler(n_steps=12, grid="log")
    largest = torch.full((5,), 4.0, dtype=torch.float64)
    t1 = 1.5 / quietly(solver, 1.0, largest).worst[0].item()
    said = quietly(solver, t1, largest)
    assert said.breaks.all()
    assert (
        said.first_step.tolist() == [int((said.dt[:, 0] > 0.5).nonzero()[0])] * 5
    )  # 2 / lambda_max = 0.5
    assert said.first_step.tolist() == [10] * 5  # the last two of twelve
    assert said.worst.tolist() == said.ratio[-1].tolist()
    plain = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=solver,
        t1=t1,
        save_at=gfe.SaveAt.steps(),
    ).trajectory
    assert plain is not None
    along = ((plain.z - problem.minimum) @ problem.axes)[..., 0].abs()  # the steepest direction
    rises = along[1:] > along[:-1]
    assert rises.any(1).tolist() == [False] * 10 + [True] * 2
    decay = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=t1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rescued = stiffness.check_grid(solver, t1, largest, decay)
    assert not rescued.breaks.any() and rescued.first_step.tolist() == [-1] * 5
    assert rescued.dt[-1, 0] > 0.5  # the step keeps its length; its rate falls
    worst = int(rescued.ratio[:, 0].argmax())
    assert 0 < worst < 11  # the worst step is neither the first nor the last
    encoding = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=solver,
        flow=decay,
        t1=t1,
        save_at=gfe.SaveAt.steps(),
    )
    assert encoding.trajectory is not None
    along = ((encoding.trajectory.z - problem.minimum) @ problem.axes)[..., 0].abs()
    assert (along[1:] <= along[:-1] + 1e-12).all()


def test_samples_of_different_curvature_are_judged_apart():
    largest = torch.tensor([1.0, 3.0, 0.0, math.nan], dtype=torch.float64)
    said = quietly(gfe.Euler(dt=1.0), 5.0, largest)
    assert said.breaks.tolist() == [False, True, False, True]
    assert said.first_step.tolist() == [-1, 0, -1, 0]
    assert said.worst[:3].tolist() == [0.5, 1.5, 0.0] and said.worst[3].isnan()


def test_a_step_exactly_at_its_limit_is_not_beyond_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not stiffness.check_grid(gfe.Euler(dt=0.1), 1.0, torch.tensor([20.0])).breaks.any()


def test_recorded_steps_are_checked_without_an_end_and_padding_breaks_nothing():
    steps = torch.tensor([[0.1, 3.0], [0.5, 0.0], [3.0, 0.0]], dtype=torch.float64)
    said = quietly(gfe.Euler(steps=steps), math.inf, torch.ones(2, dtype=torch.float64))
    assert said.first_step.tolist() == [2, 0]
    assert said.worst.tolist() == [1.5, 1.5]


def test_barzilai_borwein_steps_go_beyond_the_limit_of_euler_and_still_descend():
    problem = quadratic(CURVATURE)
    found = gfe.encode(problem.decoder, problem.x, loss=problem.loss, save_at=gfe.SaveAt.steps())
    assert found.trajectory is not None
    said = quietly(
        gfe.Euler(steps=found.trajectory.dt), math.inf, torch.full((5,), 4.0, dtype=torch.float64)
    )
    assert said.breaks.all()
    assert (found.trajectory.energy.diff(dim=0) <= 0).all()


def test_warning_names_the_step_the_limit_and_the_remedy():
    largest = torch.tensor([1.0, 4.0], dtype=torch.float64)
    with pytest.warns(UserWarning) as caught:
        stiffness.check_grid(gfe.Euler(n_steps=11, grid="log", log_base=4.0), 10.0, largest)
    text = str(caught[0].message)
    assert "Euler is unstable for 1 of 2 samples: step 10 of 11 (from 0) is dt = 1.655" in text
    assert "the limit for sample 1 is 0.5 flow units" in text
    for remedy in ("more steps", "`log_base`", "`AMD()`", "`GaussNewton()`"):
        assert remedy in text
    with pytest.warns(UserWarning) as caught:
        stiffness.check_grid(gfe.RK4(dt=1.0), 3.0, largest)
    assert "log_base" not in str(caught[0].message)


def test_solvers_without_a_grid_are_refused(unchecked):
    with pytest.raises(
        TypeError, match=r"`solver` must have a fixed grid, got AMD.*Euler\(steps=trajectory.dt\)"
    ):
        stiffness.check_grid(gfe.AMD(), 1.0, torch.ones(1))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`t1` must be finite for Euler"):
        stiffness.check_grid(gfe.Euler(dt=0.1), math.inf, torch.ones(1))
    with pytest.raises(TypeError, match=r"on GradientFlow, got SemiImplicit"):
        stiffness.check_grid(gfe.SemiImplicit(dt=0.1), 1.0, torch.ones(1))


# --- the length of codes
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "conv", "linear"])
@pytest.mark.parametrize("c", [0.5, 3.0, 100.0])
def test_longer_codes_divide_every_curvature_by_c_squared_and_leave_the_condition_number(kind, c):
    decoder = trained(kind)
    x = digits(12)
    assert isinstance(decoder, nn.Module)
    z = gfe.encode(decoder, x, max_steps=100).z
    plain = stiffness.spectrum(decoder, z, x)
    longer = stiffness.spectrum(stiffness.rescaled(decoder, c), c * z, x)
    # rounding of each Hessian entry is relative to its largest eigenvalue, and the condition number
    # magnifies it
    size = plain.largest[:, None]
    assert ((longer.eigenvalues * c * c - plain.eigenvalues) / size).abs().max() < 1e-13
    minima = plain.n_negative == 0
    assert minima.any() and torch.equal(longer.n_negative, plain.n_negative)
    ratio = longer.condition_number[minima] / plain.condition_number[minima]
    assert (ratio - 1).abs().max() < 1e-13 * plain.condition_number[minima].max()


def test_step_must_change_by_c_squared():
    problem = quadratic(CURVATURE)
    c = 10.0
    longer = stiffness.rescaled(problem.decoder, c)
    dt = 0.4
    codes = gfe.encode(
        problem.decoder, problem.x, loss=problem.loss, solver=gfe.Euler(dt=dt), t1=30 * dt
    ).z
    dt = dt * c * c
    scaled = gfe.encode(longer, problem.x, loss=problem.loss, solver=gfe.Euler(dt=dt), t1=30 * dt).z
    torch.testing.assert_close(
        scaled, c * codes, rtol=1e-12, atol=1e-13
    )  # thirty steps of rounding


def test_rescaled_is_a_copy_that_draws_the_same_and_keeps_its_kind():
    decoder = gfe.MLPDecoder(latent_dim=3, hidden=(5,), data_dim=4, generator=generator())
    before = [p.clone() for p in decoder.parameters()]
    copy = stiffness.rescaled(decoder, 4.0)
    z = torch.randn(6, 3, generator=generator())
    assert type(copy) is gfe.MLPDecoder and copy.data_shape == decoder.data_shape
    assert torch.equal(copy(4 * z), decoder(z))  # a power of two rounds nothing
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert all(torch.equal(p, q) for p, q in zip(before, decoder.parameters(), strict=True))


def test_decoders_that_cannot_be_rescaled_are_refused():
    class Bent(nn.Module):
        latent_dim = 2
        data_shape: tuple[int, ...] = (3,)

        def __init__(self):
            super().__init__()
            self.map = nn.Linear(4, 3)

        def forward(self, z):
            return self.map(torch.cat([z, z * z], 1))

    with pytest.raises(TypeError, match="must begin with a linear layer of its codes. Wrap it"):
        stiffness.rescaled(Bent(), 2.0)
    with pytest.raises(ValueError, match="`c` must be a positive finite number"):
        stiffness.rescaled(gfe.LinearDecoder(latent_dim=2, data_dim=3), 0.0)
