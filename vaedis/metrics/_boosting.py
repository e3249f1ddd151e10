"""Gradient-boosted trees by scikit-learn's default rule, compiled, for all factors at once.

The rule is that of `sklearn.ensemble.GradientBoostingClassifier` 1.9: start from log class
frequencies; 100 rounds, each with one tree per class (one in all for two classes); trees of depth 3
on the residuals, with exact splits that lower the squared error most and a random order of features
at ties; one Newton step in each leaf, times (K - 1) / K for K > 2 classes, times 0.1. A feature's
importance is its share of the summed drops in squared error. It takes a thirtieth of the time.

Imported only where numba is installed. Compiled functions release the GIL and write only to the
rows of their own tree or factor, so plain threads share a round. Random numbers are a hash of
(seed, tree, node): the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch

from vaedis._support.cpus import usable_cpus

ROUNDS = 100
# Values this close are one to scikit-learn's trees (sklearn/tree/_partitioner.pyx).
SAME_VALUE = np.float32(1e-7)
_DEPTH = 3
_LEARNING_RATE = 0.1
_N_INNER = 2**_DEPTH - 1
# A node whose residuals vary less than this is a leaf (sklearn/tree/_tree.pyx).
_PURE = 2.220446049250313e-16
# scikit-learn's ensemble/_gb.py takes no step in a leaf whose summed hessian is smaller.
_FLAT = 1e-150


def boost(
    codes: np.ndarray,
    labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit one classifier per factor to float32 codes (n, z) and labels (n, f) of 0 ... K - 1.

    Returns importances (z, f), and accuracies (f,) on both samples; a test label -1 is wrong.
    """
    n, n_factors = labels.shape
    n_classes = labels.max(axis=0) + 1
    n_trees = np.where(n_classes == 2, 1, n_classes)
    stop = np.cumsum(n_trees)
    trees = [slice(last - count, last) for last, count in zip(stop, n_trees, strict=True)]
    step_sizes = np.repeat(np.where(n_classes == 2, 1.0, (n_classes - 1) / n_classes), n_trees)
    features = _canonical_features(codes)
    columns = np.ascontiguousarray(codes.T[features])
    test_columns = np.ascontiguousarray(test_codes.T[features])
    order = np.argsort(columns, axis=1, kind="stable").astype(np.uint32)
    values = np.take_along_axis(columns, order, axis=1)
    inverse = np.concatenate([[0.0], 1.0 / np.arange(1, n + 1)])
    start = np.concatenate([_prior(y) for y in labels.T])
    raw = np.repeat(start[:, None], n, axis=1)
    raw_test = np.repeat(start[:, None], len(test_codes), axis=1)
    residual = np.empty_like(raw)
    gains = np.zeros((len(start), len(features)))
    factor_labels = np.ascontiguousarray(labels.T)

    def set_residuals(factor: int) -> None:
        _residuals(factor_labels[factor], raw[trees[factor]], residual[trees[factor]])

    def grow(tree: int, round_seed: np.uint64) -> None:
        _boost_tree(
            order, values, test_columns, inverse, step_sizes[tree], round_seed, tree,
            residual[tree], raw[tree], raw_test[tree], gains[tree],
        )  # fmt: skip

    # Without a latent that varies, there is nothing to grow.
    n_rounds = ROUNDS if len(features) else 0
    n_threads = min(usable_cpus(), torch.get_num_threads())
    with ThreadPoolExecutor(n_threads) as pool:

        def in_threads(function: Callable[..., None], n: int, *also: Any) -> None:
            """Call a function for each number below n, every thread for a share of them."""

            def for_share(first: int) -> None:
                for i in range(first, n, n_threads):
                    function(i, *also)

            list(pool.map(for_share, range(n_threads)))

        for round_seed in np.random.SeedSequence(seed).generate_state(n_rounds, np.uint64):
            in_threads(set_residuals, n_factors)
            in_threads(grow, len(start), round_seed)

    importance = np.zeros((codes.shape[1], n_factors))
    for factor, own in enumerate(trees):
        summed = gains[own].sum(axis=0)
        importance[features, factor] = summed / summed.sum() if summed.sum() > 0 else 0.0
    return (
        importance,
        np.array([_accuracy(raw[own], y) for own, y in zip(trees, labels.T, strict=True)]),
        np.array(
            [_accuracy(raw_test[own], y) for own, y in zip(trees, test_labels.T, strict=True)]
        ),
    )


