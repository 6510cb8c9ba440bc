"""What decoders, losses and penalties of strangers return: accepted as it is meant, or refused."""

import copy
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from problems import generator
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import gfe_core as gfe
from gfe_core.energy import WholeLoss
from gfe_core.types import AnyLoss, Penalty

N = 4
SQUARES = gfe.Gaussian()


class Answering(nn.Module):
    """A linear decoder of three latents whose output is handed on by a function."""

    latent_dim = 3

    def __init__(self, answer: Callable[[Tensor], Any], *data_shape: int) -> None:
        super().__init__()
        self.data_shape = data_shape or (6,)
        self.layer = nn.Linear(3, 6)
        self.answer = answer
        with torch.no_grad():
            self.layer.weight.uniform_(-1, 1, generator=generator(1))

    def forward(self, z: Tensor) -> Any:
        return self.answer(self.layer(z))


def data(*shape: int) -> Tensor:
    return torch.rand(N, *(shape or (6,)), generator=generator(2))


WRONG: dict[str, tuple[Callable[[Tensor], Any], tuple[int, ...], str]] = {
    "an axis too many": (lambda y: y.reshape(-1, 1, 2, 3), (2, 3), r"got \(4, 1, 2, 3\).*reshape"),
    "an axis too few": (lambda y: y, (1, 6), r"\(4, 1, 6\).*got \(4, 6\).*reshape\(len\(z\), 1, 6"),
    "one output for all features": (lambda y: y[:, :1], (6,), r"got \(4, 1\).*raw_shape = \(1,\)"),
    "no axis of features": (lambda y: y[:, 0], (6,), r"got \(4,\)"),
    "one row for all codes": (lambda y: y[:1], (6,), r"returns 1 rows.*context="),
    "rows of its own": (lambda y: torch.cat([y, y]), (6,), r"returns 8 rows.*context="),
    "a tuple": (lambda y: (y, y), (6,), r"got tuple.*net\(z\)\[0\]"),
    "a dict": (lambda y: {"sample": y}, (6,), r"got dict.*net\(z\)\['sample'\]"),
    "an object with a sample": (lambda y: SimpleNamespace(sample=y), (6,), r"net\(z\)\.sample"),
    "a distribution": (lambda y: torch.distributions.Normal(y, 1.0), (6,), r"net\(z\)\.mean"),
    "nothing": (lambda y: None, (6,), r"got None.*`return output`"),
    "an array": (lambda y: y.detach().numpy(), (6,), r"got ndarray.*with torch"),
    "another dtype": (lambda y: y.double(), (6,), r"got torch\.float64.*output\.to\(z\.dtype\)"),
    "whole numbers": (lambda y: y.long(), (6,), r"got torch\.int64.*no gradient"),
    "another device": (lambda y: y.to("meta"), (6,), r"`decoder` must return a tensor on cpu"),
}


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "fit", "evaluate"])
@pytest.mark.parametrize("kind", WRONG)
def test_output_that_is_no_data_is_refused_by_every_verb_with_the_line_to_write(
    kind, verb, unchecked
):
    answer, shape, message = WRONG[kind]
    decoder: Any = Answering(answer, *shape)
    x = data(*shape)
    z = torch.zeros(N, 3)

    def encoder(decoder: Any, x: Tensor) -> gfe.types.Encoding:
        plain = gfe.LinearDecoder(latent_dim=3, data_dim=6)
        sound = gfe.encode(plain, x.reshape(N, 6), loss=SQUARES)
        return sound if verb == "fit" else gfe.encode(decoder, x, loss=SQUARES)

    verbs: dict[str, Callable[[], Any]] = {
        "encode": lambda: gfe.encode(decoder, x, loss=SQUARES),
        "reconstruct": lambda: gfe.reconstruct(decoder, z, SQUARES),
        "fit": lambda: gfe.fit(decoder, gfe.data.Batches(x, size=N), encoder=encoder, loss=SQUARES),
        "evaluate": lambda: gfe.evaluate(decoder, x, encoder=encoder, loss=SQUARES),
    }
    with pytest.raises((TypeError, ValueError), match=message):
        verbs[verb]()


