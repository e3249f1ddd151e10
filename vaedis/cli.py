"""The commands of the library: ``diagnose`` and ``data``. Whatever is heavy is imported by the
command that needs it.
"""

from __future__ import annotations

import argparse
import io
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vaedis._support import interrupt
from vaedis._support.text import plain


def main(
    argv: Sequence[str] | None = None,
    add_commands: Callable[[Any, argparse.ArgumentParser], None] | None = None,
) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    add_commands : callable, optional
        Adds further commands; called with what `ArgumentParser.add_subparsers` returned and a
        parser of the options that all have.

    Returns
    -------
    int
        0 when all went well, 1 when a run or a build failed, 2 when the request makes no sense, 130
        after an interrupt.
    """
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what an encoding lacks is printed as an escape, and ends no command
        sys.stdout.reconfigure(errors="backslashreplace")
    args = _parser(add_commands).parse_args(argv)
    try:
        interrupt.loaded()
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
            # who read it has seen enough, as in `vaedis results | head`; what is still to be
            # flushed goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if args.debug:
            traceback.print_exc()
        print(plain(f"vaedis: {error}"), file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


def _open_closed_streams() -> None:
    """Put what leads nowhere in the place of streams that were closed: files that are opened later
    would take their numbers.
    """
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


def _parser(
    add_commands: Callable[[Any, argparse.ArgumentParser], None] | None,
) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(
        prog="vaedis",
        description="Which factors of a data set can a VAE find? And a paper's companion.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_diagnose(commands, common)
    _add_data(commands, common)
    if add_commands is not None:
        add_commands(commands, common)
    return parser


def _add_diagnose(commands: argparse._SubParsersAction, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "diagnose",
        parents=[common],
        help="say which factors of a data set a VAE can find under a loss",
        description="Say which factors of a data set a VAE can find under a loss, without training anything. The exit status is 0 if "
        "every factor was measured, 3 if there is a report but some factor was not measured, and 2 for a mistake.",
    )
    parser.add_argument(
        "data",
        help="an .npz or HDF5 file of images and factor labels, a folder of pictures, or the name of a data set",
    )
    parser.add_argument(
        "--loss",
        action="append",
        default=[],
        metavar="NAME",
        help="mse (default), bce or mae; may be repeated",
    )
    parser.add_argument(
        "--blur",
        action="append",
        default=[],
        type=int,
        metavar="RADIUS",
        help="box blur of this radius; may be repeated",
    )
    parser.add_argument("--images", metavar="KEY", help="the array of images in the file")
    parser.add_argument(
        "--labels",
        metavar="KEY[,KEY...]",
        help="the array of factor labels in the file, or one for each factor",
    )
    parser.add_argument("--names", metavar="A,B,...", help="the factors' names")
    parser.add_argument(
        "--sizes",
        type=_sizes,
        metavar="N,N,...",
        help="values of each factor, if images are in order and have no labels",
    )
    parser.add_argument(
        "--traversals",
        type=int,
        default=2_000,
        metavar="N",
        help="random traversals of each factor (default: 2000)",
    )
    parser.add_argument(
        "--exact", action="store_true", help="look at all traversals, however many there are"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write the report as one self-contained page; streams such as /dev/stdout too",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it as JSON")
    parser.set_defaults(run=_diagnose)


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of whole numbers, such as 6,6,2"
        ) from None


def _diagnose(args: argparse.Namespace) -> int:
    from vaedis import losses
    from vaedis._support.output import check_outputs, is_stdout
    from vaedis._support.text import plain
    from vaedis.data import DATA_SETS, load, read_images
    from vaedis.data.originals.disk import cache_folder
    from vaedis.diagnosis import save
    from vaedis.diagnosis.diagnose import diagnose

    outputs = [file for file in (args.html, args.json) if file is not None]
    check_outputs(outputs, [Path(args.data), cache_folder()])
    chosen = [losses.get(name) for name in args.loss] + [
        losses.get("box-blur", radius=radius) for radius in args.blur
    ]
    if args.data == "coordinates":
        raise ValueError(
            "coordinates have no pixels to diagnose; name the data set whose distances they keep, such as xysquares."
        )
    known = [name for name in DATA_SETS if name != "coordinates"]
    if args.data in known:
        given = [
            f"--{option}"
            for option in ("images", "labels", "names", "sizes")
            if getattr(args, option) is not None
        ]
        if given:
            raise ValueError(
                f"{args.data} is a data set with factors of its own; leave {', '.join(given)} out, or name a file."
            )
        data = load(args.data)
    elif Path(args.data).exists():
        names = args.names.split(",") if args.names else None
        data = read_images(
            args.data, images=args.images, labels=args.labels, names=names, sizes=args.sizes
        )
    else:
        raise ValueError(
            f"{args.data!r} is neither a file, a folder nor a data set; the data sets are: {', '.join(known)}."
        )
    found = diagnose(
        data, chosen or "mse", traversals=args.traversals, exact=args.exact or None, seed=args.seed
    )
    try:
        save(found, html=args.html, json_file=args.json)
    finally:
        # where a report goes to standard output, nothing else is mixed with it
        print(found, file=sys.stderr if any(map(is_stdout, outputs)) else sys.stdout)
    for file in (args.html, args.json):
        if file is not None:
            print(f"written: {plain(str(file))}", file=sys.stderr)
    return 0 if found.measured else 3


def _add_data(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command ``data`` and its own commands to the parser of ``vaedis``."""
    data = commands.add_parser(
        "data", help="the benchmark data sets: what is on disk, and preparing the originals"
    )
    actions = data.add_subparsers(required=True, metavar="action")

    status = actions.add_parser(
        "status",
        parents=[common],
        help="list each data set: what is on disk, its origin, size and hash",
    )
    status.add_argument(
        "--verify", action="store_true", help="read the images on disk again and compare their hash"
    )
    status.set_defaults(run=_data_status)

    prepare = actions.add_parser(
        "prepare", parents=[common], help="download, verify and convert originals"
    )
    prepare.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="cars3d, dsprites, shapes3d, smallnorb (default: all of them)",
    )
    prepare.add_argument(
        "--from",
        dest="source",
        metavar="FOLDER",
        help="take the original files from this folder or URL, and ask nobody else",
    )
    prepare.add_argument(
        "--origin",
        default="original",
        help="original (default), or stand-in for cars3d and smallnorb",
    )
    prepare.add_argument(
        "--force",
        action="store_true",
        help="verify the files again and convert them anew, even where that has been done",
    )
    prepare.set_defaults(run=_data_prepare)


def _data_status(args: argparse.Namespace) -> int:
    from vaedis.data.originals.commands import show_status

    return show_status(verify=args.verify)


def _data_prepare(args: argparse.Namespace) -> int:
    from vaedis.data.originals.commands import run_prepare

    return run_prepare(args.names, origin=args.origin, source=args.source, force=args.force)
