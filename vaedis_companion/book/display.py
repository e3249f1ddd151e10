"""Let figures in notebooks carry the numbers that they draw, and a picture for dark pages."""

from __future__ import annotations

import ast
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MIME = "application/vnd.vaedis.figure+json"
DARK = "application/vnd.vaedis.dark+png"
# a kernel that runs this file when it starts has figures that carry their numbers
STARTUP = "from vaedis_companion.book.display import attach_data\n\nattach_data()\n"
# pictures of many images draw millions of numbers; of these a notebook holds the digest only
_LARGEST_CSV = 400_000
# a vector picture beyond this is no longer lighter than the pixels
_LARGEST_SVG = 1_500_000


def attach_data() -> None:
    """Add to each figure that this notebook shows the numbers it draws, and a dark picture.

    Outside a notebook nothing happens. Nothing heavy is imported before the first figure.
    """
    from IPython import get_ipython
    from IPython.core.formatters import BaseFormatter, catch_format_error
    from traitlets import Callable, ObjectName, Unicode

    class FigureFormatter(BaseFormatter):
        format_type = Unicode()
        print_method = ObjectName("_repr_figure_")
        _return_type = (dict, str)
        describe = Callable()

        @catch_format_error
        def __call__(self, shown: object) -> dict | str | None:
            # by name: the inline backend takes figures out of every formatter's own table
            kind = type(shown)
            is_figure = (kind.__module__, kind.__name__) == ("matplotlib.figure", "Figure")
            return self.describe(shown) if is_figure else None

    shell = get_ipython()
    if shell is not None:
        space = shell.user_ns

        def receipt(figure: object) -> dict[str, Any]:
            return {**numbers(figure), **runs_behind(space["In"], space)}

        formatters = shell.display_formatter.formatters
        for mime, describe in {MIME: receipt, DARK: dark_picture}.items():
            formatters[mime] = FigureFormatter(
                parent=shell.display_formatter, format_type=mime, describe=describe
            )


def dark_picture(figure: object) -> str:
    """Return a figure as it is drawn on a dark page, a PNG in base64."""
    from vaedis_companion.figures.dark import dark_png

    return dark_png(figure)  # type: ignore[arg-type]


def numbers(figure: object) -> dict[str, str | int | None]:
    """Return what a figure draws as a mapping.

    It has ``sha256`` and ``rows`` and, unless too long, ``csv`` and the vector picture, ``svg``.
    """
    from vaedis_companion.figures.data import figure_data

    csv = figure_data(figure)  # type: ignore[arg-type]
    svg = _vector(figure)
    return {
        "sha256": hashlib.sha256(csv.encode()).hexdigest(),
        "rows": csv.count("\n") - 1,
        "csv": csv if len(csv) <= _LARGEST_CSV else None,
        "svg": svg if len(svg) <= _LARGEST_SVG else None,
    }


def _vector(figure: Any) -> str:
    """Return a figure as SVG: the same text for the same figure."""
    from matplotlib import rc_context

    picture = io.StringIO()
    with rc_context({"svg.hashsalt": "vaedis"}):
        figure.savefig(picture, format="svg", bbox_inches="tight", metadata={"Date": None})
    return picture.getvalue()


def runs_behind(cells: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored runs that the last cell draws, by itself or by way of earlier cells.

    Parameters
    ----------
    cells : sequence of str
        Sources of the cells that were run, in order.
    values : mapping of str to object
        The notebook's variables.

    Returns
    -------
    dict
        ``runs``: a phrase on each table of runs; ``runs_csv``: their rows, or None.
    """
    tables: dict[tuple[str, str], dict[str, Any]] = {}
    needed: set[str] = set()
    for number, source in enumerate(reversed(cells)):
        reads, writes = _names(source)
        if number == 0:
            needed, used = set(reads), reads | writes
        elif needed & writes:
            needed, used = (needed - writes) | reads, reads
        else:
            continue
        for name in sorted(used & set(values)):
            found = list(_tables(values[name]))
            for table in found:
                tables.setdefault((table.experiment, table.profile), {})[repr(table.rows)] = table
            if found:  # what it was made from says no more
                needed.discard(name)
    chosen = [table for same in tables.values() for table in _largest(list(same.values()))]
    if not chosen:
        return {"runs": [], "runs_csv": None}
    import pandas as pd

    rows = pd.concat([table.frame for table in chosen]).drop_duplicates(["experiment", "key"])
    return {
        "runs": [f"{table.experiment}, {table.describe()}" for table in chosen],
        "runs_csv": rows.to_csv(index=False, lineterminator="\n"),
    }


def _largest(tables: list[Any]) -> list[Any]:
    """Return the tables without those that are parts of another one, and without empty ones."""
    sets = [{row["key"] for row in table.rows} for table in tables]
    return [
        table
        for table, keys in zip(tables, sets, strict=True)
        if keys and not any(keys < other for other in sets)
    ]


def _tables(value: object) -> Iterator[Any]:
    """Yield a value that is a table of runs, or the tables in a list or mapping."""
    kind = type(value)
    if kind.__name__ == "RunTable" and kind.__module__.startswith("vaedis_companion"):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            if type(item).__name__ == "RunTable":
                yield item


def _names(source: str) -> tuple[set[str], set[str]]:
    """Return the variables that a cell reads before it sets them, and those that it sets."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a line for the shell
        return set(), set()
    inner = {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.comprehension)
        for name in ast.walk(node.target)
        if isinstance(name, ast.Name)
    }
    inner |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    reads: set[str] = set()
    writes: set[str] = set()
    # an assignment's right side comes after its left in the text, and before it in time
    for statement in tree.body:
        found = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        reads |= {
            node.id for node in found if isinstance(node.ctx, ast.Load) and node.id not in writes
        }
        writes |= {node.id for node in found if isinstance(node.ctx, ast.Store)}
    return reads - inner, writes - inner
