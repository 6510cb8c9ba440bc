"""What a decoder keeps of its calls: buffers that a forward pass in training mode may write."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


class Kept:
    """Buffers of a decoder, as they are now.

    Running statistics, the vectors of a power iteration, a moving average: a forward pass in
    training mode that writes one makes the decoder another one. Counters are whole numbers and
    change no output, but are restored with the others.

    Args:
        decoder: a module; another kind of decoder has none.
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
        """Return the names of those of floats, in modules in training mode, that differ by now."""
        return [
            place
            for place, (module, name, buffer, before) in self._noted
            if module.training
            and before.is_floating_point()
            and _differs(module, name, buffer, before)
        ]

    def restore(self) -> None:
        """Give what was written its tensor of before, with the numbers of before."""
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
