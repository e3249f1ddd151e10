"""Reading folders of pictures with a file of labels; right, or refused in one sentence."""

import struct
import unicodedata
import zlib

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


@pytest.mark.parametrize("name", ["photo{:02}", "img{}", "img0{:02}", "no picture {:02} at all"])
def test_text_that_is_another_in_each_row_and_no_name_cannot_be_followed(folder, name):
    write_rows(folder, [name.format(k) for k in range(12)], range(12)[::-1])
    with pytest.raises(ValueError, match="must name each picture once in column 'file', or have"):
        read_images(folder)


def test_text_that_is_another_in_each_row_is_a_factor_where_no_other_varies(folder):
    words = [f"word {k:02}" for k in range(12)]
    write_columns(folder, word=words, kind=["x"] * 12)
    data = read_images(folder)
    assert (data.factors.names, data.values["word"].tolist()) == (("word",), words)


@pytest.mark.parametrize(("of_files", "of_rows"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_fit_whichever_way_a_system_writes_accents(tmp_path, of_files, of_rows):
    names = [f"Bär é{k:02}" for k in range(12)]
    pictures = [f"{unicodedata.normalize(of_files, name)}.png" for name in names]
    folder = write_pictures(tmp_path / "mine", pictures)
    write_rows(folder, [unicodedata.normalize(of_rows, name) for name in names], SHUFFLED)
    data = read_images(folder)
    assert (data.factors.names, data.grid) == (("colour", "size"), True)
    assert all_images(data)[:, 0, 0, 0].tolist() == list(range(0, 120, 10))


def test_names_that_python_reads_as_numbers_are_names(tmp_path):
    names = [f"{k // 4}_{k % 4}" for k in range(12)]
    folder = write_pictures(tmp_path / "mine", [f"{name}.png" for name in names])
    write_rows(folder, names, range(11, -1, -1))
    data = read_images(folder)
    assert (data.factors.names, data.codes.tolist()) == (("colour", "size"), GRID[::-1].tolist())
    write_rows(folder, [*names[:-1], "4_0"], range(11, -1, -1))
    with pytest.raises(ValueError, match="must name each picture once in column 'file'"):
        read_images(folder)


def test_numbers_in_the_order_of_the_pictures_are_a_factor(folder):
    for start in (0, 1, 20, 0.5):
        (folder / "a.csv").write_text("angle\n" + "".join(f"{start + k}\n" for k in range(12)))
        assert read_images(folder).factors.names == ("angle",)


def write_columns(folder, **columns):
    rows = [columns, *zip(*columns.values(), strict=True)]
    (folder / "a.csv").write_text("".join(f"{','.join(map(str, row))}\n" for row in rows))


SHUFFLED = np.random.default_rng(0).permutation(12)


@pytest.mark.parametrize("name", ["img{:02}.png", "{:02}.png", "{:02}_of_{}.png", "7-{:02}.png"])
@pytest.mark.parametrize("start", [1, 100])
@pytest.mark.parametrize("cell", ["{}", "{:03}", "{}.0"])
def test_numbers_that_count_pictures_from_elsewhere_cannot_be_followed(tmp_path, name, start, cell):
    folder = write_pictures(tmp_path / "mine", [name.format(k, k) for k in range(12)])
    write_columns(folder, id=[cell.format(start + k) for k in SHUFFLED], size=range(12))
    with pytest.raises(ValueError, match=r"must name each picture once in column 'id', or have no"):
        read_images(folder)


def test_numbers_in_any_order_beside_names_are_a_factor(folder):
    names = [f"img{k:02}" for k in SHUFFLED]
    for start in (0, 1):
        write_columns(folder, rank=[start + k for k in SHUFFLED], file=names)
        data = read_images(folder)
        assert data.factors.names == ("rank",)
        assert all_images(data)[:, 0, 0, 0].tolist() == list(range(0, 120, 10))
    # what the pictures' numbers cannot be
    for values in (SHUFFLED - 3, SHUFFLED + 0.5, 2 * SHUFFLED, np.minimum(SHUFFLED, 10)):
        write_columns(folder, rank=values)
        assert read_images(folder).factors.names == ("rank",)


def test_two_columns_that_name_all_pictures_are_refused(tmp_path):
    folder = write_pictures(tmp_path / "mine", [f"{k:02}.png" for k in range(12)])
    names = [f"{k:02}.png" for k in range(12)]
    says = r"a\.csv names each picture in both columns 'left' and 'right'; leave one of them out\."
    for cut in (None, -4):
        left, right = ([name[:cut] for name in side] for side in (names, names[::-1]))
        write_columns(folder, left=left, size=range(12), right=right)
        with pytest.raises(ValueError, match=says):
            read_images(folder)


def test_names_of_pictures_count_more_than_the_same_numbers(tmp_path):
    folder = write_pictures(tmp_path / "mine", [f"{k}.png" for k in range(12)])
    names = [f"{k}.png" for k in SHUFFLED]
    for columns in ({"turn": range(12), "file": names}, {"file": names, "turn": range(12)}):
        write_columns(folder, **columns)
        data = read_images(folder)
        assert data.factors.names == ("turn",)
        assert all_images(data)[:, 0, 0, 0].tolist() == (10 * SHUFFLED).tolist()


def test_a_missing_value_among_a_files_numbers_is_named(folder):
    for word in ("NA", "n/a", "NULL", "?", "-"):
        (folder / "a.csv").write_text("size\n1\n10\n" + f"{word}\n" + "2\n" * 9)
        with pytest.raises(
            ValueError, match=r"missing or infinite, but row 2, column 0 \(size\) is"
        ):
            read_images(folder)


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
        ("x,y\n\n1,2\n0\n" + "0,0\n" * 11, "row 4 has 1 values for 2 columns"),
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


def write_png(path, pixels, bits, colours, more=()):
    """A PNG of pixels (h, w, c): `colours` is PNG's number for grey, RGB, palette and so on."""

    def chunk(kind, content):
        ends = struct.pack(">I", len(content)), struct.pack(">I", zlib.crc32(kind + content))
        return ends[0] + kind + content + ends[1]

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    rows = [row.astype(">u2" if bits == 16 else "u1").tobytes() for row in pixels]
    if bits < 8:
        rows = [np.packbits(np.unpackbits(row[..., None], 1)[:, -bits:]) for row in pixels[..., 0]]
    content = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    chunks = [(b"IHDR", header), *more, (b"IDAT", content), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks))


RAMP = np.arange(16, dtype=np.uint8).reshape(4, 4)


@pytest.mark.parametrize(("channels", "colours"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_pngs_of_8_bits_are_exact_and_of_16_bits_refused(tmp_path, channels, colours):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (2, 4, 5, channels)).astype(np.uint8)
    for k in range(2):
        write_png(tmp_path / f"{k}.png", pixels[k], 8, colours)
    assert (all_images(read_images(tmp_path, sizes=(2,))) == pixels).all()
    for k in range(2):
        write_png(tmp_path / f"{k}.png", 257 * pixels[k].astype(int) + k, 16, colours)
    with pytest.raises(
        ValueError, match=r"0\.png cannot be read: it must be one picture of 8 bits"
    ):
        read_images(tmp_path, sizes=(2,))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("apart", [False, True])
def test_tiffs_of_16_bits_are_refused(tmp_path, order, channels, apart):
    # the tags: width, height, bits, compression, colours, strips, their channels, rows and bytes
    n_strips = channels if apart else 1
    strips, lengths = [8 + 40 * k for k in range(n_strips)], [40 * channels // n_strips] * n_strips
    values = {256: 5, 257: 4, 258: [16] * channels, 259: 1, 262: 2, 273: strips, 277: channels}
    values |= {278: 4, 279: lengths, 284: 1 + apart}
    content, entries = bytes(range(40 * channels)), b""
    for tag, value in values.items():
        many = value if isinstance(value, list) else [value]
        packed = struct.pack(f"{order}{len(many)}H", *many)
        if len(packed) > 4:
            content, packed = content + packed, struct.pack(f"{order}I", 8 + len(content))
        entries += struct.pack(f"{order}HHI", tag, 3, len(many)) + packed.ljust(4, b"\0")
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8 + len(content))
    directory = struct.pack(f"{order}H", len(values)) + entries + bytes(4)
    (tmp_path / "0.tif").write_bytes(magic + content + directory)
    Image.open(tmp_path / "0.tif").load()  # Pillow reads it
    with pytest.raises(
        ValueError, match=r"0\.tif cannot be read: it must be one picture of 8 bits"
    ):
        read_images(tmp_path, sizes=(1,))


def test_tiffs_of_8_bits_keep_their_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    for k, compression in enumerate(["raw", "tiff_lzw"]):
        Image.fromarray(pixels[k]).save(tmp_path / f"{k}.tif", compression=compression)
    assert (all_images(read_images(tmp_path, sizes=(2,))) == pixels).all()


@pytest.mark.filterwarnings("error")
def test_a_palette_keeps_its_transparency(tmp_path):
    black = (b"PLTE", bytes(3 * 16))
    for k in range(4):
        alphas = (RAMP.ravel() * (k + 1)).tobytes()
        write_png(tmp_path / f"{k}.png", RAMP[..., None], 8, 3, [black, (b"tRNS", alphas)])
    expected = np.zeros((4, 4, 4, 4), np.uint8)
    expected[..., 3] = [RAMP * (k + 1) for k in range(4)]
    assert (all_images(read_images(tmp_path, sizes=(4,))) == expected).all()
    write_png(tmp_path / "3.png", RAMP[..., None], 8, 3, [black])
    with pytest.raises(ValueError, match=r"kinds: 0\.png is \(4, 4, 4\), 3\.png \(4, 4, 3\)"):
        read_images(tmp_path, sizes=(4,))


@pytest.mark.parametrize(
    ("bits", "colours", "clear", "channels"),
    [(8, 0, (0, 7), 2), (1, 0, (0, 1), 2), (8, 2, (0, 7) * 3, 4)],
)
def test_one_transparent_colour_is_an_alpha(tmp_path, bits, colours, clear, channels):
    levels = RAMP % 2 if bits == 1 else RAMP
    pixels = np.stack([levels] * (channels - 1), -1)
    for k in range(2):
        write_png(tmp_path / f"{k}.png", pixels, bits, colours, [(b"tRNS", bytes(clear))] * k)
    with pytest.raises(ValueError, match="has pictures of different sizes or kinds"):
        read_images(tmp_path, sizes=(2,))
    write_png(tmp_path / "0.png", pixels, bits, colours, [(b"tRNS", bytes(clear))])
    images = all_images(read_images(tmp_path, sizes=(2,)))
    assert (images[..., :-1] == pixels * (255 if bits == 1 else 1)).all()
    assert (images[..., -1] == np.where(levels == clear[1], 0, 255)).all()


@pytest.mark.parametrize("bits", [2, 4])
def test_a_transparent_grey_of_few_bits_is_refused(tmp_path, bits):
    levels = RAMP[..., None] % 2**bits
    write_png(tmp_path / "0.png", levels, bits, 0, [(b"tRNS", b"\0\1")])
    with pytest.raises(ValueError, match=r"0\.png cannot .* fewer than 8 bits; save it as RGBA"):
        read_images(tmp_path, sizes=(1,))


def test_a_gif_keeps_its_transparent_colour(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, 48).tolist()
    for k in range(2):
        image = Image.fromarray(RAMP, "P")
        image.putpalette(colours)
        image.save(tmp_path / f"{k}.gif", transparency=k)
    images = all_images(read_images(tmp_path, sizes=(2,)))
    assert (images[..., :3] == np.reshape(colours, (16, 3))[RAMP]).all()
    assert (images[..., 3] == [np.where(k == RAMP, 0, 255) for k in range(2)]).all()


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


def test_numbers_that_are_the_names_of_the_pictures_are_noted(tmp_path):
    folder = write_pictures(tmp_path / "mine", [f"{k}.png" for k in range(6)], "L")
    rows = list(zip([2, 0, 1, 5, 4, 3], range(6), strict=True))
    (folder / "a.csv").write_text("light,side\n" + "".join(f"{k},{n % 2}\n" for k, n in rows))
    data = read_images(folder)
    assert all_images(data)[:, 0, 0, 0].tolist() == [20, 0, 10, 50, 40, 30]
    (note,) = data.notes
    assert note == (
        "The numbers in column 'light' were taken as the pictures' names; if 'light' is a factor, "
        "add a column of the pictures' file names."
    )
    (folder / "a.csv").write_text("light\n" + "".join(f"{k}\n" for k, _ in rows))
    says = "in column 'light', its only one, and so has no factor; add one, or, if 'light' is a"
    with pytest.raises(ValueError, match=says):
        read_images(folder)
    # as the sentence says
    names = "".join(f"{k},{n}.png\n" for k, n in rows)
    (folder / "a.csv").write_text(f"light,file\n{names}")
    data = read_images(folder)
    assert (data.factors.names, data.notes) == (("light",), ())
    assert data.codes[:, 0].tolist() == [2, 0, 1, 5, 4, 3]
