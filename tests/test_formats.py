"""The originals' formats: what the readers make of small files that have them, and what they say of
broken ones.
"""

import gzip
import io
import itertools
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from vaedis.data.originals import containers
from vaedis.data.originals.readers import (
    CHANNELS,
    READERS,
    SIZES,
    read_cars3d,
    read_dsprites,
    read_shapes3d,
    read_smallnorb,
    resize,
)
from vaedis.data.standins.writers import _mat, _norb_header, write_cars3d, write_smallnorb

h5py = pytest.importorskip("h5py")
scipy_io = pytest.importorskip("scipy.io")
RNG = np.random.default_rng(0)


def refused(blocks, *words):
    """The one sentence that a reader refuses a file with."""
    with pytest.raises(ValueError, match=r"expected .*: fetch the original again") as caught:
        list(blocks)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


# --- dSprites and 3D Shapes


SPRITES = (3, 2, 2, 1, 1)


@pytest.fixture
def sprites():
    return RNG.integers(0, 2, (12, 64, 64), np.uint8)


def test_dsprites_npz_streams_what_was_saved(tmp_path, sprites):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, imgs=sprites, metadata=np.array({"a pickled": "object"}, object))
    blocks = list(read_dsprites(path, block=5, sizes=SPRITES))
    assert [len(b) for b in blocks] == [5, 5, 2]
    assert all(b.dtype == np.uint8 for b in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), 255 * sprites[..., None])


def test_dsprites_npz_is_never_inflated_as_a_whole(tmp_path):
    import tracemalloc

    path = tmp_path / "d.npz"
    np.savez_compressed(path, imgs=np.zeros((6000, 64, 64), np.uint8))  # 24.6 MB
    tracemalloc.start()
    total = sum(len(b) for b in read_dsprites(path, block=100, sizes=(3, 5, 40, 10, 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 6000
    assert peak < 4 * 2**20


@pytest.mark.parametrize("chunks", [None, (12, 2, 4), (1, 64, 64)])
def test_dsprites_hdf5(tmp_path, sprites, chunks):
    path = tmp_path / "d.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", data=sprites, chunks=chunks)
    np.testing.assert_array_equal(
        np.concatenate(list(read_dsprites(path, block=5, sizes=SPRITES))), 255 * sprites[..., None]
    )


def test_shapes3d(tmp_path):
    images = RNG.integers(0, 256, (8, 64, 64, 3), np.uint8)
    path = tmp_path / "3dshapes.h5"
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = images, np.zeros((8, 6))
    blocks = list(read_shapes3d(path, block=3, sizes=(2, 2, 2, 1, 1, 1)))
    assert [len(b) for b in blocks] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), images)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros((12, 64, 64), np.int64), "int64"),
        (np.zeros((11, 64, 64), np.uint8), "(11, 64, 64)"),
        (np.asfortranarray(np.zeros((12, 64, 64), np.uint8)), "Fortran"),
        (np.full((12, 64, 64), 2, np.uint8), "a pixel of 2"),
        (np.empty((12, 64, 64), object), "object"),
    ],
)
def test_dsprites_npz_of_other_arrays(tmp_path, array, word):
    np.savez(tmp_path / "d.npz", imgs=array)
    refused(read_dsprites(tmp_path / "d.npz", sizes=SPRITES), word)


def test_dsprites_npz_without_images(tmp_path, sprites):
    np.savez(tmp_path / "d.npz", images=sprites)
    refused(read_dsprites(tmp_path / "d.npz", sizes=SPRITES), "'imgs'")


def test_dsprites_of_another_kind_of_file(tmp_path):
    (tmp_path / "d.npz").write_bytes(b"<!DOCTYPE html>")
    refused(read_dsprites(tmp_path / "d.npz"), "<!DO", ".npz or .hdf5")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_npz(tmp_path, sprites, save):
    path = tmp_path / "d.npz"
    save(path, imgs=sprites)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2000])
    refused(read_dsprites(path, sizes=SPRITES), "damaged or cut short")
    # one pixel flipped: the array's CRC tells
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    refused(read_dsprites(path, sizes=SPRITES), "damaged or cut short")


def npy(header: bytes, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"not an array", "broken header"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "broken header"),
        (
            npy(
                b"{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (12, 64, 64)}\n"
            ),
            "broken header",
        ),
        (
            npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (12, 64, 64)}\n", bytes(100)),
            "end early",
        ),
        (
            npy(
                b"{'descr': '|u1', 'fortran_order': False, 'shape': (12, 64, 64)}\n",
                bytes(12 * 64 * 64 + 1),
            ),
            "longer",
        ),
    ],
)
def test_npz_with_a_bad_member(tmp_path, content, word):
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("imgs.npy", content)
    refused(read_dsprites(tmp_path / "d.npz", sizes=SPRITES), word)


