"""How cost grows on one device: images/s of one convolutional VAE against its batch, and of populations against their size and batch.

    python benchmarks/growth.py [--device cuda] [--framework ada-gvae]

The convolutional VAE is that of Table A3 on XYSquares, 64×64×3; populations are of networks of width 256 on coordinates, as in
``benchmarks/population.py``, which compares them with other ways of training. All settings take turns; only training steps count, after a
first call that does not. Standard output is two tables in Markdown; ratios are to the first row of each table, or to one member.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from machine import about, cell, in_turn, load, ratio
from population import population, spec_for

import vaedis as vd
from vaedis.training import step


def rates_of(
    cases: dict[str, list[vd.RunSpec]], data: vd.FactorData, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Images a second of all runs of each case together."""
    counted, ways = {}, {}
    for name, specs in cases.items():
        population([s.replace(steps=4) for s in specs], data)
        seconds = statistics.median(
            population([s.replace(steps=4) for s in specs], data).seconds for _ in range(2)
        )
        steps = max(4, int(4 * options.seconds / seconds))
        counted[name] = [spec.replace(steps=steps) for spec in specs]
    for name, specs in counted.items():
        images = sum(s.steps * s.batch * (2 if s.framework == "ada-gvae" else 1) for s in specs)
        ways[name] = lambda specs=specs, images=images: images / population(specs, data).seconds
    return in_turn(ways, options.rounds)


def main() -> None:
    """Measure and print two tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--framework", default="beta-vae", choices=vd.spec.FRAMEWORKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, about")
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[16, 32, 64, 128, 256, 512],
        help="of the convolutional VAE",
    )
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--population-batches", type=int, nargs="+", default=[32, 256])
    options = parser.parse_args()
    precision = step.resolve_precision("auto", torch.device(options.device))
    print(f"{about(options.device)}; {options.framework}; convolutions in {precision}\n")

    data = vd.load("xysquares", device=options.device)
    first = vd.RunSpec(framework=options.framework)
    rates_by_case = rates_of(
        {str(b): [first.replace(batch=b)] for b in options.batches}, data, options
    )
    print("| batch of one convolutional VAE | images/s | ratio to the first |\n|---|---|---|")
    for name, rates in rates_by_case.items():
        print(
            f"| {name} | {cell(rates)} | {ratio(rates, rates_by_case[str(options.batches[0])])} |",
            flush=True,
        )

    data = vd.load("coordinates", grid_spacing=3, rotation=0, device=options.device)
    cases = {}
    for batch in options.population_batches:
        for members in options.members:
            spec = spec_for(256, batch, 4, options.framework)
            cases[f"{members} | {batch}"] = [spec.replace(seed=k) for k in range(members)]
    rates_by_case = rates_of(cases, data, options)
    print(
        "\n| members, width 256 | batch | images/s of all members | ratio to the fewest |\n|---|---|---|---|"
    )
    for name, rates in rates_by_case.items():
        fewest = f"{options.members[0]} | {name.split(' | ')[1]}"
        print(f"| {name} | {cell(rates)} | {ratio(rates, rates_by_case[fewest])} |", flush=True)
    print(
        f"\nMedians of {options.rounds} rounds in turn, in brackets the lowest and the highest round. Load at the end {load()}."
    )


if __name__ == "__main__":
    main()
