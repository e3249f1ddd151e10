"""Preparing a data set survives kill -9, full disks, other processes and read-only caches; each ends in success or in one sentence."""

import contextlib
import ctypes
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import toy_data
from toy_data import CONTENT, FILE, IMAGES

from vaedis.data import DataError, _formats, _prepare, _stored, download

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # the server's threads sleep when a process is forked
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def server(monkeypatch):
    with toy_data.serving(monkeypatch) as server:
        yield server


@pytest.fixture
def cache(server, monkeypatch, tmp_path):
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("good"))
    return tmp_path / "cache" / "toy"


def files(cache: Path) -> set[str]:
    return {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file() and path.name != ".lock"}


COMPLETE = {"original.npy", "original.json", f"files/{FILE}"}


def is_complete(cache: Path) -> bool:
    """Whether all is there, nothing else is, and it matches its sums."""
    facts = json.loads((cache / "original.json").read_text())
    images = np.load(cache / "original.npy")
    same = np.array_equal(images, IMAGES) and facts["sha256"] == hashlib.sha256(images.tobytes()).hexdigest()
    return files(cache) == COMPLETE and same and (cache / "files" / FILE).read_bytes() == CONTENT


def start(work, *args) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=work, args=args)
    process.start()
    return process


def say(process_end, work, *args):
    """Run in a child: send how it ended."""
    try:
        work(*args)
        process_end.send("fine")
    except DataError as problem:
        process_end.send(str(problem))


def run(work, *args) -> str:
    """Do something in another process, and return "fine" or the sentence with which it failed."""
    here, there = multiprocessing.Pipe()
    process = start(say, there, work, *args)
    there.close()
    process.join()
    return here.recv()


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(process: multiprocessing.Process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_prepared_once(cache, server):
    facts = _prepare.prepare("toy")
    assert is_complete(cache)
    assert facts == _prepare.stored_facts("toy", "original") == _prepare.prepare("toy")
    assert len(server.asked) == 1
    assert facts["source"][0]["url"] == server.url("good")
    assert {"numpy", "vaedis", "pillow"} <= set(facts["made_by"])


def test_force_converts_anew_and_fetches_what_is_damaged(cache, server):
    _prepare.prepare("toy")
    (cache / "original.npy").write_bytes(b"?")
    _prepare.prepare("toy", force=True)
    assert len(server.asked) == 1
    (cache / "files" / FILE).write_bytes(b"?")
    _prepare.prepare("toy", force=True)
    assert len(server.asked) == 2
    assert is_complete(cache)


def test_killed_in_mid_download(cache, server, monkeypatch, tmp_path):
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("stalled"))
    monkeypatch.setattr(download, "STALL_SECONDS", 20)
    process = start(_prepare.prepare, "toy")
    part = cache / "files" / f"{FILE}.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    kill(process)
    assert FILE not in files(cache)
    have = part.stat().st_size
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("good"))
    _prepare.prepare("toy")
    assert is_complete(cache)
    assert server.asked[-1][1] == f"bytes={have}-"


def test_killed_in_mid_conversion(cache, server, monkeypatch, tmp_path):
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("good"), pause=0.2)
    process = start(_prepare.prepare, "toy")
    wait_for((cache / "original.npy.tmp").exists)
    kill(process)
    assert files(cache) == {f"files/{FILE}", "original.npy.tmp"}
    assert _prepare.stored_facts("toy", "original") is None
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("good"))
    _prepare.prepare("toy")
    assert is_complete(cache)
    assert len(server.asked) == 1


def test_killed_while_converting_anew(cache, server, monkeypatch, tmp_path):
    _prepare.prepare("toy")
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("good"), pause=0.2)
    process = start(lambda: _prepare.prepare("toy", force=True))
    wait_for((cache / "original.npy.tmp").exists)
    kill(process)
    (cache / "original.npy.tmp").unlink()
    assert is_complete(cache)


@pytest.mark.parametrize("last", ["original.npy", "original.json"])
def test_killed_between_the_images_and_their_facts(cache, monkeypatch, last):
    """Images without facts do not count, nor do facts without images."""
    _prepare.prepare("toy")
    (cache / last).unlink()
    assert _prepare.stored_facts("toy", "original") is None
    _prepare.prepare("toy")
    assert is_complete(cache)


def test_facts_never_stand_beside_other_images(cache, monkeypatch):
    _prepare.prepare("toy")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_stored, "write_text", killed)
    monkeypatch.setitem(_formats.READERS, "toy", lambda path: iter([255 - IMAGES]))
    with pytest.raises(KeyboardInterrupt):
        _prepare.prepare("toy", force=True)
    assert np.array_equal(np.load(cache / "original.npy"), 255 - IMAGES)
    assert _prepare.stored_facts("toy", "original") is None


