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
from typing import IO

import numpy as np

_LARGEST_NPZ = 256 * 1024**2  # unpacked; the arrays of a run take less than 1 MB
_QUIET_SECONDS = 5.0  # how long to wait for a lock before saying so


class DamagedFile(UserWarning):
    """A file of results that cannot be read; what it holds counts as missing."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when the block ends without an error.

    A file that is replaced passes on its mode and, where that is permitted, its owner. A new one
    has the mode that the process gives its files.
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
    """Return the content of a plain file, empty if there is none.

    An OSError names a file that is not plain (a pipe may never end), is larger than `most` bytes,
    or cannot be read.
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
    """Make a folder with the mode of its parent, since two users may share a store."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode))


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of an .npz file: the same for the same arrays at any time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    return buffer.getvalue()


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, which others may have changed.

    A ValueError names a file that is damaged, holds Python objects, or would unpack to more than
    256 MB; an OSError one that cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members)
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    # a bound, since more may be packed than is stated
                    content = file.read(member.file_size + 1)
                arrays[member.filename.removesuffix(".npy")] = _read_array(content)
            return arrays
    except OSError:
        raise
    except Exception as problem:  # damaged bytes raise a dozen kinds, from BadZipFile to TokenError
        reason = str(problem).strip() or type(problem).__name__
        raise ValueError(f"{path} cannot be read ({reason})") from None


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Refuse what would unpack without a bound, or to too much."""
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("its compression is none that numpy writes")
    if sum(member.file_size for member in members) > _LARGEST_NPZ:
        raise ValueError(f"its arrays take more than {_LARGEST_NPZ // 1024**2} MB")


def _read_array(content: bytes) -> np.ndarray:
    """Read an array in numpy's format, whose header must state as many bytes as there are."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not loaded")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError("an array is shorter or longer than its header says")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


@contextlib.contextmanager
def locked(folder: Path, *, silent: bool = False) -> Iterator[None]:
    """Hold the exclusive lock of a folder, which ends with the process.

    It says so once if that takes long, unless `silent`. A ValueError says that the lock file is a
    link or a folder.
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
