"""Figures of a built book carry what they draw; a manifest says what that is."""

import nbformat
import pytest
import yaml

from vaedis_companion.book import display, receipts, stored

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
        data = {"image/png": "iVBOR", display.MIME: display.numbers(figure)}
        plt.close(figure)
        output = nbformat.v4.new_output("display_data", data)
        cells.append(nbformat.v4.new_code_cell("figure", outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def project(tmp_path, monkeypatch):
    runs = {"one": executed(0.5, 3.0), "two": executed(1.0)}
    monkeypatch.setattr(receipts.executions, "notebooks", lambda root: list(runs))
    monkeypatch.setattr(stored, "read", lambda root, profile, name: runs[name])
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


def test_a_chapter_that_was_not_run_is_refused(project, monkeypatch):
    root, _ = project
    monkeypatch.setattr(stored, "read", lambda *_: None)
    with pytest.raises(ValueError, match=r"one has not been run in the smoke profile; run it by"):
        receipts.check(root, "smoke")


@pytest.mark.parametrize(
    "text", ["", "- 1", "manifest: 3", "manifest: [{file: a}]", "a: [", "\x00"]
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