def hdf5(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return read_shapes3d(path, sizes=(2, 1, 1, 1, 1, 1))


@pytest.mark.parametrize(
    ("fill", "word"),
    [
        (lambda f: f.create_dataset("images", data=np.zeros((2, 64, 64, 3), "i2")), "int16"),
        (
            lambda f: f.create_dataset("images", data=np.zeros((3, 64, 64, 3), "u1")),
            "(3, 64, 64, 3)",
        ),
        (lambda f: f.create_dataset("images", (2, 64, 64, 3), h5py.vlen_dtype(np.uint8)), "object"),
        (lambda f: f.create_dataset("labels", data=np.zeros(2)), "'images'"),
        (lambda f: f.create_group("images"), "'images'"),
        (lambda f: f.__setitem__("images", h5py.ExternalLink("other.h5", "images")), "of its own"),
        (
            lambda f: f.create_dataset(
                "images", (2, 64, 64, 3), "u1", external=[("other", 0, 24576)]
            ),
            "of its own",
        ),
        (
            lambda f: f.create_virtual_dataset("images", h5py.VirtualLayout((2, 64, 64, 3), "u1")),
            "of its own",
        ),
    ],
)
def test_hdf5_of_other_arrays(tmp_path, monkeypatch, fill, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").write_bytes(bytes(24576))
    refused(hdf5(tmp_path / "s.h5", fill), word)


def test_damaged_hdf5(tmp_path):
    path = tmp_path / "s.h5"
    images = RNG.integers(0, 256, (2, 64, 64, 3), np.uint8)
    list(
        hdf5(
            path, lambda f: f.create_dataset("images", data=images, chunks=True, compression="gzip")
        )
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(read_shapes3d(path, sizes=(2, 1, 1, 1, 1, 1)), "damaged or cut short")
    broken = bytearray(whole)
    broken[-4000:-3000] = bytes(1000)
    path.write_bytes(broken)
    refused(read_shapes3d(path, sizes=(2, 1, 1, 1, 1, 1)), "damaged or cut short")
    path.write_bytes(b"not HDF5")
    refused(read_shapes3d(path), "damaged or cut short")


# --- Cars3D

CARS = (4, 24, 2)


def telling_car(car: int) -> np.ndarray:
    """Images whose first row's colour is their factors."""
    images = np.full((128, 128, 3, 24, 4), 255, np.uint8)
    for azimuth, elevation in itertools.product(range(24), range(4)):
        images[:64, :, :, azimuth, elevation] = (elevation, azimuth, car)
    return images


def tar_of(path, members: dict, *, edit=None):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if edit:
                edit(member)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_cars3d_axes(tmp_path):
    path = tmp_path / "cars.tar.gz"
    write_cars3d(path, (telling_car(c) for c in range(2)))
    blocks = list(read_cars3d(path, block=50, sizes=CARS))
    assert [len(b) for b in blocks] == [50, 50, 50, 42]
    images = np.concatenate(blocks)
    assert images.shape == (192, 64, 64, 3)
    # row 0 and column 0: nothing is upside down or transposed
    np.testing.assert_array_equal(
        images[:, 0, 63], list(itertools.product(range(4), range(24), range(2)))
    )
    assert (images[:, 63, 0] == 255).all()


def test_cars3d_follows_the_list_and_not_the_tar(tmp_path):
    files = {f"data/cars/{n}.mat": _mat({"im": telling_car(c)}) for c, n in enumerate("abc")}
    other = {"data/sprites/x.mat": b"", "./data/cars/list.txt": b"c\r\na\n\n"}
    images = np.concatenate(
        list(read_cars3d(tar_of(tmp_path / "t.tar.gz", files | other), sizes=CARS))
    )
    assert images[:2, 0, 0, 2].tolist() == [2, 0]


@pytest.mark.parametrize("name", ["../evil.mat", "/etc/evil.mat", "data/../../evil.mat"])
def test_cars3d_refuses_names_outside(tmp_path, name):
    path = tar_of(tmp_path / "t.tar.gz", {"data/cars/list.txt": b"a\n", name: b"x"})
    refused(read_cars3d(path, sizes=(4, 24, 1)), name, "outside")
    assert not list(tmp_path.parent.rglob("evil*"))


def test_cars3d_refuses_a_link_in_place_of_a_file(tmp_path):
    def link(member):
        if member.name.endswith("a.mat"):
            member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0

    path = tar_of(
        tmp_path / "t.tar.gz", {"data/cars/list.txt": b"a\n", "data/cars/a.mat": b""}, edit=link
    )
    refused(read_cars3d(path, sizes=(4, 24, 1)), "a.mat", "no file")


def test_cars3d_refuses_a_huge_member(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_LARGEST_MEMBER", 2**20)
    path = tmp_path / "cars.tar.gz"
    write_cars3d(path, [telling_car(0)])
    refused(read_cars3d(path, sizes=(4, 24, 1)), "too large")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"data/cars/a.mat": b""}, ["lacks data/cars/list.txt"]),
        (
            {"data/cars/list.txt": b"a\nb\n", "data/cars/a.mat": b""},
            ["lacks 1 ", "data/cars/b.mat"],
        ),
        ({"data/cars/list.txt": b"a\n"}, ["names 1 cars"]),
        (
            {"data/cars/list.txt": b"a\na\n", "data/cars/a.mat": b""},
            ["names 2 cars", "1 of them different"],
        ),
        (
            {"data/cars/list.txt": b"a\n../b\n", "data/cars/a.mat": b"", "data/b.mat": b""},
            ["lacks 1 "],
        ),
    ],
)
def test_cars3d_with_other_members(tmp_path, members, words):
    refused(read_cars3d(tar_of(tmp_path / "t.tar.gz", members), sizes=CARS), *words)


