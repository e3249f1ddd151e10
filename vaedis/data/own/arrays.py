"""Read arrays of a user's .npz, .npy and HDF5 files, MATLAB 7.3 among them.

No size that a file states is trusted, nothing is unpickled, and no other file is opened.
"""

from __future__ import annotations

import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._files import npy_header, open_array
from vaedis._support.text import plain, size_text
from vaedis.data.own.chunks import check_chunk

# Larger arrays are copied to a temporary file, which the system reads page by page.
IN_MEMORY = 2**28
# Images of one colour inflate 1,000 times; real ones rarely more than 200 times.
MAX_INFLATED = 500
MAX_LABELS = 20_000_000
MAX_LABEL_BYTES = 2**28
MAX_TEXT = 1_000
_TOO_LONG = f"it has text of more than {MAX_TEXT:,} characters; use codes or short names"
MAX_IMAGE_BYTES = 2**26
MAX_KEYS = 10_000
_MAX_GROUPS = 1_000
_MAX_CHUNK_BYTES = 2**27
LONGEST_SENTENCE = 600
_BLOCK = 2**20
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")

# refuses an array by its shape and type
_Check = Callable[[tuple[int, ...], np.dtype], None]


class Refused(ValueError):
    """One sentence that says what is wrong with a file and what to do."""


def refused(path: object, problem: str) -> Refused:
    """Return the error for a path, of which `problem` is said."""
    return Refused(plain(f"{path} {problem}", LONGEST_SENTENCE))


