"""Buffers of a decoder that a forward pass in training mode may change."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


class Kept:
    """Buffers of a decoder, as they are now.

    Examples are running statistics, the vectors of a power iteration and moving averages: a forward
    pass that writes to one changes the decoder. Integer counters change no output, but are restored
    with the others.

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
            for name, buffer in module.named_buffers(recurse=False)
            if not is_lazy(buffer)
        ]

    def written(self) -> list[str]:
        """Return the names of the float buffers of modules in training mode that have changed."""
        return [
            place
            for place, (module, name, buffer, before) in self._noted
            if module.training
            and before.is_floating_point()
            and _differs(module, name, buffer, before)
        ]

    def restore(self) -> None:
        """Restore the tensors and values of the changed buffers."""
        with torch.no_grad():
            for _, held in self._noted:
                if _differs(*held):
                    _put_back(*held)


def _differs(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> bool:
    now = getattr(module, name)
    if now is not buffer:
        return True
    floats = now.is_floating_point()
    return not (
        torch.equal(now.nan_to_num(), before.nan_to_num()) if floats else torch.equal(now, before)
    )


def _put_back(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> None:
    buffer.copy_(before)
    if getattr(module, name) is not buffer:
        setattr(module, name, buffer)
