"""Run the notebooks that have no current run, a few at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vaedis_companion.book import executions, notebooks, stored


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
    """Run the notebooks without a current run, all of them; return the names of any that failed."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}.")
    sources = {name: executions.read_chapter(root, name) for name in executions.select(root, only)}
    values = _parameters_of_each(sources, params or {})
    build = executions.build_folder(root)
    with executions.locked(build), contextlib.ExitStack() as last_of_all:
        folder = build / "running"
        # also of a build that was killed
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        last_of_all.callback(shutil.rmtree, folder, ignore_errors=True)
        for name, source in sources.items():
            notebooks.write(source, folder / f"{name}.ipynb")
        runner = _Runner(root, folder, profile, values, workers)
        parallel_notebooks = [name for name in sources if name != executions.LAST]
        last = [name for name in sources if name == executions.LAST]
        # what the last one lists is made of the others' runs, also where it runs alone
        for names in (parallel_notebooks, last) if last else (parallel_notebooks,):
            runner.run_stale(names, force=force, silent_only=strict)
            # a notebook that trains adds to the stored results, which others read
            runner.run_stale(names)
            # in any profile: what was not asked for stays as it was run
            stored.show(root, build, profile="")
    runner.print_summary()
    return runner.failed


def _parameters_of_each(
    sources: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return which of the parameters each notebook takes; refuse one that none takes."""
    if not params:
        return {name: {} for name in sources}
    if "profile" in params:
        raise ValueError("The profile is not a --param; use --profile.")
    known = {name: notebooks.parameters(source) for name, source in sources.items()}
    all_names = {name for names in known.values() for name in names}
    for param, value in params.items():
        if param not in all_names:
            raise ValueError(
                f"No notebook that was asked for has a parameter {param!r}; "
                f"they have: {', '.join(sorted(all_names)) or 'none'}."
            )
        try:
            # encode it, since a file cannot hold half a surrogate pair
            as_read = json.loads(json.dumps(value, ensure_ascii=False).encode())
        except (TypeError, ValueError):
            as_read = None
        if as_read != value:
            raise ValueError(
                f"Parameter {param!r} cannot be {value!r}; "
                "give a number, text, True, False, None, a list or a mapping from text."
            )
    return {
        name: {param: value for param, value in params.items() if param in names}
        for name, names in known.items()
    }


@dataclass
class _Runner:
    """Runs the notebooks of one build, and counts and prints what ran and what failed."""

    root: Path
    folder: Path
    profile: str
    values: Mapping[str, dict[str, Any]]
    workers: int
    failed: list[str] = field(default_factory=list)
    executed: set[str] = field(default_factory=set)
    start: float = field(default_factory=time.monotonic)

    def run_stale(
        self, names: list[str], *, force: bool = False, silent_only: bool = False
    ) -> None:
        """Run the notebooks that have no current run."""
        digest = executions.project_digest(self.root)
        keys = {
            name: executions.run_key(self.root, name, self.profile, self.values[name], digest)
            for name in names
            if name not in self.failed
        }
        stale = [name for name in keys if force or not self._reuse(name, keys[name], silent_only)]
        machine = executions.machine() if stale else {}
        with contextlib.closing(self._execute(stale)) as runs:
            for name, seconds, error in runs:
                if error is None:
                    facts = executions.make_facts(
                        keys[name], self.profile, self.values[name], seconds, machine
                    )
                    self._store(name, facts)
                else:
                    self.failed.append(name)
                self._print_run(name, seconds, error)

    def _reuse(self, name: str, key: str, silent_only: bool) -> bool:
        """Return whether a stored run is current, and mark it as asked for last if so."""
        file = stored.path(self.root, self.profile, name)
        run = stored.read(file)
        if run is None or run.metadata["vaedis"]["key"] != key:
            return False
        if silent_only and notebooks.standard_error(run):
            return False
        file.touch()
        return True

    def _store(self, name: str, facts: Mapping[str, Any]) -> None:
        run = notebooks.read(self.folder / f"{name}.run.ipynb")
        stored.store(stored.path(self.root, self.profile, name), run, facts)
        line = notebooks.standard_error(run)
        if line:  # a page does not show it
            executions.warn(
                f"{name} wrote to standard error, which --strict counts as an error and runs "
                f"again: {line}"
            )

    def _execute(self, names: list[str]) -> Generator[tuple[str, float, str | None], None, None]:
        """Run a few notebooks at a time; yield name, seconds and error as each ends."""
        read_end, write_end = os.pipe()
        pool = ThreadPoolExecutor(self.workers)
        try:
            futures = [pool.submit(self._execute_one, name, read_end) for name in names]
            for future in as_completed(futures):
                yield future.result()
        finally:
            # after an interrupt those that wait must not start, and those that run end
            pool.shutdown(wait=False, cancel_futures=True)
            os.close(write_end)
            pool.shutdown(wait=True)
            os.close(read_end)

    def _execute_one(self, name: str, build_pipe: int) -> tuple[str, float, str | None]:
        start = time.monotonic()
        source = self.folder / f"{name}.ipynb"
        target = self.folder / f"{name}.run.ipynb"
        failed_copy = stored.path(self.root, "failed", name)
        book = self.root / "book"
        params = self.values[name]
        error = None
        try:
            notebooks.execute(source, target, book, self.profile, params, self.workers, build_pipe)
            failed_copy.unlink(missing_ok=True)
        except notebooks.NotebookError as problem:
            error = str(problem)
            if target.exists():
                failed_copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(target, failed_copy)
                error += f" [half-run copy: {failed_copy.relative_to(self.root)}]"
        return name, time.monotonic() - start, error

    def _print_run(self, name: str, seconds: float, error: str | None) -> None:
        """Print a failure, and on a terminal also each run."""
        self.executed.add(name)
        run = f"[{len(self.executed)}/{len(self.values)}] {name}"
        if error is not None:
            print(f"{run} failed after {seconds:.1f} s at {error}", file=sys.stderr, flush=True)
        elif sys.stderr.isatty():
            print(f"{run} {seconds:.1f} s", file=sys.stderr, flush=True)

    def print_summary(self) -> None:
        """Print how many notebooks ran, were current and failed."""
        n_all, n_run = len(self.values), len(self.executed)
        what = "notebook" if n_all == 1 else "notebooks"
        print(
            f"{n_all} {what}: {n_run} run, {n_all - n_run} current, {len(self.failed)} failed; "
            f"{time.monotonic() - self.start:.0f} s",
            file=sys.stderr,
        )
