"""Compare all claims, and what every figure draws, with the tables in tests/net/.

    python tools/net.py           say what differs; exit status 1 if anything does
    python tools/net.py --write   write the tables anew

Figures are made as the chapters make them, in the smoke profile. Those of networks that a chapter
trains itself differ from machine to machine; compare them on one machine, before and after a
change. ``--only claims`` leaves the figures out, and ``--only NAME`` takes the figures of one
chapter.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NET = ROOT / "tests" / "net"


def claims_table() -> str:
    """Return all claims as CSV: where they are made, what they say, both numbers, the verdict."""
    from vaedis_companion import claims

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["where", "statement", "published", "here", "verdict"])
    rows.writerows(
        [c.where, c.statement, c.published, c.here, c.verdict] for c in claims.all_claims()
    )
    return text.getvalue()


def figures_of(chapter: Path) -> list[str]:
    """Run a chapter and return the digest of what each of its figures draws, in order."""
    import jupytext
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from vaedis_companion.figures.data import figure_data

    notebook = jupytext.reads(chapter.read_text(encoding="utf-8"), fmt="md:myst")
    names = {"display": lambda *args, **options: None, "__name__": "__main__"}
    digests = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        exec(compile(cell.source, str(chapter), "exec"), names)
        for number in plt.get_fignums():
            digests.append(hashlib.sha256(figure_data(plt.figure(number)).encode()).hexdigest())
        plt.close("all")
    return digests


def figures_table(only: str | None) -> str:
    """Return the digests of all figures as CSV: chapter, number of the figure within it, SHA-256 of
    its numbers.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["chapter", "figure", "sha256"])
    for chapter in sorted((ROOT / "book").glob("*.md")):
        if "kernelspec:" in chapter.read_text(encoding="utf-8") and only in (None, chapter.stem):
            print(chapter.stem, file=sys.stderr, flush=True)
            rows.writerows(
                [chapter.stem, k, digest] for k, digest in enumerate(figures_of(chapter), 1)
            )
    return text.getvalue()


def differences(name: str, new: str, only: str | None = None) -> list[str]:
    """Return one line for each row that only one of the two tables has."""
    old = (NET / name).read_text(encoding="utf-8").splitlines()
    if only is not None:
        old = [line for line in old if line.startswith(f"{only},")]
    new_lines = new.splitlines()
    removed = [f"- {name}: {line}" for line in old if line not in new_lines]
    added = [
        f"+ {name}: {line}"
        for line in new_lines
        if line not in old and not line.startswith("chapter,")
    ]
    return removed + added


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the tables anew")
    parser.add_argument("--only", metavar="NAME", help="claims, or the figures of this chapter")
    args = parser.parse_args()
    os.environ["VAEDIS_PROFILE"] = "smoke"
    os.chdir(ROOT / "book")
    tables = {} if args.only == "claims" else {"figures.csv": figures_table(args.only)}
    if args.only in (None, "claims"):
        tables["claims.csv"] = claims_table()
    if args.write:
        NET.mkdir(exist_ok=True)
        for name, text in tables.items():
            (NET / name).write_text(text, encoding="utf-8")
        return 0
    chapter = None if args.only == "claims" else args.only
    lines = [line for name, text in tables.items() for line in differences(name, text, chapter)]
    print("\n".join(lines) or "Nothing differs.")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
