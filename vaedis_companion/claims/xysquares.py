"""Claims about the distances of XYSquares, with and without box blur: exact, without any run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vaedis import distances
from vaedis.data import load
from vaedis_companion.claims.base import (
    BLUR,
    CONSTANT,
    ORDERED,
    WHY_ORDERED,
    Claim,
    Provenance,
    Value,
    claim,
)
from vaedis_companion.store import Store

EXACT = Provenance("exact")


def _agreements(loss: str) -> list[distances.Agreement]:
    matrices = distances.traversal_matrices(load("xysquares", grid_spacing=8), loss)
    return [distances.agreement(matrix) for matrix in matrices.values()]


@claim("Section 5.1", step=CONSTANT)
def section_5_1(store: Store) -> Iterator[Claim]:
    """That all distances along a factor are equal."""
    agreements = _agreements("mse")
    adversarial = sum(agreement.adversarial for agreement in agreements)
    numbers = {"adversarial": adversarial, "factors": len(agreements)}
    yield Claim(
        where="Section 5.1",
        statement="On XYSquares all perceived distances along a factor are equal.",
        published="all six factors",
        ours=Value("{adversarial} of {factors} factors", numbers),
        provenance=EXACT,
        tolerance="equal to 1 part in 10⁹",
        within=adversarial == len(agreements),
        anchor="05_adversarial_data#the-data-set",
        why="sums of 64-bit numbers differ in their last digits",
    )


@claim("Figure 8", step=CONSTANT)
def figure8(store: Store) -> Iterator[Claim]:
    """That distances agree with the ground truth the better, the closer the squares."""
    linear = []
    for spacing in range(1, 9):
        data = load("xysquares", grid_spacing=spacing)
        matrix = distances.traversal_matrices(data, factors=["y_R"])["y_R"]
        linear.append(distances.agreement(matrix, self_pairs=True).linear or 0.0)
    template = "linear correlation {far:.2f} at spacing 8, {near:.2f} at spacing 1"
    yield Claim(
        where="Figure 8",
        statement="The closer the squares, the better perceived distances agree with the ground "
        "truth.",
        published="rising from spacing 8 to 1",
        ours=Value(template, {"far": linear[-1], "near": linear[0]}),
        provenance=EXACT,
        tolerance="rises at every step",
        within=bool(np.all(np.diff(linear) < 0)),
        anchor="05_adversarial_data#bringing-the-squares-together",
        why="nothing is sampled",
    )


@claim("Section 6.1", step=BLUR)
def section_6_1(store: Store) -> Iterator[Claim]:
    """That box blur brings distances into order."""
    ranks = [agreement.rank or 0.0 for agreement in _agreements("box-blur")]
    numbers = {"low": min(ranks), "high": max(ranks), "factors": len(ranks)}
    yield Claim(
        where="Section 6.1",
        statement="Box blur brings the distances along the factors of XYSquares into order.",
        published="ordered",
        ours=Value("rank correlation {low:.2f} to {high:.2f} along {factors} factors", numbers),
        provenance=EXACT,
        tolerance=f"above {ORDERED} along every factor",
        within=min(ranks) > ORDERED,
        anchor="06_changing_the_loss#distances-come-back-into-order",
        why=WHY_ORDERED,
    )
