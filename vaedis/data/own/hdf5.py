"""Read arrays of HDF5 files, MATLAB 7.3 among them: each chunk once, and nothing that lies outside
of the file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaedis.data.own.hdf5_chunks import Blocks, Rows, filters
from vaedis.data.own.sources import (
    IN_MEMORY,
    LONGEST_TEXT,
    MOST_KEYS,
    RELEASED,
    Refused,
    check_images,
    check_inflated,
    check_labels,
    check_shape,
    damage,
    release,
    scratch,
    shown,
    size,
    too_long,
)

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LARGEST_CHUNK = 2**27
# a random row costs as many as its chunk has; from here on the array is copied instead
_MOST_ROWS_OF_CHUNK = 16
_MOST_LINKS = 20
_MOST_GROUPS = 1_000
_FILTERS = {
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32026: "Blosc2",
}


def is_hdf5(path: Path) -> bool:
    """Whether a file has HDF5's signature: at its start, or behind a block of the user's of 512
    bytes, 1,024, 2,048, ...
    """
    with path.open("rb") as file:
        start, end = 0, path.stat().st_size
        while start < end:
            file.seek(start)
            if file.read(8) == SIGNATURE:
                return True
            start = max(512, 2 * start)
    return False


class Hdf5:
    """The arrays of an HDF5 file, those in groups by their path, such as ``latents/classes``."""

    def __init__(self, path: Path):
        try:
            import h5py
        except ImportError:
            raise ImportError(
                "HDF5 files need h5py; install it with: pip install 'vaedis[data]'."
            ) from None
        self.path, self._checked = path, dict[str, Any]()
        with path.open("rb") as file:
            self._says_matlab = file.read(10) == b"MATLAB 7.3"
        with damage(path, "HDF5 file", "is"):
            self.file = h5py.File(path, "r")
            self.keys = list(itertools.islice(_keys(self.file), MOST_KEYS + 1))

    def has(self, key: str) -> bool:
        """Whether a path begins in this file; where it leads is looked at when it is read."""
        return bool(_parts(key)) and _link(self.file, _parts(key)[0])[0] is not None

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return an array's shape and type, without reading it; MATLAB's own shape, which HDF5
        holds reversed.
        """
        dataset = self._dataset(key)
        with damage(self.path, f"array {shown(key)!r}"):
            return _axes_reversed(dataset.shape, self._is_matlab(dataset)), dataset.dtype

    def read(self, key: str) -> np.ndarray:
        """Return a small array as a whole."""
        import h5py

        dataset = self._dataset(key)
        check_labels(self.path, key, dataset.shape, dataset.dtype)
        with damage(self.path, f"array {shown(key)!r}"):
            if h5py.check_string_dtype(dataset.dtype) is not None:
                return self._text(key, dataset)
        values = self._copy(key, dataset, range(dataset.ndim)) if dataset.ndim else dataset[()]
        return values.T if self._is_matlab(dataset) else values

    def rows(self, key: str, n: int | None) -> Any:
        """Return an array of images: in memory, in a temporary file, or read from this file as rows
        are needed.
        """
        dataset = self._dataset(key)
        shape = tuple(dataset.shape)
        n_bytes = math.prod(shape) * dataset.dtype.itemsize
        if not n_bytes:
            return np.empty(shape, dataset.dtype)
        plain = tuple(range(len(shape)))
        axes = _matlab_axes(self.path, key, shape, n) if self._is_matlab(dataset) else plain
        check_images(self.path, key, tuple(shape[axis] for axis in axes), dataset.dtype)
        chunk_rows = dataset.chunks[0] if dataset.chunks else 1
        if axes == plain and n_bytes > IN_MEMORY and chunk_rows <= _MOST_ROWS_OF_CHUNK:
            return Rows(self.path, key, dataset)
        if dataset.chunks:
            check_inflated(self.path, key, n_bytes, dataset.id.get_storage_size())
        return self._copy(key, dataset, axes)

    def _dataset(self, key: str) -> Any:
        """Return an array that holds its own data, in this file."""
        import h5py

        if key in self._checked:
            return self._checked[key]
        with damage(self.path, f"array {shown(key)!r}"):
            found = self.file[_target(self.path, self.file, key)]
            if not isinstance(found, h5py.Dataset):
                raise Refused(
                    f"{shown(self.path)} has no array at {shown(key)!r}, but a group or a type."
                )
            if found.external or found.is_virtual:
                raise outside(self.path, key)
            if found.shape is None:
                raise Refused(f"{shown(self.path)} has nothing in {shown(key)!r}.")
            if found.dtype.kind == "O" and h5py.check_string_dtype(found.dtype) is None:
                raise Refused(
                    f"{shown(self.path)} holds Python objects, references or lists in {shown(key)!r}, which are never unpickled or "
                    "followed; save plain arrays."
                )
            check_shape(self.path, key, found.shape, found.dtype)
            self._check_filters(key, found)
            self._check_stored(key, found)
        self._checked[key] = found
        return found

    def reversed(self, key: str) -> bool:
        """Whether an array's axes are MATLAB's, which HDF5 holds in reversed order."""
        return self._is_matlab(self._dataset(key))

    def _is_matlab(self, dataset: Any) -> bool:
        return self._says_matlab or "MATLAB_class" in dataset.attrs

    def _check_filters(self, key: str, dataset: Any) -> None:
        import h5py

        settings = dataset.id.get_create_plist()
        for number, _, _, name in (settings.get_filter(k) for k in range(settings.get_nfilters())):
            if not h5py.h5z.filter_avail(number):
                called = _FILTERS.get(number) or shown(name.decode(errors="replace")) or "unknown"
                raise Refused(
                    f"{shown(self.path)} has the array {shown(key)!r} compressed by the filter {called} (HDF5's number {number}), which is "
                    "not installed; import hdf5plugin before reading, or save the array with compression='gzip'."
                )

    def _check_stored(self, key: str, dataset: Any) -> None:
        """Refuse an array that was not written in full, and chunks that take much memory."""
        end = self.path.stat().st_size
        n_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
        if not dataset.chunks:
            if n_bytes and (dataset.id.get_storage_size() < n_bytes or n_bytes > end):
                raise self._not_written(key)
            return
        one = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if one > _LARGEST_CHUNK:
            raise Refused(
                f"{shown(self.path)} has the array {shown(key)!r} in chunks of {size(one)}; at most {size(_LARGEST_CHUNK)} are read: "
                "save it with chunks of one image."
            )
        chunks: list[Any] = []
        dataset.id.chunk_iter(chunks.append)
        wanted = math.prod(
            -(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)
        )
        if len(chunks) < wanted:
            raise self._not_written(key)
        if any(chunk.byte_offset + chunk.size > end for chunk in chunks):
            raise ValueError("a chunk ends behind the file's end")
        # the HDF5 library reads such chunks without a look at their length
        unfiltered = any(chunk.filter_mask for chunk in chunks) or not filters(dataset)
        if not Blocks(dataset).decoded and unfiltered and any(chunk.size < one for chunk in chunks):
            raise ValueError("a chunk is too short")

    def _not_written(self, key: str) -> Refused:
        return Refused(
            f"{shown(self.path)} has the array {shown(key)!r}, which was not written in full; save it again."
        )

    def _text(self, key: str, dataset: Any) -> np.ndarray:
        """Return text; of any length only so many at a time that one that is repeated cannot take
        much memory.
        """
        if dataset.dtype.kind != "O":
            return (
                np.char.decode(dataset[()], errors="backslashreplace")
                if dataset.dtype.kind == "S"
                else dataset[()]
            )
        if dataset.ndim > 2:
            raise Refused(
                f"{shown(self.path)} has text of the shape {dataset.shape} in {shown(key)!r}, which is no list of labels."
            )
        step = max(
            1, IN_MEMORY // (self.path.stat().st_size * max(1, math.prod(dataset.shape[1:])))
        )
        parts = (
            [dataset[()]]
            if not dataset.shape
            else [dataset[k : k + step] for k in range(0, len(dataset), step)]
        )
        values = []
        for value in itertools.chain.from_iterable(np.ravel(part) for part in parts):
            if len(value) > LONGEST_TEXT:
                raise too_long(self.path, key)
            values.append(
                value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
            )
        return np.array(values, object).reshape(dataset.shape)

    def _copy(self, key: str, dataset: Any, axes: Sequence[int]) -> np.ndarray:
        """Copy an array, chunk by chunk, so that each is inflated once; `axes` are those of the
        copy.
        """
        shape = tuple(dataset.shape[axis] for axis in axes)
        dtype = dataset.dtype.newbyteorder("=")
        copy = scratch(self.path, math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
        # with the axes of the file again
        target = copy.transpose(np.argsort(axes))
        with damage(self.path, f"array {shown(key)!r}"):
            blocks = Blocks(dataset)
            copied = 0
            for block in blocks:
                part = blocks.read(block)
                target[block] = part
                copied += part.nbytes
                if copied > RELEASED:
                    release(copy)
                    copied = 0
        return copy


def outside(path: Path, key: str) -> Refused:
    """Return the error for what would be read from another file."""
    return Refused(
        f"{shown(path)} has {shown(key)!r} in another file (an external link, external storage or a virtual array), which is never read; "
        "save the array itself."
    )


def _link(group: Any, name: str | bytes) -> tuple[int | None, bytes]:
    """Return the type of a link and, of a soft link, its target; `Group.get` would follow it, also
    to another file.
    """
    import h5py

    links = group.id.links
    encoded = name if isinstance(name, bytes) else name.encode(errors="surrogateescape")
    if not links.exists(encoded):
        return None, b""
    kind = links.get_info(encoded).type
    return kind, links.get_val(encoded) if kind == h5py.h5l.TYPE_SOFT else b""


def _keys(file: Any) -> Iterator[str]:
    """Yield the paths of arrays and of links, those of a group before those of the groups in it.

    Nothing is opened but what lies in the file itself. Groups may hold each other, so no more than
    some are looked into.
    """
    import h5py

    groups = [(file, "")]
    for group, prefix in groups:
        for name in group:
            # a name that is no UTF-8 comes as bytes
            path = prefix + (
                name.decode(errors="surrogateescape") if isinstance(name, bytes) else name
            )
            if _link(group, name)[0] != h5py.h5l.TYPE_HARD:
                yield path
                continue
            # not `get(name, getclass=True)`, which ends the process on some damaged files
            found = group[name]
            if isinstance(found, h5py.Dataset):
                yield path
            elif isinstance(found, h5py.Group) and len(groups) < _MOST_GROUPS and name != "#refs#":
                groups.append((found, f"{path}/"))


def _target(path: Path, file: Any, key: str) -> str:
    """Return the path of hard links only that a key leads to: soft links are followed, those to
    other files are refused.
    """
    import h5py

    parts = _parts(key)
    done = "/"
    for _ in range(_MOST_LINKS * (1 + len(parts))):
        if not parts:
            return done
        group = file[done]
        name = parts.pop(0)
        kind, to = _link(group, name) if isinstance(group, h5py.Group) else (None, b"")
        if kind is None:
            raise Refused(
                f"{shown(path)} has nothing at {shown(key)!r}: the path or a link in it leads nowhere; save the array itself."
            )
        if kind == h5py.h5l.TYPE_HARD:
            done = f"{done.rstrip('/')}/{name}"
        elif kind == h5py.h5l.TYPE_SOFT:
            soft = to.decode(errors="surrogateescape")
            parts = _parts(soft) + parts
            done = "/" if soft.startswith("/") else done
        else:
            raise outside(path, key)
    raise Refused(
        f"{shown(path)} has links at {shown(key)!r} that lead round in a circle; save the array itself."
    )


def _parts(key: str) -> list[str]:
    return [part for part in key.split("/") if part not in ("", ".")]


def _axes_reversed(shape: Sequence[int], reverse: bool) -> tuple[int, ...]:
    return tuple(shape[::-1]) if reverse else tuple(shape)


def _matlab_axes(path: Path, key: str, shape: tuple[int, ...], n: int | None) -> tuple[int, ...]:
    """Return the order of axes that makes (n, H, W, C) of what MATLAB stored: its own (n, H, W, C)
    or (H, W, C, n), reversed.
    """
    last, first = shape[-1] == n, shape[0] == n
    if last == first:
        wanted = (
            "both its first and its last axis have"
            if first
            else "neither its first nor its last axis has"
        )
        raise Refused(
            f"{shown(path)} is a MATLAB file whose {shown(key)!r} of MATLAB's shape {shape[::-1]} cannot be read as images: {wanted} the "
            f"length {n} of the labels; save it by h5py or numpy.savez."
        )
    reverse = tuple(range(len(shape)))[::-1]
    return reverse if last else (0, *reverse[:-1])
