"""Hostile and broken files of one's own: each gives the sentence that it must, in bounded memory,
and nothing else is read.
"""

import io
import os
import struct
import warnings
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import vaedis as vd
from vaedis.data import read_images
from vaedis_companion.cli import main

pytestmark = pytest.mark.usefixtures("bounded")
LABELS = np.stack([np.arange(12) // 4, np.arange(12) % 4], 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3)).astype(np.uint8)


def refuses(path, says, **options):
    with pytest.raises(ValueError, match=says) as refusal:
        read_images(path, **options)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 700


def npy(array):
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array), allow_pickle=True)
    return content.getvalue()


def header(text):
    """An .npy file's header of any text."""
    body = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


def of_shape(shape, descr="'|u1'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def write_npz(path, method=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))
    return path


HEADERS = {
    "a dictionary that ends early": of_shape("(12, 6, 5")[:-4],
    "brackets that never close": "(" * 5_000,
    "a shape of negative length": of_shape("(12, -6, 5)"),
    "a shape beyond 64 bits": of_shape("(99999999999999999999, 6, 5)"),
    "a shape of exabytes": of_shape("(12, 4000000000, 4000000000)", "'<f8'"),
    "a shape of many axes": of_shape(f"({'1, ' * 70})"),
    "a shape of text": of_shape("('12', 6, 5)"),
    "a type that is none": of_shape("(12, 6, 5)", "'nonsense'"),
    "a type that is nested without end": of_shape(
        "(12, 6, 5)", "[('a', " * 90 + "'|u1'" + ")]" * 90
    ),
    "a type of gigabytes": of_shape("(12, 6, 5)", "'|V2000000000'"),
    "a header that never ends": of_shape(f"(12, 6, 5), 'x': '{'a' * 60_000}'"),
    "a backslash that warns": of_shape("(12, 6, 5)", "'\\d'"),
    "a header of letters": "ä" * 50,
    "a header that is empty": "",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attack", HEADERS)
@pytest.mark.parametrize("key", ["images", "labels"])
def test_an_npz_header_that_is_damaged_is_one_sentence(tmp_path, attack, key):
    members = {"images": IMAGES, "labels": LABELS}
    members[key] = header(HEADERS[attack]) + bytes(4_000)
    refuses(write_npz(tmp_path / "mine.npz", **members), f"cannot be read in '{key}': ")


def test_a_header_of_gigabytes_is_not_read(tmp_path):
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{" + bytes(1_000)
    path = write_npz(tmp_path / "mine.npz", images=long, labels=LABELS)
    refuses(path, "cannot be read in 'images': EOF")


@pytest.mark.parametrize("key", ["images", "labels"])
def test_pickles_are_never_opened(tmp_path, key):
    opened = tmp_path / "opened"

    class Command:
        def __reduce__(self):
            return os.mkdir, (str(opened),)

    members = {"images": IMAGES, "labels": LABELS}
    members[key] = npy(np.array([Command()] * 12, object))
    path = write_npz(tmp_path / "mine.npz", **members)
    refuses(path, f"in '{key}': it holds Python objects, which are not loaded")
    assert not opened.exists()


SIZE = np.arange(12) % 3
MAY_BE_FACTOR = (
    r"; it may be a factor, so save it in .* labels= \(--labels\), as in labels='size'\.$"
)


def test_a_column_of_python_objects_is_refused_by_name_and_not_left_out(tmp_path):
    colours = np.array(["red", "blue"] * 6, object)
    path = write_npz(tmp_path / "a.npz", images=IMAGES, size=SIZE, colour=colours)
    says = "in 'colour': it holds Python objects, which are not loaded"
    refuses(path, says + MAY_BE_FACTOR)
    assert read_images(path, labels="size").codes.ravel().tolist() == SIZE.tolist()
    path = write_npz(tmp_path / "b.npz", images=IMAGES, labels=SIZE, colour=colours)
    refuses(path, f"{says}; it may be a factor, .* as in labels='labels'")
    path = write_npz(tmp_path / "c.npz", images=IMAGES, colour=colours)
    refuses(path, f"{says}; it may be a factor, .* or give sizes= .--sizes. for images in order")


def test_python_objects_that_are_no_column_do_not_disturb(tmp_path):
    others = {"about": np.array({"by": "me"}, object), "parts": np.array([1, "a", None], object)}
    path = write_npz(tmp_path / "a.npz", images=IMAGES, size=SIZE, **others)
    assert read_images(path).factors.names == ("size",)
    names = np.array(["a.png"] * 12, object)
    path = write_npz(tmp_path / "b.npz", images=IMAGES, labels=LABELS, files=names)
    assert read_images(path).codes.tolist() == LABELS.tolist()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_inflates_without_a_bound_is_not_inflated(tmp_path, method):
    path = write_npz(tmp_path / "mine.npz", method, images=IMAGES, labels=LABELS)
    refuses(path, "in 'images': its compression is none that numpy writes")


def inflating(path, said, wrote):
    """An .npz whose images are `said` bytes by their header and `wrote` bytes in the file."""
    start = header(of_shape(f"(12, {said // 12 // 1024}, 1024)"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            file.write(start)
            for _ in range(wrote // 2**22):
                file.write(bytes(2**22))
        archive.writestr("labels.npy", npy(LABELS))
    return len(start)


def test_images_that_inflate_too_far_are_refused_before_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 2**24)
    inflating(tmp_path / "mine.npz", 36 * 2**20, 36 * 2**20)
    says = r"\d+\.\d kB inflate to 37\.7 MB, more than 500 times; save it without compression"
    refuses(tmp_path / "mine.npz", says)


def test_a_zip_directory_that_lies_is_not_believed(tmp_path):
    path = tmp_path / "mine.npz"
    length = inflating(path, 12 * 2**20, 40 * 2**20)
    refuses(path, "'images': an array is shorter or longer than its header says")
    # the directory agrees with the header, the data do not
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, length + 12 * 2**20)
    path.write_bytes(content)
    refuses(path, "cannot be read in 'images'")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.array(["a" * 12_500_000]), "it has text of more than 1,000 characters"),
        (np.array([b"a" * 50_000_000]), "it has text of more than 1,000 characters"),
        (np.zeros(30_000_000, np.uint8), "it has 30,000,000 labels of 30.0 MB, and at most 20,000"),
        (np.zeros((1, 24_000_000), np.uint8), "it has 24,000,000 labels"),
    ],
)
@pytest.mark.parametrize("key", ["labels", "factor_names"])
def test_labels_that_would_take_much_memory_are_not_read(tmp_path, labels, says, key):
    arrays = {"images": IMAGES[:1], "labels": LABELS[:1], key: labels}
    refuses(write_npz(tmp_path / "mine.npz", **arrays), f"in '{key}': {says}|in 'labels': {says}")


def test_an_encrypted_zip_is_one_sentence(tmp_path):
    path = write_npz(tmp_path / "mine.npz", images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + offset] |= 1
    path.write_bytes(content)
    refuses(path, "in 'images': .* is encrypted, password required")


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            for name, array in (("images", IMAGES), ("images", IMAGES[::-1]), ("labels", LABELS)):
                archive.writestr(f"{name}.npy", npy(array))
    refuses(tmp_path / "a.npz", r"has two arrays of one name; save it again")


# HDF5


@pytest.fixture
def secret(tmp_path):
    """Another file of the reader's, as raw bytes and as HDF5."""
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "secret.bin").write_bytes(bytes(range(24)) * 15 * 12)
    with h5py.File(folder / "secret.h5", "w") as file:
        file["images"], file["group/images"] = IMAGES, IMAGES
    os.mkfifo(folder / "fifo")
    return folder


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
    return path


