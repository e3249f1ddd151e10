"""The command ``vaedis``: build the book, run sweeps, and show what is stored, beside the commands
of the library.
"""

from __future__ import annotations

import argparse
import ast
import keyword
import signal
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaedis import cli as library
from vaedis_companion import sweep_commands
from vaedis_companion.grids import PROFILES


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; see `vaedis.cli.main`."""
    return library.main(argv, _add_commands)


def _add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    book = commands.add_parser(
        "book", parents=[common], help="run the notebooks and build the book"
    )
    book.add_argument(
        "--profile", help=f"{', '.join(PROFILES)} (default: $VAEDIS_PROFILE, or smoke)"
    )
    book.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="notebooks that run at a time (default: 2)",
    )
    book.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="run this notebook only; may be repeated",
    )
    book.add_argument(
        "--force", action="store_true", help="run notebooks even where a current run is stored"
    )
    book.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a notebook parameter; may be repeated",
    )
    book.add_argument(
        "--strict", action="store_true", help="build every page anew, with warnings as errors"
    )
    book.add_argument(
        "--no-html", action="store_true", help="run the notebooks, but build no pages"
    )
    book.set_defaults(run=_book)

    sweep_commands.add_parsers(commands, common)

    measure = commands.add_parser(
        "measure", parents=[common], help="measure and store the distances of whole data sets"
    )
    measure.add_argument("names", nargs="*", metavar="NAME", help="data sets (default: all)")
    measure.add_argument("--force", action="store_true", help="measure again what is stored")
    measure.set_defaults(run=_measure)

    convert = commands.add_parser(
        "notebooks", parents=[common], help="write the chapters as .ipynb files"
    )
    convert.add_argument("folder", type=Path, help="where to write them")
    convert.add_argument(
        "--outputs", metavar="PROFILE", help="with the outputs of the current runs in this profile"
    )
    convert.set_defaults(run=_notebooks)


def parse_param(text: str) -> tuple[str, Any]:
    """Split ``name=value``; the value is a Python literal where it reads as one, and otherwise text.

    Raises
    ------
    ValueError
        If there is no name or no equals sign.
    """
    name, equals, value = text.partition("=")
    # Python itself would read other forms of a letter as the same one, and give the parameter
    # another name
    if (
        not equals
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or unicodedata.normalize("NFKC", name) != name
    ):
        raise ValueError(f"--param {text!r} is not of the form name=value, as in --param seed=1.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return name, value


def _book(args: argparse.Namespace) -> int:
    from vaedis_companion.book import build

    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    return build.build(
        args.profile,
        workers=args.workers,
        only=args.only,
        force=args.force,
        params=dict(parse_param(text) for text in args.param),
        strict=args.strict,
        html=not args.no_html,
    )


def _end(number: int, _: Any) -> None:
    """End with the code that a shell gives to a signal, after all that runs was ended."""
    print(f"vaedis: ended by {signal.Signals(number).name}", file=sys.stderr)
    raise SystemExit(128 + number)


def _measure(args: argparse.Namespace) -> int:
    from vaedis_companion import measured

    measured.measure_data_sets(args.names, force=args.force)
    return 0


def _notebooks(args: argparse.Namespace) -> int:
    from vaedis_companion.book import build, executions

    written = build.write_notebooks(executions.find_root(), args.folder, args.outputs)
    print(f"{len(written)} notebooks in {args.folder}")
    return 0
