import copy
import math
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from problems import (
    EPS,
    SOLVERS,
    all_digits,
    differing,
    digits,
    fresh,
    generator,
    joined,
    per_sample,
    quadratic,
    statuses,
    trained,
)
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.types import Encoding, Status

KINDS = ["mlp", "conv", "linear"]


@pytest.fixture(
    params=[
        pytest.param(1, id="one thread"),
        pytest.param(2, id="two threads", marks=pytest.mark.slow),
    ]
)
def step_limit(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set the number of threads and say how many steps are affordable.

    Two threads on one busy core are slow.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield 1000 if request.param == 1 else 5
    torch.set_num_threads(before)


def hard_ones(n: int) -> Tensor:
    """Return pictures that no digit decoder explains: they flow for longer than digits."""
    return torch.rand(n, 64, dtype=torch.float64, generator=generator(2)).round()


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind == "conv" else ()) for kind in KINDS],
)
@pytest.mark.parametrize("name", SOLVERS)
def test_codes_do_not_depend_on_the_rest_of_the_batch(kind, name, step_limit):
    solver, arguments = SOLVERS[name]
    arguments = arguments | {"max_steps": min(step_limit, arguments.get("max_steps", step_limit))}
    x = digits(64)
    decoder = trained(kind)

    def encoded(*parts: Tensor) -> dict[str, Tensor]:
        return joined([gfe.encode(decoder, part, solver=solver, **arguments) for part in parts])

    together = encoded(x)
    assert differing(together, encoded(*x.split([1, 5, 17, 41]))) == []
    order = torch.randperm(64, generator=generator(1))
    assert (
        differing({name: value[order] for name, value in together.items()}, encoded(x[order])) == []
    )
    hard = hard_ones(37)
    embedded = encoded(torch.cat([hard[:20], x, hard[20:]]))
    assert differing(together, {name: value[20:84] for name, value in embedded.items()}) == []


def test_batch_invariance_was_tested_on_samples_that_finish_at_different_times():
    for name in ("barzilai_borwein", "carry", "memory 8"):
        solver, arguments = SOLVERS[name]
        counts = gfe.encode(trained("mlp"), digits(64), solver=solver, **arguments).statistics
        assert len(counts.n_steps.unique()) > 4
        assert counts.n_rejected.sum() > 0 or name != "carry"


def test_widths_that_break_the_alignment_of_rows_change_codes_by_rounding_only():
    # Rows of 37 numbers start at odd addresses, where matrix kernels sum in another order: exact
    # only for even widths.
    decoder = gfe.MLPDecoder(
        latent_dim=3, hidden=(37,), data_dim=64, generator=generator()
    ).double()
    x = digits(64)
    euler = gfe.Euler(n_steps=25)
    together = gfe.encode(decoder, x, solver=euler, t1=50.0)
    apart = joined(
        [gfe.encode(decoder, part, solver=euler, t1=50.0) for part in x.split([1, 5, 17, 41])]
    )
    # 25 steps of length 2, each with a rounding of some EPS in a gradient of order 0.1
    assert (together.z - apart["z"]).abs().max() < 1e-14
    assert torch.equal(together.statistics.n_grad, apart["n_grad"])


BAD = torch.tensor([0, 7, 20])


@cache
def without_bad_ones(name: str) -> dict[str, Tensor]:
    """Return the codes of the samples that keep their pixels."""
    solver, arguments = SOLVERS[name]
    rest = torch.ones(21, dtype=torch.bool).index_fill(0, BAD, False)
    return per_sample(gfe.encode(trained("conv"), digits(21)[rest], solver=solver, **arguments))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", SOLVERS)
def test_bad_pixels_mark_their_samples_and_leave_the_others_bit_identical(name, value):
    solver, arguments = SOLVERS[name]
    x = digits(21)
    x[BAD, 3] = value
    encoding = gfe.encode(trained("conv"), x, solver=solver, **arguments)
    assert (encoding.status[BAD] == Status.NON_FINITE).all()
    assert (encoding.z[BAD] == 0).all()  # the start is the last point known to be finite
    assert (encoding.statistics.n_steps[BAD] == 0).all()
    rest = torch.ones(21, dtype=torch.bool).index_fill(0, BAD, False)
    others = {field: found[rest] for field, found in per_sample(encoding).items()}
    assert differing(others, without_bad_ones(name)) == []


