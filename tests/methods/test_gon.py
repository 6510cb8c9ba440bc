"""One step from the origin is an encoding, is differentiated through, keeps samples apart."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from problems import digits, generator, log_slope
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.methods import gon
from gfe_core.methods.gon import (
    SQUARES,
    Origin,
    PixelsAndLabels,
    Recent,
    WithLabels,
    labelled,
    normality,
    slerp,
)
from gfe_core.training.fitting import Report
from gfe_core.types import Loss

LEFT = torch.arange(64).unflatten(0, (8, 8))[:, :4].flatten()
SEEN = torch.zeros(64, dtype=torch.bool).index_fill(0, LEFT, True)


def decoder_of(kind: str = "mlp", w0: float = 30.0) -> Any:
    source = generator()
    shape = (8, 8)
    if kind == "conv":
        return gfe.TransposedConvDecoder(
            latent_dim=4, image_shape=shape, channels=(8, 4), generator=source
        ).double()
    if kind == "siren":
        return gfe.SirenDecoder(
            latent_dim=4, hidden=(16, 16), image_shape=shape, w0=w0, generator=source
        ).double()
    return gfe.MLPDecoder(latent_dim=4, hidden=(16, 16), data_dim=64, generator=source).double()


def codes(n: int, latent_dim: int, seed: int = 1) -> Tensor:
    return torch.randn(n, latent_dim, dtype=torch.float64, generator=generator(seed))


def outer(decoder: Any, z: Tensor, x: Tensor) -> Tensor:
    return SQUARES.per_sample(decoder(z), x).mean()


def weight_gradients(decoder: Any, z: Tensor, x: Tensor) -> Tensor:
    gradients = torch.autograd.grad(outer(decoder, z, x), list(decoder.parameters()))
    return torch.cat([g.flatten() for g in gradients])


def by_hand(decoder: Any, x: Tensor, dt: float = 1.0, n_steps: int = 1) -> Tensor:
    """Codes of a gradient origin network in plain torch, with the graph to the weights."""
    z = torch.zeros(len(x), decoder.latent_dim, dtype=x.dtype, requires_grad=True)
    for _ in range(n_steps):
        (g,) = torch.autograd.grad((decoder(z) - x).square().sum(), z, create_graph=True)
        z = z - dt * g
    return z


every_kind = pytest.mark.parametrize("kind", ["mlp", "conv", "siren"])


@every_kind
@pytest.mark.parametrize("n_steps", [1, 3])
def test_step_and_its_gradient_are_those_of_plain_torch(kind, n_steps):
    decoder = decoder_of(kind)
    x = digits(5)
    dt = 0.05
    ours = Origin(n_steps=n_steps, dt=dt)(decoder, x).z
    plain = by_hand(decoder, x, dt, n_steps)
    a = weight_gradients(decoder, ours, x)
    b = weight_gradients(decoder, plain, x)
    # float64, and sums in another order: some 1e-16 for each of thousands of terms
    assert torch.allclose(ours, plain, rtol=0, atol=1e-12 * plain.abs().max().item())
    assert (a - b).abs().max() < 1e-11 * b.abs().max()


@every_kind
def test_gradient_through_the_step_is_the_slope_of_the_outer_loss(kind):
    decoder = decoder_of(kind)
    x = digits(4)
    origin = Origin(dt=0.05 if kind == "siren" else 1.0)
    weights = list(decoder.parameters())
    direction = [
        codes(1, p.numel(), seed=i).reshape(p.shape) / p.numel() ** 0.5
        for i, p in enumerate(weights)
    ]
    slope = weight_gradients(decoder, origin(decoder, x).z, x) @ torch.cat(
        [d.flatten() for d in direction]
    )
    kept = weight_gradients(decoder, origin(decoder, x).z.detach(), x) @ torch.cat(
        [d.flatten() for d in direction]
    )
    h = 1e-6

    def moved(by: float) -> float:
        with torch.no_grad():
            for p, d in zip(weights, direction, strict=True):
                p.add_(by * d)
            return outer(decoder, origin(decoder, x).z, x).item()

    up = moved(h)
    down = moved(-2 * h)
    difference = (up - down) / (2 * h)
    # central differences: h^2 times a third derivative (for sines w0^3), and 1e-16 * loss / h
    assert abs(difference - slope.item()) < 1e-4 * abs(slope.item())
    # the difference determines the code's contribution to the gradient to one per cent
    assert abs(difference - slope.item()) < 1e-2 * abs(slope.item() - kept.item())


def test_detached_code_teaches_by_the_decoder_alone():
    decoder = decoder_of()
    x = digits(4)
    free = Origin(adjoint=gfe.Detached())(decoder, x)
    whole = Origin()(decoder, x)
    assert torch.equal(free.z, whole.z.detach()) and not free.z.requires_grad
    ours = weight_gradients(decoder, free.z, x)
    theirs = weight_gradients(decoder, whole.z, x)
    assert F.cosine_similarity(ours, theirs, dim=0) < 0.99


@every_kind
def test_codes_do_not_depend_on_the_batch(kind):
    decoder = decoder_of(kind).float()
    x = digits(33).float()
    together = Origin()(decoder, x).z
    order = torch.randperm(33, generator=generator(1))
    apart = torch.cat([Origin()(decoder, one).z for one in x.split(1)])
    scale = together.abs().max().item()
    assert (apart - together).abs().max() < 1e-6 * scale
    assert (Origin()(decoder, x[order]).z - together[order]).abs().max() < 1e-6 * scale


@dataclass(frozen=True, kw_only=True)
class BatchMean(gfe.Gaussian):
    """The pitfall: squares averaged over the batch."""

    def per_sample(self, output: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().per_sample(output, x, mask) / len(x)


@every_kind
def test_a_loss_averaged_over_the_batch_by_which_codes_would_shrink_is_refused(kind):
    origin = Origin(loss=BatchMean(variance=0.5, reduction="sum"))
    with pytest.raises(ValueError, match="`loss` must judge each sample on its own"):
        origin(decoder_of(kind), digits(64))


def test_normalisation_over_a_batch_is_refused():
    decoder = decoder_of("conv")
    decoder.layers.append(nn.BatchNorm1d(64).double())
    with pytest.raises(ValueError, match="BatchNorm1d"):
        Origin()(decoder, digits(4))


class OneHidden(nn.Module):
    """y = W2 phi(W1 z + b), whose step from the origin is differentiated by hand below."""

    def __init__(self, phi: Any, *, biased: bool = True) -> None:
        super().__init__()
        self.latent_dim = 3
        self.data_shape = (64,)
        self.phi = phi
        self.W1 = nn.Parameter(codes(9, 3) / 2)
        self.W2 = nn.Parameter(codes(64, 9, 2) / 8)
        self.b = nn.Parameter(codes(1, 9, 3)[0] if biased else torch.zeros(9, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return self.phi(z @ self.W1.T + self.b) @ self.W2.T


def derivatives(phi: Any, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return phi and its first two derivatives."""
    at = at.detach().requires_grad_()
    value = phi(at)
    (first,) = torch.autograd.grad(value.sum(), at, create_graph=True)
    second = (
        torch.autograd.grad(first.sum(), at)[0] if first.requires_grad else torch.zeros_like(at)
    )
    return value.detach(), first.detach(), second


