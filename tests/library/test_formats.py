"""The originals' formats: what the readers make of small files that have them."""

import itertools

import numpy as np
import pytest
from original_files import mat, norb_header, write_cars3d, write_smallnorb, write_tar
from PIL import Image

from vaedis.data.originals import readers
from vaedis.data.originals.readers import (
    read_cars3d,
    read_dsprites,
    read_shapes3d,
    read_smallnorb,
    resize,
)

h5py = pytest.importorskip("h5py")
pytest.importorskip("scipy.io")
RNG = np.random.default_rng(0)
SPRITES = (3, 2, 2, 1, 1)
CARS = (4, 24, 2)
NORB = (2, 2, 3, 2, 2)


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(readers, "_BLOCK", 5)


# --- dSprites and 3D Shapes


@pytest.mark.parametrize("chunks", [None, (12, 2, 4), (1, 64, 64)])
def test_dsprites(tmp_path, few_at_once, chunks):
    sprites = RNG.integers(0, 2, (12, 64, 64), np.uint8)
    path = tmp_path / "d.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", data=sprites, chunks=chunks)
    blocks = list(read_dsprites([path], SPRITES))
    assert [len(block) for block in blocks] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), 255 * sprites[..., None])


def test_shapes3d(tmp_path, few_at_once):
    images = RNG.integers(0, 256, (8, 64, 64, 3), np.uint8)
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["images"] = images
    blocks = list(read_shapes3d([path], (2, 2, 2, 1, 1, 1)))
    assert [len(block) for block in blocks] == [5, 3]
    np.testing.assert_array_equal(np.concatenate(blocks), images)


# --- Cars3D


def car_with_labels(car: int) -> np.ndarray:
    """Images whose upper half has their factors as its colour."""
    images = np.full((128, 128, 3, 24, 4), 255, np.uint8)
    for azimuth, elevation in itertools.product(range(24), range(4)):
        images[:64, :, :, azimuth, elevation] = (elevation, azimuth, car)
    return images


def test_cars3d_axes(tmp_path):
    path = tmp_path / "cars.tar.gz"
    write_cars3d(path, (car_with_labels(c) for c in range(2)))
    images = np.concatenate(list(read_cars3d([path], CARS)))
    assert images.shape == (192, 64, 64, 3)
    # row 0 and column 0: nothing is upside down or transposed
    np.testing.assert_array_equal(
        images[:, 0, 63], list(itertools.product(range(4), range(24), range(2)))
    )
    assert (images[:, 63, 0] == 255).all()


def test_cars3d_follows_the_list_and_not_the_tar(tmp_path):
    files = {f"data/cars/{n}.mat": mat({"im": car_with_labels(c)}) for c, n in enumerate("abc")}
    other = {"data/sprites/x.mat": b"", "./data/cars/list.txt": b"c\r\na\n\n"}
    path = write_tar(tmp_path / "t.tar.gz", files | other)
    images = np.concatenate(list(read_cars3d([path], CARS)))
    assert images[:2, 0, 0, 2].tolist() == [2, 0]


def test_a_car_that_is_listed_and_not_there_is_named(tmp_path):
    files = {"data/cars/list.txt": b"a\nb\n", "data/cars/a.mat": mat({"im": car_with_labels(0)})}
    path = write_tar(tmp_path / "t.tar.gz", files)
    with pytest.raises(ValueError, match=r"lacks data/cars/b\.mat"):
        list(read_cars3d([path], CARS))


# --- SmallNORB


def norb_labels() -> np.ndarray:
    """Rows in no order."""
    grid = np.array(list(itertools.product((0, 1), (4, 9), range(3), (0, 34), range(2))))
    return np.random.default_rng(1).permutation(grid)


@pytest.fixture
def norb(tmp_path):
    """Files whose images have the number of their row; the second camera has something else."""
    paths = [tmp_path / f"{part}.mat.gz" for part in ("dat", "cat", "info")]
    labels = norb_labels()
    pairs = [np.stack([np.full((96, 96), k), np.full((96, 96), 255)]) for k in range(len(labels))]
    write_smallnorb(*paths, pairs, labels)
    return paths


def test_smallnorb_sorts_rows_and_takes_the_first_camera(norb):
    labels = norb_labels()
    images = np.concatenate(list(read_smallnorb(norb, NORB)))
    assert images.shape == (48, 64, 64, 1)
    # numpy's lexsort takes the slowest key last
    expected = np.lexsort(labels[:, ::-1].T)
    assert not (expected == np.arange(48)).all()
    np.testing.assert_array_equal(images[:, 5, 7, 0], expected)


def test_smallnorb_header():
    assert norb_header("uint8", (24300, 2, 96, 96)) == bytes.fromhex(
        "554c3d1e 04000000 ec5e0000 02000000 60000000 60000000"
    )
    assert norb_header("int32", (24300,)) == bytes.fromhex(
        "544c3d1e 01000000 ec5e0000 01000000 01000000"
    )


# --- what they share


@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_pils(channels):
    images = RNG.integers(0, 256, (3, 96, 96, channels), np.uint8)
    small = resize(images)
    assert small.shape == (3, 64, 64, channels)
    for image, out in zip(images, small, strict=True):
        expected = Image.fromarray(image.squeeze()).resize((64, 64), Image.BILINEAR)
        np.testing.assert_array_equal(out.squeeze(), np.asarray(expected))


def test_resize_antialiases():
    """Halving with a triangle of support 2: weights 1, 3, 3, 1 over 8."""
    image = np.zeros((1, 128, 128, 1), np.uint8)
    image[0, :, 64] = 255
    assert resize(image)[0, 32, 30:34, 0].tolist() == [0, 32, 96, 0]
