"""Compiled parts of `_boosting`: one round grows one tree per (factor, class), then new residuals.

Imported only where numba is installed. Every function releases the GIL and writes only to the rows
or columns assigned to its caller, so plain threads can share a round. Random numbers are a hash of
(seed, tree, node): the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from vaedis.metrics._inputs import SAME_VALUE

DEPTH = 3
LEARNING_RATE = 0.1
N_INNER = 2**DEPTH - 1
# A node whose residuals vary less than this is a leaf (sklearn/tree/_tree.pyx).
PURE = 2.220446049250313e-16
# scikit-learn's ensemble/_gb.py takes no step in a leaf whose summed hessian is smaller.
FLAT = 1e-150


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
def _shuffle(rank, state):  # type: ignore
    """Fill `rank` with a random order of the features, a fresh one for each node."""
    n = len(rank)
    for i in range(n):
        rank[i] = i
    for i in range(n - 1, 0, -1):
        state = _hash(state)
        j = int(state % np.uint64(i + 1))
        rank[i], rank[j] = rank[j], rank[i]


@_compile
def _best_split(order, values, start, stop, residual, total, inverse, rank, split):  # type: ignore
    """Find the split of samples `start` to `stop` that lowers the squared error most.

    Returns the sum over both children of (sum of residuals)² / count, -inf if no feature varies.
    `split` gets the feature and the size of the left child. Ties go to the feature of lower `rank`,
    and within a feature to the first split.
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
def _node_sums(residual, samples):  # type: ignore
    """Return the sums of a node's residuals, of their squares and of the loss's hessian."""
    total, squares, hessian = 0.0, 0.0, 0.0
    for sample in samples:
        g = residual[sample]
        total += g
        squares += g * g
        # With probability p the residual is 1 - p or -p, so either way this is p (1 - p).
        hessian += abs(g) * (1.0 - abs(g))
    return total, squares, hessian


@_compile
def _partition(order, values, start, middle, stop, goes_right, next_order, next_values):  # type: ignore
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
def _grow_tree(  # type: ignore
    order, values, next_order, next_values, goes_right, residual, raw, inverse, step_size, seed,
    feature, threshold, leaf, importance,
):  # fmt: skip
    """Grow one regression tree on `residual`, level by level, and move `raw` by its leaves.

    Node i has children 2 i + 1 and 2 i + 2. `feature` and `threshold` (N_INNER,) and `leaf`
    (N_INNER + 1,) get the tree at full depth: a leaf higher up is a chain of nodes whose samples
    all go left. `importance` gains each feature's drop in squared error. `next_order`,
    `next_values` and `goes_right` are workspace; see `grow_round`.
    """
    n_features, n = order.shape
    start = np.zeros(2 * N_INNER + 1, np.int64)
    stop = np.zeros(2 * N_INNER + 1, np.int64)
    rank = np.empty(n_features, np.int64)
    split = np.zeros(2, np.int64)
    feature[:] = 0
    threshold[:] = np.inf
    leaf[:] = 0.0
    stop[0] = n
    for level in range(DEPTH + 1):
        for node in range(2**level - 1, 2 ** (level + 1) - 1):
            a, b = start[node], stop[node]
            if a == b:
                continue
            # The deepest samples were not moved: each side of a split is contiguous in the order
            # of the split's feature.
            samples = order[feature[(node - 1) // 2] if level == DEPTH else 0, a:b]
            total, squares, hessian = _node_sums(residual, samples)
            if level < DEPTH and squares / (b - a) - (total / (b - a)) ** 2 > PURE:
                _shuffle(rank, _hash(seed ^ np.uint64(node)))
                best = _best_split(order, values, a, b, residual, total, inverse, rank, split)
                if best > -np.inf:
                    f = split[0]
                    middle = a + split[1]
                    feature[node] = f
                    # Halves first: the sum of two large values could overflow.
                    threshold[node] = values[f, middle - 1] / 2.0 + values[f, middle] / 2.0
                    importance[f] += max(best - total * total * inverse[b - a], 0.0)
                    start[2 * node + 1], stop[2 * node + 1] = a, middle
                    start[2 * node + 2], stop[2 * node + 2] = middle, b
                    continue
            if hessian >= FLAT:
                step = LEARNING_RATE * step_size * total / hessian
                leaf[(node + 1) * 2 ** (DEPTH - level) - N_INNER - 1] = step
                for sample in samples:
                    raw[sample] += step
        if level < DEPTH - 1:
            for node in range(2**level - 1, 2 ** (level + 1) - 1):
                a, middle, b = start[node], stop[2 * node + 1], stop[node]
                if start[2 * node + 1] == middle:
                    continue
                for i in range(a, b):
                    goes_right[order[feature[node], i]] = i >= middle
                _partition(
                    order, values, a, middle, b, goes_right, next_order[level], next_values[level]
                )
            order, values = next_order[level], next_values[level]


@_compile
def grow_round(  # type: ignore
    first, step, order, values, test_columns, inverse, step_sizes, seed,
    residual, raw, raw_test, importance, next_order, next_values, goes_right,
):  # fmt: skip
    """Grow the trees number first, first + step, ... of one round, and move the raw predictions.

    `order` and `values` (z, n) are the samples in ascending order of each latent and its values,
    `test_columns` (z, m) the codes to test on, `inverse` (n + 1,) 1 / i, as divisions are slow.
    `step_sizes` (t,) scale the Newton steps; `residual`, `raw`, `raw_test` and `importance` have a
    row per tree. `next_order`, `next_values` (DEPTH - 1, z, n) and `goes_right` (n,) are workspace.
    """
    feature = np.empty(N_INNER, np.int64)
    threshold = np.empty(N_INNER)
    leaf = np.empty(N_INNER + 1)
    for tree in range(first, len(step_sizes), step):
        _grow_tree(
            order, values, next_order, next_values, goes_right, residual[tree], raw[tree], inverse,
            step_sizes[tree], _hash(seed ^ _hash(np.uint64(tree))), feature, threshold, leaf,
            importance[tree],
        )  # fmt: skip
        for i in range(test_columns.shape[1]):
            node = 0
            for _ in range(DEPTH):
                node = 2 * node + 1 + int(test_columns[feature[node], i] > threshold[node])
            raw_test[tree, i] += leaf[node - N_INNER]


@_compile
def residuals(start, stop, first_tree, n_classes, labels, raw, residual):  # type: ignore
    """Set the residuals, label minus probability, of samples `start` to `stop` for all trees."""
    top = np.empty(stop - start)
    norm = np.empty(stop - start)
    for factor in range(len(n_classes)):
        first = first_tree[factor]
        if n_classes[factor] == 2:
            for i in range(start, stop):
                residual[first, i] = labels[factor, i] - 1.0 / (1.0 + np.exp(-raw[first, i]))
            continue
        # Class by class, since a tree's row is contiguous.
        top[:] = -np.inf
        norm[:] = 0.0
        for tree in range(first, first + n_classes[factor]):
            for i in range(start, stop):
                top[i - start] = max(top[i - start], raw[tree, i])
        for tree in range(first, first + n_classes[factor]):
            for i in range(start, stop):
                residual[tree, i] = np.exp(raw[tree, i] - top[i - start])
                norm[i - start] += residual[tree, i]
        for tree in range(first, first + n_classes[factor]):
            for i in range(start, stop):
                probability = residual[tree, i] / norm[i - start]
                residual[tree, i] = (labels[factor, i] == tree - first) - probability
