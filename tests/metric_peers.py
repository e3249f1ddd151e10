"""Our scores beside those that `benchmarks/peer_metrics.py` had from disent 0.8.0: what belongs
together, for tests and benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from metric_codes import DCI_TRAIN, GRID, curved_code, dci_set, turned_code

from vaedis import FactorSpace, metrics

DCI_PARTS = ("disentanglement", "completeness", "informativeness")
SPACE = FactorSpace(("a", "b", "c"), GRID)
SEEDS = range(5)
FACTORS = SPACE.to_factors(torch.arange(SPACE.size))
TURNED, CURVED = (torch.from_numpy(code(FACTORS.numpy())) for code in (turned_code, curved_code))

# Name of a score, its values in disent, and ours, of five seeds each.
Pairs = Iterator[tuple[str, list[float], list[float]]]


def halves(
    mix: float, noise: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Codes and factors to train on, and to test on."""
    codes, factors = dci_set(mix, noise)
    return (codes[:DCI_TRAIN], factors[:DCI_TRAIN]), (codes[DCI_TRAIN:], factors[DCI_TRAIN:])


def dci_runs(entry: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each part of DCI of one set of codes: disent's values over seeds, and ours."""
    train, test = halves(*entry["set"])
    runs = [metrics.dci(*train, test=test, seed=seed) for seed in SEEDS]
    return {
        part: (
            np.array([run[part] for run in entry["seeds"]]),
            np.array([getattr(run, part) for run in runs]),
        )
        for part in DCI_PARTS
    }


def standard_errors(peer_values: list[float], values: list[float]) -> float:
    """Distance of the two means in standard errors of it; disent works in single precision, so
    there is a least error.
    """
    error = np.sqrt((np.var(values, ddof=1) + np.var(peer_values, ddof=1)) / len(SEEDS))
    return float(abs(np.mean(values) - np.mean(peer_values)) / max(error, 2e-7))


def factor_vae(reference: dict) -> Pairs:
    options = {"n_train": 700, "n_eval": 350, "n_variance": 1000}
    values = [
        float(metrics.factor_vae(TURNED.__getitem__, SPACE, **options, seed=seed)) for seed in SEEDS
    ]
    yield "factor_vae", reference["factor_vae"]["factor_vae.eval_accuracy"], values


def flatness(reference: dict) -> Pairs:
    runs = [metrics.flatness(CURVED.__getitem__, SPACE, repeats=128, seed=seed) for seed in SEEDS]
    for name, key in (
        ("score", "ave_flatness"),
        ("flatness_l1", "ave_flatness_l1"),
        ("flatness_l2", "ave_flatness_l2"),
    ):
        yield (
            f"flatness.{key}",
            reference["flatness"][f"flatness.{key}"],
            [getattr(run, name) for run in runs],
        )


def factored_components(reference: dict) -> Pairs:
    runs = [
        metrics.factored_components(CURVED.__getitem__, SPACE, repeats=128, seed=seed)
        for seed in SEEDS
    ]
    for name in ("axis_ratio", "linear_ratio", "axis_alignment", "axis_ratio_average"):
        key = f"linearity.{name.replace('average', 'ave')}.var"
        yield key, reference["factored_components"][key], [getattr(run, name) for run in runs]


def rank_correlations(reference: dict) -> Pairs:
    runs = [
        metrics.rank_correlations(CURVED.__getitem__, SPACE, repeats=128, seed=seed)
        for seed in SEEDS
    ]
    for key, peer_value in reference["factored_components"].items():
        # Distances between observations are those of `distances`, not of this score.
        if key.startswith("distances.") and "data" not in key:
            _, measure, norm, kind = key.split(".")
            name = measure.replace("_latent", f"_latent_{norm}")
            if kind == "factor":
                # disent takes the geometric mean over factors.
                values = [np.exp(np.log(run.per_factor[name]).mean()) for run in runs]
            else:
                values = [run.overall[name] for run in runs]
            yield key, peer_value, values


DRAWN = (factor_vae, flatness, factored_components, rank_correlations)
