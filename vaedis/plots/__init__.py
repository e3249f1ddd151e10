"""Figures of data, distances, codes and scores.

Each function takes arrays, a data set or a run, and returns a matplotlib Figure.
"""

from vaedis.plots.curves import bars, codes, cumulative, lines, panels, training
from vaedis.plots.drawings import images, latent_traversals, traversals
from vaedis.plots.heatmaps import distance_matrices, matrices

__all__ = [
    "bars",
    "codes",
    "cumulative",
    "distance_matrices",
    "images",
    "latent_traversals",
    "lines",
    "matrices",
    "panels",
    "training",
    "traversals",
]
