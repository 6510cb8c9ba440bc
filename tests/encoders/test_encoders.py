"""Other ways to a code are what their names say, and are judged and trained as the flow is."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from problems import digits, fresh, generator
from sklearn import decomposition
from torch import Tensor, nn
from torch.nn import functional

import gfe_core as gfe
from gfe_core.data.batches import Batches
from gfe_core.encoders.amortised import SemiAmortised, StoredCodes, ThenFlow
from gfe_core.encoders.autoencoder import Autoencoder, fit_encoder
from gfe_core.encoders.pca import PCA, project
from gfe_core.types import Encoding, Statistics, Status

SHORT = partial(gfe.encode, max_steps=3)


def decoder_of(seed: int = 0) -> gfe.MLPDecoder:
    decoder = fresh("mlp", seed=seed)
    assert isinstance(decoder, gfe.MLPDecoder)
    return decoder


def mirrored(decoder: gfe.MLPDecoder, seed: int = 1) -> Autoencoder:
    return Autoencoder.mirror(decoder, generator=generator(seed)).double()


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.1)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def encoder_named(name: str, decoder: gfe.MLPDecoder) -> Any:
    network = mirrored(decoder)
    ways = {
        "autoencoder": lambda: network,
        "then flow": lambda: ThenFlow(network, SHORT),
        "semi-amortised": lambda: SemiAmortised(network, SHORT, sgd(network)),
        "stored codes": lambda: StoredCodes(SHORT),
        "flow": lambda: SHORT,
    }
    return ways[name]()


every_encoder = pytest.mark.parametrize(
    "name", ["autoencoder", "then flow", "semi-amortised", "stored codes", "flow"]
)


@every_encoder
@pytest.mark.filterwarnings("ignore:`optimizer` holds no weight of `encoder`")
def test_encoder_is_called_with_decoder_and_x_and_is_judged_and_trained_as_the_flow_is(name):
    decoder = decoder_of()
    x = digits(48)
    encoder = encoder_named(name, decoder)
    encoding = encoder(decoder, x)
    assert isinstance(encoding, Encoding) and encoding.z.shape == (48, 8)
    expected = gfe.Bernoulli().per_sample(decoder(encoding.z), x).detach()
    torch.testing.assert_close(
        encoding.energy, expected
    )  # another order of operations: rounding alone
    before = gfe.evaluate(decoder, x, encoder=encoder, size=17)
    assert before.energy.shape == before.excess.shape == (48,) and not before.energy.requires_grad
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    gfe.fit(decoder, Batches(x, size=8), encoder=encoder, optimizer=optimizer, epochs=2)
    assert gfe.evaluate(decoder, x, encoder=encoder).excess.mean() < 0.9 * before.excess.mean()


@pytest.mark.filterwarnings("ignore:.*missing features:UserWarning")
@every_encoder
def test_row_of_nan_is_marked_and_harms_neither_weights_nor_other_samples(name):
    decoder = decoder_of()
    x = digits(6)
    poisoned = x.clone()
    poisoned[2, 5] = math.nan
    keep = torch.arange(6) != 2
    healthy = encoder_named(name, decoder)(decoder, x)
    found = encoder_named(name, decoder)(decoder, poisoned)
    assert found.status[2] == Status.NON_FINITE and (found.status[keep] != Status.NON_FINITE).all()
    torch.testing.assert_close(
        found.z[keep], healthy.z[keep], rtol=1e-12, atol=1e-12
    )  # a matrix product, other rows
    encoder = encoder_named(name, decoder)
    parameters = [
        *decoder.parameters(),
        *(encoder.parameters() if isinstance(encoder, nn.Module) else []),
    ]
    learn = [encoder.learn] if isinstance(encoder, SemiAmortised) else []
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    history = gfe.fit(
        decoder, Batches(poisoned, size=3), encoder=encoder, optimizer=optimizer, callbacks=learn
    )
    assert all(parameter.isfinite().all() for parameter in parameters) and all(
        map(math.isfinite, history.energy)
    )


# PCA


def gaussian(n: int = 300) -> Tensor:
    """Draws around grey with axes of well separated lengths, far inside (0, 1)."""
    lengths = torch.tensor([0.08, 0.05, 0.03, 0.02, 0.01, 0.005], dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=generator()))[0]
    return 0.5 + torch.randn(n, 6, dtype=torch.float64, generator=generator(1)) * lengths @ axes


def test_pca_is_that_of_scikit_learn_up_to_signs():
    x = gaussian()
    ours = PCA(x, latent_dim=3)
    theirs = decomposition.PCA(n_components=3).fit(x.numpy())
    signs = (ours.components * torch.from_numpy(theirs.components_)).sum(1)
    torch.testing.assert_close(signs.abs(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(
        project(ours, x).z * signs, torch.from_numpy(theirs.transform(x.numpy()))
    )
    drawn = gfe.reconstruct(ours, project(ours, x))
    torch.testing.assert_close(
        drawn, torch.from_numpy(theirs.inverse_transform(theirs.transform(x.numpy())))
    )


def test_projection_is_the_least_squares_code():
    x = digits(100)
    pca = PCA(x, latent_dim=5)
    expected = torch.linalg.lstsq(pca.components.T, (x - pca.mean).T).solution.T
    torch.testing.assert_close(project(pca, x).z, expected)


def test_pca_without_components_is_the_mean_image():
    x = digits(50)
    mean = PCA(x, latent_dim=0, clip=1e-6)
    encoding = project(mean, x)
    assert encoding.z.shape == (50, 0)
    drawn = gfe.reconstruct(mean, encoding)
    torch.testing.assert_close(drawn, x.mean(0).clamp(1e-6, 1 - 1e-6).expand_as(x))
    assert gfe.evaluate(mean, x, encoder=project).energy.shape == (50,)


def test_pixel_that_was_always_black_costs_no_more_than_the_clip_allows():
    x = gaussian()
    x[:, 0] = 0
    white = torch.cat([torch.ones(1, 1), x[:1, 1:]], dim=1)
    pca = PCA(x, latent_dim=2, clip=0.01)
    # one of six pixels is drawn as 0.01 where 1 was asked for; the others are near grey, log 2 each
    assert project(pca, white).energy.item() == pytest.approx(
        (math.log(100) + 5 * math.log(2)) / 6, abs=0.02
    )


def test_pca_refuses_what_it_cannot_fit(unchecked: None):
    x = gaussian()
    with pytest.raises(
        ValueError,
        match="`latent_dim` must be between 0 and 6 for 300 samples of 6 features, got 7. Pass",
    ):
        PCA(x, latent_dim=7)
    with pytest.raises(ValueError, match="`clip` must lie strictly between 0 and 0.5, got 0.5"):
        PCA(x, latent_dim=2, clip=0.5)
    with pytest.raises(ValueError, match="`x` must hold at least one sample"):
        PCA(x[:0], latent_dim=0)
    x[3, 1] = math.nan
    with pytest.raises(
        ValueError, match=r"`x` has NaN or infinity in 1 samples. Leave them out: `x\[x.isfinite"
    ):
        PCA(x, latent_dim=2)


# networks


def test_mirror_has_the_widths_of_the_decoder_backwards():
    decoder = gfe.MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784)
    network = Autoencoder.mirror(decoder)
    linear = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [784, 600, 300, 150] and linear[
        -1
    ].out_features == 20
    assert sum(parameter.numel() for parameter in network.parameters()) == 699_470
    shallow = Autoencoder.mirror(gfe.MLPDecoder(latent_dim=3, hidden=(), data_dim=9))
    assert [layer.weight.shape for layer in shallow.layers if isinstance(layer, nn.Linear)] == [
        (3, 9)
    ]


def test_autoencoder_learns_by_the_gradient_of_the_plain_loss_at_every_update():
    ours = decoder_of()
    theirs = decoder_of()
    x = digits(16)
    network = mirrored(ours)
    plain = mirrored(theirs)
    optimizer = torch.optim.SGD([*ours.parameters(), *network.parameters()], lr=0.5)
    gfe.fit(
        ours,
        Batches(x, size=16, shuffle=False),
        encoder=network,
        optimizer=optimizer,
        updates_per_encode=3,
    )
    descent = torch.optim.SGD([*theirs.parameters(), *plain.parameters()], lr=0.5)
    for _ in range(3):
        descent.zero_grad()
        functional.binary_cross_entropy_with_logits(theirs(plain.layers(x)), x).backward()
        descent.step()
    for one, other in zip(
        [*ours.parameters(), *network.parameters()], descent.param_groups[0]["params"], strict=True
    ):
        torch.testing.assert_close(
            one, other, rtol=1e-12, atol=1e-12
        )  # means are taken in another order
    assert not same(state(network), state(mirrored(decoder_of())))


def test_autoencoder_refuses_data_that_encode_refuses():
    decoder = decoder_of()
    with pytest.raises(
        ValueError,
        match=r"`x` must lie in \[0, 1\] for the Bernoulli loss, got values from 0 to 16",
    ):
        mirrored(decoder)(decoder, 16 * digits(2))
    with pytest.raises(
        ValueError, match=r"`x` must have shape \(batch, 6\) for this decoder, got \(2, 64\)"
    ):
        project(PCA(gaussian(), latent_dim=2), digits(2))


def test_flow_from_a_guess_never_ends_above_it_and_its_counts_are_added():
    decoder = decoder_of()
    x = digits(20)
    network = mirrored(decoder)
    guess = network(decoder, x)
    both = ThenFlow(network, SHORT)(decoder, x)
    alone = SHORT(decoder, x, z0=guess.z.detach())
    assert (both.energy <= guess.energy).all() and (both.energy < guess.energy).any()
    assert torch.equal(both.z, alone.z)
    for name in Statistics.__dataclass_fields__:
        one = getattr(guess.statistics, name)
        other = getattr(alone.statistics, name)
        assert torch.equal(getattr(both.statistics, name), one + other)
    assert (both.statistics.work == alone.statistics.work + 1).all()


@pytest.mark.filterwarnings("ignore:.*missing features:UserWarning")
def test_semi_amortised_learning_changes_the_network_alone():
    decoder = decoder_of()
    x = digits(12)
    x[1, 1] = math.nan
    network = mirrored(decoder)
    twin = mirrored(decoder)
    amortised = SemiAmortised(network, SHORT, sgd(network))
    before = state(decoder)
    seen = []
    frozen = torch.optim.SGD(decoder.parameters(), lr=0.0)
    gfe.fit(
        decoder,
        Batches(x, size=12, shuffle=False),
        encoder=amortised,
        optimizer=frozen,
        callbacks=[lambda _: decoder.zero_grad(), amortised.learn, seen.append],
    )
    assert same(state(decoder), before) and all(
        parameter.grad is None for parameter in decoder.parameters()
    )
    descent = sgd(twin)
    good = x[torch.arange(12) != 1]
    functional.binary_cross_entropy_with_logits(decoder(twin.layers(good)), good).backward()
    descent.step()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-12, atol=1e-12
        )  # means are taken in another order
    assert torch.equal(
        seen[0].encoding.z, ThenFlow(mirrored(decoder), SHORT)(decoder, x).z
    )  # encoding came before the update


# stored codes


def test_stored_codes_go_on_where_they_ended_in_any_order_and_split():
    decoder = decoder_of()
    x = digits(9)
    stored = StoredCodes(SHORT)
    order = torch.tensor([4, 0, 8, 2, 6, 1, 3, 7, 5])
    first = stored(decoder, x)
    assert torch.equal(first.z, SHORT(decoder, x).z)
    expected = SHORT(decoder, x, z0=first.z)
    second = torch.cat([stored(decoder, part).z for part in x[order].split([2, 7])])
    assert torch.equal(second, expected.z[order]) and not torch.equal(expected.z, first.z)
    assert len(stored.codes) == 9


def test_stored_codes_survive_a_checkpoint(tmp_path):
    decoder = decoder_of()
    x = digits(5)
    path = tmp_path / "codes.pt"
    stored = StoredCodes(SHORT)
    other = StoredCodes(SHORT)
    empty = StoredCodes(SHORT)
    other.load_state_dict(empty.state_dict())
    assert other.codes == {}
    stored(decoder, x)
    gfe.save_checkpoint(path, decoder=decoder, others={"stored": stored})
    gfe.load_checkpoint(path, decoder=decoder, others={"stored": other})
    assert torch.equal(stored(decoder, x).z, other(decoder, x).z)
    assert not torch.equal(other(decoder, x).z, empty(decoder, x).z)


# fitting afterwards


def test_encoder_fitted_afterwards_explains_better_and_leaves_the_decoder_as_it_was():
    decoder = decoder_of()
    x = digits(64)
    gfe.fit(
        decoder,
        Batches(x, size=8),
        encoder=SHORT,
        optimizer=torch.optim.Adam(decoder.parameters(), lr=1e-2),
    )
    decoder.zero_grad()
    decoder.layers[0].requires_grad_(False)
    before = state(decoder)
    learns = [p.requires_grad for p in decoder.parameters()]
    network = mirrored(decoder)
    start = gfe.evaluate(decoder, x, encoder=network).energy.mean()
    reports: list[Any] = []
    history = fit_encoder(
        network, decoder, Batches(x, size=8), epochs=3, callbacks=[reports.append]
    )
    assert gfe.evaluate(decoder, x, encoder=network).energy.mean() < start
    assert same(state(decoder), before) and all(
        parameter.grad is None for parameter in decoder.parameters()
    )
    assert (
        [p.requires_grad for p in decoder.parameters()] == learns
        and True in learns
        and False in learns
    )
    assert len(history.step) == len(reports) == 24


def test_decoder_is_as_it_was_also_after_a_fit_that_failed():
    decoder = decoder_of()
    before = state(decoder)

    def fail(_: object) -> None:
        raise RuntimeError("no more today")

    with pytest.raises(RuntimeError, match="no more today"):
        fit_encoder(mirrored(decoder), decoder, Batches(digits(8), size=4), callbacks=[fail])
    assert same(state(decoder), before) and all(
        parameter.requires_grad for parameter in decoder.parameters()
    )


def test_stored_codes_of_equal_samples_in_other_contexts_are_kept_apart():
    class Shifted(nn.Module):
        latent_dim = 2
        data_shape: tuple[int, ...] = (2,)

        def forward(self, z: Tensor, context: Tensor) -> Tensor:
            return z + context

    stored = StoredCodes(partial(gfe.encode, loss=gfe.Gaussian()))
    x = torch.ones(2, 2)
    stored(Shifted(), x, context=torch.tensor([[0.0, 0.0], [3.0, 3.0]]))
    assert len(stored.codes) == 2


def test_filled_reports_the_loss_by_which_its_encoder_found_the_codes():
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    x = torch.randn(50, 3, generator=generator(0))
    x[0, 0] = torch.nan
    flow = partial(gfe.encode, loss=gfe.Gaussian())
    filled = gfe.encoders.Filled(flow)(decoder, x)
    assert filled.loss == gfe.Gaussian()
    torch.testing.assert_close(filled.energy[1:], flow(decoder, x[1:]).energy)


def test_a_start_learns_by_the_loss_of_the_flow():
    x = digits(32).float()
    decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=64, generator=generator(0))
    network = Autoencoder.mirror(decoder, generator=generator(1))
    adam = torch.optim.Adam(network.parameters(), lr=1e-2)
    flow = partial(gfe.encode, loss=gfe.Gaussian(), max_steps=4)
    start = SemiAmortised(network, flow, adam)

    def squares() -> float:
        with torch.no_grad():
            return (decoder(network.layers(x)) - x).square().mean().item()

    before = squares()
    gfe.fit(decoder, x, encoder=start, callbacks=start.learn, epochs=40)
    assert squares() < 0.7 * before


def test_an_encoder_whose_weights_no_optimizer_holds_is_told():
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=64)
    network = Autoencoder.mirror(decoder)
    with pytest.warns(UserWarning, match="`optimizer` holds no weight of `encoder`"):
        gfe.fit(decoder, digits(8).float(), encoder=network)
    network.requires_grad_(False)
    gfe.fit(decoder, digits(8).float(), encoder=network)
