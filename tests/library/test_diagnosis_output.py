"""Reports of `vaedis diagnose`: written before anything is printed, without harm to what stands
there, and without commands in names.
"""

import io
import json
import os
import stat
import subprocess
import sys

import markupsafe
import numpy as np
import pytest

from vaedis import cli
from vaedis._support import output as _output
from vaedis.data import LabelledImages
from vaedis.diagnosis import save
from vaedis.diagnosis.diagnose import diagnose
from vaedis.diagnosis.loss_report import both_betas

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


def test_a_report_that_cannot_be_written_is_printed(file, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_output.os, "fsync", full)
    assert run(file, "--json", tmp_path / "r.json") == 1
    said = capsys.readouterr()
    assert "16 images of 16" in said.out
    assert said.err == f"vaedis: [Errno 28] No space left on device: '{tmp_path / 'r.json'}'\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


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


def test_many_factors_are_drawn_in_several_pictures(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    drawn = []
    monkeypatch.setattr(
        "vaedis.plots.heatmaps.draw_tiles",
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


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16"])
def test_a_terminal_that_lacks_letters_gets_the_report_and_loses_no_file(
    file, tmp_path, monkeypatch, encoding
):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    assert run(file, "--names", "α,\U0001f600", "--json", tmp_path / "r.json") == 0
    sys.stdout.flush()
    text = out.getvalue().decode(encoding)
    assert "\U0001f600" in text or r"\U0001f600" in text
    assert json.loads((tmp_path / "r.json").read_text())["losses"][0]["factors"][0]["factor"] == "α"


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode(file, tmp_path, mode):
    (tmp_path / "r.json").write_text("old")
    (tmp_path / "r.json").chmod(mode)
    run(file, "--json", tmp_path / "r.json")
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == mode
    assert json.loads((tmp_path / "r.json").read_text())["images"] == 16


@pytest.mark.parametrize("how", ["itself", "other spelling", "link", "hard link", "in the cache"])
def test_what_is_read_is_never_an_output(file, tmp_path, capsys, monkeypatch, no_work, how):
    before = file.read_bytes()
    output = tmp_path / "other"
    if how == "link":
        output.symlink_to(file)
    elif how == "hard link":
        output.hardlink_to(file)
    elif how == "itself":
        output = file
    elif how == "in the cache":
        monkeypatch.setenv("VAEDIS_DATA", str(tmp_path))
        output.touch()
    else:
        monkeypatch.chdir(tmp_path)
        output = "./mine.npz"
    for option in ("--json", "--html"):
        assert "is read, and would be overwritten" in refused(capsys, file, option, output)
    assert "is read, and would be" in refused(capsys, tmp_path, "--json", file)
    assert file.read_bytes() == before


def test_what_is_no_plain_file_is_refused_and_left_alone(file, tmp_path, capsys, no_work):
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    for name, words in {
        "dangling": "a link to no file",
        "folder": "is no plain file",
        "pipe": "is no plain file",
        "/dev/null": "is no plain file",
        "circle": "cannot be written to",
        "nowhere/r.json": "there is no folder",
        "n" * 300: "cannot be written to",
    }.items():
        assert words in refused(capsys, file, "--json", tmp_path / name)
    two = ["--json", tmp_path / "r", "--html", tmp_path / "r"]
    assert "named for two reports" in refused(capsys, file, *two)
    names = ["circle", "dangling", "folder", "mine.npz", "pipe"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_standard_output_is_no_file_for_a_report(file, tmp_path):
    words = [sys.executable, "-m", "vaedis", "diagnose", str(file), "--json", "/dev/stdout"]
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, (tmp_path / "out").read_text()) == (2, "")
    assert "is no plain file" in done.stderr


def test_a_page_is_closed_to_the_outside_and_long_names_stay_apart(tmp_path, monkeypatch):
    images, labels = small()
    found = diagnose(LabelledImages(images, labels, ["n" * 100, "n" * 101]))
    save(found, html=tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy in page.partition("<style>")[0]
    first = "n" * 59 + "…"
    assert f"<td>{first}</td>" in page
    assert f"<td>{first} (2)</td>" in page
    monkeypatch.setitem(sys.modules, "jinja2", None)
    says = r"To write a page, install jinja2: pip install 'vaedis\[plots\]'\."
    with pytest.raises(ImportError, match=says):
        save(found, html=tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


def test_betas_of_both_conventions_are_written_without_an_exponent():
    text = both_betas(7.3, latents=9, pixels=64 * 64 * 3)
    assert text.startswith("7.3 (RunSpec.beta), which is 9,970 where"), text
    assert both_betas(123_456, 2, 2).startswith("123,000 (RunSpec.beta), which is 123,000 ")
    assert both_betas(0.000123456, 1, 1).startswith("0.000123 (")
