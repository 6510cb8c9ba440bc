"""Bottlenecks that shrink.

Each latent has a gate, and gates close one by one while the error stays under a threshold.

    minimise E[divergence(nu)] + price * sum_j sigma(gamma_j)  while  E[error(nu)] <= threshold

with gates nu_j = 1 with probability sigma(gamma_j), and a decoder that receives z * nu. `arm`
estimates the gradient in gamma, a `Constraint` balances both sides, and `Narrowing` is the encoder
and the callback with which `fit` trains everything. The model is a variational autoencoder
(`Inference`), or a decoder without any encoder (`encode_at`), for which E is the energy at the end
of the flow with these gates.

Gates are part of the code, after z: every sample can have its own, and a flow that starts at them
does not change them.

Shapes: `batch` samples; `gates` latents of the inner decoder; `code` codes of a `Gated` decoder;
    `draws` rows of u.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, ClassVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.data import Batches
from gfe_core.data.samples import Samples, rows_of, samples_for
from gfe_core.decoders import MLPDecoder
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.encoders import Autoencoder, one_look
from gfe_core.encoding import encode
from gfe_core.energy.padding import row_multiple
from gfe_core.methods.constraint import Constraint
from gfe_core.methods.gon import SQUARES
from gfe_core.methods.variational import Evidence, divergence
from gfe_core.training import History, Report, fit
from gfe_core.training.fitting import Callback
from gfe_core.training.parts import listed
from gfe_core.types import Codes, Data, Decoder, Encoding, Loss, Penalty, PerSample

Gates = Float[Tensor, "*draws gates"]
"""1 where a latent is open, 0 where it is closed."""


def drawn(gamma: Float[Tensor, "gates"], u: Gates) -> tuple[Gates, Gates]:
    """Turn uniform u into gates 1[u < sigma(gamma)] and their antithesis 1[u > sigma(-gamma)].

    Each alone opens with probability sigma(gamma). If the probability is far from 1/2, both are
    mostly the same.
    """
    p = torch.sigmoid(gamma)
    return (u < p).to(u), (u > 1 - p).to(u)


@arguments.in_own_words
def arm(
    energy: Float[Tensor, "*draws"], twin: Float[Tensor, "*draws"], u: Gates
) -> Float[Tensor, "gates"]:
    """Estimate d E[F(nu)] / d gamma without a derivative of F.

    The estimate is the mean of (F(twin) - F(nu)) (u - 1/2), which is unbiased.

    Args:
        energy: F at the gates that `drawn` makes of u, one number for each row of u.
        twin: F at the antithesis of these gates.
        u: uniform draws in (0, 1). One row for each sample, with F of that sample; or one row for a
            batch that shares its gates, with F the mean over the batch. A mean over samples with
            different gates matches no row, and is refused.

    Raises:
        ValueError: there is not one energy for each row of u.

    Example:
        >>> gamma = torch.zeros(2)
        >>> u = torch.rand(100_000, 2, generator=torch.Generator().manual_seed(0))
        >>> nu, twin = drawn(gamma, u)
        >>> # The derivative of 4 sigma(gamma) is 1 at 0.
        >>> [round(g, 1) for g in arm(4 * nu[:, 0], 4 * twin[:, 0], u).tolist()]
        [1.0, 0.0]

    Source: Yin and Zhou 2019 (arXiv 1807.11143); for gates, Li and Ji 2019 (arXiv 1904.04432).
    """
    wanted = (
        f"`energy` and `twin` must have shape {tuple(u.shape[:-1])}, one number for each row of `u`"
    )
    got = f"got {tuple(energy.shape)} and {tuple(twin.shape)}"
    remedy = "Draw a row for each sample and do not average, or share one row and average."
    checks.require(energy.shape == twin.shape == u.shape[:-1], f"{wanted}, {got}. {remedy}")
    return ((twin - energy)[..., None] * (u - 0.5)).reshape(-1, u.shape[-1]).mean(0)


@keeps_rows_apart
class Gated(nn.Module):
    """A decoder behind gates, y = decoder(z * nu).

    A code is (z, nu), or (z, costs, nu) with the cost of each latent.

    With costs, one more output is the total cost of the open latents, which `Evidence` reads.

    Args:
        decoder: decoder of the latents, whose samples are rows of features.
        costs: whether codes hold costs: those of `Inference` do, those of a flow do not.
        probability: initial probability of every gate to be open, in (0, 1).

    Attributes:
        gamma: log-odds of the gates; only `arm` provides their gradient.

    Example:
        >>> import gfe_core as gfe
        >>> gated = Gated(gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64))
        >>> z, shut = torch.randn(3, 2), torch.zeros(3, 2)
        >>> torch.equal(gated(torch.cat([z, shut], 1)), gated.decoder(0 * z))
        True

    Source: De Boom, Wauthier, Verbelen and Dhoedt 2020 (arXiv 2003.10901).
    """

    code_holds_gates: ClassVar[bool] = True
    """A flow needs a start, because it does not change the gates (`encode_at`)."""

    @arguments.in_own_words
    def __init__(self, decoder: Any, *, costs: bool = False, probability: float = 0.95) -> None:
        super().__init__()
        checks.returns_rows(decoder)
        costs = checks.flag("costs", costs)
        probability = checks.fraction("probability", probability)
        self.decoder = decoder
        self.n_gates = decoder.latent_dim
        self.latent_dim = (2 + costs) * self.n_gates
        self.data_shape = tuple(decoder.data_shape)
        self.raw_shape = (math.prod(self.data_shape) + costs,)
        self.image_shape = getattr(decoder, "image_shape", None)
        self.row_multiple = row_multiple(decoder)
        self.gamma = nn.Parameter(
            torch.full((self.n_gates,), math.log(probability / (1 - probability)))
        )

    @property
    def open(self) -> Bool[Tensor, "gates"]:
        """Gates that are more likely open than closed."""
        return self.gamma.detach() > 0

    def forward(self, code: Codes) -> Float[Tensor, "batch outputs"]:
        """Return raw outputs of the open latents, then their total cost if the code has costs."""
        z, *costs, nu = code.split(self.n_gates, 1)
        nu = nu.detach()
        return torch.cat(
            [self.decoder(z * nu), *((cost * nu).sum(1, keepdim=True) for cost in costs)], 1
        )

    def hard(self, x: Samples) -> Gates:
        """Return gates for each sample of x, open if they are more likely open than closed."""
        x = samples_for(self, x)
        return self.open.to(x).expand(len(x), -1)

    def narrowed(self) -> "Narrowed":
        """Return an ordinary decoder of the open latents alone, which shares every weight."""
        return Narrowed(self.decoder, self.open)


@keeps_rows_apart
class Narrowed(nn.Module):
    """A decoder whose code holds its open latents only; the others are 0.

    Args:
        decoder: decoder of all latents.
        is_open: mask of the latents to keep; a ValueError is raised if there are none.
    """

    def __init__(self, decoder: Any, is_open: Bool[Tensor, "gates"]) -> None:
        super().__init__()
        checks.require(
            bool(is_open.any()),
            "`is_open` has no open gate. Train with a lower `price` or threshold.",
        )
        self.decoder = decoder
        self.latent_dim = int(is_open.sum())
        self.data_shape = tuple(decoder.data_shape)
        self.image_shape = getattr(decoder, "image_shape", None)
        self.row_multiple = row_multiple(decoder)
        self.register_buffer("rows", torch.eye(len(is_open))[is_open.cpu()])

    def forward(self, z: Codes) -> Float[Tensor, "batch outputs"]:
        """Return the raw outputs of codes."""
        return self.decoder(z @ cast(Tensor, self.rows).to(z))


def _rows(decoder: Decoder, x: Any) -> Data:
    """Return data as a tensor; refuse a decoder without gates."""
    checks.is_decoder(decoder)
    wanted = "`decoder` must be `Gated`, so that its gates can close"
    gated = isinstance(decoder, Gated)
    remedy = "Write `narrowing.Gated(decoder)`."
    checks.require(gated, f"{wanted}, got {type(decoder).__name__}. {remedy}", TypeError)
    return samples_for(decoder, x)


@arguments.in_own_words
def encode_at(decoder: Gated, x: Samples, nu: Gates | np.ndarray, **options: Any) -> Encoding:
    """Encode by the flow with given gates: closed latents have no gradient and stay at the origin.

    Args:
        decoder: gated decoder without costs.
        x: data, as for `encode`.
        nu: gates of each sample, such as `decoder.hard(x)`.
        options: options of `encode`, all but `z0` and `n_starts`. A `penalty` gets whole codes and
            has no gradient in the gates.

    Raises:
        TypeError, ValueError: as in `encode`; also if the decoder has no gates, or its codes hold
            costs.
    """
    rows = _rows(decoder, x)
    checks.array("nu", nu)
    gates: Tensor = nu if isinstance(nu, Tensor) else rows_of(nu, "nu", like=rows)
    shape = (len(rows), decoder.n_gates)
    wanted = f"`nu` must hold the gates of each sample, shape {shape}, such as `decoder.hard(x)`"
    checks.require(tuple(gates.shape) == shape, f"{wanted}, got {tuple(gates.shape)}.")
    checks.require(
        decoder.latent_dim == 2 * decoder.n_gates,
        "`decoder` has codes with costs, which only an `Inference` knows. Encode by a flow with "
        "the decoder of its open latents, `encode(decoder.narrowed(), x)`.",
    )
    gates = gates.to(rows)
    if options.get("penalty") is not None:
        arguments.penalty_function(options["penalty"])
        options["penalty"] = _of_latents(options["penalty"], decoder.n_gates)
    return encode(decoder, x, z0=torch.cat([torch.zeros_like(gates), gates], 1), **options)


def _of_latents(penalty: Penalty, n: int) -> Penalty:
    """Return a penalty on codes that has no gradient in the gates, which follow the n latents."""

    @wraps(penalty)
    def with_fixed_gates(z: Codes, *others: Any, **known: Any) -> PerSample:
        return penalty(torch.cat([z[:, :n], z[:, n:].detach()], 1), *others, **known)

    vars(with_fixed_gates)["keeps_gates"] = True  # which `encode` asks for
    return with_fixed_gates


@dataclass(frozen=True, kw_only=True, eq=False)
class Inference:
    """The encoder of a variational autoencoder behind gates.

    It returns a draw from N(mean, variance), and the cost of each latent.

    Args:
        network: network that returns mean and log variance: `Autoencoder.mirror(decoder,
            latent_dim=2 * decoder.latent_dim)`.
        loss: loss of the reported energies, an `Evidence`.
        generator: source of the draws.
    """

    network: Autoencoder
    loss: Loss
    generator: torch.Generator | None = None

    def __call__(self, decoder: Gated, x: Data, nu: Gates) -> Encoding:
        """Encode; the code carries the graph that trains the network."""
        # A gradient of 0 times NaN would make every weight NaN.
        known = x.isfinite().all(1, keepdim=True)
        mean, log_variance = self.network.layers(torch.where(known, x, 0.0)).chunk(2, 1)
        noise = torch.randn(mean.shape, dtype=x.dtype, generator=self.generator).to(x.device)
        z = mean + (0.5 * log_variance).exp() * noise
        return one_look(
            decoder, x, torch.cat([z, divergence(mean, log_variance), nu], 1), self.loss
        )


class Loan:
    """Random draws that advance their generators only if a parameter has learnt from them.

    While a loan is open its generators draw as usual. At its end they are reset to their former
    states, so that the next draws are the same as if none had been made; `keep` advances them past
    the draws of the loan.

    Args:
        generators: sources of the draws; repeated generators and None are left out.
    """

    def __init__(self, *generators: torch.Generator | None) -> None:
        named = {id(generator): generator for generator in generators if generator is not None}
        self._generators = list(named.values())
        self._after: list[Tensor] = []

    def __enter__(self) -> "Loan":
        self._before = self._states()
        return self

    def __exit__(self, *_: object) -> None:
        self._after = self._states()
        self._set(self._before)

    def keep(self, *_: object) -> None:
        """Advance the generators past these draws; a second call changes nothing."""
        self._set(self._after)
        self._after = []

    def _states(self) -> list[Tensor]:
        return [generator.get_state() for generator in self._generators]

    def _set(self, states: list[Tensor]) -> None:
        for generator, state in zip(self._generators, states, strict=False):
            generator.set_state(state)


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """All values from one batch that gates and constraint use to learn.

    Args:
        u: uniform draws, one row for each sample.
        energy: weighted costs plus error of each sample at the gates of u.
        twin_energy: weighted costs plus error of each sample at their antithesis.
        error: error alone of each sample, at the gates of u.
        loan: loan of the generators of all draws of this batch.
    """

    u: Gates
    energy: PerSample
    twin_energy: PerSample
    error: PerSample
    loan: Loan

    @property
    def sound(self) -> Bool[Tensor, "batch"]:
        """Samples with finite energies; gates and constraint use no others."""
        return (self.energy + self.twin_energy).isfinite()


@dataclass(frozen=True, eq=False)
class GatedEncoding(Encoding):
    """An encoding at drawn gates, with the values from which these gates learn.

    Args:
        draws: draws of this batch; `Narrowing` always provides them.
    """

    draws: Draws | None = field(default=None, repr=False)


class Narrowing:
    """The encoder of `fit` for a gated decoder; its callback `learn` updates gates and constraint.

    A batch is encoded at drawn gates, one draw for each sample, and evaluated at their antithesis
    too. Until the constraint is first met, all gates are open and none learns; later, the price of
    the gates counts only while the constraint is met.

    The values from which gates learn are attached to the codes, and `learn` reads them there: gates
    learn only from the batch that `fit` trains on. Other data may be encoded or evaluated between
    two updates without any change to the last bit, because draws advance the generators only if a
    parameter has learnt from them. This holds for `generator` and for the generator of `find`;
    draws from torch's global generator (None) always advance it.

    Args:
        find: function (decoder, x, nu) -> Encoding: an `Inference`, or
            `functools.partial(encode_at, loss=...)`. Its random draws come from its attribute
            `generator`, if it has one.
        constraint: constraint on the error.
        optimizer: optimizer of `Gated.gamma` alone.
        price: price of an open gate, > 0, in nats. The constraint leaves some error to spend; with
            a price of many nats, this error is spent on closing gates rather than on smaller
            divergences. If price / lambda exceeds the saving by every latent, all gates close at
            once.
        error: loss that gives the error of a sample, a sum over its features. A mean, which would
            be too small relative to the other terms, is refused.
        anew: whether to encode again for the antithesis. Codes of a network do not depend on gates.
            Codes of a flow do. Keeping z saves half of the encoding, but then a closing latent
            leaves its part undone, which other latents would take over, and an opening latent is 0
            and seems useless.
        generator: source of the draws.

    Source: De Boom, Wauthier, Verbelen and Dhoedt 2020 (arXiv 2003.10901), for the autoencoder with
        a price of 1.
    """

    @arguments.in_own_words
    def __init__(
        self,
        find: Callable[[Any, Tensor, Gates], Encoding],
        constraint: Constraint,
        optimizer: torch.optim.Optimizer,
        *,
        price: float = 1.0,
        error: Loss = SQUARES,
        anew: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        checks.generator("generator", generator)
        arguments.a_loss("error", error)
        checks.summed("error", error, "to count beside the divergence")
        for name, part, kind in (
            ("constraint", constraint, Constraint),
            ("optimizer", optimizer, torch.optim.Optimizer),
        ):
            wanted = f"`{name}` must be of type `{kind.__name__}`"
            fits = isinstance(part, kind)
            checks.require(fits, f"{wanted}, got {checks.described(part)}.", TypeError)
        able = callable(find) and not isinstance(find, type)
        wanted = "`find` must be a function (decoder, x, nu) -> Encoding, such as `Inference(...)`"
        checks.require(able, f"{wanted}, got {checks.described(find)}.", TypeError)
        self.find = find
        self.constraint = constraint
        self.optimizer = optimizer
        self.price = checks.finite_positive("price", price)
        self.error = error
        self.anew = anew
        self.generator = generator

    def __call__(self, decoder: Gated, x: Data) -> GatedEncoding:
        """Encode at drawn gates; attach the energies at these gates and at their antithesis."""
        x = _rows(decoder, x)
        with self._loan() as loan:
            u = torch.rand(len(x), decoder.n_gates, generator=self.generator, dtype=x.dtype)
            u = u.to(x.device)
            nu, twin = self._gates(decoder, u)
            encoding = self.find(decoder, x, nu)
            twin_code = self._code_of_twin(decoder, x, encoding, twin)
        energy, error = self._judged(decoder, encoding.z, x)
        twin_energy, _ = self._judged(decoder, twin_code, x)
        draws = Draws(u=u, energy=energy, twin_energy=twin_energy, error=error, loan=loan)
        return GatedEncoding(**vars(_learnt_from(encoding, loan)), draws=draws)

    def learn(self, report: Report) -> None:
        """Update the constraint by the errors of a batch, and the gates by both of its draws.

        Raises:
            ValueError: the batch was encoded by another encoder.
        """
        draws = getattr(report.encoding, "draws", None)
        if draws is None:
            raise ValueError(
                "`report.encoding` must come from a Narrowing, from whose draws the gates learn, "
                f"got {type(report.encoding).__name__}. Pass it to `fit` as `encoder`, too."
            )
        draws.loan.keep()
        self.constraint.observe(draws.error[draws.sound].mean().item())
        if self.constraint.was_met and draws.sound.any():
            self._move_gates(cast(Gated, report.decoder).gamma, draws)

    def hard(self, decoder: Gated, x: Data) -> Encoding:
        """Encode for evaluation, with each gate in its more likely state."""
        x = _rows(decoder, x)
        with self._loan() as loan:
            encoding = self.find(decoder, x, decoder.hard(x))
        return _learnt_from(encoding, loan)

    def _loan(self) -> Loan:
        """Borrow from every generator from which an encoding draws."""
        return Loan(self.generator, getattr(self.find, "generator", None))

    def _gates(self, decoder: Gated, u: Gates) -> tuple[Gates, Gates]:
        """Return gates and their antithesis; all are open until the constraint was first met."""
        if self.constraint.was_met:
            return drawn(decoder.gamma.detach(), u)
        return torch.ones_like(u), torch.ones_like(u)

    def _code_of_twin(self, decoder: Gated, x: Data, encoding: Encoding, twin: Gates) -> Codes:
        """Return the code to evaluate at the antithesis: a new one, or the same z, other gates."""
        if self.anew and self.constraint.was_met:
            return self.find(decoder, x, twin).z
        return torch.cat([encoding.z[:, : -decoder.n_gates], twin], 1)

    @torch.no_grad()
    def _judged(self, decoder: Gated, code: Codes, x: Data) -> tuple[PerSample, PerSample]:
        """Return the sum of weighted costs and error for each sample, and the error alone."""
        outputs = decoder(code)
        n = math.prod(decoder.data_shape)
        error = self.error.per_sample(outputs[:, :n], x)
        return self.constraint.weight * outputs[:, n:].sum(1) + error, error

    def _move_gates(self, gamma: nn.Parameter, draws: Draws) -> None:
        """Take one step of the optimizer along ARM's estimate plus the slope of the price."""
        rows = draws.sound
        p = torch.sigmoid(gamma.detach())
        cost = self.price * self.constraint.weight * self.constraint.met
        slope = arm(draws.energy[rows], draws.twin_energy[rows], draws.u[rows])
        gamma.grad = slope + cost * p * (1 - p)
        self.optimizer.step()
        gamma.grad = None


