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

import functools
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from grouped import Grouped
from machine import about, cell, ending, parser, ratio
from population import Trained, Way, alone, check, mapped, measure, precision_on, steps, wait

import vaedis as vd
from vaedis.training import model, population, step as _step


def build(spec: vd.RunSpec, data: vd.FactorData) -> model.VAE:
    """A member's network on the device of the data."""
    network = model.build("conv", data.shape, spec.latents, seed=spec.seed, **spec.model_options)
    return network.to(data.device)


def grouped(specs: list[vd.RunSpec], data: vd.FactorData, layout: torch.memory_format) -> Trained:
    """All members as one network."""
    stack = Grouped([build(spec, data) for spec in specs], layout)
    objective = population._Objective(specs, [vd.losses.get(s.loss) for s in specs], data.device)
    optimiser = torch.optim.Adam(stack.weights, lr=specs[0].lr, fused=True)
    return steps(specs, data, optimiser, lambda x, noise: objective(stack, x, noise))  # type: ignore[arg-type]


def threads(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
    """Each member in a thread of its own."""
    precision = precision_on(data.device.type)
    fit = functools.partial(vd.fit, device=data.device, data=data, precision=precision)
    cores = torch.get_num_threads()
    share = (max(1, cores // len(specs)),)
    try:
        with ThreadPoolExecutor(len(specs), "", torch.set_num_threads, share) as pool:
            runs = list(pool.map(fit, specs))
    finally:
        torch.set_num_threads(cores)
    losses = [float(run.history["loss"][-1]) for run in runs]
    # they run side by side, so the slowest decides
    return Trained(max(run.seconds for run in runs), losses)


def streams(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
    """Each member's step, as `vaedis.fit` captures it, on a stream of its own; the steps until all
    are captured do not count.
    """
    members = []
    warm_up_steps = _step._WARM_UP + 1
    for spec in specs:
        network = build(spec, data).to(memory_format=torch.channels_last)
        loss = vd.losses.get(spec.loss)
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
    n_steps = specs[0].steps
    counted = n_steps - warm_up_steps if n_steps > warm_up_steps else n_steps
    losses = [float(recorded[-1, 0]) for *_, recorded in members]
    return Trained(seconds * n_steps / counted, losses)


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
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--members", type=int, nargs="+", default=[2, 4])
    add("--batch", type=int, default=64)
    add("--framework", default="beta-vae", choices=vd.spec.FRAMEWORKS)
    add("--device", default="cpu")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=4.0, help="of each measurement of the loop, about")
    help_processor = "one thread, and its processor time: for a machine that is not idle"
    add("--processor", action="store_true", help=help_processor)
    options = arguments.parse_args()

    if options.processor:
        torch.set_num_threads(1)
    compared = ways(options.device)
    clock = ""
    if options.processor:
        compared = {name: by_processor(way) for name, way in compared.items()}
        clock = "; images per second of processor time"
    data = vd.load("xysquares", device=options.device)
    first = vd.RunSpec(framework=options.framework, batch=options.batch, steps=6)
    precision = precision_on(torch.device(options.device).type)
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
                cells = f"{cell(way_rates)} | {ratio(way_rates, rates['loop'])}"
                print(f"| {members} | {name} | {cells} |", flush=True)
    print(ending(options.rounds))


if __name__ == "__main__":
    main()