def test_output_without_a_gradient_in_the_codes_is_refused(unchecked):
    layer = nn.Linear(3, 6)
    for forward in (lambda z: layer(z.detach()), lambda z: layer(z).detach()):
        blind = gfe.wrap(forward, latent_dim=3, data_shape=6)
        for penalty in (None, lambda z: z.square().sum(1)):
            with pytest.raises(ValueError, match="`decoder` Wrapped does not depend on z"):
                gfe.encode(blind, data(), penalty=penalty)
            with pytest.raises(ValueError, match="`decoder` Wrapped does not depend on z"):
                gfe.Energy(blind, data(), SQUARES).gauss_newton(torch.zeros(N, 3))
            with pytest.raises(ValueError, match="`decoder` Wrapped does not depend on z"):
                gfe.stiffness.spectrum(blind, torch.zeros(N, 3), data(), penalty=penalty)


MIXING: dict[str, Callable[[Tensor], Tensor]] = {
    "the mean of the batch": lambda y: y - y.mean(0),
    "the same, detached": lambda y: y - y.mean(0).detach(),
    "statistics of the batch": lambda y: F.batch_norm(y, None, None, training=True),
    "attention over the batch": lambda y: (y @ y.T).softmax(1) @ y,
    "a number a row": lambda y: y + torch.arange(float(N))[: len(y), None],
    "dropout": lambda y: F.dropout(y, 0.2),
    "noise": lambda y: y + 0.01 * torch.randn_like(y),
}


@pytest.mark.parametrize("kind", MIXING)
def test_decoder_that_mixes_rows_or_is_random_is_refused(kind):
    decoder = Answering(MIXING[kind])
    with pytest.raises(
        ValueError, match=r"each code on its own and always in the same way.*F\.dropout"
    ):
        gfe.encode(decoder, data(), loss=SQUARES)
    with pytest.raises(ValueError, match="each code on its own and always in the same way"):
        gfe.fit(decoder, gfe.data.Batches(data(), size=N), loss=SQUARES)


def test_random_decoder_of_one_sample_is_refused():
    with pytest.raises(ValueError, match="always in the same way"):
        gfe.encode(Answering(MIXING["noise"]), data()[:1], loss=SQUARES)


