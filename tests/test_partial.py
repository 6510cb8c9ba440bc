"""Codes from a part of the data.

What was not observed has no influence, in encoding, training and judging.
"""

import copy
import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import (
    EARLY,
    EPS,
    SOLVERS,
    differing,
    digits,
    fresh,
    generator,
    per_sample,
    quadratic,
    statuses,
    trained,
)
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.analysis.stiffness import spectrum
from gfe_core.data.batches import Batches
from gfe_core.encoders.amortised import SemiAmortised, StoredCodes, ThenFlow
from gfe_core.encoders.autoencoder import Autoencoder, Filled
from gfe_core.training.fitting import update
from gfe_core.types import Decoder, Status

SUM = gfe.Bernoulli(reduction="sum")
OBSERVED = partial(gfe.encode_observed, max_steps=8)
KEEP = torch.rand(64, generator=generator(7)) < 0.6
"""Features that are observed where all samples miss the same ones."""

every_solver = pytest.mark.parametrize("name", SOLVERS)
both_paths = pytest.mark.parametrize("kind", ["mlp", "conv"])


def asked(name: str, loss: gfe.Bernoulli, **more: Any) -> dict[str, Any]:
    """Arguments of `encode`; time runs 64 times faster where the energy is a sum over 64 pixels."""
    solver, arguments = SOLVERS[name]
    given: dict[str, Any] = {"solver": solver, "loss": loss} | arguments | more
    scale = 64 if loss.reduction == "sum" else 1
    momentum = isinstance(given.get("flow"), gfe.NesterovFlow)
    return given | (
        {"t1": given["t1"] / (scale**0.5 if momentum else scale)} if "t1" in given else {}
    )


