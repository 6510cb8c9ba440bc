"""gfe_core: Gradient Flow Encoding, an autoencoder without an encoder.

Read the rooms in this order:
types, checks, losses, decoders, dense, data, curvature, energy, flows, solvers, recording, integrate, adjoint,
encoding. The others in any order: sensitivity, stiffness, training, checkpoints, baselines, convolutional, variational,
siren, gon, constraint, narrowing, posterior.
"""

from gfe_core import data, gon, narrowing, posterior, siren, stiffness, variational
from gfe_core.adjoint import Detached
from gfe_core.checkpoints import load_checkpoint, save_checkpoint
from gfe_core.convolutional import TransposedConvDecoder
from gfe_core.decoders import ConvDecoder, LinearDecoder, MLPDecoder
from gfe_core.encoding import encode, encode_observed, reconstruct
from gfe_core.energy import Energy
from gfe_core.flows import ExponentialDecay, GradientFlow, NesterovFlow
from gfe_core.losses import Bernoulli, Gaussian
from gfe_core.sensitivity import DiscreteAdjoint, Implicit, Unrolled
from gfe_core.siren import SirenDecoder
from gfe_core.solvers import AMD, BFGS, RK4, Dopri5, Euler, GaussNewton, SemiImplicit
from gfe_core.training import evaluate, fit
from gfe_core.types import SaveAt, Status, Stop

__version__ = "0.1.0"

__all__ = [
    "AMD",
    "BFGS",
    "RK4",
    "Bernoulli",
    "ConvDecoder",
    "Detached",
    "DiscreteAdjoint",
    "Dopri5",
    "Energy",
    "Euler",
    "ExponentialDecay",
    "GaussNewton",
    "Gaussian",
    "GradientFlow",
    "Implicit",
    "LinearDecoder",
    "MLPDecoder",
    "NesterovFlow",
    "SaveAt",
    "SemiImplicit",
    "SirenDecoder",
    "Status",
    "Stop",
    "TransposedConvDecoder",
    "Unrolled",
    "data",
    "encode",
    "encode_observed",
    "evaluate",
    "fit",
    "gon",
    "load_checkpoint",
    "narrowing",
    "posterior",
    "reconstruct",
    "save_checkpoint",
    "siren",
    "stiffness",
    "variational",
]
