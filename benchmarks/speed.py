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
from machine import cell, in_turn, parser

import vaedis as vd
from vaedis.training import batches, step

HERE = Path(__file__).parent


def set_up(folder: Path) -> Path:
    """Install disent 0.8.0 into an environment of its own and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "disent==0.8.0"], check=True)
    return python


def parse_with_peer(arguments: argparse.ArgumentParser) -> tuple[argparse.Namespace, str]:
    """Parse a command line that names disent's interpreter, or has it made; return both."""
    arguments.add_argument("--peer-python", help="an interpreter that has disent 0.8.0")
    arguments.add_argument(
        "--set-up", type=Path, metavar="DIR", help="make that environment here first"
    )
    options = arguments.parse_args()
    python = str(set_up(options.set_up)) if options.set_up else options.peer_python
    if not python:
        arguments.error("name the peer's interpreter with --peer-python, or let --set-up make it")
    return options, python


def peer(python: str, script: str, *words: object) -> dict:
    """Run one measurement in the peer's environment."""
    done = subprocess.run(
        [python, str(HERE / script), *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        raise SystemExit(f"The peer failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peer_ways(python: str, task: str, framework: str, seconds: float, versions: set[str]) -> dict:
    """disent's images a second with 0 and with 2 workers; its versions of torch are noted."""

    def rate(workers: int) -> float:
        result = peer(python, "peer_disent.py", task, framework, workers, seconds)
        versions.add(result["torch"])
        return result["images_per_second"]

    return {"0": lambda: rate(0), "2": lambda: rate(2)}


def our_data(framework: str, seconds: float) -> float:
    """Images a second that are ready for the network: drawn, paired, rendered, normalised, float32."""
    data = vd.load("xysquares", grid_spacing=8)
    spec = vd.RunSpec(framework=framework, data_options={"grid_spacing": 8})
    draws = batches.BatchSampler(spec, data)
    for _ in range(5):
        data.observations(draws.index())
    started = time.perf_counter()
    images = 0
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
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=10, help="of each measurement")
    options, python = parse_with_peer(arguments)

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
    precision = step.resolve_precision("auto", torch.device("cpu"))
    versions: set[str] = set()
    for task, ours, label in (
        ("data", our_data, "batches ready"),
        ("train", our_training, f"training in {precision}"),
    ):
        for framework, kind in (("beta-vae", "single images"), ("ada-gvae", "pairs")):
            ways = {"ours": functools.partial(ours, framework, options.seconds)}
            ways |= peer_ways(python, task, framework, options.seconds, versions)
            rates = in_turn(ways, options.rounds)
            median = {name: statistics.median(values) for name, values in rates.items()}
            ratio = median["ours"] / max(median["0"], median["2"])
            cells = " | ".join(map(cell, rates.values()))
            print(f"| {label}, {kind} | {cells} | {ratio:.1f} |", flush=True)
    print(
        f"\nAll in images/s, a pair counting as two. disent ran with torch {', '.join(sorted(versions))}."
    )


if __name__ == "__main__":
    main()
