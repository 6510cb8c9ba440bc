"""Alternatives to the flow, all with the same call: `(decoder, x) -> Encoding`."""

from gfe_core.encoders.amortised import SemiAmortised, StoredCodes, ThenFlow
from gfe_core.encoders.autoencoder import Autoencoder, Filled, fit_encoder
from gfe_core.encoders.convolutional import ConvAutoencoder
from gfe_core.encoders.pca import PCA, project
from gfe_core.encoders.single_look import one_look

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
