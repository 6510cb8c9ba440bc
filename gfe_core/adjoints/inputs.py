"""What a code depends on and asks for a gradient: found by walking the graph of one decoding.

A decoder may hold its weights anywhere: in a module, in a closure, in a traced graph, behind a
parametrisation. Autograd finds them all, so nothing is asked of the decoder but to decode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.data.contexts import changed, tensors_of
from gfe_core.decoders.graph import leaves_below, nodes_below
from gfe_core.energy import Energy
from gfe_core.energy.curvature import no_second_derivative
from gfe_core.types import Codes, Context


def parameters_of(decoder: Any) -> list[Tensor]:
    """Parameters of a module; none for a decoder of another kind."""
    return list(decoder.parameters()) if isinstance(decoder, nn.Module) else []


@dataclass(frozen=True)
class Inputs:
    """Tensors that require a gradient and on which the codes depend.

    Args:
        leaves: those that decoder, loss and penalty hold.
        x: the data, where they require a gradient.
        context: as passed to `encode`, where some of it requires a gradient.
        z0: the start, where it requires a gradient.
    """

    leaves: tuple[Tensor, ...]
    x: Tensor | None
    context: Context | None
    z0: Tensor | None

    @staticmethod
    def none() -> "Inputs":
        """Return the inputs of codes that nobody differentiates."""
        return Inputs((), None, None, None)

    @staticmethod
    def of(
        energy: Energy, z: Codes, x: Tensor, z0: Tensor | None, context: Context | None = None
    ) -> "Inputs":
        """Decode once and see what the energies depend on.

        Parameters of the decoder count even where no sample of this batch reaches them.

        Raises:
            TypeError: the decoder cannot be differentiated twice.
        """
        with torch.enable_grad():
            code = z.detach().clone().requires_grad_()
            energies = energy.per_sample(code)
        compiled = any("CompiledFunction" in node.name() for node in nodes_below(energies))
        what = f"`adjoint` needs, of {type(energy.decoder).__name__},"
        checks.require(not compiled, no_second_derivative(what), TypeError)
        found = leaves_below(energies)
        own = [p for p in parameters_of(energy.decoder) if p.requires_grad]
        leaves = {id(leaf): leaf for leaf in (*own, *found) if leaf is not code}
        asks = any(tensor.requires_grad for tensor in tensors_of(context))
        return Inputs(tuple(leaves.values()), _asking(x), context if asks else None, _asking(z0))

    @property
    def rows(self) -> list[Tensor]:
        """Those with one row a sample, the start excepted: x, then the context."""
        given = tensors_of(self.context)
        x = () if self.x is None else (self.x,)
        return [*x, *(tensor for tensor in given if tensor.requires_grad)]

    @property
    def tensors(self) -> list[Tensor]:
        """All of them: what is held, then x and context, then z0."""
        return [*self.leaves, *self.rows, *(() if self.z0 is None else (self.z0,))]

    def bound_to(self, energy: Energy) -> tuple[Energy, list[Tensor]]:
        """The same energy of leaves in the place of `rows`, and these leaves."""
        if not self.rows:
            return energy, []
        leaves: list[Tensor] = []

        def leaf_of(tensor: Tensor) -> Tensor:
            if not tensor.requires_grad:
                return tensor.detach()
            leaves.append(tensor.detach().requires_grad_())
            return leaves[-1]

        x = energy.data if self.x is None else leaf_of(self.x)
        context = changed(self.context, leaf_of)
        return energy.with_data(x, context), leaves


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