def with_gaps(n: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Return digits, NaN where not observed, and what is observed."""
    seen = torch.rand(n, 64, generator=generator(seed)) < 0.6
    return torch.where(seen, digits(n), torch.nan), seen


class Cut(nn.Module):
    """Another decoder without the outputs that are not kept."""

    def __init__(self, inner: Decoder) -> None:
        super().__init__()
        self.inner = inner
        self.latent_dim = inner.latent_dim
        self.data_shape = (int(KEEP.sum()),)

    def forward(self, z: Tensor) -> Tensor:
        return self.inner(z)[:, KEEP]


def cut(kind: str) -> Decoder:
    """A decoder whose output rows are those of the observed features."""
    if kind == "conv":
        return Cut(trained("conv"))
    whole = trained("mlp")
    small = gfe.MLPDecoder(latent_dim=8, hidden=(32, 64), data_dim=int(KEEP.sum())).double()
    assert isinstance(whole, nn.Module)
    names = {
        name: value[KEEP] if name.startswith("layers.4") else value
        for name, value in whole.state_dict().items()
    }
    small.load_state_dict(names)
    return small


# codes


@every_solver
@pytest.mark.parametrize(
    ("kind", "loss"),
    [("mlp", gfe.Bernoulli()), ("mlp", SUM), ("conv", SUM)],
    ids=["mlp, mean", "mlp, sum", "conv, sum"],
)
def test_mask_shared_by_all_samples_is_a_decoder_cut_to_what_it_leaves(name, kind, loss):
    x = digits(5)
    arguments = asked(name, loss, max_steps=6)
    masked = gfe.encode_observed(trained(kind), torch.where(KEEP, x, torch.nan), **arguments)
    small = gfe.encode(cut(kind), x[:, KEEP].contiguous(), **arguments)
    # rounding of sums over other numbers of features, which six steps let grow
    torch.testing.assert_close(masked.z, small.z, rtol=0, atol=1e-8)
    torch.testing.assert_close(masked.energy, small.energy, rtol=1e-10, atol=0)
    torch.testing.assert_close(masked.grad_norm, small.grad_norm, rtol=1e-5, atol=1e-9)
    assert torch.equal(masked.status, small.status)
    assert torch.equal(masked.statistics.work, small.statistics.work)
    assert masked.z.norm(dim=1).min() > 1e-3


@every_solver
def test_values_that_were_not_observed_have_no_influence_at_all_on_autograds_path(name):
    x, seen = with_gaps(5)
    arguments = asked(name, SUM, max_steps=4)
    expected = per_sample(gfe.encode_observed(trained("conv"), x, **arguments))
    for value in (0.0, 1e30, math.inf):
        found = gfe.encode(trained("conv"), torch.where(seen, x, value), mask=seen, **arguments)
        assert differing(per_sample(found), expected) == []


@every_solver
def test_sample_without_any_observed_feature_stays_at_the_origin_and_is_at_rest(name):
    x = digits(4)
    arguments = asked(name, gfe.Bernoulli())
    x[1] = math.nan
    found = gfe.encode_observed(trained("mlp"), x, **arguments)
    assert statuses(found)[1] == (Status.REACHED_T if "t1" in arguments else Status.CONVERGED)
    assert (found.z[1] == 0).all() and found.energy[1] == 0 and found.grad_norm[1] == 0
    assert (found.z[[0, 2, 3]].norm(dim=1) > 1e-3).all()


@pytest.mark.parametrize(
    "solver",
    [gfe.AMD(), gfe.AMD(trial="carry"), gfe.BFGS(), gfe.LBFGS(), gfe.GaussNewton()],
    ids=repr,
)
def test_sample_without_any_observed_feature_goes_to_the_mode_of_the_prior(solver):
    x = digits(3)
    mode = torch.linspace(-1, 1, 8, dtype=torch.float64)
    x[1] = math.nan
    found = gfe.encode_observed(
        trained("mlp"),
        x,
        solver=solver,
        penalty=lambda z: 0.5 * (z - mode).square().sum(1),
        stop=gfe.Stop(grad_norm=1e-8, energy_slope=0.0),
    )
    assert statuses(found)[1] == Status.CONVERGED
    torch.testing.assert_close(
        found.z[1], mode, rtol=0, atol=1e-8
    )  # curvature 1: as far as the gradient is long


def test_masked_least_squares_is_that_of_the_observed_rows():
    problem = quadratic()
    linear = problem.decoder.linear
    seen = torch.rand(5, 16, generator=generator(1)) < 0.7
    x = torch.where(seen, problem.x, torch.nan)
    still = gfe.Stop(grad_norm=1e-10, energy_slope=0.0)
    found = gfe.encode_observed(
        problem.decoder, x, loss=problem.loss, solver=gfe.GaussNewton(), stop=still
    )
    for i in range(5):
        W = linear.weight.detach()[seen[i]]
        b = linear.bias.detach()[seen[i]]
        expected = torch.linalg.lstsq(
            W, (problem.x[i, seen[i]] - b)[:, None], driver="gelsd"
        ).solution[:, 0]
        # a search on energies of order one sees 2e-16, half the curvature times the square of the
        # error
        torch.testing.assert_close(found.z[i], expected, rtol=0, atol=1e-6)


@both_paths
@pytest.mark.parametrize(
    "loss", [gfe.Bernoulli(), SUM, gfe.Gaussian(), gfe.Gaussian(reduction="sum")], ids=repr
)
def test_gradient_and_hessian_under_a_mask_are_finite_differences(kind, loss):
    x, seen = with_gaps(3)
    energy = gfe.Energy(trained(kind), x, loss, mask=seen)
    z = torch.randn(3, 8, dtype=torch.float64, generator=generator(4))
    h = 1e-5
    grad = energy.value_and_grad(z)[1]
    hessian = energy.hessian(z)
    for k, axis in enumerate(torch.eye(8, dtype=torch.float64)):
        ahead = energy.value_and_grad(z + h * axis)
        behind = energy.value_and_grad(z - h * axis)
        # central differences: h^2 / 6 of a third derivative and rounding / h, both about 1e-10 of
        # the scale
        scale = grad.abs().max().item()
        torch.testing.assert_close(
            grad[:, k], (ahead[0] - behind[0]) / (2 * h), rtol=0, atol=1e-6 * max(scale, 1)
        )
        slope = (ahead[1] - behind[1]) / (2 * h)
        torch.testing.assert_close(
            hessian[:, k], slope, rtol=0, atol=1e-6 * hessian.abs().max().item()
        )


@both_paths
def test_gauss_newton_matrix_under_a_mask_is_the_sum_over_observed_features(kind):
    x, seen = with_gaps(3)
    z = torch.randn(3, 8, dtype=torch.float64, generator=generator(4))
    decoder = trained(kind)
    found = gfe.Energy(decoder, x, SUM, mask=seen).gauss_newton(z)
    for i in range(3):
        J = torch.autograd.functional.jacobian(lambda row: decoder(row[None])[0], z[i])[seen[i]]
        p = decoder(z[i : i + 1])[0, seen[i]].sigmoid().detach()
        torch.testing.assert_close(
            found[i], J.T @ ((p * (1 - p))[:, None] * J), rtol=1e-10, atol=1e-12
        )


@both_paths
@pytest.mark.parametrize(
    "adjoint", [gfe.Unrolled(), gfe.DiscreteAdjoint(), gfe.Implicit()], ids=repr
)
def test_adjoint_through_codes_of_a_part_is_that_of_the_cut_decoder(kind, adjoint):
    decoder = copy.deepcopy(trained(kind))
    x = digits(4)
    small = Cut(decoder)
    assert isinstance(decoder, nn.Module)
    arguments: dict[str, Any] = {"solver": gfe.Euler(n_steps=6), "t1": 30.0, "adjoint": adjoint}
    toward = torch.randn(4, 8, dtype=torch.float64, generator=generator(5))
    gradients = []
    for part, data in ((decoder, torch.where(KEEP, x, torch.nan)), (small, x[:, KEEP])):
        found = gfe.encode_observed(
            part, data, **arguments, penalty=lambda z: 0.05 * z.square().sum(1)
        )
        loss = (found.z * toward).sum()
        gradients.append(torch.autograd.grad(loss, list(decoder.parameters()), allow_unused=True))
    assert any(g is not None and g.abs().max() > 1e-3 for g in gradients[0])
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(
                ours, theirs, rtol=1e-7, atol=1e-11
            )  # rounding of another order of sums


# encode_observed


@both_paths
def test_where_nothing_is_missing_encode_observed_is_encode(kind):
    for loss in (gfe.Bernoulli(), SUM):
        whole = per_sample(gfe.encode(trained(kind), digits(5), loss=loss, max_steps=10))
        assert (
            differing(
                per_sample(gfe.encode_observed(trained(kind), digits(5), loss=loss, max_steps=10)),
                whole,
            )
            == []
        )


def test_gaps_of_one_sample_do_not_change_another():
    x, _ = with_gaps(9)
    early = partial(gfe.encode_observed, stop=EARLY)
    together = per_sample(early(trained("mlp"), x))
    alone = [per_sample(early(trained("mlp"), row[None])) for row in x]
    assert together["n_steps"].unique().numel() > 2  # samples leave one after the other
    assert (
        differing(together, {name: torch.cat([each[name] for each in alone]) for name in together})
        == []
    )


def test_infinity_is_no_gap_and_what_encode_refuses_is_refused(unchecked: None):
    x = digits(2)
    x[0, 3] = math.inf
    assert statuses(gfe.encode_observed(trained("mlp"), x, max_steps=2)) == [
        Status.NON_FINITE,
        Status.MAX_STEPS,
    ]
    with pytest.raises(TypeError, match="`x` must be a torch.Tensor, got list"):
        gfe.encode_observed(trained("mlp"), [[0.5] * 64])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`x` must lie in .0, 1. for the Bernoulli loss"):
        gfe.encode_observed(trained("mlp"), digits(2) * 16)


# training


def decoder_of(seed: int = 0) -> gfe.MLPDecoder:
    decoder = fresh("mlp", seed=seed)
    assert isinstance(decoder, gfe.MLPDecoder)
    return decoder


def weights(decoder: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in decoder.parameters()]


def sgd(decoder: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(decoder.parameters(), lr=0.5)


def test_update_follows_the_gradient_of_observed_features_alone():
    x, seen = with_gaps(7)
    z = torch.randn(7, 8, dtype=torch.float64, generator=generator(4))
    ours = decoder_of()
    theirs = decoder_of()
    update(ours, gfe.Bernoulli(), sgd(ours), None, z, x)
    logits = theirs(z)
    each = nn.functional.binary_cross_entropy_with_logits(logits, x.nan_to_num(), reduction="none")
    (torch.where(seen, each, 0.0).sum(1) / seen.sum(1)).mean().backward()
    sgd(theirs).step()
    for a, b in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=64 * EPS)  # the same sum in another order


def test_update_with_nothing_missing_is_what_it_was_to_the_last_bit():
    x = digits(7)
    z = torch.randn(7, 8, dtype=torch.float64, generator=generator(4))
    ours = decoder_of()
    theirs = decoder_of()
    update(ours, gfe.Bernoulli(), sgd(ours), None, z, x)
    gfe.Bernoulli().per_sample(theirs(z), x).mean().backward()
    sgd(theirs).step()
    assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(theirs), strict=True))


@pytest.mark.slow
def test_training_on_gaps_fits_what_was_observed_and_predicts_what_was_not():
    whole = digits(200)
    seen = torch.rand(200, 64, generator=generator(3)) < 0.7
    x = torch.where(seen, whole, torch.nan)
    decoder = decoder_of()
    before = gfe.evaluate(decoder, x, encoder=OBSERVED)
    history = gfe.fit(
        decoder,
        Batches(x, size=20),
        encoder=OBSERVED,
        optimizer=torch.optim.Adam(decoder.parameters(), lr=1e-2),
        epochs=3,
        updates_per_encode=2,
    )
    after = gfe.evaluate(decoder, x, encoder=OBSERVED)
    assert all(parameter.isfinite().all() for parameter in decoder.parameters())
    assert (
        all(map(math.isfinite, history.energy)) and after.excess.mean() < 0.6 * before.excess.mean()
    )
    drawn = gfe.reconstruct(decoder, OBSERVED(decoder, x))
    mean = torch.stack([whole[seen[:, j], j].mean() for j in range(64)])
    error, baseline = (
        (guess - whole)[~seen].square().mean() for guess in (drawn, mean.expand(200, -1))
    )
    assert error < 0.9 * baseline


@pytest.mark.filterwarnings("ignore:.*missing features:UserWarning")
def test_samples_with_gaps_teach_nothing_to_an_encoder_that_needs_whole_ones():
    x, _ = with_gaps(4)
    whole = digits(4, start=10)
    ours = decoder_of()
    theirs = decoder_of()
    short = partial(gfe.encode, max_steps=8)
    gfe.fit(
        ours,
        Batches(torch.cat([x, whole]), size=8, shuffle=False),
        encoder=short,
        optimizer=sgd(ours),
    )
    gfe.fit(theirs, Batches(whole, size=4, shuffle=False), encoder=short, optimizer=sgd(theirs))
    assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(theirs), strict=True))


def test_excess_counts_the_floor_of_observed_features():
    x, seen = with_gaps(6)
    found = gfe.evaluate(decoder_of(), x, encoder=OBSERVED)
    assert torch.equal(found.excess, found.energy - gfe.Bernoulli().floor(digits(6), seen))
    assert (found.excess > 0).all()


# encoders that need whole samples


def network_of(decoder: gfe.MLPDecoder, **arguments: Any) -> Autoencoder:
    return Autoencoder.mirror(decoder, generator=generator(1), **arguments).double()


@pytest.mark.parametrize(
    "fill", [0.0, 0.25, digits(100).mean(0)], ids=["zero", "grey", "mean image"]
)
def test_filled_encodes_the_filled_sample_and_judges_what_was_observed(fill):
    decoder, (x, seen) = decoder_of(), with_gaps(6)
    network = network_of(decoder)
    found = Filled(network, fill)(decoder, x)
    expected = network(decoder, torch.where(seen, x, fill))
    assert torch.equal(found.z, expected.z) and torch.equal(found.status, expected.status)
    energy = gfe.Bernoulli().per_sample(decoder(expected.z).detach(), x, seen)
    assert torch.equal(found.energy, energy) and not torch.equal(found.energy, expected.energy)
    assert found.z.requires_grad and not found.energy.requires_grad
    whole = digits(6)
    assert torch.equal(Filled(network, fill)(decoder, whole).energy, network(decoder, whole).energy)


def test_filled_judges_by_the_loss_of_its_encoder_unless_told_otherwise():
    decoder, (x, seen) = decoder_of(), with_gaps(6)
    gaussian = gfe.Gaussian(variance=0.5)
    network = network_of(decoder, loss=gaussian)
    flow = partial(gfe.encode, max_steps=3, loss=gaussian)
    for filled in (Filled(network), Filled(flow, loss=gaussian)):
        found = filled(decoder, x)
        torch.testing.assert_close(
            found.energy, gaussian.per_sample(decoder(found.z), x, seen).detach()
        )


def test_autoencoder_given_zeros_learns_from_gaps():
    decoder = decoder_of()
    x = torch.where(torch.rand(200, 64, generator=generator(3)) < 0.7, digits(200), torch.nan)
    network = network_of(decoder)
    filled = Filled(network)
    parameters = [*decoder.parameters(), *network.parameters()]
    before = gfe.evaluate(decoder, x, encoder=filled)
    start = weights(network)
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    gfe.fit(decoder, Batches(x, size=20), encoder=filled, optimizer=optimizer, epochs=3)
    after = gfe.evaluate(decoder, x, encoder=filled)
    assert (
        after.excess.mean() < 0.6 * before.excess.mean()
        and (after.status == Status.REACHED_T).all()
    )
    assert not any(torch.equal(a, b) for a, b in zip(weights(network), start, strict=True))


def test_other_encoders_take_gaps_where_their_flow_does_and_weights_stay_finite():
    x, _ = with_gaps(12)
    for build in (
        lambda network: StoredCodes(OBSERVED),
        lambda network: ThenFlow(Filled(network), OBSERVED),
        lambda network: SemiAmortised(
            network, OBSERVED, torch.optim.SGD(network.parameters(), lr=0.1)
        ),
    ):
        decoder = decoder_of()
        network = network_of(decoder)
        encoder = build(network)
        learn = [encoder.learn] if isinstance(encoder, SemiAmortised) else []
        mixed = torch.cat([x, digits(4)])
        gfe.fit(
            decoder,
            Batches(mixed, size=8),
            encoder=encoder,
            optimizer=sgd(decoder),
            callbacks=learn,
        )
        assert all(
            parameter.isfinite().all()
            for parameter in [*decoder.parameters(), *network.parameters()]
        )
        assert (encoder(decoder, mixed).status != Status.NON_FINITE).all()


SEEN = np.array([[True, False, True], [True, True, False]])


def square_errors(x: Any, **given: Any) -> Tensor:
    """Energies at codes of 0 of a decoder that returns 0."""
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=3)
    with torch.no_grad():
        decoder.linear.weight.zero_()
        decoder.linear.bias.zero_()
    loss = gfe.Gaussian(variance=0.5, reduction="sum")
    return gfe.encode(decoder, x, loss=loss, max_steps=1, **given).energy


@pytest.mark.parametrize(
    "mask",
    [
        SEEN[::-1][::-1],
        SEEN[:, ::-1].copy()[:, ::-1],
        np.asfortranarray(SEEN),
        np.ma.array(SEEN),
        pd.DataFrame(SEEN),
        pd.DataFrame(SEEN).astype("boolean"),
    ],
    ids=["rows", "backwards", "by columns", "nothing masked", "frame", "nullable"],
)
@pytest.mark.filterwarnings("ignore:The gradient of the energy at the code 0")
def test_mask_of_any_kind_is_the_tensor_of_its_truth_values(mask, unchecked: None):
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    torch.testing.assert_close(square_errors(x, mask=mask), torch.tensor([10.0, 41.0]))
    torch.testing.assert_close(
        square_errors(x.flip(0), mask=SEEN[::-1]), torch.tensor([41.0, 10.0])
    )


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ma.array(SEEN, mask=~SEEN), ValueError, r"2 of its entries .*`mask.filled\(False\)`"),
        (
            pd.DataFrame(SEEN).astype("boolean").where(SEEN),
            ValueError,
            r"2 of its entries .*`mask.fillna\(False\)`",
        ),
        (SEEN.astype(int), TypeError, r"truth values.*got int64.*`mask.astype\(bool\)`"),
        (pd.Series([True, False]), ValueError, r"`mask` must be a bool tensor of shape \(2, 3\)"),
    ],
    ids=["masked", "missing", "numbers", "series"],
)
def test_mask_that_leaves_open_what_was_observed_is_refused(mask, error, message, unchecked: None):
    with pytest.raises(error, match=message):
        square_errors(torch.ones(2, 3), mask=mask)


@pytest.mark.filterwarnings("ignore:The gradient of the energy at the code 0")
def test_frames_beside_the_data_have_their_rows_and_columns_in_one_order(unchecked: None):
    x = pd.DataFrame([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], index=["i", "j"], columns=list("abc"))
    mask = pd.DataFrame(SEEN, index=x.index, columns=x.columns)
    expected = torch.tensor([10.0, 41.0])
    named = mask.add_suffix("_seen").reset_index(drop=True)
    for other in (mask, named, SEEN, torch.tensor(SEEN)):
        torch.testing.assert_close(square_errors(x, mask=other), expected)
    prior = gfe.posterior.GaussianPrior.standard(1)
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=3)
    loss = gfe.Gaussian(reduction="sum")
    verbs: list[Any] = [
        partial(square_errors, x),
        partial(gfe.posterior.laplace, decoder, x, prior=prior, loss=loss),
        partial(spectrum, decoder, torch.zeros(2, 1), x, loss=loss),
    ]
    for verb in verbs:
        with pytest.raises(ValueError, match=r"`mask` has the columns of `x` in another order.*`"):
            verb(mask=mask[list("bac")])
        with pytest.raises(ValueError, match=r"`mask` has the rows of `x` in another order.*`mask"):
            verb(mask=mask.loc[["j", "i"]])
    z0 = pd.DataFrame([[0.1], [0.2]], index=["j", "i"])
    with pytest.raises(ValueError, match="`z0` has the rows of `x` in another order"):
        square_errors(x, z0=z0)


@pytest.mark.filterwarnings("ignore:The gradient of the energy at the code 0")
def test_frames_beside_the_data_that_share_only_some_names_are_refused(unchecked: None):
    x = pd.DataFrame([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], columns=list("abc"))
    mask = pd.DataFrame(SEEN, columns=x.columns)
    names = gfe.data.DataSet.of(x.set_axis(["i", "j"]))
    with pytest.raises(
        ValueError, match=r"`mask` has other columns than `x`, such as 'd'.*x.columns"
    ):
        square_errors(x, mask=mask.set_axis(list("abd"), axis=1))
    with pytest.raises(ValueError, match=r"`mask` has other columns .*mask.set_axis\(x.features"):
        square_errors(names, mask=mask.set_axis(list("abd"), axis=1))
    with pytest.raises(ValueError, match=r"`mask` has other rows than `x`, such as '2'.*x.index"):
        square_errors(x, mask=mask.set_axis([0, 2]))
    with pytest.raises(ValueError, match=r"`mask` has other rows than `x`, such as 'k'.*x.names"):
        square_errors(names, mask=mask.set_axis(["i", "k"]))
    with pytest.raises(ValueError, match="`z0` has other rows than `x`"):
        square_errors(x, z0=pd.DataFrame([[0.1], [0.2]], index=[1, 2]))
    counted = square_errors(names, mask=mask)
    torch.testing.assert_close(counted, torch.tensor([10.0, 41.0]))
