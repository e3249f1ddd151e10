"""Downloads end in one clear sentence or in success, and the cache never holds a file that fails
its sum, whatever a server does.
"""

import errno
import hashlib
import os
import ssl
from pathlib import Path

import pytest
import toy_data
from toy_data import CONTENT, FILE, SHA256, original

from vaedis import cli
from vaedis.data import DataError
from vaedis.data.originals import disk, fetch as download

CERTIFICATE = Path(__file__).parents[1] / "self_signed.pem"


@pytest.fixture
def server(monkeypatch):
    with toy_data.serving(monkeypatch) as server:
        yield server


def fetch(folder: Path, *urls: str, **options) -> dict:
    return download.fetch(original(*urls), folder, **options)


def fails(folder: Path, *urls: str, **options) -> str:
    """Return the sentence with which a download fails; no file may be left then."""
    with pytest.raises(DataError) as caught:
        fetch(folder, *urls, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert message.endswith(".")
    assert list(folder.glob("*")) == []
    return message


def arrived(folder: Path) -> bool:
    """Whether the file is complete, and nothing else is left."""
    files = [path.name for path in folder.iterdir()]
    return files == [FILE] and (folder / FILE).read_bytes() == CONTENT


def test_what_is_fetched_is_described(server, tmp_path):
    url = server.url("good")
    facts = {"file": FILE, "size": len(CONTENT), "sha256": SHA256, "url": url}
    assert fetch(tmp_path / "new" / "folder", url) == facts
    assert arrived(tmp_path / "new" / "folder")


def test_what_is_there_is_not_fetched_again_unless_it_is_damaged(server, tmp_path):
    (tmp_path / FILE).write_bytes(CONTENT)
    fetch(tmp_path, server.url("good"))
    assert server.asked == []
    (tmp_path / FILE).write_bytes(CONTENT[:-1] + b"?")
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


BAD = {
    "wrong": "another sha256 sum",
    "page": "another sha256 sum",
    "truncated": "another sha256 sum, or is cut short",
    "missing": "404",
    "broken": "500",
    "partial": "another sha256 sum",
    "circular": "redirect",
    "to_a_file": "Redirection to url 'file:///etc/hostname' is not allowed",
    "escaping": "404",
    "no_http": "",
}


@pytest.mark.parametrize("how", BAD)
def test_what_is_not_the_file_leaves_nothing(server, tmp_path, how):
    assert BAD[how] in fails(tmp_path, server.url(how))
    assert server.count(how) == 1 or how == "circular"


@pytest.mark.parametrize("how", [*BAD, *toy_data.SLOW])
def test_a_bad_mirror_and_then_a_good_one(server, tmp_path, how):
    fetch(tmp_path, server.url(how), server.url("good"))
    assert arrived(tmp_path)


@pytest.mark.parametrize("how", toy_data.SLOW)
def test_a_server_that_is_silent_or_slow_is_left_and_not_asked_again(server, tmp_path, how):
    message = fails(tmp_path, server.url(how))
    assert " in 0.3 s" in message or "timed out" in message
    assert server.count(how) <= 1


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_body_that_does_not_end(server, tmp_path, monkeypatch, size):
    monkeypatch.setattr(download, "LARGEST_BYTES", 1_000_000)
    with pytest.raises(DataError, match=f"has more than {size or 1_000_000:,} bytes"):
        download.fetch(original(server.url("endless"), size=size), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_redirection_is_followed_and_a_packed_file_stays_packed(server, tmp_path):
    for how in ("moved", "packed"):
        assert fetch(tmp_path / how, server.url(how))["url"] == server.url(how)
        assert arrived(tmp_path / how)


def test_a_certificate_that_nobody_signed_is_called_that(server, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    url = server.url("good")
    assert "CERTIFICATE_VERIFY_FAILED" in fails(tmp_path, url.replace("http", "https"))
    fails(tmp_path, url)


def test_nobody_listens(server, tmp_path):
    url = server.url("good")
    server.close()
    assert "Connection refused" in fails(tmp_path, url)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "  ",
        "ftp://somewhere",
        "http://",
        "http://[::1",
        *(
            address.replace("PASSWORD", "s3cret")
            for address in (
                "http://someone:PASSWORD@somewhere",
                "ftp://someone:PASSWORD@somewhere",
                "http://someone:PASSWORD",
                "http://someone:PASSWORD/x@somewhere",
                "http://somewhere?PASSWORD",
                "http://somewhere#PASSWORD",
            )
        ),
    ],
)
def test_a_source_that_makes_no_sense_is_one_sentence_without_a_password(
    tmp_path, monkeypatch, capsys, source
):
    toy_data.install(monkeypatch, tmp_path)
    assert cli.main(["data", "prepare", "toy", "--from", source]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("vaedis: The source of data must be a folder, or a file://")
    assert said.err.count("\n") == 1
    assert "s3cret" not in said.out + said.err


def test_a_file_of_the_users_in_the_caches_own_folder_stays(tmp_path):
    (tmp_path / FILE).write_bytes(b"mine")
    with pytest.raises(DataError, match="another sha256 sum"):
        fetch(tmp_path, source=tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_md5_counts_where_no_sha256_is_known(server, tmp_path):
    digest = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    download.fetch(original(server.url("good"), digest=digest), tmp_path)
    assert arrived(tmp_path)
    with pytest.raises(DataError, match="another md5 sum"):
        download.fetch(original(server.url("wrong"), digest=digest, size=None), tmp_path / "other")


def test_offline_never_asks(server, tmp_path, monkeypatch):
    monkeypatch.setenv("VAEDIS_OFFLINE", "1")
    assert "VAEDIS_OFFLINE" in fails(tmp_path, server.url("good"))
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
    assert f"{(tmp_path / 'nowhere' / FILE).as_uri()}: " in message
    assert "No such file or directory" in message
    assert server.asked == []


@pytest.mark.parametrize(
    ("said", "meant"), [("1", True), ("yes", True), ("", False), ("0", False), ("False", False)]
)
def test_offline_is_a_yes_or_a_no(monkeypatch, said, meant):
    monkeypatch.setenv("VAEDIS_OFFLINE", said)
    assert disk.offline() is meant


def test_offline_is_nothing_else(monkeypatch):
    monkeypatch.setenv("VAEDIS_OFFLINE", "perhaps")
    with pytest.raises(ValueError, match="VAEDIS_OFFLINE must be 1 or 0, not 'perhaps'"):
        disk.offline()


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
    monkeypatch.setattr(disk.sys, "platform", platform)
    assert disk.cache_folder() == Path(expected)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_sentence(server, tmp_path, monkeypatch, code):
    def full(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        message = fails(tmp_path, server.url("good"))
    assert os.strerror(code) in message
    assert "VAEDIS_DATA" in message
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


def test_a_cache_that_is_no_folder_is_one_sentence(server, tmp_path):
    (tmp_path / "file").touch()
    says = r"Could not write toy\.bin.*Not a directory; .* set VAEDIS_DATA to another folder"
    with pytest.raises(DataError, match=says):
        fetch(tmp_path / "file" / "cache", server.url("good"))


def test_no_bar_without_a_terminal(server, tmp_path, capsys):
    fetch(tmp_path, server.url("good"))
    assert capsys.readouterr() == ("", "")
