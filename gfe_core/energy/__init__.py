"""The energy of a latent: losses, the energy itself, and how it bends."""

from gfe_core.energy.curvature import Curvature, Matrices
from gfe_core.energy.energy import Energy, Point
from gfe_core.energy.losses import Bernoulli, Gaussian

__all__ = ["Bernoulli", "Curvature", "Energy", "Gaussian", "Matrices", "Point"]
