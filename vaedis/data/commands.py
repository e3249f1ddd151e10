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
    for name, origins in DATA_SETS.items():
        rows += [(name, origin, *_status(name, origin, verify)) for origin in origins]
    note = "; offline, since VAEDIS_OFFLINE is set" if offline() else ""
    print(f"cache: {plain(str(cache_folder()))}{note}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    damaged = [(name, origin) for name, origin, state, *_ in rows if state == "damaged"]
    for name, origin in damaged:
        command = converted.command_to_prepare(name, origin)
        print(f"Damaged images; run: {command}.", file=sys.stderr)
    return 1 if damaged else 0


def _status(name: str, origin: str, verify: bool) -> tuple[str, str, str]:
    """Return whether images are on disk, their size and their digest."""
    if origin in ("generated", "rendered"):
        return ("not needed", "-", "-")
    path = prepare.stored_path(name, origin)
    facts = prepare.stored_facts(name, origin)
    if facts is None:
        exist = path.exists() and path.with_suffix(".json").exists()
        is_damaged = exist and converted.read_facts(path) is None
        return ("damaged" if is_damaged else "no", "-", "-")
    state = "yes"
    if verify:
        state = "verified" if converted.is_verified(path, facts) else "damaged"
    return (state, size_text(facts["bytes"]), facts["sha256"])


def run_prepare(
    names: Sequence[str] = (),
    *,
    origin: str = "original",
    source: str | None = None,
    force: bool = False,
) -> int:
    """Say what will be fetched, and prepare the data sets in turn; return 1 if one failed."""
    _check.one_of("origin to prepare", origin, ("original", "stand-in"))
    for name in names:
        prepare.check_request(name, origin)
    if source is not None:
        fetch.source_url(source)
        if origin != "original":
            raise ValueError(
                f"--from names where originals are, and {origin} images are made here; "
                "leave out one of the two."
            )
    if not names:
        names = [name for name, origins in prepare.STORED_ORIGINS.items() if origin in origins]
    failed = False
    for name in dict.fromkeys(names):
        if prepare.stored_facts(name, origin) is not None and not force:
            print(f"{name}: {origin} is on disk already", flush=True)
            continue
        print(plain(_plan(name, origin)), flush=True)
        try:
            facts = prepare.prepare(name, origin, source=source, force=force)
        except DataError as problem:
            failed = True
            print(plain(f"vaedis: {problem}"), file=sys.stderr, flush=True)
            continue
        size = size_text(facts["bytes"])
        print(f"{name}: {origin} ready, {size}, sha256 {facts['sha256']}", flush=True)
    return 1 if failed else 0


def _plan(name: str, origin: str) -> str:
    """Say what preparing a data set is going to do."""
    size = size_text(math.prod(BENCHMARKS[name].stored_shape))
    result = f"{size} in {prepare.stored_path(name, origin)}"
    if origin != "original":
        return f"{name}: will draw the stand-in, which takes minutes: {result}"
    files = []
    for file in BENCHMARKS[name].originals:
        n_bytes = "" if file.size is None else f" ({size_text(file.size)})"
        files.append(f"{file.file}{n_bytes}")
    return f"{name}: will fetch {', '.join(files)} and convert to {result}"
