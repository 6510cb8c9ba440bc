"""Training: `fit` a decoder, `evaluate` it, and keep checkpoints."""

from gfe_core.training.checkpoints import load_checkpoint, save_checkpoint
from gfe_core.training.fitting import Callback, Evaluation, History, Report, evaluate, fit, update

__all__ = [
    "Callback",
    "Evaluation",
    "History",
    "Report",
    "evaluate",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
    "update",
]
