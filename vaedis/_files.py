"""Write files that are complete or not there, and read those that others may have changed."""

from __future__ import annotations

import contextlib
import io
import math
import os
import secrets
import stat
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

_LARGEST_NPZ = 256 * 1024**2  # unpacked; the arrays of a run take less than 1 MB
_QUIET_SECONDS = 5.0  # how long to wait for a lock before saying so


class DamagedFile(UserWarning):
    """A file of results that cannot be read; what it holds counts as missing."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when the block ends without an error.

    A file that is replaced passes on its mode and, where that is permitted, its owner.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    replaced = path.stat() if path.is_file() else None
    # until it is complete, nobody may read more of it than of the file that it replaces
    mode = 0o666 if replaced is None else 0o600
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replaced is not None:
            if hasattr(os, "chown"):
                with contextlib.suppress(PermissionError):
                    os.chown(temporary, replaced.st_uid, replaced.st_gid)
            os.chmod(temporary, stat.S_IMODE(replaced.st_mode))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file by `replacing`."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file by `replacing`, and make its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def read_plain(path: Path, most: int) -> bytes:
    """Return the content of a plain file of at most `most` bytes, empty if there is none.

    An OSError names any other: a pipe may never end.
    """
    if not os.path.lexists(path):
        return b""
    try:
        if not path.is_file():
            raise OSError("it is no plain file")
        if path.stat().st_size > most:
            raise OSError(f"it takes more than {most // 1024**2} MB")
        return path.read_bytes()
    except OSError as problem:
        raise OSError(f"{path} cannot be read ({problem.strerror or problem})") from None


def make_folder(path: Path) -> None:
    """Make a folder with the mode of its parent, since two users may share a store."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode))


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of an .npz file: the same for the same arrays at any time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, whenever it is written
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return what the header of an .npy file says: shape, whether in Fortran's order, and type."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"its header is of version {version}, which is not read")


@contextlib.contextmanager
def open_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype]]:
    """Open an array of an .npz file behind its header.

    Yields the file, the array's shape, whether it is in Fortran's order, and its type.
    """
    # zipfile unpacks other methods, none of which numpy writes, without a bound
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("its compression is none that numpy writes")
    with archive.open(member) as file:
        shape, fortran, dtype = npy_header(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are not loaded")
        # zipfile bounds what it unpacks by the zip directory, which the header must agree with
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError("an array is shorter or longer than its header says")
        yield file, shape, fortran, dtype


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, which others may have changed.

    A ValueError names a file that is damaged, holds Python objects or unpacks to over 256 MB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _LARGEST_NPZ:
                raise ValueError(f"its arrays take more than {_LARGEST_NPZ // 1024**2} MB")
            arrays = {}
            for member in members:
                with open_array(archive, member) as (file, shape, fortran, dtype):
                    numbers = np.frombuffer(file.read(), dtype)
                    order: Any = "F" if fortran else "C"
                    array = numbers.reshape(shape, order=order).copy(order)
                arrays[member.filename.removesuffix(".npy")] = array
            return arrays
    except OSError:
        raise
    except Exception as problem:  # damaged bytes raise a dozen kinds, from BadZipFile to TokenError
        reason = str(problem).strip() or type(problem).__name__
        raise ValueError(f"{path} cannot be read ({reason})") from None


@contextlib.contextmanager
def locked(folder: Path, *, silent: bool = False) -> Iterator[None]:
    """Hold the exclusive lock of a folder; print one line if that takes long, unless `silent`.

    The lock ends with the process. A ValueError says that its file is a link or a folder.
    """
    from filelock import FileLock, Timeout  # torch depends on it

    path = folder / ".lock"
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(
            f"{path} keeps two processes from writing at once and must be a plain file; delete it."
        )
    # any user who may write to the folder may take the lock
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=_QUIET_SECONDS)
    except Timeout:
        if not silent:
            print(f"vaedis: waiting until another process has written to {folder}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
