"""The commands ``vaedis sweep`` and ``vaedis results``."""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import statistics
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaedis._support.text import plain
from vaedis.training import checkpoint
from vaedis_companion.grids import GRIDS, PROFILES, profile

if TYPE_CHECKING:
    from vaedis_companion.store import Store

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def add_parsers(commands: argparse._SubParsersAction, common: argparse.ArgumentParser) -> None:
    """Add both commands to the command line."""
    sweep = commands.add_parser(
        "sweep",
        parents=[common],
        help="run what an experiment lacks",
        description="Run what an experiment lacks, and store each run.",
    )
    sweep.add_argument(
        "experiment",
        help=f"{', '.join(GRIDS)}, or plan: several of them, the most telling runs first",
    )
    sweep.add_argument(
        "--profile", help=f"{', '.join(PROFILES)} (default: $VAEDIS_PROFILE, or smoke)"
    )
    sweep.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")
    sweep.add_argument(
        "--precision", default="auto", help="float32, bf16, on a GPU tf32 too, or auto (default)"
    )
    sweep.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="processes of a local Dask cluster (default: this process)",
    )
    sweep.add_argument(
        "--scheduler", metavar="ADDRESS", help="use the Dask cluster there, as in tcp://host:8786"
    )
    sweep.add_argument(
        "--budget", metavar="TIME", help="stop cleanly before this time is up: 90s, 25m, 2h"
    )
    sweep.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="run the i-th of n shares only, for array jobs",
    )
    sweep.add_argument("--retry-failed", action="store_true", help="run again what failed")
    sweep.add_argument(
        "--out", metavar="DIR", help="store rows and checkpoints there (default: results/)"
    )
    sweep.add_argument(
        "--no-pixels",
        action="store_true",
        help="the same with small networks that see coordinates in place of images, in this process",
    )
    sweep.add_argument("--dry-run", action="store_true", help="list what would be run")
    sweep.set_defaults(run=_sweep)

    results = commands.add_parser(
        "results",
        parents=[common],
        help="print what is stored and what is missing, or merge a folder",
    )
    results.add_argument(
        "--experiment",
        action="append",
        default=[],
        metavar="NAME",
        help="only this one; may be repeated",
    )
    results.add_argument("--profile", help="only this one")
    results.add_argument("--out", metavar="DIR", help="the store (default: results/)")
    results.set_defaults(run=_results)
    actions = results.add_subparsers(metavar="merge DIR")
    merge = actions.add_parser(
        "merge", parents=[common], help="take in what a sweep wrote elsewhere with --out"
    )
    merge.add_argument("folder")
    merge.set_defaults(run=_merge)


def _folder(text: str) -> Path:
    """Return the folder that was named; a ValueError for an empty name, as of a variable of the
    shell that is not set.
    """
    if not text.strip():
        raise ValueError(
            "The name of the folder is empty; name one, or leave out --out for results/."
        )
    return Path(text)


def _store(args: argparse.Namespace) -> Store:
    from vaedis_companion.store import Store

    return Store(None if args.out is None else _folder(args.out))


