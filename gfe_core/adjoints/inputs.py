"""The inputs of codes that require a gradient, collected from the graph of one decoding.

A decoder may hold its weights anywhere: in a module, in a closure, in a traced graph, behind a
parametrisation. Autograd finds them all, so a decoder only has to decode.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.data.contexts import changed, tensors_of
from gfe_core.decoders.graph import leaves_below, nodes_below
from gfe_core.decoders.plain import is_plain
from gfe_core.decoders.wrapped import modules_used_by
from gfe_core.energy import Energy
from gfe_core.energy.calls import alike, random_codes
from gfe_core.energy.curvature import no_second_derivative
from gfe_core.types import Codes, Context


def parameters_of(decoder: Any) -> list[Tensor]:
    """Return the parameters of a module; none for a decoder of another type."""
    return list(decoder.parameters()) if isinstance(decoder, nn.Module) else []


@dataclass(frozen=True)
class Inputs:
    """Tensors that require a gradient and on which the codes depend.

    Args:
        leaves: tensors that decoder, loss and penalty hold.
        x: data, if they require a gradient.
        context: context as passed to `encode`, if part of it requires a gradient.
        z0: start, if it requires a gradient.
        z: codes at which the leaves were collected.
    """

    leaves: tuple[Tensor, ...]
    x: Tensor | None
    context: Context | None
    z0: Tensor | None
    z: Codes | None = None

    @staticmethod
    def none() -> "Inputs":
        """Return the inputs of codes that are not differentiated."""
        return Inputs((), None, None, None)

    @staticmethod
    def of(
        energy: Energy, z: Codes, x: Tensor, z0: Tensor | None, context: Context | None = None
    ) -> "Inputs":
        """Decode once and collect the tensors on which the energies depend.

        Parameters of the decoder are included even if no sample of this batch uses them.

        Raises:
            TypeError: the decoder cannot be differentiated twice.
        """
        with torch.enable_grad():
            code = z.detach().clone().requires_grad_()
            energies = energy.per_sample(code)
        compiled = any("CompiledFunction" in node.name() for node in nodes_below(energies))
        name = type(energy.decoder).__name__
        message = no_second_derivative(f"`adjoint` with `decoder` {name} needs")
        checks.require(not compiled, message, TypeError)
        reached = leaves_below(energies)
        own = [p for p in parameters_of(energy.decoder) if p.requires_grad]
        leaves = {id(leaf): leaf for leaf in (*own, *reached) if leaf is not code}
        asks = any(tensor.requires_grad for tensor in tensors_of(context))
        return Inputs(tuple(leaves.values()), _asking(x), context if asks else None, _asking(z0), z)

    @property
    def rows(self) -> list[Tensor]:
        """Tensors with one row for each sample, without the start: x, then the context."""
        given = tensors_of(self.context)
        x = () if self.x is None else (self.x,)
        return [*x, *(tensor for tensor in given if tensor.requires_grad)]

    @property
    def tensors(self) -> list[Tensor]:
        """All inputs: the leaves, then x and context, then z0."""
        return [*self.leaves, *self.rows, *(() if self.z0 is None else (self.z0,))]

    def reached_by(self, energy: Energy) -> bool:
        """Whether the energies still depend on the same leaves, by one more decoding."""
        assert self.z is not None
        now = Inputs.of(energy, self.z, energy.data, None).leaves
        return list(map(id, now)) == list(map(id, self.leaves))

    def bound_to(self, energy: Energy) -> tuple[Energy, list[Tensor]]:
        """Return the same energy with new leaves in place of `rows`, and these leaves."""
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
    """Tensors with their version counters, which show whether they are changed or replaced later.

    Args:
        watched: function that returns the tensors to watch, such as the parameters of a module. It
            is called again for each comparison.
    """

    def __init__(self, watched: Callable[[], Sequence[Tensor]]) -> None:
        self._watched = watched
        self._noted = [(tensor, tensor._version) for tensor in watched()]

    @property
    def changed(self) -> bool:
        """Whether any tensor has been changed in place, or replaced by another one, since."""
        now = self._watched()
        return len(now) != len(self._noted) or any(
            tensor is not noted or tensor._version != version
            for tensor, (noted, version) in zip(now, self._noted, strict=True)
        )


_FEW = 8
"""Number of samples by which a changed loss or penalty is noticed."""


class AsEncoded:
    """Decoder, loss and penalty as they are now, for a later backward pass.

    Args:
        energy: energy with these parts.
        z: codes that were found.
    """

    def __init__(self, energy: Energy, z: Codes) -> None:
        users = [energy.loss.given, energy.loss.function, energy.penalty]
        self._known = is_plain(energy.decoder) and energy.loss.is_kit and energy.penalty is None
        modules = modules_used_by(energy.decoder, *([] if self._known else users))
        self._modes = _modes_of(modules)
        if self._known:
            return
        few = slice(0, _FEW)
        self._energy = energy.rows(few)
        z = z[few].nan_to_num(0, 0, 0)
        unit = z.square().mean().sqrt() if z.any() else z.new_ones(())
        # At the origin, where a code may be, a penalty is 0 whatever its strength.
        self._z = z + unit * random_codes(z)
        self._terms = self._energy.terms(self._z)

    @contextmanager
    def modes(self) -> Iterator[None]:
        """Set all modules to their modes at the encode, training or not, for one block."""
        now = _modes_of([module for module, _ in self._modes])
        _set(self._modes)
        try:
            yield
        finally:
            _set(now)

    @property
    def holds(self) -> bool:
        """Whether loss and penalty have the same values as at the encode, up to rounding.

        A user's function may use numbers and tensors that nothing lists. A few samples show their
        change. Plain decoders and losses of the kit are not evaluated.
        """
        if self._known or not len(self._z):
            return True
        now = self._energy.terms(self._z)
        return all(alike(after, before) for before, after in zip(self._terms, now, strict=True))


def _modes_of(modules: Sequence[nn.Module]) -> list[tuple[nn.Module, bool]]:
    # a module that was frozen by `torch.jit.freeze` has no modes
    return [(module, module.training) for module in modules if hasattr(module, "training")]


def _set(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        if module.training != training:
            module.training = training


def _asking(tensor: Tensor | None) -> Tensor | None:
    return tensor if tensor is not None and tensor.requires_grad else None
