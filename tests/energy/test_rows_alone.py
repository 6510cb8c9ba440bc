"""Each row is decoded and judged on its own: whatever looks at the others is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from problems import generator
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.decoders.plain import is_plain
from gfe_core.methods.gon import WithLabels
from gfe_core.methods.narrowing import Gated
from gfe_core.methods.variational import Evidence, VariationalDecoder

N = 6
SQUARES = gfe.Gaussian()
ALONE = "`decoder` .* must decode each code on its own and always in the same way"
APART = "must judge each sample on its own"
Change = Callable[[Tensor], Tensor]


def data(n: int = N) -> Tensor:
    return torch.rand(n, 16, generator=generator(2))


def mlp(kind: type[gfe.MLPDecoder] = gfe.MLPDecoder) -> gfe.MLPDecoder:
    return kind(latent_dim=3, hidden=(8,), data_dim=16, generator=generator(1))


class Strange(nn.Module):
    """A stranger's decoder; an exchangeable function changes its output."""

    latent_dim = 3
    data_shape: tuple[int, ...] = (16,)

    def __init__(self, change: Change = lambda y: y) -> None:
        super().__init__()
        self.inner = mlp()
        self.change = change

    def forward(self, z: Tensor) -> Tensor:
        return self.change(self.inner(z))


class NoModule:
    """A decoder that is no module."""

    latent_dim = 3
    data_shape = (16,)

    def __call__(self, z: Tensor) -> Tensor:
        return z.repeat(1, 6)[:, :16]


