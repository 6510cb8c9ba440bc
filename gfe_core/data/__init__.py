"""Data: sets by name or path, and the order in which training sees their samples."""

from gfe_core.data.batches import Batches
from gfe_core.data.dataset import DataError, DataSet
from gfe_core.data.downloads import data_folder
from gfe_core.data.sets import load

__all__ = ["Batches", "DataError", "DataSet", "data_folder", "load"]
