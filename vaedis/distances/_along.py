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
from vaedis.data.table import Table
from vaedis.distances._kernels import Kernel, kernel_for
from vaedis.distances._tally import Along, Tally
from vaedis.factors import FactorSpace
from vaedis.losses import Loss

MEMORY = 256 * 2**20
_SAMPLINGS = ("spread", "independent")
# what is worked on at a time; more would not fit a processor's cache
_WORK = 32 * 2**20


def along(
    data: Any,
    loss: str | Loss = "mse",
    *,
    factors: Iterable[str] | None = None,
    traversals: int | None = None,
    sampling: str = "spread",
    index: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    standardise: bool = False,
    memory: int = MEMORY,
) -> dict[str, Along]:
    """Return the perceived distances along each factor: mean matrix, spread and distribution.

    Exact over all traversals of the data set unless a sample is asked for. Each image is read once or twice for all factors together, and
    only a block of images is held at a time. MSE is computed without any rounding error but that of its last digit, and other
    losses in float64 (``distances/_kernels.py`` says how).

    Parameters
    ----------
    data : FactorData, (images, labels), name or path
        Whatever `data.as_data` takes.
    loss : str or Loss
    factors : iterable of str, optional
        Which factors; all by default.
    traversals : int, optional
        How many random traversals to average over, as the paper does with 256; by default all there are. Of a `Table` that is no grid,
        as many groups of images that differ in one factor only.
    sampling : {"spread", "independent"}
        Of random traversals: ``"spread"`` evenly over the values of the other factors (`FactorSpace.spread_bases`), so that a sixth of the
        traversals or fewer are as exact on dSprites, and about as many where other factors act together; or each by itself, as the
        paper's are.
    index : mapping of str to Tensor of int, shape (T, f), optional
        The traversals of each factor, as the index of the image with each value, or -1 where there is none; of a `Table` that is no
        grid, by default those of `Table.traversals`.
    seed : int
        Of the random traversals.
    standardise : bool
        Between standardised images, as a VAE sees them (Figures 4 and 10), or between images in [0, 1] (Figures 3, 8, A1 and Table A1).
    memory : int
        How many bytes blocks of images may take together.

    Returns
    -------
    dict of str to Along

    Raises
    ------
    ValueError
        If a factor is unknown or has one value only, there is no such sampling, the loss does not fit, or a single traversal needs more
        than `memory`.
    """
    data = as_data(data)
    kernel, memory = kernel_for(data, loss, standardise), _check.count("memory", memory)
    _check.one_of("sampling", sampling, _SAMPLINGS)
    factors = None if factors is None else _check.listed(factors)
    exact: dict[str, bool] = {}
    if index is None and isinstance(data, Table) and not data.grid:
        most = None if traversals is None else _check.count("traversals", traversals)
        names = list(data.factors.names if factors is None else factors)
        index = {name: data.traversals(name, most, seed=seed) for name in names}
        # fewer than were asked for are all that there are
        exact = {name: most is None or len(rows) < most for name, rows in index.items()}
    if index is not None:
        names = list(index if factors is None else factors)
        sizes = {name: index[_check.one_of("factor", name, index)].shape[1] for name in names}
    else:
        names = list(data.factors.names if factors is None else factors)
        sizes = {name: data.factors.sizes[data.factors.position(name)] for name in names}
    for name, size in sizes.items():
        if size < 2:
            raise ValueError(f"factor {name!r} has one value only, so there are no distances along it; leave it out of factors.")
        _check_memory(data, kernel, name, size, memory)
    drawn = index is None and traversals is not None and _check.count("traversals", traversals)
    sets = sets_of(drawn) if drawn and sampling == "spread" else 0
    tallies = {name: Tally(sizes[name], kernel.symmetric, data.device, sets) for name in names}

    if index is not None:
        for name in names:
            _listed(data, kernel, index[name].to(data.device), tallies[name], memory)
    elif drawn:
        generator = torch.Generator(data.device).manual_seed(seed)
        for name in names:
            if sets:
                bases, which = spread_sets(data.factors, name, drawn, generator)
            else:
                bases, which = data.factors.sample_index(drawn, generator=generator), None
            _listed(data, kernel, data.factors.traversal(name, bases), tallies[name], memory, which)
    else:
        whole = []
        for name in names:
            bases = data.exact_bases(name, channelwise=kernel.channelwise)
            if len(bases) * sizes[name] < len(data):
                _listed(data, kernel, data.factors.traversal(name, bases), tallies[name], memory)
            else:
                whole.append(name)
        for group in _grids(data, whole, memory // 4):
            for name, x in _read_grid(data, group, memory // 4):
                for part in x.split(_step(data, kernel, sizes[name], memory)):
                    tallies[name].add(kernel.distances(part))
    return {name: tally.result(name, exact.get(name, traversals is None)) for name, tally in tallies.items()}


def sets_of(traversals: int) -> int:
    """Return in how many independent sets that many traversals are spread: enough to tell an error by, and of eight each if they can be."""
    return min(traversals, max(2, min(8, traversals // 8)))


def spread_sets(space: FactorSpace, factor: str, traversals: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw traversals in sets, each spread by itself and independent of the others, and return their bases and the set of each.

    What an average varies by from set to set tells its standard error.
    """
    sizes = [len(part) for part in torch.arange(traversals).tensor_split(sets_of(traversals))]
    bases = torch.cat([space.spread_bases(factor, n, generator=generator) for n in sizes])
    return bases, torch.arange(len(sizes), device=bases.device).repeat_interleave(torch.tensor(sizes, device=bases.device))


def traversal_matrices(
    data: Any,
    loss: str | Loss = "mse",
    *,
    factors: Iterable[str] | None = None,
    traversals: int | None = None,
    sampling: str = "spread",
    seed: int = 0,
    standardise: bool = False,
) -> dict[str, np.ndarray]:
    """Return, for each factor, the mean perceived distance between its values along traversals.

    Parameters
    ----------
    data, loss, factors, traversals, sampling, seed, standardise
        See `along`.

    Returns
    -------
    dict of str to ndarray of float64, shape (f, f)
        Row i, column j: the mean loss of value i as a reconstruction of value j.

    References
    ----------
    Michlo, Klein and James (2023), Figures 3 and 8. The authors' ``run_plot_traversal_dists.py``.
    """
    found = along(data, loss, factors=factors, traversals=traversals, sampling=sampling, seed=seed, standardise=standardise)
    return {name: result.matrix for name, result in found.items()}


def _listed(data: FactorData, kernel: Kernel, index: Tensor, tally: Tally, memory: int, which: Tensor | None = None) -> None:
    """Count traversals given by the index of each image, -1 where there is none, and by the set that each belongs to."""
    if not len(index):
        return
    # neighbours together: a block of a file on disk then lies in few places, and not in as many as there are images
    for rows in index.amax(1).argsort().split(_step(data, kernel, index.shape[1], memory)):
        part = index[rows]
        present = part >= 0
        x = data.images(part.clamp(min=0).flatten()).unflatten(0, part.shape)
        tally.add(kernel.distances(x), None if bool(present.all()) else present, None if which is None else which[rows])


def _grids(data: FactorData, names: Sequence[str], memory: int) -> list[list[str]]:
    """Sort factors into few groups, such that all images that differ in the factors of one group fit into memory."""
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
    """Read every image once, and yield it within a traversal of each factor of a group: name, uint8 of shape (T, f, H, W, C)."""
    space = data.factors
    inside = [space.position(name) for name in group]
    grid = torch.zeros(1, dtype=torch.int64, device=data.device)
    for f in inside:
        grid = grid[..., None] + torch.arange(space.sizes[f], device=data.device) * space.strides[f]
    grid = grid[0]
    outside = space.traversal_bases(inside[0], vary=[f for f in range(len(space)) if f not in inside], device=data.device)
    step = max(1, memory // (grid.numel() * int(np.prod(data.shape))))
    for bases in outside.split(step):
        index = bases.view(-1, *[1] * len(inside)) + grid
        x = data.images(index.flatten()).unflatten(0, index.shape)
        for axis, name in enumerate(group, 1):
            yield name, x.movedim(axis, -4).flatten(0, -5)


def _step(data: FactorData, kernel: Kernel, size: int, memory: int) -> int:
    """How many traversals to work on at a time."""
    return max(1, min(_WORK, memory // 4) // (size * int(np.prod(data.shape)) * kernel.number_bytes))


def _check_memory(data: FactorData, kernel: Kernel, factor: str, size: int, memory: int) -> None:
    needed = size * int(np.prod(data.shape)) * (kernel.number_bytes + 4)
    if needed > memory:
        raise ValueError(
            f"one traversal of factor {factor!r} takes {needed:,} bytes, more than memory={memory:,}; give memory of at least that."
        )
