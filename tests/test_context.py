"""A context: what is known of each sample beside its data, wherever samples go."""

from functools import partial
from typing import Any

import pytest
import torch
from problems import generator
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.scale.rows import Rows
from gfe_core.types import Context

N = 12
SQUARES = gfe.Gaussian(variance=0.5, reduction="sum")
FAR = {"stop": gfe.Stop(grad_norm=1e-9, energy_slope=0), "max_steps": 3000}
SOLVERS: dict[str, dict[str, Any]] = {
    "AMD": {"solver": gfe.AMD(), **FAR},
    "BFGS": {"solver": gfe.BFGS(), **FAR},
    "LBFGS": {"solver": gfe.LBFGS(), **FAR},
    "GaussNewton": {"solver": gfe.GaussNewton(), **FAR},
    "Dopri5": {"solver": gfe.Dopri5(rtol=1e-6, atol=1e-8), "t1": 30.0, "max_steps": 3000},
    "Euler": {"solver": gfe.Euler(n_steps=80), "t1": 30.0},
}


class Conditional(nn.Module):
    """W z + V c: for squares the code of a sample is the pseudo-inverse of x - V c."""

    latent_dim = 3
    data_shape: tuple[int, ...] = (7,)

    def __init__(self) -> None:
        super().__init__()
        random = generator(1)
        frame = torch.linalg.qr(torch.randn(7, 3, dtype=torch.float64, generator=random))[0]
        self.W = nn.Parameter(frame * torch.tensor([1.0, 0.8, 0.6], dtype=torch.float64))
        self.V = nn.Parameter(torch.randn(7, 2, dtype=torch.float64, generator=random))

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        return z @ self.W.T + context @ self.V.T

    def codes(self, x: Tensor, context: Tensor) -> Tensor:
        return (x - context @ self.V.T) @ torch.linalg.pinv(self.W).T


class Named(Conditional):
    """The same of two tensors by name, one of them whole numbers."""

    def forward(self, z: Tensor, context: Context) -> Tensor:
        assert not isinstance(context, Tensor)
        rows = torch.stack([context["size"], context["label"].to(z.dtype)], 1)
        return super().forward(z, rows)


class Padded(Conditional):
    """The same, called with multiples of 16 rows."""

    row_multiple = 16


@pytest.fixture
def decoder() -> Conditional:
    return Conditional()


def samples(n: int = N) -> tuple[Tensor, Tensor]:
    """Data and contexts; two samples are at rest in the origin and leave at once."""
    random = generator(2)
    c = torch.randn(n, 2, dtype=torch.float64, generator=random)
    c[:, 1] = torch.arange(n) % 3
    x = torch.randn(n, 7, dtype=torch.float64, generator=random)
    with torch.no_grad():
        x[2:4] = Conditional()(torch.zeros(2, 3, dtype=torch.float64), c[2:4])
    return x, c


def by_name(c: Tensor) -> dict[str, Tensor]:
    return {"size": c[:, 0], "label": c[:, 1].long()}


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "tensor") for name in SOLVERS]
    + [
        (name, kind) for name in ("AMD", "GaussNewton") for kind in ("by name", "padded", "wrapped")
    ],
)
def test_every_solver_finds_the_code_of_each_sample_in_its_own_context(name, kind):
    x, c = samples()
    decoder: Any = {"by name": Named, "padded": Padded}.get(kind, Conditional)()
    expected = decoder.codes(x, c).detach()
    if kind == "wrapped":
        decoder = gfe.wrap(decoder, latent_dim=3, data_shape=7)
    context = by_name(c) if kind == "by name" else c
    found = gfe.encode(decoder, x, loss=SQUARES, context=context, **SOLVERS[name])
    # the slowest mode falls by exp(-2 0.36 30) = 4e-10; what solvers leave is below
    # 1e-5, a wrong context of order one
    torch.testing.assert_close(found.z, expected, rtol=0, atol=1e-5)
    order = torch.randperm(N, generator=generator(3))
    context = by_name(c[order]) if kind == "by name" else c[order]
    again = gfe.encode(decoder, x[order], loss=SQUARES, context=context, **SOLVERS[name])
    torch.testing.assert_close(again.z, found.z[order], rtol=0, atol=1e-5)


ADJOINTS: dict[str, dict[str, Any]] = {
    "Unrolled": {"solver": gfe.Euler(n_steps=5), "t1": 2.0, "adjoint": gfe.Unrolled()},
    "DiscreteAdjoint": {
        "solver": gfe.Euler(n_steps=5),
        "t1": 2.0,
        "adjoint": gfe.DiscreteAdjoint(),
    },
    "Implicit": {**SOLVERS["BFGS"], "adjoint": gfe.Implicit()},
}


