"""Where scores that choose their observations find them: an encoder and a space, or arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis.factors import FactorSpace
from vaedis.metrics._inputs import (
    as_pair,
    classes,
    encoded,
    split_samples,
    varying_factors,
    varying_factors_of,
)

# Most observations encoded at a time; memory grows with it.
CHUNK = 16_384
# With fewer rows of a value, batches that share it hold little but repetitions.
FEWEST_ROWS = 5


class Observations:
    """Random observations of a FactorSpace, encoded when they are drawn."""

    def __init__(self, encode: Callable[[Tensor], Any], space: Any, varying: list[int]):
        self._encode = encode
        self._space = space
        self._varying = torch.tensor(varying)

    def sample(self, n: int, generator: torch.Generator) -> np.ndarray:
        """Return the codes of n random observations."""
        return self._codes(self._space.to_index(self._space.sample(n, generator=generator)))

    def sharing(self, fixed: Tensor, size: int, generator: torch.Generator) -> np.ndarray:
        """Return groups of codes (m, size, z) that share the factor at position fixed[i]."""
        n = len(fixed)
        factors = self._space.sample(n * size, generator=generator).reshape(n, size, -1)
        column = self._varying[fixed][:, None, None].expand(n, size, 1)
        first_value = factors[:, :1].gather(2, column[:, :1])
        factors.scatter_(2, column, first_value.expand(n, size, 1))
        codes = self._codes(self._space.to_index(factors).flatten())
        return codes.reshape(n, size, -1)

    def _codes(self, index: Tensor) -> np.ndarray:
        """Return the codes of observations, `CHUNK` at a time."""
        return np.concatenate([encoded(self._encode, part) for part in index.split(CHUNK)])


class Rows:
    """Rows of codes, drawn with replacement from those that share the value of a factor."""

    def __init__(self, codes: np.ndarray, factors: np.ndarray, varying: list[int], purpose: str):
        self._codes = codes
        labels = np.stack([classes(factors[:, column]) for column in varying])
        counts = [np.bincount(row) for row in labels]
        for column, count in zip(varying, counts, strict=True):
            if count.min() < FEWEST_ROWS:
                raise ValueError(
                    f"factors[:, {column}] has a value with {count.min()} of the rows {purpose}, "
                    f"but batches that share a value need at least {FEWEST_ROWS}: pass about "
                    f"{4 * FEWEST_ROWS} rows of each value or more, or group values into classes."
                )
        # The rows in the order of each factor, and where in it the value of each row begins.
        self._order = np.argsort(labels, axis=1, kind="stable")
        self._start = np.stack(
            [(np.cumsum(c) - c)[row] for c, row in zip(counts, labels, strict=True)]
        )
        self._count = np.stack([c[row] for c, row in zip(counts, labels, strict=True)])

    def sample(self, n: int, generator: torch.Generator) -> np.ndarray:
        """Return all codes: more than a sample could tell of them."""
        return self._codes

    def sharing(self, fixed: Tensor, size: int, generator: torch.Generator) -> np.ndarray:
        """Return groups of codes (m, size, z) that share the factor at position fixed[i]."""
        factor = fixed.numpy()
        row = torch.randint(len(self._codes), (len(factor),), generator=generator).numpy()
        share = torch.rand(len(factor), size, generator=generator, dtype=torch.float64).numpy()
        within = (share * self._count[factor, row][:, None]).astype(np.int64)
        return self._codes[self._order[factor[:, None], self._start[factor, row][:, None] + within]]


Source = Observations | Rows


def sources(
    encode: Any, space: Any, seed: int
) -> tuple[Source, Source, list[int], tuple[int, ...]]:
    """Return where to draw batches to train and to test on, and which factors vary or do not.

    The two are one for an encoder. Rows of arrays are divided, so that a batch to test on has no
    row in common with one to train on.
    """
    if callable(encode):
        varying, constant = varying_factors_of(space, least=2)
        source = Observations(encode, space, varying)
        return source, source, varying, constant
    codes, factors, test_codes, test_factors = split_samples(encode, space, seed=seed)
    varying, constant = varying_factors(factors)
    if len(varying) < 2:
        raise ValueError("one factor varies, but this score compares factors: pass two that vary.")
    train = Rows(codes, factors, varying, "to train on")
    return train, Rows(test_codes, test_factors, varying, "to test on"), varying, constant


def whole_grid(encode: Any, space: Any) -> tuple[Callable[[Tensor], Any], Any]:
    """Return an encoder and its space as they are, or those of arrays with every combination.

    Of rows with the same factors, the first counts.
    """
    if callable(encode):
        return encode, space
    codes, factors = as_pair(encode, space)
    labels = np.stack([classes(column) for column in factors.T], axis=1)
    sizes = [int(size) for size in labels.max(axis=0) + 1]
    n_distinct = len(np.unique(labels, axis=0))
    if n_distinct < math.prod(sizes):
        raise ValueError(
            f"the rows hold {n_distinct:,} of {math.prod(sizes):,} combinations of factor values, "
            "but this score follows whole traversals: pass a row for each combination."
        )
    grid = FactorSpace([f"factor_{i}" for i in range(len(sizes))], sizes)
    index = grid.to_index(torch.from_numpy(labels)).numpy()
    first_row = np.unique(index, return_index=True)[1]
    return lambda index: codes[first_row[index.numpy()]], grid
