"""Gradient-boosted trees by scikit-learn's default rule, for all factors at once.

The rule is that of `sklearn.ensemble.GradientBoostingClassifier` 1.9: start from log class
frequencies; 100 rounds, each with one tree per class (one in all for two classes); trees of depth 3
on the residuals, with exact splits that lower the squared error most and a random order of features
at ties; one Newton step in each leaf, times (K - 1) / K for K > 2 classes, times 0.1. A feature's
importance is its share of the summed drops in squared error.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vaedis._support.cpus import usable_cpus
from vaedis.metrics._inputs import require

ROUNDS = 100
# Samples whose residuals are made at a time, which then stay in the cache.
BLOCK = 512


@dataclass(frozen=True)
class Boosted:
    """Importances (z, f), and the accuracy of each factor's classifier, both (f,)."""

    importance: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray


class _Trees:
    """Which trees belong to which factor: one for each class, but one for two classes."""

    def __init__(self, labels: np.ndarray):
        self.n_classes = labels.max(axis=0) + 1
        counts = np.where(self.n_classes == 2, 1, self.n_classes)
        self.first = np.concatenate([[0], np.cumsum(counts)])
        step_sizes = np.where(self.n_classes == 2, 1.0, (self.n_classes - 1) / self.n_classes)
        self.step_sizes = np.repeat(step_sizes, counts)

    def of(self, factor: int) -> slice:
        """Return the trees of a factor."""
        return slice(self.first[factor], self.first[factor + 1])


def boost(
    codes: np.ndarray,
    labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    seed: int,
) -> Boosted:
    """Fit one classifier per factor to float32 codes (n, z) and labels (n, f).

    Labels are 0 ... K - 1, each present in `labels`; -1 in `test_labels` is never right.
    """
    require("numba", "dci")
    from vaedis.metrics import _boosting_kernel as kernel

    n = len(codes)
    trees = _Trees(labels)
    features = _canonical_features(codes)
    columns = np.ascontiguousarray(codes.T[features], dtype=np.float32)
    test_columns = np.ascontiguousarray(test_codes.T[features], dtype=np.float32)
    order = np.argsort(columns, axis=1, kind="stable").astype(np.uint32)
    values = np.take_along_axis(columns, order, axis=1)
    factor_labels = np.ascontiguousarray(labels.T, dtype=np.int32)
    inverse = np.concatenate([[0.0], 1.0 / np.arange(1, n + 1)])
    start = _prior_predictions(factor_labels, trees.n_classes)
    raw = np.repeat(start[:, None], n, axis=1)
    raw_test = np.repeat(start[:, None], len(test_codes), axis=1)
    residual = np.empty_like(raw)
    gains = np.zeros((len(start), len(features)))

    n_workers = min(_n_threads(), len(start))
    workspaces = [_workspace(order.shape, kernel.DEPTH) for _ in range(n_workers)]
    cuts = np.linspace(0, n, n_workers + 1).astype(int)

    # A worker owns a part of the samples while residuals are made, and every n-th tree otherwise.
    def set_residuals(worker: int) -> None:
        for low in range(cuts[worker], cuts[worker + 1], BLOCK):
            high = min(low + BLOCK, cuts[worker + 1])
            kernel.residuals(low, high, trees.first, trees.n_classes, factor_labels, raw, residual)

    def grow(worker: int, round_seed: np.uint64) -> None:
        kernel.grow_round(
            worker, n_workers, order, values, test_columns, inverse, trees.step_sizes, round_seed,
            residual, raw, raw_test, gains, *workspaces[worker],
        )  # fmt: skip

    # Without a latent that varies, there is nothing to grow.
    n_rounds = ROUNDS if len(features) else 0
    with ThreadPoolExecutor(n_workers) as pool:
        for round_seed in np.random.SeedSequence(seed).generate_state(n_rounds, np.uint64):
            list(pool.map(set_residuals, range(n_workers)))
            list(pool.map(grow, range(n_workers), [round_seed] * n_workers))

    importance = np.zeros((codes.shape[1], labels.shape[1]))
    for factor in range(labels.shape[1]):
        summed = gains[trees.of(factor)].sum(axis=0)
        importance[features, factor] = summed / summed.sum() if summed.sum() > 0 else 0.0
    return Boosted(
        importance, _accuracy(raw, trees, labels), _accuracy(raw_test, trees, test_labels)
    )


def _workspace(shape: tuple[int, ...], depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the arrays that one worker needs to grow a tree."""
    next_order = np.empty((depth - 1, *shape), np.uint32)
    next_values = np.empty((depth - 1, *shape), np.float32)
    goes_right = np.empty(shape[1], np.uint8)
    return next_order, next_values, goes_right


def _n_threads() -> int:
    """Return how many threads to use: the least of the limits set for the process."""
    limits = [usable_cpus(), torch.get_num_threads()]
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        # OpenMP takes a list, one number for each level of nesting.
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            limits.append(int(first))
    return min(limits)


def _canonical_features(codes: np.ndarray) -> np.ndarray:
    """Return the columns that vary, in an order that depends on their ranks only.

    The random order at ties then follows a latent's content, not its position: neither permuting
    latents, nor stretching one, nor adding a constant one changes the random numbers of the others.
    """
    keys: dict[int, Any] = {}
    for j in range(codes.shape[1]):
        distinct, rank = np.unique(codes[:, j], return_inverse=True)
        if len(distinct) > 1:
            keys[j] = rank.astype(">i4").tobytes()
    return np.array(sorted(keys, key=keys.__getitem__), dtype=np.int64)


def _prior_predictions(labels: np.ndarray, n_classes: np.ndarray) -> np.ndarray:
    """Return each tree's first raw prediction: log odds, or centred log class frequencies."""
    start = []
    for y, k in zip(labels, n_classes, strict=True):
        log_prior = np.log(np.bincount(y, minlength=k) / len(y))
        start.append([log_prior[1] - log_prior[0]] if k == 2 else log_prior - log_prior.mean())
    return np.concatenate(start)


def _accuracy(raw: np.ndarray, trees: _Trees, labels: np.ndarray) -> np.ndarray:
    """Return the share of samples that each factor's raw predictions get right."""
    accuracies = []
    for factor, k in enumerate(trees.n_classes):
        predictions = raw[trees.of(factor)]
        predicted = predictions[0] >= 0 if k == 2 else predictions.argmax(axis=0)
        accuracies.append(np.mean(predicted == labels[:, factor]))
    return np.array(accuracies)
