"""Decode the chunks of an HDF5 array: the HDF5 library itself takes whatever memory a chunk asks
for, and trusts its length.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaedis.data.own.sources import damage, shown

# by HDF5's numbers
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
_BLOCK = 2**24
_CHECKSUM = 4
_MODULUS = 65_535


class Blocks:
    """The blocks that an array is read in, each once.

    Parameters
    ----------
    dataset : h5py.Dataset
    """

    def __init__(self, dataset: Any):
        import h5py

        self._dataset = dataset
        self._filters = filters(dataset)
        same_type = h5py.h5t.py_create(dataset.dtype, logical=True) == dataset.id.get_type()
        self.decoded = (
            dataset.chunks is not None
            and same_type
            and {DEFLATE, SHUFFLE, FLETCHER32}.issuperset(self._filters)
        )

    def __iter__(self) -> Iterator[tuple[slice, ...]]:
        """Yield the slices of each block: a chunk, or some 16 MB of an array without chunks."""
        yield from (
            self._dataset.iter_chunks()
            if self._dataset.chunks
            else _slices(self._dataset.shape, self._dataset.dtype.itemsize)
        )

    def read(self, block: tuple[slice, ...]) -> np.ndarray:
        """Return the part of the array in a block."""
        if not self.decoded:
            return self._dataset[block]
        mask, stored = self._dataset.id.read_direct_chunk(tuple(part.start for part in block))
        n_bytes = math.prod(self._dataset.chunks) * self._dataset.dtype.itemsize
        content = self._content(stored, mask, n_bytes)
        if len(content) != n_bytes:
            raise ValueError(f"a chunk has {len(content):,} bytes instead of {n_bytes:,}")
        chunk = np.frombuffer(content, self._dataset.dtype).reshape(self._dataset.chunks)
        return chunk[tuple(slice(part.stop - part.start) for part in block)]

    def _content(self, content: bytes, mask: int, n_bytes: int) -> bytes:
        for k, number in reversed(list(enumerate(self._filters))):
            if mask >> k & 1:
                continue  # this chunk was written without it
            if number == DEFLATE:
                content = _inflated(content, n_bytes + _CHECKSUM)
            elif number == SHUFFLE:
                content = _unshuffled(content, self._dataset.dtype.itemsize)
            else:
                content = _checked(content)
        return content


class Rows:
    """Images that are read from an HDF5 file as they are needed, in any order."""

    def __init__(self, path: Path, key: str, dataset: Any):
        self.path, self.key, self._dataset = path, key, dataset
        self.shape: tuple[int, ...] = tuple(dataset.shape)
        self.ndim = len(self.shape)
        self.dtype: np.dtype = dataset.dtype.newbyteorder("=")
        self._blocks = Blocks(dataset)

    def __len__(self) -> int:
        """How many images there are."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return images: by a position, a slice, or an array of positions in any order, also more
        than once.
        """
        wanted = np.arange(len(self))[rows]
        unique, back = np.unique(wanted, return_inverse=True)
        images = np.empty((len(unique), *self.shape[1:]), self.dtype)
        step = (
            self._dataset.chunks[0]
            if self._dataset.chunks
            else max(1, _BLOCK // max(1, math.prod(self.shape[1:]) * self.dtype.itemsize))
        )
        with damage(self.path, f"array {shown(self.key)!r}"):
            for start in np.unique(unique // step * step).tolist():
                first, end = np.searchsorted(unique, (start, start + step))
                self._fill(
                    images[first:end], unique[first:end], start, min(start + step, len(self))
                )
        return images[back].reshape(*np.shape(wanted), *self.shape[1:])

    def _fill(self, images: np.ndarray, rows: np.ndarray, start: int, end: int) -> None:
        """Read some rows of those that one row of chunks holds."""
        if not self._dataset.chunks:
            # h5py takes a while for each of many positions, and none for a slice
            for k, row in enumerate(rows.tolist()):
                images[k] = self._dataset[row]
            return
        ranges = [
            range(0, length, step)
            for length, step in zip(self.shape[1:], self._dataset.chunks[1:], strict=True)
        ]
        for starts in itertools.product(*ranges):
            ends = [
                min(at + step, length)
                for at, step, length in zip(
                    starts, self._dataset.chunks[1:], self.shape[1:], strict=True
                )
            ]
            rest = tuple(slice(at, stop) for at, stop in zip(starts, ends, strict=True))
            images[:, *rest] = self._blocks.read((slice(start, end), *rest))[rows - start]


def filters(dataset: Any) -> list[int]:
    """Return the numbers of the filters that an array's chunks were written through, in their
    order.
    """
    settings = dataset.id.get_create_plist()
    return [settings.get_filter(k)[0] for k in range(settings.get_nfilters())]


def _slices(shape: Sequence[int], itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Yield slices of an array without chunks, each of some 16 MB at most."""
    steps = list(shape)
    for axis in range(len(shape)):
        rest = math.prod(shape[axis + 1 :]) * itemsize
        steps[axis] = max(1, min(shape[axis], _BLOCK // max(1, rest)))
        if rest <= _BLOCK:
            break
    ranges = [range(0, length, step) for length, step in zip(shape, steps, strict=True)]
    for starts in itertools.product(*ranges):
        yield tuple(slice(start, start + step) for start, step in zip(starts, steps, strict=True))


def _inflated(content: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(content, most + 1)
    if not inflater.eof:
        raise ValueError("a chunk inflates to more than it says, or ends early")
    return inflated


def _unshuffled(content: bytes, itemsize: int) -> bytes:
    """Undo HDF5's shuffle filter, which puts the first bytes of all numbers first, then their
    second bytes, ...
    """
    n_items = len(content) // itemsize
    whole = np.frombuffer(content, np.uint8, n_items * itemsize)
    return whole.reshape(itemsize, n_items).T.tobytes() + content[n_items * itemsize :]


def _checked(content: bytes) -> bytes:
    """Compare and remove Fletcher's checksum of 16-bit words, as HDF5 has it at a chunk's end."""
    content, stored = content[:-_CHECKSUM], int.from_bytes(content[-_CHECKSUM:], "little")
    words = np.frombuffer(content + bytes(len(content) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % _MODULUS
    first, second = int(words.sum()) % _MODULUS, int((words * weights).sum()) % _MODULUS
    if (first, second) != ((stored & 0xFFFF) % _MODULUS, (stored >> 16) % _MODULUS):
        raise ValueError("a chunk's checksum is wrong")
    return content
