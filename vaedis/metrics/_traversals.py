"""Scores of the path that a code takes as one factor runs through its values: flatness, linearity,
axis alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.metrics._inputs import encoded, live_factors_of
from vaedis.metrics._scores import Score

CHUNK = 16_384
PAIRS = 2**22


@dataclass(frozen=True, eq=False)
class FlatnessScore(Score):
    """Flatness.

    Attributes
    ----------
    score : float
        Mean of `per_factor`: 1 if every path is a straight line along one latent, walked in one
        direction.
    per_factor : ndarray of shape (f,)
        L2 width over L1 length of each factor's paths; 0 if they do not move.
    flatness_l1, flatness_l2 : float
        The same with width and length both measured by L1, and by L2, which asks for straight lines
        in any direction.
    """

    per_factor: np.ndarray
    flatness_l1: float
    flatness_l2: float


@dataclass(frozen=True, eq=False)
class FactoredComponents(Score):
    """Linearity and axis alignment.

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
        Axis ratio of the variances averaged over paths: lower if a factor uses one latent here and
        another there.
    per_factor : dict of str to ndarray of shape (f,)
        All four before the mean over factors.
    """

    axis_ratio: float
    linear_ratio: float
    axis_alignment: float
    axis_ratio_average: float
    per_factor: dict[str, np.ndarray]


def flatness(
    encode: Callable[[Tensor], Any],
    space: Any,
    *,
    repeats: int = 1024,
    seed: int = 0,
    chunk: int = CHUNK,
) -> FlatnessScore:
    """Flatness: width of a factor's path in latent space over the length of the path.

    Along each factor, random traversals are encoded. The width is the largest distance between two
    of its points. The length is that of the steps from each value to the next and from the last
    back to the first, less the longest of them, so that a factor may be cyclic.

    Parameters
    ----------
    encode, space
        As in `factor_vae`.
    repeats : int
        Traversals of each factor; 128 in the authors' fast protocol.
    seed : int
        Seed of the traversals.
    chunk : int
        Most observations handed to `encode` at a time, but always a whole traversal.

    Returns
    -------
    FlatnessScore

    Raises
    ------
    ValueError
        If a count is too small, a code is not finite, or no factor varies.

    References
    ----------
    Michlo's ``disent/metrics/_flatness.py``; not in the paper.
    """
    generator, (live, left_out) = _generator(repeats, seed, chunk), live_factors_of(space)
    widths, lengths = np.zeros((2, len(live))), np.zeros((2, len(live)))
    for i, factor in enumerate(live):
        size = space.sizes[factor]
        for paths in _paths(
            encode, space, factor, repeats, generator, min(chunk, max(PAIRS // size, 1))
        ):
            for j, p in enumerate((1, 2)):
                steps = np.linalg.norm(np.roll(paths, -1, axis=1) - paths, ord=p, axis=2)
                widths[j, i] += (
                    torch.cdist(torch.from_numpy(paths), torch.from_numpy(paths), p=p)
                    .amax((1, 2))
                    .sum()
                    .item()
                    / repeats
                )
                lengths[j, i] += (steps.sum(axis=1) - steps.max(axis=1)).sum() / repeats
    flat = {
        (j, k): np.divide(widths[j], lengths[k], out=np.zeros(len(live)), where=lengths[k] > 0)
        for j, k in ((1, 0), (0, 0), (1, 1))
    }
    return FlatnessScore(
        score=float(flat[1, 0].mean()),
        columns=tuple(live),
        left_out=left_out,
        per_factor=flat[1, 0],
        flatness_l1=float(flat[0, 0].mean()),
        flatness_l2=float(flat[1, 1].mean()),
    )


def factored_components(
    encode: Callable[[Tensor], Any],
    space: Any,
    *,
    repeats: int = 1024,
    seed: int = 0,
    chunk: int = CHUNK,
) -> FactoredComponents:
    """Linearity and axis alignment of the path that a code takes as one factor runs through its
    values.

    With v the variance of each latent along a traversal, the axis ratio is (max v / sum v - 1/z) /
    (1 - 1/z). The linear ratio is the same of the eigenvalues of the covariance.

    Parameters, returns and errors are those of `flatness`, but for the result, a
    `FactoredComponents`.

    References
    ----------
    Michlo's ``disent/metrics/_factored_components.py``; not in the paper.
    """
    generator, (live, left_out) = _generator(repeats, seed, chunk), live_factors_of(space)
    names = ("axis_ratio", "linear_ratio", "axis_alignment", "axis_ratio_average")
    per_factor = {name: np.zeros(len(live)) for name in names}
    for i, factor in enumerate(live):
        average: np.ndarray | float = 0.0
        for paths in _paths(encode, space, factor, repeats, generator, chunk):
            centred = paths - paths.mean(axis=1, keepdims=True)
            covariance = np.einsum("rfz,rfy->rzy", centred, centred) / (paths.shape[1] - 1)
            variances = np.diagonal(covariance, axis1=1, axis2=2)
            # A symmetric matrix with variances on its diagonal has no negative eigenvalue but for
            # rounding.
            axis, linear = _ratio(variances), _ratio(np.abs(np.linalg.eigvalsh(covariance)))
            per_factor["axis_ratio"][i] += axis.sum() / repeats
            per_factor["linear_ratio"][i] += linear.sum() / repeats
            per_factor["axis_alignment"][i] += (axis / (linear + 1e-20)).sum() / repeats
            average = average + variances.sum(axis=0) / repeats
        per_factor["axis_ratio_average"][i] = _ratio(np.atleast_2d(average))[0]
    with np.errstate(divide="ignore"):
        pooled = {name: float(np.exp(np.log(values).mean())) for name, values in per_factor.items()}
    return FactoredComponents(
        score=pooled["axis_ratio"],
        columns=tuple(live),
        left_out=left_out,
        per_factor=per_factor,
        **pooled,
    )


def _ratio(values: np.ndarray) -> np.ndarray:
    """How much the largest entry of each row stands out: 1 if it is the only one, 0 if all are
    alike, or 0 themselves.
    """
    total, z = values.sum(axis=1), values.shape[1]
    share = np.divide(
        values.max(axis=1),
        total,
        out=np.full(len(values), 1 / z if z > 1 else 0.0),
        where=total > 0,
    )
    return share if z == 1 else np.clip((share - 1 / z) / (1 - 1 / z), 0.0, 1.0)


def _generator(repeats: int, seed: int, chunk: int) -> torch.Generator:
    _check.count("repeats", repeats), _check.count("seed", seed, 0), _check.count("chunk", chunk)
    return torch.Generator().manual_seed(seed)


def _paths(
    encode: Callable[[Tensor], Any],
    space: Any,
    factor: int,
    repeats: int,
    generator: torch.Generator,
    chunk: int,
) -> Iterator[np.ndarray]:
    """Yield codes along random traversals, float64 of shape (traversals, values, z), relative to
    the first value's code.
    """
    index = space.traversal(factor, space.to_index(space.sample(repeats, generator=generator)))
    for part in index.split(max(chunk // index.shape[1], 1)):
        paths = encoded(encode, part.flatten()).astype(np.float64).reshape(*part.shape, -1)
        # Relative to one of its points, a path that does not move is exactly 0, whatever the
        # rounding of its mean.
        yield paths - paths[:, :1]
