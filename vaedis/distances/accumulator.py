"""What is kept of distances while they stream by: sums, powers, a histogram; and what those say in
the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.distances.agreement import EQUAL, Agreement, compare_counts
from vaedis.distances.truth import SHAPES, ground_truth_matrix
from vaedis.distances.within import WithinRank, WithinSums, rank_within

_BINS = 4096
_FLUSH = 2**21
# from this rank correlation on, distances are said to follow an order
FOLLOWS = 0.3


@dataclass(frozen=True)
class FactorDistances:
    """Perceived distances along one factor, over many traversals.

    Attributes
    ----------
    factor : str
    matrix : ndarray of float64, shape (f, f)
        Mean over traversals. Row: the reconstruction's value. Column: the target's. NaN where no
        traversal has both values.
    square_matrix : ndarray of float64, shape (f, f)
        Mean over traversals of the squared distances.
    pairs : ndarray of int64, shape (f, f)
        How many pairs of images each entry is a mean over: one of each traversal, or more where
        several images share all their factors.
    traversals : int
        How many there were: groups of images that differ in this factor only, or random parts of
        such.
    exact : bool
        Whether they are all that the data set has, or stand for all of them, so that there is no
        sampling error.
    mean, sd : float
        Of all distances between different values.
    smallest, largest : float
        Of the same.
    counts : ndarray of int64, shape (f, bins)
        How many pairs |i - j| = row apart have a distance within half a bin of ``bin * width``. Row
        0 are observations with themselves.
    width : float
        Of a bin; at most 1/1600 of the largest distance.
    between : ndarray of float64, shape (2, 2)
        Covariance over traversals of a traversal's mean distance and its mean ``(distance -
        mean)²``.
    fourth : float
        The mean of ``(distance - mean)⁴``.
    errors : ndarray of float64, shape (2, 2), optional
        Of a sample of traversals that are not independent of each other: the covariance of the
        errors of `mean` and ``sd²``.
    within, within_circle : WithinRank, optional
        The rank correlation within each traversal, of distances along a line and along a circle;
        not of distances that were stored (``results/distances``).
    beyond : float
        The largest distance less that of its target from itself; NaN if it was not recorded.
    same : float, optional
        The mean distance of different images that share all factors, this one too, if there are
        any.
    same_error : float
        Its standard error, as if pairs were independent.
    """

    factor: str
    matrix: np.ndarray
    square_matrix: np.ndarray
    pairs: np.ndarray
    traversals: int
    exact: bool
    mean: float
    sd: float
    smallest: float
    largest: float
    counts: np.ndarray
    width: float
    between: np.ndarray
    fourth: float
    errors: np.ndarray | None = None
    within: WithinRank | None = None
    within_circle: WithinRank | None = None
    beyond: float = math.nan
    same: float | None = None
    same_error: float = 0.0

    @property
    def adversarial(self) -> bool:
        """Whether all distances between different values are equal, so that they carry no order."""
        return self.largest - self.smallest <= EQUAL * self.largest

    @property
    def neighbours(self) -> float:
        """The mean distance between neighbouring values; NaN if there are none."""
        matrices = np.stack([self.matrix, self.pairs])
        values, pairs = np.concatenate([matrices.diagonal(1, 1, 2), matrices.diagonal(-1, 1, 2)], 1)
        return (
            float(np.average(values[pairs > 0], weights=pairs[pairs > 0]))
            if pairs.any()
            else math.nan
        )

    def quantile(self, share: float | np.ndarray) -> np.ndarray:
        """Return the distances that a share of all pairs of different values stay at or below, to
        the width of a bin.
        """
        cumulative = np.cumsum(self.counts[1:].sum(0))
        return np.searchsorted(cumulative, np.asarray(share) * cumulative[-1]) * self.width

    def standard_errors(
        self, traversals: int | None = None, pairs: int | None = None
    ) -> tuple[float, float]:
        """Return the standard errors of `mean` and `sd` that a sample implies.

        Parameters
        ----------
        traversals : int, optional
            How many random traversals; by default those of this sample, and no error if it is
            exact.
        pairs : int, optional
            How many pairs were drawn from them altogether; all pairs of each by default.

        Returns
        -------
        (float, float)
            To first order. That pairs of one traversal have much in common is taken into account.
        """
        if traversals is None and self.exact:
            return 0.0, 0.0
        if traversals is None and self.errors is not None:
            variances = self.errors.diagonal()
        else:
            n = self.traversals if traversals is None else _check.count("traversals", traversals)
            variances = self.between.diagonal().clip(min=0) / n
        if pairs is not None:
            within = np.array([self.sd**2, self.fourth - self.sd**4]) - self.between.diagonal()
            variances = variances + within.clip(min=0) / _check.count("pairs", pairs)
        return math.sqrt(variances[0]), math.sqrt(variances[1]) / (
            2 * self.sd
        ) if self.sd > 0 else 0.0

    def agreement(self, shape: str = "line", *, self_pairs: bool = False) -> Agreement:
        """Compare distances of all traversals together, pair by pair rather than averaged, with
        ground-truth distances.

        As the paper's logged values do. What differs from one traversal to the next, such as the
        contrast, counts as disorder here; `within` judges each traversal by itself.

        Parameters
        ----------
        shape : {"line", "circle"}
            See `ground_truth_matrix`.
        self_pairs : bool
            Count observations with themselves too, each once, as the authors' logged values do.

        Returns
        -------
        Agreement
            For the rank correlation, distances in one bin of `counts` tie. Without self-pairs, none
            if the factor is adversarial.
        """
        size = len(self.matrix)
        truth = ground_truth_matrix(size, shape)
        pairs = self.pairs * (~np.eye(size, dtype=bool) | self_pairs)
        known = pairs > 0
        weight = pairs[known] / pairs.sum()
        x, y, square = truth[known], self.matrix[known], self.square_matrix[known]
        mean_x, mean_y = weight @ x, weight @ y
        variance = (weight @ (x - mean_x) ** 2) * (weight @ square - mean_y**2)
        if variance <= 0 or not np.ptp(x) or (self.adversarial and not self_pairs):
            return Agreement(None, None, self.adversarial, self.mean)
        linear = float(weight @ ((x - mean_x) * (y - mean_y)) / math.sqrt(variance))
        rows = slice(0 if self_pairs else 1, None)
        return Agreement(
            linear, compare_counts(truth[0, rows], self.counts[rows]), self.adversarial, self.mean
        )

    @property
    def best_shape(self) -> str | None:
        """ "line" or "circle", whichever has the higher rank correlation with these distances; None
        for an adversarial factor.
        """
        ranks = self._ranks()
        return max(ranks, key=ranks.__getitem__) if ranks else None

    def _ranks(self) -> dict[str, float]:
        """Return the rank correlation with each shape that has one: within traversals, or pooled if
        that is not known.
        """
        if self.within is None or self.within_circle is None:
            ranks = {shape: self.agreement(shape).rank for shape in SHAPES}
        else:
            ranks = {"line": self.within.mean, "circle": self.within_circle.mean}
        return {shape: rank for shape, rank in ranks.items() if rank is not None}

    def verdict(self) -> str:
        """Return a sentence: whether the factor is adversarial, and which order its distances follow
        if not.

        By the rank correlation within traversals, or of pooled pairs where only those are stored.
        """
        shape = self.best_shape
        if self.adversarial or shape is None:
            return f"{self.factor} is adversarial: all distances along it are equal ({self.mean:.3g}), so that they carry no order."
        ranks = self._ranks()
        numbers = ", ".join(f"{rank:.2f} with a {name}" for name, rank in ranks.items())
        kind = (
            "rank correlation of pooled pairs"
            if self.within is None
            else "mean rank correlation within traversals"
        )
        if ranks[shape] < FOLLOWS:
            return f"{self.factor} hardly follows an order: the {kind} is {numbers}."
        return f"{self.factor} is best described by a {shape}: the {kind} is {numbers}."


class Accumulator:
    """Sums over traversals of one factor.

    Parameters
    ----------
    size : int
        How many values the factor has.
    symmetric : bool
        Whether distances are symmetric and 0 on the diagonal; half of them are then looked at.
    device : torch.device
    sets : int
        How many sets the traversals come in, if only sets are independent of each other.
    """

    def __init__(self, size: int, symmetric: bool, device: torch.device, sets: int = 0):
        self.size, self.symmetric, self.device = size, symmetric, device
        self.i, self.j = self._pairs_of(size)
        zeros = lambda *shape: torch.zeros(shape, dtype=torch.float64, device=device)  # noqa: E731
        self.pairs, self.first, self.second = (
            zeros(len(self.i)),
            zeros(len(self.i)),
            zeros(len(self.i)),
        )
        self.own_pairs, self.own_first, self.own_second = zeros(size), zeros(size), zeros(size)
        self.clusters, self.powers = zeros(3, 3), zeros(2)
        self.sets = zeros(sets, 3)
        self.same = zeros(3)
        self.smallest, self.largest, self.width, self.shift = math.inf, 0.0, 0.0, math.nan
        self.beyond = -math.inf
        self.counts = torch.zeros(size * (_BINS + 1), dtype=torch.int64, device=device)
        self.waiting: list[Tensor] = []
        self.traversals = 0
        self.line = WithinSums(device)
        self.circle = WithinSums(device)

    def _pairs_of(self, size: int) -> tuple[Tensor, Tensor]:
        """Return rows and columns of the pairs to look at in a matrix of that size."""
        i, j = torch.triu_indices(size, size, 1, device=self.device).unbind()
        return (i, j) if self.symmetric else (torch.cat([i, j]), torch.cat([j, i]))

    def add(
        self,
        distances: Tensor,
        present: Tensor | None = None,
        which: Tensor | None = None,
        values: Tensor | None = None,
    ) -> None:
        """Count the distances within traversals.

        Parameters
        ----------
        distances : Tensor of float64, shape (T, k, k)
        present : Tensor of bool, shape (T, k), optional
            Which images each traversal has; all by default.
        which : Tensor of int64, shape (T,), optional
            The set that each traversal belongs to, if they come in sets.
        values : Tensor of int64, shape (T, k), optional
            The factor's value in each image, several of which may have the same one; by default
            there is one image of each value, in order.
        """
        i, j = (self.i, self.j) if values is None else self._pairs_of(distances.shape[1])
        d, own = distances[:, i, j], distances.diagonal(dim1=1, dim2=2)
        known = None if present is None else present[:, i] & present[:, j]
        gaps = (i - j).abs() if values is None else (values[:, i] - values[:, j]).abs()
        if values is not None:
            both = torch.ones_like(d, dtype=torch.bool) if known is None else known
            same = d[both & (gaps == 0)]
            self.same += torch.stack([same.new_tensor(len(same)), same.sum(), same.square().sum()])
            known = both & (gaps > 0)
        self.traversals += len(d)
        self._extremes(d if known is None else d[known], own, own[:, j], d, known)
        self._rank(d, gaps, known)
        # less a constant near the mean, so that powers lose no digits
        e = d - (0.0 if math.isnan(self.shift) else self.shift)
        if known is not None:
            e = e * known
        square = e.square()
        self._by_pair(e, square, known, None if values is None else (values[:, i], values[:, j]))
        self._by_value(own, present, values)
        n = (
            torch.full((len(d),), d.shape[1], dtype=torch.float64, device=d.device)
            if known is None
            else known.sum(1).double()
        )
        sums = torch.stack([n, e.sum(1), square.sum(1)])
        self.clusters += sums @ sums.T
        if which is not None:
            self.sets.index_add_(0, which, sums.T.contiguous())
        self.powers += torch.stack([(e * square).sum(), square.square().sum()])
        gaps = gaps.expand_as(d)
        self._bin(
            d if known is None else d[known], gaps.flatten() if known is None else gaps[known]
        )
        if not self.symmetric:
            own = own if present is None else own[present]
            self._bin(own, torch.zeros_like(own, dtype=torch.int64).flatten())

    def _extremes(
        self, distances: Tensor, own: Tensor, own_of_target: Tensor, d: Tensor, known: Tensor | None
    ) -> None:
        """Note the smallest and the largest distance, and the largest beyond that of a target from
        itself.
        """
        if not distances.numel():
            return
        if math.isnan(self.shift):
            self.shift = float(distances.mean())
        self.smallest = min(self.smallest, float(distances.min()))
        self.largest = max(
            self.largest, float(distances.max()), float(own.max()) if not self.symmetric else 0.0
        )
        beyond = d if self.symmetric else d - own_of_target
        self.beyond = max(self.beyond, float((beyond if known is None else beyond[known]).max()))

    def _rank(self, d: Tensor, gaps: Tensor, known: Tensor | None) -> None:
        """Count the rank correlation of each traversal."""
        if self.size < 3 or not len(d):
            return
        line, circle = rank_within(d, (gaps, torch.minimum(gaps, self.size - gaps)), known)
        self.line.add(*line)
        self.circle.add(*circle)

    def _by_pair(
        self, e: Tensor, square: Tensor, known: Tensor | None, ends: tuple[Tensor, Tensor] | None
    ) -> None:
        """Add up what each pair of values has, of shape (T, pairs)."""
        if ends is None:
            self.pairs += len(e) if known is None else known.sum(0)
            self.first += e.sum(0)
            self.second += square.sum(0)
            return
        cells = torch.zeros(self.size, self.size, dtype=torch.int64, device=self.device)
        numbers = torch.arange(len(self.i), device=self.device)
        cells[self.i, self.j] = numbers
        if self.symmetric:
            cells[self.j, self.i] = numbers
        cell = cells[ends][known]
        self.pairs.index_add_(0, cell, torch.ones_like(e[known]))
        self.first.index_add_(0, cell, e[known])
        self.second.index_add_(0, cell, square[known])

    def _by_value(self, own: Tensor, present: Tensor | None, values: Tensor | None) -> None:
        """Add up the distances of images from themselves, of shape (T, k)."""
        there = torch.ones_like(own) if present is None else present.double()
        own = own * there
        sums = ((self.own_pairs, there), (self.own_first, own), (self.own_second, own.square()))
        for total, part in sums:
            if values is None:
                total += part.sum(0)
            else:
                total.index_add_(0, values.flatten(), part.flatten())

    def _bin(self, d: Tensor, gaps: Tensor) -> None:
        if not self.width and self.largest > 0:
            self.width = 1.25 * self.largest / _BINS
        while self.width and self.largest > self.width * _BINS:
            self._flush()
            merged = torch.zeros_like(self.counts).view(self.size, -1)
            half = (torch.arange(_BINS + 1, device=merged.device) + 1) // 2
            self.counts = merged.index_add_(1, half, self.counts.view(self.size, -1)).flatten()
            self.width *= 2
        bins = (d.flatten() / (self.width or 1)).round_().long()
        self.waiting.append(bins.add_(gaps, alpha=_BINS + 1))
        if sum(map(len, self.waiting)) > _FLUSH:
            self._flush()

    def _flush(self) -> None:
        if self.waiting:
            self.counts += torch.bincount(torch.cat(self.waiting), minlength=len(self.counts))
            self.waiting = []

    def result(self, factor: str, exact: bool) -> FactorDistances:
        """Return what was counted."""
        self._flush()
        n = float(self.pairs.sum())
        if not n:
            raise ValueError(
                f"no two observations differ in factor {factor!r} alone, so there are no distances along it."
            )
        delta = float(self.first.sum()) / n  # from the shift to the mean
        moments = [float(self.first.sum()), float(self.second.sum()), *self.powers.tolist()]
        m1, m2, m3, m4 = (m / n for m in moments)
        variance = max(m2 - delta**2, 0.0)
        fourth = m4 - 4 * delta * m3 + 6 * delta**2 * m2 - 3 * delta**4
        # a traversal's sum of d - mean, and of (d - mean)² - variance, from its n, sum and sum of
        # squares; in units of its mean pairs
        change = (
            np.array([[-delta, 1, 0], [delta**2 - variance, -2 * delta, 1]]) * self.traversals / n
        )
        between = change @ self.clusters.cpu().numpy() @ change.T / self.traversals
        errors = None
        if len(self.sets):
            parts = self.sets.cpu().numpy() @ change.T / self.traversals
            errors = (
                parts.T @ parts * (len(parts) / (len(parts) - 1) if len(parts) > 1 else math.nan)
            )
        counts = self.counts.view(self.size, -1).cpu().numpy()
        if self.symmetric:
            counts = 2 * counts
            counts[0, 0] = int(self.own_pairs.sum())
        n_same, same, same_square = self.same.tolist()
        spread = max(same_square / n_same - (same / n_same) ** 2, 0.0) if n_same else 0.0
        square = self.second + 2 * self.shift * self.first + self.shift**2 * self.pairs
        return FactorDistances(
            factor=factor,
            matrix=self._matrix(
                self.first / self.pairs + self.shift, self.own_first / self.own_pairs
            ),
            square_matrix=self._matrix(square / self.pairs, self.own_second / self.own_pairs),
            pairs=self._matrix(self.pairs, self.own_pairs).astype(np.int64),
            traversals=self.traversals,
            exact=exact,
            mean=m1 + self.shift,
            sd=math.sqrt(variance),
            smallest=self.smallest,
            largest=self.largest,
            counts=counts,
            width=self.width,
            between=between,
            fourth=max(fourth, 0.0),
            errors=errors,
            within=self.line.result(),
            within_circle=self.circle.result(),
            beyond=self.beyond,
            same=same / n_same if n_same else None,
            same_error=math.sqrt(spread / n_same) if n_same else 0.0,
        )

    def _matrix(self, values: Tensor, own: Tensor) -> np.ndarray:
        matrix = torch.diag(own)
        matrix[self.i, self.j] = values
        if self.symmetric:
            matrix[self.j, self.i] = values
        return matrix.cpu().numpy()
