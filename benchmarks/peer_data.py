"""Measures the data classes of disent; runs inside disent's own environment, called by data.py and
disent_versions.py. Prints one JSON line.

    python benchmarks/peer_data.py NAME BATCH SECONDS     # random batches a second
    python benchmarks/peer_data.py NAME contents          # SHA-256 of images spread over the data set
"""

import hashlib
import json
import sys
import time
from importlib.metadata import version

import numpy as np
from disent.dataset.data import XYObjectData, XYSquaresData

CLASSES = {
    "xysquares": lambda: XYSquaresData(grid_size=8, grid_spacing=8),
    "xyobject": XYObjectData,
}


def batches_per_second(name: str, batch: int, seconds: float) -> float:
    """Random batches of 8-bit images a second, one image after the other, which is how the library
    reads them.
    """
    data, rng = CLASSES[name](), np.random.default_rng(0)
    started, batches = 0.0, -3
    while batches < 1 or time.perf_counter() - started < seconds:
        if batches == 0:
            started = time.perf_counter()
        np.stack([data[i] for i in rng.integers(len(data), size=batch).tolist()])
        batches += 1
    return batches / (time.perf_counter() - started)


def contents(name: str, n: int = 4_096) -> str:
    """SHA-256 of the bytes of up to `n` images, spread evenly, in order."""
    data = CLASSES[name]()
    index = np.linspace(0, len(data) - 1, min(n, len(data))).round().astype(int)
    found = hashlib.sha256()
    for i in index.tolist():
        found.update(np.ascontiguousarray(data[i]).tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    name = sys.argv[1]
    if sys.argv[2] == "contents":
        found = {"sha256": contents(name)}
    else:
        batch, seconds = int(sys.argv[2]), float(sys.argv[3])
        found = {"batches_per_second": batches_per_second(name, batch, seconds)}
    print(json.dumps({**found, "numpy": np.__version__, "disent": version("disent")}))