@pytest.mark.parametrize("phi, vanishes", [(F.relu, True), (F.elu, False), (torch.sin, False)])
def test_relu_loses_what_the_step_teaches_by_bending_and_nothing_else(phi, vanishes):
    # z = -W1' D W2' g with D = phi'(b), g = 2 (W2 phi(b) - x). For <a, z>, with u = W1 a and v =
    # W2' g: d/db = -phi'' u v - 2 D W2' W2 D u, of which only the first part needs phi''; d/dW1 =
    # -(D v) a', for any phi.
    decoder = OneHidden(phi)
    x = digits(1)
    a = codes(1, 3, 9)[0]
    value, first, second = derivatives(phi, decoder.b)
    W1 = decoder.W1.detach()
    W2 = decoder.W2.detach()
    u = W1 @ a
    v = W2.T @ (2 * (W2 @ value - x[0]))
    bending = -second * u * v
    mixed = -2 * first * (W2.T @ W2 @ (first * u))
    (z,) = Origin()(decoder, x).z
    of_weights, of_bias = torch.autograd.grad(z @ a, [decoder.W1, decoder.b])
    assert torch.allclose(
        of_bias, bending + mixed, rtol=0, atol=1e-12
    )  # roundings of sums of order 1
    assert torch.allclose(of_weights, -torch.outer(first * v, a), rtol=0, atol=1e-12)
    assert (bending.norm() == 0) == vanishes and of_weights.norm() > 0.1 and mixed.norm() > 0.01
    assert vanishes or bending.norm() > 0.1 * mixed.norm()


