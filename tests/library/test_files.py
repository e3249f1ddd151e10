"""Reading a reader's own files: .npz, HDF5, MATLAB 7.3, .npy and folders of pictures; right, or
refused in one sentence.
"""

import re

import h5py
import numpy as np
import pytest
import torch

from vaedis.cli import main
from vaedis.data import as_data, read_images

GRID = np.stack(np.unravel_index(np.arange(12), (3, 4)), 1)
IMAGES = np.random.default_rng(0).integers(2, 256, (12, 6, 5, 3)).astype(np.uint8)
SHAPE, X, Y = (part.ravel() for part in np.indices((2, 3, 4)))
COLUMNS = {"shape": SHAPE, "x": X, "y": Y}
MANY = np.arange(24, dtype=np.uint8)[:, None, None] * 3 + np.zeros((1, 2, 2), np.uint8)


def save_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array


SAVERS = {"mine.npz": np.savez, "packed.npz": np.savez_compressed, "mine.h5": save_h5}
every_format = pytest.mark.parametrize("name", SAVERS)


def write(folder, name, **arrays):
    SAVERS[name](folder / name, **arrays)
    return folder / name


def all_images(data):
    return data.images(torch.arange(len(data))).numpy()


@every_format
def test_images_labels_and_names_are_read(tmp_path, name):
    path = write(tmp_path, name, imgs=IMAGES, factors=GRID, factor_names=[b"colour", b"size"])
    data = read_images(path)
    assert (data.name, data.factors.names, data.grid) == (path.stem, ("colour", "size"), True)
    assert np.array_equal(all_images(data), IMAGES)
    assert read_images(path, names=["a", "b"]).factors.names == ("a", "b")


@every_format
def test_labels_may_be_text_and_one_name_is_a_name(tmp_path, name):
    path = write(tmp_path, name, images=IMAGES[:3], factors=[b"red", b"blue", b"red"], names=b"hue")
    data = read_images(path)
    assert (data.factors.names, data.codes.ravel().tolist()) == (("hue",), [1, 0, 1])
    assert read_images(path, names="size").factors.names == ("size",)


@every_format
def test_one_array_for_each_factor_is_a_factor_each(tmp_path, name):
    path = write(tmp_path, name, images=MANY, **COLUMNS)
    data = read_images(path)
    rows = dict(zip(data.factors.names, data.codes.T.tolist(), strict=True))
    assert rows == {name: column.tolist() for name, column in COLUMNS.items()}
    assert data.grid
    for labels in (["shape", "y"], "shape,y"):
        data = read_images(path, labels=labels)
        assert data.factors.names == ("shape", "y")
        assert data.codes.tolist() == np.stack([SHAPE, Y], 1).tolist()


@every_format
@pytest.mark.parametrize("key", ["labels", "y"])
def test_labels_beside_other_values_of_each_image_are_not_taken_for_all(tmp_path, name, key):
    path = write(tmp_path, name, images=MANY, **{key: SHAPE, "colour": X})
    says = f"in {key}, colour; say which are factors, as in labels='{key},colour'"
    with pytest.raises(ValueError, match=says):
        read_images(path)
    assert read_images(path, labels=key).codes.ravel().tolist() == SHAPE.tolist()


@every_format
def test_fields_of_labels_are_factors_with_their_names_and_types(tmp_path, name):
    labels = np.zeros(24, [("colour", "S5"), ("size", "f4"), ("x", "i8")])
    labels["colour"], labels["size"], labels["x"] = np.array([b"red", b"blue"])[SHAPE], X / 10, Y
    data = read_images(write(tmp_path, name, images=MANY, labels=labels))
    assert data.factors.names == ("colour", "size", "x")
    assert data.codes.tolist() == np.stack([1 - SHAPE, X, Y], 1).tolist()
    assert data.values["colour"].tolist() == ["blue", "red"]


def test_more_than_one_array_in_an_npy_file_is_refused(tmp_path):
    with (tmp_path / "mine.npy").open("wb") as file:
        np.save(file, MANY)
        np.save(file, MANY)
    with pytest.raises(ValueError, match=r"mine\.npy cannot be read: .* follow its array"):
        read_images(tmp_path / "mine.npy", sizes=[len(MANY)])


