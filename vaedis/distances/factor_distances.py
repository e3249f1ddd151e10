"""Perceived distances along factors, over all traversals of a data set, streamed in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import as_data
from vaedis.data.base import FactorData
from vaedis.data.images import Groups, LabelledImages
from vaedis.distances.accumulator import Accumulator, FactorDistances
from vaedis.distances.blocks import MOST_VALUES, blocks_of
from vaedis.distances.kernels import Kernel, kernel_for
from vaedis.factors import FactorSpace
from vaedis.losses import Loss

MEMORY = 256 * 2**20
_SAMPLINGS = ("spread", "independent")
# what is worked on at a time; more would not fit a processor's cache
_WORK = 32 * 2**20
# bytes that a pair of images takes while its distance is counted
_PAIR_BYTES = 128


def factor_distances(
    data: Any,
    loss: str | Loss = "mse",
    *,
    factors: Iterable[str] | None = None,
    traversals: int | None = None,
    sampling: str = "spread",
    index: Mapping[str, Tensor | Groups] | None = None,
    seed: int = 0,
    normalize: bool = False,
    memory: int = MEMORY,
) -> dict[str, FactorDistances]:
    """Return the perceived distances along each factor: mean matrix, spread and distribution.

    Exact over all traversals of the data set unless a sample is asked for. Each image is read once
    or twice for all factors together, and only a block of images is held at a time. MSE is computed
    without any rounding error but that of its last digit, and other losses in float64
    (``distances/_kernels.py`` says how).

    Where several images of a `LabelledImages` share all their factors, all of them count: all pairs
    of images that differ in the factor alone. Of a group of more than 1,024 such images the pairs
    within random parts are compared, and the standard error is an upper bound. The values of a
    factor that has more than 256 are grouped into 256 bins of neighbours, which then stand for its
    values.

    Parameters
    ----------
    data : FactorData, (images, labels), name or path
        Whatever `data.as_data` takes.
    loss : str or Loss
    factors : iterable of str, optional
        Which factors; all by default. A name that comes twice counts once.
    traversals : int, optional
        How many random traversals to average over, as the paper does with 256; by default all there
        are. Of a `LabelledImages` that is no grid, as many groups of images that differ in one
        factor only.
    sampling : {"spread", "independent"}
        Of random traversals: ``"spread"`` evenly over the values of the other factors
        (`FactorSpace.spread_bases`), so that a sixth of the traversals or fewer are as exact on
        dSprites, and about as many where other factors act together; or each by itself, as the
        paper's are.
    index : mapping of str to (Tensor of int, shape (T, f), or Groups), optional
        The traversals of each factor, as the index of the image with each value, or -1 where there
        is none, or as groups; of a `LabelledImages` that is no grid, by default those of
        `LabelledImages.groups`.
    seed : int
        Of the random traversals.
    normalize : bool
        Between normalized images, as a VAE sees them (Figures 4 and 10), or between images in [0,
        1] (Figures 3, 8, A1 and Table A1).
    memory : int
        How many bytes blocks of images may take together; two images are held in any case.

    Returns
    -------
    dict of str to Along

    Raises
    ------
    ValueError
        If a factor is unknown or has one value only, there is no such sampling, the loss does not
        fit, or no two images differ in a factor alone.
    """
    data = as_data(data)
    kernel, memory = kernel_for(data, loss, normalize), _check.count("memory", memory)
    _check.one_of("sampling", sampling, _SAMPLINGS)
    most = None if traversals is None else _check.count("traversals", traversals)
    names = (
        list(dict.fromkeys(_check.listed(factors)))
        if factors is not None
        else list(index or data.factors.names)
    )
    sizes = {name: _size(data, name, index) for name in names}
    for name, size in sizes.items():
        if size < 2:
            raise ValueError(
                f"factor {name!r} has one value only, so there are no distances along it; leave it out of factors."
            )
    if index is None and isinstance(data, LabelledImages) and not data.grid:
        index = {name: data.groups(name, most, seed=seed) for name in names}
    if index is not None:
        given = index
        return {
            name: _of_list(data, kernel, name, given[name], sizes[name], most, seed, memory)
            for name in names
        }
    if most is not None:
        return _of_sample(data, kernel, sizes, most, sampling, seed, memory)
    return _of_all(data, kernel, sizes, seed, memory)


def _size(data: FactorData, factor: str, index: Mapping[str, Tensor | Groups] | None) -> int:
    """Return how many values a factor has, those of a list given for it included."""
    given = None if index is None else index[_check.one_of("factor", factor, index)]
    return (
        given.shape[1]
        if isinstance(given, Tensor)
        else data.factors.sizes[data.factors.position(factor)]
    )


def _of_list(
    data: FactorData,
    kernel: Kernel,
    factor: str,
    given: Tensor | Groups,
    size: int,
    most: int | None,
    seed: int,
    memory: int,
) -> FactorDistances:
    """Return the distances along a factor within given traversals or groups."""
    if isinstance(given, Tensor) and size > MOST_VALUES:
        given = _groups(given, most is None)
    table = _table(given, size) if isinstance(given, Groups) else given
    if table is None:
        assert isinstance(given, Groups)
        return _of_groups(data, kernel, factor, given, size, most, seed, memory)
    total = Accumulator(size, kernel.symmetric, data.device)
    _listed(data, kernel, table.to(data.device), total, memory)
    return total.result(factor, given.complete if isinstance(given, Groups) else most is None)


def _table(groups: Groups, size: int) -> Tensor | None:
    """Return groups as a table, -1 where there is no image; None if a value has several or the
    table would be too large.
    """
    if size > MOST_VALUES or len(groups) * size > 4 * len(groups.index):
        return None
    table = torch.full((len(groups), size), -1, device=groups.index.device)
    table[groups.group, groups.values] = groups.index
    return table if int((table >= 0).sum()) == len(groups.index) else None


def _groups(table: Tensor, complete: bool) -> Groups:
    """Return traversals as groups."""
    group, values = (table >= 0).nonzero().unbind(1)
    return Groups(table[group, values], values, group.unique(return_inverse=True)[1], complete)


def _of_groups(
    data: FactorData,
    kernel: Kernel,
    factor: str,
    groups: Groups,
    size: int,
    most: int | None,
    seed: int,
    memory: int,
) -> FactorDistances:
    """Return the distances along a factor within groups that may have several images of a value."""
    blocks = blocks_of(groups, size, most=most, seed=seed)
    total = Accumulator(min(size, MOST_VALUES), kernel.symmetric, data.device)
    work = min(_WORK, memory // 4)
    for index, values in blocks.batches(work // _image_bytes(data, kernel), work // _PAIR_BYTES):
        index, values = index.to(data.device), values.to(data.device)
        present = index >= 0
        distances = _distances(data, kernel, index, memory)
        total.add(distances, None if bool(present.all()) else present, values=values.clamp(min=0))
    return total.result(factor, blocks.complete)


def _of_sample(
    data: FactorData,
    kernel: Kernel,
    sizes: Mapping[str, int],
    traversals: int,
    sampling: str,
    seed: int,
    memory: int,
) -> dict[str, FactorDistances]:
    """Return the distances along factors of a grid within random traversals."""
    sets = sets_of(traversals) if sampling == "spread" else 0
    generator = torch.Generator(data.device).manual_seed(seed)
    found = {}
    for name, size in sizes.items():
        if size > MOST_VALUES:
            # different ones, so that there are never more images than the data set has
            bases = data.exact_bases(name, channelwise=kernel.channelwise)
            chosen = torch.randperm(len(bases), generator=generator, device=data.device)[
                :traversals
            ]
            groups = _groups(data.factors.traversal(name, bases[chosen]), len(bases) <= traversals)
            found[name] = _of_groups(data, kernel, name, groups, size, traversals, seed, memory)
            continue
        if sets:
            bases, which = spread_sets(data.factors, name, traversals, generator)
        else:
            bases, which = data.factors.sample_index(traversals, generator=generator), None
        total = Accumulator(size, kernel.symmetric, data.device, sets)
        _listed(data, kernel, data.factors.traversal(name, bases), total, memory, which)
        found[name] = total.result(name, False)
    return found


def _of_all(
    data: FactorData, kernel: Kernel, sizes: Mapping[str, int], seed: int, memory: int
) -> dict[str, FactorDistances]:
    """Return the distances along factors of a grid over all its traversals."""
    room = memory // 4 // int(np.prod(data.shape))
    found: dict[str, FactorDistances] = {}
    whole = {}
    for name, size in sizes.items():
        bases = data.exact_bases(name, channelwise=kernel.channelwise)
        if size > MOST_VALUES:
            groups = _groups(data.factors.traversal(name, bases), True)
            found[name] = _of_groups(data, kernel, name, groups, size, None, seed, memory)
        elif len(bases) * size < len(data) or size > room:
            total = Accumulator(size, kernel.symmetric, data.device)
            _listed(data, kernel, data.factors.traversal(name, bases), total, memory)
            found[name] = total.result(name, True)
        else:
            whole[name] = Accumulator(size, kernel.symmetric, data.device)
    for group in _grids(data, list(whole), memory // 4):
        for name, x in _read_grid(data, group, memory // 4):
            for part in x.split(_step(data, kernel, sizes[name], memory)):
                whole[name].add(kernel.distances(part))
    found |= {name: total.result(name, True) for name, total in whole.items()}
    return {name: found[name] for name in sizes}


def sets_of(traversals: int) -> int:
    """Return in how many independent sets that many traversals are spread: enough to tell an error
    by, and of eight each if they can be.
    """
    return min(traversals, max(2, min(8, traversals // 8)))


def spread_sets(
    space: FactorSpace, factor: str, traversals: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw traversals in sets, each spread by itself and independent of the others, and return their
    bases and the set of each.

    What an average varies by from set to set tells its standard error.
    """
    sizes = [len(part) for part in torch.arange(traversals).tensor_split(sets_of(traversals))]
    bases = torch.cat([space.spread_bases(factor, n, generator=generator) for n in sizes])
    return bases, torch.arange(len(sizes), device=bases.device).repeat_interleave(
        torch.tensor(sizes, device=bases.device)
    )


