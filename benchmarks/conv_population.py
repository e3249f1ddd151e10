"""Ways to train several convolutional VAEs on one device, beside one after the other, in one run.

    python benchmarks/conv_population.py [--members 2 4] [--batch 64] [--framework ada-gvae]
    python benchmarks/conv_population.py --processor        # one thread's own time, where other programs run
    python benchmarks/conv_population.py --device cuda --members 4 8 16 --batch 256

- ``loop``: one after the other, which is what `vaedis.fit` does.
- ``grouped``: all members as one network whose convolutions have a group for each (`benchmarks/grouped.py`), images in either layout.
- ``vmap``: one network mapped over stacked weights by torch.func.
- ``threads``, on a CPU: each member in a thread of its own, torch's threads shared out among them.
- ``streams``, on a GPU: each member's captured step on a stream of its own.

The network of Table A3 on XYSquares, 64×64×3. All take the same steps, which is checked first: their losses must agree. Only training steps
count. Standard output is a table in Markdown.
"""

from __future__ import annotations

import argparse
import functools
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from grouped import Grouped
from machine import about, cell, load, ratio
from population import Trained, Way, alone, check, mapped, measure, precision_on, steps, wait

import vaedis as vd
from vaedis.training import model, population, step as _step


def grouped(specs: list[vd.RunSpec], data: vd.FactorData, layout: torch.memory_format) -> Trained:
    """All members as one network."""
    networks = [
        model.build("conv", data.shape, s.latents, seed=s.seed, **s.model_options) for s in specs
    ]
    stack = Grouped([network.to(data.device) for network in networks], layout)
    objective = population._Objective(specs, [vd.losses.get(s.loss) for s in specs], data.device)
    optimiser = torch.optim.Adam(stack.weights, lr=specs[0].lr, fused=True)
    return steps(specs, data, optimiser, lambda x, noise: objective(stack, x, noise))  # type: ignore[arg-type]


def threads(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
    """Each member in a thread of its own."""
    cores, precision = torch.get_num_threads(), precision_on(data.device.type)
    share = max(1, cores // len(specs))
    try:
        with ThreadPoolExecutor(
            len(specs), initializer=torch.set_num_threads, initargs=(share,)
        ) as pool:
            runs = list(
                pool.map(
                    lambda spec: vd.fit(spec, device=data.device, data=data, precision=precision),
                    specs,
                )
            )
    finally:
        torch.set_num_threads(cores)
    # they run side by side, so the slowest decides
    return Trained(
        max(run.seconds for run in runs), [float(run.history["loss"][-1]) for run in runs]
    )


def streams(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
    """Each member's step, as `vaedis.fit` captures it, on a stream of its own; the steps until all
    are captured do not count.
    """
    members, warm_up_steps = [], _step._WARM_UP + 1
    for spec in specs:
        network = model.build(
            "conv", data.shape, spec.latents, seed=spec.seed, **spec.model_options
        ).to(data.device)
        network, loss = network.to(memory_format=torch.channels_last), vd.losses.get(spec.loss)
        take = _step.NetworkStep(vd.Run(spec, data, network, loss, precision_on(data.device.type)))
        recorded = torch.zeros(spec.steps, 3, device=data.device)
        members.append((torch.cuda.Stream(), take, recorded))
    wait(data)
    started = time.perf_counter()
    for step in range(specs[0].steps):
        if step == warm_up_steps:
            wait(data)
            started = time.perf_counter()
        for stream, take, recorded in members:
            with torch.cuda.stream(stream):
                recorded[step] = take(step)[0]
    wait(data)
    seconds = time.perf_counter() - started
    counted = specs[0].steps - warm_up_steps if specs[0].steps > warm_up_steps else specs[0].steps
    return Trained(
        seconds * specs[0].steps / counted, [float(recorded[-1, 0]) for *_, recorded in members]
    )


def ways(device: str) -> dict[str, Way]:
    """What is compared, the loop first."""
    grouped_ways = {
        "grouped": functools.partial(grouped, layout=torch.contiguous_format),
        "grouped, channels last": functools.partial(grouped, layout=torch.channels_last),
    }
    compared: dict[str, Way] = {"loop": alone, **grouped_ways, "vmap": mapped}
    if device.startswith("cuda"):
        compared["streams"] = streams
    elif torch.get_num_threads() > 1:
        compared["threads"] = threads
    return compared


def by_processor(way: Way) -> Way:
    """The same, with the processor time of the whole call, networks made included, for its seconds."""

    def timed(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
        started = time.process_time()
        losses = way(specs, data).losses
        return Trained(time.process_time() - started, losses)

    return timed


def main() -> None:
    """Check, measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--framework", default="beta-vae", choices=vd.spec.FRAMEWORKS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of each measurement of the loop, about"
    )
    parser.add_argument(
        "--processor",
        action="store_true",
        help="one thread, and its processor time: for a machine that is not idle",
    )
    options = parser.parse_args()

    if options.processor:
        torch.set_num_threads(1)
    compared, data = ways(options.device), vd.load("xysquares", device=options.device)
    first = vd.RunSpec(framework=options.framework, batch=options.batch, steps=6)
    if options.processor:
        compared = {name: by_processor(way) for name, way in compared.items()}
    precision = precision_on(torch.device(options.device).type)
    clock = "; images per second of processor time" if options.processor else ""
    print(
        f"{about(options.device)}; {options.framework}, batch {options.batch}, {precision}{clock}\n"
    )
    print("| members | way | images/s of all members | ratio to the loop |\n|---|---|---|---|")
    with _step.arithmetic(precision):
        for members in options.members:
            specs = [first.replace(seed=k) for k in range(members)]
            check(compared, specs, data)
            rates = measure(compared, specs, data, options.seconds, options.rounds)
            for name, way_rates in rates.items():
                print(
                    f"| {members} | {name} | {cell(way_rates)} | {ratio(way_rates, rates['loop'])} |",
                    flush=True,
                )
    print(
        f"\nMedians of {options.rounds} rounds in turn, in brackets the lowest and the highest round. Load at the end {load()}."
    )


if __name__ == "__main__":
    main()