def test_bad_sample_with_the_shared_step_of_the_published_rule_leaves_the_others_alone():
    x = digits(6)
    x[2, 3] = math.nan
    keep = torch.tensor([0, 1, 3, 4, 5])
    encoding = gfe.encode(trained("mlp"), x, solver=gfe.AMD.published(), max_steps=30)
    alone = gfe.encode(trained("mlp"), x[keep], solver=gfe.AMD.published(), max_steps=30)
    assert encoding.status[2] == Status.NON_FINITE
    assert torch.equal(encoding.z[keep], alone.z)


@pytest.mark.parametrize("kind", [gfe.Euler, gfe.RK4])
@pytest.mark.slow
def test_sample_that_overflows_returns_its_best_finite_point(kind):
    problem = quadratic()
    x = problem.x.clone()
    x[1:] = problem.decoder.linear.bias.detach()  # these start at their minimum and stay there
    encoding = gfe.encode(problem.decoder, x, loss=problem.loss, solver=kind(dt=1e3), t1=1e6)
    assert statuses(encoding) == [Status.NON_FINITE] + [Status.REACHED_T] * 4
    assert (
        encoding.z.isfinite().all()
        and encoding.energy.isfinite().all()
        and encoding.grad_norm.isfinite().all()
    )
    assert (encoding.z[0] == 0).all()  # every step went uphill: the start was the best
    assert (
        3 < encoding.statistics.n_steps[0] < 200
    )  # energies pass 1e308 after 308 / 7 steps of Euler


def test_saved_rows_of_an_overflowing_sample_are_all_finite():
    problem = quadratic(batch=1)
    encoding = gfe.encode(
        problem.decoder,
        problem.x,
        loss=problem.loss,
        solver=gfe.Euler(dt=1e3),
        t1=1e6,
        save_at=gfe.SaveAt.steps(),
    )
    assert encoding.trajectory is not None
    assert encoding.trajectory.z.isfinite().all() and encoding.trajectory.energy.isfinite().all()


@pytest.mark.parametrize("name", SOLVERS)
def test_unobserved_pixels_have_no_influence(name):
    solver, arguments = SOLVERS[name]
    x = digits(12)
    seen = torch.rand(12, 64, generator=generator(3)) < 0.6
    references = []
    for value in (0.0, 0.7, 1e30, math.nan, math.inf):
        other = torch.where(seen, x, value)
        references.append(
            per_sample(gfe.encode(trained("mlp"), other, mask=seen, solver=solver, **arguments))
        )
        assert differing(references[0], references[-1]) == []
    assert references[0]["energy"].isfinite().all()
    assert "energy" in differing(
        references[0], per_sample(gfe.encode(trained("mlp"), x, solver=solver, **arguments))
    )


def test_all_observed_is_the_same_as_no_mask():
    x = digits(12)
    with_mask = gfe.encode(
        trained("mlp"), x, mask=torch.ones_like(x, dtype=torch.bool), max_steps=20
    )
    without = gfe.encode(trained("mlp"), x, max_steps=20)
    # the mean is a sum divided by a count in one case, a mean in the other: an ulp apart, twenty
    # steps later more
    torch.testing.assert_close(with_mask.z, without.z, rtol=0, atol=1e-9)
    torch.testing.assert_close(with_mask.energy, without.energy, rtol=0, atol=16 * EPS)


def test_sample_without_any_observed_pixel_stays_at_its_start():
    x = digits(3)
    seen = torch.ones(3, 64, dtype=torch.bool)
    seen[1] = False
    encoding = gfe.encode(trained("mlp"), x, mask=seen)
    assert encoding.status[1] == Status.CONVERGED and (encoding.z[1] == 0).all()


