"""The original files of the four benchmark data sets, read as their authors published them.

Each reader takes the original's files and yields its images, 64×64 and uint8, block by block in the
order of the factors: the images' position is the index of their factor values. Nothing is
unpickled, nothing is unpacked to disk, and memory stays well below 1 GB. `vaedis data prepare`
reads files with the published digest only; what is read of other files is bounded all the same.

>>> for images in READERS["cars3d"]("nips2015-analogy-data.tar.gz"):  # (n, 64, 64, 3) uint8
...     file.write(images)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from vaedis.data.originals.containers import (
    Path,
    exactly,
    hdf5_blocks,
    norb_matrix,
    npz_blocks,
    read_mat,
    require,
    tar_members,
    wrong,
)

SIZES: dict[str, tuple[int, ...]] = {
    "dsprites": (3, 6, 40, 32, 32),  # shape, scale, orientation, position_x, position_y
    "shapes3d": (
        10,
        10,
        10,
        8,
        4,
        15,
    ),  # floor_hue, wall_hue, object_hue, scale, shape, orientation
    "cars3d": (4, 24, 183),  # elevation, azimuth, object_type
    "smallnorb": (5, 5, 9, 18, 6),  # category, instance, elevation, rotation, lighting
}
CHANNELS = {"dsprites": 1, "shapes3d": 3, "cars3d": 3, "smallnorb": 1}
SIDE = 64
CARS = "data/cars"
NORB_TRAINING = (4, 6, 7, 8, 9)
"""The instances of each category that SmallNORB's training split holds; the testing split holds the others."""


def read_dsprites(
    path: Path, *, block: int = 1024, sizes: tuple[int, ...] = SIZES["dsprites"]
) -> Iterator[np.ndarray]:
    """Yield dSprites' images from its ``.npz`` or its ``.hdf5`` file, their 0 and 1 times 255.

    Parameters
    ----------
    path : path
        ``dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`` or ``.hdf5``; its first bytes say which
        of the two it is.
    block : int
        How many images to yield at once, at most.
    sizes : tuple of int
        Of the factors, for files cut down to a part of the data set.

    Yields
    ------
    ndarray of uint8, shape (n, 64, 64, 1)

    Raises
    ------
    ValueError
        If the file is damaged or holds anything but the original's arrays.
    """
    shape = (math.prod(sizes), SIDE, SIDE)
    with open(path, "rb") as file:
        start = file.read(8)
    if start.startswith(b"PK\x03\x04"):
        blocks = npz_blocks(path, "imgs", shape, block)
    elif start == b"\x89HDF\r\n\x1a\n":
        blocks = hdf5_blocks(path, "imgs", shape, block)
    else:
        raise wrong(path, f"starts with {start[:4]!r}", "an .npz or .hdf5 file")
    for images in blocks:
        if images.max() > 1:
            raise wrong(path, f"has a pixel of {images.max()}", "0 and 1 alone")
        yield images[..., None] * np.uint8(255)


def read_shapes3d(
    path: Path, *, block: int = 1024, sizes: tuple[int, ...] = SIZES["shapes3d"]
) -> Iterator[np.ndarray]:
    """Yield 3D Shapes' images from ``3dshapes.h5``; parameters and errors as in `read_dsprites`.

    Yields
    ------
    ndarray of uint8, shape (n, 64, 64, 3)
    """
    yield from hdf5_blocks(path, "images", (math.prod(sizes), SIDE, SIDE, 3), block)


def read_cars3d(
    path: Path, *, block: int = 1024, sizes: tuple[int, ...] = SIZES["cars3d"]
) -> Iterator[np.ndarray]:
    """Yield Cars3D's images from ``nips2015-analogy-data.tar.gz``; parameters and errors as in
    `read_dsprites`.

    ``data/cars/list.txt`` names the cars in their order, each a MATLAB 5 file whose ``im`` is an
    array of (128, 128, 3, 24 azimuths, 4 elevations). A block comes only when all have been read:
    the car is the fastest factor.

    Yields
    ------
    ndarray of uint8, shape (n, 64, 64, 3)
    """
    elevations, azimuths, cars = sizes
    images = np.empty((elevations, azimuths, cars, SIDE, SIDE, 3), np.uint8)
    with tar_members(path) as (members, read):
        listed = f"{CARS}/list.txt"
        if listed not in members:
            raise wrong(path, f"lacks {listed}", "the list of cars")
        lines = read(listed).decode("utf-8", "replace").splitlines()
        names = [f"{CARS}/{line.strip()}.mat" for line in lines if line.strip()]
        if not len(names) == len(set(names)) == cars:
            raise wrong(
                path,
                f"names {len(names)} cars in {listed}, {len(set(names))} of them different",
                f"{cars} different ones",
            )
        if absent := sorted(set(names) - set(members)):
            raise wrong(
                path,
                f"lacks {len(absent)} of the files named in {listed}, the first of them {absent[0]}",
                "all of them",
            )
        number = {name: i for i, name in enumerate(names)}
        for name in filter(number.__contains__, members):
            raw = read_mat(f"{path}: {name}", read(name), "im", (128, 128, 3, azimuths, elevations))
            raw = raw.transpose(4, 3, 0, 1, 2)  # elevation, azimuth, H, W, C
            images[:, :, number[name]] = resize(raw.reshape(-1, *raw.shape[2:])).reshape(
                elevations, azimuths, SIDE, SIDE, 3
            )
    yield from _split(images.reshape(-1, SIDE, SIDE, 3), block)


