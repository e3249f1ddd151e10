"""R²: the share of a factor's variance that a regression from the codes explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis.metrics._inputs import require, split_samples, unit_variance, varies, varying_factors
from vaedis.metrics._scores import Score


@dataclass(frozen=True, eq=False, repr=False)
class R2Score(Score):
    """R² of linear and nonlinear regressions; see `r2`.

    Attributes
    ----------
    score, nonlinear : float
        Mean of `per_factor` and `nonlinear_per_factor`.
    per_factor, nonlinear_per_factor : ndarray of shape (f,)
        R² of each factor in the test samples: 1 at best, 0 for a constant, and below 0 for
        predictions that are worse.
    n_train, n_test : int
        Number of samples.
    """

    nonlinear: float
    per_factor: np.ndarray
    nonlinear_per_factor: np.ndarray
    n_train: int
    n_test: int


def r2(
    codes: Any,
    factors: Any,
    *,
    test: tuple[Any, Any] | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> R2Score:
    """Compute the R² with which regressions predict each factor from all latents.

    It asks whether the codes hold the factors at all, up to a linear map or to any map, and not
    whether a latent holds one of them. The linear regression is that of least squares; the
    nonlinear one boosts trees (``sklearn.ensemble.HistGradientBoostingRegressor``), and needs a few
    hundred samples.

    Parameters
    ----------
    codes, test, n_test
        As in `dci`.
    factors : array of shape (n, f)
        Ground-truth factors of each sample, as real numbers whose size has a meaning.
    seed : int
        Seed of the draw of test samples.

    Returns
    -------
    R2Score

    Raises
    ------
    ValueError, TypeError
        If lengths differ, a number is not finite, no factor varies, there are too few samples to
        train on, or the test samples have a single value of a factor.
    ImportError
        If scikit-learn is not installed.

    References
    ----------
    Used for identifiability up to linear or invertible maps, as by von Kügelgen et al.,
    "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style", 2021.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.random.default_rng(0).random((300, 2))
    >>> print(f"{vd.metrics.r2(factors @ [[1, 1], [1, -1]], factors).score:.2f}")
    1.00
    """
    ensemble = require("sklearn.ensemble", "r2")
    linear_model = require("sklearn.linear_model", "r2")
    r2_score = require("sklearn.metrics", "r2").r2_score
    codes, factors, test_codes, test_factors = split_samples(
        codes, factors, test, n_test, seed, real=True
    )
    varying, constant = varying_factors(factors)
    needed = codes.shape[1] + 2
    if len(codes) < needed:
        raise ValueError(
            f"r2 has {len(codes)} samples to train on, but {codes.shape[1]} latents need at least "
            f"{needed}: pass more samples."
        )
    y, y_test = unit_variance(factors[:, varying], test_factors[:, varying])
    for column in np.flatnonzero(~varies(y_test)):
        raise ValueError(
            f"the test samples of factors[:, {varying[column]}] have one single value: pass more."
        )
    x, x_test = unit_variance(codes, test_codes)
    linear = linear_model.LinearRegression().fit(x, y).predict(x_test)
    trees = ensemble.HistGradientBoostingRegressor(early_stopping=False)
    boosted = np.stack([trees.fit(x, column).predict(x_test) for column in y.T], axis=1)
    per_factor = r2_score(y_test, linear, multioutput="raw_values")
    nonlinear = r2_score(y_test, boosted, multioutput="raw_values")
    return R2Score(
        score=float(per_factor.mean()),
        columns=tuple(varying),
        constant=constant,
        nonlinear=float(nonlinear.mean()),
        per_factor=per_factor,
        nonlinear_per_factor=nonlinear,
        n_train=len(codes),
        n_test=len(test_codes),
    )
