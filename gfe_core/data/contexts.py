"""Contexts: information about each sample beside its data, as one tensor or several by name."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.types import Context


def tensors_of(context: Context | None) -> list[Tensor]:
    """Return the tensors of a context, in their order."""
    if context is None:
        return []
    return [context] if isinstance(context, Tensor) else list(context.values())


def changed(context: Context | None, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to every tensor of a context; None stays None."""
    if context is None or isinstance(context, Tensor):
        return None if context is None else change(context)
    return {name: change(tensor) for name, tensor in context.items()}


def rows_of(context: Context | None, keep: Tensor | slice) -> Any:
    """Return the rows of the selected samples."""
    return changed(context, lambda tensor: tensor[keep])


def lengthened(context: Context | None, n: int) -> Any:
    """Repeat the first row up to n rows, because zeros may be invalid for a decoder."""
    return changed(
        context, lambda rows: torch.cat([rows, rows[:1].expand(n - len(rows), *rows.shape[1:])])
    )


def check_context(context: Any, x: Tensor) -> None:
    """Refuse a context that does not have one row for each sample of x, on the same device.

    Raises:
        TypeError: the context is neither a tensor nor tensors by name.
        ValueError: the number of rows is not that of x, or the device is another.
    """
    if context is None:
        return
    named = context if isinstance(context, Mapping) else {"": context}
    for name, tensor in named.items():
        what = f"`context[{name!r}]`" if name != "" else "`context`"
        checks.require(
            isinstance(tensor, Tensor),
            f"{what} must be a tensor (or `context` a dict of tensors) with one row a sample, got "
            f"{type(tensor).__name__}. {_into_tensor(tensor, what)}",
            TypeError,
        )
        shape = tuple(tensor.shape)
        remedy = (
            f"For one value for all samples write `c.expand({len(x)}, ...)`, or let the decoder "
            "hold it."
        )
        checks.require(
            tensor.dim() > 0 and len(tensor) == len(x),
            f"{what} must have one row for each of the {len(x)} samples, got shape {shape}. "
            f"{remedy}",
        )
        checks.require(
            tensor.device == x.device,
            f"{what} is on {tensor.device} but `x` is on {x.device}. Move one: "
            f"`.to('{x.device}')`.",
        )


def _into_tensor(context: Any, what: str) -> str:
    """Say how a context becomes a tensor."""
    name = what.strip("`")
    if isinstance(context, (list, tuple)) and any(isinstance(one, str) for one in context):
        return f"Labels become numbers by `numpy.unique({name}, return_inverse=True)[1]`."
    return f"Convert its numbers: `torch.as_tensor({name})`."
