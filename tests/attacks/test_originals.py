"""Files that are not the originals: none reaches a reader by the command, and what a reader does
with one takes little memory.
"""

import gzip
import io
import struct
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import toy_data

from vaedis.data import DataError
from vaedis.data.originals import containers, prepare, readers as _formats
from vaedis.data.originals.readers import read_cars3d, read_dsprites, read_shapes3d, read_smallnorb
from vaedis.data.standins.writers import _mat, write_cars3d, write_smallnorb

h5py = pytest.importorskip("h5py")
pytest.importorskip("scipy.io")

MUCH = 200 * 2**20


def refused(blocks) -> str:
    """Return the one sentence with which a reader refuses a file, for which it may take 100 MiB."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"expected .*: fetch the original again\.$") as caught:
            list(blocks)
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_without_the_right_digest_reaches_no_reader(tmp_path, monkeypatch):
    toy_data.install(monkeypatch, tmp_path / "cache")
    monkeypatch.setitem(_formats.READERS, "toy", lambda path: pytest.fail("it was read"))
    (tmp_path / toy_data.FILE).write_bytes(bytes(len(toy_data.CONTENT)))
    with pytest.raises(DataError, match="another sha256 sum"):
        prepare.prepare("toy", source=tmp_path)
    # nor does one that lies in the cache already
    (tmp_path / "cache" / "toy" / "files" / toy_data.FILE).write_bytes(bytes(len(toy_data.CONTENT)))
    with pytest.raises(DataError, match="another sha256 sum"):
        prepare.prepare("toy", source=tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_an_npz_file_that_inflates_at_once(tmp_path, method):
    path = tmp_path / "d.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (12, 64, 64)}
    )
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("imgs.npy", header.getvalue() + bytes(MUCH // 10))
    assert "in another way than by deflate" in refused(read_dsprites(path, sizes=(3, 2, 2, 1, 1)))


def test_an_hdf5_file_of_one_large_chunk(tmp_path):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "images",
            (2, 64, 64, 3),
            "u1",
            maxshape=(None, 64, 64, 3),
            chunks=(20_000, 64, 64, 3),
            compression="gzip",
        )
    assert "in chunks of 234 MiB; expected chunks of up to 64 MiB" in refused(
        read_shapes3d(path, sizes=(2, 1, 1, 1, 1, 1))
    )


def tar_of(path: Path, *headers: bytes) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for header in headers:
            file.write(header)
    return path


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_a_tar_file_with_a_long_name_or_long_attributes(tmp_path, kind):
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = kind, MUCH
    path = tar_of(tmp_path / "t.tar.gz", member.tobuf(tarfile.GNU_FORMAT), bytes(MUCH))
    assert "asks for more than 65,536 bytes at once" in refused(read_cars3d(path, sizes=(4, 24, 1)))


def test_a_tar_file_of_very_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_MOST_MEMBERS", 100)
    members = (tarfile.TarInfo(f"data/{number}").tobuf() for number in range(101))
    assert "more than 100 members" in refused(
        read_cars3d(tar_of(tmp_path / "t.tar.gz", *members), sizes=(4, 24, 1))
    )


def element(kind: int, content: bytes, size: int | None = None) -> bytes:
    return struct.pack("<II", kind, len(content) if size is None else size) + content


def mat(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements)


FLAGS = element(6, struct.pack("<II", 9, 0))
DIMENSIONS = element(5, struct.pack("<5i4x", 128, 128, 3, 24, 4))
PARTS = {
    "long name": FLAGS + DIMENSIONS + element(1, b"im\0\0\0\0\0\0", 0xF000_0000),
    "many dimensions": FLAGS + element(5, b"", 0xF000_0000),
    "large array": FLAGS
    + DIMENSIONS
    + element(1, b"im\0\0\0\0\0\0", 2)
    + element(2, bytes(8), 0xF000_0000),
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_mat_file_that_states_more_than_it_has(tmp_path, parts, compressed):
    matrix = element(14, parts)
    content = mat(element(15, zlib.compress(matrix)) if compressed else matrix)
    assert "longer than the element" in refused(
        read_cars3d(car_tar(tmp_path, content), sizes=(4, 24, 1))
    )


@pytest.mark.parametrize("elements", [1, 3])
def test_a_mat_file_that_inflates(tmp_path, monkeypatch, elements):
    monkeypatch.setattr(containers, "_LARGEST_PIECE", 2**20)
    bomb = element(15, zlib.compress(element(14, bytes(2**22 // elements)), 9))
    assert "its arrays are cut short, or larger than 1 MiB" in refused(
        read_cars3d(car_tar(tmp_path, mat(*[bomb] * elements)), sizes=(4, 24, 1))
    )


def car_tar(folder: Path, content: bytes) -> Path:
    with tarfile.open(folder / "t.tar.gz", "w:gz", compresslevel=1) as tar:
        for name, file in (("data/cars/list.txt", b"a\n"), ("data/cars/a.mat", content)):
            member = tarfile.TarInfo(name)
            member.size = len(file)
            tar.addfile(member, io.BytesIO(file))
    return folder / "t.tar.gz"


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_mat_file_in_any_writing_is_read(compression, order):
    images = np.random.default_rng(0).integers(0, 256, (128, 128, 3, 24, 4), dtype=np.uint8)
    import scipy.io

    file = io.BytesIO()
    scipy.io.savemat(
        file, {"im": images, "mask": images[..., 0, 0, 0] > 9}, do_compression=compression
    )
    content = file.getvalue()
    if order == ">":
        pytest.importorskip("scipy.io.matlab")
        content = big_endian(images)
    np.testing.assert_array_equal(containers.read_mat("a.mat", content, "im", images.shape), images)


def big_endian(images: np.ndarray) -> bytes:
    def part(kind, content):
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    parts = (
        part(6, struct.pack(">II", 9, 0))
        + part(5, struct.pack(">5i", *images.shape))
        + part(1, b"im")
        + part(2, images.tobytes("F"))
    )
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + part(14, parts)


def originals(folder: Path) -> dict:
    """Small files of each format, and what reads them."""
    rng = np.random.default_rng(0)
    sprites = rng.integers(0, 2, (12, 64, 64), np.uint8)
    np.savez_compressed(folder / "d.npz", imgs=sprites)
    with h5py.File(folder / "d.hdf5", "w") as file:
        file.create_dataset("imgs", data=sprites, chunks=(12, 8, 8), compression="gzip")
    with h5py.File(folder / "s.h5", "w") as file:
        file.create_dataset("images", data=rng.integers(0, 256, (2, 64, 64, 3), np.uint8))
    car = np.repeat(np.repeat(rng.integers(0, 256, (128, 8, 3, 1, 4), np.uint8), 16, 1), 24, 3)
    write_cars3d(folder / "c.tar.gz", [car])
    labels = np.array(
        [
            (a, b, c, d, e)
            for a in range(2)
            for b in (4, 6)
            for c in range(1)
            for d in (0, 2)
            for e in range(2)
        ]
    )
    norb = [folder / f"n-{part}.mat.gz" for part in ("dat", "cat", "info")]
    write_smallnorb(*norb, rng.integers(0, 256, (16, 2, 96, 96), np.uint8), labels)
    return {
        "d.npz": lambda: read_dsprites(folder / "d.npz", sizes=(3, 2, 2, 1, 1)),
        "d.hdf5": lambda: read_dsprites(folder / "d.hdf5", sizes=(3, 2, 2, 1, 1)),
        "s.h5": lambda: read_shapes3d(folder / "s.h5", sizes=(2, 1, 1, 1, 1, 1)),
        "c.tar.gz": lambda: read_cars3d(folder / "c.tar.gz", sizes=(4, 24, 1)),
        "n-cat.mat.gz": lambda: read_smallnorb(*norb, sizes=(2, 2, 1, 2, 2)),
        "n-info.mat.gz": lambda: read_smallnorb(*norb, sizes=(2, 2, 1, 2, 2)),
    }


@pytest.mark.parametrize("file", ["d.npz", "d.hdf5", "s.h5", "n-cat.mat.gz", "n-info.mat.gz"])
def test_damage_is_one_sentence_that_names_the_file_or_does_no_harm(tmp_path, file):
    readers = originals(tmp_path)
    whole = (tmp_path / file).read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for number in range(200):
        damaged = bytearray(whole)
        if number % 4 == 0:
            damaged = damaged[: rng.integers(0, len(whole))]
        else:
            # mostly where the headers are
            damaged[rng.integers(0, min(len(whole), 4096) if number % 2 else len(whole))] = (
                rng.integers(0, 256)
            )
        (tmp_path / file).write_bytes(damaged)
        try:
            blocks = list(readers[file]())
        except ValueError as problem:
            refusals += 1
            message = str(problem)
        else:
            message = f"{file}"
            assert all(block.dtype == np.uint8 for block in blocks)
        assert file in message
        assert "\n" not in message
    assert refusals > 50


def test_the_writer_of_tests_makes_what_the_reader_reads():
    images = np.zeros((128, 128, 3, 24, 4), np.uint8)
    np.testing.assert_array_equal(
        containers.read_mat("a.mat", _mat({"im": images}), "im", images.shape), images
    )
