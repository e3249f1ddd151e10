"""Mutual information between binned latents and factors, and the mutual information gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import as_pair, classes, live_factors, varies
from vaedis.metrics._scores import Score

_CELLS = 2**13  # numbers in the joint counts of a few latents
# Between these ranges of a latent, float32 divides it into bins with small error.
_NARROWEST, _WIDEST = 1e-30, 1e37


@dataclass(frozen=True, eq=False)
class MIGScore(Score):
    """Mutual information gap.

    Attributes
    ----------
    score : float
        Mean of `per_factor`, in [0, 1].
    per_factor : ndarray of shape (f,)
        Gap of each factor that varies.
    mutual_information : ndarray of shape (z, f)
        Mutual information in nats of each binned latent with each factor.
    noise_floor : float
        Mean score of the same codes with their rows shuffled, so that they know nothing of the
        factors. A score of this size at this number of samples means nothing; NaN if
        ``floor_repeats=0``.
    n_samples, bins : int
        Number of samples and of bins.
    """

    per_factor: np.ndarray
    mutual_information: np.ndarray
    noise_floor: float
    n_samples: int
    bins: int


def mig(
    codes: Any, factors: Any, *, bins: int = 20, seed: int = 0, floor_repeats: int = 4
) -> MIGScore:
    """Mutual information gap, with equal-width bins as published.

    Each latent is cut into `bins` equal-width bins between its smallest and largest value. For each
    factor, the gap between the two largest mutual informations is divided by the factor's entropy
    in the samples. A single latent is compared with 0. One extreme value of a latent empties most
    of its bins; see `mig_quantile`.

    Parameters
    ----------
    codes, factors
        As in `dci`.
    bins : int
        Number of bins of each latent.
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
        If lengths differ, a code is not finite, a factor is not an integer or has fewer than two
        samples a value.

    References
    ----------
    Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in Variational
    Autoencoders", 2018.
    """
    return _mig(codes, factors, bins, seed, floor_repeats, equal_width_bins)


def mig_quantile(
    codes: Any, factors: Any, *, bins: int = 20, seed: int = 0, floor_repeats: int = 4
) -> MIGScore:
    """Mutual information gap with bins of equal counts, which an extreme value of a latent cannot
    upset.

    The same as `mig`, but each latent is cut at its quantiles. Equal values always share a bin, so
    a latent with few distinct values may fill fewer bins. Values are not comparable with published
    MIG scores.

    Parameters, returns, errors and references are those of `mig`.
    """
    return _mig(codes, factors, bins, seed, floor_repeats, quantile_bins)


def equal_width_bins(codes: np.ndarray, bins: int) -> np.ndarray:
    """Equal-width bin of each code of (n, z), as (z, n): digitised on left edges, the largest value
    into the last.
    """
    binned = np.zeros(codes.shape[::-1], np.int16 if bins <= 2**15 else np.int64)
    # A constant latent falls into one bin, the first.
    for j in np.flatnonzero(varies(codes)):
        latent, edges = _edges(codes[:, j], bins)
        low, high = float(latent.min()), float(latent.max())
        # In float64: the number of a bin, in float32, overflows for a latent of tiny range.
        guess = (
            (latent - latent.dtype.type(low)).astype(np.float64) * (bins / (high - low))
        ).astype(np.int64)
        np.minimum(guess, bins - 1, out=guess)
        # The product may be off by one at an edge; the comparison with the edges themselves
        # decides, but for the first and the last.
        edges[0], edges[-1] = -np.inf, np.inf
        guess -= latent < edges.take(guess)
        guess += latent >= edges.take(guess + 1)
        binned[j] = guess
    return binned


def _edges(latent: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a latent (n,) that varies and the edges of its bins (bins + 1,), in a unit in which each
    bin has a width.

    Edges have the precision of the codes, as published, unless it cannot hold them.
    """
    low, high = latent.min(), latent.max()
    span = float(high) - float(low)
    if _NARROWEST < span < _WIDEST:
        edges = np.linspace(low, high, bins + 1, dtype=latent.dtype)
        if (np.diff(edges) > 0).all():
            return latent.copy(), edges
    # The difference of two near numbers is exact, and the power of two keeps it so; then no range
    # is too small.
    latent = np.ldexp(latent.astype(np.float64) - float(low), -int(np.frexp(span)[1]))
    return latent, np.linspace(0, latent.max(), bins + 1)


