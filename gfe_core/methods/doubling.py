"""A test with each feature doubled: whether a user's loss is a sum over features or an average.

The energy of a sum doubles, and that of an average does not change. Tensors that a loss holds for
each feature, such as weights, must be doubled with the data.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from gfe_core.types import Data, PerSample


def averages(loss: Callable[[Tensor, Tensor], Tensor], output: Tensor, x: Data) -> bool:
    """Whether the energy stays the same when features along an axis of the data are doubled.

    A loss that cannot be called with twice as many features is taken as a sum.

    Args:
        loss: function (output, x) -> (batch,).
        output: raw outputs of the decoder.
        x: data, shape (batch, *data) with at least one axis of data.
    """
    once = loss(output, x)
    if not bool((once != 0).any()):
        return False
    return any(_stays(loss, output, x, axis, once) for axis in {-1, 1 - x.dim()})


def _stays(
    loss: Callable[[Tensor, Tensor], Tensor], output: Tensor, x: Data, axis: int, once: PerSample
) -> bool:
    def doubled(second: Tensor) -> PerSample:
        pair = (torch.cat([output, second], axis), torch.cat([x, x], axis))
        try:
            return loss(*pair)
        except Exception:  # the loss may hold a tensor with one entry for each feature
            with _HeldTwice(tuple(x.shape[1:]), axis, pair):
                return loss(*pair)

    try:
        twice, moved = doubled(output), doubled(1.5 * output + 0.1)
    except Exception:  # a user's function may require the original number of features
        return False
    # A sum over selected features does not change with added ones, wherever they are.
    depends = not torch.allclose(twice, moved, rtol=1e-6, atol=0)
    return depends and torch.allclose(once, twice, rtol=1e-3, atol=0)


class _HeldTwice(TorchFunctionMode):
    """While active, tensors that a function holds for each feature are doubled when they are used.

    Args:
        shape: shape of a sample before doubling.
        axis: axis that is doubled, counted from the last.
        given: tensors that are doubled already. Tensors computed from tensors are added to them.
    """

    def __init__(self, shape: tuple[int, ...], axis: int, given: tuple[Tensor, ...]) -> None:
        super().__init__()
        self._shape = shape
        self._axis = axis
        # The dict holds the tensors, so that their ids stay unique.
        self._doubled = {id(one): one for one in given}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch with doubled tensors."""
        given = tree_map(self._twice, (args, kwargs or {}))
        result = func(*given[0], **given[1])
        if any(isinstance(leaf, Tensor) for leaf in tree_flatten(given)[0]):
            made = [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, Tensor)]
            self._doubled |= {id(leaf): leaf for leaf in made}
        return result

    def _twice(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or id(value) in self._doubled:
            return value
        shape, axis = self._shape, self._axis
        n = math.prod(shape)
        tail = tuple(value.shape[-len(shape) :])
        if len(shape) == 1 and tuple(value.shape) == (n, n):  # a matrix of pairs of features
            return torch.block_diag(value, value)
        fits = all(have in (1, size) for have, size in zip(tail[::-1], shape[::-1], strict=False))
        if fits and value.dim() >= -axis and value.shape[axis] == shape[axis]:
            return torch.cat([value, value], axis)
        if tail[-1:] == (n,):  # the features in one row
            return torch.cat([value.unflatten(-1, shape)] * 2, axis).flatten(-len(shape))
        return value
