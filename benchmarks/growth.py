"""How cost grows on one device: images/s of one convolutional VAE against its batch, and of populations against their size and batch.

    python benchmarks/growth.py [--device cuda] [--framework ada-gvae]

The convolutional VAE is that of Table A3 on XYSquares, 64×64×3; populations are of networks of width 256 on coordinates, as in
``benchmarks/population.py``, which compares them with other ways of training. All settings take turns; only training steps count, after a
first call that does not. Standard output is two tables in Markdown; ratios are to the first row of each table, or to one member.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from typing import Any

import torch
from machine import about, cell, ending, in_turn, parser, ratio
from population import population, spec_for

import vaedis as vd
from vaedis.training import step
from vaedis_companion.sweep.missing import n_images


def rates_of(
    cases: dict[str, list[vd.RunSpec]], data: vd.FactorData, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Images a second of all runs of each case together."""
    ways = {}
    for name, specs in cases.items():
        short = [spec.replace(steps=4) for spec in specs]
        population(short, data)
        seconds = statistics.median(population(short, data).seconds for _ in range(2))
        steps = max(4, int(4 * options.seconds / seconds))
        ways[name] = functools.partial(rate, [spec.replace(steps=steps) for spec in specs], data)
    return in_turn(ways, options.rounds)


def rate(specs: list[vd.RunSpec], data: vd.FactorData) -> float:
    return sum(map(n_images, specs)) / population(specs, data).seconds


def main() -> None:
    """Measure and print two tables in Markdown."""
    arguments = parser(__doc__)
    add = arguments.add_argument
    many: dict[str, Any] = {"type": int, "nargs": "+"}
    batches = [16, 32, 64, 128, 256, 512]
    add("--device", default="cpu")
    add("--framework", default="beta-vae", choices=vd.spec.FRAMEWORKS)
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=2.0, help="of each measurement, about")
    add("--batches", default=batches, help="of the convolutional VAE", **many)
    add("--members", default=[1, 2, 4, 8, 16, 32], **many)
    add("--population-batches", default=[32, 256], **many)
    options = arguments.parse_args()
    precision = step.resolve_precision("auto", torch.device(options.device))
    print(f"{about(options.device)}; {options.framework}; convolutions in {precision}\n")

    data = vd.load("xysquares", device=options.device)
    first = vd.RunSpec(framework=options.framework)
    cases = {str(batch): [first.replace(batch=batch)] for batch in options.batches}
    rates_by_case = rates_of(cases, data, options)
    print("| batch of one convolutional VAE | images/s | ratio to the first |\n|---|---|---|")
    first_rates = rates_by_case[str(options.batches[0])]
    for name, rates in rates_by_case.items():
        print(f"| {name} | {cell(rates)} | {ratio(rates, first_rates)} |", flush=True)

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
    print(ending(options.rounds))


if __name__ == "__main__":
    main()
