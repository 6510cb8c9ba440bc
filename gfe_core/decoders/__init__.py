"""Decoders: maps from latents (batch, latent) to raw outputs (batch, features)."""

from gfe_core.decoders.conv import ConvDecoder, TransposedConvDecoder
from gfe_core.decoders.invertible import InvertibleDecoder
from gfe_core.decoders.mlp import FlatDecoder, LinearDecoder, MLPDecoder, initialise, perceptron
from gfe_core.decoders.siren import Coordinates, SirenDecoder, grid
from gfe_core.decoders.wrapped import Wrapped, wrap

__all__ = [
    "ConvDecoder",
    "Coordinates",
    "FlatDecoder",
    "InvertibleDecoder",
    "LinearDecoder",
    "MLPDecoder",
    "SirenDecoder",
    "TransposedConvDecoder",
    "Wrapped",
    "grid",
    "initialise",
    "perceptron",
    "wrap",
]
