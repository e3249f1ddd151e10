"""Percentile bootstrap intervals of medians, means, and their differences.

Runs are few and their scores skewed, so nothing here assumes a normal distribution. With five runs
an interval of a median can only end at one of the five scores and covers 94 % at best; it is shown
beside the points, never instead of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_LEVEL = 0.95
_RESAMPLES = 10_000
Statistic = Callable[..., Any]


@dataclass(frozen=True)
class Interval:
    """A statistic of `n` values or pairs, with its 95 % bootstrap interval; NaN ends for one value.

    Examples
    --------
    >>> print(f"{interval([0.1, 0.2, 0.4]):.1f}", interval([0.5]))
    0.2 [0.1, 0.4] 0.50 [no interval]
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        """Format value and ends alike, by default with two digits after the point."""
        spec = spec or ".2f"
        bounds_text = "no interval" if self.n < 2 else f"{self.low:{spec}}, {self.high:{spec}}"
        return f"{self.value:{spec}} [{bounds_text}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of 0; False without an interval."""
        return bool(self.low > 0 or self.high < 0)


def interval(values: Any, *, statistic: Statistic = np.median) -> Interval:
    """Return a statistic of values, shape (n, ...), and its interval.

    There is one entry for each run, all finite and none masked, or a ValueError. Entries with
    further axes (factors of one run, say) stay together when runs are resampled. `statistic` is
    ``np.median``, ``np.mean`` or the like; it is applied along the runs, and a mean over further
    axes follows. Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.

    Examples
    --------
    >>> interval([1, 2, 3, 4, 5])
    Interval(value=3.0, low=1.0, high=5.0, n=5)
    """
    x = _finite("values", values)
    resampled = statistic(x[_resample(len(x), 0)], axis=1)
    resampled = resampled.reshape(len(resampled), -1).mean(1)
    return _interval(len(x), statistic(x, axis=0).mean(), resampled)


def difference(
    a: Any, b: Any, *, paired: bool = False, statistic: Statistic = np.median
) -> Interval:
    """Return the statistic of `a`, shape (n,), minus that of `b`, shape (m,), and its interval.

    If paired, a[i] and b[i] belong together, as runs of one seed do; they are then resampled
    together, and the statistic is that of their differences. Else `n` is the smaller number.

    Examples
    --------
    >>> difference([2, 3, 4], [1, 2, 3], paired=True)
    Interval(value=1.0, low=1.0, high=1.0, n=3)
    """
    x = _finite("a", a)
    y = _finite("b", b)
    if paired:
        if x.shape != y.shape:
            raise ValueError(f"pairs need as many values on both sides, not {len(x)} and {len(y)}.")
        return interval(x - y, statistic=statistic)
    x_statistics = statistic(x[_resample(len(x), 0)], axis=1)
    y_statistics = statistic(y[_resample(len(y), 1)], axis=1)
    value = statistic(x, axis=0) - statistic(y, axis=0)
    return _interval(min(len(x), len(y)), value, x_statistics - y_statistics)


def _finite(name: str, values: Any) -> np.ndarray:
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must have no masked entries; leave them out, and count them.")
    x = np.asarray(values, float)
    if not x.size or x.ndim == 0:
        raise ValueError(f"{name} must hold at least one value, not an array of shape {x.shape}.")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite; leave out runs that failed, and count them.")
    return x


def _resample(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(n, size=(_RESAMPLES, n))


def _interval(n: int, value: Any, resampled: np.ndarray) -> Interval:
    if n < 2:
        return Interval(float(value), np.nan, np.nan, n)
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(value), float(low), float(high), n)
