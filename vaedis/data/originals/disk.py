"""Where data sets are kept, and what happens there: the cache's folder, going online or not, full
disks, bars that show progress.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class DataError(RuntimeError):
    """A data set cannot be fetched, read or stored; the message is one sentence that says why and
    what to do.
    """


# tqdm's own lock is shared by forked processes, and one that is killed while it draws would keep it
# for ever
_BAR_LOCK = threading.RLock()


def cache_folder() -> Path:
    """Return the folder of everything that is downloaded or made once: ``VAEDIS_DATA``, or
    ``vaedis`` in the user's cache folder.
    """
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
    """Tell whether ``VAEDIS_OFFLINE`` forbids the network; a ValueError if it is neither yes nor
    no.
    """
    said = os.environ.get("VAEDIS_OFFLINE", "").strip().lower()
    if said in ("1", "true", "yes", "on"):
        return True
    if said in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"VAEDIS_OFFLINE must be 1 or 0, not {said!r}.")


@contextlib.contextmanager
def progress(label: str, total: int | None, unit: str = "B") -> Iterator[Any]:
    """Show a bar on a terminal, and nothing elsewhere; yields a function that takes how much has
    been added.
    """
    from tqdm import tqdm

    tqdm.set_lock(_BAR_LOCK)
    with tqdm(
        desc=label, total=total, unit=unit, unit_scale=True, disable=None, leave=False
    ) as bar:
        yield bar.update


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def plain_os_errors(what: str) -> Iterator[None]:
    """Turn a full disk, a quota or a folder that cannot be written to into one sentence."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            free = f"{shutil.disk_usage(_existing(cache_folder())).free / 1e6:,.0f} MB are free"
            why = f"the disk is full or a quota is used up ({free}); make room, or set VAEDIS_DATA to a folder with more"
        else:
            why = f"{problem.filename or cache_folder()}: {problem.strerror or problem}; set VAEDIS_DATA to a folder that can be written to"
        raise DataError(f"Could not write {what}: {why}.") from problem


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.resolve().parents) if place.exists())
