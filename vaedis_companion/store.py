"""The store: what expensive runs found, kept as tidy CSV files and small arrays beside the code.

``results/<experiment>-<profile>.csv`` holds one row for each run, sorted by key;
``results/<experiment>-<profile>/<key>.npz`` holds the arrays that figures are drawn from. A row
carries its specification, its scores, and what made it.
"""

from __future__ import annotations

import codecs
import csv
import datetime
import errno
import io
import json
import math
import os
import platform
import re
import subprocess
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _check, _files
from vaedis._files import DamagedFile
from vaedis._support.text import plain
from vaedis.spec import GIVEN, RunSpec
from vaedis_companion.grids import GRIDS, PROFILES, grid
from vaedis_companion.published import checkout

Row = dict[str, Any]

__all__ = [
    "COLUMNS",
    "CorruptRow",
    "DamagedFile",
    "Row",
    "RunTable",
    "Store",
    "commit",
    "default_root",
    "is_number",
    "make_row",
    "matches",
    "spec_of",
]


class CorruptRow(UserWarning):
    """A line of a results file that cannot be read; it is skipped, and kept as it is."""


_SPEC = tuple(RunSpec.__dataclass_fields__)
_MAPPINGS = ("data_options", "loss_options", "model_options")
_MAXIMA = ("mig_max", "dci_max")
# columns that came later: files without them are read as if they were empty
_LATER = (*_MAXIMA, "origin", "precision", "warmup")
_SCORES = (
    "mig",
    "dci",
    "dci_completeness",
    "dci_informativeness",
    *_MAXIMA,
    "final_loss",
    "final_recon",
    "final_kl",
    "beta_sum",
)
_WHERE = ("device", "precision", "threads", "torch", "python", "vaedis", "commit", "date")
_MADE_BY = ("origin", "protocol", "images_per_second", "seconds", *_WHERE)
COLUMNS = ("key", "experiment", "profile", "status", *_SPEC, *_SCORES, *_MADE_BY)
_NUMBERS = {
    "beta": float,
    "lr": float,
    "latents": int,
    "steps": int,
    "batch": int,
    "seed": int,
    "threads": int,
    "warmup": int,
}
_NUMBERS |= {name: float for name in (*_SCORES, "images_per_second", "seconds")}


# they become parts of paths
# columns of tables that earlier versions wrote
_EARLIER_NAMES = {"standardise": "normalize"}
_KEY = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
# groups of arrays that hold a matrix for each factor, as `scoring.summarise` makes them
_LEVELS = ("factors", "x", "z", "kl", "reconstruction")
# what has a value for each of some steps; a slash ends the name of a group
_COURSES = {
    "steps": ("loss", "recon", "kl"),
    "learnt_steps": ("separation/", "reconstructed/"),
    "course_steps": ("course/",),
}
# bytes; a row takes less than 1 kB
_LARGEST_TABLE = 256 * 1024**2


def default_root() -> Path:
    """Return where the store lies: ``VAEDIS_RESULTS``, or ``store`` at the top of the project."""
    if os.environ.get("VAEDIS_RESULTS"):
        return Path(os.environ["VAEDIS_RESULTS"])
    return (checkout() or Path.cwd()) / "results"


@dataclass(frozen=True)
class RunTable:
    """Runs that answer an experiment, all of one profile.

    Attributes
    ----------
    experiment, profile : str
    rows : list of dict
        Finished runs.
    failed : list of dict
        Runs that did not finish; their ``"status"`` says why.
    """

    experiment: str
    profile: str
    rows: list[Row]
    failed: list[Row]

    def values(self, column: str, **where: Any) -> np.ndarray:
        """Return one column of the rows that match, as an array of float; a row that has no finite
        number there is left out.

        Parameters
        ----------
        column : str
        **where
            Columns and the values they must have; a data set's or loss's option counts as a column.
        """
        return np.array(
            [row[column] for row in self.rows if matches(row, where) and is_number(row[column])],
            float,
        )

    def describe(self) -> str:
        """Return one phrase for a caption: the profile, the number of runs and their length."""
        if not self.rows:
            return f"no finished runs, {self.profile} profile"
        steps = sorted({row["steps"] for row in self.rows})
        batch = sorted({row["batch"] for row in self.rows})
        lost = f", {len(self.failed)} failed" if self.failed else ""
        runs = f"{len(self.rows)} run{'s' if len(self.rows) > 1 else ''}"
        lengths, batches = " or ".join(f"{n:,}" for n in steps), " or ".join(map(str, batch))
        return f"{self.profile} profile: {runs} of {lengths} steps, batch {batches}{lost}"