@pytest.mark.parametrize("terminal", [True, False])
def test_two_processes_at_once(cache, server, monkeypatch, tmp_path, capfd, terminal):
    monkeypatch.setattr(_prepare, "_on_terminal", lambda: terminal)
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("good"), pause=0.05)
    processes = [start(_prepare.prepare, "toy") for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert is_complete(cache)
    assert len(server.asked) == 1
    assert capfd.readouterr().err == ("vaedis: waiting for another process that prepares toy\n" if terminal else "")


def test_a_killed_process_leaves_no_lock(cache):
    def hold():
        with _prepare.locked("toy"):
            (cache / "held").touch()
            time.sleep(20)

    process = start(hold)
    wait_for((cache / "held").exists)
    kill(process)
    (cache / "held").unlink()
    _prepare.prepare("toy")
    assert is_complete(cache)


def test_a_limit_on_files_while_downloading(cache):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        _prepare.prepare("toy")

    message = run(limited)
    assert message.startswith(f"Could not write {FILE}")
    assert "quota" in message
    assert files(cache) == {f"files/{FILE}.part"}
    _prepare.prepare("toy")
    assert is_complete(cache)


def test_a_limit_on_files_while_converting(cache):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # the file itself fits; with its header it does not
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT), len(CONTENT)))
        _prepare.prepare("toy")

    message = run(limited)
    assert message.startswith("Could not write the converted images")
    assert files(cache) == {f"files/{FILE}"}
    _prepare.prepare("toy")
    assert is_complete(cache)


def mount(place: Path, options: str):
    """Mount an empty file system that this process alone sees; ends the process with 77 where that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespaces = 0x00020000 | (0 if os.geteuid() == 0 else 0x10000000)
    private, read_only = 1 << 18 | 1 << 14, 1
    place.mkdir(parents=True, exist_ok=True)
    flags = read_only if options == "ro" else 0
    if (
        libc.unshare(new_namespaces)
        or libc.mount(None, b"/", None, private, None)
        or libc.mount(b"none", str(place).encode(), b"tmpfs", flags, b"" if flags else options.encode())
    ):
        os._exit(77)


def run_on(place: Path, options: str, work) -> str:
    def mounted(there):
        mount(place, options)
        say(there, work)

    here, there = multiprocessing.Pipe()
    process = start(mounted, there)
    there.close()
    process.join()
    if process.exitcode == 77:
        pytest.skip("may not mount a file system")
    return here.recv()


def test_a_full_disk_while_downloading(cache, monkeypatch):
    monkeypatch.setattr(_prepare, "_check_space", lambda *_: None)
    message = run_on(cache.parent, "size=128k", lambda: _prepare.prepare("toy"))
    assert message.startswith(f"Could not write {FILE}")
    assert "the disk is full" in message


def test_a_full_disk_while_converting(cache, monkeypatch):
    monkeypatch.setattr(_prepare, "_check_space", lambda *_: None)

    def work():
        with contextlib.suppress(DataError):
            _prepare.prepare("toy")
        assert files(cache) == {f"files/{FILE}"}
        _prepare.prepare("toy")

    message = run_on(cache.parent, "size=400k", work)
    assert message.startswith("Could not write the converted images")
    assert "the disk is full" in message


def test_a_disk_that_will_not_do_is_refused_before_the_download(cache, server):
    message = run_on(cache.parent, "size=400k", lambda: _prepare.prepare("toy"))
    assert "toy needs 1 MB" in message
    assert "VAEDIS_DATA" in message
    assert server.asked == []


def test_a_read_only_cache(cache, server):
    message = run_on(cache.parent, "ro", lambda: _prepare.prepare("toy"))
    assert "Read-only file system" in message
    assert "VAEDIS_DATA" in message
    assert server.asked == []


def test_reading_needs_no_lock(cache):
    _prepare.prepare("toy")
    with _prepare.locked("toy"):
        assert run(lambda: _stored.Stored(_prepare.BENCHMARKS["toy"], _prepare.stored_path("toy", "original"))) == "fine"


def test_a_file_that_the_reader_refuses(cache, monkeypatch):
    def refuse(path):
        yield IMAGES[:64]
        raise ValueError(f"{path} is not what it should be; fetch the original again.")

    monkeypatch.setitem(_formats.READERS, "toy", refuse)
    with pytest.raises(DataError, match=r"^toy cannot be converted: .*is not what it should be; fetch the original again\.$"):
        _prepare.prepare("toy")
    assert files(cache) == {f"files/{FILE}"}


def test_names_and_origins_that_do_not_exist(cache):
    with pytest.raises(ValueError, match="Unknown data set with files 'mnist'; choose one of: dsprites, shapes3d, cars3d, smallnorb"):
        _prepare.prepare("mnist")
    with pytest.raises(ValueError, match="Unknown origin of data set 'dsprites' to prepare 'stand-in'; choose one of: original"):
        _prepare.prepare("dsprites", "stand-in")


def test_what_is_missing_is_named_with_its_extra(cache, monkeypatch):
    monkeypatch.setitem(_prepare.NEEDED, "nothing_like_this", "nothing-like-this")
    with pytest.raises(ImportError, match=r"needs nothing-like-this: pip install 'vaedis\[data\]'"):
        _prepare.prepare("toy")
