"""Reading folders of pictures with a file of labels; right, or refused in one sentence."""

import numpy as np
import pytest
import torch
from PIL import Image

from vaedis.cli import main
from vaedis.data import as_data, read_images

GRID = np.stack(np.unravel_index(np.arange(12), (3, 4)), 1)


def all_images(data):
    return data.images(torch.arange(len(data))).numpy()


def write_pictures(folder, names, mode="RGB"):
    folder.mkdir()
    for k, name in enumerate(names):
        Image.fromarray(np.full((4, 5, 3), 10 * k, np.uint8)).convert(mode).save(folder / name)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_pictures(tmp_path / "mine", [f"img{k:02}.png" for k in range(12)], "L")


def write_rows(folder, names, order=range(12)):
    """A .csv file of the rows of GRID in some order, with what stands for each picture's name."""
    rows = "".join(f"{names[k]},{'abc'[GRID[k][0]]},{GRID[k][1] / 4}\n" for k in order)
    (folder / "a.csv").write_text(f"file,colour,size\n{rows}")


def test_a_folder_of_pictures_is_read_in_the_order_of_names(folder):
    np.save(folder / "labels.npy", GRID)
    for data in (read_images(folder), as_data(folder), as_data(str(folder))):
        assert (data.name, data.shape, data.codes.tolist()) == ("mine", (4, 5, 1), GRID.tolist())
        assert all_images(data)[:, 0, 0, 0].tolist() == list(range(0, 120, 10))
    (folder / "labels.npy").unlink()
    assert read_images(folder, sizes=(3, 4), names=["a", "b"]).codes.tolist() == GRID.tolist()
    rows = "".join(f"{'abc'[a]},{b / 4}\n" for a, b in GRID)
    (folder / "facts.csv").write_text(f"colour,size\n{rows}")
    data = read_images(folder)
    assert (data.factors.names, data.codes.tolist()) == (("colour", "size"), GRID.tolist())
    (folder / "facts.csv").write_text(f"colour,size\n{rows.replace('c,0.25', ',0.25')}")
    with pytest.raises(ValueError, match=r"row 9, column 0 \(colour\) is ''"):
        read_images(folder)


@pytest.mark.parametrize(
    "name", ["{}.png", "train/{}.png", "C:\\images\\{}.png", "{}.PNG", "./{}", "{}"]
)
@pytest.mark.parametrize("number", ["{:02}", "{}"])
def test_a_column_of_names_decides_the_order(tmp_path, name, number):
    names = [number.format(k) for k in range(12)]
    folder = write_pictures(tmp_path / "mine", [f"{name}.png" for name in names])
    order = np.random.default_rng(0).permutation(12)
    write_rows(folder, [name.format(number) for number in names], order)
    data = read_images(folder)
    assert (data.factors.names, data.grid) == (("colour", "size"), True)
    assert all_images(data)[:, 0, 0, 0].tolist() == list(range(0, 120, 10))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("img{:02}.png", "img99.png"),
        ("img{:02}.png", "img05.png"),
        ("img{:02}", "img05"),
        ("{}", "0"),
    ],
)
def test_rows_whose_names_fit_no_picture_are_never_taken_in_order(folder, name, wrong):
    write_rows(folder, [wrong, *(name.format(k) for k in range(1, 12))], range(12)[::-1])
    with pytest.raises(
        ValueError, match=r"a\.csv must name each picture once in column 'file', or"
    ):
        read_images(folder)


def test_numbers_in_the_order_of_the_pictures_are_a_factor(folder):
    (folder / "a.csv").write_text("angle\n" + "".join(f"{k}\n" for k in range(12)))
    assert read_images(folder).factors.names == ("angle",)


def test_slashes_make_no_names_of_pictures(folder):
    rows = "".join(f"0{a + 1}/02/2026,{'mk'[b % 2]}/h{b}\n" for a, b in GRID)
    (folder / "DAYS.CSV").write_text(f"day,speed\n{rows}")
    assert read_images(folder).factors.sizes == (3, 4)


def test_a_number_that_a_csv_file_spells_in_two_ways_is_one_value(folder):
    rows = "".join(f"{a}{'.0' * (b % 2)},0.{b}{'0' * a}\n" for a, b in GRID)
    (folder / "a.csv").write_text(f"a,b\n{rows}")
    assert read_images(folder).codes.tolist() == GRID.tolist()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("colour;size\n" + "1;0,5\n" * 12, "of values with commas between"),
        ("x\n", "it must have a row for each picture"),
        ("", "it must have a row for each picture"),
        ("0,1\n" * 13, "its first row must have a name for each column"),
        (",x\n" + "0,1\n" * 12, "its first row must have a name for each column"),
        ("x,x\n" + "0,1\n" * 12, "its first row must have a name for each column"),
        ("x,y\n" + "0\n" * 12, "row 2 has 1 values for 2 columns"),
        ("x\n" + "0\n" * 11, "one row for each of 12 pictures of different names, not 11"),
    ],
)
def test_rows_that_are_none_are_refused(folder, content, says):
    (folder / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=says):
        read_images(folder)


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
    assert (all_images(read_images(folder, sizes=(3,)))[..., 0] == upright).all()


def test_what_a_folder_lacks_is_one_sentence(tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()

    def refuses(says):
        with pytest.raises(ValueError, match=says):
            read_images(folder)

    refuses("has no pictures")
    folder.rmdir()
    write_pictures(folder, [f"{k}.png" for k in range(12)])
    refuses(r"must have one \.csv or \.npy file of labels, .*; it has: none")
    assert main(["diagnose", str(folder)]) == 2
    assert "must have one .csv or .npy file" in capsys.readouterr().err
    np.save(folder / "labels.npy", GRID)
    refuses("has pictures whose numbers are not in the order of their names; write them with leadi")
    (folder / "10.png").rename(folder / "a.png")
    (folder / "11.png").rename(folder / "b.png")
    assert len(read_images(folder)) == 12
    (folder / "b.png").unlink()
    refuses("one row of labels for each of the 11 images, not 12")
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(folder / "b.png")
    refuses(r"different sizes or kinds: 0\.png is \(4, 5, 3\), b\.png \(5, 5, 3\)")
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(folder / "b.png")
    refuses(r"b\.png cannot be read: it must be one picture of 8 bits a channel")
    (folder / "a.csv").write_text("x\n")
    refuses(r"it has: a\.csv, labels\.npy")
