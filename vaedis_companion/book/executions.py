"""Which notebooks the book has, whether the run of each is current, and what made it.

A run is current while its key is the same: a hash of the notebook's code, both packages, the stored
results (also those of ``VAEDIS_RESULTS``), profile and parameters, the originals on disk, and the
versions of the main libraries. Words, captions and tags may change without a new run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vaedis import _check, _files
from vaedis._support import cpus
from vaedis_companion import project
from vaedis_companion.store import default_root

# the notebook that lists how the others were run, and therefore runs after them
LAST = "provenance"
VERSIONED = ("torch", "numpy", "matplotlib")
# the facts of a run that a reader sees, in this order
SHOWN = ("profile", "params", "seconds", "date", "commit", "device", "python", *VERSIONED)


def find_root(start: str | Path | None = None) -> Path:
    """Return the folder with ``_config.yml`` and ``book/``, at or above a folder.

    By default that is the current one, then the package's. Another user's folder does not count:
    in ``/tmp``, for instance, anybody could put notebooks above ours.
    """
    starts = [Path.cwd(), Path(__file__).parent] if start is None else [Path(start)]
    for folder in (path.resolve() for path in starts):
        for root in (folder, *folder.parents):
            config, book = root / "_config.yml", root / "book"
            if config.is_file() and book.is_dir() and _same_owner(folder, root, config, book):
                return root
    raise ValueError(
        f"No book at or above {starts[0]}: expected a folder with _config.yml and book/ that is "
        "not another user's; change to a clone of the project."
    )


def _same_owner(folder: Path, *paths: Path) -> bool:
    """Return whether paths belong to the owner of a folder, to this user, or to root."""
    trusted = {folder.stat().st_uid, 0}
    if hasattr(os, "getuid"):
        trusted.add(os.getuid())
    return all(path.stat().st_uid in trusted for path in paths)


def warn(sentence: str) -> None:
    """Print a sentence for the reader on standard error."""
    print(f"vaedis: {sentence}", file=sys.stderr, flush=True)


def pages(root: Path) -> list[str]:
    """Return the names of the book's pages, in the order of the table of contents."""
    from sphinx_external_toc.parsing import parse_toc_yaml

    try:
        names = list(parse_toc_yaml(root / "_toc.yml"))
    except Exception:  # errors of YAML, of its form, of the file and of its encoding
        raise ValueError(
            "_toc.yml is not a table of contents; restore it: git checkout _toc.yml book/_toc.yml."
        ) from None
    return [name.removesuffix(".md") for name in names]


def notebooks(root: Path) -> list[str]:
    """Return the names of the pages that are notebooks: their header names a kernel."""
    names = []
    for name in pages(root):
        header = re.match(r"---\n(.*?)\n---\n", read_page(root, name), re.DOTALL)
        if header and re.search(r"^kernelspec:", header[1], re.MULTILINE):
            names.append(name)
    return names


def select(root: Path, only: Iterable[str]) -> list[str]:
    """Return the notebooks asked for, by default all, in the book's order."""
    known = notebooks(root)
    names = [_check.one_of("notebook", name.removesuffix(".md"), known) for name in only]
    return [name for name in known if name in names or not names]


def read_page(root: Path, name: str) -> str:
    """Return the text of a page, without a byte order mark."""
    try:
        return (root / "book" / f"{name}.md").read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(
            f"book/{name}.md, which _toc.yml names, cannot be read ({problem}); write the page, "
            f"or restore it: git checkout book/{name}.md."
        ) from None


def read_chapter(root: Path, name: str) -> Any:
    """Return a chapter as a notebook without outputs, as Jupytext reads it."""
    import jupytext

    return jupytext.reads(read_page(root, name), fmt="md:myst")


def code_cells(root: Path, name: str) -> list[str]:
    """Return the sources of a notebook's code cells, without their options."""
    cells = read_chapter(root, name).cells
    return [cell.source.strip() for cell in cells if cell.cell_type == "code"]


def project_digest(root: Path) -> str:
    """Return a hash of what a notebook reads besides itself: both packages and stored results."""
    code = Path(__file__).resolve().parents[2]
    files = [*(root / "results").rglob("*")]
    stored = default_root().resolve()
    is_elsewhere = bool(os.environ.get("VAEDIS_RESULTS")) and stored != (root / "results").resolve()
    if is_elsewhere:  # notebooks read these in their place
        files += stored.rglob("*")
    for package in ("vaedis", "vaedis_companion"):
        for kind in ("*.py", "*.html"):
            files += (code / package).rglob(kind)
    digest = hashlib.sha256(str(stored).encode() if is_elsewhere else b"")
    for path in sorted(files):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".tmp":
            base = next((base for base in (root, code) if path.is_relative_to(base)), path.anchor)
            digest.update(f"{path.relative_to(base).as_posix()}\n{path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the libraries that draw and compute."""
    return {name: metadata.version(name) for name in VERSIONED}


def originals() -> dict[str, str]:
    """Return the hash of the images of each original data set on disk."""
    from vaedis.data import prepare

    facts = {name: prepare.stored_facts(name, "original") for name in prepare.STORED_ORIGINS}
    return {name: entry["sha256"] for name, entry in facts.items() if entry is not None}


def run_key(
    root: Path,
    name: str,
    profile: str,
    params: Mapping[str, Any],
    digest: str | None = None,
    build: Path | None = None,
) -> str:
    """Return the key of a notebook's run: two runs share it only if they would do the same.

    ``digest`` is `project_digest`, if known; ``build`` has the facts of the other runs.
    """
    parts: dict[str, Any] = {
        "name": name,
        "code": code_cells(root, name),
        "project": digest or project_digest(root),
        "profile": profile,
        "params": dict(params),
        "versions": versions(),
        "originals": originals(),
    }
    if name == LAST:
        others = sorted(read_facts(build or build_folder(root)).items())
        parts["others"] = [(other, facts["date"]) for other, facts in others if other != LAST]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def build_folder(root: Path) -> Path:
    """Return the folder of the runs and, unless Jupyter Book is told otherwise, of the pages."""
    return root / "_build"


@contextlib.contextmanager
def locked(build: Path) -> Iterator[None]:
    """Keep a second build out of the same folder; it says so and waits."""
    build.mkdir(parents=True, exist_ok=True)
    with _files.locked(build):
        yield


def read_facts(build: Path) -> dict[str, dict[str, Any]]:
    """Return the facts of the runs that the book shows, by notebook; none if they are damaged."""
    try:
        facts = json.loads((build / "runs.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(facts, dict) and all(isinstance(one, dict) for one in facts.values())
    return facts if is_whole else {}


def write_facts(build: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the facts of all runs, atomically."""
    _files.write_text(build / "runs.json", json.dumps(facts, indent=1, sort_keys=True) + "\n")


def make_facts(
    key: str, profile: str, params: Mapping[str, Any], seconds: float, machine: Mapping[str, str]
) -> dict[str, Any]:
    """Return the facts of a run that has just ended."""
    return {
        "key": key,
        "profile": profile,
        "params": dict(params),
        "seconds": round(seconds, 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        **machine,
    }


def machine() -> dict[str, str]:
    """Return the device that ``device="auto"`` means here, and the versions in use."""
    import torch

    device = f"cpu, {cpus.usable_cpus()} cores"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name(0)
    return {"device": device, "python": platform.python_version(), **versions()}


def commit(root: Path | None = None) -> str:
    """Return the commit of what a page is made of: packages, chapters and stored results."""
    return project.commit("vaedis", "vaedis_companion", "book", "results", top=root)
