"""Downloads end in one clear sentence or in success, and the cache never holds a file that fails
its sum, whatever a server does.
"""

import errno
import hashlib
import os
import ssl
import threading
from pathlib import Path

import pytest
import toy_data
from toy_data import CONTENT, FILE, SHA256, original

from vaedis import cli
from vaedis.data import DataError, commands
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
    assert "\n" not in message
    assert message.endswith(".")
    assert list(folder.glob("*")) == []
    return message


def arrived(folder: Path) -> bool:
    """Whether the file is complete, and nothing else is left."""
    return [path.name for path in folder.iterdir()] == [FILE] and (
        folder / FILE
    ).read_bytes() == CONTENT


def test_what_is_fetched_is_described(server, tmp_path):
    url = server.url("good")
    assert fetch(tmp_path / "new" / "folder", url) == {
        "file": FILE,
        "size": len(CONTENT),
        "sha256": SHA256,
        "url": url,
    }
    assert arrived(tmp_path / "new" / "folder")


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / FILE).write_bytes(CONTENT)
    fetch(tmp_path, server.url("good"))
    assert server.asked == []


def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path):
    (tmp_path / FILE).write_bytes(CONTENT[:-1] + b"?")
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("wrong", "another sha256 sum"),
        ("page", "another sha256 sum"),
        ("truncated", "no complete answer"),
        ("missing", "404"),
        ("broken", "500"),
        ("partial", "206"),
    ],
)
def test_what_is_not_the_file_is_asked_for_once_and_leaves_nothing(server, tmp_path, how, why):
    assert why in fails(tmp_path, server.url(how))
    assert server.count(how) == 1


@pytest.mark.parametrize("bad", ["wrong", "missing", "broken", "truncated", "page", *toy_data.SLOW])
def test_a_bad_mirror_and_then_a_good_one(server, tmp_path, bad):
    fetch(tmp_path, server.url(bad), server.url("good"))
    assert arrived(tmp_path)


