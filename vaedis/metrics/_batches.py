"""Scores of batches in which a factor is fixed: FactorVAE's and β-VAE's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.metrics._inputs import (
    Samples,
    encoded,
    need_squares,
    require,
    split_samples,
    unit_variance,
    varies,
    varying_factors_of,
)
from vaedis.metrics._scores import Score

_BATCH = 64
# Most observations encoded at a time; memory grows with it.
_CHUNK = 16_384
# With fewer rows of a value, batches that share it hold little but repetitions.
_FEWEST_ROWS = 5


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
    to its variance over random observations. As in disent, only constant latents are left out;
    disentanglement_lib leaves out all of small variance, so there a collapsed latent cannot win.

    Source: Kim and Mnih, "Disentangling by Factorising", 2018.

    Parameters
    ----------
    encode : callable, or array of shape (n, z)
        From observation indices, an int64 tensor of shape (n,), to codes of shape (n, z). Or codes:
        then a batch is drawn, with replacement, from the rows that share the value of a factor in a
        random row. Two thirds of the rows are to train on, and the others to evaluate on.
    space : FactorSpace, or array of int, shape (n, f)
        The factors of the observations, or of each row; at least two vary, and a value has at
        least 5 rows to train on and to evaluate on.
    n_train, n_eval : int
        Batches to make the vote from and to judge it on; 700 and 350 in the fast protocol.
    n_variance : int
        Observations to measure the variances on, at least 2; 1,000 in the fast protocol. Of
        arrays, all rows to train on.
    seed : int
        Seed of all draws.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> result = vd.metrics.factor_vae(space.to_factors, space, n_train=50, n_eval=20)
    >>> result.score
    1.0
    """
    _check.count("n_train", n_train)
    _check.count("n_eval", n_eval)
    _check.count("n_variance", n_variance, 2)
    train, test = _sources(encode, space, seed)
    generator = torch.Generator().manual_seed(int(seed))
    codes = train.sample(n_variance, generator)
    need_squares(codes)
    variances = np.var(codes, axis=0, ddof=1, dtype=np.float64)
    # Rounding leaves the variance of a constant float32 latent slightly above 0.
    active = np.flatnonzero((variances > 0) & varies(codes))

    def count_votes(source: _Source, n: int) -> np.ndarray:
        """Count n batches by the fixed factor and the latent of smallest relative variance."""
        votes = np.zeros((len(train.columns), codes.shape[1]), np.int64)
        if not len(active):
            return votes
        step = _CHUNK // _BATCH
        for start in range(0, n, step):
            fixed = torch.randint(len(train.columns), (min(step, n - start),), generator=generator)
            batches = source.sharing(fixed, _BATCH, generator)[:, :, active]
            relative = np.var(batches, axis=1, ddof=1, dtype=np.float64) / variances[active]
            np.add.at(votes, (fixed.numpy(), active[relative.argmin(axis=1)]), 1)
        return votes

    train_votes = count_votes(train, n_train)
    eval_votes = count_votes(test, n_eval)
    prediction = train_votes.argmax(axis=0), np.arange(codes.shape[1])
    return FactorVAEScore(
        score=float(eval_votes[prediction].sum() / n_eval),
        columns=train.columns,
        constant=train.constant,
        train_accuracy=float(train_votes[prediction].sum() / n_train),
        votes=train_votes,
        variances=variances,
        active=tuple(active.tolist()),
    )


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

    Source: Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", 2017, section 3; numbers of batches as in Locatello et al., 2019.

    Parameters
    ----------
    encode, space
        As in `factor_vae`.
    n_train, n_eval : int
        Batches to train and to evaluate the classifier on.
    seed : int
        Seed of all draws.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> vd.metrics.beta_vae(space.to_factors, space, n_train=50, n_eval=20).score
    1.0
    """
    linear_model = require("sklearn.linear_model", "beta_vae")
    _check.count("n_train", n_train, 2)
    _check.count("n_eval", n_eval)
    train, test = _sources(encode, space, seed)
    generator = torch.Generator().manual_seed(int(seed))
    fixed, differences = _differences(train, n_train, generator)
    test_fixed, test_differences = _differences(test, n_eval, generator)
    x, x_test = unit_variance(differences, test_differences)
    if len(np.unique(fixed)) < len(train.columns):
        raise ValueError(f"n_train is {n_train}, which fixes some factor in no batch: raise it.")
    model = linear_model.LogisticRegression(max_iter=10_000).fit(x, fixed)
    return BetaVAEScore(
        score=float(model.score(x_test, test_fixed)),
        columns=train.columns,
        constant=train.constant,
        train_accuracy=float(model.score(x, fixed)),
    )


def _differences(
    source: _Source, n: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n batches: the position of the fixed factor (n,), and mean differences (n, z)."""
    fixed = torch.randint(len(source.columns), (n,), generator=generator)
    differences = []
    for part in fixed.split(_CHUNK // (2 * _BATCH)):
        pairs = source.sharing(part.repeat_interleave(_BATCH), 2, generator).astype(np.float64)
        differences.append(np.abs(pairs[:, 0] - pairs[:, 1]).reshape(len(part), _BATCH, -1).mean(1))
    return fixed.numpy(), np.concatenate(differences)


class _Observations:
    """Random observations of a FactorSpace, encoded when they are drawn."""

    def __init__(self, encode: Callable[[Tensor], Any], space: Any):
        self.columns, self.constant = varying_factors_of(space, least=2)
        self._encode = encode
        self._space = space

    def sample(self, n: int, generator: torch.Generator) -> np.ndarray:
        """Return the codes of n random observations."""
        return self._codes(self._space.to_index(self._space.sample(n, generator=generator)))

    def sharing(self, fixed: Tensor, size: int, generator: torch.Generator) -> np.ndarray:
        """Return groups of codes (m, size, z) that share the factor at position fixed[i]."""
        n = len(fixed)
        factors = self._space.sample(n * size, generator=generator).reshape(n, size, -1)
        column = torch.tensor(self.columns)[fixed][:, None, None].expand(n, size, 1)
        first_value = factors[:, :1].gather(2, column[:, :1])
        factors.scatter_(2, column, first_value.expand(n, size, 1))
        codes = self._codes(self._space.to_index(factors).flatten())
        return codes.reshape(n, size, -1)

    def _codes(self, index: Tensor) -> np.ndarray:
        return np.concatenate([encoded(self._encode, part) for part in index.split(_CHUNK)])


class _Rows:
    """Rows of codes, drawn with replacement from those that share the value of a factor."""

    def __init__(self, given: Samples, codes: np.ndarray, factors: np.ndarray, purpose: str):
        self.columns = given.columns
        self.constant = given.constant
        self._codes = codes
        order, start, count = [], [], []
        for column, values in zip(given.columns, factors.T, strict=True):
            _, labels, counts = np.unique(values, return_inverse=True, return_counts=True)
            # class -1: values without a row to train on
            fewest = counts.min() if values.min() >= 0 else 0
            if fewest < _FEWEST_ROWS:
                raise ValueError(
                    f"factors[:, {column}] has a value with {fewest} of the rows {purpose}, "
                    f"but batches that share a value need at least {_FEWEST_ROWS}: pass about "
                    f"{4 * _FEWEST_ROWS} rows of each value or more, or group values into classes."
                )
            order.append(np.argsort(labels, kind="stable"))
            start.append((np.cumsum(counts) - counts)[labels])
            count.append(counts[labels])
        # The rows in the order of each factor, and where in it the value of each row begins.
        self._order = np.array(order)
        self._start = np.array(start)
        self._count = np.array(count)

    def sample(self, n: int, generator: torch.Generator) -> np.ndarray:
        """Return all codes: more than a sample could tell of them."""
        return self._codes

    def sharing(self, fixed: Tensor, size: int, generator: torch.Generator) -> np.ndarray:
        """Return groups of codes (m, size, z) that share the factor at position fixed[i]."""
        factor = fixed.numpy()
        row = torch.randint(len(self._codes), (len(factor),), generator=generator).numpy()
        share = torch.rand(len(factor), size, generator=generator, dtype=torch.float64).numpy()
        offset = (share * self._count[factor, row][:, None]).astype(np.int64)
        return self._codes[self._order[factor[:, None], self._start[factor, row][:, None] + offset]]


_Source = _Observations | _Rows


def _sources(encode: Any, space: Any, seed: int) -> tuple[_Source, _Source]:
    """Return sources of batches to train and to test on: one encoder, or disjoint rows."""
    _check.seed(seed)
    if callable(encode):
        source = _Observations(encode, space)
        return source, source
    given = split_samples(encode, space, None, None, seed)
    if len(given.columns) < 2:
        raise ValueError("one factor varies, but this score compares factors: pass two that vary.")
    train = _Rows(given, given.codes, given.factors, "to train on")
    return train, _Rows(given, given.test_codes, given.test_factors, "to test on")