def _learnt_from(encoding: Encoding, loan: Loan) -> Encoding:
    """Keep the loan when a gradient reaches these codes, as a network then learns from them."""
    if encoding.z.requires_grad:
        encoding.z.register_hook(loan.keep)
    return encoding


@dataclass(frozen=True, kw_only=True, eq=False)
class Shrinking:
    """A decoder behind gates with all parts of its training.

    It is made by `shrinking_autoencoder` and `shrinking_flow`. A deep copy, generators included,
    trains in the same way.

    Args:
        gated: decoder behind gates.
        rule: encoder for training.
        train: `fit` with all arguments but epochs and callbacks; without `rule.learn` among the
            callbacks no gate changes.
    """

    gated: Gated
    rule: Narrowing
    train: Callable[..., History]

    @arguments.in_own_words
    def learn(self, epochs: int, callbacks: Callback | Sequence[Callback] = ()) -> History:
        """Train decoder, gates and multiplier for `epochs` passes over the data."""
        return self.train(epochs=epochs, callbacks=[self.rule.learn, *listed(callbacks)])

    def error(self, x: Samples) -> PerSample:
        """Return the error of each sample of x at hard gates."""
        x = samples_for(self.gated, x)
        outputs = self.gated(self.rule.hard(self.gated, x).z).detach()
        return self.rule.error.per_sample(outputs[:, : x.shape[1]], x)


