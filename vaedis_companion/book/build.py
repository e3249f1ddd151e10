"""Build the book: run its notebooks with papermill, hand their outputs to Jupyter Book, and keep what
made them.

The chapters are MyST notebooks without outputs. Papermill runs each in the profile asked for; the
outputs go into the cache that Jupyter Book looks into before it executes anything, so that a plain
``jupyter-book build book/`` then finds all of them. A run is kept in
``_build/notebooks/<profile>/`` and used again as long as it is current
(`vaedis_companion.book.executions.run_key`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from vaedis._support import text
from vaedis_companion.book import executions, notebooks
from vaedis_companion.book.report import Report
from vaedis_companion.grids import profile as get_profile

NEEDED = ("jupyter_book", "jupyter_cache", "jupytext", "myst_nb", "nbformat", "papermill")


def provenance(root: Path | None = None) -> list[dict[str, Any]]:
    """Return how each notebook of the book was run, in the book's order.

    Parameters
    ----------
    root : Path, optional
        The folder that holds ``book/``; by default it is looked for upwards from the current
        folder.

    Returns
    -------
    list of dict
        With ``chapter``, ``profile``, ``params``, ``seconds``, ``date`` (UTC), ``commit`` (with
        ``+`` where files differed from it), ``device``, ``python`` and the versions of the
        libraries. Empty where `vaedis book` has not run anything yet.
    """
    root = root or executions.find_root()
    facts = executions.read_facts(executions.build_folder(root))
    names = [
        name for name in executions.notebooks(root) if name in facts and name != executions.LAST
    ]
    return [
        {"chapter": name, **{fact: facts[name].get(fact) for fact in executions.TOLD}}
        for name in names
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
    """Run the notebooks that need it and build the book.

    Parameters
    ----------
    profile : str, optional
        A profile of `vaedis_companion.grids`.
    workers : int
        How many notebooks run at a time.
    only : iterable of str
        Names of the notebooks to run; by default all. The pages of others without a current run
        then show no outputs.
    force : bool
        Run them even where a current run is stored.
    params : mapping, optional
        Further values for the parameter cells of the notebooks that have them.
    strict : bool
        Build every page anew, with warnings as errors. What a notebook wrote to standard error is
        one; such a notebook is run again.
    html : bool
        Build the pages after the runs.
    root : Path, optional
        The folder that holds ``book/``.

    Returns
    -------
    int
        0, or 1 if a notebook or the build of the pages failed.

    Raises
    ------
    ValueError
        For an unknown profile, notebook or parameter, before anything runs.
    ImportError
        If the packages of the extra ``book`` are not installed.
    OSError
        If nothing can be written to ``_build``.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The book needs {', '.join(missing)}; install them with: pip install -c constraints.txt -e '.[book]'."
        )
    try:
        Path.home()
    except RuntimeError:
        raise RuntimeError(
            "Jupyter needs a home folder, and this user has none; set HOME to a folder that can be written to."
        ) from None
    root = root or executions.find_root()
    name = get_profile(profile).name
    only = list(only)
    failed = run_notebooks(
        root, name, workers=workers, only=only, force=force, params=params, strict=strict
    )
    if failed:
        print(
            f"The pages were not built, since these notebooks failed: {', '.join(failed)}.",
            file=sys.stderr,
        )
        return 1
    if not html:
        return 0
    # Where only some were asked for, the others stay as they were run, or are shown without
    # outputs.
    return (
        build_html(root, strict=strict, execute=False)
        if only
        else build_html(root, name, strict=strict)
    )


