"""Seconds and scores of our MIG and DCI beside disent 0.8.0's, on the same codes, in one run.

    python benchmarks/metrics.py --peer-python PATH            # an interpreter that has disent 0.8.0
    python benchmarks/metrics.py --set-up DIR                  # makes that environment first (it downloads several gigabytes)
    python benchmarks/metrics.py --peer-python PATH --quick    # a tenth of the samples: minutes; in full, an hour or more

disent's own `metric_mig` and `metric_dci` get the stored codes through a stand-in for its dataset, so that neither side encodes anything.
Each side runs in a process of its own. MIG is repeated and medians are compared. Of DCI, ours is repeated and disent's runs once, since it
takes minutes. Ours is measured three times before disent's and three times after, so that a machine that grows busier shows.
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
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from metric_codes import mixed_codes  # noqa: E402

EIGHTS, CLASSES_183 = (8,) * 6, (183,)
# Name, sizes of the factors, latents.
CASES = (
    ("6 factors of 8 values, z = 9", EIGHTS, 9),
    ("6 factors of 8 values, z = 25", EIGHTS, 25),
    ("1 factor of 183 values, z = 9", CLASSES_183, 9),
)


def ours(path: str) -> None:
    """The child process: print our scores, seconds and peak memory of stored codes as JSON."""
    from vaedis import metrics

    stored = np.load(path)
    codes, factors, n_train = stored["codes"], stored["factors"], int(stored["n_train"])
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    train, test = (codes[:n_train], factors[:n_train]), (codes[n_train:], factors[n_train:])
    metrics.mig(*train)
    started = time.perf_counter()
    metrics.dci(codes[:60], factors[:60] % 2, n_test=20)
    seconds: dict[str, list[float]] = {"compile": [time.perf_counter() - started], "mig": [], "mig without floor": [], "dci": []}
    for _ in range(int(stored["mig_rounds"])):
        for name, repeats in (("mig", 4), ("mig without floor", 0)):
            started = time.perf_counter()
            mig = metrics.mig(*train, floor_repeats=repeats)
            seconds[name].append(time.perf_counter() - started)
    for _ in range(3):
        started = time.perf_counter()
        found = metrics.dci(*train, test=test)
        seconds["dci"].append(time.perf_counter() - started)
    dci = {key: getattr(found, key) for key in ("disentanglement", "completeness", "informativeness")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mig": float(mig), "dci": dci, "seconds": seconds, "peak_mb": peak, "base_mb": base}))


def child(words: list[str], **environment: str) -> dict:
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore", **environment})
    if done.returncode:
        raise SystemExit(f"{Path(words[1]).name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(case: tuple, peer_python: str, scale: float, mig_rounds: int, folder: Path) -> dict:
    name, sizes, latents = case
    n_train, n_test = int(10_000 * scale), int(5_000 * scale)
    codes, factors = mixed_codes(n_train + n_test, sizes, latents, 0.1, 0.1)
    path = folder / "codes.npz"
    np.savez(path, codes=codes, factors=factors, n_train=n_train, mig_rounds=mig_rounds, with_dci=True)
    before = child([sys.executable, __file__, "--ours", str(path)])
    peer = child([peer_python, str(HERE / "peer_metrics.py"), "score", str(path)])
    after = child([sys.executable, __file__, "--ours", str(path)])
    for key, values in after["seconds"].items():
        before["seconds"][key] += values
    return {"name": name, "n": (n_train, n_test), "ours": before, "peer": peer}


def print_tables(rows: list[dict]) -> None:
    print("| codes | train / test | metric | disent, s | ours, s | ratio | disent's score | ours |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        ours, peer, n = row["ours"], row["peer"], "{:,} / {:,}".format(*row["n"])
        theirs, us = statistics.median(peer["seconds"]["mig"]), ours["seconds"]
        for name, key in (("MIG with noise floor", "mig"), ("MIG alone", "mig without floor")):
            median = statistics.median(us[key])
            times = f"{theirs:.3f} | {median:.4f} | {theirs / median:.0f}×"
            print(f"| {row['name']} | {n} | {name} | {times} | {peer['mig']:.6f} | {ours['mig']:.6f} |")
        theirs, median = peer["seconds"]["dci"][0], statistics.median(us["dci"])
        scores = [" ".join(f"{side['dci'][key]:.4f}" for key in ours["dci"]) for side in (peer, ours)]
        print(f"| {row['name']} | {n} | DCI: D, C, I | {theirs:.1f} | {median:.2f} | {theirs / median:.0f}× | {scores[0]} | {scores[1]} |")
    print("\nSpread of our DCI, s: " + "; ".join(" ".join(f"{s:.2f}" for s in row["ours"]["seconds"]["dci"]) for row in rows))
    print("Load averages over 1, 5, 15 minutes at the end: " + " ".join(f"{load:.1f}" for load in os.getloadavg()))
    print("Peak memory, MB (of which packages and codes), ours and disent's whole process: ", end="")
    print("; ".join(f"{r['ours']['peak_mb']:.0f} ({r['ours']['base_mb']:.0f}), {r['peer']['peak_mb']:.0f}" for r in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment that has disent 0.8.0")
    parser.add_argument("--set-up", metavar="DIR", type=Path, help="install disent 0.8.0 into DIR first, and use it")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 10,000 and 5,000 samples")
    parser.add_argument("--quick", action="store_const", const=0.1, dest="scale", help="--scale 0.1")
    parser.add_argument("--cases", default="123", help="which of the three sets of codes, such as 12")
    parser.add_argument("--ours", metavar="CODES", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        return ours(options.ours)
    if options.set_up:
        subprocess.run([sys.executable, "-m", "venv", str(options.set_up)], check=True)
        options.peer_python = str(options.set_up / "bin" / "python")
        subprocess.run([options.peer_python, "-m", "pip", "install", "-q", "disent==0.8.0"], check=True)
    if not options.peer_python:
        parser.error("nothing to compare with: give --peer-python PATH or --set-up DIR")

    with tempfile.TemporaryDirectory() as folder:
        # Once into an empty cache, and once more to see what the cache saves.
        np.savez(
            Path(folder, "tiny.npz"),
            **dict(zip(("codes", "factors"), mixed_codes(90, (2, 2), 2, 0.1, 0.1), strict=True)),
            n_train=60,
            mig_rounds=1,
        )
        words = [sys.executable, __file__, "--ours", str(Path(folder, "tiny.npz"))]
        compiled, cached = (child(words, NUMBA_CACHE_DIR=str(Path(folder, "cache")))["seconds"]["compile"][0] for _ in range(2))
        rows = [measure(CASES[int(number) - 1], options.peer_python, options.scale, 11, Path(folder)) for number in options.cases]
    versions = subprocess.run(
        [options.peer_python, "-c", "import sklearn, numpy, sys; print(sys.version.split()[0], sklearn.__version__, numpy.__version__)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    import numba

    print(f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}; ours: Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, numba {numba.__version__}; disent 0.8.0: Python {versions[0]}, ", end="")
    print(f"scikit-learn {versions[1]}, numpy {versions[2]}")
    print(
        f"First DCI of an installation: {compiled:.1f} s, of which compilation all but {cached:.1f} s; of a later process: {cached:.1f} s\n"
    )
    print_tables(rows)


if __name__ == "__main__":
    main()
