"""Scores of how latents follow factors: IRS, and MCC, the score of identifiability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import near_zero, require, samples, unit_variance, varies
from vaedis.metrics._scores import Score

# The largest deviation but for the outermost percent, as in the published scores.
_QUANTILE = 0.99


@dataclass(frozen=True, eq=False, repr=False)
class IRSScore(Score):
    """Interventional robustness score; see `irs`.

    Attributes
    ----------
    score : float
        Mean of `per_latent`, weighted by each latent's largest deviation from its mean.
    per_latent : ndarray of shape (z,)
        Robustness with respect to the best factor; 0 for a constant latent.
    robustness : ndarray of shape (z, f)
        1 minus the mean over a factor's values of a latent's deviation within the value, relative
        to its largest deviation; 0 for a constant latent.
    """

    per_latent: np.ndarray
    robustness: np.ndarray


def irs(codes: Any, factors: Any, *, seed: int = 0) -> IRSScore:
    """Compute the interventional robustness score.

    A latent is robust if it hardly moves while its factor is fixed. The deviation within a value is
    the 99 % quantile of the distances from its mean; a value with one sample has none, and is left
    out. The score assumes that factors are independent. Latents with a larger unit have more
    weight. Codes without information do not score 0: `score` shows what the same codes have in
    random order.

    Source: Suter, Miladinović, Schölkopf and Bauer, "Robustly Disentangled Causal Mechanisms:
    Validating Deep Representations for Interventional Robustness", 2019; the quantile in place of
    the maximum as in Locatello et al., 2019.

    Parameters
    ----------
    codes, factors
        See `vaedis.metrics`.
    seed : int
        Nothing is random.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(3) for b in range(3)])
    >>> print(f"{vd.metrics.irs(factors * [1.0, 5.0], factors).score:.2f}")
    1.00
    """
    given = samples(codes, factors, seed)
    codes = near_zero(given.codes)[0].astype(np.float64)
    moving = varies(given.codes)
    largest = np.where(moving, np.abs(codes - codes.mean(axis=0)).max(axis=0), 0.0)
    robustness = np.zeros((codes.shape[1], len(given.columns)))
    for i, labels in enumerate(given.factors.T):
        deviations = []
        for value in np.flatnonzero(np.bincount(labels) > 1):
            part = codes[labels == value]
            deviations.append(np.quantile(np.abs(part - part.mean(axis=0)), _QUANTILE, axis=0))
        robustness[moving, i] = 1 - np.mean(deviations, axis=0)[moving] / largest[moving]
    per_latent = robustness.max(axis=1)
    weights = largest / largest.max() if moving.any() else np.ones(len(largest))
    return IRSScore(
        score=float(np.average(per_latent, weights=weights)),
        columns=given.columns,
        constant=given.constant,
        per_latent=per_latent,
        robustness=robustness,
    )


@dataclass(frozen=True, eq=False, repr=False)
class MCCScore(Score):
    """Mean correlation coefficient; see `mcc`.

    Attributes
    ----------
    score : float
        Mean of `per_factor`, in [0, 1].
    per_factor : ndarray of shape (f,)
        Absolute correlation of each factor with its latent; 0 if no latent is left for it.
    match : ndarray of int, shape (f,)
        The latent of each factor, -1 if no latent is left for it.
    correlation : ndarray of shape (z, f)
        Absolute correlation of each latent with each factor; 0 if the latent is constant.
    """

    per_factor: np.ndarray
    match: np.ndarray
    correlation: np.ndarray


def mcc(codes: Any, factors: Any, *, method: str = "pearson", seed: int = 0) -> MCCScore:
    """Compute the mean correlation coefficient, the score of identifiability.

    Each factor gets a latent of its own, so that the sum of absolute correlations is as large as it
    can be. Being a maximum, it is above 0 for codes without information, and more so the fewer
    samples there are: `score` shows what the same codes have in random order.

    Source: Hyvärinen and Morioka, "Unsupervised Feature Extraction by Time-Contrastive Learning and
    Nonlinear ICA", 2016; Khemakhem, Kingma, Monti and Hyvärinen, "Variational Autoencoders and
    Nonlinear ICA: A Unifying Framework", 2020.

    Parameters
    ----------
    codes, factors
        See `vaedis.metrics`. Factors are real numbers whose size has a meaning.
    method : {"pearson", "spearman"}
        Correlation of values, which a linear latent has, or of ranks, which any monotone latent
        has.
    seed : int
        Nothing is random.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)]) / 4
    >>> result = vd.metrics.mcc(-2 * factors[:, ::-1] + 1, factors)
    >>> print(f"{result.score:.2f}", result.match.tolist())
    1.00 [1, 0]
    """
    _check.one_of("method", method, ("pearson", "spearman"))
    given = samples(codes, factors, seed, allow_real=True)
    x, y = given.codes, given.factors
    if len(x) < x.shape[1] + 2:
        raise ValueError(
            f"codes has {len(x)} samples of {x.shape[1]} latents, but mcc needs at least "
            f"{x.shape[1] + 2}: of fewer, codes without information correlate with any factor."
        )
    if method == "spearman":
        stats = require("scipy.stats", "mcc")
        x, y = stats.rankdata(x, axis=0), stats.rankdata(y, axis=0)
    correlation = np.abs(unit_variance(x)[0].T @ unit_variance(y)[0]) / len(y)
    correlation = np.where(varies(given.codes)[:, None], np.minimum(correlation, 1.0), 0.0)
    assign = require("scipy.optimize", "mcc").linear_sum_assignment
    latents, matched = assign(correlation, maximize=True)
    match = np.full(len(given.columns), -1)
    match[matched] = latents
    per_factor = np.zeros(len(given.columns))
    per_factor[matched] = correlation[latents, matched]
    return MCCScore(
        score=float(per_factor.mean()),
        columns=given.columns,
        constant=given.constant,
        per_factor=per_factor,
        match=match,
        correlation=correlation,
    )
