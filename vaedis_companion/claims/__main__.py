"""Measure exactly what claims about data sets rest on, for those data sets that are on this
machine: ``python -m vaedis_companion.claims``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from vaedis.data import DATA_SETS
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis_companion.claims.whole_data_sets import _on_this_machine, keep
from vaedis_companion.measured import kept_at


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the distances and constants of whole data sets, which takes minutes, and keep them in
    ``results/distances``.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vaedis_companion.claims", description=main.__doc__
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument("--force", action="store_true", help="measure anew what is kept already")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(
            f"no such data set: {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}"
        )
    for name in options.names or BENCHMARKS:
        for origin in DATA_SETS[name]:
            if not _on_this_machine(name, origin):
                print(f"{name}, {origin}: no images on this machine", file=sys.stderr)
            elif kept_at(name, origin).exists() and not options.force:
                print(f"{name}, {origin}: kept already", file=sys.stderr)
            else:
                started = time.perf_counter()
                path = keep(name, origin)
                print(
                    f"{name}, {origin}: {time.perf_counter() - started:.0f} s, {path.name}",
                    file=sys.stderr,
                    flush=True,
                )


if __name__ == "__main__":
    main()