def parse_time(text: str) -> float:
    """Return seconds of a time like ``90``, ``90s``, ``25m`` or ``1.5h``.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or not float(match[1]):
        raise ValueError(f"A budget is a time above 0 like 90s, 25m or 2h, not {text!r}.")
    return float(match[1]) * _SECONDS[match[2]]


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of ``i/n``.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"A shard is i/n with i from 1 to n, as in 2/8, not {text!r}.")
    return int(match[1]), int(match[2])


def _sweep(args: argparse.Namespace) -> int:
    from vaedis import _check
    from vaedis._support.memory import keep_memory
    from vaedis.training.step import PRECISIONS
    from vaedis_companion.store import Store
    from vaedis_companion.sweep import Sweep

    keep_memory()
    if args.no_pixels:
        return _sweep_without_pixels(args)
    _check.one_of("experiment", args.experiment, [*GRIDS, "plan"])
    _check.count("--workers", args.workers, 0)
    _check.one_of("precision", args.precision, PRECISIONS)
    store = _store(args)
    sweep = Sweep(
        args.experiment,
        profile(args.profile),
        store,
        device=args.device,
        precision=args.precision,
        workers=args.workers,
        scheduler=args.scheduler,
        seconds=parse_time(args.budget) if args.budget else None,
        # a folder of its own must not make the store's runs again
        also=Store() if args.out else None,
        retry_failed=args.retry_failed,
        shard=parse_shard(args.shard),
    )
    if args.dry_run:
        for spec in sweep.todo():
            print(f"{spec.key}  {describe(spec.to_dict())} seed {spec.seed}")
        return 0

    with _signals_ask(sweep) as received:
        sweep.run()
    left = len(sweep.todo())
    _say(_last_line(sweep.ended, left, sweep.stopped, args, received))
    return 128 + received[0] if received else int(sweep.failed > 0)


@contextlib.contextmanager
def _signals_ask(sweep: Any) -> Iterator[list[int]]:
    """Let the first signal that ends a process ask a sweep to stop cleanly instead; yield the list
    that it will be in.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def ask(signum: int, frame: types.FrameType | None) -> None:
        received.append(signum)
        sweep.asked_to_stop = True
        restore()  # a second one ends the process at once

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(
                number, signal.default_int_handler if number == signal.SIGINT else handler
            )

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # nohup ignores it, and what is ignored stays so
        if number is not None and (
            name == "SIGINT" or signal.getsignal(number) is not signal.SIG_IGN
        ):
            before[number] = signal.signal(number, ask)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    """Print a line on stderr, where the terminal that it would be on may be closed."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _sweep_without_pixels(args: argparse.Namespace) -> int:
    from vaedis import _check
    from vaedis_companion import no_pixels
    from vaedis_companion.store import Store

    _check.one_of("experiment without pixels", args.experiment, no_pixels.EXPERIMENTS)
    given = {
        "profile": None,
        "precision": "auto",
        "workers": 0,
        "scheduler": None,
        "shard": "1/1",
        "retry_failed": False,
    }
    for name, default in given.items():
        if getattr(args, name) != default:
            raise ValueError(
                f"--{name.replace('_', '-')} does not go with --no-pixels, which has one profile and trains populations here."
            )
    seconds = parse_time(args.budget) if args.budget else None
    store, also = _store(args), Store() if args.out else None
    if args.dry_run:
        for spec in no_pixels.missing(args.experiment, store=store, also=also):
            print(f"{spec.key}  {describe(spec.to_dict())} seed {spec.seed}")
        return 0
    before = {row["key"] for row in no_pixels.stored(args.experiment, store).failed}
    asked = types.SimpleNamespace(asked_to_stop=False)
    with _signals_ask(asked) as received:
        ended = no_pixels.run_missing(
            args.experiment,
            device=args.device,
            store=store,
            seconds=seconds,
            also=also,
            stop=lambda: asked.asked_to_stop,
        )
    left = len(no_pixels.missing(args.experiment, store=store, also=also))
    _say(_last_line(ended, left, 0, args, received))
    failed = any(
        row["key"] not in before for row in no_pixels.stored(args.experiment, store).failed
    )
    return 128 + received[0] if received else int(failed)


def _last_line(
    ended: int, left: int, stopped: int, args: argparse.Namespace, received: list[int]
) -> str:
    how = (
        ""
        if not received
        else "interrupted; "
        if received[0] == signal.SIGINT
        else f"stopped by {signal.Signals(received[0]).name}; "
    )
    text = f"{args.experiment}: {how}{ended} run{'s' * (ended != 1)} stored"
    if left:
        kept = (
            f", {stopped} of them with a checkpoint" if stopped and checkpoint.available() else ""
        )
        text += f", {left} left{kept}; the same command goes on"
    return text + "."


def describe(row: dict) -> str:
    """Return what a run trains, as one phrase."""
    given = {**row["data_options"], **row["loss_options"]}
    if given.get("rotation") == row["seed"]:
        del given["rotation"]  # a repeat is a rotation of its own
    options = "".join(f" {k}={v}" for k, v in given.items())
    average = " average=published" if row["average"] == "published" else ""
    warmup = f" warm-up {row['warmup']}" if row["warmup"] else ""
    text = f"{row['framework']} {row['data']}{options} {row['loss']} beta {row['beta']:g}{warmup} z {row['latents']}{average}"
    return plain(text)  # a row may come from someone else


def _results(args: argparse.Namespace) -> int:
    from vaedis import _check
    from vaedis_companion import sweep

    store = _store(args)
    if args.out and not store.root.is_dir():
        raise ValueError(f"There is no folder {plain(args.out)}; name one that a sweep wrote to.")
    if args.profile:
        _check.one_of(
            "profile", args.profile, sorted({*PROFILES, *(scale for _, scale in store.tables())})
        )
    for name in args.experiment:
        _check.one_of("experiment", name, sorted({*GRIDS, *(e for e, _ in store.tables())}))
    for experiment, scale in store.tables():
        if (args.experiment and experiment not in args.experiment) or (
            args.profile and scale != args.profile
        ):
            continue
        _print_table(experiment, scale, store.rows(experiment, scale))
    print("missing:")
    for experiment in args.experiment or GRIDS:
        if experiment in GRIDS:
            counts = sweep.describe_missing(experiment, store=store)
            print(
                f"  {experiment:8s} "
                + "  ".join(
                    f"{scale} {have} of {all_} stored" for scale, (have, all_) in counts.items()
                )
            )
    return 0


def _print_table(experiment: str, scale: str, rows: list[dict]) -> None:
    finished = [row for row in rows if row["status"] == "finished"]
    print(
        f"{plain(experiment)}, {plain(scale)} profile: {len(finished)} finished, {len(rows) - len(finished)} failed"
    )
    cells: dict[str, list[dict]] = {}
    for row in sorted(finished, key=describe):
        cells.setdefault(describe(row), []).append(row)
    width = max(map(len, cells), default=0)
    for cell, members in cells.items():
        scores = "  ".join(
            f"{name.upper()} {_spread([row[name] for row in members])}" for name in ("mig", "dci")
        )
        print(f"  {cell:{width}s}  n {len(members):2d}  {scores}")
    for row in rows:
        if row["status"] != "finished":
            print(f"  {describe(row)} seed {row['seed']}: {plain(row['status'])}")


def _spread(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    return (
        f"{statistics.median(known):.3f} [{min(known):.3f} {max(known):.3f}]" if known else "none"
    )


def _merge(args: argparse.Namespace) -> int:
    counts = _store(args).merge(_folder(args.folder))
    print(f"{counts['taken']} runs taken in, {counts['known']} known already")
    return 0
