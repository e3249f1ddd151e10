"""The FactorVAE score: can the fixed factor be told from the latent that varies least?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.metrics._inputs import encoded, live_factors_of, varies
from vaedis.metrics._scores import Score

CHUNK = 16_384


@dataclass(frozen=True, eq=False)
class FactorVAEScore(Score):
    """FactorVAE score.

    Attributes
    ----------
    score : float
        Accuracy of the majority vote on the evaluation batches; 1 / f is chance. 0 if no latent
        varies.
    train_accuracy : float
        Its accuracy on the batches that it was made from.
    votes : ndarray of shape (f, z)
        How many training batches with each factor fixed had the smallest relative variance in each
        latent.
    variances : ndarray of shape (z,)
        Variance of each latent over random observations.
    active : tuple of int
        Latents that may be voted for.
    """

    train_accuracy: float
    votes: np.ndarray
    variances: np.ndarray
    active: tuple[int, ...]


def factor_vae(
    encode: Callable[[Tensor], Any],
    space: Any,
    *,
    n_train: int = 10_000,
    n_eval: int = 5_000,
    n_variance: int = 10_000,
    batch: int = 64,
    prune: float = 0.0,
    seed: int = 0,
    chunk: int = CHUNK,
) -> FactorVAEScore:
    """FactorVAE score: a vote on which factor was fixed in a batch, by the latent of least relative
    variance.

    Parameters
    ----------
    encode : callable
        From observation indices, an int64 tensor of shape (n,), to codes of shape (n, z).
    space : FactorSpace
        Of the observations.
    n_train, n_eval : int
        Batches that the vote is made from and judged on. The published fast protocol has 700 and
        350.
    n_variance : int
        Observations that the variances are measured on, at least 2; 1,000 in the fast protocol.
    batch : int
        Observations in a batch, at least 2.
    prune : float
        Latents whose standard deviation is at most this never win; 0, as in the authors' code,
        leaves out constant latents only. Locatello et al. (2019) have 0.05.
    seed : int
        Seed of all draws.
    chunk : int
        Most observations handed to `encode` at a time; memory grows with it and nothing else.

    Returns
    -------
    FactorVAEScore

    Raises
    ------
    ValueError
        If a count is too small, a code is not finite, or fewer than two factors vary.

    References
    ----------
    Kim and Mnih, "Disentangling by Factorising", 2018.
    """
    for name, value, least in (
        ("n_train", n_train, 1),
        ("n_eval", n_eval, 1),
        ("n_variance", n_variance, 2),
        ("batch", batch, 2),
    ):
        _check.count(name, value, least)
    _check.count("chunk", chunk), _check.count("seed", seed, 0), _check.non_negative("prune", prune)
    live, left_out = live_factors_of(space, least=2)
    generator = torch.Generator().manual_seed(seed)

    index = space.to_index(space.sample(n_variance, generator=generator))
    codes = _encode(encode, index, chunk)
    variances = np.var(codes, axis=0, ddof=1, dtype=np.float64)
    # Rounding leaves the variance of a constant float32 latent slightly above 0.
    active = np.flatnonzero((np.sqrt(variances) > prune) & varies(codes))
    votes = {}
    for part, n in (("train", n_train), ("eval", n_eval)):
        votes[part] = np.zeros((len(live), codes.shape[1]), np.int64)
        if not len(active):
            continue
        per_chunk = max(chunk // batch, 1)
        for start in range(0, n, per_chunk):
            fixed, lowest = _vote(
                encode,
                space,
                live,
                min(per_chunk, n - start),
                batch,
                chunk,
                variances,
                active,
                generator,
            )
            np.add.at(votes[part], (fixed, lowest), 1)
    guess = votes["train"].argmax(axis=0), np.arange(codes.shape[1])
    return FactorVAEScore(
        score=float(votes["eval"][guess].sum() / n_eval),
        columns=tuple(live),
        left_out=left_out,
        train_accuracy=float(votes["train"][guess].sum() / n_train),
        votes=votes["train"],
        variances=variances,
        active=tuple(active.tolist()),
    )


def _vote(
    encode: Callable[[Tensor], Any],
    space: Any,
    live: list[int],
    n: int,
    batch: int,
    chunk: int,
    variances: np.ndarray,
    active: np.ndarray,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n batches: the position in `live` of the factor fixed in each, and the latent of least
    relative variance.
    """
    fixed = torch.randint(len(live), (n,), generator=generator)
    factors = space.sample(n * batch, generator=generator).reshape(n, batch, len(space))
    column = torch.tensor(live)[fixed][:, None, None].expand(n, batch, 1)
    factors.scatter_(2, column, factors[:, :1].gather(2, column[:, :1]).expand(n, batch, 1))
    index = space.to_index(factors).flatten()
    codes = _encode(encode, index, chunk).reshape(n, batch, -1)[:, :, active]
    spread = np.var(codes, axis=1, ddof=1, dtype=np.float64) / variances[active]
    return fixed.numpy(), active[spread.argmin(axis=1)]


def _encode(encode: Callable[[Tensor], Any], index: Tensor, chunk: int) -> np.ndarray:
    return np.concatenate([encoded(encode, part) for part in index.split(chunk)])
