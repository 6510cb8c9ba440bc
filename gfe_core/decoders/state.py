"""Buffers of a decoder that a forward pass in training mode may change."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


class Kept:
    """Copies of the float buffers of a decoder's modules that are in training mode.

    Examples are running statistics, the vectors of a power iteration and moving averages: a forward
    pass that writes to one changes the decoder. Integer counters are left out, as they change no
    output.

    Args:
        decoder: a module; decoders of other types have no buffers.
    """

    def __init__(self, decoder: Any) -> None:
        modules = decoder.named_modules() if isinstance(decoder, nn.Module) else ()
        self._noted = [
            (
                f"{place}.{name}" if place else name,
                (module, name, buffer, buffer.detach().clone()),
            )
            for place, module in modules
            if module.training
            for name, buffer in module.named_buffers(recurse=False)
            if buffer.is_floating_point() and not is_lazy(buffer)
        ]

    def written(self) -> list[str]:
        """Return the names of the buffers that have changed."""
        return [place for place, held in self._noted if _differs(*held)]

    def restore(self) -> None:
        """Restore the tensors and values of the changed buffers."""
        with torch.no_grad():
            for _, held in self._noted:
                if _differs(*held):
                    _put_back(*held)


def _differs(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> bool:
    now = getattr(module, name)
    return now is not buffer or not torch.equal(now.nan_to_num(), before.nan_to_num())


def _put_back(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> None:
    buffer.copy_(before)
    if getattr(module, name) is not buffer:
        setattr(module, name, buffer)
