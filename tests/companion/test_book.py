"""The chapters keep to the conventions; runs are current or gone; the built pages stand alone."""

import codecs
import importlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

import vaedis
from vaedis_companion import project
from vaedis_companion.book import build as book, executions, notebooks, receipts, runner, stored

# A kernel that starts beside other work can take its time.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
HTML = ROOT / "_build" / "html"
NOTEBOOKS = executions.notebooks(ROOT)


# The sources.


def test_the_table_of_contents_is_what_lies_in_the_folder():
    pages = executions.pages(ROOT)
    assert len(set(pages)) == len(pages)
    assert set(pages) == {path.stem for path in BOOK.glob("*.md")}
    assert "numbered" not in (ROOT / "_toc.yml").read_text()


def test_the_table_of_contents_of_jupyter_book_is_a_copy():
    """A copy and no link, which a zip, Windows and some shares turn into a text file."""
    assert not (BOOK / "_toc.yml").is_symlink()
    assert (BOOK / "_toc.yml").read_bytes() == (ROOT / "_toc.yml").read_bytes()
    assert not (BOOK / "_static").exists(), (
        "Jupyter Book adds every script in book/_static to every page"
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_in_jupytexts_own_form(name):
    jupytext = pytest.importorskip("jupytext")
    text = (BOOK / f"{name}.md").read_text()
    config = jupytext.config.load_jupytext_config(str(BOOK / f"{name}.md"))
    again = jupytext.writes(
        jupytext.reads(text, fmt="md:myst", config=config), fmt="md:myst", config=config
    )
    same = again.strip() == text.strip()
    assert same, f"book/{name}.md is not as Jupytext would save it; run: make format"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_header_is_minimal_and_there_is_one_parameter_cell(name):
    notebook = executions.read_chapter(ROOT, name)
    header = re.match(r"---\n(.*?)\n---\n", (BOOK / f"{name}.md").read_text(), re.DOTALL)[1]
    assert not re.search("version", header)
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs for cell in code)
    tagged = [i for i, cell in enumerate(code) if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [0], "the first code cell, and only it, has the tag parameters"
    # Papermill puts its values after this cell: anything computed here would keep the old ones.
    assert all(
        re.fullmatch(r"\w+ = [^#]*(#.*)?|#.*|", line) for line in code[0].source.splitlines()
    )
    assert code[0].source.splitlines()[0].startswith("profile = None")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_figures_have_a_name_a_caption_and_words_for_those_who_cannot_see(name):
    for cell in executions.read_chapter(ROOT, name).cells:
        options = cell.metadata.get("mystnb", {})
        if "figure" in options:
            assert re.fullmatch(r"(fig|table)-[a-z0-9-]+", options["figure"]["name"])
            assert len(options["figure"]["caption"]) >= 20
            assert len(options["image"]["alt"]) >= 20
            assert options["image"]["alt"] != options["figure"]["caption"]


def test_each_figure_has_a_number_of_its_own():
    names = [
        cell.metadata["mystnb"]["figure"]["name"]
        for name in NOTEBOOKS
        for cell in executions.read_chapter(ROOT, name).cells
        if "figure" in cell.metadata.get("mystnb", {})
    ]
    assert len(set(names)) == len(names)
    # those of the paper name their number; others are words, and counted S1, S2, ... in the order of
    # the pages
    others = [name for name in names if not re.fullmatch(r"(fig|table)-a?\d+", name)]
    assert [name for name in others if not re.fullmatch(r"(fig|table)(-[a-z]+)+", name)] == []


def test_references_are_used_and_not_doubled():
    keys = re.findall(r"^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(), re.MULTILINE)
    assert len(set(keys)) == len(keys)
    text = "".join(path.read_text() for path in BOOK.glob("*.md"))
    cited = {
        key.strip()
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
        for key in keys.split(",")
    }
    assert cited == set(keys)


# The runs, on a book of two notebooks in a folder of its own.

NOTEBOOK = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# {name}

## Section

```{{code-cell}} ipython3
:tags: [parameters]

profile = None  # smoke | laptop | settings | long | paper
seed = 0
```

```{{code-cell}} ipython3
{code}
```
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Return a book of two notebooks, and pretend that the package does not change while another
    test edits it.
    """
    pytest.importorskip("papermill")
    monkeypatch.delenv("VAEDIS_PROFILE", raising=False)
    (tmp_path / "book").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "_config.yml").write_text("title: small\n")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nchapters:\n- file: one\n- file: two\n"
    )
    shutil.copy(tmp_path / "_toc.yml", tmp_path / "book")
    (tmp_path / "book" / "intro.md").write_text("# Intro\n")
    code = "import os\n\nprint(profile, seed, os.path.basename(os.getcwd()))"
    (tmp_path / "book" / "one.md").write_text(NOTEBOOK.format(name="One", code=code))
    (tmp_path / "book" / "two.md").write_text(NOTEBOOK.format(name="Two", code="print('two')"))
    return tmp_path


def cached(root: Path, name: str) -> str | None:
    """Return what Jupyter Book would show as the output of a notebook without executing it."""
    from jupyter_cache import get_cache

    cache, notebook = (
        get_cache(str(notebooks.cache_path(root / "_build"))),
        notebooks.as_the_book_reads_it(root, name),
    )
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return None
    _, merged = cache.merge_match_into_notebook(notebook)
    return "".join(
        output["text"]
        for cell in merged.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def execute(small: Path, folder: Path, profile: str = "smoke", workers: int = 1) -> None:
    """Run the notebook "one" by itself; its outputs go into a folder."""
    source = folder / "one.ipynb"
    notebooks.write(executions.read_chapter(small, "one"), source)
    notebooks.execute(source, folder / "run.ipynb", small / "book", profile, {}, workers, 0)


def fake_run(monkeypatch, module, *, code: int = 0, out: str = "", err: str = "") -> list[tuple]:
    """Replace the processes that a module starts; return the list of commands and environments."""
    calls = []

    def run(command, env, **_):
        calls.append((command, env))
        return subprocess.CompletedProcess(command, code, out, err)

    monkeypatch.setattr(module.subprocess, "run", run)
    return calls


def test_figures_appear_whatever_the_surroundings_say(small, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    draw = "import matplotlib.pyplot as plt\n\n_ = plt.subplots()"
    (small / "book" / "one.md").write_text(NOTEBOOK.format(name="One", code=draw))
    assert runner.run_notebooks(small, "smoke", only=["one"]) == []
    run = notebooks.read(small / "_build" / "notebooks" / "smoke" / "one.ipynb")
    assert "image/png" in notebooks.own_code_cells(run)[1].outputs[0].data


def test_runs_are_kept_and_shown(small, capsys):
    left = small / "_build" / "running" / "old.ipynb"  # by a build that was killed
    left.parent.mkdir(parents=True)
    left.touch()
    # a number that YAML could take for text
    assert runner.run_notebooks(small, "smoke", params={"seed": 1e-05}) == []
    assert cached(small, "one") == "smoke 1e-05 book\n"
    assert capsys.readouterr().err.startswith("2 notebooks: 2 run, 0 current, 0 failed")
    assert not left.parent.exists()
    facts = {entry["chapter"]: entry for entry in book.provenance(small)}
    assert list(facts) == ["one", "two"]
    assert facts["one"]["profile"] == "smoke"
    assert facts["one"]["params"] == {"seed": 1e-05}
    assert facts["one"]["seconds"] > 0

    # The same again is current; words may change, code may not.
    path = small / "book" / "one.md"
    path.write_text(path.read_text().replace("## Section", "## Another section"))
    runner.run_notebooks(small, "smoke", params={"seed": 1e-05})
    assert "0 run, 2 current" in capsys.readouterr().err
    assert list(stored.show(small)) == ["one", "two"]

    # What a plain build must not show any more.
    (small / "results" / "runs.csv").write_text("a\n1\n")
    assert stored.show(small) == {}
    assert cached(small, "one") is None
    assert book.provenance(small) == []


def test_a_failure_names_its_cell_and_the_others_go_on(small, capsys):
    assert runner.run_notebooks(small, "smoke") == []
    path = small / "book" / "one.md"
    path.write_text(path.read_text().replace("import os", "1 / 0\nimport os"))
    capsys.readouterr()
    assert book.build("smoke", root=small) == 1
    error = capsys.readouterr().err
    assert "one failed after" in error
    assert "code cell 2 (1 / 0): ZeroDivisionError: division by zero" in error
    assert (small / "_build" / "notebooks" / "failed" / "one.ipynb").exists()
    assert cached(small, "one") is None
    assert cached(small, "two") == "two\n"
    assert not (small / "_build" / "html").exists()


def test_a_kernel_that_dies_is_told_from_a_cell_that_fails(small, capsys):
    path = small / "book" / "one.md"
    path.write_text(path.read_text().replace("print(profile", "os._exit(3)\nprint(profile"))
    assert runner.run_notebooks(small, "smoke", only=["one"]) == ["one"]
    assert "the notebook: it was killed; out of memory" in capsys.readouterr().err


def test_results_that_one_notebook_adds_reach_the_others(small, capsys):
    write = "import pathlib\n\nfolder = pathlib.Path('../results')\n_ = (folder / 'new.csv').write_text('a')"
    (small / "book" / "two.md").write_text(NOTEBOOK.format(name="Two", code=write))
    count = "import pathlib\n\nprint(len(list(pathlib.Path('../results').iterdir())))"
    (small / "book" / "one.md").write_text(NOTEBOOK.format(name="One", code=count))
    assert runner.run_notebooks(small, "smoke", workers=1) == []
    assert cached(small, "one") == "1\n"
    assert list(stored.show(small)) == ["one", "two"]
    assert "2 notebooks: 2 run" in capsys.readouterr().err


def test_bad_requests_change_nothing(small):
    for error, options in {
        "Unknown notebook 'three'; choose one of: one, two": {"only": ["three"]},
        "No notebook that was asked for has a parameter 'sed'; they have: profile, seed": {
            "params": {"sed": 1}
        },
        "use --profile": {"params": {"profile": "paper"}},
        "workers must be at least 1": {"workers": 0},
    }.items():
        with pytest.raises(ValueError, match=re.escape(error)):
            runner.run_notebooks(small, "smoke", **options)
    with pytest.raises(ValueError, match="smoke, laptop, settings, long, paper"):
        book.build("huge", root=small)
    assert not (small / "_build").exists()


def test_key_depends_on_all_that_decides_a_run(small, monkeypatch):
    def key(name="one", profile="smoke", params=None):
        return executions.run_key(small, name, profile, params or {})

    first = key()
    assert key() == first
    assert len({first, key("two"), key(profile="laptop"), key(params={"seed": 1})}) == 4
    path = small / "book" / "two.md"
    path.write_text(path.read_text().replace("print('two')", "print('2')"))
    assert key() == first
    with monkeypatch.context() as other:
        other.setattr(executions, "originals", lambda: {"cars3d": "0"})
        assert key() != first
    (small / "elsewhere").mkdir()
    with monkeypatch.context() as other:
        other.setenv("VAEDIS_RESULTS", str(small / "elsewhere"))
        empty = key()
        (small / "elsewhere" / "runs.csv").write_text("a\n1\n")
        assert len({first, empty, key()}) == 3
        other.setenv("VAEDIS_RESULTS", str(small / "results"))
        assert key() == first
    monkeypatch.setattr(executions, "versions", lambda: {"torch": "0"})
    assert key() != first


def test_runs_with_parameters_from_outside_are_nobodys_outputs(small):
    assert runner.run_notebooks(small, "smoke", params={"seed": 3}) == []
    with pytest.raises(ValueError, match="one has no current run in the smoke profile"):
        receipts.of_build(small, "smoke")
    with pytest.raises(RuntimeError, match="'one' has no current run"):
        book.write_notebooks(small, small / "out", "smoke")
    assert list(stored.show(small)) == ["one", "two"]
    assert runner.run_notebooks(small, "smoke") == []
    assert receipts.of_build(small, "smoke") == {}
    (small / "results" / "runs.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match="one has no current run in the smoke profile"):
        receipts.of_build(small, "smoke")


@pytest.mark.parametrize(
    ("profile", "setting", "expected"),
    [("smoke", None, "1"), ("smoke", "0", "0"), ("laptop", None, None)],
)
def test_the_smoke_profile_downloads_nothing(
    small, monkeypatch, tmp_path, profile, setting, expected
):
    monkeypatch.delenv("VAEDIS_OFFLINE")
    if setting is not None:
        monkeypatch.setenv("VAEDIS_OFFLINE", setting)
    calls = fake_run(monkeypatch, notebooks)
    execute(small, tmp_path, profile)
    [(_, environment)] = calls
    assert environment.get("VAEDIS_OFFLINE") == expected


def test_a_page_that_is_named_but_absent(small):
    (small / "book" / "two.md").unlink()
    with pytest.raises(ValueError, match=r"book/two\.md, which _toc\.yml names, cannot be read"):
        executions.notebooks(small)


def test_no_book_here(tmp_path):
    with pytest.raises(ValueError, match="expected a folder"):
        executions.find_root(tmp_path)


def test_absent_tools_are_one_sentence(small, monkeypatch):
    monkeypatch.setattr(book, "NEEDED", ("no_such_tool",))
    with pytest.raises(ImportError, match=r"no_such_tool.*\[book\]"):
        book.build(root=small)


def pretend(
    root: Path, name: str, text: str, profile: str = "smoke", stream: str = "stdout"
) -> None:
    """Store a run of a notebook that printed a text, without running it."""
    import nbformat

    run = executions.read_chapter(root, name)
    notebooks.own_code_cells(run)[1].outputs = [
        nbformat.v4.new_output("stream", name=stream, text=text)
    ]
    facts = executions.make_facts(
        executions.run_key(root, name, profile, {}),
        profile,
        {},
        1.0,
        dict.fromkeys(("device", "python", *executions.VERSIONED), "-"),
    )
    stored.store(stored.path(root, profile, name), run, facts)


def test_the_run_that_was_asked_for_last_is_shown_unless_a_profile_is_asked_for(small, monkeypatch):
    pretend(small, "one", "from laptop\n", "laptop")
    pretend(small, "one", "from smoke\n")
    assert stored.show(small)["one"]["profile"] == "smoke"
    stored.path(small, "laptop", "one").touch()
    assert stored.show(small)["one"]["profile"] == "laptop"
    monkeypatch.setenv("VAEDIS_PROFILE", "smoke")
    assert stored.show(small)["one"]["profile"] == "smoke"
    monkeypatch.setenv("VAEDIS_PROFILE", "paper")
    assert stored.show(small) == {}
    assert cached(small, "one") is None


@pytest.mark.parametrize("file", ["global.db", "../runs.json"])
@pytest.mark.parametrize("content", [b"\xff{half", b"[1]"])
def test_a_cache_and_facts_that_are_damaged_are_made_anew(small, file, content):
    pretend(small, "one", "from laptop\n", "laptop")
    stored.show(small)
    (small / "_build" / ".jupyter_cache" / file).write_bytes(content)
    if file == "../runs.json":
        assert book.provenance(small) == []
    assert list(stored.show(small)) == ["one"]
    assert cached(small, "one") == "from laptop\n"
    # what is nowhere is executed again
    assert cached(small, "two") is None
    assert [facts["chapter"] for facts in book.provenance(small)] == ["one"]


def test_the_notebook_that_lists_the_others_runs_alone_with_damaged_facts_too(small, monkeypatch):
    monkeypatch.setattr(executions, "LAST", "two")
    pretend(small, "one", "from laptop\n", "laptop")
    (small / "_build" / "runs.json").write_text('{"one": 3}')
    assert runner.run_notebooks(small, "laptop", only=["two"]) == []
    assert list(executions.read_facts(small / "_build")) == ["one", "two"]


def test_what_jupyter_book_has_executed_is_stored(small):
    pretend(small, "one", "from smoke\n")
    stored.show(small)
    notebook = notebooks.from_cache(small, small / "_build", "one")
    assert notebooks.own_code_cells(notebook)[1].outputs[0].text == "from smoke\n"
    with pytest.raises(KeyError):
        notebooks.from_cache(small, small / "_build", "two")


@pytest.mark.parametrize("damage", ["cut", "flipped", "no text", "empty"])
def test_a_damaged_kept_run_is_named_and_run_again(small, capsys, damage):
    pretend(small, "one", "from smoke\n")
    path = small / "_build" / "notebooks" / "smoke" / "one.ipynb"
    content = path.read_bytes()
    changed = {
        "cut": content[: len(content) // 2],
        "flipped": content.replace(b"from smoke", b"fron smoke"),
        "no text": b"\xff" + content,
        "empty": b"",
    }
    path.write_bytes(changed[damage])
    assert stored.read(stored.path(small, "smoke", "one")) is None
    assert (
        f"{path} is damaged and was removed; the notebook is run again." in capsys.readouterr().err
    )
    assert not path.exists()


def test_pages_that_are_built_elsewhere_show_the_kept_runs_and_write_nothing_here(
    small, tmp_path_factory
):
    pretend(small, "one", "from laptop\n", "laptop")
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert list(stored.show(small, elsewhere)) == ["one"]
    assert notebooks.from_cache(small, elsewhere, "one")
    assert {name: facts["profile"] for name, facts in executions.read_facts(elsewhere).items()} == {
        "one": "laptop"
    }
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_what_a_run_wrote_to_standard_error_is_told_and_strict_runs_it_again(
    small, monkeypatch, capsys
):
    texts = iter(["one \x1b[31mbad\n", ""])

    def execute(source, target, *_):
        import nbformat

        run = notebooks.read(source)
        notebooks.own_code_cells(run)[1].outputs = [
            nbformat.v4.new_output("stream", name="stderr", text=next(texts))
        ]
        notebooks.write(run, target)

    monkeypatch.setattr(notebooks, "execute", execute)
    assert runner.run_notebooks(small, "smoke", only=["one"], strict=True) == []
    error = capsys.readouterr().err
    assert "one wrote to standard error" in error
    assert "--strict" in error
    assert r"code cell 2: one \x1b[31mbad" in error
    # Without --strict it is current; with it, it is run once more, and the cause is gone.
    runner.run_notebooks(small, "smoke", only=["one"])
    assert "0 run, 1 current" in capsys.readouterr().err
    runner.run_notebooks(small, "smoke", only=["one"], strict=True)
    error = capsys.readouterr().err
    assert "1 run, 0 current" in error
    assert "standard error" not in error
    runner.run_notebooks(small, "smoke", only=["one"], strict=True)
    assert "0 run, 1 current" in capsys.readouterr().err


def test_parameters_reach_the_notebooks_that_have_them(small):
    sources = {name: executions.read_chapter(small, name) for name in ("one", "two")}
    sources["two"].cells[1].source = "profile = None"
    assert runner._parameters_of_each(sources, {"seed": 1}) == {"one": {"seed": 1}, "two": {}}
    assert runner._parameters_of_each(sources, {}) == {"one": {}, "two": {}}


@pytest.mark.parametrize("value", [1j, b"x", ..., {1, 2}, [1, [1j]], {"a": b""}, {1: 2}, "\udcff"])
def test_a_parameter_that_no_cell_can_hold_is_refused(small, value):
    with pytest.raises(ValueError, match=r"Parameter 'seed' cannot be .*; give a number"):
        runner.run_notebooks(small, "smoke", params={"seed": value})
    assert not (small / "_build").exists()


def test_the_parameter_that_the_readme_sets_exists():
    text = (ROOT / "README.md").read_text()
    [name] = set(re.findall(r"--param (\w+)=", text))
    assert any(
        name in notebooks.parameters(executions.read_chapter(ROOT, notebook))
        for notebook in NOTEBOOKS
    )


@pytest.mark.parametrize(
    "content",
    [
        "../_toc.yml",
        "",
        "a: [",
        "format: jb-book",
        "&a [*a]",
        "[" * 5_000 + "]" * 5_000,
        "a: &a [x]\nchapters: [*a, *a]\n",
    ],
)
def test_a_broken_table_of_contents_is_told_before_a_notebook_runs(small, content):
    (small / "_toc.yml").write_text(content)
    with pytest.raises(ValueError, match=r"_toc.yml .*restore it: git checkout"):
        runner.run_notebooks(small, "smoke")
    assert not (small / "_build").exists()


def test_pages_may_be_named_with_their_suffix_and_begin_with_a_mark(small):
    names, cells = executions.notebooks(small), executions.code_cells(small, "one")
    (small / "_toc.yml").write_text((small / "_toc.yml").read_text().replace("one", "one.md"))
    (small / "book" / "one.md").write_bytes(
        codecs.BOM_UTF8 + (small / "book" / "one.md").read_bytes()
    )
    assert executions.notebooks(small) == names
    assert executions.code_cells(small, "one") == cells


def test_a_page_that_is_no_text_is_named(small):
    with (small / "book" / "one.md").open("ab") as page:
        page.write(b"\xff")
    with pytest.raises(
        ValueError, match=r"^book/one.md, .* cannot be read .* git checkout book/one.md\.$"
    ):
        runner.run_notebooks(small, "smoke")


@pytest.fixture
def companion():
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location("companion", BOOK / "_ext" / "companion.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_jupyter_book_reads_the_one_table_of_contents_and_refuses_another_folder(small, companion):
    config = {"external_toc_path": "book/_toc.yml"}
    companion.use_the_one_table_of_contents(SimpleNamespace(srcdir=small / "book"), config)
    assert config == {"external_toc_path": (small / "_toc.yml").as_posix()}
    with pytest.raises(
        SystemExit, match=r"^vaedis: the chapters are in book/; run: jupyter-book build book/$"
    ):
        companion.use_the_one_table_of_contents(SimpleNamespace(srcdir=small), config)
    (small / "_toc.yml").write_text("../_toc.yml")
    with pytest.raises(SystemExit, match=r"^vaedis: _toc.yml is not a table"):
        companion.use_the_one_table_of_contents(SimpleNamespace(srcdir=small / "book"), config)


def test_modules_in_the_current_folder_are_not_run(small, monkeypatch, tmp_path):
    """The very command of a notebook, but asked for papermill's version only."""
    with monkeypatch.context() as patch:
        calls = fake_run(patch, notebooks)
        execute(small, tmp_path)
    [(command, environment)] = calls
    for name in ("papermill", "psutil", "yaml", "nbformat", "click"):
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(9)\n")
    words = [*command[: command.index(str(tmp_path / "one.ipynb"))], "--version"]
    reader, writer = os.pipe()
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, stdin=reader, capture_output=True, text=True
    )
    os.close(reader)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_jupyter_book_says_cannot_command_the_terminal(small, monkeypatch, capsys):
    fake_run(monkeypatch, book, code=1, out="\x1b[91mred\x1b[39;49;00m", err="\x1b]0;title\x07")
    assert book.build_html(small) == 1
    assert capsys.readouterr().err.startswith("red\\x1b]0;title\\x07\n")


needs_two_users = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user"
)


