"""Probes: a few fixed codes and a decoder's outputs for them, by which decoders are compared.

Codes have lengths 1, 10 and 100, because decoders may agree on short codes and differ on long ones.
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
"""Bound on the change of an output by rounding, relative to the change for codes `nearby`."""


def probe(decoder: Any) -> dict[str, Tensor]:
    """Return fixed codes "z" and the raw outputs "output" of a decoder, on the CPU.

    The result is empty if the decoder needs a context. It has short codes alone if the decoder
    fails at long ones.
    """
    if arguments.needed_beside_codes(decoder):
        return {}
    source = torch.Generator().manual_seed(0)
    direction = torch.randn(_N_DIRECTIONS, decoder.latent_dim, generator=source)
    direction = direction / direction.norm(dim=1, keepdim=True)
    short = _LENGTHS[0] * direction
    try:
        return _probed(decoder, torch.cat([length * direction for length in _LENGTHS]))
    except Exception:  # a user's decoder may refuse long codes
        return _probed(decoder, short)


def _probed(decoder: Any, z: Codes) -> dict[str, Tensor]:
    z = z.to(next(decoder.parameters(), z))
    return {"z": z.cpu(), "output": _decoded(decoder, z).cpu()}


def _decoded(decoder: Any, z: Codes) -> Data:
    """Return the raw outputs of codes; the decoder may write into its argument."""
    with torch.no_grad():
        output = decoder(z.clone())
    checks.output(output, (len(z), *getattr(decoder, "raw_shape", decoder.data_shape)), z)
    return output.detach().clone()


def gap(
    decoder: Any, z: Codes, output: Float[Tensor, "batch *data"]
) -> tuple[PerSample, PerSample]:
    """Return the difference of a decoder's outputs from stored ones, and a bound on rounding.

    Both are the largest over the features of a code, where the stored output is finite. The bound
    on rounding is the root of the precision, in units of the output, or the effect on the output of
    a relative change of the code by a few roundings, if that is larger: sines of high frequency
    amplify such changes.

    Args:
        decoder: decoder to compare.
        z: codes of the probe, on any device.
        output: outputs of another decoder for these codes.
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
    """Return codes a few roundings away, which show how far rounding may change the outputs."""
    return z * (1 + 8 * eps)


def _largest(values: Tensor, counted: Tensor) -> PerSample:
    return torch.where(counted, values, 0.0).abs().flatten(1).amax(1)
