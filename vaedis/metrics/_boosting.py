"""Gradient-boosted trees as scikit-learn grows them by default, for all factors at once, and only as
much as DCI needs.

The rule is that of `sklearn.ensemble.GradientBoostingClassifier` 1.9 with default arguments: log
class frequencies to begin with; 100 rounds, each with one tree for each class (one in all for two
classes); trees of depth 3 on the residuals, with exact splits that lower the squared error most and
a random order of features at ties; one Newton step in each leaf, times (K - 1) / K for K > 2
classes, times 0.1. A feature's importance is its share of the summed drops in squared error.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from vaedis._support.cpus import usable_cpus

ROUNDS = 100
BLOCK = 512
# scikit-learn takes two code values this close for one (sklearn/tree/_partitioner.pyx).
SAME_VALUE = np.float32(1e-7)


@dataclass(frozen=True)
class Boosted:
    """Importances (z, f), and the accuracy on the training and test samples of each factor's
    classifier, both (f,).
    """

    importance: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray


def boost(
    codes: np.ndarray,
    labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    seed: int,
) -> Boosted:
    """Fit one classifier for each factor.

    Parameters
    ----------
    codes, test_codes : ndarray of shape (n, z), (m, z), float32
    labels, test_labels : ndarray of shape (n, f), (m, f)
        Classes 0 ... K - 1 of each factor, all of them present in `labels`; -1 in `test_labels` is
        never right.
    seed : int

    Raises
    ------
    ImportError
        If numba is not installed.
    """
    from vaedis.metrics import _boosting_kernel

    n, n_latents = codes.shape
    n_factors = labels.shape[1]
    features = _canonical_features(codes)
    importance = np.zeros((n_latents, n_factors))
    n_classes = labels.max(axis=0) + 1
    trees = np.where(n_classes == 2, 1, n_classes)
    first_tree = np.concatenate([[0], np.cumsum(trees)])
    tree_factor = np.repeat(np.arange(n_factors), trees)
    tree_scale = np.where(n_classes == 2, 1.0, (n_classes - 1) / n_classes)[tree_factor]

    columns = np.ascontiguousarray(codes.T[features], dtype=np.float32)
    test_columns = np.ascontiguousarray(test_codes.T[features], dtype=np.float32)
    order = np.argsort(columns, axis=1, kind="stable").astype(np.uint32)
    values = np.take_along_axis(columns, order, axis=1)
    factor_labels = np.ascontiguousarray(labels.T, dtype=np.int32)
    inverse = np.concatenate([[0.0], 1.0 / np.arange(1, n + 1)])

    start = _prior_predictions(factor_labels, n_classes)
    raw, raw_test = (
        np.repeat(start[:, None], n, axis=1),
        np.repeat(start[:, None], len(test_codes), axis=1),
    )
    residual, tree_importance = np.empty_like(raw), np.zeros((len(tree_scale), len(features)))

    n_workers = min(_n_cores(), len(tree_scale))
    workspaces = [
        (
            np.empty((_boosting_kernel.DEPTH - 1, *order.shape), np.uint32),
            np.empty((_boosting_kernel.DEPTH - 1, *order.shape), np.float32),
            np.empty(n, np.uint8),
        )
        for _ in range(n_workers)
    ]
    cuts = np.linspace(0, n, n_workers + 1).astype(int)
    round_seeds = np.random.SeedSequence(seed).generate_state(ROUNDS, np.uint64)

    def set_residuals(worker: int) -> None:
        for low in range(cuts[worker], cuts[worker + 1], BLOCK):
            high = min(low + BLOCK, cuts[worker + 1])
            _boosting_kernel.residuals(
                low, high, first_tree, n_classes, factor_labels, raw, residual
            )

    with ThreadPoolExecutor(n_workers) as pool:
        for round_seed in round_seeds if len(features) else ():
            list(pool.map(set_residuals, range(n_workers)))

            def grow(worker: int, round_seed: np.uint64 = round_seed) -> None:
                _boosting_kernel.grow_round(
                    worker, n_workers, order, values, test_columns, inverse, tree_scale, round_seed,
                    residual, raw, raw_test, tree_importance, *workspaces[worker],
                )  # fmt: skip

            list(pool.map(grow, range(n_workers)))

    for factor in range(n_factors):
        summed = tree_importance[first_tree[factor] : first_tree[factor + 1]].sum(axis=0)
        importance[features, factor] = summed / summed.sum() if summed.sum() > 0 else 0.0
    return Boosted(
        importance,
        _accuracy(raw, first_tree, n_classes, labels),
        _accuracy(raw_test, first_tree, n_classes, test_labels),
    )


def _n_cores() -> int:
    """How many threads to use: the least of the limits that a process may be given."""
    limits = [usable_cpus(), torch.get_num_threads()]
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        # OpenMP takes a list, one number for each level of nesting.
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            limits.append(int(first))
    return min(limits)


def _canonical_features(codes: np.ndarray) -> np.ndarray:
    """Columns that vary, in an order that depends on their ranks alone.

    The random order of features at ties then follows the content of a latent and not its position,
    so that neither permuting latents, nor stretching one, nor adding a constant one can change what
    is drawn for the others.
    """
    keys = {}
    for j in range(codes.shape[1]):
        distinct, rank = np.unique(codes[:, j], return_inverse=True)
        if len(distinct) > 1:
            keys[j] = rank.astype(">i4").tobytes()
    return np.array(sorted(keys, key=keys.__getitem__), dtype=np.int64)


def _prior_predictions(labels: np.ndarray, n_classes: np.ndarray) -> np.ndarray:
    """Raw prediction that each tree starts from: log odds for two classes, else centred log
    frequencies.
    """
    start = []
    for y, k in zip(labels, n_classes, strict=True):
        log_prior = np.log(np.bincount(y, minlength=k) / len(y))
        start.append([log_prior[1] - log_prior[0]] if k == 2 else log_prior - log_prior.mean())
    return np.concatenate(start)


def _accuracy(
    raw: np.ndarray, first_tree: np.ndarray, n_classes: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    right = []
    for factor, k in enumerate(n_classes):
        predictions = raw[first_tree[factor] : first_tree[factor + 1]]
        predicted = predictions[0] >= 0 if k == 2 else predictions.argmax(axis=0)
        right.append(np.mean(predicted == labels[:, factor]))
    return np.array(right)