def test_quadratic_penalty_on_the_linear_problem_gives_ridge_regression():
    problem = quadratic()
    weight = 0.3
    linear = problem.decoder.linear
    W = linear.weight.detach()
    b = linear.bias.detach()
    expected = torch.linalg.solve(
        W.T @ W + weight * torch.eye(4, dtype=torch.float64), (problem.x - b) @ W, left=False
    )
    for solver, t1 in ((gfe.AMD(), math.inf), (gfe.RK4(dt=0.25), 60.0)):
        encoding = gfe.encode(
            problem.decoder,
            problem.x,
            loss=problem.loss,
            solver=solver,
            t1=t1,
            penalty=lambda z: weight * z.square().sum(1),
            stop=gfe.Stop(grad_norm=1e-10, energy_slope=0.0),
        )
        # sqrt(EPS) is what a line search on energies of order ten can see
        torch.testing.assert_close(encoding.z, expected, rtol=0, atol=2e-7)
        energy = problem.energy(expected) + weight * expected.square().sum(1)
        torch.testing.assert_close(encoding.energy, energy, rtol=1e-13, atol=0)


def test_each_status_can_be_provoked():
    def status(x: Tensor | None = None, **arguments) -> Status:
        (only,) = set(
            statuses(gfe.encode(trained("linear"), digits(3) if x is None else x, **arguments))
        )
        return only

    assert status() is Status.CONVERGED
    assert status(solver=gfe.Euler(dt=1.0), t1=3.0) is Status.REACHED_T
    assert status(max_steps=1) is Status.MAX_STEPS
    assert status(stop=gfe.Stop(grad_norm=0.0, energy_slope=0.0), max_steps=2000) is Status.STALLED
    assert status(solver=gfe.AMD(dt_min=1e6)) is Status.STEP_TOO_SMALL
    assert status(x=torch.full((3, 64), math.nan, dtype=torch.float64)) is Status.NON_FINITE
    assert status(stop=gfe.Stop(energy_slope=1e-2)) is Status.FLAT
    assert [code for code in Status if code.failed] == [
        Status.STEP_TOO_SMALL,
        Status.NON_FINITE,
        Status.NOT_REACHED,
    ]


def test_one_step_is_the_least_that_can_be_asked_for():
    for solver, arguments in SOLVERS.values():
        encoding = gfe.encode(
            trained("mlp"), digits(4), solver=solver, **arguments | {"max_steps": 1}
        )
        assert encoding.statistics.n_steps.tolist() == [1] * 4
        assert encoding.z.isfinite().all()


def test_given_start_is_where_the_flow_starts():
    decoder = trained("mlp")
    x = digits(5)
    z0 = torch.randn(5, 8, dtype=torch.float64, generator=generator(5)).requires_grad_()
    encoding = gfe.encode(
        decoder, x, z0=z0, solver=gfe.Euler(dt=1.0), t1=2.0, save_at=gfe.SaveAt.steps()
    )
    assert encoding.trajectory is not None
    assert torch.equal(encoding.trajectory.z[0], z0.detach())
    halfway = gfe.encode(decoder, x, z0=encoding.trajectory.z[1], solver=gfe.Euler(dt=1.0), t1=1.0)
    assert torch.equal(halfway.z, encoding.z)
    assert z0.grad is None


def test_answer_does_not_share_memory_with_the_start():
    x = digits(3)
    z0 = torch.zeros(3, 8, dtype=torch.float64)
    encoding = gfe.encode(trained("mlp"), x, z0=z0, stop=gfe.Stop(grad_norm=1e9))
    encoding.z.add_(1.0)
    assert (z0 == 0).all()


@pytest.mark.slow
def test_energy_and_gradient_norm_belong_to_the_code_returned():
    x = digits(16)
    for solver, arguments in SOLVERS.values():
        encoding = gfe.encode(trained("mlp"), x, solver=solver, **arguments)
        value, grad = gfe.Energy(trained("mlp"), x, gfe.Bernoulli()).value_and_grad(encoding.z)
        assert torch.equal(encoding.energy, value)
        assert torch.equal(encoding.grad_norm, grad.norm(dim=1))


