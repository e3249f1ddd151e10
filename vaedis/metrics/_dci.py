"""Disentanglement, completeness and informativeness from the importances of boosted trees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._boosting import SAME_VALUE, Boosted, boost
from vaedis.metrics._inputs import live_factors, require, split_samples, varies
from vaedis.metrics._scores import Score

ESTIMATORS = ("exact", "sklearn")
# Share of a latent's neighbouring values that scikit-learn's trees may take for one value before
# ranks replace them.
_MERGED = 0.1
_warned_of_fallback = False


@dataclass(frozen=True, eq=False)
class DCIScore(Score):
    """Disentanglement, completeness and informativeness.

    Attributes
    ----------
    score, disentanglement : float
        Mean over latents, weighted by their importance, of 1 - entropy of the latent's importance
        over factors.
    completeness : float
        The same with the two sides exchanged.
    informativeness, informativeness_train : float
        Mean accuracy with which the factors are predicted from the test and training codes.
    importance : ndarray of shape (z, f)
        Importance of each latent for each factor; a column sums to 1, or to 0 if no latent varies.
    per_latent, per_factor : ndarray of shape (z,), (f,)
        Disentanglement of each latent and completeness of each factor.
    n_train, n_test : int
        Number of samples.
    estimator : str
        The estimator that was used.
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
    estimator: str


def dci(
    codes: Any,
    factors: Any,
    *,
    test: tuple[Any, Any] | None = None,
    n_test: int | None = None,
    seed: int = 0,
    estimator: str = "exact",
) -> DCIScore:
    """Disentanglement, completeness and informativeness, by gradient-boosted trees as published.

    One classifier for each factor is fitted to the codes; its importances are a column of the
    importance matrix.

    Parameters
    ----------
    codes : array of shape (n, z)
        Representation of each sample, usually the posterior mean.
    factors : array of shape (n, f)
        Integer ground-truth factors of each sample.
    test : (codes, factors), optional
        Samples that informativeness is measured on. All of `codes` then train.
    n_test : int, optional
        Without `test`: how many of the samples, drawn at random, are kept for it; a third by
        default.
    seed : int
        Seed of that draw and of the trees.
    estimator : {"exact", "sklearn"}
        "exact" is compiled code that grows trees by scikit-learn's rule, many times faster; it
        falls back to "sklearn", with one warning, if numba is not installed. "sklearn" is
        `sklearn.ensemble.GradientBoostingClassifier` itself, which the published scores used.

    Returns
    -------
    DCIScore

    Notes
    -----
    Trees ask for the order of a latent's values alone, so that its unit does not matter.
    scikit-learn takes values closer than 1e-7 for one; where that merges more than a tenth of a
    latent's values, as in one of tiny range, ranks stand for them.

    The work is shared among as many threads as the process may use (`torch.get_num_threads`,
    ``OMP_NUM_THREADS`` and ``NUMBA_NUM_THREADS`` limit them); numbers do not depend on how many.

    With few samples of each class, about ten, the published rule is unstable for either estimator:
    leaves take steps far too long, and importances may be those of noise. Disentanglement then
    hangs on the draw of the samples.

    Raises
    ------
    ValueError, TypeError
        If lengths differ, a code is not finite, a factor is not an integer or has fewer than two
        samples a value.
    ImportError
        If the estimator's package is not installed.

    References
    ----------
    Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled
    Representations", 2018; with boosted trees as in Locatello et al., "Challenging Common
    Assumptions in the Unsupervised Learning of Disentangled Representations", 2019.
    """
    _check.one_of("estimator", estimator, ESTIMATORS), _check.count("seed", seed, 0)
    train_codes, train_factors, test_codes, test_factors = split_samples(
        codes, factors, test, n_test, seed
    )
    live, left_out = live_factors(train_factors)
    labels, test_labels = (
        np.empty((len(train_codes), len(live)), int),
        np.empty((len(test_codes), len(live)), int),
    )
    for i, column in enumerate(live):
        # The test samples may hold values that the training samples lack.
        known, labels[:, i] = np.unique(train_factors[:, column], return_inverse=True)
        place = np.minimum(np.searchsorted(known, test_factors[:, column]), len(known) - 1)
        test_labels[:, i] = np.where(known[place] == test_factors[:, column], place, -1)

    columns, test_columns = _columns(train_codes, test_codes)
    fitted, used = _fit(estimator, columns, labels, test_columns, test_labels, seed)
    per_latent, per_factor = (
        _one_minus_entropy(fitted.importance),
        _one_minus_entropy(fitted.importance.T),
    )
    disentanglement = float(np.sum(per_latent * _shares(fitted.importance.sum(axis=1))))
    return DCIScore(
        score=disentanglement,
        columns=tuple(live),
        left_out=left_out,
        disentanglement=disentanglement,
        completeness=float(np.sum(per_factor * _shares(fitted.importance.sum(axis=0)))),
        informativeness=float(fitted.test_accuracy.mean()),
        informativeness_train=float(fitted.train_accuracy.mean()),
        importance=fitted.importance,
        per_latent=per_latent,
        per_factor=per_factor,
        n_train=len(train_codes),
        n_test=len(test_codes),
        estimator=used,
    )


