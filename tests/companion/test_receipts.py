"""Figures of a built book carry what they draw; a manifest says what that is."""

import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

import vaedis as vd
from vaedis_companion.analysis import courses
from vaedis_companion.book import display, downloads, executions, notebooks, receipts, stored
from vaedis_companion.store import RunTable
from vaedis_companion.store.rows import make_row

ROOT = Path(__file__).parents[2]

FIGURE = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([0, 1], [2.0, {}])\nfigure"


def executed(*values):
    """A notebook with one figure a cell, as a kernel with `display.STARTUP` leaves it."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    cells = [nbformat.v4.new_code_cell("import numpy", execution_count=1)]
    for value in values:
        figure, axes = plt.subplots()
        axes.plot([0, 1], [2.0, value])
        data = {"image/png": "iVBOR", display.DARK: "dark", display.MIME: display.numbers(figure)}
        plt.close(figure)
        output = nbformat.v4.new_output("display_data", data)
        cells.append(nbformat.v4.new_code_cell("figure", outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def project(tmp_path, monkeypatch):
    runs = {"one": executed(0.5, 3.0), "two": executed(1.0)}
    monkeypatch.setattr(receipts.executions, "notebooks", lambda root: list(runs))
    monkeypatch.setattr(stored, "current", lambda root, profile, name, digest: runs[name])
    assert receipts.check(tmp_path, "smoke", write=True) == 0
    return tmp_path, runs


def test_a_receipt_names_the_cell_and_holds_the_numbers():
    first, second = receipts.receipts_of("one", executed(0.5, 3.0))
    assert (first.file, first.cell, second.file, second.cell) == ("one-1.csv", 2, "one-2.csv", 3)
    assert "0,,line,0,1,0.5," in first.csv.splitlines()
    assert first.sha256 != second.sha256


def test_a_figure_of_millions_of_numbers_leaves_its_digest_only(monkeypatch):
    monkeypatch.setattr(display, "_LARGEST_CSV", 10)
    (receipt,) = receipts.receipts_of("one", executed(0.5))
    assert receipt.csv is None
    assert len(receipt.sha256) == 64


def test_the_build_that_wrote_the_manifest_passes(project, capsys):
    root, _ = project
    assert receipts.check(root, "smoke") == 0
    assert "3 of 3 figures draw the numbers of codecheck.yml." in capsys.readouterr().out


def test_a_chapter_that_is_not_known_is_refused(project):
    with pytest.raises(ValueError, match=r"Unknown notebook 'on'; .* did you mean 'one'"):
        receipts.check(project[0], "smoke", ["on"])


def test_a_figure_that_draws_other_numbers_is_named(project, capsys):
    root, runs = project
    runs["one"] = executed(0.5, 3.5)
    assert receipts.check(root, "smoke") == 1
    assert "one-2.csv draws other numbers than the manifest says." in capsys.readouterr().out


def test_a_figure_that_may_differ_between_machines_is_told_and_passes(project, capsys):
    root, runs = project
    path = root / receipts.MANIFEST
    manifest = yaml.safe_load(path.read_text())
    manifest["manifest"][1] |= {"exact": False, "comment": "trained here"}
    path.write_text(yaml.safe_dump(manifest))
    runs["one"] = executed(0.5, 3.5)
    assert receipts.check(root, "smoke") == 0
    assert "one-2.csv differs, as it may between machines." in capsys.readouterr().out
    # what a person wrote stays when the digests are written anew
    receipts.check(root, "smoke", write=True)
    entry = receipts.read_manifest(root)["one-2.csv"]
    assert (entry["exact"], entry["comment"]) == (False, "trained here")


def test_figures_that_came_or_went_are_named(project, capsys):
    root, runs = project
    runs["one"] = executed(0.5)
    runs["two"] = executed(1.0, 2.0)
    assert receipts.check(root, "smoke") == 1
    lines = capsys.readouterr().out
    assert "one-2.csv is in the manifest, but the chapter draws no such figure." in lines
    assert "two-2.csv is not in the manifest" in lines


def test_entries_of_what_is_gone_are_named_and_not_written_again(project, capsys):
    root, runs = project
    runs["one"] = executed(0.5)
    del runs["two"]
    assert receipts.check(root, "smoke") == 1
    lines = capsys.readouterr().out
    for name in ("one-2.csv", "two-1.csv"):
        assert f"{name} is in the manifest, but the chapter draws no such figure." in lines
    assert receipts.check(root, "smoke", write=True) == 0
    assert list(receipts.read_manifest(root)) == ["one-1.csv"]
    assert receipts.check(root, "smoke") == 0


def test_what_is_written_of_one_chapter_leaves_the_others(project):
    root, runs = project
    runs["one"] = executed(0.75)
    before = receipts.read_manifest(root)
    receipts.check(root, "smoke", ["one"], write=True)
    after = receipts.read_manifest(root)
    assert list(after) == ["one-1.csv", "two-1.csv"]
    assert after["two-1.csv"] == before["two-1.csv"]
    assert after["one-1.csv"] != before["one-1.csv"]
    assert receipts.check(root, "smoke", ["one"]) == 0


def test_comments_and_marks_go_with_their_figures():
    def receipt(number, sha, caption=""):
        return receipts.Receipt("05", number, number, sha, None, caption)

    before = {
        "05-1.csv": {"file": "05-1.csv", "sha256": "a", "exact": True, "comment": "first"},
        "05-2.csv": {"file": "05-2.csv", "sha256": "b", "exact": False, "comment": "of a network"},
        "05-3.csv": {"file": "05-3.csv", "sha256": "c", "exact": True, "comment": "my words"},
    }
    moved = [receipt(1, "new", "in front"), receipt(2, "a"), receipt(3, "d", "of a network")]
    moved += [receipt(k, f"sha {k}") for k in range(4, 11)]
    text = receipts.to_manifest({one.file: one for one in moved}, before)
    first, second, third, *_, tenth = yaml.safe_load(text)["manifest"]
    assert first == {"file": "05-1.csv", "comment": "in front", "sha256": "new"}
    assert second == {"file": "05-2.csv", "sha256": "a", "comment": "first"}
    assert (third["sha256"], third["exact"], third["comment"]) == ("d", False, "of a network")
    assert tenth["file"] == "05-10.csv"


def test_a_chapter_that_was_not_run_is_refused(project, monkeypatch):
    root, _ = project
    monkeypatch.setattr(stored, "current", lambda *_: None)
    with pytest.raises(ValueError, match=r"one has no current run in the smoke profile; run it by"):
        receipts.check(root, "smoke")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "manifest: 3",
        "manifest: [{file: a}]",
        "a: [",
        "\x00",
        "manifest:",
        "manifest: [[a]]",
        "manifest: [{file: [1], sha256: a}]",
        "manifest: [{file: 5, sha256: a}]",
        "manifest: [{file: one-1.csv, sha256: ''}]",
        "manifest: [{file: one-1.csv, sha256: a, exact: 'false'}]",
        "manifest: [{file: one-1.csv, sha256: a}, {file: one-1.csv, sha256: b}]",
    ],
)
def test_a_damaged_manifest_is_refused_in_one_sentence(project, text):
    root, _ = project
    (root / receipts.MANIFEST).write_text(text)
    with pytest.raises(ValueError, match=r"codecheck.yml is no manifest of figures") as caught:
        receipts.check(root, "smoke")
    assert "\n" not in str(caught.value)


def test_a_kernel_that_starts_with_it_adds_the_numbers_to_figures():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        shell.run_cell(display.STARTUP)
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        axes.plot([0, 1], [2.0, 0.5])
        # as the inline backend does when the first figure is made
        for formatter in shell.display_formatter.formatters.values():
            formatter.pop(plt.Figure, None)
        data, _ = shell.display_formatter.format(figure)
        plt.close(figure)
    finally:
        InteractiveShell.clear_instance()
    assert data[display.MIME]["rows"] == 2
    assert display.MIME not in shell.display_formatter.format(3)[0]


def runs_of(*seeds, experiment="fig9", profile="laptop"):
    specs = [vd.RunSpec(data_options={"grid_spacing": 8}, seed=seed) for seed in seeds]
    return RunTable(experiment, profile, [make_row(s, experiment, profile) for s in specs], [])


def test_runs_behind_a_figure_are_found_by_way_of_earlier_cells():
    table = runs_of(0, 1)
    other = runs_of(0, experiment="fig11")
    values = {"runs": table, "other": other, "scores": [1], "unused": other}
    cells = [
        "runs, other = load()",
        "scores = [r for r in runs.values('mig')]",
        "plot(other)",
        "rows = []\nfor score in scores:\n    rows.append(score)\nplot(rows)",
    ]
    found = display.runs_behind(cells, values)
    assert found["runs"] == [f"fig9, {table.describe()}"]
    lines = found["runs_csv"].splitlines()
    assert lines[0].startswith("key,experiment,profile")
    assert [line.split(",")[0] for line in lines[1:]] == [row["key"] for row in table.rows]


@pytest.mark.parametrize(
    "fills",
    [
        "for row in study.rows:\n    parts.setdefault(row, []).append(1)",
        "for row in study.rows:\n    parts[row] = 1",
        "parts.update(of(study))",
    ],
)
def test_runs_behind_what_a_cell_fills_step_by_step(fills):
    study = runs_of(0, 1)
    values = {"study": study, "parts": {}, "other": runs_of(0, experiment="fig11")}
    cells = ["study = load()", f"parts = {{}}\n{fills}", "other.update(study)", "plot(parts)"]
    assert display.runs_behind(cells, values)["runs"] == [f"fig9, {study.describe()}"]
    cells[1] = "parts = {}\nfor part in parts:\n    print(study, part.values())"
    assert display.runs_behind(cells, values)["runs"] == []


def test_a_part_of_the_runs_is_named_where_only_that_is_drawn():
    table = runs_of(0, 1, 2)
    part = table.where(seed=1)
    cells = ["study = load()", "part = study.where(seed=1)", "plot(part)"]
    found = display.runs_behind(cells, {"study": table, "part": part})
    assert found["runs"] == [f"fig9, {part.describe()}"]
    both = display.runs_behind(["plot(study, part)"], {"study": table, "part": part})
    assert both["runs"] == [f"fig9, {table.describe()}"]


def test_a_table_that_a_cell_makes_and_reads_itself_is_found():
    values = {"tables": [runs_of(0), runs_of(1, experiment="fig11")], "courses": {}}
    cells = ["tables = load()\ntables += load()\ncourses = join(tables)", "plot(courses)"]
    assert len(display.runs_behind(cells, values)["runs"]) == 2


@pytest.mark.parametrize(
    "grow",
    [
        "rows += [2]",
        "for k in [2]:\n    rows += [k]",
        "if rows:\n    rows = sorted(rows)",
    ],
)
def test_runs_are_found_by_way_of_a_list_that_a_statement_reads_and_sets(grow):
    cells = ["runs = load()", "rows = list(runs.values('mig'))", grow, "plot(rows)"]
    table = runs_of(0)
    found = display.runs_behind(cells, {"runs": table, "rows": [1, 2]})
    assert found["runs"] == [f"fig9, {table.describe()}"]


def test_courses_name_the_runs_of_their_points():
    course = courses.Course([], {2_000: runs_of(0), 8_000: runs_of(1, experiment="longer")})
    found = display.runs_behind(["plot(settings)"], {"settings": {"one": course}})
    assert [phrase.split(",")[0] for phrase in found["runs"]] == ["fig9", "longer"]


def test_runs_of_several_experiments_in_one_table_are_told_apart():
    joined = RunTable("all", "laptop", [*runs_of(0, 1).rows, *runs_of(2, experiment="b").rows], [])
    found = display.runs_behind(["plot(joined)"], {"joined": joined})
    assert [phrase.split(":")[0] for phrase in found["runs"]] == [
        "fig9, laptop profile",
        "b, laptop profile",
    ]
    assert "2 runs" in found["runs"][0]


def test_a_name_that_a_loop_sets_leads_to_no_earlier_loop_of_that_name():
    cells = [
        "study = load()",
        "for score in study:\n    print(score)",
        "for k in x:\n    found = of(k)\n    for score in found:\n        put(score)\n"
        "    names = [score for k in x]\n    score += 1\nplot(x)",
    ]
    values = {"study": runs_of(0), "x": [1], "score": 1}
    assert display.runs_behind(cells, values)["runs"] == []


@pytest.mark.parametrize(
    "cells",
    [
        ["unused = load()", "row = unused", "plot(min(x, key=lambda row: row))"],
        ["for k in unused:\n    pass", "for k in x:\n    y = [k for _ in x]", "plot(y)"],
        ["unused = load()", "y = [a for b in x if (a := f(b))]\nplot(y)", "a = unused", "plot(y)"],
        ["unused = load()", "def draw(unused):\n    return [unused for _ in x]\n\n\nplot(draw(x))"],
        ["plot(x)"],
        ["runs = 3", "plot(runs)"],
        ["%magic"],
        ["plot(empty)"],
        ["plot(none)"],
    ],
)
def test_a_figure_without_stored_runs_has_none(cells):
    values = {"x": 1, "runs": 3, "empty": runs_of(), "none": None, "unused": runs_of(0)}
    assert display.runs_behind(cells, values) == {"runs": [], "runs_csv": None}


def test_the_vector_picture_is_the_same_each_time_and_left_out_where_it_is_heavy(monkeypatch):
    first, again = (next(receipts.receipts_of("one", executed(0.5))) for _ in range(2))
    assert first.svg.startswith("<?xml")
    assert first.svg == again.svg
    monkeypatch.setattr(display, "_LARGEST_SVG", 10)
    assert next(receipts.receipts_of("one", executed(0.5))).svg is None


BOOK = "https://example.org/book/"


def taken(notebook):
    return downloads.as_download(notebook, BOOK, "https://example.org/vaedis", "abc123")


def test_a_notebook_to_take_away_holds_no_numbers_and_links_to_the_book():
    notebook = executed(0.5)
    text = "See {doc}`04_benchmarks`, {doc}`the list <report>`, {numref}`fig-a1`, {term}`pair`, {cite:p}`a,b`."
    notebook.cells.append(nbformat.v4.new_markdown_cell(text))
    notebook = taken(notebook)
    nbformat.validate(notebook)
    assert display.MIME not in nbformat.writes(notebook)
    assert display.DARK not in nbformat.writes(notebook)
    assert "iVBOR" in nbformat.writes(notebook)
    assert notebook.cells[-1].source == (
        f"See [04_benchmarks]({BOOK}04_benchmarks.html), [the list]({BOOK}report.html), Figure A1, "
        f"pair, [a,b]({BOOK}references.html)."
    )
    assert "abc123" in notebook.cells[0].source


def test_a_notebook_to_take_away_runs_in_an_empty_folder(tmp_path):
    source = taken(executions.read_chapter(ROOT, "intro"))
    notebooks.write(source, tmp_path / "chapter.ipynb")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "chapter.ipynb", "out.ipynb", "--no-progress-bar"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    out = notebooks.read(tmp_path / "out.ipynb")
    assert any("image/png" in o.get("data", {}) for c in out.cells for o in c.get("outputs", ()))


def test_the_first_cell_fetches_once_and_installs_what_is_missing(tmp_path, monkeypatch):
    first = taken(executed(0.5)).cells[0].source
    calls = []

    def run(words, check):
        calls.append(words)
        if words[:2] == ["git", "clone"]:
            Path(words[-1]).mkdir()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("VAEDIS_OFFLINE")
    exec(first, {})
    assert calls == []
    assert os.environ["VAEDIS_OFFLINE"] == "1"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for _ in range(2):
        exec(first, {})
    clone, checkout, pip, again = calls
    assert clone[-2:] == ["https://example.org/vaedis", "vaedis-book"]
    assert checkout[-1] == "abc123"
    assert pip == again
    assert pip[-4:] == ["-c", "vaedis-book/constraints.txt", "-e", "vaedis-book[notebooks]"]
    # Python would take a folder of that name for a package
    assert not clone[-1].isidentifier()
    assert sys.path[0] == str(tmp_path / "vaedis-book")


def test_all_notebooks_are_in_one_file_that_is_the_same_each_time():
    files = {"b.ipynb": "two", "a.ipynb": "one"}
    data = downloads.archive(files)
    assert data == downloads.archive(dict(reversed(files.items())))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert {name: file.read(name).decode() for name in file.namelist()} == files
