"""Read arrays of .npz and .npy files, of which nothing is believed and nothing unpickled."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO, Any

import numpy as np

from vaedis.data.own.sources import (
    RELEASED,
    Refused,
    check_images,
    check_inflated,
    check_labels,
    check_shape,
    damage,
    holds_objects,
    keys_of,
    release,
    scratch,
    shown,
)

_BLOCK = 2**20
_ENCRYPTED = 1
# zipfile inflates bzip2 and LZMA without a bound on memory, and numpy writes neither
_OTHER_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Npz:
    """The arrays of an .npz file."""

    def __init__(self, path: Path):
        self.path = path
        with damage(path, ".npz file", "is"), zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        self.keys = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
        if not self.keys:
            raise Refused(_what_zip(path, members))
        if len(set(self.keys)) < len(self.keys):
            raise Refused(
                f"{shown(path)} has two arrays of one name, {keys_of(_repeated(self.keys))}; save it again."
            )

    def has(self, key: str) -> bool:
        """Whether there is an array of this name."""
        return key in self.keys

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return an array's shape and type, without reading it."""
        with zipfile.ZipFile(self.path) as archive:
            member = self._member(archive, key)
            with damage(self.path, f"array {shown(key)!r}"), archive.open(member) as file:
                shape, _, dtype, _ = self._header(key, member, file)
        return shape, dtype

    def read(self, key: str) -> np.ndarray:
        """Return a small array as a whole."""
        shape, dtype = self.header(key)
        check_labels(self.path, key, shape, dtype)
        return self._content(key)

    def rows(self, key: str, n: int | None) -> np.ndarray:
        """Return an array of images; a large one lies in a temporary file."""
        check_images(self.path, key, *self.header(key))
        return self._content(key)

    def _member(self, archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
        member = archive.getinfo(f"{key}.npy")
        if member.flag_bits & _ENCRYPTED:
            raise Refused(
                f"{shown(self.path)} has the array {shown(key)!r} under a password; save it without one."
            )
        if member.compress_type not in _METHODS:
            method = _OTHER_METHODS.get(member.compress_type, f"method {member.compress_type}")
            raise Refused(
                f"{shown(self.path)} has the array {shown(key)!r} compressed by {method}, whose size cannot be bounded; "
                "save it by numpy.savez_compressed."
            )
        return member

    def _header(
        self, key: str, member: zipfile.ZipInfo, file: IO[bytes]
    ) -> tuple[tuple[int, ...], bool, np.dtype, int]:
        """Return shape, whether in Fortran order, type and bytes of an array, if zip directory and
        header agree.
        """
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise holds_objects(self.path, key)
        check_shape(self.path, key, shape, dtype)
        n_bytes = math.prod(shape) * dtype.itemsize
        if file.tell() + n_bytes != member.file_size:
            raise ValueError(
                f"its header says {n_bytes:,} bytes, the zip directory {member.file_size - file.tell():,}"
            )
        return shape, fortran, dtype, n_bytes

    def _content(self, key: str) -> np.ndarray:
        with damage(self.path, f"array {shown(key)!r}"), zipfile.ZipFile(self.path) as archive:
            member = self._member(archive, key)
            with archive.open(member) as file:
                shape, fortran, dtype = read_header(file)
                if dtype.hasobject:
                    raise Refused(
                        f"{shown(self.path)} holds Python objects in {shown(key)!r}, which are never unpickled; save plain arrays."
                    )
                n_bytes = math.prod(shape) * dtype.itemsize
                if file.tell() + n_bytes != member.file_size:
                    raise ValueError(
                        f"its header says {n_bytes:,} bytes, the zip directory {member.file_size - file.tell():,}"
                    )
                check_inflated(self.path, key, n_bytes, member.compress_size)
                content = scratch(self.path, n_bytes)
                _fill(content, file)
        if not n_bytes:
            return np.empty(shape, dtype)
        return content.view(dtype).reshape(shape, order="F" if fortran else "C")


class Npy:
    """The images of an .npy file, as a memory map."""

    def __init__(self, path: Path):
        self.path, self.keys = path, ["images"]
        self._array = read_npy(path)

    def has(self, key: str) -> bool:
        """Whether there is an array of this name."""
        return key in self.keys

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return the array's shape and type."""
        return self._array.shape, self._array.dtype

    def read(self, key: str) -> np.ndarray:
        """Return the array."""
        return self._array

    def rows(self, key: str, n: int | None) -> np.ndarray:
        """Return the array of images."""
        check_images(self.path, key, *self.header(key))
        return self._array


def read_npy(path: Path) -> np.ndarray:
    """Return the array of an .npy file, as a memory map."""
    with damage(path, ".npy file", "is"), path.open("rb") as file:
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise holds_objects(path, "the array")
        check_shape(path, path.stem, shape, dtype)
        n_bytes = math.prod(shape) * dtype.itemsize
        if file.tell() + n_bytes != path.stat().st_size:
            raise ValueError(
                f"its header says {n_bytes:,} bytes, the file has {path.stat().st_size - file.tell():,}"
            )
        if not n_bytes:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether in Fortran order, and type of an .npy file, and leave the file behind its
    header.

    Numpy raises many kinds of errors on a damaged header; the caller turns them into one.
    """
    version = np.lib.format.read_magic(file)
    read: Any = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    with warnings.catch_warnings():
        # damaged headers are parsed as Python, which may warn of what it finds there
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read(file)
    if version == (3, 0) and dtype.names:
        # as version 2, but for the letters of field names
        dtype.names = tuple(name.encode("latin1").decode() for name in dtype.names)
    return shape, fortran, dtype


def _fill(content: np.ndarray, file: IO[bytes]) -> None:
    """Read a member to its end, where its checksum is compared."""
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


def _repeated(keys: list[str]) -> list[str]:
    return [key for key, times in Counter(keys).items() if times > 1]


def _what_zip(path: Path, members: list[str]) -> str:
    if any(name.endswith("data.pkl") for name in members):
        return (
            f"{shown(path)} is a file of torch.save, which holds pickled objects that are never unpickled; "
            "save its arrays by numpy.savez(path, images=images.numpy(), labels=labels.numpy())."
        )
    return f"{shown(path)} is a zip file without arrays, not an .npz file; it has: {keys_of(members)}; save arrays by numpy.savez."
