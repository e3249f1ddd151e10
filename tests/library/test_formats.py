"""The originals' formats: what the readers make of small files that have them, and what they say of
broken ones.
"""

import gzip
import itertools
import struct
import tarfile

import numpy as np
import pytest
from original_files import mat, norb_header, write_cars3d, write_smallnorb, write_tar
from PIL import Image

from vaedis.data.originals import readers
from vaedis.data.originals.readers import (
    READERS,
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
SHAPES = (2, 1, 1, 1, 1, 1)
CARS = (4, 24, 2)
ONE_CAR = (4, 24, 1)
NORB = (2, 2, 3, 2, 2)


def refused(blocks, path, *words):
    """The one sentence that a reader refuses a file with."""
    with pytest.raises(ValueError, match=r"fetch the original again\.$") as caught:
        list(blocks)
    text = str(caught.value)
    assert "\n" not in text
    for word in (str(path), *words):
        assert word in text, text


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


def shapes_file(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def test_shapes3d(tmp_path, few_at_once):
    images = RNG.integers(0, 256, (8, 64, 64, 3), np.uint8)
    path = shapes_file(tmp_path / "s.h5", lambda file: file.create_dataset("images", data=images))
    blocks = list(read_shapes3d([path], (2, 2, 2, 1, 1, 1)))
    assert [len(block) for block in blocks] == [5, 3]
    np.testing.assert_array_equal(np.concatenate(blocks), images)


@pytest.mark.parametrize(
    ("fill", "word"),
    [
        (lambda f: f.create_dataset("images", data=np.zeros((2, 64, 64, 3), "i2")), "int16"),
        (lambda f: f.create_dataset("images", data=np.zeros((3, 64, 64, 3), "u1")), "(3, 64, "),
        (lambda f: f.create_dataset("images", (2, 64, 64, 3), h5py.vlen_dtype(np.uint8)), "object"),
        (lambda f: f.create_dataset("labels", data=np.zeros(2)), "images"),
        (lambda f: f.create_group("images"), "Group"),
    ],
)
def test_hdf5_of_other_arrays(tmp_path, fill, word):
    path = shapes_file(tmp_path / "s.h5", fill)
    refused(read_shapes3d([path], SHAPES), path, word)


def test_damaged_hdf5(tmp_path):
    images = RNG.integers(0, 256, (2, 64, 64, 3), np.uint8)
    path = shapes_file(
        tmp_path / "s.h5",
        lambda f: f.create_dataset("images", data=images, chunks=True, compression="gzip"),
    )
    whole = path.read_bytes()
    broken = whole[:-4000] + bytes(1000) + whole[-3000:]
    for content in (whole[: len(whole) // 2], broken, b"not HDF5"):
        path.write_bytes(content)
        refused(read_shapes3d([path], SHAPES), path)


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


@pytest.mark.parametrize("name", ["../evil.mat", "/etc/evil.mat", "data/../../evil.mat"])
def test_cars3d_refuses_names_outside(tmp_path, name):
    path = write_tar(tmp_path / "t.tar.gz", {"data/cars/list.txt": b"a\n", name: b"x"})
    refused(read_cars3d([path], ONE_CAR), path, name, "outside")
    assert not list(tmp_path.parent.rglob("evil*"))


def test_cars3d_refuses_a_link_in_place_of_a_file(tmp_path):
    def link(member):
        if member.name.endswith("a.mat"):
            member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0

    files = {"data/cars/list.txt": b"a\n", "data/cars/a.mat": b""}
    path = write_tar(tmp_path / "t.tar.gz", files, edit=link)
    refused(read_cars3d([path], ONE_CAR), path, "a.mat", "no file")


def test_cars3d_refuses_a_huge_member(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_LARGEST_MEMBER", 2**20)
    path = tmp_path / "cars.tar.gz"
    write_cars3d(path, [car_with_labels(0)])
    refused(read_cars3d([path], ONE_CAR), path, "too large")


@pytest.mark.parametrize(
    "members",
    [
        {"data/cars/a.mat": b""},
        {"data/cars/list.txt": b"a\nb\n", "data/cars/a.mat": b""},
        {"data/cars/list.txt": b"a\n", "data/cars/a.mat": b""},
        {"data/cars/list.txt": b"a\na\n", "data/cars/a.mat": b""},
        {"data/cars/list.txt": b"a\n../b\n", "data/cars/a.mat": b"", "data/b.mat": b""},
    ],
)
def test_cars3d_with_other_members(tmp_path, members):
    path = write_tar(tmp_path / "t.tar.gz", members)
    refused(read_cars3d([path], CARS), path, "list")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (mat({"im": np.zeros((128, 128, 3, 24, 4), np.float32)}), "float32"),
        (mat({"im": np.zeros((128, 128, 3, 4, 24), np.uint8)}), "(128, 128, 3, 4, 24)"),
        (mat({"im": np.array([["x"]], object)}), "object"),
        (mat({"image": np.zeros((2, 2))}), "'im'"),
        (mat({"im": car_with_labels(0)})[:100_000], ""),
        (b"", ""),
        (b"<html>" * 100, ""),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(1000), ""),
    ],
)
def test_cars3d_with_another_mat(tmp_path, content, word):
    files = {"data/cars/list.txt": b"a\n", "data/cars/a.mat": content}
    path = write_tar(tmp_path / "t.tar.gz", files)
    refused(read_cars3d([path], ONE_CAR), path, word)


def test_damaged_tar(tmp_path):
    path = tmp_path / "t.tar.gz"
    write_cars3d(path, [RNG.integers(0, 256, (128, 128, 3, 24, 4), np.uint8)])
    whole = path.read_bytes()
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"not gzip at all",
        gzip.compress(b"no tar" * 1000),
        whole[:1000] + bytes(100) + whole[1100:],
    ):
        path.write_bytes(content)
        refused(read_cars3d([path], ONE_CAR), path)


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


@pytest.mark.parametrize(
    ("part", "change", "word"),
    [
        (0, lambda b: b"\x54" + b[1:], "header"),
        (0, lambda b: b[:4] + struct.pack("<i", 3) + b[8:], "header"),
        (0, lambda b: b[:8] + struct.pack("<i", 47) + b[12:], "header"),
        (0, lambda b: b[:-1], ""),
        (0, lambda b: b + b"x", "longer"),
        (0, lambda b: b[:6], "header"),
        (1, lambda b: b"\x55" + b[1:], "header"),
        (1, lambda b: b[:-4], ""),
        (1, lambda b: b[:20] + bytes(4 * 48), "repeats"),
        (2, lambda b: b[:12] + struct.pack("<i", 5) + b[16:], "header"),
        (2, lambda b: b + b"x", "longer"),
        (2, lambda b: b[:20] + struct.pack("<i", 0) + b[24:], ""),
        (2, lambda b: b[:20] + b[36:52] + b[36:], "repeats"),
    ],
)
def test_smallnorb_of_other_content(norb, part, change, word):
    path = norb[part]
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    refused(read_smallnorb(norb, NORB), path, word)


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize(
    "change", [lambda b: b[:-12], lambda b: b[:40] + b"\xff" * 8 + b[48:], lambda b: b"plain" + b]
)
def test_smallnorb_with_damaged_gzip(norb, part, change):
    norb[part].write_bytes(change(norb[part].read_bytes()))
    refused(read_smallnorb(norb, NORB), norb[part])


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


@pytest.mark.parametrize(
    ("name", "sizes"), [*zip(READERS, [SPRITES, SHAPES, CARS, NORB], strict=True)]
)
def test_a_missing_file_is_named(tmp_path, name, sizes):
    paths = [tmp_path / "nothing"] * (3 if name == "smallnorb" else 1)
    refused(READERS[name](paths, sizes), paths[0])
