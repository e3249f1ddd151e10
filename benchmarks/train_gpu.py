"""Training on a GPU: whether it does what a CPU does, and how fast.

    python benchmarks/train_gpu.py [STEPS]

First the check: the same weights, images and noise give the same loss and gradients on both
devices, in float32 to 1e-4. Then images/s of `vaedis.fit` for both frameworks and each precision,
with the captured step and with one launch at a time, beside the share of the machine's own matrix
product and copy speed. The seconds until the step is captured are given apart.
"""

import statistics
import sys
import time

import torch

import vaedis as vd
from vaedis import losses
from vaedis.training import model, step

ROUNDS = 3
FLOP_PER_IMAGE = 118.5e6  # forward and backward; see benchmarks/train.py
BYTES_PER_IMAGE = 122e3 * 4 * 10  # ten passes over the activations in float32


def check() -> None:
    """Compare one step's loss and gradients on both devices."""
    for framework in ("beta-vae", "ada-gvae"):
        spec = vd.RunSpec(framework=framework)
        index = torch.arange(0, 64000, 1000)
        noise = torch.randn(64, spec.latents, generator=torch.Generator().manual_seed(0))
        found = []
        for device in ("cpu", "cuda"):
            data = vd.load("xysquares", device=device)
            network = model.build("conv", data.shape, spec.latents).to(device)
            network = network.to(memory_format=torch.channels_last)
            with step.arithmetic("float32"):
                x = data.observations(index.to(device))
                loss = losses.get("mse")
                terms = step.objective(spec, network, x, noise.to(device), loss, spec.beta)
                gradients = torch.autograd.grad(terms.loss, list(network.parameters()))
            found.append((terms.loss.item(), [g.cpu() for g in gradients]))
        (a, cpu_gradients), (b, gpu_gradients) = found
        pairs = zip(cpu_gradients, gpu_gradients, strict=True)
        worst = max(((g - h).norm() / g.norm()).item() for g, h in pairs)
        print(f"{framework}: losses {a:.7f} and {b:.7f}; gradients differ by {worst:.1e} at most")
        if abs(a - b) > 1e-4 * abs(a) or worst > 1e-4:
            raise SystemExit("The two devices do not agree.")


def timed(work, calls: int) -> float:
    """Seconds of one of several calls on the GPU."""
    work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(calls):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / calls


def limits() -> dict[str, float]:
    """What the machine can do: matrix products in FLOP/s by precision, and copies in bytes/s, read
    and written.
    """
    n = 8192
    found = {}
    for precision in ("float32", "tf32", "bf16"):
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a = torch.randn(n, n, device="cuda", dtype=kind)
        with step.arithmetic(precision):
            found[precision] = 2 * n**3 / timed(lambda a=a: a @ a, 10)
    a = torch.empty(2**28, device="cuda")
    b = torch.empty_like(a)
    found["copy"] = 2 * 4 * a.numel() / timed(lambda: b.copy_(a), 10)
    return found


def rate(spec: vd.RunSpec, precision: str, captured: bool) -> tuple[float, float]:
    """Images a second, and the seconds of the first five steps, in which the graph is captured."""
    warm_up, step._WARM_UP = step._WARM_UP, step._WARM_UP if captured else 10**9
    try:
        first = vd.fit(spec.replace(steps=5), device="cuda", precision=precision).seconds
        return vd.fit(spec, device="cuda", precision=precision).images_per_second, first
    finally:
        step._WARM_UP = warm_up


def main() -> None:
    """Check, measure, and print a table in Markdown."""
    if not torch.cuda.is_available():
        raise SystemExit("There is no GPU here, so there is nothing to measure.")
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    check()
    limit = limits()
    print(
        f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}; {steps} steps, {ROUNDS} rounds"
    )
    units = {name: "TB/s" if name == "copy" else "TFLOP/s" for name in limit}
    print(", ".join(f"{name} {v / 1e12:.2f} {units[name]}" for name, v in limit.items()) + "\n")
    print(
        "| framework | precision | step | images/s, mean ± sd | steps/s | of the product | of the copy | first 5 steps, s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for framework in ("beta-vae", "ada-gvae"):
        spec = vd.RunSpec(framework=framework, steps=steps)
        for precision in ("float32", "tf32", "bf16"):
            for captured in (True, False):
                measured = [rate(spec, precision, captured) for _ in range(ROUNDS)]
                rates, firsts = zip(*measured, strict=True)
                mean = statistics.mean(rates)
                shares = f"{mean * FLOP_PER_IMAGE / limit[precision]:.1%} | {mean * BYTES_PER_IMAGE / limit['copy']:.1%}"
                per_step = 512 if framework == "ada-gvae" else 256
                cells = f"{mean:,.0f} ± {statistics.stdev(rates):,.0f} | {mean / per_step:,.0f} | {shares} | {max(firsts):.1f}"
                kind = "captured" if captured else "launched"
                print(f"| {framework} | {precision} | {kind} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
