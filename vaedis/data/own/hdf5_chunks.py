"""Decode the chunks of an HDF5 array.

The HDF5 library takes whatever memory a chunk asks for and trusts its length, so the three common
filters are undone here, within the size that the array states.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

# the numbers of HDF5's filters
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
_CHECKSUM_BYTES = 4
_MODULUS = 65_535


def read_chunks(dataset: Any) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Yield each chunk of an array once: where it belongs, and its numbers."""
    if not is_decoded(dataset):
        for block in dataset.iter_chunks():
            yield block, dataset[block]
        return
    # h5py looks these up in the file each time
    numbers = filters(dataset)
    shape, dtype = dataset.chunks, dataset.dtype
    for block in dataset.iter_chunks():
        mask, content = dataset.id.read_direct_chunk(tuple(part.start for part in block))
        # a bit of the mask says that this chunk was written without a filter
        used = [number for k, number in enumerate(numbers) if not mask >> k & 1]
        chunk = np.frombuffer(_decoded(content, used, shape, dtype), dtype).reshape(shape)
        # chunks at the border reach beyond the array
        yield block, chunk[tuple(slice(part.stop - part.start) for part in block)]


def filters(dataset: Any) -> list[int]:
    """Return the numbers of the filters of an array's chunks, in the order of writing."""
    settings = dataset.id.get_create_plist()
    return [settings.get_filter(k)[0] for k in range(settings.get_nfilters())]


def is_decoded(dataset: Any) -> bool:
    """Whether chunks are decoded here, and not by the HDF5 library."""
    known_filters = {DEFLATE, SHUFFLE, FLETCHER32}.issuperset(filters(dataset))
    return known_filters and is_stored_as_numpy(dataset)


def is_stored_as_numpy(dataset: Any) -> bool:
    """Whether the bytes in the file are those of numpy's type."""
    import h5py

    return h5py.h5t.py_create(dataset.dtype, logical=True) == dataset.id.get_type()


def _decoded(content: bytes, numbers: list[int], shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    n_bytes = math.prod(shape) * dtype.itemsize
    for number in reversed(numbers):
        if number == DEFLATE:
            content = _inflated(content, n_bytes + _CHECKSUM_BYTES)
        elif number == SHUFFLE:
            content = _unshuffled(content, dtype.itemsize)
        else:
            content = _without_checksum(content)
    if len(content) != n_bytes:
        raise ValueError(f"a chunk has {len(content):,} bytes instead of {n_bytes:,}")
    return content


def _inflated(content: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(content, max_bytes + 1)
    if not inflater.eof:
        raise ValueError("a chunk inflates to more than it says, or ends early")
    return inflated


def _unshuffled(content: bytes, itemsize: int) -> bytes:
    """Undo the shuffle filter, which stores the first bytes of all numbers, then the second ..."""
    n_items = len(content) // itemsize
    shuffled = np.frombuffer(content, np.uint8, n_items * itemsize)
    return shuffled.reshape(itemsize, n_items).T.tobytes() + content[n_items * itemsize :]


def _without_checksum(content: bytes) -> bytes:
    """Compare and remove Fletcher's checksum of 16-bit words at the end of a chunk."""
    stored = int.from_bytes(content[-_CHECKSUM_BYTES:], "little")
    content = content[:-_CHECKSUM_BYTES]
    words = np.frombuffer(content + bytes(len(content) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % _MODULUS
    sums = (int(words.sum()) % _MODULUS, int((words * weights).sum()) % _MODULUS)
    if sums != ((stored & 0xFFFF) % _MODULUS, (stored >> 16) % _MODULUS):
        raise ValueError("a chunk's checksum is wrong")
    return content
