"""Write small files in the formats of Cars3D and SmallNORB, for the tests of their readers."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vaedis.data.originals.readers import CARS

NORB_MAGIC = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    """Write a gzipped tar file."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def mat(arrays: dict[str, np.ndarray]) -> bytes:
    """Return a MATLAB 5 file."""
    import scipy.io

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays)
    return buffer.getvalue()


def write_cars3d(path: Path, cars: Iterable[np.ndarray]) -> None:
    """Write cars, each of (128, 128, 3, azimuths, elevations), and their list."""
    files = {}
    names = []
    for number, images in enumerate(cars, 1):
        names.append(f"car_{number:03}_mesh")
        files[f"{CARS}/{names[-1]}.mat"] = mat({"im": images, "mask": np.any(images < 255, axis=2)})
    files[f"{CARS}/list.txt"] = "".join(f"{name}\n" for name in names).encode()
    write_tar(path, files)


def write_smallnorb(
    dat: Path, cat: Path, info: Path, pairs: Iterable[np.ndarray], labels: np.ndarray
) -> None:
    """Write the three files of a split: pairs of (2, 96, 96), and rows of five labels."""
    labels = np.asarray(labels, "<i4")
    for path, matrix in (
        (dat, np.asarray(list(pairs), np.uint8)),
        (cat, labels[:, 0]),
        (info, labels[:, 1:]),
    ):
        dtype = "uint8" if path == dat else "int32"
        content = norb_header(dtype, matrix.shape) + matrix.tobytes()
        path.write_bytes(gzip.compress(content, compresslevel=1))


def norb_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a NORB matrix, which has at least three dimensions."""
    sizes = (*shape, 1, 1)[: max(3, len(shape))]
    return struct.pack(f"<Ii{len(sizes)}i", NORB_MAGIC[dtype], len(shape), *sizes)
