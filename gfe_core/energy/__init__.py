"""The energy of a latent: losses, the energy itself and its second derivatives."""

from gfe_core.energy.calls import Calls, WholeLoss, context_taken
from gfe_core.energy.curvature import TANGENT_ROWS, Curvature, Matrices, tangents_of
from gfe_core.energy.energy import Energy, Point
from gfe_core.energy.losses import Bernoulli, Gaussian, Poisson

__all__ = [
    "TANGENT_ROWS",
    "Bernoulli",
    "Calls",
    "Curvature",
    "Energy",
    "Gaussian",
    "Matrices",
    "Point",
    "Poisson",
    "WholeLoss",
    "context_taken",
    "tangents_of",
]
