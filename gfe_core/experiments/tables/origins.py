"""The trainings of `reproduce gon`: codes by one step, a few steps, the flow, or a network.

All trainings make the same number of updates. All decoders have the transposed convolutions of the
paper at its width, or are its small SIREN; only the method that finds codes differs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.encoders import ConvAutoencoder
from gfe_core.experiments.runner import judging
from gfe_core.experiments.runner.config import SOLVER, STOP
from gfe_core.methods import gon
from gfe_core.methods.variational import Evidence, VariationalDecoder, vae
from gfe_core.training import History, Report
from gfe_core.types import Encoder, Loss

LATENT = 32
WIDTHS = (64, 32, 16)
NARROW = (40, 20, 10)
"""Widths with which encoder and decoder together are about as large as a decoder of `WIDTHS`."""

SIREN = (32,) * 4
SIREN_STEP = 1 / 64
"""Length of the single step of a SIREN, whose sines magnify a code by w0.

It is 1/64 because the published code takes the mean over 64 images.
"""
SIZE = 32
UPDATES = 2000
N_TEST = 1000

_AMD: dict[str, Any] = {"loss": gon.SQUARES, "solver": SOLVER, "stop": STOP}
TRAINING: dict[str, Any] = _AMD | {"max_steps": 16}
JUDGING: dict[str, Any] = {"loss": gon.SQUARES, **judging.TO_REST}
"""Options of the flow while a decoder learns and when it is judged."""

FIRST_STEP: Encoder = partial(gfe.encode, **_AMD, max_steps=1)
"""One step of the flow, whose length is chosen by the curvature at the origin.

