"""The command ``vaedis diagnose``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "diagnose",
        parents=[common],
        help="say which factors of a data set a VAE can find under a loss",
        description="Say which factors of a data set a VAE can find under a loss, without training anything. The exit status is 0 if "
        "every factor was measured, 3 if there is a report but some factor was not measured, and 2 for a mistake.",
    )
    parser.add_argument("data", help="an .npz or HDF5 file of images and factor labels, a folder of pictures, or the name of a data set")
    parser.add_argument("--loss", action="append", default=[], metavar="NAME", help="mse (default), bce or mae; may be repeated")
    parser.add_argument("--blur", action="append", default=[], type=int, metavar="RADIUS", help="box blur of this radius; may be repeated")
    parser.add_argument("--images", metavar="KEY", help="the array of images in the file")
    parser.add_argument("--labels", metavar="KEY[,KEY...]", help="the array of factor labels in the file, or one for each factor")
    parser.add_argument("--names", metavar="A,B,...", help="the factors' names")
    parser.add_argument("--sizes", type=_sizes, metavar="N,N,...", help="values of each factor, if images are in order and have no labels")
    parser.add_argument("--traversals", type=int, default=2_000, metavar="N", help="random traversals of each factor (default: 2000)")
    parser.add_argument("--exact", action="store_true", help="look at all traversals, however many there are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write the report as one self-contained page; streams such as /dev/stdout too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it as JSON")
    parser.set_defaults(run=_diagnose)


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers, such as 6,6,2") from None


def _diagnose(args: argparse.Namespace) -> int:
    from vaedis import losses
    from vaedis._output import check_outputs, is_stdout
    from vaedis._text import plain
    from vaedis.data import DATA_SETS, load, read_table
    from vaedis.data._disk import cache_folder
    from vaedis.diagnose import diagnose

    outputs = [file for file in (args.html, args.json) if file is not None]
    check_outputs(outputs, [Path(args.data), cache_folder()])
    chosen = [losses.get(name) for name in args.loss] + [losses.get("box-blur", radius=radius) for radius in args.blur]
    if args.data == "coordinates":
        raise ValueError("coordinates have no pixels to diagnose; name the data set whose distances they keep, such as xysquares.")
    known = [name for name in DATA_SETS if name != "coordinates"]
    if args.data in known:
        given = [f"--{option}" for option in ("images", "labels", "names", "sizes") if getattr(args, option) is not None]
        if given:
            raise ValueError(f"{args.data} is a data set with factors of its own; leave {', '.join(given)} out, or name a file.")
        data = load(args.data)
    elif Path(args.data).exists():
        names = args.names.split(",") if args.names else None
        data = read_table(args.data, images=args.images, labels=args.labels, names=names, sizes=args.sizes)
    else:
        raise ValueError(f"{args.data!r} is neither a file, a folder nor a data set; the data sets are: {', '.join(known)}.")
    found = diagnose(data, chosen or "mse", traversals=args.traversals, exact=args.exact or None, seed=args.seed)
    try:
        found.save(html=args.html, json_file=args.json)
    finally:
        # where a report goes to standard output, nothing else is mixed with it
        print(found, file=sys.stderr if any(map(is_stdout, outputs)) else sys.stdout)
    for file in (args.html, args.json):
        if file is not None:
            print(f"written: {plain(str(file))}", file=sys.stderr)
    return 0 if found.measured else 3
