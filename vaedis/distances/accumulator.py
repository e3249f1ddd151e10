"""Sums over the traversals of one factor, taken batch by batch so that memory stays bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaedis.distances.agreement import rank_within
from vaedis.distances.result import FactorDistances, WithinRank

_BINS = 4096
# Distances that wait before they are counted.
_WAITING = 2**21


@dataclass(frozen=True)
class _Batch:
    """Distances within T traversals of k images each, which form P pairs."""

    distances: Tensor  # (T, P)
    steps: Tensor  # (P,) or (T, P): by how much the factor differs
    mask: Tensor | None  # (T, P): which pairs count; all if None
    self_distances: Tensor  # (T, k): of images from themselves
    target_self_distances: Tensor  # (T, P): of each pair's target from itself
    present: Tensor | None  # (T, k): which images there are; all if None
    values: Tensor | None  # (T, k): the factor's values; 0 … k - 1 if None
    ends: tuple[Tensor, Tensor] | None  # (T, P) each: the values of a pair; see `values`

    def select(self, x: Tensor) -> Tensor:
        """Return the entries of pairs that count."""
        return x if self.mask is None else x[self.mask]


class Accumulator:
    """Sums over traversals of a factor of `size` values.

    If `symmetric`, distances are symmetric and 0 on the diagonal, and half of them are used. `sets`
    is the number of independent sets that traversals come in, if they are not independent.
    """

    def __init__(self, size: int, symmetric: bool, device: torch.device, sets: int = 0):
        self.size = size
        self.symmetric = symmetric
        self.device = device
        self.i, self.j = self._pairs_of(size)
        self.traversals = 0
        # Distances are summed less a constant near their mean, so that powers lose no digits.
        self.shift = math.nan
        # Number, sum and sum of squares of each pair of values, and of each value with itself.
        self.pairs, self.first, self.second = self._zeros(3, len(self.i)).unbind()
        self.own_pairs, self.own_first, self.own_second = self._zeros(3, size).unbind()
        # Sums of third and fourth powers.
        self.powers = self._zeros(2)
        # Over traversals, products of each one's number of pairs, sum and sum of squares.
        self.products = self._zeros(3, 3)
        self.sets = self._zeros(sets, 3)
        # Of different images that share all factors: number, sum and sum of squares.
        self.same = self._zeros(3)
        self.smallest = math.inf
        self.largest = 0.0
        self.beyond = -math.inf
        self.histogram = _Histogram(size, device)
        self.line_ranks = _RankSums(device)
        self.circle_ranks = _RankSums(device)

    def add(
        self,
        distances: Tensor,
        present: Tensor | None = None,
        sets: Tensor | None = None,
        values: Tensor | None = None,
    ) -> None:
        """Add the distances within traversals, float64 of shape (T, k, k).

        `present`, shape (T, k), tells which images each traversal has; all by default. `sets`,
        shape (T,), is the set of each traversal. `values`, shape (T, k), has the factor's value in
        each image; by default there is one image of each value, in order.
        """
        batch = self._batch(distances, present, values)
        self.traversals += len(batch.distances)
        self._add_extremes(batch)
        self._add_ranks(batch)
        self._add_moments(batch, sets)
        self._add_self_distances(batch)
        self._add_counts(batch)

    def result(self, factor: str, exact: bool) -> FactorDistances:
        """Return what was measured."""
        n = float(self.pairs.sum())
        if not n:
            raise ValueError(
                f"no two observations differ in factor {factor!r} alone, "
                "so there are no distances along it."
            )
        mean, variance, fourth = self._central_moments(n)
        change = self._change(mean, variance, n)
        square = self.second + 2 * self.shift * self.first + self.shift**2 * self.pairs
        means = self.first / self.pairs + self.shift
        same, same_error = self._mean_of_same()
        return FactorDistances(
            factor=factor,
            matrix=self._matrix(means, self.own_first / self.own_pairs),
            square_matrix=self._matrix(square / self.pairs, self.own_second / self.own_pairs),
            pairs=self._matrix(self.pairs, self.own_pairs).astype(np.int64),
            traversals=self.traversals,
            exact=exact,
            mean=mean + self.shift,
            sd=math.sqrt(variance),
            smallest=self.smallest,
            largest=self.largest,
            counts=self._counts(),
            width=self.histogram.width,
            between=change @ self.products.cpu().numpy() @ change.T / self.traversals,
            fourth=fourth,
            errors=self._errors(change),
            within=self.line_ranks.result(),
            within_circle=self.circle_ranks.result(),
            beyond=self.beyond,
            same=same,
            same_error=same_error,
        )

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def _pairs_of(self, size: int) -> tuple[Tensor, Tensor]:
        """Return rows and columns of the entries of a matrix that are used."""
        i, j = torch.triu_indices(size, size, 1, device=self.device).unbind()
        return (i, j) if self.symmetric else (torch.cat([i, j]), torch.cat([j, i]))

    def _batch(self, distances: Tensor, present: Tensor | None, values: Tensor | None) -> _Batch:
        i, j = (self.i, self.j) if values is None else self._pairs_of(distances.shape[1])
        d = distances[:, i, j]
        self_distances = distances.diagonal(dim1=1, dim2=2)
        mask = None if present is None else present[:, i] & present[:, j]
        ends = None
        steps = (i - j).abs()
        if values is not None:
            ends = (values[:, i], values[:, j])
            steps = (ends[0] - ends[1]).abs()
            both = torch.ones_like(d, dtype=torch.bool) if mask is None else mask
            self._add_same(d[both & (steps == 0)])
            mask = both & (steps > 0)
        return _Batch(d, steps, mask, self_distances, self_distances[:, j], present, values, ends)

    def _add_same(self, d: Tensor) -> None:
        self.same += torch.stack([d.new_tensor(len(d)), d.sum(), d.square().sum()])

    def _add_extremes(self, batch: _Batch) -> None:
        d = batch.select(batch.distances)
        if not d.numel():
            return
        if math.isnan(self.shift):
            self.shift = float(d.mean())
        self.smallest = min(self.smallest, float(d.min()))
        self.largest = max(self.largest, float(d.max()))
        beyond = batch.distances
        if not self.symmetric:
            self.largest = max(self.largest, float(batch.self_distances.max()))
            beyond = beyond - batch.target_self_distances
        self.beyond = max(self.beyond, float(batch.select(beyond).max()))

    def _add_ranks(self, batch: _Batch) -> None:
        if self.size < 3 or not len(batch.distances):
            return
        truths = (batch.steps, torch.minimum(batch.steps, self.size - batch.steps))
        line, circle = rank_within(batch.distances, truths, batch.mask)
        self.line_ranks.add(*line)
        self.circle_ranks.add(*circle)

    def _add_moments(self, batch: _Batch, sets: Tensor | None) -> None:
        d = batch.distances
        shifted = d - (0.0 if math.isnan(self.shift) else self.shift)
        if batch.mask is None:
            n = torch.full((len(d),), d.shape[1], dtype=torch.float64, device=d.device)
        else:
            n = batch.mask.sum(1).double()
            shifted = shifted * batch.mask
        square = shifted.square()
        self._add_by_pair(batch, shifted, square)
        by_traversal = torch.stack([n, shifted.sum(1), square.sum(1)])
        self.products += by_traversal @ by_traversal.T
        if sets is not None:
            self.sets.index_add_(0, sets, by_traversal.T.contiguous())
        self.powers += torch.stack([(shifted * square).sum(), square.square().sum()])

    def _add_by_pair(self, batch: _Batch, shifted: Tensor, square: Tensor) -> None:
        """Add distances less the shift, and their squares, to the pair of values of each."""
        if batch.ends is None:
            self.pairs += len(shifted) if batch.mask is None else batch.mask.sum(0)
            self.first += shifted.sum(0)
            self.second += square.sum(0)
            return
        numbers = torch.arange(len(self.i), device=self.device)
        number_of = torch.zeros(self.size, self.size, dtype=torch.int64, device=self.device)
        number_of[self.i, self.j] = numbers
        if self.symmetric:
            number_of[self.j, self.i] = numbers
        pair = batch.select(number_of[batch.ends])
        self.pairs.index_add_(0, pair, torch.ones_like(batch.select(shifted)))
        self.first.index_add_(0, pair, batch.select(shifted))
        self.second.index_add_(0, pair, batch.select(square))

    def _add_self_distances(self, batch: _Batch) -> None:
        d = batch.self_distances
        present = torch.ones_like(d) if batch.present is None else batch.present.double()
        d = d * present
        totals = (self.own_pairs, self.own_first, self.own_second)
        for total, part in zip(totals, (present, d, d.square()), strict=True):
            if batch.values is None:
                total += part.sum(0)
            else:
                total.index_add_(0, batch.values.flatten(), part.flatten())

    def _add_counts(self, batch: _Batch) -> None:
        steps = batch.steps.expand_as(batch.distances)
        self.histogram.add(batch.select(batch.distances), batch.select(steps), self.largest)
        if self.symmetric:
            return
        d = batch.self_distances
        if batch.present is not None:
            d = d[batch.present]
        self.histogram.add(d, torch.zeros_like(d, dtype=torch.int64), self.largest)

    def _central_moments(self, n: float) -> tuple[float, float, float]:
        """Return the mean less the shift, the variance and the fourth central moment."""
        sums = [float(self.first.sum()), float(self.second.sum()), *self.powers.tolist()]
        m1, m2, m3, m4 = (total / n for total in sums)
        variance = max(m2 - m1**2, 0.0)
        fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        return m1, variance, max(fourth, 0.0)

    def _change(self, mean: float, variance: float, n: float) -> np.ndarray:
        """Return what maps a traversal's sums to its share of the errors of mean and variance.

        The sums are its number of pairs, sum and sum of squares; the unit is a traversal's mean
        number of pairs.
        """
        of_mean = [-mean, 1, 0]
        of_variance = [mean**2 - variance, -2 * mean, 1]
        return np.array([of_mean, of_variance]) * self.traversals / n

    def _errors(self, change: np.ndarray) -> np.ndarray | None:
        """Return the covariance of the errors of mean and variance, from independent sets."""
        n = len(self.sets)
        if not n:
            return None
        by_set = self.sets.cpu().numpy() @ change.T / self.traversals
        return by_set.T @ by_set * (n / (n - 1) if n > 1 else math.nan)

    def _mean_of_same(self) -> tuple[float | None, float]:
        n, total, square = self.same.tolist()
        if not n:
            return None, 0.0
        variance = max(square / n - (total / n) ** 2, 0.0)
        return total / n, math.sqrt(variance / n)

    def _counts(self) -> np.ndarray:
        counts = self.histogram.result()
        if self.symmetric:
            counts = 2 * counts
            counts[0, 0] = int(self.own_pairs.sum())
        return counts

    def _matrix(self, values: Tensor, diagonal: Tensor) -> np.ndarray:
        matrix = torch.diag(diagonal)
        matrix[self.i, self.j] = values
        if self.symmetric:
            matrix[self.j, self.i] = values
        return matrix.cpu().numpy()


class _RankSums:
    """Sums over traversals of their rank correlations."""

    def __init__(self, device: torch.device):
        # Number of correlations, sums of 1 - correlation and of its square; number of flat ones.
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, correlations: Tensor, flat: Tensor) -> None:
        """Add traversals: see `rank_within`."""
        lacking = 1 - correlations[~correlations.isnan()]
        n = lacking.new_tensor(len(lacking))
        self.sums += torch.stack([n, lacking.sum(), lacking.square().sum(), flat.sum().double()])

    def result(self) -> WithinRank:
        """Return mean and spread."""
        n, first, second, flat = self.sums.tolist()
        if not n:
            return WithinRank(None, None, 0, int(flat))
        sd = math.sqrt(max(second / n - (first / n) ** 2, 0.0))
        return WithinRank(1 - first / n, sd, int(n), int(flat))


class _Histogram:
    """Counts of distances by steps of the factor, in bins that double as larger ones come."""

    def __init__(self, size: int, device: torch.device):
        self.counts = torch.zeros(size, _BINS + 1, dtype=torch.int64, device=device)
        self.width = 0.0
        self.waiting: list[Tensor] = []

    def add(self, distances: Tensor, steps: Tensor, largest: float) -> None:
        """Count distances, none of which is above `largest`."""
        if not self.width and largest > 0:
            self.width = 1.25 * largest / _BINS
        while self.width and largest > self.width * _BINS:
            self._double()
        bins = (distances.flatten() / (self.width or 1)).round_().long()
        self.waiting.append(bins.add_(steps.flatten(), alpha=_BINS + 1))
        if sum(map(len, self.waiting)) > _WAITING:
            self._flush()

    def result(self) -> np.ndarray:
        """Return the counts, shape (size, bins)."""
        self._flush()
        return self.counts.cpu().numpy()

    def _double(self) -> None:
        self._flush()
        half = (torch.arange(_BINS + 1, device=self.counts.device) + 1) // 2
        self.counts = torch.zeros_like(self.counts).index_add_(1, half, self.counts)
        self.width *= 2

    def _flush(self) -> None:
        if self.waiting:
            numbers = torch.cat(self.waiting)
            counts = torch.bincount(numbers, minlength=self.counts.numel())
            self.counts += counts.view_as(self.counts)
            self.waiting = []
