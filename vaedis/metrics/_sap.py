"""Separated attribute predictability: how much better the best latent predicts a factor than the
second best.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.metrics._inputs import classes, live_factors, split_samples, varies
from vaedis.metrics._scores import Score

PENALTY = 0.01
NEWTON_STEPS = 100
CHUNK = 2_000_000
# Least weight of the errors beside the penalty at which a latent can show anything.
_HIDDEN = 1e-2


@dataclass(frozen=True, eq=False)
class SAPScore(Score):
    """Separated attribute predictability.

    Attributes
    ----------
    score : float
        Mean of `per_factor`.
    per_factor : ndarray of shape (f,)
        Gap between the two best accuracies of each factor.
    accuracy : ndarray of shape (z, f)
        Test accuracy with which each latent alone predicts each factor.
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
    """Separated attribute predictability, by linear support vector machines on single latents as
    published.

    The machine is that of ``sklearn.svm.LinearSVC(C=0.01, class_weight="balanced")``:
    one-versus-rest, squared hinge loss, a penalised intercept. On one latent it has two unknowns,
    which Newton's method finds to rounding error, so nothing is drawn and no package is needed.

    As published, the machines have a penalty on their slope and intercept, so that the score
    depends on the unit and the origin of a latent: one of small spread or far from 0 predicts less
    than its order would let it.

    Parameters
    ----------
    codes, factors, test, n_test, seed
        As in `dci`; there are at least two latents, accuracy is measured on the test samples, and
        the seed is that of the draw alone.

    Returns
    -------
    SAPScore

    Raises
    ------
    ValueError, TypeError
        If lengths differ, a code is not finite, a factor is not an integer or has fewer than two
        samples a value, or there is one latent only.

    References
    ----------
    Kumar, Sattigeri and Balakrishnan, "Variational Inference of Disentangled Latent Concepts from
    Unlabeled Observations", 2018, section 3.
    """
    _check.count("seed", seed, 0)
    train_codes, train_factors, test_codes, test_factors = split_samples(
        codes, factors, test, n_test, seed
    )
    if train_codes.shape[1] < 2:
        raise ValueError(
            "codes has one latent, but sap compares the two best: pass at least two latents."
        )
    live, left_out = live_factors(train_factors)
    _warn_of_penalty(train_codes)
    accuracy = np.empty((train_codes.shape[1], len(live)))
    for i, column in enumerate(live):
        values, labels = np.unique(train_factors[:, column]), classes(train_factors[:, column])
        for latent in range(train_codes.shape[1]):
            slope, intercept = _fit(train_codes[:, latent].astype(np.float64), labels, len(values))
            accuracy[latent, i] = np.mean(
                values[_predict(test_codes[:, latent], slope, intercept)] == test_factors[:, column]
            )
    top = np.sort(accuracy, axis=0)[-2:]
    return SAPScore(
        score=float(np.mean(top[1] - top[0])),
        columns=tuple(live),
        left_out=left_out,
        per_factor=top[1] - top[0],
        accuracy=accuracy,
        n_train=len(train_codes),
        n_test=len(test_codes),
    )


def _warn_of_penalty(codes: np.ndarray) -> None:
    """Say so if the slope and the intercept that every latent needs cost more than all errors: it
    varies little, or lies far from 0.
    """
    varying = codes[:, varies(codes)].astype(np.float64)
    # what a slope of 1 for a standard deviation, and the intercept that goes with it, cost
    cost = (1 + varying.mean(axis=0) ** 2) / np.maximum(
        varying.var(axis=0), np.finfo(np.float64).tiny
    )
    if cost.size and PENALTY * len(codes) < _HIDDEN * cost.min():
        warnings.warn(
            f"latents, of standard deviations up to {varying.std(axis=0).max():.1g}, vary so little or lie so far from 0 that the penalty "
            "of SAP's machines may hide what they tell: normalize the codes.",
            UserWarning,
            stacklevel=3,
        )


def _predict(x: np.ndarray, slope: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    if len(slope) == 1:
        return (slope[0] * x + intercept[0] > 0).astype(int)
    return np.argmax(slope * x[:, None] + intercept, axis=1)


def _fit(x: np.ndarray, labels: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of each class against the rest, both (K,), or of class 1 against class 0,
    both (1,).
    """
    weight = len(x) / (n_classes * np.bincount(labels, minlength=n_classes))
    positive = np.arange(1, 2) if n_classes == 2 else np.arange(n_classes)
    slopes, intercepts = np.empty(len(positive)), np.empty(len(positive))
    # Classes in groups, so that classes times samples stays small.
    group = max(CHUNK // len(x), 1)
    for start in range(0, len(positive), group):
        chosen = positive[start : start + group]
        own = labels == chosen[:, None]
        # liblinear (linear.cpp, train) weights the class itself, and the rest only if there are
        # just two classes.
        rest = weight[0] if n_classes == 2 else 1.0
        cost = PENALTY * np.where(own, weight[chosen][:, None], rest)
        slopes[start : start + group], intercepts[start : start + group] = _newton(
            x, np.where(own, 1.0, -1.0), cost
        )
    return slopes, intercepts


def _newton(x: np.ndarray, side: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimise (w^2 + b^2) / 2 + sum_i cost_i max(0, 1 - side_i (w x_i + b))^2 for each row of `side`
    and `cost`.

    The objective is strictly convex and piecewise quadratic: Newton's method with step halving ends
    at the minimum.
    """
    k = len(side)
    w, b = np.zeros(k), np.zeros(k)

    def slack_of(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.maximum(1 - side * (w[:, None] * x + b[:, None]), 0)

    def value_of(w: np.ndarray, b: np.ndarray, slack: np.ndarray) -> np.ndarray:
        return (w**2 + b**2) / 2 + np.einsum("kn,kn,kn->k", cost, slack, slack)

    slack = slack_of(w, b)
    value = value_of(w, b, slack)
    for _ in range(NEWTON_STEPS):
        pull = 2 * cost * slack * side
        gradient_w, gradient_b = w - pull @ x, b - pull.sum(axis=1)
        active = 2 * cost * (slack > 0)
        h_ww, h_wb, h_bb = 1 + active @ (x * x), active @ x, 1 + active.sum(axis=1)
        determinant = h_ww * h_bb - h_wb**2
        step_w = (h_bb * gradient_w - h_wb * gradient_b) / determinant
        step_b = (h_ww * gradient_b - h_wb * gradient_w) / determinant
        # Half of this is the drop that the quadratic promises; below rounding error of the value
        # there is none left.
        promise = step_w * gradient_w + step_b * gradient_b
        moving = promise > 1e-14 * np.maximum(value, 1.0)
        if not moving.any():
            break
        scale = np.where(moving, 1.0, 0.0)
        for _ in range(30):
            new_w, new_b = w - scale * step_w, b - scale * step_b
            new_slack = slack_of(new_w, new_b)
            new_value = value_of(new_w, new_b, new_slack)
            worse = moving & (new_value > value - 1e-4 * scale * promise)
            if not worse.any():
                break
            scale = np.where(worse, scale / 2, scale)
        w, b, slack, value = new_w, new_b, new_slack, new_value
    return w, b