def traversal_matrices(
    data: Any,
    loss: str | Loss = "mse",
    *,
    factors: Iterable[str] | None = None,
    traversals: int | None = None,
    sampling: str = "spread",
    seed: int = 0,
    normalize: bool = False,
) -> dict[str, np.ndarray]:
    """Return, for each factor, the mean perceived distance between its values along traversals.

    Parameters
    ----------
    data, loss, factors, traversals, sampling, seed, normalize
        See `factor_distances`.

    Returns
    -------
    dict of str to ndarray of float64, shape (f, f)
        Row i, column j: the mean loss of value i as a reconstruction of value j.

    References
    ----------
    Michlo, Klein and James (2023), Figures 3 and 8. The authors' ``run_plot_traversal_dists.py``.
    """
    found = factor_distances(
        data,
        loss,
        factors=factors,
        traversals=traversals,
        sampling=sampling,
        seed=seed,
        normalize=normalize,
    )
    return {name: result.matrix for name, result in found.items()}


def _listed(
    data: FactorData,
    kernel: Kernel,
    index: Tensor,
    tally: Accumulator,
    memory: int,
    which: Tensor | None = None,
) -> None:
    """Count traversals given by the index of each image, -1 where there is none, and by the set
    that each belongs to.
    """
    if not len(index):
        return
    # neighbours together: a block of a file on disk then lies in few places, and not in as many as
    # there are images
    for rows in index.amax(1).argsort().split(_step(data, kernel, index.shape[1], memory)):
        part = index[rows]
        present = part >= 0
        distances = _distances(data, kernel, part, memory)
        tally.add(
            distances,
            None if bool(present.all()) else present,
            None if which is None else which[rows],
        )