@contextmanager
def reading(path: Path, key: str = "") -> Iterator[None]:
    """Turn whatever goes wrong in a file, or in an array of it, into one sentence."""
    try:
        yield
    except (Refused, ImportError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        where = f" in {key!r}" if key else ""
        raise refused(path, f"cannot be read{where}: {lines[0].rstrip('.')}.") from error


def check_labels(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse labels that would take much memory, before they are read."""
    n_fields = max(1, len(dtype.names or ()))
    n_values = math.prod(shape) * n_fields
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_values > MAX_LABELS or n_bytes > MAX_LABEL_BYTES:
        limit = f"at most {MAX_LABELS:,} and {size_text(MAX_LABEL_BYTES)} are read"
        raise ValueError(f"it has {n_values:,} labels of {size_text(n_bytes)}, and {limit}")
    if dtype.itemsize > 4 * MAX_TEXT * n_fields:
        raise ValueError(_TOO_LONG)


def check_images(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse images of absurd size, (n, ...), before they are read."""
    n_bytes = math.prod(shape[1:]) * dtype.itemsize
    if n_bytes > MAX_IMAGE_BYTES:
        limit = f"at most {size_text(MAX_IMAGE_BYTES)} are read"
        raise ValueError(f"its images take {size_text(n_bytes)} each, and {limit}")


def _check_inflated(n_bytes: int, stored: int) -> None:
    """Refuse a large array that inflates far more than images do."""
    if n_bytes > IN_MEMORY and n_bytes > MAX_INFLATED * stored:
        sizes = f"{size_text(stored)} inflate to {size_text(n_bytes)}"
        raise ValueError(f"{sizes}, more than {MAX_INFLATED} times; save it without compression")


def scratch(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array to write to: in memory, or in a temporary file that has no name."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes <= IN_MEMORY:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            # take the room now: a mapped file that finds none later ends the process
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        copy = f"a copy of {size_text(n_bytes)} cannot be made ({error.strerror or error})"
        raise ValueError(f"{copy}; set TMPDIR to a folder with room for it") from error


class Npz:
    """The arrays of an .npz file."""

    def __init__(self, path: Path):
        self.path = path
        with reading(path), zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        self.keys = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
        if not self.keys and any(name.lower().endswith(_PICTURES) for name in members):
            raise refused(path, "is a zip file of pictures; unpack it, and name the folder.")
        if len(set(self.keys)) < len(self.keys):
            raise refused(path, "has two arrays of one name; save it again.")

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return an array's shape and type, without reading it."""
        with reading(self.path, key), zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{key}.npy")
            with open_array(archive, member) as (_, shape, _, dtype):
                return shape, dtype

    def refused_shape(self, key: str) -> tuple[int, ...] | None:
        """Return the shape of an array that `header` refuses; None if that cannot be told."""
        with suppress(Exception), zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{key}.npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return None
            with archive.open(member) as file:
                shape, _, dtype = npy_header(file)
                # the header of an array that is damaged may be wrong as well
                return shape if dtype.hasobject else None
        return None

    def lengths(self, key: str) -> set[int]:
        """Return how many rows an array of images may have."""
        return set(self.header(key)[0][:1])

    def labels(self, key: str) -> np.ndarray:
        """Return labels or names."""
        return self._read(key, check_labels)

    def images(self, key: str, n: int) -> np.ndarray:
        """Return images; many of them lie in a temporary file."""
        return self._read(key, check_images)

    def _read(self, key: str, check: _Check) -> np.ndarray:
        with reading(self.path, key), zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{key}.npy")
            with open_array(archive, member) as (file, shape, fortran, dtype):
                check(shape, dtype)
                n_bytes = math.prod(shape) * dtype.itemsize
                _check_inflated(n_bytes, member.compress_size)
                copy = scratch(shape[::-1] if fortran else shape, dtype)
                content = copy.reshape(-1).view(np.uint8) if n_bytes else copy
                # in blocks, to the end, where zipfile compares the checksum
                for start in range(0, n_bytes, _BLOCK):
                    block = file.read(min(_BLOCK, n_bytes - start))
                    content[start : start + _BLOCK] = np.frombuffer(block, np.uint8)
                file.read(1)
        return copy.T if fortran else copy


class Hdf5:
    """The arrays of an HDF5 file; those in groups by their path, as ``latents/classes``.

    MATLAB's arrays, which HDF5 holds with their axes reversed, have MATLAB's shape here.
    """

    def __init__(self, path: Path):
        self.h5py = _check.package("h5py", "read HDF5 files", "data")
        self.path = path
        with reading(path):
            if not self.h5py.is_hdf5(path):
                raise ValueError("it is no .npz, .npy or HDF5 file, nor of MATLAB's version 7.3")
            self._file = self.h5py.File(path, "r")
            self.keys = self._keys()
        if len(self.keys) > MAX_KEYS:
            raise refused(path, f"has more than {MAX_KEYS:,} arrays; make a file of fewer.")

    def _keys(self) -> list[str]:
        """Return the paths of arrays, and of links and names that are no UTF-8, refused when read.

        Groups may hold each other, so their number is limited.
        """
        keys = []
        groups = [("", self._file)]
        for prefix, group in groups:
            # not `visititems`, which ends the process on some damaged files
            for name in group:
                if isinstance(name, bytes):  # no UTF-8
                    keys.append(prefix + name.decode(errors="backslashreplace"))
                    continue
                if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
                    keys.append(prefix + name)
                    continue
                member = group[name]
                if isinstance(member, self.h5py.Dataset):
                    keys.append(prefix + name)
                elif isinstance(member, self.h5py.Group) and len(groups) < _MAX_GROUPS:
                    groups.append((f"{prefix}{name}/", member))
        return keys

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return an array's shape and type, without reading it."""
        with reading(self.path, key):
            dataset = self._dataset(key)
            shape = dataset.shape[::-1] if _is_matlab(dataset) else dataset.shape
            return shape, dataset.dtype

    def refused_shape(self, key: str) -> tuple[int, ...] | None:
        """Return the shape of an array that `header` refuses; None if that cannot be told."""
        with suppress(Exception):
            return self._node(key).shape or ()
        return None

    def lengths(self, key: str) -> set[int]:
        """Return how many rows an array of images may have: MATLAB's images come first or last."""
        with reading(self.path, key):
            dataset = self._dataset(key)
            shape = dataset.shape
            return {*shape[:1], *shape[-1:]} if _is_matlab(dataset) else {*shape[:1]}

    def labels(self, key: str) -> np.ndarray:
        """Return labels or names."""
        with reading(self.path, key):
            dataset = self._dataset(key)
            check_labels(dataset.shape, dataset.dtype)
            if dataset.dtype.hasobject:
                return self._text(dataset)
            values = self._array(dataset, range(dataset.ndim))
            return values.T if _is_matlab(dataset) else values

    def images(self, key: str, n: int) -> np.ndarray:
        """Return images, (n, ...): in memory, in a temporary file, or mapped from this file."""
        with reading(self.path, key):
            dataset = self._dataset(key)
            axes = tuple(range(dataset.ndim))
            if _is_matlab(dataset):
                axes = _matlab_axes(dataset.shape, n)
            check_images(tuple(dataset.shape[axis] for axis in axes), dataset.dtype)
            return self._array(dataset, axes)

    def _node(self, key: str) -> Any:
        """Return what is in this file by a name, if its numbers are in it too."""
        node: Any = self._file
        for part in key.strip("/").split("/"):
            is_group = isinstance(node, self.h5py.Group)
            link = node.get(part, getlink=True) if is_group else None
            if not isinstance(link, self.h5py.HardLink):
                problem = "it is not there, or behind a link, which is never followed"
                raise ValueError(f"{problem}, or its name is no UTF-8")
            node = node[part]
        # before its shape, which the HDF5 library may look up in the other file
        if isinstance(node, self.h5py.Dataset) and (node.external or node.is_virtual):
            raise ValueError("its numbers are in another file, which is never read")
        return node

    def _dataset(self, key: str) -> Any:
        """Return an array that holds its own data, in this file."""
        node = self._node(key)
        if not isinstance(node, self.h5py.Dataset) or node.shape is None:
            raise ValueError("it is no array")
        if node.dtype.hasobject and self.h5py.check_string_dtype(node.dtype) is None:
            raise ValueError("it holds references or lists, which are never followed")
        self._check_size(node)
        return node

    def _check_size(self, dataset: Any) -> None:
        """Refuse an array that was not written in full, and chunks that take much memory."""
        n_bytes = dataset.size * dataset.dtype.itemsize
        if not dataset.chunks:
            if dataset.id.get_storage_size() < n_bytes:
                raise ValueError("it was not written in full")
            return
        chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if chunk_bytes > _MAX_CHUNK_BYTES:
            limit = f"at most {size_text(_MAX_CHUNK_BYTES)} are read"
            raise ValueError(f"its chunks take {size_text(chunk_bytes)} each, and {limit}")
        sizes = zip(dataset.shape, dataset.chunks, strict=True)
        if dataset.id.get_num_chunks() < math.prod(-(-length // part) for length, part in sizes):
            raise ValueError("it was not written in full")

    def _text(self, dataset: Any) -> np.ndarray:
        """Return text, in parts of rows, since many of them may refer to one long text."""
        if dataset.ndim == 0:
            return np.array(dataset[()], object)
        row_bytes = self.path.stat().st_size * max(1, math.prod(dataset.shape[1:]))
        step = max(1, IN_MEMORY // row_bytes)
        parts = []
        for start in range(0, len(dataset), step):
            part = dataset[start : start + step]
            if max(map(len, part.ravel()), default=0) > MAX_TEXT:
                raise ValueError(_TOO_LONG)
            parts.append(part)
        return np.concatenate(parts) if parts else np.empty(0, object)

    def _array(self, dataset: Any, axes: Sequence[int]) -> np.ndarray:
        """Return an array with its axes in another order; each chunk is read once."""
        n_bytes = dataset.size * dataset.dtype.itemsize
        if not dataset.chunks:
            offset = dataset.id.get_offset()
            stored_type = self.h5py.h5t.py_create(dataset.dtype, logical=True)
            if n_bytes > IN_MEMORY and offset and stored_type == dataset.id.get_type():
                shape = tuple(dataset.shape)
                return np.memmap(self.path, dataset.dtype, "r", offset, shape).transpose(axes)
            return np.asarray(dataset[()]).transpose(axes)
        _check_inflated(n_bytes, dataset.id.get_storage_size())
        shape = tuple(dataset.shape[axis] for axis in axes)
        copy = scratch(shape, dataset.dtype.newbyteorder("="))
        in_file_order = copy.transpose(np.argsort(axes))
        for block in dataset.iter_chunks():
            check_chunk(dataset, tuple(part.start for part in block))
            in_file_order[block] = dataset[block]
        return copy


def _is_matlab(dataset: Any) -> bool:
    return "MATLAB_class" in dataset.attrs


def _matlab_axes(shape: tuple[int, ...], n: int) -> tuple[int, ...]:
    """Return the axes that make (n, H, W, C) of MATLAB's (n, H, W, C) or (H, W, C, n), reversed."""
    if (shape[-1] == n) == (shape[0] == n):
        problem = f"of MATLAB's shape {shape[::-1]}, either the first or the last length must be"
        raise ValueError(f"{problem} the number of images, {n}; save it by h5py or numpy.savez")
    reverse = tuple(range(len(shape)))[::-1]
    return reverse if shape[-1] == n else (0, *reverse[:-1])


def read_npy(path: Path, check: _Check) -> np.ndarray:
    """Return the array of an .npy file, as a memory map, unless `check` refuses it."""
    with reading(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        n_more = path.stat().st_size - array.offset - array.nbytes
        if n_more:
            raise ValueError(
                f"{size_text(n_more)} follow its array, which may be another one; save one array"
            )
        check(array.shape, array.dtype)
        return array
