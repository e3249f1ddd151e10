"""Files that are whole or not there: written beside their place, made to last, and then renamed."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import secrets
import stat
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

# of the arrays of one file, unpacked; those of a run take less than 1 MB
_LARGEST_NPZ = 256 * 1024**2
# how long a lock is waited for before a line says so
_QUIET_SECONDS = 5.0
_POLL_SECONDS = 0.02


class DamagedFile(UserWarning):
    """A file of results that cannot be read; what it holds counts as missing."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, either the old or the whole new content is there.

    A file that is replaced keeps its mode; a new one has the mode that the process gives its files.
    """
    name = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.is_file():
            os.chmod(name, stat.S_IMODE(path.stat().st_mode))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file by `write_atomically`, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def read_plain(path: Path, most: int) -> bytes:
    """Return what a plain file holds, nothing if there is none; pipes and devices, which may never
    end, are not opened.

    Raises
    ------
    OSError
        If it is no plain file, takes more than `most` bytes, or cannot be read; the message names
        it.
    """
    if not os.path.lexists(path):
        return b""
    if not path.is_file():
        raise OSError(f"{path} cannot be read (it is no plain file)")
    try:
        if path.stat().st_size > most:
            raise OSError(f"it takes more than {most // 1024**2} MB")
        return path.read_bytes()
    except OSError as problem:
        raise OSError(f"{path} cannot be read ({problem.strerror or problem})") from None


def make_folder(path: Path) -> None:
    """Make a folder in one that exists, unless it is there, open to whom that one is: a store may
    belong to two users.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode))


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of an .npz file: compressed as far as zlib goes, and the same for the same
    arrays, whatever the clock says.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            # as in `ZipFile.writestr`, but for the date
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    return buffer.getvalue()


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file that `npz` wrote, whoever may have changed it since.

    Raises
    ------
    ValueError
        If it is none, is damaged, or would unpack to more than 256 MB.
    OSError
        If it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            # other methods unpack without a bound
            if any(
                m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members
            ):
                raise ValueError("its compression is none that numpy writes")
            if sum(m.file_size for m in members) > _LARGEST_NPZ:
                raise ValueError(f"its arrays take more than {_LARGEST_NPZ // 1024**2} MB")
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _read_array(
                        file, member.file_size
                    )
            return arrays
    except OSError:
        raise
    except Exception as problem:  # damaged bytes raise a dozen kinds, from BadZipFile to TokenError
        raise ValueError(
            f"{path} cannot be read ({str(problem).strip() or type(problem).__name__})"
        ) from None


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """Return an array in numpy's own format, if it takes as many bytes as its header says; numpy
    makes room before it reads them.
    """
    content = file.read(size + 1)
    header = io.BytesIO(content)
    version = np.lib.format.read_magic(header)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(header)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not loaded")
    if math.prod(shape) * dtype.itemsize != len(content) - header.tell():
        raise ValueError("an array is shorter or longer than its header says")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same from a folder; say so, once, where that takes long.

    Raises
    ------
    ValueError
        If the lock in the folder is no plain file.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows, where one process at a time must do
        yield
        return
    handle = _open_lock(folder / ".lock")
    try:
        start = time.monotonic()
        while not _take(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if time.monotonic() - start > _QUIET_SECONDS:
                print(
                    f"vaedis: waiting until another process has written to {folder}",
                    file=sys.stderr,
                )
                _take(handle, fcntl.LOCK_EX)
                break
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def _take(handle: int, how: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    return True


def _open_lock(path: Path) -> int:
    """Open a lock without following a link, changing what it holds, or needing to write to it: its
    owner may be another user.
    """
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        try:
            handle = os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            handle = os.open(path, flags | os.O_RDONLY)
    except OSError as problem:
        if problem.errno == errno.ELOOP or path.is_dir():
            raise _no_lock(path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _no_lock(path)
    return handle


def _no_lock(path: Path) -> ValueError:
    return ValueError(
        f"{path} keeps two processes from writing at once and must be a plain file, not a link or a folder; delete it."
    )
