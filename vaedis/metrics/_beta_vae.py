"""The β-VAE score: how well a linear classifier tells which factor pairs have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vaedis import _check
from vaedis.metrics import _sources
from vaedis.metrics._inputs import require, unit_variance
from vaedis.metrics._scores import Score

PAIRS = 64


@dataclass(frozen=True, eq=False, repr=False)
class BetaVAEScore(Score):
    """β-VAE score; see `beta_vae`.

    Attributes
    ----------
    score, train_accuracy : float
        Accuracy of the classifier on evaluation and training batches; 1 / f is chance.
    """

    train_accuracy: float


def beta_vae(
    encode: Any, space: Any, *, n_train: int = 10_000, n_eval: int = 5_000, seed: int = 0
) -> BetaVAEScore:
    """Compute the β-VAE score: predict which factor was fixed from differences of codes.

    A batch has 64 pairs of observations that share the value of one factor and are random
    otherwise. A logistic regression predicts the factor from the mean absolute difference of each
    latent, in units of its standard deviation, so that the unit of a latent does not matter.

    Parameters
    ----------
    encode, space
        As in `factor_vae`.
    n_train, n_eval : int
        Batches to train and to evaluate the classifier on.
    seed : int
        Seed of all draws.

    Returns
    -------
    BetaVAEScore

    Raises
    ------
    ValueError, TypeError
        As by `factor_vae`.
    ImportError
        If scikit-learn is not installed.

    References
    ----------
    Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", 2017, section 3; numbers of batches as in Locatello et al., 2019.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> vd.metrics.beta_vae(space.to_factors, space, n_train=50, n_eval=20).score
    1.0
    """
    linear_model = require("sklearn.linear_model", "beta_vae")
    for name, value, least in (("n_train", n_train, 2), ("n_eval", n_eval, 1), ("seed", seed, 0)):
        _check.count(name, value, least)
    train, test, varying, constant = _sources.sources(encode, space, seed)
    generator = torch.Generator().manual_seed(seed)
    fixed, differences = _differences(train, len(varying), n_train, generator)
    test_fixed, test_differences = _differences(test, len(varying), n_eval, generator)
    x, x_test = unit_variance(differences, test_differences)
    if len(np.unique(fixed)) < len(varying):
        raise ValueError(f"n_train is {n_train}, which fixes some factor in no batch: raise it.")
    model = linear_model.LogisticRegression(max_iter=10_000).fit(x, fixed)
    return BetaVAEScore(
        score=float(model.score(x_test, test_fixed)),
        columns=tuple(varying),
        constant=constant,
        train_accuracy=float(model.score(x, fixed)),
    )


def _differences(
    source: _sources.Source, n_factors: int, n: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n batches: the position of the fixed factor (n,), and mean differences (n, z)."""
    fixed = torch.randint(n_factors, (n,), generator=generator)
    differences = []
    for part in fixed.split(max(_sources.CHUNK // (2 * PAIRS), 1)):
        pairs = source.sharing(part.repeat_interleave(PAIRS), 2, generator).astype(np.float64)
        differences.append(np.abs(pairs[:, 0] - pairs[:, 1]).reshape(len(part), PAIRS, -1).mean(1))
    return fixed.numpy(), np.concatenate(differences)
