"""Counts of distances in bins whose width is a share of the distance, for ranks and quantiles."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# There are _BINS bins between a power of 2 and the next.
_BITS = 10
_BINS = 2**_BITS
# The last bits of a float64, which tell the distances of one bin apart.
_LOST_BITS = 52 - _BITS
# Distances are multiplied so that no bin ends at a round number, where rounding would part equal
# distances.
_SCALE = math.pi / 3
# Distances of one bin are equal if they spread less, in widths of the bin.
_EQUAL = 1e-6


class Histogram:
    """Counts of distances by steps of a factor of `size` values.

    Bins are at most a thousandth of their distances wide, whatever the range, so that distances
    much smaller than the largest have their ranks, too.
    """

    def __init__(self, size: int, device: torch.device):
        self.size = size
        self.device = device
        # By exponent of the distances: counts by steps, shape (size, bins), and of all steps, shape
        # (bins,): sums of where distances lie in a bin, from 0 to 1, where one of them lies, and
        # whether they differ.
        self.counts: dict[int, Tensor] = {}
        self.fractions: dict[int, Tensor] = {}
        self.one: dict[int, Tensor] = {}
        self.differ: dict[int, Tensor] = {}

    def add(self, distances: Tensor, steps: Tensor, mask: Tensor | None = None) -> None:
        """Count distances, float64 of shape (T, P), that are `steps` apart; none is negative."""
        steps = steps.expand_as(distances)
        if mask is not None:
            distances = distances[mask]
            steps = steps[mask]
        if not distances.numel():
            return
        # Read as whole numbers, floats that are not negative keep their order. Adding 0 makes -0 0.
        bits = (distances.flatten() * _SCALE).add_(0.0).view(torch.int64)
        keys = bits >> _LOST_BITS
        first = int(keys.min()) >> _BITS
        keys -= first << _BITS
        occurs = (keys >> _BITS).bincount() > 0
        if not occurs.all():
            # exponents that do not occur take no room
            keys -= (~occurs).cumsum(0)[keys >> _BITS] << _BITS
        n = _BINS * int(occurs.sum())
        counts = (steps.flatten() * n + keys).bincount(minlength=self.size * n)
        fraction = (bits & (2**_LOST_BITS - 1)).double().mul_(2.0**-_LOST_BITS)
        exponents = (occurs.nonzero()[:, 0] + first).tolist()
        none = torch.full((_BINS,), torch.nan, dtype=torch.float64, device=self.device)
        one = torch.cat([self.one.get(exponent, none) for exponent in exponents])
        is_new = one[keys].isnan()
        one[keys[is_new]] = fraction[is_new]
        # sums would tell equal distances apart by their rounding
        differ = torch.zeros_like(one, dtype=torch.bool)
        differ[keys[(fraction - one[keys]).abs() > _EQUAL]] = True
        parts = (
            counts.view(self.size, -1, _BINS).unbind(1),
            keys.bincount(fraction, minlength=n).split(_BINS),
            one.split(_BINS),
            differ.split(_BINS),
        )
        for exponent, count, fractions, ones, differs in zip(exponents, *parts, strict=True):
            self.counts[exponent] = self.counts.get(exponent, 0) + count
            self.fractions[exponent] = self.fractions.get(exponent, 0) + fractions
            self.one[exponent] = ones
            self.differ[exponent] = self.differ.get(exponent, False) | differs

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all bins that are not empty, in ascending order of distances.

        Returns
        -------
        counts : ndarray of int64, shape (size, bins)
        means : ndarray of float64, shape (bins,)
            The mean distance of each bin.
        differ : ndarray of bool, shape (bins,)
            Whether a bin's distances are not all equal.
        """
        exponents = sorted(self.counts)
        counts, fractions, differ = (
            torch.cat([table[exponent] for exponent in exponents], -1).cpu().numpy()
            for table in (self.counts, self.fractions, self.differ)
        )
        first_keys = np.array(exponents)[:, None] * _BINS
        keys = (first_keys + np.arange(_BINS)).flatten()
        total = counts.sum(0)
        has_pairs = total > 0
        low, high = ((keys[has_pairs] + k << _LOST_BITS).view(np.float64) for k in (0, 1))
        means = (low + fractions[has_pairs] / total[has_pairs] * (high - low)) / _SCALE
        return counts[:, has_pairs], means, differ[has_pairs]
