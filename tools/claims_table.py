"""Compare all claims with the committed table, tests/claims.csv.

    python tools/claims_table.py           say what differs; exit status 1 if anything does
    python tools/claims_table.py --write   write the table anew

What the figures draw is compared by ``vaedis check``.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "tests" / "claims.csv"
COLUMNS = ("where", "statement", "published", "here", "verdict")


def claims_table() -> str:
    """Return all claims as CSV."""
    from vaedis_companion import claims

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([getattr(claim, name) for name in COLUMNS] for claim in claims.all_claims())
    return text.getvalue()


def differences(old: list[str], new: list[str]) -> list[str]:
    """Return one line for each row that only one of two tables has."""
    removed = [f"- {line}" for line in old if line not in new]
    return removed + [f"+ {line}" for line in new if line not in old]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the table anew")
    table = claims_table()
    if parser.parse_args().write:
        TABLE.write_text(table, encoding="utf-8")
        return 0
    lines = differences(TABLE.read_text(encoding="utf-8").splitlines(), table.splitlines())
    print("\n".join(lines) or "Nothing differs.")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
