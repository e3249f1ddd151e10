"""Let figures in notebooks carry the numbers that they draw."""

from __future__ import annotations

MIME = "text/csv"
STARTUP = "from vaedis_companion.figures.display import attach_data\n\nattach_data()\n"


def attach_data() -> None:
    """Add to each figure that this notebook shows its numbers as CSV, beside the picture.

    Outside a notebook nothing happens. Nothing heavy is imported before the first figure.
    """
    from IPython import get_ipython
    from IPython.core.formatters import BaseFormatter
    from traitlets import ObjectName, Unicode

    class CsvFormatter(BaseFormatter):
        format_type = Unicode(MIME)
        print_method = ObjectName("_repr_csv_")

    shell = get_ipython()
    if shell is None:
        return
    formatter = CsvFormatter(parent=shell.display_formatter)
    formatter.for_type_by_name("matplotlib.figure", "Figure", _csv)
    shell.display_formatter.formatters[MIME] = formatter


def _csv(figure: object) -> str:
    from vaedis_companion.figures.data import figure_data

    return figure_data(figure)  # type: ignore[arg-type]
