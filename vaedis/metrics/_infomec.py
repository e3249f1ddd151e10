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
    holds for latents with few values. A latent or a factor without any information counts as 0.

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
    with the number of latents: `score` shows what the same codes have in random order. With fewer
    than two samples for each latent and the intercept, a regression tells apart any values, and
    they are refused. The authors weigh its samples so that all values count alike; here none is
    weighed, as the definition has it, which is the same for values that come equally often.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(4) for b in range(4)] * 50)
    >>> result = vd.metrics.infomec(factors @ [[1, 0, 1], [0, 1, 0]], factors)
    >>> print(f"{result.modularity:.1f} {result.compactness:.1f} {result.explicitness:.1f}")
    1.0 0.6 1.0
    """
    information_with = require("sklearn.feature_selection", "infomec").mutual_info_classif
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
    information = np.zeros((len(moving), len(given.columns)))
    explicitness = np.zeros(len(given.columns))
    state = int(seed) % 2**32  # scikit-learn takes no larger seed
    for i, labels in enumerate(given.factors.T if moving.any() else ()):
        largest = entropy(labels)
        nats = information_with(
            x, labels, discrete_features=False, n_neighbors=_NEIGHBOURS, random_state=state
        )
        information[moving, i] = nats / largest
        explicitness[i] = 1 - _linear_loss(whitened, labels) / largest
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
    model = logistic(C=np.inf, tol=1e-8, max_iter=10_000)
    with warnings.catch_warnings():
        # Of samples that can be told apart without error, no slope is the best.
        warnings.simplefilter("ignore", require("sklearn.exceptions", "infomec").ConvergenceWarning)
        model.fit(x, labels)
    return float(require("sklearn.metrics", "infomec").log_loss(labels, model.predict_proba(x)))
