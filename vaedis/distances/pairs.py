"""Perceived distances of single pairs of observations, and of pairs drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis._support.brief import fields_repr
from vaedis.data import as_data
from vaedis.data.base import FactorData
from vaedis.data.coordinates import factor_groups
from vaedis.distances.agreement import Agreement, compare, ground_truth
from vaedis.distances.kernels import Gram, Kernel, Vectors, kernel_for
from vaedis.distances.reading import Reader
from vaedis.losses.base import LossLike
from vaedis.losses.properties import need_same

# bytes of images that are worked on at a time: pairs are faster in a processor's cache
_PAIR_WORK = 4 * 2**20
_PASS_WORK = 16 * 2**20
# all pairs are compared of so many observations or fewer
_ALL_PAIRS = 1024


def perceived(
    data: Any, a: Tensor, b: Tensor, *, loss: LossLike = "mse", normalize: bool = False
) -> Tensor:
    """Compute the perceived distance of each pair of observations.

    Parameters
    ----------
    data, loss, normalize
        See `factor_distances`.
    a, b : Tensor of int, shape (n,)
        Indices: `a` of the reconstructions, `b` of the targets.

    Returns
    -------
    Tensor of float64, shape (n,)

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", num_squares=1)
    >>> (vd.distances.perceived(data, [0, 0], [0, 1]) * 12288).round()
    tensor([  0., 128.], dtype=torch.float64)
    """
    data = as_data(data)
    kernel = kernel_for(data, loss, normalize)
    a = data.check_index(a)
    b = data.check_index(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            "a and b must be two lists of indices of the same length, "
            f"not of shapes {tuple(a.shape)} and {tuple(b.shape)}."
        )
    work = _PAIR_WORK if data.device.type == "cpu" else 64 * _PAIR_WORK
    step = max(1, work // (2 * math.prod(data.shape) * kernel.number_bytes))
    parts = [
        kernel.between(data.images(i), data.images(j))
        for i, j in zip(a.split(step), b.split(step), strict=True)
        if len(i)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def pair_distances(
    data: Any,
    factor: str | None = None,
    loss: LossLike = "mse",
    *,
    n: int = 50_000,
    seed: int = 0,
    normalize: bool = False,
) -> np.ndarray:
    """Compute the perceived distances of random pairs (Figure A1, Table A1).

    Parameters
    ----------
    data, loss, normalize
        See `factor_distances`.
    factor : str, optional
        Draw pairs of different observations from random traversals of this factor; by default any
        two observations, which may be the same one, as in the "random" rows of Table A1.
    n, seed : int
        Number of pairs, and seed of the draw.

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", num_squares=1)
    >>> (vd.distances.pair_distances(data, "x_R", n=3) * 12288).round()
    array([128., 128., 128.])
    """
    data = as_data(data)
    n = _check.draws("n", n)
    generator = torch.Generator(data.device).manual_seed(_check.seed(seed))
    if factor is None:
        a = data.draw(n, generator=generator)
        b = data.draw(n, generator=generator)
    else:
        data.require_full_grid("random pairs that differ in one factor")
        a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)
    return perceived(data, a, b, loss=loss, normalize=normalize).cpu().numpy()


def pair_agreement(
    data: Any,
    factor: str | None = None,
    loss: LossLike = "mse",
    *,
    n: int = 20_000,
    seed: int = 0,
    self_pairs: bool = False,
    normalize: bool = False,
) -> Agreement:
    """Compare perceived with ground-truth distances of random pairs.

    Parameters
    ----------
    data, loss, normalize
        See `factor_distances`.
    factor : str, optional
        Draw pairs that differ in this factor alone; by default any pairs.
    n, seed : int
        Number of pairs, and seed of the draw.
    self_pairs : bool
        Keep pairs of an observation with itself; with a factor, draw both of its values freely.

    Returns
    -------
    Agreement
        Of a sample: a correlation r of n pairs has a standard error of about (1 - r²) / √n.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", num_squares=1)
    >>> vd.distances.pair_agreement(data, "x_R", n=100).adversarial
    True
    """
    data = as_data(data)
    n = _check.draws("n", n, 2)
    self_pairs = _check.flag("self_pairs", self_pairs)
    data.need_change()
    generator = torch.Generator(data.device).manual_seed(_check.seed(seed))
    a = data.draw(n, generator=generator)
    if factor is None:
        b = data.draw(n, generator=generator)
    else:
        data.require_full_grid("random pairs that differ in one factor")
        if self_pairs:
            size = data.factors.sizes[data.factors.position(factor)]
            value = torch.randint(size, (n, 1), generator=generator, device=data.device)
            b = data.factors.traversal(factor, a).gather(-1, value)[:, 0]
        else:
            a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)
    chosen = (a != b) | self_pairs
    a = a[chosen]
    b = b[chosen]
    if not len(a):
        raise ValueError(
            f"none of {n} random pairs was of two different observations; give a larger n."
        )
    truth = ground_truth(data.to_factors(a), data.to_factors(b)).cpu().numpy().astype(float)
    if not truth.any():
        raise ValueError(f"none of {n} random pairs differs in a factor; give a larger n.")
    distances = perceived(data, a, b, loss=loss, normalize=normalize).cpu().numpy()
    rounding = Reader(data, kernel_for(data, loss, normalize)).rounding
    return compare(truth, distances, distances[truth > 0], rounding)


@dataclass(frozen=True)
class RandomPairs:
    """Perceived distances of two observations drawn at random, which may be the same one.

    Attributes
    ----------
    mean, sd : float
    mean_error, sd_error : float
        Their standard errors; 0 if exact.
    fourth : float
        The mean of ``(distance - mean)⁴``.
    sample : ndarray of float64, shape (pairs,)
        Distances of random pairs, in ascending order.

    Examples
    --------
    >>> import vaedis as vd
    >>> pairs = vd.distances.random_pairs(vd.load("xysquares"))
    >>> round(pairs.mean, 4), round(pairs.sd, 4), pairs.mean_error
    (0.0308, 0.0022, 0.0)
    """

    __repr__ = fields_repr

    mean: float
    sd: float
    mean_error: float
    sd_error: float
    fourth: float
    sample: np.ndarray

    def standard_errors(self, pairs: int) -> tuple[float, float]:
        """Compute the standard errors of mean and sd of so many independent pairs."""
        _check.count("pairs", pairs)
        spread = math.sqrt(max(self.fourth - self.sd**4, 0.0) / pairs)
        return self.sd / math.sqrt(pairs), spread / (2 * self.sd) if self.sd > 0 else 0.0


def random_pairs(
    data: Any,
    loss: LossLike = "mse",
    *,
    pairs: int = 50_000,
    seed: int = 0,
    normalize: bool = False,
    exact_mean: bool = True,
) -> RandomPairs:
    """Measure the distribution of perceived distances between random pairs.

    Of a quadratic loss with vectors v the mean is exact, ``2 (E|v|² - |E v|²)``. All is exact where
    all pairs can be compared: of 1,024 observations or fewer, and of data whose channels depend on
    different factors, such as XYSquares, channel by channel. The rest comes from a sample.

    Parameters
    ----------
    data, loss, normalize
        See `factor_distances`.
    pairs, seed : int
        Size and seed of the sample.
    exact_mean : bool
        Read the whole data set for the mean; otherwise take it from the sample too.

    Returns
    -------
    RandomPairs

    Examples
    --------
    >>> import vaedis as vd
    >>> round(vd.distances.random_pairs(vd.load("xysquares", grid_spacing=1)).mean, 4)
    0.0171
    """
    data = as_data(data)
    pairs = _check.draws("pairs", pairs, 2)
    seed = _check.seed(seed)
    exact_mean = _check.flag("exact_mean", exact_mean)
    kernel = kernel_for(data, loss, normalize)
    parts = _independent_parts(data, kernel)
    if parts is not None:
        return _measure_parts(data, kernel, parts, pairs, seed)
    generator = torch.Generator(data.device).manual_seed(seed)
    a = data.draw(pairs, generator=generator)
    b = data.draw(pairs, generator=generator)
    distances = perceived(data, a, b, loss=loss, normalize=normalize)
    is_exact = exact_mean and isinstance(kernel, Gram)
    if is_exact:
        need_vectors_of(kernel, a, b, distances)
    sample = np.sort(distances.cpu().numpy())
    mean = _mean_of_all_pairs(data, kernel) if is_exact else float(sample.mean())
    sd = math.sqrt(((sample - mean) ** 2).mean())
    fourth = float(((sample - mean) ** 4).mean())
    mean_error, sd_error = RandomPairs(mean, sd, 0.0, 0.0, fourth, sample).standard_errors(pairs)
    return RandomPairs(mean, sd, 0.0 if is_exact else mean_error, sd_error, fourth, sample)


def need_vectors_of(kernel: Kernel, a: Tensor, b: Tensor, distances: Tensor) -> None:
    """Raise a ValueError unless a sample's nearest and farthest pairs are as far as their vectors.

    What follows from a loss's vectors holds only where they are those of the loss.
    """
    if not isinstance(kernel, Vectors):
        return
    smallest = distances.where(distances > 0, distances.max()).argmin()
    ends = torch.stack([smallest, distances.argmax()])
    images = torch.stack([kernel.data.images(index[ends]) for index in (a, b)], 1)
    need_same(kernel.loss, distances[ends], kernel.distances(images)[:, 0, 1])


def _mean_of_all_pairs(data: FactorData, kernel: Kernel) -> float:
    """Compute 2 (E|v|² - |E v|²) over the whole data set."""
    assert isinstance(kernel, Gram)
    step = max(1, _PASS_WORK // (math.prod(data.shape) * kernel.number_bytes))
    index = torch.arange(len(data), device=data.device)
    total = torch.zeros((), dtype=torch.float64, device=data.device)
    square = total
    origin = data.images(index[:1])
    for part in index.split(step):
        vectors, lengths = kernel.moments(data.images(part), origin)
        total = total + vectors
        square = square + lengths
    return 2 * float(square / len(data) - (total / len(data)).square().sum())


def _independent_parts(data: FactorData, kernel: Kernel) -> list[Tensor] | None:
    """Return sets of images whose random pairs add up to a random pair; None if one is too large.

    A random pair's distance is then a sum of independent ones, of a random pair from each set.
    """
    if not data.grid:
        return [torch.arange(len(data), device=data.device)] if len(data) <= _ALL_PAIRS else None
    space = data.factors
    groups = [tuple(range(len(space)))]
    if kernel.separable:
        groups = factor_groups(data, kernel.loss)
    if any(math.prod(space.sizes[f] for f in group) > _ALL_PAIRS for group in groups):
        return None
    parts = []
    for group in groups:
        bases = space.traversal_bases(group[0], vary=group[1:], device=data.device)
        parts.append(space.traversal(group[0], bases).flatten())
    return parts


def _measure_parts(
    data: FactorData, kernel: Kernel, parts: list[Tensor], pairs: int, seed: int
) -> RandomPairs:
    """Measure sums of independent distances, one of a random pair from each set of images."""
    rng = np.random.default_rng(seed)
    reader = Reader(data, kernel)
    mean = variance = fourth = 0.0
    sample = np.zeros(pairs)
    for index in parts:
        table = reader.distances(index[None])[0].flatten().cpu().numpy()
        centred = table - table.mean()
        part_variance = float((centred**2).mean())
        # The fourth central moment of a sum of independent terms.
        fourth += float((centred**4).mean()) + 6 * variance * part_variance
        mean += float(table.mean())
        variance += part_variance
        sample += rng.choice(table, pairs)
    return RandomPairs(mean, math.sqrt(variance), 0.0, 0.0, fourth, np.sort(sample))
