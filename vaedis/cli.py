"""The commands of the library: ``diagnose`` and ``data``.

What takes long to import is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import select
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vaedis import _check
from vaedis._support import interrupt
from vaedis._support.text import plain


def main(
    argv: Sequence[str] | None = None,
    add_commands: Callable[[Any, argparse.ArgumentParser], None] | None = None,
) -> int:
    """Run the command line, and print errors as one line on standard error.

    Returns 0, 1 for a failure, 2 for a wrong request, 3 if factors are missing, 130 for Ctrl-C.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # it is closed, and files that are opened later would take its number
            os.open(os.devnull, os.O_RDWR)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a letter that the encoding lacks is printed as an escape
        sys.stdout.reconfigure(errors="backslashreplace")
    args = _parser(add_commands).parse_args(argv)
    try:
        interrupt.loaded()
        code = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("vaedis: interrupted", file=sys.stderr)
        return 130
    except MemoryError:
        print("vaedis: there is not enough memory for this.", file=sys.stderr)
        return 1
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            # for instance `vaedis results | head`: discard the output that is left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if args.debug:
            traceback.print_exc()
        print(plain(f"vaedis: {error}"), file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


def _reader_is_gone() -> bool:
    """Tell whether the other end of standard output was closed."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError, AttributeError):  # no descriptor, or a system without poll
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


class _Parser(argparse.ArgumentParser):
    """Refuses an unknown option in the command that it was given to, with the most similar one."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            option = unknown[0].partition("=")[0]
            similar = _check.nearest(option, self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{similar}")
        return namespace, unknown


def _parser(
    add_commands: Callable[[Any, argparse.ArgumentParser], None] | None,
) -> argparse.ArgumentParser:
    shared_options = argparse.ArgumentParser(add_help=False)
    shared_options.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )
    parser = _Parser(
        prog="vaedis",
        description="Which factors of a data set can a VAE find? And a paper's companion.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_diagnose(commands, shared_options)
    _add_data(commands, shared_options)
    if add_commands is not None:
        # the second argument is a parser of the options that all commands have
        add_commands(commands, shared_options)
    return parser


def _add_diagnose(commands: Any, shared_options: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "diagnose",
        parents=[shared_options],
        help="say which factors of a data set a VAE can find under a loss",
        description="Say which factors of a data set a VAE can find under a loss, and which loss "
        "would order more. --loss and --blur may be repeated. The exit status is 0 if every factor "
        "was measured, 3 if there is a report but some factor was not, and 2 for a mistake.",
    )
    add = parser.add_argument
    add("data", help="a file or folder of images and factor labels, or the name of a data set")
    help_loss = "mse (default), bce, mae, or a function of your own as module:name"
    add("--loss", action="append", default=[], metavar="NAME", help=help_loss)
    add("--blur", action="append", default=[], type=int, metavar="RADIUS", help="box blur")
    add("--images", metavar="KEY", help="the array of images in the file")
    add("--labels", metavar="KEY[,KEY...]", help="the array of labels, or one for each factor")
    add("--names", metavar="A,B,...", help="the factors' names")
    add("--sizes", type=_sizes, metavar="N,N,...", help="values of each factor, without labels")
    add("--resize", type=int, metavar="N", help="make square images N pixels high and wide")
    add("--check", action="store_true", help="train small Ada-GVAEs on the distances")
    add("--traversals", type=int, default=2_000, metavar="N", help="random ones of each factor")
    add("--pairs", type=int, default=10_000, metavar="N", help="random pairs to compare with")
    add("--exact", action="store_true", help="measure all traversals, however many there are")
    add("--seed", type=int, default=0)
    add("--html", type=_file, metavar="FILE", help="write the report as a page of one file")
    add("--json", type=_file, metavar="FILE", help="write it as JSON")
    parser.set_defaults(run=_diagnose)


def _file(text: str) -> Path:
    if not text.strip():  # as of a variable of the shell that is not set
        raise argparse.ArgumentTypeError("the name of the file is empty; name one")
    return Path(text)


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of whole numbers, such as 6,6,2"
        ) from None


def _diagnose(args: argparse.Namespace) -> int:
    from vaedis import losses
    from vaedis._support.output import check_outputs
    from vaedis.data.originals.disk import cache_folder
    from vaedis.diagnosis import save
    from vaedis.diagnosis.diagnose import diagnose

    if not args.data.strip():  # for instance an unset shell variable
        raise ValueError("The name of the data is empty; name a file, a folder or a data set.")
    outputs = [file for file in (args.html, args.json) if file is not None]
    check_outputs(outputs, [Path(args.data), cache_folder()])
    chosen_losses = [_loss(name) for name in args.loss]
    chosen_losses += [losses.get("box-blur", radius=radius) for radius in args.blur]
    data = _data_to_diagnose(args)
    try:
        report = diagnose(
            data,
            chosen_losses or "mse",
            traversals=args.traversals,
            pairs=args.pairs,
            exact=args.exact or None,
            check=args.check,
            seed=args.seed,
        )
    except (ValueError, RuntimeError, ImportError, OSError, MemoryError):
        raise
    except Exception as problem:
        module_names = {name.partition(":")[0] for name in args.loss if ":" in name}
        for frame, _ in traceback.walk_tb(problem.__traceback__):
            name = frame.f_globals.get("__name__")
            if name in module_names:
                raise RuntimeError(
                    f"the module {name} of --loss raised {_brief(problem)}"
                ) from problem
        raise  # a fault of vaedis itself keeps its traceback
    try:
        save(report, html=args.html, json_file=args.json)
    finally:
        print(report.text())
    for file in outputs:
        print(f"written: {plain(str(file))}", file=sys.stderr)
    return 0 if report.measured else 3


def _brief(problem: BaseException) -> str:
    """Return the kind of an error and the first line that it says."""
    message = (str(problem).splitlines() or [""])[0].rstrip(".")
    return f"{type(problem).__name__}: {message}."


def _loss(text: str) -> Any:
    """Return a loss by its name, or by module:name; the current folder comes before other modules.

    Only what a person types is imported, never what a file says.
    """
    from vaedis import losses

    if ":" not in text:
        return losses.get(text)
    module_name, _, name = text.partition(":")
    if not module_name or not name.isidentifier():
        raise ValueError(f"--loss takes the name of a loss or module:name, not {text!r}.")
    if module_name.endswith(".py"):
        raise ValueError(f"--loss takes a module without .py: {module_name[:-3]}:{name}.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
        is_there = hasattr(module, name)
    except (Exception, SystemExit) as problem:  # the user's code may raise anything
        raise ValueError(
            f"the module of --loss {text} cannot be imported: {_brief(problem)}"
        ) from problem
    if not is_there:
        raise ValueError(
            f"the module of --loss {text} has no {name!r}{_check.nearest(name, dir(module))}"
        )
    own = getattr(module, name)
    try:
        return losses.get(own)
    except TypeError as problem:
        raise ValueError(f"--loss {text}: {problem}") from problem


def _data_to_diagnose(args: argparse.Namespace) -> Any:
    from vaedis.data import DATA_SETS, load, read_images

    if args.data == "coordinates":
        raise ValueError(
            "coordinates have no pixels to diagnose; name the data set whose distances they keep, "
            "such as xysquares."
        )
    names = [name for name in DATA_SETS if name != "coordinates"]
    if args.data in names:
        options = ("images", "labels", "names", "sizes", "resize")
        given_options = [f"--{option}" for option in options if getattr(args, option) is not None]
        if given_options:
            raise ValueError(
                f"{args.data} is a data set with factors of its own; "
                f"leave {', '.join(given_options)} out, or name a file."
            )
        return load(args.data)
    if not Path(args.data).exists():
        raise ValueError(
            f"{args.data!r} is neither a file, a folder nor a data set; "
            f"the data sets are: {', '.join(names)}{_check.nearest(args.data, names)}"
        )
    factor_names = None if args.names is None else [name.strip() for name in args.names.split(",")]
    with warnings.catch_warnings():
        # the report has it among its notes
        warnings.filterwarnings("ignore", message=".* differ by rounding alone")
        return read_images(
            args.data,
            images=args.images,
            labels=args.labels,
            names=factor_names,
            sizes=args.sizes,
            resize=args.resize,
        )


def _add_data(commands: Any, shared_options: argparse.ArgumentParser) -> None:
    data = commands.add_parser(
        "data", help="the benchmark data sets: what is on disk, and preparing the originals"
    )
    actions = data.add_subparsers(required=True, metavar="action")

    status = actions.add_parser(
        "status", parents=[shared_options], help="list what is on disk, with origin, size and hash"
    )
    status.add_argument("--verify", action="store_true", help="read images and compare their hash")
    status.set_defaults(run=_data_status)

    prepare = actions.add_parser(
        "prepare", parents=[shared_options], help="download, verify and convert originals"
    )
    add = prepare.add_argument
    add("names", nargs="*", metavar="NAME", help="cars3d, dsprites, shapes3d, smallnorb")
    add("--from", dest="source", metavar="FOLDER", help="take the files from this folder or URL")
    add("--origin", default="original", help="original (default), or stand-in")
    add("--force", action="store_true", help="verify the files and convert them again")
    prepare.set_defaults(run=_data_prepare)


def _data_status(args: argparse.Namespace) -> int:
    from vaedis.data.commands import show_status

    return show_status(verify=args.verify)


def _data_prepare(args: argparse.Namespace) -> int:
    from vaedis.data.commands import run_prepare

    return run_prepare(args.names, origin=args.origin, source=args.source, force=args.force)
