"""Random batches from an HDF5 file whose chunks each span thousands of images, as h5py makes them by itself: h5py, and `read_images`.

    python benchmarks/own_files.py
    python benchmarks/own_files.py --images 60000

The file holds 3D Shapes' size of images in chunks of (15000, 4, 4, 1), compressed by gzip. h5py inflates each chunk for each batch anew;
`read_images` copies the array once, chunk by chunk, and the time of that counts.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from machine import parser

import vaedis as vd

BATCH = 256


def write(path: Path, n: int) -> None:
    """Write images of smooth colours, which compress as pictures do."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 100, 64)[:, None, None] + np.linspace(0, 80, 64)[None, :, None]
    with h5py.File(path, "w") as file:
        shape = (n, 64, 64, 3)
        images = file.create_dataset(
            "images", shape, "u1", chunks=(min(n, 15_000), 4, 4, 1), compression="gzip"
        )
        for start in range(0, n, 15_000):
            colours = random.integers(0, 75, (min(15_000, n - start), 1, 1, 3))
            images[start : start + 15_000] = (ramp + colours).astype(np.uint8)
        file["labels"] = np.arange(n)


def main() -> None:
    """Measure and print a table in Markdown."""
    arguments = parser(__doc__)
    arguments.add_argument("--images", type=int, default=30_000)
    arguments.add_argument("--batches", type=int, default=2, help="of h5py")
    options = arguments.parse_args()
    n = options.images
    index = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.h5"
        write(path, n)
        with h5py.File(path) as file:
            started = time.perf_counter()
            for part in index.split(BATCH)[: options.batches]:
                file["images"][np.sort(part.numpy())]
            h5py_rate = options.batches * BATCH / (time.perf_counter() - started)
        started = time.perf_counter()
        data = vd.read_images(path)
        opened = time.perf_counter() - started
        for part in index.split(BATCH):
            data.images(part)
        total = time.perf_counter() - started
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, h5py {h5py.__version__}, "
        f"numpy {np.__version__}; {n:,} images of 64×64×3, random batches of {BATCH}\n"
    )
    print("| | images/s | opened, s |\n|---|---|---|")
    print(f"| h5py, {options.batches} batches | {h5py_rate:,.0f} | |")
    print(f"| `read_images`, all images once | {n / total:,.0f} | {opened:.2f} |")
    print(
        f"\nRatio: {n / total / h5py_rate:.0f}. Load average over one minute: {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
