"""What a decoder keeps of its calls: buffers that a forward pass in training mode may write."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


class Kept:
    """Float buffers of the modules of a decoder that are in training mode, as they are now.

    Running statistics, the vectors of a power iteration, a moving average: a forward pass that
    writes one makes the decoder another one. Counters are whole numbers and change no output.

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
            if module.training
            for name, buffer in module.named_buffers(recurse=False)
            if buffer.is_floating_point() and not is_lazy(buffer)
        ]

    def written(self) -> list[str]:
        """Return the names of those that hold something else by now."""
        return [place for place, held in self._noted if _differs(*held)]

    def restore(self) -> None:
        """Give what was written its tensor of before, with the numbers of before."""
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