def _distances(data: FactorData, kernel: Kernel, index: Tensor, memory: int) -> Tensor:
    """Return the distances within groups of images, of shape (T, k, k); an index of -1 stands for
    any image.
    """
    index = index.clamp(min=0)
    size = index.shape[1]
    most = max(2, memory // _image_bytes(data, kernel))
    if index.numel() <= most:
        return kernel.distances(data.images(index.flatten()).unflatten(0, index.shape))
    distances = torch.zeros(len(index), size, size, dtype=torch.float64, device=data.device)
    parts = torch.arange(size, device=data.device).split(max(1, most // 2))
    for row, images in enumerate(index):
        # two parts at a time, which give the distances between them and within each
        for k, first in enumerate(parts):
            for second in parts[k + 1 :]:
                both = torch.cat([first, second])
                distances[row][both[:, None], both] = kernel.distances(
                    data.images(images[both])[None]
                )[0]
    return distances


def _image_bytes(data: FactorData, kernel: Kernel) -> int:
    """How many bytes an image takes while it is compared."""
    return int(np.prod(data.shape)) * (kernel.number_bytes + 4)


def _grids(data: FactorData, names: Sequence[str], memory: int) -> list[list[str]]:
    """Sort factors into few groups, such that all images that differ in the factors of one group
    fit into memory.
    """
    sizes = {name: data.factors.sizes[data.factors.position(name)] for name in names}
    room = memory // int(np.prod(data.shape))
    groups: list[list[str]] = []
    for name in sorted(names, key=lambda name: -sizes[name]):
        for group in groups:
            if sizes[name] * int(np.prod([sizes[other] for other in group])) <= room:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _read_grid(data: FactorData, group: Sequence[str], memory: int) -> Iterator[tuple[str, Tensor]]:
    """Read every image once, and yield it within a traversal of each factor of a group: name, uint8
    of shape (T, f, H, W, C).
    """
    space = data.factors
    inside = [space.position(name) for name in group]
    grid = torch.zeros(1, dtype=torch.int64, device=data.device)
    for f in inside:
        grid = grid[..., None] + torch.arange(space.sizes[f], device=data.device) * space.strides[f]
    grid = grid[0]
    outside = space.traversal_bases(
        inside[0], vary=[f for f in range(len(space)) if f not in inside], device=data.device
    )
    step = max(1, memory // (grid.numel() * int(np.prod(data.shape))))
    for bases in outside.split(step):
        index = bases.view(-1, *[1] * len(inside)) + grid
        x = data.images(index.flatten()).unflatten(0, index.shape)
        for axis, name in enumerate(group, 1):
            yield name, x.movedim(axis, -4).flatten(0, -5)


def _step(data: FactorData, kernel: Kernel, size: int, memory: int) -> int:
    """How many traversals to work on at a time."""
    work = min(_WORK, memory // 4)
    images = size * int(np.prod(data.shape)) * kernel.number_bytes
    return max(1, work // max(images, size**2 * _PAIR_BYTES))
