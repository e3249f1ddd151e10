"""Check the chunks of an HDF5 file, before the HDF5 library believes what they say."""

from __future__ import annotations

import math
import zlib
from typing import Any

# the numbers of HDF5's filters
_DEFLATE = 1
_FLETCHER32 = 3
_KNOWN_FILTERS = {_DEFLATE, 2, _FLETCHER32}


def check_chunk(dataset: Any, start: tuple[int, ...]) -> None:
    """Refuse a chunk of another length than it says, which the HDF5 library would believe."""
    import h5py

    settings = dataset.id.get_create_plist()
    mask, content = dataset.id.read_direct_chunk(start)
    # the length that the file states, which `content` has only where a filter was used
    stored = dataset.id.get_chunk_info_by_coord(start).size
    # a bit of the mask says that this chunk was written without a filter
    numbers = [settings.get_filter(k)[0] for k in range(settings.get_nfilters())]
    used = {number for k, number in enumerate(numbers) if not mask >> k & 1}
    for number in used - _KNOWN_FILTERS:
        if not h5py.h5z.filter_avail(number):
            raise ValueError(f"HDF5's filter {number} is not installed; import hdf5plugin first")
    if not used <= _KNOWN_FILTERS:
        return
    n_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    checksum = 4 if _FLETCHER32 in used else 0
    if _DEFLATE in used:
        stored = len(zlib.decompressobj().decompress(content, n_bytes + checksum + 1))
    if stored not in (n_bytes, n_bytes + checksum):
        raise ValueError("a chunk has another length than it says")