@pytest.mark.parametrize("name", ADJOINTS)
def test_gradient_reaches_the_context_through_every_adjoint(name, decoder):
    x, c = samples(4)
    maker = torch.eye(2, dtype=torch.float64).requires_grad_()
    for context in (c.clone().requires_grad_(), c @ maker):
        z = gfe.encode(decoder, x, loss=SQUARES, context=context, **ADJOINTS[name]).z
        (found,) = torch.autograd.grad(z.square().sum(), context, retain_graph=True)
        assert (found != 0).any()
        for place in ((0, 0), (3, 1)):
            ends = []
            for h in (1e-5, -1e-5):
                moved = c.clone()
                moved[place] += h
                arguments: dict[str, Any] = ADJOINTS[name] | {"adjoint": gfe.Detached()}
                far = gfe.encode(decoder, x, loss=SQUARES, context=moved, **arguments)
                ends.append(far.z.square().sum().item())
            # a difference of second order, of codes exact to 1e-9
            assert abs(found[place].item() - (ends[0] - ends[1]) / 2e-5) < 1e-4
    named = {name: part.requires_grad_() for name, part in {"size": c[:, 0].clone()}.items()}
    whole = {**named, "label": c[:, 1].long()}
    z = gfe.encode(Named(), x, loss=SQUARES, context=whole, **ADJOINTS[name]).z
    (by_name_found,) = torch.autograd.grad(z.square().sum(), named["size"])
    torch.testing.assert_close(by_name_found, found[:, 0], rtol=0, atol=1e-6)


def test_context_reaches_a_loss_and_a_penalty_that_have_such_a_parameter():
    x, c = samples()
    linear = gfe.wrap(nn.Linear(3, 7, dtype=torch.float64), latent_dim=3, data_shape=7)
    weight = c[:, :1].exp()

    def weighted(output: Tensor, x: Tensor, context: Tensor) -> Tensor:
        return (context * (output - x).square()).sum(1)

    def pulled(z: Tensor, context: Tensor) -> Tensor:
        return (context * z.square()).sum(1)

    squares = partial(gfe.encode, linear, x, solver=gfe.GaussNewton())
    both = squares(loss=weighted, penalty=pulled, context=weight)
    even = squares(loss=SQUARES, penalty=lambda z: z.square().sum(1))
    # the same weight of both parts moves no minimum
    torch.testing.assert_close(both.z, even.z, rtol=0, atol=1e-4)
    torch.testing.assert_close(both.energy, weight[:, 0] * even.energy, rtol=1e-6, atol=0)


def test_fit_and_evaluate_hand_each_batch_its_context():
    x, c = samples(40)
    truth = Conditional()
    with torch.no_grad():
        x = truth(torch.randn(40, 3, dtype=torch.float64, generator=generator(4)), c)
    decoder = Conditional()
    with torch.no_grad():
        decoder.V.zero_()
    batches = gfe.data.Batches(x, context=c, size=16, seed=1)
    met = []
    encoder = partial(gfe.encode, loss=SQUARES, solver=gfe.GaussNewton())
    history = gfe.fit(
        decoder,
        batches,
        encoder=encoder,
        loss=SQUARES,
        epochs=20,
        optimizer=torch.optim.Adam(decoder.parameters(), lr=3e-2),
        callbacks=[lambda report: met.append((report.x, report.context))],
    )
    assert history.energy[-1] < 0.1 * history.energy[0]
    rows = {tuple(row.tolist()): i for i, row in enumerate(x)}
    for batch, context in met[:3]:
        assert torch.equal(context, c[[rows[tuple(row.tolist())] for row in batch]])
    judged = gfe.evaluate(decoder, x, encoder=encoder, loss=SQUARES, context=c, size=7)
    one = gfe.encode(decoder, x, loss=SQUARES, solver=gfe.GaussNewton(), context=c)
    torch.testing.assert_close(judged.energy, one.energy, rtol=1e-6, atol=1e-9)


def test_other_verbs_take_a_context_too(decoder):
    x, c = samples()
    found = gfe.encode(decoder, x, loss=SQUARES, context=c)
    drawn = gfe.reconstruct(decoder, found, context=c)
    assert torch.equal(drawn, decoder(found.z, c).detach())
    spectrum = gfe.stiffness.spectrum(decoder, found.z, x, loss=SQUARES, context=c)
    expected = torch.linalg.eigvalsh(2 * decoder.W.detach().T @ decoder.W.detach())
    torch.testing.assert_close(spectrum.eigenvalues, expected.expand(N, 3), rtol=0, atol=1e-12)
    prior = gfe.posterior.GaussianPrior.standard(3, dtype=torch.float64)
    posterior = gfe.posterior.laplace(decoder, x, prior=prior, loss=SQUARES, context=c)
    expected = 2 * decoder.W.T @ decoder.W + torch.eye(3)
    torch.testing.assert_close(
        posterior.precision[0], expected.detach().expand(N, 3, 3), rtol=0, atol=1e-12
    )