A step of dt = 1 has no meaning for a decoder that was trained by the flow.
"""
TO_REST: Encoder = partial(gfe.encode, **JUDGING)

RATES = {
    "gon": 7e-3,
    "detached": 2e-3,
    "three_steps": 2e-3,
    "flow": 5e-3,
    "autoencoder": 1e-2,
    "narrow_autoencoder": 1e-2,
    "siren": 1e-3,
    "siren_everywhere": 1e-3,
    "variational_gon": 5e-3,
    "vae": 4e-3,
}
"""Peak learning rate of each method, chosen on 300 validation images after 700 updates."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The arguments of `fit` for one method, and the encoders that judge the decoder.

    Args:
        decoder: decoder that is trained.
        encoder: encoder that finds codes in training.
        batches: batches of the images.
        judged_by: encoders by which the decoder is judged, by name.
        judged: decoder of whole images that is judged: `decoder`, or another one with its weights.
        loss: loss of the update and of the reported errors.
        network: network of an encoder, whose weights are trained too.
    """

    decoder: Any
    encoder: Encoder
    batches: gfe.data.Batches
    judged_by: Mapping[str, Encoder]
    judged: Any
    loss: Loss = gon.SQUARES
    network: nn.Module = field(default_factory=nn.Module)

    @property
    def trained(self) -> list[nn.Parameter]:
        """All weights that learn."""
        return [*self.decoder.parameters(), *self.network.parameters()]

    def fit(self, rate: float, *, n_updates: int | None = None, callbacks: Any = ()) -> History:
        """Train for a number of updates at a one-cycle rate, or until a callback stops."""
        optimizer = torch.optim.Adam(self.trained, lr=rate)
        schedule = n_updates and torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=n_updates + 1
        )
        epochs = math.ceil((n_updates or 1_000_000) / len(self.batches))

        def enough(report: Report) -> bool:
            return report.step == n_updates

        return gfe.fit(
            self.decoder,
            self.batches,
            encoder=self.encoder,
            loss=self.loss,
            optimizer=optimizer,
            schedule=schedule or None,
            epochs=epochs,
            callbacks=[*callbacks, enough],
            on_interrupt="raise",
        )

    @torch.no_grad()
    def errors(self, x: Tensor) -> dict[str, float]:
        """Return the mean error of images that training did not see, by encoder.

        The evidence bound is estimated by one draw for each image.
        """
        loss = self.loss if isinstance(self.loss, Evidence) else gon.SQUARES
        means = {}
        for name, encoder in self.judged_by.items():
            parts = [
                loss.per_sample(self.judged(encoder(self.judged, part).z), part)
                for part in x.split(250)
            ]
            means[name] = torch.cat(parts).double().mean().item()
        return means


def build(method: str, x: Tensor, seed: int) -> Training:
    """Return the training of one method, with initial weights and order given by the seed."""
    generator = torch.Generator().manual_seed(seed)
    batches = gfe.data.Batches(x, size=SIZE, seed=seed)
    if method in ("siren", "siren_everywhere"):
        return _implicit(method, x, seed, generator)
    if method in ("variational_gon", "vae"):
        return _variational(method, batches, generator)
    channels = NARROW if method == "narrow_autoencoder" else WIDTHS
    decoder = _decoder(generator, x, channels)
    shared: dict[str, Any] = {"decoder": decoder, "judged": decoder, "batches": batches}
    if method.endswith("autoencoder"):
        network = ConvAutoencoder.mirror(decoder, loss=gon.SQUARES, generator=generator)
        return Training(
            **shared, encoder=network, network=network, judged_by={"own steps": network}
        )
    if method == "flow":
        encoder = partial(gfe.encode, **TRAINING)
        return Training(
            **shared, encoder=encoder, judged_by={"flow": TO_REST, "one step": FIRST_STEP}
        )
    encoders: dict[str, gon.Origin] = {
        "gon": gon.Origin(),
        "detached": gon.Origin(adjoint=gfe.Detached()),
        "three_steps": gon.Origin(n_steps=3),
    }
    judged_by = {"own steps": encoders[method]} | ({"flow": TO_REST} if method == "gon" else {})
    return Training(**shared, encoder=encoders[method], judged_by=judged_by)


def _decoder(
    generator: torch.Generator, x: Tensor, channels: tuple[int, ...]
) -> gfe.TransposedConvDecoder:
    shape = _square(x)
    return gfe.TransposedConvDecoder(
        latent_dim=LATENT, image_shape=shape, channels=channels, generator=generator
    )


def _square(x: Tensor) -> tuple[int, int]:
    side = math.isqrt(x.shape[1])
    return side, side


def _implicit(method: str, x: Tensor, seed: int, generator: torch.Generator) -> Training:
    """Return the training of a SIREN, on a quarter of the places at a time or on all."""
    siren = gfe.SirenDecoder(
        latent_dim=LATENT, hidden=SIREN, image_shape=_square(x), generator=generator
    )
    n_places = x.shape[1] // 4 if method == "siren" else x.shape[1]
    batches = gon.Scattered(x, siren, n_places=n_places, size=SIZE, seed=seed)
    return Training(
        decoder=batches.decoder,
        encoder=gon.Origin(loss=batches.loss, dt=SIREN_STEP),
        loss=batches.loss,
        batches=batches,
        judged=siren,
        judged_by={"own steps": gon.Origin(dt=SIREN_STEP)},
    )


def _variational(method: str, batches: gfe.data.Batches, generator: torch.Generator) -> Training:
    """Return the training of the evidence bound, with codes by one step or by a network."""
    if method == "vae":
        decoder, network = vae(_decoder(generator, batches.x, WIDTHS), generator=generator)
        return Training(
            decoder=decoder,
            judged=decoder,
            batches=batches,
            encoder=network,
            network=network,
            loss=Evidence(),
            judged_by={"own steps": network},
        )
    decoder = VariationalDecoder(
        _decoder(generator, batches.x, WIDTHS), latent_dim=LATENT, generator=generator
    )
    encoder = gon.Origin(loss=Evidence(), by=VariationalDecoder.at_mean)
    judged_by = {"own steps": encoder}
    return Training(
        decoder=decoder,
        judged=decoder,
        batches=batches,
        encoder=encoder,
        loss=Evidence(),
        judged_by=judged_by,
    )
