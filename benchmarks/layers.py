"""Where the time of a training step goes: each convolution of the network, forward and backward,
against its arithmetic.

    python benchmarks/layers.py [IMAGES]

One thread, whose own processor time is taken, so that other programs disturb the figures little;
the best of several calls. For each layer: torch's own (with the bias in the convolution) and
vaedis' (`vaedis/_convolutions.py`). "GFLOP/s" is two for each multiplication that the layer is
defined by, over the time; the last line says which share of a matrix product's speed the network's
convolutions reach.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from vaedis.training import layers, model

TWINS = {layers.Conv2d: nn.Conv2d, layers.ConvTranspose2d: nn.ConvTranspose2d}


def seconds(call: Callable[[], object], calls: int = 9) -> float:
    """The thread's processor time of the fastest of several calls."""
    call()
    times = []
    for _ in range(calls):
        started = time.thread_time()
        call()
        times.append(time.thread_time() - started)
    return min(times)


def forward_backward(layer: nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """Seconds of a layer's forward pass, and of its backward pass."""
    y = layer(x)
    gradient = torch.randn(y.shape).contiguous(memory_format=torch.channels_last)
    inputs = [t for t in (x, *layer.parameters()) if t.requires_grad]
    forward = seconds(lambda: layer(x))
    return forward, seconds(lambda: torch.autograd.grad(y, inputs, gradient, retain_graph=True))


def peak(n: int = 2048) -> float:
    """Floating-point operations a second of a matrix product on one thread."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / seconds(lambda: a @ b)


def main() -> None:
    """Print a table in Markdown."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    torch.set_num_threads(1)
    peak_rate = peak()
    print(
        f"{images} images, one thread, torch {torch.__version__}; matrix product {peak_rate / 1e9:.0f} GFLOP/s\n"
    )
    print(
        "| layer | GFLOP | torch, forward ms | backward ms | GFLOP/s | vaedis, forward ms | backward ms | GFLOP/s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    network = model.build("conv", (64, 64, 3), 9).to(memory_format=torch.channels_last)
    x = torch.randn(images, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    total = 0.0
    seconds_of = [0.0, 0.0]
    for name, layer in network.named_modules():
        if type(layer) not in TWINS:
            continue
        if "decoder.5" in name:  # the first transposed convolution
            x = torch.randn(images, 64, 4, 4).contiguous(memory_format=torch.channels_last)
        x = x.detach().requires_grad_(layer.in_channels > 3)  # type: ignore[operator]
        with torch.no_grad():
            after = layer(x)
        places = x if isinstance(layer, nn.ConvTranspose2d) else after
        passes = 3 if x.requires_grad else 2
        work = 2 * images * layer.weight.numel() * places.shape[-1] * places.shape[-2] * passes  # type: ignore[union-attr, operator]
        cells = []
        own_class = type(layer)
        for k, kind in enumerate((TWINS[own_class], own_class)):
            layer.__class__ = kind
            forward, backward = forward_backward(layer, x)
            both = forward + backward
            seconds_of[k] += both
            cells.append(f"{forward * 1e3:.1f} | {backward * 1e3:.1f} | {work / both / 1e9:.0f}")
        total += work
        print(f"| {name} | {work / 1e9:.2f} | {' | '.join(cells)} |")
        x = after
    shares = [f"{total / s / peak_rate:.0%}" for s in seconds_of]
    print(
        f"\nAll: {total / 1e9:.1f} GFLOP, {shares[0]} of the matrix product's speed by torch's layers, {shares[1]} by vaedis'."
    )


if __name__ == "__main__":
    main()
