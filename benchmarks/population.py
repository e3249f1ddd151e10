"""A population of small networks against the same runs one after the other, and against torch.func.vmap, side by side in one run.

    python benchmarks/population.py [--rounds 3] [--members 8]

All three train on coordinates of XYSquares and do the same steps; that their losses agree is checked first. Each is measured in turn,
several rounds, and medians are compared; only the training steps count, not the making of data and networks. Standard output is a table in
Markdown. ``benchmarks/conv_population.py`` asks the same of convolutional networks.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from layers import TWINS
from machine import about, cell, ending, in_turn, parser, ratio
from torch.func import functional_call, stack_module_state, vmap

import vaedis as vd
from vaedis.training import batches, model, objectives
from vaedis_companion.sweep.missing import n_images


class Trained(NamedTuple):
    """Seconds of the training steps of all members, and each one's loss at the last."""

    seconds: float
    losses: list[float]


Way = Callable[[list[vd.RunSpec], vd.FactorData], Trained]


def spec_for(width: int, batch: int, steps: int, framework: str) -> vd.RunSpec:
    """The specification of the first member."""
    network = {"model": "mlp", "model_options": {"hidden": [width, width]}}
    return vd.RunSpec(data="coordinates", framework=framework, batch=batch, steps=steps, **network)


def precision_on(device: str) -> str:
    """What all ways compute in: float32 on a CPU, since the ways that are no part of vaedis have no
    other, and TF32 on a GPU.
    """
    return "float32" if device == "cpu" else "tf32"


def alone(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
    """One after the other."""
    fit = functools.partial(vd.fit, device=data.device, data=data)
    precision = precision_on(data.device.type)
    return _trained([fit(spec, precision=precision) for spec in specs])


def population(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
    """All at once, as `vd.fit` does it."""
    return _trained(vd.fit(specs, device=data.device, data=data))


def _trained(runs: list[vd.Run]) -> Trained:
    losses = [float(run.history["loss"][-1]) for run in runs]
    return Trained(sum(run.seconds for run in runs), losses)


def mapped(specs: list[vd.RunSpec], data: vd.FactorData) -> Trained:
    """The same steps with one network mapped over stacked weights by torch.func.vmap, each member
    with its own batches and noise.
    """
    loss = vd.losses.get("mse")
    spec = specs[0]
    networks = [
        model.build(s.model, data.shape, s.latents, seed=s.seed, **s.model_options).to(data.device)
        for s in specs
    ]
    for layer in (layer for network in networks for layer in network.modules()):
        layer.__class__ = TWINS.get(type(layer), type(layer))  # vmap knows torch's own layers only
    weights, _ = stack_module_state(networks)
    skeleton = networks[0].to("meta")

    class Called(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = skeleton

        def forward(self, x, noise):
            objective = objectives.ada_gvae if spec.framework == "ada-gvae" else objectives.beta_vae
            return torch.stack(objective(self.network, x, noise, loss=loss, beta=spec.beta))

    called = Called()
    weights = {f"network.{name}": w.detach().requires_grad_() for name, w in weights.items()}
    optimiser = torch.optim.Adam(weights.values(), lr=spec.lr, fused=True)
    each = vmap(lambda w, x, noise: functional_call(called, w, (x, noise)))
    return steps(specs, data, optimiser, lambda x, noise: each(weights, x, noise))


def steps(
    specs: list[vd.RunSpec],
    data: vd.FactorData,
    optimiser: torch.optim.Optimizer,
    terms_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Trained:
    """Train on stacked batches, (K, B, C, H, W), and noise, (K, B, z); `terms_of` gives each
    member's loss and its parts, (K, 3).
    """
    draws = [batches.BatchSampler(s, data) for s in specs]
    wait(data)
    started = time.perf_counter()
    for _ in range(specs[0].steps):
        x = torch.stack([data.observations(d.index()) for d in draws])
        noise = torch.stack([d.noise(x.shape[1]) for d in draws])
        optimiser.zero_grad()
        terms = terms_of(x, noise)
        terms[:, 0].sum().backward()
        optimiser.step()
    wait(data)
    return Trained(time.perf_counter() - started, terms[:, 0].tolist())


def wait(data: vd.FactorData) -> None:
    """Until the device has done all it was given."""
    if data.device.type == "cuda":
        torch.cuda.synchronize()


def check(ways: Mapping[str, Way], specs: list[vd.RunSpec], data: vd.FactorData) -> None:
    """Take a few steps each way, which also counts as their first, slow call; stop unless all ways
    end with the same losses.
    """
    first, *others = ((name, torch.tensor(way(specs, data).losses)) for name, way in ways.items())
    for name, losses in others:
        if not torch.allclose(losses, first[1], rtol=1e-2):
            raise SystemExit(
                f"{name} ends with losses {losses.tolist()}, and {first[0]} with {first[1].tolist()}; they must agree."
            )


def measure(
    ways: Mapping[str, Way],
    specs: list[vd.RunSpec],
    data: vd.FactorData,
    seconds: float,
    rounds: int,
) -> dict[str, list[float]]:
    """Images a second of all members together, each way in turn; so many steps that the first way
    takes about the seconds given.
    """
    first = next(iter(ways.values()))
    usual = statistics.median(first(specs, data).seconds for _ in range(3))
    specs = [spec.replace(steps=max(10, int(spec.steps * seconds / usual))) for spec in specs]
    images = sum(map(n_images, specs))
    return in_turn(
        {name: lambda way=way: images / way(specs, data).seconds for name, way in ways.items()},
        rounds,
    )


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--rounds", type=int, default=3)
    add("--members", type=int, default=8)
    add("--seconds", type=float, default=1.0, help="of each measurement of the population, about")
    add("--framework", default="ada-gvae", choices=vd.spec.FRAMEWORKS)
    add("--widths", type=int, nargs="+", default=[32, 128, 256, 512, 1024])
    add("--batches", type=int, nargs="+", default=[32, 128, 256])
    options = arguments.parse_args()

    data = vd.load("coordinates", grid_spacing=3, rotation=0)
    print(
        f"{about()}; {options.members} members of {options.framework}, {data.shape[2]} coordinates\n"
    )
    print(
        "| width | batch | population, images/s | one after the other | vmap | ratio to one after the other | ratio to vmap |"
    )
    print("|---|---|---|---|---|---|---|")
    ways: dict[str, Way] = {"population": population, "alone": alone, "vmap": mapped}
    for width in options.widths:
        for batch in options.batches:
            first = spec_for(width, batch, 5, options.framework)
            specs = [first.replace(seed=k) for k in range(options.members)]
            check(ways, specs, data)
            rates = measure(ways, specs, data, options.seconds, options.rounds)
            ratios = [ratio(rates["population"], rates[name]) for name in ("alone", "vmap")]
            cells = " | ".join([*map(cell, rates.values()), *ratios])
            print(f"| {width} | {batch} | {cells} |", flush=True)
    print(ending(options.rounds))


if __name__ == "__main__":
    main()