def test_encoding_is_detached():
    encoding = gfe.encode(trained("mlp"), digits(3), save_at=gfe.SaveAt.steps(), max_steps=5)
    assert encoding.trajectory is not None
    for tensor in (
        encoding.z,
        encoding.energy,
        encoding.grad_norm,
        encoding.trajectory.z,
        encoding.trajectory.energy,
    ):
        assert not tensor.requires_grad and tensor.grad_fn is None


@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("n", [3, 16, 32])
def test_grad_mode_of_the_caller_does_not_matter(grad_mode, n):
    def encoded() -> Encoding:
        # made here, inside the caller's mode; 16 rows need no padding and reach autograd as they
        # are
        z0 = torch.zeros(n, 8, dtype=torch.float64)
        seen = torch.rand(n, 64, generator=generator(1)) < 0.9
        return gfe.encode(
            trained("mlp"), digits(n), z0=z0, mask=seen, max_steps=10, save_at=gfe.SaveAt.steps()
        )

    expected = encoded()
    with grad_mode():
        found = encoded()
        assert torch.equal(found.z, expected.z)
    assert not found.z.is_inference()


def test_decoder_made_in_inference_mode_is_refused_and_the_remedy_works():
    with torch.inference_mode():
        decoder = fresh("mlp")
    with pytest.raises(ValueError, match=r"copy\.deepcopy\(decoder\)"):
        gfe.encode(decoder, digits(3), max_steps=5)
    found = gfe.encode(copy.deepcopy(decoder), digits(3), max_steps=5)
    assert torch.equal(found.z, gfe.encode(fresh("mlp"), digits(3), max_steps=5).z)


def test_encoding_inside_a_training_graph_leaves_it_intact():
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, nn.Module)
    x = digits(4)
    z = torch.zeros(4, 8, dtype=torch.float64, requires_grad=True)
    loss = decoder(z).square().sum()
    gfe.encode(decoder, x, max_steps=5)
    loss.backward()  # fails if encoding had touched the weights
    assert z.grad is not None and z.grad.abs().sum() > 0


@pytest.mark.parametrize("training", [True, False])
def test_decoder_is_only_read(training):
    decoder = copy.deepcopy(trained("conv"))
    assert isinstance(decoder, nn.Module)
    decoder.train(training)
    frozen = next(decoder.parameters()).requires_grad_(False)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    versions = [parameter._version for parameter in decoder.parameters()]
    attributes = set(vars(decoder))
    for solver, arguments in SOLVERS.values():
        gfe.encode(decoder, digits(5), solver=solver, **arguments)
    assert all(parameter.grad is None for parameter in decoder.parameters())
    assert [parameter.requires_grad for parameter in decoder.parameters()].count(False) == 1
    assert not frozen.requires_grad
    assert [parameter._version for parameter in decoder.parameters()] == versions
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
    assert decoder.training is training and set(vars(decoder)) == attributes


def test_gradients_already_on_the_decoder_are_kept():
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, nn.Module)
    decoder(torch.zeros(2, 8, dtype=torch.float64)).sum().backward()
    before = [
        parameter.grad.clone() for parameter in decoder.parameters() if parameter.grad is not None
    ]
    gfe.encode(decoder, digits(3), max_steps=5)
    after = [parameter.grad for parameter in decoder.parameters()]
    assert all(b is not None and torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SOLVERS)
def test_float_type_is_kept(dtype, name):
    solver, arguments = SOLVERS[name]
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, nn.Module)
    found = gfe.encode(
        decoder.to(dtype),
        digits(5).to(dtype),
        solver=solver,
        save_at=gfe.SaveAt.steps(),
        **arguments,
    )
    path = found.trajectory
    assert path is not None
    floats = (
        found.z,
        found.energy,
        found.grad_norm,
        found.t,
        path.t,
        path.z,
        path.energy,
        path.dt,
        path.work,
    )
    assert {tensor.dtype for tensor in floats} == {dtype}
    assert found.status.dtype == found.statistics.work.dtype == torch.int64
    assert path.mask.dtype == path.accepted.dtype == torch.bool
    assert gfe.reconstruct(decoder, found).dtype == dtype


