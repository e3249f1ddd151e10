"""Rank correlations: how alike distances between factors and between codes order pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.metrics._inputs import encoded, require, varying_factors_of
from vaedis.metrics._scores import Score
from vaedis.metrics._sources import whole_grid

TRIPLETS = 64
BATCH = 32
# Most observations encoded at a time, though always a whole traversal.
CHUNK = 1024


@dataclass(frozen=True, eq=False, repr=False)
class RankCorrelations(Score):
    """Agreement of distances; see `rank_correlations`.

    Keys are ``"<measure>_ground_<distance>"``. Measures: ``rsame``, the share of triplets whose two
    distances are ordered alike (<, =, >); ``rcorr``, Spearman's correlation; ``lcorr``, Pearson's.
    Distances: ``latent_l1`` and ``latent_l2``. A correlation is NaN where a distance is constant.

    Attributes
    ----------
    score : float
        ``along_factors["rcorr_ground_latent_l2"]``.
    along_factors : dict of str to float
        Mean over factors of `per_factor`, where defined.
    per_factor : dict of str to ndarray of shape (f,)
        Pairs from one traversal of the factor; the ground-truth distance is the number of steps.
    overall : dict of str to float
        Pairs from random observations; the ground-truth distance is the sum of steps over factors.
    """

    along_factors: dict[str, float]
    per_factor: dict[str, np.ndarray]
    overall: dict[str, float]


def rank_correlations(
    encode: Any, space: Any, *, repeats: int = 1024, seed: int = 0
) -> RankCorrelations:
    """Correlate ground-truth distances with distances between codes, along factors and overall.

    As in the authors' code, an observation may be paired with itself.

    Parameters
    ----------
    encode, space
        As in `factor_vae`. Arrays must hold every combination of the factors' values; of rows with
        the same factors, the first counts.
    repeats : int
        Traversals of each factor, and random batches of 32; 128 in the authors' fast protocol.
    seed : int
        Seed of all draws.

    Returns
    -------
    RankCorrelations

    Raises
    ------
    ValueError
        If a count is too small, a code is not finite, no factor varies, or arrays lack a
        combination.
    ImportError
        If scipy is not installed.

    References
    ----------
    Michlo's ``disent/metrics/_factored_components.py``, where the mean over factors is geometric
    and so NaN if a correlation is negative; not in the paper.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> result = vd.metrics.rank_correlations(space.to_factors, space, repeats=8)
    >>> print(f"{result.score:.2f}")
    1.00
    """
    _check.count("repeats", repeats)
    _check.count("seed", seed, 0)
    encode, space = whole_grid(encode, space)
    varying, constant = varying_factors_of(space)
    generator = torch.Generator().manual_seed(seed)

    def sample(n: int) -> Tensor:
        return space.to_index(space.sample(n, generator=generator))

    def measure(index: Tensor) -> dict[str, float]:
        step = max(CHUNK // index.shape[1], 1)
        parts = [_distances(encode, space, part, generator) for part in index.split(step)]
        return _compare(np.concatenate(parts, axis=2))

    scores = [measure(space.traversal(factor, sample(repeats))) for factor in varying]
    per_factor = {name: np.array([score[name] for score in scores]) for name in scores[0]}
    along_factors = {name: _mean(values) for name, values in per_factor.items()}
    return RankCorrelations(
        score=along_factors["rcorr_ground_latent_l2"],
        columns=tuple(varying),
        constant=constant,
        along_factors=along_factors,
        per_factor=per_factor,
        overall=measure(sample(repeats * BATCH).reshape(repeats, BATCH)),
    )


def _distances(
    encode: Callable[[Tensor], Any], space: Any, index: Tensor, generator: torch.Generator
) -> np.ndarray:
    """Draw triplets within each row of `index` and return their ground, L1 and L2 distances."""
    anchor, other = _draw_pairs(len(index), index.shape[1], generator)
    flat = index.flatten()
    codes = encoded(encode, flat).astype(np.float64)
    factors = space.to_factors(flat).numpy()
    # Sorted, so that the order of latents cannot change rounding, and with it which pairs tie.
    gaps = np.sort(np.abs(codes[anchor] - codes[other]), axis=-1)
    ground = np.abs(factors[anchor] - factors[other]).sum(axis=-1)
    return np.stack([ground, gaps.sum(axis=-1), np.sqrt((gaps**2).sum(axis=-1))])


def _draw_pairs(groups: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw triplets within groups of neighbours: positions of anchor and other, both (2, n)."""
    anchor = torch.randint(size, (1, groups, TRIPLETS), generator=generator)
    other = torch.randint(size, (2, groups, TRIPLETS), generator=generator)
    offset = (torch.arange(groups) * size)[None, :, None]
    return (anchor + offset).expand(2, -1, -1).flatten(1), (other + offset).flatten(1)


def _compare(distances: np.ndarray) -> dict[str, float]:
    """Return the agreement of ground-truth distances with those of codes, of (3, 2, n)."""
    stats = require("scipy.stats", "rank_correlations")
    order = np.sign(distances[:, 0] - distances[:, 1])
    flat = distances.reshape(3, -1)
    ranks = stats.rankdata(flat, axis=1)
    scores = {}
    for row, name in ((1, "latent_l1"), (2, "latent_l2")):
        scores[f"rsame_ground_{name}"] = float(np.mean(order[0] == order[row]))
        scores[f"rcorr_ground_{name}"] = _correlation(ranks[0], ranks[row])
        scores[f"lcorr_ground_{name}"] = _correlation(flat[0], flat[row])
    return scores


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation, NaN where one is constant (scipy's has a warning instead)."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a = a - a.mean()
    b = b - b.mean()
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is not NaN, NaN if nothing is left."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
