"""Pages that a reader wants to read: little code before the first figure, exercises, receipts."""

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

import vaedis_companion as vc
from vaedis_companion import figures, grids
from vaedis_companion.book import display, downloads, executions, receipts

ROOT = Path(__file__).parents[2]
HTML_PAGES = ROOT / "_build" / "html"
FOLDED = {"hide-input", "hide-cell", "remove-cell", "remove-input"}
CHAPTERS = [
    "02_background",
    "03_perceived_distance",
    "04_benchmarks",
    "05_adversarial_data",
    "06_changing_the_loss",
    "07_subjective_factors",
]


def code_of(name):
    cells = executions.read_chapter(ROOT, name).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def test_without_runs_no_spacing_is_said_to_be_below_the_papers_range(tmp_path, capsys):
    (cell,) = (c for c in code_of("05_adversarial_data") if "below = {}" in c.source)
    store = vc.store.Store(tmp_path)
    claims = vc.claims.all_claims(store, where=("Figure 9",))
    exec(cell.source, {"vc": vc, "figures": figures, "store": store, "claims": claims})
    assert capsys.readouterr().out == "no runs stored\n"


@pytest.mark.parametrize("name", executions.notebooks(ROOT))
def test_the_cell_of_parameters_lists_the_profiles(name):
    (cell,) = (c for c in code_of(name) if "parameters" in c.metadata.get("tags", []))
    line = f"profile = None  # {' | '.join(grids.PROFILES)}"
    assert line in cell.source.splitlines()


@pytest.mark.parametrize("name", executions.notebooks(ROOT))
def test_little_code_stands_open_before_the_first_figure(name):
    open_lines = 0
    for cell in code_of(name):
        if not FOLDED & set(cell.metadata.get("tags", [])):
            open_lines += len(cell.source.splitlines())
        if {"figure", "image"} & set(cell.metadata.get("mystnb", {})):
            assert open_lines <= 40
            return


@pytest.mark.parametrize("name", CHAPTERS)
def test_exercises_have_solutions_that_unfold(name):
    prompts = [
        cell.metadata["mystnb"]["code_prompt_show"]
        for cell in code_of(name)
        if "hide-cell" in cell.metadata.get("tags", [])
    ]
    assert prompts
    text = executions.read_page(ROOT, name)
    asked = re.findall(r"^(?:\*\*(\d)\.\*\* |(\d)\. \*\*)", text, re.MULTILINE)
    assert {f"Show the solution of exercise {a or b}" for a, b in asked} >= set(prompts)