@pytest.mark.filterwarnings("ignore:The gradient of the energy at the code 0")
def test_relu_without_biases_does_not_leave_the_origin():
    assert Origin()(OneHidden(F.relu, biased=False), digits(3)).z.abs().max() == 0
    assert Origin()(OneHidden(F.elu, biased=False), digits(3)).z.abs().min() > 0


@torch.no_grad()
def test_many_short_steps_converge_to_the_flow_as_dt():
    decoder = decoder_of()
    x = digits(3)
    t1 = 0.25
    exact = gfe.encode(decoder, x, loss=SQUARES, solver=gfe.Dopri5(rtol=1e-8, atol=1e-9), t1=t1).z
    counts = [25, 50, 100]
    errors = [(Origin(n_steps=n, dt=t1 / n)(decoder, x).z - exact).norm().item() for n in counts]
    # first order: doubling n halves the error, up to the next order, t1 lambda / n or some percent
    # here
    assert abs(log_slope([t1 / n for n in counts], errors) - 1) < 0.1
    assert errors[-1] < 0.01 * exact.norm()


def test_unseen_features_have_no_influence_but_are_drawn():
    decoder = decoder_of()
    x = digits(5)
    origin = Origin(seen=SEEN)
    other = torch.where(SEEN, x, torch.nan)
    assert torch.equal(origin(decoder, x).z, origin(decoder, other).z)
    assert not torch.equal(origin(decoder, x).z, Origin()(decoder, x).z)
    changed = x.clone()
    changed[:, LEFT[0]] += 0.5
    assert not torch.equal(origin(decoder, x).z, origin(decoder, changed).z)


def test_unseen_half_is_learnt_from_the_seen_one():
    decoder = decoder_of()
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-2)
    origin = Origin(seen=SEEN, dt=0.1)
    gfe.fit(
        decoder, batches(digits(200)), encoder=origin, loss=SQUARES, optimizer=optimizer, epochs=8
    )
    x = digits(100, 300)
    with torch.no_grad():
        drawn = decoder(origin(decoder, x).z)[:, ~SEEN]
    mean_image = digits(200).mean(0)[~SEEN]
    assert (drawn - x[:, ~SEEN]).square().sum(1).mean() < (mean_image - x[:, ~SEEN]).square().sum(
        1
    ).mean()


def batches(x: Tensor) -> gfe.data.Batches:
    return gfe.data.Batches(x, size=40)


@pytest.mark.slow
@every_kind
def test_gradient_origin_network_draws_unseen_digits_better_than_their_mean(kind):
    decoder = decoder_of(kind, w0=5.0)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-2 if kind != "siren" else 1e-2)
    recent = Recent(3)
    origin = Origin(dt=0.1)
    gfe.fit(
        decoder,
        batches(digits(200)),
        encoder=origin,
        loss=SQUARES,
        optimizer=optimizer,
        epochs=12,
        callbacks=[recent],
    )
    x = digits(100, 300)
    with torch.no_grad():
        assert (
            origin(decoder, x).energy.mean()
            < SQUARES.per_sample(digits(200).mean(0).expand_as(x), x).mean()
        )
    assert recent.z.shape == (120, 4) and not recent.z.requires_grad
    drawn = gfe.posterior.GaussianPrior.fit(recent.z, ridge=1e-9).sample(5, generator())
    assert decoder(drawn).isfinite().all()


@pytest.mark.filterwarnings("ignore:.*missing features:UserWarning")
def test_recent_keeps_the_last_batches_without_lost_samples():
    decoder = decoder_of()
    x = digits(50)
    x[:, 0] = torch.arange(50) / 50
    x[3, 5] = x[44, 5] = math.nan
    recent = Recent(2)
    seen = []
    order = gfe.data.Batches(x, size=10, shuffle=False)
    optimizer = torch.optim.SGD(decoder.parameters(), lr=1e-9)

    def note(report: Report) -> None:
        seen.append(report.encoding.z.detach())

    gfe.fit(
        decoder,
        order,
        encoder=Origin(),
        loss=SQUARES,
        optimizer=optimizer,
        callbacks=[recent, note],
    )
    kept = [i for i in range(10) if i != 4]
    assert torch.equal(recent.z, torch.cat([seen[3], seen[4][kept]])) and recent.z.shape == (19, 4)


