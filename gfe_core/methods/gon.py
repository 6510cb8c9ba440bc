"""Gradient origin networks.

The flow is cut to one or a few steps from the origin, and differentiated through.

z = -dt grad_z E(0; x), and the weights learn by d E(z; x) / d theta with z a function of theta.
This needs no new kind of encoding: `Origin` calls `encode` with Euler steps and `Unrolled`, and
`fit` trains.

The module avoids two pitfalls. An inner loss averaged over the batch makes codes shrink as
1 / batch, so losses here are per sample. Normalisation over a batch couples the samples, so
`encode` refuses it.

A decoder with ReLU is linear in z between its kinks, so its second derivatives in z vanish. It
still learns through the step, by the mixed derivatives in z and the weights. The step is 0 if no
bias of the first layer is positive, because then all of its units are off at z = 0.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.adjoints import Detached, Unrolled
from gfe_core.data import Batches
from gfe_core.data.samples import Samples, rows_of, table_of_codes, weight_of
from gfe_core.decoders import MLPDecoder, SirenDecoder, initialise
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.encoding import encode
from gfe_core.energy import Gaussian, WholeLoss
from gfe_core.energy.padding import row_multiple
from gfe_core.methods.scattered import Scattered as Scattered
from gfe_core.solvers import Euler
from gfe_core.training import History, Report, fit
from gfe_core.types import (
    Adjoint,
    AnyLoss,
    Codes,
    Context,
    Data,
    Encoder,
    Encoding,
    Mask,
    PerSample,
    Status,
    Stop,
)

SQUARES = Gaussian(variance=0.5, reduction="sum")
"""Squared error summed over pixels; an average over a batch would shrink the steps."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The encoder of a gradient origin network: n Euler steps of length dt from the origin.

    With more steps and a smaller dt it becomes the flow. With `Detached()` the decoder receives no
    gradient through the codes.

    Args:
        n_steps: number of steps, >= 1; 1 for a gradient origin network.
        dt: length of a step in flow units, > 0.
        loss: inner loss; the outer loss is the loss of `fit`.
        adjoint: adjoint of the steps; `Unrolled()` differentiates through them.
        seen: mask (features,), True for features that the steps use; all by default. The decoder
            must predict the other features from these.
        by: function from the decoder to the decoder that finds the code from the first features of
            x and shares its weights, such as `VariationalDecoder.at_mean`. By default the decoder
            itself.

    Raises:
        ValueError: n_steps, dt or seen are invalid.

    Example:
        >>> import gfe_core as gfe
        >>> from gfe_core import gon
        >>> digits = gfe.data.load("digits").take(64)
        >>> decoder = gfe.MLPDecoder(latent_dim=8, hidden=(32,), data_dim=64)
        >>> batches = gfe.data.Batches(digits.x, size=32)
        >>> history = gfe.fit(decoder, batches, encoder=gon.Origin(), loss=gon.SQUARES)
        >>> gon.Origin()(decoder, digits.x).status.unique().tolist() == [int(gfe.Status.REACHED_T)]
        True

    Source: Bond-Taylor and Willcocks 2021 (arXiv 2007.02798), equation 1.
    """

    n_steps: int = 1
    dt: float = 1.0
    loss: AnyLoss = SQUARES
    adjoint: Adjoint = field(default_factory=Unrolled)
    seen: Tensor | None = None
    by: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        checks.as_python(self, checks.at_least_one, "n_steps")
        checks.as_python(self, checks.finite_positive, "dt")
        arguments.made("loss", self.loss)
        arguments.made("adjoint", self.adjoint)
        kind = self.seen is None or isinstance(self.seen, Tensor)
        wanted = "`seen` must be a bool tensor of shape (features,)"
        checks.require(kind, f"{wanted}, got {checks.described(self.seen)}.", TypeError)
        checks.as_python(self, checks.own, "seen")
        fits = self.by is None or arguments.takes(self.by, "decoder")
        wanted = "`by` must be a function of the decoder, such as `gon.WithLabels.pixels`"
        checks.require(fits, f"{wanted}, got {checks.described(self.by)}.", TypeError)

    def __call__(self, decoder: Any, x: Tensor, context: Context | None = None) -> Encoding:
        """Encode; the code carries the graph through which the decoder learns from the steps."""
        checks.is_decoder(decoder)
        x = rows_of(x, like=weight_of(decoder))
        inner = self.by(decoder) if self.by else decoder
        checks.is_decoder(inner)
        if self.by and x.shape[1:] == decoder.data_shape:
            x = x[:, : math.prod(inner.data_shape)]
        return encode(
            inner,
            x,
            loss=self.loss,
            solver=Euler(n_steps=self.n_steps),
            t1=self.n_steps * self.dt,
            mask=self._mask(x),
            adjoint=self.adjoint,
            context=context,
        )

    def _mask(self, x: Tensor) -> Tensor | None:
        if self.seen is None:
            return None
        fits = self.seen.dtype == torch.bool and self.seen.shape == x.shape[1:]
        got = (
            f"{tuple(self.seen.shape)}, {self.seen.dtype}. Name each feature once, for all samples."
        )
        checks.require(
            fits, f"`seen` must be a bool tensor of shape {tuple(x.shape[1:])}, got {got}"
        )
        return self.seen.to(x.device).expand(x.shape)


@dataclass(frozen=True, kw_only=True)
class ByNumberOfSteps:
    """Decoders that differ only in how their codes were computed in training.

    Args:
        decoders: adjoint ("unrolled", "detached") -> number of steps, as a string, or "flow" ->
            decoder. The flow has no steps to differentiate, so its decoder is in both.
        histories: histories of their trainings, under the same keys.
    """

    decoders: dict[str, dict[str, MLPDecoder]]
    histories: dict[str, dict[str, History]]


@arguments.in_own_words
def train_by_number_of_steps(
    x: Samples,
    *,
    n_steps: Sequence[int] = (1, 4),
    dt: float = 1.0,
    latent_dim: int = 8,
    hidden: tuple[int, ...] = (64, 128),
    epochs: int = 5,
    size: int = 64,
    lr: float = 5e-3,
    seed: int = 0,
) -> ByNumberOfSteps:
    """Train a decoder for each number of steps, unrolled and detached, and one by the flow.

    All start with the same weights and receive the same batches. Energies are `SQUARES`; the flow
    stops when a step gains little, or after 15 attempts. An interrupt ends all trainings.

    Args:
        x: images.
        n_steps: numbers of Euler steps from the origin.
        dt: length of a step in flow units, > 0.
        latent_dim: size of a code.
        hidden: widths of the decoders' hidden layers.
        epochs: number of passes over x.
        size: number of images in a batch.
        lr: learning rate of Adam.
        seed: seed of the initial weights and of the order of images.

    Example:
        >>> import gfe_core as gfe
        >>> from gfe_core import gon
        >>> x = gfe.data.load("digits").x[:128]
        >>> runs = gon.train_by_number_of_steps(x, n_steps=[1], hidden=(16,), epochs=1)
        >>> {adjoint: list(of_steps) for adjoint, of_steps in runs.decoders.items()}
        {'unrolled': ['1', 'flow'], 'detached': ['1', 'flow']}
    """
    x = checks.table(rows_of(x))

    def trained(encoder: Encoder) -> tuple[MLPDecoder, History]:
        decoder = MLPDecoder(
            latent_dim=latent_dim,
            hidden=hidden,
            data_dim=x.shape[1],
            generator=torch.Generator().manual_seed(seed),
        )
        adam = torch.optim.Adam(decoder.parameters(), lr=lr)
        batches = Batches(x, size=size, seed=seed)
        history = fit(
            decoder,
            batches,
            encoder=encoder,
            loss=SQUARES,
            optimizer=adam,
            epochs=epochs,
            on_interrupt="raise",
        )
        return decoder, history

    by_flow = trained(partial(encode, loss=SQUARES, stop=Stop(energy_slope=1e-3), max_steps=15))
    result = ByNumberOfSteps(decoders={}, histories={})
    for name, adjoint in (("unrolled", Unrolled()), ("detached", Detached())):
        runs = {str(n): trained(Origin(n_steps=n, dt=dt, adjoint=adjoint)) for n in n_steps}
        runs["flow"] = by_flow
        result.decoders[name] = {n: decoder for n, (decoder, _) in runs.items()}
        result.histories[name] = {n: history for n, (_, history) in runs.items()}
    return result


@arguments.in_own_words
def fit_siren(
    siren: SirenDecoder,
    x: Samples,
    *,
    origin: Origin,
    lr: float,
    share: float = 1.0,
    size: int = 32,
    epochs: int = 8,
    seed: int = 0,
) -> History:
    """Train an implicit decoder at random places, with codes found by steps from the origin.

    Each batch uses a fraction of its pixels, which are drawn again for each batch. Adam's rate
    rises to `lr` within a third of the updates and then falls to zero.

    Args:
        siren: decoder to train, changed in place.
        x: images, one row of pixels for each.
        origin: encoder; its loss is replaced by the squared error of the selected places, weighted
            so that its sum estimates the sum over all places.
        lr: peak learning rate of Adam, > 0.
        share: fraction of pixels in each batch, in (0, 1]; at least as many pixels as latents.
        size: number of images in a batch.
        epochs: number of passes over the images.
        seed: seed of the order of the images and of the places.

    Raises:
        ValueError: a number is invalid, or too few places are selected.

    Example:
        >>> import gfe_core as gfe
        >>> from gfe_core import gon
        >>> digits = gfe.data.load("digits").take(64)
        >>> siren = gfe.SirenDecoder(latent_dim=4, hidden=(16,), image_shape=(8, 8))
        >>> history = gon.fit_siren(siren, digits.x, origin=gon.Origin(dt=0.02), lr=1e-3, epochs=1)
        >>> history.images[-1]
        64
    """
    made = isinstance(siren, SirenDecoder)
    wanted = "`siren` must be a `SirenDecoder`"
    checks.require(made, f"{wanted}, got {checks.described(siren)}.", TypeError)
    arguments.made("origin", origin)
    lr = checks.finite_positive("lr", lr)
    share = checks.finite_positive("share", share)
    checks.require(share <= 1, f"`share` must be at most 1, all of the pixels, got {share}.")
    epochs = checks.at_least_one("epochs", epochs)
    n_places = round(share * len(siren.coordinates))
    batches = Scattered(x, siren, n_places=n_places, size=size, seed=seed)
    adam = torch.optim.Adam(siren.parameters(), lr, betas=(0.9, 0.99))
    n_updates = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, lr, total_steps=n_updates + 1)
    return fit(
        batches.decoder,
        batches,
        encoder=replace(origin, loss=batches.loss),
        loss=batches.loss,
        optimizer=adam,
        schedule=schedule,
        epochs=epochs,
    )


class Recent:
    """A callback of `fit` that keeps the codes of the last batches.

    New codes can be drawn from a Gaussian fitted to them: `posterior.GaussianPrior.fit(recent.z)`
    has their mean and full covariance.

    Args:
        n_batches: number of batches to keep, >= 1.
    """

    @arguments.in_own_words
    def __init__(self, n_batches: int = 100) -> None:
        n_kept = checks.at_least_one("n_batches", n_batches)
        self.kept: deque[Tensor] = deque(maxlen=n_kept)

    def __call__(self, report: Report) -> None:
        """Store the finite codes of a batch."""
        finite = report.encoding.status != Status.NON_FINITE
        self.kept.append(report.encoding.z.detach()[finite])

    @property
    def z(self) -> Codes:
        """Codes, oldest first; a ValueError is raised before the first batch."""
        checks.require(len(self.kept) > 0, "No codes yet: pass this to `fit` in `callbacks` first.")
        return torch.cat([*self.kept])


def normality(z: Codes) -> float:
    """Measure how far codes are from a normal distribution: 0 if they follow it, at most 1.

    The measure is the largest difference between the distribution of squared Mahalanobis distances
    and chi-squared with as many degrees of freedom as latents (Kolmogorov and Smirnov). For n
    normal codes it is about 0.87 / sqrt(n) by chance.

    Args:
        z: codes, more than latents, with variance in every direction.

    Raises:
        ValueError: codes are not finite or do not vary in every direction.
    """
    z = table_of_codes(z)
    n, latent = z.shape
    checks.require(
        bool(z.isfinite().all()),
        "`z` has NaN or infinity. Leave them out: `z[z.isfinite().all(1)]`.",
    )
    away = z.double() - z.double().mean(0)
    rank = int(torch.linalg.matrix_rank(away)) if n else 0
    wanted = f"`z` must vary in all its {latent} directions, got {n} codes that vary in {rank}."
    checks.require(rank == latent, f"{wanted} Pass more codes.")
    d2 = (away * torch.linalg.solve(away.T @ away / n, away.T).T).sum(1)
    expected = torch.special.gammainc(torch.full_like(d2, latent / 2), d2 / 2).sort().values
    steps = torch.arange(n + 1, dtype=torch.float64, device=z.device) / n
    return max((expected - steps[:-1]).max().item(), (steps[1:] - expected).max().item())


@arguments.in_own_words
def slerp(a: Codes | np.ndarray, b: Codes | np.ndarray, t: float) -> Codes:
    """Move from a (t = 0) to b (t = 1) at even angles, separately for each row.

    The result is (sin((1 - t) w) a + sin(t w) b) / sin w, with w the angle between a and b. If sin
    w is 0 (parallel or opposite codes) or a code is at the origin, the path is a straight line.

    Source: Shoemake 1985, SIGGRAPH 19 (3).
    """
    a, b = checks.codes(rows_of(a, "a"), "a"), checks.codes(rows_of(b, "b"), "b")
    cosine = F.cosine_similarity(a, b, dim=1)[:, None]
    angle = cosine.clamp(-1, 1).acos()
    straight = (cosine.abs() > 1 - 1e-6) | (a.norm(dim=1) * b.norm(dim=1) == 0)[:, None]
    sine = torch.where(straight, 1.0, angle.sin())
    first = torch.where(straight, 1 - t, ((1 - t) * angle).sin() / sine)
    return first * a + torch.where(straight, t, (t * angle).sin() / sine) * b


@keeps_rows_apart
class WithLabels(nn.Module):
    """A decoder that also predicts the class.

    Its outputs are the outputs of the decoder, then one logit for each class.

    Its data are rows of pixels followed by the class (`labelled`). `Origin(by=WithLabels.pixels)`
    finds the code from the pixels alone: a label is a target and never an input.

    Args:
        decoder: decoder of the pixels, as rows.
        n_classes: number of classes, >= 1.
        generator: source of the initial weights of the single linear layer from code to logits.

    Source: Bond-Taylor and Willcocks 2021 (arXiv 2007.02798), equation 2.
    """

    @arguments.in_own_words
    def __init__(
        self, decoder: Any, n_classes: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        checks.returns_rows(decoder)
        n_classes = checks.at_least_one("n_classes", n_classes)
        self.decoder = decoder
        self.row_multiple = row_multiple(decoder)
        self.head = nn.Linear(decoder.latent_dim, n_classes)
        initialise(self.head, generator)
        self.latent_dim = decoder.latent_dim
        self.data_shape = (math.prod(decoder.data_shape) + n_classes,)

    def pixels(self) -> Any:
        """Return the decoder of the pixels alone."""
        return self.decoder

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Return outputs for pixels, then logits of classes."""
        return torch.cat([self.decoder(z), self.head(z)], 1)


