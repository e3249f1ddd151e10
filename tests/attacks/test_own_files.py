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

from vaedis.data import read_images
from vaedis_companion.cli import main

pytestmark = pytest.mark.usefixtures("bounded")
LABELS = np.stack([np.arange(12) // 4, np.arange(12) % 4], 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3)).astype(np.uint8)


def npy(array):
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array), allow_pickle=True)
    return content.getvalue()


def header(text, version=1):
    """An .npy file's header of any text."""
    body = text.encode()
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", len(body))
        + body
    )


def write_npz(path, method=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))
    return path


HEADERS = {
    "a dictionary that ends early": "{'descr': '|u1', 'fortran_order': False, 'shape': (12, 6, 5",
    "brackets that never close": "(" * 5_000,
    "a shape of negative length": "{'descr': '|u1', 'fortran_order': False, 'shape': (12, -6, 5), }",
    "a shape beyond 64 bits": "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 6, 5), }",
    "a shape of exabytes": "{'descr': '<f8', 'fortran_order': False, 'shape': (12, 4000000000, 4000000000), }",
    "a shape of many axes": f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({'1, ' * 70}), }}",
    "a shape of text": "{'descr': '|u1', 'fortran_order': False, 'shape': ('12', 6, 5), }",
    "a type that is none": "{'descr': 'nonsense', 'fortran_order': False, 'shape': (12, 6, 5), }",
    "a type that is nested without end": "{'descr': "
    + "[('a', " * 90
    + "'|u1'"
    + ")]" * 90
    + ", 'fortran_order': False, 'shape': (12, 6, 5), }",
    "a type of gigabytes": "{'descr': '|V2000000000', 'fortran_order': False, 'shape': (12, 6, 5), }",
    "a header that never ends": "{'descr': '|u1', 'fortran_order': False, 'shape': (12, 6, 5), 'x': '"
    + "a" * 60_000
    + "'}",
    "a backslash that warns": "{'descr': '\\d', 'fortran_order': False, 'shape': (12, 6, 5), }",
    "a header of letters": "ä" * 50,
    "a header that is empty": "",
}


@pytest.mark.parametrize("attack", HEADERS)
@pytest.mark.parametrize("key", ["images", "labels"])
def test_an_npz_header_that_is_damaged_is_one_sentence(tmp_path, attack, key):
    members = {"images": IMAGES, "labels": LABELS}
    members[key] = header(HEADERS[attack]) + bytes(4_000)
    path = write_npz(tmp_path / "mine.npz", **members)
    with pytest.raises(
        ValueError, match=rf"mine\.npz cannot be read in '{key}': |must have the shape"
    ) as refusal:
        read_images(path)
    assert len(str(refusal.value)) < 700


