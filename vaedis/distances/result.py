"""What is measured of perceived distances along one factor, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vaedis import _check
from vaedis._support.brief import fields_repr, matrix_table, table
from vaedis.distances.agreement import (
    EQUAL,
    SHAPES,
    Agreement,
    as_numbers,
    compare_counts,
    ground_truth_matrix,
)

# Distances follow an order if the rank correlation is at least this.
_FOLLOWS = 0.3
# Pooled distances have no rank correlation if a larger share of their ranks' variance is unknown,
# as of distances that differ within four bins or fewer.
_UNKNOWN = 0.05


@dataclass(frozen=True)
class WithinRank:
    """Rank correlation of perceived with ground-truth distances within each traversal.

    Attributes
    ----------
    mean, sd : float or None
        Over the traversals that have a correlation; None if none has.
    traversals : int
        Number of traversals with a correlation. A traversal whose known pairs are all the same
        number of steps apart has none.
    flat : int
        Number of traversals without one because all their perceived distances are equal.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", num_squares=1)
    >>> vd.distances.factor_distances(data)["x_R"].within
    WithinRank(mean=None, sd=None, traversals=0, flat=8)
    """

    mean: float | None
    sd: float | None
    traversals: int
    flat: int


@dataclass(frozen=True)
class FactorDistances:
    """Perceived distances along one factor, over many traversals.

    Distances have the unit of the loss. Unless stated otherwise they are those between images with
    different values of the factor.

    Attributes
    ----------
    factor : str
    matrix : ndarray of float64, shape (f, f)
        Means over traversals. Row: value of the reconstruction. Column: value of the target. NaN
        where no traversal has both values.
    square_matrix : ndarray of float64, shape (f, f)
        Means over traversals of the squared distances.
    pairs : ndarray of int64, shape (f, f)
        Number of pairs of images behind each entry of `matrix`: one for each traversal, or more
        where several images share all their factors.
    traversals : int
        Number of traversals: groups of images that differ in this factor only, or random parts of
        such groups.
    exact : bool
        Whether the traversals are all there are, so that there is no sampling error.
    mean, sd, smallest, largest : float
        Of all pairs of images of different values; of a factor of more than 256 values, which is
        cut into bins, of different bins.
    counts : ndarray of int64, shape (f, bins)
        Number of pairs, |i - j| = row apart, by bins that are at most a thousandth of their
        distances wide. Row 0 counts observations with themselves.
    bins : ndarray of float64, shape (bins,)
        The mean distance of each bin, in ascending order.
    differ : ndarray of bool, shape (bins,)
        Whether a bin's distances are not all equal.
    between : ndarray of float64, shape (2, 2)
        Covariance over traversals of a traversal's mean distance and its mean
        ``(distance - mean)²``.
    fourth : float
        The mean of ``(distance - mean)⁴``.
    errors : ndarray of float64, shape (2, 2), optional
        Covariance of the errors of `mean` and ``sd²``, for a sample whose traversals are not
        independent.
    within, within_circle : WithinRank, optional
        Rank correlation within each traversal, along a line and along a circle; None for distances
        that were stored.
    beyond : float
        The largest difference between a distance and the distance of its target from itself; NaN if
        not recorded.
    mean_beyond : float
        The mean of such differences: of all of a distance that can change with the reconstruction;
        NaN if not recorded.
    sets : int
        Number of independent sets of traversals behind `errors`; 0 if each traversal is one.
    same : float, optional
        The mean distance of different images that share all factors; None if there are none.
    farther : float, optional
        How much farther apart images of different values are than images of one value, on average
        within groups of images that share the other factors; None if no group has both.
    farther_error : float
        The standard deviation of `farther` over all ways to shuffle the values within groups.
    rounding : float
        What may be left of a distance of 0: distances that differ by no more are equal. 64 times
        the loss's precision, of the mean distance of random pairs; 0 for MSE of bytes, which is
        computed in whole numbers.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", grid_spacing=1, num_squares=1)
    >>> x = vd.distances.factor_distances(data, traversals=4)["x_R"]
    >>> round(x.agreement().rank, 2), x.quantile([0.1, 0.5]).round(4), x.exact
    (1.0, array([0.0013, 0.0039]), False)
    >>> x.verdict().partition(":")[0]
    'x_R is best described by a line'
    """

    __repr__ = fields_repr

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
    bins: np.ndarray
    differ: np.ndarray
    between: np.ndarray
    fourth: float
    errors: np.ndarray | None = None
    within: WithinRank | None = None
    within_circle: WithinRank | None = None
    beyond: float = math.nan
    mean_beyond: float = math.nan
    sets: int = 0
    same: float | None = None
    farther: float | None = None
    farther_error: float = 0.0
    rounding: float = 0.0

    @property
    def adversarial(self) -> bool:
        """Whether all distances between different values are equal, so that they carry no order."""
        return self.largest - self.smallest <= max(EQUAL * self.largest, self.rounding)

    @property
    def independent(self) -> int:
        """Number of independent samples that the standard errors are from."""
        return self.sets or self.traversals

    @property
    def neighbours(self) -> float:
        """Mean distance between neighbouring values; NaN if there are none."""
        values = np.concatenate([self.matrix.diagonal(1), self.matrix.diagonal(-1)])
        pairs = np.concatenate([self.pairs.diagonal(1), self.pairs.diagonal(-1)])
        if not pairs.any():
            return math.nan
        return float(np.average(values[pairs > 0], weights=pairs[pairs > 0]))

    def quantile(self, share: float | np.ndarray) -> np.ndarray:
        """Compute quantiles of all distances, of shares of all pairs, to a thousandth of each.

        A ValueError says if a share is not in [0, 1].
        """
        shares = as_numbers("share", share)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"share must lie in [0, 1], not {share!r}.")
        cumulative = np.cumsum(self.counts[1:].sum(0))
        # the smallest distance is in the first bin with pairs of different values
        at = np.searchsorted(cumulative, np.maximum(shares * cumulative[-1], 1))
        return self.bins[at].clip(self.smallest, self.largest)

    def standard_errors(
        self, traversals: int | None = None, pairs: int | None = None
    ) -> tuple[float, float]:
        """Estimate the standard errors of `mean` and `sd` of a sample, to first order.

        Parameters
        ----------
        traversals : int, optional
            Number of independent random traversals in a sample; by default this measurement's own,
            which has no error if it is exact. One traversal or one set of them tells no error: NaN.
        pairs : int, optional
            Number of pairs drawn from all of them together; all pairs by default. Without
            `traversals` and of an exact measurement: drawn from all traversals.
        """
        between = self.between.diagonal()
        own = self.traversals
        if traversals is None and self.exact:
            between = np.zeros(2)
            variances = np.zeros(2)
        elif traversals is None and self.errors is not None:
            variances = self.errors.diagonal()
        else:
            n = own if traversals is None else _check.count("traversals", traversals)
            variances = between.clip(min=0) / n
            if not self.exact:
                variances = variances * (own / (own - 1) if own > 1 else math.nan)
        if pairs is not None:
            within = np.array([self.sd**2, self.fourth - self.sd**4]) - between
            variances = variances + within.clip(min=0) / _check.count("pairs", pairs)
        mean_error = math.sqrt(variances[0])
        sd_error = math.sqrt(variances[1])
        if not math.isnan(sd_error):
            sd_error = sd_error / (2 * self.sd) if self.sd > 0 else 0.0
        return mean_error, sd_error

    def agreement(self, shape: str = "line", *, self_pairs: bool = False) -> Agreement:
        """Compare the distances of all pairs of all traversals with ground-truth distances.

        The paper's logged values do so. Differences between traversals, for instance in contrast,
        lower the correlation; `within` judges each traversal by itself.

        Parameters
        ----------
        shape : {"line", "circle"}
            See `ground_truth_matrix`.
        self_pairs : bool
            Count each observation with itself once, as the authors' logged values do.

        Returns
        -------
        Agreement
            For the rank correlation, distances in one bin of `counts` tie; it is None if most lie
            in a few bins and differ there, as where a loss adds a large constant. An adversarial
            factor has no correlation without self-pairs.
        """
        size = len(self.matrix)
        truth = ground_truth_matrix(size, shape)
        self_pairs = _check.flag("self_pairs", self_pairs)
        pairs = self.pairs * (~np.eye(size, dtype=bool) | self_pairs)
        known = pairs > 0
        weight = pairs[known] / pairs.sum()
        x = truth[known]
        y = self.matrix[known]
        mean_x = weight @ x
        mean_y = weight @ y
        variance_y = self.sd**2
        if self_pairs:
            share = float(weight[x == 0].sum())
            variance_y = (1 - share) * (variance_y + (self.mean - mean_y) ** 2)
            variance_y += weight[x == 0] @ ((y[x == 0] - mean_y) ** 2 + self._self_variances())
        variance = (weight @ (x - mean_x) ** 2) * variance_y
        is_equal = self.adversarial and not self_pairs
        if variance_y <= (self.rounding / 2) ** 2 or not np.ptp(x) or is_equal:
            return Agreement(None, None, self.adversarial, self.mean)
        linear = float(weight @ ((x - mean_x) * (y - mean_y)) / math.sqrt(variance))
        rows = slice(0 if self_pairs else 1, None)
        # what is left of distances of 0 is in no order
        n_zero = int((self.bins <= self.rounding).sum())
        starts = np.r_[0, max(1, n_zero) : len(self.bins)]
        counts = np.add.reduceat(self.counts[rows], starts, 1)
        differ = self.differ[starts] & (self.bins[starts] > self.rounding)
        shares = counts.sum(0) / counts.sum()
        rank = None
        # a bin of a share s of all ranks hides s³ of their variance
        if (shares[differ] ** 3).sum() <= _UNKNOWN:
            rank = compare_counts(truth[0, rows], counts)
        return Agreement(linear, rank, self.adversarial, self.mean)

    def _self_variances(self) -> np.ndarray:
        """Return the variances of images' distances from themselves, by values that occur."""
        known = self.pairs.diagonal() > 0
        mean = self.matrix.diagonal()[known]
        square = self.square_matrix.diagonal()[known]
        variances = square - mean**2
        # what is left of equal numbers is rounding
        return np.where(variances > 1e-14 * square, variances, 0.0)

    def _repr_html_(self) -> str:
        facts = {
            "mean": f"{self.mean:.4g} (sd {self.sd:.4g})",
            "range": f"{self.smallest:.4g} to {self.largest:.4g}",
            "traversals": f"{self.traversals:,}{' (all)' if self.exact else ''}",
            "order": self.verdict(),
        }
        below = matrix_table("mean distance of each two values", self.matrix)
        return table(f"Distances along {self.factor}", facts, below)

    def verdict(self) -> str:
        """Say in a sentence whether the factor is adversarial, and which order it follows if not.

        The sentence uses the rank correlation within traversals, or that of all pairs if only the
        latter is stored.
        """
        if self.within is None or self.within_circle is None:
            kind = "rank correlation of pooled pairs"
            ranks = {shape: self.agreement(shape).rank for shape in SHAPES}
        else:
            kind = "mean rank correlation within traversals"
            ranks = {"line": self.within.mean, "circle": self.within_circle.mean}
        known = {shape: rank for shape, rank in ranks.items() if rank is not None}
        if self.adversarial or (self.within and self.within.flat and not known):
            where = "" if self.adversarial else " within each traversal"
            return (
                f"{self.factor} is adversarial: all distances along it are equal{where} "
                f"({self.mean:.3g}), so that they carry no order."
            )
        if len(self.matrix) == 2:
            return f"{self.factor} has two values, which need no order."
        if not known:
            return (
                f"no order along {self.factor} was measured: no three of its values come together "
                "in images that differ in nothing else."
            )
        shape = max(known, key=known.__getitem__)
        numbers = ", ".join(f"{rank:.2f} with a {name}" for name, rank in known.items())
        if known[shape] < _FOLLOWS:
            return f"{self.factor} hardly follows an order: the {kind} is {numbers}."
        return f"{self.factor} is best described by a {shape}: the {kind} is {numbers}."


def published_traversals(size: int, pairs: int = 50_000) -> int:
    """Estimate the number of traversals behind a row of Table A1, for a factor of `size` values.

    The authors drew ``int(size * sqrt(size) / 2)`` pairs of each traversal with replacement and
    left out those of an observation with itself, until they had `pairs` of them
    (``run_plot_traversal_dists.py``).

    Examples
    --------
    >>> import vaedis as vd
    >>> vd.distances.published_traversals(183)
    41
    """
    size = _check.count("size", size, 2)
    pairs = _check.count("pairs", pairs)
    pairs_of_traversal = int(size * size**0.5 / 2) * (1 - 1 / size)
    return max(1, round(pairs / pairs_of_traversal))
