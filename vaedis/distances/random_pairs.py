"""Perceived distances between random pairs: their mean in closed form, their spread exactly where
that is affordable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import as_data
from vaedis.data.base import FactorData
from vaedis.distances.factor_distances import MEMORY
from vaedis.distances.kernels import Gram, Kernel, kernel_for
from vaedis.distances.pairs import pair_distances
from vaedis.losses import Loss

# of so many observations, or fewer, all pairs are compared
_ALL_PAIRS = 1024


@dataclass(frozen=True)
class RandomPairs:
    """Perceived distances of two observations drawn at random, which may be one and the same.

    Attributes
    ----------
    mean, sd : float
    mean_error, sd_error : float
        Their standard errors; 0 where they are exact.
    fourth : float
        The mean of ``(distance - mean)⁴``.
    sample : ndarray of float64, shape (pairs,)
        Distances of random pairs, in ascending order.
    """

    mean: float
    sd: float
    mean_error: float
    sd_error: float
    fourth: float
    sample: np.ndarray

    def standard_errors(self, pairs: int) -> tuple[float, float]:
        """Return the standard errors of mean and sd over so many independent pairs, to first order."""
        _check.count("pairs", pairs)
        spread = math.sqrt(max(self.fourth - self.sd**4, 0.0) / pairs)
        return self.sd / math.sqrt(pairs), spread / (2 * self.sd) if self.sd > 0 else 0.0


def random_pairs(
    data: Any,
    loss: str | Loss = "mse",
    *,
    pairs: int = 50_000,
    seed: int = 0,
    normalize: bool = False,
    whole: bool = True,
) -> RandomPairs:
    """Return the distribution of perceived distances between random pairs.

    For a quadratic loss with vectors v the mean over all pairs is ``2 (E|v|² - |E v|²)``, from one
    pass over the data set. The spread is exact where all pairs can be compared: for 1,024
    observations or fewer, and for data whose channels depend on different factors, as those of
    XYSquares do, channel by channel. Otherwise it comes from a sample, with its standard error.

    Parameters
    ----------
    data : FactorData
    loss : str or Loss
    pairs : int
        Size of the sample.
    seed : int
        Of the sample.
    normalize : bool
        See `factor_distances`.
    whole : bool
        Read the whole data set for the mean; otherwise take it from the sample too.

    Returns
    -------
    RandomPairs
    """
    data = as_data(data)
    pairs = _check.count("pairs", pairs, 2)
    kernel = kernel_for(data, loss, normalize)
    parts = _independent_parts(data, kernel)
    if parts is not None:
        return _from_parts(data, kernel, parts, pairs, seed)
    sample = np.sort(pair_distances(data, None, loss, n=pairs, seed=seed, normalize=normalize))
    closed = _closed_mean(data, kernel) if whole and isinstance(kernel, Gram) else None
    mean = float(sample.mean()) if closed is None else closed
    sd, fourth = math.sqrt(((sample - mean) ** 2).mean()), float(((sample - mean) ** 4).mean())
    found = RandomPairs(mean, sd, 0.0, 0.0, fourth, sample)
    mean_error, sd_error = found.standard_errors(pairs)
    return RandomPairs(mean, sd, mean_error if closed is None else 0.0, sd_error, fourth, sample)


def _closed_mean(data: FactorData, kernel: Gram) -> float:
    """2 (E|v|² - |E v|²) over the whole data set."""
    step = max(1, min(MEMORY // 4, 16 * 2**20) // (int(np.prod(data.shape)) * kernel.number_bytes))
    total: Tensor | float = 0.0
    square: Tensor | float = 0.0
    for index in torch.arange(len(data), device=data.device).split(step):
        t, s = kernel.moments(data.images(index))
        total, square = total + t, square + s
    return 2 * float(square / len(data) - (total / len(data)).square().sum())  # type: ignore[union-attr, operator]


def _independent_parts(data: FactorData, kernel: Kernel) -> list[Tensor] | None:
    """Sets of images such that a random pair's distance is a sum of independent ones, of a random
    pair from each; None if too large.
    """
    if not data.grid:
        return [torch.arange(len(data), device=data.device)] if len(data) <= _ALL_PAIRS else None
    space = data.factors
    groups = [set(range(len(space)))]
    if data.channel_factors is not None and kernel.channelwise and kernel.symmetric:
        groups = []
        for channel in data.channel_factors:
            joined = set(channel).union(*(g for g in groups if g & set(channel)))
            groups = [g for g in groups if not g & joined] + ([joined] if joined else [])
    if any(math.prod(space.sizes[f] for f in group) > _ALL_PAIRS for group in groups):
        return None
    parts = []
    for group in groups:
        first = min(group)
        bases = space.traversal_bases(first, vary=sorted(group - {first}), device=data.device)
        parts.append(space.traversal(first, bases).flatten())
    return parts


def _from_parts(
    data: FactorData, kernel: Kernel, parts: list[Tensor], pairs: int, seed: int
) -> RandomPairs:
    rng = np.random.default_rng(seed)
    mean = variance = fourth = 0.0
    sample = np.zeros(pairs)
    for index in parts:
        table = kernel.distances(data.images(index)[None])[0].flatten().cpu().numpy()
        off = table - table.mean()
        # fourth central moments of a sum of independent terms
        fourth += float((off**4).mean()) + 6 * variance * float((off**2).mean())
        mean, variance = mean + float(table.mean()), variance + float((off**2).mean())
        sample += rng.choice(table, pairs)
    return RandomPairs(mean, math.sqrt(variance), 0.0, 0.0, fourth, np.sort(sample))