@pytest.mark.parametrize("name", [*SAVERS, "mine.npy"])
def test_images_in_order_need_sizes_only(tmp_path, name):
    path = tmp_path / name
    if name == "mine.npy":
        np.save(path, MANY)
    else:
        write(tmp_path, name, images=MANY)
    data = read_images(path, sizes=(2, 3, 4), names=["shape", "x", "y"])
    assert (data.factors.sizes, data.grid) == ((2, 3, 4), True)
    assert data.codes.tolist() == np.stack([SHAPE, X, Y], 1).tolist()
    assert np.array_equal(all_images(data)[..., 0], MANY)
    refusals = {
        "sizes must multiply to the number of images, 24, but 2×3×5": {"sizes": (2, 3, 5)},
        "each of sizes must be a whole number of at least 1, not 0": {"sizes": (2, 0)},
        "labels or sizes, not both": {"sizes": (2, 3, 4), "labels": "y"},
        r"or give sizes= \(--sizes\) for images in order": {},
    }
    for says, options in refusals.items():
        with pytest.raises(ValueError, match=says):
            read_images(path, **options)


def test_what_is_not_there_is_said_with_what_is(tmp_path):
    path = write(tmp_path, "mine.npz", train_images=MANY, labels=SHAPE)
    with pytest.raises(ValueError, match=r"has: train_images, labels; name it with images= \(--i"):
        read_images(path)
    assert read_images(path, images="train_images").factors.sizes == (2,)
    for options in ({"images": "pics"}, {"images": "train_images", "labels": "pics"}):
        with pytest.raises(
            ValueError, match=r"has no array 'pics'; it has: train_images, labels; "
        ):
            read_images(path, **options)
    with pytest.raises(FileNotFoundError):
        read_images(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"not ndarray; give \(images, labels\), or vaedis\.Label"):
        as_data(MANY)


def test_the_command_takes_sizes_and_arrays(tmp_path, capsys):
    path = str(write(tmp_path, "mine.npz", images=MANY, **COLUMNS))
    assert main(["diagnose", path, "--sizes", "2,3,4", "--names", "a,b,c"]) == 0
    assert main(["diagnose", path, "--labels", "shape,x,y"]) == 0
    assert re.search(r"a +2 [\s\S]*c +4 [\s\S]*shape +2 [\s\S]*y +4 ", capsys.readouterr().out)
    with pytest.raises(SystemExit):
        main(["diagnose", path, "--sizes", "2,x"])
    assert "'2,x' is no list of whole numbers" in capsys.readouterr().err


@every_format
def test_arrays_of_factors_keep_their_names(tmp_path, name):
    """A file's names of factors may be in another order than its arrays."""
    path = write(tmp_path, name, images=MANY, shape=SHAPE, x=X, factor_names=[b"x", b"shape"])
    data = read_images(path)
    assert data.codes[:, data.factors.position("x")].tolist() == X.tolist()


@every_format
def test_text_for_each_image_names_no_factors(tmp_path, name):
    files = [f"{k}.png".encode() for k in range(12)]
    path = write(tmp_path, name, images=IMAGES, labels=GRID, names=files)
    assert read_images(path).factors.names == ("factor_0", "factor_1")


def test_arrays_of_one_name_in_two_groups_are_two_factors(tmp_path):
    columns = {"a/k": SHAPE, "b/k": X, "c": np.stack([SHAPE, X], 1)[:12]}
    path = write(tmp_path, "mine.h5", images=MANY, **columns)
    data = read_images(path, labels="a/k, b/k", names=["shape", "x"])
    assert data.codes.tolist() == np.stack([SHAPE, X], 1).tolist()
    with pytest.raises(ValueError, match="factor names must differ"):
        read_images(path, labels="a/k,b/k")
    with pytest.raises(ValueError, match=r"24 images, not an array of shape \(12, 2\)"):
        read_images(path, labels="a/k,c")


@every_format
def test_images_in_rows_of_pixels_are_told_the_shape(tmp_path, name):
    path = write(tmp_path, name, images=IMAGES.reshape(12, -1), labels=GRID)
    with pytest.raises(ValueError, match=r"images must have the shape .* not \(12, 90\)"):
        read_images(path)


