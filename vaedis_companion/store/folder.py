"""The folder of the store: read it, add to it, merge another one into it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from vaedis import _files
from vaedis_companion import project
from vaedis_companion.grids import GRIDS, PROFILES, grid
from vaedis_companion.profiles import command_options
from vaedis_companion.store.merging import Merged, merge
from vaedis_companion.store.rows import (
    Row,
    check_names,
    check_row,
    is_name,
    read_rows,
    table_of,
)
from vaedis_companion.store.tables import RunTable

Arrays = Mapping[str, np.ndarray]


def default_root() -> Path:
    """Return the store's folder: ``VAEDIS_RESULTS``, or ``results`` in the project."""
    if os.environ.get("VAEDIS_RESULTS"):
        return Path(os.environ["VAEDIS_RESULTS"])
    return (project.checkout() or Path.cwd()) / "results"


class Store:
    """A folder of results, by default `default_root`; it need not exist yet.

    Examples
    --------
    >>> runs = Store().best("fig9")
    >>> runs.profile
    'laptop'
    >>> Store().arrays(runs.rows[0])["z/x_R"].shape
    (8, 8)
    """

    def __init__(self, root: str | os.PathLike[str] | None = None):
        self.root = Path(root) if root is not None else default_root()

    def table_path(self, experiment: str, profile: str) -> Path:
        """Return the path of the table of an experiment and profile."""
        return self.root / f"{experiment}-{profile}.csv"

    def arrays_path(self, row: Row) -> Path:
        """Return the path of a row's arrays; a ValueError if it could lead out of the store."""
        check_names(row)
        return self.root / f"{row['experiment']}-{row['profile']}" / f"{row['key']}.npz"

    def read(self, experiment: str, profile: str) -> list[Row]:
        """Return all rows as `rows` does; a ValueError or OSError if the file is damaged."""
        return read_rows(self.table_path(experiment, profile), experiment, profile)

    def rows(self, experiment: str, profile: str) -> list[Row]:
        """Return all rows of an experiment and profile; columns of a newer version as text.

        If a line of the file cannot be read, all of its runs count as missing: the warning
        `DamagedFile`.
        """
        try:
            return self.read(experiment, profile)
        except (OSError, ValueError) as problem:
            warnings.warn(
                f"{problem}, so its runs count as missing; bring it back with git checkout.",
                _files.DamagedFile,
                stacklevel=2,
            )
            return []

    def runs(self, experiment: str, profile: str) -> RunTable:
        """Return the runs of an experiment and profile; warnings as for `rows`."""
        return RunTable.of(experiment, profile, self.rows(experiment, profile))

    def tables(self) -> list[tuple[str, str]]:
        """Return the (experiment, profile) of each table, sorted."""
        names = [path.stem.rpartition("-") for path in self.root.glob("*-*.csv")]
        return sorted((one, other) for one, _, other in names if is_name(one) and is_name(other))

    def answering(self, experiment: str, profile: str) -> list[Row]:
        """Return the rows of an experiment, and other experiments' rows of the same specifications.

        Figures 6 and 9, for instance, share XYSquares at spacing 8 where both train for the same
        number of steps. If a run failed in one and ended in another, the ended run is returned.
        """
        rows = self.rows(experiment, profile)
        if experiment == "plan" and profile not in PROFILES:  # for instance with --steps or --seeds
            names = [name for name, size in self.tables() if size == profile]
            return [row for name in names for row in self.rows(name, profile)]
        if experiment not in (*GRIDS, "plan") or profile not in PROFILES:
            return rows
        finished = {row["key"] for row in rows if row["status"] == "finished"}
        failed = {row["key"] for row in rows} - finished
        lacking = {spec.key for spec in grid(experiment, profile)} - finished
        if not lacking:
            return rows
        others = [name for name, size in self.tables() if size == profile and name != experiment]
        elsewhere = [row for name in others for row in self.rows(name, profile)]
        answers: dict[str, Row] = {}
        for row in [row for row in elsewhere if row["key"] in lacking]:
            if row["status"] == "finished":
                answers[row["key"]] = row
            elif row["key"] not in failed:
                answers.setdefault(row["key"], row)
        return [row for row in rows if row["key"] not in answers] + list(answers.values())

    def keys(self, experiment: str, profile: str, *, failed: bool = True) -> set[str]:
        """Return the keys of an experiment's stored runs; without those that failed on request."""
        rows = self.answering(experiment, profile)
        return {row["key"] for row in rows if failed or row["status"] == "finished"}

    def best(self, experiment: str) -> RunTable | None:
        """Return the runs of the largest profile of which each setting was run.

        Without such a profile, those of the one with the most settings run, the larger of equals;
        the smoke profile, whose runs mean nothing, comes last. Left out are the settings profile,
        whose settings are those of fewer data sets (`claims.pools`), and the long one, which has
        few runs of each setting (`long`). None if there is nothing.
        """
        unfinished = None
        most_settings = -1
        for profile in reversed(PROFILES):
            if profile in ("settings", "long"):
                continue
            runs = RunTable.of(experiment, profile, self.answering(experiment, profile))
            if not runs.rows:
                continue
            specs = grid(experiment, profile) if experiment in GRIDS else []
            settings = {spec.key: spec.replace(seed=0).key for spec in specs}
            # a run that failed was run
            stored = {settings.get(row["key"]) for row in (*runs.rows, *runs.failed)}
            if profile != "smoke" and stored >= set(settings.values()):
                return runs
            n_settings = 0 if profile == "smoke" else len(stored)
            if n_settings > most_settings:
                unfinished = runs
                most_settings = n_settings
        return unfinished

    def long(self, experiment: str) -> RunTable | None:
        """Return the runs of the paper's number of steps that are not in `best`, or None.

        They are those of the long profile, and of the paper's while not all of it is stored.

        Examples
        --------
        >>> Store().long("fig9").where(framework="ada-gvae", grid_spacing=1).rows[0]["steps"]
        57600
        """
        best = self.best(experiment)
        tables = [
            self.runs(experiment, profile)
            for profile in ("long", "paper")
            if best is None or best.profile != profile
        ]
        tables = [runs for runs in tables if runs.rows]
        rows = [row for runs in tables for row in (*runs.rows, *runs.failed)]
        names = " and ".join(runs.profile for runs in tables)
        return RunTable.of(experiment, names, rows) if tables else None

    def arrays(self, row: Row) -> dict[str, np.ndarray]:
        """Return the arrays that were stored with a row; empty if there are none.

        So it is, with the warning `DamagedFile`, if they cannot be read.
        """
        path = self.arrays_path(row) if row else None
        if path is None or not path.is_file():
            return {}
        try:
            return _files.load_npz(path)
        except (ValueError, OSError) as problem:
            experiment, profile = row["experiment"], row["profile"]
            table = self.table_path(experiment, profile).name
            warnings.warn(
                f"{problem}, so the run's arrays count as missing; bring it back with git checkout,"
                f" or delete the run's line in {table} and run: vaedis sweep {experiment} "
                f"{command_options(profile)}",
                _files.DamagedFile,
                stacklevel=2,
            )
            return {}

    def check_folder(self) -> None:
        """Raise what `check_writable` would raise about the folder, but make nothing."""
        existing = next(p for p in (self.root, *self.root.parents) if os.path.lexists(p))
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise OSError(
                f"Results cannot be stored in {self.root} ({existing} is no folder that may be "
                "written into); name another folder."
            )

    def check_writable(self, experiment: str, profile: str) -> None:
        """Make the folder, and raise what `add` would raise there, before hours are spent."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.root).close()
            with _files.locked(self.root):
                pass
        except OSError as problem:
            reason = problem.strerror or problem
            raise OSError(
                f"Results cannot be stored in {self.root} ({reason}); name another folder."
            ) from problem
        self.read(experiment, profile)

    def add(self, row: Row, arrays: Arrays | None = None) -> None:
        """Store a run, a row as from `make_row`, in place of one with the same key.

        All of it is stored, or nothing changes. A ValueError says that the row's key, experiment or
        profile could be a path, that the row could not be read again, as one without a status or
        without scores, that the table is damaged, or that the store's lock is no plain file.
        """
        self.add_all([(row, arrays)])

    def add_all(self, runs: Iterable[tuple[Row, Arrays | None]]) -> None:
        """Store runs of one experiment and profile at once: all of their rows, or none."""
        entries = [(row, arrays, self.arrays_path(row)) for row, arrays in runs]
        if not entries:
            return
        tables = {(row["experiment"], row["profile"]) for row, _, _ in entries}
        if len(tables) > 1:
            raise ValueError(f"Runs stored at once must be of one table, not of {sorted(tables)}.")
        ((experiment, profile),) = tables
        for row, _, _ in entries:
            check_row(row)
        contents = [(path, _files.npz(arrays)) for _, arrays, path in entries if arrays]
        table = self.table_path(experiment, profile)
        self.root.mkdir(parents=True, exist_ok=True)
        with _files.locked(self.root):
            # what killed processes left; whoever holds the lock is the only writer
            half_written = [*self.root.glob(f".{table.name}.*.tmp")]
            half_written += table.with_suffix("").glob(".*.npz.*.tmp")
            for path in half_written:
                path.unlink(missing_ok=True)
            rows = [*self.read(experiment, profile), *(row for row, _, _ in entries)]
            for path, content in contents:
                _files.make_folder(path.parent)
                _files.write_atomically(path, content)
            _files.write_atomically(table, table_of(rows))
            for _, arrays, path in entries:
                if not arrays:
                    path.unlink(missing_ok=True)  # arrays of the row that was replaced

    def merge(self, folder: str | os.PathLike[str]) -> Merged:
        """Add the rows and arrays of another store, which may come from anyone.

        A stored run stays as it is, unless it failed here and finished there; arrays that it lacks
        are added. All of the folder is checked before anything is added, and no link in it is
        followed; a ValueError says what is wrong, a run that the experiment does not have, for
        instance. Returned are counts, and the runs that have other results there than here.
        """
        return merge(self, Store(folder))
