"""The paper's own figures of scores and their course."""

from vaedis_companion.figures.scores import (
    argument,
    learning,
    scores_by_beta,
    scores_by_group,
    scores_by_spacing,
    where_learning_ends,
)

__all__ = [
    "argument",
    "learning",
    "scores_by_beta",
    "scores_by_group",
    "scores_by_spacing",
    "where_learning_ends",
]
