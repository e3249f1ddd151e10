"""Take the runs of another store into one, and say where the two contradict each other."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vaedis import _files
from vaedis_companion.grids import COORDINATE_GRIDS, GRIDS, PROFILES, grid
from vaedis_companion.profiles import COORDINATES
from vaedis_companion.store.rows import SCORE_COLUMNS, Row, read_rows

if TYPE_CHECKING:
    from vaedis_companion.store.folder import Store


@dataclass(frozen=True)
class Merged:
    """What became of the runs of another store.

    So many were `taken` in, so many were `known`, and to so many of these arrays were `added`.
    `differ` names the known ones that have other scores or arrays there: those here stay.
    """

    taken: int
    known: int
    added: int
    differ: tuple[str, ...] = ()


def merge(store: Store, other: Store) -> Merged:
    """Take the runs of another store into one: see `Store.merge`."""
    if not other.tables():
        raise ValueError(
            f"{other.root} holds no table of results (<experiment>-<profile>.csv); "
            "give the folder that a sweep wrote to."
        )
    new = []
    differ = []
    n_known = n_added = 0
    store.check_folder()
    try:
        for experiment, profile in other.tables():
            rows_here = {row["key"]: row for row in store.read(experiment, profile)}
            for row in _checked_rows(other, experiment, profile):
                known = rows_here.get(row["key"])
                if known is None or (_failed(known) and not _failed(row)):
                    _checked_arrays(other, row)
                    new.append(row)
                    continue
                n_known += 1
                if _differs(store, known, other, row):
                    differ.append(f"{experiment}-{profile} {row['key']}")
                elif row == known and not _has_arrays(store, row) and _checked_arrays(other, row):
                    n_added += 1
                    new.append(row)
    except (ValueError, OSError) as problem:
        raise ValueError(f"Nothing was taken in, because {problem}; mend it.") from None
    for row in new:
        store.add(row, _checked_arrays(other, row))
    return Merged(len(new) - n_added, n_known, n_added, tuple(differ))


def _failed(row: Row) -> bool:
    return bool(row["status"] != "finished")


def _differs(store: Store, known: Row, other: Store, row: Row) -> bool:
    """Return whether two finished runs of one key have other scores or arrays.

    A run that failed on one side is no contradiction: the one that finished counts.
    """
    if _failed(known) or _failed(row):
        return False
    pairs = [(known[name], row[name]) for name in SCORE_COLUMNS]
    # an older version stored fewer scores
    if any(a != b for a, b in pairs if a is not None and b is not None):
        return True
    if not _has_arrays(store, known):
        return False
    arrays = _checked_arrays(other, row)
    known_arrays = store.arrays(known)
    common = arrays.keys() & known_arrays.keys()
    return any(not _equal(arrays[name], known_arrays[name]) for name in common)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    is_alike = one.dtype == other.dtype and one.shape == other.shape
    return is_alike and one.tobytes() == other.tobytes()  # NaN equals NaN here


def _has_arrays(store: Store, row: Row) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _files.DamagedFile)
        return bool(store.arrays(row))


def _checked_rows(other: Store, experiment: str, profile: str) -> list[Row]:
    """Return the rows of someone else's table; a ValueError if anything in it is wrong."""
    path = other.table_path(experiment, profile)
    _check_plain(path)
    rows = read_rows(path, experiment, profile)
    expected = _keys_of_grid(experiment, profile)
    for row in rows:
        if expected is not None and not row["protocol"]:
            raise ValueError(
                f"{path}: run {row['key']} does not say by which protocol it is scored"
            )
        if expected is not None and row["key"] not in expected:
            raise ValueError(
                f"{path}: {experiment} has no run {row['key']} in the {profile} profile, "
                "perhaps since another version of vaedis made it"
            )
    return rows


def _checked_arrays(other: Store, row: Row) -> dict[str, np.ndarray]:
    """Return the arrays of someone else's row; a ValueError if they are damaged or a link."""
    path = other.arrays_path(row)
    if not os.path.lexists(path) and not path.parent.is_symlink():
        return {}
    _check_plain(path)
    return _files.load_npz(path)


def _keys_of_grid(experiment: str, profile: str) -> set[str] | None:
    """Return the keys of an experiment's runs in a profile; None if either is unknown."""
    size = {**PROFILES, COORDINATES.name: COORDINATES}.get(profile)
    if size is None or experiment not in (COORDINATE_GRIDS if size.coordinates else GRIDS):
        return None
    return {spec.key for spec in grid(experiment, size)}


def _check_plain(path: Path) -> None:
    """Raise a ValueError if a path of someone else's folder is a link, lies in one, or no file."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        raise ValueError(f"{path} is a link or no plain file, and is not followed")