def _link(file, key, target):
    file[key] = h5py.ExternalLink(str(target), "images")


def _soft_link_through_an_external_link(file, key, target):
    file["away"] = h5py.ExternalLink(str(target), "/group")
    file[key] = h5py.SoftLink("/away/images")


def _storage(file, key, target):
    external = [(str(target), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(key, (12, 6, 5, 1), "u1", external=external)


def _virtual(file, key, target):
    layout = h5py.VirtualLayout((12, 6, 5, 3), "u1", maxshape=(None, 6, 5, 3))
    source = h5py.VirtualSource(str(target), "images", (12, 6, 5, 3), maxshape=(None, 6, 5, 3))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset(key, layout)


@pytest.mark.parametrize("attack", [_link, _soft_link_through_an_external_link, _storage, _virtual])
@pytest.mark.parametrize("target", ["secret.h5", "secret.bin", "fifo"])
@pytest.mark.parametrize("key", ["images", "labels"])
def test_hdf5_never_reads_another_file(tmp_path, secret, attack, target, key):
    arrays = {"images": IMAGES, "labels": LABELS}
    del arrays[key]
    path = write_h5(tmp_path / "mine.h5", **arrays)
    with h5py.File(path, "a") as file:
        attack(file, key, secret / target)
    says = f"in '{key}': it is .* link, which is never followed|in another file, which is never"
    refuses(path, says, images="images", labels="labels")
    refuses(path, says)


def test_no_part_of_a_path_is_of_another_file(tmp_path, secret):
    path = write_h5(tmp_path / "mine.h5", labels=LABELS, inside=LABELS)
    with h5py.File(path, "a") as file:
        file["away"] = h5py.ExternalLink(str(secret / "secret.h5"), "/")
    for key in ("away/group/images", "away/images", "inside/away", "nowhere"):
        refuses(path, f"in '{key}': it is not there, or behind a link", images=key)


def test_what_is_of_no_use_here_may_lie_in_another_file(tmp_path, secret):
    path = write_h5(tmp_path / "mine.h5", images=IMAGES, labels=LABELS)
    with h5py.File(path, "a") as file:
        file["more"] = h5py.ExternalLink(str(secret / "fifo"), "/")
        file["nowhere"] = h5py.SoftLink("/not/there")
        file[b"\xff\xfe"] = np.arange(12)
    assert read_images(path).codes.tolist() == LABELS.tolist()


def _column_never_written(file):
    file.create_dataset("colour", (12,), "i8")


def _column_of_cells(file):
    file.create_dataset("colour", (1, 12), h5py.ref_dtype)


def _column_behind_a_link(file):
    file["colour"] = h5py.SoftLink("/size")


def _column_of_another_file(file):
    layout = h5py.VirtualLayout((12,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "colour", (12,))
    file.create_virtual_dataset("colour", layout)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (_column_never_written, "it was not written in full"),
        (_column_of_cells, "it holds references or lists, which are never followed"),
        (_column_behind_a_link, "it is not there, or behind a link, which is never followed.*"),
        (_column_of_another_file, "its numbers are in another file, which is never read"),
    ],
)
def test_a_column_of_hdf5_that_is_refused_is_not_left_out(tmp_path, attack, reason):
    path = write_h5(tmp_path / "mine.h5", images=IMAGES, size=SIZE)
    with h5py.File(path, "a") as file:
        file.create_dataset("parts", (5,), "i8")
        file["nothing"] = h5py.Empty("u1")
    assert read_images(path).factors.names == ("size",)
    with h5py.File(path, "a") as file:
        attack(file)
    refuses(path, f"in 'colour': {reason}{MAY_BE_FACTOR}")
    assert read_images(path, labels="size").codes.ravel().tolist() == SIZE.tolist()


def test_a_column_whose_name_is_no_utf_8_is_not_left_out(tmp_path):
    path = write_h5(tmp_path / "mine.h5", images=IMAGES, size=SIZE)
    with h5py.File(path, "a") as file:
        file[b"gr\xf6sse"] = np.arange(12)
    refuses(path, rf"in 'gr\\+xf6sse': .* or its name is no UTF-8{MAY_BE_FACTOR}")


def _group(file):
    file.create_group("images")


def _committed_type(file):
    file["images"] = np.dtype("u1")


def _references(file):
    file.create_dataset("images", (12, 6, 5), h5py.ref_dtype)


def _lists(file):
    file.create_dataset("images", (12,), h5py.vlen_dtype(np.uint8))


def _nothing(file):
    file["images"] = h5py.Empty("u1")


def _never_written(file):
    file.create_dataset("images", (12, 6, 5), "u1")


def _chunks_never_written(file):
    file.create_dataset("images", (12, 6, 5), "u1", chunks=(4, 6, 5))[:8] = 1


def _chunks_of_gigabytes(file):
    shape = (12, 2**14, 2**14)
    file.create_dataset("images", shape, "u1", chunks=shape, compression="gzip")


def _other_filter(file):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4, 6, 5))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((12, 6, 5))
    images = h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, settings)
    for start in (0, 4, 8):
        images.write_direct_chunk((start, 0, 0), bytes(120))


