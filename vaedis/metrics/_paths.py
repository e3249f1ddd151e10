"""Scores of the path of a code along one factor: flatness, components, and rank correlations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.factors import FactorSpace
from vaedis.metrics._infomec import concentration
from vaedis.metrics._inputs import as_pair, encoded, need_squares, require, varying_factors_of
from vaedis.metrics._scores import Score

# Most observations encoded at a time, though always a whole traversal.
_CHUNK = 1024
_TRIPLETS = 64
_BATCH = 32
# Distances are ties if they are equal in steps of the largest one's part: rounding is no order.
_STEPS = 2.0**20


@dataclass(frozen=True, eq=False, repr=False)
class FlatnessScore(Score):
    """Flatness; see `flatness`.

    Attributes
    ----------
    score : float
        Mean of `per_factor`: 1 if every path is a straight line along one latent, walked in one
        direction.
    per_factor : ndarray of shape (f,)
        L2 width over L1 length of each factor's paths; 0 if they do not move.
    flatness_l1, flatness_l2 : float
        The same with both by L1, or both by L2, which asks for straight lines of any direction.
    """

    per_factor: np.ndarray
    flatness_l1: float
    flatness_l2: float


def flatness(encode: Any, space: Any, *, repeats: int = 1024, seed: int = 0) -> FlatnessScore:
    """Compute flatness: the width of a factor's path in latent space over the path's length.

    The width is the largest distance between two points of the path. The length is that of the
    steps from each value to the next, and from the last to the first, without the longest step, so
    that a factor may be cyclic. A path of two values is a straight line whatever the codes are.

    Source: Michlo's ``disent/metrics/_flatness.py``; not in the paper.

    Parameters
    ----------
    encode, space
        As in `factor_vae`. Arrays must hold every combination of the factors' values; of rows with
        the same factors, the first counts.
    repeats : int
        Random traversals of each factor; 128 in the authors' fast protocol.
    seed : int
        Seed of the traversals.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> vd.metrics.flatness(space.to_factors, space, repeats=8).per_factor.tolist()
    [1.0, 1.0]
    """
    grid = _Grid(encode, space, repeats, seed)
    # By norm, L1 and L2, and factor.
    widths = np.zeros((2, len(grid.columns)))
    lengths = np.zeros((2, len(grid.columns)))
    for i, factor in enumerate(grid.columns):
        for paths in grid.paths(factor):
            points = torch.from_numpy(paths)
            for row, norm in enumerate((1, 2)):
                steps = np.linalg.norm(np.roll(paths, -1, axis=1) - paths, ord=norm, axis=2)
                largest = torch.cdist(points, points, p=norm).amax((1, 2))
                widths[row, i] += largest.sum().item() / repeats
                lengths[row, i] += (steps.sum(axis=1) - steps.max(axis=1)).sum() / repeats
    mixed = _quotient(widths[1], lengths[0])
    return FlatnessScore(
        score=float(mixed.mean()),
        columns=grid.columns,
        constant=grid.constant,
        per_factor=mixed,
        flatness_l1=float(_quotient(widths[0], lengths[0]).mean()),
        flatness_l2=float(_quotient(widths[1], lengths[1]).mean()),
    )


@dataclass(frozen=True, eq=False, repr=False)
class FactoredComponents(Score):
    """Linearity and axis alignment; see `factored_components`.

    Each is 1 at best and 0 at worst, and the geometric mean over factors of a mean over paths. A
    path that does not move counts as 0.

    Attributes
    ----------
    score, axis_ratio : float
        Share of the variance of a path that lies in one latent.
    linear_ratio : float
        Share that lies in one direction of any orientation; no smaller than `axis_ratio`.
    axis_alignment : float
        Ratio of the two, path by path.
    axis_ratio_average : float
        Axis ratio of the mean variances: lower if a factor uses other latents in other paths.
    per_factor : dict of str to ndarray of shape (f,)
        All four before the mean over factors.
    """

    axis_ratio: float
    linear_ratio: float
    axis_alignment: float
    axis_ratio_average: float
    per_factor: dict[str, np.ndarray]


def factored_components(
    encode: Any, space: Any, *, repeats: int = 1024, seed: int = 0
) -> FactoredComponents:
    """Compute linearity and axis alignment of the path of a code along each factor.

    With v the variance of each of the z latents along a traversal, the axis ratio is (max v / sum v
    - 1/z) / (1 - 1/z). The linear ratio is the same of the eigenvalues of the covariance; it is 1
    for a factor of two values, whatever the codes are.

    Source: Michlo's ``disent/metrics/_factored_components.py``; not in the paper.

    Parameters
    ----------
    encode, space, repeats, seed
        As in `flatness`.

    Examples
    --------
    >>> import torch, vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> turned = lambda index: space.to_factors(index) @ torch.tensor([[1, 1], [1, -1]])
    >>> result = vd.metrics.factored_components(turned, space, repeats=8)
    >>> print(f"{result.linear_ratio:.2f} {result.axis_ratio:.2f}")
    1.00 0.00
    """
    grid = _Grid(encode, space, repeats, seed)
    names = ("axis_ratio", "linear_ratio", "axis_alignment", "axis_ratio_average")
    per_factor = {name: np.zeros(len(grid.columns)) for name in names}
    for i, factor in enumerate(grid.columns):
        mean_variances: Any = 0.0
        for paths in grid.paths(factor):
            centred = paths - paths.mean(axis=1, keepdims=True)
            covariance = np.einsum("rfz,rfy->rzy", centred, centred) / (paths.shape[1] - 1)
            variances = np.diagonal(covariance, axis1=1, axis2=2)
            axis = concentration(variances)
            # A covariance has no negative eigenvalue except by rounding.
            linear = concentration(np.abs(np.linalg.eigvalsh(covariance)))
            per_factor["axis_ratio"][i] += axis.sum() / repeats
            per_factor["linear_ratio"][i] += linear.sum() / repeats
            per_factor["axis_alignment"][i] += (axis / (linear + 1e-20)).sum() / repeats
            mean_variances = mean_variances + variances.sum(axis=0) / repeats
        per_factor["axis_ratio_average"][i] = concentration(np.atleast_2d(mean_variances))[0]
    with np.errstate(divide="ignore"):
        means = {name: float(np.exp(np.log(values).mean())) for name, values in per_factor.items()}
    return FactoredComponents(
        score=means["axis_ratio"],
        columns=grid.columns,
        constant=grid.constant,
        per_factor=per_factor,
        **means,
    )


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

    As in the authors' code, an observation may be paired with itself. Such pairs have the distance
    0 in codes and in factors, so codes without information score high along factors of few values:
    about 0.9 with two values, 0.5 with five and 0.1 with thirty.

    Source: Michlo's ``disent/metrics/_factored_components.py``, where the mean over factors is
    geometric and so NaN if a correlation is negative; not in the paper.

    Parameters
    ----------
    encode, space, repeats, seed
        As in `flatness`; there are as many random batches of 32 as traversals of a factor.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> result = vd.metrics.rank_correlations(space.to_factors, space, repeats=8)
    >>> print(f"{result.score:.2f}")
    1.00
    """
    grid = _Grid(encode, space, repeats, seed)
    scores = [_agreement(grid, grid.traversals(factor)) for factor in grid.columns]
    per_factor = {name: np.array([score[name] for score in scores]) for name in scores[0]}
    along_factors = {}
    for name, values in per_factor.items():
        defined = values[~np.isnan(values)]
        along_factors[name] = float(defined.mean()) if len(defined) else float("nan")
    return RankCorrelations(
        score=along_factors["rcorr_ground_latent_l2"],
        columns=grid.columns,
        constant=grid.constant,
        along_factors=along_factors,
        per_factor=per_factor,
        overall=_agreement(grid, grid.sample(repeats * _BATCH).reshape(repeats, _BATCH)),
    )


