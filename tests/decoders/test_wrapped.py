"""`wrap` makes a decoder of whatever can be called."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gfe_core as gfe


def net(generator: torch.Generator | None = None) -> nn.Sequential:
    source = generator or torch.Generator().manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 9), nn.ELU(), nn.Linear(9, 6))
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.uniform_(-1, 1, generator=source)
    return layers


NET = net()


def scaled(z: Tensor, scale: float) -> Tensor:
    return NET(z) * scale


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 3)
        self.net = net()

    def decode(self, z: Tensor) -> Tensor:
        return self.net(z)


class Holder:
    """An object, no module, that can be called."""

    def __init__(self) -> None:
        self.net = net()

    def __call__(self, z: Tensor) -> Tensor:
        return self.net(z)


class Shelf:
    """An object that holds modules in a collection, and itself."""

    def __init__(self) -> None:
        self.nets = [Holder()]
        self.own = self

    def decode(self, z: Tensor) -> Tensor:
        return self.nets[0](z)


def callables() -> dict[str, Any]:
    inner = net()
    body = [inner]
    by_name = {"parts": ({"net": inner},)}
    holder = Holder()
    return {
        "list": lambda z: body[0](z),
        "dict": lambda z: by_name["parts"][0]["net"](z),
        "object in a function": lambda z: holder(z),
        "method of an object": Shelf().decode,
        "module": net(),
        "lambda": lambda z: inner(z),
        "function of a global": lambda z: NET(z),
        "partial": partial(scaled, scale=1.0),
        "method": Vae().decode,
        "object": Holder(),
        "compiled": torch.compile(net(), backend="eager"),
        "compiled function": torch.compile(lambda z: inner(z), backend="eager"),
    }


@pytest.mark.parametrize("name", callables())
def test_any_callable_encodes_and_trains_as_the_module_itself(name: str):
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(1))
    plain = gfe.wrap(net(), latent_dim=3, data_shape=(6,))
    decoder = gfe.wrap(callables()[name], latent_dim=3, data_shape=(6,))
    expected = gfe.encode(plain, x).z
    assert torch.allclose(gfe.encode(decoder, x).z, expected, atol=1e-5)  # rounding alone
    weights = [p for p in decoder.parameters() if p.shape == (6, 9)]
    assert len(weights) == 1, "optimizers and files must see the weights"
    batches = gfe.data.Batches(x, size=5)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    gfe.fit(decoder, batches, optimizer=torch.optim.SGD(decoder.parameters(), lr=0.1))
    trained = gfe.encode(decoder, x).z
    assert not torch.allclose(trained, expected, atol=1e-3), "the weights that are used must learn"
    decoder.load_state_dict(before)  # NET is shared between tests


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_traced_module_is_a_decoder():
    traced: Any = torch.jit.trace(net(), torch.zeros(2, 3))
    decoder = gfe.wrap(traced, latent_dim=3, data_shape=(6,))
    x = torch.rand(5, 6)
    expected = gfe.encode(gfe.wrap(net(), latent_dim=3, data_shape=6), x).z
    assert torch.allclose(gfe.encode(decoder, x).z, expected, atol=1e-5)
    assert len(list(decoder.parameters())) == 4


def test_codes_of_another_shape_are_a_function_of_the_callers():
    convolution = nn.ConvTranspose2d(3, 2, 4)
    decoder = gfe.wrap(
        lambda z: convolution(z[:, :, None, None]), latent_dim=3, data_shape=(2, 4, 4)
    )
    assert gfe.encode(decoder, torch.rand(5, 2, 4, 4)).z.shape == (5, 3)
    assert {id(p) for p in decoder.parameters()} == {id(p) for p in convolution.parameters()}
    with pytest.raises(ValueError, match=r"failed at codes of shape \(2, 3\).*lambda z: net"):
        gfe.wrap(convolution, latent_dim=3, data_shape=(2, 4, 4))


def test_function_without_weights_may_want_any_dtype():
    weights = torch.rand(3, 6, dtype=torch.float64)
    decoder = gfe.wrap(lambda z: z @ weights, latent_dim=3, data_shape=(6,))
    enc = gfe.encode(decoder, torch.rand(5, 6, dtype=torch.float64))
    assert enc.z.dtype == torch.float64
    wrong = gfe.wrap(lambda z: z @ weights, latent_dim=3, data_shape=(7,))  # cannot be tried
    with pytest.raises(ValueError, match=r"`module` must return shape \(batch, \*data_shape\)"):
        gfe.encode(wrong, torch.rand(5, 7, dtype=torch.float64))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (net(), (2, 3), r"= \(2, 2, 3\) for 2 codes, got \(2, 6\). Reshape it in a function"),
        (net(), (5,), r"= \(2, 5\) for 2 codes, got \(2, 6\). Give the shape of one sample"),
        (lambda z: NET(z).mean(0), (6,), r"= \(2, 6\) for 2 codes, got \(6,\)"),
        (lambda z: NET(z)[:1], (6,), r"= \(2, 6\) for 2 codes, got \(1, 6\)"),
        (net(), (0,), "`data_shape` must be at least 1, got 0"),
    ],
)
def test_output_of_another_shape_is_refused_at_once(module, shape, message):
    with pytest.raises(ValueError, match=message):
        gfe.wrap(module, latent_dim=3, data_shape=shape)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (3, "must be a module or a function of codes, got int"),
        (Vae, "got the class Vae: pass an instance"),
        (lambda z: (NET(z), z), r"must return shape .*\(2, 6\).* as a tensor, got tuple. Pick the"),
    ],
)
def test_what_is_no_decoder_is_refused(module, message, unchecked: None):
    with pytest.raises(TypeError, match=message):
        gfe.wrap(module, latent_dim=3, data_shape=(6,))


def test_trial_changes_nothing_in_a_module_in_training_mode():
    inner = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Dropout())
    before = {name: value.clone() for name, value in inner.state_dict().items()}
    state = torch.get_rng_state()
    decoder = gfe.wrap(lambda z: inner(z), latent_dim=3, data_shape=(6,))
    assert all(torch.equal(value, before[name]) for name, value in inner.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and inner.training
    with pytest.raises(ValueError, match=r"BatchNorm1d .*in training mode"):
        gfe.encode(decoder, torch.rand(5, 6))


def test_compiled_module_is_not_compiled_by_the_trial():
    calls: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        calls.append(1)
        return graph

    decoder = gfe.wrap(torch.compile(net(), backend=backend), latent_dim=3, data_shape=(6,))
    assert calls == []
    decoder(torch.zeros(2, 3))
    assert calls == [1]


class Hiding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 6)
        self.others = [nn.Linear(6, 6)]

    def forward(self, z: Tensor) -> Tensor:
        return self.others[0](self.first(z))


def test_weights_that_would_be_neither_trained_nor_saved_are_refused():
    weight = torch.rand(3, 6, requires_grad=True)
    for module in (Hiding(), lambda z: z @ weight):
        with pytest.raises(TypeError, match=r"neither trained nor saved. Put them into a module"):
            gfe.wrap(module, latent_dim=3, data_shape=(6,))
    weight.requires_grad_(False)
    gfe.wrap(lambda z: z @ weight, latent_dim=3, data_shape=(6,))
