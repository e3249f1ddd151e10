"""IRS: how little a latent moves while one factor stays as it is and the others change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import as_pair, varies, varying_factors
from vaedis.metrics._scores import Score

# The largest deviation but for the outermost percent, as in the published scores.
QUANTILE = 0.99


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
    the 99 % quantile of the distances from its mean.

    Parameters
    ----------
    codes, factors
        As in `mig`.
    seed : int
        Accepted as by every score, but nothing is random.

    Returns
    -------
    IRSScore

    Raises
    ------
    ValueError, TypeError
        As by `mig`.

    Notes
    -----
    Factors are taken to be independent. Latents of a larger unit weigh more. Codes that know
    nothing do not score 0: compare with the score of the same codes in random order.

    References
    ----------
    Suter, Miladinović, Schölkopf and Bauer, "Robustly Disentangled Causal Mechanisms: Validating
    Deep Representations for Interventional Robustness", 2019; the quantile in place of the maximum
    as in Locatello et al., 2019.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(3) for b in range(3)])
    >>> print(f"{vd.metrics.irs(factors * [1.0, 5.0], factors).score:.2f}")
    1.00
    """
    code_array, factor_array = as_pair(codes, factors)
    _check.count("seed", seed, 0)
    varying, constant = varying_factors(factor_array)
    codes = code_array.astype(np.float64)
    moving = varies(code_array)
    largest = np.where(moving, np.abs(codes - codes.mean(axis=0)).max(axis=0), 0.0)
    robustness = np.zeros((codes.shape[1], len(varying)))
    for i, column in enumerate(varying):
        deviations = []
        for value in np.unique(factor_array[:, column]):
            part = codes[factor_array[:, column] == value]
            deviations.append(np.quantile(np.abs(part - part.mean(axis=0)), QUANTILE, axis=0))
        robustness[moving, i] = 1 - np.mean(deviations, axis=0)[moving] / largest[moving]
    per_latent = robustness.max(axis=1)
    weights = largest / largest.max() if moving.any() else np.ones(len(largest))
    return IRSScore(
        score=float(np.average(per_latent, weights=weights)),
        columns=tuple(varying),
        constant=constant,
        per_latent=per_latent,
        robustness=robustness,
    )