class Store:
    """A folder of results.

    Parameters
    ----------
    root : path, optional
        `default_root` unless given. Need not exist yet.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None):
        self.root = Path(root) if root is not None else default_root()

    def _table(self, experiment: str, profile: str) -> Path:
        return self.root / f"{experiment}-{profile}.csv"

    def _beside(self, row: Row) -> Path:
        """Return where the arrays of a row lie; a ValueError if what names the row could lead out
        of the store.
        """
        _check_names(row)
        return self.root / f"{row['experiment']}-{row['profile']}" / f"{row['key']}.npz"

    def _read(self, experiment: str, profile: str) -> _Table:
        """Return a table as it is; each line that cannot be read is named in a warning. An OSError
        if the file cannot be read.
        """
        path = self._table(experiment, profile)
        table = _Table([], [], [])
        # a spreadsheet's mark of UTF-8 is no name of a column; bytes that are no text spoil their
        # line only, and are written back
        text = (
            _files.read_plain(path, _LARGEST_TABLE)
            .removeprefix(codecs.BOM_UTF8)
            .decode(errors="surrogateescape")
        )
        lines: dict[str, int] = {}
        columns: Sequence[str] = COLUMNS
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
            try:
                fields = _fields(line)
                if number > 1:
                    row = _read_row(columns, fields)
                    _check_row(row, experiment, profile)
                    if row["key"] in lines:
                        raise ValueError(f"the run of line {lines[row['key']]} again")
                    lines[row["key"]] = number
                    table.rows.append(row)
                elif "key" in (
                    fields := [_EARLIER_NAMES.get(name, name) for name in fields]
                ) and len(set(fields)) == len(fields):
                    columns = fields
                    table.columns.extend(fields)
                else:
                    columns = COLUMNS if _in_our_order(fields) else ()
                    raise ValueError("the names of the columns were expected")
            except (ValueError, TypeError, KeyError, RecursionError, csv.Error) as problem:
                table.corrupt.append(line)
                reason = plain(str(problem), 200)
                warnings.warn(
                    f"{path} line {number} is no row of results ({reason}) and is skipped; mend it.",
                    CorruptRow,
                    stacklevel=3,
                )
        return table

    def rows(self, experiment: str, profile: str) -> list[Row]:
        """Return all rows of an experiment and profile, with numbers and mappings read back from text.

        A column that this version does not know, as a newer one may have written it, is there as
        text.

        Warns
        -----
        CorruptRow
            For each line that cannot be read, and each that repeats a run, with the file and the
            line's number. It is skipped, and never deleted.
        DamagedFile
            If the file itself cannot be read; all of its runs count as missing then.
        """
        try:
            return self._read(experiment, profile).rows
        except OSError as problem:
            warnings.warn(
                f"{problem}, so its runs count as missing; bring it back with git checkout.",
                DamagedFile,
                stacklevel=2,
            )
            return []

    def check_writable(self, experiment: str, profile: str) -> None:
        """Make the folder, and raise what `add` would raise there, before hours are spent on what
        cannot be stored.

        Raises
        ------
        ValueError
            If the store is no folder, or its lock is no plain file.
        OSError
            If nothing can be written into it, or the table of this experiment and profile cannot be
            read.
        """
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(f"{self.root} is no folder to store results in; name another one.")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not os.access(self.root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            with _files.locked(self.root):
                pass
        except OSError as problem:
            raise OSError(
                f"Results cannot be stored in {self.root} ({problem.strerror or problem}); name another folder."
            ) from problem
        _files.read_plain(self._table(experiment, profile), _LARGEST_TABLE)

    def tables(self) -> list[tuple[str, str]]:
        """Return the experiments and profiles that have a table: (experiment, profile), sorted."""
        names = (path.stem.rpartition("-") for path in self.root.glob("*-*.csv"))
        return sorted(
            (experiment, profile)
            for experiment, _, profile in names
            if _NAME.fullmatch(experiment) and _NAME.fullmatch(profile)
        )

    def answering(self, experiment: str, profile: str) -> list[Row]:
        """Return the rows of an experiment and profile, and those that other experiments of the
        profile have of the same specifications.

        Figure 6 and Figure 9, for instance, share XYSquares at spacing 8 where both train for the
        same number of steps.
        """
        found = self.rows(experiment, profile)
        if experiment in (*GRIDS, "plan") and profile in PROFILES:
            wanted = {spec.key for spec in grid(experiment, profile)} - {
                row["key"] for row in found
            }
            others = (e for e, p in self.tables() if p == profile and e != experiment)
            found += [
                row
                for e in others
                if wanted
                for row in self.rows(e, profile)
                if row["key"] in wanted
            ]
        return found

    def keys(self, experiment: str, profile: str, *, failed: bool = True) -> set[str]:
        """Return the keys of the runs that are stored, whatever experiment they were made for;
        those that failed only if `failed`.
        """
        return {
            row["key"]
            for row in self.answering(experiment, profile)
            if failed or row["status"] == "finished"
        }

    def add(self, row: Row, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Store a run; a row with the same key is replaced. Either the whole row is there afterwards
        or nothing has changed.

        Parameters
        ----------
        row : dict
            As from `make_row`.
        arrays : mapping of str to ndarray, optional

        Raises
        ------
        ValueError
            If the row's key, experiment or profile is none, or the lock of the store is no plain
            file.
        """
        self.add_all([(row, arrays)])

    def add_all(self, runs: Iterable[tuple[Row, Mapping[str, np.ndarray] | None]]) -> None:
        """Store runs of one experiment and profile at once: either all of their rows are there
        afterwards or none; otherwise as `add`.
        """
        added = {self._beside(row): (row, arrays) for row, arrays in runs}
        if not added:
            return
        tables = {(row["experiment"], row["profile"]) for row, _ in added.values()}
        if len(tables) > 1:
            raise ValueError(
                f"Runs that are stored at once must be of one experiment and profile, not of {sorted(tables)}."
            )
        ((experiment, profile),) = tables
        self.root.mkdir(parents=True, exist_ok=True)
        with _files.locked(self.root):
            self._sweep_up(experiment, profile)
            for beside, (_, arrays) in added.items():
                if arrays:
                    _files.make_folder(beside.parent)
                    _files.write_atomically(beside, _files.npz(arrays))
            table = self._read(experiment, profile)
            table.replace(row for row, _ in added.values())
            _files.write_atomically(self._table(experiment, profile), table.to_bytes())
            for beside, (_, arrays) in added.items():
                if not arrays:
                    beside.unlink(missing_ok=True)  # what a replaced row left

    def _sweep_up(self, experiment: str, profile: str) -> None:
        """Delete what processes that were killed left half-written; who holds the lock is the only
        one that writes.
        """
        table = self._table(experiment, profile)
        for path in (
            *self.root.glob(f".{table.name}.*.tmp"),
            *table.with_suffix("").glob(".*.npz.*.tmp"),
        ):
            path.unlink(missing_ok=True)

    def merge(self, folder: str | os.PathLike[str]) -> dict[str, int]:
        """Take in the rows and arrays of another store, for instance one that a machine without a
        network filled.

        A run that this store holds already stays as it is, unless it failed here and finished
        there. All of the folder is checked before anything is taken in.

        Parameters
        ----------
        folder : path
            The other store. It may come from anyone: links in it are not followed.

        Returns
        -------
        dict of str to int
            How many runs were ``"taken"``, and how many were ``"known"``.

        Raises
        ------
        ValueError
            If the folder holds no table of results, or a line or file that is not what a sweep
            writes.
        """
        other = Store(folder)
        if not other.tables():
            raise ValueError(
                f"{other.root} holds no table of results (<experiment>-<profile>.csv); give the folder that a sweep wrote to."
            )
        counts = {"taken": 0, "known": 0}
        new = []
        for experiment, profile in other.tables():
            have = {row["key"]: row["status"] for row in self.rows(experiment, profile)}
            for row in other._foreign_rows(experiment, profile):
                status = have.get(row["key"])
                known = status == "finished" or (status is not None and row["status"] != "finished")
                counts["known" if known else "taken"] += 1
                if not known:
                    other._foreign_arrays(row)
                    new.append(row)
        for row in new:
            self.add(row, other._foreign_arrays(row))
        return counts

    def _foreign_rows(self, experiment: str, profile: str) -> list[Row]:
        """Return the rows of a table that someone else may have made, or raise a ValueError if
        anything in it is not as it should be.
        """
        path = self._table(experiment, profile)
        _check_plain(path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows = self.rows(experiment, profile)
        problems = [
            str(w.message).replace(" and is skipped; mend it.", "").partition(", so its runs")[0]
            for w in caught
        ]
        problems += [
            f"{path}: run {r['key']} is not the one that its line describes"
            for r in rows
            if spec_of(r).key != r["key"]
        ]
        if problems:
            more = f", and {len(problems) - 1} more like it" if len(problems) > 1 else ""
            raise ValueError(
                f"Nothing was taken in, because {problems[0]}{more}; mend or delete such lines."
            )
        return rows

    def _foreign_arrays(self, row: Row) -> dict[str, np.ndarray]:
        """Return the arrays of a row of someone else's; a ValueError if they are damaged, or a link
        leads out of the folder.
        """
        path = self._beside(row)
        if not path.is_symlink() and not path.parent.is_symlink() and not path.exists():
            return {}
        _check_plain(path)
        try:
            return _load_arrays(path)
        except ValueError as problem:
            raise ValueError(
                f"Nothing more is taken in, because {problem}; copy it again, or delete the line of this run."
            ) from None

    def arrays(self, row: Row) -> dict[str, np.ndarray]:
        """Return the arrays that were stored with a row; empty if there are none, as of a row that is
        empty itself.

        Warns
        -----
        DamagedFile
            If they cannot be read, with the file and what to do; empty then, too.
        """
        path = self._beside(row) if row else None
        if path is None or not path.is_file():
            return {}
        try:
            return _load_arrays(path)
        except (ValueError, OSError) as problem:
            warnings.warn(
                f"{problem}, so the run's arrays count as missing; bring it back with git checkout, or delete the run's line in "
                f"{self._table(row['experiment'], row['profile']).name} and run: {_sweep_of(row)}",
                DamagedFile,
                stacklevel=2,
            )
            return {}

    def best(self, experiment: str) -> RunTable | None:
        """Return the runs of the largest profile of which each cell was run; without such a profile,
        of the largest with any finished run.

        So a profile that a sweep has begun to fill takes the place of a smaller one when it has as
        much to show. The smoke profile, whose runs mean nothing, takes the place of none. None if
        there is nothing.
        """
        begun, smallest = None, next(iter(PROFILES))
        for profile in reversed(PROFILES):
            rows = self.answering(experiment, profile)
            finished = [r for r in rows if r["status"] == "finished"]
            if not finished:
                continue
            found = RunTable(
                experiment, profile, finished, [r for r in rows if r["status"] != "finished"]
            )
            specs = grid(experiment, profile) if experiment in GRIDS else []
            cells = {spec.key: spec.replace(seed=0).key for spec in specs}
            # a run that failed was run
            if profile != smallest and {cells.get(row["key"]) for row in rows} >= set(
                cells.values()
            ):
                return found
            begun = begun or found
        return begun


@dataclass
class _Table:
    """A file of rows: the columns of its header, what could be read, and the lines that could not."""

    columns: list[str]
    rows: list[Row]
    corrupt: list[str]

    def replace(self, new: Iterable[Row]) -> None:
        """Add rows in place of those with the same keys."""
        rows = {row["key"]: row for row in (*self.rows, *new)}
        self.rows = [rows[key] for key in sorted(rows)]

    def to_bytes(self) -> bytes:
        """Return the file: columns that this version does not know keep their place, since lines
        that cannot be read rely on it.
        """
        names = dict.fromkeys(
            (*self.columns, *COLUMNS, *(name for row in self.rows for name in row))
        )
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: _to_text(name, row.get(name)) for name in names})
        text.writelines(f"{line}\n" for line in self.corrupt)
        return text.getvalue().encode(errors="surrogateescape")


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a run; a ValueError if they are damaged, or are not of the form that a
    sweep gives them.
    """
    arrays = _files.load_npz(path)
    try:
        _check_arrays(arrays)
    except ValueError as problem:
        raise ValueError(f"{path} cannot be read ({problem})") from None
    return arrays


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise a ValueError if arrays are no numbers, or do not belong together."""
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds no numbers")
    shapes = [_shapes(arrays, f"{level}/") for level in _LEVELS]
    levels = [level for level in shapes if level]
    square = all(
        len(shape) == 2 and shape[0] == shape[1] for level in levels for shape in level.values()
    )
    if not square or any(level != levels[0] for level in levels):
        raise ValueError("the matrices of its factors do not belong together")
    for steps, names in _COURSES.items():
        courses = [shape for name in names for shape in _shapes(arrays, name).values()]
        if steps in arrays and any(shape != arrays[steps].shape for shape in courses):
            raise ValueError(f"a course has another length than {steps}")


