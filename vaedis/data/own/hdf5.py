"""Read arrays of HDF5 files, MATLAB 7.3 among them. Nothing outside the file is ever opened."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaedis._support.text import size_text
from vaedis.data.own import arrays, hdf5_chunks
from vaedis.data.own.arrays import (
    IN_MEMORY,
    MAX_KEYS,
    MAX_TEXT,
    RELEASED,
    Refused,
    check_images,
    check_inflated,
    check_labels,
    check_no_objects,
    check_shape,
    damage,
    decoded,
    refused,
    release,
    shown,
    too_long,
)

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_CHUNK_BYTES = 2**27
_MAX_LINKS = 20
_MAX_GROUPS = 1_000


def is_hdf5(path: Path) -> bool:
    """Whether a file has HDF5's signature at its start, or behind 512, 1,024, 2,048, ... bytes."""
    with path.open("rb") as file:
        start, end = 0, path.stat().st_size
        while start < end:
            file.seek(start)
            if file.read(8) == _SIGNATURE:
                return True
            start = max(512, 2 * start)
    return False


class Hdf5:
    """The arrays of an HDF5 file; those in groups by their path, as ``latents/classes``."""

    def __init__(self, path: Path):
        try:
            import h5py
        except ImportError:
            advice = "install it with: pip install 'vaedis[data]'"
            raise ImportError(f"HDF5 files need h5py; {advice}.") from None
        self.path = path
        self._datasets: dict[str, Any] = {}
        with path.open("rb") as file:
            self._is_matlab_file = file.read(10) == b"MATLAB 7.3"
        with damage(path, "HDF5 file", "is"):
            self._file = h5py.File(path, "r")
            self.keys = list(itertools.islice(_keys(self._file), MAX_KEYS + 1))

    def has(self, key: str) -> bool:
        """Whether a path begins in this file; `header` and `read` look where it leads."""
        parts = _parts(key)
        return bool(parts) and _link(self._file, parts[0])[0] is not None

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return an array's shape and type, without reading it; MATLAB's own shape."""
        dataset = self._dataset(key)
        with damage(self.path, f"array {shown(key)!r}"):
            shape = tuple(dataset.shape)
            return shape[::-1] if self._is_matlab(dataset) else shape, dataset.dtype

    def lengths(self, key: str) -> set[int]:
        """Return how many rows an array may have: MATLAB's images come first or last."""
        shape, _ = self.header(key)
        if self._is_matlab(self._dataset(key)):
            return {*shape[:1], *shape[-1:]}
        return {*shape[:1]}

    def read(self, key: str) -> np.ndarray:
        """Return labels or names."""
        import h5py

        dataset = self._dataset(key)
        check_labels(self.path, key, dataset.shape, dataset.dtype)
        with damage(self.path, f"array {shown(key)!r}"):
            if h5py.check_string_dtype(dataset.dtype) is not None:
                return self._text(key, dataset)
            values = self._array(key, dataset, range(dataset.ndim))
        return values.T if self._is_matlab(dataset) else values

    def rows(self, key: str, n: int | None) -> np.ndarray:
        """Return images, (n, ...): in memory, in a temporary file, or mapped from this file."""
        dataset = self._dataset(key)
        shape = tuple(dataset.shape)
        axes = tuple(range(len(shape)))
        if self._is_matlab(dataset) and math.prod(shape):
            axes = _matlab_axes(self.path, key, shape, n)
        check_images(self.path, key, tuple(shape[axis] for axis in axes), dataset.dtype)
        with damage(self.path, f"array {shown(key)!r}"):
            return self._array(key, dataset, axes)

    def _dataset(self, key: str) -> Any:
        """Return an array that holds its own data, in this file."""
        if key not in self._datasets:
            with damage(self.path, f"array {shown(key)!r}"):
                dataset = self._file[_target(self.path, self._file, key)]
                self._check(key, dataset)
            self._datasets[key] = dataset
        return self._datasets[key]

    def _check(self, key: str, dataset: Any) -> None:
        import h5py

        if not isinstance(dataset, h5py.Dataset):
            raise refused(self.path, f"has no array at {shown(key)!r}, but a group or a type.")
        if dataset.external or dataset.is_virtual:
            raise outside(self.path, key)
        if dataset.shape is None:
            raise refused(self.path, f"has nothing in {shown(key)!r}.")
        if h5py.check_string_dtype(dataset.dtype) is None:
            check_no_objects(self.path, key, dataset.dtype)
        check_shape(self.path, key, dataset.shape)
        self._check_filters(key, dataset)
        if dataset.chunks:
            self._check_chunks(key, dataset)
        else:
            n_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
            end = self.path.stat().st_size
            if n_bytes and (dataset.id.get_storage_size() < n_bytes or n_bytes > end):
                raise self._not_written(key)

    def _is_matlab(self, dataset: Any) -> bool:
        """Whether an array's axes are MATLAB's, which HDF5 holds in reversed order."""
        return self._is_matlab_file or "MATLAB_class" in dataset.attrs

    def _check_filters(self, key: str, dataset: Any) -> None:
        import h5py

        for number in hdf5_chunks.filters(dataset):
            if not h5py.h5z.filter_avail(number):
                problem = f"compressed by HDF5's filter {number}, which is not installed"
                advice = "import hdf5plugin before reading, or save it with compression='gzip'"
                raise refused(self.path, f"has the array {shown(key)!r} {problem}; {advice}.")

    def _check_chunks(self, key: str, dataset: Any) -> None:
        """Refuse an array that was not written in full, and chunks that take much memory."""
        chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if chunk_bytes > _MAX_CHUNK_BYTES:
            sizes = f"{size_text(chunk_bytes)}; at most {size_text(_MAX_CHUNK_BYTES)} are read"
            raise refused(self.path, f"has the array {shown(key)!r} in chunks of {sizes}.")
        chunks: list[Any] = []
        dataset.id.chunk_iter(chunks.append)
        n_chunks = math.prod(
            math.ceil(length / chunk)
            for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)
        )
        if len(chunks) < n_chunks:
            raise self._not_written(key)
        end = self.path.stat().st_size
        if any(chunk.byte_offset + chunk.size > end for chunk in chunks):
            raise ValueError("a chunk ends behind the file's end")
        if hdf5_chunks.is_decoded(dataset):
            return
        # the HDF5 library reads chunks without filters whatever their length
        unfiltered = not hdf5_chunks.filters(dataset) or any(c.filter_mask for c in chunks)
        if unfiltered and any(chunk.size < chunk_bytes for chunk in chunks):
            raise ValueError("a chunk is too short")

    def _not_written(self, key: str) -> Refused:
        problem = "which was not written in full; save it again"
        return refused(self.path, f"has the array {shown(key)!r}, {problem}.")

    def _text(self, key: str, dataset: Any) -> np.ndarray:
        """Return text, read in parts so that one long text in many places takes little memory."""
        if dataset.dtype.kind == "S":
            return np.char.decode(dataset[()], errors="backslashreplace")
        if dataset.ndim > 2:
            raise refused(self.path, f"has text of the shape {dataset.shape} in {shown(key)!r}.")
        row_bytes = self.path.stat().st_size * max(1, math.prod(dataset.shape[1:]))
        step = max(1, IN_MEMORY // row_bytes)
        selections: list[Any] = [()]
        if dataset.shape:
            selections = [slice(start, start + step) for start in range(0, len(dataset), step)]
        values: list[str] = []
        for selection in selections:
            for value in np.ravel(dataset[selection]):
                if len(value) > MAX_TEXT:
                    raise too_long(self.path, key)
                values.append(decoded(value))
        return np.array(values, object).reshape(dataset.shape)

    def _array(self, key: str, dataset: Any, axes: Sequence[int]) -> np.ndarray:
        """Return an array with its axes in another order; each chunk is read once."""
        shape = tuple(dataset.shape[axis] for axis in axes)
        dtype = dataset.dtype.newbyteorder("=")
        n_bytes = math.prod(shape) * dtype.itemsize
        if not n_bytes:
            return np.empty(shape, dtype)
        if not dataset.chunks:
            return self._contiguous(dataset, n_bytes).transpose(tuple(axes))
        check_inflated(self.path, key, n_bytes, dataset.id.get_storage_size())
        copy = arrays.scratch(self.path, n_bytes).view(dtype).reshape(shape)
        in_file_order = copy.transpose(np.argsort(axes))
        n_copied = 0
        for block, numbers in hdf5_chunks.read_chunks(dataset):
            in_file_order[block] = numbers
            n_copied += numbers.nbytes
            if n_copied > RELEASED:
                release(copy)
                n_copied = 0
        return copy

    def _contiguous(self, dataset: Any, n_bytes: int) -> np.ndarray:
        offset = dataset.id.get_offset()
        can_be_mapped = offset is not None and hdf5_chunks.is_stored_as_numpy(dataset)
        if n_bytes <= IN_MEMORY or not can_be_mapped:
            return np.asarray(dataset[()])
        return np.memmap(self.path, dataset.dtype, "r", offset, tuple(dataset.shape))


def outside(path: Path, key: str) -> Refused:
    """Return the error for what would be read from another file."""
    what = "an external link, external storage or a virtual array"
    problem = f"has {shown(key)!r} in another file ({what}), which is never read"
    return refused(path, f"{problem}; save the array itself.")


def _link(group: Any, name: str | bytes) -> tuple[int | None, str]:
    """Return a link's type and a soft link's target; `Group.get` would open other files."""
    import h5py

    links = group.id.links
    encoded = name if isinstance(name, bytes) else name.encode(errors="surrogateescape")
    kind = links.get_info(encoded).type if links.exists(encoded) else None
    if kind != h5py.h5l.TYPE_SOFT:
        return kind, ""
    return kind, links.get_val(encoded).decode(errors="surrogateescape")


def _keys(file: Any) -> Iterator[str]:
    """Yield the paths of arrays and links, those of a group before those of its subgroups.

    Only what lies in the file is opened. Groups may hold each other, so their number is limited.
    """
    import h5py

    groups = [(file, "")]
    for group, prefix in groups:
        for name in group:
            # h5py gives a name that is no UTF-8 as bytes
            is_bytes = isinstance(name, bytes)
            path = prefix + (name.decode(errors="surrogateescape") if is_bytes else name)
            if _link(group, name)[0] != h5py.h5l.TYPE_HARD:
                yield path
                continue
            # not `get(name, getclass=True)`, which ends the process on some damaged files
            member = group[name]
            if isinstance(member, h5py.Dataset):
                yield path
            elif isinstance(member, h5py.Group) and len(groups) < _MAX_GROUPS and name != "#refs#":
                groups.append((member, f"{path}/"))


def _target(path: Path, file: Any, key: str) -> str:
    """Follow soft links, and return a path of hard links only; refuse links to other files."""
    import h5py

    parts = _parts(key)
    done = "/"
    for _ in range(_MAX_LINKS * (1 + len(parts))):
        if not parts:
            return done
        group = file[done]
        name = parts.pop(0)
        kind, target = _link(group, name) if isinstance(group, h5py.Group) else (None, "")
        if kind is None:
            raise refused(path, f"has nothing at {shown(key)!r}: the path or a link leads nowhere.")
        if kind == h5py.h5l.TYPE_HARD:
            done = f"{done.rstrip('/')}/{name}"
        elif kind == h5py.h5l.TYPE_SOFT:
            parts = _parts(target) + parts
            done = "/" if target.startswith("/") else done
        else:
            raise outside(path, key)
    raise refused(path, f"has links at {shown(key)!r} that lead round in a circle.")


def _parts(key: str) -> list[str]:
    return [part for part in key.split("/") if part not in ("", ".")]


def _matlab_axes(path: Path, key: str, shape: tuple[int, ...], n: int | None) -> tuple[int, ...]:
    """Return the axes that make (n, H, W, C) of MATLAB's (n, H, W, C) or (H, W, C, n), reversed."""
    images_last, images_first = shape[-1] == n, shape[0] == n
    if images_last == images_first:
        which = "both its first and its last axis have"
        if not images_first:
            which = "neither its first nor its last axis has"
        array = f"is a MATLAB file whose {shown(key)!r} of MATLAB's shape {shape[::-1]}"
        problem = f"cannot be read as images: {which} the length {n} of the labels"
        raise refused(path, f"{array} {problem}; save it by h5py or numpy.savez.")
    reverse = tuple(range(len(shape)))[::-1]
    return reverse if images_last else (0, *reverse[:-1])
