"""Perceived distances of single pairs of observations, and samples of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data.base import FactorData
from vaedis.distances._agreement import Agreement, compare
from vaedis.distances._kernels import kernel_for
from vaedis.distances._truth import ground_truth
from vaedis.losses import Loss

# bytes: pairs that stay in a processor's cache are several times as fast
_WORK = 4 * 2**20


def perceived(data: FactorData, a: Tensor, b: Tensor, *, loss: str | Loss = "mse", standardise: bool = False) -> Tensor:
    """Return the perceived distance of each pair of observations.

    Parameters
    ----------
    data : FactorData
    a, b : Tensor of int, shape (n,)
        Indices.
    loss : str or Loss
    standardise : bool
        Between standardised images, as a VAE sees them (Figures 4 and 10), or between images in [0, 1] (Figures 3, 8, A1 and Table A1).

    Returns
    -------
    Tensor of float64, shape (n,)
    """
    kernel = kernel_for(data, loss, standardise)
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a and b must be two lists of indices of the same length, not of shapes {tuple(a.shape)} and {tuple(b.shape)}.")
    work = _WORK if data.device.type == "cpu" else 64 * _WORK
    step = max(1, work // (2 * int(np.prod(data.shape)) * kernel.number_bytes))
    parts = []
    for i, j in zip(a.split(step), b.split(step), strict=True):
        if not len(i):
            continue
        x = torch.cat([data.images(i), data.images(j)]).unflatten(0, (2, -1)).transpose(0, 1)
        parts.append(kernel.distances(x)[:, 0, 1])
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def pair_distances(
    data: FactorData, factor: str | None = None, loss: str | Loss = "mse", *, n: int = 50_000, seed: int = 0, standardise: bool = False
) -> np.ndarray:
    """Return the perceived distances of random pairs: a sample of their distribution (Figure A1, Table A1).

    Parameters
    ----------
    data : FactorData
    factor : str, optional
        Pairs of different observations from random traversals of this factor; by default two observations drawn at random, which may be
        the same one, as in the "random" rows of Table A1.
    loss : str or Loss
    n : int
    seed : int
    standardise : bool
        See `perceived`.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    _check.count("n", n)
    generator = torch.Generator(data.device).manual_seed(seed)
    if factor is None:
        a, b = data.factors.sample_index(n, generator=generator), data.factors.sample_index(n, generator=generator)
    else:
        a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)
    return perceived(data, a, b, loss=loss, standardise=standardise).cpu().numpy()


def pair_agreement(
    data: FactorData,
    factor: str | None = None,
    loss: str | Loss = "mse",
    *,
    n: int = 20_000,
    seed: int = 0,
    self_pairs: bool = False,
    standardise: bool = False,
) -> Agreement:
    """Compare perceived with ground-truth distances over random pairs, one by one rather than averaged.

    Parameters
    ----------
    data : FactorData
    factor : str, optional
        Pairs that differ in this factor alone; by default pairs drawn at random.
    loss : str or Loss
    n : int
    seed : int
    self_pairs : bool
        Keep pairs of an observation with itself; with a factor, draw both of its values freely, so that they may be equal.
    standardise : bool
        See `perceived`.

    Returns
    -------
    Agreement
    """
    _check.count("n", n, 2)
    generator = torch.Generator(data.device).manual_seed(seed)
    a = data.factors.sample_index(n, generator=generator)
    if factor is None:
        b = data.factors.sample_index(n, generator=generator)
    elif self_pairs:
        f = data.factors.position(factor)
        value = torch.randint(data.factors.sizes[f], (n, 1), generator=generator, device=data.device)
        b = data.factors.traversal(f, a).gather(-1, value)[:, 0]
    else:
        a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)
    same = a == b
    if not self_pairs:
        a, b = a[~same], b[~same]
    truth = ground_truth(data.factors.to_factors(a), data.factors.to_factors(b)).cpu().numpy().astype(float)
    seen = perceived(data, a, b, loss=loss, standardise=standardise).cpu().numpy()
    return compare(truth, seen, seen[truth > 0])
