"""Build the book: run its notebooks with papermill and hand their outputs to Jupyter Book.

The chapters are MyST notebooks without outputs. Papermill runs each of them; the outputs go into
the cache that Jupyter Book reads before it executes anything, so that a plain ``jupyter-book build
book/`` finds them. Each run is also stored in ``_build/notebooks/<profile>/`` and used again while
it is current (`vaedis_companion.book.executions`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaedis._support import text
from vaedis_companion import grids
from vaedis_companion.book import executions, notebooks, runner, stored

NEEDED = ("jupyter_book", "jupyter_cache", "jupytext", "myst_nb", "nbformat", "papermill")


def provenance(root: Path | None = None) -> list[dict[str, Any]]:
    """Return how each notebook of the book was run, in the book's order.

    Each has ``chapter``, ``profile``, ``params``, ``seconds``, ``date`` (UTC), ``commit`` (with
    ``+`` where files differed from it), ``device``, ``python`` and the versions of the libraries.
    There are none before `vaedis book` has run anything.
    """
    root = root or executions.find_root()
    facts = executions.read_facts(executions.build_folder(root))
    facts.pop(executions.LAST, None)
    if not facts:
        return []
    return [
        {"chapter": name, **{fact: facts[name].get(fact) for fact in executions.SHOWN}}
        for name in executions.notebooks(root)
        if name in facts
    ]


def build(
    profile: str | None = None,
    *,
    workers: int = 2,
    only: Iterable[str] = (),
    force: bool = False,
    params: Mapping[str, Any] | None = None,
    strict: bool = False,
    html: bool = True,
    root: Path | None = None,
) -> int:
    """Run the notebooks that need it, build the pages, and return 0, or 1 if something failed.

    `vaedis_companion.cli` describes the options.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The book needs {', '.join(missing)}; "
            "install them with: pip install -c constraints.txt -e '.[book]'."
        )
    Path.home()  # Jupyter needs one, and Python says if there is none
    root = root or executions.find_root()
    profile = grids.profile(profile).name
    only = list(only)
    failed = runner.run_notebooks(
        root, profile, workers=workers, only=only, force=force, params=params, strict=strict
    )
    if failed:
        names = ", ".join(failed)
        print(f"The pages were not built, since these notebooks failed: {names}.", file=sys.stderr)
        return 1
    if not html:
        return 0
    # with `only`, other pages keep their last outputs, or show none
    return build_html(root, None if only else profile, strict=strict, execute=not only)


def build_html(
    root: Path, profile: str | None = None, *, strict: bool = False, execute: bool = True
) -> int:
    """Call Jupyter Book and return 0 or 1.

    With a profile only its runs are shown, otherwise any current ones. ``execute=False`` leaves
    the other pages without outputs; ``strict`` reads every page anew, with warnings as errors.
    """
    # in this interpreter, and with -P, so that no other installation and no module in the current
    # folder can take its place
    main = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", main, "build", "book/", "--toc", "_toc.yml"]
    if strict:
        # Sphinx does not warn again about a page that it has not read again
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
        command += ["-n", "-W", "--keep-going", "--all"]
    settings = {"VAEDIS_PROFILE": profile or "", "VAEDIS_EXECUTE": "yes" if execute else "no"}
    with executions.locked(executions.build_folder(root)):
        process = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, **settings},
            capture_output=not sys.stderr.isatty(),
            text=True,
            errors="replace",
            check=False,
        )
    if process.returncode != 0:
        from click import unstyle

        # Sphinx's colours go; whatever else a notebook put in becomes visible
        log = text.plain(unstyle(f"{process.stdout or ''}{process.stderr or ''}"))
        print(f"{log}\njupyter-book failed with exit code {process.returncode}.", file=sys.stderr)
        return 1
    print(f"The book is in {root / '_build' / 'html' / 'index.html'}")
    return 0


def write_notebooks(root: Path, folder: Path, profile: str | None = None) -> list[Path]:
    """Write the chapters as .ipynb files, with the outputs of a profile's current runs if asked."""
    digest = executions.project_digest(root)
    paths = []
    for name in executions.notebooks(root):
        notebook = executions.read_chapter(root, name)
        if profile is not None:
            run = stored.current(root, profile, name, digest)
            if run is None:
                raise RuntimeError(
                    f"Notebook {name!r} has no current run in the profile {profile!r}; "
                    f"run: vaedis book --profile {profile}."
                )
            notebook = notebooks.with_outputs(notebook, run)
        paths.append(folder / f"{name}.ipynb")
        notebooks.write(notebook, paths[-1])
    return paths
