"""The command ``vaedis data``: show what is on disk, and prepare what is not."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from vaedis import _check
from vaedis._support.text import plain, size_text
from vaedis.data import DATA_SETS, prepare
from vaedis.data.originals import converted, fetch
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.disk import DataError, cache_folder, offline


def show_status(*, verify: bool = False) -> int:
    """Print a line for each data set and origin; return 1 if an image file is damaged."""
    rows = [("data set", "origin", "on disk", "size", "sha256")]
    damaged = []
    for name, origins in DATA_SETS.items():
        for origin in origins:
            row = _status(name, origin, verify)
            rows.append(row)
            if row[2] == "damaged":
                damaged.append(converted.command_to_prepare(name, origin))
    note = "; offline, since VAEDIS_OFFLINE is set" if offline() else ""
    print(f"cache: {plain(str(cache_folder()))}{note}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    for command in damaged:
        print(f"Damaged images; run: {command}.", file=sys.stderr)
    return 1 if damaged else 0


def _status(name: str, origin: str, verify: bool) -> tuple[str, str, str, str, str]:
    if origin in ("generated", "rendered"):
        return (name, origin, "not needed", "-", "-")
    facts = prepare.stored_facts(name, origin)
    if facts is None:
        state = "no"
        if prepare.is_damaged(name, origin):
            state = "damaged"
        elif origin == "original" and any((prepare.folder(name) / "files").glob("*")):
            state = "files only"
        return (name, origin, state, "-", "-")
    state = "yes"
    if verify:
        is_verified = converted.is_verified(prepare.stored_path(name, origin), facts)
        state = "verified" if is_verified else "damaged"
    return (name, origin, state, size_text(facts["bytes"]), facts["sha256"])


def run_prepare(
    names: Sequence[str] = (),
    *,
    origin: str = "original",
    source: str | None = None,
    force: bool = False,
) -> int:
    """Say what will be fetched, and prepare the data sets in turn; return 1 if one failed."""
    names = list(dict.fromkeys(names))
    _check_request(names, origin, source)
    if not names:
        names = [name for name, origins in prepare.STORED_ORIGINS.items() if origin in origins]
    failed = False
    for name in names:
        if prepare.stored_facts(name, origin) is not None and not force:
            print(f"{name}: {origin} is on disk already", flush=True)
            continue
        print(plain(_plan(name, origin, source)), flush=True)
        try:
            facts = prepare.prepare(name, origin, source=source, force=force)
        except DataError as problem:
            failed = True
            print(plain(f"vaedis: {problem}"), file=sys.stderr, flush=True)
            continue
        size = size_text(facts["bytes"])
        print(f"{name}: {origin} ready, {size}, sha256 {facts['sha256']}", flush=True)
    return 1 if failed else 0


def _check_request(names: Sequence[str], origin: str, source: str | None) -> None:
    origins = [origin for origins in prepare.STORED_ORIGINS.values() for origin in origins]
    _check.one_of("origin to prepare", origin, dict.fromkeys(origins))
    for name in names:
        _check.one_of("data set with files", name, BENCHMARKS)
        _check.one_of(
            f"origin of data set {name!r} to prepare", origin, prepare.STORED_ORIGINS[name]
        )
    if source is not None:
        fetch.source_url(source)
        if origin != "original":
            raise ValueError(
                f"--from names where originals are, and {origin} images are made here; "
                "leave out one of the two."
            )


def _plan(name: str, origin: str, source: str | None) -> str:
    """Say what preparing a data set is going to do: in a line, and one for each file."""
    size = size_text(math.prod(BENCHMARKS[name].stored_shape))
    result = f"{size} in {prepare.stored_path(name, origin)}"
    if origin != "original":
        return f"{name}: will draw the stand-in, which takes minutes: {result}"
    lines = [f"{name}: will convert {result}, from"]
    for original in BENCHMARKS[name].originals:
        size = f"at most {size_text(fetch.LARGEST_BYTES)}"
        if original.size is not None:
            size = size_text(original.size)
        where = fetch.public(fetch.addresses(original, source)[0])
        if (prepare.folder(name) / "files" / original.file).exists():
            where = "on disk"
        lines.append(f"  {original.file} ({size}): {where}")
    return "\n".join(lines)
