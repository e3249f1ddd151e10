"""Ground-truth distances, and how well perceived distances follow them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check

SHAPES = ("line", "circle")
# Two distances are equal if they differ by less than this share of their size, which is what sums
# over a data set in float64 may lose.
EQUAL = 1e-9
# Of a loss's precision, times the mean distance of random pairs: what may be left of a distance
# of 0, as of 1 less a cosine.
ROUNDING = 64
# of the pairs behind a rank correlation, each left out once to tell its standard error
_PARTS = 20


@dataclass(frozen=True)
class Agreement:
    """How well perceived distances follow ground-truth distances.

    Attributes
    ----------
    linear, rank : float or None
        Pearson's and Spearman's correlation; None if one of the two distances does not vary.
    adversarial : bool
        Whether all perceived distances between different observations are equal, so that they
        carry no order.
    mean : float
        The mean perceived distance between different observations.

    Examples
    --------
    >>> import numpy as np
    >>> import vaedis as vd
    >>> vd.distances.agreement(1.0 - np.eye(4))
    Agreement(linear=None, rank=None, adversarial=True, mean=1.0)
    """

    linear: float | None
    rank: float | None
    adversarial: bool
    mean: float


def ground_truth(a: Tensor, b: Tensor) -> Tensor:
    """Compute the ground-truth distance of observations: the L1 distance of their factor values.

    Factor values are int of shape (..., F), distances int64 of shape (...). Raises a ValueError if
    a value is not a whole number, or not finite, or the shapes do not fit each other.

    Examples
    --------
    >>> import vaedis as vd
    >>> vd.distances.ground_truth([[0, 7, 3], [1, 1, 1]], [[2, 0, 3], [1, 1, 0]])
    tensor([9, 1])
    """
    codes = [_factor_values(values) for values in (a, b)]
    for values in codes:
        # infinity less itself is no number, which equals nothing
        if values.is_floating_point() and not torch.equal(values - values.round(), 0 * values):
            raise ValueError("factor values must be whole numbers, as `to_factors` returns them.")
    first, second = (values.long() for values in codes)
    try:
        torch.broadcast_shapes(first.shape, second.shape)
        do_fit = first.ndim > 0 and first.shape[-1:] == second.shape[-1:]
    except RuntimeError:
        do_fit = False
    if not do_fit:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"factor values must be of the same factors, not of shapes {shapes}.")
    return (first - second).abs().sum(-1)


def _factor_values(values: Any) -> Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            "factor values must be whole numbers, one row for each observation."
        ) from None


def ground_truth_matrix(size: int, shape: str = "line") -> np.ndarray:
    """Compute the ground-truth distances between all values of a factor.

    Parameters
    ----------
    size : int
        Number of values of the factor.
    shape : {"line", "circle"}
        |i - j|, as everywhere in the paper, or the shorter way round a circle of `size` steps, for
        hues and angles.

    Returns
    -------
    ndarray of float64, shape (size, size)

    Examples
    --------
    >>> import vaedis as vd
    >>> vd.distances.ground_truth_matrix(4, "circle")[0]
    array([0., 1., 2., 1.])
    """
    step = np.arange(_check.count("size", size))
    line = np.abs(step[:, None] - step).astype(float)
    if _check.one_of("shape", shape, SHAPES) == "line":
        return line
    return np.minimum(line, size - line)


def agreement(
    matrix: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    self_pairs: bool = False,
    rounding: float = 0.0,
) -> Agreement:
    """Compare a matrix of perceived distances with ground-truth distances.

    Parameters
    ----------
    matrix : ndarray of float, shape (f, f)
        As from `traversal_matrices`. Pairs that are NaN, here or in `truth`, are left out.
    truth : ndarray of float, shape (f, f), optional
        Ground-truth distances; |i - j| by default.
    self_pairs : bool
        Include the diagonal, distances of observations from themselves, as the authors' logged
        values do (``run_data_correlation.py``).
    rounding : float
        Distances that differ by no more are equal, as `FactorDistances.rounding` has it; by
        default those that differ by a billionth of the largest.

    Returns
    -------
    Agreement

    Raises
    ------
    TypeError
        If `matrix` is a `FactorDistances`, which has an `agreement` of its own.
    ValueError
        If a matrix is not square, the shapes differ, a distance is infinite, or no pair of
        different observations is known.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", grid_spacing=1, num_squares=1)
    >>> matrix = vd.distances.traversal_matrices(data, factors=["x_R"])["x_R"]
    >>> round(vd.distances.agreement(matrix).rank, 2)
    1.0
    """
    if hasattr(matrix, "matrix"):
        kind = type(matrix).__name__
        raise TypeError(f"a {kind} is no matrix: pass its .matrix, or call its .agreement().")
    if np.ma.is_masked(matrix) or np.ma.is_masked(truth):
        raise ValueError("a distance that is missing must be NaN, not masked: use .filled(np.nan).")
    self_pairs = _check.flag("self_pairs", self_pairs)
    rounding = _check.non_negative("rounding", rounding)
    matrix = as_numbers("matrix", matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            f"matrix must be square with at least 2 rows, not of shape {matrix.shape}."
        )
    if isinstance(truth, str):
        example = f"ground_truth_matrix({len(matrix)}, 'circle')"
        raise ValueError(f"truth must be a matrix, such as {example}, not {truth!r}.")
    truth = ground_truth_matrix(len(matrix)) if truth is None else as_numbers("truth", truth)
    if truth.shape != matrix.shape:
        raise ValueError(f"truth must have the shape of matrix, {matrix.shape}, not {truth.shape}.")
    if np.isinf(matrix).any() or np.isinf(truth).any():
        raise ValueError("distances must be finite, or NaN where a pair is missing.")
    known = ~(np.isnan(matrix) | np.isnan(truth))
    different = known & ~np.eye(len(matrix), dtype=bool)
    if not different.any():
        raise ValueError(
            "no pair of different observations has a known distance; give at least one."
        )
    mask = known if self_pairs else different
    return compare(truth[mask], matrix[mask], matrix[different], rounding)


def as_numbers(name: str, values: Any) -> np.ndarray:
    """Return an array of floats, also of a tensor; raise a ValueError for anything else."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().double()
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers, in rows of one length.") from None


