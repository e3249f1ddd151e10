"""Build the book: run its notebooks with papermill, hand their outputs to Jupyter Book, and keep what made them.

The chapters are MyST notebooks without outputs. Papermill runs each in the profile asked for; the outputs go into the cache that
Jupyter Book looks into before it executes anything, so that a plain ``jupyter-book build book/`` then finds all of them. A run is
kept in ``_build/notebooks/<profile>/`` and used again as long as it is current (`vaedis._runs.run_key`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from vaedis import _notebooks, _runs
from vaedis._report import Report
from vaedis.experiments import profile as get_profile

NEEDED = ("jupyter_book", "jupyter_cache", "jupytext", "myst_nb", "nbformat", "papermill")


def provenance(root: Path | None = None) -> list[dict[str, Any]]:
    """Return how each notebook of the book was run, in the book's order.

    Parameters
    ----------
    root : Path, optional
        The folder that holds ``book/``; by default it is looked for upwards from the current folder.

    Returns
    -------
    list of dict
        With ``chapter``, ``profile``, ``params``, ``seconds``, ``date`` (UTC), ``commit`` (with ``+`` where files differed from it),
        ``device``, ``python`` and the versions of the libraries. Empty where `vaedis book` has not run anything yet.
    """
    root = root or _runs.find_root()
    facts = _runs.read_facts(root)
    names = [name for name in _runs.notebooks(root) if name in facts and name != _runs.LAST]
    return [{"chapter": name, **{fact: facts[name].get(fact) for fact in _runs.TOLD}} for name in names]


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
        A profile of `vaedis.experiments`.
    workers : int
        How many notebooks run at a time.
    only : iterable of str
        Names of the notebooks to run; by default all. The pages of others without a current run then show no outputs.
    force : bool
        Run them even where a current run is stored.
    params : mapping, optional
        Further values for the notebooks' parameter cells.
    strict : bool
        Build every page anew, with warnings as errors.
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
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"The book needs {', '.join(missing)}; install them with: pip install -c constraints.txt -e '.[book]'.")
    root = root or _runs.find_root()
    name = get_profile(profile).name
    only = list(only)
    failed = run_notebooks(root, name, workers=workers, only=only, force=force, params=params)
    if failed:
        print(f"The pages were not built, since these notebooks failed: {', '.join(failed)}.", file=sys.stderr)
        return 1
    if not html:
        return 0
    # Where only some were asked for, the others stay as they were run, or are shown without outputs.
    return build_html(root, strict=strict, execute=False) if only else build_html(root, name, strict=strict)


def run_notebooks(
    root: Path, profile: str, *, workers: int = 2, only: Iterable[str] = (), force: bool = False, params: Mapping[str, Any] | None = None
) -> list[str]:
    """Run the notebooks that have no current run, and return the names of those that failed.

    Others go on when one fails. The notebook that tells how the others were run comes last. The parameters are those of `build`.
    """
    params = dict(params or {})
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}.")
    names = _select(root, only)
    report, failed = Report(len(names)), []
    with tempfile.TemporaryDirectory(prefix="vaedis-book-") as temporary:
        folder = Path(temporary)
        for name in names:
            _notebooks.write(_notebooks.from_markdown(root, name), folder / f"{name}.ipynb")
            _notebooks.check_parameters(name, folder / f"{name}.ipynb", params)
        for group in ([name for name in names if name != _runs.LAST], [name for name in names if name == _runs.LAST]):
            # A notebook that trains adds to the stored results, which others read: those are run once more, and find them.
            for attempt in range(2):
                digest = _runs.project_digest(root)
                keys = {name: _runs.run_key(root, name, profile, params, digest) for name in group if name not in failed}
                todo = [name for name, key in keys.items() if (force and attempt == 0) or not _reuse(root, name, profile, key)]
                for name in todo:
                    # What the book shows of it is out of date from now on, whether or not the run succeeds.
                    _withdraw(root, name)
                machine = _runs.machine() if todo else {}
                for name, seconds, error in _in_parallel(root, folder, todo, profile, params, workers):
                    if error is None:
                        run = _notebooks.read(folder / f"{name}.run.ipynb")
                        run.metadata["vaedis"] = _runs.make_facts(root, keys[name], profile, params, seconds, machine)
                        _notebooks.write(run, _kept(root, profile, name))
                        _publish(root, name, run)
                    else:
                        failed.append(name)
                    report.ran(name, seconds, error)
    report.end(len(failed))
    return failed


def _select(root: Path, only: Iterable[str]) -> list[str]:
    """Return the notebooks asked for, in the book's order."""
    known = _runs.notebooks(root)
    wanted = [name.removesuffix(".md") for name in only]
    for name in wanted:
        if name not in known:
            raise ValueError(f"Unknown notebook {name!r}; choose from: {', '.join(known)}.")
    return [name for name in known if name in wanted or not wanted]


