"""Images a second from each data set, beside disent 0.8.0 and h5py, and how long `vd.load` takes.

    python benchmarks/data.py --peer-python PATH --out benchmarks/data.md    # PATH: an interpreter that has disent 0.8.0
    python benchmarks/data.py --set-up DIR                                   # makes that environment first (it downloads several gigabytes)

Needs h5py. What is compared is measured in turn, several rounds of each, and the medians are compared. h5py reads dSprites as disent stores
it: one chunk an image, gzip level 4; the file is written to a temporary folder first, which takes minutes.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from machine import cell as shown, in_turn, parser
from speed import parse_with_peer, peer

import vaedis as vd
from vaedis.data import DATA_SETS, FactorData

BATCH = 256
# those that are made on demand
RENDERED = ("dsprites", "shapes3d", "xysquares", "xyobject")
# run in a process of its own: milliseconds of the import, and of the first and the second time that
# a data set is loaded and shows a batch
LOADING = """
import sys, time
times = [time.perf_counter()]
import torch, vaedis as vd
for _ in range(2):
    times.append(time.perf_counter())
    data = vd.load(sys.argv[1])
    data.images(torch.arange(256) * (len(data) // 256))
times.append(time.perf_counter())
print(*(1e3 * (b - a) for a, b in zip(times, times[1:])))
"""


def rate(once: Callable[[], object], seconds: float) -> float:
    """How often a second something can be done, warm-up apart."""
    for _ in range(3):
        once()
    started = time.perf_counter()
    done = 0
    while done == 0 or time.perf_counter() - started < seconds:
        once()
        done += 1
    return done / (time.perf_counter() - started)


def random_batches(
    data: FactorData, batch: int = BATCH, *, observations: bool = False
) -> Callable[[], object]:
    """What draws a batch at random and makes its 8-bit images, or what a network takes."""
    generator = torch.Generator().manual_seed(0)
    make = data.observations if observations else data.images
    return lambda: make(data.factors.sample_index(batch, generator=generator).to(data.device))


def write_hdf5(path: Path, data: FactorData, images: int) -> None:
    """Store images as disent stores dSprites."""
    with h5py.File(path, "w") as file:
        stored = file.create_dataset(
            "data",
            (images, *data.shape),
            "uint8",
            chunks=(1, *data.shape),
            compression="gzip",
            compression_opts=4,
        )
        for index in torch.arange(images).split(8192):
            stored[int(index[0]) : int(index[-1]) + 1] = data.images(index).numpy()


def hdf5_batches(file: h5py.File, *, listed: bool) -> Callable[[], object]:
    """Random batches from such a file: image by image, as disent reads them, or as one sorted list."""
    stored = file["data"]
    rng = np.random.default_rng(0)
    if listed:
        return lambda: stored[np.unique(rng.integers(len(stored), size=BATCH))]
    return lambda: np.stack([stored[i] for i in rng.integers(len(stored), size=BATCH).tolist()])


def rendering(
    write_line: Callable[[str], None], names: list[str], rounds: int, seconds: float
) -> None:
    """Table of images a second, rendered on demand."""
    write_line(
        "| rendered on demand, images/s | one by one | batches of 256 | batches of 256, as a network takes them |\n|---|---|---|---|"
    )
    for name in names:
        data = vd.load(name)
        sides = {
            "one": lambda d=data: rate(random_batches(d, 1), seconds),
            "many": lambda d=data: BATCH * rate(random_batches(d), seconds),
            "ready": lambda d=data: BATCH * rate(random_batches(d, observations=True), seconds),
        }
        write_line(f"| {name} | " + " | ".join(map(shown, in_turn(sides, rounds).values())) + " |")


def batches(
    write_line: Callable[[str], None],
    names: list[str],
    python: str,
    folder: Path,
    images: int,
    rounds: int,
    seconds: float,
) -> None:
    """Table of random batches a second, beside the peers."""
    versions: dict = {}

    def of_peer(name: str) -> float:
        versions.update(peer(python, "peer_data.py", name, BATCH, seconds))
        return versions["batches_per_second"]

    write_line(
        "\n| random batches of 256, a second | vaedis | peer | ratio | the peer |\n|---|---|---|---|---|"
    )
    for name in names:
        data = vd.load(name)
        own_way = {"ours": lambda d=data: rate(random_batches(d), seconds)}
        if name in ("xysquares", "xyobject"):
            rates = in_turn(own_way | {"peer": lambda n=name: of_peer(n)}, rounds)
            label = "disent's own data class"
        elif name == "dsprites":
            path = folder / "dsprites.hdf5"
            write_hdf5(path, data, images)
            with h5py.File(path) as file:
                reads = {
                    f"h5py, {access}": lambda f=file, o=listed: rate(
                        hdf5_batches(f, listed=o), seconds
                    )
                    for access, listed in (("image by image", False), ("a sorted list", True))
                }
                rates = in_turn(own_way | reads, rounds)
            label = max(reads, key=lambda side: statistics.median(rates[side]))
            rates["peer"] = rates[label]
            label += f", {images:,} images in {path.stat().st_size / 1e6:.0f} MB"
        else:
            write_line(
                f"| {name} | {shown(in_turn(own_way, rounds)['ours'])} | – | – | none measured |"
            )
            continue
        ratio = statistics.median(rates["ours"]) / statistics.median(rates["peer"])
        write_line(
            f"| {name} | {shown(rates['ours'])} | {shown(rates['peer'])} | {ratio:,.0f} | {label} |"
        )
    if versions:
        write_line(
            f"\nh5py {h5py.__version__}; disent {versions['disent']} with numpy {versions['numpy']}."
        )


def loading(write_line: Callable[[str], None], names: list[str], rounds: int) -> None:
    """Table of milliseconds for `vd.load` and a first batch."""
    write_line(
        "\n| `vd.load` and a batch of 256, ms | in a new process | again in the same | the imports before it |\n|---|---|---|---|"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for name in names:
        runs = []
        for _ in range(rounds):
            done = subprocess.run(
                [sys.executable, "-c", LOADING, name],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
            runs.append([float(word) for word in done.stdout.split()])
        imports, cold, warm = zip(*runs, strict=True)
        write_line(f"| {name} | {shown(cold)} | {shown(warm)} | {shown(imports)} |")


def main() -> None:
    """Measure, print the tables in Markdown, and write them if asked to."""
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--out", type=Path, metavar="FILE", help="write the tables to this file, too")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=3, help="of each measurement")
    help_images = "how many images of dSprites h5py reads from"
    add("--images", type=int, default=737_280, help=help_images)
    add("--threads", type=int, default=1, help="of torch; disent and h5py read with one")
    options, python = parse_with_peer(arguments)
    torch.set_num_threads(options.threads)

    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    names = [name for name in RENDERED if name in DATA_SETS]
    say("# Data sets beside disent 0.8.0 and h5py\n")
    words = f"--rounds {options.rounds} --seconds {options.seconds:g} --images {options.images} --threads {options.threads}"
    say(
        f"Made by `benchmarks/data.py {words}`; 8-bit images unless said otherwise. Medians, with the lowest and the highest.\n"
    )
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    say(
        f"{platform.machine()}, {os.cpu_count()} cores, {load}, Python {platform.python_version()}, torch {torch.__version__}.\n"
    )
    rendering(say, names, options.rounds, options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        batches(say, names, python, Path(folder), options.images, options.rounds, options.seconds)
    loading(say, names, options.rounds)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
