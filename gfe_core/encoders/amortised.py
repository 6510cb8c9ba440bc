"""Flows that start closer than the origin: at an encoder's code or at a stored code."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.data.contexts import rows_of, tensors_of
from gfe_core.data.samples import samples_for
from gfe_core.encoders.autoencoder import Autoencoder
from gfe_core.energy import Energy
from gfe_core.training import Report, parts
from gfe_core.types import Decoder, Encoder, Encoding, Statistics, Status


@dataclass(frozen=True)
class ThenFlow:
    """Start the flow at the code of another encoder instead of the origin.

    Args:
        first: encoder that gives the start, without a gradient.
        flow: `functools.partial(gfe.encode, ...)`, called with `z0=`.
    """

    first: Encoder
    flow: Any

    def __post_init__(self) -> None:
        parts.callable_encoder(self.first, "first", needed=True)
        parts.callable_flow(self.flow)

    def __call__(self, decoder: Decoder, x: Tensor, **given: Any) -> Encoding:
        """Encode twice; the counts of both are added. A `context` is passed to both."""
        x = samples_for(decoder, x)
        with torch.no_grad():
            start = parts.encoding_of(self.first(decoder, x, **given), x)
        encoding = self.flow(decoder, x, z0=start.z.detach(), **given)
        both = {
            name: n + getattr(start.statistics, name)
            for name, n in vars(encoding.statistics).items()
        }
        return replace(encoding, statistics=Statistics(**both))


class SemiAmortised(nn.Module):
    """An encoder that starts the flow and learns from the codes at which the flow ends.

    Pass `learn` to `fit` as a callback: after each round it takes one step of the encoder down E at
    the encoder's own codes, with the decoder held fixed.

    Args:
        encoder: encoder that gives the start.
        flow: `functools.partial(gfe.encode, ...)` with few steps.
        optimizer: optimizer of the encoder's parameters.

    Source: after Kim, Wiseman, Miller, Sontag and Rush 2018 (arXiv 1802.02550), who differentiate
        through the steps.
    """

    def __init__(self, encoder: Autoencoder, flow: Any, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        wanted = "`encoder` must be an encoder with `layers`, such as `Autoencoder.mirror(decoder)`"
        fits = isinstance(encoder, nn.Module) and hasattr(encoder, "layers")
        checks.require(fits, f"{wanted}, got {checks.described(encoder)}.", TypeError)
        line = "torch.optim.Adam(encoder.parameters(), lr=1e-3)"
        wanted = "`optimizer` must be an optimizer of the encoder's parameters"
        fits = isinstance(optimizer, torch.optim.Optimizer)
        got = checks.described(optimizer)
        checks.require(fits, f"{wanted}, got {got}. Write `{line}`.", TypeError)
        self.encoder = encoder
        self.optimizer = optimizer
        self.encode = ThenFlow(encoder, flow)

    def forward(self, decoder: Decoder, x: Tensor, **given: Any) -> Encoding:
        """Encode, then flow."""
        return self.encode(decoder, x, **given)

    def learn(self, report: Report) -> None:
        """Take one step of the encoder, and change nothing else."""
        finite = (report.encoding.status != Status.NON_FINITE) & report.x.isfinite().all(1)
        if finite.any():
            x = report.x[finite]
            self.optimizer.zero_grad(set_to_none=True)
            context = rows_of(report.context, finite)
            loss = report.encoding.loss or self.encoder.loss
            energy = Energy(report.decoder, x, loss, context=context)  # pyright: ignore
            energy.per_sample(self.encoder.layers(x)).mean().backward(
                inputs=list(self.encoder.parameters())
            )
            self.optimizer.step()


class StoredCodes(nn.Module):
    """Start the flow where it last ended for the sample, or at the origin if the sample is new.

    A sample is identified by its own values and those of its context, so that batches may come in
    any order. Codes are kept, also in a checkpoint, until they are replaced.

    Args:
        flow: `functools.partial(gfe.encode, ...)`, called with `z0=`; a few steps are enough.

    Source: the auto-decoder of Park et al. 2019 (arXiv 1901.05103), with steps of a line search
        instead of Adam's.
    """

    def __init__(self, flow: Any) -> None:
        super().__init__()
        parts.callable_flow(flow)
        self.flow = flow
        self.codes: dict[bytes, Tensor] = {}

    def forward(self, decoder: Decoder, x: Tensor, **given: Any) -> Encoding:
        """Encode a batch and store its codes."""
        x = samples_for(decoder, x)
        checks.gates_given(decoder, None, 1)
        known = (x, *tensors_of(given.get("context")))
        columns = [_bytes_of(tensor).numpy() for tensor in known]
        names = [
            hashlib.blake2b(b"".join(part.tobytes() for part in row), digest_size=16).digest()
            for row in zip(*columns, strict=True)
        ]
        origin = torch.zeros(decoder.latent_dim, dtype=x.dtype)
        start = torch.stack([self.codes.get(name, origin) for name in names])
        encoding = self.flow(decoder, x, z0=start.to(x.device), **given)
        self.codes.update(zip(names, encoding.z.detach().cpu().clone(), strict=True))
        return encoding

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return names and codes as tensors, for a checkpoint."""
        names = torch.tensor([list(name) for name in self.codes], dtype=torch.uint8)
        return {
            "names": names,
            "codes": torch.stack([*self.codes.values()]) if self.codes else torch.empty(0),
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore the codes of a checkpoint."""
        self.codes = dict(
            zip(map(bytes, state["names"].tolist()), state["codes"].clone(), strict=True)
        )


def _bytes_of(rows: Tensor) -> Tensor:
    """Return the bytes of each row; NumPy does not have every type of torch."""
    rows = rows.detach().cpu().resolve_conj().resolve_neg()
    return rows[:, None].flatten(1).contiguous().view(torch.uint8)