@needs_two_users
@pytest.mark.parametrize("whose", ["", "_config.yml", "book"])
def test_a_book_above_that_belongs_to_someone_else_is_not_taken(small, whose):
    below = small / "work" / "deep"
    below.mkdir(parents=True)
    assert executions.find_root(below) == small
    os.chown(small / whose, 65534, 65534)
    with pytest.raises(ValueError, match="No book at or above"):
        executions.find_root(below)
    if whose == "":
        # Whoever goes into a clone of another user has chosen it, as root does in a container.
        for path in (small / "_config.yml", small / "book"):
            os.chown(path, 65534, 65534)
        assert executions.find_root(small) == small


STAY = "import os, pathlib, time\n\n_ = pathlib.Path('../pid').write_text(str(os.getpid()))\nwhile True:\n    time.sleep(0.05)"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGKILL", 9)])
def test_notebooks_end_with_the_build(small, number):
    (small / "book" / "one.md").write_text(NOTEBOOK.format(name="One", code=STAY))
    words = [sys.executable, "-m", "vaedis_companion", "book", "--only", "one", "--no-html"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    build = subprocess.Popen(words, cwd=small, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        while not (small / "pid").exists() or not (small / "pid").read_text():
            assert build.poll() is None, build.stderr.read()
            time.sleep(0.05)
        build.send_signal(number)
        error = build.communicate()[1]
        kernel = int((small / "pid").read_text())
        while is_running(kernel):
            time.sleep(0.05)
    finally:
        build.kill()
    if number == signal.SIGTERM:
        assert (build.returncode, error) == (143, "vaedis: ended by SIGTERM\n")
        assert not (small / "_build" / "running").exists()


def is_running(process: int) -> bool:
    """Whether a process is there and no zombie."""
    import psutil

    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_failed_notebook_says_is_harmless_and_a_part_of_its_file_is_no_reason(
    small, monkeypatch, tmp_path
):
    fake_run(monkeypatch, notebooks, code=1, err="log\nOSError: no room for \x1b[2J\n")
    (tmp_path / "run.ipynb").write_text("")
    with pytest.raises(notebooks.NotebookError, match=r"^OSError: no room for \\x1b\[2J$"):
        execute(small, tmp_path)


@pytest.mark.parametrize(("workers", "share"), [(2, "3"), (12, "1")])
def test_notebooks_share_the_processors_that_may_be_used(
    small, monkeypatch, tmp_path, workers, share
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(notebooks.cpus, "usable_cpus", lambda: 6)
    calls = fake_run(monkeypatch, notebooks)
    execute(small, tmp_path, workers=workers)
    [(_, environment)] = calls
    assert environment["OMP_NUM_THREADS"] == share
    assert executions.machine()["device"] != ""


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.email=a@example.org", "-c", "user.name=A", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_project_itself(small, monkeypatch, tmp_path_factory):
    assert executions.commit(small) == "unknown"
    # A copy in a repository of something else, tracked there or not.
    git(small.parent, "init", "-q", ".")
    git(small.parent, "commit", "-q", "--allow-empty", "-m", "thesis")
    assert executions.commit(small) == project.commit(top=small) == "unknown"
    git(small.parent, "add", ".")
    git(small.parent, "commit", "-q", "-m", "with a copy")
    assert executions.commit(small) == project.commit(top=small) == "unknown"
    shutil.rmtree(small.parent / ".git")
    # Its files lie at the top of another repository, which does not know them.
    git(small, "init", "-q", ".")
    git(small, "commit", "-q", "--allow-empty", "-m", "thesis")
    assert executions.commit(small) == "unknown"
    git(small, "add", ".")
    git(small, "commit", "-q", "-m", "first")
    head = git(small, "rev-parse", "--short=12", "HEAD")
    assert executions.commit(small) == project.commit(top=small) == head
    # What tools leave is no difference; a changed chapter is one for the pages, and none for a
    # training run.
    (small / "uv.lock").write_text("")
    (small / "book" / "note.txt").write_text("")
    assert executions.commit(small) == head
    (small / "book" / "one.md").write_text("changed")
    assert (executions.commit(small), project.commit(top=small)) == (f"{head}+", head)
    # A hook of another repository runs the command.
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q", ".")
    git(other, "commit", "-q", "--allow-empty", "-m", "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert project.commit(top=small) == head


# The built pages.


class Page(HTMLParser):
    """What the checks need of one page."""

    def __init__(self, path: Path):
        super().__init__()
        self.loads, self.links, self.images, self.ids, self.captions = [], [], [], set(), []
        self._caption = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        self.loads += [
            values[key]
            for key in ("src", "srcset", "data", "poster")
            if values.get(key) and tag != "a"
        ]
        if tag == "link" and not {"canonical", "next", "prev", "search", "index"} & set(
            (values.get("rel") or "").split()
        ):
            self.loads.append(values.get("href", ""))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        if tag == "figcaption":
            self._caption = ""

    def handle_data(self, data):
        if self._caption is not None:
            self._caption += data

    def handle_endtag(self, tag):
        if tag == "figcaption":
            self.captions.append(" ".join((self._caption or "").split()))
            self._caption = None


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    built = {path.resolve(): Page(path) for path in sorted(HTML.glob("*.html"))}
    if not (HTML / "index.html").exists():
        if os.environ.get("VAEDIS_BUILT_BOOK") == "required":
            pytest.fail(
                "VAEDIS_BUILT_BOOK is set, but there is no _build/html; run make book first."
            )
        pytest.skip("no _build/html; run make book first")
    return built


def test_every_page_is_built(pages):
    assert {path.stem for path in pages} >= set(executions.pages(ROOT)) | {
        "index",
        "search",
        "genindex",
        "404",
    }


PUBLIC = ("", *(f".{name}" for name in vaedis._MODULES))


@pytest.mark.parametrize("module", [f"vaedis{name}" for name in PUBLIC])
def test_every_public_name_is_in_the_reference(pages, module):
    from sphinx.util.inventory import InventoryFile

    with (HTML / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    entries = {name for kind in inventory if kind.startswith("py:") for name in inventory[kind]}
    names = getattr(importlib.import_module(module), "__all__", [])
    described = {f"{module}.{name}" for name in names} & entries
    # what is the package's own is described there; modules and constants have pages and prose
    described |= {f"{module}.{name}" for name in names if f"vaedis.{name}" in entries}
    callables = {name for name in names if callable(getattr(importlib.import_module(module), name))}
    assert {f"{module}.{name}" for name in callables} <= described


def test_nothing_is_loaded_from_elsewhere(pages):
    outside = [
        (path.name, address)
        for path, page in pages.items()
        for address in page.loads
        if re.match(r"(https?:)?//", address)
    ]
    assert outside == []
    for sheet in HTML.rglob("*.css"):
        assert not re.search(
            r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")
        ), sheet.name
    scripts = "".join(path.read_text(encoding="utf-8") for path in pages)
    assert not re.search(r"unpkg|jsdelivr|cdnjs|googleapis|thebe", scripts)


def test_formulas_load_mathjax_once_and_from_here(pages):
    for path, page in pages.items():
        scripts = [address for address in page.loads if "mathjax" in address.lower()]
        has_formulas = 'class="math' in path.read_text(encoding="utf-8")
        # The first page loads it for the pages below it.
        assert len(scripts) == 1 if has_formulas else len(scripts) <= 1, path.name
    mathjax = HTML / "_static" / "mathjax"
    assert (mathjax / "tex-mml-chtml.js").exists()
    assert len(list(mathjax.rglob("*.woff"))) > 20
    assert (mathjax / "input" / "tex" / "extensions" / "boldsymbol.js").exists()
    assert sum(path.stat().st_size for path in mathjax.rglob("*") if path.is_file()) < 3e6


def test_every_figure_that_a_chapter_names_is_on_its_page(pages):
    for name in NOTEBOOKS:
        named = [
            cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
            for cell in executions.read_chapter(ROOT, name).cells
        ]
        absent = {label for label in named if label} - pages[(HTML / f"{name}.html").resolve()].ids
        assert not absent, f"{name} shows nothing for {', '.join(sorted(absent))}"


def test_every_image_says_what_it_shows(pages):
    for path, page in pages.items():
        for image in page.images:
            # Those of the theme are logos on buttons that say their purpose themselves.
            if not (image.get("src") or "").startswith("_static/images/"):
                alt = (image.get("alt") or "").strip()
                assert len(alt) >= 20, (path.name, image.get("src"), alt)
                assert not any(caption.endswith(alt) for caption in page.captions), (path.name, alt)


def test_links_lead_somewhere(pages):
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for address in page.links + [
            address for address in page.loads if not address.startswith("data:")
        ]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), (path.name, address)
            if "=" in parts.fragment:
                figure = re.search(r'data-live="(\w+)"', target.read_text(encoding="utf-8"))
                assert figure, (path.name, address, "no live figure takes these settings")
                source = (ROOT / "book" / "assets" / "live" / f"{figure[1]}.js").read_text(
                    encoding="utf-8"
                )
                fields = re.search(r"const FIELDS = \{(.*?)\};", source, re.DOTALL)[1]
                unknown = set(parse_qs(parts.fragment)) - set(re.findall(r"(\w+):", fields))
                assert not unknown, (path.name, address, unknown)
            elif parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, (path.name, address)


def test_the_page_for_what_is_absent_works_at_any_depth(pages):
    page = pages[(HTML / "404.html").resolve()]
    # a base leads to the site from any depth
    text = (HTML / "404.html").read_text(encoding="utf-8")
    assert '<base href="/vaedis/">' in text
    local = [
        urlsplit(address).path
        for address in page.loads + page.links
        if not urlsplit(address).scheme and not address.startswith("#")
    ]
    assert "01_introduction.html" in local
    for address in local:
        assert (HTML / unquote(address)).exists(), address


def test_every_notebook_says_how_it_was_run(pages):
    for name in NOTEBOOKS:
        assert "How this page was run: profile " in (HTML / f"{name}.html").read_text(
            encoding="utf-8"
        ), name


def test_figures_carry_their_number_in_the_paper(pages):
    for path, page in pages.items():
        text = path.read_text(encoding="utf-8")
        for label in page.ids:
            match = re.fullmatch(r"fig-([a-z]?\d+[a-z]?)", label)
            if match:
                figure = text[text.index(f'id="{label}"') :]
                assert re.search(
                    rf'class="caption-number">Fig. {match[1].capitalize()} ', figure
                ), (path.name, label)
