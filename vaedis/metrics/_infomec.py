"""InfoMEC: modularity, compactness and explicitness in units of information."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis.metrics._inputs import require, samples, unit_variance, varies
from vaedis.metrics._mig import entropy
from vaedis.metrics._scores import Score

_NEIGHBOURS = 10
# Of the noise that tells equal codes apart, in standard deviations of a latent.
_NOISE = 1e-10
# A regression has as many iterations at a time, and rounds of them at most.
_ITERATIONS = 500
_ROUNDS = 20
# Explicitness of codes without information that deserves a warning.
_HIGH_CHANCE = 0.2
# Latents whose range is this many times smaller than the largest one do not count.
_PRUNED = 20


@dataclass(frozen=True, eq=False, repr=False)
class InfoMECScore(Score):
    """InfoMEC; see `infomec`.

    Attributes
    ----------
    score, modularity : float
        InfoM: mean of `per_latent`.
    compactness : float
        InfoC: mean of `per_factor`.
    explicitness : float
        InfoE: mean share of a factor's entropy that a linear classifier takes away.
    information : ndarray of shape (z, f)
        Mutual information of each latent with each factor, as a share of the factor's entropy.
    per_latent, per_factor : ndarray of shape (z,), (f,)
        Share of the largest entry of a row, and of a column, of `information`, between that of
        equal entries, 0, and a single one, 1. NaN for a latent that is not active.
    active : tuple of int
        Latents that count: their range is more than a twentieth of the largest.
    """

    modularity: float
    compactness: float
    explicitness: float
    information: np.ndarray
    per_latent: np.ndarray
    per_factor: np.ndarray
    active: tuple[int, ...]


def infomec(codes: Any, factors: Any, *, seed: int = 0) -> InfoMECScore:
    """Compute InfoMEC: modularity, compactness and explicitness.

    Mutual information is estimated from the distances to the 10 nearest samples, as published for
    continuous latents: it needs no bins. Tiny noise separates equal codes, so the estimate also
    holds for latents with few values. Values with one sample say nothing of it, and are left out. A
    latent or a factor without any information counts as 0.

    Source: Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", 2023;
    the estimator is Ross's, "Mutual Information between Discrete and Continuous Data Sets", 2014.

    Parameters
    ----------
    codes, factors
        See `vaedis.metrics`.
    seed : int
        Seed of the tiny noise.

    Notes
    -----
    For codes without information InfoM and InfoC are those of noise, and may be high. So read them
    together with InfoE. Which latents are active depends on their units, as published; nothing else
    does.

    InfoE is that of an unpenalized logistic regression of all latents on all samples, and so rises
    with the number of latents: `score` shows what the same codes have in random order, and a
    warning says where that is above a fifth or so. With fewer than two samples for each latent and
    the intercept, a regression tells apart any values, and they are refused.

    The authors weigh the samples of InfoE so that all values count alike; here none is weighed, as
    the definition has it, which is the same for values that come equally often.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)] * 50)
    >>> result = vd.metrics.infomec(factors @ [[1, 0, 1], [0, 1, 0]], factors)
    >>> print(f"{result.modularity:.1f} {result.compactness:.1f} {result.explicitness:.1f}")
    1.0 0.6 1.0
    """
    require("sklearn", "infomec")
    given = samples(codes, factors, seed)
    moving = varies(given.codes)
    x = unit_variance(given.codes)[0][:, moving]
    spans = np.ptp(given.codes.astype(np.float64), axis=0)
    active = np.flatnonzero(moving & (spans > spans.max() / _PRUNED))
    whitened = _whitened(x)
    fewest = 2 * (whitened.shape[1] + 1)
    if len(x) < fewest:
        raise ValueError(
            f"codes has {len(x)} samples, which a linear classifier of {whitened.shape[1]} latents "
            f"tells apart whatever the factors are: infomec needs at least {fewest} samples."
        )
    _warn_of_chance(whitened.shape[1], given.factors)
    information = np.zeros((len(moving), len(given.columns)))
    explicitness = np.zeros(len(given.columns))
    # equal codes are told apart, always alike
    noise = np.random.default_rng(seed).normal(scale=_NOISE, size=x.shape)
    for i, labels in enumerate(given.factors.T if moving.any() else ()):
        information[moving, i] = [_shared(latent, labels) for latent in (x + noise).T]
        explicitness[i] = 1 - _linear_loss(whitened, labels) / entropy(labels)
    per_latent = np.full(len(information), np.nan)
    per_latent[active] = concentration(information[active])
    per_factor = concentration(information[active].T)
    modularity = float(per_latent[active].mean()) if len(active) else 0.0
    return InfoMECScore(
        score=modularity,
        columns=given.columns,
        constant=given.constant,
        modularity=modularity,
        compactness=float(per_factor.mean()),
        explicitness=float(explicitness.mean()),
        information=information,
        per_latent=per_latent,
        per_factor=per_factor,
        active=tuple(active.tolist()),
    )


def _shared(latent: np.ndarray, labels: np.ndarray) -> float:
    """Return Ross's estimate of what a latent says about labels, as a share of their entropy.

    scikit-learn's ``mutual_info_classif`` takes distances of few samples from a difference of
    squares, which equal codes do not survive.
    """
    digamma = require("scipy.special", "infomec").digamma
    tree_of = require("scipy.spatial", "infomec").KDTree
    counts = np.bincount(labels)
    repeats = counts[labels] > 1
    latent, labels = latent[repeats], labels[repeats]
    radius = np.empty(len(latent))
    n_inside = np.empty(len(latent))
    for label in np.unique(labels):
        rows = labels == label
        n_inside[rows] = k = min(_NEIGHBOURS, counts[label] - 1)
        points = latent[rows, None]
        # the nearest is the value itself
        radius[rows] = tree_of(points).query(points, [k + 1], p=1)[0][:, 0]
    # a neighbour at the radius is not within it, whatever rounding says
    radius = np.maximum(radius - 4 * np.finfo(np.float64).eps * np.abs(latent).max(initial=0), 0)
    ordered = np.sort(latent)
    n_within = np.searchsorted(ordered, latent + radius, "right")
    n_within -= np.searchsorted(ordered, latent - radius, "left")
    nats = digamma(n_inside) - digamma(counts[labels]) - digamma(n_within)
    largest = entropy(labels)
    if not largest:
        return 0.0
    return max(float(digamma(len(latent)) + nats.mean()) / largest, 0.0)


def concentration(values: np.ndarray) -> np.ndarray:
    """Return the share of each row's largest entry: 1 if it is the only one, 0 if all are equal."""
    if not values.size:
        return np.zeros(len(values))
    total = values.sum(axis=1)
    least = 1 / values.shape[1]
    share = np.divide(values.max(axis=1), total, out=np.zeros_like(total), where=total > 0)
    return np.clip((share - least) / (1 - least), 0, 1) if least < 1 else share


