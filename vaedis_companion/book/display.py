"""Let figures in notebooks carry the numbers that they draw, and a picture for dark pages."""

from __future__ import annotations

import ast
import dis
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import CodeType
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

        @catch_format_error  # type: ignore[untyped-decorator]
        def __call__(self, figure: object) -> dict[str, Any] | str | None:
            # by name: the inline backend takes figures out of every formatter's own table
            kind = type(figure)
            is_figure = (kind.__module__, kind.__name__) == ("matplotlib.figure", "Figure")
            return self.describe(figure) if is_figure else None

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
    from vaedis_companion.figures.data import dark_png

    return dark_png(figure)  # type: ignore[arg-type]


def numbers(figure: object) -> dict[str, str | int | None]:
    """Return ``sha256``, ``rows``, ``csv`` and ``svg`` of a figure; what is too long is None."""
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

    `cells` are the sources of those that were run, in order, and `values` the notebook's variables.
    The result has ``runs``, a phrase on each table of runs, and ``runs_csv``, their rows, or None.
    """
    by_id: dict[int, Any] = {}
    needed: set[str] = set()
    for number, (is_last, statement) in enumerate(_backwards(cells)):
        reads, writes = _names(statement)
        # what sets nothing may still draw
        draws = is_last and (number == 0 or isinstance(statement, _DRAWS))
        fills = {name for name in needed & _filled(statement) if _is_container(values.get(name))}
        if not draws and not needed & writes and not fills:
            continue
        needed = (needed - writes) | reads
        for name in sorted((reads | writes if is_last else reads) & set(values)):
            tables = list(_tables(values[name]))
            by_id |= {id(table): table for table in tables}
            if tables:  # what it was made from says no more
                needed.discard(name)
    tables = _by_experiment(by_id.values())
    if not tables:
        return {"runs": [], "runs_csv": None}
    import pandas as pd

    rows = pd.concat([table.frame for table in tables])
    return {
        "runs": [f"{table.experiment}, {table.describe()}" for table in tables],
        "runs_csv": rows.to_csv(index=False, lineterminator="\n"),
    }


_DRAWS = (ast.Expr, ast.For, ast.With, ast.If)
_FILLS = {"add", "append", "extend", "insert", "setdefault", "update"}


def _backwards(cells: Sequence[str]) -> Iterator[tuple[bool, ast.stmt]]:
    """Yield the statements of cells from the last one, and whether they are of the last cell."""
    for number, source in enumerate(reversed(cells)):
        try:
            statements = ast.parse(source).body
        except SyntaxError:  # a line for the shell
            continue
        for statement in reversed(statements):
            yield number == 0, statement


def _by_experiment(tables: Iterable[Any]) -> list[Any]:
    """Return the runs of all tables, each once, as a table for each experiment and profile."""
    # a table of a page may join runs of several experiments
    kinds: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}
    for table in tables:
        for row in (*table.rows, *table.failed):
            kind = row["experiment"], row["profile"]
            kinds.setdefault(kind, (type(table), {}))[1].setdefault(row["key"], row)
    run_tables = [kind.of(*names, rows.values()) for names, (kind, rows) in kinds.items()]
    return [table for table in run_tables if table.rows]


def _tables(value: object) -> Iterator[Any]:
    """Yield a value that is a table of runs, or the tables in a list, a mapping or a course."""
    kind = type(value).__name__  # by name, since nothing heavy is imported for a first figure
    if kind == "RunTable":
        yield value
    elif kind == "Course":
        yield from value.points.values()  # type: ignore[attr-defined]
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            if type(item).__name__ in ("RunTable", "Course"):
                yield from _tables(item)


def _filled(statement: ast.stmt) -> set[str]:
    """Return the variables into which a statement puts something, by a method or an index."""
    filled = set()
    for node in ast.walk(statement):
        by_method = isinstance(node, ast.Attribute) and node.attr in _FILLS
        by_index = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        if by_method or by_index:
            base: ast.expr = node  # type: ignore[assignment]
            while isinstance(base, ast.Attribute | ast.Subscript | ast.Call):
                base = base.func if isinstance(base, ast.Call) else base.value
            if isinstance(base, ast.Name):
                filled.add(base.id)
    return filled


def _is_container(value: object) -> bool:
    return isinstance(value, dict | list | set)


def _names(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the variables that a statement reads before it sets them, and those that it sets."""
    module = ast.Module([statement], [])
    return _names_of(compile(module, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))


def _names_of(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the same of compiled code, where a function has names of its own."""
    reads: set[str] = set()
    writes: set[str] = set()
    for step in dis.get_instructions(code):
        if isinstance(step.argval, CodeType):
            reads |= _names_of(step.argval)[0] - writes
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
            reads |= {step.argval} - writes
        elif step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            writes.add(step.argval)
    return reads, writes
