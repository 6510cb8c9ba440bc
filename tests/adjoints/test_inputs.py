"""The gradient of a code reaches everything it depends on, wherever a decoder holds that."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from problems import generator
from torch import Tensor, nn
from torch._inductor import config as inductor

import gfe_core as gfe
from gfe_core.encoding import _starts
from gfe_core.types import Decoder, Penalty

EULER: dict[str, Any] = {"solver": gfe.Euler(n_steps=6), "t1": 30.0}
TIGHT: dict[str, Any] = {"solver": gfe.BFGS(), "stop": gfe.Stop(grad_norm=1e-12, energy_slope=0)}
WAYS = {
    "Unrolled": EULER | {"adjoint": gfe.Unrolled()},
    "DiscreteAdjoint": EULER | {"adjoint": gfe.DiscreteAdjoint()},
    "Implicit": TIGHT | {"adjoint": gfe.Implicit()},
}


def ridge(z: Tensor) -> Tensor:
    """A penalty that gives every sample one minimum."""
    return 0.05 * z.square().sum(1)


def data() -> Tensor:
    return torch.rand(3, 9, dtype=torch.float64, generator=generator(1))


def network() -> nn.Sequential:
    """Tanh, because the second derivative of ELU jumps."""
    layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 9)).double()
    random = generator(2)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.uniform_(-1.5, 1.5, generator=random)
    return layers


class Plain(nn.Module):
    """A decoder that is an ordinary module around others."""

    latent_dim = 3
    data_shape: tuple[int, ...] = (9,)

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, z: Tensor) -> Tensor:
        return self.inner(z)


class Closure(Plain):
    """Its forward pass is a function made in the constructor, bound to this very object."""

    def __init__(self) -> None:
        super().__init__()
        self.decode = lambda z: self.inner(z)

    def forward(self, z: Tensor) -> Tensor:
        return self.decode(z)


class Function:
    """A decoder that is no module: a function with a network in its closure."""

    latent_dim = 3
    data_shape: tuple[int, ...] = (9,)

    def __init__(self) -> None:
        inner = network()
        self.decode = lambda z: inner(z)
        self.weights = list(inner.parameters())

    def __call__(self, z: Tensor) -> Tensor:
        return self.decode(z)


class Shared(nn.Module):
    """One weight used twice, the second time transposed."""

    latent_dim = 3
    data_shape: tuple[int, ...] = (9,)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(
            torch.randn(8, 3, dtype=torch.float64, generator=generator(4)) / 2
        )
        self.second = nn.Linear(3, 9, bias=False).double()
        with torch.no_grad():
            self.second.weight.uniform_(-1, 1, generator=generator(5))

    def forward(self, z: Tensor) -> Tensor:
        return self.second(torch.tanh(z @ self.first.T) @ self.first)


def patched() -> Plain:
    decoder = Plain()
    inner = decoder.forward
    decoder.forward = lambda z: 1.1 * inner(z)
    return decoder


def hooked() -> Plain:
    decoder = Plain()
    scale = torch.tensor(1.2, dtype=torch.float64)
    decoder.register_forward_hook(
        lambda module, inputs, output: output.mul(scale)  # pyright: ignore[reportAttributeAccessIssue]
    )
    decoder.inner[0].register_forward_pre_hook(lambda module, inputs: (inputs[0] + 0.1,))
    return decoder


def parametrised() -> Plain:
    decoder = Plain()
    nn.utils.parametrizations.weight_norm(decoder.inner[0])
    return decoder


def part_frozen() -> Plain:
    decoder = Plain()
    decoder.inner[0].requires_grad_(False)
    return decoder


def traced() -> Plain:
    decoder = Plain()
    example = torch.zeros(2, 3, dtype=torch.float64)
    decoder.inner = torch.jit.trace(decoder.inner, example)  # pyright: ignore[reportAttributeAccessIssue]
    return decoder


def compiled(backend: str) -> Any:
    return torch.compile(Plain(), backend=backend)


DECODERS: dict[str, Callable[[], Decoder]] = {
    "plain": Plain,
    "closure": Closure,
    "function": Function,
    "patched forward": patched,
    "hooks": hooked,
    "parametrised": parametrised,
    "shared": Shared,
    "part frozen": part_frozen,
    "traced": traced,
    "compiled, eager": lambda: compiled("eager"),
}


def learning(decoder: Decoder) -> list[Tensor]:
    """Weights that require a gradient."""
    weights = decoder.parameters() if isinstance(decoder, nn.Module) else decoder.weights  # pyright: ignore
    return [weight for weight in weights if weight.requires_grad]


def directions(tensors: Sequence[Tensor]) -> list[Tensor]:
    random = generator(6)
    return [torch.randn(t.shape, dtype=t.dtype, generator=random) for t in tensors]


def central_difference(f: Callable[[], Tensor], tensors: Sequence[Tensor], h: float) -> float:
    """Derivative of f along `directions`, by moving tensors in place and back."""

    def moved(step: float) -> float:
        with torch.no_grad():
            for tensor, along in zip(tensors, directions(tensors), strict=True):
                tensor.add_(step * along)
            return f().item()

    up = moved(h)
    down = moved(-2 * h)
    moved(h)
    return (up - down) / (2 * h)


def along(gradients: Sequence[Tensor], tensors: Sequence[Tensor]) -> float:
    pairs = zip(gradients, directions(tensors), strict=True)
    return sum(float((gradient * way).sum()) for gradient, way in pairs)


def codes(decoder: Decoder, x: Tensor, penalty: Penalty = ridge, **arguments: Any) -> Tensor:
    """Codes so exact that their error does not affect a difference quotient.

    A line search ends at the rounding of the energy, Newton's method at that of z.
    """
    z = gfe.encode(decoder, x, penalty=penalty, **arguments).z.detach()
    if isinstance(arguments["adjoint"], gfe.Implicit):
        energy = gfe.Energy(decoder, x.detach(), gfe.Bernoulli(), penalty=penalty)
        for _ in range(3):
            z = z - torch.linalg.solve(energy.hessian(z), energy.at(z).grad())
    return z.detach()


def outside(z: Tensor) -> Tensor:
    """A loss that is not the one the codes minimise."""
    return (z * torch.linspace(1, 2, 9, dtype=z.dtype).view(3, 3)).square().sum()


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("way", WAYS)
def test_gradient_reaches_the_weights_wherever_a_decoder_holds_them(way, name, unchecked):
    decoder = DECODERS[name]()
    weights = learning(decoder)
    z = gfe.encode(decoder, data(), penalty=ridge, **WAYS[way]).z
    found = along(torch.autograd.grad(outside(z), weights), weights)
    expected = central_difference(
        lambda: outside(codes(decoder, data(), **WAYS[way])), weights, 1e-5
    )
    # the difference is exact to some 1e-9, the codes of a line search to some 1e-8
    assert abs(found / expected - 1) < 1e-5 and abs(expected) > 1e-2
    assert len(weights) == (2 if name in ("shared", "part frozen") else len(weights))


def leaf(*shape: int, seed: int = 8) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=generator(seed)).requires_grad_()


@pytest.mark.parametrize("frozen", [False, True], ids=["learning decoder", "frozen decoder"])
@pytest.mark.parametrize("way", WAYS)
def test_gradient_reaches_data_start_and_what_a_penalty_holds(way, frozen, unchecked):
    decoder = Plain().requires_grad_(not frozen)
    x = leaf(3, 9)
    z0 = leaf(3, 3, seed=9)
    log_strength = torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)
    asked = [x, z0, log_strength]

    def penalty() -> Penalty:
        strength = log_strength.exp()  # no leaf: computed outside, once for all steps
        return lambda z: strength * z.square().sum(1)

    z = gfe.encode(decoder, x, z0=z0, penalty=penalty(), **WAYS[way]).z
    gradients = torch.autograd.grad(outside(z), asked)
    for gradient, tensor in zip(gradients, asked, strict=True):
        expected = central_difference(
            lambda: outside(codes(decoder, x, penalty(), z0=z0, **WAYS[way])), [tensor], 1e-5
        )
        assert abs(along([gradient], [tensor]) - expected) < 1e-5 * max(1, abs(expected))
    assert (gradients[1] == 0).all() == (way == "Implicit")  # a minimum forgets its start
    assert gradients[0].abs().max() > 1e-3 and gradients[2].abs() > 1e-3


def test_frozen_implicit_follows_the_start_as_far_as_the_flow_has_gone(unchecked):
    linear = gfe.LinearDecoder(latent_dim=3, data_dim=9, generator=generator(3)).double()
    z0 = leaf(3, 3, seed=9)
    arguments = {"loss": gfe.Gaussian(), "solver": gfe.RK4(n_steps=100), "t1": 4.0, "z0": z0}
    exact, frozen = (
        torch.autograd.grad(outside(gfe.encode(linear, data(), adjoint=a, **arguments).z), z0)[0]
        for a in (gfe.Unrolled(), gfe.Implicit(frozen=True))
    )
    # the energy is a parabola, where both are exact but for the 1e-9 of RK4
    torch.testing.assert_close(frozen, exact, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_data_made_by_another_network_carry_the_gradient_on(way, unchecked):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        maker = nn.Linear(2, 9).double()
    source = torch.rand(3, 2, dtype=torch.float64, generator=generator(3))
    loss = outside(gfe.encode(Plain(), torch.sigmoid(maker(source)), penalty=ridge, **WAYS[way]).z)
    (gradient,) = torch.autograd.grad(loss, [maker.weight])
    expected = central_difference(
        lambda: outside(codes(Plain(), torch.sigmoid(maker(source)), **WAYS[way])),
        [maker.weight],
        1e-5,
    )
    assert abs(along([gradient], [maker.weight]) / expected - 1) < 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_weights_changed_in_place_before_the_backward_pass_are_refused(way):
    decoder = Plain()
    z = gfe.encode(decoder, data(), penalty=ridge, **WAYS[way]).z
    expected = torch.autograd.grad(z.sum(), learning(decoder), retain_graph=True)
    again = torch.autograd.grad(z.sum(), learning(decoder), retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))
    with torch.no_grad():
        next(decoder.parameters()).add_(1.0)
    with pytest.raises(RuntimeError, match="changed in place since `encode`"):
        torch.autograd.grad(z.sum(), learning(decoder))


@pytest.mark.parametrize("way", ["Unrolled", "DiscreteAdjoint"])
def test_gradient_of_the_best_of_several_starts_is_that_of_the_returned_code(way):
    arguments = WAYS[way] | {"t1": 3.0, "n_starts": 4}  # far from the minima, as starts still count
    decoder, x = Plain(), data()
    first = gfe.encode(decoder, x, penalty=ridge, **arguments | {"n_starts": 1}).z
    z = gfe.encode(decoder, x, penalty=ridge, **arguments).z
    assert not torch.equal(z, first)
    gradients = torch.autograd.grad(outside(z), learning(decoder))
    expected = central_difference(
        lambda: outside(codes(decoder, x, **arguments)), learning(decoder), 1e-5
    )
    assert abs(along(gradients, learning(decoder)) / expected - 1) < 1e-6


def test_gradient_of_further_starts_is_finite_at_a_first_code_in_the_origin():
    z = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(torch.stack(_starts(2, z, None)).sum(), z)
    assert (gradient == 0).all()


def replaced(decoder: nn.Module) -> None:
    """Give a module new parameters, as `load_state_dict(..., assign=True)` does."""
    state = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    decoder.load_state_dict(state, assign=True)


@pytest.mark.parametrize("way", WAYS)
def test_weights_replaced_before_the_backward_pass_are_refused(way):
    decoder = Plain()
    z = gfe.encode(decoder, data(), penalty=ridge, **WAYS[way]).z
    replaced(decoder)
    with pytest.raises(RuntimeError, match="or replaced"):
        z.sum().backward()


@pytest.mark.parametrize("way", WAYS)
def test_weights_in_a_closure_replaced_before_the_backward_pass_are_refused(way):
    plain = Plain()

    class Closure:
        latent_dim, data_shape = plain.latent_dim, plain.data_shape

        def __call__(self, z: Tensor) -> Tensor:
            return plain(z)

    z = gfe.encode(Closure(), data(), penalty=ridge, **WAYS[way]).z
    torch.autograd.grad(z.sum(), learning(plain), retain_graph=True)
    replaced(plain)
    with pytest.raises(RuntimeError, match="or replaced"):
        z.sum().backward()


def test_buffers_replaced_before_the_backward_pass_are_refused():
    decoder = Plain()
    decoder.register_buffer("offset", torch.zeros(9, dtype=torch.float64))
    z = gfe.encode(decoder, data(), penalty=ridge, **WAYS["Implicit"]).z
    decoder.offset = torch.ones(9, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="or replaced"):
        z.sum().backward()


@cache
def aot() -> Any:
    """Compiled without double backward, as inductor does it but without a C++ compiler."""
    return compiled("aot_eager")


@pytest.mark.parametrize("way", WAYS)
def test_exact_adjoints_of_a_decoder_compiled_without_double_backward_are_refused(way, unchecked):
    with pytest.raises(TypeError, match="_orig_mod"):
        gfe.encode(aot(), data(), penalty=ridge, **WAYS[way])
    with pytest.raises(TypeError, match="_orig_mod"):
        gfe.encode(aot(), data(), solver=gfe.GaussNewton())


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_decoder_finds_the_codes_of_the_uncompiled_one(backend, unchecked):
    expected = gfe.encode(Plain(), data(), max_steps=10)
    # Each further process that compiles would import torch.
    with inductor.patch(compile_threads=1):
        found = gfe.encode(compiled(backend), data(), max_steps=10)
    # fused kernels round differently, and ten steps amplify that
    torch.testing.assert_close(found.z, expected.z, rtol=0, atol=1e-9)


def test_gradient_reaches_only_weights_that_ask(unchecked):
    decoder = part_frozen()
    gfe.encode(decoder, data(), penalty=ridge, **WAYS["Unrolled"]).z.sum().backward()
    assert [weight.grad is None for weight in decoder.parameters()] == [True, True, False, False]


def test_weights_of_a_branch_that_no_sample_takes_get_zeros(unchecked):
    class Branch(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(3, 9).double()

        def forward(self, z: Tensor) -> Tensor:
            return self.inner(z) if z.abs().max() < 1e6 else self.other(z)

    decoder = Branch()
    gfe.encode(decoder, data(), **EULER, adjoint=gfe.Unrolled()).z.sum().backward()
    assert decoder.other.weight.grad is not None and (decoder.other.weight.grad == 0).all()


def test_gradient_origin_network_learns_alike_however_its_decoder_is_wrapped(unchecked):
    def trained(decoder: nn.Module) -> float:
        optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
        batches = gfe.data.Batches(data(), size=3)
        encoder = gfe.gon.Origin()
        history = gfe.fit(
            decoder, batches, encoder=encoder, loss=gfe.gon.SQUARES, epochs=10, optimizer=optimizer
        )
        return history.energy[-1]

    expected = trained(Plain())
    for other in (Closure(), compiled("eager")):
        assert math.isclose(trained(other), expected, rel_tol=1e-9)


def test_data_overwritten_before_the_backward_pass_are_refused(unchecked):
    decoder, x = Plain(), data().clone()
    rows = x.repeat(16, 1)[:16]  # of which no padded copy is made
    z = gfe.encode(decoder, rows, penalty=ridge, **WAYS["Implicit"]).z
    rows.mul_(0.5)
    with pytest.raises(RuntimeError, match="changed in place since `encode`"):
        torch.autograd.grad(z.sum(), learning(decoder))


class Listed(Plain):
    """Its layers stand in a list, which registers none of them."""

    def __init__(self) -> None:
        super().__init__()
        layers = [self.inner]
        del self.inner
        self.layers = layers

    def forward(self, z: Tensor) -> Tensor:
        return self.layers[0](z)


def layers_of(decoder: Any) -> nn.Sequential:
    return decoder.layers[0] if isinstance(decoder, Listed) else decoder.inner


def with_modes(decoder: Any) -> Any:
    """A decoder with statistics and dropout, at rest."""
    layers_of(decoder).insert(1, nn.BatchNorm1d(8).double())
    layers_of(decoder).append(nn.Dropout(0.5))
    layers_of(decoder).eval()
    return decoder


def called() -> Any:
    """Make an object, no module, whose call reaches the network through its closure alone."""
    layers = network()

    class Closing:
        latent_dim, data_shape, inner = 3, (9,), layers

        def __call__(self, z: Tensor) -> Tensor:
            return layers(z)

    return Closing()


def wrapped() -> Any:
    inner = network()
    decoder = gfe.wrap(lambda z: inner(z), latent_dim=3, data_shape=9)
    decoder.inner = inner
    return decoder


def scripted() -> Any:
    decoder = with_modes(Plain())
    decoder.inner = torch.jit.script(decoder.inner)
    return decoder


MODAL: dict[str, Callable[[], Any]] = {
    "module": lambda: with_modes(Plain()),
    "list": lambda: with_modes(Listed()),
    "closure of a call": lambda: with_modes(called()),
    "wrapped": lambda: with_modes(wrapped()),
    "scripted": scripted,
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODAL)
@pytest.mark.parametrize("way", WAYS)
def test_gradient_is_that_of_the_encode_after_the_decoder_is_set_to_training(way, name, unchecked):
    decoder = MODAL[name]()
    layers = layers_of(decoder)
    weights = list(layers.parameters())
    buffers = [buffer.clone() for buffer in layers.buffers()]
    z = gfe.encode(decoder, data(), penalty=ridge, **WAYS[way]).z
    expected = torch.autograd.grad(outside(z), weights, retain_graph=True)
    layers.train()
    found = torch.autograd.grad(outside(z), weights)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(module.training for module in layers.modules())
    assert all(torch.equal(a, b) for a, b in zip(layers.buffers(), buffers, strict=True))


def test_modes_come_back_after_a_refused_backward_pass():
    decoder = with_modes(Plain())
    strength = [1.0]
    penalty: Penalty = lambda z: strength[0] * z.square().sum(1)  # noqa: E731
    z = gfe.encode(decoder, data(), penalty=penalty, **WAYS["Implicit"]).z
    decoder.train()
    strength[0] = 2.0
    with pytest.raises(RuntimeError, match="since `encode`"):
        z.sum().backward()
    assert all(module.training for module in decoder.modules())


STRENGTH = torch.tensor(0.05, dtype=torch.float64)


class Weighted:
    """A loss with a constant for each feature."""

    def __init__(self) -> None:
        self.weight = torch.ones(9, dtype=torch.float64)

    def per_sample(self, output: Tensor, x: Tensor) -> Tensor:
        return (self.weight * (output - x).square()).sum(1)


class Scaled(Plain):
    scale = 1.0

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * super().forward(z)


@pytest.mark.parametrize("what", ["global of a penalty", "number", "loss", "decoder"])
@pytest.mark.parametrize("way", WAYS)
def test_constants_changed_before_the_backward_pass_are_refused(what, way, unchecked):
    decoder, loss, number = Scaled(), Weighted(), [1.0]

    def penalty(z: Tensor) -> Tensor:
        return number[0] * STRENGTH * z.square().sum(1)

    z = gfe.encode(decoder, data(), loss=loss, penalty=penalty, **WAYS[way]).z
    torch.autograd.grad(z.sum(), learning(decoder), retain_graph=True)
    strength = STRENGTH.item()
    if what == "global of a penalty":
        STRENGTH.mul_(10)
    elif what == "number":
        number[0] = 10.0
    elif what == "loss":
        loss.weight[0] = 5.0
    else:
        decoder.scale = 3.0
    with pytest.raises(RuntimeError, match="since `encode`"):
        torch.autograd.grad(z.sum(), learning(decoder))
    STRENGTH.fill_(strength)


def test_penalty_that_counts_its_calls_has_a_gradient():
    calls = torch.zeros(())

    def penalty(z: Tensor) -> Tensor:
        calls.add_(1)
        return ridge(z)

    decoder = Plain()
    gfe.encode(decoder, data(), penalty=penalty, **WAYS["Implicit"]).z.sum().backward()
    assert all(weight.grad is not None for weight in decoder.parameters())


class Counting(Plain):
    """It counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.long))

    def forward(self, z: Tensor) -> Tensor:
        self.n_calls += 1
        return super().forward(z)


@pytest.mark.parametrize("way", WAYS)
def test_decoder_that_counts_its_calls_in_a_buffer_has_a_gradient(way):
    decoder = Counting()
    gfe.encode(decoder, data(), penalty=ridge, **WAYS[way]).z.sum().backward()
    assert all(weight.grad is not None for weight in decoder.parameters())