@arguments.in_own_words
def shrinking_autoencoder(
    x: Samples,
    n_gates: int,
    threshold: float,
    *,
    hidden: tuple[int, ...] = (64, 128),
    price: float = 100.0,
    seed: int = 0,
) -> Shrinking:
    """Put a gate before each latent of a variational autoencoder.

    Args:
        x: data, one row for each sample.
        n_gates: initial number of latents.
        threshold: bound on the squared error of a sample, summed over its features, > 0.
        hidden: widths of the decoder's hidden layers; the encoder has them in reverse order.
        price: price of an open gate, in nats.
        seed: seed of weights, draws and the order of samples.

    Source: De Boom, Wauthier, Verbelen and Dhoedt 2020 (arXiv 2003.10901).
    """
    x = checks.table(rows_of(x))
    decoder, generator = _decoder_of(x, n_gates, hidden, seed)
    network = Autoencoder.mirror(decoder, latent_dim=2 * n_gates, generator=generator)
    constraint = Constraint(threshold, smoothing=0.95)
    loss = Evidence(likelihood=SQUARES, weight=constraint.weight)
    find = Inference(network=network, loss=loss, generator=generator)
    gated = Gated(decoder, costs=True)
    rule = Narrowing(find, constraint, _gate_optimizer(gated), price=price, generator=generator)
    weights = [*decoder.parameters(), *network.parameters()]
    return Shrinking(gated=gated, rule=rule, train=_training(gated, rule, x, loss, weights, seed))


