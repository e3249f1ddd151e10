"""What is computed of stored runs and of whole data sets, for claims and chapters."""

from vaedis_companion.analysis import importances, intervals, measured, onsets

__all__ = ["importances", "intervals", "measured", "onsets"]
