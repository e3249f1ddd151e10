"""Compiled parts of `_boosting`: one round grows one tree for each (factor, class), then the residuals are made anew.

Imported only where numba is installed. Every function releases the GIL and writes only to the rows or columns that its
caller assigned to it, so that plain threads can share a round. Randomness is a hash of (seed, tree, node), hence the
result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

DEPTH = 3
LEARNING_RATE = 0.1
N_NODES = 2 ** (DEPTH + 1) - 1
# Two code values this close are one value, and a node whose residuals vary less than this is a leaf: scikit-learn's
# constants (sklearn/tree/_partitioner.pyx and _tree.pyx).
SAME_VALUE = np.float32(1e-7)
PURE = 2.220446049250313e-16
# scikit-learn's ensemble/_gb.py takes no step in a leaf whose summed hessian is smaller.
FLAT = 1e-150


def _compile(function: Callable[..., Any]) -> Any:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        # numba finds no folder that it may write its cache to, as on a read-only installation.
        return numba.njit(nogil=True)(function)


@_compile
def _hash(state: np.uint64) -> np.uint64:
    """SplitMix64: one well-mixed 64-bit number for each state."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@_compile
def _best_splits(order, values, residual, slot, n_slots, total, count, inverse, rank, best_gain, split):  # type: ignore
    """Find the split of each open node with the largest drop in squared error.

    Features are scanned in ascending order of value, all open nodes at once. Of features that tie, the one with the
    lower `rank` in that node wins, and within a feature the first split. `best_gain` (n_slots,) gets the sum over both
    children of (sum of residuals)^2 / count, -inf if no feature varies; `split` (n_slots, 5) gets the feature, the
    largest value on the left, the smallest on the right, and the left child's sum and count.
    """
    n_features, n = order.shape
    left, n_left, last = np.empty(n_slots), np.empty(n_slots, np.int64), np.empty(n_slots, np.float32)
    for node in range(n_slots):
        best_gain[node] = -np.inf
    for feature in range(n_features):
        for node in range(n_slots):
            left[node], n_left[node], last[node] = 0.0, 0, np.inf
        for i in range(n):
            sample = order[feature, i]
            node = slot[sample]
            if node < 0:
                continue
            value = values[feature, i]
            if value > last[node] + SAME_VALUE:
                right = total[node] - left[node]
                k = n_left[node]
                gain = left[node] * left[node] * inverse[k] + right * right * inverse[count[node] - k]
                if gain > best_gain[node] or (
                    gain == best_gain[node] and rank[node, feature] < rank[node, int(split[node, 0])]
                ):
                    best_gain[node] = gain
                    split[node, 0] = feature
                    split[node, 1] = last[node]
                    split[node, 2] = value
                    split[node, 3] = left[node]
                    split[node, 4] = k
            left[node] += residual[sample]
            n_left[node] += 1
            last[node] = value


