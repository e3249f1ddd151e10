"""Reading a reader's own files: .npz, HDF5, MATLAB 7.3, .npy and folders of pictures; right, or
refused in one sentence.
"""

import re
import zipfile

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from vaedis.cli import main
from vaedis.data import as_data, read_images
from vaedis.data.own import arrays

COLOUR, SIZE = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
GRID = np.stack([COLOUR.ravel(), SIZE.ravel()], 1)


def pictures(labels):
    """Images of 4×5 pixels that are filled by a number made of their labels."""
    return np.broadcast_to(
        (10 * labels[:, 0] + labels[:, 1]).astype(np.uint8)[:, None, None], (len(labels), 4, 5)
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_are_read(tmp_path, save):
    path = tmp_path / "mine.npz"
    save(path, images=pictures(GRID), factors=GRID, factor_names=np.array(["colour", "size"]))
    data = read_images(path)
    assert (data.name, data.factors.names, data.grid) == ("mine", ("colour", "size"), True)
    assert data.images(torch.tensor([5]))[0, 0, 0, 0] == 11
    assert read_images(path, names=["a", "b"]).factors.names == ("a", "b")


def test_large_arrays_are_read_from_a_file_that_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    np.savez_compressed(tmp_path / "mine.npz", images=pictures(GRID), factors=GRID)
    data = read_images(tmp_path / "mine.npz")
    assert isinstance(data._pixels.source, np.memmap)
    assert data.images(torch.tensor([5]))[0, 0, 0, 0] == 11
    assert [p.name for p in tmp_path.iterdir()] == ["mine.npz"]


def test_hdf5_files_are_read_by_rows(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["x"], file["y"] = pictures(GRID), GRID
        file["names"] = ["colour", "size"]
    data = read_images(tmp_path / "mine.h5")
    assert data.factors.names == ("colour", "size")
    assert data.images(torch.tensor([5, 2, 5]))[:, 0, 0, 0].tolist() == [11, 2, 11]


def test_hdf5_labels_may_be_text(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["images"], file["factors"], file["names"] = (
            np.zeros((3, 2, 2)),
            ["red", "blue", "red"],
            "colour",
        )
    data = read_images(tmp_path / "mine.h5")
    assert (data.factors.names, data.codes.ravel().tolist()) == (("colour",), [1, 0, 1])


def test_a_lone_name_is_one_name_and_a_lone_label_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=np.zeros((3, 2, 2)), factors=np.arange(3), factor_names="colour")
    assert read_images(path).factors.names == ("colour",)
    assert read_images(path, names="size").factors.names == ("size",)
    np.savez(path, images=np.zeros((3, 2, 2)), factors=3)
    with pytest.raises(
        ValueError, match=r"labels must have the shape \(images,\) or \(images, factors\), not \(\)"
    ):
        read_images(path)


def test_files_that_are_not_what_they_should_be(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=pictures(GRID), other=GRID)
    with pytest.raises(
        ValueError, match=r"no array for labels \(one of factors, labels, .*it has: images, other"
    ):
        read_images(path)
    with pytest.raises(ValueError, match=r"no array 'pics'; it has: images, other"):
        read_images(path, images="pics")
    np.savez(path, images=np.array([{}, {}], object), factors=np.arange(2))
    with pytest.raises(
        ValueError,
        match="holds Python objects or references in 'images', which are never unpickled",
    ):
        read_images(path)
    np.savez(path, images=pictures(GRID), factors=GRID)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is a damaged \.npz file"):
        read_images(path)
    path.write_text("images")
    with pytest.raises(ValueError, match=r"is neither an \.npz nor an HDF5 file"):
        read_images(path)
    with pytest.raises(FileNotFoundError):
        read_images(tmp_path / "none.npz")


# layouts


def thrice(rows):
    """Images of one pixel each, of which the values say the row."""
    return np.arange(len(rows), dtype=np.uint8)[:, None, None] * 3 + np.zeros((1, 2, 2), np.uint8)


SHAPE, X, Y = (part.ravel() for part in np.indices((2, 3, 4)))
COLUMNS = {"shape": SHAPE, "x": X, "y": Y}


def save_npz(path, **arrays):
    np.savez(path, **arrays)


def save_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array


SAVERS = {"mine.npz": save_npz, "mine.h5": save_h5}


@pytest.mark.parametrize("name", SAVERS)
def test_one_array_for_each_factor_is_a_factor_each(tmp_path, name):
    SAVERS[name](tmp_path / name, images=thrice(SHAPE), **COLUMNS)
    data = read_images(tmp_path / name)
    assert dict(zip(data.factors.names, data.factors.sizes, strict=True)) == {
        "shape": 2,
        "x": 3,
        "y": 4,
    }
    assert data.grid
    rows = dict(zip(data.factors.names, data.codes.T.tolist(), strict=True))
    assert rows == {name: column.tolist() for name, column in COLUMNS.items()}


@pytest.mark.parametrize("name", SAVERS)
def test_arrays_of_one_factor_each_may_be_named(tmp_path, name):
    path = tmp_path / name
    SAVERS[name](path, images=thrice(SHAPE), **COLUMNS, weight=np.arange(24.0))
    for labels in (["shape", "y"], "shape,y"):
        data = read_images(path, labels=labels)
        assert (data.factors.names, data.codes.tolist()) == (
            ("shape", "y"),
            np.stack([SHAPE, Y], 1).tolist(),
        )
    with pytest.raises(ValueError, match=r"has no array 'size'; it has: .*shape"):
        read_images(path, labels="shape,size")


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("key", ["labels", "y"])
def test_labels_beside_other_values_of_each_image_are_not_taken_for_all(tmp_path, name, key):
    SAVERS[name](tmp_path / name, images=thrice(SHAPE), **{key: SHAPE, "colour": X})
    with pytest.raises(
        ValueError,
        match=f"one value for each image in {key}, colour; say which are factors, as in labels='{key},colour'",
    ):
        read_images(tmp_path / name)
    assert read_images(tmp_path / name, labels=key).codes.ravel().tolist() == SHAPE.tolist()


def test_labels_of_tensorflow_data_sets_are_those_called_so(tmp_path):
    labels = {f"label_{name}": column for name, column in COLUMNS.items()}
    np.savez(tmp_path / "mine.npz", images=thrice(SHAPE), **labels, value_x=X / 2)
    assert read_images(tmp_path / "mine.npz").factors.names == ("shape", "x", "y")


@pytest.mark.parametrize("name", SAVERS)
def test_fields_of_labels_are_factors_with_their_names_and_types(tmp_path, name):
    labels = np.zeros(24, [("colour", "S5"), ("size", "f4"), ("x", "i8")])
    labels["colour"], labels["size"], labels["x"] = np.array([b"red", b"blue"])[SHAPE], X / 10, Y
    SAVERS[name](tmp_path / name, images=thrice(SHAPE), labels=labels)
    data = read_images(tmp_path / name)
    assert data.factors.names == ("colour", "size", "x")
    assert data.codes.tolist() == np.stack([1 - SHAPE, X, Y], 1).tolist()
    assert data.values["colour"].tolist() == ["blue", "red"]
    assert read_images(tmp_path / name, names=["a", "b", "c"]).factors.names == ("a", "b", "c")


def test_fields_may_have_names_in_any_letters(tmp_path):
    labels = np.zeros(24, [("größe", "i8"), ("色", "i8")])
    labels["größe"], labels["色"] = X, Y
    with pytest.warns(UserWarning, match=r"format 3\.0"):
        np.savez(tmp_path / "mine.npz", images=thrice(SHAPE), labels=labels)
    assert read_images(tmp_path / "mine.npz").factors.names == ("größe", "色")


@pytest.mark.parametrize("name", ["mine.npz", "mine.h5", "mine.npy"])
def test_images_in_order_need_sizes_only(tmp_path, name):
    path = tmp_path / name
    if name == "mine.npy":
        np.save(path, thrice(SHAPE))
    else:
        SAVERS[name](path, images=thrice(SHAPE))
    data = read_images(path, sizes=(2, 3, 4), names=["shape", "x", "y"])
    assert (data.factors.sizes, data.grid) == ((2, 3, 4), True)
    assert data.codes.tolist() == np.stack([SHAPE, X, Y], 1).tolist()
    assert data.images(torch.tensor([7]))[0, 0, 0, 0] == 21
    with pytest.raises(
        ValueError, match="sizes must multiply to the number of images, 24, but 2×3×5 is 30"
    ):
        read_images(path, sizes=(2, 3, 5))
    with pytest.raises(
        ValueError, match="each of sizes must be a whole number of at least 1, not 0"
    ):
        read_images(path, sizes=(2, 0))
    with pytest.raises(ValueError, match="labels or sizes, not both"):
        read_images(path, sizes=(2, 3, 4), labels="y")
    # a lone array has no other to name
    lacking = (
        "holds images and no labels; save both in one file"
        if name == "mine.npy"
        else "no array for labels .* with labels= "
    )
    with pytest.raises(
        ValueError, match=rf"{lacking}.* or give sizes= \(--sizes\) for images in order"
    ):
        read_images(path)


def test_images_under_another_name_may_be_named(tmp_path):
    np.savez(tmp_path / "mine.npz", train_images=thrice(SHAPE), labels=SHAPE)
    with pytest.raises(
        ValueError, match=r"it has: train_images, labels; name it with images= \(--images\)\."
    ):
        read_images(tmp_path / "mine.npz")
    assert read_images(tmp_path / "mine.npz", images="train_images").factors.sizes == (2,)


def test_images_alone_are_told_what_to_add():
    with pytest.raises(
        ValueError,
        match=r"not ndarray; give \(images, labels\), or vaedis\.LabelledImages\(images, sizes=\.\.\.\)",
    ):
        as_data(thrice(SHAPE))


def test_the_command_takes_sizes_and_arrays(tmp_path, capsys):
    np.savez(tmp_path / "mine.npz", images=thrice(SHAPE), **COLUMNS)
    assert (
        main(["diagnose", str(tmp_path / "mine.npz"), "--sizes", "2,3,4", "--names", "a,b,c"]) == 0
    )
    assert main(["diagnose", str(tmp_path / "mine.npz"), "--labels", "shape,x,y"]) == 0
    assert re.search(r"a +2 [\s\S]*c +4 [\s\S]*shape +2 [\s\S]*y +4 ", capsys.readouterr().out)
    with pytest.raises(SystemExit):
        main(["diagnose", str(tmp_path / "mine.npz"), "--sizes", "2,x"])
    assert "'2,x' is no list of whole numbers" in capsys.readouterr().err


def test_arrays_in_groups_are_found_by_their_path(tmp_path):
    path = tmp_path / "mine.h5"
    save_h5(path, imgs=pictures(GRID), **{"latents/classes": GRID, "latents/values": GRID / 2})
    for key in (None, "latents/classes", "/latents/classes", "latents/values"):
        assert read_images(path, labels=key).codes.tolist() == GRID.tolist()
    save_h5(
        path,
        **{
            f"{part}/{key}": value
            for part in ("test", "train")
            for key, value in (("images", pictures(GRID)), ("labels", GRID))
        },
    )
    with pytest.raises(ValueError, match="several: test/images, train/images"):
        read_images(path)
    assert read_images(path, images="train/images").codes.tolist() == GRID.tolist()


def test_soft_links_inside_a_file_are_followed(tmp_path):
    path = tmp_path / "mine.h5"
    save_h5(path, **{"a/b/pictures": pictures(GRID), "labels": GRID})
    with h5py.File(path, "a") as file:
        file["a/here"] = h5py.SoftLink("b")
        file["images"] = h5py.SoftLink("/a/here/pictures")
    assert read_images(path).images(torch.tensor([5]))[0, 0, 0, 0] == 11
    assert len(read_images(path, images="a/here/pictures")) == 12


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("chunks", [None, True])
@pytest.mark.parametrize("memory", [2**28, 100])
def test_matlab_files_are_turned_round(tmp_path, monkeypatch, channels, last, chunks, memory):
    monkeypatch.setattr("vaedis.data.own.hdf5.IN_MEMORY", memory)
    images = np.random.default_rng(0).integers(0, 256, (12, 6, 5, *channels)).astype(np.uint8)
    matlabs_own = np.moveaxis(images, 0, -1) if last else images
    path = tmp_path / "mine.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("images", data=matlabs_own.T, chunks=chunks).attrs["MATLAB_class"] = (
            np.bytes_("uint8")
        )
        file.create_dataset("labels", data=GRID.T.astype(float)).attrs["MATLAB_class"] = np.bytes_(
            "double"
        )
        file.create_dataset("column", data=GRID[:, :1].T.astype(float)).attrs["MATLAB_class"] = (
            np.bytes_("double")
        )
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    data = read_images(path, labels="labels")
    assert np.array_equal(data.images(torch.arange(12)).numpy(), images.reshape(12, 6, 5, -1))
    assert data.codes.tolist() == GRID.tolist()
    assert read_images(path, labels="column").codes.ravel().tolist() == GRID[:, 0].tolist()
    assert np.array_equal(
        read_images(path, sizes=(3, 4)).images(torch.arange(12)).numpy(),
        images.reshape(12, 6, 5, -1),
    )


def test_a_matlab_file_that_can_be_read_two_ways_is_refused(tmp_path):
    path = tmp_path / "mine.mat"
    save_h5(path, images=np.zeros((12, 3, 12), np.uint8), labels=GRID.T)
    with h5py.File(path, "a") as file:
        file["images"].attrs["MATLAB_class"] = file["labels"].attrs["MATLAB_class"] = np.bytes_(
            "uint8"
        )
    with pytest.raises(
        ValueError, match="both its first and its last axis have the length 12 of the labels"
    ):
        read_images(path)


# HDF5 in any order and any chunks


@pytest.mark.parametrize(("n", "dtype"), [(100, "u1"), (4_100, "u1"), (100, ">f4")])
@pytest.mark.parametrize("memory", [2**28, 100])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (17, 3, 2, 1), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (4, 6, 5, 3), "compression": "lzf"},
        {"chunks": (2, 4, 5, 1), "compression": "gzip"},
        {"chunks": (1, 6, 5, 3)},
    ],
)
def test_hdf5_images_are_read_in_any_order(tmp_path, monkeypatch, n, memory, options, dtype):
    monkeypatch.setattr("vaedis.data.own.hdf5.IN_MEMORY", memory)
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", memory)
    monkeypatch.setattr("vaedis.data.own.arrays.MAX_INFLATED", 10**6)
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (n, 6, 5, 3)).astype(np.uint8), random.permutation(n)
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file.create_dataset(
            "images", data=images if dtype == "u1" else (images / 256).astype(dtype), **options
        )
        file["labels"] = labels
    data = read_images(tmp_path / "mine.h5")
    # what is large lies in a file, of which rows are read as they are needed
    assert isinstance(data._pixels.source, np.memmap) == (memory == 100)
    wanted = random.integers(0, n, 50)
    stored = images if dtype == "u1" else (images / 256).astype("f4")
    rows = np.argsort(labels)[wanted]
    assert np.array_equal(data.images(torch.from_numpy(wanted)).numpy(), stored[rows])


