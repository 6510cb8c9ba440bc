"""Functions that all encoders without steps share.

An encoder is any callable (decoder, x) -> Encoding, so that `fit` can train with it and `evaluate`
can compare it with the flow. An encoder without steps has no gradient norm and no time (NaN), and
its pass counts as one forward-equivalent.
"""

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.data.samples import Samples, codes_for, samples_for
from gfe_core.energy import Energy, WholeLoss
from gfe_core.types import AnyLoss, Codes, Context, Decoder, Encoding, Statistics, Status


def accepted(decoder: Decoder, x: Any, loss: AnyLoss) -> Tensor:
    """Return the data as a tensor; refuse the inputs that `encode` refuses."""
    checks.decoder_ready(decoder)  # one that draws is accepted, to train its encoder
    rows = samples_for(decoder, x)
    WholeLoss(loss).check_data(rows)
    return rows


def one_look(
    decoder: Decoder,
    x: Samples,
    z: Codes | np.ndarray,
    loss: AnyLoss,
    context: Context | None = None,
) -> Encoding:
    """Return the result of an encoder without steps: codes with their energies.

    Args:
        decoder: decoder of the codes.
        x: samples, as for `encode`.
        z: codes, which keep their graph.
        loss: loss of the energies.
        context: context of each sample, if the decoder takes one.
    """
    x = samples_for(decoder, x)
    z = codes_for(decoder, z)
    with torch.no_grad():
        energy = Energy(decoder, x, loss, context=context).per_sample(z.detach())
    finite = energy.isfinite() & z.detach().isfinite().all(1)
    status = torch.where(finite, int(Status.REACHED_T), int(Status.NON_FINITE))
    counts = {f.name: torch.full_like(status, int(f.name == "n_loss")) for f in fields(Statistics)}
    unknown = torch.full_like(energy, torch.nan)
    return Encoding(z, energy, unknown, unknown, status, Statistics(**counts), None, loss, context)