def test_normality_is_small_for_a_normal_distribution_of_any_covariance():
    # Kolmogorov: chance exceeds 1.63 / sqrt(n) once in a hundred where the distribution is known;
    # fitting it, less.
    n = 2000
    stretch = codes(5, 5, seed=3) * torch.tensor([1e-3, 0.1, 1.0, 10.0, 1e3])
    assert normality(codes(n, 5) @ stretch + 100) < 1.63 / math.sqrt(n)
    assert normality(codes(n, 1)) < 1.63 / math.sqrt(n)


def test_normality_by_chance_is_as_told():
    n = 400
    found = torch.tensor([normality(codes(n, 3, seed)) for seed in range(40)]).mean() * math.sqrt(n)
    assert 0.5 < found < 0.95


def test_normality_does_not_depend_on_axes_or_units():
    z = codes(300, 4)
    turn = codes(4, 4, seed=5)
    # the same distances, up to roundings times the condition of the turn
    assert abs(normality(z) - normality(z @ turn - 3)) < 1e-9


def test_normality_is_large_for_heavy_tails_and_exact_for_a_ring():
    z = codes(2000, 2)
    heavy = z / codes(2000, 1, seed=4).abs()
    assert normality(heavy) > 0.2
    angle = torch.arange(1000, dtype=torch.float64) * 2 * math.pi / 1000
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    # every squared distance is 2, whose chi-squared probability for 2 latents is 1 - 1/e; a point
    # carries 1/1000
    assert abs(normality(ring) - (1 - math.exp(-1))) < 1e-3


def test_slerp_keeps_the_sphere_at_even_angles():
    a = F.normalize(codes(6, 5))
    b = F.normalize(codes(6, 5, seed=2))
    walk = [slerp(a, b, i / 8) for i in range(9)]
    steps = torch.stack([(p * q).sum(1).clamp(max=1).acos() for p, q in pairwise(walk)])
    # float64; the arc cosine of a number near 1 loses half the digits
    assert torch.allclose(
        torch.stack(walk).norm(dim=2), torch.ones(9, 6, dtype=torch.float64), rtol=0, atol=1e-12
    )
    assert torch.allclose(steps, (a * b).sum(1).acos().expand(8, 6) / 8, rtol=0, atol=1e-7)
    assert torch.allclose(walk[0], a, atol=1e-12) and torch.allclose(walk[8], b, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slerp_is_a_straight_line_where_there_is_no_angle(dtype):
    a = torch.tensor(
        [[1.0, 2.0], [1.0, 0.0], [0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [1.0, 0.0]], dtype=dtype
    )
    b = torch.tensor(
        [[2.0, 4.0], [-2.0, 0.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]], dtype=dtype
    )
    for t in (-0.5, 0.0, 0.25, 1.0, 1.5):
        z = slerp(a, b, t)
        assert z.isfinite().all() and z.dtype == dtype
        assert torch.allclose(z[:5], (1 - t) * a[:5] + t * b[:5], rtol=0, atol=1e-5)
        assert torch.allclose(
            z[5], torch.tensor([math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)], dtype=dtype)
        )


def test_slerp_hardly_jumps_where_the_straight_line_begins():
    a = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(2, 2)
    angle = torch.tensor(
        [1.41e-3, 1.42e-3], dtype=torch.float64
    )  # on either side of a cosine of 1 - 1e-6
    b = torch.stack([angle.cos(), angle.sin()], 1)
    on_arc = torch.stack([(0.3 * angle).cos(), (0.3 * angle).sin()], 1)
    assert torch.allclose(
        slerp(a, b, 0.3), on_arc, rtol=0, atol=1e-6
    )  # a chord is angle^2 / 8 inside its arc


def with_labels() -> tuple[WithLabels, Tensor, Tensor]:
    decoder = WithLabels(decoder_of(), 3, generator=generator(4)).double()
    return decoder, digits(30), torch.arange(30) % 3


def test_labels_never_influence_codes():
    decoder, x, y = with_labels()
    origin = Origin(by=WithLabels.pixels)
    z = origin(decoder, labelled(x, y, 3)).z
    assert torch.equal(z, origin(decoder, labelled(x, (y + 1) % 3, 3)).z)
    assert torch.equal(z, origin(decoder, x).z) and torch.equal(z, Origin()(decoder.decoder, x).z)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_class_teaches_head_and_decoder_through_the_code(weight):
    decoder, x, y = with_labels()
    rows = labelled(x, y, 3)
    PixelsAndLabels(n_classes=3, weight=weight).per_sample(
        decoder(Origin(by=WithLabels.pixels)(decoder, rows).z), rows
    ).mean().backward()
    for p in (decoder.head.weight, decoder.head.bias, *decoder.decoder.parameters()):
        assert p.grad is not None and p.grad.norm() > 0


def test_labels_alone_teach_to_tell_classes_apart():
    decoder = WithLabels(decoder_of(), 2, generator=generator(4)).double()
    loss = PixelsAndLabels(n_classes=2, weight=0)
    x = digits(200)
    y = (x[:, SEEN].sum(1) > x[:, SEEN].sum(1).median()).long()
    rows = labelled(x, y, 2)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-2)
    origin = Origin(by=WithLabels.pixels, dt=0.1)
    gfe.fit(decoder, batches(rows[:150]), encoder=origin, loss=loss, optimizer=optimizer, epochs=6)
    said = loss.mean(decoder(origin(decoder, rows[150:]).z))[:, -2:].argmax(1)
    # chance is right for about 25 of 50, and for 36 or more once in a thousand
    assert (said == y[150:]).sum() >= 36