def read_smallnorb(
    dat: Path,
    cat: Path,
    info: Path,
    *,
    block: int = 1024,
    sizes: tuple[int, ...] = SIZES["smallnorb"],
) -> Iterator[np.ndarray]:
    """Yield SmallNORB's images, the first camera of its training split; parameters and errors as in
    `read_dsprites`.

    Parameters
    ----------
    dat, cat, info : path
        ``smallnorb-5x46789x9x18x6x2x96x96-training-{dat,cat,info}.mat.gz``: images in pairs, one of
        each camera; categories; and instance, elevation, azimuth (twice the rotation) and lighting.
    block, sizes
        See `read_dsprites`.

    Yields
    ------
    ndarray of uint8, shape (n, 64, 64, 1)
        Sorted by category, instance, elevation, rotation and lighting, in which the files are not.
    """
    position = _norb_positions(cat, info, sizes)
    images = np.empty((len(position), SIDE, SIDE, 1), np.uint8)
    shape = (2, 96, 96)
    with norb_matrix(dat, "uint8", (len(position), *shape)) as file:
        for where in position:
            pair = np.frombuffer(exactly(file, math.prod(shape)), np.uint8).reshape(shape)
            images[where] = resize(pair[:1, ..., None])[0]
    yield from _split(images, block)


READERS: dict[str, Callable[..., Iterator[np.ndarray]]] = {
    "dsprites": read_dsprites,
    "shapes3d": read_shapes3d,
    "cars3d": read_cars3d,
    "smallnorb": read_smallnorb,
}
"""For each data set, its reader: `READERS[name](*paths, block=1024)`, with as many paths as the original has files."""


def resize(images: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Return images at another size, by PIL's bilinear filter, which antialiases when it shrinks: what
    torchvision's resize does.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, H, W, C)
        C is 1 or 3.
    side : int

    Returns
    -------
    ndarray of uint8, shape (n, side, side, C)
    """
    Image = require("PIL.Image")
    small = np.empty((len(images), side, side, images.shape[-1]), np.uint8)
    for image, out in zip(images, small, strict=True):
        picture = Image.fromarray(
            np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
        )
        out[:] = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)).reshape(
            out.shape
        )
    return small


def _split(images: np.ndarray, block: int) -> Iterator[np.ndarray]:
    for start in range(0, len(images), block):
        yield images[start : start + block]


def _norb_positions(cat: Path, info: Path, sizes: tuple[int, ...]) -> np.ndarray:
    """For each row of the files, where its image belongs: ndarray of int64, shape (n,)."""
    n = math.prod(sizes)
    with norb_matrix(cat, "int32", (n,)) as file:
        category = np.frombuffer(exactly(file, 4 * n), "<i4")
    with norb_matrix(info, "int32", (n, 4)) as file:
        instance, elevation, azimuth, lighting = (
            np.frombuffer(exactly(file, 16 * n), "<i4").reshape(n, 4).T
        )
    if not set(instance.tolist()) <= set(NORB_TRAINING):
        raise wrong(
            info,
            f"holds the instances {sorted(set(instance.tolist()))}",
            f"those of the training split, {NORB_TRAINING}",
        )
    columns = (category, instance, elevation, azimuth // 2, lighting)
    ranks = [np.unique(column, return_inverse=True) for column in columns]
    found = tuple(len(values) for values, _ in ranks)
    if found != sizes:
        raise wrong(
            info,
            f"has, with {cat}, {found} values of its factors (category, instance, elevation, rotation, lighting)",
            str(sizes),
        )
    position = np.ravel_multi_index([rank for _, rank in ranks], sizes)
    if len(np.unique(position)) != n:
        raise wrong(
            info,
            f"repeats a combination of factors in {n - len(np.unique(position))} rows",
            "each once",
        )
    return position