def _shapes(arrays: Mapping[str, np.ndarray], group: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a group, by the rest of their names; or of the one array
    of that name.
    """
    is_group = group.endswith("/")
    return {
        n.removeprefix(group): a.shape
        for n, a in arrays.items()
        if (n.startswith(group) if is_group else n == group)
    }


def _check_plain(path: Path) -> None:
    """Raise a ValueError if a path of someone else's folder is a link, lies in one, or is no file."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        raise ValueError(
            f"{path} is a link or no plain file, and is not followed; put the file itself there."
        )


def _sweep_of(row: Row) -> str:
    """Return the command that makes a run."""
    how = f"--profile {row['profile']}" if row["profile"] in PROFILES else "--no-pixels"
    return f"vaedis sweep {row['experiment']} {how}"


def _check_names(row: Row) -> None:
    """Raise a ValueError if what names a row could be a path to somewhere else."""
    if not _KEY.fullmatch(str(row["key"])):
        raise ValueError(f"The key of a run is 16 hexadecimal digits, not {row['key']!r}.")
    for name in ("experiment", "profile"):
        if not _NAME.fullmatch(str(row[name])):
            raise ValueError(
                f"The {name} of a run is a name without parts of a path, not {row[name]!r}."
            )


def _check_row(row: Row, experiment: str, profile: str) -> None:
    """Raise an error unless a row is of its table and says what was run."""
    if not _KEY.fullmatch(row["key"]):
        raise ValueError(f"its key {row['key']!r} is not 16 hexadecimal digits")
    if (row["experiment"], row["profile"]) != (experiment, profile):
        raise ValueError(f"it is of {row['experiment']!r}, {row['profile']!r}")
    spec_of(row)


