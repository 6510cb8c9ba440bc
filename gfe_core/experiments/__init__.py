"""Experiments: long training runs, the tables and figures made from them, and the claims judged by these."""

from gfe_core.experiments.tables import NAMES, experiment

__all__ = ["NAMES", "experiment"]