@arguments.in_own_words
def labelled(
    x: Samples, y: Int[Tensor, "n"] | np.ndarray | Sequence[int], n_classes: int
) -> Float[Tensor, "n features"]:
    """Return rows of pixels followed by the one-hot class.

    A ValueError is raised for labels outside 0 ... n_classes - 1.
    """
    x = checks.table(rows_of(x))
    y = labels_of(y)
    n_classes = checks.at_least_one("n_classes", n_classes)
    checks.require(
        len(x) == len(y),
        f"`y` must hold one label for each of the {len(x)} samples of `x`, got {len(y)}.",
    )
    outside = y[(y < 0) | (y >= n_classes)].unique().tolist()
    wanted = f"`y` must lie between 0 and {n_classes - 1}, got {outside}."
    checks.require(not outside, f"{wanted} Raise `n_classes`, or number the classes from 0.")
    return torch.cat([x, F.one_hot(y.long(), n_classes).to(x)], 1)


def labels_of(y: Any) -> Int[Tensor, "n"]:
    """Return classes as a tensor of whole numbers; arrays and lists of ints are converted."""
    given: Any = y
    if not isinstance(y, Tensor) and (hasattr(y, "__array__") or isinstance(y, (list, tuple))):
        with suppress(TypeError, ValueError, RuntimeError):
            y = torch.as_tensor(y)
    whole = isinstance(y, Tensor) and not (y.is_floating_point() or y.is_complex()) and y.dim() == 1
    remedy = "Convert it: `y.long()`."
    wanted = "`y` must be one whole number for each sample, the number of its class"
    checks.require(whole, f"{wanted}, got {checks.described(given)}. {remedy}", TypeError)
    return cast(Tensor, y)


