"""Rows of the store: what a row holds, and how a file of rows is read and written."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from vaedis import __version__, _check, _files
from vaedis._support.text import plain
from vaedis.data import DATA_SETS
from vaedis.spec import GIVEN, RunSpec
from vaedis_companion import project
from vaedis_companion.profiles import COORDINATES, PROFILES

Row = dict[str, Any]

# a run with custom parts has no row
SPEC_COLUMNS = tuple(name for name in RunSpec.__dataclass_fields__ if name != "custom")
OPTION_COLUMNS = ("data_options", "loss_options", "model_options")
# scores that lie from 0 to 1, up to rounding, and those of them that every finished run has
_SHARES = ("mig", "dci", "dci_completeness", "dci_informativeness", "mig_max", "dci_max")
_NEEDED = ("mig", "dci")
_ROUNDING = 1e-6
# sums over latents and steps, in float32, of what is never below 0
_NEVER_NEGATIVE = ("final_loss", "final_recon", "final_kl", "beta_sum", "seconds")
_SUM_ROUNDING = 1e-4
SCORE_COLUMNS = (*_SHARES, "final_loss", "final_recon", "final_kl", "beta_sum")
_GIVEN_COLUMNS = (
    *("origin", "protocol", "images_per_second", "seconds", "device", "precision", "threads"),
    *("torch", "python", "vaedis", "commit", "date"),
)
COLUMNS = ("key", "experiment", "profile", "status", *SPEC_COLUMNS, *SCORE_COLUMNS, *_GIVEN_COLUMNS)
# what rows have whose file was written before there was such a column
_LATER_COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("mig_max", "dci_max")),
    **dict.fromkeys(("origin", "precision"), ""),
    **{name: getattr(RunSpec, name) for name in ("warmup", "beta_schedule", "lr_schedule")},
}
_INTEGERS = ("latents", "steps", "batch", "seed", "threads", "warmup")
_FLOATS = ("beta", "lr", *SCORE_COLUMNS, "images_per_second", "seconds")
# Python reads more than repr writes: underscores, spaces and the digits of other scripts
_NUMBER = re.compile(r"[-+.0-9a-zA-Z]+")
# keys and names become parts of paths
_KEY = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
# bytes; a row takes less than 1 kB
_LARGEST_TABLE = 256 * 1024**2


def make_row(
    spec: RunSpec,
    experiment: str,
    profile: str,
    *,
    status: str = "finished",
    scores: Mapping[str, float] | None = None,
    **made_by: Any,
) -> Row:
    """Make a row of the store, a dict by the names in `COLUMNS`.

    `status` is ``"finished"``, or ``"failed: "`` and the reason. `made_by` are ``origin`` (of the
    images), ``protocol``, ``seconds``, ``images_per_second``, ``device``, ``precision`` and
    ``threads``; versions, commit and date are added. A ValueError says if the data set or the loss
    has no name to store, or a score or fact no column.

    Examples
    --------
    >>> from vaedis.spec import RunSpec
    >>> row = make_row(RunSpec(seed=3), "fig9", "laptop", scores={"mig": 0.5})
    >>> row["key"], row["status"], row["seed"], row["mig"]
    ('3173fd106e46d181', 'finished', 3, 0.5)
    """
    if spec.custom or spec.data.startswith(GIVEN) or not isinstance(spec.loss, str):
        own = ", ".join(spec.custom) or f"data {spec.data} or loss {spec.loss!r}"
        raise ValueError(
            f"a run with its own {own} cannot be stored, as a row must name what a run is made of."
        )
    _check.options("row", spec.key, scores or {}, SCORE_COLUMNS)
    _check.options("row", spec.key, made_by, _GIVEN_COLUMNS)
    return {
        "key": spec.key,
        "experiment": experiment,
        "profile": profile,
        "status": status,
        **{name: value for name, value in spec.to_dict().items() if name in SPEC_COLUMNS},
        **(scores or {}),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "vaedis": __version__,
        "commit": project.commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        **made_by,
    }


def spec_of(row: Row) -> RunSpec:
    """Return the specification of a row."""
    return RunSpec(**{name: row[name] for name in SPEC_COLUMNS})


def check_names(row: Row) -> None:
    """Raise a ValueError if a key, experiment or profile could be a path to another folder."""
    if not _KEY.fullmatch(str(row["key"])):
        raise ValueError(f"The key of a run is 16 hexadecimal digits, not {row['key']!r}.")
    for column in ("experiment", "profile"):
        if not is_name(str(row[column])):
            raise ValueError(
                f"The {column} of a run is a name without parts of a path, not {row[column]!r}."
            )


def is_name(text: str) -> bool:
    """Whether a text can name an experiment or a profile, without being a path."""
    return _NAME.fullmatch(text) is not None


def read_rows(path: Path, experiment: str, profile: str) -> list[Row]:
    """Read a table, each row in the file's order of columns; unknown columns stay text.

    A ValueError names the first line that describes no run of this table: a cut or changed line
    must not pass as a row of other numbers. An OSError names a file that cannot be read.
    """
    content = _files.read_plain(path, _LARGEST_TABLE)
    if not content and not path.exists():
        return []
    try:
        return _rows_of(content, experiment, profile)
    except ValueError as problem:
        raise ValueError(f"{path} {problem}") from None


def check_row(row: Row) -> None:
    """Raise a ValueError if a row that is written could not be read again as it is."""
    try:
        (back,) = _rows_of(table_of([row]), row["experiment"], row["profile"])
    except (ValueError, TypeError, OverflowError) as problem:
        raise ValueError(
            f"Run {row['key']} cannot be stored, as its row could not be read again: {problem}."
        ) from None
    for name, value in row.items():
        text = _to_text(name, value)
        # what is not given is read as its default
        if text and _to_text(name, back[name]) != text:
            raise ValueError(
                f"Run {row['key']} cannot be stored, as its {name} {value!r} would be read as "
                f"{back[name]!r}."
            )


def _rows_of(content: bytes, experiment: str, profile: str) -> list[Row]:
    """Return the rows of a file; a ValueError names the first line that is none of this table."""
    number = 1
    rows: dict[str, Row] = {}
    try:
        if not content:
            raise ValueError("the file is empty")
        # an editor may leave empty lines at the end
        text = content.decode("utf-8-sig").rstrip("\r\n")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = next(lines, COLUMNS)
        if len(set(columns)) < len(columns) or set(COLUMNS) - set(columns) - set(_LATER_COLUMNS):
            raise ValueError("the names of the columns were expected")
        for fields in lines:
            number = lines.line_num
            if len(fields) != len(columns):
                raise ValueError(f"it has {len(fields)} fields, not {len(columns)}")
            row = _read_row(dict(zip(columns, fields, strict=True)))
            if (row["experiment"], row["profile"]) != (experiment, profile) or row["key"] in rows:
                raise ValueError("it is of another table, or there twice")
            rows[row["key"]] = row
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as problem:
        reason = plain(str(problem), 200)
        raise ValueError(f"line {number} is no row of results ({reason})") from None
    return list(rows.values())


def _read_row(texts: dict[str, str]) -> Row:
    row = _LATER_COLUMNS | {name: _from_text(name, text) for name, text in texts.items()}
    check_names(row)
    if not row["status"]:
        raise ValueError("no status")
    if row["status"] == "finished":
        _check_scores(row)
    elif not row["status"].startswith("failed"):
        raise ValueError(f"a status is finished, or failed: and why, not {row['status']!r}")
    if spec_of(row).key != row["key"]:  # a spreadsheet may have rounded its numbers
        raise ValueError(f"run {row['key']} is not the one that its line describes")
    _check_origin(row)
    _check_protocol(row)
    return {name: row[name] for name in [*texts, *_LATER_COLUMNS]}


def _check_scores(row: Row) -> None:
    """Raise a ValueError if a finished run has not the scores that it must have."""
    for name in _FLOATS:
        value = row[name]
        if value is None and name not in _NEEDED:
            continue
        if not is_number(value):
            raise ValueError(f"{name} of a finished run must be a finite number, not {value}")
        if name in _SHARES and not -_ROUNDING <= value <= 1 + _ROUNDING:
            raise ValueError(f"{name} must lie from 0 to 1, not {value}")
        if name in _NEVER_NEGATIVE and value < -_SUM_ROUNDING:
            raise ValueError(f"{name} must not be below 0, as it is: {value}")
        if name == "images_per_second" and value <= 0:
            raise ValueError(f"{name} must be above 0, not {value}")


def _check_origin(row: Row) -> None:
    """Raise a ValueError if the images' origin is none that the specification can have.

    It is empty where it was not recorded, as it is of coordinates.
    """
    options = row["data_options"]
    name = options.get("source") if row["data"] == "coordinates" else row["data"]
    if not row["origin"] or name not in DATA_SETS:
        return
    asked = options.get("origin")
    possible = tuple(DATA_SETS[name]) if asked in (None, "auto") else (asked,)
    if row["origin"] not in possible:
        raise ValueError(
            f"the images of run {row['key']} are {' or '.join(possible)}, not {row['origin']!r}"
        )


def _check_protocol(row: Row) -> None:
    """Raise a ValueError if scores are of another protocol than the profile's; it may be empty."""
    name = row["profile"].partition("_")[0]
    size = COORDINATES if name == COORDINATES.name else PROFILES.get(name)
    if row["protocol"] and size is not None and row["protocol"] != size.protocol:
        raise ValueError(
            f"the scores of run {row['key']} are of the protocol {row['protocol']!r}, not of "
            f"{size.protocol!r}, which the {row['profile']} profile has"
        )


