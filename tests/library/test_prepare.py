"""Preparing a data set survives kill -9, full disks, other processes and read-only caches; each
ends in success or in one sentence.
"""

import contextlib
import hashlib
import json
import multiprocessing
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import toy_data
from toy_data import CONTENT, FILE, IMAGES

from vaedis import _files
from vaedis.data import DataError, prepare
from vaedis.data.originals import converted, readers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of POSIX")


@pytest.fixture
def server(monkeypatch):
    with toy_data.serving(monkeypatch) as server:
        yield server


@pytest.fixture
def cache(server, monkeypatch, tmp_path):
    toy_data.install(monkeypatch, tmp_path / "cache", server.url("good"))
    return tmp_path / "cache" / "toy"


def files(cache: Path) -> set[str]:
    return {
        path.relative_to(cache).as_posix()
        for path in cache.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def unfinished(cache: Path) -> list[Path]:
    return list(cache.rglob(".*.tmp"))


COMPLETE = {"original.npy", "original.json", f"files/{FILE}"}


def is_complete(cache: Path) -> bool:
    """Whether all is there, nothing else is, and it matches its sums."""
    facts = json.loads((cache / "original.json").read_text())
    images = np.load(cache / "original.npy")
    same = (
        np.array_equal(images, IMAGES)
        and facts["sha256"] == hashlib.sha256(images.tobytes()).hexdigest()
    )
    return files(cache) == COMPLETE and same and (cache / "files" / FILE).read_bytes() == CONTENT


def in_child(work, folder: Path, urls: tuple[str, ...], options: dict, sender, args):
    """What another process does: know the toy as this one does, work, and send how it ended."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("VAEDIS_OFFLINE", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        toy_data.install(monkeypatch, folder, *urls, **options)
        try:
            work(*args)
            sender.send("fine")
        except DataError as problem:
            sender.send(str(problem))


class Child:
    """Another process, which begins anew and inherits neither locks nor threads.

    Parameters
    ----------
    work : function of this module
    cache : Path
        Of the toy.
    urls : str
        Of the toy's file.
    args : tuple
        Of `work`.
    options
        Of the toy's reader.
    """

    def __init__(self, work, cache: Path, *urls: str, args: tuple = (), **options):
        context = multiprocessing.get_context("spawn")
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(
            target=in_child, args=(work, cache.parent, urls, options, sender, args)
        )
        self.process.start()
        sender.close()

    def wait_for(self, condition):
        """Wait until something is so; the test's own time limit ends a wait for what never is."""
        while not condition():
            assert self.process.exitcode is None, "it ended before"
            time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL

    def end(self) -> str:
        """Return "fine" or the sentence with which the work failed; None if it ended without a
        word.
        """
        self.process.join()
        return self.receiver.recv() if self.receiver.poll() else None


def prepare_toy(**options):
    prepare.prepare("toy", **options)


def prepare_on_a_terminal():
    sys.stderr.isatty = lambda: True
    _files._QUIET_SECONDS = 0.0
    prepare_toy()


def test_prepared_once(cache, server):
    facts = prepare.prepare("toy")
    assert is_complete(cache)
    assert facts == prepare.stored_facts("toy", "original") == prepare.prepare("toy")
    assert len(server.asked) == 1
    assert facts["source"][0]["url"] == server.url("good")
    assert {"numpy", "vaedis", "pillow"} <= set(facts["made_by"])


def test_force_converts_anew_and_fetches_what_is_damaged(cache, server):
    prepare.prepare("toy")
    (cache / "original.npy").write_bytes(b"?")
    prepare.prepare("toy", force=True)
    assert len(server.asked) == 1
    (cache / "files" / FILE).write_bytes(b"?")
    prepare.prepare("toy", force=True)
    assert len(server.asked) == 2
    assert is_complete(cache)


def test_killed_in_mid_download(cache, server):
    child = Child(prepare_toy, cache, server.url("stalled"))
    child.wait_for(lambda: [path for path in unfinished(cache) if path.stat().st_size > 0])
    child.kill()
    assert len(files(cache)) == len(unfinished(cache / "files")) == 1
    prepare.prepare("toy")
    assert is_complete(cache)


def test_killed_in_mid_conversion(cache, server, tmp_path):
    child = Child(prepare_toy, cache, server.url("good"), wait_for=tmp_path / "never")
    child.wait_for(lambda: unfinished(cache) and (cache / "files" / FILE).exists())
    child.kill()
    assert len(files(cache)) == 2
    assert len(unfinished(cache)) == 1
    assert prepare.stored_facts("toy", "original") is None
    prepare.prepare("toy")
    assert is_complete(cache)
    assert len(server.asked) == 1


@pytest.mark.parametrize("last", ["original.npy", "original.json"])
def test_killed_between_the_images_and_their_facts(cache, monkeypatch, last):
    """Images without facts do not count, nor do facts without images."""
    prepare.prepare("toy")
    (cache / last).unlink()
    assert prepare.stored_facts("toy", "original") is None
    prepare.prepare("toy")
    assert is_complete(cache)


def test_facts_never_stand_beside_other_images(cache, monkeypatch):
    prepare.prepare("toy")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(converted, "write_text", killed)
    monkeypatch.setitem(readers.READERS, "toy", lambda *_: iter([255 - IMAGES]))
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare("toy", force=True)
    assert np.array_equal(np.load(cache / "original.npy"), 255 - IMAGES)
    assert prepare.stored_facts("toy", "original") is None


def test_two_processes_at_once(cache, server, tmp_path, capfd):
    first = Child(prepare_toy, cache, server.url("good"), wait_for=tmp_path / "go on")
    first.wait_for(lambda: unfinished(cache) and (cache / "files" / FILE).exists())
    second = Child(prepare_on_a_terminal, cache, server.url("good"))
    said = ""
    while "waiting" not in said:
        said += capfd.readouterr().err
        time.sleep(0.01)
    (tmp_path / "go on").touch()
    assert (first.end(), second.end()) == ("fine", "fine")
    assert is_complete(cache)
    assert len(server.asked) == 1
    said += capfd.readouterr().err
    assert said == f"vaedis: waiting until another process has written to {cache}\n"


def hold_the_lock(held: Path):
    prepare.folder("toy").mkdir(parents=True)
    with _files.locked(prepare.folder("toy")):
        held.touch()
        threading.Event().wait()


def test_a_killed_process_leaves_no_lock(cache, tmp_path):
    child = Child(hold_the_lock, cache, args=(tmp_path / "held",))
    child.wait_for((tmp_path / "held").exists)
    child.kill()
    prepare.prepare("toy")
    assert is_complete(cache)


@contextlib.contextmanager
def largest_file(size: int):
    """Let this process write no larger files for a while."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_on_files_while_downloading(cache):
    with (
        largest_file(100_000),
        pytest.raises(DataError, match=rf"Could not write {FILE}.*File too large"),
    ):
        prepare.prepare("toy")
    assert files(cache) == set()
    prepare.prepare("toy")
    assert is_complete(cache)


def test_a_limit_on_files_while_converting(cache):
    # the file itself fits; with its header it does not
    with (
        largest_file(len(CONTENT)),
        pytest.raises(DataError, match=r"Could not write the converted images"),
    ):
        prepare.prepare("toy")
    assert files(cache) == {f"files/{FILE}"}
    prepare.prepare("toy")
    assert is_complete(cache)


def test_reading_needs_no_lock(cache):
    prepare.prepare("toy")
    with _files.locked(prepare.folder("toy")):
        data = converted.Stored(prepare.BENCHMARKS["toy"], prepare.stored_path("toy", "original"))
        assert len(data) == 256


def test_a_file_that_the_reader_refuses(cache, monkeypatch):
    def refuse(paths, sizes):
        yield IMAGES[:64]
        raise ValueError(f"{paths[0]} is not what it should be; fetch the original again.")

    monkeypatch.setitem(readers.READERS, "toy", refuse)
    with pytest.raises(
        DataError,
        match=r"^toy cannot be converted: .*is not what it should be; fetch the original again\.$",
    ):
        prepare.prepare("toy")
    assert files(cache) == {f"files/{FILE}"}


@pytest.mark.parametrize("problem", [KeyError("im"), EOFError(), OSError("two\nlines")])
def test_whatever_a_reader_raises_is_one_sentence(cache, monkeypatch, problem):
    def fail(paths, sizes):
        yield IMAGES[:64]
        raise problem

    monkeypatch.setitem(readers.READERS, "toy", fail)
    with pytest.raises(DataError, match=r"^toy cannot be converted: ('im'|EOFError|two)$"):
        prepare.prepare("toy")


def test_names_and_origins_that_do_not_exist(cache):
    with pytest.raises(
        ValueError,
        match="Unknown data set with files 'mnist'; choose one of: dsprites, shapes3d, cars3d, smallnorb",
    ):
        prepare.prepare("mnist")
    with pytest.raises(
        ValueError,
        match="Unknown origin of data set 'dsprites' to prepare 'stand-in'; choose one of: original",
    ):
        prepare.prepare("dsprites", "stand-in")
