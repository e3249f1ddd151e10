"""The command ``vaedis``: build the book, prepare data sets, run sweeps, diagnose data, and show what is stored."""

from __future__ import annotations

import argparse
import ast
import io
import keyword
import os
import select
import signal
import sys
import traceback
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaedis import _diagnosis_command, _interrupt, _sweep_commands
from vaedis._text import plain
from vaedis.data import _commands
from vaedis.experiments import PROFILES


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 when all went well, 1 when a run or a build failed, 2 when the request makes no sense, 130 after an interrupt.
    """
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what an encoding lacks is printed as an escape, and ends no command
        sys.stdout.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(argv)
    try:
        _interrupt.loaded()
        code = args.run(args)
        if sys.stdout is not None:  # as it is where the process was started without one
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("vaedis: interrupted", file=sys.stderr)
        return 130
    except MemoryError:
        print("vaedis: there is not enough memory for this.", file=sys.stderr)
        return 1
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            # who read it has seen enough, as in `vaedis results | head`; what is still to be flushed goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if args.debug:
            traceback.print_exc()
        print(plain(f"vaedis: {error}"), file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


def _open_closed_streams() -> None:
    """Put what leads nowhere in the place of streams that were closed: files that are opened later would take their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _nobody_reads() -> bool:
    """Whether the other end of standard output was closed."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError, AttributeError):
        return False  # no descriptor, or a system without this
    return any(event & select.POLLERR for _, event in watch.poll(0))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(prog="vaedis", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    book = commands.add_parser("book", parents=[common], help="run the notebooks and build the book")
    book.add_argument("--profile", help=f"{', '.join(PROFILES)} (default: $VAEDIS_PROFILE, or smoke)")
    book.add_argument("--workers", type=int, default=2, metavar="N", help="notebooks that run at a time (default: 2)")
    book.add_argument("--only", action="append", default=[], metavar="NAME", help="run this notebook only; may be repeated")
    book.add_argument("--force", action="store_true", help="run notebooks even where a current run is stored")
    book.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a notebook parameter; may be repeated")
    book.add_argument("--strict", action="store_true", help="build every page anew, with warnings as errors")
    book.add_argument("--no-html", action="store_true", help="run the notebooks, but build no pages")
    book.set_defaults(run=_book)

    _diagnosis_command.add_parser(commands, common)
    _sweep_commands.add_parsers(commands, common)

    convert = commands.add_parser("notebooks", parents=[common], help="write the chapters as .ipynb files")
    convert.add_argument("folder", type=Path, help="where to write them")
    convert.add_argument("--outputs", metavar="PROFILE", help="with the outputs of the current runs in this profile")
    convert.set_defaults(run=_notebooks)

    _commands.add_parser(commands, common)
    return parser


def parse_param(text: str) -> tuple[str, Any]:
    """Split ``name=value``; the value is a Python literal where it reads as one, and otherwise text.

    Raises
    ------
    ValueError
        If there is no name or no equals sign.
    """
    name, equals, value = text.partition("=")
    # Python itself would read other forms of a letter as the same one, and give the parameter another name
    if not equals or not name.isidentifier() or keyword.iskeyword(name) or unicodedata.normalize("NFKC", name) != name:
        raise ValueError(f"--param {text!r} is not of the form name=value, as in --param seed=1.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return name, value


def _book(args: argparse.Namespace) -> int:
    from vaedis import book

    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    return book.build(
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


def _notebooks(args: argparse.Namespace) -> int:
    from vaedis import _runs, book

    written = book.write_notebooks(_runs.find_root(), args.folder, args.outputs)
    print(f"{len(written)} notebooks in {args.folder}")
    return 0
