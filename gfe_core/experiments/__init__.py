"""Experiments: long runs, the tables and figures made from them, and claims judged by these."""

from gfe_core.experiments.tables import NAMES, experiment

__all__ = ["NAMES", "experiment"]
