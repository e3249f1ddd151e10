"""Sums over the traversals of one factor, taken batch by batch so that memory stays bounded."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from vaedis.distances.agreement import rank_within
from vaedis.distances.histogram import Histogram
from vaedis.distances.permutation import same_and_different
from vaedis.distances.result import FactorDistances, WithinRank

# Of what lies between, a fourth power is a number of ten digits or more.
_SMALLEST = 1e-78
_LARGEST = 1e70


class Accumulator:
    """Sums over traversals of a factor of `size` values.

    `sets` is the number of independent sets that traversals come in; 0 if each is independent.
    Distances that differ by no more than `rounding` are equal.
    """

    def __init__(
        self,
        size: int,
        symmetric: bool,
        device: torch.device,
        sets: int = 0,
        rounding: float = 0.0,
    ):
        self.size = size
        self.rounding = rounding
        self.symmetric = symmetric
        self.device = device
        # if symmetric, and thus 0 on the diagonal, half of the distances are used
        self.i, self.j = self._pairs_of(size)
        # which of these pairs two different values are
        self.pair_of = torch.zeros(size, size, dtype=torch.int64, device=device)
        numbers = torch.arange(len(self.i), device=device)
        self.pair_of[self.j, self.i] = numbers
        self.pair_of[self.i, self.j] = numbers
        self.traversals = 0
        # Moments are of distances less a constant near their mean, so that they lose no digits.
        self.shift = math.nan
        # Number, sum and sum of squares: of each pair of values, and of each value with itself.
        self.by_pair = self._zeros(3, len(self.i))
        self.of_self = self._zeros(3, size)
        # Number and sum of distances of different images that share all factors.
        self.of_same = self._zeros(2)
        # What `same_and_different` returns.
        self.of_different = self._zeros(3)
        # Sums of the first to fourth powers.
        self.powers = self._zeros(4)
        # Over traversals, products of each one's number of pairs, sum and sum of squares.
        self.products = self._zeros(3, 3)
        self.sets = self._zeros(sets, 3)
        self.smallest = math.inf
        self.largest = 0.0
        self.beyond = -math.inf
        self.sum_beyond = 0.0
        self.histogram = Histogram(size, device)
        # By line and circle: number, sum and sum of squares of what ranks lack to 1; flat ones.
        self.ranks = self._zeros(2, 4)

    def add(
        self, distances: Tensor, present: Tensor | None = None, sets: Tensor | None = None
    ) -> None:
        """Add the distances within traversals, float64 of shape (T, f, f), in the values' order.

        `present` says which images there are, (T, f), and `sets` each traversal's set, (T,).
        """
        i, j = self.i, self.j
        d = distances[:, i, j]
        mask = None if present is None else present[:, i] & present[:, j]
        of_self = distances.diagonal(dim1=1, dim2=2)
        self._add_order(d, of_self, j, (i - j).abs(), mask, present)
        self._add_moments(d, mask, sets)
        known = torch.ones_like(d) if mask is None else mask.double()
        d = d * known
        # one after the other, as a stack of all three would take three times the memory
        self.by_pair += torch.stack([known.sum(0), d.sum(0), d.square().sum(0)])
        known_self = torch.ones_like(of_self) if present is None else present.double()
        self.of_self += _powers(of_self * known_self, known_self).sum(1)

    def add_groups(self, distances: Tensor, present: Tensor, values: Tensor, bins: Tensor) -> None:
        """Add the distances within groups of images, float64 of shape (T, k, k).

        The others are (T, k): which images there are, and the factor's value and bin of each.
        """
        i, j = self._pairs_of(distances.shape[1])
        d = distances[:, i, j]
        is_pair = present[:, i] & present[:, j]
        same = d[is_pair & (values[:, i] == values[:, j])]
        self.of_same += torch.stack([d.new_tensor(len(same)), same.sum()])
        self.of_different += same_and_different(distances, values, present)
        steps = (bins[:, i] - bins[:, j]).abs()
        # different values of one bin are left out
        mask = is_pair & (steps > 0)
        of_self = distances.diagonal(dim1=1, dim2=2)
        self._add_order(d, of_self, j, steps, mask, present)
        self._add_moments(d, mask, None)
        pair = self.pair_of[bins[:, i], bins[:, j]]
        self.by_pair.index_add_(1, pair[mask], _powers(d[mask], torch.ones_like(d[mask])))
        known_self = present.double()
        powers_of_self = _powers(of_self * known_self, known_self)
        self.of_self.index_add_(1, bins.flatten(), powers_of_self.flatten(1))

    def result(self, factor: str, exact: bool) -> FactorDistances:
        """Return what was measured."""
        pairs, first, second = self.by_pair.unbind()
        n = float(pairs.sum())
        if not n:
            raise ValueError(
                f"no two observations differ in factor {factor!r} alone, "
                "so there are no distances along it."
            )
        if self.largest > _LARGEST or 0 < self.largest < _SMALLEST:
            raise ValueError(
                f"distances along factor {factor!r} reach {self.largest:.3g}, and their fourth "
                "powers are beyond what a float64 holds; multiply the loss by a constant."
            )
        m1, m2, m3, m4 = (total / n for total in self.powers.tolist())
        variance = max(m2 - m1**2, 0.0)
        change = self._change(m1, variance, n)
        own_pairs, own_first, own_second = self.of_self.unbind()
        n_same, same = self.of_same.tolist()
        weight, farther, variance_of_chance = self.of_different.tolist()
        counts, bins, differ = self.histogram.result()
        if self.symmetric:
            # each pair counts both ways
            counts[1:] *= 2
        return FactorDistances(
            factor=factor,
            matrix=self._matrix(first / pairs, own_first / own_pairs),
            square_matrix=self._matrix(second / pairs, own_second / own_pairs),
            pairs=self._matrix(pairs, own_pairs).astype(np.int64),
            traversals=self.traversals,
            exact=exact,
            mean=m1 + self.shift,
            sd=math.sqrt(variance),
            smallest=self.smallest,
            largest=self.largest,
            counts=counts,
            bins=bins,
            differ=differ,
            between=change @ self.products.cpu().numpy() @ change.T / self.traversals,
            fourth=max(m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4, 0.0),
            errors=self._errors(change),
            within=_within_rank(*self.ranks[0].tolist()),
            within_circle=_within_rank(*self.ranks[1].tolist()),
            beyond=self.beyond,
            mean_beyond=m1 + self.shift if self.symmetric else self.sum_beyond / n,
            sets=len(self.sets),
            same=same / n_same if n_same else None,
            farther=farther / weight if weight else None,
            farther_error=math.sqrt(variance_of_chance) / weight if weight else 0.0,
            rounding=self.rounding,
        )

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def _pairs_of(self, size: int) -> tuple[Tensor, Tensor]:
        """Return rows and columns of the entries of a matrix that are used."""
        i, j = torch.triu_indices(size, size, 1, device=self.device).unbind()
        return (i, j) if self.symmetric else (torch.cat([i, j]), torch.cat([j, i]))

    def _add_order(
        self,
        d: Tensor,
        of_self: Tensor,
        j: Tensor,
        steps: Tensor,
        mask: Tensor | None,
        present: Tensor | None,
    ) -> None:
        """Add extremes, ranks and counts of distances, (T, P), where `mask` is true."""
        self.traversals += len(d)
        beyond = d if self.symmetric else d - of_self[:, j]
        self._add_extremes(d if mask is None else d[mask], beyond if mask is None else beyond[mask])
        if self.size > 2:
            self._add_ranks(d, steps, mask)
        self.histogram.add(d, steps, mask)
        self.histogram.add(of_self, torch.zeros_like(of_self, dtype=torch.int64), present)

    def _add_extremes(self, d: Tensor, beyond: Tensor) -> None:
        if not d.numel():
            return
        if math.isnan(self.shift):
            self.shift = float(d.mean())
        self.smallest = min(self.smallest, float(d.min()))
        self.largest = max(self.largest, float(d.max()))
        self.beyond = max(self.beyond, float(beyond.max()))
        self.sum_beyond += float(beyond.sum())

    def _add_ranks(self, d: Tensor, steps: Tensor, mask: Tensor | None) -> None:
        on_circle = torch.minimum(steps, self.size - steps)
        by_shape = rank_within(d, (steps, on_circle), mask, self.rounding)
        for k, (ranks, flat) in enumerate(by_shape):
            shortfall = 1 - ranks[~ranks.isnan()]
            n = shortfall.new_tensor(len(shortfall))
            sums = [n, shortfall.sum(), shortfall.square().sum(), flat.sum().double()]
            self.ranks[k] += torch.stack(sums)

    def _add_moments(self, d: Tensor, mask: Tensor | None, sets: Tensor | None) -> None:
        known = torch.ones_like(d) if mask is None else mask.double()
        shifted = (d - (0.0 if math.isnan(self.shift) else self.shift)) * known
        square = shifted.square()
        by_traversal = torch.stack([known.sum(1), shifted.sum(1), square.sum(1)])
        self.products += by_traversal @ by_traversal.T
        if sets is not None:
            self.sets.index_add_(0, sets, by_traversal.T.contiguous())
        powers = [shifted.sum(), square.sum(), (shifted * square).sum(), square.square().sum()]
        self.powers += torch.stack(powers)

    def _change(self, mean: float, variance: float, n: float) -> np.ndarray:
        """Return what maps a traversal's sums to its share of the errors of mean and variance.

        The sums are those of its pairs: number, sum, sum of squares. The unit is the mean number.
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

    def _matrix(self, values: Tensor, diagonal: Tensor) -> np.ndarray:
        matrix = values[self.pair_of]
        matrix.diagonal().copy_(diagonal)
        return matrix.cpu().numpy()


def _powers(d: Tensor, known: Tensor) -> Tensor:
    """Return what is summed of distances: 1 for each that is known, itself, and its square."""
    return torch.stack([known, d, d.square()])


def _within_rank(n: float, first: float, second: float, flat: float) -> WithinRank:
    """Return mean and spread from sums of what rank correlations lack to 1."""
    if not n:
        return WithinRank(None, None, 0, int(flat))
    sd = math.sqrt(max(second / n - (first / n) ** 2, 0.0))
    return WithinRank(1 - first / n, sd, int(n), int(flat))
