"""What a sweep says while it runs: a bar on a terminal, elsewhere one line for each run."""

from __future__ import annotations

import contextlib
import sys
import time

_WIDTH = 24
_REDRAW_SECONDS = 0.5


class Progress:
    """Runs done, images a second and the time left, on stderr.

    Parameters
    ----------
    name : str
        Of the experiment.
    images : int
        How many images all runs together train on.
    runs : int
        How many runs there are.
    quiet : bool
        Say nothing at all.
    """

    def __init__(self, name: str, runs: int, images: int, *, quiet: bool = False):
        self.name, self.runs, self.images, self.quiet = name, runs, images, quiet
        self.bar = sys.stderr.isatty() and not quiet
        self.done, self.seen, self.started, self._drawn = 0, 0, time.perf_counter(), 0.0

    def ended(self, line: str, images: int) -> None:
        """Count a run that ended, and say `line` about it."""
        self.done += 1
        self.seen += images
        if self.quiet:
            return
        # a line leaves the bar below it
        clear = "\r\033[K" if self.bar else ""
        _write(f"{clear}{self.name} {self.done}/{self.runs} {line}\n")
        self.tick(force=True)

    def tick(self, *, force: bool = False) -> None:
        """Draw the bar again, at most every half second."""
        now = time.perf_counter()
        if not self.bar or (not force and now - self._drawn < _REDRAW_SECONDS):
            return
        self._drawn = now
        full = round(_WIDTH * self.done / max(1, self.runs))
        _write(f"\r\033[K[{'=' * full}{' ' * (_WIDTH - full)}] {self.summary(now)}")

    def summary(self, now: float) -> str:
        """Return runs done, images a second so far, and the time left at that rate."""
        elapsed = now - self.started
        text = f"{self.done}/{self.runs} runs, {elapsed:.0f} s"
        if self.seen and elapsed > 0:
            rate = self.seen / elapsed
            text += f", {rate:,.0f} images/s, {_in_words((self.images - self.seen) / rate)} left"
        return text

    def close(self) -> None:
        """Leave the terminal at the start of an empty line."""
        if self.bar:
            _write("\r\033[K")


def _write(text: str) -> None:
    # a terminal that was closed must not end what goes on without it
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
