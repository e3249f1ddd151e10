"""Modularity: does a latent inform about one factor? Explicitness: can a linear classifier read the
factors?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import as_pair, classes, live_factors, require, split_samples, varies
from vaedis.metrics._mig import equal_width_bins, information_matrix
from vaedis.metrics._scores import Score


@dataclass(frozen=True, eq=False)
class ModularityScore(Score):
    """Modularity.

    Attributes
    ----------
    score : float
        Mean of `per_latent`.
    per_latent : ndarray of shape (z,)
        1 for a latent that informs about one factor alone, 0 for one that informs about all alike,
        or about none.
    mutual_information : ndarray of shape (z, f)
        Mutual information in nats of each binned latent with each factor.
    """

    per_latent: np.ndarray
    mutual_information: np.ndarray


@dataclass(frozen=True, eq=False)
class ExplicitnessScore(Score):
    """Explicitness.

    Attributes
    ----------
    score : float
        Mean of `per_factor`; 0.5 is chance.
    per_factor : ndarray of shape (f,)
        Mean over the factor's values of the area under the ROC curve of each value against the
        rest, on test samples.
    n_train, n_test : int
        Number of samples.
    """

    per_factor: np.ndarray
    n_train: int
    n_test: int


def modularity(codes: Any, factors: Any, *, bins: int = 20, seed: int = 0) -> ModularityScore:
    """Modularity: 1 minus the mean square of a latent's information about other factors, relative to
    its best factor.

    Latents that inform about no factor count as 0, as published; since samples are finite, a dead
    latent that is not quite constant informs a little, and its modularity is noise.

    Parameters
    ----------
    codes, factors, bins
        As in `mig`; at least two factors vary.
    seed : int
        Accepted as by every score; nothing is drawn.

    Returns
    -------
    ModularityScore

    Raises
    ------
    ValueError, TypeError
        If lengths differ, a code is not finite, a factor is not an integer or has fewer than two
        samples a value, or fewer than two vary.

    References
    ----------
    Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", 2018,
    section 3.
    """
    code_array, factor_array = as_pair(codes, factors)
    _check.count("bins", bins, 2), _check.count("seed", seed, 0)
    live, left_out = live_factors(factor_array)
    if len(live) < 2:
        raise ValueError(
            "one factor varies, but modularity compares factors: pass at least two that vary."
        )
    information = information_matrix(
        equal_width_bins(code_array, bins),
        bins,
        [classes(factor_array[:, column]) for column in live],
    )
    squares = information**2
    top = squares.max(axis=1)
    others = np.divide(
        squares.sum(axis=1) - top, top * (len(live) - 1), out=np.ones_like(top), where=top > 0
    )
    per_latent = np.clip(1 - others, 0.0, 1.0)
    return ModularityScore(float(per_latent.mean()), tuple(live), left_out, per_latent, information)


def explicitness(
    codes: Any,
    factors: Any,
    *,
    test: tuple[Any, Any] | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> ExplicitnessScore:
    """Explicitness: how well a linear classifier on all latents tells each factor value from the rest.

    A multinomial logistic regression, with scikit-learn's default penalty, is fitted for each
    factor to latents that are scaled to unit variance. Values that the training or test samples
    lack are passed over.

    Parameters
    ----------
    codes, factors, test, n_test, seed
        As in `dci`; the curves are drawn for the test samples, and the seed is that of the draw
        alone.

    Returns
    -------
    ExplicitnessScore

    Raises
    ------
    ValueError, TypeError
        If lengths differ, a code is not finite, a factor is not an integer or has fewer than two
        samples a value.
    ImportError
        If scikit-learn is not installed.

    References
    ----------
    Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", 2018,
    section 3.
    """
    _check.count("seed", seed, 0)
    linear_model = require("sklearn.linear_model", "explicitness")
    train_codes, train_factors, test_codes, test_factors = split_samples(
        codes, factors, test, n_test, seed
    )
    live, left_out = live_factors(train_factors)
    center, scale = (
        train_codes.mean(axis=0, dtype=np.float64),
        train_codes.std(axis=0, dtype=np.float64),
    )
    # The square of a range below 1e-160 is 0, the range itself is not.
    scale = np.where(scale > 0, scale, np.ptp(train_codes.astype(np.float64), axis=0))
    scale = np.where(varies(train_codes), scale, 1.0)
    x, x_test = (train_codes - center) / scale, (test_codes - center) / scale
    per_factor = []
    for column in live:
        model = linear_model.LogisticRegression(max_iter=10_000).fit(x, train_factors[:, column])
        probability = model.predict_proba(x_test)
        areas = [
            _area(probability[:, k], test_factors[:, column] == value)
            for k, value in enumerate(model.classes_)
        ]
        seen = [area for area in areas if area is not None]
        if not seen:
            raise ValueError(
                f"the test samples have one single value, or none trained on, of factors[:, {column}]: draw more samples."
            )
        per_factor.append(np.mean(seen))
    return ExplicitnessScore(
        float(np.mean(per_factor)),
        tuple(live),
        left_out,
        np.array(per_factor),
        n_train=len(train_codes),
        n_test=len(test_codes),
    )


def _area(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve: the chance that a positive sample scores higher than a negative
    one, ties counting half.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return None
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    middle_rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float(
        (middle_rank[positive].sum() - n_positive * (n_positive + 1) / 2)
        / (n_positive * n_negative)
    )
