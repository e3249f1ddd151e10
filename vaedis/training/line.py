"""The line that shows how far training is, where a person looks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaedis.training.progress import Progress


@contextlib.contextmanager
def shown(training: Progress, wanted: bool | None) -> Iterator[Callable[[], None]]:
    """Show a line that goes when the block ends; yield what to call after each step.

    None shows it on a terminal and in a notebook, if tqdm is installed.
    """
    if wanted is False or (wanted is None and not is_watched()):
        yield lambda: None
        return
    bar = _bar(training, wanted)
    if bar is None:
        yield lambda: None
        return

    def update() -> None:
        if training.last_loss is not None:
            bar.set_postfix_str(f"loss {training.last_loss:.4g}", refresh=False)
        bar.update(_images(training) - bar.n)

    try:
        yield update
    finally:
        bar.close()


def is_watched() -> bool:
    """Return whether what is written to standard error is seen at once: a terminal, a notebook."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _images(training: Progress, steps: int | None = None) -> int:
    """Return how many images all runs take in `steps` steps, or took so far.

    Members of a population take equally many.
    """
    steps = training.steps_taken if steps is None else steps
    return len(training.runs) * training.runs[0].images_in(steps)


def _bar(training: Progress, wanted: bool | None) -> Any:
    """Return tqdm's bar; None if it is not installed and was not asked for."""
    try:
        from tqdm import tqdm
    except ImportError:
        if wanted:
            raise ImportError(
                "progress=True shows a line with tqdm, which is not installed; pip install tqdm."
            ) from None
        return None

    class Bar(tqdm):
        monitor_interval = 0  # no thread of its own

    n = len(training.runs)
    return Bar(
        desc=training.runs[0].data.name if n == 1 else f"{n} runs",
        total=_images(training, training.last_step),
        initial=_images(training),
        unit=" images",
        unit_scale=True,
        leave=False,
        dynamic_ncols=True,
        mininterval=0.25,
        miniters=1,
        # what ends at once leaves no flicker
        delay=1,
        # TQDM_DISABLE=1 keeps it away, unless it was asked for
        **({"disable": False} if wanted else {}),
    )
