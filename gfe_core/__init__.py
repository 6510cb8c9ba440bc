"""gfe_core: Gradient Flow Encoding, an autoencoder without an encoder.

To understand the method, follow one call of `encode` through `types`, `checks`, `data`, `decoders`,
`energy`, `flows`, `solvers`, `adjoints` and `encoding`. The other packages build on these:
`models`, `training`, `encoders`, `analysis` and `methods`, and `widgets`, `experiments` and `cli`,
which display and run them.
"""

from importlib import import_module
from types import ModuleType

from gfe_core import data
from gfe_core.adjoints import Detached, DiscreteAdjoint, Implicit, Unrolled
from gfe_core.analysis import stiffness
from gfe_core.decoders import (
    ConvDecoder,
    InvertibleDecoder,
    LinearDecoder,
    MLPDecoder,
    SirenDecoder,
    TransposedConvDecoder,
    siren,
    wrap,
)
from gfe_core.encoding import encode, encode_observed, reconstruct
from gfe_core.energy import Bernoulli, Energy, Gaussian, Poisson
from gfe_core.flows import ExponentialDecay, GradientFlow, NesterovFlow
from gfe_core.methods import density, gon, narrowing, posterior, variational
from gfe_core.models import Model, load, pretrained, save
from gfe_core.solvers import AMD, BFGS, LBFGS, RK4, Dopri5, Euler, GaussNewton, SemiImplicit
from gfe_core.training import evaluate, fit, load_checkpoint, save_checkpoint
from gfe_core.types import SaveAt, Status, Stop

__version__ = "0.1.0"

__all__ = [
    "AMD",
    "BFGS",
    "LBFGS",
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
    "InvertibleDecoder",
    "LinearDecoder",
    "MLPDecoder",
    "Model",
    "NesterovFlow",
    "Poisson",
    "SaveAt",
    "SemiImplicit",
    "SirenDecoder",
    "Status",
    "Stop",
    "TransposedConvDecoder",
    "Unrolled",
    "data",
    "density",
    "encode",
    "encode_observed",
    "evaluate",
    "fit",
    "gon",
    "load",
    "load_checkpoint",
    "narrowing",
    "posterior",
    "pretrained",
    "reconstruct",
    "save",
    "save_checkpoint",
    "siren",
    "stiffness",
    "variational",
    "wrap",
]

_MOVED = {
    "adjoint": "adjoints",
    "baselines": "encoders",
    "checkpoints": "training.checkpoints",
    "constraint": "methods.constraint",
    "convolutional": "decoders.conv",
    "curvature": "energy.curvature",
    "doctor": "cli.doctor",
    "losses": "energy.losses",
    "plots": "widgets.charts.plots",
    "readers": "data.readers",
    "results": "data.results",
    "sensitivity": "adjoints",
    "shapes": "data.shapes",
    "spectra": "data.emission_lines",
}
"""Modules of the first release whose names have changed, with their present names.

`from gfe_core import baselines` still works.
"""


def __getattr__(name: str) -> ModuleType:
    if name in _MOVED:
        return import_module(f"gfe_core.{_MOVED[name]}")
    raise AttributeError(f"module 'gfe_core' has no attribute {name!r}")
