"""Other ways to a code and other decoders, to compare the flow with.

Everything that finds codes here has the one call shape (decoder, x) -> Encoding, so that `fit`
trains and `evaluate` judges all of it alike. An encoder that takes a single look has no gradient
norm and no time (NaN), and its pass counts as one forward-equivalent. The mean image is PCA without
components; logistic PCA is `fit` with a `LinearDecoder`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.data.sets import Batches
from gfe_core.decoders.mlp import MLPDecoder, initialise, perceptron
from gfe_core.energy.losses import Bernoulli
from gfe_core.training.fitting import History, Report, fit
from gfe_core.types import Codes, Encoder, Encoding, Loss, Statistics, Status


class PCA(nn.Module):
    """Principal components as a decoder: the logits of mean + z W, cut to stay inside (0, 1).

    Args:
        x: images to fit, grey values in [0, 1].
        latent_dim: number of components; 0 is the mean image.
        clip: grey values of the output are kept in [clip, 1 - clip]: a pixel that was always black
            in x would otherwise cost infinitely many nats.

    Raises:
        ValueError: more components than samples or features, clip outside (0, 0.5), or values that
            are not finite.

    Source: Pearson 1901; Jolliffe 2002, Principal Component Analysis.
    """

    mean: Tensor
    components: Tensor

    def __init__(
        self, x: Float[Tensor, "n features"], *, latent_dim: int, clip: float = 0.01
    ) -> None:
        super().__init__()
        checks.require(
            len(x) > 0, f"`x` must hold at least one sample, got shape {tuple(x.shape)}."
        )
        n_bad = int((~x.isfinite().all(1)).sum())
        checks.require(
            not n_bad,
            f"`x` has NaN or infinity in {n_bad} samples. Leave out: `x[x.isfinite().all(1)]`.",
        )
        n = min(x.shape)
        wanted = (
            f"`latent_dim` must be between 0 and {n} for {len(x)} samples of {x.shape[1]} features"
        )
        checks.require(0 <= latent_dim <= n, f"{wanted}, got {latent_dim}. Pass fewer components.")
        checks.require(0 < clip < 0.5, f"`clip` must lie strictly between 0 and 0.5, got {clip}.")
        mean = x.double().mean(0)
        directions = (
            torch.linalg.svd(x.double() - mean, full_matrices=False).Vh
            if latent_dim
            else x[:0].double()
        )
        self.register_buffer("mean", mean.to(x.dtype))
        self.register_buffer("components", directions[:latent_dim].to(x.dtype))
        self.latent_dim = latent_dim
        self.clip = clip
        self.data_shape = (x.shape[1],)

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Logits of codes."""
        return (self.mean + z @ self.components).clamp(self.clip, 1 - self.clip).logit()


def project(
    decoder: PCA, x: Float[Tensor, "batch features"], *, loss: Loss | None = None
) -> Encoding:
    """Encode by the orthogonal projection z = (x - mean) W', the least-squares code of PCA."""
    loss = loss or Bernoulli()
    _fits(decoder, x, loss)
    return one_look(decoder, x, (x - decoder.mean) @ decoder.components.T, loss)


