"""Intervals for few runs: bootstrap of medians, of their differences, and of correlations.

Runs are few and their scores skewed, so nothing here assumes a normal distribution. With five runs
a bootstrap interval of a median can only end at one of the five scores, so that it is rough, and
covers 94 % at best; it is shown beside the points and never instead of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check

Statistic = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A statistic with its bootstrap interval.

    Attributes
    ----------
    value : float
        Of the data as they are.
    low, high : float
        NaN where a single value gives no interval.
    n : int
        How many values, or pairs, there were.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        """Format value and ends alike: ``f"{found:.3f}"`` gives three digits after the point."""
        spec = spec or ".2f"
        ends = "no interval" if self.n < 2 else f"{self.low:{spec}}, {self.high:{spec}}"
        return f"{self.value:{spec}} [{ends}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of 0; False without an interval."""
        return bool(self.low > 0 or self.high < 0)


def interval(
    values: Any,
    *,
    statistic: Statistic = np.median,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return a statistic of values and its percentile bootstrap interval.

    Parameters
    ----------
    values : array of float, shape (n, ...)
        One entry for each run. Entries with further axes (factors of one run, say) stay together
        when runs are drawn anew.
    statistic : callable
        With an ``axis``, such as ``np.median`` and ``np.mean``; it is applied along the runs, and a
        mean over further axes follows.
    level : float
        Of the interval, between 0 and 1.
    resamples : int
    seed : int

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are no values, or one is not finite.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    x = _values("values", values)
    drawn = x[_draws(len(x), resamples, seed)]
    return _summary(x, statistic(x, axis=0).mean(), _per_resample(statistic(drawn, axis=1)), level)


def difference(
    a: Any,
    b: Any,
    *,
    paired: bool = False,
    statistic: Statistic = np.median,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the statistic of `a` minus that of `b`, with its percentile bootstrap interval.

    Parameters
    ----------
    a, b : array of float, shape (n,) and (m,)
        One value for each run.
    paired : bool
        Whether a[i] and b[i] belong together, as runs of one seed do; they are then drawn together,
        and the statistic is that of their differences.
    statistic, level, resamples, seed
        As for `interval`.

    Returns
    -------
    Interval
        Of pairs, or with the smaller of both numbers.

    Raises
    ------
    ValueError
        If one is empty or not finite, or pairs have different lengths.
    """
    x, y = _values("a", a), _values("b", b)
    if paired:
        if x.shape != y.shape:
            raise ValueError(f"pairs need as many values on both sides, not {len(x)} and {len(y)}.")
        return interval(x - y, statistic=statistic, level=level, resamples=resamples, seed=seed)
    left = statistic(x[_draws(len(x), resamples, seed)], axis=1)
    right = statistic(y[_draws(len(y), resamples, seed + 1)], axis=1)
    shorter = x if len(x) <= len(y) else y
    return _summary(shorter, statistic(x, axis=0) - statistic(y, axis=0), left - right, level)


def _values(name: str, values: Any) -> np.ndarray:
    x = np.asarray(values, float)
    if not x.size or x.ndim == 0:
        raise ValueError(
            f"{name} must hold at least one value for each of some runs, not an array of shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite; leave out runs that failed, and count them.")
    return x


def _draws(n: int, resamples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(n, size=(_check.count("resamples", resamples), n))


def _per_resample(found: np.ndarray) -> np.ndarray:
    return found.reshape(len(found), -1).mean(1)


def _summary(x: np.ndarray, value: Any, resampled: np.ndarray, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}.")
    if len(x) < 2:
        return Interval(float(value), np.nan, np.nan, len(x))
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), len(x))
