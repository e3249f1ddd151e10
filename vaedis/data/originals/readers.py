"""Read the original files of the benchmark data sets, as their authors published them.

A reader yields images, 64×64 and uint8, in blocks and in the order of the factors. It is given
files whose digest is known, unpacks nothing to disk and unpickles nothing. Whatever is wrong with a
file is one ValueError that names it.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

SIDE = 64
CARS = "data/cars"
NORB_MAGIC = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}
_BLOCK = 1024
_LARGEST_MEMBER = 64 * 2**20
# chunks of these files may be some 20,000 images by a few pixels: two rows of them fit into this,
# so that each is inflated only once
_HDF5_CACHE = 400 * 2**20

Reader = Callable[[Sequence[Path], tuple[int, ...]], Iterator[np.ndarray]]


def read_dsprites(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield dSprites from its ``.hdf5`` file, the pixels of 0 and 1 times 255.

    `sizes` are those of the factors, here and below; a test may have files of fewer images.
    """
    (path,) = paths
    for images in _hdf5_blocks(path, "imgs", (math.prod(sizes), SIDE, SIDE)):
        yield images[..., None] * np.uint8(255)


def read_shapes3d(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield 3D Shapes from ``3dshapes.h5``."""
    (path,) = paths
    yield from _hdf5_blocks(path, "images", (math.prod(sizes), SIDE, SIDE, 3))


def read_cars3d(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield Cars3D from ``nips2015-analogy-data.tar.gz``.

    ``data/cars/list.txt`` names the cars in their order. Each is a MATLAB 5 file whose ``im`` has
    the shape (128, 128, 3, 24 azimuths, 4 elevations). The car is the fastest factor, so that all
    have to be read before the first block.
    """
    (path,) = paths
    elevations, azimuths, n_cars = sizes
    images = np.empty((elevations, azimuths, n_cars, SIDE, SIDE, 3), np.uint8)
    with (
        _one_error(path, "a gzipped tar file of MATLAB 5 files"),
        gzip.open(path) as file,
        tarfile.open(fileobj=file, mode="r:") as tar,
    ):
        members = _members(tar)
        while file.read(2**20):  # to the end, where gzip checks its sum
            pass
        lines = _content(tar, members[f"{CARS}/list.txt"]).decode().split()
        number = {f"{CARS}/{name}.mat": k for k, name in enumerate(lines)}
        if not len(lines) == len(number) == n_cars or not number.keys() <= members.keys():
            raise ValueError(f"its list does not name {n_cars} cars that are there")
        # in the file's order: in another one it would be inflated from its start for each car
        for name in filter(number.__contains__, members):
            shape = (128, 128, 3, azimuths, elevations)
            car = _mat_array(_content(tar, members[name]), "im", shape)
            images[:, :, number[name]] = car_views(car)
    yield from _blocks(images.reshape(-1, SIDE, SIDE, 3))


def car_views(car: np.ndarray) -> np.ndarray:
    """Resize a car: from (H, W, 3, azimuths, elevations) to (elevations, azimuths, 64, 64, 3)."""
    views = car.transpose(4, 3, 0, 1, 2)
    resized = resize(views.reshape(-1, *views.shape[2:]))
    return resized.reshape(*views.shape[:2], SIDE, SIDE, 3)


def read_smallnorb(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield SmallNORB, the first camera of its training split, from its files dat, cat and info.

    They hold images in pairs, one of each camera; categories; and instance, elevation, azimuth
    (twice the rotation) and lighting. Rows are in no order; images are sorted by all of these.
    """
    dat, cat, info = paths
    positions = _norb_positions(cat, info, sizes)
    images = np.empty((len(positions), SIDE, SIDE, 1), np.uint8)
    pairs = _norb_rows(dat, "uint8", (len(positions), 2, 96, 96))
    for position, pair in zip(positions, pairs, strict=True):
        images[position] = resize(pair[:1, ..., None])[0]
    yield from _blocks(images)


READERS: dict[str, Reader] = {
    "dsprites": read_dsprites,
    "shapes3d": read_shapes3d,
    "cars3d": read_cars3d,
    "smallnorb": read_smallnorb,
}


def resize(images: np.ndarray) -> np.ndarray:
    """Return images, uint8 of shape (n, H, W, 1 or 3), at 64×64 pixels.

    PIL's bilinear filter antialiases when it shrinks; torchvision's resize is the same.
    """
    from PIL import Image

    resized = np.empty((len(images), SIDE, SIDE, images.shape[-1]), np.uint8)
    for image, out in zip(images, resized, strict=True):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        full_size = Image.fromarray(np.ascontiguousarray(pixels))
        small = full_size.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        out[:] = np.asarray(small).reshape(out.shape)
    return resized


def _blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), _BLOCK):
        yield images[start : start + _BLOCK]


@contextmanager
def _one_error(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever libraries raise on wrong bytes into a ValueError that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{path} is not {expected} as published ({lines[0].rstrip('.')}); "
            "fetch the original again."
        ) from error


def _check_array(key: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f"{key!r} is {array.dtype} of {array.shape}, not uint8 of {shape}")


def _hdf5_blocks(path: Path, key: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield an array of an HDF5 file in blocks."""
    import h5py

    with (
        _one_error(path, "an HDF5 file"),
        h5py.File(path, "r", rdcc_nbytes=_HDF5_CACHE, rdcc_nslots=1_000_003) as file,
    ):
        array = file[key]
        _check_array(key, array, shape)
        for start in range(0, shape[0], _BLOCK):
            yield array[start : start + _BLOCK]


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """Return the members of a tar file by name, and refuse names outside its folder."""
    members = {}
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"it has a member {member.name!r} outside its folder")
        members[str(path)] = member
    return members


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a plain file in a tar file."""
    file = tar.extractfile(member) if member.isreg() else None
    if file is None or member.size > _LARGEST_MEMBER:
        raise ValueError(f"its member {member.name!r} is no file or too large")
    return file.read()


def _mat_array(content: bytes, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array from the bytes of a MATLAB 5 file."""
    import scipy.io

    array = scipy.io.loadmat(io.BytesIO(content), variable_names=[key])[key]
    _check_array(key, array, shape)
    return array


def _norb_rows(path: Path, dtype: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the rows of a gzipped NORB matrix.

    Its header is little-endian: an int32 that names the type, the number of dimensions, and at
    least three dimensions.
    """
    header = struct.pack(f"<Ii{len(shape)}i", NORB_MAGIC[dtype], len(shape), *shape)
    value = np.dtype(dtype).newbyteorder("<")
    row_bytes = math.prod(shape[1:]) * value.itemsize
    expected = f"a gzipped NORB matrix of {dtype} and shape {shape}"
    with _one_error(path, expected), gzip.open(path) as file:
        if file.read(len(header)) != header:
            raise ValueError("it has another header")
        file.read(4 * max(0, 3 - len(shape)))
        for _ in range(shape[0]):
            yield np.frombuffer(file.read(row_bytes), value).reshape(shape[1:])
        if file.read(1):
            raise ValueError("it is longer than its header says")


def _norb_positions(cat: Path, info: Path, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the position of each row's image: int64 of shape (n,)."""
    n = math.prod(sizes)
    category = np.stack(list(_norb_rows(cat, "int32", (n,))))
    instance, elevation, azimuth, lighting = np.stack(list(_norb_rows(info, "int32", (n, 4)))).T
    columns = (category, instance, elevation, azimuth // 2, lighting)
    ranks = [np.unique(column, return_inverse=True)[1] for column in columns]
    with _one_error(info, f"a list, with {cat}, of each combination of {sizes} factor values"):
        positions = np.ravel_multi_index(ranks, sizes)
        if len(np.unique(positions)) < n:
            raise ValueError("it repeats one")
    return positions
