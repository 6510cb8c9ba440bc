"""What a code depends on and asks for a gradient: found by walking the graph of one decoding.

A decoder may hold its weights anywhere: in a module, in a closure, in a traced graph, behind a
parametrisation. Autograd finds them all, so nothing is asked of the decoder but to decode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core.energy import Energy
from gfe_core.energy.curvature import no_second_derivative
from gfe_core.types import Codes


def parameters_of(decoder: Any) -> list[Tensor]:
    """Parameters of a module; none for a decoder of another kind."""
    return list(decoder.parameters()) if isinstance(decoder, nn.Module) else []


@dataclass(frozen=True)
class Inputs:
    """Tensors that require a gradient and on which the codes depend.

    Args:
        leaves: those that decoder, loss and penalty hold.
        x: the data, where they require a gradient.
        z0: the start, where it requires a gradient.
    """

    leaves: tuple[Tensor, ...]
    x: Tensor | None
    z0: Tensor | None

    @staticmethod
    def of(energy: Energy, z: Codes, x: Tensor, z0: Tensor | None) -> "Inputs":
        """Decode once and see what the energies depend on.

        Parameters of the decoder count even where no sample of this batch reaches them.

        Raises:
            TypeError: the decoder cannot be differentiated twice.
        """
        with torch.enable_grad():
            code = z.detach().clone().requires_grad_()
            found = _leaves_below(energy.with_graph(code), type(energy.decoder).__name__)
        own = [p for p in parameters_of(energy.decoder) if p.requires_grad]
        leaves = {id(leaf): leaf for leaf in (*own, *found) if leaf is not code}
        asks_x = x if x.requires_grad else None
        return Inputs(tuple(leaves.values()), asks_x, _asking(z0))

    @property
    def tensors(self) -> list[Tensor]:
        """All of them: what is held, then x, then z0."""
        return [*self.leaves, *(t for t in (self.x, self.z0) if t is not None)]


class Versions:
    """How often tensors had been changed in place at some moment.

    Args:
        tensors: those to watch.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._noted = [(tensor, tensor._version) for tensor in tensors]

    @property
    def changed(self) -> bool:
        """Whether one of them has been changed in place since."""
        return any(tensor._version != version for tensor, version in self._noted)


def _asking(tensor: Tensor | None) -> Tensor | None:
    return tensor if tensor is not None and tensor.requires_grad else None


def _leaves_below(energies: Tensor, decoder: str) -> list[Tensor]:
    """Leaves of the graph that ends in some energies; refuse a graph without second derivatives."""
    leaves: dict[int, Tensor] = {}
    seen: set[Any] = set()
    waiting: list[Any] = [energies.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if "CompiledFunction" in node.name():
            raise TypeError(no_second_derivative(f"`adjoint` needs, of {decoder},"))
        if node.name().endswith("AccumulateGrad"):
            leaves[id(node.variable)] = node.variable
        waiting += [below for below, _ in node.next_functions]
    return list(leaves.values())