def compare(
    truth: np.ndarray, perceived: np.ndarray, different: np.ndarray, rounding: float = 0.0
) -> Agreement:
    """Compare lists of distances; `different` are those between different observations.

    Perceived distances that differ by no more than `rounding` are equal.
    """
    linear = rank = None
    if _varies(truth) and _varies(perceived, rounding):
        # times a power of 2, which changes no digit, so that squares neither overflow nor vanish
        scaled = np.ldexp(perceived, -np.frexp(np.abs(perceived).max())[1])
        linear = float(np.corrcoef(truth, scaled)[0, 1])
        rank = float(np.corrcoef(_ranks(truth), _ranks(perceived, rounding))[0, 1])
    return Agreement(linear, rank, not _varies(different, rounding), float(different.mean()))


def rank_error(truth: np.ndarray, perceived: np.ndarray, rounding: float = 0.0) -> float | None:
    """Estimate the standard error of Spearman's correlation of independent pairs.

    By the jackknife, which leaves out one of 20 parts at a time. None if a part that is left has no
    correlation.
    """
    ranks = []
    for part in np.array_split(np.arange(len(truth)), _PARTS):
        x, y = (np.delete(values, part) for values in (truth, perceived))
        rank = compare(x, y, y, rounding).rank if len(x) else None
        if rank is None:
            return None
        ranks.append(rank)
    return float(np.sqrt(_PARTS - 1) * np.std(ranks))


def _varies(x: np.ndarray, rounding: float = 0.0) -> bool:
    return bool(np.ptp(x) > max(EQUAL * np.abs(x).max(), rounding))