def test_a_header_of_gigabytes_is_not_read(tmp_path):
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{" + bytes(1_000)
    path = write_npz(tmp_path / "mine.npz", images=long, labels=LABELS)
    with pytest.raises(ValueError, match="has a damaged array 'images'"):
        read_images(path)


@pytest.mark.parametrize("key", ["images", "labels"])
def test_pickles_are_never_opened(tmp_path, key):
    opened = tmp_path / "opened"

    class Command:
        def __reduce__(self):
            return os.mkdir, (str(opened),)

    members = {"images": IMAGES, "labels": LABELS}
    members[key] = npy(np.array([Command()] * 12, object))
    with pytest.raises(
        ValueError,
        match=f"holds Python objects or references in '{key}', which are never unpickled",
    ):
        read_images(write_npz(tmp_path / "mine.npz", **members))
    assert not opened.exists()


@pytest.mark.parametrize(
    ("method", "called"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")]
)
def test_what_inflates_without_a_bound_is_not_inflated(tmp_path, method, called):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            file.write(header("{'descr': '|u1', 'fortran_order': False, 'shape': (12, 64, 64), }"))
            for _ in range(12):
                file.write(bytes(2**12))
        archive.writestr("labels.npy", npy(LABELS))
    with pytest.raises(
        ValueError, match=f"'images' compressed by {called}, whose size cannot be bounded"
    ):
        read_images(path)


def inflating(path, said, wrote):
    """An .npz whose images are `said` bytes by their header and `wrote` bytes in the file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            file.write(
                header(
                    f"{{'descr': '|u1', 'fortran_order': False, 'shape': (12, {said // 12 // 1024}, 1024), }}"
                )
            )
            for _ in range(wrote // 2**22):
                file.write(bytes(2**22))
        archive.writestr("labels.npy", npy(LABELS))
    return path


def test_images_that_inflate_too_far_are_refused_before_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 2**24)
    path = inflating(tmp_path / "mine.npz", 36 * 2**20, 36 * 2**20)
    says = r"'images' of 37\.7 MB in \d+\.\d kB; beyond 16\.8 MB an array may inflate at most 500 times: save it without compression"
    with pytest.raises(ValueError, match=says):
        read_images(path)


def test_a_zip_directory_that_lies_is_not_believed(tmp_path):
    longer = inflating(tmp_path / "longer.npz", 12 * 2**20, 40 * 2**20)
    with pytest.raises(
        ValueError,
        match=r"damaged array 'images' \(its header says 12,582,912 bytes, but it has 41,943,040\)",
    ):
        read_images(longer)
    # the directory agrees with the header, the data do not
    content = bytearray(longer.read_bytes())
    entry = content.index(b"PK\x01\x02")
    with zipfile.ZipFile(longer) as archive, archive.open("images.npy") as file:
        file.seek(0)
        told = (
            len(
                header(
                    f"{{'descr': '|u1', 'fortran_order': False, 'shape': (12, {2**20 // 1024}, 1024), }}"
                )
            )
            + 12 * 2**20
        )
    struct.pack_into("<I", content, entry + 24, told)
    longer.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged array 'images'"):
        read_images(longer)


LABEL_BOMBS = {
    "text of 50 MB": (
        np.array(["a" * 12_500_000]),
        "text in 'labels' of more than 1,000 characters",
    ),
    "bytes of 50 MB": (
        np.array([b"a" * 50_000_000]),
        "text in 'labels' of more than 1,000 characters",
    ),
    "more labels than images": (
        np.zeros(30_000_000, np.uint8),
        "one row of labels for each of the 1 images, not 30,000,000",
    ),
    "many columns": (
        np.zeros((1, 24_000_000), np.uint8),
        "24,000,000 values in 'labels'; labels may have at most 20,000,000",
    ),
}


@pytest.mark.parametrize("attack", LABEL_BOMBS)
def test_labels_that_would_take_much_memory_are_not_read(tmp_path, attack):
    labels, says = LABEL_BOMBS[attack]
    path = write_npz(tmp_path / "mine.npz", images=IMAGES[:1], labels=labels)
    with pytest.raises(ValueError, match=says):
        read_images(path)


def test_names_of_factors_are_no_place_for_megabytes(tmp_path):
    path = write_npz(
        tmp_path / "mine.npz",
        images=IMAGES,
        labels=LABELS,
        factor_names=np.array(["a" * 1_000_000, "b"]),
    )
    with pytest.raises(ValueError, match="text in 'factor_names' of more than 1,000 characters"):
        read_images(path)


def test_an_encrypted_zip_is_one_sentence(tmp_path):
    path = write_npz(tmp_path / "mine.npz", images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="has the array 'images' under a password"):
        read_images(path)


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


def _external_link(file, secret):
    file["images"] = h5py.ExternalLink(str(secret / "secret.h5"), "images")


def _external_link_to_a_fifo(file, secret):
    file["images"] = h5py.ExternalLink(str(secret / "fifo"), "images")


def _soft_link_through_an_external_link(file, secret):
    file["away"] = h5py.ExternalLink(str(secret / "secret.h5"), "/group")
    file["images"] = h5py.SoftLink("/away/images")


def _soft_link_through_soft_links(file, secret):
    file["away"] = h5py.ExternalLink(str(secret / "secret.h5"), "/")
    file["a/b"] = h5py.SoftLink("/away")
    file["a/c"] = h5py.SoftLink("b/group")
    file["images"] = h5py.SoftLink("a/c/images")


def _external_storage(file, secret):
    file.create_dataset(
        "images",
        (12, 6, 5, 1),
        "u1",
        external=[(str(secret / "secret.bin"), 0, h5py.h5f.UNLIMITED)],
    )


def _external_storage_of_a_fifo(file, secret):
    file.create_dataset(
        "images", (12, 6, 5, 1), "u1", external=[(str(secret / "fifo"), 0, h5py.h5f.UNLIMITED)]
    )


def _virtual(file, secret):
    layout = h5py.VirtualLayout((12, 6, 5, 3), "u1")
    layout[:] = h5py.VirtualSource(str(secret / "secret.h5"), "images", (12, 6, 5, 3))
    file.create_virtual_dataset("images", layout)


def _virtual_of_a_fifo(file, secret):
    layout = h5py.VirtualLayout((12, 6, 5, 3), "u1", maxshape=(None, 6, 5, 3))
    source = h5py.VirtualSource(
        str(secret / "fifo"), "images", (12, 6, 5, 3), maxshape=(None, 6, 5, 3)
    )
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("images", layout)


OUTSIDE = [
    _external_link,
    _external_link_to_a_fifo,
    _soft_link_through_an_external_link,
    _soft_link_through_soft_links,
    _external_storage,
    _external_storage_of_a_fifo,
    _virtual,
    _virtual_of_a_fifo,
]


@pytest.mark.parametrize("attack", OUTSIDE)
def test_hdf5_never_reads_another_file(tmp_path, secret, attack):
    path = write_h5(tmp_path / "mine.h5", labels=LABELS)
    with h5py.File(path, "a") as file:
        attack(file, secret)
    for key in (None, "images", "/images"):
        with pytest.raises(
            ValueError,
            match=r"has '/?images' in another file .*, which is never read; save the array itself",
        ):
            read_images(path, images=key)


@pytest.mark.parametrize(
    "key", ["labels", "factor_names", "away/group/images", "inside/away/group/images"]
)
def test_no_array_at_any_level_of_a_path_is_of_another_file(tmp_path, secret, key):
    path = write_h5(tmp_path / "mine.h5", images=IMAGES)
    with h5py.File(path, "a") as file:
        target = h5py.ExternalLink(str(secret / "secret.h5"), "/")
        if "/" in key:
            file["labels"], file[key.partition("/group")[0]] = LABELS, target
        elif key == "labels":
            file[key] = h5py.ExternalLink(str(secret / "secret.h5"), "/images")
        else:
            file["labels"] = LABELS
            layout = h5py.VirtualLayout((2,), "S10")
            layout[:] = h5py.VirtualSource(str(secret / "secret.h5"), "images", (2,))
            file.create_virtual_dataset(key, layout)
    with pytest.raises(ValueError, match=f"has '{key}' in another file"):
        read_images(path, images=key if "/" in key else None)


def test_what_is_of_no_use_here_may_lie_in_another_file(tmp_path, secret):
    path = write_h5(tmp_path / "mine.h5", images=IMAGES, labels=LABELS)
    with h5py.File(path, "a") as file:
        file["more"] = h5py.ExternalLink(str(secret / "fifo"), "/")
        file["nowhere"] = h5py.SoftLink("/not/there")
    assert len(read_images(path)) == 12


def _dangling(file):
    file["images"] = h5py.SoftLink("/not/there")


def _circle(file):
    file["images"], file["back"] = h5py.SoftLink("/back"), h5py.SoftLink("/images")


def _group(file):
    file.create_group("images")


def _committed_type(file):
    file["images"] = np.dtype("u1")


def _references(file):
    file.create_dataset("images", (12, 6, 5), h5py.ref_dtype)


def _regions(file):
    file.create_dataset("images", (12, 6, 5), h5py.regionref_dtype)


def _lists(file):
    file.create_dataset("images", (12,), h5py.vlen_dtype(np.uint8))


def _nothing(file):
    file["images"] = h5py.Empty("u1")


def _never_written(file):
    file.create_dataset("images", (12, 6, 5), "u1")


def _chunks_never_written(file):
    file.create_dataset("images", (12, 6, 5), "u1", chunks=(4, 6, 5))[:8] = 1


def _chunks_of_gigabytes(file):
    file.create_dataset(
        "images", (12, 2**14, 2**14), "u1", chunks=(12, 2**14, 2**14), compression="gzip"
    )


def _other_filter(file):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4, 6, 5))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((12, 6, 5))
    h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, settings)


HDF5 = {
    _dangling: "has nothing at 'images': the path or a link leads nowhere",
    _circle: "has links at 'images' that lead round in a circle",
    _group: "has no array at 'images', but a group or a type",
    _committed_type: "has no array at 'images', but a group or a type",
    _references: "holds Python objects or references in 'images', which are never unpickled or followed",
    _regions: "holds Python objects or references in 'images', which are never unpickled or followed",
    _lists: "holds Python objects or references in 'images', which are never unpickled or followed",
    _nothing: "has nothing in 'images'",
    _never_written: "has the array 'images', which was not written in full; save it again",
    _chunks_never_written: "has the array 'images', which was not written in full; save it again",
    _chunks_of_gigabytes: r"'images' in chunks of 3\.22 GB; at most 134 MB are read",
    _other_filter: "'images' compressed by HDF5's filter 32015, which is not installed; import hdf5plugin",
}


@pytest.mark.parametrize("attack", HDF5)
def test_hdf5_that_is_no_array_of_images_is_one_sentence(tmp_path, attack):
    path = write_h5(tmp_path / "mine.h5", labels=LABELS)
    with h5py.File(path, "a") as file:
        attack(file)
    with pytest.raises(ValueError, match=HDF5[attack]):
        read_images(path, images="images")


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
    monkeypatch.setattr("vaedis.data.own.arrays.MAX_KEYS", 20)
    monkeypatch.setattr("vaedis.data.files.MAX_KEYS", 20)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k in range(30):
            file[f"a{k}"] = k
        file["images"], file["labels"] = IMAGES, LABELS
    with pytest.raises(
        ValueError, match=r"has more than 20 arrays; name those of images and labels"
    ):
        read_images(tmp_path / "a.h5")
    assert (
        read_images(tmp_path / "a.h5", images="images", labels="labels").codes.tolist()
        == LABELS.tolist()
    )


def test_an_array_among_thousands_is_found(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        for k in range(1_500):
            file.create_group(f"a{k}") if k % 2 else file.create_dataset(f"a{k}", data=k)
        file["images"], file["labels"] = IMAGES, LABELS
        for k in range(600):
            file[f"a1/c{k}"] = k
    assert read_images(tmp_path / "a.h5").codes.tolist() == LABELS.tolist()


def test_a_name_that_is_no_utf8_is_no_damage(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[b"\xff\xfe"], file["images"], file["labels"] = np.arange(12), IMAGES, LABELS
    assert read_images(tmp_path / "a.h5").codes.tolist() == LABELS.tolist()


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            for name, array in (("images", IMAGES), ("images", IMAGES[::-1]), ("labels", LABELS)):
                archive.writestr(f"{name}.npy", npy(array))
    with pytest.raises(ValueError, match=r"has two arrays of one name, images; save it again"):
        read_images(tmp_path / "a.npz")


def test_labels_that_are_nowhere_are_not_made_up(tmp_path):
    path = write_h5(tmp_path / "mine.h5", images=IMAGES)
    with h5py.File(path, "a") as file:
        file.create_dataset("labels", (200_000_000,), "i8", chunks=(1_000,))
    with pytest.raises(ValueError, match="has the array 'labels', which was not written in full"):
        read_images(path)


def test_a_chunk_that_inflates_to_more_than_it_says_is_refused(tmp_path):
    path = write_h5(tmp_path / "mine.h5", labels=LABELS)
    with h5py.File(path, "a") as file:
        images = file.create_dataset(
            "images", (12, 6, 5), "u1", chunks=(12, 6, 5), compression="gzip"
        )
        packer = zlib.compressobj(9)
        bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(24)) + packer.flush()
        images.id.write_direct_chunk((0, 0, 0), bomb)
    with pytest.raises(
        ValueError,
        match=r"damaged array 'images' \(a chunk inflates to more than it says, or ends early\)",
    ):
        read_images(path)


def test_one_long_text_that_many_labels_repeat_is_not_read(tmp_path):
    path = write_h5(tmp_path / "mine.h5", images=np.zeros((300, 2, 2), np.uint8))
    with h5py.File(path, "a") as file:
        file.create_dataset("labels", (300,), h5py.string_dtype())[:] = ["a" * 4_000_000] + [
            "b"
        ] * 299
    with pytest.raises(ValueError, match="text in 'labels' of more than 1,000 characters"):
        read_images(path)


# every format, damaged


def _as_npz(path):
    np.savez_compressed(
        path, images=IMAGES, labels=LABELS, factor_names=np.array(["colour", "size"])
    )


def _as_stored_npz(path):
    np.savez(path, images=IMAGES, labels=LABELS)


def _as_npy(path):
    np.save(path, IMAGES)


def _as_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "images",
            data=IMAGES,
            chunks=(5, 3, 5, 1),
            compression="gzip",
            shuffle=True,
            fletcher32=True,
        )
        file["labels/classes"], file["factor_names"] = LABELS, ["colour", "size"]
        file["factors"] = h5py.SoftLink("/labels/classes")


def _as_matlab(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("images", data=IMAGES.T)
        file.create_dataset("labels", data=LABELS.T.astype(float))
        file["images"].attrs["MATLAB_class"] = np.bytes_("uint8")
        file["labels"].attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")


def _as_newer_hdf5(path):
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset(
            "images",
            data=IMAGES,
            chunks=(5, 3, 5, 1),
            maxshape=(None, 6, None, 3),
            compression="gzip",
            shuffle=True,
        )
        file.create_dataset("labels", data=LABELS.astype("f4"), chunks=(3, 2))


FORMATS = {
    "f.h5": _as_newer_hdf5,
    "a.npz": _as_npz,
    "b.npz": _as_stored_npz,
    "c.npy": _as_npy,
    "d.h5": _as_hdf5,
    "e.mat": _as_matlab,
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
    """Whether a file is read, to its last image; anything but a ValueError of one line passes
    through.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            table = read_images(path, sizes=sizes)
            table.images(torch.arange(len(table)))
        except ValueError as error:
            says = str(error)
        else:
            return True
    assert "\n" not in says
    assert len(says) < 1_000
    return False


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path, name):
    path, random = tmp_path / name, np.random.default_rng(0)
    FORMATS[name](path)
    sizes = (3, 4) if name == "c.npy" else None
    assert read_or_refuse(path, sizes)
    whole = path.read_bytes()
    n_read = 0
    for _ in range(200):
        path.write_bytes(mutated(whole, random))
        n_read += read_or_refuse(path, sizes)
    assert n_read < 200
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.npz", "b.npz"])
def test_an_npz_that_is_read_despite_damage_is_right(tmp_path, name):
    path, random = tmp_path / name, np.random.default_rng(1)
    FORMATS[name](path)
    whole = path.read_bytes()
    for _ in range(200):
        path.write_bytes(mutated(whole, random))
        if read_or_refuse(path) and "images" in np.load(path).files:
            assert np.array_equal(read_images(path).images(torch.arange(12)).numpy(), IMAGES)


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
    assert read_or_refuse(folder)
    picture = folder / f"003{suffix}"
    whole = picture.read_bytes()
    n_read = 0
    for _ in range(200):
        picture.write_bytes(mutated(whole, random))
        n_read += read_or_refuse(folder)
    assert n_read < 200


def test_links_in_a_folder_lead_nowhere(tmp_path, secret):
    folder = write_folder(tmp_path / "mine")
    (folder / "003.png").unlink()
    (folder / "003.png").symlink_to(secret / "fifo")
    with pytest.raises(ValueError, match=r"has '003\.png', which is no plain file"):
        read_images(folder)
    (folder / "003.png").unlink()
    os.mkfifo(folder / "003.png")
    with pytest.raises(ValueError, match=r"has '003\.png', which is no plain file"):
        read_images(folder)


def test_a_picture_that_is_something_else_is_not_run(tmp_path):
    folder = write_folder(tmp_path / "mine")
    (folder / "003.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 6\n")
    with pytest.raises(ValueError, match=r"003\.png is a damaged picture"):
        read_images(folder)


def test_a_picture_of_absurd_size_is_not_decoded(tmp_path):
    folder = write_folder(tmp_path / "mine")
    content = bytearray((folder / "000.png").read_bytes())
    struct.pack_into(">II", content, 16, 8_000, 8_000)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    (folder / "000.png").write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"has images of the shape \(8000, 8000, 4\) in '000\.png', 256 MB each; at most 67\.1 MB each",
    ):
        read_images(folder)


# what is no file of arrays at all


def test_a_fifo_or_a_device_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "mine.npz")
    for path in (tmp_path / "mine.npz", "/dev/zero"):
        with pytest.raises(ValueError, match="is neither a plain file nor a folder"):
            read_images(path)


def test_the_command_says_one_sentence_and_no_escapes(tmp_path, capsys):
    path = write_npz(tmp_path / "a\x1b[31mred.npz", **{"pics\x1b]0;title\x07": IMAGES})
    assert main(["diagnose", str(path)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("vaedis: ")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.count("\n") == 1
