"""A population of small networks against the same runs one after the other, and against torch.func.vmap, side by side in one run.

    python benchmarks/population.py [--rounds 3] [--members 8]

All three train on coordinates of XYSquares and do the same steps. Each is measured in turn, several rounds, and medians are compared; only
the training steps count, not the making of data and networks. Standard output is a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

import torch
from torch.func import functional_call, stack_module_state, vmap

import vaedis as vd
from vaedis import frameworks, model, train


def spec_for(width: int, batch: int, steps: int, framework: str) -> vd.RunSpec:
    """The specification of the first member."""
    options = {"hidden": [width, width]}
    return vd.RunSpec(data="coordinates", framework=framework, model="mlp", model_options=options, batch=batch, steps=steps)


def alone(specs: list[vd.RunSpec], data: vd.FactorData) -> float:
    """Seconds of training them one after the other."""
    return sum(vd.fit(spec, device="cpu", data=data).seconds for spec in specs)


def population(specs: list[vd.RunSpec], data: vd.FactorData) -> float:
    """Seconds of training them at once."""
    return sum(run.seconds for run in vd.fit(specs, device="cpu", data=data))


def mapped(specs: list[vd.RunSpec], data: vd.FactorData) -> float:
    """Seconds of the same steps with one network mapped over stacked weights by torch.func.vmap."""
    loss, spec = vd.losses.get("mse"), specs[0]
    networks = [model.build("mlp", data.shape, s.latents, seed=s.seed, **s.model_options) for s in specs]
    weights, _ = stack_module_state(networks)
    skeleton = networks[0].to("meta")

    class Called(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = skeleton

        def forward(self, x, noise):
            objective = frameworks.ada_gvae if spec.framework == "ada-gvae" else frameworks.beta_vae
            return torch.stack(objective(self.network, x, noise, loss=loss, beta=spec.beta))

    called = Called()
    weights = {f"network.{name}": w.detach().requires_grad_() for name, w in weights.items()}
    optimiser = torch.optim.Adam(weights.values(), lr=spec.lr, fused=True)
    each = vmap(lambda w, x, noise: functional_call(called, w, (x, noise)))
    batches = [train._batches(s, data, loss, channels_last=False) for s in specs]
    noises = [train._generator(s, "noise", data.device) for s in specs]
    started = time.perf_counter()
    for _ in range(spec.steps):
        x = torch.stack([next(b) for b in batches])
        noise = torch.stack([torch.randn(x.shape[1], spec.latents, generator=g) for g in noises])
        optimiser.zero_grad()
        each(weights, x, noise)[:, 0].sum().backward()
        optimiser.step()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, about")
    parser.add_argument("--framework", default="ada-gvae", choices=vd.experiments.FRAMEWORKS)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 256])
    options = parser.parse_args()

    data = vd.load("coordinates", grid_spacing=3, rotation=0)
    images = 2 if options.framework == "ada-gvae" else 1
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}; {options.members} members of {options.framework}, "
        f"{data.shape[2]} coordinates; medians of {options.rounds} rounds, ratios of the fastest rounds in brackets\n"
    )
    print("| width | batch | population, images/s | one after the other | vmap | ratio to one after the other | ratio to vmap |")
    print("|---|---|---|---|---|---|---|")
    ways = {"population": population, "alone": alone, "vmap": mapped}
    for width in options.widths:
        for batch in options.batches:
            first = spec_for(width, batch, 5, options.framework)
            specs = [first.replace(seed=k) for k in range(options.members)]
            for way in ways.values():
                way(specs, data)  # a first call is slow, and does not count
            steps = max(10, int(5 * options.seconds / population(specs, data)))
            specs = [spec.replace(steps=steps) for spec in specs]
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(options.rounds):
                for name, way in ways.items():
                    found[name].append(way(specs, data))
            per_round = steps * batch * images * options.members
            rate = {name: per_round / statistics.median(seconds) for name, seconds in found.items()}
            spread = {name: f"{per_round / max(s):,.0f}–{per_round / min(s):,.0f}" for name, s in found.items()}
            cells = [f"{rate[name]:,.0f} ({spread[name]})" for name in ways]
            # beside the medians, the fastest rounds: the better measure where other programs run at the same time
            ratios = [
                f"{rate['population'] / rate[name]:.2f} ({min(found[name]) / min(found['population']):.2f})" for name in ("alone", "vmap")
            ]
            print(f"| {width} | {batch} | {' | '.join([*cells, *ratios])} |", flush=True)


if __name__ == "__main__":
    main()
