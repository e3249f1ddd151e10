"""The FactorVAE score: how often the latent that varies least tells which factor was fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vaedis import _check
from vaedis.metrics import _sources
from vaedis.metrics._inputs import varies
from vaedis.metrics._scores import Score

BATCH = 64


@dataclass(frozen=True, eq=False, repr=False)
class FactorVAEScore(Score):
    """FactorVAE score; see `factor_vae`.

    Attributes
    ----------
    score, train_accuracy : float
        Accuracy of the vote on evaluation and training batches; 1 / f is chance, 0 if none varies.
    votes : ndarray of int, shape (f, z)
        Training batches by the fixed factor and the latent of smallest relative variance.
    variances : ndarray of shape (z,)
        Variance of each latent over random observations.
    active : tuple of int
        Latents that vary, and so can be voted for.
    """

    train_accuracy: float
    votes: np.ndarray
    variances: np.ndarray
    active: tuple[int, ...]


def factor_vae(
    encode: Any,
    space: Any,
    *,
    n_train: int = 10_000,
    n_eval: int = 5_000,
    n_variance: int = 10_000,
    seed: int = 0,
) -> FactorVAEScore:
    """Compute the FactorVAE score: predict which factor was fixed in a batch of 64 observations.

    The prediction is a majority vote, given the latent of smallest variance in the batch relative
    to its variance over random observations.

    Parameters
    ----------
    encode : callable, or array of shape (n, z)
        From observation indices, an int64 tensor of shape (n,), to codes of shape (n, z). Or codes:
        then a batch is drawn, with replacement, from the rows that share the value of a factor in a
        random row. Two thirds of the rows are to train on, and the others to evaluate on.
    space : FactorSpace, or array of int, shape (n, f)
        The factors of the observations, or of each row.
    n_train, n_eval : int
        Batches to make the vote from and to judge it on; 700 and 350 in the fast protocol.
    n_variance : int
        Observations to measure the variances on, at least 2; 1,000 in the fast protocol. Of
        arrays, all rows to train on.
    seed : int
        Seed of all draws.

    Returns
    -------
    FactorVAEScore

    Raises
    ------
    ValueError
        If a count is too small, a code is not finite, fewer than two factors vary, or a value of a
        factor has fewer than 5 rows to train on or to evaluate on.

    References
    ----------
    Kim and Mnih, "Disentangling by Factorising", 2018.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> result = vd.metrics.factor_vae(space.to_factors, space, n_train=50, n_eval=20)
    >>> result.score
    1.0
    """
    for name, value, least in (
        ("n_train", n_train, 1),
        ("n_eval", n_eval, 1),
        ("n_variance", n_variance, 2),
        ("seed", seed, 0),
    ):
        _check.count(name, value, least)
    train, test, varying, constant = _sources.sources(encode, space, seed)
    generator = torch.Generator().manual_seed(seed)
    codes = train.sample(n_variance, generator)
    variances = np.var(codes, axis=0, ddof=1, dtype=np.float64)
    # Rounding leaves the variance of a constant float32 latent slightly above 0.
    active = np.flatnonzero((variances > 0) & varies(codes))

    def count_votes(source: _sources.Source, n: int) -> np.ndarray:
        """Count n batches by the fixed factor and the latent of smallest relative variance."""
        votes = np.zeros((len(varying), codes.shape[1]), np.int64)
        if not len(active):
            return votes
        step = _sources.CHUNK // BATCH
        for start in range(0, n, step):
            fixed = torch.randint(len(varying), (min(step, n - start),), generator=generator)
            batches = source.sharing(fixed, BATCH, generator)[:, :, active]
            relative = np.var(batches, axis=1, ddof=1, dtype=np.float64) / variances[active]
            np.add.at(votes, (fixed.numpy(), active[relative.argmin(axis=1)]), 1)
        return votes

    train_votes = count_votes(train, n_train)
    eval_votes = count_votes(test, n_eval)
    prediction = train_votes.argmax(axis=0), np.arange(codes.shape[1])
    return FactorVAEScore(
        score=float(eval_votes[prediction].sum() / n_eval),
        columns=tuple(varying),
        constant=constant,
        train_accuracy=float(train_votes[prediction].sum() / n_train),
        votes=train_votes,
        variances=variances,
        active=tuple(active.tolist()),
    )
