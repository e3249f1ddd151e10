"""Measures the data classes of disent 0.8.0; runs inside disent's own environment, called by
data.py. Prints one JSON line.
"""

import json
import sys
import time

import disent
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


if __name__ == "__main__":
    name, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    version = getattr(disent, "__version__", "0.8.0")
    print(
        json.dumps(
            {
                "batches_per_second": batches_per_second(name, batch, seconds),
                "numpy": np.__version__,
                "disent": version,
            }
        )
    )
