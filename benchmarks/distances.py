"""Exact distances along all factors of dSprites beside sampling them and beside general distance functions, in one run.

    python benchmarks/distances.py [--threads 2] [--repeats 3] > benchmarks/distances.md

Each contender runs in a process of its own, in turn, and the median of the repeats counts. Before the clock starts it does the same once
for eight other traversals, so that what libraries set up at their first call counts for none. All read the same images from the package's
renderer. Contenders:

- numpy: what the authors' plotting script does: random traversals, all pairs of each, differences squared and averaged in float32;
- scipy: ``cdist(x, x, "sqeuclidean")`` of each traversal; torch: ``torch.cdist(x, x) ** 2`` of blocks of traversals;
- vaedis: ``distances.factor_distances``, on the same number of traversals, and on as many as it needs for the same standard error when it spreads
  them evenly (``sampling="spread"``, its default).

How many those are is measured first, in the same run: the root mean square error of the mean matrix's entries, over 100 seeds, beside that
of 256 independent traversals, which is known exactly, both from the matrices of all traversals. Over all 18,432 and more of each factor,
which leaves no error, the others' seconds are those of their 256 traversals times the number needed, since they take no less for each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

import vaedis as vd
from vaedis.distances.factor_distances import spread_sets

FACTORS = ("shape", "scale", "orientation", "position_x", "position_y")
SAMPLE = 256


def blocks(data, factor, bases, size):
    """Float32 images, shape (T, f, D), of a few traversals at a time."""
    for part in bases.split(size):
        index = data.factors.traversal(factor, part)
        yield data.images(index.flatten()).view(*index.shape, -1).float() / 255


def with_numpy(data, factor, bases):
    """The mean matrix of distances over the traversals, as of all contenders."""
    total = 0.0
    for block in blocks(data, factor, bases, 1):
        x = block[0].numpy()
        total = total + np.stack([((x - one) ** 2).mean(1) for one in x])
    return total / len(bases)


def with_scipy(data, factor, bases):
    from scipy.spatial.distance import cdist

    total = 0.0
    for block in blocks(data, factor, bases, 1):
        x = block[0].numpy()
        total = total + cdist(x, x, "sqeuclidean") / x.shape[1]
    return total / len(bases)


def with_torch(data, factor, bases):
    total = 0.0
    for x in blocks(data, factor, bases, 16):
        total = total + (torch.cdist(x, x) ** 2 / x.shape[-1]).double().sum(0).numpy()
    return total / len(bases)


OTHERS = {"numpy": with_numpy, "scipy": with_scipy, "torch": with_torch}


def measure(contender: str, factor: str, threads: int) -> dict:
    """Time one contender on one factor, or on all; in a process of its own."""
    torch.set_num_threads(threads)
    data = vd.load("dsprites")
    data.images(torch.arange(64))

    def once(traversals: int, seed: int) -> np.ndarray:
        if contender in OTHERS:
            bases = data.factors.sample_index(
                traversals, generator=torch.Generator().manual_seed(seed)
            )
            return OTHERS[contender](data, factor, bases)
        sampling = "independent" if contender == "vaedis" else "spread"
        return vd.distances.factor_distances(
            data, factors=[factor], traversals=traversals, sampling=sampling, seed=seed
        )[factor].matrix

    sampled = factor != "all"
    if sampled:
        once(8, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    matrix = np.zeros(1)
    start = time.perf_counter()
    if sampled:
        traversals = contender.removeprefix("spread")
        matrix = once(int(traversals) if traversals.isdigit() else SAMPLE, 0)
    elif contender == "exact":
        vd.distances.factor_distances(data)
    else:
        x = torch.rand(2048, 2048)
        x @ x
        start = time.perf_counter()
        for _ in range(5):
            x @ x
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = {"grown": (after - before) / 1e3, "peak": after / 1e3}
    return {"seconds": seconds, **memory, "mean": float(matrix.mean())}


def needed_when_spread(factor: str, threads: int) -> dict:
    """How many spread traversals have the error of `SAMPLE` independent ones, and both errors
    relative to the mean distance.
    """
    torch.set_num_threads(threads)
    data = vd.load("dsprites")
    space = data.factors
    bases = space.traversal_bases(factor)
    size = space.sizes[space.position(factor)]
    i, j = torch.triu_indices(size, size, 1).unbind()
    every = torch.empty(len(bases), len(i), dtype=torch.float64)
    for rows, part in zip(torch.arange(len(bases)).split(256), bases.split(256), strict=True):
        (x,) = blocks(data, factor, part, len(part))
        every[rows] = (torch.cdist(x, x) ** 2 / x.shape[-1])[:, i, j].double()
    exact = every.mean(0)
    independent = float((every.var(0) / SAMPLE).mean().sqrt() / exact.mean())
    row = torch.empty(space.size, dtype=torch.int64)
    row[bases] = torch.arange(len(bases))
    for n in range(8, SAMPLE + 1, 8):
        errors = []
        for seed in range(100):
            indices, _ = spread_sets(space, factor, n, torch.Generator().manual_seed(seed))
            errors.append(float((every[row[indices]].mean(0) - exact).square().mean()))
        spread = float(np.sqrt(np.mean(errors)) / exact.mean())
        if spread <= independent:
            break
    return {"traversals": n, "spread": spread, "independent": independent}


def median(contender: str, factor: str) -> dict:
    repeats = runs[contender, factor]
    return {key: statistics.median(repeat[key] for repeat in repeats) for key in repeats[0]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("CONTENDER", "FACTOR"))
    arguments = parser.parse_args()
    if arguments.one:
        contender, factor = arguments.one
        if contender == "needed":
            print(json.dumps(needed_when_spread(factor, arguments.threads)))
        else:
            print(json.dumps(measure(contender, factor, arguments.threads)))
        sys.exit()

    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}

    def in_its_own_process(*job: str) -> dict:
        command = [sys.executable, __file__, "--threads", str(arguments.threads), "--one", *job]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return json.loads(done.stdout.splitlines()[-1])

    spread = {factor: in_its_own_process("needed", factor) for factor in FACTORS}
    ours = {factor: ("vaedis", f"spread{spread[factor]['traversals']}") for factor in FACTORS}
    jobs = [(contender, f) for f in FACTORS for contender in (*OTHERS, *ours[f])]
    jobs += [("exact", "all"), ("peak", "all")]
    runs: dict = {job: [] for job in jobs}
    for _ in range(arguments.repeats):
        for job in jobs:
            runs[job].append(in_its_own_process(*job))

    space = vd.load("dsprites").factors
    import scipy

    print(
        f"dSprites, rendered, {space.size:,} images of 64×64. {platform.machine()}, {arguments.threads} threads, median of "
        f"{arguments.repeats}. torch {torch.__version__}, numpy {np.__version__}, scipy {scipy.__version__}.\n"
    )
    theirs = {factor: {name: median(name, factor) for name in OTHERS} for factor in FACTORS}
    needed = dict.fromkeys(OTHERS, 0.0)
    heads = "".join(f" {name} |" for name in (*OTHERS, "vaedis", *(f"vs {n}" for n in OTHERS)))
    for factor in FACTORS:
        mean = median("vaedis", factor)["mean"]
        size = space.sizes[space.position(factor)]
        for name, measured in theirs[factor].items():
            assert abs(measured["mean"] / mean - 1) < 1e-4, (factor, name, measured, mean)
            needed[name] += measured["seconds"] * space.size / size / SAMPLE

    def row(contender_of: dict[str, str]) -> str:
        """Seconds of some factors together, each with the contender that is ours, and the ratios."""
        medians = [median(contender, factor) for factor, contender in contender_of.items()]
        own_seconds = sum(one["seconds"] for one in medians)
        peer_seconds = [
            sum(theirs[factor][name]["seconds"] for factor in contender_of) for name in OTHERS
        ]
        cells = [f"{seconds:.2f}" for seconds in peer_seconds]
        cells.append(f"{own_seconds:.4f}")
        cells += [f"{seconds / own_seconds:.1f}×" for seconds in peer_seconds]
        return " | ".join(cells)

    print(
        f"Seconds for the standard error of {SAMPLE} independent traversals, and how many times vaedis is as fast; it spreads its own "
    )
    print(
        f"evenly, the others take {SAMPLE}. In brackets the error of a matrix's entry, relative to the mean, of theirs and of ours:\n"
    )
    print(f"| factor | traversals of vaedis |{heads}\n" + "|---" * (3 + 2 * len(OTHERS)) + "|")
    for factor in FACTORS:
        one = spread[factor]
        counts = f"{one['traversals']} ({one['independent']:.2%}, {one['spread']:.2%})"
        print(f"| {factor} | {counts} | {row({factor: ours[factor][1]})} |")
    print(f"| all five | | {row({factor: ours[factor][1] for factor in FACTORS})} |")
    print(f"\nSeconds for the same {SAMPLE} independent traversals:\n")
    print(f"| factor |{heads}\n" + "|---" * (2 + 2 * len(OTHERS)) + "|")
    for factor in FACTORS:
        print(f"| {factor} | {row({factor: 'vaedis'})} |")
    print(f"| all five | {row(dict.fromkeys(FACTORS, 'vaedis'))} |")
    exact = median("exact", "all")
    peak = median("peak", "all")
    print(
        "\nAll traversals of all five factors (no sampling error; the others extrapolated from the table above):\n"
    )
    print("| | seconds | vaedis is as fast | memory grown by |\n|---|---|---|---|")
    print(
        f"| vaedis, measured | {exact['seconds']:.1f} | | {exact['grown']:.0f} MB (peak of the process {exact['peak']:.0f} MB) |"
    )
    for name, seconds in needed.items():
        grown = max(theirs[factor][name]["grown"] for factor in FACTORS)
        print(
            f"| {name}, extrapolated | {seconds:.0f} | {seconds / exact['seconds']:.1f}× | {grown:.0f} MB |"
        )
    flops = 2 * space.size * sum(space.sizes) * 4096
    rate = flops / exact["seconds"] / 1e9
    fastest_rate = 5 * 2 * 2048**3 / peak["seconds"] / 1e9
    print(
        f"\nThe Gram products are {flops / 1e9:.0f} GFLOP if no pixel is left out: {rate:.0f} GFLOP/s, images and all else included, "
    )
    print(
        f"which is {rate / fastest_rate:.0%} of the {fastest_rate:.0f} GFLOP/s that float32 products of 2048×2048 reach here."
    )
