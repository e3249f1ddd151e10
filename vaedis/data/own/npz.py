"""Read arrays of .npz and .npy files. No size in them is trusted, and nothing is unpickled."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from vaedis.data.own.sources import (
    RELEASED,
    check_images,
    check_inflated,
    check_labels,
    check_no_objects,
    check_shape,
    damage,
    keys_of,
    refused,
    release,
    scratch,
    shown,
)

_BLOCK = 2**20
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# zipfile inflates these without a bound on memory, and numpy writes neither
_UNBOUNDED = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}


class Header(NamedTuple):
    """What an .npy header says."""

    shape: tuple[int, ...]
    order: Any
    dtype: np.dtype

    @property
    def n_bytes(self) -> int:
        """The length of the data."""
        return math.prod(self.shape) * self.dtype.itemsize


class Npz:
    """The arrays of an .npz file."""

    def __init__(self, path: Path):
        self.path = path
        with damage(path, ".npz file", "is"), zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        self.keys = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
        if not self.keys:
            raise refused(path, _what_zip(members))
        repeated = [key for key, n in Counter(self.keys).items() if n > 1]
        if repeated:
            raise refused(path, f"has two arrays of one name, {keys_of(repeated)}; save it again.")

    def has(self, key: str) -> bool:
        """Whether there is an array of this name."""
        return key in self.keys

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return an array's shape and type, without reading it."""
        with self._open(key) as (_, header, _):
            return header.shape, header.dtype

    def lengths(self, key: str) -> set[int]:
        """Return how many rows an array has."""
        return set(self.header(key)[0][:1])

    def read(self, key: str) -> np.ndarray:
        """Return labels or names."""
        check_labels(self.path, key, *self.header(key))
        return self._content(key)

    def rows(self, key: str, n: int | None) -> np.ndarray:
        """Return images; many of them lie in a temporary file."""
        check_images(self.path, key, *self.header(key))
        return self._content(key)

    @contextmanager
    def _open(self, key: str) -> Iterator[tuple[IO[bytes], Header, int]]:
        """Open an array behind its header; yield the file, the header and the stored size."""
        with damage(self.path, f"array {shown(key)!r}"), zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{key}.npy")
            if member.flag_bits & _ENCRYPTED:
                raise refused(self.path, f"has the array {shown(key)!r} under a password.")
            if member.compress_type not in _METHODS:
                method = _UNBOUNDED.get(member.compress_type, f"method {member.compress_type}")
                problem = f"compressed by {method}, whose size cannot be bounded"
                raise refused(self.path, f"has the array {shown(key)!r} {problem}.")
            with archive.open(member) as file:
                header = _read_header(self.path, key, file, member.file_size)
                yield file, header, member.compress_size

    def _content(self, key: str) -> np.ndarray:
        with self._open(key) as (file, header, stored):
            check_inflated(self.path, key, header.n_bytes, stored)
            content = scratch(self.path, header.n_bytes)
            _fill(content, file)
        if not header.n_bytes:
            return np.empty(header.shape, header.dtype)
        return content.view(header.dtype).reshape(header.shape, order=header.order)


def read_npy(path: Path) -> np.ndarray:
    """Return the array of an .npy file, as a memory map."""
    with damage(path, ".npy file", "is"), path.open("rb") as file:
        header = _read_header(path, path.stem, file, path.stat().st_size)
        if not header.n_bytes:
            return np.empty(header.shape, header.dtype)
        return np.memmap(path, header.dtype, "r", file.tell(), header.shape, header.order)


def _read_header(path: Path, key: str, file: IO[bytes], length: int) -> Header:
    """Read a header that agrees with the file's length, and leave the file behind it."""
    version = np.lib.format.read_magic(file)
    read: Any = np.lib.format.read_array_header_2_0
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    with warnings.catch_warnings():
        # numpy parses headers as Python, which may warn of what it finds in damaged ones
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read(file)
    if version == (3, 0) and dtype.names:
        # numpy has no reader for version 3, which is version 2 with field names in UTF-8
        dtype.names = tuple(name.encode("latin1").decode() for name in dtype.names)
    check_no_objects(path, key, dtype)
    check_shape(path, key, shape)
    header = Header(shape, "F" if fortran else "C", dtype)
    if file.tell() + header.n_bytes != length:
        there = length - file.tell()
        raise ValueError(f"its header says {header.n_bytes:,} bytes, but it has {there:,}")
    return header


def _fill(content: np.ndarray, file: IO[bytes]) -> None:
    """Read an array to its end, where zipfile compares its checksum."""
    start = 0
    while start < len(content):
        block = file.read(min(_BLOCK, len(content) - start))
        if not block:
            raise EOFError("its data end early")
        content[start : start + len(block)] = np.frombuffer(block, np.uint8)
        start += len(block)
        if start % RELEASED < len(block):
            release(content)
    if file.read(1):
        raise ValueError("it is longer than its header says")


def _what_zip(members: list[str]) -> str:
    if any(name.endswith("data.pkl") for name in members):
        return (
            "is a file of torch.save, which holds pickled objects that are never unpickled; "
            "save its arrays by numpy.savez(path, images=images.numpy(), labels=labels.numpy())."
        )
    return (
        "is a zip file without arrays, not an .npz file; "
        f"it has: {keys_of(members)}; save arrays by numpy.savez."
    )
