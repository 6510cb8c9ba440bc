"""What a tensor was computed from: autograd's graph, walked without computing anything."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor


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
    """Return the leaves of the graph that ends in a tensor: all that asks for a gradient."""
    held = (getattr(node, "variable", None) for node in nodes_below(value))
    return list({id(leaf): leaf for leaf in held if leaf is not None}.values())