def cell() -> np.ndarray:
    found = np.empty((128, 128), object)
    found.fill("x")
    return found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_mat({"im": np.zeros((128, 128, 3, 24, 4), np.float32)}), ["single"]),
        (_mat({"im": np.zeros((128, 128, 3, 4, 24), np.uint8)}), ["(128, 128, 3, 4, 24)"]),
        (_mat({"im": np.zeros((2, 2), bool)}), ["logical"]),
        (_mat({"im": cell()}), ["cell"]),
        (_mat({"image": np.zeros((2, 2))}), ["no array 'im'"]),
        (_mat({"im": telling_car(0)})[:100_000], ["cannot be read"]),
        (b"", ["cannot be read"]),
        (b"<html>" * 100, ["cannot be read"]),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(1000), ["7.3"]),
    ],
)
def test_cars3d_with_another_mat(tmp_path, content, words):
    path = tar_of(tmp_path / "t.tar.gz", {"data/cars/list.txt": b"a\n", "data/cars/a.mat": content})
    refused(read_cars3d(path, sizes=(4, 24, 1)), "data/cars/a.mat", *words)


def test_damaged_tar(tmp_path):
    path = tmp_path / "t.tar.gz"
    write_cars3d(path, [RNG.integers(0, 256, (128, 128, 3, 24, 4), np.uint8)])
    whole = path.read_bytes()
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"not gzip at all",
        gzip.compress(b"no tar" * 1000),
    ):
        path.write_bytes(content)
        refused(read_cars3d(path, sizes=(4, 24, 1)), str(path))
    path.write_bytes(whole[:1000] + bytes(100) + whole[1100:])
    refused(read_cars3d(path, sizes=(4, 24, 1)), str(path))


# --- SmallNORB

NORB = (2, 2, 3, 2, 2)


def norb_labels() -> np.ndarray:
    """Rows in no order."""
    grid = np.array(list(itertools.product((0, 1), (4, 9), range(3), (0, 34), range(2))))
    return np.random.default_rng(1).permutation(grid)


def norb_pairs(labels):
    """Images that tell the row they stand in; the second camera sees something else."""
    return [
        np.stack([np.full((96, 96), row), np.full((96, 96), 255)]).astype(np.uint8)
        for row in range(len(labels))
    ]


@pytest.fixture
def norb(tmp_path):
    paths = [tmp_path / f"{part}.mat.gz" for part in ("dat", "cat", "info")]
    labels = norb_labels()
    write_smallnorb(*paths, norb_pairs(labels), labels)
    return paths


def test_smallnorb_sorts_rows_and_takes_the_first_camera(norb):
    labels = norb_labels()
    blocks = list(read_smallnorb(*norb, block=20, sizes=NORB))
    assert [len(b) for b in blocks] == [20, 20, 8]
    images = np.concatenate(blocks)
    assert images.shape == (48, 64, 64, 1)
    # NumPy's lexsort takes the slowest key last
    expected = np.lexsort(labels[:, ::-1].T)
    assert not (expected == np.arange(48)).all()
    np.testing.assert_array_equal(images[:, 5, 7, 0], expected)


