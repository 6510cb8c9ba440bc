"""The encoder of an autoencoder, its training with or after the decoder, and incomplete data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.data import Batches
from gfe_core.data.samples import Framed, Samples, known_features, samples_for
from gfe_core.decoders import MLPDecoder, initialise, perceptron
from gfe_core.encoders.single_look import accepted, one_look
from gfe_core.energy import Bernoulli, Energy
from gfe_core.training import History, fit, parts
from gfe_core.types import AnyLoss, Context, Decoder, Encoder, Encoding


class Autoencoder(nn.Module):
    """The encoder of an autoencoder.

    It is a multilayer perceptron from data to codes that is trained with the decoder.

    To train both, pass both to the optimizer. The gradient reaches the encoder through the codes:

        autoencoder = Autoencoder.mirror(decoder)
        optimizer = torch.optim.Adam([*decoder.parameters(), *autoencoder.parameters()])
        gfe.fit(decoder, batches, encoder=autoencoder, optimizer=optimizer)

    Args:
        latent_dim: size of a code.
        hidden: widths of the hidden layers, from the data side on.
        data_dim: number of features of a sample.
        loss: loss of the reported energies; `Bernoulli()` by default.
        generator: source of the initial weights; the global generator by default.
    """

    @arguments.in_own_words
    def __init__(
        self,
        *,
        latent_dim: int,
        hidden: Sequence[int],
        data_dim: int,
        loss: AnyLoss | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for size, value in (("latent_dim", latent_dim), ("data_dim", data_dim)):
            checks.at_least_one(size, value)
        arguments.loss_or_none(loss)
        widths = (int(data_dim), *checks.sizes("hidden", hidden), int(latent_dim))
        self.layers = perceptron(widths)
        self.loss = loss or Bernoulli()
        initialise(self, generator)

    @classmethod
    def mirror(cls, decoder: Any, **options: Any) -> "Autoencoder":
        """Build the encoder whose layers are those of this `MLPDecoder` in reverse order.

        `options` are `latent_dim`, which may differ from the decoder's, `loss` and `generator`.
        """
        wanted = "`decoder` must be a stack of `layers`, such as `MLPDecoder`"
        fits = hasattr(decoder, "layers") and not isinstance(decoder, type)
        line = "Autoencoder(latent_dim=..., hidden=(...,), data_dim=...)"
        got = checks.described(decoder)
        checks.require(fits, f"{wanted}, got {got}. Write `{line}`.", TypeError)
        hidden = [layer.out_features for layer in decoder.layers if isinstance(layer, nn.Linear)][
            -2::-1
        ]
        return cls(
            hidden=hidden,
            data_dim=decoder.data_shape[0],
            **{"latent_dim": decoder.latent_dim} | options,
        )

    def forward(
        self, decoder: Decoder, x: Float[Tensor, "batch features"], context: Context | None = None
    ) -> Encoding:
        """Encode in one pass; z carries the graph that trains this encoder.

        A context is passed to the decoder only; the encoder receives the data alone.
        """
        x = accepted(decoder, x, self.loss)
        # A gradient of 0 times NaN would make every weight NaN.
        known = x.isfinite().all(1, keepdim=True)
        z = self.layers(torch.where(known, x, 0.0))
        return one_look(decoder, x, z, self.loss, context)


@dataclass(frozen=True, eq=False)
class Filled:
    """Pass incomplete samples to an encoder with `fill` in place of NaN.

    `fill` is a number or one sample: a tensor, an array or a series, such as `x.nanmean(0)`.
    Energies count observed features only, by `loss`: the encoder's own by default, or `Bernoulli()`
    if the encoder has none.
    """

    encoder: Encoder
    fill: float | np.ndarray | Framed | Tensor = 0.0
    loss: AnyLoss | None = None

    def __post_init__(self) -> None:
        parts.callable_encoder(self.encoder, needed=True)
        try:
            torch.as_tensor(checks.unlabelled("fill", self.fill))
        except (TypeError, ValueError, RuntimeError) as error:
            wanted = "`fill` must be a number or one sample, such as `x.nanmean(0)`"
            raise TypeError(f"{wanted}, got {checks.described(self.fill)}.") from error
        checks.as_python(self, checks.own, "fill")
        arguments.loss_or_none(self.loss)

    def __call__(self, decoder: Decoder, x: Samples, context: Context | None = None) -> Encoding:
        """Fill the gaps, encode, and compute the energies of the observed features."""
        x = samples_for(decoder, x)
        seen = ~x.isnan()
        given = {} if context is None else {"context": context}
        fill = torch.as_tensor(checks.unlabelled("fill", self.fill, known_features(decoder)))
        filled = torch.where(seen, x, fill.to(x))
        encoding = self.encoder(decoder, filled, **given)
        loss = self.loss or encoding.loss or Bernoulli()
        energy = Energy(decoder, x, loss, mask=seen, context=context)
        with torch.no_grad():
            observed_energy = energy.per_sample(encoding.z.detach())
        return replace(encoding, energy=observed_energy, loss=loss, mask=seen)


def fit_encoder(
    encoder: Autoencoder, decoder: MLPDecoder, batches: Batches, **options: Any
) -> History:
    """Train an encoder for a fixed decoder.

    Minimise E(encoder(x); x) over the encoder's weights alone.

    Args:
        encoder: encoder to train, changed in place.
        decoder: decoder, which is not changed.
        batches: training data in their order.
        options: options of `fit`; the optimizer, Adam by default, must hold the encoder's
            parameters.
    """
    wanted = "`encoder` must be an encoder with weights, such as `Autoencoder.mirror(decoder)`"
    fits = isinstance(encoder, nn.Module) and hasattr(encoder, "loss")
    checks.require(fits, f"{wanted}, got {checks.described(encoder)}.", TypeError)
    parts.trainable(decoder)
    optimizer = options.pop("optimizer", None) or torch.optim.Adam(encoder.parameters(), lr=1e-3)
    learning = nn.ParameterList(p for p in decoder.parameters() if p.requires_grad).requires_grad_(
        False
    )
    try:
        return fit(
            decoder, batches, encoder=encoder, loss=encoder.loss, optimizer=optimizer, **options
        )
    finally:
        learning.requires_grad_(True)
