"""What is computed of stored runs and of whole data sets, for claims and chapters."""

from vaedis_companion.analysis import courses, importances, intervals, measured, onsets

__all__ = ["courses", "importances", "intervals", "measured", "onsets"]
