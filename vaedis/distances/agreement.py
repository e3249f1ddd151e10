"""How well perceived distances follow ground-truth distances, and when they cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaedis.distances.truth import ground_truth_matrix

# two distances that differ by less than this share of their size are equal: what float64 sums over
# a data set may lose
EQUAL = 1e-9


@dataclass(frozen=True)
class Agreement:
    """How perceived distances follow ground-truth distances.

    Attributes
    ----------
    linear, rank : float or None
        Pearson's and Spearman's correlation; None where one of the two distances does not vary, so
        that there is none.
    adversarial : bool
        Whether all perceived distances between different observations are equal: they say nothing
        about order.
    mean : float
        The mean perceived distance between different observations.
    """

    linear: float | None
    rank: float | None
    adversarial: bool
    mean: float


def agreement(
    matrix: np.ndarray, *, truth: np.ndarray | None = None, self_pairs: bool = False
) -> Agreement:
    """Compare a matrix of perceived distances, along a factor by default, with ground-truth distances.

    Parameters
    ----------
    matrix : ndarray of float, shape (f, f)
        As from `traversal_matrices`. Pairs that are NaN, here or in `truth`, are missing and left
        out.
    truth : ndarray of float, shape (f, f), optional
        The ground-truth distances; |i - j| by default. A circular factor, or a grid of several, has
        others.
    self_pairs : bool
        Count the diagonal too, distances of observations from themselves, as the authors' logged
        values do. On a factor whose distances are all equal they are the only reason why a
        correlation exists at all.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        If a matrix is not square, the two differ in shape, a distance is infinite, or no pair of
        different observations is known.

    References
    ----------
    The authors' ``run_data_correlation.py`` (self-pairs included).
    """
    matrix = np.asarray(matrix, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            f"matrix must be square with at least 2 rows, not of shape {matrix.shape}."
        )
    truth = ground_truth_matrix(len(matrix)) if truth is None else np.asarray(truth, float)
    if truth.shape != matrix.shape:
        raise ValueError(f"truth must have the shape of matrix, {matrix.shape}, not {truth.shape}.")
    if np.isinf(matrix).any() or np.isinf(truth).any():
        raise ValueError(
            "distances must be finite, or NaN where a pair is missing; leave infinite ones out as NaN."
        )
    known = ~(np.isnan(matrix) | np.isnan(truth))
    different = known & ~np.eye(len(matrix), dtype=bool)
    if not different.any():
        raise ValueError(
            "no pair of different observations has a known distance; give a matrix with at least one that is not NaN."
        )
    counted = known if self_pairs else different
    return compare(truth[counted], matrix[counted], matrix[different])


def compare(truth: np.ndarray, seen: np.ndarray, different: np.ndarray) -> Agreement:
    """Compare lists of distances, of shape (n,); `different` are those between different
    observations.
    """
    if not (_varies(truth) and _varies(seen)):
        linear = rank = None
    else:
        # sums in another order differ in the last digits; what is equal must tie
        rounded = np.round(seen / np.abs(seen).max(), 9)
        linear = float(np.corrcoef(truth, seen)[0, 1])
        rank = float(np.corrcoef(_ranks(truth), _ranks(rounded))[0, 1])
    return Agreement(linear, rank, not _varies(different), float(different.mean()))


def compare_counts(truth: np.ndarray, counts: np.ndarray) -> float | None:
    """Return Spearman's correlation from how often each ground-truth distance comes with each
    perceived distance.

    Parameters
    ----------
    truth : ndarray of float, shape (n,)
        Ground-truth distances; equal ones are one and the same.
    counts : ndarray of int, shape (n, bins)
        Perceived distances grow from left to right; those in one column tie.

    Returns
    -------
    float or None
        None if either distance does not vary.
    """
    levels, inverse = np.unique(truth, return_inverse=True)
    table = np.zeros((len(levels), counts.shape[1]))
    np.add.at(table, inverse, counts)
    total = table.sum()
    ranks = [
        np.cumsum(n) - n / 2 - total / 2 for n in (table.sum(1), table.sum(0))
    ]  # from the mean rank
    variances = [n @ r**2 for n, r in zip((table.sum(1), table.sum(0)), ranks, strict=True)]
    if min(variances) <= 0:
        return None
    return float(ranks[0] @ table @ ranks[1] / np.sqrt(variances[0] * variances[1]))


def _varies(x: np.ndarray) -> bool:
    return bool(np.ptp(x) > EQUAL * np.abs(x).max())


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 0; values that are equal share the mean of their ranks."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]
