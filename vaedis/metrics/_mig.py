"""Mutual information between binned latents and factors: the MIG, and modularity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import samples, varies
from vaedis.metrics._scores import Score

_BINS = 20
# Outside this range of a latent, float32 bins have errors that matter.
_NARROWEST = 1e-30
_WIDEST = 1e37
# Makes the shuffles of the noise floor unlike those of a caller who has the same seed.
_FLOOR = 20


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
        Mean score of the same codes in random order, which hold no information. NaN if
        ``floor_repeats=0``.
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

    Source: Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in Variational
    Autoencoders", 2018.

    Parameters
    ----------
    codes, factors
        See `vaedis.metrics`.
    seed : int
        Seed of the shuffles behind the noise floor; the score itself draws nothing.
    floor_repeats : int
        Number of shuffles behind the noise floor; 0 leaves it out.

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
    return _mig(codes, factors, seed, floor_repeats, _equal_width_bins)


def mig_quantile(codes: Any, factors: Any, *, seed: int = 0, floor_repeats: int = 4) -> MIGScore:
    """Compute the mutual information gap with bins of equal counts, robust to extreme values.

    It is `mig` with each latent cut at its quantiles. Equal values share a bin. Do not compare it
    with published MIG scores.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)])
    >>> codes = factors.astype(float)
    >>> codes[0] = 1e6
    >>> float(vd.metrics.mig(codes, factors)) < 0.1 < float(vd.metrics.mig_quantile(codes, factors))
    True
    """
    return _mig(codes, factors, seed, floor_repeats, _quantile_bins)


@dataclass(frozen=True, eq=False, repr=False)
class ModularityScore(Score):
    """Modularity; see `modularity`.

    Attributes
    ----------
    score : float
        Mean of `per_latent`.
    per_latent : ndarray of shape (z,)
        1 for a latent that informs about one factor only, 0 for one that informs about all alike,
        or about none.
    mutual_information : ndarray of shape (z, f)
        Mutual information in nats of each binned latent with each factor.
    noise_floor : float
        As in `MIGScore`.
    """

    per_latent: np.ndarray
    mutual_information: np.ndarray
    noise_floor: float


def modularity(
    codes: Any, factors: Any, *, seed: int = 0, floor_repeats: int = 4
) -> ModularityScore:
    """Compute modularity: 1 minus a latent's mean squared information about its other factors.

    It is relative to the square of that about the best factor. A latent without information counts
    as 0, as published. But the measured information of codes that have none is above 0, most about
    the factor of most values, so their modularity is high, near 1 if factors differ much in their
    number of values, of however many samples. Compare with `noise_floor`.

    Source: Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss",
    2018, section 3.

    Parameters
    ----------
    codes, factors
        See `vaedis.metrics`; at least two factors vary.
    seed, floor_repeats : int
        As in `mig`.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)])
    >>> codes = np.stack([factors[:, 0], factors[:, 0] + factors[:, 1]], axis=1)
    >>> vd.metrics.modularity(codes, factors).per_latent.round(2).tolist()
    [1.0, 0.0]
    """
    given = samples(codes, factors, seed)
    if len(given.columns) < 2:
        raise ValueError(
            "one factor varies, but modularity compares factors: pass at least two that vary."
        )
    binned = _equal_width_bins(given.codes)
    information = _informations(binned, given.factors)
    per_latent = _modularities(information)
    shuffled = _shuffled_informations(binned, given.factors, seed, floor_repeats)
    return ModularityScore(
        score=float(per_latent.mean()),
        columns=given.columns,
        constant=given.constant,
        per_latent=per_latent,
        mutual_information=information,
        noise_floor=_floor([_modularities(information) for information in shuffled]),
    )


def _modularities(information: np.ndarray) -> np.ndarray:
    """Return the modularity of each latent from informations (z, f)."""
    squares = information**2
    best = squares.max(axis=1)
    largest = best * (information.shape[1] - 1)
    others = np.divide(squares.sum(axis=1) - best, largest, out=np.ones_like(best), where=best > 0)
    return np.clip(1 - others, 0.0, 1.0)


def entropy(labels: np.ndarray) -> float:
    """Return the entropy in nats of labels (n,) that count from 0."""
    share = np.bincount(labels) / len(labels)
    return float(-(share * np.log(share)).sum())


def _mig(
    codes: Any,
    factors: Any,
    seed: int,
    floor_repeats: int,
    binning: Callable[[np.ndarray], np.ndarray],
) -> MIGScore:
    """Compute the gap for either kind of bins."""
    given = samples(codes, factors, seed)
    binned = binning(given.codes)
    entropies = np.array([entropy(labels) for labels in given.factors.T])
    information = _informations(binned, given.factors)
    gaps = _gaps(information) / entropies
    shuffled = _shuffled_informations(binned, given.factors, seed, floor_repeats)
    return MIGScore(
        score=float(np.mean(gaps)),
        columns=given.columns,
        constant=given.constant,
        per_factor=gaps,
        mutual_information=information,
        noise_floor=_floor([_gaps(information) / entropies for information in shuffled]),
        n_samples=len(given.codes),
    )


def _shuffled_informations(
    binned: np.ndarray, factors: np.ndarray, seed: int, repeats: int
) -> list[np.ndarray]:
    """Return the mutual information (z, f) of the same codes in random orders."""
    _check.count("floor_repeats", repeats, 0)
    generator = np.random.default_rng([seed, _FLOOR])
    orders = [generator.permutation(len(factors)) for _ in range(repeats)]
    return [_informations(binned, factors[order]) for order in orders]


def _floor(scores: list[np.ndarray]) -> float:
    return float(np.mean(scores)) if scores else float("nan")


def _equal_width_bins(codes: np.ndarray) -> np.ndarray:
    """Return the equal-width bin of each code of (n, z), as (z, n); 0 of a constant latent."""
    binned = np.zeros(codes.shape[::-1], np.int64)
    for j in np.flatnonzero(varies(codes)):
        latent = codes[:, j]
        low, high = latent.min(), latent.max()
        span = float(high) - float(low)
        scaled = not _NARROWEST < span < _WIDEST
        if not scaled:
            # Edges have the precision of the codes, as published, unless it is too low for them.
            edges = np.linspace(low, high, _BINS + 1, dtype=latent.dtype)
            scaled = bool((np.diff(edges) <= 0).any())
        if scaled:
            # A power of two keeps the numbers exact; their difference is exact as well.
            latent = np.ldexp(latent.astype(np.float64) - float(low), -int(np.frexp(span)[1]))
            edges = np.linspace(0, latent.max(), _BINS + 1)
        binned[j] = np.searchsorted(edges[1:-1], latent, side="right")
    return binned


def _quantile_bins(codes: np.ndarray) -> np.ndarray:
    """Return the equal-count bin of each code of (n, z), as (z, n); equal values share a bin."""
    cuts = np.quantile(codes, np.arange(1, _BINS) / _BINS, axis=0, method="inverted_cdf")
    pairs = zip(cuts.T, codes.T, strict=True)
    return np.stack([np.searchsorted(cut, latent, side="left") for cut, latent in pairs])


def _informations(binned: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the mutual information in nats of bins (z, n) and factors (n, f): (z, f)."""
    return np.array([[_information(bins, labels) for labels in factors.T] for bins in binned])


def _information(bins: np.ndarray, labels: np.ndarray) -> float:
    """Return the mutual information in nats of bins (n,) and labels (n,)."""
    shape = (_BINS, int(labels.max()) + 1)
    counts = np.bincount(bins * shape[1] + labels, minlength=math.prod(shape)).reshape(shape)
    # Integers decide exactly whether they are independent, where rounding would leave 1e-16.
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0)
    if (counts * len(labels) == expected).all():
        return 0.0
    joint = counts / len(labels)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    ratio = np.divide(joint, product, out=np.ones_like(joint), where=joint > 0)
    return max(float((joint * np.log(ratio)).sum()), 0.0)


def _gaps(information: np.ndarray) -> np.ndarray:
    """Return the difference of the two largest latents of (z, f); one is compared with 0."""
    if len(information) == 1:
        return information[0]
    second, best = np.sort(information, axis=0)[-2:]
    return best - second
