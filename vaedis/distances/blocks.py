"""Groups of images that differ in one factor only, in blocks that can be compared at once.

Groups of any size: all pairs of images of a group are compared if there are not too many of them,
and otherwise the images are divided at random into blocks, within which all are. A factor of very
many values is grouped into bins, so that memory does not grow with the square of their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaedis.data.images import Groups

# of a factor that are told apart; neighbours of more are grouped into so many bins
MOST_VALUES = 256
# images of which all pairs are compared
MOST_IMAGES = 1024
# and in a block of a group that has more
_BLOCK = 128


@dataclass(frozen=True)
class Blocks:
    """Images to compare with each other.

    Attributes
    ----------
    index, values : list of ndarray of int64
        Of each block, the images' indices and the factor's values or bins.
    complete : bool
        Whether all pairs of all groups are in one of the blocks.
    """

    index: list[np.ndarray]
    values: list[np.ndarray]
    complete: bool

    def batches(self, images: int, numbers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield blocks of about one size together: index and values of shape (T, k), -1 for none.

        Parameters
        ----------
        images : int
            How many images to hold at a time, but for a single block that has more.
        numbers : int
            How many pairs, likewise.
        """
        sizes = np.array([len(part) for part in self.index], np.int64)
        # of one size those that lie together in a file
        order = np.lexsort(([part[0] for part in self.index], sizes))[::-1]
        start = 0
        while start < len(order):
            most = int(sizes[order[start]])
            together = order[start : start + max(1, min(images // most, numbers // most**2))]
            # no more than half of what is held may be padding
            together = together[2 * sizes[together] >= most]
            index, values = np.full((2, len(together), most), -1, np.int64)
            for row, block in enumerate(together):
                index[row, : sizes[block]] = self.index[block]
                values[row, : sizes[block]] = self.values[block]
            yield torch.from_numpy(index), torch.from_numpy(values)
            start += len(together)


def blocks_of(groups: Groups, size: int, *, most: int | None = None, seed: int = 0) -> Blocks:
    """Return the images of groups in blocks.

    Parameters
    ----------
    groups : Groups
    size : int
        How many values the factor has.
    most : int, optional
        How many blocks to make at most, but one of each group; by default such that each image is
        in one. Then errors told from blocks are upper bounds, as those of a sample of them would be
        right.
    seed : int
        Of the order in which images of large groups are divided.
    """
    index, values = groups.index.cpu().numpy(), bins(groups.values, size).cpu().numpy()
    ends = np.cumsum(np.bincount(groups.group.cpu().numpy()))
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for start, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        rows = np.arange(start, end)
        parts += (
            [rows] if len(rows) <= MOST_IMAGES else _divided(rng.permutation(rows), most, len(ends))
        )
    complete = groups.complete and len(parts) == len(ends) and sum(map(len, parts)) == len(index)
    return Blocks([index[rows] for rows in parts], [values[rows] for rows in parts], complete)


def bins(values: Tensor, size: int) -> Tensor:
    """Return the bin of each value of a factor: its own, or that of its neighbours if there are
    more than `MOST_VALUES`.
    """
    return values if size <= MOST_VALUES else values * MOST_VALUES // size


def _divided(rows: np.ndarray, most: int | None, groups: int) -> list[np.ndarray]:
    parts = np.array_split(rows, len(rows) // _BLOCK)
    return parts if most is None else parts[: max(1, most // groups)]
