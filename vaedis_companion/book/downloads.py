"""The chapters as notebooks to take away: each runs in an empty folder."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any

from vaedis_companion.book.display import DARK, MIME

# a fixed time for all entries of a zip file, so that the same notebooks give the same file
_TIME = (2020, 1, 1, 0, 0, 0)
_FIRST_CELL = """\
# Where vaedis is not installed, fetch it with its stored runs (about 40 MB) and what it needs.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("vaedis_companion") is None:
    folder = "vaedis-book"  # a folder called vaedis would be taken for the package
    if not os.path.exists(folder):
        subprocess.run(["git", "clone", "-q", "{source}", folder], check=True)
        subprocess.run(["git", "-C", folder, "checkout", "-q", "{commit}"], check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", f"{{folder}}/constraints.txt"]
    subprocess.run([*pip, "-e", f"{{folder}}[notebooks]"], check=True)
    sys.path.insert(0, os.path.abspath(folder))
    importlib.invalidate_caches()
# as in the book: data sets are drawn, none is downloaded; 0 allows it
os.environ.setdefault("VAEDIS_OFFLINE", "1")"""
_ROLE = re.compile(r"\{(doc|numref|eq|ref|term|cite|cite:p|cite:t)\}`([^`<]+?)(?:\s*<([^>`]+)>)?`")
_LABEL = re.compile(r"(fig|table)-(\w+)")


def as_download(notebook: Any, book: str, source: str, commit: str) -> Any:
    """Change an executed notebook to one that a reader can take away, and return it.

    A first cell installs what is missing from a commit or branch of `source`, the repository's
    address; references become links to the address `book`; and outputs lose the numbers, vector and
    dark pictures that the book shows beside its figures.
    """
    import nbformat

    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            for kind in (MIME, DARK):
                output.get("data", {}).pop(kind, None)
                output.get("metadata", {}).pop(kind, None)
        if cell.cell_type == "markdown":
            cell.source = _ROLE.sub(lambda role: _as_text(role, book), cell.source)
    code = _FIRST_CELL.format(source=source, commit=commit)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(code, id="install"))
    notebook.nbformat, notebook.nbformat_minor = 4, max(5, notebook.nbformat_minor)
    for number, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{number}")
    return notebook


def _as_text(role: re.Match[str], book: str) -> str:
    """Return what stands for a reference of the book in a notebook by itself."""
    kind, first, second = role.groups()
    if kind == "doc":
        return f"[{first.strip()}]({book}{(second or first).strip()}.html)"
    if kind == "eq":
        return "the equation in the book"
    label = _LABEL.fullmatch(first)
    if kind == "numref" and label:
        return f"{'Figure' if label[1] == 'fig' else 'Table'} {label[2].capitalize()}"
    if kind.startswith("cite"):
        return f"[{first}]({book}references.html)"
    return first.strip()


def archive(files: Mapping[str, str]) -> bytes:
    """Return a zip file of texts by name: the same bytes for the same texts."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in sorted(files.items()):
            file.writestr(zipfile.ZipInfo(name, _TIME), text, zipfile.ZIP_DEFLATED)
    return data.getvalue()
