"""Text that tells data sets apart by their images, for keys, checkpoints and saved runs."""

from __future__ import annotations

import hashlib
import zlib

import torch
from torch import Tensor

from vaedis.data import FactorData

# number of image bytes hashed to identify data that the user gave
_HASHED = 64 * 1024**2


def fingerprint_of(data: FactorData) -> str:
    """Return text that names data passed to `fit`, from 16 of their images; see `digest_of`."""
    return checksum_of(data, _images(data, sample(data, 16)))


def digest_of(data: FactorData) -> str:
    """Return a digest of all images of a data set; of more than 64 MB, of as many, evenly spaced.

    Data without pixels are told apart by their observations.
    """
    first = _images(data, sample(data, 1))
    n_hashed = max(16, _HASHED // (first.element_size() * first.numel()))
    digest = hashlib.sha256(f"{data.factors.names} {data.factors.sizes}".encode())
    for index in sample(data, n_hashed).split(1024):
        digest.update(_images(data, index).cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _images(data: FactorData, index: Tensor) -> Tensor:
    try:
        return data.images(index)
    except TypeError:  # it has no pixels
        return data._observations(index, False)


def sample(data: FactorData, n: int) -> Tensor:
    """Return up to n indices, evenly spaced."""
    index = torch.linspace(0, len(data) - 1, min(n, len(data)), dtype=torch.float64)
    return index.round().long().to(data.device)


def checksum_of(data: FactorData, images: Tensor) -> str:
    """Return a checksum of images of a data set, and of its factors."""
    factors = f"{data.factors.names} {data.factors.sizes}".encode()
    pixels = images.cpu().contiguous().numpy().data
    return f"{zlib.crc32(pixels, zlib.crc32(factors)):08x}"