def _ranks(x: np.ndarray, rounding: float = 0.0) -> np.ndarray:
    """Rank values from 0; those that differ by rounding alone share their mean rank."""
    order = x.argsort()
    # sums in another order differ in the last digits
    equal = max(EQUAL * np.abs(x).max(), min(rounding, np.ptp(x) / len(x)))
    is_larger = np.diff(x[order], prepend=x[order[:1]]) > equal
    level = np.empty(len(x), int)
    level[order] = is_larger.cumsum()
    counts = np.bincount(level)
    return (np.cumsum(counts) - (counts + 1) / 2)[level]


def compare_counts(truth: np.ndarray, counts: np.ndarray) -> float | None:
    """Compute Spearman's correlation of distances from a histogram; None if one does not vary.

    `truth` is (n,), `counts` (n, bins): perceived distances grow with the column, and tie in it.
    """
    levels, inverse = np.unique(truth, return_inverse=True)
    table = np.zeros((len(levels), counts.shape[1]))
    np.add.at(table, inverse, counts)
    totals = (table.sum(1), table.sum(0))
    # ranks less their mean
    truth_ranks, perceived_ranks = (np.cumsum(n) - n / 2 - table.sum() / 2 for n in totals)
    truth_variance = totals[0] @ truth_ranks**2
    perceived_variance = totals[1] @ perceived_ranks**2
    if min(truth_variance, perceived_variance) <= 0:
        return None
    covariance = truth_ranks @ table @ perceived_ranks
    return float(covariance / np.sqrt(truth_variance * perceived_variance))


def rank_within(
    distances: Tensor,
    truths: Iterable[Tensor],
    mask: Tensor | None = None,
    rounding: float = 0.0,
) -> list[tuple[Tensor, Tensor]]:
    """Compute Spearman's correlation within each traversal, (T, P) to (T,), for each ground truth.

    A second tensor says where it is NaN since all perceived distances are equal. Those that differ
    by no more than `rounding` are.
    """
    top = (distances if mask is None else distances * mask).abs().amax(1, keepdim=True)
    # sums in another order differ in the last digits; equal distances must tie
    equal = EQUAL * top
    highest = distances if mask is None else distances.where(mask, -math.inf)
    lowest = distances if mask is None else distances.where(mask, math.inf)
    extent = highest.amax(1) - lowest.amin(1)
    # many distances lie close together, and must not tie one by one from end to end
    gap = (extent[:, None] / distances.shape[1]).clamp(max=rounding)
    ranks = _centred_ranks(distances, mask, torch.maximum(equal, gap))
    variance = ranks.square().sum(1)
    varies = (extent > equal[:, 0].clamp(min=rounding)) & (variance > 0)
    results = []
    for truth in truths:
        steps = torch.atleast_2d(truth.double())
        step_ranks = _centred_ranks(steps, mask)
        step_variance = step_ranks.square().sum(1)
        has_order = step_variance > 0
        correlation = (ranks * step_ranks).sum(1) / (variance * step_variance).sqrt()
        correlation = torch.where(varies & has_order, correlation, math.nan)
        results.append((correlation, has_order & ~varies))
    return results


def _centred_ranks(values: Tensor, mask: Tensor | None, equal: Tensor | float = 0.0) -> Tensor:
    """Rank values within each row, twice, less the mean rank; 0 outside the mask.

    Values tie that are next to each other in order and differ by `equal` at most.
    """
    if mask is not None:
        values = values.where(mask, math.inf)
    ordered, order = values.sort(1)
    # not between two that are outside the mask, whose difference is NaN
    level = torch.zeros_like(order)
    level[:, 1:] = (ordered.diff(dim=1) > equal).cumsum(1)
    number = torch.zeros_like(ordered).scatter_add_(1, level, torch.ones_like(ordered))
    twice_the_mean = 2 * number.cumsum(1) - number
    ranks = torch.empty_like(ordered).scatter_(1, order, twice_the_mean.gather(1, level))
    if mask is None:
        return ranks - ranks.mean(1, keepdim=True)
    count = mask.sum(1, keepdim=True).clamp(min=1)
    return (ranks - (ranks * mask).sum(1, keepdim=True) / count) * mask
