"""Limits and error sentences of all readers of a user's files; .npz and .npy files.

No size that a file states is trusted, and nothing is unpickled.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import shutil
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from vaedis._support.text import plain, size_text

# Larger arrays are copied to a temporary file, which the system reads page by page.
IN_MEMORY = 2**28
# While such a copy is written, at most this many bytes of it stay in memory.
RELEASED = 2**27
# Images of one colour inflate 1,000 times; real ones rarely more than 200 times.
MAX_INFLATED = 500
MAX_LABELS = 20_000_000
MAX_LABEL_BYTES = 2**28
MAX_NAMES = 1_000
# Images and labels are found by their usual names among at most this many arrays.
MAX_KEYS = 10_000
MAX_TEXT = 1_000
MAX_IMAGE_BYTES = 2**26
_LISTED_KEYS = 20
# no format that starts another program, such as PostScript, or that stands for another file
PICTURE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
_BLOCK = 2**20
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# zipfile inflates these without a bound on memory, and numpy writes neither
_UNBOUNDED = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Refused(ValueError):
    """One sentence that says what is wrong with a file and what to do."""


def refused(path: object, problem: str) -> Refused:
    """Return the error for a path, of which `problem` is said."""
    return Refused(f"{shown(path)} {problem}")


def shown(name: object) -> str:
    """Return a path or a key in a form that is safe to print."""
    return plain(str(name), longest=200)


def keys_of(keys: Sequence[str]) -> str:
    """List keys in a message."""
    more = f" and {len(keys) - _LISTED_KEYS} more" if len(keys) > _LISTED_KEYS else ""
    return ", ".join(shown(key) for key in keys[:_LISTED_KEYS]) + more or "none"


def decoded(text: str | bytes) -> str:
    """Return text as str; bytes that are no UTF-8 become escapes."""
    return text.decode(errors="backslashreplace") if isinstance(text, bytes) else str(text)


def brief(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return plain(lines[0], longest=200).rstrip(".")


@contextmanager
def damage(path: Path, what: str, has: str = "has") -> Iterator[None]:
    """Turn whatever a library raises on damaged bytes into one sentence."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        raise refused(path, f"{has} a damaged {what} ({brief(error)}); save it again.") from error


def check_no_objects(path: Path, key: str, dtype: np.dtype) -> None:
    """Refuse pickled objects, references to other arrays, and lists of any length."""
    if dtype.hasobject:
        problem = f"holds Python objects or references in {shown(key)!r}"
        raise refused(path, f"{problem}, which are never unpickled or followed; save plain arrays.")


def check_shape(path: Path, key: str, shape: tuple[int, ...]) -> None:
    """Refuse a shape that no array of images or labels has."""
    if any(length < 0 for length in shape) or len(shape) > 5:
        problem = f"of the shape {shape[:8]}, which is no array of images or labels"
        raise refused(path, f"has the array {shown(key)!r} {problem}.")


def check_labels(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse labels that would take much memory, before they are read."""
    n_fields = max(1, len(dtype.names or ()))
    n_values = math.prod(shape) * n_fields
    if n_values > MAX_LABELS:
        limit = f"labels may have at most {MAX_LABELS:,}"
        raise refused(path, f"has {n_values:,} values in {shown(key)!r}; {limit}.")
    if dtype.itemsize > 4 * MAX_TEXT * n_fields:
        raise too_long(path, key)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > MAX_LABEL_BYTES:
        limit = f"at most {size_text(MAX_LABEL_BYTES)} are read: use codes"
        raise refused(path, f"has labels of {size_text(n_bytes)} in {shown(key)!r}; {limit}.")


def too_long(path: Path, key: str) -> Refused:
    """Return the error for text that is no label or name."""
    problem = f"of more than {MAX_TEXT:,} characters; use codes or short names"
    return refused(path, f"has text in {shown(key)!r} {problem}.")


def check_images(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse images of absurd size, before they are read."""
    n_bytes = math.prod(shape[1:]) * dtype.itemsize
    if n_bytes > MAX_IMAGE_BYTES:
        limit = f"{size_text(n_bytes)} each; at most {size_text(MAX_IMAGE_BYTES)} each are read"
        raise refused(path, f"has images of the shape {shape[1:]} in {shown(key)!r}, {limit}.")


def check_inflated(path: Path, key: str, n_bytes: int, stored: int) -> None:
    """Refuse a large array that inflates far more than images do."""
    if n_bytes > IN_MEMORY and n_bytes > MAX_INFLATED * stored:
        limit = f"beyond {size_text(IN_MEMORY)} an array may inflate at most {MAX_INFLATED} times"
        sizes = f"{shown(key)!r} of {size_text(n_bytes)} in {size_text(stored)}"
        raise refused(path, f"has {sizes}; {limit}: save it without compression.")


def scratch(path: object, n_bytes: int) -> np.ndarray:
    """Return that many bytes to write to: in memory, or in a nameless temporary file."""
    if n_bytes <= IN_MEMORY:
        return np.empty(n_bytes, np.uint8)
    folder = "the folder of temporary files"
    try:
        folder = tempfile.gettempdir()
        if shutil.disk_usage(folder).free < n_bytes:
            raise OSError(errno.ENOSPC, "no room")
        with tempfile.TemporaryFile() as file:
            _reserve(file.fileno(), n_bytes)
            return np.memmap(file, np.uint8, "r+", shape=(n_bytes,))
    except OSError as error:
        reason = f"cannot be written to ({error.strerror or brief(error)})"
        if error.errno in _NO_ROOM:
            reason = "has no room"
        copy = f"for a copy of {size_text(n_bytes)} of {shown(path)}"
        advice = "make room, or set TMPDIR to a folder with more"
        raise refused(folder, f"{reason} {copy}; {advice}.") from error


def release(array: np.ndarray) -> None:
    """Let the system take back the memory of a temporary file's pages."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _reserve(descriptor: int, n_bytes: int) -> None:
    """Take the room on the disk now: a mapped file that finds none later ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, n_bytes)
        return
    block = bytes(2**24)
    for start in range(0, n_bytes, len(block)):
        os.write(descriptor, block[: n_bytes - start])


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
