"""Perceived and ground-truth distances over whole data sets.

The *ground-truth distance* of two observations is the L1 distance of their factor values; their
*perceived distance* is the reconstruction loss between them (paper, section 3).
"""

from vaedis.distances.agreement import (
    SHAPES,
    Agreement,
    agreement,
    ground_truth,
    ground_truth_matrix,
)
from vaedis.distances.factor_distances import factor_distances, traversal_matrices
from vaedis.distances.pairs import (
    RandomPairs,
    pair_agreement,
    pair_distances,
    perceived,
    random_pairs,
)
from vaedis.distances.ranking import RankedLoss, family, rank_losses
from vaedis.distances.result import FactorDistances, WithinRank, published_traversals

__all__ = [
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
