"""Mutual information between binned latents and factors, and the mutual information gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import as_pair, classes, varies, varying_factors
from vaedis.metrics._scores import Score

BINS = 20
# Joint counts of a few latents at a time stay in the cache.
_COUNTS_AT_A_TIME = 2**13
# Outside this range of a latent, float32 bins have errors that matter.
_NARROWEST = 1e-30
_WIDEST = 1e37


@dataclass(frozen=True, eq=False, repr=False)
class MIGScore(Score):
    """Mutual information gap; see `mig`.

    Attributes
    ----------
    score : float
        Mean of `per_factor`, in [0, 1].
    per_factor : ndarray of shape (f,)
        Gap of each factor that varies.
    mutual_information : ndarray of shape (z, f)
        Mutual information in nats of each binned latent with each factor.
    noise_floor : float
        Mean score of the same codes in random order: what a score is worth that means nothing. NaN
        if ``floor_repeats=0``.
    n_samples : int
    """

    per_factor: np.ndarray
    mutual_information: np.ndarray
    noise_floor: float
    n_samples: int


def mig(codes: Any, factors: Any, *, seed: int = 0, floor_repeats: int = 4) -> MIGScore:
    """Compute the mutual information gap with 20 equal-width bins, as published.

    Each latent is cut into bins between its smallest and largest value. For each factor, the gap
    between the two largest mutual informations is divided by the factor's entropy in the samples.
    A single latent is compared with 0. One extreme value of a latent empties most of its bins; see
    `mig_quantile`.

    Parameters
    ----------
    codes : array of shape (n, z)
        Representation of each sample, usually the posterior mean.
    factors : array of int, shape (n, f)
        Ground-truth factors of each sample.
    seed : int
        Seed of the shuffles behind the noise floor; the score itself draws nothing.
    floor_repeats : int
        Number of shuffles behind the noise floor; 0 leaves it out.

    Returns
    -------
    MIGScore

    Raises
    ------
    ValueError, TypeError
        If lengths differ, a code is not finite, or a factor is not an integer or has fewer than
        two samples per value.

    References
    ----------
    Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in Variational
    Autoencoders", 2018.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)])
    >>> codes = factors @ np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> print(f"{vd.metrics.mig(codes, factors).score:.2f}")
    1.00
    >>> print(f"{vd.metrics.mig(codes @ [[1, 1], [1, -1]], factors).score:.2f}")
    0.00
    """
    return _mig(codes, factors, seed, floor_repeats, equal_width_bins)


def mig_quantile(codes: Any, factors: Any, *, seed: int = 0, floor_repeats: int = 4) -> MIGScore:
    """Compute the mutual information gap with bins of equal counts, robust to extreme values.

    It is `mig` with each latent cut at its quantiles, and has the same parameters, result, errors
    and source. Equal values share a bin. Do not compare it with published MIG scores.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)])
    >>> codes = factors.astype(float)
    >>> codes[0] = 1e6
    >>> float(vd.metrics.mig(codes, factors)) < 0.1 < float(vd.metrics.mig_quantile(codes, factors))
    True
    """
    return _mig(codes, factors, seed, floor_repeats, quantile_bins)


def _mig(
    codes: Any,
    factors: Any,
    seed: int,
    floor_repeats: int,
    binning: Callable[[np.ndarray], np.ndarray],
) -> MIGScore:
    """Compute the gap for either kind of bins."""
    code_array, factor_array = as_pair(codes, factors)
    _check.count("seed", seed, 0)
    _check.count("floor_repeats", floor_repeats, 0)
    varying, constant = varying_factors(factor_array)
    binned = binning(code_array)
    n = len(code_array)
    generator = np.random.Generator(np.random.PCG64(seed))
    shuffles = [generator.permutation(n) for _ in range(floor_repeats)]
    by_factor = []
    entropies = []
    for column in varying:
        labels = classes(factor_array[:, column])
        arrangements = np.stack([labels, *(labels[shuffle] for shuffle in shuffles)])
        by_factor.append(informations(binned, arrangements))
        entropies.append(entropy(labels))
    # The first arrangement is the score's, the others are the noise floor's: (1 + r, z, f).
    information = np.stack(by_factor, axis=2)
    gaps = _gaps(information) / np.array(entropies)
    return MIGScore(
        score=float(np.mean(gaps[0])),
        columns=tuple(varying),
        constant=constant,
        per_factor=gaps[0],
        mutual_information=information[0],
        noise_floor=float(np.mean(gaps[1:])) if floor_repeats else float("nan"),
        n_samples=n,
    )


def equal_width_bins(codes: np.ndarray) -> np.ndarray:
    """Return the equal-width bin of each code of (n, z), as (z, n)."""
    binned = np.zeros(codes.shape[::-1], np.int16)
    # A constant latent stays in the first bin.
    for j in np.flatnonzero(varies(codes)):
        latent, edges = _edges(codes[:, j])
        low, high = float(latent.min()), float(latent.max())
        # In float64: in float32, the bin's number overflows for a latent of tiny range.
        shifted = (latent - latent.dtype.type(low)).astype(np.float64)
        guess = (shifted * (BINS / (high - low))).astype(np.int64)
        np.minimum(guess, BINS - 1, out=guess)
        # The guess may be off by one at an edge; the edges decide, except the outermost.
        edges[0] = -np.inf
        edges[-1] = np.inf
        guess -= latent < edges.take(guess)
        guess += latent >= edges.take(guess + 1)
        binned[j] = guess
    return binned


def _edges(latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a varying latent (n,) and its bins' edges, in a unit in which each bin has a width.

    Edges have the precision of the codes, as published, unless it is too low for them.
    """
    low, high = latent.min(), latent.max()
    span = float(high) - float(low)
    if _NARROWEST < span < _WIDEST:
        edges = np.linspace(low, high, BINS + 1, dtype=latent.dtype)
        if (np.diff(edges) > 0).all():
            return latent.copy(), edges
    # The difference of near numbers is exact, and scaling by a power of two keeps it exact.
    latent = np.ldexp(latent.astype(np.float64) - float(low), -int(np.frexp(span)[1]))
    return latent, np.linspace(0, latent.max(), BINS + 1)


