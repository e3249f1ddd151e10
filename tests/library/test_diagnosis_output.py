"""Reports of `vaedis diagnose`: written before anything is printed, without harm to what stands
there, and without commands in names.
"""

import contextlib
import io
import json
import os
import stat
import sys
import threading

import markupsafe
import numpy as np
import pytest

from vaedis import cli
from vaedis._support import output as _output
from vaedis.data import LabelledImages
from vaedis.diagnosis import save
from vaedis.diagnosis.diagnose import diagnose

NAMES = {
    "formula": r"$\frac{$",
    "formula that is none": "a$b",
    "backslash": r"\$\alpha$",
    "script": "<script>alert(1)</script>",
    "attribute": "\"' onload=alert(1) x='",
    "escapes": "\x1b]0;title\x07\x1b[31mred\x9b31m",
    "nul": "a\0b",
    "lines": "a\nb\rc\td",
    "reversed": "abc\u202edcba\u2066",
    "surrogate": "a\udc80b",
    "megabyte": "long" * 250_000,
    "Greek": "αβγ",
    "picture": "\U0001f600",
}


def small() -> tuple[np.ndarray, np.ndarray]:
    """Sixteen images of a square in 4×4 places, and where it is."""
    labels = np.array([(i // 4, i % 4) for i in range(16)])
    images = np.zeros((16, 16, 16), np.uint8)
    for image, (row, column) in zip(images, labels, strict=True):
        image[4 * row : 4 * row + 3, 4 * column : 4 * column + 3] = 255
    return images, labels


@pytest.fixture
def file(tmp_path):
    images, labels = small()
    np.savez(tmp_path / "mine.npz", images=images, factors=labels)
    return tmp_path / "mine.npz"


def run(file, *words) -> int:
    return cli.main(["diagnose", str(file), *map(str, words)])


def refused(capsys, file, *words) -> str:
    """Return the one sentence with which a request ends."""
    assert run(file, *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252", "utf-16"])
def test_a_terminal_that_lacks_letters_gets_the_report_and_loses_no_file(
    file, tmp_path, monkeypatch, encoding
):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    assert (
        run(
            file,
            "--names",
            "α,\U0001f600",
            "--json",
            tmp_path / "r.json",
            "--html",
            tmp_path / "r.html",
        )
        == 0
    )
    sys.stdout.flush()
    text = out.getvalue().decode(encoding)
    assert "16 images of 16" in text
    assert "\U0001f600" in text or r"\U0001f600" in text
    assert json.loads((tmp_path / "r.json").read_text())["losses"][0]["factors"][0]["factor"] == "α"
    assert "α" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_files_are_written_though_nothing_can_be_printed(file, tmp_path, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "nobody reads")

    monkeypatch.setattr(sys, "stdout", Closed())
    run(file, "--json", tmp_path / "r.json")
    assert (tmp_path / "r.json").exists()


def test_a_report_that_cannot_be_written_is_printed(file, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_output.os, "fsync", full)
    assert run(file, "--json", tmp_path / "r.json") == 1
    said = capsys.readouterr()
    assert "16 images of 16" in said.out
    assert said.err == f"vaedis: [Errno 28] No space left on device: '{tmp_path / 'r.json'}'\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


@contextlib.contextmanager
def umask(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(file, tmp_path, mask, mode):
    with umask(mask):
        run(file, "--json", tmp_path / "r.json", "--html", tmp_path / "r.html")
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("r.json", "r.html")} == {
        mode
    }


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode(file, tmp_path, mode):
    (tmp_path / "r.json").write_text("old")
    (tmp_path / "r.json").chmod(mode)
    with umask(0o022):
        run(file, "--json", tmp_path / "r.json")
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == mode
    assert json.loads((tmp_path / "r.json").read_text())["images"] == 16


def test_a_fifo_is_written_to_and_stays_one(file, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    read = []
    reader = threading.Thread(
        target=lambda: read.append((tmp_path / "fifo").read_bytes()), daemon=True
    )
    reader.start()
    assert run(file, "--json", tmp_path / "fifo") == 0
    reader.join()
    assert json.loads(read[0])["images"] == 16
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_device_is_written_to_and_stays_one(file, tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.open("wb").close()
    except OSError:
        pytest.skip("may not make a device")
    assert run(file, "--json", device, "--html", device) == 0
    assert stat.S_ISCHR(device.stat().st_mode)


@contextlib.contextmanager
def standard_output(descriptor: int):
    """Let this process's standard output be something else for a while."""
    saved = os.dup(1)
    os.dup2(descriptor, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_standard_output_by_its_name_gets_the_report_alone(file, tmp_path, capsys, kind):
    if kind == "file":
        writer = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
        reader = os.dup(writer)
        os.write(writer, b"[0]\n")
    else:
        reader, writer = os.pipe()
    with standard_output(writer):
        assert run(file, "--json", "/dev/stdout") == 0
    os.close(writer)
    if kind == "file":
        # what had been written before is still there
        os.lseek(reader, 0, os.SEEK_SET)
        assert os.read(reader, 4) == b"[0]\n"
    with open(reader) as written:
        assert json.loads(written.read())["images"] == 16
    assert "16 images of 16" in capsys.readouterr().err


def test_a_link_to_a_file_is_followed(file, tmp_path):
    (tmp_path / "r.json").write_text("old")
    (tmp_path / "link").symlink_to("r.json")
    run(file, "--json", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "r.json").read_text())["images"] == 16


@pytest.fixture
def no_work(monkeypatch):
    """What is refused is refused before any work begins."""
    monkeypatch.setattr(
        "vaedis.data.read_images", lambda *_, **options: pytest.fail("the file was read")
    )


@pytest.mark.parametrize("option", ["--json", "--html"])
@pytest.mark.parametrize("how", ["itself", "other spelling", "link", "hard link"])
def test_the_input_is_never_an_output(file, tmp_path, capsys, monkeypatch, no_work, option, how):
    before, output = file.read_bytes(), tmp_path / "other"
    if how == "link":
        output.symlink_to(file)
    elif how == "hard link":
        output.hardlink_to(file)
    elif how == "itself":
        output = file
    else:
        monkeypatch.chdir(tmp_path)
        output = "./mine.npz"
    assert "is read, and would be overwritten" in refused(capsys, file, option, output)
    assert file.read_bytes() == before


def test_nothing_in_the_cache_or_in_a_folder_of_data_is_an_output(
    file, tmp_path, capsys, monkeypatch, no_work
):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "original.npy").touch()
    monkeypatch.setenv("VAEDIS_DATA", str(tmp_path / "cache"))
    assert "is read, and would be" in refused(
        capsys, file, "--json", tmp_path / "cache" / "original.npy"
    )
    assert "is read, and would be" in refused(capsys, tmp_path, "--json", file)


def test_places_that_no_report_can_be_written_to(file, tmp_path, capsys, no_work):
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    for name, words in (
        ("dangling", "a link to a file that is not there"),
        ("folder", "is a folder"),
        ("circle", "symbolic links"),
        ("nowhere/r.json", "There is no folder"),
        ("n" * 300, "File name too long"),
    ):
        assert words in refused(capsys, file, "--json", tmp_path / name)
    assert "named for two reports" in refused(
        capsys, file, "--json", tmp_path / "r", "--html", tmp_path / "r"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "circle",
        "dangling",
        "folder",
        "mine.npz",
    ]


def test_a_socket_and_a_folder_without_permission_are_refused(
    file, tmp_path, capsys, monkeypatch, no_work
):
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)
        listening.bind("socket")
        assert "neither a plain file nor a stream" in refused(capsys, file, "--json", "socket")
    monkeypatch.setattr(_output.os, "access", lambda *_: False)
    assert "may not be written into" in refused(capsys, file, "--json", tmp_path / "r.json")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_text_and_nothing_else(tmp_path, capsys, monkeypatch, name):
    images, labels = small()
    monkeypatch.setattr(
        "vaedis.data.read_images",
        lambda *_, **options: LabelledImages(images, labels, [name, "b"], name=f"x{name}"),
    )
    (tmp_path / "mine.npz").touch()
    assert (
        run(tmp_path / "mine.npz", "--json", tmp_path / "r.json", "--html", tmp_path / "r.html")
        == 0
    )
    said = capsys.readouterr()
    assert all(line.isprintable() for line in said.out.splitlines())
    assert max(map(len, said.out.splitlines())) < 1_000
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["losses"][0]["factors"][0]["factor"] == name.replace("\udc80", r"\udc80")
    page = (tmp_path / "r.html").read_bytes().decode()
    assert len(page) < 1_000_000
    assert all(letter.isprintable() or letter == "\n" for letter in page)
    assert "<script" not in page
    assert "onload=alert(1) x='" not in page
    if len(name) < 60 and name.isprintable():
        assert str(markupsafe.escape(name)) in page


def test_a_page_without_jinja2_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        ImportError, match=r"needs jinja2, which is not installed: pip install vaedis\[plots\]"
    ):
        save(diagnose(LabelledImages(*small())), html=tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_long_names_stay_apart(tmp_path):
    images, labels = small()
    found = diagnose(LabelledImages(images, labels, ["n" * 100, "n" * 101]))
    save(found, html=tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    first = "n" * 59 + "…"
    assert f"<td>{first}</td>" in page
    assert f"<td>{first}~2</td>" in page


def test_many_factors_are_drawn_in_several_pictures(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    drawn = []
    monkeypatch.setattr(
        "vaedis.plots.distance_matrices",
        lambda truth, perceived: drawn.append(list(perceived)) or plt.figure(),
    )
    bits = np.eye(46, 45, dtype=int)
    images = np.zeros((46, 8, 8), np.uint8)
    images[:, 0, 0] = bits @ np.arange(45)
    found = diagnose(LabelledImages(images, bits, [f"f{k}" for k in range(45)]))
    save(found, html=tmp_path / "r.html")
    # one picture of all of them would be wider than a picture can be
    assert [len(names) for names in drawn] == [20, 20, 5]
    assert [name for names in drawn for name in names] == [f"f{k}" for k in range(45)]
    assert (tmp_path / "r.html").read_text().count("<img ") == 3


def test_the_page_forbids_whatever_it_does_not_hold(tmp_path):
    save(diagnose(LabelledImages(*small())), html=tmp_path / "r.html")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        in (tmp_path / "r.html").read_text().partition("<style>")[0]
    )


@pytest.mark.skipif(
    sys.platform == "win32" or sys.platform == "darwin", reason="file names are text there"
)
def test_a_file_name_that_is_no_utf8_gives_a_report(file, tmp_path, capsys):
    odd = tmp_path / os.fsdecode(b"caf\xe9\x1b[31m.npz")
    try:
        file.rename(odd)
    except OSError:
        pytest.skip("the file system has no such names")
    report = tmp_path / os.fsdecode(b"\xff.json")
    assert run(odd, "--json", report, "--html", tmp_path / "r.html") == 0
    said = capsys.readouterr()
    assert r"caf\udce9\x1b[31m" in said.out
    assert r"\udcff.json" in said.err
    assert json.loads(report.read_text())["name"] == r"caf\udce9" + "\x1b[31m"
    assert r"caf\udce9\x1b[31m" in (tmp_path / "r.html").read_bytes().decode()


def test_no_standard_output_at_all_is_no_error(file, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert cli.main(["diagnose", str(file), "--json", str(tmp_path / "a.json")]) == 0
    assert (tmp_path / "a.json").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_stream_without_room_is_named(file, capsys):
    assert cli.main(["diagnose", str(file), "--json", "/dev/full"]) == 1
    assert "/dev/full" in capsys.readouterr().err
