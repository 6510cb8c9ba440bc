"""Probes of losses: fixed outputs and data with their energies, by which losses are compared.

Outputs have scales 1, 10 and 100, because losses may agree on small errors and differ on large
ones.
"""

import math
from typing import Any

import torch
from torch import Tensor

from gfe_core import arguments
from gfe_core.decoders.probes import contexts_of_ones
from gfe_core.energy.calls import WholeLoss

_SIZES = (1.0, 10.0, 100.0)
_N_SAMPLES = 3


def probe(loss: Any, decoder: Any) -> dict[str, Tensor]:
    """Return fixed "output" and "x" of a decoder's shapes with their "energy", on the CPU.

    For a loss that takes a context, "in_context" has the energies with a "context" of ones;
    "energy" is left out if it needs one. The data are numbers in [0, 1), counts from 0 or counts
    from 1: the first of these with a finite energy. The outputs are small ones alone if the loss
    fails for large ones, and positive ones if it fails for negative ones. The result is empty if
    the loss fails for all of these or draws random numbers.
    """
    source = torch.Generator().manual_seed(0)
    shapes = getattr(decoder, "raw_shape", decoder.data_shape), decoder.data_shape
    output = torch.randn(_N_SAMPLES, *shapes[0], generator=source)
    x = torch.rand(_N_SAMPLES, *shapes[1], generator=source)
    like = next(decoder.parameters(), output)
    output, x = output.to(like), x.to(like)
    outputs = torch.cat([size * output for size in _SIZES])
    counts = (3 * x).floor()
    trials = (
        _probed(WholeLoss(loss), drawn, data.repeat(len(drawn) // _N_SAMPLES, *[1] * (x.dim() - 1)))
        for data in (x, counts, 1 + counts)
        for drawn in (outputs, output, output.abs())
    )
    return next(filter(None, trials), {})


def _probed(loss: WholeLoss, output: Tensor, x: Tensor) -> dict[str, Tensor]:
    outputs = {}
    if not arguments.requires(loss.function, "context"):
        outputs |= _tried(loss, output, x, {}, "energy")
    for context in contexts_of_ones(output) if loss.takes_context else ():
        outputs = outputs | _tried(loss, output, x, {"context": context}, "in_context")
        if "in_context" in outputs:
            break
    kept = outputs | {"output": output, "x": x} if outputs else {}
    return {name: value.cpu() for name, value in kept.items()}


def _tried(
    loss: WholeLoss, output: Tensor, x: Tensor, given: dict[str, Tensor], name: str
) -> dict[str, Tensor]:
    """Return the energies by name, with the given context, if they are finite and repeatable."""
    try:
        energy, again = (_energy(loss, output, x, **given) for _ in range(2))
    except Exception:  # the loss may be undefined for such data, or need other inputs
        return {}
    same = torch.equal(energy.nan_to_num(), again.nan_to_num())
    return given | {name: energy} if same and bool(energy.isfinite().any()) else {}


def agrees(loss: Any, kept: dict[str, Tensor]) -> bool:
    """Whether a loss reproduces the stored energies up to rounding."""
    whole = WholeLoss(loss)
    contexts = {"energy": None, "in_context": kept.get("context")}
    return all(
        _close(_energy(whole, kept["output"], kept["x"], context), kept[name])
        for name, context in contexts.items()
        if name in kept
    )


def _close(energy: Tensor, saved: Tensor) -> bool:
    tolerance = math.sqrt(torch.finfo(saved.dtype).eps)
    return torch.allclose(energy.to(saved), saved, tolerance, tolerance, equal_nan=True)


def _energy(loss: WholeLoss, output: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
    given = None if context is None else context.clone()
    with torch.no_grad():
        return loss.per_sample(output.clone(), x.clone(), context=given)
