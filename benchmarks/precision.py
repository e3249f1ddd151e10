"""Scores of runs in float32 and in bfloat16, and in TF32 on a GPU: whether precision changes their distribution.

    python benchmarks/precision.py --steps 4000 --batch 256 --seeds 20 --device cuda     # a setting that can tell
    python benchmarks/precision.py                                                       # on a CPU: shows that it runs, no more

Ada-GVAE on XYSquares at spacing 1, which disentangles within few steps. Each seed is trained once in each precision, so all start from the
same weights and see the same images; arithmetic alone differs. Networks are then scored in float32 by the fast protocol: MIG, DCI's
disentanglement, and the last losses. Standard output: a table of medians with the lowest and highest seed; of each precision's median less
that of float32, with a 95 % bootstrap interval over seeds, unpaired; and of the same over pairs of one seed.

An interval that holds 0 does not show equality: it bounds the difference. A median MIG near that of untrained networks, which the first
row tells, means that the runs were too short to tell anything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from machine import about, load, parser

import vaedis as vd
from vaedis_companion.analysis import intervals

SCORES = ("MIG", "DCI", "reconstruction loss", "images/s")


def scored(spec: vd.RunSpec, precision: str, device: str, data: vd.FactorData) -> list[float]:
    """Train and score one run."""
    run = vd.fit(spec, device=device, data=data, precision=precision)
    result = run.scores(protocol="fast")
    return [
        float(result["mig"]),
        float(result["dci"]),
        float(run.history["recon"][-50:].mean()),
        run.images_per_second,
    ]


def spread(values: Sequence[float]) -> str:
    """Median, lowest and highest."""
    return f"{np.median(values):,.4g} ({min(values):,.4g}–{max(values):,.4g})"


def main() -> None:
    """Train, score, and print a table in Markdown."""
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--device", default="cpu")
    add("--precisions", nargs="+", help="default: float32 bf16, and tf32 on a GPU")
    add("--seeds", type=int, default=8)
    add("--steps", type=int, default=20)
    add("--batch", type=int, default=16, help="pairs a step")
    add("--spacing", type=int, default=1)
    add("--framework", default="ada-gvae", choices=vd.spec.FRAMEWORKS)
    options = arguments.parse_args()
    precisions = options.precisions or ["float32", "bf16"]
    if not options.precisions and options.device.startswith("cuda"):
        precisions.append("tf32")
    if "float32" not in precisions:
        arguments.error("float32 is what the others are compared with; name it among --precisions")

    data = vd.load("xysquares", grid_spacing=options.spacing, device=options.device)
    first = vd.RunSpec(
        data_options={"grid_spacing": options.spacing},
        framework=options.framework,
        steps=options.steps,
        batch=options.batch,
    )
    print(
        f"{about(options.device)}; {options.framework}, spacing {options.spacing}, {options.steps:,} steps, batch {options.batch}\n"
    )
    started = time.perf_counter()
    untrained = [
        scored(first.replace(seed=seed, steps=1, lr=1e-12), "float32", options.device, data)
        for seed in range(options.seeds)
    ]
    runs_of: dict[str, list[list[float]]] = {precision: [] for precision in precisions}
    for seed in range(options.seeds):
        for precision in precisions:
            scores = scored(first.replace(seed=seed), precision, options.device, data)
            runs_of[precision].append(scores)

    print(f"| precision | {' | '.join(SCORES)} |\n|---|{'---|' * len(SCORES)}")
    mig, dci, *_ = zip(*untrained, strict=True)
    print(f"| untrained | {spread(mig)} | {spread(dci)} | | |")
    table = {precision: np.array(runs).T for precision, runs in runs_of.items()}
    for precision, columns in table.items():
        print(f"| {precision} | {' | '.join(map(spread, columns))} |")
    for precision in (p for p in precisions if p != "float32"):
        for label, paired in (("less float32", False), ("less float32, by seed", True)):
            gaps = [
                intervals.difference(a, b, paired=paired)
                for a, b in zip(table[precision][:3], table["float32"][:3], strict=True)
            ]
            print(f"| {precision} {label} | {' | '.join(f'{gap:.4f}' for gap in gaps)} | |")
    print(
        f"\n{options.seeds} seeds, in turn, {time.perf_counter() - started:.0f} s. Load at the end {load()}."
    )


if __name__ == "__main__":
    main()
