"""Rows of the store: what a row holds, and how a table of rows is read from a file and written."""

from __future__ import annotations

import codecs
import csv
import datetime
import io
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import __version__, _check, _files
from vaedis._support.text import plain
from vaedis.spec import GIVEN, RunSpec
from vaedis_companion import project

Row = dict[str, Any]

# a run that was given something in person has no row
SPEC_COLUMNS = tuple(name for name in RunSpec.__dataclass_fields__ if name != "custom")
OPTION_COLUMNS = ("data_options", "loss_options", "model_options")
SCORE_COLUMNS = (
    "mig",
    "dci",
    "dci_completeness",
    "dci_informativeness",
    "mig_max",
    "dci_max",
    "final_loss",
    "final_recon",
    "final_kl",
    "beta_sum",
)
_GIVEN_COLUMNS = (
    "origin",
    "protocol",
    "images_per_second",
    "seconds",
    "device",
    "precision",
    "threads",
    "torch",
    "python",
    "vaedis",
    "commit",
    "date",
)
COLUMNS = ("key", "experiment", "profile", "status", *SPEC_COLUMNS, *SCORE_COLUMNS, *_GIVEN_COLUMNS)
# files of earlier versions lack these, or have another name for them
_SCHEDULES = ("beta_schedule", "lr_schedule")
_LATER_COLUMNS = ("mig_max", "dci_max", "origin", "precision", "warmup", *_SCHEDULES)
_EARLIER_NAMES = {"standardise": "normalize"}
_INTEGERS = ("latents", "steps", "batch", "seed", "threads", "warmup")
_FLOATS = ("beta", "lr", *SCORE_COLUMNS, "images_per_second", "seconds")
# keys and names become parts of paths
_KEY = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
# bytes; a row takes less than 1 kB
_LARGEST_TABLE = 256 * 1024**2

# arrays of a run: groups that hold a square matrix for each factor (`runs.summarise`),
# and arrays or groups that hold one value for each entry of another array
_LEVELS = ("factors", "x", "z", "kl", "reconstruction")
_CURVES = {
    "steps": ("loss", "recon", "kl"),
    "learnt_steps": ("separation/", "reconstructed/"),
    "course_steps": ("course/",),
}


def make_row(
    spec: RunSpec,
    experiment: str,
    profile: str,
    *,
    status: str = "finished",
    scores: Mapping[str, float] | None = None,
    **made_by: Any,
) -> Row:
    """Make a row of the store.

    Parameters
    ----------
    spec : RunSpec
    experiment, profile : str
    status : str
        ``"finished"``, or ``"failed: "`` and the reason.
    scores : mapping of str to float, optional
    **made_by
        ``origin`` (of the images), ``protocol``, ``seconds``, ``images_per_second``, ``device``,
        ``precision``, ``threads``. Versions, commit and date are added.

    Returns
    -------
    dict of str to Any
        By the names in `COLUMNS`.

    Raises
    ------
    ValueError
        If the data set or the loss has no name to store, or a score or fact has no column.

    Examples
    --------
    >>> from vaedis.spec import RunSpec
    >>> row = make_row(RunSpec(seed=3), "fig9", "laptop", scores={"mig": 0.5})
    >>> row["key"], row["status"], row["seed"], row["mig"]
    ('3173fd106e46d181', 'finished', 3, 0.5)
    """
    if spec.custom:
        raise ValueError(
            f"a run with its own {', '.join(spec.custom)} cannot be stored, as a row must name it."
        )
    if spec.data.startswith(GIVEN) or not isinstance(spec.loss, str):
        raise ValueError(
            f"a run on {spec.data} with the loss {spec.loss!r} cannot be stored, as a row must "
            "name both; only data sets and losses that vaedis knows by a name can."
        )
    scores = scores or {}
    _check.options("row", spec.key, scores, SCORE_COLUMNS)
    _check.options("row", spec.key, made_by, _GIVEN_COLUMNS)
    return {
        "key": spec.key,
        "experiment": experiment,
        "profile": profile,
        "status": status,
        **{name: value for name, value in spec.to_dict().items() if name in SPEC_COLUMNS},
        **scores,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "vaedis": __version__,
        "commit": project.commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        **made_by,
    }


def spec_of(row: Row) -> RunSpec:
    """Return the specification of a row.

    Examples
    --------
    >>> from vaedis.spec import RunSpec
    >>> spec_of(make_row(RunSpec(seed=3), "fig9", "laptop")) == RunSpec(seed=3)
    True
    """
    return RunSpec(**{name: row[name] for name in SPEC_COLUMNS})


def flat(row: Row) -> Row:
    """Return a row with the options of its data and loss as columns; a column hides an option."""
    return {**row["data_options"], **row["loss_options"], **row}


def is_name(text: str) -> bool:
    """Whether a text can name an experiment or a profile, without being a path."""
    return _NAME.fullmatch(text) is not None


def check_names(row: Row) -> None:
    """Raise a ValueError if a key, experiment or profile could be a path to another folder."""
    if not _KEY.fullmatch(str(row["key"])):
        raise ValueError(f"The key of a run is 16 hexadecimal digits, not {row['key']!r}.")
    for column in ("experiment", "profile"):
        if not is_name(str(row[column])):
            raise ValueError(
                f"The {column} of a run is a name without parts of a path, not {row[column]!r}."
            )


