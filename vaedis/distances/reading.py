"""Read images in batches that fit into memory: within traversals, or all in one pass.

Where several images share all their factors, a *group* holds all images that differ in one factor
only. It is compared in blocks: as a whole if it is small, and otherwise in random parts.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vaedis.data.base import FactorData
from vaedis.data.images import Groups
from vaedis.distances.agreement import ROUNDING
from vaedis.distances.kernels import ByteGram, Kernel

# Bytes that images may take together; two images are held in any case.
MEMORY = 256 * 2**20
# Bytes that are worked on at a time; more would not fit into a processor's cache.
_WORK = 32 * 2**20
# Bytes that a pair of images takes while its distance is counted.
_PAIR_BYTES = 128
# A factor of more values is cut into so many bins of neighbours.
MOST_VALUES = 256
# A group of more images is compared in random parts of about _BLOCK.
MOST_IMAGES = 1024
_BLOCK = 128
# random pairs whose mean distance says how large rounding may be
_PAIRS = 32


@dataclass(frozen=True)
class Blocks:
    """Images to compare with each other: of each block, their indices and the factor's values.

    `complete` says whether all pairs of all groups are compared.
    """

    index: list[np.ndarray]
    values: list[np.ndarray]
    complete: bool


def blocks_of(groups: Groups, max_blocks: int | None, seed: int) -> Blocks:
    """Divide the images of groups into blocks.

    Makes `max_blocks` at most, but one for each group; None puts every image into a block.
    """
    index = groups.index.cpu().numpy()
    values = groups.values.cpu().numpy()
    stops = np.cumsum(np.bincount(groups.group.cpu().numpy()))
    rng = np.random.default_rng(seed)
    blocks: list[np.ndarray] = []
    starts = np.concatenate([[0], stops])[:-1]
    for start, end in zip(starts, stops, strict=True):
        rows = np.arange(start, end)
        if len(rows) <= MOST_IMAGES:
            blocks.append(rows)
            continue
        # a standard error from blocks is right for a sample of them, and an upper bound for all
        parts = np.array_split(rng.permutation(rows), len(rows) // _BLOCK)
        blocks += parts if max_blocks is None else parts[: max(1, max_blocks // len(stops))]
    n_images = sum(len(rows) for rows in blocks)
    complete = groups.complete and len(blocks) == len(stops) and n_images == len(index)
    return Blocks([index[rows] for rows in blocks], [values[rows] for rows in blocks], complete)


class Reader:
    """Reads images of a data set and compares them with a kernel."""

    def __init__(self, data: FactorData, kernel: Kernel):
        self.data = data
        self.kernel = kernel
        self.image_size = math.prod(data.shape)
        self.image_bytes = self.image_size * (kernel.number_bytes + 4)
        self.work = min(_WORK, MEMORY // 4)
        # byte images that are read together in a pass over all traversals
        self.n_images = MEMORY // 4 // self.image_size

    @functools.cached_property
    def rounding(self) -> float:
        """What may be left of a distance of 0: see `FactorDistances.rounding`."""
        if isinstance(self.kernel, ByteGram):
            return 0.0
        # alone first, as images that change with the others of a batch are refused
        self.data.images(0)
        generator = torch.Generator(self.data.device).manual_seed(0)
        pairs = self.data.draw(2 * _PAIRS, generator=generator).view(_PAIRS, 2)
        mean = float(self.distances(pairs)[:, 0, 1].mean())
        return ROUNDING * torch.finfo(self.kernel.dtype).eps * mean

    def traversals_at_once(self, size: int) -> int:
        """Return how many traversals of `size` images to work on at a time."""
        images = size * self.image_size * self.kernel.number_bytes
        return max(1, self.work // max(images, size**2 * _PAIR_BYTES))

    def distances(self, index: Tensor) -> Tensor:
        """Compute the distances within traversals, (T, k) to (T, k, k); -1 stands for any image."""
        index = index.clamp(min=0)
        at_once = max(2, MEMORY // self.image_bytes)
        if index.numel() <= at_once:
            images = self.data.images(index.flatten())
            return self.kernel.distances(images.unflatten(0, index.shape))
        # of a traversal, as many images as fit into memory
        n_traversals, size = index.shape
        distances = torch.zeros(n_traversals, size, size, dtype=torch.float64, device=index.device)
        parts = torch.arange(size, device=index.device).split(max(1, at_once // 2))
        for row, matrix in zip(index, distances, strict=True):
            for first, second in itertools.combinations(parts, 2):
                both = torch.cat([first, second])
                images = self.data.images(row[both])
                matrix[both[:, None], both] = self.kernel.distances(images[None])[0]
        return distances

    def batches(self, blocks: Blocks) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield blocks of about one size together: index and values, (T, k) each, -1 for none."""
        max_images = self.work // self.image_bytes
        max_pairs = self.work // _PAIR_BYTES
        sizes = np.array([len(block) for block in blocks.index], np.int64)
        # Of one size those that lie together in a file.
        order = np.lexsort(([block[0] for block in blocks.index], sizes))[::-1]
        start = 0
        while start < len(order):
            size = int(sizes[order[start]])
            n_blocks = max(1, min(max_images // size, max_pairs // size**2))
            batch = order[start : start + n_blocks]
            # At most half of a row may be padding.
            batch = batch[2 * sizes[batch] >= size]
            yield self._padded(blocks.index, batch), self._padded(blocks.values, batch)
            start += len(batch)

    def _padded(self, blocks: Sequence[np.ndarray], batch: np.ndarray) -> Tensor:
        rows = [torch.from_numpy(blocks[k]) for k in batch]
        return pad_sequence(rows, batch_first=True, padding_value=-1).to(self.data.device)

    def all_traversals(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield all images within traversals of each factor: name, uint8 of shape (T, f, H, W, C).

        Images are read once for all factors of a group, and in as few groups as memory allows.
        """
        space = self.data.factors
        sizes = {name: space.sizes[space.position(name)] for name in names}
        groups: list[list[str]] = []
        for name in sorted(names, key=lambda name: -sizes[name]):
            for group in groups:
                if math.prod(sizes[one] for one in [*group, name]) <= self.n_images:
                    group.append(name)
                    break
            else:
                groups.append([name])
        for group in groups:
            yield from self._group_traversals(group)

    def _group_traversals(self, group: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        space = self.data.factors
        inside = [space.position(name) for name in group]
        outside = [f for f in range(len(space)) if f not in inside]
        bases = space.traversal_bases(inside[0], vary=outside, device=self.data.device)
        n_images = math.prod(space.sizes[f] for f in inside)
        for index in bases.split(max(1, self.n_images // n_images)):
            for f in inside:
                index = space.traversal(f, index)
            x = self.data.images(index.flatten()).unflatten(0, index.shape)
            for axis, name in enumerate(group, 1):
                yield name, x.movedim(axis, -4).flatten(0, -5)
