"""The command ``vaedis``: the study's commands beside those of the library.

Whatever is heavy is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from vaedis import _check, cli as library
from vaedis._support.text import plain
from vaedis_companion.profiles import COORDINATES, PROFILES, profile

if TYPE_CHECKING:
    from vaedis_companion.store import Store
    from vaedis_companion.sweep import Sweep

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_PROFILES = f"{', '.join(PROFILES)} (default: $VAEDIS_PROFILE, or smoke)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; see `vaedis.cli.main`."""
    return library.main(argv, _add_commands)


def _add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    add_command = functools.partial(commands.add_parser, parents=[common])
    _add_book(add_command)
    _add_sweep(add_command)
    _add_results(add_command, common)

    measure = add_command("measure", help="measure and store the distances of whole data sets")
    measure.add_argument("names", nargs="*", metavar="NAME", help="data sets (default: all)")
    measure.add_argument("--force", action="store_true", help="measure again what is stored")
    measure.set_defaults(run=_measure)

    help_check = "compare what the figures of the built book draw with codecheck.yml"
    check = add_command("check", help=help_check)
    check.add_argument("names", nargs="*", metavar="CHAPTER", help="chapters (default: all)")
    check.add_argument("--profile", help=_PROFILES)
    check.add_argument("--write", action="store_true", help="write the manifest anew")
    check.set_defaults(run=_check_figures)

    convert = add_command("notebooks", help="write the chapters as .ipynb files")
    help_outputs = "with the outputs of the current runs in this profile"
    convert.add_argument("folder", help="where to write them")
    convert.add_argument("--outputs", metavar="PROFILE", help=help_outputs)
    convert.set_defaults(run=_notebooks)


def _add_book(add_command: Callable[..., argparse.ArgumentParser]) -> None:
    book = add_command("book", help="run the notebooks and build the book")
    add = book.add_argument
    repeated: dict[str, Any] = {"action": "append", "default": []}
    add("--profile", help=_PROFILES)
    add("--workers", type=int, default=2, metavar="N", help="notebooks at a time (default: 2)")
    add("--only", metavar="NAME", help="run this notebook only; may be repeated", **repeated)
    add("--force", action="store_true", help="run notebooks even where a current run is stored")
    add("--param", metavar="NAME=VALUE", help="a notebook parameter; may be repeated", **repeated)
    add("--strict", action="store_true", help="build every page anew, with warnings as errors")
    add("--no-html", action="store_true", help="run the notebooks, but build no pages")
    book.set_defaults(run=_book)


def _add_sweep(add_command: Callable[..., argparse.ArgumentParser]) -> None:
    sweep = add_command(
        "sweep",
        help="run what an experiment lacks",
        description="Run what an experiment lacks, and store each run.",
    )
    add = sweep.add_argument
    flag: dict[str, Any] = {"action": "store_true"}
    add("experiment", help="the name of one, or plan: several, the most informative runs first")
    add("--profile", help=_PROFILES)
    add("--device", default="auto", help="cpu, cuda, or auto (default)")
    add("--precision", default="auto", help="float32, bf16, tf32 on a GPU, or auto (default)")
    add("--workers", type=int, default=0, metavar="N", help="processes of a local Dask cluster")
    add("--scheduler", metavar="ADDRESS", help="use this Dask cluster, as in tcp://host:8786")
    add("--budget", metavar="TIME", help="stop cleanly before this time is up: 90s, 25m, 2h")
    add("--shard", default="1/1", metavar="I/N", help="run the i-th of n shares, for array jobs")
    add("--retry-failed", help="run again what failed", **flag)
    add("--out", metavar="DIR", help="store rows and checkpoints there (default: results/)")
    add("--no-pixels", help="train small networks on coordinates in place of images", **flag)
    add("--steps", type=int, metavar="N", help="other steps than the profile's, stored apart")
    add("--seeds", type=int, metavar="N", help="other seeds a setting, stored apart")
    add("--dry-run", help="list what would be run, and the hours it takes here", **flag)
    sweep.set_defaults(run=_sweep)


