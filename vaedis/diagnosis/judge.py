"""The verdict on a factor: what the distances along it say of whether a VAE can find it."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from vaedis.diagnosis.loss_report import FAINT, UNMEASURED
from vaedis.distances import FactorDistances
from vaedis.distances.agreement import EQUAL
from vaedis.distances.result import WithinRank

# Rank correlations within traversals. XYSquares at spacing 4, whose distances stop growing after
# two steps, has 0.85 for its mean matrix.
ORDERED = 0.8
PARTLY = 0.5
# A factor is a circle if its rank correlation with a circle is that much larger.
CIRCLE_GAIN = 0.1
# Mean distances that differ by a smaller share are equal to a reader and to a VAE.
FLAT = 0.01
# What is farther from 0 than so many standard errors is no chance.
_CHANCE = 4
# Fewer independent samples may give any error.
LEAST_INDEPENDENT = 4
# The share of samples in which equal means may be called different.
_LEVEL = 1 / 400
# Neighbours this close to the mean distance say that distances do not grow with steps.
_SATURATED = 0.95


def is_chance(errors: float, freedom: int, n_compared: int) -> bool:
    """Return whether equal means may lie so many standard errors apart by chance.

    That is so unless it happens in fewer than 1 of 400 samples, in any of `n_compared` pairs of
    means. `freedom` is the number of independent samples behind an error, less one. The quantile of
    Student's t is Wallace's approximation (1959). Errors of fewer than four samples tell nothing.
    """
    if freedom < LEAST_INDEPENDENT - 1 or math.isnan(errors):
        return True
    of_normal = NormalDist().inv_cdf(1 - _LEVEL / 2 / n_compared)
    of_normal *= (8 * freedom + 3) / (8 * freedom + 1)
    quantile = math.sqrt(freedom * math.expm1(of_normal**2 / freedom))
    return errors <= quantile


def judge(
    distances: FactorDistances, random_beyond: float, rounding: float = 0.0
) -> tuple[str, str]:
    """Return the verdict on a factor and the reason for it, in a sentence.

    `random_beyond` is as `mean_beyond`, of random pairs; `rounding` is what may be left of 0.
    """
    line = distances.within
    assert line is not None
    equal = EQUAL * max(distances.largest, abs(distances.smallest))
    if distances.beyond <= max(equal, rounding):
        return (
            "invisible",
            "Images that differ in it alone look the same to the loss: no VAE can find it.",
        )
    order_note = ""
    share = distances.mean_beyond / random_beyond if random_beyond else math.nan
    if share < FAINT:
        order_note = (
            f" Its distances are {share:.1%} of those of random pairs: "
            "expect it late, or lost to a large beta."
        )
    if _is_no_farther(distances):
        verdict = "unordered"
        reason = (
            "Images that differ in it alone are no farther apart than images that share all "
            "factors."
        )
    elif len(distances.matrix) == 2:
        verdict = "ordered"
        reason = "It has two values, which need no order."
    elif distances.adversarial or (line.flat and not line.traversals) or _is_flat(distances, line):
        verdict = "adversarial"
        average = "" if distances.adversarial else " on average"
        reason = (
            f"All its values look equally far apart{average} ({distances.mean:.4g}): the loss "
            "tells that it changed, and not by how much."
        )
    elif line.mean is None:
        verdict = UNMEASURED
        order_note = ""
        reason = (
            "no three of its values come together in images that differ in nothing else, which is "
            "what an order takes"
        )
    else:
        verdict, reason = _judge_order(distances, line, line.mean)
    return verdict, reason + order_note


def _judge_order(distances: FactorDistances, line: WithinRank, mean: float) -> tuple[str, str]:
    """Return verdict and reason where there are rank correlations within traversals."""
    circle = distances.within_circle
    assert circle is not None
    best = mean
    shape = "the factor"
    round_mean = circle.mean if len(distances.matrix) > 3 else None
    if round_mean is not None and round_mean > max(mean, 0) + CIRCLE_GAIN:
        best = round_mean
        shape = "a circle"
    if best < PARTLY:
        cause = "values far apart may look closer than neighbours"
        mean_beyond = distances.mean_beyond
        if distances.neighbours - (distances.mean - mean_beyond) > _SATURATED * mean_beyond:
            cause = "neighbours are as far apart as any two values"
        return (
            "unordered",
            f"The rank correlation within traversals is {best:.2f} at best: {cause}.",
        )
    numbers = f"rank correlation {best:.2f} within traversals"
    if line.flat > line.traversals:
        numbers += (
            f", but in {line.flat:,} of {line.flat + line.traversals:,} traversals all values look "
            "equally far apart"
        )
    if line.flat > line.traversals or best < ORDERED:
        return "partly ordered", f"Distances follow {shape} in part ({numbers})."
    if shape == "the factor":
        return "ordered", "Distances follow the factor."
    return (
        "circular",
        f"Distances follow a circle ({best:.2f}) rather than a line ({mean:.2f}), within "
        "traversals.",
    )


def _is_no_farther(distances: FactorDistances) -> bool:
    """Whether images of different values are no farther apart than images of one value, if any.

    So it is if they are farther apart by next to nothing, or by what values dealt out at random may
    give. Of few images that may be much, so that most of a distance is never taken for chance.
    """
    if distances.farther is None:
        return False
    scale = distances.mean_beyond
    chance = min(_CHANCE * distances.farther_error, 0.5 * scale)
    return distances.farther <= max(FLAT * scale, chance)


def _is_flat(distances: FactorDistances, line: WithinRank) -> bool:
    """Whether all mean distances are equal, as far as the measured pairs can tell."""
    mask = ~np.eye(len(distances.matrix), dtype=bool) & (distances.pairs > 0)
    means = distances.matrix[mask]
    of_self = np.broadcast_to(distances.matrix.diagonal(), distances.matrix.shape)[mask]
    mean_beyond = distances.mean_beyond
    error = np.zeros_like(means)
    if not distances.exact or (distances.pairs != distances.traversals).any():
        error = _errors(distances.square_matrix[mask] - means**2, distances.pairs[mask])
    if np.median(error) >= 0.15 * mean_beyond:
        return False
    # means that differ by less than their error may still be in order within each traversal
    is_unordered = line.mean is None or line.mean < PARTLY
    allowed = np.maximum(FLAT * mean_beyond, _CHANCE * error if is_unordered else 0)
    return bool((np.abs(means - of_self - mean_beyond) <= allowed).all())


def _errors(variances: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return standard errors of means; of a single pair, from the variance within all others."""
    variances = variances.clip(min=0)
    known = pairs > 1
    if known.any():
        pooled = (variances * pairs)[known].sum() / (pairs - 1)[known].sum()
        variances = np.where(known, variances, pooled)
    return np.sqrt(variances / pairs)