@dataclass
class Table:
    """A file of rows, with the lines that could not be read and what is wrong with each."""

    path: Path
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, experiment: str, profile: str) -> Table:
        """Read a file line by line; an OSError if it cannot be read at all."""
        table = cls(path)
        # bytes that are no text damage their line only, and are written back as they are
        content = _files.read_plain(path, _LARGEST_TABLE).removeprefix(codecs.BOM_UTF8)
        text = content.decode(errors="surrogateescape").removesuffix("\n")
        columns: Sequence[str] = COLUMNS
        numbers: dict[str, int] = {}
        for number, line in enumerate(text.split("\n") if text else [], 1):
            try:
                fields = _fields(line)
                if number == 1:
                    columns = _columns_without_header(fields)  # in case the header is damaged
                    columns = table.columns = _read_header(fields)
                    continue
                row = _read_row(fields, columns, experiment, profile)
                if row["key"] in numbers:
                    raise ValueError(f"the run of line {numbers[row['key']]} again")
            except (ValueError, TypeError, KeyError, RecursionError, csv.Error) as problem:
                table.damaged.append(line)
                reason = plain(str(problem), 200)
                table.problems.append(f"{path} line {number} is no row of results ({reason})")
            else:
                numbers[row["key"]] = number
                table.rows.append(row)
        return table

    def replace(self, rows: Iterable[Row]) -> None:
        """Add rows in place of those with the same keys."""
        by_key = {row["key"]: row for row in (*self.rows, *rows)}
        self.rows = [by_key[key] for key in sorted(by_key)]

    def to_bytes(self) -> bytes:
        """Return the file. Unknown columns keep their place, as damaged lines rely on it."""
        names = dict.fromkeys([*self.columns, *COLUMNS])
        for row in self.rows:
            names |= dict.fromkeys(row)
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for row in self.rows:
            writer.writerow(_to_text(name, row.get(name)) for name in names)
        text.writelines(f"{line}\n" for line in self.damaged)
        return text.getvalue().encode(errors="surrogateescape")


def _fields(line: str) -> list[str]:
    if any("\udc80" <= letter <= "\udcff" for letter in line):
        raise ValueError("bytes that are no UTF-8")
    return next(csv.reader([line], strict=True), [])


def _read_header(fields: Sequence[str]) -> list[str]:
    names = [_EARLIER_NAMES.get(name, name) for name in fields]
    if "key" not in names or len(set(names)) < len(names):
        raise ValueError("the names of the columns were expected")
    return names


def _columns_without_header(fields: Sequence[str]) -> Sequence[str]:
    """Return `COLUMNS` if a damaged header leaves it possible that its columns are in our order."""
    known = [COLUMNS.index(name) for name in fields if name in COLUMNS]
    return COLUMNS if known == sorted(known) else ()


def _read_row(fields: Sequence[str], columns: Sequence[str], experiment: str, profile: str) -> Row:
    """Read a row, or raise an error unless it is of this table and describes a run."""
    if not columns:
        raise ValueError("the damaged names of the columns are in another order")
    if len(fields) > len(columns):
        raise ValueError("more fields than columns")
    texts = dict(zip(columns, fields, strict=False))
    for column in COLUMNS:
        if column not in texts and (column in columns or column not in _LATER_COLUMNS):
            raise ValueError(f"no {column}")
    row = {column: _from_text(column, texts.get(column, "")) for column in COLUMNS}
    row["warmup"] = row["warmup"] or 0
    for name in _SCHEDULES:
        row[name] = row[name] or getattr(RunSpec, name)
    if not row["status"]:
        raise ValueError("no status")
    if not _KEY.fullmatch(row["key"]):
        raise ValueError(f"its key {row['key']!r} is not 16 hexadecimal digits")
    if (row["experiment"], row["profile"]) != (experiment, profile):
        raise ValueError(f"it is of {row['experiment']!r}, {row['profile']!r}")
    spec_of(row)
    return row | {column: text for column, text in texts.items() if column not in COLUMNS}


def _from_text(column: str, text: str) -> Any:
    if column in OPTION_COLUMNS:
        options = json.loads(text)
        if not isinstance(options, dict):
            raise ValueError(f"{column} are no options")
        return options
    if column == "normalize":
        return {"True": True, "False": False}[text]
    if column in _INTEGERS:
        return int(text) if text else None
    if column in _FLOATS:
        return float(text) if text else None
    return text


def _to_text(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column in OPTION_COLUMNS:
        return json.dumps(value, sort_keys=True)
    if column in _FLOATS:
        return repr(float(value))
    # one run is one line, so that a damaged line takes no other with it
    return " ".join(str(value).splitlines())


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a run; a ValueError if they are damaged or do not belong together."""
    arrays = _files.load_npz(path)
    problem = _problem_of(arrays)
    if problem:
        raise ValueError(f"{path} cannot be read ({problem})")
    return arrays


def _problem_of(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Return what is wrong with the arrays of a run, or None."""
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            return f"{name} holds no numbers"
    levels = [_shapes(arrays, f"{level}/") for level in _LEVELS]
    levels = [shapes for shapes in levels if shapes]
    shapes = [shape for level in levels for shape in level.values()]
    square = all(len(shape) == 2 and shape[0] == shape[1] for shape in shapes)
    if not square or any(level != levels[0] for level in levels):
        return "the matrices of its factors do not belong together"
    for steps, names in _CURVES.items():
        for shape in [shape for name in names for shape in _shapes(arrays, name).values()]:
            # of a course, each entry may be a matrix
            length = shape[:1] if steps == "course_steps" else shape
            if steps in arrays and length != arrays[steps].shape:
                return f"a course has another length than {steps}"
    return None


def _shapes(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one array, or of a group of arrays if its name ends with a slash."""
    if not name.endswith("/"):
        return {name: arrays[name].shape} if name in arrays else {}
    names = [full for full in arrays if full.startswith(name)]
    return {full.removeprefix(name): arrays[full].shape for full in names}
