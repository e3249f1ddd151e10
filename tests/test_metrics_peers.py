"""Agreement with scikit-learn, run here, and with disent 0.8.0, whose scores of the same codes `benchmarks/peer_metrics.py` stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from metric_codes import DCI_SETS, GRID, MIG_SETS, curved_code, mig_set, mixed_codes, turned_code

from vaedis import FactorSpace, metrics
from vaedis.metrics import _sap

REFERENCE = json.loads(Path(__file__).with_name("reference_metrics.json").read_text())
SPACE = FactorSpace(("a", "b", "c"), GRID)


def dci_set(mix: float, noise: float):
    codes, factors = mixed_codes(800, (4, 4, 4, 4), 6, mix, noise)
    return (codes[:600], factors[:600]), (codes[600:], factors[600:])


def curved(index: torch.Tensor) -> np.ndarray:
    return curved_code(SPACE.to_factors(index).numpy())


def turned(index: torch.Tensor) -> np.ndarray:
    return turned_code(SPACE.to_factors(index).numpy())


@pytest.mark.parametrize("name", MIG_SETS)
def test_mig_is_that_of_disent(name):
    stored = {entry["set"]: entry["score"] for entry in REFERENCE["mig"]}
    assert float(metrics.mig(*mig_set(name), floor_repeats=0)) == pytest.approx(stored[name], abs=1e-9)


@pytest.mark.parametrize(("mix", "noise"), DCI_SETS)
def test_dci_is_that_of_scikit_learn(mix, noise):
    train, test = dci_set(mix, noise)
    ours, theirs = metrics.dci(*train, test=test), metrics.dci(*train, test=test, estimator="sklearn")
    assert abs(ours.disentanglement - theirs.disentanglement) <= 0.005
    assert abs(ours.completeness - theirs.completeness) <= 0.005
    assert abs(ours.informativeness - theirs.informativeness) <= 0.01
    np.testing.assert_allclose(ours.importance, theirs.importance, atol=0.01)


def test_dci_lies_within_disents_range_over_seeds():
    """Not further from the mean of its five seeds than those are from each other, on average over the sets."""
    for key in ("disentanglement", "completeness"):
        offsets, ranges = [], []
        for entry in REFERENCE["dci"]:
            train, test = dci_set(*entry["set"])
            theirs = [run[key] for run in entry["seeds"]]
            ours = np.mean([getattr(metrics.dci(*train, test=test, seed=seed), key) for seed in range(3)])
            offsets.append(abs(ours - np.mean(theirs)))
            ranges.append(np.ptp(theirs))
        assert np.mean(offsets) <= np.mean(ranges)
        assert np.max(offsets) <= 0.005


def test_the_sets_cover_the_range():
    means = [np.mean([run["disentanglement"] for run in entry["seeds"]]) for entry in REFERENCE["dci"]]
    assert len(means) == 6
    assert min(means) < 0.1
    assert max(means) > 0.89


@pytest.mark.parametrize(("mix", "noise"), DCI_SETS)
def test_sap_is_that_of_disent(mix, noise):
    train, test = dci_set(mix, noise)
    stored = {tuple(entry["set"]): entry["score"] for entry in REFERENCE["sap"]}
    # liblinear stops at a tolerance, so a test sample at the border may fall on the other side: 1 / 200 for one factor of 4.
    assert float(metrics.sap(*train, test=test)) == pytest.approx(stored[mix, noise], abs=0.0026)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_support_vector_machine_is_that_of_liblinear(n_classes):
    from sklearn.svm import LinearSVC

    generator = np.random.Generator(np.random.PCG64(5))
    x = generator.standard_normal(400)
    labels = np.clip(np.round(x + generator.standard_normal(400) + n_classes / 2 - 0.9), 0, n_classes - 1).astype(int)
    peer = LinearSVC(C=0.01, class_weight="balanced", tol=1e-10, max_iter=100_000).fit(x[:, None], labels)
    slope, intercept = _sap._fit(x, labels, n_classes)
    np.testing.assert_allclose(slope, peer.coef_[:, 0], atol=1e-6)
    np.testing.assert_allclose(intercept, peer.intercept_, atol=1e-6)


def test_factor_vae_is_that_of_disent_within_sampling_error():
    theirs = REFERENCE["factor_vae"]["factor_vae.eval_accuracy"]
    options = {"n_train": 700, "n_eval": 350, "n_variance": 1000}
    ours = [float(metrics.factor_vae(turned, SPACE, **options, seed=seed)) for seed in range(5)]
    # Five runs of 350 votes each, on both sides: three standard errors of the difference.
    share = np.mean(theirs)
    assert abs(np.mean(ours) - share) < 3 * np.sqrt(2 * share * (1 - share) / (5 * 350))


def test_flatness_is_that_of_disent_within_sampling_error():
    theirs = REFERENCE["flatness"]
    ours = [metrics.flatness(curved, SPACE, repeats=128, seed=seed) for seed in range(5)]
    for name, key in (("score", "ave_flatness"), ("flatness_l1", "ave_flatness_l1"), ("flatness_l2", "ave_flatness_l2")):
        assert_same_mean([getattr(result, name) for result in ours], theirs[f"flatness.{key}"])


def test_factored_components_are_those_of_disent_within_sampling_error():
    theirs = REFERENCE["factored_components"]
    ours = [metrics.factored_components(curved, SPACE, repeats=128, seed=seed) for seed in range(5)]
    for name in ("axis_ratio", "linear_ratio", "axis_alignment"):
        assert_same_mean([getattr(result, name) for result in ours], theirs[f"linearity.{name}.var"])
    assert_same_mean([result.axis_ratio_average for result in ours], theirs["linearity.axis_ratio_ave.var"])


def test_rank_correlations_are_those_of_disent_within_sampling_error():
    theirs = REFERENCE["factored_components"]

    def observe(index: torch.Tensor) -> torch.Tensor:
        return SPACE.to_factors(index).float()

    ours = [metrics.rank_correlations(curved, SPACE, observe=observe, repeats=128, pool="geometric", seed=seed) for seed in range(5)]
    names = [name for name in theirs if name.startswith("distances.")]
    assert len(names) == 30
    for name in names:
        _, measure, *norm, kind = name.split(".")
        key = measure.replace("_latent", f"_latent_{norm[0]}") if norm else measure
        assert_same_mean([(run.along_factors if kind == "factor" else run.overall)[key] for run in ours], theirs[name])


def assert_same_mean(ours: list[float], theirs: list[float]) -> None:
    """Student's t of five runs each below 5, which chance exceeds once in a thousand."""
    error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 5)
    # disent works in single precision.
    assert abs(np.mean(ours) - np.mean(theirs)) < max(5 * error, 1e-6)