def _add_results(
    add_command: Callable[..., argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    help_results = "print what is stored and what is missing, or merge a folder"
    results = add_command("results", help=help_results)
    add = results.add_argument
    only = "only this one; may be repeated"
    add("--experiment", action="append", default=[], metavar="NAME", help=only)
    add("--profile", help="only this one")
    add("--out", metavar="DIR", help="the store (default: results/)")
    results.set_defaults(run=_results)
    actions = results.add_subparsers(metavar="merge DIR")
    help_merge = "take in what a sweep wrote elsewhere; exit status 3 if known runs differ there"
    merge = actions.add_parser("merge", parents=[common], help=help_merge)
    merge.add_argument("folder")
    merge.set_defaults(run=_merge)


def parse_param(text: str) -> tuple[str, Any]:
    """Split ``name=value``; the value is a Python literal where it reads as one, or else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"--param {text!r} is not of the form name=value, as in --param seed=1.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return name, value


def parse_time(text: str) -> float:
    """Return the seconds of a time like ``90``, ``90s``, ``25m`` or ``1.5h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or not float(match[1]):
        raise ValueError(f"A budget is a time above 0 like 90s, 25m or 2h, not {text!r}.")
    return float(match[1]) * _SECONDS[match[2]]


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of ``i/n``."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise ValueError(f"A shard is i/n, as in 2/8, not {text!r}.")
    return int(match[1]), int(match[2])


def _folder(text: str, or_else: str = "") -> Path:
    if not text.strip():  # for instance an unset shell variable
        raise ValueError(f"The name of the folder is empty; name one{or_else}.")
    return Path(text)


def _store(args: argparse.Namespace) -> Store:
    from vaedis_companion.store import Store

    return Store(None if args.out is None else _folder(args.out, ", or leave out --out"))


def _book(args: argparse.Namespace) -> int:
    from vaedis_companion.book import build

    for number in _signals():
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


def _signals() -> list[int]:
    """Return the signals that ask to end, without those that are ignored, as under nohup."""
    numbers = [getattr(signal, name, signal.SIGTERM) for name in ("SIGTERM", "SIGHUP")]
    return [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]


def _end(number: int, _: Any) -> None:
    """End with the code that a shell gives to a signal, after all that runs was ended."""
    print(f"vaedis: ended by {signal.Signals(number).name}", file=sys.stderr)
    raise SystemExit(128 + number)


def _measure(args: argparse.Namespace) -> int:
    from vaedis_companion.analysis import measured

    measured.measure_data_sets(args.names, force=args.force)
    return 0


def _check_figures(args: argparse.Namespace) -> int:
    from vaedis_companion.book import executions, receipts

    root = executions.find_root()
    return receipts.check(root, profile(args.profile).name, args.names, write=args.write)


def _notebooks(args: argparse.Namespace) -> int:
    from vaedis_companion.book import build, executions

    folder = _folder(args.folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one to write the notebooks into.")
    if args.outputs is not None:
        _check.one_of("profile", args.outputs, PROFILES)
    paths = build.write_notebooks(executions.find_root(), folder, args.outputs)
    print(f"{len(paths)} notebooks in {folder}")
    return 0


def _sweep(args: argparse.Namespace) -> int:
    from vaedis._support.memory import keep_memory
    from vaedis_companion.sweep.runner import describe_time
    from vaedis_companion.sweep.runs import describe

    keep_memory()
    sweep = _sweep_of(args)
    if args.dry_run:
        if args.out is not None:
            sweep.store.check_folder()
        for spec in sweep.todo():
            print(f"{spec.key}  {describe(spec.to_dict())} seed {spec.seed}")
        sys.stdout.flush()
        print(describe_time(sweep), file=sys.stderr)
        return 0
    with _signals_ask(sweep) as received:
        sweep.run()
    line = f"{sweep.experiment}: "
    if received:
        name = signal.Signals(received[0]).name
        line += "interrupted; " if name == "SIGINT" else f"stopped by {name}; "
    line += "1 run stored" if sweep.ended == 1 else f"{sweep.ended} runs stored"
    n_left = len(sweep.todo())
    line += f", {n_left} left; the same command goes on." if n_left else "."
    # the terminal may be closed by now
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    return 128 + received[0] if received else int(sweep.failed > 0)


def _sweep_of(args: argparse.Namespace) -> Sweep:
    """Return the sweep that was asked for; a ValueError if its options do not go together."""
    from vaedis.training.step import PRECISIONS
    from vaedis_companion.grids import COORDINATE_GRIDS, GRIDS
    from vaedis_companion.store import Store
    from vaedis_companion.sweep import Sweep

    if args.no_pixels:
        _check.one_of("experiment without pixels", args.experiment, COORDINATE_GRIDS)
        for name in ("profile", "workers", "scheduler", "steps", "seeds"):
            if getattr(args, name) not in (None, 0):
                raise ValueError(
                    f"--{name} does not go with --no-pixels, which has one profile and trains here."
                )
    else:
        _check.one_of("experiment", args.experiment, [*GRIDS, "plan"])
    _check.count("--workers", args.workers, 0)
    if args.scheduler is not None and not args.scheduler.strip():
        raise ValueError("The address of the scheduler is empty; name one, or leave it out.")
    if args.scheduler is not None and args.workers:
        raise ValueError(
            "--workers starts processes here, and --scheduler has its own; give one of them."
        )
    _check.one_of("precision", args.precision, PRECISIONS)
    chosen = COORDINATES if args.no_pixels else profile(args.profile)
    return Sweep(
        args.experiment,
        chosen.resized(args.steps, args.seeds),
        _store(args),
        device=args.device,
        precision=args.precision,
        workers=args.workers,
        scheduler=args.scheduler,
        seconds=None if args.budget is None else parse_time(args.budget),
        # a folder of its own must not run the store's runs again
        also=Store() if args.out else None,
        retry_failed=args.retry_failed,
        shard=parse_shard(args.shard),
    )


@contextlib.contextmanager
def _signals_ask(sweep: Sweep) -> Iterator[list[int]]:
    """Let the first signal ask a sweep to stop cleanly; yield the list that it will be in."""
    received: list[int] = []
    handlers: dict[int, Any] = {}

    def stop_sweep(number: int, frame: FrameType | None) -> None:
        received.append(number)
        sweep.asked_to_stop = True
        for signal_number, handler in handlers.items():  # a second one ends the process at once
            signal.signal(
                signal_number,
                signal.default_int_handler if signal_number == signal.SIGINT else handler,
            )

    for number in (signal.SIGINT, *_signals()):
        handlers[number] = signal.signal(number, stop_sweep)
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _results(args: argparse.Namespace) -> int:
    from vaedis_companion.grids import GRIDS
    from vaedis_companion.sweep import describe_missing
    from vaedis_companion.sweep.runs import print_table

    store = _store(args)
    if (args.out or os.environ.get("VAEDIS_RESULTS")) and not store.root.is_dir():
        source = "" if args.out else ", which VAEDIS_RESULTS names"
        name = plain(str(store.root)) + source
        raise ValueError(f"There is no folder {name}; name one that a sweep wrote to.")
    tables = store.tables()
    if args.profile is not None:
        known = sorted({*PROFILES, *(name for _, name in tables)})
        _check.one_of("profile", args.profile, known)
    for experiment in args.experiment:
        known = sorted({*GRIDS, *(name for name, _ in tables)})
        _check.one_of("experiment", experiment, known)
    for experiment, profile_name in tables:
        is_chosen = not args.experiment or experiment in args.experiment
        if is_chosen and args.profile in (None, profile_name):
            print_table(store.runs(experiment, profile_name))
    print("missing:")
    for experiment in args.experiment or GRIDS:
        if experiment in GRIDS:
            counts = describe_missing(experiment, store=store).items()
            words = [f"{name} {stored} of {total} stored" for name, (stored, total) in counts]
            print(f"  {experiment:8s} " + "  ".join(words))
    return 0


def _merge(args: argparse.Namespace) -> int:
    merged = _store(args).merge(_folder(args.folder))
    added = f", {merged.added} of them without arrays until now" if merged.added else ""
    print(f"{merged.taken} runs taken in, {merged.known} known already{added}")
    if merged.differ:
        print(
            f"vaedis: {plain(args.folder)} has other results of known runs: {len(merged.differ)}, "
            f"first {merged.differ[0]}. The store's stay; find out which are right.",
            file=sys.stderr,
        )
    return 3 if merged.differ else 0
