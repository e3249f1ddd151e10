"""Modularity: how far each latent informs about one factor only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import as_pair, classes, varying_factors
from vaedis.metrics._mig import equal_width_bins, informations
from vaedis.metrics._scores import Score


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
    """

    per_latent: np.ndarray
    mutual_information: np.ndarray


def modularity(codes: Any, factors: Any, *, seed: int = 0) -> ModularityScore:
    """Compute modularity: 1 minus a latent's mean squared information about its other factors.

    It is relative to the square of that about the best factor. A latent without information counts
    as 0, as published. The modularity of a latent that is nearly constant is noise.

    Parameters
    ----------
    codes, factors
        As in `mig`; at least two factors vary.
    seed : int
        Accepted as by every score, but nothing is random.

    Returns
    -------
    ModularityScore

    Raises
    ------
    ValueError, TypeError
        As by `mig`, or if fewer than two factors vary.

    References
    ----------
    Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", 2018,
    section 3.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)])
    >>> codes = np.stack([factors[:, 0], factors[:, 0] + factors[:, 1]], axis=1)
    >>> vd.metrics.modularity(codes, factors).per_latent.round(2).tolist()
    [1.0, 0.0]
    """
    code_array, factor_array = as_pair(codes, factors)
    _check.count("seed", seed, 0)
    varying, constant = varying_factors(factor_array)
    if len(varying) < 2:
        raise ValueError(
            "one factor varies, but modularity compares factors: pass at least two that vary."
        )
    binned = equal_width_bins(code_array)
    labels = [classes(factor_array[:, column]) for column in varying]
    information = np.stack([informations(binned, y[None])[0] for y in labels], axis=1)
    squares = information**2
    best = squares.max(axis=1)
    largest = best * (len(varying) - 1)
    others = np.divide(squares.sum(axis=1) - best, largest, out=np.ones_like(best), where=best > 0)
    per_latent = np.clip(1 - others, 0.0, 1.0)
    return ModularityScore(
        score=float(per_latent.mean()),
        columns=tuple(varying),
        constant=constant,
        per_latent=per_latent,
        mutual_information=information,
    )