def test_context_that_fits_nothing_is_refused(decoder, unchecked):
    x, c = samples()
    encode: Any = partial(gfe.encode, decoder, x, loss=SQUARES)
    with pytest.raises(
        TypeError, match="takes `context` in addition to z, but no `context` was given"
    ):
        encode()
    with pytest.raises(TypeError, match="takes `context` in addition to z"):
        gfe.reconstruct(decoder, torch.zeros(1, 3, dtype=torch.float64), SQUARES)
    with pytest.raises(ValueError, match=r"one row for each of the 12 samples, got shape \(5, 2\)"):
        encode(context=c[:5])
    with pytest.raises(ValueError, match=r"`context\['size'\]` must have one row"):
        encode(context={"size": torch.tensor(1.0)})
    with pytest.raises(TypeError, match="must be a tensor .* got list"):
        encode(context=c.tolist())
    missing: Any = {
        "loss": lambda output, x, context: SQUARES.per_sample(output, x),
        "penalty": lambda z, context: z.square().sum(1),
    }
    for name, function in missing.items():
        plain = gfe.LinearDecoder(latent_dim=3, data_dim=7).double()
        with pytest.raises(TypeError, match=f"`{name}` <lambda> takes `context`, but none"):
            arguments: dict[str, Any] = {"loss": SQUARES} | {name: function}
            gfe.encode(plain, x, **arguments)
    plain = gfe.LinearDecoder(latent_dim=3, data_dim=7).double()
    with pytest.raises(TypeError, match="LinearDecoder takes no second argument.*leave `context`"):
        gfe.encode(plain, x, loss=SQUARES, context=c)
    batches = gfe.data.Batches(x, context=c, size=4)
    with pytest.raises(TypeError, match="`encoder` <lambda> takes no `context`"):
        gfe.fit(decoder, batches, encoder=lambda decoder, x: encode())
    with pytest.raises(ValueError, match="one row for each of the 12 samples"):
        gfe.data.Batches(x, context=c[:3], size=4)


def test_batches_with_a_context_are_refused_where_only_samples_are_taken(decoder, unchecked: None):
    x, c = samples()
    batches = gfe.data.Batches(x, context=c, size=5)
    prior = gfe.posterior.GaussianPrior.standard(3, dtype=torch.float64)
    verbs: list[Any] = [
        partial(gfe.encode, decoder, loss=SQUARES),
        partial(gfe.encode_observed, decoder, loss=SQUARES),
        partial(gfe.evaluate, decoder, loss=SQUARES),
        partial(gfe.posterior.laplace, decoder, loss=SQUARES, prior=prior),
        partial(gfe.data.Batches, size=5),
        Rows.of,
    ]
    for verb in verbs:
        with pytest.raises(TypeError, match=r"Batches with a context.*`x.x, context=x.context`"):
            verb(batches)
    alone = gfe.encode(decoder, batches.x, loss=SQUARES, context=batches.context)
    assert torch.equal(alone.z, gfe.encode(decoder, x, loss=SQUARES, context=c).z)


def test_setting_with_a_default_is_no_context():
    class Warm(gfe.LinearDecoder):
        def forward(self, z: Tensor, temperature: float = 1.0) -> Tensor:
            return super().forward(z) / temperature

    x, c = samples()
    decoder = Warm(latent_dim=3, data_dim=7).double()
    with pytest.raises(TypeError, match="Warm takes no second argument"):
        gfe.encode(decoder, x, loss=SQUARES, context=c)


def test_encoders_of_the_kit_pass_a_context_on():
    x, c = samples()
    decoder = Conditional()
    flow = partial(gfe.encode, loss=SQUARES, solver=gfe.GaussNewton())
    network = gfe.encoders.Autoencoder(latent_dim=3, hidden=(8,), data_dim=7, loss=SQUARES).double()
    for encoder in (network, gfe.encoders.ThenFlow(network, flow), gfe.encoders.StoredCodes(flow)):
        found = encoder(decoder, x, context=c)
        expected = SQUARES.per_sample(decoder(found.z, c), x).detach()
        torch.testing.assert_close(found.energy, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [Tensor, dict])
