"""Perceived distances along factors, over all traversals of a data set or a sample of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import as_data
from vaedis.data.base import FactorData
from vaedis.data.images import Groups, LabelledImages
from vaedis.distances.accumulator import Accumulator
from vaedis.distances.kernels import kernel_for
from vaedis.distances.reading import MOST_VALUES, Reader, blocks_of
from vaedis.distances.result import FactorDistances
from vaedis.factors import FactorSpace
from vaedis.losses.base import LossLike

_SAMPLINGS = ("spread", "independent")


def factor_distances(
    data: Any,
    loss: LossLike = "mse",
    *,
    factors: Iterable[str] | None = None,
    traversals: int | None = None,
    sampling: str = "spread",
    seed: int = 0,
    normalize: bool = False,
) -> dict[str, FactorDistances]:
    """Measure the perceived distances along each factor: mean matrix, spread and distribution.

    They are exact, over all traversals of the data set, unless `traversals` asks for a sample. MSE
    of byte images is computed in whole numbers, other losses in float64.

    Where several images of a `LabelledImages` share all their factors, all pairs of images that
    differ in one factor alone count. Groups of more than 1,024 such images are compared in random
    parts, and the standard error is then an upper bound. A factor of more than 256 values is cut
    into 256 bins of neighbours, which stand for its values.

    Parameters
    ----------
    data : whatever `data.as_data` takes
    loss : str, Loss or function, as for `losses.get`
    factors : iterable of str, optional
        All by default. Repeated names count once.
    traversals : int, optional
        Number of random traversals to average over, 256 in the paper; by default all. Of a
        `LabelledImages` that is no grid: number of groups of images that differ in one factor only.
    sampling : {"spread", "independent"}
        Draw random traversals evenly over the values of the other factors
        (`FactorSpace.spread_bases`), so that fewer give the same precision, or independently, as
        the paper does.
    seed : int
        Seed of the random traversals.
    normalize : bool
        Compare normalized images, as a VAE sees them (Figures 4 and 10), or images in [0, 1]
        (Figures 3, 8, A1 and Table A1).

    Returns
    -------
    dict of str to FactorDistances

    Raises
    ------
    ValueError
        If a factor is unknown or has one value only, the sampling is unknown, the loss does not
        fit the images, or no two images differ in a factor alone.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", grid_spacing=1, num_squares=1)
    >>> along = vd.distances.factor_distances(data, factors=["x_R"])["x_R"]
    >>> along.matrix.shape, along.traversals, along.exact
    ((8, 8), 8, True)
    """
    data = as_data(data)
    reader = Reader(data, kernel_for(data, loss, normalize))
    _check.one_of("sampling", sampling, _SAMPLINGS)
    _check.seed(seed)
    if traversals is not None:
        traversals = _check.draws("traversals", traversals)
    sizes = _sizes(data, factors)
    if isinstance(data, LabelledImages) and not data.grid:
        results = {}
        for name in sizes:
            groups = data.groups(name, traversals, seed=seed)
            results[name] = _measure_groups(reader, name, groups, traversals, seed)
        return results
    if traversals is None:
        return _measure_all(reader, sizes, seed)
    generator = torch.Generator(data.device).manual_seed(int(seed))
    return {
        name: _measure_sample(reader, name, traversals, sampling, generator, seed) for name in sizes
    }


def traversal_matrices(data: Any, loss: LossLike = "mse", **options: Any) -> dict[str, np.ndarray]:
    """Compute, for each factor, the mean perceived distances between its values (Figures 3, 8).

    Parameters
    ----------
    data, loss, **options
        See `factor_distances`.

    Returns
    -------
    dict of str to ndarray of float64, shape (f, f)
        Row i, column j: the mean loss of value i as a reconstruction of value j.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", grid_spacing=8, num_squares=1)
    >>> vd.distances.traversal_matrices(data)["x_R"][0, :4].round(4)
    array([0.    , 0.0104, 0.0104, 0.0104])
    """
    results = factor_distances(data, loss, **options)
    return {name: one.matrix for name, one in results.items()}


def spread_sets(
    space: FactorSpace, factor: str, traversals: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw traversals in independent sets, each spread by itself; return bases and sets.

    How much an average varies from set to set tells its standard error.
    """
    n_sets = min(traversals, max(2, min(8, traversals // 8)))
    bases = []
    sets = []
    for k, part in enumerate(torch.arange(traversals).tensor_split(n_sets)):
        bases.append(space.spread_bases(factor, len(part), generator=generator))
        sets.append(torch.full_like(part, k))
    return torch.cat(bases), torch.cat(sets).to(generator.device)


def listed_factors(factors: Iterable[str]) -> list[str]:
    """Return the names of factors as a list; raise a ValueError if they are no names."""
    if not isinstance(factors, Iterable):
        raise ValueError(f"factors must be a list of names, not {factors!r}.")
    return _check.listed(factors)


def _sizes(data: FactorData, factors: Iterable[str] | None) -> dict[str, int]:
    """Return the number of values of each factor asked for; refuse those of one value."""
    names = data.factors.names if factors is None else listed_factors(factors)
    sizes = {name: data.factors.sizes[data.factors.position(name)] for name in names}
    for name, size in sizes.items():
        if size < 2:
            raise ValueError(
                f"factor {name!r} has one value only, so there are no distances along it; "
                "leave it out of factors."
            )
    return sizes


def _accumulator(reader: Reader, size: int, sets: int = 0) -> Accumulator:
    kernel = reader.kernel
    return Accumulator(size, kernel.symmetric, reader.data.device, sets, reader.rounding)


def _measure_groups(
    reader: Reader, factor: str, groups: Groups, traversals: int | None, seed: int
) -> FactorDistances:
    """Measure distances within groups of images that differ in one factor only."""
    size = reader.data.factors.sizes[reader.data.factors.position(factor)]
    table = _table(groups, size)
    if table is not None:
        total = _accumulator(reader, size)
        _add_traversals(reader, total, table.to(reader.data.device))
        return total.result(factor, groups.complete)
    blocks = blocks_of(groups, traversals, seed)
    total = _accumulator(reader, min(size, MOST_VALUES))
    for index, values in reader.batches(blocks):
        values = values.clamp(min=0)
        bins = values * MOST_VALUES // size if size > MOST_VALUES else values
        total.add_groups(reader.distances(index), index >= 0, values, bins)
    return total.result(factor, blocks.complete)


def _table(groups: Groups, size: int) -> Tensor | None:
    """Return groups as traversals, -1 where there is no image.

    None if a value has several images, or the table would be too large.
    """
    if size > MOST_VALUES or len(groups) * size > 4 * len(groups.index):
        return None
    table = torch.full((len(groups), size), -1, device=groups.index.device)
    table[groups.group, groups.values] = groups.index
    return table if int((table >= 0).sum()) == len(groups.index) else None


def _as_groups(traversals: Tensor, complete: bool) -> Groups:
    """Return traversals, shape (T, f), as groups."""
    n, size = traversals.shape
    return Groups(
        index=traversals.flatten(),
        values=torch.arange(size, device=traversals.device).repeat(n),
        group=torch.arange(n, device=traversals.device).repeat_interleave(size),
        complete=complete,
    )


def _measure_sample(
    reader: Reader,
    factor: str,
    traversals: int,
    sampling: str,
    generator: torch.Generator,
    seed: int,
) -> FactorDistances:
    """Measure distances along a factor of a grid within random traversals."""
    data = reader.data
    space = data.factors
    size = space.sizes[space.position(factor)]
    if size > MOST_VALUES:
        # different traversals, so that there are never more images than the data set has
        bases = data.exact_bases(factor, channelwise=reader.kernel.separable)
        order = torch.randperm(len(bases), generator=generator, device=data.device)
        sample = space.traversal(factor, bases[order[:traversals]])
        groups = _as_groups(sample, complete=len(bases) <= traversals)
        return _measure_groups(reader, factor, groups, traversals, seed)
    sets = None
    n_sets = 0
    if sampling == "spread":
        bases, sets = spread_sets(space, factor, traversals, generator)
        n_sets = int(sets[-1]) + 1
    else:
        bases = space.sample_index(traversals, generator=generator)
    total = _accumulator(reader, size, n_sets)
    _add_traversals(reader, total, space.traversal(factor, bases), sets)
    return total.result(factor, False)


def _measure_all(reader: Reader, sizes: dict[str, int], seed: int) -> dict[str, FactorDistances]:
    """Measure distances along factors of a grid over all its traversals."""
    data = reader.data
    results: dict[str, FactorDistances] = {}
    totals: dict[str, Accumulator] = {}
    for name, size in sizes.items():
        bases = data.exact_bases(name, channelwise=reader.kernel.separable)
        if size > MOST_VALUES:
            groups = _as_groups(data.factors.traversal(name, bases), complete=True)
            results[name] = _measure_groups(reader, name, groups, None, seed)
            continue
        totals[name] = _accumulator(reader, size)
        if len(bases) * size < len(data) or size > reader.n_images:
            _add_traversals(reader, totals[name], data.factors.traversal(name, bases))
    in_one_pass = [name for name, total in totals.items() if not total.traversals]
    for name, images in reader.all_traversals(in_one_pass):
        for part in images.split(reader.traversals_at_once(sizes[name])):
            totals[name].add(reader.kernel.distances(part))
    results |= {name: total.result(name, True) for name, total in totals.items()}
    return {name: results[name] for name in sizes}


def _add_traversals(
    reader: Reader, total: Accumulator, index: Tensor, sets: Tensor | None = None
) -> None:
    """Add traversals, given by the index of each image, or -1 where there is none."""
    if not len(index):
        return
    # neighbours together: they lie in few places of a file on disk
    order = index.amax(1).argsort()
    for rows in order.split(reader.traversals_at_once(index.shape[1])):
        present = index[rows] >= 0
        mask = None if bool(present.all()) else present
        sets_of_rows = None if sets is None else sets[rows]
        total.add(reader.distances(index[rows]), mask, sets_of_rows)
