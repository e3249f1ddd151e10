"""Let figures in notebooks carry the numbers that they draw."""

from __future__ import annotations

import hashlib

MIME = "application/vnd.vaedis.figure+json"
# a kernel that runs this file when it starts has figures that carry their numbers
STARTUP = "from vaedis_companion.book.display import attach_data\n\nattach_data()\n"
# pictures of many images draw millions of numbers; of these a notebook holds the digest only
_LARGEST_CSV = 400_000


def attach_data() -> None:
    """Add to each figure that this notebook shows the numbers it draws, beside the picture.

    Outside a notebook nothing happens. Nothing heavy is imported before the first figure.
    """
    from IPython import get_ipython
    from IPython.core.formatters import BaseFormatter, catch_format_error
    from traitlets import ObjectName, Unicode

    class NumbersFormatter(BaseFormatter):
        format_type = Unicode(MIME)
        print_method = ObjectName("_repr_numbers_")
        _return_type = dict

        @catch_format_error
        def __call__(self, shown: object) -> dict[str, str | int | None] | None:
            # by name: the inline backend takes figures out of every formatter's own table
            kind = type(shown)
            is_figure = (kind.__module__, kind.__name__) == ("matplotlib.figure", "Figure")
            return numbers(shown) if is_figure else None

    shell = get_ipython()
    if shell is not None:
        formatters = shell.display_formatter.formatters
        formatters[MIME] = NumbersFormatter(parent=shell.display_formatter)


def numbers(figure: object) -> dict[str, str | int | None]:
    """Return what a figure draws as a mapping: its ``sha256``, ``rows`` and, if short, ``csv``."""
    from vaedis_companion.figures.data import figure_data

    csv = figure_data(figure)  # type: ignore[arg-type]
    return {
        "sha256": hashlib.sha256(csv.encode()).hexdigest(),
        "rows": csv.count("\n") - 1,
        "csv": csv if len(csv) <= _LARGEST_CSV else None,
    }
