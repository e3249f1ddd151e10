"""What `vaedis book` says while the notebooks run."""

from __future__ import annotations

import sys
import time


class Report:
    """Progress on stderr: a line for each run on a terminal, elsewhere only failures and one line
    at the end.
    """

    def __init__(self, total: int):
        self.total, self.done = total, set[str]()
        self.start, self.loud = time.monotonic(), sys.stderr.isatty()

    def ran(self, name: str, seconds: float, error: str | None) -> None:
        """Tell that a notebook was run, and where it failed if it did."""
        again = " again" if name in self.done else ""
        self.done.add(name)
        place = f"[{len(self.done)}/{self.total}] {name}{again}"
        if error is not None:
            print(f"{place} failed after {seconds:.1f} s at {error}", file=sys.stderr, flush=True)
        elif self.loud:
            print(f"{place} {seconds:.1f} s", file=sys.stderr, flush=True)

    def end(self, failed: int) -> None:
        """Tell how many were run, and how long it took in all."""
        ran, seconds = len(self.done), time.monotonic() - self.start
        print(
            f"{self.total} notebooks: {ran} run, {self.total - ran} current, {failed} failed; {seconds:.0f} s",
            file=sys.stderr,
        )
