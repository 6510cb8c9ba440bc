"""gfe_core: Gradient Flow Encoding, an autoencoder without an encoder.

Read the rooms in this order: types, checks, losses, decoders, data, flows, solvers, integrate, adjoint, encoding.
"""

from gfe_core import data
from gfe_core.adjoint import Detached
from gfe_core.checkpoints import load_checkpoint, save_checkpoint
from gfe_core.decoders import ConvDecoder, LinearDecoder, MLPDecoder
from gfe_core.encoding import encode, reconstruct
from gfe_core.flows import Energy, ExponentialDecay, GradientFlow
from gfe_core.losses import Bernoulli, Gaussian
from gfe_core.solvers import AMD, RK4, Euler
from gfe_core.training import evaluate, fit
from gfe_core.types import SaveAt, Status, Stop

__version__ = "0.1.0"

__all__ = [
    "AMD",
    "RK4",
    "Bernoulli",
    "ConvDecoder",
    "Detached",
    "Energy",
    "Euler",
    "ExponentialDecay",
    "Gaussian",
    "GradientFlow",
    "LinearDecoder",
    "MLPDecoder",
    "SaveAt",
    "Status",
    "Stop",
    "data",
    "encode",
    "evaluate",
    "fit",
    "load_checkpoint",
    "reconstruct",
    "save_checkpoint",
]
