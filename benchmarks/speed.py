"""Images a second of vaedis and of disent 0.8.0, side by side in one run.

    python benchmarks/speed.py --peer-python PATH     # an interpreter that has disent 0.8.0
    python benchmarks/speed.py --set-up DIR           # makes that environment first (it downloads several gigabytes)

Both sides are measured in turn, several rounds of each, and the medians are compared; what disent gets is the better of its DataLoader with
0 and with 2 workers. Both train the same network (padding 2, 912,981 parameters) on XYSquares at batch 256.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import vaedis as vd
from vaedis.training import batches, step

PEER = Path(__file__).with_name("peer_disent.py")


def set_up(folder: Path) -> Path:
    """Install disent 0.8.0 into an environment of its own and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "disent==0.8.0"], check=True)
    return python


def peer(python: str, task: str, framework: str, workers: int, seconds: float) -> dict:
    """Run one measurement in the peer's environment."""
    words = [python, str(PEER), task, framework, str(workers), str(seconds)]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    if done.returncode:
        raise SystemExit(f"The peer failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def our_data(framework: str, seconds: float) -> float:
    """Images a second that are ready for the network: drawn, paired, rendered, normalised, float32."""
    data = vd.load("xysquares", grid_spacing=8)
    spec = vd.RunSpec(framework=framework, data_options={"grid_spacing": 8})
    draws = batches.BatchSampler(spec, data)
    for _ in range(5):
        data.observations(draws.index())
    started, images = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        images += len(data.observations(draws.index()))
    return images / (time.perf_counter() - started)


def our_training(framework: str, seconds: float, precision: str = "auto") -> float:
    """Images a second of `vaedis.fit`, warm-up steps apart."""
    fit = functools.partial(vd.fit, device="cpu", precision=precision)
    spec = vd.RunSpec(framework=framework, data_options={"grid_spacing": 8}, steps=3)
    fit(spec)
    rate = fit(spec.replace(steps=6)).images_per_second
    steps = max(6, int(seconds * rate / (256 * (2 if framework == "ada-gvae" else 1))))
    return fit(spec.replace(steps=steps)).images_per_second


def gemm_peak(n: int = 2048, kind: torch.dtype = torch.float32) -> float:
    """The machine's measured matrix product, in GFLOP/s."""
    a, b = torch.randn(n, n).to(kind), torch.randn(n, n).to(kind)
    rates = []
    for _ in range(6):
        started = time.perf_counter()
        _ = a @ b
        rates.append(2 * n**3 / (time.perf_counter() - started) / 1e9)
    return max(rates)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="an interpreter that has disent 0.8.0")
    parser.add_argument(
        "--set-up", type=Path, metavar="DIR", help="make that environment here first"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    options = parser.parse_args()
    python = str(set_up(options.set_up)) if options.set_up else options.peer_python
    if not python:
        parser.error("name the peer's interpreter with --peer-python, or let --set-up make it")

    threads = torch.get_num_threads()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print(
        f"float32 matrix product: {gemm_peak():.0f} GFLOP/s; medians of {options.rounds} rounds of {options.seconds:g} s\n"
    )
    print(
        "| what | vaedis | disent, 0 workers | disent, 2 workers | ratio to the better |\n|---|---|---|---|---|"
    )
    versions = set()
    for task, ours in (("data", our_data), ("train", our_training)):
        for framework in ("beta-vae", "ada-gvae"):
            rates: dict[str, list[float]] = {"ours": [], "0": [], "2": []}
            for _ in range(options.rounds):
                rates["ours"].append(ours(framework, options.seconds))
                for workers in (0, 2):
                    peer_rates = peer(python, task, framework, workers, options.seconds)
                    rates[str(workers)].append(peer_rates["images_per_second"])
                    versions.add(peer_rates["torch"])
            median = {name: statistics.median(values) for name, values in rates.items()}
            spread = {name: f"{min(v):,.0f}–{max(v):,.0f}" for name, v in rates.items()}
            label = {
                "data": "batches ready",
                "train": f"training in {step.resolve_precision('auto', torch.device('cpu'))}",
            }[task]
            kind = "pairs" if framework == "ada-gvae" else "single images"
            cells = [f"{median[n]:,.0f} ({spread[n]})" for n in ("ours", "0", "2")]
            print(
                f"| {label}, {kind} | {' | '.join(cells)} | {median['ours'] / max(median['0'], median['2']):.1f} |",
                flush=True,
            )
    print(
        f"\nAll in images/s, a pair counting as two. disent ran with torch {', '.join(sorted(versions))}."
    )


if __name__ == "__main__":
    main()
