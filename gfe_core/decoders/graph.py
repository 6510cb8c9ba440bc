"""Record autograd's graph, and find the tensors from which a tensor was computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gfe_core import checks


@contextmanager
def graphs() -> Iterator[None]:
    """Record graphs; raise an error with a remedy in inference mode, where torch records none.

    The transforms of `torch.func`, in which autograd cannot be used, are refused too.
    """
    checks.outside_transforms("The gradient of an energy", "Take it outside, for all samples.")
    checks.require(
        not torch.is_inference_mode_enabled(),
        "Within `torch.inference_mode()` an energy has values but no gradients. Write "
        "`torch.no_grad()` in its place, or create and use the energy within `with "
        "torch.inference_mode(False):`, with clones of tensors that were made outside that.",
        RuntimeError,
    )
    with torch.enable_grad():
        yield


def nodes_below(value: Tensor) -> Iterator[Any]:
    """Yield each node of the graph that ends in a tensor once."""
    seen: set[Any] = set()
    waiting: list[Any] = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [below for below, _ in node.next_functions]


def leaves_below(value: Tensor) -> list[Tensor]:
    """Return the leaves of the graph that ends in a tensor: all tensors that require a gradient."""
    held = (getattr(node, "variable", None) for node in nodes_below(value))
    return list({id(leaf): leaf for leaf in held if leaf is not None}.values())