def make_row(
    spec: RunSpec,
    experiment: str,
    profile: str,
    *,
    status: str = "finished",
    scores: Mapping[str, float] | None = None,
    **made_by: Any,
) -> Row:
    """Return a row of the store.

    Parameters
    ----------
    spec : RunSpec
    experiment, profile : str
    status : str
        "finished", or "failed: " and the reason.
    scores : mapping of str to float, optional
    **made_by
        What only the caller knows of how the row was made: ``origin`` (of the images),
        ``protocol``, ``seconds``, ``images_per_second``, ``device``, ``precision``, ``threads``.
    """
    from vaedis import __version__

    if spec.data.startswith(GIVEN) or not isinstance(spec.loss, str):
        raise ValueError(
            f"a run on {spec.data} with the loss {spec.loss!r} cannot be stored, as a row must name both; only data sets and losses that "
            "vaedis knows by a name can."
        )
    _check.options("row", spec.key, scores or {}, _SCORES)
    _check.options("row", spec.key, made_by, _MADE_BY)
    facts = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "vaedis": __version__,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }
    return {
        "key": spec.key,
        "experiment": experiment,
        "profile": profile,
        "status": status,
        **spec.to_dict(),
        **(scores or {}),
        **facts,
        **made_by,
    }


def spec_of(row: Row) -> RunSpec:
    """Return the specification of a row."""
    return RunSpec(**{name: row[name] for name in _SPEC})