@arguments.in_own_words
def shrinking_flow(
    x: Samples,
    n_gates: int,
    threshold: float,
    *,
    hidden: tuple[int, ...] = (64,),
    price: float = 100.0,
    anew: bool = True,
    max_steps: int = 8,
    seed: int = 0,
) -> Shrinking:
    """Put a gate before each latent of a decoder whose codes are found by the flow.

    Args:
        x: data, one row for each sample.
        n_gates: initial number of latents.
        threshold: bound on the squared error of a sample, summed over its features, > 0.
        hidden: widths of the decoder's hidden layers.
        price: price of an open gate, in nats.
        anew: whether to encode again for the antithesis, as for `Narrowing`.
        max_steps: limit on AMD's attempts for each sample and batch.
        seed: seed of weights, draws and the order of samples.
    """
    x = checks.table(rows_of(x))
    decoder, generator = _decoder_of(x, n_gates, hidden, seed)
    constraint = Constraint(threshold, smoothing=0.9)
    find = partial(encode_at, loss=SQUARES, max_steps=max_steps)
    gated = Gated(decoder)
    rule = Narrowing(
        find, constraint, _gate_optimizer(gated), price=price, anew=anew, generator=generator
    )
    weights = [*decoder.parameters()]
    return Shrinking(
        gated=gated, rule=rule, train=_training(gated, rule, x, SQUARES, weights, seed)
    )


def _decoder_of(
    x: Data, n_gates: int, hidden: tuple[int, ...], seed: int
) -> tuple[MLPDecoder, torch.Generator]:
    """Return a decoder for such data, and the generator after its weights were drawn."""
    generator = torch.Generator().manual_seed(seed)
    decoder = MLPDecoder(
        latent_dim=n_gates, hidden=hidden, data_dim=x.shape[1], generator=generator
    )
    return decoder, generator


def _gate_optimizer(gated: Gated) -> torch.optim.Optimizer:
    """Return Adam for the gates alone."""
    return torch.optim.Adam([gated.gamma], lr=0.05)


def _training(
    gated: Gated, rule: Narrowing, x: Data, loss: Loss, weights: list[nn.Parameter], seed: int
) -> Callable[..., History]:
    """Return `fit` with all arguments but epochs and callbacks."""
    adam = torch.optim.Adam(weights, lr=2e-3)
    batches = Batches(x, size=64, seed=seed)
    return partial(fit, gated, batches, encoder=rule, loss=loss, optimizer=adam)
