"""Probes of losses: fixed outputs and data with their energies, by which losses are compared.

Outputs have scales 1, 10 and 100, because losses may agree on small errors and differ on large
ones.
"""

import math
from typing import Any

import torch
from torch import Tensor

from gfe_core.energy.calls import WholeLoss

_SIZES = (1.0, 10.0, 100.0)
_N_SAMPLES = 3


def probe(loss: Any, decoder: Any) -> dict[str, Tensor]:
    """Return fixed "output" and "x" of a decoder's shapes with their "energy", on the CPU.

    The result is empty if the loss is undefined for them or draws random numbers. It has small
    outputs alone if the loss fails for large ones.
    """
    source = torch.Generator().manual_seed(0)
    shapes = getattr(decoder, "raw_shape", decoder.data_shape), decoder.data_shape
    output = torch.randn(_N_SAMPLES, *shapes[0], generator=source)
    x = torch.rand(_N_SAMPLES, *shapes[1], generator=source)
    like = next(decoder.parameters(), output)
    output, x = output.to(like), x.to(like)
    outputs = torch.cat([size * output for size in _SIZES])
    return _probed(loss, outputs, torch.cat([x] * len(_SIZES))) or _probed(loss, output, x)


def _probed(loss: Any, output: Tensor, x: Tensor) -> dict[str, Tensor]:
    try:
        energy, repeated = _energy(loss, output, x), _energy(loss, output, x)
    except Exception:  # the loss may be undefined for such data, or need other inputs
        return {}
    if not torch.equal(energy.nan_to_num(), repeated.nan_to_num()):
        return {}
    return {name: t.cpu() for name, t in (("output", output), ("x", x), ("energy", energy))}


def agrees(loss: Any, kept: dict[str, Tensor]) -> bool:
    """Whether a loss reproduces the stored energies up to rounding."""
    saved = kept["energy"]
    tolerance = math.sqrt(torch.finfo(saved.dtype).eps)
    energy = _energy(loss, kept["output"], kept["x"]).to(saved)
    return torch.allclose(energy, saved, tolerance, tolerance, equal_nan=True)


def _energy(loss: Any, output: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        return WholeLoss(loss).per_sample(output.clone(), x.clone())
