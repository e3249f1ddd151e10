"""Agreement and seconds of our scores beside disent 0.8.0's, on the same codes, in one run; writes metrics.md.

    python benchmarks/metrics.py --peer-python PATH            # an interpreter that has disent 0.8.0
    python benchmarks/metrics.py --set-up DIR                  # makes that environment first (it downloads several gigabytes)
    python benchmarks/metrics.py --peer-python PATH --quick    # a tenth of the samples, nothing written: minutes; in full, hours

disent's own functions get the stored codes through a stand-in for its dataset, so that neither side encodes anything. Each measurement runs
in a process of its own, which first imports what it needs and calls the function on a few samples. The two sides take turns, ours, disent,
..., ours, and medians are compared. The file is written anew after each set of codes, so an interrupted run leaves what it has measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from machine import load
from speed import set_up

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from metric_codes import mixed_codes  # noqa: E402

# Sizes of the factors, latents, and how often disent's DCI runs: one with 183 trees a round keeps
# it busy for half an hour or more.
CASES = (((8,) * 6, 9, 3), ((8,) * 6, 25, 3), ((183,), 9, 1), ((183,), 25, 1))
PARTS = ("disentanglement", "completeness", "informativeness")
# Our measurement, the title of its row, and the one of disent's that it stands beside.
MEASURED = (
    ("mig", "MIG", "mig"),
    ("mig with floor", "MIG and its noise floor", "mig"),
    ("dci", "DCI", "dci"),
)


def ours(path: str, metric: str, repeats: int) -> None:
    """The child process: print scores, seconds and peak memory of stored codes as JSON."""
    from vaedis import metrics

    stored = np.load(path)
    codes, factors, n = stored["codes"], stored["factors"], int(stored["n_train"])
    imported = peak_mb()

    def call() -> float | dict[str, float]:
        if metric == "dci":
            result = metrics.dci(codes[:n], factors[:n], test=(codes[n:], factors[n:]))
            return {part: getattr(result, part) for part in PARTS}
        return float(metrics.mig(codes[:n], factors[:n], floor_repeats=0 if metric == "mig" else 4))

    started = time.perf_counter()
    if metric == "dci":
        metrics.dci(codes[:60], factors[:60] % 2, n_test=20)
    else:
        metrics.mig(codes[:60], factors[:60] % 2)
    first = time.perf_counter() - started
    seconds = []
    cpu = []
    for _ in range(repeats):
        started = time.perf_counter()
        cpu_started = time.process_time()
        result = call()
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    facts = {"found": result, "seconds": seconds, "cpu": cpu, "first": first}
    print(json.dumps({**facts, "imported_mb": imported, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(words: list[str], **environment: str) -> str:
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
    )
    if done.returncode:
        raise SystemExit(f"{Path(words[1]).name} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def child(words: list[str], **environment: str) -> dict:
    return json.loads(run(words, **environment).strip().splitlines()[-1])


def store(path: Path, n_train: int, codes: np.ndarray, factors: np.ndarray) -> Path:
    np.savez(path, codes=codes, factors=factors, n_train=n_train)
    return path


def take_turns(
    path: Path, peer_python: str, names: tuple[str, ...], theirs: str, rounds: int, repeats: int
) -> dict[str, list[dict]]:
    """Measure ours of each name and disent's in turn, ours once more at the end."""
    runs: dict[str, list[dict]] = {name: [] for name in (*names, "disent")}
    for number in range(rounds + 1):
        for name in names:
            words = [sys.executable, __file__, "--ours", str(path), name, str(repeats)]
            runs[name].append(child(words))
        if number < rounds:
            words = [peer_python, str(HERE / "peer_metrics.py"), "score", str(path), theirs]
            runs["disent"].append(child([*words, str(repeats), str(number)]))
    return runs


def measure(
    case: tuple, peer_python: str, scale: float, rounds: int | None, folder: Path, mig_only: bool
) -> list[dict]:
    """Measure one set of codes; return what the rows of the tables are made of."""
    sizes, latents, usual = case
    n_train, n_test = int(10_000 * scale), int(5_000 * scale)
    path = store(
        folder / "codes.npz", n_train, *mixed_codes(n_train + n_test, sizes, latents, 0.1, 0.1)
    )
    label = f"{len(sizes)} × {sizes[0]}, z = {latents} | {n_train:,} / {n_test:,}"
    turns = {"mig": take_turns(path, peer_python, ("mig", "mig with floor"), "mig", 3, 5)}
    if not mig_only:
        turns["dci"] = take_turns(path, peer_python, ("dci",), "dci", rounds or usual, 1)
    return [
        {
            "label": label,
            "title": title,
            "ours": turns[theirs][name],
            "disent": turns[theirs]["disent"],
            "digits": 2 if name == "dci" else 4,
        }
        for name, title, theirs in MEASURED
        if theirs in turns
    ]


def document(opening: list[str], rows: list[dict]) -> str:
    return "\n".join([*opening, *seconds_table(rows), *scores_table(rows)]) + "\n"