def quantile_bins(codes: np.ndarray) -> np.ndarray:
    """Return the equal-count bin of each code of (n, z), as (z, n); equal values share a bin."""
    cuts = np.quantile(codes, np.arange(1, BINS) / BINS, axis=0, method="inverted_cdf")
    return np.stack(
        [np.searchsorted(cuts[:, j], codes[:, j], side="left") for j in range(codes.shape[1])]
    )


def informations(binned: np.ndarray, arrangements: np.ndarray) -> np.ndarray:
    """Return the information in nats of bins (z, n) with r orders (r, n) of labels: (r, z)."""
    n = arrangements.shape[1]
    n_labels = int(arrangements[0].max()) + 1
    logs = np.arange(n + 1, dtype=float)
    logs[1:] *= np.log(logs[1:])
    information = np.empty((len(arrangements), len(binned)))
    step = max(1, _COUNTS_AT_A_TIME // (BINS * n_labels))
    for start in range(0, len(binned), step):
        part = slice(start, min(start + step, len(binned)))
        counts = _joint_counts(binned[part], arrangements, n_labels)
        information[0, part] = _information(counts[0])
        if len(arrangements) > 1:
            # Another order of the labels changes the joint entropy only.
            sums = logs[counts].sum(axis=(2, 3))
            information[1:, part] = information[0, part] + (sums[1:] - sums[0]) / n
    return information


def _joint_counts(binned: np.ndarray, arrangements: np.ndarray, n_labels: int) -> np.ndarray:
    """Count samples by bin and label, of each arrangement and latent: (r, z, bins, labels)."""
    counts = np.empty((len(arrangements), len(binned), BINS, n_labels), np.int64)
    for j, latent in enumerate(binned):
        first = np.multiply(latent, n_labels, dtype=np.int64)
        for row, labels in enumerate(arrangements):
            flat = np.bincount(first + labels, minlength=BINS * n_labels)
            counts[row, j] = flat.reshape(BINS, n_labels)
    return counts


def _information(counts: np.ndarray) -> np.ndarray:
    """Return the mutual information in nats from joint counts (z, bins, labels): (z,)."""
    joint = counts / counts[0].sum()
    product = joint.sum(axis=2, keepdims=True) * joint[0].sum(axis=0)
    ratio = np.divide(joint, product, out=np.ones_like(joint), where=joint > 0)
    # Rounding could make it negative for independent variables.
    information = np.maximum((joint * np.log(ratio)).sum(axis=(1, 2)), 0.0)
    # Integers decide exactly whether a latent is independent, where rounding would leave 1e-16.
    expected = counts.sum(axis=2, keepdims=True) * counts[0].sum(axis=0)
    return np.where((counts * counts[0].sum() == expected).all(axis=(1, 2)), 0.0, information)


def _gaps(information: np.ndarray) -> np.ndarray:
    """Return the difference of the two largest latents of (r, z, f); one is compared with 0."""
    if information.shape[1] == 1:
        return information[:, 0]
    top = np.partition(information, -2, axis=1)[:, -2:]
    return top[:, 1] - top[:, 0]


def entropy(labels: np.ndarray) -> float:
    """Return the entropy in nats of labels (n,) that count from 0."""
    share = np.bincount(labels) / len(labels)
    return float(-(share * np.log(share)).sum())
