"""What the readers of a reader's own files share: limits, sentences, and arrays that may be larger
than memory.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vaedis._support.text import plain

# larger arrays go to a temporary file, from which rows are read as they are needed
IN_MEMORY = 2**28
# of a copy, so many bytes lie in memory at a time
RELEASED = 2**27
# images of one colour inflate 1,000 times; real ones rarely more than 200 times
MOST_INFLATED = 500
MOST_LABELS = 20_000_000
LARGEST_LABELS = 2**28
MOST_NAMES = 1_000
# among which images and labels are looked for by themselves
MOST_KEYS = 10_000
LONGEST_TEXT = 1_000
LARGEST_IMAGE = 2**26
_LISTED_KEYS = 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Source(Protocol):
    """A file of arrays."""

    path: Path
    keys: list[str]

    def has(self, key: str) -> bool:
        """Whether there is an array of this name."""

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return an array's shape and type, without reading it."""

    def read(self, key: str) -> np.ndarray:
        """Return a small array as a whole."""

    def rows(self, key: str, n: int | None) -> Any:
        """Return an array of which rows are read as they are needed; `n` is how many rows of labels
        there are, if that is known.
        """


def shown(name: object) -> str:
    """Return a path or a key as it may be printed."""
    return plain(str(name), longest=200)


def keys_of(keys: Sequence[str]) -> str:
    """List keys in a message."""
    more = f" and {len(keys) - _LISTED_KEYS} more" if len(keys) > _LISTED_KEYS else ""
    return ", ".join(shown(key) for key in keys[:_LISTED_KEYS]) + more or "none"


def size(n_bytes: int) -> str:
    """Return a number of bytes as it is printed."""
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.3g} MB"


def brief(problem: BaseException) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return plain(lines[0], longest=200).rstrip(".")


@contextmanager
def damage(path: Path, what: str, has: str = "has") -> Iterator[None]:
    """Turn whatever a library raises on damaged bytes into one sentence; an error of our own
    passes.
    """
    try:
        yield
    except Refused:
        raise
    except Exception as problem:
        raise Refused(
            f"{shown(path)} {has} a damaged {what} ({brief(problem)}); save it again."
        ) from problem


class Refused(ValueError):
    """One sentence that says what is wrong with a file and what to do."""


def check_shape(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse what no array of images or labels can be."""
    if dtype.hasobject and dtype.kind != "O":
        raise Refused(
            f"{shown(path)} holds Python objects or text of any length in the fields of {shown(key)!r}; save plain arrays."
        )
    if any(length < 0 for length in shape) or len(shape) > 5:
        raise Refused(
            f"{shown(path)} has the array {shown(key)!r} of the shape {shape[:8]}, which is no array of images or labels."
        )


def check_labels(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse labels that would take much memory, before they are read."""
    n_values = math.prod(shape) * max(1, len(dtype.names or ()))
    if n_values > MOST_LABELS:
        raise Refused(
            f"{shown(path)} has {n_values:,} values in {shown(key)!r}; labels may have at most {MOST_LABELS:,}."
        )
    if dtype.itemsize > 4 * LONGEST_TEXT * max(1, len(dtype.names or ())):
        raise too_long(path, key)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > LARGEST_LABELS:
        raise Refused(
            f"{shown(path)} has labels of {size(n_bytes)} in {shown(key)!r}; at most {size(LARGEST_LABELS)} are read: use codes."
        )


def holds_objects(path: Path, key: str) -> Refused:
    """Return the error for pickled objects."""
    return Refused(
        f"{shown(path)} holds Python objects in {shown(key)!r}, which are never unpickled; save plain arrays."
    )


def too_long(path: Path, key: str) -> Refused:
    """Return the error for text that is no label or name."""
    return Refused(
        f"{shown(path)} has text in {shown(key)!r} of more than {LONGEST_TEXT:,} characters; use codes or short names."
    )


def check_images(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse images of absurd size, before they are read."""
    one = math.prod(shape[1:]) * dtype.itemsize
    if one > LARGEST_IMAGE:
        raise Refused(
            f"{shown(path)} has images of the shape {shape[1:]} in {shown(key)!r}, {size(one)} each; at most {size(LARGEST_IMAGE)} "
            "each are read: make them smaller."
        )


def check_inflated(path: Path, key: str, n_bytes: int, stored: int) -> None:
    """Refuse an array that inflates to far more than images do."""
    if n_bytes > IN_MEMORY and n_bytes > MOST_INFLATED * stored:
        raise Refused(
            f"{shown(path)} has {shown(key)!r} of {size(n_bytes)} in {size(stored)}; beyond {size(IN_MEMORY)} an array may inflate at most "
            f"{MOST_INFLATED} times: save it without compression."
        )


def scratch(path: Path, n_bytes: int) -> np.ndarray:
    """Return that many bytes to write to, uint8: in memory, or in a temporary file that has no name
    and goes with the array.

    Raises
    ------
    ValueError
        If the folder of temporary files has no room, or cannot be written to.
    """
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
    except OSError as problem:
        why = (
            "has no room"
            if problem.errno in _NO_ROOM
            else f"cannot be written to ({problem.strerror or brief(problem)})"
        )
        raise Refused(
            f"{shown(folder)} {why} for a copy of {size(n_bytes)} of {shown(path)}; make room, or set TMPDIR to a folder with more."
        ) from problem


def release(array: np.ndarray) -> None:
    """Let the system take back the memory of a temporary file's pages, which are read again when
    they are needed.
    """
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