def _kept(root: Path, profile: str, name: str) -> Path:
    """Return the file in which the run of a notebook is kept."""
    return root / "_build" / "notebooks" / profile / f"{name}.ipynb"


def _reuse(root: Path, name: str, profile: str, key: str) -> bool:
    """Put a stored run into the book if it is current, and tell whether it was."""
    path = _kept(root, profile, name)
    if not path.exists():
        return False
    run = _notebooks.read(path)
    if run.metadata.get("vaedis", {}).get("key") != key:
        return False
    _publish(root, name, run)
    return True


def _publish(root: Path, name: str, run: Any) -> None:
    """Make a run the one that the book shows."""
    facts = dict(run.metadata["vaedis"])
    _notebooks.remember(root, name, run, facts["seconds"])
    _runs.write_facts(root, {**_runs.read_facts(root), name: facts})


def _withdraw(root: Path, name: str) -> bool:
    """Take a notebook's run out of the book, and tell whether there was one."""
    facts = _runs.read_facts(root)
    if facts.pop(name, None) is not None:
        _runs.write_facts(root, facts)
    return _notebooks.forget(root, name)


def _in_parallel(
    root: Path, folder: Path, names: list[str], profile: str, params: Mapping[str, Any], workers: int
) -> Iterator[tuple[str, float, str | None]]:
    """Run notebooks, a few at a time, and yield name, seconds and what went wrong, as each is done."""

    def run(name: str) -> tuple[str, float, str | None]:
        start, target = time.monotonic(), folder / f"{name}.run.ipynb"
        try:
            _notebooks.execute(root, folder / f"{name}.ipynb", target, profile, params, workers)
        except _notebooks.NotebookError as error:
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
        futures = [pool.submit(run, name) for name in names]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            # After an interrupt, which the running notebooks get as well, those that wait must not start.
            pool.shutdown(wait=True, cancel_futures=True)


def drop_stale(root: Path) -> list[str]:
    """Take out of the book's cache what a run of today would not give, and return the names of those notebooks.

    Jupyter Book's own cache looks at a notebook's cells only; this is what makes a change of the package, of the stored results
    or of the profile count in a plain ``jupyter-book build`` too.
    """
    facts, digest = _runs.read_facts(root), _runs.project_digest(root)
    stale = [name for name in _runs.notebooks(root) if not _runs.is_current(root, name, facts.get(name), digest)]
    for name in stale:
        _withdraw(root, name)
    return stale


def build_html(root: Path, profile: str | None = None, *, strict: bool = False, execute: bool = True) -> int:
    """Call Jupyter Book and return its exit code.

    Parameters
    ----------
    root : Path
        The folder that holds ``book/``.
    profile : str, optional
        Show runs in this profile only, and execute what has none; by default any current run is shown, and the rest is executed
        in the profile ``smoke``.
    strict : bool
        Read every page anew, and count each warning, and each reference that leads nowhere, as an error.
    execute : bool
        Let Jupyter Book execute the notebooks without a current run; otherwise their pages show no outputs.
    """
    # In this interpreter, which is the one that has the extra, rather than whatever jupyter-book comes first on the path.
    command = [sys.executable, "-c", "import sys; from jupyter_book.cli.main import main; sys.exit(main())", "build", "book/"]
    if strict:
        # Jupyter Book does not warn again about a page that it has not read again.
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
        command += ["-n", "-W", "--keep-going", "--all"]
    loud = sys.stderr.isatty()
    environment = {**os.environ, "VAEDIS_PROFILE": profile or "", "VAEDIS_EXECUTE": "yes" if execute else "no"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=not loud, text=True, check=False)
    if done.returncode != 0:
        print(f"{done.stdout or ''}{done.stderr or ''}\njupyter-book failed with exit code {done.returncode}.", file=sys.stderr)
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
    paths, digest = [], _runs.project_digest(root)
    for name in _runs.notebooks(root):
        notebook = _notebooks.from_markdown(root, name)
        if profile is not None:
            kept = _kept(root, profile, name)
            run = _notebooks.read(kept) if kept.exists() else None
            facts = run.metadata["vaedis"] if run else {}
            if facts.get("key") != _runs.run_key(root, name, profile, facts.get("params", {}), digest):
                raise RuntimeError(
                    f"Notebook {name!r} has no current run in the profile {profile!r}; run: vaedis book --profile {profile}."
                )
            notebook = _notebooks.with_outputs(notebook, run)
        _notebooks.write(notebook, folder / f"{name}.ipynb")
        paths.append(folder / f"{name}.ipynb")
    return paths
