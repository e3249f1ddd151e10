"""MCC: the mean correlation of factors and the latents that match them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import as_pair, require, unit_variance, varies, varying_factors
from vaedis.metrics._scores import Score


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
    can be.

    Parameters
    ----------
    codes : array of shape (n, z)
        Representation of each sample, usually the posterior mean.
    factors : array of shape (n, f)
        Ground-truth factors of each sample, as real numbers whose size has a meaning.
    method : {"pearson", "spearman"}
        Correlation of values, which a linear latent has, or of ranks, which any monotone latent
        has.
    seed : int
        Accepted as by every score, but nothing is random.

    Returns
    -------
    MCCScore

    Raises
    ------
    ValueError, TypeError
        If lengths differ, a number is not finite, no factor varies, or the method is unknown.
    ImportError
        If scipy is not installed.

    References
    ----------
    Hyvärinen and Morioka, "Unsupervised Feature Extraction by Time-Contrastive Learning and
    Nonlinear ICA", 2016; Khemakhem, Kingma, Monti and Hyvärinen, "Variational Autoencoders and
    Nonlinear ICA: A Unifying Framework", 2020.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)]) / 4
    >>> result = vd.metrics.mcc(-2 * factors[:, ::-1] + 1, factors)
    >>> print(f"{result.score:.2f}", result.match.tolist())
    1.00 [1, 0]
    """
    _check.one_of("method", method, ("pearson", "spearman"))
    _check.count("seed", seed, 0)
    code_array, factor_array = as_pair(codes, factors, real=True)
    varying, constant = varying_factors(factor_array)
    x, y = code_array, factor_array[:, varying]
    if method == "spearman":
        stats = require("scipy.stats", "mcc")
        x, y = stats.rankdata(x, axis=0), stats.rankdata(y, axis=0)
    correlation = np.abs(unit_variance(x)[0].T @ unit_variance(y)[0]) / len(y)
    correlation = np.where(varies(code_array)[:, None], np.minimum(correlation, 1.0), 0.0)
    assign = require("scipy.optimize", "mcc").linear_sum_assignment
    latents, matched = assign(correlation, maximize=True)
    match = np.full(len(varying), -1)
    match[matched] = latents
    per_factor = np.zeros(len(varying))
    per_factor[matched] = correlation[latents, matched]
    return MCCScore(
        score=float(per_factor.mean()),
        columns=tuple(varying),
        constant=constant,
        per_factor=per_factor,
        match=match,
        correlation=correlation,
    )
