"""Perceived distances of single pairs of observations, and samples of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import as_data
from vaedis.data.base import FactorData
from vaedis.distances.agreement import Agreement, compare
from vaedis.distances.kernels import kernel_for
from vaedis.distances.truth import ground_truth
from vaedis.losses import Loss

# bytes: pairs that stay in a processor's cache are several times as fast
_WORK = 4 * 2**20
SAMPLINGS = ("independent", "table-a1", "figure-a1")
# how many different observations the authors drew at a time for Figure A1
_BATCH = 64


def perceived(
    data: Any, a: Tensor, b: Tensor, *, loss: str | Loss = "mse", normalize: bool = False
) -> Tensor:
    """Return the perceived distance of each pair of observations.

    Parameters
    ----------
    data : FactorData
    a, b : Tensor of int, shape (n,)
        Indices.
    loss : str or Loss
    normalize : bool
        Between normalized images, as a VAE sees them (Figures 4 and 10), or between images in [0,
        1] (Figures 3, 8, A1 and Table A1).

    Returns
    -------
    Tensor of float64, shape (n,)
    """
    data = as_data(data)
    kernel = kernel_for(data, loss, normalize)
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            f"a and b must be two lists of indices of the same length, not of shapes {tuple(a.shape)} and {tuple(b.shape)}."
        )
    work = _WORK if data.device.type == "cpu" else 64 * _WORK
    step = max(1, work // (2 * int(np.prod(data.shape)) * kernel.number_bytes))
    parts = [
        kernel.between(data.images(i), data.images(j))
        for i, j in zip(a.split(step), b.split(step), strict=True)
        if len(i)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def pair_distances(
    data: Any,
    factor: str | None = None,
    loss: str | Loss = "mse",
    *,
    n: int = 50_000,
    seed: int = 0,
    normalize: bool = False,
    sampling: str = "independent",
) -> np.ndarray:
    """Return the perceived distances of random pairs: a sample of their distribution (Figure A1, Table
    A1).

    Parameters
    ----------
    data : FactorData
    factor : str, optional
        Pairs of different observations from random traversals of this factor; by default two
        observations drawn at random, which may be the same one, as in the "random" rows of Table
        A1.
    loss : str or Loss
    n : int
    seed : int
    normalize : bool
        See `perceived`.
    sampling : {"independent", "table-a1", "figure-a1"}
        Each pair by itself, or as the authors drew them, many from one traversal. ``"table-a1"``:
        ``int(f * sqrt(f) / 2)`` pairs of a traversal with replacement, without those of an
        observation with itself. ``"figure-a1"``: a traversal in random order, each value with the
        next; without a factor, 64 different observations in random order.

    Returns
    -------
    ndarray of float64, shape (n,)

    References
    ----------
    The authors' ``run_plot_traversal_dists.py`` (Table A1) and ``run_plot_global_dists.py`` (Figure
    A1).
    """
    data = as_data(data)
    n = _check.count("n", n)
    _check.one_of("sampling", sampling, SAMPLINGS)
    if factor is not None:
        data.require_full_grid("random pairs that differ in one factor")
    generator = torch.Generator(data.device).manual_seed(seed)
    if factor is None and sampling != "figure-a1":
        a, b = data.draw(n, generator=generator), data.draw(n, generator=generator)
    elif sampling == "independent":
        a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)  # type: ignore[arg-type]
    else:
        a, b = _published_pairs(data, factor, n, sampling, generator)
    return perceived(data, a, b, loss=loss, normalize=normalize).cpu().numpy()


def published_traversals(size: int, pairs: int = 50_000) -> int:
    """Return on about how many traversals of a factor of `size` values a row of Table A1 rests (see
    `pair_distances`).
    """
    size = _check.count("size", size, 2)
    return max(1, round(pairs / (_drawn(size) * (1 - 1 / size))))


def _drawn(size: int) -> int:
    return int(size * size**0.5 / 2)


def _published_pairs(
    data: FactorData, factor: str | None, n: int, sampling: str, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pairs as the authors drew them: see `pair_distances`."""
    space, device = data.factors, data.device
    size = _BATCH if factor is None else space.sizes[space.position(factor)]
    if size < 2 or (factor is None and len(data) < _BATCH):
        raise ValueError(
            f"sampling={sampling!r} needs {_BATCH} observations, or a factor with at least two values."
        )
    if sampling == "figure-a1":
        rows = -(-n // (size - 1))
        if factor is None:
            order = _different(len(data), rows, size, generator)
        else:
            order = space.traversal(factor, space.sample_index(rows, generator=generator))
            keys = torch.rand(order.shape, generator=generator, device=device)
            order = order.gather(1, keys.argsort(1))
        a, b = order[:, :-1].flatten(), order[:, 1:].flatten()
    else:
        # twice as many as are needed on average; the first n are taken
        rows = 2 * published_traversals(size, n) + 8
        lines = space.traversal(factor, space.sample_index(rows, generator=generator))  # type: ignore[arg-type]
        i, j = torch.randint(size, (2, rows, _drawn(size)), generator=generator, device=device)
        a, b = lines.gather(1, i)[i != j], lines.gather(1, j)[i != j]
    return a[:n], b[:n]


def _different(n: int, rows: int, size: int, generator: torch.Generator) -> Tensor:
    """Rows of `size` different numbers below n."""
    if n <= 8192:
        return torch.rand(rows, n, generator=generator, device=generator.device).argsort(1)[
            :, :size
        ]
    order = torch.randint(n, (rows, size), generator=generator, device=generator.device)
    while (twice := (order.sort(1)[0].diff() == 0).any(1)).any():
        order[twice] = torch.randint(
            n, (int(twice.sum()), size), generator=generator, device=generator.device
        )
    return order


def pair_agreement(
    data: Any,
    factor: str | None = None,
    loss: str | Loss = "mse",
    *,
    n: int = 20_000,
    seed: int = 0,
    self_pairs: bool = False,
    normalize: bool = False,
) -> Agreement:
    """Compare perceived with ground-truth distances over random pairs, one by one rather than
    averaged.

    Parameters
    ----------
    data : FactorData
    factor : str, optional
        Pairs that differ in this factor alone; by default pairs drawn at random.
    loss : str or Loss
    n : int
    seed : int
    self_pairs : bool
        Keep pairs of an observation with itself; with a factor, draw both of its values freely, so
        that they may be equal.
    normalize : bool
        See `perceived`.

    Returns
    -------
    Agreement
    """
    data = as_data(data)
    n = _check.count("n", n, 2)
    data.need_change()
    if factor is not None:
        data.require_full_grid("random pairs that differ in one factor")
    generator = torch.Generator(data.device).manual_seed(seed)
    a = data.draw(n, generator=generator)
    if factor is None:
        b = data.draw(n, generator=generator)
    elif self_pairs:
        f = data.factors.position(factor)
        value = torch.randint(
            data.factors.sizes[f], (n, 1), generator=generator, device=data.device
        )
        b = data.factors.traversal(f, a).gather(-1, value)[:, 0]
    else:
        a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)
    same = a == b
    if not self_pairs:
        a, b = a[~same], b[~same]
    if not len(a):
        raise ValueError(
            f"none of {n} random pairs was of two different observations; give a larger n."
        )
    truth = ground_truth(data.to_factors(a), data.to_factors(b)).cpu().numpy().astype(float)
    seen = perceived(data, a, b, loss=loss, normalize=normalize).cpu().numpy()
    return compare(truth, seen, seen[truth > 0])
