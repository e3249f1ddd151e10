"""Separated attribute predictability: how much better than the second the best latent is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis.metrics._inputs import classes, split_samples, varies, varying_factors
from vaedis.metrics._scores import Score

PENALTY = 0.01
NEWTON_STEPS = 100
HALVINGS = 30
# Classes times samples that are fitted at a time.
CHUNK = 2_000_000
# A latent shows nothing if all errors weigh less than this beside the penalty.
_HIDDEN = 1e-2


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

    Each machine sees one latent. It is ``sklearn.svm.LinearSVC(C=0.01, class_weight="balanced")``,
    solved to rounding error. Its penalty on slope and intercept makes the score depend on the unit
    and origin of a latent: one of small spread, or far from 0, predicts less than it could.

    Parameters
    ----------
    codes, factors, test, n_test, seed
        As in `dci`; at least two latents. Only the draw of test samples is random.

    Returns
    -------
    SAPScore

    Raises
    ------
    ValueError, TypeError
        As by `mig`, or if there is one latent only.

    References
    ----------
    Kumar, Sattigeri and Balakrishnan, "Variational Inference of Disentangled Latent Concepts from
    Unlabeled Observations", 2018, section 3.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 25)
    >>> vd.metrics.sap(factors * 10.0, factors).accuracy.diagonal().tolist()
    [1.0, 1.0]
    """
    train_codes, train_factors, test_codes, test_factors = split_samples(
        codes, factors, test, n_test, seed
    )
    n_latents = train_codes.shape[1]
    if n_latents < 2:
        raise ValueError("codes has one latent, but sap compares two: pass at least two latents.")
    varying, constant = varying_factors(train_factors)
    _warn_of_penalty(train_codes)
    accuracy = np.empty((n_latents, len(varying)))
    for i, column in enumerate(varying):
        values = np.unique(train_factors[:, column])
        labels = classes(train_factors[:, column])
        for latent in range(n_latents):
            x = train_codes[:, latent].astype(np.float64)
            slope, intercept = _fit(x, labels, len(values))
            predicted = values[_predict(test_codes[:, latent], slope, intercept)]
            accuracy[latent, i] = np.mean(predicted == test_factors[:, column])
    second, best = np.sort(accuracy, axis=0)[-2:]
    return SAPScore(
        score=float(np.mean(best - second)),
        columns=tuple(varying),
        constant=constant,
        per_factor=best - second,
        accuracy=accuracy,
        n_train=len(train_codes),
        n_test=len(test_codes),
    )


def _warn_of_penalty(codes: np.ndarray) -> None:
    """Warn if slope and intercept cost more than all errors of every latent."""
    varying = codes[:, varies(codes)].astype(np.float64)
    variance = varying.var(axis=0)
    # The cost of a slope of 1 per standard deviation, and of its intercept.
    cost = (1 + varying.mean(axis=0) ** 2) / np.maximum(variance, np.finfo(np.float64).tiny)
    if cost.size and PENALTY * len(codes) < _HIDDEN * cost.min():
        warnings.warn(
            f"latents, of standard deviations up to {np.sqrt(variance).max():.1g}, vary so little "
            "or lie so far from 0 that SAP's penalty may hide them: normalize the codes.",
            UserWarning,
            stacklevel=3,
        )


def _predict(x: np.ndarray, slope: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Return the class of each sample."""
    margin = slope * x[:, None] + intercept
    return (margin[:, 0] > 0).astype(int) if len(slope) == 1 else margin.argmax(axis=1)


def _fit(x: np.ndarray, labels: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return slope and intercept of each class against the others; of two classes, the second's."""
    weight = len(x) / (n_classes * np.bincount(labels, minlength=n_classes))
    fitted = np.arange(1, 2) if n_classes == 2 else np.arange(n_classes)
    # liblinear (linear.cpp, train) weights the other classes only if there are two.
    other_weight = weight[0] if n_classes == 2 else 1.0
    slopes = np.empty(len(fitted))
    intercepts = np.empty(len(fitted))
    step = max(CHUNK // len(x), 1)
    for start in range(0, len(fitted), step):
        part = slice(start, start + step)
        own = labels == fitted[part, None]
        cost = PENALTY * np.where(own, weight[fitted[part], None], other_weight)
        slopes[part], intercepts[part] = _newton(x, np.where(own, 1.0, -1.0), cost)
    return slopes, intercepts


def _newton(x: np.ndarray, side: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimise (w² + b²) / 2 + sum_i cost_i max(0, 1 - side_i (w x_i + b))² for each row.

    It is strictly convex and piecewise quadratic, so Newton's method with step halving ends there.
    """
    w = np.zeros(len(side))
    b = np.zeros(len(side))

    def slack_of(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.maximum(1 - side * (w[:, None] * x + b[:, None]), 0)

    def value_of(w: np.ndarray, b: np.ndarray, slack: np.ndarray) -> np.ndarray:
        return (w**2 + b**2) / 2 + np.einsum("kn,kn,kn->k", cost, slack, slack)

    slack = slack_of(w, b)
    value = value_of(w, b, slack)
    for _ in range(NEWTON_STEPS):
        step_w, step_b, promise = _newton_step(x, side, cost, w, b, slack)
        # Below rounding error of the value, there is nothing left to gain.
        moving = promise > 1e-14 * np.maximum(value, 1.0)
        if not moving.any():
            break
        size = np.where(moving, 1.0, 0.0)
        for _ in range(HALVINGS):
            new_w = w - size * step_w
            new_b = b - size * step_b
            new_slack = slack_of(new_w, new_b)
            new_value = value_of(new_w, new_b, new_slack)
            worse = moving & (new_value > value - 1e-4 * size * promise)
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        w, b, slack, value = new_w, new_b, new_slack, new_value
    return w, b


def _newton_step(
    x: np.ndarray, side: np.ndarray, cost: np.ndarray, w: np.ndarray, b: np.ndarray, slack: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the steps in w and b, and twice the drop that the local quadratic promises."""
    pull = 2 * cost * slack * side
    gradient_w = w - pull @ x
    gradient_b = b - pull.sum(axis=1)
    active = 2 * cost * (slack > 0)
    h_ww = 1 + active @ (x * x)
    h_wb = active @ x
    h_bb = 1 + active.sum(axis=1)
    determinant = h_ww * h_bb - h_wb**2
    step_w = (h_bb * gradient_w - h_wb * gradient_b) / determinant
    step_b = (h_ww * gradient_b - h_wb * gradient_w) / determinant
    return step_w, step_b, step_w * gradient_w + step_b * gradient_b
