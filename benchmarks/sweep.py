"""How a sweep's speed grows with the workers of a local Dask cluster: the same small grid in this process, on one worker and on two.

    python benchmarks/sweep.py [--workers 1 2] [--steps 40] [--device cuda]

The grid is Figure 9's at two spacings: four runs of both frameworks on XYSquares, 64×64×3, batch 64, with the fast scores. Each sweep is
run by `vaedis.sweep.Sweep`, as the command ``vaedis sweep`` does it, into a new folder. In this process torch has all threads; N workers
share them out. Standard output is a table in Markdown:

- ``whole``: all images over the seconds from the call to its return, so with the start of the workers, scores, checkpoints and storing.
- ``without the start``: the same less the seconds that a cluster of so many workers took to start and end, measured apart just before.
- ``training``: what the runs' own steps made, times the workers: how far workers disturb each other while they train.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from machine import about, cell, in_turn, load, parser, ratio

from vaedis_companion import grids, store as results, sweep
from vaedis_companion.sweep import cluster, runs
from vaedis_companion.sweep.missing import n_images


def short_profile(steps: int, spacings: Sequence[int]) -> grids.Profile:
    """Two runs a spacing, one of each framework."""
    return grids.Profile("smoke", steps, steps, 64, 1, tuple(spacings), steps, "fast", "benchmark")


def start_seconds(workers: int) -> float:
    """How long a cluster takes to start, import what runs need, and end."""
    if not workers:
        return 0.0
    started = time.perf_counter()
    with cluster.connect(workers, None) as client:
        client.run(__import__, "vaedis_companion.sweep.runs")
    return time.perf_counter() - started


def swept(workers: int, options: argparse.Namespace) -> dict[str, float]:
    """Images a second of one sweep, counted in three ways, and the seconds of a cluster's start and
    end.
    """
    profile = short_profile(options.steps, options.spacings)
    specs = grids.grid("fig9", profile)
    images = sum(map(n_images, specs))
    start = start_seconds(workers)
    with tempfile.TemporaryDirectory() as folder:
        store = results.Store(Path(folder) / "results")
        started = time.perf_counter()
        one = sweep.Sweep("fig9", profile, store, options.device, workers=workers, quiet=True)
        one.run()
        seconds = time.perf_counter() - started
        rows = store.rows("fig9", "smoke")
    if sorted(row["status"] for row in rows) != ["finished"] * len(specs):
        raise SystemExit(f"Not all runs finished: {[row['status'] for row in rows]}.")
    trained = sum(n_images(results.spec_of(row)) / row["images_per_second"] for row in rows)
    training = max(1, workers) * images / trained
    return {
        "whole": images / seconds,
        "without the start": images / (seconds - start),
        "training": training,
        "start": start,
    }


def main() -> None:
    """Measure and print a table in Markdown."""
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--workers", type=int, nargs="+", default=[1, 2])
    add("--steps", type=int, default=40, help="of each run")
    add("--spacings", type=int, nargs="+", default=[1, 8], help="two runs each")
    add("--rounds", type=int, default=2)
    add("--device", default="cpu")
    options = arguments.parse_args()

    import distributed

    print(f"{about(options.device)}, distributed {distributed.__version__}; ", end="")
    print(f"{2 * len(options.spacings)} runs of {options.steps} steps, batch 64\n", flush=True)
    # numba compiles what the scores need once an installation, which must not count
    first = short_profile(2, options.spacings)
    runs.run_one(grids.grid("fig9", first)[0], "fig9", first, device=options.device)
    every = [0, *(n for n in options.workers if n)]
    rounds_of = in_turn({str(n): lambda n=n: swept(n, options) for n in every}, options.rounds)  # type: ignore[dict-item, return-value]
    counts = ("whole", "without the start", "training")
    rates = {
        name: {count: [one[count] for one in rounds] for count in (*counts, "start")}
        for name, rounds in rounds_of.items()
    }  # type: ignore[index]
    heads = " | ".join(f"{count}, images/s | ratio" for count in counts)
    print(f"| sweep | {heads} |\n|---|{'---|' * 6}")
    for name, counted in rates.items():
        label = "in this process" if name == "0" else f"`--workers {name}`"
        cells = [f"{cell(counted[c])} | {ratio(counted[c], rates['0'][c])}" for c in counts]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)
    starts = [
        f"{statistics.median(counted['start']):.1f} s for {name}"
        for name, counted in rates.items()
        if name != "0"
    ]
    print(
        f"\nMedians of {options.rounds} rounds in turn, in brackets the lowest and the highest; ratios are to this process. "
        f"To start, import and end: {', '.join(starts)}. Load at the end {load()}."
    )


if __name__ == "__main__":
    main()
