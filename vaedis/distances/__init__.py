"""Perceived and ground-truth distances, over whole data sets.

The *ground-truth distance* of two observations is the L1 distance of their factor values; their *perceived distance* is the reconstruction
loss between them (paper, section 3). Averages along a factor run over all traversals of the data set unless a sample is asked for.
"""

from vaedis.distances._agreement import Agreement, agreement
from vaedis.distances._along import along, traversal_matrices
from vaedis.distances._finder import RankedLoss, family, rank_losses
from vaedis.distances._levels import LEVELS, confusion, latent_agreement, learnt, level_matrices, posterior_map
from vaedis.distances._pairs import SAMPLINGS, pair_agreement, pair_distances, perceived, published_traversals
from vaedis.distances._random import RandomPairs, random_pairs
from vaedis.distances._tally import Along
from vaedis.distances._truth import SHAPES, ground_truth, ground_truth_matrix
from vaedis.distances._within import WithinRank

__all__ = [
    "LEVELS",
    "SAMPLINGS",
    "SHAPES",
    "Agreement",
    "Along",
    "RandomPairs",
    "RankedLoss",
    "WithinRank",
    "agreement",
    "along",
    "confusion",
    "family",
    "ground_truth",
    "ground_truth_matrix",
    "latent_agreement",
    "learnt",
    "level_matrices",
    "pair_agreement",
    "pair_distances",
    "perceived",
    "posterior_map",
    "published_traversals",
    "random_pairs",
    "rank_losses",
    "traversal_matrices",
]