def test_float32_finds_about_the_same_energies():
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, nn.Module)
    double = gfe.encode(decoder, digits(20)).energy
    single = gfe.encode(decoder.float(), digits(20).float()).energy
    torch.testing.assert_close(
        single.double(), double, rtol=5e-3, atol=0
    )  # the stop rule itself leaves 3e-5 a step


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    "save_at",
    [None, gfe.SaveAt.steps(), gfe.SaveAt.times([0.0, 1.0])],
    ids=["none", "steps", "times"],
)
def test_empty_batch_gives_an_empty_encoding(name, save_at):
    solver, arguments = SOLVERS[name]
    if save_at is not None and save_at.at is not None and not solver.has_time:
        with pytest.raises(ValueError, match="`save_at` asks for states at times"):
            gfe.encode(trained("conv"), digits(0), solver=solver, save_at=save_at, **arguments)
        return
    found = gfe.encode(trained("conv"), digits(0), solver=solver, save_at=save_at, **arguments)
    assert found.z.shape == (0, 8)
    assert (
        found.energy.shape == found.grad_norm.shape == found.t.shape == found.status.shape == (0,)
    )
    assert found.statistics.work.shape == (0,) and found.status.dtype == torch.int64
    if save_at is not None:
        path = found.trajectory
        assert path is not None
        assert path.z.shape == (len(path.t), 0, 8) and path.mask.shape == path.t.shape
        assert len(path.t) == (1 if save_at.at is None else 2)
    assert gfe.reconstruct(trained("conv"), found).shape == (0, 64)


def test_empty_batch_may_come_with_a_mask_and_a_start():
    found = gfe.encode(
        trained("mlp"),
        digits(0),
        mask=torch.zeros(0, 64, dtype=torch.bool),
        z0=torch.zeros(0, 8, dtype=torch.float64),
        on_failure="raise",
    )
    assert found.z.shape == (0, 8)


@pytest.mark.parametrize("name", SOLVERS)
def test_empty_batch_of_a_strangers_decoder_and_loss_gives_an_empty_encoding(name):
    solver, arguments = SOLVERS[name]
    net = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Sigmoid()).double()
    decoder = gfe.wrap(net, latent_dim=8, data_shape=(64,))  # which is not plain

    def loss(output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (output - x).square().sum(1)

    found = gfe.encode(decoder, digits(0), loss=loss, solver=solver, **arguments)
    assert found.z.shape == (0, 8) and found.energy.shape == (0,)
    assert len(gfe.evaluate(decoder, digits(0), loss=loss).energy) == 0


def test_memory_layout_of_x_does_not_matter():
    wide = torch.zeros(64, 40, dtype=torch.float64)
    wide[:, ::2] = digits(20).T
    strided = wide.T[::2]
    assert not strided.is_contiguous()
    expected = per_sample(gfe.encode(trained("mlp"), digits(20), max_steps=20))
    assert differing(per_sample(gfe.encode(trained("mlp"), strided, max_steps=20)), expected) == []
    repeated = digits(1).expand(20, -1)
    one = gfe.encode(trained("mlp"), digits(1), max_steps=20)
    assert torch.equal(gfe.encode(trained("mlp"), repeated, max_steps=20).z, one.z.expand(20, -1))


def test_x_that_requires_a_gradient_gets_none():
    x = digits(3).requires_grad_()
    encoding = gfe.encode(trained("mlp"), x, max_steps=5)
    assert not encoding.energy.requires_grad and x.grad is None and x.requires_grad


def in_thread(work) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # a thread's errors would only be printed
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_another_thread_finds_the_same_codes(grad_mode):
    expected = gfe.encode(trained("mlp"), digits(9), max_steps=20)
    found = []
    with grad_mode():
        thread, errors = in_thread(
            lambda: found.append(gfe.encode(trained("mlp"), digits(9), max_steps=20))
        )
        thread.join(60)
    assert errors == []
    assert torch.equal(found[0].z, expected.z)


def test_threads_may_encode_with_copies_while_another_trains_the_decoder():
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, nn.Module)
    parameters = list(decoder.parameters())
    x = digits(32)
    done = threading.Event()
    rounds = [0, 0]
    toggled = []

    def encode_on(worker: int) -> None:
        while not done.is_set():
            found = gfe.encode(copy.deepcopy(decoder), x, max_steps=20)
            assert found.energy.isfinite().all()
            rounds[worker] += 1

    def watch() -> None:
        while not done.is_set():
            toggled.extend(p for p in parameters if not p.requires_grad)
            time.sleep(1e-3)  # a loop without rest would keep the interpreter to itself

    started = [in_thread(lambda worker=worker: encode_on(worker)) for worker in (0, 1)] + [
        in_thread(watch)
    ]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    z = torch.zeros(32, 8, dtype=torch.float64)
    updates = 0
    while min(rounds) < 10 and all(not errors for _, errors in started):
        optimizer.zero_grad()
        gfe.Bernoulli().per_sample(decoder(z), x).mean().backward()
        optimizer.step()
        updates += 1
    done.set()
    for thread, errors in started:
        thread.join(60)
        assert errors == []
    assert updates > 10 and toggled == []