def _whitened(x: np.ndarray) -> np.ndarray:
    """Return uncorrelated latents of unit variance, in which a regression ends wherever it may."""
    if not x.size:
        return x
    directions, sizes, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    moving = sizes > sizes[0] * max(x.shape) * np.finfo(np.float64).eps
    return np.asarray(directions[:, moving] * np.sqrt(len(x)))


def _linear_loss(x: np.ndarray, labels: np.ndarray) -> float:
    """Return the cross-entropy in nats of an unpenalized logistic regression."""
    logistic = require("sklearn.linear_model", "infomec").LogisticRegression
    model = logistic(C=np.inf, tol=1e-8, max_iter=_ITERATIONS, warm_start=True)
    for _ in range(_ROUNDS):
        with warnings.catch_warnings():
            # it goes on in the next round
            warning = require("sklearn.exceptions", "infomec").ConvergenceWarning
            warnings.simplefilter("ignore", warning)
            model.fit(x, labels)
        if (model.predict(x) == labels).all():
            # steeper and steeper slopes bring the loss as near to 0 as one likes
            return 0.0
        if model.n_iter_.max() < _ITERATIONS:
            break
    return float(require("sklearn.metrics", "infomec").log_loss(labels, model.predict_proba(x)))


def _warn_of_chance(n_latents: int, factors: np.ndarray) -> None:
    """Warn if a regression on latents without information would take away much of the entropy."""
    n = len(factors)
    chance = 0.0
    for labels in factors.T:
        # half the number of weights, in nats: what a likelihood gains without information
        n_weights = n_latents * labels.max()
        chance = max(chance, n_weights / (2 * n * entropy(labels)))
    if chance > _HIGH_CHANCE:
        warnings.warn(
            f"codes has {n} samples of {n_latents} latents, which is so few that infomec's "
            f"explicitness is {min(chance, 1.0):.1f} or more for codes without information: pass "
            "more samples, or compare with `vaedis.metrics.score`.",
            UserWarning,
            stacklevel=3,
        )