def seconds_table(rows: list[dict]) -> list[str]:
    """Lines of the table of seconds."""
    lines = [
        "| factors × values, latents | train / test | score | disent, s | ours, s | ratio | disent, CPU s | ours, CPU s | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = []
        for clock in ("seconds", "cpu"):
            peer, own = (
                [value for run in row[side] for value in run[clock]] for side in ("disent", "ours")
            )
            cells += [spread(peer, row["digits"]), spread(own, row["digits"])]
            cells.append(f"{statistics.median(peer) / statistics.median(own):.0f}×")
        lines.append(f"| {row['label']} | {row['title']} | {' | '.join(cells)} |")
    return lines


def spread(values: list[float], digits: int) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (n = 1)"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f}, n = {len(values)})"


def scores_table(rows: list[dict]) -> list[str]:
    """Lines of the table of scores and memory."""
    lines = [
        "\n| factors × values, latents | train / test | score | disent's value | ours | disent, MB | ours, MB | of which loaded |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        them, us = row["disent"], row["ours"]
        memory = [
            f"{max(run[key] for run in runs):.0f}"
            for runs, key in ((them, "peak_mb"), (us, "peak_mb"), (us, "imported_mb"))
        ]
        lines.append(
            f"| {row['label']} | {row['title']} | {shown(them[0]['found'])} | {shown(us[0]['found'])} | {' | '.join(memory)} |"
        )
    lines.append(
        "\nDCI is disentanglement / completeness / informativeness. Memory is the peak of the whole process, packages included; "
        "what ours held before the call, packages and codes, is in the last column. With a single factor, disent's disentanglement divides "
        "by log 1 and is NaN; ours is 1, since there is nothing to mix."
    )
    return [*lines, f"\nLoad averages over 1, 5 and 15 minutes at the end: {load()}."]


def shown(result: float | dict[str, float]) -> str:
    if isinstance(result, dict):
        return " / ".join(f"{result[part]:.4f}" for part in PARTS)
    return f"{result:.6f}"


def head(versions: dict[str, str]) -> list[str]:
    import numba
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        "# Metrics beside disent 0.8.0\n",
        f"Made by `python benchmarks/metrics.py {' '.join(shown_options())}`; both sides scored the same codes in one run.\n",
        f"{platform.machine()}, {platform.system()}, CPU, {cores} cores. "
        f"Ours: Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}, torch {torch.__version__}. "
        f"disent {versions['disent']}: Python {versions['python']}, scikit-learn {versions['scikit-learn']}, numpy {versions['numpy']}.\n",
    ]


def shown_options() -> list[str]:
    """The words of the command line, without the paths of this machine."""
    words = list(sys.argv[1:])
    for position, word in enumerate(words[:-1]):
        if word in ("--peer-python", "--set-up", "--out"):
            words[position + 1] = "PATH"
    return words


def seconds_head(folder: Path) -> list[str]:
    """Lines before the table of seconds; measures the first DCI of a process, into an empty cache
    and from it.
    """
    path = store(folder / "tiny.npz", 60, *mixed_codes(90, (2, 2), 2, 0.1, 0.1))
    words = [sys.executable, __file__, "--ours", str(path), "dci", "1"]
    compiled, cached = (
        child(words, NUMBA_CACHE_DIR=str(folder / "cache"))["first"] for _ in range(2)
    )
    return [
        "\n## Seconds and memory\n",
        "Medians (lowest–highest, number of measurements), the two sides in turn, compilation apart. scikit-learn under disent's DCI uses "
        "one core, our DCI all; CPU seconds are summed over cores, and their ratio is what one core gains.\n",
        f"The first DCI of an installation compiles for {compiled - cached:.1f} s and keeps the result on disk; in a later process the "
        f"first call takes {cached:.1f} s.\n",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    help_set_up = "install disent 0.8.0 into DIR first, and use it"
    help_scale = "share of the 10,000 and 5,000 samples; below 1, no file by default"
    help_mig = "leave DCI out, which takes hours in full; name a file with --out"
    help_rounds = "how often disent's DCI runs; by default 3 times, and once for 183 classes"
    add("--peer-python", help="interpreter of an environment that has disent 0.8.0")
    add("--set-up", metavar="DIR", type=Path, help=help_set_up)
    add("--scale", type=float, default=1.0, help=help_scale)
    add("--quick", action="store_const", const=0.1, dest="scale", help="--scale 0.1")
    add("--cases", default="1234", help="which of the four sets of codes, such as 12")
    add("--mig-only", action="store_true", help=help_mig)
    add("--rounds", type=int, help=help_rounds)
    add("--out", type=Path, help="file to write; benchmarks/metrics.md by default")
    add("--ours", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        path, metric, repeats = options.ours
        return ours(path, metric, int(repeats))
    peer_python = str(set_up(options.set_up)) if options.set_up else options.peer_python
    if not peer_python:
        parser.error("nothing to compare with: give --peer-python PATH or --set-up DIR")
    out = options.out
    if out is None and options.scale == 1 and not options.mig_only:
        out = HERE / "metrics.md"
    warnings.simplefilter("ignore")
    from metrics_agreement import agreement

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "reference.json"
        run([peer_python, str(HERE / "peer_metrics.py"), "references", str(path)])
        reference = json.loads(path.read_text())
        opening = [*head(reference["versions"]), *agreement(reference), *seconds_head(folder)]
        rows: list[dict] = []
        for number in options.cases:
            case = CASES[int(number) - 1]
            rows += measure(
                case, peer_python, options.scale, options.rounds, folder, options.mig_only
            )
            text = document(opening, rows)
            if out:
                new = out.with_suffix(".new")
                new.write_text(text)
                new.replace(out)
    print(text)


if __name__ == "__main__":
    main()
