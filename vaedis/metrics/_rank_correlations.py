"""Do distances between factors, between codes and between observations order pairs alike?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.metrics._inputs import encoded, live_factors_of
from vaedis.metrics._scores import Score

CHUNK = 1024
PAIR_CHUNK = 256


@dataclass(frozen=True, eq=False)
class RankCorrelations(Score):
    """Agreement of distances.

    Keys are ``"<measure>_<distance>_<distance>"``. Measures: ``rsame``, the share of triplets whose
    two distances are ordered alike (<, =, >) by both; ``rcorr``, Spearman's correlation; ``lcorr``,
    Pearson's. Distances: ``ground``, ``latent_l1``, ``latent_l2``, and ``data`` if observations
    were given. A correlation is NaN where one of the distances is constant, since none is defined.

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
    encode: Callable[[Tensor], Any],
    space: Any,
    *,
    observe: Callable[[Tensor], Tensor] | None = None,
    distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    repeats: int = 1024,
    triplets: int = 64,
    batch: int = 32,
    self_pairs: bool = True,
    pool: str = "arithmetic",
    seed: int = 0,
    chunk: int = CHUNK,
) -> RankCorrelations:
    """Correlations between ground-truth, latent and data distances, along factors and overall.

    Parameters
    ----------
    encode, space
        As in `factor_vae`.
    observe : callable, optional
        From indices to observations of shape (n, ...). Without it, distances between observations
        are left out.
    distance : callable, optional
        From two tensors of n observations to their n distances; the mean squared error by default.
    repeats : int
        Traversals of each factor, and random batches; 128 in the authors' fast protocol.
    triplets : int
        Triplets (anchor, first, second) drawn from each traversal or batch.
    batch : int
        Observations in a random batch, at least 2.
    self_pairs : bool
        Whether an anchor may be paired with itself, as in the authors' code. Distance 0 of such
        pairs can be all that a correlation sees: without them, a factor along which all distances
        are equal has no correlation.
    pool : {"arithmetic", "geometric"}
        Mean over factors. The authors' code has the geometric one, which is NaN if a factor's
        correlation is negative.
    seed : int
        Seed of all draws.
    chunk : int
        Most observations encoded and kept at a time, but always a whole traversal or batch.

    Returns
    -------
    RankCorrelations

    Raises
    ------
    ValueError
        If a count is too small, a code is not finite, `pool` is unknown, or no factor varies.

    References
    ----------
    Michlo's ``disent/metrics/_factored_components.py``; not in the paper, but for the comparison of
    distances of section 4.
    """
    for name, value, least in (
        ("repeats", repeats, 1),
        ("triplets", triplets, 1),
        ("batch", batch, 2),
        ("chunk", chunk, 1),
    ):
        _check.count(name, value, least)
    _check.count("seed", seed, 0), _check.one_of("pool", pool, ("arithmetic", "geometric"))
    live, left_out = live_factors_of(space)
    generator = torch.Generator().manual_seed(seed)

    def measure(index: Tensor) -> dict[str, float]:
        parts = []
        for part in index.split(max(chunk // index.shape[1], 1)):
            left, right = _draw_pairs(len(part), part.shape[1], triplets, self_pairs, generator)
            parts.append(
                _distances(encode, space, observe, distance or _mse, part.flatten(), left, right)
            )
        return _compare(
            {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
        )

    def sample(n: int) -> Tensor:
        return space.to_index(space.sample(n, generator=generator))

    found = [measure(space.traversal(factor, sample(repeats))) for factor in live]
    per_factor = {name: np.array([scores[name] for scores in found]) for name in found[0]}
    along_factors = {name: _pool(values, pool) for name, values in per_factor.items()}
    return RankCorrelations(
        score=along_factors["rcorr_ground_latent_l2"],
        columns=tuple(live),
        left_out=left_out,
        along_factors=along_factors,
        per_factor=per_factor,
        overall=measure(sample(repeats * batch).reshape(repeats, batch)),
    )


def _draw_pairs(
    groups: int, size: int, triplets: int, self_pairs: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw triplets within each group of `size` neighbours; positions of anchor and other, both (2,
    groups * triplets).
    """
    anchor = torch.randint(size, (1, groups, triplets), generator=generator)
    if self_pairs:
        other = torch.randint(size, (2, groups, triplets), generator=generator)
    else:
        other = (anchor + torch.randint(1, size, (2, groups, triplets), generator=generator)) % size
    offset = (torch.arange(groups) * size)[None, :, None]
    return (anchor + offset).expand(2, -1, -1).flatten(1), (other + offset).flatten(1)


def _distances(
    encode: Callable[[Tensor], Any],
    space: Any,
    observe: Callable[[Tensor], Tensor] | None,
    distance: Callable[[Tensor, Tensor], Tensor],
    index: Tensor,
    left: Tensor,
    right: Tensor,
) -> dict[str, np.ndarray]:
    """Return each kind of distance between the observations at positions `left` and `right` of
    `index`, all (2, n).
    """
    codes = encoded(encode, index).astype(np.float64)
    factors = space.to_factors(index).numpy()
    # Sorted, so that the order of latents cannot change a sum's rounding and with it what ties with
    # what.
    gap = np.sort(np.abs(codes[left] - codes[right]), axis=-1)
    found = {
        "ground": np.abs(factors[left] - factors[right]).sum(axis=-1).astype(np.float64),
        "latent_l1": gap.sum(axis=-1),
        "latent_l2": np.sqrt((gap**2).sum(axis=-1)),
    }
    if observe is not None:
        with torch.no_grad():
            x = observe(index)
            pairs = zip(
                left.flatten().split(PAIR_CHUNK), right.flatten().split(PAIR_CHUNK), strict=True
            )
            flat = torch.cat(
                [distance(x[a.to(x.device)], x[b.to(x.device)]).double().cpu() for a, b in pairs]
            )
        found["data"] = flat.reshape(left.shape).numpy()
    return found


def _mse(first: Tensor, second: Tensor) -> Tensor:
    return ((first - second) ** 2).flatten(1).mean(1)


def _compare(distances: dict[str, np.ndarray]) -> dict[str, float]:
    scores = {}
    ordered = {name: np.sign(values[0] - values[1]) for name, values in distances.items()}
    ranks = {name: _ranks(values.ravel()) for name, values in distances.items()}
    compared = [("ground", "latent_l1"), ("ground", "latent_l2")]
    if "data" in distances:
        compared += [("ground", "data"), ("latent_l1", "data"), ("latent_l2", "data")]
    for a, b in compared:
        scores[f"rsame_{a}_{b}"] = float(np.mean(ordered[a] == ordered[b]))
        scores[f"rcorr_{a}_{b}"] = _correlation(ranks[a], ranks[b])
        scores[f"lcorr_{a}_{b}"] = _correlation(distances[a].ravel(), distances[b].ravel())
    return scores


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value; equal values share the middle of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def _pool(values: np.ndarray, pool: str) -> float:
    defined = values[~np.isnan(values)]
    if not len(defined) or (pool == "geometric" and (defined < 0).any()):
        return float("nan")
    if pool == "geometric":
        return float(np.exp(np.log(defined).mean())) if (defined > 0).all() else 0.0
    return float(defined.mean())
