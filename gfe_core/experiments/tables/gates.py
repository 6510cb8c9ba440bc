"""What `reproduce narrowing` trains and judges.

Gated decoders, with codes by an encoder or by the flow.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.encoders import Autoencoder
from gfe_core.experiments.runner.config import SOLVER, STOP
from gfe_core.methods import narrowing
from gfe_core.methods.constraint import Constraint
from gfe_core.methods.gon import SQUARES
from gfe_core.methods.variational import Evidence
from gfe_core.training import Callback, Report
from gfe_core.types import Encoder, Encoding, Loss

Find = Callable[[narrowing.Gated, Tensor, Tensor], Encoding]
"""Encodes samples at gates of their own."""

UNREACHABLE = 1e-9
"""Threshold of a reference.

Its gates stay open, and lambda rises to its bound, where little but the error counts.
"""

FLOW: dict[str, Any] = {"loss": SQUARES, "solver": SOLVER, "stop": STOP}
"""Options of a flow beside its attempts."""

SMOOTHING = 0.8
FALL = 1.03
"""Largest factor by which the weight of the error falls in one update.

It is larger than the default of `Constraint`, which serves thresholds that move: here they stay,
and the trainings of a flow are so short that gates would have no time to close. With 1.005, 4, 6
and 10 gates stay open on the first planted data set, instead of 3, 5 and 10.
"""
GATE_RATE = 0.1
EVERY = 20
SETTLED = 0.8
"""Share of the updates after which gates are left as they are.

Until then the error stays near the threshold, because all slack below it is spent at once on gates
and divergences. The remaining updates lower the error alone, with the gates that are open.
"""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How long and how fast a decoder of some data learns.

    Args:
        hidden: widths of the decoder, and of the encoder backwards.
        updates: number of updates, each with a batch of `size` samples.
        size: number of samples in a batch.
        rate: peak of a one-cycle schedule.
        price: price of an open gate. What the constraint leaves to spend goes into gates before it
            goes into divergences only where gates are dear; a flow has no divergences.
        max_steps: largest number of steps of a flow.
    """

    hidden: tuple[int, ...]
    updates: int
    size: int
    rate: float
    price: float
    max_steps: int = 12


@dataclass(frozen=True)
class Trained:
    """A gated decoder after training.

    Args:
        gated: the decoder.
        find: (decoder, x, gates) -> Encoding, as `Narrowing` takes it.
        staircase: (update, open gates, moving average of the error) where their number had changed.
    """

    gated: narrowing.Gated
    find: Find
    staircase: list[tuple[int, int, float]]

    @property
    def n_open(self) -> int:
        """Gates that are open."""
        return int(self.gated.open.sum())

    @torch.no_grad()
    def error(self, x: Tensor) -> float:
        """Mean squared error of samples at hard gates, summed over features."""
        parts = [self.gated(code)[:, : x.shape[1]] for code in self._hard_codes(x)]
        return SQUARES.per_sample(torch.cat(parts), x).double().mean().item()

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The open latents of samples."""
        n = self.gated.n_gates
        return torch.cat([code[:, :n] for code in self._hard_codes(x)])[:, self.gated.open]

    def _hard_codes(self, x: Tensor) -> Iterator[Tensor]:
        """Codes at hard gates, 500 samples at a time; those of an encoder are draws."""
        for part in x.split(500):
            yield self.find(self.gated, part, self.gated.hard(part)).z


def train(
    kind: str, x: Tensor, n_gates: int, threshold: float, setting: Setting, seed: int
) -> Trained:
    """Train a decoder whose gates close as long as its error is under the threshold.

    Args:
        kind: "VAE", codes by an encoder; "flow", codes by the flow at each set of gates; or "flow,
            codes kept", where those of the drawn gates are judged at the antithesis too.
        x: samples.
        n_gates: latents at first.
        threshold: of the error.
        setting: of the training.
        seed: of weights, order and draws.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes: dict[str, Any] = {
        "latent_dim": n_gates,
        "hidden": setting.hidden,
        "data_dim": x.shape[1],
    }
    decoder = gfe.MLPDecoder(**sizes, generator=generator)
    constraint = Constraint(threshold, smoothing=SMOOTHING, fall=FALL)
    gated = narrowing.Gated(decoder, costs=kind == "VAE")
    loss = SQUARES
    network = nn.Module()
    find: Find = partial(narrowing.encode_at, **FLOW, max_steps=setting.max_steps)
    if kind == "VAE":
        loss = Evidence(likelihood=SQUARES, weight=constraint.weight)
        network = Autoencoder.mirror(decoder, latent_dim=2 * n_gates, generator=generator)
        find = narrowing.Inference(network=network, loss=loss, generator=generator)
    narrow = narrowing.Narrowing(
        find,
        constraint,
        torch.optim.Adam([gated.gamma], lr=GATE_RATE),
        price=setting.price,
        anew=kind == "flow",
        generator=generator,
    )
    staircase: list[tuple[int, int, float]] = []

    def note(report: Report) -> None:
        if report.step % EVERY == 0:
            n_open = int(gated.open.sum())
            if not staircase or n_open != staircase[-1][1]:
                staircase.append((report.step, n_open, constraint.average))

    learn = _training(gated, [*decoder.parameters(), *network.parameters()], loss, x, setting, seed)
    first = round(SETTLED * setting.updates)
    learn(first, narrow, [narrow.learn, note])
    constraint.weight.fill_(1 / constraint.bounds[1])
    learn(setting.updates - first, narrow.hard, [])
    return Trained(gated, find, staircase)