class Changed(nn.Module):
    """A layer that is a function."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def forward(self, y: Tensor) -> Tensor:
        return self.change(y)


def offsets(y: Tensor) -> Tensor:
    return y + torch.arange(32.0)[: len(y), None] // 2


MIXING: dict[str, Change] = {
    "centred": lambda y: y - y.mean(0),
    "over the largest of the batch": lambda y: y / y.detach().abs().max(),
    "dropout": lambda y: F.dropout(y, 0.3),
    "a row a sample": offsets,
}


def subclass(change: Change) -> Any:
    class Own(gfe.MLPDecoder):
        def forward(self, z: Tensor) -> Tensor:
            return change(super().forward(z))

    return mlp(Own)


def subclass_of_convolutions(change: Change) -> Any:
    class Own(gfe.ConvDecoder):
        def forward(self, z: Tensor) -> Tensor:
            return change(super().forward(z))

    return Own(latent_dim=3, image_shape=(4, 4), channels=(2,), generator=generator(1))


def _with(change: Change) -> Any:
    """Return a hook that changes an output."""
    return lambda module, inputs, output: change(output)


def hooked(change: Change) -> Any:
    decoder = mlp()
    decoder.register_forward_hook(_with(change))
    return decoder


def hooked_layer(change: Change) -> Any:
    decoder = mlp()
    decoder.layers[1].register_forward_hook(_with(change))
    return decoder


def exchanged_layer(change: Change) -> Any:
    decoder = mlp()
    decoder.layers[1] = Changed(change)
    return decoder


def patched(change: Change) -> Any:
    decoder = mlp()
    forward = decoder.forward
    decoder.forward = lambda z: change(forward(z))
    return decoder


def held_by_a_decoder_of_the_kit(change: Change) -> Any:
    return WithLabels(subclass(change), 2, generator=generator(3)).pixels()


ATTACHED = [
    subclass,
    subclass_of_convolutions,
    hooked,
    hooked_layer,
    exchanged_layer,
    patched,
    held_by_a_decoder_of_the_kit,
    lambda change: gfe.wrap(subclass(change), latent_dim=3, data_shape=16),
]


@pytest.mark.parametrize("attach", ATTACHED, ids=lambda attach: attach.__name__)
@pytest.mark.parametrize("kind", MIXING)
def test_decoder_of_the_kit_to_which_mixing_was_attached_is_refused(kind, attach):
    torch.manual_seed(0)  # two masks of 8 units agree in one of 76 draws
    with pytest.raises(ValueError, match=ALONE):
        gfe.encode(attach(MIXING[kind]), data(), loss=SQUARES)


@pytest.mark.parametrize("attach", ATTACHED, ids=lambda attach: attach.__name__)
def test_decoder_of_the_kit_to_which_something_harmless_was_attached_is_right(attach):
    decoder = attach(lambda y: 2 * y.tanh())
    x = data(21)
    together, apart = (
        gfe.encode(decoder, rows, loss=SQUARES, max_steps=5).z for rows in (x, x[18:])
    )
    # a wrapped decoder is called with its own rows; the others with multiples of 16
    torch.testing.assert_close(together[18:], apart, rtol=0, atol=1e-4)


def test_decoder_of_the_kit_as_it_is_is_not_asked(monkeypatch):
    rows: list[int] = []
    forward = gfe.MLPDecoder.forward

    def counted(self: gfe.MLPDecoder, z: Tensor) -> Tensor:
        rows.append(len(z))
        return forward(self, z)

    monkeypatch.setattr(gfe.MLPDecoder, "forward", counted)
    for decoder in (mlp(), Gated(mlp()), Gated(mlp()).narrowed(), WithLabels(mlp(), 2)):
        rows.clear()
        x = torch.rand(N, *decoder.data_shape, generator=generator(2))
        gfe.Energy(decoder, x, SQUARES).value_and_grad(torch.zeros(N, decoder.latent_dim))
        assert rows == [16]


def test_only_decoders_made_of_the_kits_parts_are_plain():
    conv = gfe.ConvDecoder(latent_dim=3, image_shape=(4, 4))
    transposed = gfe.TransposedConvDecoder(latent_dim=3, image_shape=(4, 4), channels=(4,))
    siren = gfe.SirenDecoder(latent_dim=3, hidden=(4,), image_shape=(4, 4))
    linear = gfe.LinearDecoder(latent_dim=3, data_dim=16)
    for decoder in (mlp(), linear, conv, transposed, siren, Gated(siren)):
        assert is_plain(decoder)
    held: Any = Strange()
    for decoder in (
        held,
        Gated(held),
        Gated(NoModule()),
        gfe.wrap(mlp(), latent_dim=3, data_shape=16),
    ):
        assert not is_plain(decoder)


BUFFERS: dict[str, Callable[[int], Tensor]] = {
    "sorted by group": lambda n: torch.arange(n) * 3 // n,
    "the last row": lambda n: torch.arange(n) == n - 1,
    "every other row": lambda n: torch.arange(n) % 2,
    "the first and the last alike": lambda n: (torch.arange(n) > 0) & (torch.arange(n) < n - 1),
}


@pytest.mark.parametrize("n", [3, N, 40])
@pytest.mark.parametrize("kind", BUFFERS)
def test_buffer_with_a_row_a_sample_is_refused_however_its_rows_are_sorted(kind, n):
    labels = BUFFERS[kind](n).float()[:, None]
    with pytest.raises(ValueError, match=f"{ALONE}.*context="):
        gfe.encode(Strange(lambda y: y + labels[: len(y)]), data(n), loss=SQUARES)


def test_normalisation_that_fails_for_one_row_is_refused_before_samples_leave():
    decoder = Strange(lambda y: F.batch_norm(y, None, None, training=True))
    options: dict[str, Any] = {"loss": SQUARES, "solver": gfe.Euler(n_steps=2), "t1": 0.1}
    for n in (2, N):
        with pytest.raises(ValueError, match=ALONE):
            gfe.encode(decoder, data(n), **options)


def test_decoder_of_a_fixed_number_of_rows_is_called_with_that():
    def fixed(y: Tensor) -> Tensor:
        return y.view(4, 16) if len(y) == 4 else y.view(-1)  # what a traced decoder may do

    decoder: Any = Strange(fixed)
    with pytest.raises(ValueError, match=f"{ALONE}.*row_multiple"):
        gfe.encode(decoder, data(4), loss=SQUARES, max_steps=1)
    decoder.row_multiple = 4
    assert gfe.encode(decoder, data(3), loss=SQUARES).energy.isfinite().all()


LATER: dict[str, Change] = {
    **MIXING,
    "dropout of codes": lambda z: F.dropout(z, 0.3),
    "centred codes": lambda z: z - z.mean(0),
}


@pytest.mark.parametrize("kind", LATER)
def test_decoder_is_asked_again_in_each_encode(kind):
    class Switched(Strange):
        def forward(self, z: Tensor) -> Tensor:
            return self.inner(self.change(z)) if "codes" in kind else super().forward(z)

    decoder = Switched()
    gfe.encode(decoder, data(), loss=SQUARES, max_steps=1)
    decoder.change = LATER[kind]
    with pytest.raises(ValueError, match=ALONE):
        gfe.encode(decoder, data(), loss=SQUARES, max_steps=1)


@pytest.mark.parametrize("n", [1, N])
@pytest.mark.parametrize("drift", [1e-4, 0.1])
def test_decoder_that_drifts_with_its_calls_is_refused(drift, n):
    calls: list[int] = []

    def drifting(y: Tensor) -> Tensor:
        calls.append(len(y))
        return y * (1 + drift * len(calls))

    with pytest.raises(ValueError, match=f"{ALONE}.*counters"):
        gfe.encode(Strange(drifting), data(n), loss=SQUARES)


@pytest.mark.parametrize("n", [1, 2, N, 40])
def test_asking_costs_a_batch_and_at_most_ten_rows(n):
    rows: list[int] = []
    decoder = Strange(lambda y: rows.append(len(y)) or y)
    energy = gfe.Energy(decoder, data(n), SQUARES)
    energy.value_and_grad(torch.zeros(n, 3))
    assert sum(rows) - n <= n + 10 and max(rows) == n
    rows.clear()
    energy.value_and_grad(torch.zeros(n, 3))
    energy.rows(torch.arange(1)).value_and_grad(torch.zeros(1, 3))
    assert rows == [n, 1], "once for an energy"


@pytest.mark.parametrize(("inner", "n_rows"), [(mlp(), 16), (Strange(), N)])
def test_draws_on_purpose_are_no_fault_and_asking_draws_nothing(inner, n_rows):
    source, same = generator(4), generator(4)
    decoder = VariationalDecoder(inner, generator=source)
    loss = Evidence(likelihood=gfe.Gaussian(reduction="sum"))
    gfe.Energy(decoder, data(), loss).value_and_grad(torch.zeros(N, 6))
    torch.randn(n_rows, 3, generator=same)
    assert torch.equal(source.get_state(), same.get_state())


def squares(y: Tensor, x: Tensor) -> Tensor:
    return (y - x).square().mean(1)


def white(n: int = N) -> Tensor:
    """Images with a white and a black pixel, but for one with neither."""
    x = data(n).clamp(0.2, 0.8)
    x[:, 0], x[:, 1] = 1.0, 0.0
    x[n // 2, :2] = 0.5
    return x


Function = Callable[[Tensor, Tensor], Tensor]
WEIGHTS = torch.arange(16.0) // 3
COUPLED: dict[str, Function] = {
    "by the largest of the data": lambda y, x: squares(y, x) / x.max(),
    "by the least of the data": lambda y, x: squares(y, x) / (1 + x.min()),
    "by the median of the data": lambda y, x: squares(y, x) / x.median(),
    "by the sum of the data": lambda y, x: squares(y, x) / x.sum(),
    "scaled by each feature's largest": lambda y, x: squares(y, x / x.amax(0)),
    "by the number of samples": lambda y, x: squares(y, x) / len(x),
    "by the largest output": lambda y, x: squares(y, x) / y.detach().abs().max(),
    "by the spread of outputs": lambda y, x: squares(y, x) * (1 + y.detach().std(0).mean()),
    "by ranks": lambda y, x: squares(y, x) * (1 + x.sum(1).argsort().argsort()),
    "weights of its own": lambda y, x: squares(y, x) * (1 + WEIGHTS[: len(x)]),
    "weights of its own, all of them": lambda y, x: squares(y, x) * (1 + WEIGHTS[:N]),
    "by the largest energy": lambda y, x: squares(y, x) / squares(y, x).max(),
}


@pytest.mark.parametrize("kind", COUPLED)
def test_loss_that_looks_at_the_batch_is_refused(kind):
    with pytest.raises(ValueError, match=rf"`loss` {APART}.*statistics of the batch.*context="):
        gfe.encode(Strange(), white(), loss=COUPLED[kind])


@pytest.mark.parametrize("kind", ["by the largest of the data", "by the spread of outputs"])
def test_loss_that_looks_at_the_batch_is_refused_beside_a_decoder_of_the_kit(kind):
    for n in (2, N, 40):
        with pytest.raises(ValueError, match=f"`loss` {APART}"):
            gfe.encode(mlp(), white(n), loss=COUPLED[kind])


SOUND: dict[str, Function] = {
    "by the largest of each sample": lambda y, x: squares(y, x) / x.amax(1),
    "ranks within each sample": lambda y, x: squares(y, x.argsort(1).argsort(1) / 16),
    "excess": lambda y, x: F.kl_div(y.log_softmax(1), x.softmax(1), reduction="none").sum(1),
    "a bounded number": lambda y, x: squares(y, x).tanh(),
}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_loss_that_judges_each_sample_alone_is_not_refused(kind, size):
    decoder = mlp()
    with torch.no_grad():
        x = torch.cat([size * white(), decoder(torch.zeros(1, 3)), 1e3 * white(1)])
    assert gfe.encode(decoder, x, loss=SOUND[kind], max_steps=3).energy.isfinite().all()


def test_rounding_is_not_held_against_a_sample_that_is_explained_already():
    decoder = mlp()
    with torch.no_grad():
        x = torch.cat([decoder(torch.zeros(1, 3)), data()])

    def rounded(y: Tensor, x: Tensor) -> Tensor:
        return squares(y, x) + 1e-7 * len(x)  # kernels for another number of rows round otherwise

    assert gfe.encode(decoder, x, loss=rounded, max_steps=3).energy.isfinite().all()


PENALTIES: dict[str, Change] = {
    "by the spread of codes": lambda z: z.square().sum(1) * (1 + z.detach().std(0).sum()),
    "by the largest code": lambda z: z.square().sum(1) / (1 + z.detach().abs().max()),
    "by the number of codes": lambda z: z.square().sum(1) / len(z),
    "by ranks": lambda z: z.square().sum(1) * z.detach().sum(1).argsort().argsort(),
    "weights of its own": lambda z: z.square().sum(1) * (1 + WEIGHTS[: len(z)]),
    "distances of codes": lambda z: torch.cdist(z, z).square().mean(1),
}


@pytest.mark.parametrize("kind", PENALTIES)
def test_penalty_that_looks_at_the_batch_is_refused(kind):
    for decoder in (Strange(), mlp()):
        with pytest.raises(ValueError, match=rf"`penalty` {APART}.*\.sum\(1\)"):
            gfe.encode(decoder, data(), loss=SQUARES, penalty=PENALTIES[kind])


def test_penalty_with_a_wall_is_not_refused():
    def wall(z: Tensor) -> Tensor:
        return -(1 - z.square()).log().sum(1)  # NaN for random codes

    def bounded(z: Tensor) -> Tensor:
        return -torch.distributions.Uniform(-0.5, 0.5).log_prob(z).sum(1) + z.square().sum(1)

    for penalty in (wall, bounded):
        found = gfe.encode(
            mlp(), data(), loss=SQUARES, penalty=penalty, bounds=(-0.4, 0.4), max_steps=3
        )
        assert found.energy.isfinite().all()


def test_gradients_in_inference_mode_are_refused_with_what_to_write():
    decoder, z = mlp(), torch.zeros(N, 3)
    energy = gfe.Energy(decoder, data(), SQUARES)
    verbs: list[Callable[[], Any]] = [
        lambda: energy.at(z),
        lambda: energy.value_and_grad(z),
        lambda: energy.hessian(z),
        lambda: energy.hessian_product(z, z),
        lambda: energy.gauss_newton(z),
        lambda: energy.curvatures(z),
        lambda: energy.linearised(z, []),
    ]
    with torch.inference_mode():
        for verb in verbs:
            with pytest.raises(RuntimeError, match=r"no gradients.*`torch\.no_grad\(\)`"):
                verb()
        assert energy.value(z).shape == (N,)
    with torch.no_grad():
        assert energy.value_and_grad(z)[1].shape == z.shape


class AtRandom:
    """A loss of other features in each call."""

    def per_sample(self, output: Tensor, x: Tensor) -> Tensor:
        return ((output - x).square() * (torch.rand_like(x) > 0.5)).mean(1)


class Counting:
    """A loss that grows with every call."""

    def __init__(self) -> None:
        self.calls = 0

    def per_sample(self, output: Tensor, x: Tensor) -> Tensor:
        self.calls += 1
        return self.calls * (output - x).square().mean(1)


@pytest.mark.parametrize("decoder", [mlp, Strange])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("loss", [AtRandom, Counting])
def test_loss_that_changes_from_call_to_call_is_refused_for_one_sample_too(loss, n, decoder):
    with pytest.raises(ValueError, match=f"`loss` {APART} and always alike"):
        gfe.encode(decoder(), data(n), loss=loss())


@pytest.mark.parametrize("n", [1, 3])
def test_penalty_at_random_is_refused_for_one_sample_too(n):
    def drawn(z: Tensor) -> Tensor:
        return z.square().sum(1) * torch.rand(len(z))

    with pytest.raises(ValueError, match=f"`penalty` {APART} and always alike"):
        gfe.encode(mlp(), data(n), loss=SQUARES, penalty=drawn)


@pytest.mark.parametrize("n", [1, N])
def test_refused_decoder_gets_back_the_buffers_it_wrote(n):
    class Drifting(Strange):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("average", torch.zeros(2, 3))
            self.register_buffer("count", torch.zeros((), dtype=torch.long))

        average: Tensor

        def forward(self, z: Tensor) -> Tensor:
            self.average = self.average + 0.1
            self.count += 1
            return super().forward(z) * (1 + self.average.mean())

    decoder: Any = Drifting().eval()
    kept = decoder.average
    with pytest.raises(ValueError, match=ALONE):
        gfe.encode(decoder, data(n), loss=SQUARES)
    assert decoder.average is kept and not kept.any() and not decoder.count
