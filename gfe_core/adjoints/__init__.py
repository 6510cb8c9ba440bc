"""Adjoints: how a gradient reaches the decoder through the codes it helped to find."""

from gfe_core.adjoints.detached import Detached, Found
from gfe_core.adjoints.exact import DiscreteAdjoint, Implicit, Unrolled

__all__ = ["Detached", "DiscreteAdjoint", "Found", "Implicit", "Unrolled"]
