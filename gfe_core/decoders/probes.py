"""Probes: a few fixed codes and what a decoder makes of them, by which two decoders are compared.

Codes have lengths 1, 10 and 100, because decoders may agree on short codes and part on long ones.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import arguments, checks
from gfe_core.types import Codes, Data, PerSample

_LENGTHS = (1.0, 10.0, 100.0)
_N_DIRECTIONS = 3
AMPLIFIED = 4
"""How many times further than codes `nearby` rounding may carry an output."""


def probe(decoder: Any) -> dict[str, Tensor]:
    """Return fixed codes "z" and the raw outputs "output" of a decoder, on the processor.

    Nothing where it needs a context; short codes alone where it fails at long ones.
    """
    if arguments.needed_beside_codes(decoder):
        return {}
    source = torch.Generator().manual_seed(0)
    direction = torch.randn(_N_DIRECTIONS, decoder.latent_dim, generator=source)
    direction = direction / direction.norm(dim=1, keepdim=True)
    short = _LENGTHS[0] * direction
    try:
        return _probed(decoder, torch.cat([length * direction for length in _LENGTHS]))
    except Exception:  # a stranger's decoder may refuse codes far away
        return _probed(decoder, short)


def _probed(decoder: Any, z: Codes) -> dict[str, Tensor]:
    z = z.to(next(decoder.parameters(), z))
    return {"z": z.cpu(), "output": _decoded(decoder, z).cpu()}


def _decoded(decoder: Any, z: Codes) -> Data:
    """Raw outputs of codes; the decoder may write into what it is given."""
    with torch.no_grad():
        output = decoder(z.clone())
    checks.output(output, (len(z), *getattr(decoder, "raw_shape", decoder.data_shape)), z)
    return output.detach().clone()


def gap(
    decoder: Any, z: Codes, output: Float[Tensor, "batch *data"]
) -> tuple[PerSample, PerSample]:
    """Return how far a decoder is from outputs that were kept, and how far rounding may carry.

    Both are the largest over the features of a code, where the output kept is finite. Rounding is
    the root of the precision, in units of the output, or what a relative change of the code by a
    few roundings makes of it, where that is more: frequent sines amplify it.

    Args:
        decoder: to be compared.
        z: codes of the probe, on any device.
        output: what another decoder made of them.
    """
    z = z.to(next(decoder.parameters(), z))
    eps = max(torch.finfo(kind).eps for kind in (z.dtype, output.dtype))
    ours = _decoded(decoder, z).to(output)
    moved = _decoded(decoder, nearby(z, eps)).to(output)
    finite = output.isfinite()
    carried = AMPLIFIED * _largest(moved - ours, finite).nan_to_num()
    rounding = torch.maximum(math.sqrt(eps) * _largest(output, finite), carried)
    return _largest(ours - output, finite), rounding


def nearby(z: Codes, eps: float) -> Codes:
    """Return codes a few roundings away: how far their outputs move, rounding may carry them."""
    return z * (1 + 8 * eps)


def _largest(values: Tensor, counted: Tensor) -> PerSample:
    return torch.where(counted, values, 0.0).abs().flatten(1).amax(1)
