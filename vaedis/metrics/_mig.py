"""Mutual information between binned latents and factors, and the mutual information gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import as_pair, classes, live_factors
from vaedis.metrics._scores import Score


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
        Mean score of the same codes with their rows shuffled, so that they know nothing of the factors. A score
        of this size at this number of samples means nothing; NaN if ``floor_repeats=0``.
    n_samples, bins : int
        Number of samples and of bins.
    """

    per_factor: np.ndarray
    mutual_information: np.ndarray
    noise_floor: float
    n_samples: int
    bins: int


def mig(codes: Any, factors: Any, *, bins: int = 20, seed: int = 0, floor_repeats: int = 4) -> MIGScore:
    """Mutual information gap, with equal-width bins as published.

    Each latent is cut into `bins` equal-width bins between its smallest and largest value. For each factor, the
    gap between the two largest mutual informations is divided by the factor's entropy in the samples. A single
    latent is compared with 0. One extreme value of a latent empties most of its bins; see `mig_quantile`.

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
        If lengths differ, a code is not finite, a factor is not an integer or has as many values as samples.

    References
    ----------
    Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in Variational Autoencoders", 2018.
    """
    return _mig(codes, factors, bins, seed, floor_repeats, equal_width_bins)


def mig_quantile(codes: Any, factors: Any, *, bins: int = 20, seed: int = 0, floor_repeats: int = 4) -> MIGScore:
    """Mutual information gap with bins of equal counts, which an extreme value of a latent cannot upset.

    The same as `mig`, but each latent is cut at its quantiles. Equal values always share a bin, so a latent with
    few distinct values may fill fewer bins. Values are not comparable with published MIG scores.

    Parameters, returns, errors and references are those of `mig`.
    """
    return _mig(codes, factors, bins, seed, floor_repeats, quantile_bins)


def equal_width_bins(codes: np.ndarray, bins: int) -> np.ndarray:
    """Equal-width bin of each code of (n, z), as (z, n): digitised on left edges, the largest value into the last."""
    latents = np.ascontiguousarray(codes.T)
    low, high = latents.min(axis=1), latents.max(axis=1)
    flat = low == high
    # A constant latent falls into one bin, whichever; edges half a unit away keep the division defined.
    low, high = np.where(flat, low - 0.5, low).astype(codes.dtype), np.where(flat, high + 0.5, high).astype(codes.dtype)
    edges = np.linspace(low, high, bins + 1, axis=1, dtype=codes.dtype)
    scale = bins / np.maximum(high.astype(np.float64) - low, np.finfo(np.float64).tiny)
    binned = np.empty(latents.shape, np.int64)
    for j, latent in enumerate(latents):
        guess = np.clip(((latent - low[j]) * scale[j]).astype(np.int64), 0, bins - 1)
        # The product may be off by one at an edge; the comparison with the edges themselves decides.
        guess -= (latent < edges[j][guess]) & (guess > 0)
        guess += (latent >= edges[j][guess + 1]) & (guess < bins - 1)
        binned[j] = guess
    return binned


def quantile_bins(codes: np.ndarray, bins: int) -> np.ndarray:
    """Equal-count bin of each code of (n, z), as (z, n); equal values share a bin."""
    cuts = np.quantile(codes, np.arange(1, bins) / bins, axis=0, method="inverted_cdf")
    return np.stack([np.searchsorted(cuts[:, j], codes[:, j], side="left") for j in range(codes.shape[1])])


def information_matrix(binned: np.ndarray, bins: int, labels: list[np.ndarray]) -> np.ndarray:
    """Mutual information in nats of each row of `binned` (z, n) with each array of labels (n,): (z, number of arrays).

    Bins and labels are whole numbers from 0.
    """
    z, n = binned.shape
    latent_bin = binned + (np.arange(z) * bins)[:, None]
    cell = np.empty_like(latent_bin)
    columns = []
    for y in labels:
        n_labels = int(y.max()) + 1
        np.multiply(latent_bin, n_labels, out=cell)
        cell += y
        joint = np.bincount(cell.ravel(), minlength=z * bins * n_labels).reshape(z, bins, n_labels) / n
        independent = joint.sum(axis=2, keepdims=True) * (np.bincount(y, minlength=n_labels) / n)
        ratio = np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0)
        # Never negative in exact arithmetic; rounding could make it so for independent variables.
        columns.append(np.maximum((joint * np.log(ratio)).sum(axis=(1, 2)), 0.0))
    return np.stack(columns, axis=1)


def _mig(codes: Any, factors: Any, bins: int, seed: int, floor_repeats: int, binning: Callable[[np.ndarray, int], np.ndarray]) -> MIGScore:
    code_array, factor_array = as_pair(codes, factors)
    _check.count("bins", bins, 2), _check.count("seed", seed, 0), _check.count("floor_repeats", floor_repeats, 0)
    live, left_out = live_factors(factor_array)
    labels = [classes(factor_array[:, column]) for column in live]
    entropies = np.array([_entropy(y) for y in labels])
    binned = binning(code_array, bins)

    information = information_matrix(binned, bins, labels)
    gaps = _gaps(information) / entropies
    generator = np.random.Generator(np.random.PCG64(seed))
    floors = []
    for _ in range(floor_repeats):
        order = generator.permutation(len(code_array))
        shuffled = information_matrix(binned, bins, [y[order] for y in labels])
        floors.append(np.mean(_gaps(shuffled) / entropies))
    return MIGScore(
        score=float(np.mean(gaps)),
        columns=tuple(live),
        left_out=left_out,
        per_factor=gaps,
        mutual_information=information,
        noise_floor=float(np.mean(floors)) if floors else float("nan"),
        n_samples=len(code_array),
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
