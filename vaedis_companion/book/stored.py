"""The runs of notebooks: stored as files, and shown by the book while they are current.

Each run is an .ipynb file in ``_build/notebooks/<profile>/``. `show` puts the current ones into
Jupyter Book's cache, and their facts into ``_build/runs.json``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaedis_companion.book import executions, notebooks
from vaedis_companion.profiles import PROFILES


def path(root: Path, profile: str, name: str) -> Path:
    """Return the file in which the run of a notebook is stored."""
    return executions.build_folder(root) / "notebooks" / profile / f"{name}.ipynb"


def store(file: Path, run: Any, facts: Mapping[str, Any]) -> None:
    """Store a run with its facts, and a hash of both that shows damage."""
    run.metadata["vaedis"] = {**facts, "sha256": notebooks.digest(run, facts)}
    notebooks.write(run, file)


def read(file: Path) -> Any:
    """Return the run in a file, or None if there is none; a damaged file is named and removed."""
    if not file.exists():
        return None
    try:
        run = notebooks.read(file)
        facts = dict(run.metadata["vaedis"])
        if facts.pop("sha256") == notebooks.digest(run, facts):
            return run
    except Exception:  # nbformat raises a dozen kinds for a damaged file
        pass
    executions.warn(f"{file} is damaged and was removed; the notebook is run again.")
    file.unlink()
    return None


def current(root: Path, profile: str, name: str, digest: str) -> Any:
    """Return the stored run of a notebook that would be the same today, or None.

    A run with parameters from outside (``--param``) is not the notebook's own.
    """
    run = read(path(root, profile, name))
    is_own = run is not None and not run.metadata["vaedis"]["params"]
    if not is_own:
        return None
    key = executions.run_key(root, name, profile, {}, digest)
    return run if run.metadata["vaedis"]["key"] == key else None


def show(
    root: Path, build: Path | None = None, profile: str | None = None
) -> dict[str, dict[str, Any]]:
    """Make the book show the runs that are current, and no others; return their facts by notebook.

    Jupyter Book's cache compares a notebook's cells only; this makes a change of packages, stored
    results or profile count in a plain ``jupyter-book build`` too. Without a profile, by default
    that of ``VAEDIS_PROFILE``, a run in any will do, the one that was asked for last.
    """
    build = build or executions.build_folder(root)
    profile = os.environ.get("VAEDIS_PROFILE", "") if profile is None else profile
    shutil.rmtree(notebooks.cache_path(build), ignore_errors=True)
    digest = executions.project_digest(root)
    facts: dict[str, dict[str, Any]] = {}
    for name in sorted(executions.notebooks(root), key=lambda name: name == executions.LAST):
        if name == executions.LAST:  # its key depends on the others
            executions.write_facts(build, facts)
        for file in _newest_first(root, build, profile, name):
            run = read(file)
            if run is None:
                continue
            made = {fact: run.metadata["vaedis"][fact] for fact in ("key", *executions.SHOWN)}
            key = executions.run_key(root, name, made["profile"], made["params"], digest, build)
            if made["key"] == key:
                notebooks.add_to_cache(root, build, name, run, made["seconds"])
                facts[name] = made
                break
    executions.write_facts(build, facts)
    return facts


def _newest_first(root: Path, build: Path, profile: str, name: str) -> list[Path]:
    """Return the files of a notebook's runs, here and where the book is built."""
    folders = {executions.build_folder(root), build}
    files = [file for folder in folders for file in folder.glob(f"notebooks/*/{name}.ipynb")]
    files = [file for file in files if file.parent.name in ([profile] if profile else PROFILES)]
    return sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True)
