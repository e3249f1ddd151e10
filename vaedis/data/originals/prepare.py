"""From a data set's name to one converted file on disk: the original, downloaded and checked, or a
stand-in, drawn here.

Everything of a data set lies in one folder of the cache: ``files/`` with the originals,
``original.npy`` and ``stand-in.npy`` with the images. Whoever writes there holds the folder's lock;
whoever reads needs none, since a file gets its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vaedis import _check
from vaedis.data.originals import converted, fetch
from vaedis.data.originals.catalog import BENCHMARKS, Original
from vaedis.data.originals.disk import DataError, cache_folder, offline, plain_os_errors, progress

NEEDED = {
    "requests": "requests",
    "tqdm": "tqdm",
    "filelock": "filelock",
    "h5py": "h5py",
    "scipy": "scipy",
    "PIL": "pillow",
}
STORED_ORIGINS = {
    "dsprites": ("original",),
    "shapes3d": ("original",),
    "cars3d": ("original", "stand-in"),
    "smallnorb": ("original", "stand-in"),
}

_refused: dict[
    str, str
] = {}  # why a download failed, for each data set that this process has asked for
_told: set[str] = set()


class StandInWarning(UserWarning):
    """Images drawn by this package are used, because the originals cannot be had."""


def folder(name: str) -> Path:
    """Return the folder of a data set in the cache, which need not exist."""
    return cache_folder() / name


def stored_path(name: str, origin: str) -> Path:
    """Return where a data set's converted images lie, if it has been prepared."""
    return folder(name) / f"{origin}.npy"


def stored_facts(name: str, origin: str) -> dict[str, Any] | None:
    """Return what is known of a data set's converted images, or None if it has not been prepared."""
    facts = converted.read_facts(stored_path(name, origin))
    if facts is not None and origin == "stand-in":
        from vaedis.data.standins import scenes

        # it is drawn anew when its drawing has changed
        return facts if facts.get("drawing") == scenes.VERSION else None
    return facts


def is_damaged(name: str, origin: str) -> bool:
    """Tell whether a data set's images and what is known of them lie on disk, and yet do not belong
    together or cannot be read.
    """
    path = stored_path(name, origin)
    return (
        path.exists() and path.with_suffix(".json").exists() and converted.read_facts(path) is None
    )