def quantile_bins(codes: np.ndarray, bins: int) -> np.ndarray:
    """Equal-count bin of each code of (n, z), as (z, n); equal values share a bin."""
    cuts = np.quantile(codes, np.arange(1, bins) / bins, axis=0, method="inverted_cdf")
    return np.stack(
        [np.searchsorted(cuts[:, j], codes[:, j], side="left") for j in range(codes.shape[1])]
    )


def information_matrix(binned: np.ndarray, bins: int, labels: list[np.ndarray]) -> np.ndarray:
    """Mutual information in nats of each row of `binned` (z, n) with each array of labels (n,): (z,
    number of arrays).

    Bins and labels are whole numbers from 0.
    """
    return np.stack([_informations(binned, bins, y[None])[0] for y in labels], axis=1)


def _informations(binned: np.ndarray, bins: int, arrangements: np.ndarray) -> np.ndarray:
    """Mutual information in nats of each row of `binned` (z, n) with each row of `arrangements` (r,
    n), all of the same labels: (r, z).
    """
    n, n_labels = arrangements.shape[1], int(arrangements[0].max()) + 1
    logs = np.arange(n + 1, dtype=float)
    logs[1:] *= np.log(logs[1:])
    informations = np.empty((len(arrangements), len(binned)))
    # A few latents at a time, whose counts stay in the cache.
    together = max(1, _CELLS // (bins * n_labels))
    for start in range(0, len(binned), together):
        part = slice(start, min(start + together, len(binned)))
        counts = np.empty((len(arrangements), part.stop - start, bins, n_labels), np.int64)
        for j, latent in enumerate(binned[part]):
            first = np.multiply(latent, n_labels, dtype=np.int64)
            for row, labels in enumerate(arrangements):
                counts[row, j] = np.bincount(first + labels, minlength=bins * n_labels).reshape(
                    bins, n_labels
                )
        informations[0, part] = _information(counts[0])
        if len(informations) > 1:
            # Another order changes neither how full bins are nor how frequent labels, so the joint
            # entropy alone.
            sums = logs[counts].sum(axis=(2, 3))
            informations[1:, part] = informations[0, part] + (sums[1:] - sums[0]) / n
    return informations


def _information(counts: np.ndarray) -> np.ndarray:
    """Mutual information in nats from joint counts (z, bins, L): (z,)."""
    joint = counts / counts[0].sum()
    product = joint.sum(axis=2, keepdims=True) * joint[0].sum(axis=0)
    ratio = np.divide(joint, product, out=np.ones_like(joint), where=joint > 0)
    # Never negative in exact arithmetic; rounding could make it so for independent variables.
    information = np.maximum((joint * np.log(ratio)).sum(axis=(1, 2)), 0.0)
    # Whole numbers say exactly whether a latent is independent of the factor, as a constant one is;
    # rounding would leave it 1e-16.
    expected = counts.sum(axis=2, keepdims=True) * counts[0].sum(axis=0)
    return np.where((counts * counts[0].sum() == expected).all(axis=(1, 2)), 0.0, information)


def _mig(
    codes: Any,
    factors: Any,
    bins: int,
    seed: int,
    floor_repeats: int,
    binning: Callable[[np.ndarray, int], np.ndarray],
) -> MIGScore:
    code_array, factor_array = as_pair(codes, factors)
    (
        _check.count("bins", bins, 2),
        _check.count("seed", seed, 0),
        _check.count("floor_repeats", floor_repeats, 0),
    )
    live, left_out = live_factors(factor_array)
    labels = [classes(factor_array[:, column]) for column in live]
    entropies = np.array([_entropy(y) for y in labels])
    binned = binning(code_array, bins)

    n = len(code_array)
    generator = np.random.Generator(np.random.PCG64(seed))
    orders = [generator.permutation(n) for _ in range(floor_repeats)]
    # the first as it is, then shuffled
    informations = np.stack(
        [
            _informations(binned, bins, np.stack([y, *(y[order] for order in orders)]))
            for y in labels
        ],
        axis=2,
    )
    gaps = np.stack([_gaps(information) for information in informations]) / entropies
    return MIGScore(
        score=float(np.mean(gaps[0])),
        columns=tuple(live),
        left_out=left_out,
        per_factor=gaps[0],
        mutual_information=informations[0],
        noise_floor=float(np.mean(gaps[1:])) if floor_repeats else float("nan"),
        n_samples=n,
        bins=bins,
    )


def _gaps(information: np.ndarray) -> np.ndarray:
    """Difference of the two largest entries of each column; a single row is compared with 0."""
    if len(information) == 1:
        return information[0]
    top = np.partition(information, -2, axis=0)[-2:]
    return top[1] - top[0]


def _entropy(labels: np.ndarray) -> float:
    share = np.bincount(labels) / len(labels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())
