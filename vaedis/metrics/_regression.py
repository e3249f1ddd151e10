"""Scores of classifiers and regressions on the codes: SAP, explicitness and R²."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis.metrics._inputs import require, split_samples, unit_variance, varies
from vaedis.metrics._scores import Score

_PENALTY = 0.01
# A latent shows nothing if all errors weigh less than this beside the penalty.
_HIDDEN = 1e-2
# Latents are scaled down to this.
_LARGEST = 1e5


@dataclass(frozen=True, eq=False, repr=False)
class SAPScore(Score):
    """Separated attribute predictability; see `sap`.

    Attributes
    ----------
    score : float
        Mean of `per_factor`.
    accuracy, per_factor : ndarray of shape (z, f), (f,)
        Test accuracy with which each latent predicts each factor, and the gap between the two best.
    n_train, n_test : int
        Number of samples.
    """

    per_factor: np.ndarray
    accuracy: np.ndarray
    n_train: int
    n_test: int


def sap(
    codes: Any,
    factors: Any,
    *,
    test: tuple[Any, Any] | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> SAPScore:
    """Compute separated attribute predictability, by linear support vector machines as published.

    Each machine, ``sklearn.svm.LinearSVC(C=0.01, class_weight="balanced")``, sees one latent. Its
    penalty on slope and intercept makes the score depend on the unit and origin of a latent: one of
    small spread, or far from 0, predicts less than it could.

    Source: Kumar, Sattigeri and Balakrishnan, "Variational Inference of Disentangled Latent
    Concepts from Unlabeled Observations", 2018, section 3.

    Parameters
    ----------
    codes, factors, test, n_test, seed
        See `vaedis.metrics`; at least two latents.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 25)
    >>> vd.metrics.sap(factors * 10.0, factors).accuracy.diagonal().tolist()
    [1.0, 1.0]
    """
    given = split_samples(codes, factors, test, n_test, seed)
    n_latents = given.codes.shape[1]
    if n_latents < 2:
        raise ValueError("codes has one latent, but sap compares two: pass at least two latents.")
    svm = require("sklearn.svm", "sap")
    _warn_of_penalty(given.codes)
    accuracy = np.empty((n_latents, len(given.columns)))
    # beyond _LARGEST the penalty on a slope is nothing, and the solver stops too early
    unit = np.maximum(np.abs(given.codes.astype(np.float64)).max(axis=0) / _LARGEST, 1.0)
    x = given.codes / unit
    x_test = given.test_codes / unit
    # solved to rounding error, so that no draw of the solver decides
    machine = svm.LinearSVC(
        C=_PENALTY, class_weight="balanced", dual=False, tol=1e-10, max_iter=10_000
    )
    for i in range(len(given.columns)):
        for j in range(n_latents):
            machine.fit(x[:, j : j + 1], given.factors[:, i])
            accuracy[j, i] = machine.score(x_test[:, j : j + 1], given.test_factors[:, i])
    second, best = np.sort(accuracy, axis=0)[-2:]
    return SAPScore(
        score=float(np.mean(best - second)),
        columns=given.columns,
        constant=given.constant,
        per_factor=best - second,
        accuracy=accuracy,
        n_train=len(x),
        n_test=len(x_test),
    )


def _warn_of_penalty(codes: np.ndarray) -> None:
    """Warn if slope and intercept cost more than all errors of every latent."""
    varying = codes[:, varies(codes)].astype(np.float64)
    variance = varying.var(axis=0)
    # The cost of a slope of 1 per standard deviation, and of its intercept.
    cost = (1 + varying.mean(axis=0) ** 2) / np.maximum(variance, np.finfo(np.float64).tiny)
    if cost.size and _PENALTY * len(codes) < _HIDDEN * cost.min():
        warnings.warn(
            f"latents, of standard deviations up to {np.sqrt(variance).max():.1g}, vary so little "
            "or lie so far from 0 that SAP's penalty may hide them: normalize the codes.",
            UserWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, eq=False, repr=False)
class ExplicitnessScore(Score):
    """Explicitness; see `explicitness`.

    Attributes
    ----------
    score : float
        Mean of `per_factor`; 0.5 is chance.
    per_factor : ndarray of shape (f,)
        Mean area under the ROC curves of the factor's values, each against the others.
    n_train, n_test : int
        Number of samples.
    """

    per_factor: np.ndarray
    n_train: int
    n_test: int


def explicitness(
    codes: Any,
    factors: Any,
    *,
    test: tuple[Any, Any] | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> ExplicitnessScore:
    """Compute explicitness: how well a linear classifier tells each factor value from the others.

    For each factor, a multinomial logistic regression with scikit-learn's default penalty is fitted
    to latents of unit variance. Values that the training or the test samples lack are skipped.

    Source: Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss",
    2018, section 3.

    Parameters
    ----------
    codes, factors, test, n_test, seed
        See `vaedis.metrics`.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 6)
    >>> print(f"{vd.metrics.explicitness(factors @ [[1, 1], [1, -1]], factors).score:.2f}")
    1.00
    """
    linear_model = require("sklearn.linear_model", "explicitness")
    area = require("sklearn.metrics", "explicitness").roc_auc_score
    given = split_samples(codes, factors, test, n_test, seed)
    x, x_test = unit_variance(given.codes, given.test_codes)
    per_factor = []
    for i, column in enumerate(given.columns):
        model = linear_model.LogisticRegression(max_iter=10_000).fit(x, given.factors[:, i])
        areas = []
        for value, probability in enumerate(model.predict_proba(x_test).T):
            positive = given.test_factors[:, i] == value
            if positive.any() and not positive.all():
                areas.append(area(positive, probability))
        if not areas:
            raise ValueError(f"the test samples of factors[:, {column}] are too few: draw more.")
        per_factor.append(np.mean(areas))
    return ExplicitnessScore(
        score=float(np.mean(per_factor)),
        columns=given.columns,
        constant=given.constant,
        per_factor=np.array(per_factor),
        n_train=len(x),
        n_test=len(x_test),
    )


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

    It measures whether the factors can be computed from the codes, by a linear map or by any map.
    It does not ask whether one latent holds one factor. The linear regression is that of least
    squares; the nonlinear one boosts trees (``sklearn.ensemble.HistGradientBoostingRegressor``),
    and needs a few hundred samples.

    Used for identifiability up to linear or invertible maps, as by von Kügelgen et al.,
    "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style", 2021.

    Parameters
    ----------
    codes, factors, test, n_test, seed
        See `vaedis.metrics`. Factors are real numbers whose size has a meaning.

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
    given = split_samples(codes, factors, test, n_test, seed, allow_real=True)
    n, n_latents = given.codes.shape
    if n < n_latents + 2:
        raise ValueError(
            f"r2 has {n} samples to train on, but {n_latents} latents need at least "
            f"{n_latents + 2}: pass more samples."
        )
    y, y_test = unit_variance(given.factors, given.test_factors)
    for i in np.flatnonzero(~varies(y_test)):
        raise ValueError(
            f"the test samples of factors[:, {given.columns[i]}] have one single value: pass more."
        )
    x, x_test = unit_variance(given.codes, given.test_codes)
    linear = linear_model.LinearRegression().fit(x, y).predict(x_test)
    # Of more than 200,000 rows, it bins by a random draw; a seed may be larger than it takes.
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    trees = ensemble.HistGradientBoostingRegressor(early_stopping=False, random_state=state)
    boosted = np.stack([trees.fit(x, column).predict(x_test) for column in y.T], axis=1)
    per_factor = r2_score(y_test, linear, multioutput="raw_values")
    nonlinear = r2_score(y_test, boosted, multioutput="raw_values")
    return R2Score(
        score=float(per_factor.mean()),
        columns=given.columns,
        constant=given.constant,
        nonlinear=float(nonlinear.mean()),
        per_factor=per_factor,
        nonlinear_per_factor=nonlinear,
        n_train=n,
        n_test=len(x_test),
    )