@dataclass(frozen=True, kw_only=True)
class PixelsAndLabels:
    """The loss of `WithLabels`: E = weight * loss of the pixels + cross-entropy of the class.

    E is in nats per sample.

    Args:
        n_classes: number of classes, as for `WithLabels`.
        pixels: loss of the pixels.
        weight: weight of the pixels, >= 0; with 0 only the class counts.
    """

    n_classes: int
    pixels: AnyLoss = SQUARES
    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.as_python(self, checks.at_least_one, "n_classes")
        checks.as_python(self, checks.number, "weight")
        arguments.made("pixels", self.pixels)
        checks.require(
            0 <= self.weight < math.inf,
            f"`weight` must be at least 0 and finite, got {self.weight}.",
        )

    @property
    def reduction(self) -> str:
        """Whether the loss of the pixels is a "mean" or a "sum" over them."""
        return getattr(self.pixels, "reduction", "sum")

    def per_sample(self, output: Data, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the energy of each sample; samples must be complete."""
        (drawn, logits), (pixels, label) = self._parts(output, mask), self._parts(x)
        misfit = WholeLoss(self.pixels).per_sample(drawn, pixels)
        return self.weight * misfit + F.cross_entropy(logits, label, reduction="none")

    def mean(self, output: Tensor) -> Tensor:
        """Return the mean of the pixels, then the probability of each class."""
        drawn, logits = self._parts(output)
        return torch.cat([WholeLoss(self.pixels).mean(drawn), logits.softmax(1)], 1)

    def floor(self, x: Data, mask: Mask | None = None) -> PerSample:
        """Return the floor of the pixels; the cross-entropy of a class can be 0."""
        return self.weight * WholeLoss(self.pixels).floor(self._parts(x, mask)[0])

    def check_data(self, x: Tensor) -> None:
        """Refuse pixels that their loss refuses."""
        WholeLoss(self.pixels).check_data(self._parts(x)[0])

    def _parts(self, rows: Tensor, mask: Mask | None = None) -> tuple[Tensor, Tensor]:
        """Split rows into columns of pixels and of classes."""
        checks.require(
            mask is None,
            "`mask` must be None: select the pixels by `Origin(seen=...)` instead.",
        )
        return rows[:, : -self.n_classes], rows[:, -self.n_classes :]
