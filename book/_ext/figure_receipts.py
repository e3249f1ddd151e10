"""What stands under each figure: where its code, numbers, vector picture and runs are.

After a page is read, a line is put under each figure of its notebook; when all pages are written,
so are the files that these lines lead to, and the notebooks to take away.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from html import escape
from pathlib import Path

import nbformat
from docutils import nodes
from jupyter_cache import get_cache

from vaedis_companion.book import downloads, executions, notebooks
from vaedis_companion.book.receipts import receipts_of

FOLDER = "receipts"
ARCHIVE = "notebooks.zip"
# what a receipt tells runs apart by
RUN_KIND = ("experiment", "profile", "framework", "data", "loss", "distance", "steps")
# figures that can be had live, by label
LIVE = {
    "fig-1": "01_introduction.html#spacing=1&loss=mse&beta=0.2&seed=0",
    "fig-7": "05_adversarial_data.html#first=6&second=6",
    "fig-8": "03_perceived_distance.html#spacing=3&square=8&loss=mse&radius=31",
    "fig-10": "03_perceived_distance.html#spacing=8&square=8&loss=blur&radius=31",
}


def executed(app, name):
    """Return a page's notebook with the outputs that the book shows, or None.

    They are in Jupyter Book's cache, whoever has executed the notebook.
    """
    path = notebooks.cache_path(app.vaedis_build)
    if not path.exists():
        return None
    source = notebooks.as_the_book_reads_it(app.vaedis_root, name)
    try:
        return get_cache(str(path)).merge_match_into_notebook(source)[1]
    except KeyError:  # it was not run
        return None


def add_lines(app, doctree):
    """Put a line under each figure of a notebook's page."""
    name = app.env.docname
    if name not in app.vaedis_notebooks:
        return
    notebook = executed(app, name)
    if notebook is None:
        return
    receipts = {}
    for receipt in receipts_of(name, notebook):
        receipts.setdefault(receipt.cell, []).append(receipt)
    # a cell that is removed from the page counts too
    code = [k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    cells = {
        node["cell_index"]: node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    lines = first_lines(app, name)
    for number, of_cell in receipts.items():
        cell = cells.get(code[number - 1])
        if cell is None:
            continue
        # a browser unfolds what holds the place that a link leads to
        anchor = f"cell-{number}"
        target = next(parts(cell, "cell_code_source"), cell)
        target.insert(0, nodes.raw("", f'<span id="{anchor}"></span>', format="html"))
        outputs = list(parts(cell, "cell_code_output"))
        shown = [node for output in outputs for node in output if list(node.findall(nodes.image))]
        for receipt, node in zip(of_cell, shown, strict=False):
            label = next(iter(node.get("names", ()) or node.get("ids", ())), "")
            html = line(app, receipt, anchor, lines.get(number), label)
            node.parent.insert(node.parent.index(node) + 1, nodes.raw("", html, format="html"))


def parts(cell, element):
    """Yield the containers of one kind in a cell."""
    return (n for n in cell.findall(nodes.container) if n.get("nb_element") == element)


def first_lines(app, name):
    """Return the line at which each code cell of a chapter begins, by its number."""
    text = executions.read_page(app.vaedis_root, name).splitlines()
    starts = [k for k, words in enumerate(text, start=1) if words.startswith("```{code-cell}")]
    return dict(enumerate(starts, start=1))


def line(app, receipt, anchor, source_line, label):
    """Return the line under a figure as HTML."""
    stem = receipt.file.removesuffix(".csv")
    which = f"figure {receipt.number} of this page"
    words = [f'<a href="#{anchor}" aria-label="code of {which}">code</a>']
    commit = commit_of(app, receipt.chapter)
    address = f"{repository(app)}/blob/{commit}/book/{receipt.chapter}.md?plain=1#L{source_line}"
    words.append(f'<a href="{address}" aria-label="source of {which}">source at {commit}</a>')
    if receipt.csv is None:
        digest = f"SHA-256 {receipt.sha256[:12]}…"
        words.append(f"data: {receipt.rows:,} numbers, too many for a file; {digest}")
    else:
        words.append(
            f'<a href="{FOLDER}/{receipt.file}" download aria-label="data of {which}, CSV">'
            f"data, {receipt.rows:,} rows</a>"
        )
    if receipt.svg is not None:
        words.append(f'<a href="{FOLDER}/{stem}.svg" download aria-label="SVG of {which}">SVG</a>')
    if label in LIVE:
        words.append(
            f'<a href="{escape(LIVE[label])}" aria-label="open {which} live">open live</a>'
        )
    folded = ""
    if receipt.runs:
        folded = runs(receipt, f"{FOLDER}/{stem}-runs.csv", which)
    else:
        words.append("stored runs: none")
    return f'<div class="receipt"><p>{" · ".join(words)}</p>{folded}</div>'


def runs(receipt, address, which):
    """Return the stored runs behind a figure, folded: how many of each kind, and all in a file."""
    stored_runs = list(csv.DictReader(io.StringIO(receipt.runs_csv)))
    names = [name for name in RUN_KIND if any(row.get(name) for row in stored_runs)]
    kinds = Counter(tuple(row.get(name, "") for name in names) for row in stored_runs)
    heads = "".join(f'<th scope="col">{name}</th>' for name in (*names, "runs"))
    body = ""
    for kind, count in sorted(kinds.items()):
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in (*kind, count))
        body += f"<tr>{cells}</tr>"
    total = len(stored_runs)
    title = "1 stored run" if total == 1 else f"{total:,} stored runs"
    return (
        f"<details><summary>{title}</summary><p>{escape('; '.join(receipt.runs))}</p>"
        f'<div class="receipt-scroll" tabindex="0" role="group" aria-label="runs behind {which}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p><a href="{address}" download aria-label="runs of {which}, CSV">each run, CSV</a></p>'
        "</details>"
    )


def repository(app):
    """Return the address of the repository."""
    return app.config.html_theme_options["repository_url"].rstrip("/")


def commit_of(app, name):
    """Return the commit that a page was run at, or the branch if it is not known."""
    commit = app.vaedis_facts.get(name, {}).get("commit", "unknown").rstrip("+")
    return "main" if commit == "unknown" else commit


def write_files(app, exception):
    """Write the files that the lines lead to, the notebooks to take away, and their archive."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    (out / FOLDER).mkdir(exist_ok=True)
    taken = {}
    for name in app.vaedis_notebooks:
        notebook = executed(app, name)
        if notebook is None:
            continue
        for receipt in receipts_of(name, notebook):
            stem = receipt.file.removesuffix(".csv")
            texts = {".csv": receipt.csv, ".svg": receipt.svg, "-runs.csv": receipt.runs_csv}
            for suffix, text in texts.items():
                if text is not None:
                    (out / FOLDER / f"{stem}{suffix}").write_text(text, encoding="utf-8")
        source = repository(app)
        commit = commit_of(app, name)
        download = downloads.as_download(notebook, app.config.html_baseurl, source, commit)
        taken[f"{name}.ipynb"] = nbformat.writes(download)
    (out / "_sources").mkdir(exist_ok=True)
    for name, text in taken.items():
        (out / "_sources" / name).write_text(text, encoding="utf-8")
    (out / ARCHIVE).write_bytes(downloads.archive(taken))


def add_numbers_to_figures(app):
    """Where Jupyter Book executes the notebooks itself, let their figures carry their numbers."""
    if "VAEDIS_EXECUTE" not in os.environ:
        folder = notebooks.ipython_folder(app.vaedis_build / "execute.ipynb")
        os.environ.setdefault("IPYTHONDIR", str(folder))


def setup(app):
    """Connect all of it."""
    # after the runs are known
    app.connect("builder-inited", add_numbers_to_figures, priority=950)
    app.connect("doctree-read", add_lines)
    # after the theme has copied its notebooks
    app.connect("build-finished", write_files, priority=900)
    app.add_css_file("receipts.css")
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
