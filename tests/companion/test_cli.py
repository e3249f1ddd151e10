"""The command line: what it asks for reaches the book, and what makes no sense is one line."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vaedis._support import interrupt as _interrupt
from vaedis_companion import cli
from vaedis_companion.book import build as book


def test_params_are_literals_where_they_read_as_such():
    assert cli.parse_param("seed=1") == ("seed", 1)
    assert cli.parse_param("beta=1e-3") == ("beta", 1e-3)
    assert cli.parse_param("device=cuda:0") == ("device", "cuda:0")
    assert cli.parse_param("note=a=b") == ("note", "a=b")
    # a mapping that Python cannot make, and brackets deeper than it reads
    assert cli.parse_param("note={[]: 1}") == ("note", "{[]: 1}")
    assert cli.parse_param("note=" + "(" * 10_000) == ("note", "(" * 10_000)


@pytest.mark.parametrize("text", ["seed", "=1", "a b=1"])
def test_params_that_are_none(text):
    with pytest.raises(ValueError, match="name=value"):
        cli.parse_param(text)


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors as a shell does")
@pytest.mark.parametrize(
    ("streams", "prints"), [("<&-", True), (">&-", False), ("2>&-", True), ("<&- >&- 2>&-", False)]
)
def test_streams_that_are_closed_are_no_error(tmp_path, streams, prints):
    run = f"import sys; from vaedis_companion.cli import main; sys.exit(main(['results', '--out', {str(tmp_path)!r}]))"
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {streams}', sys.executable, run],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("missing:") == prints


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sweep", "fig9", "--dry-run", "--out", ""], "The name of the folder is empty"),
        (
            ["sweep", "fig9", "--no-pixels", "--dry-run", "--out", " "],
            "The name of the folder is empty",
        ),
        (["results", "merge", ""], "The name of the folder is empty"),
        (["notebooks", ""], "The name of the folder is empty; name one."),
        (["diagnose", ""], "The name of the data is empty"),
        (["results", "--out", "nosuch"], "There is no folder nosuch"),
        (["results", "--out", __file__], "There is no folder"),
    ],
)
def test_folders_that_are_none_are_refused(capsys, words, says):
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vaedis: ")
    assert says in line


def test_book_gets_the_options(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        book, "build", lambda profile, **options: seen.update(options, profile=profile) or 0
    )
    command = "book --profile laptop --workers 3 --only a --only b --force --param seed=1 --strict"
    assert cli.main([*command.split(), "--no-html"]) == 0
    assert seen == {
        "profile": "laptop",
        "workers": 3,
        "only": ["a", "b"],
        "force": True,
        "params": {"seed": 1},
        "strict": True,
        "html": False,
    }


@pytest.mark.parametrize(
    ("words", "command", "says"),
    [
        (["diagnose", "mine.npz", "--losses", "mse"], "diagnose", "did you mean '--loss'?"),
        (["sweep", "fig9", "--dryrun"], "sweep", "did you mean '--dry-run'?"),
        (["data", "prepare", "--fromm=x"], "data prepare", "did you mean '--from'?"),
        (["check", "--profile", "smoke", "--zzz"], "check", "unrecognized arguments: --zzz."),
    ],
)
def test_an_unknown_option_is_refused_by_its_command(capsys, words, command, says):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    said = capsys.readouterr().err
    assert said.startswith(f"usage: vaedis {command} ")
    assert says in said


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ValueError("wrong"), 2, "wrong"),
        (RuntimeError("failed"), 1, "failed"),
        (ImportError("absent"), 1, "absent"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "there is not enough memory for this."),
        (RuntimeError("\x1b]0;title\x07 \u202e"), 1, "\\x1b]0;title\\x07 \\u202e"),
    ],
)
def test_errors_are_one_line_that_cannot_command_the_terminal(
    monkeypatch, capsys, error, code, says
):
    def build(*args, **options):
        raise error

    monkeypatch.setattr(book, "build", build)
    assert cli.main(["book"]) == code
    assert capsys.readouterr().err == f"vaedis: {says}\n"
    if isinstance(error, RuntimeError):
        assert cli.main(["book", "--debug"]) == 1
        assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(
    "words", [["-m", "vaedis_companion", "results"], ["vaedis", "results"], ["other.py"]]
)
def test_an_interrupt_while_the_libraries_are_loaded_is_one_line(tmp_path, words):
    """A torch that is interrupted while it is loaded."""
    interrupt = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "torch.py").write_text(interrupt)
    (tmp_path / "vaedis").write_text(
        "import sys\nfrom vaedis_companion.cli import main\nsys.exit(main())\n"
    )
    (tmp_path / "other.py").write_text("import vaedis\nvaedis.load('xysquares')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    path = words if words[0] == "-m" else [str(tmp_path / words[0]), *words[1:]]
    done = subprocess.run([sys.executable, *path], env=environment, capture_output=True, text=True)
    if words == ["other.py"]:
        # not ours to decide
        assert "KeyboardInterrupt" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (130, "vaedis: interrupted\n")


def test_an_interrupt_later_is_what_it_was(monkeypatch):
    before = signal.signal(signal.SIGINT, _interrupt._end)
    try:
        monkeypatch.setattr(book, "build", lambda *_, **__: signal.raise_signal(signal.SIGINT))
        assert cli.main(["book"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)


def test_unknown_profile_lists_what_exists(capsys):
    assert cli.main(["book", "--profile", "huge"]) == 2
    error = capsys.readouterr().err
    assert "'huge'" in error
    assert "smoke, laptop, settings, long, paper" in error
    assert error.count("\n") == 1


def test_no_command_is_an_error():
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 2


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "vaedis_companion", "results"]
    found = subprocess.run(
        words,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert (found.returncode, found.stderr) == (0, "")


def test_another_pipe_that_breaks_is_an_error(monkeypatch, capsys):
    def broken(*_):
        raise BrokenPipeError(32, "a worker is gone")

    monkeypatch.setattr("vaedis.cli._data_status", broken)
    assert cli.main(["data", "status"]) == 1
    assert "a worker is gone" in capsys.readouterr().err


def test_notebooks_go_into_a_folder_and_outputs_are_those_of_a_profile(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["notebooks", str(tmp_path / "file")]) == 2
    assert "file is no folder; name one to write the notebooks into" in capsys.readouterr().err
    for name in ("zz", ""):
        assert cli.main(["notebooks", str(tmp_path / "new"), "--outputs", name]) == 2
        assert f"Unknown profile {name!r}; choose one of: smoke" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_results_of_a_named_store_that_is_no_folder_are_refused(
    tmp_path, monkeypatch, capsys, kind
):
    if kind == "file":
        (tmp_path / "store").touch()
    monkeypatch.setenv("VAEDIS_RESULTS", str(tmp_path / "store"))
    assert cli.main(["results"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "store, which VAEDIS_RESULTS names; name one that a sweep wrote to." in line
