"""What the book knows about the runs of its notebooks: which there are, whether each is current, and
what made it.

A run is current as long as its key is: a hash of the notebook's code, of the package, of the stored
results, of the profile and parameters, of the originals on disk, and of the versions of the
libraries that draw and compute. Words, captions and tags may change without a new run. Only the
standard library is needed, except PyYAML to read the table of contents.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vaedis import _files
from vaedis._support import cpus
from vaedis_companion import project

LAST = "provenance"
"""The notebook that tells how the others were run, and is therefore run after them."""

VERSIONED = ("torch", "numpy", "matplotlib")

TOLD = ("profile", "params", "seconds", "date", "commit", "device", "python", *VERSIONED)
"""The facts of a run that a reader is told, in this order."""


def find_root(start: str | Path | None = None) -> Path:
    """Return the folder that holds ``_config.yml`` and ``book/``.

    A folder above where the search begins counts only if it, and what it holds, has the same owner:
    the notebooks of others, for instance in ``/tmp``, are not run because someone works below them.

    Parameters
    ----------
    start : path, optional
        Where to look, upwards; by default the current folder, and after it the folder that the
        package lies in.

    Raises
    ------
    ValueError
        If there is no such folder.
    """
    places = (
        [Path(start).resolve()]
        if start is not None
        else [Path.cwd(), Path(__file__).resolve().parents[2]]
    )
    for place in places:
        for folder in (place, *place.parents):
            config, book = folder / "_config.yml", folder / "book"
            if config.is_file() and book.is_dir() and _same_owner(place, folder, config, book):
                return folder
    raise ValueError(
        f"No book at or above {places[0]}: expected a folder with _config.yml and book/ that is not another user's; "
        "change to a clone of the project."
    )


def _same_owner(place: Path, *paths: Path) -> bool:
    """Tell whether paths belong to the owner of a place, to the user who asks, or to root."""
    trusted = {place.stat().st_uid, 0}
    if hasattr(os, "getuid"):
        trusted.add(os.getuid())
    return all(path.stat().st_uid in trusted for path in paths)


def check_contents(root: Path) -> None:
    """Say at once what is wrong with the table of contents, before a notebook runs.

    Both commands read ``_toc.yml`` beside ``_config.yml``. Jupyter Book also wants a copy of it in
    ``book/``.

    Raises
    ------
    ValueError
        If ``_toc.yml`` lists no pages.
    """
    if not pages(root):
        raise ValueError(
            "_toc.yml lists no pages; restore it: git checkout _toc.yml book/_toc.yml."
        )
    copy = root / "book" / "_toc.yml"
    if not copy.is_file() or copy.read_bytes() != (root / "_toc.yml").read_bytes():
        say(
            "book/_toc.yml is not the same as _toc.yml, which is the one that counts; copy _toc.yml to book/."
        )


def say(sentence: str) -> None:
    """Print a sentence for the reader on standard error."""
    print(f"vaedis: {sentence}", file=sys.stderr, flush=True)


def pages(root: Path) -> list[str]:
    """Return the names of the book's pages, without suffix, in the order of the table of contents."""
    import yaml

    names: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            names.extend(
                str(node[key]).removesuffix(".md") for key in ("root", "file") if key in node
            )
            for key in ("parts", "chapters", "sections"):
                walk(node.get(key))

    try:
        text = (root / "_toc.yml").read_text(encoding="utf-8")
        # an alias may contain itself, or stand for millions of pages
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise yaml.YAMLError
        walk(yaml.safe_load(text))
    except (yaml.YAMLError, OSError, UnicodeDecodeError, RecursionError):
        raise ValueError(
            "_toc.yml cannot be read as YAML without aliases; restore it: git checkout _toc.yml book/_toc.yml."
        ) from None
    return names


def notebooks(root: Path) -> list[str]:
    """Return the names of those pages that are notebooks, that is, whose header names a kernel."""
    found = []
    for name in pages(root):
        path = root / "book" / f"{name}.md"
        if not path.is_file():
            raise ValueError(
                f"_toc.yml names {name!r}, but book/{name}.md does not exist; write the page or remove the entry."
            )
        try:
            text = read_page(path)
        except UnicodeDecodeError:
            raise ValueError(
                f"book/{name}.md is no text in UTF-8; save it as such, or restore it: git checkout book/{name}.md."
            ) from None
        header = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
        if header and re.search(r"^kernelspec:", header[1], re.MULTILINE):
            found.append(name)
    return found


def read_page(path: Path) -> str:
    """Return the text of a page, without the mark that some editors put before UTF-8; Sphinx leaves
    it out too.
    """
    return path.read_text(encoding="utf-8-sig")


def code_cells(text: str) -> list[str]:
    """Return the sources of the code cells of a MyST notebook, without their options."""
    cells = []
    for block in re.finditer(
        r"^(`{3,})\{code-cell\}[^\n]*\n(.*?)^\1`*[ \t]*$", text, re.MULTILINE | re.DOTALL
    ):
        body = re.sub(r"\A---\n.*?^---\n", "", block[2], count=1, flags=re.MULTILINE | re.DOTALL)
        body = re.sub(r"\A(?::[\w-]+:[^\n]*\n)+", "", body)
        cells.append(body.strip())
    return cells


