"""Read the original files of the benchmark data sets, as their authors published them.

A reader yields images, 64×64 and uint8, in blocks and in the order of the factors, whose numbers of
values are `sizes`. The digests of its files have been checked, so it trusts what is in them.
"""

from __future__ import annotations

import gzip
import io
import math
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

SIDE = 64
CARS = "data/cars"
_BLOCK = 1024
# chunks of these files may be some 20,000 images by a few pixels: two rows of them fit into this,
# so that each is inflated only once
_HDF5_CACHE = 400 * 2**20
_NORB_HEADER_BYTES = {"dat": 24, "cat": 20, "info": 20}

Reader = Callable[[Sequence[Path], tuple[int, ...]], Iterator[np.ndarray]]


def read_dsprites(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield dSprites from its ``.hdf5`` file, the pixels of 0 and 1 times 255."""
    for images in _hdf5_blocks(paths[0], "imgs"):
        yield images[..., None] * np.uint8(255)


def read_shapes3d(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield 3D Shapes from ``3dshapes.h5``."""
    yield from _hdf5_blocks(paths[0], "images")


def read_cars3d(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield Cars3D from ``nips2015-analogy-data.tar.gz``.

    Each car is a MATLAB 5 file, whose ``im`` is (128, 128, 3, 24 azimuths, 4 elevations).
    """
    import scipy.io

    # the car is the fastest factor, so all cars are read before the first block
    images = np.empty((*sizes, SIDE, SIDE, 3), np.uint8)
    with tarfile.open(paths[0]) as tar:
        members = {member.name.removeprefix("./"): member for member in tar}
        # the cars in their order
        lines = _content(tar, members[f"{CARS}/list.txt"]).decode().split()
        number = {f"{CARS}/{name}.mat": k for k, name in enumerate(lines)}
        # in the file's order: in another one it would be inflated from its start for each car
        for name in filter(number.__contains__, members):
            content = io.BytesIO(_content(tar, members[name]))
            car = scipy.io.loadmat(content, variable_names=["im"])["im"]
            images[:, :, number.pop(name)] = car_views(car)
    if number:
        raise ValueError(f"{paths[0]} lacks {', '.join(number)}")
    yield from _blocks(images.reshape(-1, SIDE, SIDE, 3))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    return file.read()


def car_views(car: np.ndarray) -> np.ndarray:
    """Resize a car: from (H, W, 3, azimuths, elevations) to (elevations, azimuths, 64, 64, 3)."""
    views = car.transpose(4, 3, 0, 1, 2)
    resized = resize(views.reshape(-1, *views.shape[2:]))
    return resized.reshape(*views.shape[:2], SIDE, SIDE, 3)


def read_smallnorb(paths: Sequence[Path], sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield SmallNORB, the first camera of its training split, from its files dat, cat and info.

    The files' rows are in no order; images are sorted by category and the columns of info.
    """
    dat, cat, info = paths
    n = math.prod(sizes)
    category = _norb_numbers(cat, "cat")
    instance, elevation, azimuth, lighting = _norb_numbers(info, "info").reshape(n, 4).T
    # the file has twice the number of the rotation
    columns = (category, instance, elevation, azimuth // 2, lighting)
    ranks = [np.unique(column, return_inverse=True)[1] for column in columns]
    images = np.empty((n, SIDE, SIDE, 1), np.uint8)
    with gzip.open(dat) as file:
        file.read(_NORB_HEADER_BYTES["dat"])
        for position in np.ravel_multi_index(ranks, sizes):
            # one image of each camera
            pair = np.frombuffer(file.read(2 * 96 * 96), np.uint8).reshape(2, 96, 96, 1)
            images[position] = resize(pair[:1])[0]
    yield from _blocks(images)


def _norb_numbers(path: Path, part: str) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read()[_NORB_HEADER_BYTES[part] :], "<i4")


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
    for image, target in zip(images, resized, strict=True):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        full_size = Image.fromarray(np.ascontiguousarray(pixels))
        small = full_size.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        target[:] = np.asarray(small).reshape(target.shape)
    return resized


def _blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), _BLOCK):
        yield images[start : start + _BLOCK]


def _hdf5_blocks(path: Path, key: str) -> Iterator[np.ndarray]:
    import h5py

    with h5py.File(path, "r", rdcc_nbytes=_HDF5_CACHE, rdcc_nslots=1_000_003) as file:
        yield from _blocks(file[key])