def run_notebooks(
    root: Path,
    profile: str,
    *,
    workers: int = 2,
    only: Iterable[str] = (),
    force: bool = False,
    params: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> list[str]:
    """Run the notebooks that have no current run, and return the names of those that failed.

    Others go on when one fails. The notebook that tells how the others were run comes last. The
    parameters are those of `build`.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}.")
    executions.check_contents(root)
    sources = {name: notebooks.from_markdown(root, name) for name in _select(root, only)}
    given = _parameters_of_each(sources, params or {})
    build = executions.build_folder(root)
    report = Report(len(sources))
    failed: list[str] = []
    with executions.locked(build), _scratch(build) as folder:
        notebooks.mend_cache(build)
        for name, source in sources.items():
            notebooks.write(source, folder / f"{name}.ipynb")
        for group in (
            [name for name in sources if name != executions.LAST],
            [name for name in sources if name == executions.LAST],
        ):
            # A notebook that trains adds to the stored results, which others read: those are run
            # once more, and find them.
            for attempt in range(2):
                digest = executions.project_digest(root)
                keys = {
                    name: executions.run_key(root, name, profile, given[name], digest)
                    for name in group
                    if name not in failed
                }
                first = attempt == 0
                todo = [
                    name
                    for name, key in keys.items()
                    if (force and first)
                    or not _reuse(root, name, profile, key, quiet_only=strict and first)
                ]
                for name in todo:
                    # What the book shows of it is out of date from now on, whether or not the run
                    # succeeds.
                    _withdraw(root, build, name)
                machine = executions.machine() if todo else {}
                with contextlib.closing(
                    _in_parallel(root, folder, todo, profile, given, workers)
                ) as runs:
                    for name, seconds, error in runs:
                        if error is None:
                            run = notebooks.read(folder / f"{name}.run.ipynb")
                            facts = executions.make_facts(
                                root, keys[name], profile, given[name], seconds, machine
                            )
                            _keep(root, profile, name, run, facts)
                            _publish(root, build, name, run)
                            _tell_standard_error(name, run)
                        else:
                            failed.append(name)
                        report.ran(name, seconds, error)
    report.end(len(failed))
    return failed


def _parameters_of_each(
    sources: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return which of the parameters each notebook takes; raise a ValueError for one that none
    takes.
    """
    known = {
        name: notebooks.parameters(source) if params else [] for name, source in sources.items()
    }
    for param, value in params.items():
        if param == "profile":
            raise ValueError("The profile is not a --param; use --profile.")
        if not any(param in names for names in known.values()):
            others = sorted({name for names in known.values() for name in names})
            raise ValueError(
                f"No notebook that was asked for has a parameter {param!r}; they have: {', '.join(others) or 'none'}."
            )
        notebooks.check_value(param, value)
    return {
        name: {param: value for param, value in params.items() if param in names}
        for name, names in known.items()
    }


@contextlib.contextmanager
def _scratch(build: Path) -> Iterator[Path]:
    """Make a folder for the notebooks that run, without what a build that was killed has left in
    it.
    """
    folder = build / "running"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _select(root: Path, only: Iterable[str]) -> list[str]:
    """Return the notebooks asked for, in the book's order."""
    known = executions.notebooks(root)
    wanted = [name.removesuffix(".md") for name in only]
    for name in wanted:
        if name not in known:
            raise ValueError(f"Unknown notebook {name!r}; choose from: {', '.join(known)}.")
    return [name for name in known if name in wanted or not wanted]


def _kept(root: Path, profile: str, name: str) -> Path:
    """Return the file in which the run of a notebook is kept."""
    return executions.build_folder(root) / "notebooks" / profile / f"{name}.ipynb"


def _keep(root: Path, profile: str, name: str, run: Any, facts: Mapping[str, Any]) -> None:
    """Keep a run, with its facts and a hash that shows damage."""
    run.metadata["vaedis"] = {**facts, "cells": notebooks.digest(run)}
    notebooks.write(run, _kept(root, profile, name))


def _kept_run(root: Path, profile: str, name: str) -> Any:
    """Return the kept run of a notebook, or None; a file that is damaged is named and removed."""
    path = _kept(root, profile, name)
    try:
        run = notebooks.read(path)
        facts = run.metadata["vaedis"]
        whole = facts["cells"] == notebooks.digest(run) and executions.is_whole(facts)
    except FileNotFoundError:
        return None
    except Exception:  # nbformat raises whatever it stumbles over
        whole = False
    if not whole:
        executions.say(f"{path} is damaged and was removed; the notebook is run again.")
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    return run


def _reuse(root: Path, name: str, profile: str, key: str, *, quiet_only: bool) -> bool:
    """Put a kept run into the book if it is current (and wrote nothing to standard error), and tell
    whether it was.
    """
    run = _kept_run(root, profile, name)
    if (
        run is None
        or run.metadata["vaedis"]["key"] != key
        or (quiet_only and notebooks.standard_error(run))
    ):
        return False
    _publish(root, executions.build_folder(root), name, run)
    return True


def _publish(root: Path, build: Path, name: str, run: Any) -> None:
    """Make a run the one that the book shows."""
    facts = {fact: run.metadata["vaedis"][fact] for fact in ("key", *executions.TOLD)}
    notebooks.remember(root, build, name, run, facts["seconds"])
    executions.write_facts(build, {**executions.read_facts(build), name: facts})


def _withdraw(root: Path, build: Path, name: str) -> None:
    """Take a notebook's run out of the book."""
    facts = executions.read_facts(build)
    if facts.pop(name, None) is not None:
        executions.write_facts(build, facts)
    notebooks.forget(root, build, name)


def _tell_standard_error(name: str, run: Any) -> None:
    """Print what a run wrote to standard error, since a page does not show it."""
    line = notebooks.standard_error(run)
    if line:
        executions.say(
            f"{name} wrote to standard error, which --strict counts as an error and runs again: {line}"
        )


def _in_parallel(
    root: Path,
    folder: Path,
    names: list[str],
    profile: str,
    given: Mapping[str, Mapping[str, Any]],
    workers: int,
) -> Generator[tuple[str, float, str | None], None, None]:
    """Run notebooks, a few at a time, and yield name, seconds and what went wrong, as each is done."""
    build_is_gone, this_build = os.pipe()

    def run(name: str) -> tuple[str, float, str | None]:
        start, target = time.monotonic(), folder / f"{name}.run.ipynb"
        try:
            notebooks.execute(
                folder / f"{name}.ipynb",
                target,
                root / "book",
                profile,
                given[name],
                workers,
                build_is_gone,
            )
        except notebooks.NotebookError as error:
            message = str(error)
            if target.exists():
                kept = _kept(root, "failed", name)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(target, kept)
                message += f" [half-run copy: {kept.relative_to(root)}]"
            return name, time.monotonic() - start, message
        _kept(root, "failed", name).unlink(missing_ok=True)
        return name, time.monotonic() - start, None

    with ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(run, name) for name in names]
            for future in as_completed(futures):
                yield future.result()
        finally:
            # After an interrupt those that wait must not start, and those that run end.
            pool.shutdown(wait=False, cancel_futures=True)
            os.close(this_build)
            pool.shutdown(wait=True)
            os.close(build_is_gone)