class Averaging(nn.Module):
    """A layer that keeps a moving average of its training, and gives it a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(6))

    def forward(self, y: Tensor) -> Tensor:
        if self.training:
            self.average = 0.9 * self.average + 0.1 * y.detach().mean(0)
        return y


KEEPING: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "spectral normalisation": (lambda: parametrizations.spectral_norm(nn.Linear(6, 6)), "_u"),
    "the same by a hook": (lambda: nn.utils.spectral_norm(nn.Linear(6, 6)), "weight_u"),
    "running statistics": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()
        ),
        "running_mean",
    ),
    "a moving average": (Averaging, "average"),
}


def keeping(kind: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder: Any = Answering(KEEPING[kind][0]())
    return decoder


def call(verb: str, decoder: Any) -> None:
    """Call a verb with a decoder of three latents and six features."""
    verbs: dict[str, Callable[[], Any]] = {
        "encode": lambda: gfe.encode(decoder, data(), loss=SQUARES),
        "reconstruct": lambda: gfe.reconstruct(decoder, torch.zeros(N, 3), SQUARES),
        "fit": lambda: gfe.fit(decoder, gfe.data.Batches(data(), size=N), loss=SQUARES),
        "evaluate": lambda: gfe.evaluate(decoder, data(), loss=SQUARES),
    }
    verbs[verb]()


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "fit", "evaluate"])
@pytest.mark.parametrize("kind", KEEPING)
def test_decoder_that_a_call_in_training_mode_changes_is_refused_and_stays_as_it_was(kind, verb):
    decoder = keeping(kind)
    before = copy.deepcopy(decoder.state_dict())
    message = rf"`decoder` Answering writes into its buffer `\S*{KEEPING[kind][1]}`.*`decoder\.eval"
    with pytest.raises(ValueError, match=message):
        call(verb, decoder)
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
    call(verb, decoder.eval())


def test_decoder_of_the_kit_with_spectral_normalisation_in_training_mode_is_refused():
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=6)
    parametrizations.spectral_norm(decoder.get_submodule("layers.0"))
    with pytest.raises(ValueError, match=r"writes into its buffer `layers\.0\..*decoder\.eval"):
        gfe.encode(decoder, data(), loss=SQUARES)
    assert gfe.encode(decoder.eval(), data(), loss=SQUARES).energy.isfinite().all()


def test_power_iteration_is_kept_up_to_date_in_a_callback():
    decoder = keeping("spectral normalisation").eval()

    def refresh(report: gfe.training.Report) -> None:
        report.decoder.train()
        report.decoder(torch.zeros(1, 3))
        report.decoder.eval()

    rows = gfe.data.Batches(data(), size=N)
    gfe.fit(decoder, rows, loss=SQUARES, epochs=30, callbacks=refresh)
    largest = torch.linalg.matrix_norm(decoder.answer.weight, 2).item()
    assert abs(largest - 1) < 0.05, "one iteration a round follows weights that move by 0.001"


def test_buffer_that_is_no_memory_is_written_freely():
    class Scratch(Averaging):
        def forward(self, y: Tensor) -> Tensor:
            self.average += 0  # the same numbers again
            return y

    assert gfe.encode(Answering(Scratch()), data(), loss=SQUARES).energy.isfinite().all()


def test_wrap_leaves_a_decoder_as_it_was():
    layer = KEEPING["spectral normalisation"][0]()
    before = copy.deepcopy(layer.state_dict())
    gfe.wrap(layer, latent_dim=6, data_shape=6)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_reconstruct_refuses_what_draws_at_random():
    decoder: Any = Answering(nn.Dropout(0.5))
    with pytest.raises(ValueError, match=r"Dropout.*reconstruction.*decoder\.eval"):
        gfe.reconstruct(decoder, torch.zeros(N, 3), SQUARES)


def test_decoder_is_asked_again_where_a_part_of_it_was_switched_to_training():
    class Noisy(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return F.dropout(y, 0.3, self.training)

    decoder: Any = Answering(Noisy()).eval()
    gfe.encode(decoder, data(), loss=SQUARES, max_steps=1)
    decoder.answer.train()
    with pytest.raises(ValueError, match="always in the same way"):
        gfe.encode(decoder, data(), loss=SQUARES, max_steps=1)


def test_decoder_whose_context_is_per_row_is_not_mixing():
    class Shifted(nn.Module):
        latent_dim = 6
        data_shape: tuple[int, ...] = (6,)

        def forward(self, z: Tensor, context: Tensor) -> Tensor:
            return z + context

    found = gfe.encode(Shifted(), data(), loss=SQUARES, context=data().flip(0))
    assert torch.allclose(found.z, data() - data().flip(0), atol=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda y, x: (y - x).square().sum(1) / (y - x).square().mean().detach(),
        lambda y, x: (y - x).square().sum(1) * torch.linspace(1, 2, N)[: len(y)],
    ],
    ids=["a detached statistic", "a weight a row"],
)
def test_loss_that_depends_on_the_batch_without_a_slope_is_refused(loss):
    with pytest.raises(ValueError, match="`loss` must judge each sample on its own"):
        gfe.encode(Answering(lambda y: y), data(), loss=loss)


def test_decoder_without_anything_to_learn_is_refused_by_fit():
    decoder: Any = Answering(lambda y: y).requires_grad_(False)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    with pytest.raises(ValueError, match="`decoder` Answering cannot learn.*requires_grad_"):
        gfe.fit(decoder, gfe.data.Batches(data(), size=N), optimizer=optimizer)


def test_decoder_that_holds_a_row_for_each_sample_is_named_when_samples_leave():
    offsets = torch.zeros(N, 6)
    for n_lost in (1, N - 1):
        x = data()
        x[:n_lost] = torch.nan  # these leave at once
        with pytest.raises((RuntimeError, ValueError), match="context="):
            gfe.encode(Answering(lambda y: y + offsets), x, loss=SQUARES)


def squares(output: Tensor, x: Tensor) -> Tensor:
    return (output - x).square().mean(1) / 2


LOSSES: dict[str, tuple[Any, str]] = {
    "mean over the batch": (lambda y, x: (y - x).square().mean(), r"got \(\).*flatten\(1\)"),
    "no mean": (lambda y, x: (y - x).square(), r"got \(4, 6\).*flatten\(1\)\.mean\(1\)"),
    "a kept axis": (lambda y, x: (y - x).square().mean(1, keepdim=True), r"squeeze\(1\)"),
    "mean over the wrong axis": (
        lambda y, x: (y - x).square().mean(0)[:N],
        "each sample on its own",
    ),
    "one number expanded": (
        lambda y, x: (y - x).square().mean().expand(len(x)),
        "each sample on its own",
    ),
    "a float": (lambda y, x: (y - x).square().mean().item(), "got float"),
    "nothing": (lambda y, x: None, "got None"),
    "detached": (lambda y, x: squares(y.detach(), x), "`loss` .* does not depend on the decoder"),
    "constant": (lambda y, x: torch.zeros(len(x)), "`loss` .* does not depend on the decoder"),
    "float64": (lambda y, x: squares(y.double(), x.double()), r"torch\.float64.*Convert"),
    "MSELoss": (nn.MSELoss(), r"MSELoss averages over the batch.*gfe\.Gaussian\(\)"),
    "mse_loss": (F.mse_loss, r"mse_loss averages over the batch.*gfe\.Gaussian\(\)"),
    "partial mse_loss": (partial(F.mse_loss, reduction="none"), r"flatten\(1\)\.mean\(1\)"),
    "partial mse_loss, averaged": (partial(F.mse_loss), r"got \(\).*gfe\.Gaussian\(\)"),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss(), r"gfe\.Bernoulli\(\)"),
    "binary_cross_entropy": (F.binary_cross_entropy, "leave out the decoder's last sigmoid"),
    "poisson": (F.poisson_nll_loss, r"gfe\.Poisson\(\)"),
    "huber": (nn.HuberLoss(), r"HuberLoss averages.*huber_loss"),
    "a class": (gfe.Gaussian, r"Write `loss=gfe\.Gaussian\(\)`"),
    "a word": ("mse", r"got 'mse'.*gfe\.Gaussian\(\)"),
    "a function of one argument": (lambda y: y.sum(1), r"callable as \(output, x\).*takes \(y\)"),
    "a function of three": (lambda y, x, w: y.sum(1), r"takes \(y, x, w\)"),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_loss_that_is_not_one_number_a_sample_is_refused_with_the_line_to_write(kind, unchecked):
    loss, message = LOSSES[kind]
    with pytest.raises((TypeError, ValueError), match=message):
        gfe.encode(Answering(lambda y: y), data(), loss=loss)


@pytest.mark.parametrize("kind", ["mean over the batch", "no mean", "MSELoss", "detached"])
def test_fit_refuses_such_losses_too(kind, unchecked):
    loss, message = LOSSES[kind]
    decoder: Any = Answering(lambda y: y)
    batches = gfe.data.Batches(data(), size=N)
    sound = partial(gfe.encode, loss=SQUARES)
    with pytest.raises((TypeError, ValueError), match=f"{message}|cannot learn"):
        gfe.fit(decoder, batches, encoder=sound, loss=loss)


PENALTIES: dict[str, tuple[Any, str]] = {
    "one for the batch": (lambda z: z.square().sum(), r"got \(\).*square\(\)\.sum\(1\)"),
    "one for each latent": (lambda z: z.square(), r"got \(4, 3\)"),
    "expanded": (lambda z: z.square().mean().expand(len(z)), "each sample on its own"),
    "detached": (lambda z: z.detach().square().sum(1), "`penalty` does not depend on z"),
    "constant": (lambda z: torch.zeros(len(z)), "`penalty` does not depend on z"),
    "by latent, of a distribution": (
        lambda z: -torch.distributions.Normal(0.0, 1.0).log_prob(z),
        r"got \(4, 3\).*flatten\(1\)\.sum\(1\)",
    ),
    "by numpy": (lambda z: z.detach().numpy().sum(1), "got ndarray"),
    "of two arguments": (lambda z, w: z.sum(1), r"callable as \(z\)"),
}


@pytest.mark.parametrize("kind", PENALTIES)
def test_penalty_that_is_not_one_number_a_sample_is_refused(kind, unchecked):
    penalty, message = PENALTIES[kind]
    with pytest.raises((TypeError, ValueError), match=message):
        gfe.encode(Answering(lambda y: y), data(), penalty=penalty)


def test_incomplete_data_of_other_rows_do_not_look_like_coupling():
    x = data()
    x[2, 3] = torch.nan
    found = gfe.encode(Answering(lambda y: y), x, loss=squares)
    assert (found.status == gfe.Status.NON_FINITE).tolist() == [False, False, True, False]


def test_function_is_a_loss_with_the_codes_of_the_loss_it_equals():
    decoder = Answering(lambda y: y)
    for solver in (gfe.AMD(), gfe.GaussNewton(), gfe.BFGS()):
        theirs = gfe.encode(decoder, data(), loss=squares, solver=solver)
        ours = gfe.encode(decoder, data(), loss=SQUARES, solver=solver)
        # rounding alone: another order of the same operations, amplified by the steps
        torch.testing.assert_close(theirs.z, ours.z, rtol=0, atol=1e-3)
    assert theirs.loss is squares
    assert torch.equal(gfe.reconstruct(decoder, theirs), decoder(theirs.z).detach())
    judged = gfe.evaluate(decoder, data(), loss=squares)  # pyright: ignore[reportArgumentType]
    assert torch.equal(judged.excess, judged.energy)


def test_function_without_a_mask_is_refused_for_incomplete_data_and_one_with_a_mask_is_not():
    decoder = Answering(lambda y: y)
    x = data()
    x[0, 0] = torch.nan

    def masked(output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return SQUARES.per_sample(output, x, mask)

    with pytest.raises(ValueError, match=r"squares cannot leave out unobserved.*mask=None"):
        gfe.encode_observed(decoder, x, loss=squares)
    found = gfe.encode_observed(decoder, x, loss=masked)
    needed = gfe.encode_observed(decoder, x, loss=lambda y, x, mask: masked(y, x, mask))
    assert torch.equal(needed.z, found.z)
    expected = gfe.encode_observed(decoder, x, loss=SQUARES)
    torch.testing.assert_close(found.z, expected.z, rtol=0, atol=1e-3)


class Weighted(gfe.Bernoulli):
    """A loss that overrides one method of its parent."""

    def per_sample(self, output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        weight = torch.linspace(1, 3, x.shape[1], dtype=x.dtype)
        elements = F.binary_cross_entropy_with_logits(output, x, reduction="none")
        return (weight * elements).mean(1)


def coupled(output: Tensor, x: Tensor) -> Tensor:
    """A loss whose Hessian is no diagonal: the softmax mixes features."""
    return F.cross_entropy(output, x.softmax(1), reduction="none") + squares(output, x)


@pytest.mark.parametrize("loss", [Weighted(), coupled], ids=["overridden", "coupled"])
def test_gauss_newton_matrix_is_that_of_the_loss_which_was_written(loss: AnyLoss):
    decoder = gfe.MLPDecoder(latent_dim=3, hidden=(5,), data_dim=6, generator=generator(1)).double()
    x = data().double()
    z = torch.randn(N, 3, dtype=torch.float64, generator=generator(3))
    found = gfe.Energy(decoder, x, loss).gauss_newton(z)
    whole = WholeLoss(loss)
    for i in range(N):
        jacobian = torch.autograd.functional.jacobian(lambda one: decoder(one[None])[0], z[i])
        inner = torch.autograd.functional.hessian(
            lambda y, i=i: whole.per_sample(y[None], x[i : i + 1])[0],
            decoder(z[i : i + 1])[0].detach(),
        )
        assert isinstance(jacobian, Tensor) and isinstance(inner, Tensor)
        # sums of a few dozen terms of order one
        torch.testing.assert_close(found[i], jacobian.T @ inner @ jacobian, rtol=0, atol=1e-14)


def test_what_a_loss_inherits_from_another_energy_is_not_its_own():
    x = data()
    assert (WholeLoss(Weighted()).floor(x) == 0).all()
    assert (WholeLoss(gfe.Bernoulli()).floor(x) > 0).all()
    y = torch.zeros(N, 6)
    assert torch.equal(WholeLoss(Weighted()).mean(y), torch.sigmoid(y))  # logits all the same
    with pytest.raises(ValueError, match="must lie in"):
        gfe.encode(Answering(lambda y: y), x + 1, loss=Weighted())


def test_loss_and_penalty_without_curvature_have_hessians_of_zero():
    class Slope:
        def per_sample(self, output: Tensor, x: Tensor) -> Tensor:
            return (output * x).sum(1)

    energy = gfe.Energy(Answering(lambda y: y), data(), Slope(), penalty=lambda z: z.sum(1))
    z = torch.zeros(N, 3)
    for matrix in (energy.hessian(z), energy.gauss_newton(z)):
        assert torch.equal(matrix, torch.zeros(N, 3, 3))
    assert torch.equal(energy.hessian_product(z, z + 1), z)


def test_decoder_may_say_that_its_raw_output_has_another_shape_than_the_data(unchecked):
    class Heteroscedastic(nn.Module):
        """Mean and log variance of every feature."""

        latent_dim = 3
        data_shape: tuple[int, ...] = (3,)
        raw_shape = (2, 3)

        def __init__(self) -> None:
            super().__init__()
            self.inner = Answering(lambda y: y.reshape(-1, 2, 3))

        def forward(self, z: Tensor) -> Tensor:
            return self.inner(z)

    class Likelihood:
        def per_sample(self, output: Tensor, x: Tensor) -> Tensor:
            mean, log_variance = output.unbind(1)
            return ((mean - x).square() * torch.exp(-log_variance) + log_variance).mean(1)

        def mean(self, output: Tensor) -> Tensor:
            return output[:, 0]

    decoder = Heteroscedastic()
    found = gfe.encode(decoder, data(3), loss=Likelihood(), max_steps=5)
    assert torch.equal(gfe.reconstruct(decoder, found), decoder(found.z)[:, 0].detach())
    with pytest.raises(ValueError, match=r"`output` must have the shape of `x`"):
        gfe.encode(decoder, data(3), loss=SQUARES)
    with pytest.raises(ValueError, match=r"map an output \(4, 2, 3\) to data \(4, 3\)"):
        gfe.reconstruct(decoder, found, lambda output, x: output.sum((1, 2)))


def test_bare_codes_are_not_drawn_without_a_loss(unchecked):
    decoder: Any = Answering(lambda y: y)
    with pytest.raises(ValueError, match=r"got bare codes.*reconstruct\(decoder, enc\)"):
        gfe.reconstruct(decoder, torch.zeros(N, 3))
    bare = gfe.encode(decoder, data(), loss=SQUARES)
    drawn = gfe.reconstruct(decoder, bare)
    with pytest.raises(ValueError, match=r"`z` must be codes of shape \(batch, 3\)"):
        gfe.reconstruct(decoder, bare.z[0], SQUARES)
    with pytest.raises(TypeError, match="`decoder` must have `latent_dim`"):
        gfe.reconstruct(decoder.layer, bare)  # pyright: ignore
    assert torch.equal(drawn, decoder(bare.z).detach())
    assert torch.equal(gfe.reconstruct(decoder, bare[1:3]), drawn[1:3])
    assert torch.equal(gfe.reconstruct(decoder, bare, gfe.Bernoulli()), torch.sigmoid(drawn))


def test_checks_read_shapes_once_a_call_and_dependence_once_an_energy(monkeypatch):
    calls = []
    original = gfe.energy.calls._reaches
    monkeypatch.setattr(
        "gfe_core.energy.calls._reaches", lambda *pair: calls.append(1) or original(*pair)
    )
    penalty: Penalty = lambda z: 0.1 * z.square().sum(1)  # noqa: E731
    gfe.encode(Answering(lambda y: y), data(), penalty=penalty, max_steps=20)
    assert len(calls) == 3  # output, loss and penalty


def test_reconstruct_leaves_the_codes_of_its_caller_alone():
    decoder = gfe.wrap(
        nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 6)), latent_dim=3, data_shape=6
    )
    z = -torch.ones(2, 3)
    gfe.reconstruct(decoder, z, SQUARES)
    assert torch.equal(z, -torch.ones(2, 3))


def test_a_decoder_that_overwrites_its_codes_is_refused_in_words():
    layers = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 6))
    decoder = gfe.wrap(layers, latent_dim=3, data_shape=6)
    with pytest.raises(ValueError, match="`inplace=False`"):
        gfe.encode(decoder, torch.rand(2, 6))


def test_a_decoder_that_needs_an_argument_by_name_is_refused_in_words():
    class Named(nn.Linear):
        latent_dim, data_shape = 3, (6,)

        def forward(self, z: Tensor, *, y: Tensor) -> Tensor:  # pyright: ignore
            return super().forward(z) + y

    decoder: Any = Named(3, 6)
    with pytest.raises(TypeError, match="needs `y` by name"):
        gfe.encode(decoder, torch.rand(2, 6))


def with_members(**members: Any) -> Any:
    """Return a loss that is the squared error, with further members."""
    return type("Own", (), {"per_sample": staticmethod(masked_squares), **members})()


def masked_squares(output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
    return SQUARES.per_sample(output, x, mask)


FLOORS: dict[str, tuple[Any, str]] = {
    "a kept axis": (lambda self, x, mask: x.sum(1, keepdim=True), r"got \(4, 1\).*squeeze\(1\)"),
    "no mean": (lambda self, x, mask: 0 * x, r"got \(4, 6\).*flatten\(1\)\.mean\(1\)"),
    "one number for all": (lambda self, x, mask: x.min(), r"got \(\).*new_full\(\(len\(x\),\)"),
    "a number of python": (lambda self, x, mask: 0.0, r"got float.*new_full\(\(len\(x\),\)"),
    "features": (lambda self, x, mask: x.amin(0), r"got \(6,\).*flatten\(1\)\.mean\(1\)"),
    "float64": (lambda self, x, mask: x.double().amin(1), r"torch\.float64.*Convert"),
}


@pytest.mark.parametrize("kind", FLOORS)
def test_floor_that_is_not_one_number_a_sample_is_refused_with_the_line_to_write(kind, unchecked):
    floor, message = FLOORS[kind]
    loss = with_members(floor=floor)
    with pytest.raises((TypeError, ValueError), match=f"`loss.floor` must return.*{message}"):
        gfe.evaluate(Answering(lambda y: y), data(), loss=loss)


def test_floor_without_a_mask_is_that_of_complete_samples_and_refused_for_others(unchecked):
    loss = with_members(floor=lambda self, x: x.new_full((len(x),), -2.0))
    decoder: Any = Answering(lambda y: y)
    judged = gfe.evaluate(decoder, data(), loss=loss)
    assert torch.equal(judged.excess, judged.energy + 2)
    x = data()
    x[0, 0] = torch.nan
    with pytest.raises(TypeError, match=r"`loss.floor` of Own cannot leave out.*x, mask=None"):
        gfe.evaluate(decoder, x, encoder=partial(gfe.encode_observed, loss=loss))


@pytest.mark.parametrize("name", ["mean", "floor", "check_data", "curvature"])
def test_value_by_the_name_of_an_optional_method_is_refused_with_a_name_to_give(name, unchecked):
    buffered: Any = nn.Module()
    buffered.per_sample = masked_squares
    buffered.register_buffer(name, torch.zeros(6))
    for loss in (with_members(**{name: 0.5}), with_members(**{name: torch.ones(6)}), buffered):
        with pytest.raises(TypeError, match=rf"`loss.{name}` of .* must be a method.*`{name}_`"):
            gfe.encode(Answering(lambda y: y), data(), loss=loss)
    renamed = with_members(**{f"{name}_": 0.5})
    assert gfe.encode(Answering(lambda y: y), data(), loss=renamed).loss is renamed


def test_mean_that_is_no_tensor_is_refused(unchecked):
    loss = with_members(mean=lambda self, output: output.numpy())
    with pytest.raises(TypeError, match=r"`loss.mean` of Own must return a tensor, got ndarray"):
        gfe.reconstruct(Answering(lambda y: y), torch.zeros(N, 3), loss)


def logged(output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """A loss of positive data, which are not 0."""
    elements = x.log() - output
    return (elements if mask is None else torch.where(mask, elements, 0.0)).square().mean(1)


def smooth(output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """A loss in which unobserved outputs count, and unobserved data do not."""
    return masked_squares(output, x, mask) + (output[:, 1:] - output[:, :-1]).square().sum(1)


@pytest.mark.parametrize("n_missing", [1, 10])
def test_loss_that_takes_a_mask_and_reads_unobserved_data_is_refused(n_missing):
    def ignoring(output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return (output - x).square().mean(1)

    x = data() + 0.1
    x.view(-1)[:n_missing] = torch.nan
    decoder: Any = Answering(lambda y: y)
    for scale in (1.0, 1e-3, 1e3):  # the number in the gaps is none of the data's unit
        with pytest.raises(ValueError, match=r"depends on `x` where `mask` is False.*torch.where"):
            gfe.encode_observed(decoder, scale * x, loss=ignoring, max_steps=1)
    with pytest.raises(ValueError, match="takes `mask`, but its energy depends"):
        gfe.fit(
            decoder,
            gfe.data.Batches(x, size=N),
            encoder=gfe.encoders.Filled(
                gfe.encoders.Autoencoder(latent_dim=3, hidden=(4,), data_dim=6, loss=SQUARES),
                fill=torch.zeros(6),
            ),
            loss=ignoring,
        )
    for sound in (masked_squares, smooth, logged):
        assert gfe.encode_observed(decoder, x, loss=sound, max_steps=1).energy.isfinite().all()


class Several(nn.Module):
    latent_dim, data_shape = 2, (6,)

    def forward(self, z: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return z.sum(1, keepdim=True) + a + b


def test_decoder_of_two_contexts_is_told_to_take_them_by_name(unchecked):
    decoder: Any = Several()
    contexts: Any = {}, {"context": data()}
    message = r"Several takes `a` and `b` in addition to z.*`context=\{'a': a, 'b': b\}`"
    for context in contexts:
        with pytest.raises(TypeError, match=message):
            gfe.encode(decoder, data(), **context)


PADDED: dict[str, tuple[dict[str, Any], str]] = {
    "an axis too many": ({"loss": lambda y, x: (y - x).square()}, r"shape \(4,\), got \(4, 6\)"),
    "one number": ({"loss": lambda y, x: (y - x).square().sum()}, r"shape \(4,\), got \(\)"),
    "a penalty": ({"penalty": lambda z: z.square()}, r"shape \(4,\), got \(4, 2\)"),
    "weights": (
        {"loss": lambda y, x: torch.ones(4) * (y - x).square().sum(1)},
        "`loss` .*context=",
    ),
    "a weighted penalty": ({"penalty": lambda z: torch.ones(4) * z.sum(1)}, "`penalty` .*context="),
}


@pytest.mark.parametrize("case", PADDED)
def test_an_error_of_a_padded_call_speaks_of_the_samples(case, unchecked):
    """`MLPDecoder` is called with 16 rows for these 4 samples."""
    options, message = PADDED[case]
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=6)
    with pytest.raises(ValueError, match=message) as refusal:
        gfe.encode(decoder, data(), **options)
    alone = "must accept any number of rows. It works for the 4 samples"
    assert "16" not in str(refusal.value) or alone in str(refusal.value)


def test_random_decoder_is_refused_whatever_it_draws():
    decoder = Answering(MIXING["dropout"])
    with torch.random.fork_rng():
        for seed in range(60):  # a lone code often keeps all its numbers twice
            torch.manual_seed(seed)
            with pytest.raises(ValueError, match="always in the same way"):
                gfe.encode(decoder, data(), loss=SQUARES, max_steps=1)


def test_a_mask_that_a_loss_brings_holds_where_the_data_have_none():
    def weighed(output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        squares = (output - x).square()
        return (squares if mask is None else squares * mask).sum(1)

    keep = torch.tensor([1.0, 1.0, 0.0])
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=3)
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 2] = 1e3
    loss = partial(weighed, mask=keep)
    codes = [gfe.encode(decoder, data, loss=loss).z for data in (x, other)]
    torch.testing.assert_close(*codes)
    with pytest.raises(ValueError, match="a mask of its own, and so have the data"):
        gfe.encode(decoder, x, loss=loss, mask=torch.ones(4, 3, dtype=torch.bool))