def _from_text(column: str, text: str) -> Any:
    if column in OPTION_COLUMNS:
        options = json.loads(text)
        if not isinstance(options, dict):
            raise ValueError(f"{column} are no options")
        return options
    if column == "normalize":
        return {"True": True, "False": False}[text]
    if text and column in (*_INTEGERS, *_FLOATS) and not _NUMBER.fullmatch(text):
        raise ValueError(f"{column} must be a number, not {text!r}")
    if column in _INTEGERS:
        return int(text) if text else _LATER_COLUMNS.get(column)
    if column in _FLOATS:
        return float(text) if text else None
    return text or _LATER_COLUMNS.get(column) or ""


def table_of(rows: Iterable[Row]) -> bytes:
    """Return the file of rows, sorted by key; columns keep the order of the first rows."""
    by_key = {row["key"]: row for row in rows}
    names: dict[str, None] = {}
    for columns in (*by_key.values(), COLUMNS):
        names |= dict.fromkeys(columns)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for key in sorted(by_key):
        writer.writerow(_to_text(name, by_key[key].get(name)) for name in names)
    return text.getvalue().encode()


def _to_text(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column in OPTION_COLUMNS:
        return json.dumps(value, sort_keys=True)
    if column in _FLOATS:
        return repr(float(value))
    return " ".join(str(value).splitlines())  # one run is one line


def is_number(value: Any) -> bool:
    """Return whether a row has a finite number in a column."""
    return value is not None and math.isfinite(value)
