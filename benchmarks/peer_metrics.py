"""The side of disent 0.8.0 in `metrics.py` and in the tests' reference values; run by that environment's interpreter.

    python benchmarks/peer_metrics.py score CODES.npz     # seconds and scores of metric_mig and metric_dci, as JSON
    python benchmarks/peer_metrics.py references          # makes tests/reference_metrics.json (a few minutes)

It prints or writes numbers only. The codes come from `tests/metric_codes.py`, which needs numpy alone.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

import metric_codes  # noqa: E402


class Rows:
    """The part of disent's dataset that `metric_mig`, `metric_dci` and `metric_sap` use: hands out stored rows in order."""

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

    return float(metric_mig(Rows(codes, factors), same, num_train=len(codes), batch_size=len(codes))["mig.discrete_score"])


def peer_dci(codes: np.ndarray, factors: np.ndarray, n_train: int, seed: int) -> dict[str, float]:
    from disent.metrics import metric_dci

    np.random.seed(seed)  # noqa: NPY002  what disent draws from
    found = metric_dci(Rows(codes, factors), same, num_train=n_train, num_test=len(codes) - n_train, batch_size=len(codes))
    return {
        "disentanglement": float(found["dci.disentanglement"]),
        "completeness": float(found["dci.completeness"]),
        "informativeness": float(found["dci.informativeness_test"]),
    }


def score(path: str) -> None:
    """Print what the two metrics of disent say of stored codes, and the seconds that they took."""
    stored = np.load(path)
    codes, factors, n_train = stored["codes"], stored["factors"], int(stored["n_train"])
    peer_mig(codes[:50], factors[:50])
    seconds = {"mig": [], "dci": []}
    for _ in range(int(stored["mig_rounds"])):
        started = time.perf_counter()
        mig = peer_mig(codes[:n_train], factors[:n_train])
        seconds["mig"].append(time.perf_counter() - started)
    started = time.perf_counter()
    dci = peer_dci(codes, factors, n_train, seed=0) if stored["with_dci"] else None
    seconds["dci"].append(time.perf_counter() - started)
    print(json.dumps({"mig": mig, "dci": dci, "seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


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


def references() -> None:
    """Write scores of fixed codes to tests/reference_metrics.json."""
    import disent.metrics as peer
    import sklearn
    import torch

    warnings.simplefilter("ignore")
    found: dict = {
        "made_by": "benchmarks/peer_metrics.py references",
        "versions": {"disent": "0.8.0", "scikit-learn": sklearn.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "mig": [],
        "dci": [],
        "sap": [],
    }
    for name in metric_codes.MIG_SETS:
        found["mig"].append({"set": name, "score": peer_mig(*metric_codes.mig_set(name))})
    for mix, noise in metric_codes.DCI_SETS:
        codes, factors = metric_codes.mixed_codes(800, (4, 4, 4, 4), 6, mix, noise)
        found["dci"].append({"set": [mix, noise], "seeds": [peer_dci(codes, factors, 600, seed) for seed in range(5)]})
        scored = peer.metric_sap(Rows(codes, factors), same, num_train=600, num_test=200, batch_size=800)
        found["sap"].append({"set": [mix, noise], "score": float(scored["sap.score"])})

    dataset = grid_dataset(metric_codes.GRID)
    for name, code in (
        ("factor_vae", metric_codes.turned_code),
        ("flatness", metric_codes.curved_code),
        ("factored_components", metric_codes.curved_code),
    ):
        runs = []
        for seed in range(5):
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            runs.append(
                getattr(peer, f"metric_{name}").compute_fast(dataset, lambda x, code=code: torch.from_numpy(code(x.double().numpy())))
            )
        found[name] = {key: [float(run[key]) for run in runs] for key in runs[0]}
    (TESTS / "reference_metrics.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "score":
        score(sys.argv[2])
    else:
        references()