def need_extra() -> None:
    """Raise an ImportError that names the extra if a package that prepares data sets is missing."""
    missing = [
        package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ImportError(
            f"Preparing a data set needs {', '.join(missing)}: pip install 'vaedis[data]'."
        )


def wanted_files(name: str, source: str | os.PathLike[str] | None = None) -> tuple[Original, ...]:
    """Return the files to make a data set from: those that are on this machine already, or else the
    first format published.
    """
    groups = BENCHMARKS[name].originals
    return next(
        (group for group in groups if all(_is_here(name, original, source) for original in group)),
        groups[0],
    )


def prepare(
    name: str,
    origin: str = "original",
    *,
    source: str | os.PathLike[str] | None = None,
    force: bool = False,
    patient: bool = True,
) -> dict[str, Any]:
    """Make a data set's images ready to be read: fetch and check its files, or draw its stand-in, and
    convert them once.

    Parameters
    ----------
    name : {"dsprites", "shapes3d", "cars3d", "smallnorb"}
    origin : {"original", "stand-in"}
        Stand-ins exist for Cars3D and SmallNORB.
    source : str or path, optional
        A folder, or the URL of one, that holds the original files; nothing else is then asked.
    force : bool
        Check the files' sums again, and convert them anew, even if that has been done.
    patient : bool
        Try a mirror again when it fails in a way that may pass.

    Returns
    -------
    dict
        What is known of the images: ``origin``, ``source`` (the files), ``shape``, ``bytes``,
        ``sha256``, ``mean``, ``std``, …

    Raises
    ------
    ValueError
        If there is no such data set or origin.
    DataError
        If the files cannot be had, read or stored; nothing half-written is left.
    ImportError
        If the extra ``data`` is not installed.
    """
    _check.one_of("data set with files", name, BENCHMARKS)
    _check.one_of(f"origin of data set {name!r} to prepare", origin, STORED_ORIGINS[name])
    facts = stored_facts(name, origin)
    if facts is not None and not force:
        return facts
    need_extra()
    with locked(name):
        # another process may have been quicker
        facts = stored_facts(name, origin)
        if facts is not None and not force:
            return facts
        _check_space(name, origin, source)
        if origin == "original":
            place = folder(name) / "files"
            files = [
                fetch.fetch(original, place, source=source, patient=patient)
                for original in wanted_files(name, source)
            ]
            return _convert(name, origin, files, [place / file["file"] for file in files])
        place = folder(name) / "stand-in-files.tmp"
        try:
            paths = _draw_stand_in(name, place)
            return _convert(name, origin, [fetch.describe(path) for path in paths], paths)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _convert(
    name: str, origin: str, files: list[dict[str, Any]], paths: list[Path]
) -> dict[str, Any]:
    from vaedis.data.originals.readers import READERS

    facts: dict[str, Any] = {
        "name": name,
        "origin": origin,
        "source": files,
        "made_by": _versions(),
    }
    if origin == "stand-in":
        from vaedis.data.standins import scenes

        facts["drawing"] = scenes.VERSION
    try:
        return converted.write(
            stored_path(name, origin), READERS[name](*paths), BENCHMARKS[name].stored_shape, facts
        )
    except ValueError as problem:
        raise DataError(f"{name} cannot be converted: {problem}") from problem


def _draw_stand_in(name: str, place: Path) -> list[Path]:
    """Write a stand-in in the original's own file formats into a new folder; return its files in
    the order that the reader takes.
    """
    from vaedis.data.standins import scenes

    with (
        plain_os_errors(f"the stand-in of {name} to {place}"),
        progress(f"drawing {name}", None, unit="object") as told,
    ):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return list(scenes.write(name, place, progress=lambda done, total: told(1)))


def _on_terminal() -> bool:
    return sys.stderr.isatty()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of a data set's folder; it goes with the process, however that ends."""
    from filelock import FileLock, Timeout

    place = folder(name)
    with plain_os_errors(f"to {place}"):
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            # as with bars of progress, nothing in a notebook or a log
            if _on_terminal():
                print(f"vaedis: waiting for another process that prepares {name}", file=sys.stderr)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def converted_bytes(name: str) -> int:
    """Return how large a data set's images are, once converted."""
    return math.prod(BENCHMARKS[name].stored_shape)


def _check_space(name: str, origin: str, source: str | os.PathLike[str] | None) -> None:
    """Raise a DataError if there is no room for what is to be fetched, as far as its size is known,
    and converted.
    """
    needed = converted_bytes(name)
    for original in wanted_files(name, source) if origin == "original" else ():
        path = folder(name) / "files" / original.file
        have = path.stat().st_size if path.exists() else 0
        needed += max(0, (original.size or 0) - have)
    with plain_os_errors(f"to {folder(name)}"):
        free = shutil.disk_usage(folder(name)).free
    if needed > free:
        raise DataError(
            f"{name} needs {needed / 1e6:,.0f} MB in {folder(name)}, where {free / 1e6:,.0f} MB are free; "
            "make room, or set VAEDIS_DATA to a folder with more."
        )


def _versions() -> dict[str, str]:
    from importlib import metadata

    return {
        package: metadata.version(package)
        for package in ("vaedis", "numpy", "pillow", "h5py", "scipy")
    }


def best_origin(name: str, origins: Iterable[str]) -> str:
    """Return the origin that ``"auto"`` means here and now, prepared if it is one that lies on disk.

    The original if it is on disk; else what can be rendered; else the original is fetched, unless
    ``VAEDIS_OFFLINE`` is set; and where that fails, the stand-in takes its place, with one
    `StandInWarning` a process.
    """
    if stored_facts(name, "original") is not None:
        return "original"
    if "rendered" in origins:
        return "rendered"
    if "stand-in" not in origins:
        return "original"
    reason = _why_no_original(name)
    if reason is None:
        return "original"
    if name not in _told:
        _told.add(name)
        drawn = (
            ""
            if stored_facts(name, "stand-in")
            else ", which is drawn first, once, and takes minutes"
        )
        warnings.warn(
            f"The original {name} is not on disk and cannot be had ({reason}); using its stand-in{drawn}. "
            f"For the original: vaedis data prepare {name}.",
            StandInWarning,
            stacklevel=3,
        )
    prepare(name, "stand-in")
    return "stand-in"


def _why_no_original(name: str) -> str | None:
    """Prepare the original if that is possible, and say why where it is not; a server is asked once
    a process.
    """
    files = wanted_files(name)
    if offline() and not all(_is_here(name, original) for original in files):
        return "VAEDIS_OFFLINE is set"
    if name not in _refused:
        try:
            prepare(name, patient=False)
            return None
        except (DataError, ImportError) as problem:
            _refused[name] = str(problem).rstrip(".")
    return _refused[name]


def _is_here(name: str, original: Original, source: str | os.PathLike[str] | None = None) -> bool:
    """Tell whether a file is on this machine: from an earlier download, or at a local source."""
    urls = fetch.places(original, source)
    downloaded = (folder(name) / "files" / original.file).exists()
    return downloaded or any(fetch.local_path(url).exists() for url in urls if fetch.is_local(url))
