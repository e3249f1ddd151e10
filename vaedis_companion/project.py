"""The project that this package is part of: its folder and its git commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def checkout() -> Path | None:
    """Return the project's folder; None if the package is installed outside of it."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "_config.yml").exists() else None


def commit(*folders: str, top: Path | None = None) -> str:
    """Return the commit of the project in `top`, 12 digits; "unknown" outside a git checkout of it.

    A "+" follows if tracked files in `folders`, by default both packages, differ from it.
    """
    top = top or checkout()
    if top is None:
        return "unknown"  # the package may be installed in another project's repository
    try:
        # a copy without .git may lie in another project's repository
        if Path(_git(top, "rev-parse", "--show-toplevel")).resolve() != top.resolve():
            return "unknown"
        _git(top, "ls-files", "--error-unmatch", "_config.yml")
        counted = folders or ("vaedis", "vaedis_companion")
        changed = _git(top, "status", "--porcelain", "--untracked-files=no", "--", *counted)
        return _git(top, "rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(top: Path, *words: str) -> str:
    # git sets these for its hooks, and they would lead to the hook's repository
    unset = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.run(
        ["git", "-C", str(top), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return process.stdout.strip()
