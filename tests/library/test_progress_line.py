"""The line of progress: it is shown where a person looks, and changes nothing."""

import importlib.util
import io
import sys
import threading
import types

import pytest
import tqdm
from test_saved_runs import TINY

import vaedis as vd
from vaedis.training import progress


class Screen(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, spec=TINY, **options):
    """Return what a fit writes to standard error, on a clock that runs a second each step."""
    monkeypatch.setattr(sys, "stderr", stream)
    clock = iter(range(10**6))
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(clock)))
    runs = vd.fit(spec, device="cpu", **options)
    return stream.getvalue(), runs


def test_a_terminal_shows_loss_speed_and_time_left_and_is_clean_in_the_end(monkeypatch):
    text, _ = shown(monkeypatch, Screen(), TINY.replace(steps=120))
    lines = [part for part in text.split("\r") if part.strip()]
    assert "\n" not in text
    assert text.endswith("\r")
    assert lines[-1].startswith("xysquares: ")
    assert "images/s" in lines[-1] or "s/ images" in lines[-1]
    assert "loss 0." in lines[-1]
    assert "<" in lines[-1]
    assert text.split("\r")[-2].strip() == ""


@pytest.mark.parametrize(
    ("stream", "options", "is_shown"),
    [
        (io.StringIO, {}, False),
        (io.StringIO, {"progress": True}, True),
        (Screen, {"progress": False}, False),
        (Screen, {"progress": None}, True),
    ],
)
def test_logs_stay_empty_unless_it_is_asked_for(monkeypatch, stream, options, is_shown):
    text, _ = shown(monkeypatch, stream(), **options)
    assert bool(text) == is_shown


def test_the_environment_can_keep_it_away(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    # tqdm reads it when it is imported
    found = importlib.util.find_spec("tqdm.std")
    anew = importlib.util.module_from_spec(found)
    found.loader.exec_module(anew)
    monkeypatch.setattr(tqdm, "tqdm", anew.tqdm)
    text, _ = shown(monkeypatch, Screen(), TINY.replace(steps=60))
    assert text == ""


def test_a_notebook_is_watched_and_a_program_without_stderr_is_not(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not progress.is_watched()
    notebook = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=1))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert progress.is_watched()
    terminal = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert not progress.is_watched()


def test_without_tqdm_there_is_none_unless_it_is_asked_for(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    vd.fit(TINY, device="cpu")
    assert screen.getvalue() == ""
    with pytest.raises(ImportError, match="To show progress, install tqdm: pip install"):
        vd.fit(TINY, device="cpu", progress=True)


def test_it_changes_no_bit_and_starts_no_thread(monkeypatch):
    before = threading.active_count()
    _, run = shown(monkeypatch, Screen(), TINY.replace(steps=60))
    assert threading.active_count() == before
    other = vd.fit(TINY.replace(steps=60), device="cpu", progress=False)
    assert run.history["loss"].tobytes() == other.history["loss"].tobytes()


def test_it_goes_when_training_fails(monkeypatch):
    stream = Screen()
    with pytest.raises(vd.TrainingFailed):
        shown(monkeypatch, stream, TINY.replace(lr=1e30, steps=60))
    assert stream.getvalue().split("\r")[-2].strip() == ""
