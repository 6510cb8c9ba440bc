"""Other ways to a code, all called alike: `(decoder, x) -> Encoding`."""

from gfe_core.encoders.autoencoder import (
    PCA,
    Autoencoder,
    Filled,
    SemiAmortised,
    StoredCodes,
    ThenFlow,
    fit_encoder,
    one_look,
    project,
)
from gfe_core.encoders.convolutional import ConvAutoencoder

__all__ = [
    "PCA",
    "Autoencoder",
    "ConvAutoencoder",
    "Filled",
    "SemiAmortised",
    "StoredCodes",
    "ThenFlow",
    "fit_encoder",
    "one_look",
    "project",
]