def test_an_encoding_keeps_its_context_and_decodes_with_it(kind: type):
    class Optional(Conditional):
        """Decodes without a context too, and then wrongly."""

        def forward(self, z: Tensor, context: Context | None = None) -> Tensor:
            if context is None:
                return z @ self.W.T
            return super().forward(z, context if isinstance(context, Tensor) else context["c"])

    decoder = Optional()
    c = torch.randn(N, 2, dtype=torch.float64, generator=generator(2))
    x = decoder(torch.randn(N, 3, dtype=torch.float64, generator=generator(3)), as_kind(c, kind))
    x = x.detach()
    enc = gfe.encode(decoder, x, loss=SQUARES, context=as_kind(c, kind), **SOLVERS["LBFGS"])
    chunks = gfe.encode(
        decoder, x, loss=SQUARES, context=as_kind(c, kind), size=5, **SOLVERS["LBFGS"]
    )
    backwards = torch.arange(N - 1, -1, -1)
    apart = gfe.types.Encoding.joined([enc[:4], enc[4:]])
    for codes, rows in ((enc, slice(None)), (chunks, slice(None)), (apart, slice(None))):
        torch.testing.assert_close(gfe.reconstruct(decoder, codes), x[rows], rtol=0, atol=1e-6)
    for rows in (slice(3, 7), backwards, [0, 5]):
        torch.testing.assert_close(gfe.reconstruct(decoder, enc[rows]), x[rows], rtol=0, atol=1e-6)
    single = enc.to(torch.float32)
    assert gfe.reconstruct(decoder.float(), single).dtype == torch.float32
    torch.testing.assert_close(gfe.reconstruct(decoder, single), x.float(), rtol=0, atol=1e-4)


def as_kind(c: Tensor, kind: type) -> Context:
    return c if kind is Tensor else {"c": c}


def test_volumes_of_an_encoding_are_those_of_its_context():
    class Scaled(Conditional):
        def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
            scale = 1.0 if context is None else context[:, :1]
            return scale * (z @ self.W.T)

    decoder = Scaled()
    c = 2 + torch.rand(N, 2, dtype=torch.float64, generator=generator(2))
    x = decoder(torch.randn(N, 3, dtype=torch.float64, generator=generator(3)), c).detach()
    enc = gfe.encode(decoder, x, loss=SQUARES, context=c)
    alone = gfe.density.log_volume(decoder, enc.z, SQUARES)
    held = gfe.density.log_volume(decoder, enc)
    torch.testing.assert_close(held - alone, 3 * c[:, 0].log())


def test_a_context_that_only_a_penalty_read_is_left_out_of_what_decodes():
    decoder = gfe.LinearDecoder(latent_dim=3, data_dim=7).double()
    x = torch.randn(N, 7, dtype=torch.float64, generator=generator(1))
    c = torch.randn(N, 3, dtype=torch.float64, generator=generator(2))

    def penalty(z: Tensor, context: Tensor) -> Tensor:
        return (z - context).square().sum(1)

    enc = gfe.encode(decoder, x, loss=SQUARES, penalty=penalty, context=c)
    for codes in (enc, enc[2:5]):
        drawn = gfe.reconstruct(decoder, codes)
        assert torch.equal(drawn, gfe.reconstruct(decoder, codes.z, SQUARES))
        volume = gfe.density.log_volume(decoder, codes)
        assert torch.equal(volume, gfe.density.log_volume(decoder, codes.z, SQUARES))
        assert gfe.density.log_density(decoder, codes).isfinite().all()
    with pytest.raises(TypeError, match="`context` was given, but `decoder`"):
        gfe.reconstruct(decoder, enc, context=c)


def test_an_interrupted_evaluation_with_a_context_keeps_what_was_reached():
    decoder = Conditional()
    c = torch.randn(N, 2, dtype=torch.float64, generator=generator(2))
    x = torch.randn(N, 7, dtype=torch.float64, generator=generator(1))
    calls: list[int] = []

    def encoder(decoder: Any, x: Tensor, context: Any = None) -> gfe.types.Encoding:
        calls.append(len(x))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return gfe.encode(decoder, x, loss=SQUARES, context=context, max_steps=2)

    with pytest.warns(UserWarning, match="Interrupted: 4 of"):
        judged = gfe.evaluate(decoder, x, encoder=encoder, context=c, size=4)
    assert (judged.status == gfe.Status.NOT_REACHED).tolist() == [False] * 4 + [True] * (N - 4)


def test_context_of_an_encoding_does_not_follow_that_of_the_caller():
    def shifted(z: Tensor, shift: Tensor) -> Tensor:
        return z.repeat(1, 2) + shift

    decoder = gfe.wrap(shifted, latent_dim=2, data_shape=4)
    x, shift = torch.rand(5, 4), torch.rand(5, 4)
    enc = gfe.encode(decoder, x, loss=gfe.Gaussian(), context=shift)
    expected = gfe.reconstruct(decoder, enc)
    shift.zero_()
    assert torch.equal(gfe.reconstruct(decoder, enc), expected)
