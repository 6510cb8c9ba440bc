"""Probes: a few fixed codes and a decoder's outputs for them, by which decoders are compared.

Codes have lengths 1, 10 and 100, because decoders may agree on short codes and differ on long ones.
"""

import math
from contextlib import suppress
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

    For a decoder that takes a context, "in_context" has the outputs with a "context" of ones;
    "output" is left out if it needs one. The result is empty if the decoder takes no such context.
    It has short codes alone if the decoder fails at long ones.
    """
    source = torch.Generator().manual_seed(0)
    direction = torch.randn(_N_DIRECTIONS, decoder.latent_dim, generator=source)
    direction = direction / direction.norm(dim=1, keepdim=True)
    short = _LENGTHS[0] * direction
    try:
        outputs = _probed(decoder, torch.cat([length * direction for length in _LENGTHS]))
    except Exception:  # a user's decoder may refuse long codes
        outputs = {}
    return outputs or _probed(decoder, short)


def _probed(decoder: Any, z: Codes) -> dict[str, Tensor]:
    z = z.to(next(decoder.parameters(), z))
    outputs = {}
    if not arguments.needed_beside_codes(decoder):
        outputs["output"] = _decoded(decoder, z)
    for context in contexts_of_ones(z) if arguments.takes_context(decoder) else ():
        with suppress(Exception):  # it may want one of another shape
            outputs |= {"in_context": _decoded(decoder, z, context), "context": context}
            break
    return {name: value.cpu() for name, value in (outputs | {"z": z}).items()} if outputs else {}


def contexts_of_ones(like: Tensor) -> list[Tensor]:
    """Return contexts that a decoder or a loss may take: a column, numbers or labels."""
    ones = like.new_ones(len(like))
    return [ones[:, None], ones, ones.long()]


def _decoded(decoder: Any, z: Codes, context: Tensor | None = None) -> Data:
    """Return the raw outputs of codes; the decoder may write into its arguments."""
    given = () if context is None else (context.to(z.device, copy=True),)
    with torch.no_grad():
        output = decoder(z.clone(), *given)
    checks.output(output, (len(z), *getattr(decoder, "raw_shape", decoder.data_shape)), z)
    return output.detach().clone()


def gap(decoder: Any, kept: dict[str, Tensor]) -> tuple[PerSample, PerSample]:
    """Return the difference of a decoder's outputs from stored ones, and a bound on rounding.

    Both are the largest over the features of a code, where the stored output is finite. The bound
    on rounding is the root of the precision, in units of the output, or the effect on the output of
    a relative change of the code by a few roundings, if that is larger: sines of high frequency
    amplify such changes. Of the outputs with and without a context, the ones with the larger excess
    count.

    Args:
        decoder: decoder to compare.
        kept: result of `probe` for another decoder; not empty.
    """
    z = kept["z"].to(next(decoder.parameters(), kept["z"]))
    contexts = {"output": None, "in_context": kept.get("context")}
    gaps = [
        _gap(decoder, z, kept[name], context) for name, context in contexts.items() if name in kept
    ]
    apart, rounding = map(torch.stack, zip(*gaps, strict=True))
    worst = (apart - rounding).argmax(0, keepdim=True)
    return apart.gather(0, worst)[0], rounding.gather(0, worst)[0]


def _gap(
    decoder: Any, z: Codes, output: Float[Tensor, "batch *data"], context: Tensor | None
) -> tuple[PerSample, PerSample]:
    eps = max(torch.finfo(kind).eps for kind in (z.dtype, output.dtype))
    ours = _decoded(decoder, z, context).to(output)
    moved = _decoded(decoder, nearby(z, eps), context).to(output)
    finite = output.isfinite()
    carried = AMPLIFIED * _largest(moved - ours, finite).nan_to_num()
    rounding = torch.maximum(math.sqrt(eps) * _largest(output, finite), carried)
    return _largest(ours - output, finite), rounding


def nearby(z: Codes, eps: float) -> Codes:
    """Return codes a few roundings away, which show how far rounding may change the outputs."""
    return z * (1 + 8 * eps)


def _largest(values: Tensor, counted: Tensor) -> PerSample:
    return torch.where(counted, values, 0.0).abs().flatten(1).amax(1)
