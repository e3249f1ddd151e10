"""What ``vaedis data`` does: say what is on disk, and prepare what is not."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from vaedis import _check
from vaedis._support.text import plain
from vaedis.data import DATA_SETS
from vaedis.data.originals import converted, fetch, prepare as _prepare
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.disk import DataError, cache_folder, offline


def show_status(*, verify: bool = False) -> int:
    """Print a line for each data set and origin, and return 1 if an image file is damaged or does
    not match its hash.
    """
    rows = [("data set", "origin", "on disk", "size", "sha256")]
    wrong: list[tuple[str, str]] = []
    for name, origins in DATA_SETS.items():
        for origin in origins:
            if origin in ("generated", "rendered"):
                rows.append((name, origin, "not needed", "-", "-"))
                continue
            facts = _prepare.stored_facts(name, origin)
            state, size, digest = "no", "-", "-"
            if facts is not None:
                state, size, digest = "yes", _size(facts["bytes"]), facts["sha256"]
                if verify:
                    same = converted.is_verified(_prepare.stored_path(name, origin), facts)
                    state = "verified" if same else "damaged"
                    wrong += [] if same else [(name, origin)]
            elif _prepare.is_damaged(name, origin):
                state = "damaged"
                wrong.append((name, origin))
            elif origin == "original" and (arrived := _arrived(name)):
                state, size = "files only", _size(arrived)
            rows.append((name, origin, state, size, digest))
    print(
        f"cache: {plain(str(cache_folder()))}{'; offline, since VAEDIS_OFFLINE is set' if offline() else ''}"
    )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    for name, origin in wrong:
        print(
            f"Damaged: {name}; run: vaedis data prepare {converted.again(name, origin)}.",
            file=sys.stderr,
        )
    return 1 if wrong else 0


def run_prepare(
    names: Sequence[str] = (),
    *,
    origin: str = "original",
    source: str | None = None,
    force: bool = False,
) -> int:
    """Say what will be fetched and how large it is, and then do so, one data set after the other;
    return 1 if one failed.
    """
    _check.one_of(
        "origin to prepare",
        origin,
        dict.fromkeys(o for origins in _prepare.STORED_ORIGINS.values() for o in origins),
    )
    wanted = list(dict.fromkeys(names)) or [
        name for name, origins in _prepare.STORED_ORIGINS.items() if origin in origins
    ]
    for name in wanted:
        _check.one_of("data set with files", name, BENCHMARKS)
        _check.one_of(
            f"origin of data set {name!r} to prepare", origin, _prepare.STORED_ORIGINS[name]
        )
    if source is not None and origin != "original":
        raise ValueError(
            f"--from names where originals lie, and {origin} images are made here; leave out one of the two."
        )
    if source is not None:
        # also where everything is on disk already
        fetch.check_source(source)
    todo = [name for name in wanted if force or _prepare.stored_facts(name, origin) is None]
    for name in wanted:
        print(
            f"{name}: {plain(_plan(name, origin, source)) if name in todo else f'{origin} is on disk already'}",
            flush=True,
        )
    failed = []
    for name in todo:
        try:
            facts = _prepare.prepare(name, origin, source=source, force=force)
        except DataError as problem:
            # the others may well succeed
            failed.append(name)
            print(plain(f"vaedis: {problem}"), file=sys.stderr, flush=True)
        else:
            print(
                f"{name}: {origin} ready, {_size(facts['bytes'])}, sha256 {facts['sha256']}",
                flush=True,
            )
    return 1 if failed else 0


def _plan(name: str, origin: str, source: str | None) -> str:
    """What preparing a data set is going to do: a line on the whole, and one for each file."""
    into = f"{_size(_prepare.converted_bytes(name))} in {_prepare.stored_path(name, origin)}"
    if origin != "original":
        return f"will draw the stand-in, which takes minutes, and convert it: {into}"
    lines, fetched, known = [], 0, True
    for original in _prepare.wanted_files(name, source):
        path = _prepare.folder(name) / "files" / original.file
        size = fetch.remote_size(original, source)
        large = (
            f"of unknown size, at most {_size(fetch.LARGEST_BYTES)}"
            if size is None
            else _size(size)
        )
        if path.exists():
            lines.append(f"  verify {original.file} ({large}, on disk)")
            continue
        lines.append(
            f"  fetch {original.file} ({large}) from {fetch.public(fetch.places(original, source)[0])}"
        )
        fetched += size or 0
        known = known and size is not None
    if not known:
        how_much = (
            f"{_size(fetched)} and a file of unknown size" if fetched else "a file of unknown size"
        )
    else:
        how_much = _size(fetched) if fetched else "nothing"
    return "\n".join([f"will fetch {how_much} and convert it: {into}", *lines])


def _arrived(name: str) -> int:
    """How many bytes of the originals are on disk."""
    place = _prepare.folder(name) / "files"
    files = {original.file for group in BENCHMARKS[name].originals for original in group}
    return sum(path.stat().st_size for path in place.glob("*") if path.name in files)


def _size(size: int) -> str:
    """A number of bytes to read, to three digits."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_:
            digits = 2 - int(math.log10(size / bytes_))
            return f"{size / bytes_:.{max(0, digits)}f} {unit}"
    return f"{size} bytes"
