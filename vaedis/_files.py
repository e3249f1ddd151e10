"""Files that are whole or not there: written beside their place, made to last, and then renamed."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, either the old or the whole new content is there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file by `write_atomically`, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of an .npz file: compressed as far as zlib goes, and the same for the same arrays, whatever the clock says."""
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


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same from a folder."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows, where one process at a time must do
        yield
        return
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
