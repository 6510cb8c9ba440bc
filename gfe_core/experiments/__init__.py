"""Experiments: long runs, the tables and figures made from them, and verdicts on claims."""

from gfe_core.experiments.tables import NAMES, experiment

__all__ = ["NAMES", "experiment"]