def commit(*folders: str, top: Path | None = None) -> str:
    """Return the project's commit in 12 digits, with "+" if tracked files differ from it; "unknown"
    outside its git checkout.

    Parameters
    ----------
    *folders : str
        The folders of the project in which a difference counts; by default the package's.
    top : Path, optional
        The top of the project; by default of the one that the package is part of.
    """
    top = top or checkout()
    if top is None:
        return "unknown"  # whatever repository the package is installed in is not its own
    # git itself sets these for its hooks, and they would lead to the repository of the hook
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    }

    def git(*words: str) -> str:
        command = ["git", "-C", str(top), *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        # a copy without .git may lie in a repository of something else
        if Path(git("rev-parse", "--show-toplevel")).resolve() != top.resolve():
            return "unknown"
        git("ls-files", "--error-unmatch", "_config.yml")
        changed = git(
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            *(folders or ("vaedis", "vaedis_companion")),
        )
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _to_text(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column in _MAPPINGS:
        return json.dumps(value, sort_keys=True)
    # one run is one line, so that a damaged one takes no other with it
    return (
        repr(float(value)) if _NUMBERS.get(column) is float else " ".join(str(value).splitlines())
    )


def _fields(line: str) -> list[str]:
    if any("\udc80" <= letter <= "\udcff" for letter in line):
        raise ValueError("bytes that are no UTF-8")
    return next(csv.reader([line], strict=True), [])


def _in_our_order(fields: Sequence[str]) -> bool:
    """Tell whether what can be read of a damaged header leaves it possible that its columns are
    ours, in our order.
    """
    known = [COLUMNS.index(name) for name in fields if name in COLUMNS]
    return known == sorted(known)


def _read_row(columns: Sequence[str], fields: Sequence[str]) -> Row:
    if not columns:
        raise ValueError("the damaged names of the columns are in another order")
    if len(fields) > len(columns):
        raise ValueError("more fields than columns")
    line = dict(zip(columns, fields, strict=False))
    missing = [c for c in COLUMNS if c not in line and (c in columns or c not in _LATER)]
    if missing:
        raise ValueError(f"no {missing[0]}")
    row: Row = {}
    for column in COLUMNS:
        text = line.get(column, "")
        if column in _MAPPINGS:
            row[column] = json.loads(text)
            if not isinstance(row[column], dict):
                raise ValueError(f"{column} are no options")
        elif column == "normalize":
            row[column] = {"True": True, "False": False}[text]
        elif column in _NUMBERS:
            row[column] = _NUMBERS[column](text) if text else None
        else:
            row[column] = text
    row["warmup"] = row["warmup"] or 0
    if not row["key"] or not row["status"]:
        raise ValueError("no key or status")
    return row | {column: text for column, text in line.items() if column not in COLUMNS}


def is_number(value: Any) -> bool:
    """Return whether a row has a finite number in a column."""
    return value is not None and math.isfinite(value)


def matches(row: Row, where: Mapping[str, Any]) -> bool:
    """Return whether a row's columns, and the options of its data and loss, have the values given."""
    flat = {**row["data_options"], **row["loss_options"], **row}
    return all(flat.get(name) == value for name, value in where.items())