def test_smallnorb_header():
    assert _norb_header("uint8", (24300, 2, 96, 96)) == bytes.fromhex(
        "554c3d1e 04000000 ec5e0000 02000000 60000000 60000000"
    )
    assert _norb_header("int32", (24300,)) == bytes.fromhex(
        "544c3d1e 01000000 ec5e0000 01000000 01000000"
    )


def rewritten(path, change):
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


@pytest.mark.parametrize(
    ("which", "change", "words"),
    [
        (0, lambda b: b"\x54" + b[1:], ["0x1e3d4c54", "0x1e3d4c55"]),
        (0, lambda b: b[:4] + struct.pack("<i", 3) + b[8:], ["3 dimensions"]),
        (0, lambda b: b[:8] + struct.pack("<i", 47) + b[12:], ["47"]),
        (0, lambda b: b[:-1], ["cut short"]),
        (0, lambda b: b + b"x", ["longer"]),
        (0, lambda b: b[:6], ["cut short"]),
        (1, lambda b: b"\x55" + b[1:], ["0x1e3d4c55", "int32"]),
        (1, lambda b: b[:-4], ["cut short"]),
        (1, lambda b: b[:20] + bytes(4 * 48), ["(1, 2, 3, 2, 2)"]),
        (2, lambda b: b[:12] + struct.pack("<i", 5) + b[16:], ["(48, 4)"]),
        (2, lambda b: b + b"x", ["longer"]),
        (2, lambda b: b[:20] + struct.pack("<i", 0) + b[24:], ["[0, 4, 9]", "training split"]),
        (2, lambda b: b[:20] + b[36:52] + b[36:], ["repeats"]),
    ],
)
def test_smallnorb_of_other_content(norb, which, change, words):
    rewritten(norb[which], change)
    refused(read_smallnorb(*norb, sizes=NORB), str(norb[which]), *words)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize(
    "change", [lambda b: b[:-12], lambda b: b[:40] + b"\xff" * 8 + b[48:], lambda b: b"plain" + b]
)
def test_smallnorb_with_damaged_gzip(norb, which, change):
    norb[which].write_bytes(change(norb[which].read_bytes()))
    refused(read_smallnorb(*norb, sizes=NORB), str(norb[which]), "damaged or cut short")


# --- what they share


@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_pils(channels):
    images = RNG.integers(0, 256, (3, 96, 96, channels), np.uint8)
    small = resize(images)
    assert small.shape == (3, 64, 64, channels)
    for image, out in zip(images, small, strict=True):
        picture = Image.fromarray(image.squeeze()).resize((64, 64), Image.BILINEAR)
        np.testing.assert_array_equal(out.squeeze(), np.asarray(picture))


def test_resize_antialiases():
    """Halving with a triangle of support 2: weights 1, 3, 3, 1 over 8."""
    image = np.zeros((1, 128, 128, 1), np.uint8)
    image[0, :, 64] = 255
    assert resize(image)[0, 32, 30:34, 0].tolist() == [0, 32, 96, 0]


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_is_called_missing(tmp_path, name):
    paths = [tmp_path / "nothing"] * (3 if name == "smallnorb" else 1)
    with pytest.raises(FileNotFoundError, match="nothing"):
        list(READERS[name](*paths))


def test_what_is_said_of_the_originals():
    assert {name: np.prod(sizes) for name, sizes in SIZES.items()} == {
        "dsprites": 737_280,
        "shapes3d": 480_000,
        "cars3d": 17_568,
        "smallnorb": 24_300,
    }
    assert READERS.keys() == SIZES.keys() == CHANNELS.keys()


def test_written_files_are_the_same_each_time(tmp_path, monkeypatch):
    import time

    labels = norb_labels()
    contents = []
    for clock in (1e9, 1.7e9):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        names = [tmp_path / name for name in ("tar", "dat", "cat", "info")]
        write_cars3d(names[0], [telling_car(0)])
        write_smallnorb(*names[1:], norb_pairs(labels), labels)
        contents.append([name.read_bytes() for name in names])
    assert contents[0] == contents[1]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def cars():
        yield telling_car(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cars3d(tmp_path / "cars.tar.gz", cars())
    assert not list(tmp_path.iterdir())