class _Grid:
    """An encoder and its space, or arrays with every combination of factor values."""

    def __init__(self, encode: Any, space: Any, repeats: int, seed: int):
        self.repeats = _check.count("repeats", repeats)
        self.generator = torch.Generator().manual_seed(_check.seed(seed))
        self.encode: Callable[[Tensor], Any] = encode
        self.space = space
        if not callable(encode):
            self._take_rows(*as_pair(encode, space))
        self.columns, self.constant = varying_factors_of(self.space)

    def _take_rows(self, codes: np.ndarray, factors: np.ndarray) -> None:
        labels = [np.unique(column, return_inverse=True)[1] for column in factors.T]
        sizes = [int(column.max()) + 1 for column in labels]
        n_distinct = len(np.unique(factors, axis=0))
        if n_distinct < math.prod(sizes):
            raise ValueError(
                f"the rows hold {n_distinct:,} of {math.prod(sizes):,} combinations of factor "
                "values, but this score follows whole traversals: pass a row for each combination."
            )
        self.space = FactorSpace([f"factor_{i}" for i in range(len(sizes))], sizes)
        index = self.space.to_index(torch.from_numpy(np.stack(labels, axis=1))).numpy()
        first_row = np.unique(index, return_index=True)[1]
        self.encode = lambda index: codes[first_row[index.numpy()]]

    def sample(self, n: int) -> Tensor:
        """Return n random indices."""
        return self.space.to_index(self.space.sample(n, generator=self.generator))

    def traversals(self, factor: int) -> Tensor:
        """Return indices of random traversals, (repeats, values)."""
        return self.space.traversal(factor, self.sample(self.repeats))

    def paths(self, factor: int) -> Iterator[np.ndarray]:
        """Yield codes along traversals, relative to their first: float64 (paths, values, z)."""
        index = self.traversals(factor)
        for part in index.split(max(_CHUNK // index.shape[1], 1)):
            codes = encoded(self.encode, part.flatten()).astype(np.float64)
            need_squares(codes)
            paths = codes.reshape(*part.shape, -1)
            # Relative to one of its points, a path that does not move is exactly 0.
            yield paths - paths[:, :1]


def _quotient(widths: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return widths over lengths, 0 where a path does not move."""
    return np.divide(widths, lengths, out=np.zeros_like(widths), where=lengths > 0)


def _agreement(grid: _Grid, index: Tensor) -> dict[str, float]:
    """Return how distances of codes agree with ground-truth ones, within rows of `index`."""
    stats = require("scipy.stats", "rank_correlations")
    parts = index.split(max(_CHUNK // index.shape[1], 1))
    distances = np.concatenate([_distances(grid, part) for part in parts], axis=2)
    flat = distances.reshape(3, -1)
    largest = flat.max(axis=1)[:, None, None]
    rounded = np.rint(distances / np.where(largest > 0, largest, 1) * _STEPS)
    order = np.sign(rounded[:, 0] - rounded[:, 1])
    ranks = stats.rankdata(rounded.reshape(3, -1), axis=1)
    scores = {}
    for row, name in ((1, "latent_l1"), (2, "latent_l2")):
        scores[f"rsame_ground_{name}"] = float(np.mean(order[0] == order[row]))
        scores[f"rcorr_ground_{name}"] = _correlation(ranks[0], ranks[row])
        scores[f"lcorr_ground_{name}"] = _correlation(flat[0], flat[row])
    return scores


def _distances(grid: _Grid, index: Tensor) -> np.ndarray:
    """Draw triplets within each row of `index`: ground, L1 and L2 distances (3, 2, n)."""
    groups, size = index.shape
    anchor = torch.randint(size, (1, groups, _TRIPLETS), generator=grid.generator)
    other = torch.randint(size, (2, groups, _TRIPLETS), generator=grid.generator)
    offset = (torch.arange(groups) * size)[None, :, None]
    anchor = (anchor + offset).expand(2, -1, -1).flatten(1)
    other = (other + offset).flatten(1)
    flat = index.flatten()
    codes = encoded(grid.encode, flat).astype(np.float64)
    need_squares(codes)
    factors = grid.space.to_factors(flat).numpy()
    # Sorted, so that the order of latents cannot change rounding, and with it which pairs tie.
    gaps = np.sort(np.abs(codes[anchor] - codes[other]), axis=-1)
    ground = np.abs(factors[anchor] - factors[other]).sum(axis=-1)
    return np.stack([ground, gaps.sum(axis=-1), np.sqrt((gaps**2).sum(axis=-1))])


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation, NaN where one is constant (scipy's has a warning instead)."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a = a - a.mean()
    b = b - b.mean()
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))
