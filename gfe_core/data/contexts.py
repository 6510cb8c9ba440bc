"""Contexts: what is known of each sample beside its data, as one tensor or several by name."""

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
    """Return the same context with every tensor changed; None stays None."""
    if context is None or isinstance(context, Tensor):
        return None if context is None else change(context)
    return {name: change(tensor) for name, tensor in context.items()}


def rows_of(context: Context | None, keep: Tensor | slice) -> Any:
    """Return the rows of some samples."""
    return changed(context, lambda tensor: tensor[keep])


def lengthened(context: Context | None, n: int) -> Any:
    """Repeat the first row up to n rows: a decoder may not be able to read zeros."""
    return changed(
        context, lambda rows: torch.cat([rows, rows[:1].expand(n - len(rows), *rows.shape[1:])])
    )


def check_context(context: Any, x: Tensor) -> None:
    """Refuse a context that is not one row for each sample of x, on its device.

    Raises:
        TypeError: it is neither a tensor nor tensors by name.
        ValueError: its rows are not those of x, or it is on another device.
    """
    if context is None:
        return
    named = context if isinstance(context, Mapping) else {"": context}
    for name, tensor in named.items():
        what = f"`context[{name!r}]`" if name != "" else "`context`"
        checks.require(
            isinstance(tensor, Tensor),
            f"{what} must be a tensor (or `context` a dict of tensors) with one row a sample, got "
            f"{type(tensor).__name__}. Convert it: `torch.as_tensor(...)`.",
            TypeError,
        )
        shape = tuple(tensor.shape)
        remedy = (
            f"One value for all samples: `c.expand({len(x)}, ...)`, or let the decoder hold it."
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