def test_arrays_in_groups_are_found_by_their_path(tmp_path):
    labels = {"latents/classes": GRID, "latents/values": GRID / 2}
    path = write(tmp_path, "mine.h5", imgs=IMAGES, **labels)
    for key in (None, "latents/classes", "/latents/classes", "latents/values"):
        assert read_images(path, labels=key).codes.tolist() == GRID.tolist()
    arrays = {"images": IMAGES, "labels": GRID}
    parts = {f"{part}/{key}": arrays[key] for part in ("test", "train") for key in arrays}
    path = write(tmp_path, "mine.h5", **parts)
    with pytest.raises(ValueError, match=r"it has: test/images, .*; name it with images="):
        read_images(path)
    assert read_images(path, images="train/images").codes.tolist() == GRID.tolist()


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("chunks", [None, True])
@pytest.mark.parametrize("memory", [2**28, 100])
def test_matlab_files_are_turned_round(tmp_path, monkeypatch, channels, last, chunks, memory):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", memory)
    images = IMAGES if channels else IMAGES[..., 0]
    arrays = {
        "images": np.moveaxis(images, 0, -1) if last else images,
        "labels": GRID.astype(float),
        "column": GRID[:, :1].astype(float),
    }
    path = tmp_path / "mine.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, array in arrays.items():
            data = file.create_dataset(key, data=array.T, chunks=chunks)
            data.attrs["MATLAB_class"] = np.bytes_("double")
    data = read_images(path, labels="labels")
    assert np.array_equal(all_images(data), images.reshape(12, 6, 5, -1))
    assert data.codes.tolist() == GRID.tolist()
    assert read_images(path, labels="column").codes.ravel().tolist() == GRID[:, 0].tolist()
    assert np.array_equal(all_images(read_images(path, sizes=(3, 4))), all_images(data))


def test_a_matlab_file_that_can_be_read_two_ways_is_refused(tmp_path):
    path = write(tmp_path, "mine.h5", images=np.zeros((12, 3, 12), np.uint8), labels=GRID.T)
    with h5py.File(path, "a") as file:
        for key in file:
            file[key].attrs["MATLAB_class"] = np.bytes_("uint8")
    with pytest.raises(ValueError, match="either the first or the last length must be the number"):
        read_images(path)


@pytest.mark.parametrize(("n", "dtype"), [(100, "u1"), (4_100, "u1"), (100, ">f4")])
@pytest.mark.parametrize("memory", [2**28, 100])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (17, 3, 2, 1), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (4, 6, 5, 3), "compression": "lzf"},
        {"chunks": (20, 4, 5, 1), "compression": "gzip"},
        {"chunks": (1, 6, 5, 3)},
    ],
)
def test_hdf5_images_are_read_in_any_order(tmp_path, monkeypatch, n, memory, options, dtype):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", memory)
    monkeypatch.setattr("vaedis.data.own.arrays.MAX_INFLATED", 10**6)
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (n, 6, 5, 3)).astype(dtype), random.permutation(n)
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file.create_dataset("images", data=images, **options)
        file["labels"] = labels
    data = read_images(tmp_path / "mine.h5")
    wanted = random.integers(0, n, 50)
    rows = np.argsort(labels)[wanted]
    assert np.array_equal(data.images(torch.from_numpy(wanted)).numpy(), images[rows])


# large arrays


@every_format
def test_large_arrays_are_read_by_way_of_a_file_that_has_no_name(tmp_path, monkeypatch, name):
    path = write(tmp_path, name, images=IMAGES, factors=GRID)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 100)
    assert np.array_equal(all_images(read_images(path)), IMAGES)
    assert list(folder.iterdir()) == []


def test_no_room_for_a_copy_names_tmpdir(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    path = write(tmp_path, "mine.npz", images=IMAGES, factors=GRID)
    says = r"copy of 192 bytes cannot be made \(No such file or directory\); set TMPDIR to a folder"
    with pytest.raises(ValueError, match=says):
        read_images(path)


# folders


@every_format
def test_images_in_order_have_the_names_of_the_file(tmp_path, name):
    path = write(tmp_path, name, images=IMAGES, factor_names=np.array([b"shape", b"size"]))
    assert read_images(path, sizes=[3, 4]).factors.names == ("shape", "size")
    assert read_images(path, sizes=[3, 4], names=["a", "b"]).factors.names == ("a", "b")
    with pytest.raises(ValueError, match="a name for each of the 1 factors, not 2: shape, size"):
        read_images(path, sizes=[12])


def test_an_npy_file_has_no_array_to_name(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(ValueError, match=r"has no name; leave images= \(--images\) out"):
        read_images(tmp_path / "a.npy", images="pictures", sizes=[3, 4])
