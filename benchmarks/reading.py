"""Random batches from the benchmark data sets, beside random access to an HDF5 file; and how long `vd.load` takes.

    python benchmarks/reading.py                    # all four, as `vd.load` gives them here
    python benchmarks/reading.py cars3d --rounds 5

The HDF5 file holds the same images as disent stores them: one image a chunk, gzip level 4. It gets only some of the images of the large
sets, which is to its advantage. All sides in turn, several rounds of each; medians, with the lowest and highest.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from data import rate, write_hdf5
from machine import cell, in_turn, parser

import vaedis as vd
from vaedis.data.originals import converted
from vaedis.data.originals.catalog import BENCHMARKS, Benchmark

BATCH = 256


def images_a_second(read: Callable[[torch.Tensor], object], size: int, seconds: float) -> float:
    """How many images come in random batches."""
    generator = torch.Generator().manual_seed(0)
    return BATCH * rate(lambda: read(torch.randint(size, (BATCH,), generator=generator)), seconds)


def from_hdf5(images: h5py.Dataset) -> Callable[[torch.Tensor], object]:
    """Read a batch one image after the other, for which h5py has a short way: many times as fast as
    asking for all at once.
    """
    return lambda index: torch.from_numpy(np.stack([images[i] for i in index.tolist()]))


def stored(data: vd.FactorData, n: int, folder: Path) -> vd.FactorData:
    """The first n images as `vaedis data prepare` stores an original."""
    blocks = (data.images(i).numpy() for i in torch.arange(n).split(1024))
    path = folder / f"{data.name}.npy"
    converted.write(path, blocks, (n, *data.shape), {"origin": data.origin})
    return converted.Stored(
        Benchmark(data.name, {"image": n}, data.shape, data.mean, data.std, ()), path
    )


def load_seconds(name: str) -> float:
    """Seconds until the first batch is there, in a process that has imported vaedis and nothing
    more.
    """
    code = (
        "import time, warnings, torch, vaedis as vd; warnings.simplefilter('ignore'); start = time.perf_counter(); "
        f"vd.load({name!r}).images(torch.arange(256)); print(time.perf_counter() - start)"
    )
    words = [sys.executable, "-c", code]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def drop_from_memory(data: vd.FactorData) -> None:
    """Let the system forget what it has read of a data set's file, if it has one."""
    if isinstance(data, converted.Stored):
        with open(data.path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def row(name: str, options: argparse.Namespace, folder: Path) -> str:
    """Measure one data set."""
    data = vd.load(name)
    n = min(len(data), options.images)
    file = stored(data, n, folder)
    path = folder / f"{name}.h5"
    write_hdf5(path, data, n)
    with h5py.File(path) as output:
        reads = {"loaded": data.images, "stored": file.images, "hdf5": from_hdf5(output["data"])}
        some = torch.tensor([n - 1, 0, 0, 5])
        assert all(torch.equal(reads["hdf5"](some), read(some)) for read in reads.values())
        sizes = {"loaded": len(data), "stored": n, "hdf5": n}
        ways = {
            side: functools.partial(images_a_second, read, sizes[side], options.seconds)
            for side, read in reads.items()
        }
        rates = in_turn(ways, options.rounds)
    median = {side: statistics.median(values) for side, values in rates.items()}
    cells = " | ".join(map(cell, rates.values()))
    drop_from_memory(data)
    cold = load_seconds(name)
    warm = statistics.median(load_seconds(name) for _ in range(3))
    ratios = f"{median['loaded'] / median['hdf5']:.1f} | {median['stored'] / median['hdf5']:.1f}"
    return f"| {name} | {data.origin} | {cells} | {ratios} | {cold:.3f} | {warm:.3f} |"


def main() -> None:
    """Measure and print a table in Markdown."""
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("names", nargs="*", default=list(BENCHMARKS), metavar="NAME")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=4, help="of each measurement")
    help_images = "in the stored and the HDF5 file, at most"
    add("--images", type=int, default=20_000, help=help_images)
    options = arguments.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}, h5py {h5py.__version__}"
    )
    print(
        f"Random batches of {BATCH}, images/s: medians of {options.rounds} rounds of {options.seconds:g} s\n"
    )
    print(
        "| data set | origin | `vd.load` | stored | HDF5 | loaded/HDF5 | stored/HDF5 | first batch, cold, s | warm, s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names:
            print(row(name, options, Path(folder)), flush=True)
    print(
        f"\nLoad averages over 1, 5, 15 minutes at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}"
    )


if __name__ == "__main__":
    main()
