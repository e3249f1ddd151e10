"""What the book knows about the runs of its notebooks: which there are, whether each is current, and what made it.

A run is current as long as its key is: a hash of the notebook's code, of the package, of the stored results, of the profile and parameters,
of the originals on disk, and of the versions of the libraries that draw and compute. Words, captions and tags may change without a new run.
Only the standard library is needed, except PyYAML to read the table of contents.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vaedis import _files

LAST = "provenance"
"""The notebook that tells how the others were run, and is therefore run after them."""

VERSIONED = ("torch", "numpy", "matplotlib")

TOLD = ("profile", "params", "seconds", "date", "commit", "device", "python", *VERSIONED)
"""The facts of a run that a reader is told, in this order."""


def find_root(start: str | Path | None = None) -> Path:
    """Return the folder that holds ``_config.yml`` and ``book/``.

    Parameters
    ----------
    start : path, optional
        Where to look, upwards; by default the current folder, and after it the folder that the package lies in.

    Raises
    ------
    ValueError
        If there is no such folder.
    """
    places = [Path(start).resolve()] if start is not None else [Path.cwd(), Path(__file__).resolve().parents[1]]
    for place in places:
        for folder in (place, *place.parents):
            if (folder / "_config.yml").is_file() and (folder / "book").is_dir():
                return folder
    raise ValueError(f"No book at or above {places[0]}: expected a folder with _config.yml and book/; change to a clone of the project.")


def pages(root: Path) -> list[str]:
    """Return the names of the book's pages, without suffix, in the order of the table of contents."""
    import yaml

    def walk(node: Any) -> list[str]:
        if isinstance(node, list):
            return [name for item in node for name in walk(item)]
        if not isinstance(node, dict):
            return []
        own = [str(node[key]) for key in ("root", "file") if key in node]
        return own + [name for key in ("parts", "chapters", "sections") for name in walk(node.get(key))]

    return walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))


def notebooks(root: Path) -> list[str]:
    """Return the names of those pages that are notebooks, that is, whose header names a kernel."""
    found = []
    for name in pages(root):
        path = root / "book" / f"{name}.md"
        if not path.is_file():
            raise ValueError(f"_toc.yml names {name!r}, but book/{name}.md does not exist; write the page or remove the entry.")
        header = re.match(r"---\n(.*?)\n---\n", path.read_text(encoding="utf-8"), re.DOTALL)
        if header and re.search(r"^kernelspec:", header[1], re.MULTILINE):
            found.append(name)
    return found


def code_cells(text: str) -> list[str]:
    """Return the sources of the code cells of a MyST notebook, without their options."""
    cells = []
    for block in re.finditer(r"^(`{3,})\{code-cell\}[^\n]*\n(.*?)^\1`*[ \t]*$", text, re.MULTILINE | re.DOTALL):
        body = re.sub(r"\A---\n.*?^---\n", "", block[2], count=1, flags=re.MULTILINE | re.DOTALL)
        body = re.sub(r"\A(?::[\w-]+:[^\n]*\n)+", "", body)
        cells.append(body.strip())
    return cells


def project_digest(root: Path) -> str:
    """Return a hash of the package's sources and of the stored results: all that a notebook reads besides itself."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parent
    files = [*package.rglob("*.py"), *(root / "results").rglob("*")]
    for path in sorted(files):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".tmp":
            base = package if package in path.parents else root
            digest.update(f"{path.relative_to(base).as_posix()}\n{path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the libraries whose change makes a run stale, and ``"-"`` for one that is absent."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "-"
    return found


def run_key(root: Path, name: str, profile: str, params: Mapping[str, Any], digest: str | None = None) -> str:
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
    """
    parts: dict[str, Any] = {
        "name": name,
        "code": code_cells((root / "book" / f"{name}.md").read_text(encoding="utf-8")),
        "project": digest or project_digest(root),
        "profile": profile,
        "params": dict(params),
        "versions": versions(),
        # stand-ins and what is rendered follow from the package; an original takes their place as soon as it is there
        "originals": originals(),
    }
    if name == LAST:
        parts["others"] = [(other, facts["date"]) for other, facts in sorted(read_facts(root).items()) if other != LAST]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def read_facts(root: Path) -> dict[str, dict[str, Any]]:
    """Return the facts of the runs that the book in ``_build/`` is made of, by notebook; empty where nothing has been run."""
    try:
        stored = json.loads((root / "_build" / "runs.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return stored if isinstance(stored, dict) else {}


def write_facts(root: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the facts of all runs, so that a reader of the file sees either the old ones or the new ones."""
    _files.write_text(root / "_build" / "runs.json", json.dumps(facts, indent=1, sort_keys=True) + "\n")


def originals() -> dict[str, str]:
    """Return the hash of the images of each original that is on disk, by data set."""
    from vaedis.data import _prepare

    found = {name: _prepare.stored_facts(name, "original") for name in _prepare.STORED_ORIGINS}
    return {name: facts["sha256"] for name, facts in found.items() if facts is not None}


def is_current(root: Path, name: str, facts: Mapping[str, Any] | None, digest: str | None = None) -> bool:
    """Tell whether stored facts describe a run that would be the same today.

    The profile that ``VAEDIS_PROFILE`` asks for must be that of the run; where it is unset, any profile's run will do, since
    a plain ``jupyter-book build`` should show what was run last.
    """
    if not facts:
        return False
    asked = os.environ.get("VAEDIS_PROFILE")
    if asked and asked != facts.get("profile"):
        return False
    return facts.get("key") == run_key(root, name, facts.get("profile", ""), facts.get("params", {}), digest)


def make_facts(root: Path, key: str, profile: str, params: Mapping[str, Any], seconds: float, machine: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts of a run that has just ended."""
    return {
        "key": key,
        "profile": profile,
        "params": dict(params),
        "seconds": round(seconds, 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(root),
        **machine,
    }


def machine() -> dict[str, str]:
    """Return the device that ``device="auto"`` means here, and the versions in use."""
    try:
        import torch

        device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"cpu, {os.cpu_count()} cores"
    except ImportError:
        device = f"cpu, {os.cpu_count()} cores"
    return {"device": device, "python": platform.python_version(), **versions()}


def commit(root: Path) -> str:
    """Return the short hash of the commit in use, with a plus sign where files differ from it; ``"-"`` outside a clone."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "-"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
