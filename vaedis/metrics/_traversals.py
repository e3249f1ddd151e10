"""Flatness, linearity and axis alignment of the path of a code along one factor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.metrics._inputs import encoded, varying_factors_of
from vaedis.metrics._scores import Score
from vaedis.metrics._sources import whole_grid

# Most observations encoded at a time, though always a whole traversal.
CHUNK = 16_384
# Most pairs of a path's points compared at a time.
PAIRS = 2**22


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


def flatness(encode: Any, space: Any, *, repeats: int = 1024, seed: int = 0) -> FlatnessScore:
    """Compute flatness: the width of a factor's path in latent space over the path's length.

    The width is the largest distance between two points of the path. The length is that of the
    steps from each value to the next, and from the last to the first, without the longest step, so
    that a factor may be cyclic.

    Parameters
    ----------
    encode, space
        As in `factor_vae`. Arrays must hold every combination of the factors' values; of rows with
        the same factors, the first counts.
    repeats : int
        Random traversals of each factor; 128 in the authors' fast protocol.
    seed : int
        Seed of the traversals.

    Returns
    -------
    FlatnessScore

    Raises
    ------
    ValueError
        If a count is too small, a code is not finite, no factor varies, or arrays lack a
        combination.

    References
    ----------
    Michlo's ``disent/metrics/_flatness.py``; not in the paper.

    Examples
    --------
    >>> import vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> vd.metrics.flatness(space.to_factors, space, repeats=8).per_factor.tolist()
    [1.0, 1.0]
    """
    _check.count("repeats", repeats)
    _check.count("seed", seed, 0)
    encode, space = whole_grid(encode, space)
    varying, constant = varying_factors_of(space)
    generator = torch.Generator().manual_seed(seed)
    # By norm, L1 and L2, and factor.
    widths = np.zeros((2, len(varying)))
    lengths = np.zeros((2, len(varying)))
    for i, factor in enumerate(varying):
        most = min(CHUNK, max(PAIRS // space.sizes[factor], 1))
        for paths in _paths(encode, space, factor, repeats, generator, most):
            for row, norm in enumerate((1, 2)):
                steps = np.linalg.norm(np.roll(paths, -1, axis=1) - paths, ord=norm, axis=2)
                points = torch.from_numpy(paths)
                largest = torch.cdist(points, points, p=norm).amax((1, 2))
                widths[row, i] += largest.sum().item() / repeats
                lengths[row, i] += (steps.sum(axis=1) - steps.max(axis=1)).sum() / repeats
    mixed = _quotient(widths[1], lengths[0])
    return FlatnessScore(
        score=float(mixed.mean()),
        columns=tuple(varying),
        constant=constant,
        per_factor=mixed,
        flatness_l1=float(_quotient(widths[0], lengths[0]).mean()),
        flatness_l2=float(_quotient(widths[1], lengths[1]).mean()),
    )


def factored_components(
    encode: Any, space: Any, *, repeats: int = 1024, seed: int = 0
) -> FactoredComponents:
    """Compute linearity and axis alignment of the path of a code along each factor.

    With v the variance of each of the z latents along a traversal, the axis ratio is (max v / sum v
    - 1/z) / (1 - 1/z). The linear ratio is the same of the eigenvalues of the covariance.

    Parameters and errors are those of `flatness`.

    Returns
    -------
    FactoredComponents

    References
    ----------
    Michlo's ``disent/metrics/_factored_components.py``; not in the paper.

    Examples
    --------
    >>> import torch, vaedis as vd
    >>> space = vd.FactorSpace(("shape", "size"), (3, 4))
    >>> turned = lambda index: space.to_factors(index) @ torch.tensor([[1, 1], [1, -1]])
    >>> result = vd.metrics.factored_components(turned, space, repeats=8)
    >>> print(f"{result.linear_ratio:.2f} {result.axis_ratio:.2f}")
    1.00 0.00
    """
    _check.count("repeats", repeats)
    _check.count("seed", seed, 0)
    encode, space = whole_grid(encode, space)
    varying, constant = varying_factors_of(space)
    generator = torch.Generator().manual_seed(seed)
    names = ("axis_ratio", "linear_ratio", "axis_alignment", "axis_ratio_average")
    per_factor = {name: np.zeros(len(varying)) for name in names}
    for i, factor in enumerate(varying):
        mean_variances: Any = 0.0
        for paths in _paths(encode, space, factor, repeats, generator, CHUNK):
            centred = paths - paths.mean(axis=1, keepdims=True)
            covariance = np.einsum("rfz,rfy->rzy", centred, centred) / (paths.shape[1] - 1)
            variances = np.diagonal(covariance, axis1=1, axis2=2)
            axis = _excess(variances)
            # A covariance has no negative eigenvalue except by rounding.
            linear = _excess(np.abs(np.linalg.eigvalsh(covariance)))
            per_factor["axis_ratio"][i] += axis.sum() / repeats
            per_factor["linear_ratio"][i] += linear.sum() / repeats
            per_factor["axis_alignment"][i] += (axis / (linear + 1e-20)).sum() / repeats
            mean_variances = mean_variances + variances.sum(axis=0) / repeats
        per_factor["axis_ratio_average"][i] = _excess(np.atleast_2d(mean_variances))[0]
    with np.errstate(divide="ignore"):
        means = {name: float(np.exp(np.log(values).mean())) for name, values in per_factor.items()}
    return FactoredComponents(
        score=means["axis_ratio"],
        columns=tuple(varying),
        constant=constant,
        per_factor=per_factor,
        **means,
    )


def _quotient(widths: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return widths over lengths, 0 where a path does not move."""
    return np.divide(widths, lengths, out=np.zeros_like(widths), where=lengths > 0)


def _excess(values: np.ndarray) -> np.ndarray:
    """Return how much each row's largest entry dominates: 1 if alone, 0 if all are equal."""
    total = values.sum(axis=1)
    z = values.shape[1]
    share_of_zeros = np.full(len(values), 1 / z if z > 1 else 0.0)
    share = np.divide(values.max(axis=1), total, out=share_of_zeros, where=total > 0)
    return share if z == 1 else np.clip((share - 1 / z) / (1 - 1 / z), 0.0, 1.0)


def _paths(
    encode: Callable[[Tensor], Any],
    space: Any,
    factor: int,
    repeats: int,
    generator: torch.Generator,
    most: int,
) -> Iterator[np.ndarray]:
    """Yield codes along random traversals, relative to their first: float64 (paths, values, z)."""
    index = space.traversal(factor, space.to_index(space.sample(repeats, generator=generator)))
    for part in index.split(max(most // index.shape[1], 1)):
        paths = encoded(encode, part.flatten()).astype(np.float64).reshape(*part.shape, -1)
        # Relative to one of its points, a path that does not move is exactly 0.
        yield paths - paths[:, :1]