def _bomb(file):
    shape = (12, 6, 5)
    images = file.create_dataset("images", shape, "u1", chunks=shape, compression="gzip")
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(24)) + packer.flush()
    images.id.write_direct_chunk((0, 0, 0), bomb)


def _short_chunk(file):
    """The HDF5 library believes it, and reads on beyond the chunk's end."""
    images = file.create_dataset("images", (12, 6, 5), "u1", chunks=(4, 6, 5))
    for start in (0, 4, 8):
        images.id.write_direct_chunk((start, 0, 0), bytes(120 - start))


HDF5 = {
    _group: "it is no array",
    _committed_type: "it is no array",
    _references: "it holds references or lists, which are never followed",
    _lists: "it holds references or lists, which are never followed",
    _nothing: "it is no array",
    _never_written: "it was not written in full",
    _chunks_never_written: "it was not written in full",
    _chunks_of_gigabytes: r"its chunks take 3\.22 GB each, and at most 134 MB are read",
    _other_filter: "HDF5's filter 32015 is not installed",
    _bomb: "a chunk has another length than it says",
    _short_chunk: "a chunk has another length than it says",
}


@pytest.mark.parametrize("attack", HDF5)
def test_hdf5_that_is_no_array_of_images_is_one_sentence(tmp_path, attack):
    path = write_h5(tmp_path / "mine.h5", labels=LABELS)
    with h5py.File(path, "a") as file:
        attack(file)
    refuses(path, f"cannot be read in 'images': .*{HDF5[attack]}", images="images")