@pytest.fixture
def extension():
    path = ROOT / "book" / "_ext" / "figure_receipts.py"
    spec = importlib.util.spec_from_file_location("figure_receipts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def app(tmp_path, commit="0123456789ab"):
    return SimpleNamespace(
        outdir=str(tmp_path / "html"),
        builder=SimpleNamespace(format="html"),
        vaedis_root=ROOT,
        vaedis_notebooks=["one"],
        vaedis_facts={"one": {"commit": commit}},
        config=SimpleNamespace(
            html_theme_options={"repository_url": "https://example.org/vaedis/"},
            html_baseurl="https://example.org/book/",
        ),
    )


def receipt(**changes):
    fields = {"csv": "a\n1\n", "rows": 1, "svg": "<svg/>", "runs": ("fig9, 2 & 3",)}
    rows = "a,beta-vae,1000", "b,beta-vae,2000", "c,ada-<gvae>,1000", "d,beta-vae,1000"
    fields |= {"runs_csv": "\n".join(("key,framework,steps", *rows))} | changes
    return receipts.Receipt("one", 2, 3, "ab" * 32, fields.pop("csv"), "", **fields)


def test_a_line_leads_to_code_source_data_picture_and_runs(extension, tmp_path):
    html = extension.line(app(tmp_path), receipt(), "cell-3", 40, "fig-7")
    links = re.findall(r'href="([^"]*)"', html)
    assert links == [
        "#cell-3",
        "https://example.org/vaedis/blob/0123456789ab/book/one.md?plain=1#L40",
        "receipts/one-2.csv",
        "receipts/one-2.svg",
        "05_adversarial_data.html#first=6&amp;second=6",
        "receipts/one-2-runs.csv",
    ]


def test_runs_are_counted_by_kind_and_folded(extension, tmp_path):
    html = extension.line(app(tmp_path), receipt(), "cell-3", 40, "")
    line, folded = html.split("<details>")
    assert "runs" not in line
    assert folded.startswith("<summary>4 stored runs</summary><p>fig9, 2 &amp; 3</p>")
    # columns without a value are left out
    heads, *rows = folded.split("<tr>")[1:]
    assert re.findall('<th scope="col">(.*?)</th>', heads) == ["framework", "steps", "runs"]
    assert [re.findall("<td>(.*?)</td>", row) for row in rows] == [
        ["ada-&lt;gvae&gt;", "1000", "1"],
        ["beta-vae", "1000", "2"],
        ["beta-vae", "2000", "1"],
    ]
    one = extension.line(app(tmp_path), receipt(runs_csv="key\na\n"), "cell-3", 40, "")
    assert "<summary>1 stored run</summary>" in one


def test_a_line_says_what_there_is_not(extension, tmp_path):
    nothing = receipt(csv=None, rows=5_000_000, svg=None, runs=(), runs_csv=None)
    html = extension.line(app(tmp_path, "unknown"), nothing, "cell-3", 40, "")
    assert "data: 5,000,000 numbers, too many for a file; SHA-256 abababababab" in html
    assert "stored runs: none" in html
    assert "/blob/main/book/one.md" in html
    for word in (">SVG<", "<details>", ">open live<", "receipts/"):
        assert word not in html


def test_a_commit_with_changed_files_is_linked_without_its_plus(extension, tmp_path):
    html = extension.line(app(tmp_path, "0123456789ab+"), receipt(), "cell-3", 40, "")
    assert "/blob/0123456789ab/" in html


def test_the_files_that_lines_lead_to_are_written_with_the_notebooks(
    extension, tmp_path, monkeypatch
):
    numbers = {"sha256": "ab" * 32, "rows": 1, "csv": "a\n1\n", "svg": "<svg/>"}
    numbers |= {"runs": ["fig9"], "runs_csv": "key\n"}
    output = nbformat.v4.new_output("display_data", {display.MIME: numbers, "text/plain": "f"})
    cell = nbformat.v4.new_code_cell("figure", outputs=[output])
    run = nbformat.v4.new_notebook(cells=[cell])
    monkeypatch.setattr(extension, "executed", lambda app, name: run)
    (tmp_path / "html").mkdir()
    extension.write_files(app(tmp_path), None)
    folder = tmp_path / "html" / "receipts"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "one-1.csv": "a\n1\n",
        "one-1.svg": "<svg/>",
        "one-1-runs.csv": "key\n",
    }
    taken = (tmp_path / "html" / "_sources" / "one.ipynb").read_text()
    assert display.MIME not in taken
    assert json.loads(taken)["cells"][0]["id"] == "install"
    assert (tmp_path / "html" / "notebooks.zip").read_bytes() == downloads.archive(
        {"one.ipynb": taken}
    )


class Lines(HTMLParser):
    """The links in the lines under figures, and the ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.count, self._depth = [], set(), 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        if tag == "div":
            self._depth += bool(self._depth) or values.get("class") == "receipt"
            self.count += values.get("class") == "receipt"
        if tag == "a" and self._depth:
            self.links.append(values["href"])

    def handle_endtag(self, tag):
        if tag == "div" and self._depth:
            self._depth -= 1


@pytest.mark.parametrize("name", executions.notebooks(ROOT))
def test_each_figure_of_a_built_page_has_a_line_whose_links_lead_somewhere(name, extension):
    path = HTML_PAGES / f"{name}.html"
    if not (HTML_PAGES / "notebooks.zip").exists():
        pytest.skip("no _build/html; run make book first")
    page = Lines(path.read_text(encoding="utf-8"))
    run = extension.executed(SimpleNamespace(vaedis_root=ROOT, vaedis_build=ROOT / "_build"), name)
    assert page.count == len(list(receipts.receipts_of(name, run)) if run else [])
    for link in page.links:
        parts = urlsplit(link)
        if not parts.scheme and parts.path:
            assert (HTML_PAGES / unquote(parts.path)).exists(), link
        elif not parts.scheme:
            assert parts.fragment in page.ids, link
