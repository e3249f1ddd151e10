"""The runs of notebooks: stored, shown by the book, or withdrawn from it.

Each run is an .ipynb file in ``_build/notebooks/<profile>/``. Those that the book shows are in
Jupyter Book's cache too, and their facts in ``_build/runs.json``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaedis_companion.book import executions, notebooks


def path(root: Path, profile: str, name: str) -> Path:
    """Return the file in which the run of a notebook is stored."""
    return executions.build_folder(root) / "notebooks" / profile / f"{name}.ipynb"


def store(root: Path, profile: str, name: str, run: Any, facts: Mapping[str, Any]) -> None:
    """Store a run with its facts and a hash of its cells."""
    run.metadata["vaedis"] = {**facts, "cells": notebooks.digest(run)}
    notebooks.write(run, path(root, profile, name))


def read(root: Path, profile: str, name: str) -> Any:
    """Return the stored run of a notebook, or None; a damaged file is named and removed."""
    file = path(root, profile, name)
    try:
        run = notebooks.read(file)
        facts = run.metadata["vaedis"]
        if facts["cells"] == notebooks.digest(run) and executions.is_complete(facts):
            return run
    except FileNotFoundError:
        return None
    except Exception:  # nbformat raises a dozen kinds for a damaged file
        pass
    executions.warn(f"{file} is damaged and was removed; the notebook is run again.")
    with contextlib.suppress(OSError):
        file.unlink()
    return None


def publish(root: Path, build: Path, name: str, run: Any) -> None:
    """Make a run the one that the book shows."""
    facts = {fact: run.metadata["vaedis"][fact] for fact in ("key", *executions.SHOWN)}
    notebooks.add_to_cache(root, build, name, run, facts["seconds"])
    executions.write_facts(build, {**executions.read_facts(build), name: facts})


def withdraw(root: Path, build: Path, name: str) -> None:
    """Take a notebook's run out of the book."""
    facts = executions.read_facts(build)
    if facts.pop(name, None) is not None:
        executions.write_facts(build, facts)
    notebooks.remove_from_cache(root, build, name)


def drop_stale(root: Path, build: Path | None = None) -> list[str]:
    """Withdraw the runs that are not current, and return the names of those notebooks.

    Jupyter Book's cache compares a notebook's cells only; this makes a change of packages, stored
    results or profile count in a plain ``jupyter-book build`` too. A current run that the cache
    lacks is taken from where it is stored.
    """
    build = build or executions.build_folder(root)
    notebooks.repair_cache(build)
    digest = executions.project_digest(root)
    facts = {**executions.read_facts(executions.build_folder(root)), **executions.read_facts(build)}
    stale = []
    for name in sorted(executions.notebooks(root), key=lambda name: name == executions.LAST):
        current = executions.is_current(root, name, facts.get(name), digest, build)
        if not current or not _restore(root, build, name, facts[name]):
            withdraw(root, build, name)
            stale.append(name)
    return stale


def _restore(root: Path, build: Path, name: str, facts: Mapping[str, Any]) -> bool:
    """Make the book show the run that facts describe, and return whether it does."""
    published = executions.read_facts(build).get(name) == facts
    if published and notebooks.cached_run(root, build, name) is not None:
        return True
    run = read(root, facts["profile"], name)
    if run is None or run.metadata["vaedis"]["key"] != facts["key"]:
        return False
    publish(root, build, name, run)
    return True
