"""Disentanglement, completeness and informativeness from the importances of boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis.metrics._inputs import require, split_samples, varies
from vaedis.metrics._scores import Score

# If trees would take more than this share of a latent's neighbouring values for one, use ranks.
_MERGED = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class DCIScore(Score):
    """Disentanglement, completeness and informativeness; see `dci`.

    Attributes
    ----------
    score, disentanglement, completeness : float
        `score` and `disentanglement` are the same number, the mean of `per_latent`; `completeness`
        is the mean of `per_factor`; both are weighted by importance.
    informativeness, informativeness_train : float
        Mean accuracy with which the factors are predicted from the test and training codes.
    importance : ndarray of shape (z, f)
        Importance of each latent for each factor; a column sums to 1, or to 0 if no latent varies.
    per_latent, per_factor : ndarray of shape (z,), (f,)
        1 - entropy of each latent's importance over factors, and of each factor's over latents.
    n_train, n_test : int
        Number of samples.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_train: float
    importance: np.ndarray
    per_latent: np.ndarray
    per_factor: np.ndarray
    n_train: int
    n_test: int


def dci(
    codes: Any,
    factors: Any,
    *,
    test: tuple[Any, Any] | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> DCIScore:
    """Compute disentanglement, completeness and informativeness by boosted trees, as published.

    For each factor, a classifier is fitted to the codes; its importances are a column of the
    importance matrix. It follows ``sklearn.ensemble.GradientBoostingClassifier``, but is faster.

    Source: Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled
    Representations", 2018; with boosted trees as in Locatello et al., "Challenging Common
    Assumptions in the Unsupervised Learning of Disentangled Representations", 2019.

    Parameters
    ----------
    codes, factors, test, n_test
        See `vaedis.metrics`.
    seed : int
        Seed of the draw of test samples and of the trees.

    Notes
    -----
    Trees use only the order of a latent's values, so its unit does not matter. scikit-learn takes
    values closer than 1e-7 for one; if that merges more than a tenth of them, ranks are used. The
    number of threads (`torch.get_num_threads`) does not change the result. With about ten samples
    of each class or fewer, the published rule is unstable: importances may be those of noise, and
    depend on the draw.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 25)
    >>> result = vd.metrics.dci(factors[:, ::-1] * 1.0, factors)
    >>> print(f"{result.disentanglement:.2f} {result.informativeness:.2f}")
    1.00 1.00
    >>> result.importance.round(2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    given = split_samples(codes, factors, test, n_test, seed)
    require("numba", "dci")
    from vaedis.metrics import _boosting

    features, test_features = _features(given.codes, given.test_codes, _boosting.SAME_VALUE)
    importance, train_accuracy, test_accuracy = _boosting.boost(
        features, given.factors, test_features, given.test_factors, seed
    )
    per_latent = _one_minus_entropy(importance)
    per_factor = _one_minus_entropy(importance.T)
    disentanglement = float(np.sum(per_latent * _shares(importance.sum(axis=1))))
    return DCIScore(
        score=disentanglement,
        columns=given.columns,
        constant=given.constant,
        disentanglement=disentanglement,
        completeness=float(np.sum(per_factor * _shares(importance.sum(axis=0)))),
        informativeness=float(test_accuracy.mean()),
        informativeness_train=float(train_accuracy.mean()),
        importance=importance,
        per_latent=per_latent,
        per_factor=per_factor,
        n_train=len(given.codes),
        n_test=len(given.test_codes),
    )


def _features(
    codes: np.ndarray, test_codes: np.ndarray, same_value: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets of codes in float32, rescaled so that trees can separate their values."""
    float_codes = codes.astype(np.float32)
    test_float_codes = test_codes.astype(np.float32)
    for j in np.flatnonzero(varies(codes)):
        values, ranks = _distinct(codes[:, j])
        separate = np.diff(np.unique(float_codes[:, j])) > same_value
        if np.count_nonzero(separate) < (1 - _MERGED) * ranks[-1]:
            # Trees need the order only. Half-way between two neighbours stays half-way.
            float_codes[:, j] = np.interp(codes[:, j], values, ranks)
            test_float_codes[:, j] = np.interp(test_codes[:, j], values, ranks)
    return float_codes, test_float_codes


def _distinct(latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a latent's distinct values and their ranks; those within rounding error share one."""
    values = np.unique(latent).astype(np.float64)
    error = 4 * float(np.finfo(latent.dtype).eps) * np.abs(values).max()
    steps = np.floor((values - values[0]) / max(error, np.finfo(np.float64).smallest_subnormal))
    return values, np.unique(steps, return_inverse=True)[1]


def _one_minus_entropy(importance: np.ndarray) -> np.ndarray:
    """Return 1 - entropy of each row, in units of the largest entropy; 0 for a row of zeros."""
    is_zero = importance.sum(axis=1) == 0
    if importance.shape[1] == 1:
        return np.where(is_zero, 0.0, 1.0)
    # The offset is as published.
    shares = importance + 1e-11
    shares = shares / shares.sum(axis=1, keepdims=True)
    entropy = (shares * np.log(shares)).sum(axis=1)
    return np.where(is_zero, 0.0, np.clip(1 + entropy / np.log(importance.shape[1]), 0.0, 1.0))


def _shares(weights: np.ndarray) -> np.ndarray:
    """Return weights that sum to 1, equal ones if all are 0."""
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
