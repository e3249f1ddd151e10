"""Perceived and ground-truth distances, over whole data sets.

The *ground-truth distance* of two observations is the L1 distance of their factor values; their
*perceived distance* is the reconstruction loss between them (paper, section 3). Averages along a
factor run over all traversals of the data set unless a sample is asked for.
"""

from vaedis.distances.accumulator import FactorDistances
from vaedis.distances.agreement import Agreement, agreement
from vaedis.distances.factor_distances import factor_distances, traversal_matrices
from vaedis.distances.pairs import (
    SAMPLINGS,
    pair_agreement,
    pair_distances,
    perceived,
    published_traversals,
)
from vaedis.distances.random_pairs import RandomPairs, random_pairs
from vaedis.distances.ranking import RankedLoss, family, rank_losses
from vaedis.distances.truth import SHAPES, ground_truth, ground_truth_matrix
from vaedis.distances.within import WithinRank

__all__ = [
    "SAMPLINGS",
    "SHAPES",
    "Agreement",
    "FactorDistances",
    "RandomPairs",
    "RankedLoss",
    "WithinRank",
    "agreement",
    "factor_distances",
    "family",
    "ground_truth",
    "ground_truth_matrix",
    "pair_agreement",
    "pair_distances",
    "perceived",
    "published_traversals",
    "random_pairs",
    "rank_losses",
    "traversal_matrices",
]