def _canonical_features(codes: np.ndarray) -> np.ndarray:
    """Return the columns that vary, in an order that depends on their ranks only.

    So permuting or stretching latents does not change the random order at ties of the others.
    """
    keys: dict[int, Any] = {}
    for j in range(codes.shape[1]):
        distinct, rank = np.unique(codes[:, j], return_inverse=True)
        if len(distinct) > 1:
            keys[j] = rank.astype(">i4").tobytes()
    return np.array(sorted(keys, key=keys.__getitem__), dtype=np.int64)


def _prior(labels: np.ndarray) -> np.ndarray:
    """Return each tree's first raw prediction: log odds, or centred log class frequencies."""
    log_prior = np.log(np.bincount(labels) / len(labels))
    if len(log_prior) == 2:
        return log_prior[1:] - log_prior[:1]
    return log_prior - log_prior.mean()


def _accuracy(raw: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of samples that one factor's raw predictions get right."""
    predicted = raw[0] >= 0 if len(raw) == 1 else raw.argmax(axis=0)
    return float(np.mean(predicted == labels))


def _compile(function: Callable[..., Any]) -> Any:
    """Compile a function, cached on disk if numba finds a folder it may write to."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@_compile
def _hash(state: np.uint64) -> np.uint64:
    """SplitMix64: one well-mixed 64-bit number for each state."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@_compile
def _shuffle(rank, state):  # type: ignore[no-untyped-def]
    """Fill `rank` with a random order of the features, a fresh one for each node."""
    n = len(rank)
    for i in range(n):
        rank[i] = i
    for i in range(n - 1, 0, -1):
        state = _hash(state)
        j = int(state % np.uint64(i + 1))
        rank[i], rank[j] = rank[j], rank[i]


@_compile
def _residuals(labels, raw, residual):  # type: ignore[no-untyped-def]
    """Set the residuals, label minus probability, of one factor's trees (k, n)."""
    k, n = raw.shape
    if k == 1:
        for i in range(n):
            residual[0, i] = labels[i] - 1.0 / (1.0 + np.exp(-raw[0, i]))
        return
    top = np.full(n, -np.inf)
    norm = np.zeros(n)
    # Class by class, since a tree's row is contiguous.
    for tree in range(k):
        for i in range(n):
            top[i] = max(top[i], raw[tree, i])
    for tree in range(k):
        for i in range(n):
            residual[tree, i] = np.exp(raw[tree, i] - top[i])
            norm[i] += residual[tree, i]
    for tree in range(k):
        for i in range(n):
            residual[tree, i] = (labels[i] == tree) - residual[tree, i] / norm[i]


@_compile
def _best_split(  # type: ignore[no-untyped-def]
    order, values, start, stop, residual, total, inverse, rank, split
):
    """Find the split of samples `start` to `stop` that lowers the squared error most.

    Returns the sum over both children of (sum of residuals)² / count; -inf if no feature varies.
    """
    best = -np.inf
    n = stop - start
    for feature in range(len(order)):
        samples = order[feature, start:stop]
        ordered = values[feature, start:stop]
        left = 0.0
        for i in range(n - 1):
            left += residual[samples[i]]
            if ordered[i + 1] > ordered[i] + SAME_VALUE:
                right = total - left
                gain = left * left * inverse[i + 1] + right * right * inverse[n - 1 - i]
                # One comparison nearly always decides; what follows is rare.
                if gain >= best and (gain > best or rank[feature] < rank[split[0]]):
                    best = gain
                    split[0] = feature
                    split[1] = i + 1
    return best


@_compile
def _partition(  # type: ignore[no-untyped-def]
    order, values, start, middle, stop, goes_right, next_order, next_values
):
    """Copy samples `start` to `stop`, the left side first, each in the order of each feature."""
    for feature in range(len(order)):
        samples, ordered = order[feature], values[feature]
        next_samples, next_ordered = next_order[feature], next_values[feature]
        left = np.uint64(start)
        right = np.uint64(middle)
        for i in range(start, stop):
            side = np.uint64(goes_right[samples[i]])
            target = right if side else left
            next_samples[target] = samples[i]
            next_ordered[target] = ordered[i]
            right += side
            left += np.uint64(1) - side


@_compile
def _grow_tree(  # type: ignore[no-untyped-def]
    order, values, residual, raw, inverse, step_size, seed, feature, threshold, leaf, gains
):  # fmt: skip
    """Grow one regression tree on `residual`, level by level, and move `raw` by its leaves.

    The tree has full depth: a leaf higher up is a chain of nodes whose samples all go left.
    """
    n_features, n = order.shape
    start = np.zeros(2 * _N_INNER + 1, np.int64)
    stop = np.zeros(2 * _N_INNER + 1, np.int64)
    rank = np.empty(n_features, np.int64)
    split = np.zeros(2, np.int64)
    goes_right = np.empty(n, np.uint8)
    stop[0] = n
    for level in range(_DEPTH + 1):
        for node in range(2**level - 1, 2 ** (level + 1) - 1):
            a, b = start[node], stop[node]
            if a == b:
                continue
            # The deepest samples were not moved: each side of a split is contiguous in the order
            # of the split's feature.
            samples = order[feature[(node - 1) // 2] if level == _DEPTH else 0, a:b]
            total, squares, hessian = 0.0, 0.0, 0.0
            for sample in samples:
                g = residual[sample]
                total += g
                squares += g * g
                # With probability p the residual is 1 - p or -p: either way this is p (1 - p).
                hessian += abs(g) * (1.0 - abs(g))
            if level < _DEPTH and squares / (b - a) - (total / (b - a)) ** 2 > _PURE:
                _shuffle(rank, _hash(seed ^ np.uint64(node)))
                best = _best_split(order, values, a, b, residual, total, inverse, rank, split)
                if best > -np.inf:
                    f = split[0]
                    middle = a + split[1]
                    feature[node] = f
                    # Halves first: the sum of two large values could overflow.
                    threshold[node] = values[f, middle - 1] / 2.0 + values[f, middle] / 2.0
                    gains[f] += max(best - total * total * inverse[b - a], 0.0)
                    start[2 * node + 1], stop[2 * node + 1] = a, middle
                    start[2 * node + 2], stop[2 * node + 2] = middle, b
                    continue
            if hessian >= _FLAT:
                step = _LEARNING_RATE * step_size * total / hessian
                leaf[(node + 1) * 2 ** (_DEPTH - level) - _N_INNER - 1] = step
                for sample in samples:
                    raw[sample] += step
        if level < _DEPTH - 1:
            next_order = np.empty_like(order)
            next_values = np.empty_like(values)
            for node in range(2**level - 1, 2 ** (level + 1) - 1):
                a, middle, b = start[node], stop[2 * node + 1], stop[node]
                if start[2 * node + 1] == middle:
                    continue
                for i in range(a, b):
                    goes_right[order[feature[node], i]] = i >= middle
                _partition(order, values, a, middle, b, goes_right, next_order, next_values)
            order, values = next_order, next_values


@_compile
def _boost_tree(  # type: ignore[no-untyped-def]
    order, values, test_columns, inverse, step_size, seed, tree, residual, raw, raw_test, gains
):  # fmt: skip
    """Grow one tree of a round, and move the raw predictions (n,) and (m,) by it.

    `order` and `values` are (z, n), `test_columns` (z, m); `inverse` is 1 / i, of (n + 1,).
    """
    feature = np.zeros(_N_INNER, np.int64)
    threshold = np.full(_N_INNER, np.inf)
    leaf = np.zeros(_N_INNER + 1)
    state = _hash(seed ^ _hash(np.uint64(tree)))
    _grow_tree(
        order, values, residual, raw, inverse, step_size, state, feature, threshold, leaf, gains
    )
    for i in range(test_columns.shape[1]):
        node = 0
        for _ in range(_DEPTH):
            node = 2 * node + 1 + int(test_columns[feature[node], i] > threshold[node])
        raw_test[i] += leaf[node - _N_INNER]