def _training(
    gated: narrowing.Gated,
    weights: list[nn.Parameter],
    loss: Loss,
    x: Tensor,
    setting: Setting,
    seed: int,
) -> Callable[[int, Encoder, Sequence[Callback]], None]:
    """What makes so many updates, again and again, on one schedule."""
    optimizer = torch.optim.Adam(weights, lr=setting.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, setting.rate, total_steps=setting.updates + 1, pct_start=0.1
    )
    batches = gfe.data.Batches(x, size=setting.size, seed=seed)

    def learn(updates: int, encoder: Encoder, callbacks: Sequence[Callback]) -> None:
        def enough(report: Report) -> bool:
            return report.step == updates

        gfe.fit(
            gated,
            batches,
            encoder=encoder,
            loss=loss,
            optimizer=optimizer,
            schedule=schedule,
            epochs=math.ceil(updates / len(batches)) + 1,
            callbacks=[*callbacks, enough],
            on_interrupt="raise",
        )

    return learn


def planted(
    n_latents: int, n: int, seed: int, split: int, *, data_dim: int = 64, noise: float = 0.1
) -> Tensor:
    """Samples of a decoder with so many latents.

    A network of random weights, one for each seed, and normal codes.

    Features have variance 1 on average, and noise of this standard deviation besides.
    """
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(n_latents, 64, generator=generator) / math.sqrt(n_latents)
    bias = 0.5 * torch.randn(64, generator=generator)
    second = torch.randn(64, data_dim, generator=generator)

    def drawn(n: int, split: int) -> tuple[Tensor, torch.Generator]:
        source = torch.Generator().manual_seed(1000 * (1 + seed) + split)
        z = torch.randn(n, n_latents, generator=source)
        return nn.functional.elu(2 * (z @ first + bias)) @ second, source

    other = drawn(2000, 99)[0]
    scale = (other - other.mean(0)).std()
    clean, source = drawn(n, split)
    return clean / scale + noise * torch.randn(n, data_dim, generator=source)


_TURNS = {"rotation of squares": 4, "rotation of ellipses": 2, "rotation of hearts": 1}
"""Number of times that a shape looks the same during a full turn."""


def factors(codes: Tensor, y: Tensor) -> dict[str, float]:
    """How well codes tell the factors of `shapes`; the first half fits, the second judges.

    R^2 of kernel ridge regression; an angle is told by sine and cosine of as many turns as leave
    the shape alike. Of which shape it is, the share that a support vector machine names rightly: a
    third by chance.
    """
    shape, scale, angle, across, down = y.unbind(1)
    scores = {
        name: _told(codes, aim[:, None])
        for name, aim in {"x": across, "y": down, "scale": scale}.items()
    }
    half = len(codes) // 2
    machine = make_pipeline(StandardScaler(), SVC(C=100.0))
    machine.fit(codes[:half].numpy(), shape[:half].numpy())
    scores["shape (share right)"] = float(machine.score(codes[half:].numpy(), shape[half:].numpy()))
    for i, (name, turns) in enumerate(_TURNS.items()):
        rows = shape == i
        round_ = turns * angle
        scores[name] = _told(codes[rows], torch.stack([round_.cos(), round_.sin()], 1)[rows])
    return scores


def _told(codes: Tensor, aim: Tensor) -> float:
    half = len(codes) // 2
    wanted = (aim - aim.mean(0)) / aim.std(0)
    probe = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", alpha=0.1, gamma=0.3))  # pyright: ignore[reportArgumentType]
    probe.fit(codes[:half].double().numpy(), wanted[:half].numpy())
    return float(r2_score(wanted[half:].numpy(), probe.predict(codes[half:].double().numpy())))
