"""Figures of data, distances, codes and scores.

Each function takes arrays and returns a matplotlib Figure.
"""

from vaedis.plots.curves import bars, codes, cumulative, lines, panels
from vaedis.plots.images import distance_matrices, latent_traversals, matrices, traversals

__all__ = [
    "bars",
    "codes",
    "cumulative",
    "distance_matrices",
    "latent_traversals",
    "lines",
    "matrices",
    "panels",
    "traversals",
]
