"""Claims about the distances of XYSquares, with and without box blur: exact, without any run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vaedis import distances
from vaedis.data import load
from vaedis_companion.claims.base import ORDERED, WHY_ORDERED, Claim, verdict
from vaedis_companion.store import Store


def section_5_1(store: Store) -> Iterator[Claim]:
    """That all distances along a factor are equal."""
    found = {
        name: distances.agreement(m)
        for name, m in distances.traversal_matrices(load("xysquares", grid_spacing=8)).items()
    }
    yield Claim(
        "Section 5.1",
        "On XYSquares all perceived distances along a factor are equal.",
        "all six factors",
        f"{sum(a.adversarial for a in found.values())} of {len(found)} factors",
        "exact",
        "equal to 1 part in 10⁹",
        verdict(all(a.adversarial for a in found.values())),
        "05_adversarial_data#the-data-set",
        why="sums of 64-bit numbers differ in their last digits",
    )


def figure8(store: Store) -> Iterator[Claim]:
    """That distances agree with the ground truth the better, the closer the squares."""
    linear = []
    for spacing in range(1, 9):
        matrix = distances.traversal_matrices(
            load("xysquares", grid_spacing=spacing), factors=["y_R"]
        )["y_R"]
        linear.append(distances.agreement(matrix, self_pairs=True).linear or 0.0)
    yield Claim(
        "Figure 8",
        "The closer the squares, the better perceived distances agree with the ground truth.",
        "rising from spacing 8 to 1",
        f"linear correlation {linear[-1]:.2f} at spacing 8, {linear[0]:.2f} at spacing 1",
        "exact",
        "rises at every step",
        verdict(bool(np.all(np.diff(linear) < 0))),
        "05_adversarial_data#bringing-the-squares-together",
        why="nothing is sampled",
    )


def section_6_1(store: Store) -> Iterator[Claim]:
    """That box blur brings distances into order."""
    found = {
        name: distances.agreement(m)
        for name, m in distances.traversal_matrices(
            load("xysquares", grid_spacing=8), "box-blur"
        ).items()
    }
    ranks = [a.rank or 0.0 for a in found.values()]
    yield Claim(
        "Section 6.1",
        "Box blur brings the distances along the factors of XYSquares into order.",
        "ordered",
        f"rank correlation {min(ranks):.2f} to {max(ranks):.2f} along {len(ranks)} factors",
        "exact",
        f"above {ORDERED} along every factor",
        verdict(min(ranks) > ORDERED),
        "06_changing_the_loss#distances-come-back-into-order",
        WHY_ORDERED,
    )
