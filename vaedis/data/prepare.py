"""Make a data set ready to be read: the original, fetched and checked, or a stand-in, drawn here.

All of a data set is in one folder of the cache: ``files/`` with the originals, ``original.npy`` and
``stand-in.npy`` with the images. Who writes there holds the folder's lock; who reads needs none.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._files import locked
from vaedis.data.originals import converted, fetch
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.disk import DataError, cache_folder, offline, progress, writing

STORED_ORIGINS: dict[str, tuple[str, ...]] = {
    "dsprites": ("original",),
    "shapes3d": ("original",),
    "cars3d": ("original", "stand-in"),
    "smallnorb": ("original", "stand-in"),
}

# why an original could not be had, by data set: a server is asked once a process
_failures: dict[str, str] = {}
_warned: set[str] = set()


class StandInWarning(UserWarning):
    """Images drawn by this package are used, because the originals are not available.

    Examples
    --------
    To avoid it, ask for ``origin="stand-in"`` in `vaedis.load`, or ignore it:

    >>> import warnings
    >>> import vaedis as vd
    >>> warnings.simplefilter("ignore", vd.data.StandInWarning)
    """


def folder(name: str) -> Path:
    """Return the folder of a data set in the cache, which need not exist."""
    return cache_folder() / name


def stored_path(name: str, origin: str) -> Path:
    """Return the path of a data set's converted images, which need not exist."""
    return folder(name) / f"{origin}.npy"


def stored_facts(name: str, origin: str) -> dict[str, Any] | None:
    """Return what is known of a data set's converted images; None if they are not current."""
    facts = converted.read_facts(stored_path(name, origin))
    if facts is not None and origin == "stand-in":
        from vaedis.data.standins import scenes

        return facts if facts.get("drawing") == scenes.VERSION else None
    return facts


def check_request(name: str, origin: str) -> None:
    """Raise a ValueError if there is no such data set, or origin of it, to prepare."""
    _check.one_of("data set with files", name, BENCHMARKS)
    _check.one_of(f"origin of data set {name!r} to prepare", origin, STORED_ORIGINS[name])


def prepare(
    name: str,
    origin: str = "original",
    *,
    source: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Convert a data set's original files, or draw its stand-in; return what is known of it.

    `source`, a folder or its URL, replaces the usual ones. A DataError leaves nothing half-written.
    """
    check_request(name, origin)
    force = _check.flag("force", force)
    facts = stored_facts(name, origin)
    if facts is not None and not force:
        return facts
    for module in ("tqdm", "filelock", "h5py", "scipy", "PIL"):
        _check.package(module, "prepare a data set", "data")
    with writing(f"to {folder(name)}"):
        folder(name).mkdir(parents=True, exist_ok=True)
        with locked(folder(name), silent=not sys.stderr.isatty()):
            # another process may have been faster
            facts = stored_facts(name, origin)
            if facts is None or force:
                # what a killed process has left
                for temporary in folder(name).rglob(".*.tmp"):
                    temporary.unlink()
                facts = _draw(name) if origin == "stand-in" else _convert(name, source)
    return facts


def _convert(name: str, source: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Fetch the original files of a data set and convert them."""
    benchmark = BENCHMARKS[name]
    files = folder(name) / "files"
    facts = _facts(name, "original")
    facts["source"] = [fetch.fetch(file, files, source=source) for file in benchmark.originals]
    blocks = _read(name, [files / file.file for file in benchmark.originals])
    return converted.write(stored_path(name, "original"), blocks, benchmark.stored_shape, facts)


def _read(name: str, paths: list[Path]) -> Iterator[np.ndarray]:
    """Yield the images of original files; turn what a library raises on them into one sentence."""
    from vaedis.data.originals.readers import READERS

    try:
        yield from READERS[name](paths, BENCHMARKS[name].sizes)
    except Exception as problem:
        reason = str(problem).partition("\n")[0] or type(problem).__name__
        raise DataError(f"{name} cannot be converted: {reason}") from problem


def _draw(name: str) -> dict[str, Any]:
    """Draw the stand-in of a data set."""
    from vaedis.data.standins import scenes

    with progress(f"drawing {name}", None, unit="object") as advance:
        images = scenes.draw(name, advance)
    facts = _facts(name, "stand-in") | {"drawing": scenes.VERSION}
    path = stored_path(name, "stand-in")
    return converted.write(path, [images], BENCHMARKS[name].stored_shape, facts)


def _facts(name: str, origin: str) -> dict[str, Any]:
    packages = ("vaedis", "numpy", "pillow", "h5py", "scipy")
    versions = {package: metadata.version(package) for package in packages}
    return {"name": name, "origin": origin, "made_by": versions}


def best_origin(name: str, origins: Iterable[str]) -> str:
    """Return the origin that ``"auto"`` means here and now, prepared if it is one on disk.

    The order is: the original on disk, what is rendered, the original fetched, the stand-in.
    """
    if stored_facts(name, "original") is not None:
        return "original"
    if "rendered" in origins:
        return "rendered"
    failure = _fetch_failure(name)
    if failure is None or "stand-in" not in origins:
        return "original"
    if name not in _warned:
        _warned.add(name)
        drawing = ""
        if stored_facts(name, "stand-in") is None:
            drawing = ", which is drawn first, once, and takes minutes"
        warnings.warn(
            f"The original {name} is not on disk and cannot be had ({failure}); using its "
            f"stand-in{drawing}. For the original: vaedis data prepare {name}.",
            StandInWarning,
            stacklevel=3,
        )
    prepare(name, "stand-in")
    return "stand-in"


def _fetch_failure(name: str) -> str | None:
    """Prepare the original if that is possible, and otherwise say why it is not."""
    files = [folder(name) / "files" / original.file for original in BENCHMARKS[name].originals]
    if offline() and not all(file.exists() for file in files):
        return "VAEDIS_OFFLINE is set"
    if name not in _failures:
        try:
            prepare(name)
            return None
        except (DataError, ImportError) as problem:
            _failures[name] = str(problem).rstrip(".")
    return _failures[name]
