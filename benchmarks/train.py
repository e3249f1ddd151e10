"""Training on a CPU beside disent 0.8.0's own loop, in one run on the same machine, and the share of what the machine can do.

    python benchmarks/train.py --peer-python PATH     # an interpreter that has disent 0.8.0
    python benchmarks/train.py --set-up DIR           # makes that environment first (it downloads several gigabytes)

XYSquares, 64×64×3, batch 256 (for Ada-GVAE 256 pairs, so 512 images), the network of 912,981 parameters. Both sides take turns; warm-up
steps are apart. What disent gets is the better of its DataLoader with 0 and with 2 workers.
"""

import functools
import os
import platform
import statistics
import time

import torch
from machine import in_turn, parser
from speed import gemm_peak, our_training, parse_with_peer, peer_ways

from vaedis.training import model, step

KINDS = {"float32": torch.float32, "bf16": torch.bfloat16}


def flops_per_image() -> float:
    """Operations of one image, forward and backward: two for each multiplication; the first layer's
    input needs no gradient.
    """
    network = model.build("conv", (64, 64, 3), 9)
    result = []

    def note(layer, inputs, output):
        places = inputs[0] if isinstance(layer, torch.nn.ConvTranspose2d) else output
        work = 2 * layer.weight.numel()
        if places.dim() == 4:
            work *= places[0, 0].numel()
        result.append(work * (3 if result else 2))

    for layer in network.modules():
        if hasattr(layer, "weight"):
            layer.register_forward_hook(note)
    with torch.no_grad():
        network.decode(network.encode(torch.zeros(1, 3, 64, 64))[0])
    return float(sum(result))


def convolution_peak(kind: torch.dtype, seconds: float = 3.0) -> float:
    """Floating-point operations a second of the network's second convolution forward, 64 images at
    once: the best of many calls.
    """
    x = torch.randn(64, 32, 33, 33).to(kind).contiguous(memory_format=torch.channels_last)
    layer = torch.nn.Conv2d(32, 32, 4, 2, 2).to(kind).to(memory_format=torch.channels_last)
    best = float("inf")
    end = time.perf_counter() + seconds
    with torch.no_grad():
        while time.perf_counter() < end:
            started = time.perf_counter()
            y = layer(x)
            best = min(best, time.perf_counter() - started)
    return 2 * y[:, 0].numel() * layer.weight.numel() / best


def summary(rates: list[float]) -> str:
    """Mean, spread and range of several measurements."""
    spread = statistics.stdev(rates) if len(rates) > 1 else 0.0
    return f"{statistics.mean(rates):,.0f} ± {spread:,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"


def main() -> None:
    """Measure and print a table in Markdown."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=15, help="of each measurement")
    options, python = parse_with_peer(arguments)

    work = flops_per_image()
    default = step.resolve_precision("auto", torch.device("cpu"))
    precisions = list(dict.fromkeys(["float32", default]))
    product = {p: gemm_peak(kind=KINDS[p]) for p in precisions}
    convolution = {p: convolution_peak(KINDS[p]) / 1e9 for p in precisions}
    load = os.getloadavg()[0]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, ",
        end="",
    )
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}; load before the start {load:.1f}"
    )
    print(f"An image takes {work / 1e6:.1f} MFLOP.")
    for p in precisions:
        print(
            f"In {p}, a matrix product of 2048² runs at {product[p]:.0f} GFLOP/s, which would be {product[p] * 1e9 / work:,.0f} images/s; ",
            end="",
        )
        print(f"a convolution of 32 to 32 channels, forward, at {convolution[p]:.0f} GFLOP/s.")
    print(f'`precision="auto"` is {precisions[-1]} on this CPU; disent trains in float32.\n')
    print(
        "| framework | precision | images/s | steps/s | of the product | of the convolution | disent, 0 workers | 2 workers | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    versions: set[str] = set()
    for framework, images_a_step in (("beta-vae", 256), ("ada-gvae", 512)):
        ways = {
            p: functools.partial(our_training, framework, options.seconds, p) for p in precisions
        }
        ways |= peer_ways(python, "train", framework, options.seconds, versions)
        rates = in_turn(ways, options.rounds)
        peer_rate = max(statistics.mean(rates[w]) for w in ("0", "2"))
        for p in precisions:
            own_rate = statistics.mean(rates[p])
            speed = own_rate * work / 1e9
            cells = [
                summary(rates[p]),
                f"{own_rate / images_a_step:.2f}",
                f"{speed / product[p]:.0%}",
                f"{speed / convolution[p]:.0%}",
            ]
            cells += [summary(rates["0"]), summary(rates["2"]), f"{own_rate / peer_rate:.2f}"]
            print(f"| {framework} | {p} | {' | '.join(cells)} |", flush=True)
    print(
        f"\nMeans ± standard deviations (ranges) of {options.rounds} rounds of {options.seconds:g} s; a pair counts as two images. ",
        end="",
    )
    print(f"disent ran with torch {', '.join(sorted(versions))}.")


if __name__ == "__main__":
    main()