def test_groups_that_hold_each_other_are_not_walked_for_ever(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        groups = [file.create_group(f"a{k}") for k in range(8)]
        for group in groups:
            for other in range(8):
                group[f"b{other}"] = groups[other]
            group["root"] = file
        file["images"], file["labels"] = IMAGES, LABELS
    assert read_images(tmp_path / "a.h5").codes.tolist() == LABELS.tolist()


def test_arrays_are_looked_for_among_so_many_and_never_said_to_be_missing(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        for k in range(1_500):
            file.create_group(f"a{k}") if k % 2 else file.create_dataset(f"a{k}", data=k)
        file["images"], file["labels"] = IMAGES, LABELS
    assert read_images(tmp_path / "a.h5").codes.tolist() == LABELS.tolist()
    monkeypatch.setattr("vaedis.data.own.arrays.MAX_KEYS", 20)
    refuses(tmp_path / "a.h5", "has more than 20 arrays; make a file of fewer")


def test_labels_that_are_nowhere_are_not_made_up(tmp_path):
    path = write_h5(tmp_path / "mine.h5", images=IMAGES)
    with h5py.File(path, "a") as file:
        file.create_dataset("labels", (200_000_000,), "i8", chunks=(1_000,))
    refuses(path, "in 'labels': it was not written in full")


def test_one_long_text_that_many_labels_repeat_is_not_read(tmp_path):
    path = write_h5(tmp_path / "mine.h5", images=np.zeros((300, 2, 2), np.uint8))
    with h5py.File(path, "a") as file:
        labels = file.create_dataset("labels", (300,), h5py.string_dtype())
        labels[:] = ["a" * 4_000_000] + ["b"] * 299
    refuses(path, "in 'labels': it has text of more than 1,000 characters")


# every format, damaged


def _as_npz(path):
    names = np.array(["colour", "size"])
    np.savez_compressed(path, images=IMAGES, labels=LABELS, factor_names=names)


def _as_stored_npz(path):
    np.savez(path, images=IMAGES, labels=LABELS)


def _as_npy(path):
    np.save(path, IMAGES)


GZIPPED = {"chunks": (5, 3, 5, 1), "compression": "gzip", "shuffle": True}


def _as_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=IMAGES, fletcher32=True, **GZIPPED)
        file["labels"], file["factor_names"] = LABELS, ["colour", "size"]


def _as_matlab(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, array in (("images", IMAGES), ("labels", LABELS.astype(float))):
            file.create_dataset(key, data=array.T).attrs["MATLAB_class"] = np.bytes_("double")


def _as_newer_hdf5(path):
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("images", data=IMAGES, maxshape=(None, 6, None, 3), **GZIPPED)
        file.create_dataset("labels", data=LABELS.astype("f4"), chunks=(3, 2))


FORMATS = {
    "a.npz": _as_npz,
    "b.npz": _as_stored_npz,
    "c.npy": _as_npy,
    "d.h5": _as_hdf5,
    "e.mat": _as_matlab,
    "f.h5": _as_newer_hdf5,
}


def mutated(content, random):
    """A file with bits turned, bytes replaced, cut short, or a part of it somewhere else."""
    kind, content = random.integers(4), bytearray(content)
    if kind == 0:
        return content[: random.integers(len(content))]
    for _ in range(random.integers(1, 6)):
        start = int(random.integers(len(content)))
        if kind == 1:
            content[start] ^= 1 << int(random.integers(8))
        elif kind == 2:
            content[start] = (0, 1, 0x7F, 0x80, 0xFF)[random.integers(5)]
        else:
            length = int(random.integers(1, 16))
            content[start : start + length] = random.bytes(len(content[start : start + length]))
    return content


def read_or_refuse(path, sizes=None):
    """The images of a file, or None where a ValueError of one line refuses it; anything else passes
    through.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # a byte that changed may bring labels close to each other
        warnings.filterwarnings("ignore", ".* differ by rounding alone")
        try:
            table = read_images(path, sizes=sizes)
            return table.images(torch.arange(len(table))).numpy()
        except ValueError as error:
            says = str(error)
    assert "\n" not in says
    assert len(says) < 1_000
    return None


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path, name):
    path, random = tmp_path / name, np.random.default_rng(0)
    FORMATS[name](path)
    sizes = (3, 4) if name == "c.npy" else None
    assert read_or_refuse(path, sizes) is not None
    whole = path.read_bytes()
    n_read = 0
    for _ in range(200):
        path.write_bytes(mutated(whole, random))
        images = read_or_refuse(path, sizes)
        n_read += images is not None
        # a zip file has checksums
        if images is not None and name.endswith("npz"):
            assert np.array_equal(images, IMAGES)
    assert n_read < 200
    assert [file.name for file in tmp_path.iterdir()] == [name]


# folders of pictures


def write_folder(folder, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for k, image in enumerate(IMAGES[:4]):
        Image.fromarray(image).save(folder / f"{k:03}{suffix}")
    np.save(folder / "labels.npy", LABELS[:4])
    return folder


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".webp", ".bmp"])
def test_a_damaged_picture_is_read_or_refused(tmp_path, suffix):
    folder, random = write_folder(tmp_path / "mine", suffix), np.random.default_rng(0)
    assert read_or_refuse(folder) is not None
    picture = folder / f"003{suffix}"
    whole = picture.read_bytes()
    n_read = 0
    for _ in range(200):
        picture.write_bytes(mutated(whole, random))
        n_read += read_or_refuse(folder) is not None
    assert n_read < 200


def test_links_in_a_folder_lead_nowhere(tmp_path, secret):
    folder = write_folder(tmp_path / "mine")
    (folder / "003.png").unlink()
    (folder / "003.png").symlink_to(secret / "fifo")
    refuses(folder, "one row of labels for each of the 3 images, not 4")
    (folder / "003.png").unlink()
    os.mkfifo(folder / "003.png")
    refuses(folder, "one row of labels for each of the 3 images, not 4")


def test_a_picture_that_is_something_else_is_not_run(tmp_path):
    folder = write_folder(tmp_path / "mine")
    (folder / "003.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 6\n")
    refuses(folder, r"003\.png cannot be read: cannot identify image file")


def test_a_picture_of_absurd_size_is_not_decoded(tmp_path):
    folder = write_folder(tmp_path / "mine")
    content = bytearray((folder / "000.png").read_bytes())
    struct.pack_into(">II", content, 16, 8_000, 8_000)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    (folder / "000.png").write_bytes(content)
    refuses(folder, r"000\.png cannot be read: its images take 256 MB each, and at most 67\.1 MB")


# what is no file of arrays at all


def test_a_fifo_or_a_device_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "mine.npz")
    for path in (tmp_path / "mine.npz", "/dev/zero"):
        refuses(path, "is neither a plain file nor a folder")


@pytest.mark.parametrize("content", [b"", b"images", b"\x1f\x8bxx", b"PK\x03\x04", b"\x80\x04"])
def test_what_is_no_such_file_is_one_sentence(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    says = "File is not a zip file" if content.startswith(b"PK") else r"it is no \.npz, \.npy or"
    refuses(tmp_path / "mine.npz", rf"mine\.npz cannot be read: {says}")


def test_files_of_torch_are_not_unpickled(tmp_path):
    torch.save({"images": torch.zeros(3, 2, 2)}, tmp_path / "mine.pt")
    refuses(tmp_path / "mine.pt", "has no array for images .*; it has: none")


def test_the_command_says_one_sentence_and_no_escapes(tmp_path, capsys):
    path = write_npz(tmp_path / "a\x1b[31mred.npz", **{"pics\x1b]0;title\x07": IMAGES})
    assert main(["diagnose", str(path)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("vaedis: ")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.count("\n") == 1


def test_names_of_arrays_are_text_once_each_and_not_empty(tmp_path):
    images = np.arange(12, dtype=np.uint8)[:, None, None] * np.full((4, 4), 20, np.uint8)
    np.savez(tmp_path / "d.npz", images=images, a=np.arange(12), b=np.arange(12) // 3)
    path = tmp_path / "d.npz"
    assert vd.read_images(path, labels="a,b").factors.names == ("a", "b")
    for labels in ("", ",", "a,", ["a", ""], []):
        with pytest.raises(ValueError, match=r"a name in labels= \(--labels\) is empty"):
            vd.read_images(path, labels=labels)
    for labels in ("a,a", ["a", "b", "a"]):
        with pytest.raises(ValueError, match=r"labels= \(--labels\) names an array twice"):
            vd.read_images(path, labels=labels)
    for options in ({"labels": np.arange(12)}, {"images": images}, {"labels": [1]}):
        with pytest.raises(TypeError, match="are names of arrays in the file; give arrays of your"):
            vd.read_images(path, **options)


def test_a_zip_file_of_pictures_says_to_unpack_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("0.png", b"0")
    with pytest.raises(ValueError, match=r"pictures\.zip is a zip file of pictures; unpack it"):
        vd.read_images(tmp_path / "pictures.zip")


@pytest.mark.parametrize("labels", [{}, np.zeros((3, 0))])
def test_labels_without_a_factor_say_so(labels):
    with pytest.raises(ValueError, match="labels hold no factor; give at least one value"):
        vd.LabelledImages(np.zeros((3, 4, 4), np.uint8), labels)


def test_names_of_reports_are_not_empty(tmp_path, capsys):
    images = np.arange(4, dtype=np.uint8)[:, None, None] * np.full((4, 4), 20, np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=range(4))
    for option in ("--html", "--json"):
        with pytest.raises(SystemExit, match="2"):
            main(["diagnose", str(tmp_path / "d.npz"), option, " "])
        assert f"argument {option}: the name of the file is empty" in capsys.readouterr().err
    assert main(["diagnose", str(tmp_path / "d.npz"), "--names", ""]) == 2
    assert "each factor needs a name, but one is empty" in capsys.readouterr().err
    report = vd.diagnose((images, range(4)), radii=())
    for option in ("html", "json_file"):
        with pytest.raises(ValueError, match=f"{option} is empty; name a file for the report"):
            vd.diagnosis.save(report, **{option: ""})