def _fit(estimator: str, *arrays_and_seed: Any) -> tuple[Boosted, str]:
    global _warned_of_fallback
    if estimator == "exact":
        try:
            return boost(*arrays_and_seed), "exact"
        except ImportError:
            if not _warned_of_fallback:
                _warned_of_fallback = True
                warnings.warn(
                    "numba cannot be imported, so dci uses scikit-learn, many times slower: pip install vaedis[metrics].",
                    RuntimeWarning,
                    stacklevel=3,
                )
    return _boost_sklearn(*arrays_and_seed), "sklearn"


def _boost_sklearn(
    codes: np.ndarray,
    labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    seed: int,
) -> Boosted:
    ensemble = require("sklearn.ensemble", "dci(estimator='sklearn')")
    seeds = np.random.SeedSequence(seed).generate_state(labels.shape[1])
    columns, train_accuracy, test_accuracy = [], [], []
    for y, y_test, state in zip(labels.T, test_labels.T, seeds, strict=True):
        model = ensemble.GradientBoostingClassifier(random_state=int(state)).fit(codes, y)
        columns.append(model.feature_importances_)
        train_accuracy.append(np.mean(model.predict(codes) == y))
        test_accuracy.append(np.mean(model.predict(test_codes) == y_test))
    return Boosted(np.stack(columns, axis=1), np.array(train_accuracy), np.array(test_accuracy))


def _columns(codes: np.ndarray, test_codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return training and test codes in float32, in units in which scikit-learn's trees tell a
    latent's values apart.
    """
    single, test_single = codes.astype(np.float32), test_codes.astype(np.float32)
    for j in np.flatnonzero(varies(codes)):
        values, place = _distinct(codes[:, j])
        gaps = np.diff(np.unique(single[:, j])) > SAME_VALUE
        if np.count_nonzero(gaps) < (1 - _MERGED) * place[-1]:
            # Ranks: trees ask for order alone. Half-way between two neighbours stays half-way.
            single[:, j] = np.interp(codes[:, j], values, place)
            test_single[:, j] = np.interp(test_codes[:, j], values, place)
    return single, test_single


def _distinct(latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of a latent in order, and their ranks; values as close as rounding
    error share one.
    """
    values = np.unique(latent).astype(np.float64)
    error = 4 * float(np.finfo(latent.dtype).eps) * np.abs(values).max()
    steps = np.floor((values - values[0]) / max(error, np.finfo(np.float64).smallest_subnormal))
    return values, np.unique(steps, return_inverse=True)[1]


def _one_minus_entropy(importance: np.ndarray) -> np.ndarray:
    """1 - entropy of each row in units of its largest possible value; a single column leaves nothing
    to mix: 1.

    A row of zeros, as a constant latent has, is worth exactly 0.
    """
    nothing = importance.sum(axis=1) == 0
    if importance.shape[1] == 1:
        return np.where(nothing, 0.0, 1.0)
    # The offset is as published.
    shares = importance + 1e-11
    shares = shares / shares.sum(axis=1, keepdims=True)
    scores = np.clip(
        1 + (shares * np.log(shares)).sum(axis=1) / np.log(importance.shape[1]), 0.0, 1.0
    )
    return np.where(nothing, 0.0, scores)


def _shares(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