@pytest.mark.parametrize("when", ["between forward and backward", "between two gradients"])
def test_weights_that_change_in_the_middle_of_an_encode_are_refused(when):
    # as another thread would change them: by a hook, so that it surely happens
    decoder = copy.deepcopy(trained("mlp"))
    assert isinstance(decoder, nn.Module)
    parameters = list(decoder.parameters())
    calls = []

    def disturb() -> None:
        calls.append(1)
        if len(calls) == 9:  # after the decoder was asked whether it keeps rows apart
            with torch.no_grad():
                for parameter in parameters:
                    parameter.add_(0.1)

    if when == "between forward and backward":
        handle = decoder.register_forward_hook(lambda *_: disturb())
    else:
        handle = decoder.register_forward_pre_hook(lambda *_: disturb())
    with pytest.raises(RuntimeError, match=r"changed while it encoded.*copy\.deepcopy\(decoder\)"):
        gfe.encode(decoder, digits(5), max_steps=20)
    assert len(calls) >= 9
    handle.remove()
    assert gfe.encode(decoder, digits(5), max_steps=20).energy.isfinite().all()


def test_decoder_may_have_tied_and_absent_weights():
    class Tied(nn.Module):
        latent_dim = 64
        data_shape: tuple[int, ...] = (64,)

        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(64, 64, bias=False).double()
            self.two = self.one
            self.none = None
            self.register_buffer("shift", torch.full((64,), 0.1, dtype=torch.float64))
            self.register_parameter("absent", None)

        def forward(self, z: Tensor) -> Tensor:
            return self.two(torch.tanh(self.one(z))) + self.shift

    decoder = Tied()
    x = digits(3)
    z = torch.zeros(3, 64, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(gfe.Bernoulli().per_sample(decoder(z), x).sum(), z)
    found = gfe.encode(decoder, x, solver=gfe.Euler(steps=torch.ones(1)))
    torch.testing.assert_close(found.z, -gradient, rtol=0, atol=16 * EPS)


def test_reconstruction_is_the_mean_of_the_loss():
    decoder = trained("mlp")
    z = torch.randn(5, 8, dtype=torch.float64, generator=generator(6))
    assert torch.equal(
        gfe.reconstruct(decoder, z, gfe.Bernoulli()), torch.sigmoid(decoder(z)).detach()
    )
    assert torch.equal(gfe.reconstruct(decoder, z, gfe.Gaussian()), decoder(z).detach())
    assert not gfe.reconstruct(decoder, z, gfe.Gaussian()).requires_grad


def test_codes_of_trained_decoders_explain_digits_better_than_the_mean_picture():
    x = digits(64)
    mean = torch.logit(all_digits().mean(0).clamp(1e-4, 1 - 1e-4)).expand_as(x)
    assert (
        gfe.encode(trained("mlp"), x).energy.mean()
        < 0.9 * gfe.Bernoulli().per_sample(mean, x).mean()
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensor_is_refused_with_a_line_that_joins_its_samples():
    parts = [torch.rand(64, dtype=torch.float64) for _ in range(2)]
    for layout in (torch.strided, torch.jagged):
        nested = torch.nested.nested_tensor(parts, layout=layout)
        with pytest.raises(TypeError, match=r"nested tensor.*`torch.stack\(\[\*x\]\)`"):
            gfe.encode(fresh("mlp"), nested)


@pytest.mark.usefixtures("unchecked")
def test_transforms_of_torch_func_are_refused_with_the_adjoint_to_use():
    decoder, x = fresh("mlp"), digits(3)
    message = r"within `torch.func`.*`adjoint=gfe.Implicit\(\)`.*`torch.autograd.grad`"
    with pytest.raises(RuntimeError, match="`encode` cannot.*" + message):
        torch.func.grad(lambda x: gfe.encode(decoder, x).z.sum())(x)
    with pytest.raises(RuntimeError, match=message):
        torch.func.vmap(lambda x: gfe.encode(decoder, x[None]).z[0])(x)
    with pytest.raises(RuntimeError, match="The gradient of an energy cannot.*Take it outside"):
        torch.func.grad(lambda x: gfe.Energy(decoder, x).at(torch.zeros(3, 8).double()).value)(x)


def biasless() -> Any:
    torch.manual_seed(0)
    layers = nn.Linear(2, 32, bias=False), nn.ReLU(), nn.Linear(32, 6, bias=False)
    return gfe.wrap(nn.Sequential(*layers), latent_dim=2, data_shape=6)


def test_codes_that_cannot_leave_the_origin_are_told_with_what_helps():
    decoder = biasless()
    x = decoder(torch.randn(20, 2, generator=generator(1))).detach()
    with pytest.warns(UserWarning, match="exactly 0 for all 20 samples.*`n_starts=4`"):
        stuck = gfe.encode(decoder, x, loss=gfe.Gaussian())
    assert (stuck.z == 0).all()
    starts: list[dict[str, Any]] = [{"z0": torch.full((20, 2), 0.1)}, {"n_starts": 4}]
    for start in starts:
        moved = gfe.encode(decoder, x, loss=gfe.Gaussian(), **start)
        assert moved.energy.mean() < 0.01 * stuck.energy.mean()


class Attentive(nn.Module):
    """A decoder with torch's own attention, whose usual derivative has no derivative."""

    latent_dim, data_shape = 4, (6,)

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(1, 8)
        self.attend = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(32, 6)

    def forward(self, z: Tensor) -> Tensor:
        return self.out(self.attend(self.widen(z[..., None])).flatten(1))


@pytest.mark.parametrize(
    "options",
    [
        {"solver": gfe.GaussNewton()},
        {"adjoint": gfe.Implicit(), "solver": gfe.GaussNewton()},
        {"adjoint": gfe.Unrolled(), "solver": gfe.Euler(n_steps=3), "t1": 1.0},
        {"adjoint": gfe.DiscreteAdjoint(), "solver": gfe.Euler(n_steps=3), "t1": 1.0},
    ],
    ids=lambda options: " ".join(type(value).__name__ for value in options.values()),
)
def test_decoders_with_attention_have_second_derivatives(options: dict[str, Any]):
    torch.manual_seed(0)
    decoder = Attentive().eval()
    z = gfe.encode(decoder, torch.rand(5, 6), loss=gfe.Gaussian(), **options).z
    if "adjoint" in options:
        z.sum().backward()
        grad = decoder.widen.weight.grad
        assert grad is not None and grad.abs().sum() > 0
