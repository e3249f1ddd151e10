"""Downloads end in one clear sentence or in success, and the cache never holds a file that fails its sum, whatever a server does."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy_data
from toy_data import CONTENT, FILE, SHA256, original

from vaedis.data import DataError, _disk, download


@pytest.fixture
def server(monkeypatch):
    with toy_data.serving(monkeypatch) as server:
        yield server


def fetch(folder: Path, *urls: str, **options) -> dict:
    return download.fetch(original(*urls), folder, **options)


def fails(folder: Path, *urls: str, **options) -> str:
    """Return the sentence with which a download fails; no file may be there then."""
    with pytest.raises(DataError) as caught:
        fetch(folder, *urls, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert {path.name for path in folder.glob("*")} <= {f"{FILE}.part"}
    return message


def arrived(folder: Path) -> bool:
    """Whether the file is complete, and nothing else is left."""
    return [path.name for path in folder.iterdir()] == [FILE] and (folder / FILE).read_bytes() == CONTENT


def test_what_is_fetched_is_described(server, tmp_path):
    url = server.url("good")
    assert fetch(tmp_path / "new" / "folder", url) == {"file": FILE, "size": len(CONTENT), "sha256": SHA256, "url": url}
    assert arrived(tmp_path / "new" / "folder")


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / FILE).write_bytes(CONTENT)
    fetch(tmp_path, server.url("good"))
    assert server.asked == []


def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path):
    (tmp_path / FILE).write_bytes(CONTENT[:-1] + b"?")
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


def test_a_truncated_body_is_resumed(server, tmp_path):
    fetch(tmp_path, server.url("once_truncated"))
    assert arrived(tmp_path)
    (_, first), (_, second) = server.asked
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= len(CONTENT) // 2


def test_a_body_that_is_always_truncated(server, tmp_path):
    assert "the connection broke" in fails(tmp_path, server.url("truncated"))
    assert server.count("truncated") == 3
    part = (tmp_path / f"{FILE}.part").read_bytes()
    assert part
    assert part == CONTENT[: len(part)]


def test_an_impatient_download_asks_once(server, tmp_path):
    fails(tmp_path, server.url("broken"), patient=False)
    assert server.count("broken") == 1


def test_a_wrong_sum_leaves_nothing(server, tmp_path):
    assert "another sha256 sum" in fails(tmp_path, server.url("wrong"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", ["wrong", "missing", "broken", "truncated", "stalled", "page"])
def test_a_bad_mirror_and_then_a_good_one(server, tmp_path, bad):
    fetch(tmp_path, server.url(bad), server.url("good"))
    assert arrived(tmp_path)


def test_what_does_not_exist_is_asked_for_once(server, tmp_path):
    assert "404" in fails(tmp_path, server.url("missing"))
    assert server.count("missing") == 1


def test_a_server_that_recovers(server, tmp_path):
    fetch(tmp_path, server.url("twice_broken"))
    assert arrived(tmp_path)


def test_a_server_that_stays_broken(server, tmp_path):
    assert "500" in fails(tmp_path, server.url("broken"))
    assert server.count("broken") == 3


def test_a_stall_ends_and_the_next_mirror_goes_on(server, tmp_path):
    fetch(tmp_path, server.url("stalled"), server.url("good"), patient=False)
    assert arrived(tmp_path)
    assert server.asked[-1][1] is not None


def test_a_stall_is_named(server, tmp_path):
    assert "it stopped sending" in fails(tmp_path, server.url("stalled"), patient=False)


def test_nobody_listens(server, tmp_path):
    url = server.url("good")
    server.close()
    assert "no connection" in fails(tmp_path, url)


def test_a_page_in_the_place_of_a_file_is_not_read(server, tmp_path):
    assert f"26 bytes and not {len(CONTENT):,}" in fails(tmp_path, server.url("page"))


def test_a_server_without_ranges_starts_over(server, tmp_path):
    (tmp_path / f"{FILE}.part").write_bytes(CONTENT[:1000])
    fetch(tmp_path, server.url("plain"))
    assert arrived(tmp_path)


@pytest.mark.parametrize("part", [b"?" * 1000, CONTENT + b"?", b"?" * len(CONTENT)], ids=["other", "longer", "complete"])
def test_a_part_of_another_file_is_thrown_away(server, tmp_path, part):
    (tmp_path / f"{FILE}.part").write_bytes(part)
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


def test_a_part_that_is_complete_is_taken(server, tmp_path):
    (tmp_path / f"{FILE}.part").write_bytes(CONTENT)
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)
    assert len(server.asked) == 1


def test_a_compressed_file_stays_compressed(server, tmp_path):
    fetch(tmp_path, server.url("packed"))
    assert arrived(tmp_path)


def test_md5_counts_where_no_sha256_is_known(server, tmp_path):
    digest = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    download.fetch(original(server.url("good"), digest=digest), tmp_path)
    assert arrived(tmp_path)
    with pytest.raises(DataError, match="another md5 sum"):
        download.fetch(original(server.url("wrong"), digest=digest, size=None), tmp_path / "other")


def test_what_a_killed_pooch_left_goes(server, tmp_path):
    (tmp_path / "tmpa1b2c3d4").touch()
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


def test_offline_never_asks(server, tmp_path, monkeypatch):
    monkeypatch.setenv("VAEDIS_OFFLINE", "1")
    assert "VAEDIS_OFFLINE" in fails(tmp_path, server.url("good"))
    assert download.remote_size(original(server.url("good"), size=None)) is None
    assert server.asked == []


@pytest.mark.parametrize("as_source", [str, Path.as_uri])
def test_a_folder_as_the_source_works_offline(tmp_path, monkeypatch, as_source):
    monkeypatch.setenv("VAEDIS_OFFLINE", "1")
    source = tmp_path / "a source with spaces"
    source.mkdir()
    (source / FILE).write_bytes(CONTENT)
    fetch(tmp_path / "cache", source=as_source(source))
    assert arrived(tmp_path / "cache")
    assert (source / FILE).exists()


def test_a_given_source_is_the_only_one(server, tmp_path):
    message = fails(tmp_path, server.url("good"), source=tmp_path / "nowhere")
    assert f"there is no {tmp_path / 'nowhere' / FILE}" in message
    assert server.asked == []


def test_a_given_folder_without_the_file_has_nothing_to_do_with_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("VAEDIS_OFFLINE", "1")
    assert "VAEDIS_OFFLINE" not in fails(tmp_path, source=tmp_path / "nowhere")


def test_the_source_of_the_environment_comes_first(server, tmp_path, monkeypatch):
    monkeypatch.setenv("VAEDIS_DATA_SOURCE", str(tmp_path / "source"))
    fetch(tmp_path / "cache", server.url("good"))
    assert len(server.asked) == 1
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / FILE).write_bytes(CONTENT)
    assert fetch(tmp_path / "other", server.url("good"))["url"] == (tmp_path / "source" / FILE).as_uri()
    assert len(server.asked) == 1


def test_a_source_that_is_none():
    with pytest.raises(ValueError, match=r"file://, http:// or https://.*'ftp://somewhere'"):
        download.places(original(), "ftp://somewhere")


def test_sizes_are_known_or_asked_for(server, tmp_path):
    assert download.remote_size(original(server.url("missing"))) == len(CONTENT)
    assert download.remote_size(original(server.url("missing"), server.url("good"), size=None)) == len(CONTENT)
    assert download.remote_size(original(server.url("missing"), size=None)) is None
    (tmp_path / FILE).write_bytes(b"12345")
    assert download.remote_size(original(size=None), tmp_path) == 5


@pytest.mark.parametrize(("said", "meant"), [("1", True), ("yes", True), ("", False), ("0", False), ("False", False)])
def test_offline_is_a_yes_or_a_no(monkeypatch, said, meant):
    monkeypatch.setenv("VAEDIS_OFFLINE", said)
    assert _disk.offline() is meant


def test_offline_is_nothing_else(monkeypatch):
    monkeypatch.setenv("VAEDIS_OFFLINE", "perhaps")
    with pytest.raises(ValueError, match="VAEDIS_OFFLINE must be 1 or 0, not 'perhaps'"):
        _disk.offline()


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"VAEDIS_DATA": "/somewhere"}, "/somewhere"),
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/vaedis"),
        ("linux", {}, "/home/someone/.cache/vaedis"),
        ("darwin", {}, "/home/someone/Library/Caches/vaedis"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/vaedis"),
    ],
)
def test_where_the_cache_is(monkeypatch, platform, variables, expected):
    for name in ("VAEDIS_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_disk.sys, "platform", platform)
    assert _disk.cache_folder() == Path(expected)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_sentence(server, tmp_path, monkeypatch, code):
    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(download.os, "fsync", full)
    message = fails(tmp_path, server.url("good"))
    assert "the disk is full or a quota is used up" in message
    assert "VAEDIS_DATA" in message
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("VAEDIS_OFFLINE", "0")
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


def test_a_cache_that_is_no_folder_is_one_sentence(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"Could not write toy\.bin.*Not a directory; set VAEDIS_DATA to a folder"):
        fetch(tmp_path / "file" / "cache", server.url("good"))


def test_no_bar_without_a_terminal(server, tmp_path, capsys):
    fetch(tmp_path, server.url("good"))
    assert capsys.readouterr() == ("", "")


def test_the_first_use_of_pooch_says_nothing_in_a_notebook_without_widgets():
    """There tqdm warns at its first import, and a page of the book with anything on stderr is not built."""
    code = """
import builtins, sys, types, warnings
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace(config={"IPKernelApp": {}})
warnings.simplefilter("error")
from vaedis.data import download
download._pooch()
assert "tqdm.autonotebook" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
