"""The side of disent in `metrics.py`, `disent_versions.py` and the tests' reference values; run by its environment's interpreter.

    python benchmarks/peer_metrics.py score CODES.npz mig|dci REPEATS SEED    # seconds and scores, as JSON
    python benchmarks/peer_metrics.py references [FILE]     # scores of fixed codes, tests/reference_metrics.json by default (minutes)

It prints or writes numbers only. The codes come from `tests/metric_codes.py`, which needs numpy alone.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

import metric_codes  # noqa: E402


class Rows:
    """The part of disent's dataset that `metric_mig`, `metric_dci` and `metric_sap` use: hands out
    stored rows in order.
    """

    def __init__(self, codes: np.ndarray, factors: np.ndarray):
        self.codes, self.factors, self.next = codes, factors, 0

    def dataset_sample_batch_with_factors(self, n: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(self.next, self.next + n)
        self.next += n
        return self.codes[rows], self.factors[rows]


def same(x):
    return x


def peer_mig(codes: np.ndarray, factors: np.ndarray) -> float:
    from disent.metrics import metric_mig

    n = len(codes)
    found = metric_mig(Rows(codes, factors), same, num_train=n, batch_size=n)
    return float(found["mig.discrete_score"])


def peer_dci(codes: np.ndarray, factors: np.ndarray, n_train: int, seed: int) -> dict[str, float]:
    from disent.metrics import metric_dci

    np.random.seed(seed)  # noqa: NPY002  what disent draws from
    n = len(codes)
    found = metric_dci(
        Rows(codes, factors), same, num_train=n_train, num_test=n - n_train, batch_size=n
    )
    return {
        "disentanglement": float(found["dci.disentanglement"]),
        "completeness": float(found["dci.completeness"]),
        "informativeness": float(found["dci.informativeness_test"]),
    }


def score(path: str, metric: str, repeats: int, seed: int) -> None:
    """Print what one metric of disent says of stored codes, the seconds that each repeat took, and
    the process's peak memory.
    """
    stored = np.load(path)
    codes, factors, n_train = stored["codes"], stored["factors"], int(stored["n_train"])
    # Imports, and whatever else comes once, apart.
    peer_mig(codes[:50], factors[:50])
    seconds = []
    cpu = []
    for _ in range(repeats):
        started = time.perf_counter()
        cpu_started = time.process_time()
        if metric == "mig":
            found = peer_mig(codes[:n_train], factors[:n_train])
        else:
            found = peer_dci(codes, factors, n_train, seed)
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"found": found, "seconds": seconds, "cpu": cpu, "peak_mb": peak}))


def grid_dataset(sizes: tuple[int, ...]):
    """A disent dataset whose observations are the factor values themselves."""
    import torch
    from disent.dataset import DisentDataset
    from disent.dataset.data import GroundTruthData
    from disent.dataset.sampling import RandomSampler

    class Grid(GroundTruthData):
        name = "grid"
        factor_names = tuple(f"f{i}" for i in range(len(sizes)))
        factor_sizes = sizes
        img_shape = (1, 1, len(sizes))

        def _get_observation(self, index):
            return self.idx_to_pos(index)

    def transform(position):
        return torch.as_tensor(np.asarray(position), dtype=torch.float32)

    return DisentDataset(Grid(), sampler=RandomSampler(), transform=transform)


def references(path: Path) -> None:
    """Write scores of fixed codes to a JSON file."""
    import disent.metrics as peer
    import sklearn
    import torch

    warnings.simplefilter("ignore")
    found: dict = {
        "made_by": "benchmarks/peer_metrics.py references",
        "versions": {
            "disent": version("disent"),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "mig": [],
        "dci": [],
        "sap": [],
    }
    for name in metric_codes.MIG_SETS:
        found["mig"].append({"set": name, "score": peer_mig(*metric_codes.mig_set(name))})
    for mix, noise in metric_codes.DCI_SETS:
        codes, factors = metric_codes.dci_set(mix, noise)
        n_train, n = metric_codes.DCI_TRAIN, len(codes)
        seeds = [peer_dci(codes, factors, n_train, seed) for seed in range(5)]
        found["dci"].append({"set": [mix, noise], "seeds": seeds})
        scored = peer.metric_sap(
            Rows(codes, factors), same, num_train=n_train, num_test=n - n_train, batch_size=n
        )
        found["sap"].append({"set": [mix, noise], "score": float(scored["sap.score"])})

    dataset = grid_dataset(metric_codes.GRID)
    for name, code in (
        ("factor_vae", metric_codes.turned_code),
        ("flatness", metric_codes.curved_code),
        ("factored_components", metric_codes.curved_code),
    ):

        def encode(x, code=code):
            return torch.from_numpy(code(x.double().numpy()))

        metric = getattr(peer, f"metric_{name}")
        runs = []
        for seed in range(5):
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            runs.append(metric.compute_fast(dataset, encode))
        found[name] = {key: [float(run[key]) for run in runs] for key in runs[0]}
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "score":
        score(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        references(Path(sys.argv[2]) if len(sys.argv) > 2 else TESTS / "reference_metrics.json")
