"""Where data sets are kept on disk, and what may go wrong there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class DataError(RuntimeError):
    """A data set cannot be fetched, read or stored; the message says why and what to do.

    Examples
    --------
    >>> import vaedis as vd
    >>> raise vd.data.DataError("toy.h5 cannot be had; try again.")
    Traceback (most recent call last):
    vaedis.data.originals.disk.DataError: toy.h5 cannot be had; try again.
    """


def cache_folder() -> Path:
    """Return ``VAEDIS_DATA``, or ``vaedis`` in the user's cache folder."""
    if os.environ.get("VAEDIS_DATA"):
        return Path(os.environ["VAEDIS_DATA"]).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "vaedis"


def offline() -> bool:
    """Tell whether ``VAEDIS_OFFLINE`` forbids the network; a ValueError if it is no yes or no."""
    value = os.environ.get("VAEDIS_OFFLINE", "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"VAEDIS_OFFLINE must be 1 or 0, not {value!r}.")


@contextlib.contextmanager
def progress(label: str, total: int | None, unit: str = "B") -> Iterator[Any]:
    """Show a bar on a terminal; yield the function to call with each further amount."""
    from tqdm import tqdm

    bar = tqdm(desc=label, total=total, unit=unit, unit_scale=True, disable=None, leave=False)
    with bar:
        yield bar.update


@contextlib.contextmanager
def writing(description: str) -> Iterator[None]:
    """Turn a full disk, or a folder that cannot be written to, into a DataError."""
    try:
        yield
    except OSError as problem:
        raise DataError(
            f"Could not write {description}: {problem.filename or cache_folder()}: "
            f"{problem.strerror or problem}; make room, or set VAEDIS_DATA to another folder."
        ) from problem