# room for copies


def test_no_room_for_a_copy_names_the_folder_and_tmpdir(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    np.savez_compressed(
        tmp_path / "mine.npz", images=np.arange(240, dtype=np.uint8).reshape(12, 4, 5), labels=GRID
    )

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vaedis.data.own.arrays._reserve", full)
    says = rf"{tmp_path} has no room for a copy of 192 bytes of .*; make room, or set TMPDIR to a folder with more"
    with pytest.raises(ValueError, match=says):
        read_images(tmp_path / "mine.npz")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(
        ValueError, match=r"none cannot be written to \(No such file or directory\) .* set TMPDIR"
    ):
        read_images(tmp_path / "mine.npz")


def test_a_copy_has_no_name_while_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    np.savez(
        tmp_path / "mine.npz", images=np.arange(240, dtype=np.uint8).reshape(12, 4, 5), labels=GRID
    )
    listed = []
    fill = arrays._fill
    monkeypatch.setattr(
        arrays,
        "_fill",
        lambda *given: listed.extend(p.name for p in tmp_path.iterdir()) or fill(*given),
    )
    data = read_images(tmp_path / "mine.npz")
    # so that no signal can leave it behind
    assert set(listed) == {"mine.npz"}
    assert data.images(torch.tensor([5]))[0, 0, 0, 0] == 100


# folders


def write_pictures(folder, names, mode="RGB"):
    folder.mkdir()
    for k, name in enumerate(names):
        Image.fromarray(np.full((4, 5, 3), 10 * k, np.uint8)).convert(mode).save(folder / name)


def test_a_folder_of_pictures_is_read_in_the_order_of_names(tmp_path):
    folder = tmp_path / "mine"
    write_pictures(folder, [f"{k:02}.png" for k in range(12)], "L")
    np.save(folder / "labels.npy", GRID)
    data = read_images(folder)
    assert (data.name, data.shape, data.codes.tolist()) == ("mine", (4, 5, 1), GRID.tolist())
    assert data.images(torch.tensor([3, 11]))[:, 0, 0, 0].tolist() == [30, 110]
    (folder / "labels.npy").unlink()
    assert read_images(folder, sizes=(3, 4), names=["a", "b"]).codes.tolist() == GRID.tolist()
    (folder / "facts.csv").write_text(
        "colour,size\n" + "".join(f"{'ab c'[a]},{b / 4}\n" for a, b in GRID)
    )
    with pytest.raises(ValueError, match=r"facts\.csv has no value in row 10, column colour"):
        read_images(folder)
    (folder / "facts.csv").write_text(
        "colour,size\n" + "".join(f"{'abc'[a]},{b / 4}\n" for a, b in GRID)
    )
    data = read_images(folder)
    assert (data.factors.names, data.codes.tolist()) == (("colour", "size"), GRID.tolist())


@pytest.mark.parametrize("with_suffix", [False, True])
def test_a_column_of_names_decides_the_order(tmp_path, with_suffix):
    folder = tmp_path / "mine"
    names = [f"{k}.png" for k in range(12)]
    write_pictures(folder, names)
    order = np.random.default_rng(0).permutation(12)
    rows = [f"{GRID[k][0]};{names[k] if with_suffix else k};{GRID[k][1]}\n" for k in order]
    (folder / "a.csv").write_text("colour;file;size\n" + "".join(rows))
    data = read_images(folder)
    assert (data.factors.names, data.grid) == (("colour", "size"), True)
    assert data.images(torch.arange(12))[:, 0, 0, 0].tolist() == list(range(0, 120, 10))


def written_rows(folder, names, order):
    """A .csv file of the rows of GRID in some order, with what stands for the name of each picture."""
    rows = "".join(f"{names[k]},{GRID[k][0]},{GRID[k][1]}\n" for k in order)
    (folder / "a.csv").write_text(f"file,colour,size\n{rows}")


@pytest.mark.parametrize(
    "name", ["train/{:02}.png", "C:\\images\\{:02}.png", "{:02}.PNG", "./{:02}"]
)
def test_pictures_are_found_by_the_last_part_of_a_path_and_in_letters_of_either_case(
    tmp_path, name
):
    folder = tmp_path / "mine"
    write_pictures(folder, [f"{k:02}.png" for k in range(12)])
    written_rows(folder, [name.format(k) for k in range(12)], range(12)[::-1])
    data = read_images(folder)
    assert (data.factors.names, data.grid) == (("colour", "size"), True)
    assert data.images(torch.arange(12))[:, 0, 0, 0].tolist() == list(range(0, 120, 10))


@pytest.mark.parametrize(
    ("name", "wrong", "at"),
    [
        (
            "img{:02}.png",
            "img99.png",
            r"a\.csv must name each picture .* column file, but has 'img99\.png', which is no picture or comes",
        ),
        (
            "img{:02}.png",
            "img05.png",
            "but has 'img05.png', which is no picture or comes twice; mend the names",
        ),
        ("img{:02}", "img05", "but has 'img05', which is no picture or comes twice"),
        (
            "{}",
            "0",
            r"a\.csv has the numbers of the pictures in column file, in another order than the pictures; put their names",
        ),
    ],
)
def test_rows_whose_names_fit_no_picture_are_never_taken_in_order(tmp_path, name, wrong, at):
    folder = tmp_path / "mine"
    write_pictures(folder, [f"img{k:02}.png" for k in range(12)])
    written_rows(folder, [wrong, *(name.format(k) for k in range(1, 12))], range(12)[::-1])
    with pytest.raises(ValueError, match=at):
        read_images(folder)


def test_numbers_with_a_decimal_comma_are_numbers(tmp_path):
    folder = tmp_path / "mine"
    write_pictures(folder, [f"{k:02}.png" for k in range(12)])
    (folder / "a.csv").write_text("colour;size\n" + "".join(f"{a};{5 * b},5\n" for a, b in GRID))
    data = read_images(folder)
    assert (data.codes.tolist(), data.values["size"].tolist()) == (
        GRID.tolist(),
        [0.5, 5.5, 10.5, 15.5],
    )


def test_numbers_in_the_order_of_the_pictures_are_a_factor(tmp_path):
    folder = tmp_path / "mine"
    write_pictures(folder, [f"img{k:02}.png" for k in range(12)])
    (folder / "a.csv").write_text("angle\n" + "".join(f"{k}\n" for k in range(12)))
    assert read_images(folder).factors.names == ("angle",)


def test_pictures_that_a_camera_stored_lying_are_turned(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    upright = np.zeros((4, 5), np.uint8)
    upright[0] = 200
    # EXIF's orientations 6 and 3: to be turned right by a quarter, and by a half
    for k, (turns, orientation) in enumerate([(0, 1), (1, 6), (2, 3)]):
        image = Image.fromarray(np.rot90(upright, turns).copy())
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(folder / f"{k}.png", exif=exif)
    images = read_images(folder, sizes=(3,)).images(torch.arange(3))[..., 0].numpy()
    assert (images == upright).all()


def test_a_folder_is_a_data_set_wherever_one_is_taken(tmp_path):
    folder = tmp_path / "mine"
    write_pictures(folder, [f"{k:02}.png" for k in range(12)])
    np.save(folder / "labels.npy", GRID)
    assert as_data(folder).codes.tolist() == as_data(str(folder)).codes.tolist() == GRID.tolist()


def test_what_a_folder_lacks_is_one_sentence(tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(ValueError, match="is a folder without pictures"):
        read_images(folder)
    folder.rmdir()
    write_pictures(folder, [f"{k}.png" for k in range(12)])
    with pytest.raises(
        ValueError, match=r"has no file of labels \(\.csv or \.npy\); add one, or give sizes"
    ):
        read_images(folder)
    assert main(["diagnose", str(folder)]) == 2
    assert "has no file of labels" in capsys.readouterr().err
    np.save(folder / "labels.npy", GRID)
    with pytest.raises(
        ValueError, match=r"in no plain order \(10\.png is before 2\.png as text, not as a number\)"
    ):
        read_images(folder)
    (folder / "10.png").rename(folder / "a.png")
    (folder / "11.png").rename(folder / "b.png")
    assert len(read_images(folder)) == 12
    (folder / "b.png").unlink()
    with pytest.raises(ValueError, match="one row of labels for each of its 11 pictures, not 12"):
        read_images(folder)
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(folder / "b.png")
    with pytest.raises(
        ValueError, match=r"different sizes or kinds: 0\.png is \(4, 5, 3\), b\.png \(5, 5, 3\)"
    ):
        read_images(folder)
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(folder / "b.png")
    with pytest.raises(ValueError, match=r"b\.png has pixels of more than 8 bits"):
        read_images(folder)
    (folder / "a.csv").write_text("x\n")
    with pytest.raises(
        ValueError, match=r"has the files of labels a\.csv, labels\.npy; name one of them"
    ):
        read_images(folder)


# what it is instead


def test_files_are_called_what_they_are(tmp_path):
    path = tmp_path / "mine.pt"
    torch.save({"images": torch.zeros(3, 2, 2)}, path)
    with pytest.raises(
        ValueError,
        match=r"is a file of torch\.save, which holds pickled objects that are never unpickled; save its",
    ):
        read_images(path)
    torch.save({"images": torch.zeros(3, 2, 2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(
        ValueError,
        match=r"is a pickle \(as old files of torch\.save are\), which is never unpickled",
    ):
        read_images(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "text")
    with pytest.raises(
        ValueError,
        match=r"is a zip file without arrays, not an \.npz file; it has: word/document\.xml",
    ):
        read_images(path)
    for content, says in (
        (b"", "is empty"),
        (b"\x1f\x8bxx", "is compressed by gzip"),
        (b"MATLAB 5.0 MAT", "is a MATLAB 5 file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=says):
            read_images(path)