class Autoencoder(nn.Module):
    """The encoder of an autoencoder.

    A multilayer perceptron from data to codes that is trained with the decoder.

    To train both, hand both to the optimizer; the gradient reaches the encoder through the codes:

        autoencoder = Autoencoder.mirror(decoder)
        optimizer = torch.optim.Adam([*decoder.parameters(), *autoencoder.parameters()])
        gfe.fit(decoder, batches, encoder=autoencoder, optimizer=optimizer)

    Args:
        latent_dim: size of a code.
        hidden: widths of the hidden layers, from the data side on.
        data_dim: features of a sample.
        loss: of the energies it reports, `Bernoulli()` by default.
        generator: source of the initial weights; the global one by default.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        hidden: Sequence[int],
        data_dim: int,
        loss: Loss | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.layers = perceptron((data_dim, *hidden, latent_dim))
        self.loss = loss or Bernoulli()
        initialise(self, generator)

    @classmethod
    def mirror(cls, decoder: Any, **arguments: Any) -> "Autoencoder":
        """Build the encoder whose layers are those of this `MLPDecoder`, backwards.

        `arguments` may say otherwise.
        """
        hidden = [layer.out_features for layer in decoder.layers if isinstance(layer, nn.Linear)][
            -2::-1
        ]
        return cls(
            hidden=hidden,
            data_dim=decoder.data_shape[0],
            **{"latent_dim": decoder.latent_dim} | arguments,
        )

    def forward(self, decoder: Any, x: Float[Tensor, "batch features"]) -> Encoding:
        """Encode in one pass; z carries the graph that trains this encoder."""
        _fits(decoder, x, self.loss)
        known = x.isfinite().all(
            1, keepdim=True
        )  # a gradient of 0 times NaN would spoil every weight
        return one_look(decoder, x, self.layers(torch.where(known, x, 0.0)), self.loss)


@dataclass(frozen=True)
class ThenFlow:
    """Start the flow at the code of another encoder instead of the origin.

    Args:
        first: gives the start, without a gradient.
        flow: `functools.partial(gfe.encode, ...)`, called with `z0=`.
    """

    first: Encoder
    flow: Any

    def __call__(self, decoder: Any, x: Tensor) -> Encoding:
        """Encode twice; the counts of both are added."""
        with torch.no_grad():
            start = self.first(decoder, x)
        encoding = self.flow(decoder, x, z0=start.z.detach())
        both = {
            name: n + getattr(start.statistics, name)
            for name, n in vars(encoding.statistics).items()
        }
        return replace(encoding, statistics=Statistics(**both))


@dataclass(frozen=True, eq=False)
class Filled:
    """Show an encoder incomplete samples with `fill` in place of NaN: a number or one sample.

    Energies count observed features only, by `loss`: the encoder's own by default, or `Bernoulli()`
    where it has none.
    """

    encoder: Encoder
    fill: float | Tensor = 0.0
    loss: Loss | None = None

    def __call__(self, decoder: Any, x: Tensor) -> Encoding:
        """Fill, encode, judge."""
        seen = ~x.isnan()
        loss = self.loss or getattr(self.encoder, "loss", Bernoulli())
        encoding = self.encoder(decoder, torch.where(seen, x, torch.as_tensor(self.fill).to(x)))
        return replace(encoding, energy=loss.per_sample(decoder(encoding.z).detach(), x, seen))


class SemiAmortised(nn.Module):
    """An encoder that starts the flow, and learns from the codes at which the flow ends.

    `learn` belongs among the callbacks of `fit`: after each round it takes one step of the encoder
    down E at its own codes, with the decoder held fixed.

    Args:
        encoder: gives the start.
        flow: `functools.partial(gfe.encode, ...)` with few steps.
        optimizer: of the encoder's parameters.

    Source: after Kim, Wiseman, Miller, Sontag and Rush 2018 (arXiv 1802.02550), who differentiate
        through the steps.
    """

    def __init__(self, encoder: Autoencoder, flow: Any, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.encoder = encoder
        self.optimizer = optimizer
        self.encode = ThenFlow(encoder, flow)

    def forward(self, decoder: Any, x: Tensor) -> Encoding:
        """Encode, then flow."""
        return self.encode(decoder, x)

    def learn(self, report: Report) -> None:
        """One step of the encoder, and nothing else."""
        finite = (report.encoding.status != Status.NON_FINITE) & report.x.isfinite().all(1)
        if finite.any():
            x = report.x[finite]
            self.optimizer.zero_grad(set_to_none=True)
            energy = self.encoder.loss.per_sample(report.decoder(self.encoder.layers(x)), x).mean()
            energy.backward(inputs=list(self.encoder.parameters()))
            self.optimizer.step()


class StoredCodes(nn.Module):
    """Start the flow where it ended when the sample was last met, and at the origin when it is new.

    A sample is recognised by its own numbers, so that batches may come in any order. Codes are
    kept, in a checkpoint too, until they are replaced.

    Args:
        flow: `functools.partial(gfe.encode, ...)`, called with `z0=`; a few steps are enough.

    Source: the auto-decoder of Park et al. 2019 (arXiv 1901.05103), with steps of a line search
        instead of Adam's.
    """

    def __init__(self, flow: Any) -> None:
        super().__init__()
        self.flow = flow
        self.codes: dict[bytes, Tensor] = {}

    def forward(self, decoder: Any, x: Tensor) -> Encoding:
        """Encode and remember."""
        checks.data_for(decoder, x)
        names = [
            hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            for row in x.detach().cpu().numpy()
        ]
        origin = torch.zeros(decoder.latent_dim, dtype=x.dtype)
        start = torch.stack([self.codes.get(name, origin) for name in names])
        encoding = self.flow(decoder, x, z0=start.to(x.device))
        self.codes.update(zip(names, encoding.z.detach().cpu().clone(), strict=True))
        return encoding

    def get_extra_state(self) -> dict[str, Tensor]:
        """Names and codes as tensors, for a checkpoint."""
        names = torch.tensor([list(name) for name in self.codes], dtype=torch.uint8)
        return {
            "names": names,
            "codes": torch.stack([*self.codes.values()]) if self.codes else torch.empty(0),
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take the codes of a checkpoint."""
        self.codes = dict(
            zip(map(bytes, state["names"].tolist()), state["codes"].clone(), strict=True)
        )


def fit_encoder(
    encoder: Autoencoder, decoder: MLPDecoder, batches: Batches, **arguments: Any
) -> History:
    """Train an encoder for a decoder that stays as it is.

    Minimise E(encoder(x); x) in the encoder's weights alone.

    Args:
        encoder: changed in place.
        decoder: only read.
        batches: the training data in their order.
        arguments: of `fit`; the optimizer, Adam by default, must hold the encoder's parameters.
    """
    optimizer = arguments.pop("optimizer", None) or torch.optim.Adam(encoder.parameters(), lr=1e-3)
    learning = nn.ParameterList(p for p in decoder.parameters() if p.requires_grad).requires_grad_(
        False
    )
    try:
        return fit(
            decoder, batches, encoder=encoder, loss=encoder.loss, optimizer=optimizer, **arguments
        )
    finally:
        learning.requires_grad_(True)


def _fits(decoder: Any, x: Tensor, loss: Loss) -> None:
    """Refuse what `encode` refuses."""
    checks.decoder_ready(decoder)
    checks.data_for(decoder, x)
    loss.check_data(x)


def one_look(decoder: Any, x: Tensor, z: Tensor, loss: Loss) -> Encoding:
    """The result of an encoder without steps: judged once, never improved."""
    with torch.no_grad():
        energy = loss.per_sample(decoder(z.detach()), x)
    finite = energy.isfinite() & z.detach().isfinite().all(1)
    status = torch.where(finite, int(Status.REACHED_T), int(Status.NON_FINITE))
    counts = {f.name: torch.full_like(status, int(f.name == "n_loss")) for f in fields(Statistics)}
    unknown = torch.full_like(energy, torch.nan)
    return Encoding(z, energy, unknown, unknown, status, Statistics(**counts))