def drop_stale(root: Path, build: Path | None = None) -> list[str]:
    """Take out of the book's cache what a run of today would not give, and return the names of those
    notebooks.

    Jupyter Book's own cache looks at a notebook's cells only; this is what makes a change of the
    package, of the stored results or of the profile count in a plain ``jupyter-book build`` too. A
    current run whose outputs are not in the cache, because that was removed or the pages are built
    elsewhere, comes from where it is kept; without that, it counts as stale.

    Parameters
    ----------
    root : Path
        The folder that holds ``book/``.
    build : Path, optional
        The folder in which the pages are built; by default ``_build`` beside ``book/``.
    """
    build = build or executions.build_folder(root)
    notebooks.mend_cache(build)
    digest = executions.project_digest(root)
    stale = []
    facts = {**executions.read_facts(executions.build_folder(root)), **executions.read_facts(build)}
    for name in sorted(executions.notebooks(root), key=lambda name: name == executions.LAST):
        if not executions.is_current(root, name, facts.get(name), digest, build) or not _restore(
            root, build, name, facts[name]
        ):
            _withdraw(root, build, name)
            stale.append(name)
    return stale


def _restore(root: Path, build: Path, name: str, facts: Mapping[str, Any]) -> bool:
    """Make sure that the book shows the run that facts tell of, and tell whether it can."""
    if executions.read_facts(build).get(name) == facts and notebooks.is_remembered(
        root, build, name
    ):
        return True
    run = _kept_run(root, facts["profile"], name)
    if run is None or run.metadata["vaedis"]["key"] != facts["key"]:
        return False
    _publish(root, build, name, run)
    return True


def build_html(
    root: Path, profile: str | None = None, *, strict: bool = False, execute: bool = True
) -> int:
    """Call Jupyter Book and return its exit code.

    Parameters
    ----------
    root : Path
        The folder that holds ``book/``.
    profile : str, optional
        Show runs in this profile only, and execute what has none; by default any current run is
        shown, and the rest is executed in the profile ``smoke``.
    strict : bool
        Read every page anew, and count each warning, and each reference that leads nowhere, as an
        error.
    execute : bool
        Let Jupyter Book execute the notebooks without a current run; otherwise their pages show no
        outputs.
    """
    # In this interpreter, which is the one that has the extra, rather than whatever jupyter-book
    # comes first on the path. With -P, no module in the current folder can take the place of one of
    # its own.
    command = [
        sys.executable,
        "-P",
        "-c",
        "import sys; from jupyter_book.cli.main import main; sys.exit(main())",
        "build",
        "book/",
    ]
    command += ["--toc", "_toc.yml"]
    if strict:
        # Jupyter Book does not warn again about a page that it has not read again.
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
        command += ["-n", "-W", "--keep-going", "--all"]
    loud = sys.stderr.isatty()
    environment = {
        **os.environ,
        "VAEDIS_PROFILE": profile or "",
        "VAEDIS_EXECUTE": "yes" if execute else "no",
    }
    with executions.locked(executions.build_folder(root)):
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=not loud,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode != 0:
        from click import unstyle

        # Sphinx's colours go, whatever else a notebook put in becomes visible
        log = text.plain(unstyle(f"{done.stdout or ''}{done.stderr or ''}"))
        print(f"{log}\njupyter-book failed with exit code {done.returncode}.", file=sys.stderr)
        return 1
    print(f"The book is in {root / '_build' / 'html' / 'index.html'}")
    return 0


def write_notebooks(root: Path, folder: Path, profile: str | None = None) -> list[Path]:
    """Write the chapters as .ipynb files.

    Parameters
    ----------
    root : Path
        The folder that holds ``book/``.
    folder : Path
        Where to write.
    profile : str, optional
        Write the outputs of the current runs in this profile; by default there are no outputs.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    RuntimeError
        If outputs are asked for and a notebook has no current run in the profile.
    """
    paths, digest = [], executions.project_digest(root)
    for name in executions.notebooks(root):
        notebook = notebooks.from_markdown(root, name)
        if profile is not None:
            run = _kept_run(root, profile, name)
            facts = run.metadata["vaedis"] if run else {}
            if facts.get("key") != executions.run_key(
                root, name, profile, facts.get("params", {}), digest
            ):
                raise RuntimeError(
                    f"Notebook {name!r} has no current run in the profile {profile!r}; run: vaedis book --profile {profile}."
                )
            notebook = notebooks.with_outputs(notebook, run)
        notebooks.write(notebook, folder / f"{name}.ipynb")
        paths.append(folder / f"{name}.ipynb")
    return paths