@_compile
def _best_root_split(order, values, residual, total, inverse, rank, best_gain, split):  # type: ignore
    """`_best_splits` for the root alone, whose running sums fit into registers."""
    n_features, n = order.shape
    best = -np.inf
    for feature in range(n_features):
        left = 0.0
        for i in range(n - 1):
            left += residual[order[feature, i]]
            if values[feature, i + 1] > values[feature, i] + SAME_VALUE:
                right = total - left
                gain = left * left * inverse[i + 1] + right * right * inverse[n - 1 - i]
                if gain > best or (gain == best and rank[0, feature] < rank[0, int(split[0, 0])]):
                    best = gain
                    split[0, 0] = feature
                    split[0, 1] = values[feature, i]
                    split[0, 2] = values[feature, i + 1]
                    split[0, 3] = left
                    split[0, 4] = i + 1
    best_gain[0] = best


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
def _grow_tree(order, values, columns, residual, inverse, seed, feature, threshold, node_of, importance):  # type: ignore
    """Grow one regression tree on `residual`, level by level, and add each feature's drop in squared error.

    `feature` and `threshold` (N_NODES,) get the tree, with -1 for a leaf; `node_of` (n,) the leaf of each sample. Node
    i has children 2 i + 1 and 2 i + 2.
    """
    n_features, n = order.shape
    node_of[:] = 0
    feature[:] = -1
    slot = np.zeros(n, np.int8)
    node_slot = np.full(N_NODES, -1, np.int64)
    total, count = np.zeros(N_NODES), np.zeros(N_NODES, np.int64)
    rank = np.empty((2 ** (DEPTH - 1), n_features), np.int64)
    best_gain, split = np.empty(2 ** (DEPTH - 1)), np.zeros((2 ** (DEPTH - 1), 5))
    open_node = np.empty(2 ** (DEPTH - 1), np.int64)
    open_total, open_count = np.empty(2 ** (DEPTH - 1)), np.empty(2 ** (DEPTH - 1), np.int64)
    squares = np.zeros(N_NODES)
    for i in range(n):
        total[0] += residual[i]
        squares[0] += residual[i] * residual[i]
    count[0] = n

    for level in range(DEPTH):
        n_open = 0
        for node in range(2**level - 1, 2 ** (level + 1) - 1):
            node_slot[node] = -1
            if count[node] >= 2 and squares[node] / count[node] - (total[node] / count[node]) ** 2 > PURE:
                node_slot[node] = n_open
                open_node[n_open], open_total[n_open], open_count[n_open] = node, total[node], count[node]
                _shuffle(rank[n_open], _hash(seed ^ np.uint64(node)))
                n_open += 1
        if n_open == 0:
            break
        if level == 0:
            _best_root_split(order, values, residual, total[0], inverse, rank, best_gain, split)
        else:
            for i in range(n):
                slot[i] = node_slot[node_of[i]]
            _best_splits(order, values, residual, slot, n_open, open_total, open_count, inverse, rank, best_gain, split)
        n_split = 0
        for s in range(n_open):
            if best_gain[s] == -np.inf:
                continue
            n_split += 1
            node, left, right = open_node[s], 2 * open_node[s] + 1, 2 * open_node[s] + 2
            feature[node] = int(split[s, 0])
            # Halves first: the sum of two large values could overflow.
            threshold[node] = split[s, 1] / 2.0 + split[s, 2] / 2.0
            total[left], count[left] = split[s, 3], int(split[s, 4])
            total[right], count[right] = total[node] - total[left], count[node] - count[left]
            importance[feature[node]] += max(best_gain[s] - total[node] ** 2 * inverse[count[node]], 0.0)
        if n_split == 0:
            break
        for i in range(n):
            node = node_of[i]
            if node >= 2**level - 1 and feature[node] >= 0:
                node = 2 * node + 1 + int(columns[feature[node], i] > threshold[node])
                node_of[i] = node
                squares[node] += residual[i] * residual[i]


@_compile
def grow_round(  # type: ignore
    first, step, order, values, columns, test_columns, labels, inverse,
    tree_factor, tree_class, tree_scale, seed, residual, raw, raw_test, importance,
):  # fmt: skip
    """Grow the trees number first, first + step, ... of one round, and move the raw predictions by each.

    Parameters
    ----------
    order, values : (z, n) int32, float32
        Samples in ascending order of each latent, and its values in that order.
    columns, test_columns : (z, n), (z, m) float32
        Codes to train and to test on.
    labels : (f, n) int32
    inverse : (n + 1,) float64
        1 / i, since a division for each candidate split would take longer than everything else.
    tree_factor, tree_class, tree_scale : (t,)
        Factor and class of each tree, and the scale of its Newton steps.
    residual, raw, raw_test : (t, n), (t, n), (t, m) float64
    importance : (t, z) float64
        Summed drop in squared error.
    """
    n, n_test = columns.shape[1], test_columns.shape[1]
    feature, threshold = np.empty(N_NODES, np.int64), np.empty(N_NODES)
    node_of = np.empty(n, np.int8)
    for tree in range(first, len(tree_factor), step):
        _grow_tree(
            order, values, columns, residual[tree], inverse, _hash(seed ^ _hash(np.uint64(tree))),
            feature, threshold, node_of, importance[tree],
        )  # fmt: skip
        gradient, hessian = np.zeros(N_NODES), np.zeros(N_NODES)
        for i in range(n):
            size = abs(residual[tree, i])
            gradient[node_of[i]] += residual[tree, i]
            # With probability p the residual is 1 - p or -p, so either way this is p (1 - p).
            hessian[node_of[i]] += size * (1.0 - size)
        leaf = np.zeros(N_NODES)
        for node in range(N_NODES):
            if hessian[node] >= FLAT:
                leaf[node] = LEARNING_RATE * tree_scale[tree] * gradient[node] / hessian[node]
        for i in range(n):
            raw[tree, i] += leaf[node_of[i]]
        for i in range(n_test):
            node = 0
            while feature[node] >= 0:
                node = 2 * node + 1 + int(test_columns[feature[node], i] > threshold[node])
            raw_test[tree, i] += leaf[node]


@_compile
def residuals(start, stop, first_tree, n_classes, labels, raw, residual):  # type: ignore
    """Set the residuals, label minus probability, of samples `start` to `stop` for the trees of all factors."""
    top, norm = np.empty(stop - start), np.empty(stop - start)
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
                residual[tree, i] = (labels[factor, i] == tree - first) - residual[tree, i] / norm[i - start]