@pytest.mark.parametrize("pixels", [SQUARES, gfe.Bernoulli()])
def test_loss_of_pixels_and_labels_is_their_sum(pixels):
    loss = PixelsAndLabels(n_classes=4, pixels=pixels, weight=0.3)
    y = torch.tensor([0, 3, 1])
    assert isinstance(loss, Loss)
    x = labelled(digits(3), y, 4)
    output = codes(3, 68).requires_grad_()
    energy = loss.per_sample(output, x)
    classes = F.cross_entropy(output[:, -4:], y, reduction="none")
    assert torch.allclose(energy, 0.3 * pixels.per_sample(output[:, :-4], digits(3)) + classes)
    assert torch.allclose(loss.mean(output)[:, -4:].sum(1), torch.ones(3, dtype=torch.float64))
    assert torch.equal(loss.floor(x), 0.3 * pixels.floor(digits(3)))
    assert (energy >= loss.floor(x)).all()


def test_labels_become_ones_at_their_places():
    rows = labelled(torch.full((2, 1), 0.5), torch.tensor([2, 0], dtype=torch.int32), 3)
    assert rows.tolist() == [[0.5, 0, 0, 1], [0.5, 1, 0, 0]] and rows.dtype == torch.float32


def with_row(value: float) -> Tensor:
    return torch.cat([codes(9, 2), torch.tensor([[0.0, value]], dtype=torch.float64)])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Origin(n_steps=0), "`n_steps` must be at least 1, got 0."),
        (lambda: Origin(dt=0.0), "`dt` must be a positive finite number, got 0.0."),
        (lambda: Origin(dt=math.nan), "`dt` must be a positive finite number, got nan."),
        (lambda: Origin(dt=math.inf), "`dt` must be a positive finite number, got inf."),
        (
            lambda: Origin(seen=SEEN[:9])(decoder_of(), digits(2)),
            "`seen` must be a bool tensor of shape (64,), got (9,)",
        ),
        (
            lambda: Origin(seen=SEEN.long())(decoder_of(), digits(2)),
            "`seen` must be a bool tensor of shape (64,), got",
        ),
        (
            lambda: Origin()(decoder_of(), digits(2)[:, :9]),
            "`x` must have shape (batch, 64) for this decoder, got (2, 9).",
        ),
        (
            lambda: Origin()(decoder_of(), digits(2).repeat(1, 2)),
            "`x` must have shape (batch, 64) for this decoder",
        ),
        (
            lambda: Origin(by=WithLabels.pixels)(with_labels()[0], digits(2)[:, :9]),
            "`x` must have shape (batch, 64)",
        ),
        (lambda: Recent(0), "`n_batches` must be at least 1, got 0."),
        (lambda: Recent().z, "No codes yet: pass this to `fit`"),
        (lambda: normality(with_row(math.nan)), "`z` has NaN or infinity. Leave them out"),
        (lambda: normality(with_row(math.inf)), "`z` has NaN or infinity. Leave them out"),
        (
            lambda: normality(codes(3, 3)),
            "`z` must vary in all its 3 directions, got 3 codes that vary in 2.",
        ),
        (
            lambda: normality(codes(0, 3)),
            "`z` must vary in all its 3 directions, got 0 codes that vary in 0.",
        ),
        (
            lambda: normality(codes(20, 1).expand(20, 2)),
            "`z` must vary in all its 2 directions, got 20 codes that vary in 1",
        ),
        (
            lambda: labelled(digits(2), torch.tensor([0, 3]), 3),
            "`y` must lie between 0 and 2, got [3].",
        ),
        (
            lambda: labelled(digits(2), torch.tensor([-1, 0]), 3),
            "`y` must lie between 0 and 2, got [-1].",
        ),
        (
            lambda: labelled(digits(2), torch.tensor([1]), 3),
            "`y` must hold one label for each of the 2 samples",
        ),
        (lambda: WithLabels(decoder_of(), 0), "`n_classes` must be at least 1, got 0."),
        (lambda: PixelsAndLabels(n_classes=0), "`n_classes` must be at least 1, got 0."),
        (
            lambda: PixelsAndLabels(n_classes=2, weight=math.nan),
            "`weight` must be at least 0 and finite, got nan.",
        ),
        (
            lambda: PixelsAndLabels(n_classes=2).floor(digits(1), digits(1) > 0),
            "`mask` must be None: select the pixels",
        ),
    ],
)
def test_bad_argument_is_named_with_what_was_got(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


def test_names_of_the_room_are_reached_from_the_package():
    assert gfe.gon is gon


def test_decoders_by_number_of_steps_learn_alike_and_each_by_its_own_encoder():
    x = digits(128).float()
    runs = gon.train_by_number_of_steps(x, n_steps=(1, 2), hidden=(16,), epochs=2, size=32)
    for adjoint, name in ((gfe.Unrolled(), "unrolled"), (gfe.Detached(), "detached")):
        assert list(runs.decoders[name]) == list(runs.histories[name]) == ["1", "2", "flow"]
        for n in (1, 2):
            decoder = gfe.MLPDecoder(
                latent_dim=8, hidden=(16,), data_dim=64, generator=generator(0)
            )
            history = gfe.fit(
                decoder,
                gfe.data.Batches(x, size=32, seed=0),
                encoder=Origin(n_steps=n, adjoint=adjoint),
                loss=SQUARES,
                optimizer=torch.optim.Adam(decoder.parameters(), lr=5e-3),
                epochs=2,
            )
            assert history.energy == runs.histories[name][str(n)].energy
    assert runs.decoders["unrolled"]["flow"] is runs.decoders["detached"]["flow"]


@pytest.mark.parametrize("n_images", [10, 64])
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_fit_siren_learns_in_place_from_a_share_of_the_pixels(n_images: int, share: float):
    x, origin = digits(n_images).float(), gon.Origin(dt=0.02)

    def learned(epochs: int) -> gfe.SirenDecoder:
        seed = torch.Generator().manual_seed(0)
        siren = gfe.SirenDecoder(latent_dim=4, hidden=(16,), image_shape=(8, 8), generator=seed)
        history = gon.fit_siren(
            siren, x, origin=origin, lr=5e-3, share=share, size=8, epochs=epochs
        )
        assert history.images[-1] == epochs * n_images
        return siren

    once, again, longer = learned(1), learned(1), learned(12)
    errors = [((one(origin(one, x).z) - x) ** 2).sum(1).mean() for one in (once, longer)]
    assert errors[1] < errors[0], "it learns, and the siren passed in is what has learned"
    codes = torch.ones(1, 4)
    assert torch.equal(once(codes), again(codes)), "the seed decides"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"share": 0.0}, "`share` must be"),
        ({"share": 1.5}, "`share` must be at most 1"),
        ({"share": 0.01}, "`n_places` must be between 4"),
        ({"lr": -1.0}, "`lr` must be"),
        ({"epochs": 0}, "`epochs` must be"),
        ({"siren": gfe.MLPDecoder(latent_dim=4, hidden=(8,), data_dim=64)}, "`siren` must be"),
        ({"origin": gfe.encode}, "`origin` must be"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_fit_siren_names_the_argument_that_makes_no_sense(wrong: dict[str, Any], words: str):
    siren = gfe.SirenDecoder(latent_dim=4, hidden=(16,), image_shape=(8, 8))
    given = {"siren": siren, "x": digits(8).float(), "origin": gon.Origin(), "lr": 1e-3} | wrong
    with pytest.raises((ValueError, TypeError), match=words):
        gon.fit_siren(given.pop("siren"), given.pop("x"), **given)


def test_mask_of_seen_features_does_not_follow_the_tensor_of_the_caller():
    seen = torch.ones(4, dtype=torch.bool)
    origin = gon.Origin(seen=seen)
    seen.zero_()
    assert origin.seen is not None and origin.seen.all()
