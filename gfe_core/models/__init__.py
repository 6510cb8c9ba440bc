"""Models: a decoder with its loss in one file, and trained decoders in the package."""

from gfe_core.models.files import Model, load, save
from gfe_core.models.pretrained import pretrained

__all__ = ["Model", "load", "pretrained", "save"]
