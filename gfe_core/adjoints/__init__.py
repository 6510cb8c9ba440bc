"""Adjoints: how gradients flow through the codes that `encode` returns."""

from gfe_core.adjoints.detached import Detached, Solution
from gfe_core.adjoints.exact import DiscreteAdjoint, Implicit, Unrolled

__all__ = ["Detached", "DiscreteAdjoint", "Implicit", "Solution", "Unrolled"]
