"""Explicitness: how well a linear classifier reads each factor value from the codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis.metrics._inputs import require, split_samples, unit_variance, varying_factors
from vaedis.metrics._scores import Score


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

    Parameters
    ----------
    codes, factors, test, n_test, seed
        As in `dci`; only the draw of test samples is random.

    Returns
    -------
    ExplicitnessScore

    Raises
    ------
    ValueError, TypeError
        As by `mig`, or if the test samples have a single value of a factor.
    ImportError
        If scikit-learn is not installed.

    References
    ----------
    Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", 2018,
    section 3.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 6)
    >>> print(f"{vd.metrics.explicitness(factors @ [[1, 1], [1, -1]], factors).score:.2f}")
    1.00
    """
    linear_model = require("sklearn.linear_model", "explicitness")
    area = require("sklearn.metrics", "explicitness").roc_auc_score
    train_codes, train_factors, test_codes, test_factors = split_samples(
        codes, factors, test, n_test, seed
    )
    varying, constant = varying_factors(train_factors)
    x, x_test = unit_variance(train_codes, test_codes)
    per_factor = []
    for column in varying:
        model = linear_model.LogisticRegression(max_iter=10_000).fit(x, train_factors[:, column])
        probability = model.predict_proba(x_test)
        areas = []
        for k, value in enumerate(model.classes_):
            positive = test_factors[:, column] == value
            if positive.any() and not positive.all():
                areas.append(area(positive, probability[:, k]))
        if not areas:
            raise ValueError(f"the test samples of factors[:, {column}] are too few: draw more.")
        per_factor.append(np.mean(areas))
    return ExplicitnessScore(
        score=float(np.mean(per_factor)),
        columns=tuple(varying),
        constant=constant,
        per_factor=np.array(per_factor),
        n_train=len(train_codes),
        n_test=len(test_codes),
    )
