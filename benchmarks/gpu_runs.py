"""Run what the laptop profile lacks on a GPU, several runs at a time, into a store of its own.

    python benchmarks/gpu_runs.py OUT COMMIT [PROCESSES]

OUT receives the rows and arrays; COMMIT is written into them, since a copy of the tree need not be
a git checkout. One run that the store already has from a CPU is made again beside them, under
OUT/check, to compare the two devices' scores.
"""

import multiprocessing
import sys
import time
from pathlib import Path

import torch

from vaedis import spec as experiments
from vaedis_companion import grids, project, store, sweep
from vaedis_companion.sweep import runs


def run(job: tuple[str, experiments.RunSpec, str, str]) -> str:
    """Train, score and store one run; return a line about it."""
    experiment, spec, out, commit = job
    torch.set_num_threads(1)
    project.commit = lambda: commit
    row, arrays = runs.run_one(spec, experiment, grids.PROFILES["laptop"], device="cuda")
    store.Store(out).add(row, arrays)
    return f"{experiment} {runs.brief(row)}"


def main() -> None:
    """Run all, and print a line as each ends."""
    out = Path(sys.argv[1])
    commit = sys.argv[2]
    processes = int(sys.argv[3]) if len(sys.argv) > 3 else 6
    profile = grids.PROFILES["laptop"]
    jobs = [("fig9", grids.grid("fig9", profile)[0], str(out / "check"), commit)]
    jobs += [
        (name, spec, str(out), commit)
        for name in ("fig9", "fig11")
        for spec in sweep.missing(name, profile, store.Store())
    ]
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=4) as pool:
        for line in pool.imap_unordered(run, jobs):
            print(f"{time.perf_counter() - started:.0f} s: {line}", flush=True)


if __name__ == "__main__":
    main()