@pytest.mark.parametrize("how", toy_data.SLOW)
def test_a_server_that_is_silent_or_slow_is_left_and_not_asked_again(server, tmp_path, how):
    assert " in 0.3 s" in fails(tmp_path, server.url(how))
    assert server.count(how) <= 1


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_body_that_does_not_end(server, tmp_path, monkeypatch, size):
    monkeypatch.setattr(download, "LARGEST_BYTES", 1_000_000)
    with pytest.raises(DataError, match=f"has more than {size or 1_000_000:,} bytes"):
        download.fetch(original(server.url("endless"), size=size), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_local_file_that_is_absurdly_large_is_not_copied(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with (source / FILE).open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(DataError, match=r"has more than 1,000,000,000 bytes"):
        download.fetch(original(size=None), tmp_path / "cache", source=source)


def test_a_servers_words_cannot_command_a_terminal(server, tmp_path):
    message = fails(tmp_path, server.url("escaping"))
    assert "404" in message
    assert message.isprintable()


def test_a_redirection_is_followed_and_its_body_is_not_read(server, tmp_path):
    assert fetch(tmp_path, server.url("redirected"))["url"] == server.url("redirected")
    assert arrived(tmp_path)


@pytest.mark.parametrize(
    ("how", "why"), [("circular", "more than 10 times"), ("to_a_file", "neither http nor https")]
)
def test_a_redirection_to_nowhere(server, tmp_path, how, why):
    assert why in fails(tmp_path, server.url(how))


@pytest.fixture
def in_tls(tmp_path, server):
    """The address of a server that speaks TLS with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    return server.url("good").removeprefix("http")


def test_a_certificate_that_nobody_signed_is_called_that(in_tls, tmp_path):
    assert "its certificate is not valid" in fails(tmp_path / "cache", f"https{in_tls}")


def test_tls_where_http_is_expected_ends(in_tls, tmp_path):
    fails(tmp_path / "cache", f"http{in_tls}")


def test_http_where_tls_is_expected_is_called_that(server, tmp_path):
    assert "it does not answer in TLS" in fails(
        tmp_path, server.url("good").replace("http", "https")
    )


@pytest.mark.parametrize(
    "answer", [b"\x15\x03\x03\x00\x02\x02\x46", b"SSH-2.0-server\r\n", b"x" * 100_000]
)
def test_what_is_no_http_is_no_answer(server, tmp_path, answer):
    server.no_http = lambda request: request.wfile.write(answer)
    assert "no complete answer" in fails(tmp_path, server.url("no_http"))
    assert server.count("no_http") == 1


SECRET = "s3cret"


def with_password(url: str) -> str:
    return url.replace("://", f"://someone:{SECRET}@")


@pytest.mark.parametrize("how", ["good", "missing", "wrong", "no_http"])
def test_a_password_is_neither_told_nor_kept(server, tmp_path, how):
    server.no_http = lambda request: request.wfile.write(b"no")
    source = with_password(server.url(how).removesuffix(f"/{FILE}"))
    if how == "good":
        facts = fetch(tmp_path, source=source)
        assert facts["url"] == server.url("good")
    else:
        message = fails(tmp_path, source=source)
        assert SECRET not in message
        assert "someone" not in message
        assert "127.0.0.1" in message


def test_a_password_is_not_part_of_the_plan(server, tmp_path, monkeypatch, capsys):
    toy_data.install(monkeypatch, tmp_path)
    source = with_password(server.url("good").removesuffix(f"/{FILE}"))
    assert commands.run_prepare(["toy"], source=source) == 0
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert ": http://127.0.0.1" in said.out
    assert SECRET not in (tmp_path / "toy" / "original.json").read_text()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (f"ftp://someone:{SECRET}@somewhere", "must be a folder, or a file://"),
        (f"http://someone:{SECRET}", "with a host"),
        (f"http://someone:{SECRET}/x@somewhere", "with a host"),
        (f"http://someone:{SECRET}@", "with a host"),
        (f"http://somewhere?{SECRET}", "without '?' and '#'"),
        ("http://", "with a host"),
        ("http://[::1", "with a host"),
    ],
)
def test_a_source_that_makes_no_sense_is_one_sentence_without_a_password(
    tmp_path, monkeypatch, capsys, source, words
):
    toy_data.install(monkeypatch, tmp_path)
    assert cli.main(["data", "prepare", "toy", "--from", source]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert SECRET not in said.out + said.err


def test_a_file_of_the_users_in_the_caches_own_folder_stays(tmp_path):
    (tmp_path / FILE).write_bytes(b"mine")
    with pytest.raises(DataError, match="another sha256 sum"):
        fetch(tmp_path, source=tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_source_that_may_not_be_read_is_said_to_be_so(tmp_path, monkeypatch):
    (tmp_path / FILE).write_bytes(CONTENT)
    real = Path.open

    def denied(path, mode="r", **options):
        if path.parent == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, mode, **options)

    monkeypatch.setattr(Path, "open", denied)
    assert "it cannot be read (Permission denied)" in fails(tmp_path / "cache", source=tmp_path)


def test_nobody_listens(server, tmp_path):
    url = server.url("good")
    server.close()
    assert "no complete answer (Connection" in fails(tmp_path, url)


def test_a_compressed_file_stays_compressed(server, tmp_path):
    fetch(tmp_path, server.url("packed"))
    assert arrived(tmp_path)


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
    assert f"{(tmp_path / 'nowhere' / FILE).as_uri()}: there is no such file" in message
    assert server.asked == []


def test_a_given_folder_without_the_file_has_nothing_to_do_with_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("VAEDIS_OFFLINE", "1")
    assert "VAEDIS_OFFLINE" not in fails(tmp_path, source=tmp_path / "nowhere")


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

    monkeypatch.setattr(download.os, "fsync", full)
    message = fails(tmp_path, server.url("good"))
    assert os.strerror(code) in message
    assert "VAEDIS_DATA" in message
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("VAEDIS_OFFLINE", "0")
    fetch(tmp_path, server.url("good"))
    assert arrived(tmp_path)


def test_a_cache_that_is_no_folder_is_one_sentence(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError,
        match=r"Could not write toy\.bin.*Not a directory; .* set VAEDIS_DATA to another folder",
    ):
        fetch(tmp_path / "file" / "cache", server.url("good"))


def test_no_bar_without_a_terminal(server, tmp_path, capsys):
    fetch(tmp_path, server.url("good"))
    assert capsys.readouterr() == ("", "")


def test_bars_of_progress_share_a_lock_of_this_process_only():
    """tqdm's own is held across a fork, and by a killed child for ever."""
    from tqdm import tqdm

    with disk.progress("x", 1):
        assert tqdm.get_lock() is disk._BAR_LOCK
    assert isinstance(disk._BAR_LOCK, type(threading.RLock()))
