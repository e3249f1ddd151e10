"""Write images in the file formats of Cars3D and SmallNORB, so that stand-ins are read by what reads
the originals.

The same images give the same bytes: no file holds a date, an owner or the name of a machine.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, cast

import numpy as np

from vaedis.data.originals.containers import NORB_MAGIC, Path, require
from vaedis.data.originals.readers import CARS


def write_cars3d(path: Path, cars: Iterable[np.ndarray]) -> None:
    """Write a gzipped tar file of MATLAB 5 files, and their list.

    Parameters
    ----------
    path : path
    cars : iterable of ndarray of uint8, shape (128, 128, 3, azimuths, elevations)
        One car after the other, on white.
    """
    names = []
    with (
        _gzipped(path) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for number, images in enumerate(cars, 1):
            names.append(f"car_{number:03}_mesh")
            _add(
                tar,
                f"{CARS}/{names[-1]}.mat",
                _mat({"im": images, "mask": np.any(images < 255, axis=2)}),
            )
        _add(tar, f"{CARS}/list.txt", "".join(f"{name}\n" for name in names).encode())


def write_smallnorb(
    dat: Path, cat: Path, info: Path, pairs: Iterable[np.ndarray], labels: np.ndarray
) -> None:
    """Write the three files of one split.

    Parameters
    ----------
    dat, cat, info : path
    pairs : iterable of ndarray of uint8, shape (2, 96, 96)
        For each row of `labels`, what the two cameras see.
    labels : ndarray of int, shape (n, 5)
        Category, instance, elevation, azimuth (twice the rotation) and lighting.
    """
    labels = np.asarray(labels, "<i4")
    for path, matrix in ((cat, labels[:, 0]), (info, labels[:, 1:])):
        with _gzipped(path) as file:
            file.write(_norb_header("int32", matrix.shape) + matrix.tobytes())
    with _gzipped(dat) as file:
        file.write(_norb_header("uint8", (len(labels), 2, 96, 96)))
        for pair in pairs:
            file.write(np.ascontiguousarray(pair, np.uint8).tobytes())


@contextmanager
def _gzipped(path: Path) -> Iterator[IO[bytes]]:
    """Open a gzip file that gets its name only when it is whole."""
    folder, name = os.path.split(os.fspath(path))
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder or ".")
    try:
        with os.fdopen(handle, "wb") as raw:
            with gzip.GzipFile(
                filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0
            ) as file:
                yield cast(IO[bytes], file)
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _mat(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    require("scipy.io").savemat(buffer, arrays)
    # the first 116 bytes are free text, in which SciPy puts the date and the platform
    return b"MATLAB 5.0 MAT-file, written by vaedis".ljust(116) + buffer.getvalue()[116:]


def _norb_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    dims = (*shape, 1, 1)[: max(3, len(shape))]
    return struct.pack(f"<Ii{len(dims)}i", NORB_MAGIC[dtype], len(shape), *dims)
