"""disent 0.9.3 and 0.8.0 beside each other and vaedis: the same scores, the same images, images a second.

    python benchmarks/keep.py disent_versions.py --python 0.8.0=PEER --python 0.9.3=PEER

Each --python names a version of disent and an interpreter that has it. All sides take turns: the scores are of the
codes of `metrics.py`'s section on agreement, the images those of disent's data classes that vaedis has too, and the
speed is that of one process with its own data classes and its own training loop.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from data import RENDERED, random_batches, rate
from machine import about, cell, in_turn
from metrics import run
from speed import our_training

import vaedis as vd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import metric_peers  # noqa: E402
from metric_codes import mig_set  # noqa: E402

BATCH = 256
DATA = ("xysquares", "xyobject")


def peer(python: str, name: str, *words: str) -> dict:
    """Run one of the peer's scripts in its environment; what it prints last is JSON, if anything."""
    printed = run([python, str(HERE / name), *words]).strip()
    return json.loads(printed.splitlines()[-1]) if printed else {}


def values(reference: dict) -> Iterator[tuple[str, list[float]]]:
    """Each score in what `peer_metrics.py references` writes: its name, and its values over seeds."""
    for entry in reference["mig"]:
        yield f"MIG, {entry['set']}", [entry["score"]]
    for entry in reference["sap"]:
        yield f"SAP, mixing and noise {entry['set'][0]}, {entry['set'][1]}", [entry["score"]]
    for entry in reference["dci"]:
        for part in metric_peers.DCI_PARTS:
            runs = [run[part] for run in entry["seeds"]]
            yield f"DCI {part}, mixing and noise {entry['set'][0]}, {entry['set'][1]}", runs
    for name in ("factor_vae", "flatness", "factored_components"):
        yield from reference[name].items()


def our_values(reference: dict) -> Iterator[tuple[str, list[float]]]:
    """Ours of the same codes, by the same names, as far as both have the score."""
    for entry in reference["mig"]:
        score = vd.metrics.mig(*mig_set(entry["set"]), floor_repeats=0)
        yield f"MIG, {entry['set']}", [float(score)]
    for entry in reference["sap"]:
        train, test = metric_peers.halves(*entry["set"])
        name = f"SAP, mixing and noise {entry['set'][0]}, {entry['set'][1]}"
        yield name, [float(vd.metrics.sap(*train, test=test))]
    for entry in reference["dci"]:
        for part, (_, ours) in metric_peers.dci_runs(entry).items():
            yield f"DCI {part}, mixing and noise {entry['set'][0]}, {entry['set'][1]}", list(ours)
    for pairs in metric_peers.DRAWN:
        for name, _, ours in pairs(reference):
            yield name, ours


def scores(pythons: Mapping[str, str]) -> Iterator[str]:
    """Yield the table of scores, which takes each version minutes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, python in pythons.items():
            path = Path(folder) / f"{name}.json"
            peer(python, "peer_metrics.py", "references", str(path))
            found[name] = json.loads(path.read_text())
    for name, reference in found.items():
        versions = ", ".join(f"{k} {v}" for k, v in reference["versions"].items())
        yield f"Environment of {name}: {versions}.\n"
    first, *others = pythons
    stored = {name: dict(values(reference)) for name, reference in found.items()}
    stored["vaedis"] = dict(our_values(found[first]))
    shared = [name for name in stored[first] if name in stored["vaedis"]]
    yield f"| score, mean of its seeds | {' | '.join(stored)} |\n{'|---' * (len(stored) + 1)}|"
    for score in shared:
        means = (f"{np.mean(stored[name][score]):.6f}" for name in stored)
        yield f"| {score} | {' | '.join(means)} |"
    for other in others:
        apart = [
            np.abs(np.subtract(stored[first][score], stored[other][score])).max()
            for score in stored[first]
        ]
        equal = sum(difference == 0 for difference in apart)
        yield (
            f"\nOf {len(apart)} scores, with the same seeds, {equal} are the same number in {other} as in {first}; "
            f"the largest difference is {max(apart):.2g}.\n"
        )


def our_contents(name: str, n: int = 4_096) -> str:
    """As `peer_data.contents`."""
    data = vd.load(name, **RENDERED[name])
    index = np.linspace(0, len(data) - 1, min(n, len(data))).round().astype(int)
    return hashlib.sha256(data.images(torch.from_numpy(index)).numpy().tobytes()).hexdigest()


def contents(pythons: Mapping[str, str]) -> Iterator[str]:
    """Yield the table of what the data classes hold."""
    yield f"| SHA-256 of 4,096 images, first digits | {' | '.join(pythons)} | vaedis |"
    yield "|---" * (len(pythons) + 2) + "|"
    for data in DATA:
        digests = [peer(python, "peer_data.py", data, "contents") for python in pythons.values()]
        shown = [found["sha256"][:12] for found in digests] + [our_contents(data)[:12]]
        yield f"| {data} | {' | '.join(shown)} |"
    yield ""


def speed(pythons: Mapping[str, str], rounds: int, seconds: float) -> Iterator[str]:
    """Yield the table of images a second, all sides in turn."""

    def of_peer(python: str, data: str) -> float:
        found = peer(python, "peer_data.py", data, str(BATCH), str(seconds))
        return BATCH * found["batches_per_second"]

    def trained(python: str, framework: str) -> float:
        words = ("train", framework, "0", str(seconds))
        return peer(python, "peer_disent.py", *words)["images_per_second"]

    yield f"| images/s | {' | '.join(pythons)} | vaedis |\n{'|---' * (len(pythons) + 2)}|"
    for data in DATA:
        sides = {name: functools.partial(of_peer, python, data) for name, python in pythons.items()}
        batches = random_batches(vd.load(data, **RENDERED[data]))
        sides["vaedis"] = lambda batches=batches: BATCH * rate(batches, seconds)
        found = in_turn(sides, rounds)
        yield f"| random batches of {data} | {' | '.join(map(cell, found.values()))} |"
    for framework in ("beta-vae", "ada-gvae"):
        sides = {
            name: functools.partial(trained, python, framework) for name, python in pythons.items()
        }
        sides["vaedis"] = functools.partial(our_training, framework, seconds, "float32")
        found = in_turn(sides, rounds)
        yield f"| training {framework}, float32 | {' | '.join(map(cell, found.values()))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--python", action="append", required=True, metavar="VERSION=PATH", help="of disent"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--without-scores", action="store_true", help="they take minutes")
    parser.add_argument("--without-speed", action="store_true", help="on cores that are busy")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    pythons = dict(words.split("=", 1) for words in options.python)
    pythons = {f"disent {version}": python for version, python in pythons.items()}
    print(f"{about()}.\n")
    for line in contents(pythons):
        print(line)
    if not options.without_speed:
        for line in speed(pythons, options.rounds, options.seconds):
            print(line, flush=True)
    if not options.without_scores:
        print()
        for line in scores(pythons):
            print(line, flush=True)


if __name__ == "__main__":
    main()
