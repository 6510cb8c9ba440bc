"""Adjoints: how gradients flow through the codes that `encode` returns."""

from gfe_core.adjoints.detached import Detached, Found
from gfe_core.adjoints.exact import DiscreteAdjoint, Implicit, Unrolled

__all__ = ["Detached", "DiscreteAdjoint", "Found", "Implicit", "Unrolled"]