def project_digest(root: Path) -> str:
    """Return a hash of the package's sources and of the stored results: all that a notebook reads
    besides itself.
    """
    digest = hashlib.sha256()
    code = Path(__file__).resolve().parents[2]
    packages = [code / "vaedis", code / "vaedis_companion"]
    files = [
        *(path for package in packages for path in package.rglob("*.py")),
        *(root / "results").rglob("*"),
    ]
    for path in sorted(files):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".tmp":
            base = root if path.is_relative_to(root) else code
            digest.update(f"{path.relative_to(base).as_posix()}\n{path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the libraries whose change makes a run stale, and ``"-"`` for one that
    is absent.
    """
    found = {}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "-"
    return found


def run_key(
    root: Path,
    name: str,
    profile: str,
    params: Mapping[str, Any],
    digest: str | None = None,
    build: Path | None = None,
) -> str:
    """Return the key of a notebook's run: two runs share it only if they would do the same.

    Parameters
    ----------
    root : Path
        The folder that `find_root` finds.
    name : str
        The notebook.
    profile : str
        The profile's name.
    params : mapping
        The notebook parameters that were given, besides the profile.
    digest : str, optional
        `project_digest`, where it is already known.
    build : Path, optional
        The folder with the facts of the other runs; by default `build_folder`.
    """
    parts: dict[str, Any] = {
        "name": name,
        "code": code_cells(read_page(root / "book" / f"{name}.md")),
        "project": digest or project_digest(root),
        "profile": profile,
        "params": dict(params),
        "versions": versions(),
        # stand-ins and what is rendered follow from the package; an original takes their place as
        # soon as it is there
        "originals": originals(),
    }
    if name == LAST:
        parts["others"] = [
            (other, facts["date"])
            for other, facts in sorted(read_facts(build or build_folder(root)).items())
            if other != LAST
        ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def build_folder(root: Path) -> Path:
    """Return the folder in which the runs are kept and, unless Jupyter Book is told otherwise, the
    pages are built.
    """
    return root / "_build"


@contextlib.contextmanager
def locked(build: Path) -> Iterator[None]:
    """Keep a second build out of the same folder; it says that it waits, and waits.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    from filelock import FileLock, Timeout

    try:
        build.mkdir(parents=True, exist_ok=True)
        lock = FileLock(build / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            say(f"another build is at work in {build}; this one waits until that has ended.")
            lock.acquire(timeout=-1)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"Runs and pages cannot be written to {build} ({reason}); build in a copy of the project that is yours."
        ) from None
    try:
        yield
    finally:
        lock.release()


def read_facts(build: Path) -> dict[str, dict[str, Any]]:
    """Return the facts of the runs that the book is made of, by notebook; empty where nothing has been
    run.

    Parameters
    ----------
    build : Path
        The folder of the build. What is damaged in its ``runs.json`` counts as absent: those
        notebooks are run again.
    """
    path = build / "runs.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        say(
            f"{path} is damaged and was removed; the notebooks are taken from their kept runs, or run again."
        )
        path.unlink(missing_ok=True)
        return {}
    return {name: facts for name, facts in stored.items() if is_whole(facts)}


def is_whole(facts: Any) -> bool:
    """Tell whether facts of a run have all that the pages show, in the form that `make_facts` gives
    it.
    """
    if not isinstance(facts, dict) or not isinstance(facts.get("params"), dict):
        return False
    if not all(
        isinstance(facts.get(name), str)
        for name in ("key", *TOLD)
        if name not in ("params", "seconds")
    ):
        return False
    try:
        return facts["seconds"] >= 0 and datetime.fromisoformat(facts["date"]).tzinfo is not None
    except (KeyError, TypeError, ValueError):
        return False


def write_facts(build: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the facts of all runs, so that a reader of the file sees either the old ones or the new
    ones.
    """
    _files.write_text(build / "runs.json", json.dumps(facts, indent=1, sort_keys=True) + "\n")


def originals() -> dict[str, str]:
    """Return the hash of the images of each original that is on disk, by data set."""
    from vaedis.data.originals import prepare

    found = {name: prepare.stored_facts(name, "original") for name in prepare.STORED_ORIGINS}
    return {name: facts["sha256"] for name, facts in found.items() if facts is not None}


def is_current(
    root: Path,
    name: str,
    facts: Mapping[str, Any] | None,
    digest: str | None = None,
    build: Path | None = None,
) -> bool:
    """Tell whether stored facts describe a run that would be the same today.

    The profile that ``VAEDIS_PROFILE`` asks for must be that of the run; where it is unset, any
    profile's run will do, since a plain ``jupyter-book build`` should show what was run last.
    """
    if not facts:
        return False
    asked = os.environ.get("VAEDIS_PROFILE")
    if asked and asked != facts.get("profile"):
        return False
    return facts.get("key") == run_key(
        root, name, facts.get("profile", ""), facts.get("params", {}), digest, build
    )


def make_facts(
    root: Path,
    key: str,
    profile: str,
    params: Mapping[str, Any],
    seconds: float,
    machine: Mapping[str, str],
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
    device = f"cpu, {cpus.usable_cpus()} cores"
    with contextlib.suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            device = torch.cuda.get_device_name(0)
    return {"device": device, "python": platform.python_version(), **versions()}


def commit(root: Path | None = None) -> str:
    """Return `vaedis_companion.project.commit` of what a page is made of: the package, the chapters
    and the stored results.
    """
    return project.commit("vaedis", "vaedis_companion", "book", "results", top=root)
